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


# ---- a recipe from Python --------------------------------------------------------------------------------------------


def test_a_recipe_fills_anew(x):
    explorer = nv.Explorer(x, editable=True, index=(1, 7, 3, 3), num_groups=8)
    seen = []
    explorer.observe(lambda change: seen.append((change["new"], explorer.x.copy())), "recipe")
    explorer.recipe = {"fill": "normal", "seed": 7, "shape": (1, 6, 5)}
    expected = nv.samples.filled((1, 6, 5), "normal", 7)
    np.testing.assert_array_equal(explorer.x, expected)
    assert (explorer.num_groups, explorer.index) == (6, (0, 5, 3))
    whole = {"shape": [1, 6, 5], "fill": "normal", "seed": 7, "channel_axis": 1, "edits": []}
    assert explorer.recipe == explorer._scene["editable"]["recipe"] == whole
    # What is not given keeps its value; the same recipe again is no change.
    explorer.recipe = {"channel_axis": -1}
    np.testing.assert_array_equal(explorer.x, np.moveaxis(expected, 1, -1))
    explorer.recipe = explorer.recipe
    assert [recipe["channel_axis"] for recipe, _ in seen] == [1, -1]
    np.testing.assert_array_equal(seen[1][1], explorer.x)
    found = nv.statistics(explorer.x, "group", num_groups=6, channel_axis=-1)
    np.testing.assert_allclose(explorer.statistics.mean, found.mean, rtol=1e-12)


def test_edits_go_over_a_fill():
    explorer = nv.Explorer(editable=True)
    cells = [((0, 1, 2, 0), 5), ((1, 0, 0, 1), float("nan")), ((0, 0, 0, 0), float("-inf"))]
    explorer.recipe = {"shape": (2, 3, 4, 2), "fill": "ramp", "edits": cells}
    expected = np.arange(48, dtype=float).reshape(2, 3, 4, 2)
    for cell, value in cells:
        expected[cell] = value
    np.testing.assert_array_equal(explorer.x, expected)
    assert explorer.x.dtype == np.float64
    edits = [[[0, 1, 2, 0], 5.0], [[1, 0, 0, 1], "NaN"], [[0, 0, 0, 0], "-Infinity"]]
    filled = {"shape": [2, 3, 4, 2], "seed": 0, "channel_axis": 1}
    assert explorer.recipe == {**filled, "fill": "edited", "base": "ramp", "edits": edits}
    # Edits belong to the tensor over which they were typed; another fill starts without.
    explorer.recipe = {"seed": 1}
    assert explorer.recipe == {**filled, "fill": "ramp", "seed": 1, "edits": []}


def test_the_example_has_its_own_shape():
    explorer = nv.Explorer(editable=True)
    explorer.recipe = {"fill": "example", "shape": (9, 9)}
    assert explorer.recipe["shape"] == [3, 4, 1, 2]
    assert explorer.x[1].ravel().tolist() == [0, 1, 1, 2, 3, 5, 8, 13]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"fill": "file"}, "fill='file' cannot be set; assign values of your own to x, or give one of sample, normal"),
        ({"fill": "edited"}, "fill='edited' cannot be set; .*, with edits for single cells"),
        ({"seed": 3}, "fill='file' cannot be filled anew"),
        ({"fill": "nromal"}, "unknown fill 'nromal'; did you mean 'normal'?"),
        ({"fill": []}, "unknown fill"),
        ({"shap": (2, 3)}, "unknown key of a recipe 'shap'; did you mean 'shape'?"),
        ({"base": "ramp"}, "unknown key of a recipe 'base'"),
        ({3: 4}, "unknown key of a recipe 3"),
        ({"fill": "ramp", "shape": (3,)}, "rank 1"),
        ({"fill": "ramp", "shape": (2, 3, 0)}, "empty axis"),
        ({"fill": "ramp", "shape": "abc"}, "whole numbers"),
        ({"fill": "ramp", "shape": None}, "whole numbers"),
        ({"fill": "ramp", "shape": (2**20, 2**20)}, "67,108,864 cells"),
        ({"fill": "ramp", "seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"fill": "ramp", "channel_axis": 2}, "must be 1, channels first, or -1, channels last"),
        ({"fill": "ramp", "channel_axis": True}, "channel_axis must be a whole number"),
        ({"fill": "ramp", "edits": 5}, r"edits must be a list of \[\(n, c, ...\), value\], not 5"),
        ({"fill": "ramp", "edits": [5]}, "edits must be a list of .*; 5 is none"),
        ({"fill": "ramp", "edits": [((2, 0, 0, 0), 1)]}, r"there is no cell \(2, 0, 0, 0\) in shape \(2, 8, 4, 4\)"),
        ({"fill": "ramp", "edits": [((0, 0), 1)]}, "there is no cell"),
        ({"fill": "ramp", "edits": [((0, 0, 0, 0), "x")]}, "the value of an edit must be a number, not 'x'"),
        ({"fill": "ramp", "edits": [((0, 0, 0, 0), 10**400)]}, "beyond float64"),
        ([1], "dict"),
    ],
)
def test_a_bad_recipe_is_refused_and_changes_nothing(x, recipe, message):
    explorer = nv.Explorer(x, editable=True)
    before = {name: getattr(explorer, name) for name in ("x", "recipe", "_scene", "index", "num_groups")}
    with pytest.raises(traitlets.TraitError, match=message) as caught:
        explorer.recipe = recipe
    assert "\n" not in str(caught.value)
    assert all(getattr(explorer, name) is value for name, value in before.items())


def test_only_an_editable_explorer_has_a_recipe(x):
    explorer = nv.Explorer(x)
    with pytest.raises(traitlets.TraitError, match="recipe belongs to an explorer with editable=True"):
        explorer.recipe = {"fill": "ramp"}
    assert explorer.recipe == {}
    assert explorer.x is x


# ---- what the page sends ---------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(x):
    return nv.Explorer(x, editable=True, index=(1, 3, 0, 2))


def heard(explorer, message, *buffers):
    """As a message of the front-end arrives. Only the page's own errors are ignored; here they may not come out."""
    explorer._hear(explorer, message, list(buffers))


def made(recipe, revision=1, values=None):
    """The message with which a page sends a tensor; values go beside it."""
    own = {} if values is None else {"dtype": values.dtype.name, "shape": list(values.shape)}
    return {"kind": "made", "recipe": recipe, "revision": revision, **own}


FILE = {"shape": [2, 3, 2], "fill": "file", "seed": 0, "channel_axis": 1, "edits": []}
VALUES = np.arange(12.0).reshape(2, 3, 2)


def test_a_fill_of_the_page_is_filled_in_python_too(explorer):
    seen = []
    explorer.observe(lambda change: seen.append(change["new"]["fill"]), "recipe")
    recipe = {"shape": [1, 4, 3], "fill": "loud channel", "seed": 9, "channel_axis": -1, "edits": []}
    heard(explorer, made(recipe))
    np.testing.assert_array_equal(explorer.x, np.moveaxis(nv.samples.filled((1, 4, 3), "loud channel", 9), 1, -1))
    assert explorer.recipe == recipe
    assert explorer._scene["revision"] == 1
    assert seen == ["loud channel"]
    assert explorer.index == (0, 3, 0)


def test_a_seed_of_any_size_is_taken_modulo_2_32(explorer):
    """As `samples.filled` does; a page could not read a larger one."""
    heard(explorer, made(FILE | {"seed": 2**400 + 3}, 1, VALUES), VALUES.tobytes())
    assert explorer.recipe == FILE | {"seed": 3}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_come_as_bytes_of_a_stated_type_and_shape(explorer, dtype):
    values = VALUES.astype(dtype)
    heard(explorer, made(FILE, 1, values), values.tobytes())
    np.testing.assert_array_equal(explorer.x, values)
    assert explorer.x.dtype == dtype
    assert explorer.recipe == FILE
    # Another file of the same shape has the same recipe, and is a change as well.
    seen = []
    explorer.observe(lambda change: seen.append(explorer.x[0, 0, 0]), "recipe")
    heard(explorer, made(FILE, 2, values), (values + 1).tobytes())
    assert seen == [1]


def test_typed_cells_come_with_the_fill_below(explorer):
    edits = [[[0, 0, 0], 5], [[1, 2, 1], "NaN"]]
    recipe = FILE | {"fill": "edited", "base": "ramp", "edits": edits, "channel_axis": -1}
    values = VALUES.copy()
    values[0, 0, 0], values[1, 2, 1] = 5, np.nan
    heard(explorer, made(recipe, values=values), values.tobytes())
    assert explorer.recipe == recipe
    np.testing.assert_array_equal(explorer.x, np.moveaxis(values, 1, -1))


def test_a_large_tensor_comes_in_pieces(explorer):
    values = np.random.default_rng(1).normal(size=(2, 3, 50, 70)).astype(np.float32)
    data = values.tobytes()
    message = made(FILE | {"shape": list(values.shape)}, 3, values)
    for part in range(3):
        heard(explorer, {"kind": "piece", "revision": 3, "part": part, "parts": 3}, data[part * 30000 :][:30000])
    heard(explorer, message)
    np.testing.assert_array_equal(explorer.x, values)
    assert explorer.recipe["shape"] == [2, 3, 50, 70]
    # They are gone then, and those of an older tensor do not mix with others.
    heard(explorer, message | {"revision": 4})
    heard(explorer, {"kind": "piece", "revision": 4, "part": 0, "parts": 2}, data[:30000])
    heard(explorer, message | {"revision": 5}, data[30000:])
    assert explorer._scene["revision"] == 3


def test_an_older_tensor_that_comes_late_is_ignored(explorer):
    heard(explorer, made(FILE, 5, VALUES), VALUES.tobytes())
    x = explorer.x
    for revision in (5, 4, 0, -1):
        heard(explorer, made(FILE, revision, VALUES), (VALUES + 1).tobytes())
    assert explorer.x is x
    # What Python shows comes after all that the page made before.
    explorer.x = VALUES
    assert "revision" not in explorer._scene
    heard(explorer, made(FILE, 1, VALUES), (VALUES + 1).tobytes())
    assert explorer.x[0, 0, 0] == 1


def test_the_page_goes_back_to_the_tensor_that_python_gave(x):
    explorer = nv.Explorer(x, editable=True, weight=np.arange(8))
    heard(explorer, made(FILE, 1, VALUES), VALUES.tobytes())
    assert len(explorer.weight) == 3
    heard(explorer, {"kind": "first", "revision": 2})
    assert explorer.x is x
    assert explorer.recipe["fill"] == "file"
    assert explorer._scene["revision"] == 2
    np.testing.assert_array_equal(explorer.weight, [0, 1, 2, 0, 1, 2, 0, 1])
    explorer.x = x + 1
    heard(explorer, made(FILE, 3, VALUES), VALUES.tobytes())
    heard(explorer, {"kind": "first", "revision": 4})
    np.testing.assert_array_equal(explorer.x, x + 1)


def test_parameters_of_the_page_arrive(explorer):
    heard(explorer, {"kind": "parameters", "eps": 0.1, "weight": list(range(8)), "bias": None})
    assert explorer.eps == 0.1
    assert list(explorer.weight) == list(range(8))
    assert explorer._scene["eps"] == 0.1
    # They follow the number of channels, as in the page.
    heard(explorer, made(FILE, 1, VALUES), VALUES.tobytes())
    np.testing.assert_array_equal(explorer.weight, [0, 1, 2])
    heard(explorer, {"kind": "parameters", "eps": 0.2, "weight": None, "bias": [1, 2, 3]})
    assert explorer.weight is None
    assert explorer._scene["revision"] == 1
    explorer.eps = 0.5
    assert "revision" not in explorer._scene
    assert explorer._subject.weight is None


def test_a_null_from_a_page_of_a_newer_pyodide_is_none(explorer):
    """Pyodide 0.27 and every other kernel hand over None, Pyodide 0.28 and newer an object of a class of its own."""
    null = type("JsNull", (), {"__bool__": lambda self: False})()

    def arrives(**parameters):
        data = {"method": "custom", "content": {"kind": "parameters", "eps": 0.2, **parameters}}
        explorer._handle_msg({"content": {"data": data}, "buffers": []})
        return explorer.eps, explorer.weight, explorer.bias

    explorer.weight = weight = range(8)
    assert arrives(weight=null, bias=[null, *range(7)]) == (1e-5, weight, None)  # the bias is wrong
    assert arrives(weight=null, bias=null) == (0.2, None, None)


WRONG = [None, -1, 0, 2.5, 10**30, float("nan"), float("inf"), True, "", "x" * 999, [], [0], [[1]], {}, {"a": 1}, b"1"]


def test_a_message_of_another_form_changes_nothing(explorer):
    """Every part of every message, replaced by every wrong thing, left out, or with bytes of another length."""
    edited = FILE | {"fill": "edited", "base": "ramp", "edits": [[[0, 0, 0], 5]]}
    piece = {"kind": "piece", "revision": 1, "part": 0, "parts": 1}
    data = VALUES.tobytes()
    messages = [
        *((each, wrong) for each in WRONG for wrong in ([], [data])),
        *(({"kind": each}, [data]) for each in (*WRONG, "piece", "made", "parameters")),
        *((made(FILE, 1, VALUES), each) for each in ([], [data[:-1]], [data, data], [data + data], [b""], [None])),
        *(({**made(FILE, 1, VALUES), "dtype": each}, [data]) for each in (*WRONG, "float16", "object", "O", "<f8")),
        *(({**made(FILE, 1, VALUES), "shape": each}, [data]) for each in (*WRONG, [3, 2, 2], [12], [-2, -3, 2])),
        *(({**made(FILE, 1, VALUES), "revision": each}, [data]) for each in WRONG if each is not True),
        *(({**made(FILE, 1, VALUES), "recipe": each}, [data]) for each in WRONG),
        *(
            (made(recipe | {key: each}, 1, VALUES), [data])
            for recipe in (FILE, edited)
            for key in ("shape", "fill", "seed", "channel_axis", "edits", "base")
            for each in (*WRONG, [2**40, 2**40], [1] * 70)
            if not (key == "seed" and each in (-1, 0, 10**30))
            and not (key == "channel_axis" and each == -1)
            and not (key == "base" and recipe is FILE)
            and not (key == "edits" and each == [])
        ),
        *((made({key: edited[key] for key in edited if key != left}, 1, VALUES), [data]) for left in edited),
        *((made(FILE | {"fill": "ramp", "shape": [2**13, 2**14]}, 1), each) for each in ([], [data])),
        *(({"kind": "first", "revision": each}, []) for each in WRONG),
        ({"kind": "first"}, []),
        *(({**piece, key: each}, [data]) for key in piece for each in WRONG if key != "kind"),
        *((piece, each) for each in ([], [None], [b""], [data, data], [bytes(2**22 + 1)], ["text"], [5])),
        *(
            ({"kind": "parameters", "eps": 1e-3, "weight": None, "bias": None} | {key: each}, [])
            for key in ("eps", "weight", "bias")
            for each in (*WRONG, [1.0] * 7, [None] * 8, ["1"] * 8, [[1.0]] * 8)
            if (key, each) not in (("weight", None), ("bias", None), ("eps", 2.5), ("eps", 10**30))
        ),
    ]
    assert len(messages) > 400
    before = {name: getattr(explorer, name) for name in (*explorer.keys, "x", "eps", "weight", "bias")}
    for message, buffers in messages:
        heard(explorer, message, *buffers)
        now = {name: getattr(explorer, name) for name in before}
        assert [name for name in now if now[name] is not before[name]] == [], (message, buffers)
    # Nothing of them is left to be part of what comes then.
    heard(explorer, made(FILE, 7, VALUES), data)
    np.testing.assert_array_equal(explorer.x, VALUES)


def test_an_explorer_that_is_not_editable_takes_no_tensor(x):
    explorer = nv.Explorer(x)
    heard(explorer, made(FILE, 1, VALUES), VALUES.tobytes())
    heard(explorer, {"kind": "parameters", "eps": 0.1, "weight": None, "bias": None})
    assert explorer.x is x
    assert explorer.eps == 1e-5


def test_an_error_of_an_observer_is_not_swallowed(explorer):
    def fails(_change):
        raise ValueError("of the user's own")

    explorer.observe(fails, "recipe")
    with pytest.raises(ValueError, match="of the user's own"):
        heard(explorer, made(FILE, 1, VALUES), VALUES.tobytes())
    np.testing.assert_array_equal(explorer.x, VALUES)
