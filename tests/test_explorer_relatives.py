"""The explorer of what is not quite Batch, Layer, Instance or Group Norm: slices of a batch, and weights."""

import numpy as np
import pytest
from traitlets import TraitError

import normviz as nv
from normviz.explorer.svg import readout


@pytest.fixture
def x():
    return np.random.default_rng(7).normal(size=(6, 8, 4, 4)).astype(np.float32)


def shown(explorer):
    return readout.measure(*explorer.page_parts()[0])


def test_ghost_batches_start_with_slices_of_more_than_one_sample(x):
    assert nv.Explorer(x, "ghost").num_groups == 3
    assert nv.Explorer(x[:4], "ghost").num_groups == 2
    assert nv.Explorer(x[:1], "ghost").num_groups == 1
    explorer = nv.Explorer(x, "ghost", num_groups=6, index=(4, 1, 0, 0))
    assert explorer.set == (slice(4, 5), slice(1, 2), slice(0, 4), slice(0, 4))
    assert repr(explorer) == "Explorer(shape=(6, 8, 4, 4), method='ghost', num_groups=6, index=(4, 1, 0, 0))"
    assert repr(nv.show(x, "ghost", num_groups=2)) == (
        "Shown(shape=(6, 8, 4, 4), method='ghost', num_groups=2, index=(0, 0, 0, 0))"
    )


def test_groups_snap_to_a_divisor_of_what_the_method_cuts(x):
    explorer = nv.Explorer(x, num_groups=4)
    explorer.method = "ghost"
    assert (explorer.num_groups, explorer.pooling.block) == (3, (2, 1, 4, 4))
    explorer.num_groups = 6
    with pytest.raises(TraitError, match=r"^num_groups=4 does not divide N=6; these do: 1, 2, 3, 6 \(slices of"):
        explorer.num_groups = 4
    explorer.method = "batch"
    explorer.method = "group"
    assert explorer.num_groups == 4
    # As the page tells it: both at once, in whatever order.
    explorer.set_state({"num_groups": 6, "method": "ghost"})
    assert (explorer.method, explorer.num_groups) == ("ghost", 6)
    explorer.set_state({"method": "group", "num_groups": 8})
    assert (explorer.method, explorer.num_groups) == ("group", 8)
    explorer.method = "ghost"
    explorer.x = x[:4]
    assert explorer.num_groups == 4


@pytest.mark.parametrize("method", ["weight_norm", "weight_standardization", "frn"])
def test_a_method_without_groups_takes_none(x, method):
    with pytest.raises(ValueError, match=f"num_groups=2 means nothing to method '{method}'; leave it out"):
        nv.Explorer(x, method, num_groups=2)


def test_a_gain_for_each_filter_is_shown_and_belongs_to_weights(x):
    g = np.arange(1.0, 7)
    explorer = nv.Explorer(x, "weight_norm", weight=g, index=(4, 3, 2, 1))
    assert explorer._scene["per_output"] is True
    with pytest.raises(ValueError, match=r"^weight has shape \(8,\); for weights it needs \(6,\), one entry a filter$"):
        nv.Explorer(x, "weight_norm", weight=np.ones(8))


def test_a_weight_for_each_channel_is_left_out_of_weights(x):
    explorer = nv.Explorer(x, "weight_standardization")
    explorer.method = "batch"
    explorer.weight = np.full(8, 2.0)
    assert explorer._scene["per_output"] is False
    explorer.method = "weight_standardization"
    explorer.weight = None
    explorer.weight = np.full(6, 3.0)
    assert explorer._scene["per_output"] is True


@pytest.mark.parametrize("method", ["frn", "ghost", "weight_norm", "weight_standardization"])
def test_a_large_tensors_single_values_are_answered(method, monkeypatch):
    x, said = np.random.default_rng(3).normal(1, 2, (8, 64, 20, 20)), []
    explorer = nv.Explorer(x, method, index=(5, 9, 3, 3))
    monkeypatch.setattr(explorer, "send", said.append)
    groups = explorer.num_groups
    explorer._answer(explorer, {"method": method, "num_groups": groups, "index": [5, 9, 3, 3]}, [])
    found = nv.statistics(x, method, num_groups=groups if method == "ghost" else None)
    at = explorer.pooling.set_number((5, 9, 3, 3))
    expected = (x[5, 9, 3, 3], found.mean.flat[at], found.var.flat[at])
    np.testing.assert_allclose([said[0][key] for key in ("x", "mean", "var")], expected)
    # And from the moments that travel with the scene.
    np.testing.assert_allclose((shown(explorer).mean, shown(explorer).var), expected[1:], rtol=1e-6)
