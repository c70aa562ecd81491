"""Weight and bias that are applied another way than asked for: not reshaped, as 1 + weight, one for each group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from tests.inspect.test_check_correct import by_axes, configurations

EPS = 1e-5
METHODS = ("batch", "instance", "positional", "rms", "frn", "layer")
SHAPES = ((3, 6, 5, 4), (2, 4, 4, 4), (2, 6, 5), (3, 5, 5), (2, 6, 3, 3, 2))


def hat(x, method, ddof=0, eps=EPS):
    """Normalize x with channels on axis 1 in one expression."""
    spatial = (*range(2, x.ndim),)
    of_channels = {"layer": (1, *spatial), "positional": (1,), "rms": (1,), "batch": (0, *spatial)}
    axes = of_channels.get(method, spatial)
    if method in ("rms", "frn"):
        return x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True, ddof=ddof) + eps)


def along(p, x):
    return p.reshape(-1, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("method", METHODS)
def test_weight_and_bias_of_shape_c_that_nobody_reshapes(method):
    """It raises where C != W and scales the last axis where C = W; Layer Norm's (C, H, W) needs no reshape."""
    for shape in (None, *SHAPES):
        for fn, roles in (
            (lambda x, gamma, beta: hat(x, method) * gamma + beta, "weight and bias"),
            (lambda x, gamma, beta: hat(x, method) * gamma + along(beta, x), "weight"),
            (lambda x, weight, bias: hat(x, method) * along(weight, x) + bias, "bias"),
            (lambda x, w: hat(x, method) * w, "weight"),
        ):
            verdict = nv.check(fn, method, shape=shape)
            if method == "layer" and "along" not in fn.__code__.co_names:
                assert verdict.passed, f"{shape}: {verdict}"
                continue
            assert verdict.codes == ("affine-not-reshaped",), f"{shape}: {verdict}"
            finding, C = verdict.findings[0], verdict.shape[1]
            square = verdict.shape[-1] == C
            assert finding.message.startswith(f"fn applies {roles} of shape ({C},) along the last axis of x")
            assert ("here that axis has length C too" if square else "a call raises on an input of") in finding.message
            assert (finding.cell is None) != square
        right = nv.check(lambda x, gamma, beta: hat(x, method) * along(gamma, x) + along(beta, x), method, shape=shape)
        assert right.passed, str(right)
    assert nv.check(lambda x, gamma, beta: hat(x, method) * gamma + beta, method, shape=(4, 6)).passed


@pytest.mark.parametrize("method", METHODS)
def test_weight_and_bias_that_the_caller_gives(method):
    """What the caller says the shape is, counts: (1, C, 1, 1) is what he has, (C,) has to be reshaped by somebody."""
    weight, bias = np.random.default_rng(0).normal(size=(2, 8))
    shaped = {"weight": weight.reshape(1, 8, 1, 1), "bias": bias.reshape(1, 8, 1, 1)}
    flat = {"weight": weight, "bias": bias}

    def bare(x, weight, bias, **more):
        return hat(x, method, **more) * weight + bias

    class Layer:
        def __init__(self):
            self.gamma, self.beta = np.ones(8), np.zeros(8)

        def __call__(self, x):
            return bare(x, self.gamma, self.beta)

    assert nv.check(bare, method, **shaped).passed
    passed = "check passed a weight and bias of shape (1, 8, 1, 1), where a caller has (8,)."
    assert nv.check(bare, method, **flat).notes == (passed,)
    assert nv.check(lambda x: bare(x, **shaped), method, **flat).passed
    for fn, parameters in (
        (bare, flat),
        (lambda x: bare(x, **flat), flat),
        (lambda x: hat(x, method) * weight, {"weight": weight}),
        (Layer(), {}),
    ):
        assert nv.check(fn, method, **parameters).codes == ("affine-not-reshaped",)
    raised = nv.check(Layer(), method, shape=(2, 8, 5, 4))
    assert raised.codes == ("affine-not-reshaped",)
    assert raised.shape == (2, 8, 5, 8)
    assert raised.notes[0].startswith("check used shape (2, 8, 5, 8), because fn raised ValueError on a float64 numpy")
    with_eps = nv.check(lambda x: bare(x, **flat, eps=1e-3), method, **flat)
    assert {*with_eps.codes} == {"affine-not-reshaped", "eps-value"}


def test_a_documented_shape_of_the_parameters_is_no_bug():
    def fn(x, gamma, beta):
        """Group Norm of x; gamma and beta have shape (1, C, 1, 1)."""
        return nv.normalize(x, "group", num_groups=2) * gamma + beta

    verdict = nv.check(fn, "group", 2)
    assert verdict.passed
    passed = "check passed a random weight and bias of shape (1, 8, 1, 1), where a caller has (8,)."
    assert verdict.notes == (passed,)
    fn.__doc__ = "Group Norm.\n\n- gamma: Scale parameter, of shape (C, 1, 1)\n- beta: the same"
    assert nv.check(fn, "group", 2).passed
    undocumented = (
        "gamma and beta, of shape (C,), are never reshaped to (1, C, 1, 1).",
        "The mean has shape (1, C, 1, 1).",
    )
    for text in (None, *undocumented):
        fn.__doc__ = text
        assert nv.check(fn, "group", 2).codes == ("affine-not-reshaped",)


def test_one_weight_for_all_channels_is_not_looked_at():
    """As a layer has it that makes its weight from the list [C] and not from C: that is said, for it may be meant."""

    class Shared:
        def __init__(self):
            self.weight = np.ones(1)

        def __call__(self, x):
            return nv.normalize(x, "positional", channel_axis=-1) * self.weight

    verdict = nv.check(Shared(), "positional", channel_axis=-1)
    assert verdict.passed
    why = "those of fn have shape (1,), not one number for each channel"
    assert verdict.skipped["other values of weight and bias"] == why
    assert verdict.notes == ()


def test_other_shapes_of_the_parameters():
    """An axis too few at the front is not reshaped either; one at the end is; a last axis of 1 raises no error."""

    def with_axes(index, **more):
        return lambda x, weight, bias: hat(x, "batch", **more) * weight[index] + bias[index]

    for shape in (None, (2, 4, 3, 4)):
        assert nv.check(with_axes(None), "batch", shape=shape).codes == ("affine-not-reshaped",)
    index = (slice(None), None, None)
    for shape in (None, (2, 4, 4, 4), (2, 6, 5, 1)):
        assert nv.check(with_axes(index), "batch", shape=shape).passed
        assert nv.check(with_axes(index, ddof=1), "batch", shape=shape).codes == ("unbiased-variance",)
    verdict = nv.check(lambda x, weight, bias: hat(x, "batch") * weight + bias, "batch", shape=(2, 6, 5, 1))
    assert verdict.codes == ("affine-not-reshaped",)
    assert "a call returns shape (2, 6, 5, 6) for an input of shape (2, 6, 5, 1)" in str(verdict)
    with_last = nv.check(lambda w, g: w / np.sqrt((w * w).sum((1, 2, 3), keepdims=True)) * g, "weight_norm", eps=0)
    assert with_last.codes == ("affine-not-reshaped",)


def test_not_reshaped_with_another_bug():
    """The other bug is named too, also where only the last axis shows it."""

    def fn(x, gamma, beta, **more):
        return hat(x, "batch", **more) * gamma + beta

    for shape in (None, (4, 5, 3, 5), (2, 6, 7)):
        for more, code in (
            ({"ddof": 1}, "unbiased-variance"),
            ({"eps": 1e-2}, "eps-value"),
            ({"eps": 0}, "eps-missing"),
        ):
            verdict = nv.check(lambda x, gamma, beta, more=more: fn(x, gamma, beta, **more), "batch", shape=shape)
            assert {*verdict.codes} == {code, "affine-not-reshaped"}, str(verdict)


def test_a_function_of_batch_and_features_needs_no_reshape():
    """It takes longer inputs too, where its weight of shape (C,) does not broadcast: those are not what it is for."""

    def features(x, gamma, beta):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + EPS) * gamma + beta

    verdict = nv.check(features, "batch")
    assert verdict.passed, str(verdict)
    assert len(verdict.shape) == 2

    def last(x, weight, bias):
        axes = tuple(range(x.ndim - 1))
        return (x - x.mean(axes)) / np.sqrt(x.var(axes) + EPS) * weight + bias

    assert nv.check(last, "batch").codes == ("channels-last",)
    assert nv.check(last, "batch", channel_axis=-1).passed


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_other_frameworks(framework):
    np_like = pytest.importorskip({"torch": "torch", "jax": "jax.numpy"}[framework])

    def bare(x, weight, bias):
        axes = (0, 2, 3)
        mean = x.mean(axes, keepdims=True)
        return (x - mean) / np_like.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + EPS) * weight + bias

    def reshaped(x, weight, bias):
        return bare(x, weight.reshape(1, -1, 1, 1), bias.reshape(1, -1, 1, 1))

    assert nv.check(bare, "batch", framework=framework).codes == ("affine-not-reshaped",)
    assert nv.check(reshaped, "batch", framework=framework).passed


# ---- 1 + weight ----


def test_one_plus_weight():
    """As Gemma, adaptive Layer Norm and "zero-centred" weights apply it, and a port that leaves the 1 out."""
    rng = np.random.default_rng(0)
    w, zeros, last = rng.normal(size=8), np.zeros(8), {"channel_axis": -1}

    def rms(x, weight, plus=1, eps=EPS):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * (plus + weight)

    def adaptive(x, shift, scale):
        return nv.normalize(x, "positional", channel_axis=-1) * (1 + scale) + shift

    class Gemma:
        def __init__(self):
            self.weight = np.zeros(8)

        def __call__(self, x):
            return rms(x, self.weight)

    more, left_out = "multiplies by 1 + weight", "multiplies by weight - 1"
    for fn, method, options, says in (
        (rms, "rms", last, more),
        (adaptive, "positional", last, more),
        (Gemma(), "rms", last, more),
        (lambda x: rms(x, w), "rms", last | {"weight": w}, more),
        (lambda x: rms(x, zeros), "rms", last | {"weight": zeros}, more),
        (lambda x: rms(x, w, 0), "rms", last | {"weight": 1 + w}, left_out),
        (lambda x: rms(x, zeros, 0), "rms", last | {"weight": 1 + zeros}, left_out),
        (lambda x, weight, bias: nv.normalize(x, "batch", weight=1 + weight, bias=bias), "batch", {}, more),
        (lambda x, weight, bias: nv.normalize(x, "frn", weight=weight - 1, bias=bias), "frn", {}, left_out),
        (lambda x, w: nv.normalize(x, "layer", weight=1 + w), "layer", {"shape": (3, 6, 4)}, more),
    ):
        verdict = nv.check(fn, method, **options)
        assert verdict.codes == ("weight-plus-one",), str(verdict)
        assert says in verdict.findings[0].message
    assert nv.check(lambda x: rms(x, w), "rms", weight=1 + w, **last).passed
    assert nv.check(lambda x: rms(x, w, 0), "rms", weight=w, **last).passed
    assert nv.check(Gemma(), "rms", weight=np.ones(8), **last).passed
    with_eps = nv.check(lambda x, weight: rms(x, weight, eps=1e-3), "rms", **last)
    assert {*with_eps.codes} == {"weight-plus-one", "eps-value"}
    bare = nv.check(lambda x, weight, bias: hat(x, "batch", ddof=1) * (1 + weight) + bias, "batch")
    assert {*bare.codes} == {"weight-plus-one", "affine-not-reshaped", "unbiased-variance"}


# ---- one weight for each group ----


def test_one_weight_a_group_behind_a_callable():
    """As ONNX's GroupNormalization had it before opset 21, whatever the caller says that the weights are."""
    rng = np.random.default_rng(1)
    G, scale, shift = 4, *rng.normal(size=(2, 4))
    w, b = rng.normal(size=(2, 8))

    def onnx(x, scale, shift, ddof=0, eps=EPS):
        groups = x.reshape(len(x), G, -1)
        centred = groups - groups.mean(-1, keepdims=True)
        y = centred / np.sqrt(groups.var(-1, keepdims=True, ddof=ddof) + eps)
        return (y * scale[:, None] + shift[:, None]).reshape(x.shape)

    def mixed(x):
        return hat(x.reshape(len(x), G, -1), "instance").reshape(x.shape) * along(scale.repeat(2), x) + along(b, x)

    per_channel, per_group = {"weight": w, "bias": b}, {"weight": scale, "bias": shift}
    for fn, more in (
        (lambda x: onnx(x, scale, shift), per_group),
        (lambda x: onnx(x, scale, 0 * shift), {"weight": scale}),
        (lambda x: onnx(x, scale, shift), per_channel),
        (lambda x: onnx(x, scale, shift), {}),
        (lambda x: onnx(x, w[::2], b[::2]), per_channel),
        (lambda x: onnx(x, w[1::2], b[1::2]), per_channel),
        (lambda x: onnx(x, w[:G], b[:G]), per_channel),
        (lambda x: onnx(x, w.reshape(G, 2).mean(1), b.reshape(G, 2).mean(1)), per_channel),
        (mixed, per_channel),
        (lambda x, scale, bias: onnx(x, scale[::2], bias[::2]), {}),
        (lambda x, scale, bias: onnx(x, scale, bias), {}),
        (lambda x, scale, bias: onnx(x, scale, bias), per_group),
        (lambda x, scale: onnx(x, scale, 0 * scale), {"weight": scale, "shape": (2, 8, 5)}),
    ):
        verdict = nv.check(fn, "group", G, **more)
        assert verdict.codes == ("affine-per-group",), f"{more}: {verdict}"
    repeated = {"weight": scale.repeat(2), "bias": shift.repeat(2)}
    assert nv.check(lambda x: onnx(x, scale, shift), "group", G, **repeated).passed
    assert nv.check(lambda x: nv.normalize(x, "group", num_groups=G, **per_channel), "group", G, **per_channel).passed
    for more, code in (({"ddof": 1}, "unbiased-variance"), ({"eps": 1e-2}, "eps-value")):
        for weights, asked in (((scale, shift), per_group), ((w[::2], b[::2]), per_channel)):
            verdict = nv.check(lambda x, a=weights, m=more: onnx(x, *a, **m), "group", G, **asked)
            assert {*verdict.codes} == {"affine-per-group", code}, str(verdict)


# ---- no false alarm ----


@given(
    configurations(), st.sampled_from(["arguments", "given", "closure", "owned", "shaped", "none"]), st.integers(0, 99)
)
def test_no_false_alarm_however_weight_and_bias_are_taken(configuration, how, seed):
    """Also where the last axis is as long as that of the channels, and where a group has one weight."""
    method, groups, shape, axis, eps, dtype = configuration
    if dtype == "float16":
        return  # its sums are float16's
    rng, row, last = np.random.default_rng(seed), nv.METHODS[method], len(shape) - 1
    if seed % 2 and axis == 1 and last > 1:
        shape = (*shape[:last], shape[1])
    channel = axis % len(shape) if row.affine_axis else 0
    lined = [-1 if a == channel else 1 for a in range(len(shape))]
    size = shape[channel]
    weight, bias = rng.uniform(0.5, 1.5, size) * rng.choice([-1, 1], size), rng.normal(size=size)
    if method == "group" and seed % 3 == 0:
        weight = weight[:: size // groups].repeat(size // groups)
    hat = by_axes(method, groups, eps, axis)

    def scaled(x, weight, bias):
        return hat(x) * weight.reshape(lined).astype(x.dtype) + bias.reshape(lined).astype(x.dtype)

    class Layer:
        def __init__(self):
            self.scale, self.offset = np.ones(size), np.zeros(size)

        def __call__(self, x):
            return scaled(x, self.scale, self.offset)

    flat, shaped = {"weight": weight, "bias": bias}, {"weight": weight.reshape(lined), "bias": bias.reshape(lined)}
    fn, parameters = {
        "arguments": (scaled, {}),
        "given": (scaled, flat),
        "closure": (lambda x: scaled(x, weight, bias), flat),
        "owned": (Layer(), {}),
        "shaped": (lambda x, gamma, beta: hat(x) * gamma.astype(x.dtype) + beta.astype(x.dtype), shaped),
        "none": (hat, {}),
    }[how]
    more = {"shape": shape, "channel_axis": axis, "eps": eps, "dtype": dtype, "seed": seed}
    verdict = nv.check(fn, method, groups, **parameters, **more)
    assert verdict.passed, str(verdict)
