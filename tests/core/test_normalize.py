"""The output against plain loops: float64 to 1e-12; float32 to 2e-6 and float16 to 2e-3, a rounding of the result."""

import tracemalloc

import numpy as np
import pytest

import normviz as nv
from tests.core import reference
from tests.core.cases import CASES, configurations, on_axis, one_each, sample_on_axis, values

TOLERANCE = {"f8": 1e-12, "f4": 2e-6, "f2": 2e-3, "i4": 1e-12, "?": 1e-12}


def parameters(method, shape, num_groups=None, seed=1):
    """Every weight and bias that the method takes: none, per (output) channel, for layer per element, one for heads."""
    size = one_each(method, shape)
    yield None, None
    yield values(size, seed), values(size, seed + 1)
    if nv.METHODS[method].elementwise:
        yield values(shape[1:], seed), values(shape[1:], seed + 1)
    if nv.METHODS[method].shared and num_groups > 1:
        yield values(shape[1] // num_groups, seed), values(shape[1] // num_groups, seed + 1)


@pytest.mark.parametrize(("shape", "method", "num_groups"), CASES)
def test_normalize(shape, method, num_groups, backend):
    for weight, bias in parameters(method, shape, num_groups):
        for dtype, tolerance in TOLERANCE.items():
            x = values(shape).astype(dtype)
            y = nv.normalize(x, method, num_groups=num_groups, weight=weight, bias=bias, backend=backend)
            expected = reference.normalize(x, method, num_groups, weight, bias)
            assert y.dtype == (x.dtype if x.dtype.kind == "f" else np.float64)
            assert type(y) is np.ndarray
            np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


# facts.md: N=3, C=4, H=1, W=2, eps=1e-5, the sample `a`.
WORKED = np.array(
    [
        [[[2, 3]], [[5, 7]], [[11, 13]], [[17, 19]]],
        [[[0, 1]], [[1, 2]], [[3, 5]], [[8, 13]]],
        [[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]],
    ],
    dtype=float,
)


@pytest.mark.parametrize(
    ("method", "num_groups", "mean", "var", "normalized"),
    [
        ("batch", None, 1.5, 0.917, [0.522, 1.567, 0.676, 1.690, 1.071, 1.630, 1.066, 1.492]),
        ("layer", None, 9.625, 35.734, [-1.276, -1.108, -0.774, -0.439, 0.230, 0.565, 1.234, 1.568]),
        ("instance", None, 2.5, 0.25, [-1, 1] * 4),
        ("group", 2, 4.25, 3.6875, [-1.172, -0.651, 0.391, 1.432, -1.265, -0.632, 0.632, 1.265]),
    ],
)
def test_the_worked_example(method, num_groups, mean, var, normalized, backend):
    found = nv.statistics(WORKED, method, num_groups=num_groups, backend=backend)
    assert found.mean.flat[0] == pytest.approx(mean, abs=5e-4)
    assert found.var.flat[0] == pytest.approx(var, abs=5e-4)
    y = nv.normalize(WORKED, method, num_groups=num_groups, backend=backend)
    np.testing.assert_allclose(y[0].ravel(), normalized, atol=5e-4)


def test_a_set_of_one_cell_gives_the_bias(backend):
    bias = values(3)
    for method, shape in (("instance", (2, 3, 1, 1)), ("batch", (1, 3)), ("positional", (2, 1, 4)), ("layer", (2, 1))):
        b = bias[: shape[1]]
        y = nv.normalize(values(shape), method, weight=b + 7, bias=b, backend=backend)
        np.testing.assert_array_equal(y, np.broadcast_to(b.reshape(-1, *[1] * (len(shape) - 2)), shape))


def test_a_constant_gives_the_bias(backend):
    x = np.full((2, 4, 5, 5), 0.1, np.float32)
    for method, num_groups in configurations(x.shape):
        row = nv.METHODS[method]
        if row.centered:
            bias = np.arange(float(one_each(method, x.shape)))
            y = nv.normalize(x, method, num_groups=num_groups, weight=bias + 1e3, bias=bias, backend=backend)
            along = [-1 if axis == row.affine_axis else 1 for axis in range(4)]
            np.testing.assert_array_equal(y, np.zeros_like(x) + bias.reshape(along))


def test_far_from_zero_the_output_keeps_its_digits(backend):
    x = (1e4 + values((4, 6, 20, 20), loc=0, scale=1e-2)).astype(np.float32)
    for method, num_groups in configurations(x.shape):
        y = nv.normalize(x, method, num_groups=num_groups, backend=backend)
        expected = nv.normalize(x.astype(float), method, num_groups=num_groups, backend=backend)
        np.testing.assert_allclose(y, expected, atol=1e-6)


def test_float16_is_not_computed_in_float16(backend):
    x = np.random.default_rng(0).uniform(-6e4, 6e4, (2, 4, 30, 30)).astype(np.float16)
    y = nv.normalize(x, "layer", backend=backend)
    expected = nv.normalize(x.astype(float), "layer", backend=backend)
    np.testing.assert_allclose(y, expected, atol=2e-3)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_what_is_not_finite_stays_in_its_set(bad, dtype, backend):
    x = values((2, 4, 3, 3)).astype(dtype)
    y = x.copy()
    y[1, 2, 0, 1] = bad
    for method, num_groups in configurations(x.shape):
        options = {"num_groups": num_groups, "bias": np.arange(one_each(method, x.shape)), "backend": backend}
        found, clean = nv.normalize(y, method, **options), nv.normalize(x, method, **options)
        touched = np.zeros(x.shape, bool)
        touched[nv.pooling(method, x.shape, num_groups).set_of((1, 2, 0, 1))] = True
        np.testing.assert_array_equal(found[~touched], clean[~touched])
        assert np.isnan(found[1, 2, 0, 1])


@pytest.mark.parametrize("axis", [-1, 0, 2])
def test_channel_axis(axis, backend):
    x = values((2, 6, 3, 4))
    for method, num_groups in configurations(x.shape):
        for parameter in parameters(method, x.shape, num_groups):
            weight, bias = parameter
            expected = nv.normalize(x, method, num_groups=num_groups, weight=weight, bias=bias)
            weight, bias = (sample_on_axis(p, axis, 4) for p in parameter)
            options = {"num_groups": num_groups, "weight": weight, "bias": bias, "backend": backend}
            found = nv.normalize(on_axis(x, axis), method, channel_axis=axis, **options)
            np.testing.assert_allclose(found, on_axis(expected, axis), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("view", [lambda x: x[::-1, :, ::2], lambda x: x.swapaxes(2, 3), np.asfortranarray])
def test_any_memory_layout(view, backend):
    x = view(values((4, 6, 8, 5)))
    for method, num_groups in configurations(x.shape):
        expected = nv.normalize(np.ascontiguousarray(x), method, num_groups=num_groups)
        found = nv.normalize(x, method, num_groups=num_groups, backend=backend)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_result_has_the_layout_of_x():
    x = np.zeros((2, 5, 7, 3), np.float32)
    assert nv.normalize(x, "positional", channel_axis=-1).flags.c_contiguous


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_small_arrays_keep_their_layout_too(dtype):
    x = values((4, 6, 5)).astype(dtype)
    for a in (x, np.asfortranarray(x), x.swapaxes(1, 2).copy().swapaxes(1, 2)):
        for method in ("batch", "positional", "weight_norm"):
            for axis in (1, -1, 0):
                assert nv.normalize(a, method, channel_axis=axis).strides == a.strides


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_out(dtype, backend):
    x = values((3, 4, 5, 2)).astype(dtype)
    for method, num_groups in configurations(x.shape):
        options = {"num_groups": num_groups, "bias": np.arange(one_each(method, x.shape)), "backend": backend}
        expected = nv.normalize(x, method, **options)
        for out in (np.empty_like(x), np.asfortranarray(x), np.zeros((3, 4, 10, 2), dtype)[:, :, ::2], x.copy()):
            assert nv.normalize(x, method, out=out, **options) is out
            np.testing.assert_array_equal(out, expected)
        here = x.copy()
        assert nv.normalize(here, method, out=here, **options) is here
        np.testing.assert_array_equal(here, expected)


def test_out_with_channels_last(backend):
    x = values((2, 3, 5, 4))
    out = np.empty_like(x)
    assert nv.normalize(x, "group", num_groups=2, channel_axis=-1, out=out, backend=backend) is out
    np.testing.assert_array_equal(out, nv.normalize(x, "group", num_groups=2, channel_axis=-1, backend=backend))


def test_a_wrong_argument_leaves_out_untouched(backend):
    x = values((2, 4, 3))
    out = np.full_like(x, 7)
    wrong = nv.Statistics(mean=[0], var=[1], count=1)
    for options in ({"eps": 0}, {"weight": [1]}, {"bias": [1]}, {"statistics": wrong}):
        with pytest.raises(ValueError):
            nv.normalize(x, "batch", out=out, backend=backend, **options)
    assert (out == 7).all()


def test_given_statistics(backend):
    x = values((2, 4, 3, 3))
    for method, num_groups in configurations(x.shape):
        options = {"num_groups": num_groups, "backend": backend}
        expected = nv.normalize(x, method, **options)
        own, foreign = (nv.statistics(a, method, **options) for a in (x, values(x.shape, seed=5)))
        given = nv.normalize(x, method, statistics=own, **options)
        np.testing.assert_allclose(given, expected, rtol=1e-12, atol=1e-12)
        assert not np.allclose(nv.normalize(x, method, statistics=foreign, **options), expected)


def test_rms_subtracts_no_mean_even_a_given_one(backend):
    x = values((2, 4, 3))
    given = nv.Statistics(mean=np.full((2, 3), 5.0), var=nv.statistics(x, "rms").var, count=4)
    expected = nv.normalize(x, "rms", backend=backend)
    np.testing.assert_allclose(nv.normalize(x, "rms", statistics=given, backend=backend), expected, rtol=1e-12)


def test_memory_stays_bounded(monkeypatch):
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")  # each thread has blocks of its own
    x = np.zeros((16, 32, 64, 64), np.float32)  # 8 MiB; a float64 copy would be 16
    out = np.empty_like(x)
    nv.normalize(x, "batch", out=out)  # what is loaded the first time does not count
    tracemalloc.start()
    for method in ("batch", "layer", "group"):
        nv.normalize(x, method, num_groups=4 if method == "group" else None, out=out)
    nv.normalize(x, "layer", weight=np.ones(x.shape[1:]), out=out)
    nv.sweep(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 << 20
