"""No false alarm: every right normalizer passes, whoever wrote it, in any shape, dtype and eps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from normviz.core.pooling import pooling


def by_loops(method, groups, eps, channel_axis):
    """Set by set, with sums of Python's own floats, one cell after the other."""

    def fn(x, weight, bias):
        moved = np.moveaxis(x, channel_axis, 1)
        pool, row = pooling(method, moved.shape, groups), nv.METHODS[method]
        y = np.empty_like(moved)
        for index in np.ndindex(pool.grid):
            where = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, pool.block, strict=True))
            cells = [float(v) for v in moved[where].ravel()]
            mean = sum(cells) / len(cells) if row.centered else 0.0
            squares = sum((v - mean) ** 2 for v in cells)
            below = squares if row.statistic == "squared norm" else squares / len(cells)
            y[where] = (moved[where] - mean) / math.sqrt(below + eps)
        lined = [-1 if a == row.affine_axis else 1 for a in range(y.ndim)]
        return np.moveaxis(y * weight.reshape(lined) + bias.reshape(lined), 1, channel_axis)

    return fn


def by_axes(method, groups, eps, channel_axis):
    """In one expression of NumPy, as most people write it."""

    def fn(x):
        moved = np.moveaxis(x, channel_axis, 1)
        pool, row = pooling(method, moved.shape, groups), nv.METHODS[method]
        view = moved.reshape([n for pair in zip(pool.grid, pool.block, strict=True) for n in pair])
        axes = tuple(range(1, view.ndim, 2))
        above = view - view.mean(axes, keepdims=True) if row.centered else view
        sums = np.sum if row.statistic == "squared norm" else np.mean
        y = above / np.sqrt(sums(np.square(above), axes, keepdims=True) + eps)
        return np.moveaxis(y.reshape(moved.shape), 1, channel_axis)

    return fn


def ours(method, groups, eps, channel_axis):
    def fn(x, weight, bias):
        given = {"weight": weight, "bias": bias, "num_groups": groups, "eps": eps, "channel_axis": channel_axis}
        return nv.normalize(x, method, **given)

    return fn


@st.composite
def configurations(draw):
    method = draw(st.sampled_from([*nv.METHODS]))
    row = nv.METHODS[method]
    rank = draw(st.integers(2, 5))
    shape = [draw(st.integers(1, 5)) for _ in range(rank)]
    groups = None
    if row.has_groups:
        groups = draw(st.integers(1, 3))
        shape[row.grouped_axis] = groups * draw(st.integers(1, 4))
    axis = draw(st.sampled_from([1, -1])) if row.axes == "activations" else 1
    shape = list(np.moveaxis(np.empty(shape), 1, axis).shape)
    eps = 10.0 ** draw(st.integers(-12, -1))
    dtype = draw(st.sampled_from(["float64", "float32", "float16", None]))
    return method, groups, tuple(shape), axis, eps, dtype


@given(configurations(), st.sampled_from([by_loops, by_axes, ours]), st.integers(0, 99))
def test_no_false_alarm(configuration, how, seed):
    method, groups, shape, axis, eps, dtype = configuration
    if dtype == "float16" and how is by_axes:
        return  # its sums are float16's
    fn = how(method, groups, eps, axis)
    verdict = nv.check(fn, method, groups, shape=shape, channel_axis=axis, eps=eps, dtype=dtype, seed=seed)
    assert verdict.passed, str(verdict)


@given(configurations(), st.integers(0, 99))
def test_an_unbiased_variance_is_found_wherever_it_shows(configuration, seed):
    """The converse: a check that passes everything would pass a bug too."""
    method, groups, shape, axis, eps, _ = configuration
    size = pooling(method, np.moveaxis(np.empty(shape), axis, 1).shape, groups).size
    if nv.METHODS[method].statistic != "mean and variance" or size == 1:
        return

    def fn(x):
        view = np.moveaxis(x, axis, 1)
        pool = pooling(method, view.shape, groups)
        tiles = view.reshape([n for pair in zip(pool.grid, pool.block, strict=True) for n in pair])
        axes = tuple(range(1, tiles.ndim, 2))
        y = (tiles - tiles.mean(axes, keepdims=True)) / np.sqrt(tiles.var(axes, ddof=1, keepdims=True) + eps)
        return np.moveaxis(y.reshape(view.shape), 1, axis)

    verdict = nv.check(fn, method, groups, shape=shape, channel_axis=axis, eps=eps, seed=seed)
    assert "unbiased-variance" in verdict.codes or "either" in verdict.findings[0].details, str(verdict)


@pytest.mark.parametrize("method", nv.METHODS)
def test_every_method_passes_by_default(method):
    groups = 2 if nv.METHODS[method].has_groups else None
    for how in (by_loops, by_axes, ours):
        verdict = nv.check(how(method, groups, 1e-5, 1), method, groups)
        assert verdict.passed, str(verdict)
        assert verdict.calls <= 20


def torch_layers():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    T, F = torch.nn, torch.nn.functional
    trained = T.GroupNorm(3, 9)
    torch.nn.init.normal_(trained.weight)
    of_heads = T.LayerNorm(4)
    torch.nn.init.normal_(of_heads.weight)

    class Heads(T.Module):
        """As queries and keys are normalized: the layer takes each of three heads, which share its weight."""

        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, x):
            return self.norm(x.unflatten(-1, (3, -1))).flatten(-2)

    return {
        "GroupNorm": (T.GroupNorm(4, 8), "group", 4, {}),
        "GroupNorm, one channel a group": (T.GroupNorm(3, 3), "group", 3, {}),
        "GroupNorm, trained": (trained, "group", 3, {}),
        "GroupNorm, float64": (T.GroupNorm(2, 6).double(), "group", 2, {}),
        "GroupNorm, float16": (T.GroupNorm(2, 6).half(), "group", 2, {}),
        "BatchNorm, one channel": (T.BatchNorm2d(1, track_running_stats=False), "batch", None, {}),
        "LayerNorm, one channel": (T.LayerNorm(1), "positional", None, {"channel_axis": -1}),
        "BatchNorm, float16, tiny eps": (T.BatchNorm2d(6, eps=1e-10).half(), "batch", None, {"eps": 1e-10}),
        "GroupNorm, bfloat16": (T.GroupNorm(2, 6).bfloat16(), "group", 2, {}),
        "GroupNorm of pairs": (T.GroupNorm(4, 8), "group", 4, {"shape": (16, 8)}),
        "GroupNorm of one group": (T.GroupNorm(1, 6), "layer", None, {}),
        "GroupNorm of 32": (T.GroupNorm(32, 64, eps=1e-6), "group", 32, {"eps": 1e-6}),
        "InstanceNorm": (T.InstanceNorm2d(5), "instance", None, {}),
        "InstanceNorm, affine": (T.InstanceNorm1d(5, affine=True), "instance", None, {}),
        "LayerNorm of a sample": (T.LayerNorm([6, 3, 5]), "layer", None, {}),
        "LayerNorm of a token": (T.LayerNorm(16), "positional", None, {"channel_axis": -1, "shape": (2, 7, 16)}),
        "LayerNorm, channels last": (T.LayerNorm(6, bias=False), "positional", None, {"channel_axis": -1}),
        "RMSNorm": (T.RMSNorm(6, eps=1e-3), "rms", None, {"channel_axis": -1, "eps": 1e-3}),
        "LayerNorm of heads": (Heads(T.LayerNorm(4)), "per_head", 3, {"channel_axis": -1}),
        "LayerNorm of heads, trained": (Heads(of_heads), "per_head", 3, {"channel_axis": -1}),
        "RMSNorm of heads": (Heads(T.RMSNorm(4, eps=1e-5)), "per_head_rms", 3, {"channel_axis": -1}),
        "group_norm": (F.group_norm, "group", 4, {}),
        "a closure": (
            lambda x: F.group_norm(x, 2, torch.linspace(1, 2, 6), torch.linspace(0, 1, 6)),
            "group",
            2,
            {"weight": np.linspace(1, 2, 6), "bias": np.linspace(0, 1, 6), "framework": "torch", "dtype": "float32"},
        ),
        "scripted": (torch.jit.script(T.GroupNorm(2, 6)), "group", 2, {}),
        "float32 inside": (lambda x: F.instance_norm(x.float()).to(x.dtype), "instance", None, {"dtype": "float64"}),
    }


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_layers_of_torch():
    for name, (layer, method, groups, more) in torch_layers().items():
        verdict = nv.check(layer, method, groups, **more)
        assert verdict.passed, f"{name}: {verdict}"


def test_layers_of_flax():
    pytest.importorskip("flax", reason="Flax is not installed")
    from flax import nnx

    keys = nnx.Rngs(0)
    for fast in (True, False):
        for layer, method, groups, eps in (
            (nnx.BatchNorm(6, rngs=keys, use_fast_variance=fast), "batch", None, 1e-5),
            (nnx.GroupNorm(6, num_groups=2, rngs=keys, use_fast_variance=fast), "group", 2, 1e-6),
            (nnx.LayerNorm(6, rngs=keys, use_fast_variance=fast), "positional", None, 1e-6),
        ):
            verdict = nv.check(layer, method, groups, eps=eps, channel_axis=-1)
            assert verdict.passed, str(verdict)
            assert ("large means" in verdict.skipped) == fast


@pytest.mark.parametrize("seed", range(40))
def test_rounding_in_half_precision_is_no_bug(seed):
    """Two nearly equal cells: the mean, rounded to float16, is off by a part of their small deviation."""
    fn = by_loops("positional", None, 1e-4, 1)
    for shape in ((4, 2, 3, 1), (5, 2), (3, 2, 2)):
        verdict = nv.check(fn, "positional", shape=shape, eps=1e-4, dtype="float16", seed=seed)
        assert verdict.passed, str(verdict)


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: lambda x: f(x)], ids=["a function", "a lambda around one"])
def test_torch_s_own_kernel_for_channels_last_is_no_bug_of_fn(wrap):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def channels_last(x):
        return torch.nn.functional.group_norm(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)

    def cancels(x):
        mean = x.mean((1, 2, 3), keepdim=True)
        var = (x * x).mean((1, 2, 3), keepdim=True) - mean * mean
        return (x - mean) * torch.rsqrt(var.clamp(min=0) + 1e-5)

    given = {"channel_axis": -1, "framework": "torch", "shape": (2, 4, 5, 8)}
    assert nv.check(wrap(channels_last), "group", 2, **given).passed
    assert nv.check(wrap(cancels), "layer", **given).codes == ("cancellation",)
