"""The compiled loops: whatever the layout, type, shape and number of threads, the recipe's result, to the last digit.

The promises that all backends share have their tests in the other files of this folder, which run on this one as well.
"""

import importlib.util

import numpy as np
import pytest

import normviz as nv
from normviz.backends import threads
from tests.core import reference
from tests.core.cases import configurations, one_each, values

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

LIMITS = {"f2": 4e-3, "f4": 2e-6, "f8": 1e-12}
SHAPES = [(6, 40), (2, 6, 5), (4, 6, 3, 3), (2, 4, 2, 3, 4)]
LAYOUTS = {
    "channels first": lambda x: x,
    "channels last": lambda x: np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1),
    "samples innermost": lambda x: np.asfortranarray(x),
    "crop": lambda x: np.pad(x, 1)[(slice(1, -1),) * x.ndim],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "read-only": lambda x: np.broadcast_to(x, x.shape),
}


@pytest.fixture(autouse=True)
def _threads(request, monkeypatch):
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")
    if "backend" not in request.fixturenames:
        request.getfixturevalue("compiled_loops")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_method_in_every_layout(shape, layout):
    for method, num_groups in configurations(shape):
        x, given = values(shape).astype(np.float32), values(one_each(method, shape), 1)
        for weight, bias in ((None, None), (given, None), (given, given[::-1])):
            expected = reference.normalize(x, method, num_groups, weight, bias)
            options = {"num_groups": num_groups, "weight": weight, "bias": bias, "backend": "compiled"}
            y = nv.normalize(LAYOUTS[layout](x), method, **options)
            np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6, err_msg=f"{method} {num_groups}")
        found = nv.statistics(LAYOUTS[layout](x), method, num_groups=num_groups, backend="compiled")
        np.testing.assert_allclose(
            (found.mean, found.var), reference.statistics_arrays(x, method, num_groups), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_a_weight_for_each_element(layout):
    shape = (3, 5, 4, 6)
    x, weight, bias = values(shape), values(shape[1:], 1), values(shape[1:], 2)
    y = nv.normalize(LAYOUTS[layout](x), "layer", weight=weight, bias=bias, backend="compiled")
    np.testing.assert_allclose(y, reference.normalize(x, "layer", None, weight, bias), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", [(3, 2, 90_000), (150, 300, 7, 7), (20_000, 70), (2, 3, 250, 300), (700, 3, 90)])
@pytest.mark.parametrize("axis", [1, -1])
def test_large_sets_have_the_same_digits_on_any_number_of_threads(shape, axis, dtype, monkeypatch):
    x = np.ascontiguousarray(np.moveaxis(values(shape, loc=3).astype(dtype), 1, axis))
    monkeypatch.setattr(threads, "WORTH", 1)
    for method in ("batch", "layer", "positional"):
        options = {"channel_axis": axis, "backend": "compiled"}
        monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")
        y, found = nv.normalize(x, method, **options), nv.statistics(x, method, **options)
        exact = nv.statistics(x.astype(np.float64), method, channel_axis=axis, backend="numpy")
        np.testing.assert_allclose((found.mean, found.var), (exact.mean, exact.var), rtol=1e-11, atol=1e-13)
        expected = nv.normalize(x.astype(np.float64), method, channel_axis=axis, backend="numpy")
        np.testing.assert_allclose(y, expected, rtol=LIMITS[dtype], atol=LIMITS[dtype])
        for count in ("2", "3"):
            monkeypatch.setenv("NORMVIZ_NUM_THREADS", count)
            again = nv.statistics(x, method, **options)
            np.testing.assert_array_equal((again.mean, again.var), (found.mean, found.var))
            np.testing.assert_array_equal(nv.normalize(x, method, **options), y)
            given = nv.normalize(x, method, statistics=found, **options)
            np.testing.assert_array_equal(given, y)
            here = x.copy()
            nv.normalize(here, method, out=here, **options)
            np.testing.assert_array_equal(here, y)


@pytest.mark.parametrize("axis", [1, -1])
def test_a_set_has_the_same_digits_whatever_else_is_in_the_batch(axis, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 1)
    for sample in ((6,), (6, 5), (6, 7, 7), (300, 5, 5), (6, 200, 200), (2, 3, 4, 5)):
        x = np.ascontiguousarray(np.moveaxis(values((5, *sample)).astype(np.float32), 1, axis))
        for method, num_groups in configurations((5, *sample)):
            if nv.METHODS[method].couples_samples or (num_groups or 1) not in (1, 2, 6):
                continue
            options = {"num_groups": num_groups, "channel_axis": axis, "backend": "compiled"}
            monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")
            alone = nv.normalize(x[2:3], method, **options)
            for count in ("1", "2"):
                monkeypatch.setenv("NORMVIZ_NUM_THREADS", count)
                wild = x * np.array([1e30, 1, 1, np.nan, 1e-40], np.float32).reshape(-1, *[1] * (x.ndim - 1))
                for many in (x, x[:3], wild):
                    np.testing.assert_array_equal(nv.normalize(many, method, **options)[2:3], alone)


def test_an_output_lies_in_any_layout():
    x = values((3, 4, 5, 6)).astype(np.float32)
    for method, num_groups in (("batch", None), ("group", 2), ("positional", None)):
        options = {"num_groups": num_groups, "backend": "compiled"}
        for lay in LAYOUTS.values():
            expected = nv.normalize(lay(x), method, **options)
            for other in list(LAYOUTS)[:-1]:
                out = LAYOUTS[other](np.zeros_like(x))
                assert nv.normalize(lay(x), method, out=out, **options) is out
                np.testing.assert_array_equal(out, expected)
