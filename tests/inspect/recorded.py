"""Models to record, a training loop, and what plain hooks see of it."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

STEPS = 20


class Net(nn.Module):
    """Maps with Batch, Group, Instance and Layer Norm of the whole sample, an in-place ReLU after each."""

    def __init__(self, inplace=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.batch = nn.BatchNorm2d(8)
        self.group = nn.GroupNorm(4, 8)
        self.instance = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
        self.layer = nn.LayerNorm((8, 6, 5))
        self.relu = nn.ReLU(inplace)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.conv(x)
        for norm in (self.batch, self.group, self.instance, self.layer):
            x = self.relu(norm(x)) + 0.1 * x
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    """Tokens with positional Layer Norm, RMS Norm, a function that normalizes, and a hand-written norm."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.rms = nn.RMSNorm(8)
        self.scale = nn.Parameter(torch.ones(8))
        self.hand = HandRMS(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.norm(self.embed(x))
        x = self.rms(x * 2 + 0.5)
        x = F.layer_norm(x + 0.3 * x.roll(1, -1), (8,), weight=self.scale)
        return self.head(self.hand(x * 3 + 1)).mean(1)


class HandRMS(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, dim))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Tied(nn.Module):
    """One Batch Norm that is called twice, on inputs of different size, and in each third forward not at all."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.group = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x):
        x = self.conv(x)
        self.calls += 1
        if self.calls % 3:
            x = self.norm(self.norm(x)[:, :, ::2] * 2 + 1)
        return self.head(self.group(x).mean((2, 3)))


def images(steps=STEPS, n=4, seed=1):
    """Batches of images and labels; they differ in size."""
    torch.manual_seed(seed)
    sizes = [n + i % 2 for i in range(steps)]
    return [(torch.randn(k, 3, 6, 5) * 2 + 0.5, torch.randint(4, (k,))) for k in sizes]


def tokens(steps=STEPS, seed=1):
    torch.manual_seed(seed)
    return [(torch.randn(3, 7, 6), torch.randint(4, (3,))) for _ in range(steps)]


def made(kind, seed=0):
    torch.manual_seed(seed)
    return kind()


def optimizer_of(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train(model, batches, optimizer=None, accumulate=1, step=None):
    """Train; `accumulate` batches make a step."""
    optimizer = optimizer or optimizer_of(model)
    model.train()
    for i, (x, y) in enumerate(batches):
        F.cross_entropy(model(x), y).backward()
        if (i + 1) % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        if step:
            step(i)
    return model


def bits(model, optimizer=None):
    """Everything of a model, and of an optimizer, that training changes, as bytes."""
    state = [(k, v.numpy().tobytes()) for k, v in model.state_dict().items()]
    grads = [(k, None if p.grad is None else p.grad.numpy().tobytes()) for k, p in model.named_parameters()]
    momenta = [s["momentum_buffer"].numpy().tobytes() for s in optimizer.state.values()] if optimizer else []
    return state, grads, momenta, torch.get_rng_state().numpy().tobytes()


class PlainHooks:
    """What hooks of the test's own see of some layers: a list of dicts by layer, one for each training forward.

    `sets` says which axes of the input, in its own order, and which groups, are pooled.
    """

    def __init__(self, model, layers):
        self.model, self.layers, self.rows = model, layers, {name: [] for name in layers}
        self.handles = [model.register_forward_hook(self._end)]
        for name in layers:
            module = model.get_submodule(name) if ":" not in name else None
            if module is not None:
                self.handles.append(module.register_forward_hook(self._hook(name)))
        self.now = {}

    def _hook(self, name):
        def hook(module, args, output):
            if self.model.training:
                self.see(name, args[0], output, module)

        return hook

    def see(self, name, x, output, module=None, weight=None, bias=None):
        use = {"x": x.detach().double().numpy(), "squares": [], "module": module}
        for key, given in (("weight", weight), ("bias", bias)):
            value = getattr(module, key, None) if given is None else given
            use[key] = None if value is None else value.detach().double().numpy().copy()
        if output.requires_grad:
            output.register_hook(lambda g: use["squares"].append(float(g.double().square().sum())))
        self.now.setdefault(name, []).append(use)

    def _end(self, module, args, output):
        if not module.training:
            return
        for name in self.layers:
            uses = self.now.pop(name, [])
            for use in uses:
                for key in ("running_mean", "running_var"):
                    buffer = getattr(use["module"], key, None)
                    use[key] = None if buffer is None else buffer.double().numpy().copy()
            self.rows[name].append(uses)

    def close(self):
        for handle in self.handles:
            handle.remove()


def five(values):
    return [np.min(values), *(np.percentile(values, q) for q in (25, 50, 75)), np.max(values)]


def expected(rows, channel_axis, sets_of, mean_taken=True):
    """Return the numbers that a recording must have, computed with NumPy alone, by name of the attribute."""
    out = {k: [] for k in ("mean", "var", "set_mean", "set_var", "grad_norm", "weight", "bias", "samples", "count")}
    out |= {"running_mean": [], "running_var": [], "first_mean": [], "first_var": []}
    C = next(use["x"].shape[channel_axis] for uses in rows for use in uses)
    for uses in rows:
        flat = [np.moveaxis(use["x"], channel_axis, 0).reshape(C, -1) for use in uses]
        cells = np.concatenate(flat, 1) if flat else np.full((C, 1), np.nan)
        out["mean"].append(cells.mean(1))
        out["var"].append(cells.var(1))
        sets = [s.ravel() for use in uses for s in sets_of(use["x"])]
        means = [s.mean() if mean_taken else 0.0 for s in sets] or [np.nan]
        variances = [s.var() if mean_taken else np.mean(s**2) for s in sets] or [np.nan]
        out["first_mean"].append(means[: max(64, C)])
        out["first_var"].append(variances[: max(64, C)])
        out["set_mean"].append(five(means))
        out["set_var"].append(five(variances))
        squares = [q for use in uses for q in use["squares"]]
        out["grad_norm"].append(math.sqrt(sum(squares)) if squares else math.nan)
        out["samples"].append(sum(len(use["x"]) for use in uses))
        out["count"].append(sum(a.shape[1] for a in flat))
        for key in ("weight", "bias", "running_mean", "running_var"):
            value = uses[-1][key] if uses else np.full(C, np.nan)
            out[key].append(None if value is None else value.reshape(C, -1).mean(1))
    for key in ("first_mean", "first_var"):
        most = max(map(len, out[key]))
        out[key] = [[*row, *[math.nan] * (most - len(row))] for row in out[key]]
        if sets_of is channels:  # then they are `mean` and `var`
            out[key] = [None]
    arrays = {k: None if any(v is None for v in vs) else np.array(vs) for k, vs in out.items()}
    x = np.moveaxis(next(use["x"] for uses in rows for use in uses), channel_axis, 1)
    return arrays | {"shape": np.array(x.shape)}


def channels(x):
    return [x[:, c] for c in range(x.shape[1])]


def samples(x):
    return [*x]


def maps(x):
    return [x[n, c] for n in range(x.shape[0]) for c in range(x.shape[1])]


def groups(G):
    return lambda x: [part for sample in x for part in np.split(sample, G)]


def positions(x):
    return [*x.reshape(-1, x.shape[-1])]


def assert_same(layer, wanted, rtol=1e-9):
    for name, value in wanted.items():
        got = getattr(layer, name)
        if value is None or (name.startswith("running") and got is None and not np.isfinite(value).any()):
            assert got is None, name
        else:
            np.testing.assert_allclose(got, value, rtol=rtol, atol=rtol, err_msg=f"{layer.name}.{name}")
