import pickle

import numpy as np
import pytest

import normviz as nv
from normviz.core.methods import find
from normviz.core.pooling import canonical, default_num_groups, fitting_num_groups
from tests.core import reference
from tests.core.cases import CASES, on_axis


@pytest.mark.parametrize(("shape", "method", "num_groups"), CASES)
def test_sets_are_those_of_the_definition(shape, method, num_groups):
    p = nv.pooling(method, shape, num_groups)
    labels = p.labels()
    found = reference.sets(method, shape, num_groups)
    assert (p.count, {p.size}) == (len(found), {len(cells) for cells in found.values()})
    assert labels.shape == shape
    for number, cells in enumerate(found.values()):
        assert {labels[i] for i in cells} == {p.set_number(i) for i in cells} == {number}
        assert all(p.set_of(i) == p.set_of(cells[0]) for i in cells)
        box = np.zeros(shape, bool)
        box[p.set_of(cells[0])] = True
        assert sorted(cells) == [tuple(i) for i in np.argwhere(box).tolist()]


def test_block_and_grid_of_every_method():
    shape, expected = (
        (2, 8, 4, 3),
        {
            "batch": ((2, 1, 4, 3), (1, 8, 1, 1), (8,)),
            "layer": ((1, 8, 4, 3), (2, 1, 1, 1), (2,)),
            "instance": ((1, 1, 4, 3), (2, 8, 1, 1), (2, 8)),
            "group": ((1, 2, 4, 3), (2, 4, 1, 1), (2, 4)),
            "positional": ((1, 8, 1, 1), (2, 1, 4, 3), (2, 4, 3)),
            "rms": ((1, 8, 1, 1), (2, 1, 4, 3), (2, 4, 3)),
            "per_head": ((1, 2, 1, 1), (2, 4, 4, 3), (2, 4, 4, 3)),
            "per_head_rms": ((1, 2, 1, 1), (2, 4, 4, 3), (2, 4, 4, 3)),
            "frn": ((1, 1, 4, 3), (2, 8, 1, 1), (2, 8)),
            "ghost": ((1, 1, 4, 3), (2, 8, 1, 1), (2, 8)),
            "weight_norm": ((1, 8, 4, 3), (2, 1, 1, 1), (2,)),
            "weight_standardization": ((1, 8, 4, 3), (2, 1, 1, 1), (2,)),
        },
    )
    assert list(nv.METHODS) == list(expected)
    for method, facts in expected.items():
        p = nv.pooling(method, shape, 2 if method == "ghost" else 4 if nv.METHODS[method].has_groups else None)
        assert (p.block, p.grid, p.statistics_shape) == facts
    p = nv.pooling("ghost", (6, 8, 4, 3), 2)
    assert (p.block, p.grid, p.statistics_shape) == ((3, 1, 4, 3), (2, 8, 1, 1), (2, 8))


def test_the_design_s_example():
    p = nv.pooling("group", (2, 8, 4, 4), num_groups=4)
    assert (p.block, p.grid, p.size, p.count) == ((1, 2, 4, 4), (2, 4, 1, 1), 32, 8)
    assert p.set_of((0, 3, 1, 1)) == (slice(0, 1), slice(2, 4), slice(0, 4), slice(0, 4))
    assert repr(p) == ("Pooling(method='group', shape=(2, 8, 4, 4), num_groups=4, block=(1, 2, 4, 4))")


def test_a_pooling_is_a_value():
    p = nv.pooling("group", [2, 8, 4, 4], np.int64(4))
    assert p == nv.pooling("group", (2, 8, 4, 4), num_groups=4)
    assert p != nv.pooling("group", (2, 8, 4, 4), num_groups=2)
    assert len({p, nv.pooling("group", (2, 8, 4, 4), 4)}) == 1
    assert pickle.loads(pickle.dumps(p)) == p
    with pytest.raises(AttributeError):
        p.num_groups = 2
    with pytest.raises(TypeError):
        nv.METHODS["batch"] = None


def test_a_cell_by_any_kind_of_integer():
    p = nv.pooling("batch", (2, 3))
    assert p.set_of(np.array([1, 2])) == p.set_of([1, 2]) == (slice(0, 2), slice(2, 3))
    with pytest.raises(TypeError):
        p.set_of((0.0, 1))


def test_divisors():
    for C in range(1, 200):
        assert nv.divisors(C) == tuple(g for g in range(1, C + 1) if C % g == 0)
        assert default_num_groups(C) == max(g for g in (1, 2, 3, 4) if C % g == 0)


@pytest.mark.parametrize(("N", "wanted", "G"), [(4, 4, 2), (4, 1, 1), (1, 4, 1), (2, 4, 1), (3, 9, 1), (12, 4, 4)])
def test_a_batch_is_cut_into_slices_of_more_than_one_sample_where_it_can(N, wanted, G):
    assert fitting_num_groups(find("ghost"), (N, 8), wanted) == G
    assert fitting_num_groups(find("group"), (8, N), wanted) == max(g for g in nv.divisors(N) if g <= wanted)


def test_rows_of_the_table():
    assert [row.name for row in nv.METHODS.values() if row.couples_samples] == ["batch", "ghost"]
    assert [row.name for row in nv.METHODS.values() if row.has_groups] == [
        "group",
        "per_head",
        "per_head_rms",
        "ghost",
    ]
    assert [row.name for row in nv.METHODS.values() if row.elementwise] == ["layer"]
    assert [row.name for row in nv.METHODS.values() if not row.centered] == [
        "rms",
        "per_head_rms",
        "frn",
        "weight_norm",
    ]
    assert [row.name for row in nv.METHODS.values() if row.shared] == ["per_head", "per_head_rms"]
    assert [row.name for row in nv.METHODS.values() if row.affine_axis == 0] == [
        "weight_norm",
        "weight_standardization",
    ]
    assert find("batch") is nv.METHODS["batch"]


@pytest.mark.parametrize("axis", [1, -3, -1, 2, 0])
def test_canonical_is_a_view_with_channels_second(axis):
    x = on_axis(np.zeros((2, 3, 4, 5), np.float32), axis)
    view = canonical(x, axis)
    assert view.shape == (2, 3, 4, 5)
    assert np.shares_memory(view, x)
