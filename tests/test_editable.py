"""Explorers whose reader may change x: what Python checks, fills and takes from the page."""

import copy
import pickle

import numpy as np
import pytest
import traitlets

import normviz as nv
from tests.pages import data_of


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 8, 4, 4))


def test_without_x_an_editable_explorer_starts_with_the_sample(x):
    sample = {"shape": [4, 16, 12, 12], "fill": "sample", "seed": 0, "channel_axis": 1, "edits": []}
    given = sample | {"shape": [2, 8, 4, 4], "fill": "file"}
    assert nv.Explorer(editable=True).recipe == sample
    assert nv.Explorer(x, editable=True).recipe == given
    last = nv.Explorer(np.moveaxis(x, 1, -1), editable=True, channel_axis=3)
    assert last.recipe == given | {"channel_axis": -1}
    last.x = np.zeros((2, 3, 5))
    assert last.recipe == given | {"channel_axis": -1, "shape": [2, 5, 3]}
    assert nv.Explorer(x).recipe == {}
    assert not nv.Explorer(x).editable


def test_a_page_is_editable_only_where_it_was_asked_for(x):
    for made in (nv.show(editable=True), nv.Explorer(editable=True), nv.compare_methods(editable=True)):
        scene = data_of(made.to_html())[0]["scene"]
        assert scene["editable"]["recipe"]["fill"] == "sample"
    mixed = [each["scene"] for each in data_of(nv.to_html([nv.show(x), nv.show(x, editable=True), x]))]
    assert ["editable" in scene for scene in mixed] == [False, True, False]


def test_an_explorer_can_be_opened_and_closed_later(x):
    explorer = nv.Explorer(x)
    explorer.editable = True
    assert explorer.recipe["fill"] == explorer._scene["editable"]["recipe"]["fill"] == "file"
    explorer.editable = False
    assert explorer.recipe == {}
    assert "editable" not in explorer._scene


@pytest.mark.parametrize("name", ["labels", "marks", "statistics"])
def test_what_belongs_to_one_x_is_refused(x, name):
    running = nv.RunningStatistics(8)
    running.update(x)
    given = {name: running if name == "statistics" else np.zeros(x.shape, int)}
    message = f"editable=True lets x change, and {name} belong to one x; leave out one of the two"
    for make in (nv.Explorer, nv.show):
        with pytest.raises(ValueError, match=message):
            make(x, editable=True, **given)
    explorer = nv.Explorer(x, **given)
    with pytest.raises(traitlets.TraitError, match=message):
        explorer.editable = True
    assert not explorer.editable
    assert explorer.recipe == {}


def test_channels_stand_first_or_last():
    with pytest.raises(ValueError, match="channels first or last, channel_axis=1 or -1, not 2"):
        nv.show(np.zeros((2, 3, 4, 5)), editable=True, channel_axis=2)


def test_a_copy_keeps_recipe_and_editable(x):
    explorer = nv.Explorer(x, editable=True)
    for made in (copy.copy(explorer), copy.deepcopy(explorer), pickle.loads(pickle.dumps(explorer))):
        assert made.editable
        assert made.recipe == explorer.recipe
    assert explorer.get_state()["recipe"] == explorer.recipe
