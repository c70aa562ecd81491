"""Weight and bias that are applied another way than asked for: not reshaped, as 1 + weight, one for each group."""

import numpy as np
import pytest

import normviz as nv

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
            assert ("here that axis is as long" if square else "in use it raises on an input of") in finding.message
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
    assert nv.check(lambda x: bare(x, **shaped), method, **flat).passed
    for fn, given in (
        (bare, flat),
        (lambda x: bare(x, **flat), flat),
        (lambda x: hat(x, method) * weight, {"weight": weight}),
        (Layer(), {}),
    ):
        assert nv.check(fn, method, **given).codes == ("affine-not-reshaped",)
    with_eps = nv.check(lambda x: bare(x, **flat, eps=1e-3), method, **flat)
    assert {*with_eps.codes} == {"affine-not-reshaped", "eps-value"}


def test_a_documented_shape_of_the_parameters_is_no_bug():
    def fn(x, gamma, beta):
        """Group Norm of x; gamma and beta have shape (1, C, 1, 1)."""
        return nv.normalize(x, "group", num_groups=2) * gamma + beta

    verdict = nv.check(fn, "group", 2)
    assert verdict.passed
    assert verdict.notes == ("check passed a random weight and bias of shape (1, 8, 1, 1).",)
    fn.__doc__ = None
    assert nv.check(fn, "group", 2).codes == ("affine-not-reshaped",)


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
