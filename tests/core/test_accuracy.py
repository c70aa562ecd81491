"""The promised errors, on the tensors that break naive formulas; the table is benchmarks/cpu/accuracy.py."""

import numpy as np
import pytest

import normviz as nv
from benchmarks.cpu.accuracy import CASES, METHODS, errors
from normviz.backends.cpu import moments

# Of a variance, relative, and of the output, absolute, by the type of x; an output of 5 is rounded by 2e-3 in float16.
LIMITS = {"f2": (1.5e-7, 4e-3), "f4": (1.5e-7, 1e-6), "f8": (1e-12, 1e-12)}
# The mean of a large set is itself rounded, to 1e-8, where the deviations are 1e-2.
SPECIAL = {"1e8 ± 1e-2, float64": (1.5e-7, 1e-5)}
LAYOUTS = {"channels first": (lambda x: x, 1), "channels last": (lambda x: np.moveaxis(x, 1, -1).copy(), -1)}


@pytest.mark.parametrize("name", CASES)
def test_errors(name, backend):
    x = CASES[name]((4, 8, 56, 56) if backend != "cupy" else (2, 8, 20, 21))
    var_limit, output_limit = SPECIAL.get(name, LIMITS[x.dtype.str[1:]])
    for method, num_groups in METHODS:
        var, output = errors(x, method, num_groups, backend=backend)
        if name in ("constant 3.7",) or (name == "one-element sets" and method == "instance"):
            assert (var, output) == (0, 0)
        assert var <= var_limit, (method, var)
        assert output <= output_limit, (method, output)


@pytest.mark.parametrize("name", CASES)
def test_errors_with_channels_last(name, backend):
    x = CASES[name]((4, 8, 56, 56) if backend != "cupy" else (2, 8, 20, 21))
    last = np.moveaxis(x, 1, -1).copy()
    var_limit, output_limit = SPECIAL.get(name, LIMITS[x.dtype.str[1:]])
    for method, num_groups in METHODS:
        options = {"num_groups": num_groups, "backend": backend}
        found, expected = (
            nv.statistics(a, method, channel_axis=axis, **options).var for a, axis in ((last, -1), (x.astype("f8"), 1))
        )
        np.testing.assert_allclose(found, expected, rtol=2 * var_limit, atol=0)
        y = np.moveaxis(nv.normalize(last, method, channel_axis=-1, **options), -1, 1)
        np.testing.assert_allclose(y, nv.normalize(x.astype("f8"), method, **options), rtol=0, atol=2 * output_limit)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_not_finite_reaches_its_own_set_alone(bad, dtype, layout, backend):
    clean = CASES["N(0, 1)"]((4, 8, 40, 41) if backend != "cupy" else (2, 8, 12, 13)).astype(dtype)
    x = clean.copy()
    x[1, 5, 3, 4] = bad
    lay, axis = LAYOUTS[layout]
    for method, num_groups in METHODS:
        options = {"num_groups": num_groups, "channel_axis": axis, "backend": backend}
        hit = nv.pooling(method, x.shape, num_groups).set_of((1, 5, 3, 4))
        before, after = (np.moveaxis(nv.normalize(lay(a), method, **options), axis, 1).copy() for a in (clean, x))
        assert np.isnan(after[hit]).all()
        after[hit] = before[hit]
        np.testing.assert_array_equal(after, before)
        var = nv.statistics(lay(x), method, **options).var
        assert np.count_nonzero(~np.isfinite(var)) == 1


UNIT = 2.0**-24
"""Half a unit in the last place of float32, in which the docstring of `moments` states the errors."""
FEW_VALUES = {
    "two of equal magnitude": (2, lambda n, a: a * (2 * (n > 0) - 1)),
    "half of them 0": (4, lambda n, a: a * (n > 0)),
    "two fifths of them not 0": (4, lambda n, a: a * (n > 0.25)),
    "a tenth of them not 0": (4, lambda n, a: a * (n > 1.28)),
    "four": (4, lambda n, a: a * np.clip(np.floor(2 * n), -2, 1)),
    "sixteen": (4, lambda n, a: a * np.clip(np.floor(4 * n), -8, 7)),
}
"""The largest error in units, and the cells made of normal ones."""


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("values", FEW_VALUES)
def test_errors_where_roundings_do_not_average_out(values, layout, dtype):
    """Cells of few different values are rounded alike, so the errors of their sums add up."""
    (lay, axis), (units, make) = LAYOUTS[layout], FEW_VALUES[values]
    normal = np.random.default_rng(1).standard_normal((4, 8, 32, 49))
    for scale in (0.7, 1.003, 1.5045, 1.8947, 1191.9, 1687.8):
        x = make(normal, scale).astype(dtype)
        for method, num_groups in METHODS:
            options = {"num_groups": num_groups, "channel_axis": axis, "backend": "numpy"}
            found, expected = (nv.statistics(lay(a), method, **options).var for a in (x, x.astype("f8")))
            np.testing.assert_allclose(found, expected, rtol=units * UNIT, atol=0)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_equal_squares_in_a_dot_product(dtype):
    """The worst case of the docstring of `moments`: CHAIN equal squares after each other, 1.5 units off."""
    if not moments.piece():
        pytest.skip("this NumPy's dot product adds all cells one after the other, so float32 is summed in float64")
    a = np.linspace(1, 2, 5000).astype(dtype).astype(np.float32)
    cells = np.repeat(a[:, None], moments.piece(), axis=1)
    expected = moments.piece() * a.astype(np.float64) ** 2
    np.testing.assert_allclose(np.vecdot(cells, cells), expected, rtol=1.5 * UNIT if dtype == "f4" else 0)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("name", ["one number", "one a channel", "backwards", "every other"])
def test_sums_of_a_gradient_of_few_values_in_any_layout(name, dtype, backend):
    """The gradient of a sum is broadcast from one number, and its cells are rounded alike."""
    shape = (2, 4, 40, 75) if backend != "cupy" else (2, 4, 5, 15)
    x = np.random.default_rng(2).choice([0.7, 1.9], shape).astype(dtype)
    few = np.full((*shape[:-1], 2 * shape[-1]), 1.003, dtype)
    grad = {
        "one number": np.broadcast_to(few[:1, :1, :1, :1], shape),
        "one a channel": np.broadcast_to(few[:1, :, :1, :1], shape),
        "backwards": few[..., : shape[-1]][..., ::-1],
        "every other": few[..., ::2],
    }[name]
    for method, num_groups in METHODS:
        options = {"num_groups": num_groups, "backend": backend}
        found = nv.gradient(x, grad, method, **options)
        expected = nv.gradient(x.astype("f8"), grad.astype("f8"), method, **options)
        np.testing.assert_allclose(found.bias, expected.bias, rtol=4 * UNIT)
        most = abs(grad.astype("f8") * nv.normalize(x.astype("f8"), method, **options)).sum((0, 2, 3))
        np.testing.assert_array_less(abs(found.weight - expected.weight), 4 * UNIT * most)
