"""The widget in Python: traits, their checks, what the scene carries, and what an export keeps."""

import base64
import re

import numpy as np
import pytest
import traitlets

import normviz as nv
from normviz.explorer import js


def unpack(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 8, 4, 4)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# ---- traits ----------------------------------------------------------------------------------------------------------


def test_the_defaults_are_group_norm_with_at_most_four_groups():
    assert nv.Explorer(np.zeros((2, 6, 3, 3))).num_groups == 3
    explorer = nv.Explorer()
    assert (explorer.method, explorer.num_groups, explorer.index) == ("group", 4, (0, 0, 0, 0))
    assert (explorer.step, explorer.view, explorer.color, explorer.mode) == (0, "samples", "set", "train")
    assert explorer.controls is True
    np.testing.assert_array_equal(explorer.x, nv.samples.activations())


def test_what_is_shown_is_what_python_says(x):
    explorer = nv.Explorer(x, method="group", num_groups=4, index=(1, 3, 0, 2))
    assert explorer.pooling == nv.pooling("group", x.shape, 4)
    assert explorer.set == (slice(1, 2), slice(2, 4), slice(0, 4), slice(0, 4))
    np.testing.assert_allclose(explorer.statistics.mean[1, 1], x[explorer.set].mean(dtype=np.float64), rtol=1e-6)
    explorer.method = "batch"
    assert explorer.set == (slice(0, 2), slice(3, 4), slice(0, 4), slice(0, 4))
    np.testing.assert_allclose(explorer.statistics.var[3], x[explorer.set].var(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("method", "grop", "unknown method 'grop'; did you mean 'group'?"),
        ("method", 3, "method"),
        ("num_groups", 3, "num_groups=3 does not divide C=8; these do: 1, 2, 4, 8"),
        ("num_groups", 0, "num_groups=0 does not divide C=8; these do: 1, 2, 4, 8"),
        ("index", (0, 8, 0, 0), r"there is no cell \(0, 8, 0, 0\) in shape \(2, 8, 4, 4\)"),
        ("index", (0, -1, 0, 0), "there is no cell"),
        ("index", (0, 0), "there is no cell"),
        ("index", "abcd", "index must be 4 whole numbers"),
        ("index", None, "index must be 4 whole numbers"),
        ("step", 6, "step=6 is not one of the steps 0 to 5"),
        ("view", "cubes", r"unknown view 'cubes' \(known: samples, paper\)"),
        ("color", "values", "unknown color 'values'; did you mean 'value'?"),
        ("mode", "eval", "mode='eval' needs running statistics"),
        ("controls", "no", "controls"),
        ("eps", 0, "eps=0 is not > 0"),
        ("eps", None, "eps must be a number, not None"),
        ("weight", [1.0, 2.0], r"weight has shape \(2,\); it needs \(8,\), or \(8, 4, 4\) for Layer Norm"),
        ("bias", np.ones((8, 4, 4)), r"of shape \(8, 4, 4\) belongs to method 'layer'"),
    ],
)
def test_a_wrong_assignment_is_refused_and_changes_nothing(x, name, value, message):
    explorer = nv.Explorer(x)
    before = getattr(explorer, name)
    with pytest.raises(traitlets.TraitError, match=message):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before


@pytest.mark.parametrize("name", ["methd", "groups", "G"])
def test_an_attribute_that_is_not_there_is_refused(x, name):
    explorer = nv.Explorer(x)
    with pytest.raises(AttributeError, match=f"Explorer: unknown attribute '{name}'"):
        setattr(explorer, name, 4)


def test_lists_of_numpy_integers_are_an_index(x):
    explorer = nv.Explorer(x)
    explorer.index = list(np.array([1, 7, 3, 0]))
    assert explorer.index == (1, 7, 3, 0)
    assert all(type(i) is int for i in explorer.index)


def test_weight_bias_and_eps_can_be_assigned(x):
    explorer = nv.Explorer(x, eps=1e-3)
    seen = []
    explorer.observe(lambda change: seen.append(change["new"]), "eps")
    explorer.eps = 1e-5
    explorer.weight, explorer.bias = np.arange(8), list(range(8))
    assert seen == [1e-5]
    assert explorer._scene["eps"] == 1e-5
    np.testing.assert_array_equal(unpack(explorer._scene["weight"]), np.arange(8))
    np.testing.assert_array_equal(unpack(explorer._scene["bias"]), np.arange(8))
    explorer.weight = None
    assert explorer._scene["weight"] is None
    assert explorer.bias == list(range(8))


def test_a_weight_for_each_element_is_laid_out_like_x(x, rng):
    last, weight = np.moveaxis(x, 1, -1), rng.normal(size=(4, 4, 8))
    explorer = nv.Explorer(last, method="layer", channel_axis=-1, weight=weight)
    shown = unpack(explorer._scene["weight"]).reshape(8, 4, 4)
    np.testing.assert_array_equal(shown, np.moveaxis(weight, -1, 0))
    explorer.x = last + 1
    explorer.bias = weight
    np.testing.assert_array_equal(unpack(explorer._scene["bias"]), shown.ravel())
    explorer.method = "group"
    explorer.eps = 0.5
    assert explorer._scene["elementwise"]


def test_a_layout_is_taken_as_by_every_widget(x):
    assert nv.Explorer(x, layout={"width": "50%"}).layout.width == "50%"


def test_two_explorers_can_be_linked(x, rng):
    one, two = nv.Explorer(x), nv.Explorer(rng.normal(size=(3, 8, 5, 5)))
    traitlets.link((one, "num_groups"), (two, "num_groups"))
    one.num_groups = 8
    assert two.num_groups == 8


def test_another_tensor_snaps_the_groups_and_clips_the_index(x, rng):
    explorer = nv.Explorer(x, num_groups=8, index=(1, 7, 3, 2))
    explorer.x = rng.normal(size=(1, 6, 3))
    assert explorer.num_groups == 6
    assert explorer.index == (0, 5, 2)
    assert explorer._scene["shape"] == [1, 6, 3]
    explorer.x = rng.normal(size=(1, 6, 3, 9))
    assert explorer.index == (0, 5, 2, 0)


def test_a_tensor_that_does_not_fit_is_refused_whole(x, rng):
    explorer = nv.Explorer(x, weight=np.ones(8))
    scene_before = explorer._scene
    with pytest.raises(traitlets.TraitError, match=r"weight has shape \(8,\); it needs \(6,\)"):
        explorer.x = rng.normal(size=(1, 6, 3))
    with pytest.raises(traitlets.TraitError, match="x has rank 1"):
        explorer.x = np.zeros(3)
    assert explorer.x is x
    assert explorer._scene is scene_before


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nv.Explorer, nv.show], ids=["Explorer", "show"])
@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"num_groups": 3}, ValueError, "num_groups=3 does not divide C=8; these do: 1, 2, 4, 8"),
        ({"method": "bach"}, ValueError, "unknown method 'bach'; did you mean 'batch'?"),
        ({"method": "batch", "num_groups": 2}, ValueError, "num_groups=2 means nothing to method 'batch'"),
        ({"weight": np.ones(4)}, ValueError, r"weight has shape \(4,\); it needs \(8,\), or \(8, 4, 4\)"),
        ({"weight": np.ones((8, 4, 4))}, ValueError, r"of shape \(8, 4, 4\) belongs to method 'layer'"),
        ({"bias": np.ones((4, 4, 8)), "method": "layer"}, ValueError, r"bias has shape \(4, 4, 8\)"),
        ({"weight": np.ones(8, complex)}, TypeError, "weight has dtype complex128; use a float"),
        ({"eps": 0}, ValueError, "eps=0 is not > 0"),
        ({"eps": -1e-5}, ValueError, "eps=-1e-05 is not > 0"),
        ({"eps": float("nan")}, ValueError, "eps=nan is not > 0"),
        ({"eps": "small"}, TypeError, "eps must be a number, not 'small'"),
        ({"index": (0, 0, 0, 4)}, IndexError, r"there is no cell \(0, 0, 0, 4\) in shape \(2, 8, 4, 4\)"),
        ({"metod": "batch"}, TypeError, "unknown keyword 'metod'; did you mean 'method'?"),
        ({"statistics": 3}, TypeError, "statistics must be a RunningStatistics or Statistics, not int"),
        ({"mode": "eval"}, ValueError, "mode='eval' needs running statistics"),
        ({"labels": np.zeros((2, 8))}, ValueError, r"labels has shape \(2, 8\); it needs one entry for each cell"),
        ({"labels": np.full((2, 8, 4, 4), 0.5)}, TypeError, "labels must be whole numbers from 0"),
        ({"labels": np.full((2, 8, 4, 4), -1)}, ValueError, "labels must be whole numbers from 0 to 2147483647"),
        ({"labels": np.full((2, 8, 4, 4), 2**40)}, ValueError, "these are 1099511627776 to 1099511627776"),
        ({"method": np.array(["batch", "layer"])}, TypeError, "method must be a name such as 'batch'"),
        ({"color": np.array(["set", "value"])}, ValueError, "unknown color"),
        ({"channel_axis": None}, TypeError, "channel_axis must be a whole number, not None"),
        ({"marks": np.zeros(3)}, ValueError, r"marks has shape \(3,\)"),
        ({"channel_axis": 4}, ValueError, "channel_axis=4 is not an axis of x"),
        ({"method": "given"}, ValueError, "unknown method 'given'"),
    ],
)
def test_bad_keywords_get_one_clear_sentence(make, x, keywords, error, message):
    with pytest.raises(error, match=message) as caught:
        make(x, **keywords)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.zeros(3), ValueError, r"x has rank 1, shape \(3,\); it needs 2 to 5 axes"),
        (np.zeros((1, 2, 3, 4, 5, 6)), ValueError, "x has rank 6"),
        (np.zeros((2, 0, 3)), ValueError, r"x has an empty axis, shape \(2, 0, 3\)"),
        (np.zeros((2, 3), complex), TypeError, "x has dtype complex128"),
        (np.array([[object()]]), TypeError, "x has dtype object"),
        ("tensor", TypeError, "this takes an array, not a file"),
    ],
)
def test_a_bad_tensor_gets_one_clear_sentence(bad, error, message):
    with pytest.raises(error, match=message):
        nv.Explorer(bad)


# ---- eval mode, labels, answers --------------------------------------------------------------------------------------


def test_eval_mode_shows_the_running_statistics(x):
    running = nv.RunningStatistics(8)
    running.update(x)
    explorer = nv.Explorer(x, method="batch", mode="eval", statistics=running)
    np.testing.assert_array_equal(explorer.statistics.mean, running.mean)
    np.testing.assert_array_equal(unpack(explorer._scene["running"]["var"]), running.var)
    with pytest.raises(ValueError, match=r"statistics is for 8 channels, but x has C=4"):
        nv.Explorer(x[:, :4], statistics=running)


def test_given_sets_need_no_block(x):
    labels = np.broadcast_to((np.arange(8) % 2)[:, None, None], x.shape)
    explorer = nv.Explorer(x, labels=labels, index=(0, 3, 1, 1))
    assert explorer.method == "given"
    assert explorer.pooling is None
    np.testing.assert_array_equal(explorer.set, labels == 1)
    np.testing.assert_allclose(explorer.statistics.mean, [x[:, ::2].mean(), x[:, 1::2].mean()], atol=1e-6)
    explorer = nv.Explorer(x, labels=np.arange(x.size).reshape(x.shape) > 200, index=(1, 7, 3, 3))
    assert explorer.statistics.count == x.size - 201
    explorer.method = "group"
    explorer.index = (0, 3, 1, 1)
    assert explorer.set == (slice(0, 1), slice(2, 4), slice(0, 4), slice(0, 4))


def test_a_large_tensors_given_sets_are_answered_and_travel(rng, monkeypatch):
    x, labels = rng.normal(size=(2, 64, 40, 40)), np.zeros((2, 64, 40, 40), int)
    labels[1, 3:], x[0, 0, 0, 0] = 700, np.nan
    explorer, said = nv.Explorer(x, labels=labels), []
    monkeypatch.setattr(explorer, "send", said.append)
    explorer._answer(explorer, {"method": "given", "num_groups": 4, "index": [1, 5, 7, 9]}, [])
    expected = [x[1, 5, 7, 9], x[1, 3:].mean(), x[1, 3:].var()]
    np.testing.assert_allclose([said[0][key] for key in ("x", "mean", "var")], expected, rtol=1e-9)
    sets = {key: unpack(packed) for key, packed in explorer._scene["sets"].items()}
    np.testing.assert_array_equal(sets["label"], [0, 700])
    np.testing.assert_allclose([sets["mean"][1], sets["var"][1]], expected[1:], rtol=1e-9)
    np.testing.assert_array_equal(explorer.statistics.mean, sets["mean"])
    explorer.index = (1, 5, 7, 9)
    assert f"variance {expected[2]:.5g}" in explorer.to_svg()


def test_a_large_tensors_single_values_are_answered(rng, monkeypatch):
    x = rng.normal(size=(2, 64, 40, 40))
    explorer, said = nv.Explorer(x), []
    monkeypatch.setattr(explorer, "send", said.append)
    for method in ("group", "positional", "rms", "batch"):
        explorer._answer(explorer, {"method": method, "num_groups": 4, "index": [1, 5, 7, 9]}, [])
    cell = {"group": x[1, :16], "positional": x[1, :, 7, 9], "batch": x[:, 5]}
    for answer, (_, values) in zip([said[0], said[1], said[3]], cell.items(), strict=True):
        assert answer["x"] == x[1, 5, 7, 9]
        np.testing.assert_allclose([answer["mean"], answer["var"]], [values.mean(), values.var()], rtol=1e-9)
    assert said[2]["mean"] == 0
    np.testing.assert_allclose(said[2]["var"], np.square(x[1, :, 7, 9]).mean(), rtol=1e-9)
    assert said[0]["key"] == "group/4/1,5,7,9"
    for nonsense in ({}, {"method": "x"}, {"method": "group", "num_groups": 3, "index": [0, 0, 0, 0]}, "?"):
        explorer._answer(explorer, nonsense, [])
    assert len(said) == 4


# ---- output ----------------------------------------------------------------------------------------------------------


def test_the_bundle_has_the_widget_and_what_survives_it(x):
    explorer = nv.Explorer(x)
    data, _ = explorer._repr_mimebundle_()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json", "text/html", "image/svg+xml"}
    assert data["text/plain"] == "Explorer(shape=(2, 8, 4, 4), method='group', num_groups=4, index=(0, 0, 0, 0))"
    assert "0x" not in data["text/plain"]


def test_exported_state_keeps_the_module_even_when_defaults_are_dropped(x):
    import ipywidgets.embed

    explorer = nv.Explorer(x)
    saved = ipywidgets.embed.embed_data(views=[explorer])["manager_state"]["state"][explorer.model_id]["state"]
    assert saved["_esm"] == js.module()
    assert "Open a file" not in js.module()
    explorer.editable = True
    assert explorer._esm == nv.Explorer(editable=True)._esm == js.module(editable=True) != js.module()
    assert saved["_css"] == js.stylesheet()
    assert saved["_scene"]["shape"] == [2, 8, 4, 4]


@pytest.mark.parametrize("editable", [False, True])
def test_the_front_end_imports_nothing_and_asks_nobody(editable):
    text = js.module(editable=editable)
    assert not re.search(r"^import |\bimport\(|(?<![.\w])eval\(", text, re.MULTILINE)
    for word in ("fetch(", "XMLHttpRequest", "http://", "https://", "innerHTML"):
        lines = [line for line in text.splitlines() if word in line and "www.w3.org/2000/svg" not in line]
        assert not [line for line in lines if not line.lstrip().startswith(("//", "*", "/*"))], word


@pytest.mark.parametrize("method", ["per_head", "per_head_rms"])
def test_a_weight_that_all_heads_share(method):
    """It is shown with an entry for each channel, so that every other method takes it too."""
    x, weight, bias = np.random.default_rng(0).normal(size=(2, 6, 5)), np.arange(1.0, 4), np.arange(3.0)
    explorer = nv.Explorer(x, method, 2, weight=weight, bias=bias)
    np.testing.assert_array_equal(explorer.weight, [1, 2, 3, 1, 2, 3])
    explorer.weight = 2 * weight
    np.testing.assert_array_equal(explorer._subject.weight, [2, 4, 6, 2, 4, 6])
    np.testing.assert_array_equal(explorer._subject.bias, [0, 1, 2, 0, 1, 2])
    explorer.method = "batch"
    with pytest.raises(traitlets.TraitError, match=r"weight has shape \(3,\)"):
        explorer.weight = weight
