"""Gradients against the Jacobian written out row by row: float64 to 1e-11, float32 to 1e-5."""

import numpy as np
import pytest

import normviz as nv
from normviz.backends.cpu.backend import NumPy
from tests.core import reference
from tests.core.cases import CASES, configurations, on_axis, one_each, sample_on_axis, two_groups, values
from tests.core.test_normalize import parameters


@pytest.mark.parametrize(("shape", "method", "num_groups"), CASES)
def test_gradient(shape, method, num_groups, backend):
    g = values(shape, seed=3)
    for weight, _ in parameters(method, shape, num_groups):
        for dtype, tolerance in (("f8", 1e-11), ("f4", 1e-5), ("i4", 1e-11)):
            x = (10 * values(shape) if dtype == "i4" else values(shape)).astype(dtype)
            found = nv.gradient(x, g, method, num_groups=num_groups, weight=weight, backend=backend)
            expected = reference.gradient(x, g, method, num_groups, weight)
            # A gradient is a difference of terms as large as g / sqrt(eps): that sets the absolute tolerance.
            np.testing.assert_allclose(found.input, expected, rtol=tolerance, atol=300 * tolerance)
            x_hat = reference.normalize(x, method, num_groups)
            elementwise = weight is not None and weight.ndim > 1
            one_entry = nv.METHODS[method].affine_axis
            over = 0 if elementwise else tuple(axis for axis in range(x.ndim) if axis != one_entry)
            own = (shape[one_entry],) if weight is None else weight.shape

            def of(values, own=own, over=over):
                """The sum over all cells that an entry of the weight meets."""
                return values.sum(over).reshape(-1, *own).sum(0)

            np.testing.assert_allclose(found.bias, of(g), rtol=1e-12, atol=1e-12)
            # The kernels take the moments of float32 in float32, a few values at a time.
            close = 1e-6 if backend == "cupy" and dtype == "f4" else 1e-11
            np.testing.assert_allclose(found.weight, of(g * x_hat), rtol=close, atol=10 * close)
            assert found.input.dtype == (x.dtype if dtype != "i4" else np.float64)
            assert found.weight.shape == found.bias.shape == own
            assert found.backend == backend
            assert {type(found.input), type(found.weight)} == {np.ndarray}


def test_sets_larger_than_a_box(monkeypatch):
    x, g = values((3, 4, 5, 2)), values((3, 4, 5, 2), seed=3)
    for method, num_groups in configurations(x.shape):
        whole = nv.gradient(x, g, method, num_groups=num_groups)
        with monkeypatch.context() as patch:
            patch.setattr(NumPy, "cells", 7)
            boxes = nv.gradient(x, g, method, num_groups=num_groups)
        for name in ("input", "weight", "bias"):
            np.testing.assert_allclose(getattr(boxes, name), getattr(whole, name), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axis", [-1, 0, 2])
def test_channel_axis(axis, backend):
    x, g = values((2, 6, 3, 4)), values((2, 6, 3, 4), seed=3)
    for method, num_groups in configurations(x.shape):
        for weight, _ in parameters(method, x.shape, num_groups):
            expected = nv.gradient(x, g, method, num_groups=num_groups, weight=weight)
            options = {"num_groups": num_groups, "weight": sample_on_axis(weight, axis, 4), "backend": backend}
            found = nv.gradient(on_axis(x, axis), on_axis(g, axis), method, channel_axis=axis, **options)
            np.testing.assert_allclose(found.input, on_axis(expected.input, axis), rtol=1e-11, atol=1e-11)
            per_element = sample_on_axis(expected.weight, axis, 4)
            np.testing.assert_allclose(found.weight, per_element, rtol=1e-11, atol=1e-11)


def test_a_set_of_one_cell_or_one_value_passes_no_gradient(backend):
    for x in (values((2, 3, 1, 1)), np.full((2, 3, 2, 2), 0.5)):
        g = np.ones_like(x)
        assert (nv.gradient(x, g, "instance", backend=backend).input == 0).all()


def test_nan_stays_in_its_set(backend):
    x, g = values((2, 4, 3)), values((2, 4, 3), seed=3)
    y = x.copy()
    y[1, 2, 0] = np.nan
    found, clean = (nv.gradient(a, g, "group", num_groups=2, backend=backend).input for a in (y, x))
    touched = np.zeros(x.shape, bool)
    touched[nv.pooling("group", x.shape, 2).set_of((1, 2, 0))] = True
    np.testing.assert_array_equal(found[~touched], clean[~touched])
    assert np.isnan(found[touched]).all()


LIMITS = {"f2": (2e-3, 1e-6), "f4": (1e-5, 1e-6), "f8": (1e-10, 1e-10)}
"""Of the input's gradient, and of those of weight and bias, beside the largest entry."""


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", [(4, 8, 40, 41), (3, 16, 7, 7), (2, 600, 3), (70, 40), (2, 4, 30_000), (9, 2000, 1)])
def test_large_and_middle_arrays(shape, dtype):
    """Against the formula over whole arrays in float64, also for values far from 0 in channels last and in slices."""
    for axis, offset in ((1, 0), (-1, 0), (1, 1000), (-1, 1000)):
        scale = 1 if dtype == "f2" or not offset else 0.1
        x = np.moveaxis(values(shape, loc=offset, scale=scale), 1, axis).astype(dtype, order="C")
        g = np.moveaxis(values(shape, 1), 1, axis).astype(dtype, order="C")
        first = [np.moveaxis(a, axis, 1).astype("f8", order="C") for a in (x, g)]
        for method in ("group", "batch", "layer", "positional", "rms", "per_head", "weight_norm", "ghost"):
            options = {"num_groups": 1 if shape[0] % 2 and method == "ghost" else two_groups(method)}
            pool = nv.pooling(method, shape, **options)
            if pool.size == 1:
                continue
            weight = values((one_each(method, shape),), 2)
            w = weight.reshape(pool.parameter_shape)
            a, b = first
            tiles = [n for pair in zip(pool.grid, pool.block, strict=True) for n in pair]
            odd = tuple(range(1, len(tiles), 2))
            over = 1 if method == "weight_norm" else pool.size

            def mean(p, tiles=tiles, odd=odd, over=over):
                total = p.reshape(tiles).sum(odd, keepdims=True) / over
                return (total + np.zeros(tiles)).reshape(shape)

            centred = a - mean(a) if pool.row.centered else a
            rstd = 1 / np.sqrt(mean(centred**2) + 1e-5)
            x_hat, gw = centred * rstd, b * w
            expected = rstd * (gw - (mean(gw) if pool.row.centered else 0) - x_hat * mean(gw * x_hat))
            away = tuple(i for i, n in enumerate(w.shape) if i != pool.row.affine_axis)
            found = nv.gradient(x, g, method, weight=weight, channel_axis=axis, backend="numpy", **options)
            close, sums = LIMITS[dtype]
            largest = abs(rstd * gw).max()
            np.testing.assert_allclose(np.moveaxis(found.input, axis, 1), expected, rtol=0, atol=close * largest)
            for of, exact in ((found.weight, b * x_hat), (found.bias, b)):
                np.testing.assert_allclose(of, exact.sum(away), rtol=0, atol=sums * abs(exact).sum(away).max())


def test_gradients_are_frozen():
    found = nv.gradient(values((2, 8, 3)), values((2, 8, 3)), "group", num_groups=4)
    with pytest.raises(AttributeError):
        found.input = None


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 8, 40, 50)])
def test_saved_statistics_are_x_s_own(shape, backend):
    x, g = values(shape), values(shape, seed=3)
    for method, num_groups in configurations(shape):
        saved = nv.statistics(x, method, num_groups=num_groups)
        options = {"num_groups": num_groups, "backend": backend}
        found, own = nv.gradient(x, g, method, statistics=saved, **options), nv.gradient(x, g, method, **options)
        for name in ("input", "weight", "bias"):
            np.testing.assert_allclose(getattr(found, name), getattr(own, name), rtol=1e-9, atol=1e-9)


def test_no_gradient_passes_through_running_statistics(backend):
    """As in torch.nn.BatchNorm2d after eval()."""
    x, g, weight = values((3, 4, 5)), values((3, 4, 5), seed=3), values((4,), seed=5)
    running = nv.RunningStatistics(4)
    running.update(2 * x + 1)
    found = nv.gradient(x, g, "batch", weight=weight, statistics=running, backend=backend)
    per_channel = (None, slice(None), None)
    rstd = 1 / np.sqrt(running.var + 1e-5)
    np.testing.assert_allclose(found.input, g * (weight * rstd)[per_channel], rtol=1e-12)
    x_hat = (x - running.mean[per_channel]) * rstd[per_channel]
    np.testing.assert_allclose(found.weight, (g * x_hat).sum((0, 2)), rtol=1e-12, atol=1e-12)
