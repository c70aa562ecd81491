"""Squares and sums that overflow in float16, and right functions with numbers up to its largest.

The overflow of squares is pytorch#133085, onnxruntime#29045 and LeetCUDA#335.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from tests.inspect.test_check_correct import by_loops, configurations, ours

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T, F = torch.nn, torch.nn.functional
LAST = {"channel_axis": -1}


def rms(x, w, eps=1e-6):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * w


def layer_norm(x, weight, bias):
    d = x - x.mean(-1, keepdim=True)
    return d / torch.sqrt(d.pow(2).mean(-1, keepdim=True) + 1e-5) * weight + bias


def centred(x, dims, **more):
    return (x - x.mean(dims, keepdim=True)) / (x.var(dims, keepdim=True, **more) + 1e-5).sqrt()


def scaled_down(x):
    """Squares fit up to 64 * 256."""
    z = x / 64
    return z / torch.sqrt((z * z).mean(-1, keepdim=True) + 0.1 / 4096)


def by_difference(x):
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) * torch.rsqrt((x * x).mean((2, 3), keepdim=True) - mean * mean + 1e-5)


def of_numpy(x):
    return x / np.sqrt(np.square(x).mean(1, keepdims=True) + np.float16(1e-5))


class Half(T.Module):
    """Written by hand, and turned into half precision as a whole."""

    def __init__(self, norm=layer_norm):
        super().__init__()
        self.norm, self.weight, self.bias = norm, T.Parameter(torch.ones(8)), T.Parameter(torch.zeros(8))

    def forward(self, x):
        return self.norm(x, self.weight, self.bias)


def widened(x, weight, bias):
    return layer_norm(x.float(), weight.float(), bias.float()).to(x.dtype)


def by_the_largest(x):
    """Squares numbers of at most 1."""
    largest = x.abs().amax(-1, keepdim=True).clamp(min=1e-4)
    z, eps = x / largest, 1e-5 / largest.double() ** 2
    return z / torch.sqrt((z * z).mean(-1, keepdim=True) + eps).to(x.dtype)


def root_in_half(x):
    """The sums are float32, and the factor that x is multiplied by is float16."""
    return x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-5).to(x.dtype)


OVERFLOWS = [
    ("float16-overflow", rms, "rms", None, {"shape": (2, 5, 64), "eps": 1e-6, **LAST}),
    ("float16-overflow", rms, "rms", None, {"shape": (2, 5, 4096), "eps": 1e-6, **LAST}),
    ("float16-overflow", rms, "rms", None, {"shape": (5, 2), "eps": 1e-6, **LAST}),
    ("float16-overflow", rms, "rms", None, {"shape": (5, 1), "eps": 1e-6, **LAST}),
    ("float16-overflow", layer_norm, "positional", None, LAST),
    ("float16-overflow", Half().half(), "positional", None, {"dtype": None, **LAST}),
    (
        "float16-overflow",
        lambda x: centred(x.reshape(len(x), 2, -1), -1, correction=0).reshape(x.shape),
        "group",
        2,
        {},
    ),
    ("float16-overflow", lambda x: centred(x, (0, 2), correction=0), "batch", None, {"shape": (3, 4, 5)}),
    ("float16-overflow", by_difference, "instance", None, {}),
    ("float16-overflow", scaled_down, "rms", None, {"eps": 0.1, **LAST}),
    ("float16-overflow", of_numpy, "rms", None, {"framework": "numpy"}),
    ("float16-accumulation", lambda x: x / (x.square().sum((1, 2, 3), True) + 1e-5).sqrt(), "weight_norm", None, {}),
    ("unbiased-variance, float16-overflow", lambda x: centred(x, (2, 3)), "instance", None, {"shape": (2, 3, 2, 2)}),
    (
        "eps-missing, float16-overflow",
        lambda x: x / x.square().mean(1, True).sqrt(),
        "rms",
        None,
        {"eps": 0.01, "framework": "torch"},
    ),
    ("variance-not-std, float16-overflow", lambda x: x / (x.square().mean(1, True) + 1e-5), "rms", None, {}),
    (
        "wrong-axes, float16-overflow",
        lambda x: x * torch.rsqrt(x.square().mean(0, True) + 1e-5),
        "rms",
        None,
        {"framework": "torch"},
    ),
    (
        "affine-before, float16-overflow",
        lambda x, w, b: layer_norm(x * w + b, torch.ones_like(w), torch.zeros_like(b)),
        "positional",
        None,
        LAST,
    ),
]


@pytest.mark.parametrize(("codes", "fn", "method", "groups", "more"), OVERFLOWS)
def test_what_overflows(codes, fn, method, groups, more):
    options = {"dtype": "float16", "framework": "torch"} | more
    verdict = nv.check(fn, method, groups, **options)
    assert verdict.codes == tuple(codes.split(", ")), str(verdict)
    if "overflow" in codes:
        finding = next(f for f in verdict.findings if f.code == "float16-overflow")
        assert "overflows in float16, whose largest number is 65504, on cells of about " in finding.message
        assert finding.hint


RIGHT = [
    (Half(widened).half(), "positional", None, {"dtype": None, **LAST}),
    (by_the_largest, "rms", None, LAST),
    (root_in_half, "rms", None, LAST),
    (T.GroupNorm(4, 8).half(), "group", 4, {}),
    (T.LayerNorm(64).half(), "positional", None, LAST),
    (T.RMSNorm(64, eps=1e-5).half(), "rms", None, LAST),
    (T.BatchNorm2d(6).half(), "batch", None, {}),
    (F.instance_norm, "instance", None, {}),
    (lambda x: F.normalize(x.flatten(1)).reshape(x.shape), "weight_norm", None, {"eps": 1e-12, "shape": (4, 64, 7, 7)}),
    (lambda x: nv.normalize(x, "frn"), "frn", None, {"shape": (2, 3), "framework": "numpy"}),
    (rms, "rms", None, {"dtype": "bfloat16", "eps": 1e-6, **LAST}),
    (rms, "rms", None, {"dtype": "float32", "eps": 1e-6, **LAST}),
    (Half().bfloat16(), "positional", None, {"dtype": None, **LAST}),
]


@pytest.mark.parametrize(("fn", "method", "groups", "more"), RIGHT)
def test_what_does_not_overflow(fn, method, groups, more):
    options = {"dtype": "float16", "framework": "torch"} | more
    verdict = nv.check(fn, method, groups, **options)
    assert verdict.passed, str(verdict)


def test_a_right_output_that_overflows_is_no_bug():
    def fn(x, weight):
        return (F.rms_norm(x.float(), x.shape[-1:], eps=1e-5) * weight.float()).to(x.dtype)

    options = {"framework": "torch", "dtype": "float16", "channel_axis": -1}
    verdict = nv.check(fn, "rms", weight=np.full(8, 30000.0), **options)
    assert verdict.passed, str(verdict)
    inverted = nv.check(lambda x: x.double().square().mean(1, True).sqrt().mul(x).to(x.dtype), "rms", eps=0, **options)
    assert "float16-overflow" not in inverted.codes


def test_what_is_not_looked_for_is_said():
    said = 'Not checked: overflow in float16 (dtype="float16" was not given).'
    assert said in str(nv.check(rms, "rms", eps=1e-6, **LAST))
    assert said not in str(nv.check(rms, "rms", eps=1e-6, dtype="float32", **LAST))
    assert said not in str(nv.check(T.GroupNorm(4, 8).half(), "group", 4))


def in_float32(method, groups, eps, channel_axis):
    """In torch, with sums in float32, as a kernel for half precision has them."""

    def fn(x, weight, bias):
        wide = (a.float().numpy().astype(np.float64) for a in (x, weight, bias))
        return torch.from_numpy(by_loops(method, groups, eps, channel_axis)(*wide)).to(x.dtype)

    return fn


@given(configurations(), st.sampled_from(["float16", "bfloat16"]), st.sampled_from([in_float32, ours]))
def test_no_false_alarm_in_half_precision(configuration, dtype, how):
    method, groups, shape, axis, eps, _ = configuration
    options = {"shape": shape, "channel_axis": axis, "eps": eps, "dtype": dtype, "framework": "torch"}
    verdict = nv.check(how(method, groups, eps, axis), method, groups, **options)
    assert verdict.passed, str(verdict)
