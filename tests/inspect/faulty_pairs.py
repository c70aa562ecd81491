"""Normalizers with the bugs of PyTorch layers, and plain ones with two bugs at once."""

import numpy as np

from tests.inspect.faulty import EPS, along

try:
    import torch
except ImportError:
    torch = None


# ---- PyTorch ----


def torch_cases():
    T, F = torch.nn, torch.nn.functional

    class PerGroup(T.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = T.Parameter(torch.ones(3)), T.Parameter(torch.zeros(3))

        def forward(self, x):
            n, _, h, w = x.shape
            y = F.group_norm(x, 3).view(n, 3, -1, h, w)
            return (y * self.weight.view(1, 3, 1, 1, 1) + self.bias.view(1, 3, 1, 1, 1)).view(x.shape)

    def in_place(x):
        return x.sub_(x.mean((0, 2, 3), keepdim=True)).div_((x.square().mean((0, 2, 3), keepdim=True) + EPS).sqrt())

    def norm(x, dims, correction=0, outside=False, eps=EPS, power=0.5):
        var, mean = torch.var_mean(x, dims, correction=correction, keepdim=True)
        return (x - mean) / (var.sqrt() + eps if outside else (var + eps) ** power)

    def norm_of(x, dims):
        return torch.rsqrt(x.var(dims, correction=0, keepdim=True) + EPS)

    def share(x):
        """1, unless the map is constant: 0 / 0."""
        std = x.std((2, 3), keepdim=True)
        return std / std

    shuffled = T.Sequential(T.ChannelShuffle(2), T.GroupNorm(3, 6, affine=False), T.ChannelShuffle(3))
    return [
        ("wrong-axes", T.LayerNorm([5, 4], elementwise_affine=False), "layer", None),
        ("wrong-axes", T.GroupNorm(1, 6, affine=False), "batch", None),
        ("interleaved-groups", lambda x: shuffled(x), "group", 3),
        ("affine-per-group", PerGroup(), "group", 3),
        ("affine-before", lambda x, w, b: F.layer_norm(x * along(w) + along(b), x.shape[1:]), "layer", None),
        ("affine-swapped", lambda x, w, b: F.batch_norm(x, None, None, b, w, True), "batch", None),
        ("unbiased-variance", lambda x: norm(x, (0, 2, 3), correction=1), "batch", None),
        ("eps-outside", lambda x: norm(x, (2, 3), outside=True), "instance", None),
        ("eps-missing", lambda x: norm(x, (2, 3), eps=0), "instance", None),
        ("eps-value", T.BatchNorm2d(6, eps=1e-3), "batch", None),
        ("eps-value", T.GroupNorm(2, 6, eps=1e-6), "group", 2),
        ("variance-not-std", lambda x: norm(x, (1, 2, 3), power=1), "layer", None),
        ("not-centered", lambda x: F.rms_norm(x, x.shape[1:], eps=EPS), "layer", None),
        (
            "cancellation",
            lambda x: (x - x.mean(1, True)) * torch.rsqrt(x.square().mean(1, True) - x.mean(1, True) ** 2 + EPS),
            "positional",
            None,
        ),
        ("float16-accumulation", lambda x: norm(x.half(), (0, 2, 3)).to(x.dtype), "batch", None),
        ("not-averaged", lambda x: x * torch.rsqrt(x.square().sum(1, True) + EPS), "rms", None),
        (
            "eps-outside",
            lambda x: (x - x.mean(1, True)) / x.std(1, correction=0, keepdim=True).clamp(min=EPS),
            "positional",
            None,
        ),
        ("root-inverted", lambda x: (x - x.mean((2, 3), True)) / norm_of(x, (2, 3)), "instance", None),
        ("eps-on-output", lambda x: norm(x, (0, 2, 3), eps=0).add(EPS), "batch", None),
        ("changes-input", in_place, "batch", None),
        ("wrong-dtype", lambda x: norm(x, (0, 2, 3)).double(), "batch", None),
        ("wrong-shape", lambda x: norm(x, (0, 2, 3)).flatten(1), "batch", None),
        ("channels-last", lambda x: F.layer_norm(x, x.shape[-1:]), "positional", None),
        ("channels-last", lambda x: norm(x, (0, 1, 2)), "batch", None),
        ("nan-on-constant", lambda x: norm(x, (2, 3)) * share(x), "instance", None),
    ]


# ---- two at once: one function written plainly, with a switch for each bug ----


def student(bugs, method, groups=2):
    """A Group, Layer or Batch Norm in plain steps, with the given bugs."""

    def fn(x, weight, bias):
        n, c, *_ = x.shape
        source = x
        if "affine-before" in bugs:
            x = x * along(weight) + along(bias)
        if method == "group":
            if "interleaved-groups" in bugs:
                parts = [list(range(g, c, groups)) for g in range(groups)]
            else:
                parts = [list(range(g * c // groups, (g + 1) * c // groups)) for g in range(groups)]
            if "wrong-axes" in bugs:
                parts = [[k] for k in range(c)]
            sets = [(slice(i, i + 1), part) for i in range(n) for part in parts]
        elif method == "layer":
            sets = [(slice(i, i + 1), list(range(c))) for i in range(n)]
            sets = [(slice(None), [k]) for k in range(c)] if "wrong-axes" in bugs else sets
        else:
            sets = [(slice(None), [k]) for k in range(c)]
            sets = [(slice(i, i + 1), [k]) for i in range(n) for k in range(c)] if "wrong-axes" in bugs else sets
        if "channels-last" in bugs:
            x = np.moveaxis(x, -1, 1)
            sets = [(slice(None), [k]) for k in range(x.shape[1])]
        y = np.zeros_like(x)
        for samples, channels in sets:
            cells = x[samples][:, channels]
            mean = cells.sum() / cells.size
            if "cancellation" in bugs:
                square = (cells * cells).sum() / cells.size - mean * mean
            else:
                square = ((cells - mean) ** 2).sum() / cells.size
            if "not-averaged" in bugs:
                square *= cells.size
            if "unbiased-variance" in bugs:
                square *= cells.size / (cells.size - 1)
            eps = 2e-4 if "eps-value" in bugs else 0.0 if {"eps-missing", "eps-on-output"} & {*bugs} else EPS
            if "variance-not-std" in bugs:
                below = square + eps
            elif "eps-outside" in bugs:
                below = np.sqrt(square) + eps
            else:
                below = np.sqrt(square + eps)
            if "nan-on-constant" in bugs:
                below = below * (square / square)
            above = cells if "not-centered" in bugs else cells - mean
            block = y[samples]
            block[:, channels] = above * below if "root-inverted" in bugs else above / below
            block[:, channels] += EPS * ("eps-on-output" in bugs)
        if "channels-last" in bugs:
            y = np.moveaxis(y, 1, -1)
        if "affine-per-group" in bugs:
            weight, bias = (np.repeat(p[:: c // groups], c // groups) for p in (weight, bias))
        if "affine-swapped" in bugs:
            weight, bias = bias, weight
        if "weight-plus-one" in bugs:
            weight = 1 + weight
        if "affine-not-reshaped" in bugs:
            y = y * weight + bias
        elif "affine-before" not in bugs:
            y = y * along(weight) + along(bias)
        if "changes-input" in bugs:
            source[...] = y
        if "wrong-dtype" in bugs:
            y = y.astype(np.float32)
        return y.reshape(n, -1) if "wrong-shape" in bugs else y

    return fn


PAIRS = [
    (method, pair.split(" + "))
    for method, pairs in {
        "group": [
            "interleaved-groups + affine-per-group",
            "interleaved-groups + unbiased-variance",
            "interleaved-groups + eps-outside",
            "interleaved-groups + eps-value",
            "interleaved-groups + eps-missing",
            "interleaved-groups + affine-swapped",
            "interleaved-groups + affine-before",
            "interleaved-groups + not-centered",
            "interleaved-groups + variance-not-std",
            "interleaved-groups + cancellation",
            "wrong-axes + affine-per-group",
            "wrong-axes + unbiased-variance",
            "affine-per-group + unbiased-variance",
            "affine-per-group + eps-outside",
            "affine-per-group + variance-not-std",
            "affine-per-group + changes-input",
            "affine-per-group + affine-swapped",
            "affine-per-group + weight-plus-one",
            "affine-not-reshaped + interleaved-groups",
            "interleaved-groups + not-averaged",
            "interleaved-groups + root-inverted",
            "interleaved-groups + eps-on-output",
            "affine-per-group + not-averaged",
            "affine-per-group + eps-on-output",
            "wrong-axes + root-inverted",
        ],
        "layer": [
            "wrong-axes + eps-outside",
            "wrong-axes + eps-missing",
            "wrong-axes + affine-swapped",
            "unbiased-variance + affine-before",
            "unbiased-variance + eps-missing",
            "not-centered + eps-value",
            "not-centered + affine-swapped",
            "variance-not-std + affine-before",
            "eps-outside + affine-before",
            "cancellation + affine-swapped",
            "changes-input + not-centered",
            "not-averaged + eps-outside",
            "not-averaged + eps-missing",
            "not-averaged + eps-value",
            "not-averaged + root-inverted",
            "not-averaged + affine-before",
            "wrong-axes + not-averaged",
            "eps-on-output + affine-swapped",
            "root-inverted + cancellation",
        ],
        "batch": [
            "wrong-axes + not-centered",
            "wrong-axes + variance-not-std",
            "wrong-axes + eps-value",
            "wrong-axes + wrong-shape",
            "wrong-axes + wrong-dtype",
            "unbiased-variance + eps-outside",
            "unbiased-variance + eps-value",
            "unbiased-variance + affine-swapped",
            "unbiased-variance + variance-not-std",
            "unbiased-variance + cancellation",
            "unbiased-variance + nan-on-constant",
            "eps-outside + eps-value",
            "eps-outside + affine-swapped",
            "variance-not-std + affine-swapped",
            "channels-last + unbiased-variance",
            "channels-last + eps-outside",
            "cancellation + wrong-shape",
            "changes-input + eps-value",
            "changes-input + wrong-dtype",
            "wrong-shape + wrong-dtype",
            "wrong-dtype + eps-missing",
            "affine-not-reshaped + unbiased-variance",
            "affine-not-reshaped + wrong-axes",
            "affine-not-reshaped + affine-swapped",
            "affine-not-reshaped + weight-plus-one",
            "affine-not-reshaped + wrong-shape",
            "weight-plus-one + not-centered",
            "weight-plus-one + eps-outside",
            "not-averaged + eps-value",
            "not-averaged + not-centered",
            "not-averaged + variance-not-std",
            "not-averaged + cancellation",
            "channels-last + not-averaged",
            "unbiased-variance + root-inverted",
            "unbiased-variance + eps-on-output",
            "root-inverted + variance-not-std",
            "root-inverted + eps-outside",
            "root-inverted + eps-missing",
            "root-inverted + affine-swapped",
            "eps-on-output + wrong-shape",
            "eps-on-output + not-centered",
        ],
    }.items()
    for pair in pairs
]
