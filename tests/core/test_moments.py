"""Statistics against plain loops: relative 1e-12, because every sum runs in float64 whatever x is."""

from fractions import Fraction

import numpy as np
import pytest

import normviz as nv
from normviz.backends.base import boxes, tile
from normviz.backends.cpu.backend import NumPy
from tests.core import reference
from tests.core.cases import CASES, SHAPES, configurations, on_axis, two_groups, values

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
# The kernels add a few values in float32, and all else in float64.
CLOSE_IN_FLOAT32 = {"rtol": 3e-7, "atol": 3e-7}


def agree(found, x, method, num_groups=None):
    mean, var = reference.statistics_arrays(x, method, num_groups)
    close = CLOSE_IN_FLOAT32 if found.backend == "cupy" and x.dtype.kind == "f" and x.itemsize < 8 else CLOSE
    np.testing.assert_allclose(found.mean, mean, **close)
    np.testing.assert_allclose(found.var, var, **close)
    assert found.mean.shape == nv.pooling(method, x.shape, num_groups).statistics_shape
    assert found.mean.dtype == found.var.dtype == np.float64
    assert type(found.mean) is np.ndarray


@pytest.mark.parametrize(("shape", "method", "num_groups"), CASES)
def test_statistics(shape, method, num_groups, backend):
    for dtype in ("f8", "f4", "f2", ">f4", "i4", "u1", "?"):
        x = abs(values(shape)).astype(dtype)
        found = nv.statistics(x, method, num_groups=num_groups, backend=backend)
        agree(found, x, method, num_groups)
        assert (found.count, found.backend) == (nv.pooling(method, shape, num_groups).size, backend)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_pass_gives_every_sweep(shape, backend):
    x = values(shape)
    sweep = nv.sweep(x, backend=backend)
    expected = [key for key in configurations(shape) if key[0] in ("batch", "layer", "instance", "group")]
    assert list(sweep) == expected
    for (method, num_groups), found in sweep.items():
        agree(found, x, method, num_groups)
        assert found.backend == backend


@pytest.mark.parametrize("method", nv.METHODS)
def test_sets_larger_than_a_box_are_merged(method, monkeypatch):
    x, num_groups = values((6, 4, 5, 3), loc=10), two_groups(method)
    for cells in (1, 2, 7, 16, 50):
        monkeypatch.setattr(NumPy, "cells", cells)
        agree(nv.statistics(x, method, num_groups=num_groups), x, method, num_groups)


@pytest.mark.parametrize("cells", [1, 5, 12, 1000])
@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.T, lambda x: x[::-1, ::2], np.asfortranarray])
def test_boxes_cover_every_cell_once(cells, view):
    x = view(np.zeros((4, 3, 5, 2)))
    seen = np.zeros(x.shape, int)
    for box in boxes(x, cells):
        assert seen[box].size <= cells
        seen[box] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.transpose(3, 1, 0, 2), lambda x: x[:, ::-1, ::2]])
def test_tiling_never_copies(view):
    x = view(np.zeros((4, 6, 5, 2)))
    for method, num_groups in configurations(x.shape):
        tiles = tile(x, nv.pooling(method, x.shape, num_groups).block)
        assert np.shares_memory(tiles, x)


@pytest.mark.parametrize("axis", [-1, 0, 2])
def test_channel_axis(axis, backend):
    x = values((2, 6, 3, 4))
    moved = on_axis(x, axis)
    for method, num_groups in configurations(x.shape):
        found = nv.statistics(moved, method, num_groups=num_groups, channel_axis=axis, backend=backend)
        agree(found, x, method, num_groups)
    np.testing.assert_allclose(nv.moments(moved, channel_axis=axis, backend=backend).mean, x.mean((2, 3)), **CLOSE)


def test_a_constant_has_a_variance_of_exactly_zero(backend):
    for value in (0.1, -1e30, 1 / 3):
        for statistics in (
            *nv.sweep(np.full((3, 6, 50, 70), value), backend=backend).values(),
            nv.statistics(np.full((3, 6, 5, 7), value), "positional", backend=backend),
        ):
            assert (statistics.var == 0).all()
            assert (statistics.mean == value).all()


def test_a_mean_far_from_zero_costs_no_digits(backend):
    noise = values((4, 8, 30, 30), loc=0, scale=1e-2)
    x = noise + 1e8
    exact = x - 1e8  # exact in float64: Sterbenz
    for method, num_groups in configurations(x.shape):
        if not nv.METHODS[method].centered:
            continue
        found = nv.statistics(x, method, num_groups=num_groups, backend=backend)
        expected = nv.statistics(exact, method, num_groups=num_groups)
        np.testing.assert_allclose(found.var, expected.var, rtol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_set(bad, backend):
    x = values((2, 4, 3, 3))
    for method, num_groups in configurations(x.shape):
        p = nv.pooling(method, x.shape, num_groups)
        for cell in ((0, 1, 0, 0), (1, 3, 2, 1)):
            y = x.copy()
            y[cell] = bad
            found = nv.statistics(y, method, num_groups=num_groups, backend=backend)
            clean = nv.statistics(x, method, num_groups=num_groups, backend=backend)
            others = np.arange(p.count) != p.set_number(cell)
            assert not np.isfinite(found.var.reshape(-1)[~others]).any()
            np.testing.assert_array_equal(found.var.reshape(-1)[others], clean.var.reshape(-1)[others])
            np.testing.assert_array_equal(found.mean.reshape(-1)[others], clean.mean.reshape(-1)[others])


def test_moments_are_the_cells_of_each_sample_and_channel(backend):
    x = values((3, 4, 5, 2), dtype=np.float32)
    m = nv.moments(x, backend=backend)
    assert (m.count, m.shape, m.backend) == (10, (3, 4), backend)
    exact = x.astype(float)
    close = CLOSE_IN_FLOAT32 if backend == "cupy" else CLOSE
    np.testing.assert_allclose(m.mean, exact.mean((2, 3)), **close)
    np.testing.assert_allclose(m.m2, exact.var((2, 3)) * 10, **close)
    assert repr(m) == f"Moments(count=10, mean: (3, 4), m2: (3, 4), backend='{backend}')"


def test_parts_add_up_to_the_whole():
    x = values((2, 3, 7, 4))
    parts = [nv.moments(part) for part in np.array_split(x, 3, axis=2)]
    whole, total = nv.moments(x), sum(parts, start=nv.Moments.zero)
    assert total.count == whole.count
    np.testing.assert_allclose(total.mean, whole.mean, **CLOSE)
    np.testing.assert_allclose(total.m2, whole.m2, **CLOSE)
    assert (whole + nv.Moments.zero) is whole is (nv.Moments.zero + whole)


@pytest.mark.parametrize("shape", SHAPES)
def test_atoms_give_every_method_that_merges_positions(shape, backend):
    x = values(shape)
    atoms = nv.moments(x, backend=backend)
    for method, num_groups in configurations(shape):
        if nv.METHODS[method].spatial == "all":
            agree(atoms.pool(method, num_groups=num_groups), x, method, num_groups)


@pytest.mark.parametrize("loc", [1e4, 1e8, 1e15])
def test_merging_adds_no_rounding_to_that_of_the_means(loc):
    """Against exact fractions, on means that are large beside their differences."""
    means, m2, count = values((30, 4), loc=loc), values((30, 4), seed=1) ** 2, 9
    found = nv.Moments(count=count, mean=means, m2=m2).sweep()
    for (method, num_groups), statistics in found.items():
        pool = nv.pooling(method, means.shape, num_groups)
        sets, within = (tile(a, pool.block).swapaxes(1, 2).reshape(pool.count, -1).tolist() for a in (means, m2))
        for k, (row, inner) in enumerate(zip(sets, within, strict=True)):
            exact = [*map(Fraction, row)]
            mean = sum(exact) / len(exact)
            var = (sum(map(Fraction, inner)) + count * sum((m - mean) ** 2 for m in exact)) / (count * len(exact))
            assert abs(Fraction(statistics.var.flat[k]) / var - 1) < 1e-14
            assert abs(Fraction(statistics.mean.flat[k]) - mean) <= np.spacing(loc)


@pytest.mark.parametrize("value", [0.1, -1e30, 1 / 3, 1e200])
def test_a_constant_has_no_variance_after_every_merge(value):
    x = np.full((6, 4, 5, 7), value)
    added = sum((nv.moments(part) for part in np.array_split(x, 4, axis=2)), start=nv.Moments.zero)
    joined = nv.Moments.concatenate(nv.moments(part) for part in np.array_split(x, 4))
    for atoms in (added, joined):
        for found in atoms.sweep().values():
            assert (found.var == 0).all()
            assert (found.mean == value).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_concatenate(axis):
    x = values((4, 6, 5))
    parts = (nv.moments(part) for part in np.array_split(x, 2, axis=axis))
    joined, whole = nv.Moments.concatenate(parts, axis), nv.moments(x)
    np.testing.assert_array_equal(joined.mean, whole.mean)
    np.testing.assert_array_equal(joined.m2, whole.m2)


def test_results_are_frozen():
    m = nv.moments(values((2, 3, 4)))
    mean = np.zeros(3)
    s = nv.Statistics(mean=mean, var=[1, 2, 3], count=4)
    mean[0] = 7
    assert s.mean[0] == 0
    for value, name in ((m, "mean"), (s, "var")):
        with pytest.raises(AttributeError):
            setattr(value, name, None)
        with pytest.raises(ValueError, match="read-only"):
            getattr(value, name)[0] = 1


def test_a_nested_list_will_do():
    assert nv.statistics([[1, 2], [3, 6]], "batch").mean.tolist() == [2, 4]


@pytest.mark.parametrize("shape", [(13, 96, 9, 9), (9, 15, 21, 21), (7, 24, 5)])
def test_a_sweep_gives_a_sample_the_same_digits_whatever_else_is_in_the_batch(shape):
    """No product of matrices: its order of summation would depend on the place of a row."""
    x = values(shape, dtype=np.float32)
    whole = nv.sweep(x)
    for start in (1, 2, 3):
        part = nv.sweep(x[start:])
        for key in part:
            if key[0] in ("layer", "group", "instance"):
                np.testing.assert_array_equal(part[key].var, whole[key].var[start:], err_msg=str(key))
