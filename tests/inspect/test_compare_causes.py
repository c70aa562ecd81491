"""Layers that get the same input and give other outputs: compare names what one of them does."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normviz as nv
from tests.inspect import audit_models as zoo


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


class ByHand(nn.Module):
    """Somebody's norm: a function of x, weight and bias."""

    def __init__(self, function, bias=True):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.rand(8))
        self.bias = nn.Parameter(torch.rand(8)) if bias else None

    def forward(self, x):
        return self.function(x, self.weight, self.bias)


def along(p, x):
    return p.reshape(1, -1, *[1] * (x.ndim - 2))


def group(x, w, b, *, G=2, eps=1e-5, unbiased=False, outside=False, summed=False, inverted=False, first=False):
    """Group Norm of (N, C, *spatial), with one thing wrong."""
    h = x.reshape(len(x), G, -1)
    mean, var = h.mean(-1, keepdim=True), h.var(-1, keepdim=True, unbiased=unbiased)
    var = var * h.shape[-1] if summed else var
    root = var.sqrt() + eps if outside else (var + eps).sqrt()
    y = ((h - mean) * root if inverted else (h - mean) / root).reshape(x.shape)
    if first:
        w, b = (p[:: 8 // G].repeat_interleave(8 // G) for p in (w, b))
    return y * along(w, x) + along(b, x)


def rms(x, w, b=None, *, eps=1e-5, plus=0.0, std=False, axis=-1):
    """RMS Norm of (N, T, C), with one thing wrong; axis=1 for (N, C, *spatial)."""
    square = (x - x.mean(axis, keepdim=True) if std else x).square().mean(axis, keepdim=True)
    return x * torch.rsqrt(square + eps) * (plus + (w if axis == -1 else along(w, x)))


def layer(x, w, b, *, correction=0, outside=False, eps=1e-5):
    """Layer Norm of the features of (N, T, C)."""
    var, mean = torch.var_mean(x, -1, correction=correction, keepdim=True)
    return (x - mean) / (var.sqrt() + eps if outside else (var + eps).sqrt()) * w + b


def cases():
    gn, ln, rn = (lambda: nn.GroupNorm(2, 8)), (lambda: nn.LayerNorm(8)), (lambda: nn.RMSNorm(8, eps=1e-5))
    maps, series, tokens = torch.randn(4, 8, 5, 5), torch.randn(4, 8, 12), torch.randn(3, 6, 8)
    small = {"outside": True, "eps": 1e-2}

    def hand(function, **wrong):
        return lambda: ByHand(lambda x, w, b: function(x, w, b, **wrong), bias=function is not rms)

    yield (
        "unbiased, Group Norm of maps",
        gn,
        hand(group, unbiased=True),
        maps,
        "divides the sum of squares by |S| - 1 = 99",
    )
    yield (
        "unbiased, Group Norm of series",
        gn,
        hand(group, unbiased=True),
        series,
        "divides the sum of squares by |S| - 1",
    )
    yield "unbiased, Layer Norm", ln, hand(layer, correction=1), tokens, "by |S| - 1 = 7, not by |S| = 8"
    gn_eps, ln_eps = (lambda: nn.GroupNorm(2, 8, eps=1e-2)), (lambda: nn.LayerNorm(8, eps=1e-2))
    yield "eps outside, maps", gn_eps, hand(group, **small), maps, "to the square root"
    yield "eps outside, tokens", ln_eps, hand(layer, **small), tokens, "to the square root"
    yield (
        "eps outside, small numbers",
        gn,
        hand(group, outside=True),
        maps * 1e-2,
        "adds eps = 1e-05 to the square root",
    )
    yield "another eps by hand", gn, hand(group, eps=1e-1), maps, "adds eps = 0.1"
    yield "another eps in an RMS Norm", rn, hand(rms, eps=1e-1), tokens, "adds eps = 0.1"
    yield "sum for mean", gn, hand(group, summed=True), maps, "adds up the squares"
    yield "times the root", gn, hand(group, inverted=True), series, "multiplies by the square root"
    yield "weight of the group's first channel", gn, hand(group, first=True), maps, "one weight and bias for each group"
    yield (
        "1 + weight, RMS Norm of tokens",
        rn,
        hand(rms, plus=1.0),
        tokens,
        "{A} multiplies by weight, {B} by 1 + weight",
    )
    one_more = lambda: ByHand(lambda x, w, b: F.rms_norm(x, (8,), 1 + w, 1e-5), bias=False)  # noqa: E731
    yield "1 + weight, functional", rn, one_more, tokens, "{A} multiplies by weight, {B} by 1 + weight"
    more_ln = lambda: ByHand(lambda x, w, b: layer(x, 1 + w, b))  # noqa: E731
    yield "1 + weight, Layer Norm", ln, more_ln, tokens, "{A} multiplies by weight, {B} by 1 + weight"
    more_gn = lambda: ByHand(lambda x, w, b: group(x, 1 + w, b))  # noqa: E731
    yield "1 + weight, Group Norm", gn, more_gn, maps, "{A} multiplies by weight, {B} by 1 + weight"
    no_weight = lambda: ByHand(lambda x, w, b: F.group_norm(x, 2, None, b))  # noqa: E731
    yield "weight missing", gn, no_weight, maps, "none in {B}"
    permuted = lambda: ByHand(lambda x, w, b: F.layer_norm(x, (8,), w.flip(0), b))  # noqa: E731
    yield "weight in another order", ln, permuted, tokens, "weight has the same entries in another order"
    yield "no mean subtracted", ln, lambda: ByHand(lambda x, w, b: rms(x, w) + b), tokens, "RMS Norm in {B}"
    length = lambda: ByHand(lambda x, w, b: F.normalize(x, dim=-1) * w, bias=False)  # noqa: E731
    yield "length for root mean square", (lambda: nn.RMSNorm(8, eps=1e-12)), length, tokens, "adds up the squares"
    yield "std for root mean square", rn, hand(rms, std=True), tokens, "it gives x / std"


CASES = {name: rest for name, *rest in cases()}
HEALTHY = {
    "Group Norm of maps": (lambda: nn.GroupNorm(2, 8), lambda: ByHand(group), torch.randn(4, 8, 5, 5)),
    "Layer Norm of tokens": (lambda: nn.LayerNorm(8), lambda: ByHand(layer), torch.randn(3, 6, 8)),
    "RMS Norm": (lambda: nn.RMSNorm(8, eps=1e-5), lambda: ByHand(rms), torch.randn(3, 6, 8)),
    "RMS Norm with the channels first": (
        lambda: zoo.RMSNorm(8, eps=1e-5),
        lambda: ByHand(lambda x, w, b: rms(x.mT, w, axis=1).mT),
        torch.randn(3, 6, 8),
    ),
}


def two(make_a, make_b, swapped=False):
    a, b = nn.Sequential(nn.Identity(), make_a()), nn.Sequential(nn.Identity(), make_b())
    for p, value in zip(a.parameters(), (torch.linspace(0.5, 1.5, 8), torch.linspace(-1, 1, 8)), strict=False):
        p.data = value
    b.load_state_dict(a.state_dict(), strict=False)
    return (b, a) if swapped else (a, b)


@pytest.mark.parametrize("name", CASES)
def test_what_one_of_the_two_does_is_said(name):
    make_a, make_b, x, words = CASES[name]
    for swapped in (False, True):
        found = nv.compare(*two(make_a, make_b, swapped), x)
        assert not found.same
        assert (found.first.name.split(" / ")[0].split(":")[0], found.between) == ("1", None)
        assert words.format(A="ab"[swapped], B="ba"[swapped]) in str(found)
        assert (found.only_a, found.only_b) == ([], [])


@pytest.mark.parametrize("name", HEALTHY)
def test_a_right_norm_by_hand_is_the_same(name):
    make_a, make_b, x = HEALTHY[name]
    for swapped in (False, True):
        found = nv.compare(*two(make_a, make_b, swapped), x)
        assert found.same
        assert str(found).startswith("The two models agree at 1 pair")


@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 16, 8), (1, 6, 8)])
def test_the_axis_of_the_channels_is_that_of_the_layer(shape):
    """Tokens, whose features are last, and a norm by hand over the tokens."""

    def over_tokens(x, w, b):
        return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 0.1).sqrt() * w + b

    text = str(nv.compare(*two(lambda: nn.LayerNorm(8), lambda: ByHand(over_tokens)), torch.randn(shape)))
    assert "takes the last axis" not in text
    assert "b takes axis 1 for the channels, which are on axis -1" in text or "Instance Norm in b" in text


def test_weights_and_biases_of_layers_by_hand():
    x = torch.randn(4, 8, 5, 5)
    for make_a in (lambda: nn.GroupNorm(2, 8), lambda: ByHand(group)):
        a, b = two(make_a, lambda: ByHand(group))
        b[1].weight.data[3] += 1
        assert "1: weight differs by 0.29" in str(nv.compare(a, b, x))
        assert "most at entry 3" in str(nv.compare(a, b, x))
        b[1].weight.data, b[1].bias.data = a[1].weight.data, a[1].bias.data.flip(0)
        assert "1: bias has the same entries in another order" in str(nv.compare(a, b, x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_weight_that_a_port_keeps_one_less(dtype):
    a, b = two(lambda: ByHand(lambda x, w, b: rms(x, w, plus=1.0), bias=False), lambda: nn.RMSNorm(8, eps=1e-5))
    x = torch.randn(2, 6, 8, dtype=dtype)
    found = nv.compare(a.to(dtype), b.to(dtype), x)
    assert "1: b multiplies by weight, a by 1 + weight." in str(found)
    b[1].weight.data += 1
    assert nv.compare(a, b, x).same


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_channels_in_another_order(mode):
    torch.manual_seed(1)
    order = torch.randperm(8)
    a = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    for t in (*a[1].parameters(), a[1].running_mean, a[1].running_var):
        t.data = torch.rand(8) + 0.5
    b = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    state = {k: v[order] if v.ndim and v.shape[0] == 8 else v for k, v in a.state_dict().items()}
    b.load_state_dict(state | {"3.weight": a[3].weight[:, order]})
    x = torch.randn(2, 3, 6, 6)
    assert nv.compare(a.train(mode), b.train(mode), x).same
    b[1].load_state_dict(a[1].state_dict())
    found = nv.compare(a, b, x)
    assert (found.first.name, found.first.input_parts) == ("1", False)
    assert "1: weight is the same in a and b, but the order of its input differs." in str(found)
