"""Extreme values, text from a user, messages from a page, copies, arrays that change: nothing breaks an explorer."""

import copy
import pickle
import warnings
import weakref
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import traitlets

import normviz as nv
from normviz.streaming.partial_moments import within_positions
from tests.pages import Reader, inside

# ---- extreme values give no warnings ---------------------------------------------------------------------------------


def filled(shape, dtype, *special):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x.reshape(-1)[: len(special)] = special
    return x


def bits(shape, pattern, unsigned):
    """Random floats whose first one has these bits: an assignment would quieten a signalling NaN."""
    x = np.random.default_rng(0).normal(size=shape).astype(f"f{np.dtype(unsigned).itemsize}")
    x.view(unsigned).reshape(-1)[0] = pattern
    return x


LARGE, SMALL = (200_000, 1), (2, 4, 3, 3)
EXTREMES = {
    "long float16": lambda: filled(LARGE, np.float16),
    "long float32": lambda: filled(LARGE, np.float32),
    "long float16 with 65504 and infinity": lambda: filled(LARGE, np.float16, 65504, np.inf, -np.inf, np.nan),
    "long float32 with its largest": lambda: filled(LARGE, np.float32, 3.4e38, -3.4e38),
    "long float64 with its largest": lambda: filled(LARGE, np.float64, 1.7e308, -1.7e308),
    "wide float32": lambda: filled((8, 20_000), np.float32, 3.4e38),
    "volume of float16": lambda: filled((3, 16, 8, 40, 40), np.float16, 65504, -65504),
    "signalling NaN in float16": lambda: bits(SMALL, 0x7C01, np.uint16),
    "signalling NaN in float32": lambda: bits(SMALL, 0x7F800001, np.uint32),
    "signalling NaN in float64": lambda: bits(SMALL, 0x7FF0000000000001, np.uint64),
    "signalling NaN in many float16": lambda: bits((4, 64, 40, 40), 0x7C01, np.uint16),
    "signalling NaN in many float32": lambda: bits((4, 64, 40, 40), 0x7F800001, np.uint32),
    "signalling NaN in many float64": lambda: bits((4, 64, 40, 40), 0x7FF0000000000001, np.uint64),
    "largest float64": lambda: filled(SMALL, np.float64, 1.7976931348623157e308, -1.7976931348623157e308),
    "largest float32": lambda: filled(SMALL, np.float32, 3.4028235e38, -3.4028235e38),
    "smallest float64": lambda: np.full(SMALL, 5e-324),
    "subnormal float32": lambda: np.full(SMALL, np.float32(1e-45)),
    "infinities": lambda: filled(SMALL, np.float64, np.inf, -np.inf, np.nan),
    "nothing but NaN": lambda: np.full(SMALL, np.nan, np.float32),
    "large and far": lambda: filled(SMALL, np.float64, 1e308) + 1e307,
    "int64": lambda: np.full(SMALL, np.iinfo(np.int64).min),
    "uint64": lambda: np.full(SMALL, np.iinfo(np.uint64).max),
    "booleans": lambda: np.ones(SMALL, bool),
    "many booleans": lambda: np.ones((4, 64, 40, 40), bool),
}
LOOKS = [
    {},
    {"color": "value", "method": "batch"},
    {"color": "normalized", "method": "rms"},
    {"color": "value", "view": "paper"},
    {"color": "normalized", "view": "paper", "method": "positional"},
    {"color": "partition", "method": "instance"},
]


@pytest.mark.parametrize("name", EXTREMES)
def test_no_value_leaks_a_warning(name):
    x = EXTREMES[name]()
    large = x.size > 2**17
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for look in LOOKS[1:3] if large else LOOKS:
            nv.show(x, **look)._repr_mimebundle_()
        explorer = nv.Explorer(x, labels=np.arange(x.size).reshape(x.shape) % 3)
        assert explorer.to_svg().startswith("<svg")
        assert nv.to_html(explorer)
        for method in nv.METHODS:
            explorer.method = method
            assert explorer.statistics.mean.size
        if not large:
            nv.cube(x)


@pytest.mark.parametrize("name", ["largest float64", "signalling NaN in float32", "smallest float64", "infinities"])
def test_a_caller_who_makes_floating_point_errors_raise_gets_none(name):
    x = EXTREMES[name]()
    with np.errstate(all="raise"):
        for look in LOOKS:
            nv.show(x, **look)._repr_mimebundle_()


# ---- text from a user ------------------------------------------------------------------------------------------------


def test_a_long_title_is_measured_once(monkeypatch):
    """The width of each character is looked up a fixed number of times, however long the title is."""
    from normviz.explorer.svg import writer

    looked = {}
    real = writer._widths
    for length in (1_000, 10_000):
        seen = 0

        def counting(text):
            nonlocal seen
            for width in real(text):
                seen += 1
                yield width

        monkeypatch.setattr(writer, "_widths", counting)
        text = nv.show(np.zeros((2, 4)), title="w" * length).to_svg()
        looked[length] = seen
        assert len(text) < 40_000
    assert looked[10_000] - looked[1_000] <= 3 * 9_000


@pytest.mark.parametrize("title", ["W" * 100_000, "i" * 100_000, "a b " * 25_000, "<b>" * 30_000, "&" * 100_000])
def test_the_drawn_text_of_a_long_title_is_bounded(title):
    shown = nv.show(np.zeros((2, 4)), title=title)
    assert len(shown.to_svg()) < 60_000
    assert "…" in shown.to_svg()


@pytest.mark.parametrize(("length", "room"), [(0, 10), (1, 3), (5, 100), (40, 100), (40, 3), (40, 0)])
def test_clipped_text_is_the_longest_that_fits(length, room):
    from normviz.explorer.svg.writer import clipped, width_of

    text = "Wil l.m"[:7] * 6
    text = text[:length].strip()
    found = clipped(text, 13, room)
    if width_of(text, 13) <= room:
        assert found == text
        return
    fitting = [text[:k] for k in range(len(text) + 1) if width_of(text[:k] + "…", 13) <= room] or [""]
    assert found == fitting[-1].rstrip() + "…"


HOSTILE = "</script><!-- <img src=x onerror=alert(1)> & \" ' ]]> <b>"


def made_by(keywords):
    x = np.zeros((2, 4, 3, 3))
    yield nv.show(x, **keywords)
    yield nv.Explorer(x, **keywords)
    yield nv.compare_methods(x, **keywords)


def test_text_from_a_user_is_text_wherever_it_meets_html():
    """In pages, in frames of a notebook and in pictures: any title gives the same elements as a harmless one."""
    for hostile, harmless in zip(made_by({"title": HOSTILE}), made_by({"title": "A title"}), strict=True):
        texts = [hostile.to_html(), bundle(hostile)["text/html"], inside(bundle(hostile)["text/html"])]
        others = [harmless.to_html(), bundle(harmless)["text/html"], inside(bundle(harmless)["text/html"])]
        for text, other in zip(texts, others, strict=True):
            found, expected = (Reader(each).tags for each in (text, other))
            assert [tag for tag, _ in found] == [tag for tag, _ in expected]
            assert [set(names) for _, names in found] == [set(names) for _, names in expected]
        drawn = [each.tag for each in ET.fromstring(hostile.to_svg()).iter()]
        assert drawn == [each.tag for each in ET.fromstring(harmless.to_svg()).iter()]


def bundle(made):
    found = made._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


# ---- what the page may set -------------------------------------------------------------------------------------------


@pytest.fixture
def explorer():
    running = nv.RunningStatistics(8)
    x = np.random.default_rng(1).normal(size=(2, 8, 4, 4))
    running.update(x)
    return nv.Explorer(x, num_groups=4, index=(1, 3, 0, 2), statistics=running)


PAGE_SETS = {"method", "num_groups", "index", "step", "view", "color", "mode", "predict", "presenter", "answer"}
WRONG = [
    *(None, -1, 3, 99, 10**30, 1e400, float("nan"), 2.5, True, "", "x" * 10_000, "constructor", "__class__"),
    *([], [0], [0, 0, 0, 99], [[1]] * 4, ["0"] * 4, [None] * 4, {}, {"index": 1}, {"a": [1]}, [{}] * 4, [1e9] * 4),
]


def all_of(explorer):
    return {key: getattr(explorer, key) for key in explorer.keys} | {"x": explorer.x}


def set_by_page(explorer, values):
    """As a message of the front-end does; the host shows an error that this raises, and goes on."""
    try:
        explorer.set_state(values)
    except traitlets.TraitError:
        return False
    return True


def works(explorer):
    explorer._repr_mimebundle_()
    explorer.to_html()
    assert explorer.statistics.mean.size
    assert explorer.set


def test_the_page_sets_no_trait_that_is_pythons(explorer):
    before = all_of(explorer)
    for key in set(explorer.keys) - PAGE_SETS:
        for value in WRONG:
            set_by_page(explorer, {key: value})
            now = all_of(explorer)
            assert {k for k in now if now[k] is not before[k] and now[k] != before[k]} == set(), (key, value)
    works(explorer)


@pytest.mark.parametrize("key", sorted(PAGE_SETS))
def test_a_wrong_value_from_the_page_changes_nothing(explorer, key):
    before = all_of(explorer)
    for value in WRONG:
        if not set_by_page(explorer, {key: value}):
            now = all_of(explorer)
            assert all(now[k] is before[k] or now[k] == before[k] for k in now), value
        works(explorer)
        explorer.set_state({k: before[k] for k in PAGE_SETS})


@pytest.mark.parametrize("key", sorted(PAGE_SETS))
def test_one_wrong_value_refuses_the_whole_message(explorer, key):
    before = all_of(explorer)
    right = {"method": "layer", "step": 3, "view": "paper", "index": [0, 1, 1, 1]}
    wrong = {"answer": {"right": "x"}}.get(key, [None])
    assert not set_by_page(explorer, right | {key: wrong})
    now = all_of(explorer)
    assert all(now[k] is before[k] or now[k] == before[k] for k in now)


@pytest.mark.parametrize("message", [None, [], "method", 3, [["method", "layer"]]])
def test_a_message_of_another_form_changes_nothing(explorer, message):
    before = all_of(explorer)
    set_by_page(explorer, message)
    assert all_of(explorer) == before


def test_the_scene_from_the_page_is_ignored(explorer):
    explorer.set_state({"_scene": {"index": 1}, "_esm": "alert(1)", "_css": "*{}", "self": 1, "controls": False})
    works(explorer)
    assert "alert(1)" not in explorer.to_html()
    assert explorer.get_state()["_esm"].startswith("//") or "render" in explorer.get_state()["_esm"]
    assert explorer.controls is True


def test_what_a_person_chooses_on_the_page_is_taken(explorer):
    ranges = [[0, 1], [1, 2], [0, 4], [0, 4]]
    answer = {"method": "group", "num_groups": 8, "index": [0, 1, 2, 3], "ranges": ranges, "truth": ranges}
    answer |= {"right": 16, "missed": 0, "extra": 0, "says": "Right."}
    chosen = {"method": "group", "num_groups": 8, "index": [0, 1, 2, 3], "step": 4, "view": "paper", "color": "value"}
    explorer.set_state(chosen | {"presenter": True, "predict": True, "answer": answer})
    assert (explorer.num_groups, explorer.index, explorer.step) == (8, (0, 1, 2, 3), 4)
    assert (explorer.view, explorer.color, explorer.presenter, explorer.predict) == ("paper", "value", True, True)
    assert explorer.answer == answer


@pytest.mark.parametrize(
    "answer",
    [
        {"unknown": 1},
        {"ranges": [[0, 99]] * 4},
        {"ranges": [[0, 1]]},
        {"truth": [[0]] * 4},
        {"truth": [["a", "b"]] * 4},
        {"ranges": [0, 1, 2, 3]},
        {"says": "x" * 100_000},
        {"method": "nothing"},
        {"index": [0, 0, 0, 99]},
        {"right": "3"},
    ],
)
def test_an_answer_of_another_form_is_refused(explorer, answer):
    assert not set_by_page(explorer, {"answer": answer})
    assert explorer.answer == {}


@pytest.mark.parametrize(
    "question", [None, 3, [], {}, {"index": 0}, *({"method": w, "num_groups": w, "index": w} for w in WRONG)]
)
def test_a_question_of_another_form_gets_no_answer(explorer, monkeypatch, question):
    sent = []
    monkeypatch.setattr(explorer, "send", sent.append)
    explorer._answer(explorer, question, [])
    explorer._answer(explorer, {"method": "group", "num_groups": 4, "index": [0, 0, 0, 0]} | {"method": question}, [])
    assert sent == []


# ---- an array that changes -------------------------------------------------------------------------------------------


def numbers_of_the_picture(explorer):
    """What the still picture of an exported page would show."""
    from normviz.explorer.svg.readout import measure

    subject, state = explorer.page_parts()[0]
    shown = measure(subject.travelling(), state)
    return shown.mean, shown.var


LARGE = (4, 64, 40, 40)
# Neither the moments of maps nor those of positions give the statistics of a head: above a size they are read from x.
HEADS = [name for name, row in nv.METHODS.items() if within_positions(row)]


@pytest.mark.parametrize("method", HEADS)
def test_heads_of_a_large_tensor_are_read_from_x_and_are_not_in_a_page(method):
    x = np.random.default_rng(2).normal(size=LARGE)
    explorer = nv.Explorer(x, method=method)
    assert numbers_of_the_picture(explorer) == (None, None)
    assert "The numbers need a running kernel." in explorer.to_svg()
    np.testing.assert_allclose(explorer.statistics.var, nv.statistics(x, method, num_groups=4).var, rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "method"),
    [(shape, name) for shape in ((2, 8, 4, 4), LARGE) for name in nv.METHODS if shape != LARGE or name not in HEADS],
)
def test_picture_and_statistics_agree_after_x_is_changed_in_place(shape, method):
    x = np.random.default_rng(2).normal(size=shape)
    explorer = nv.Explorer(x, method=method)
    first = nv.statistics(x.copy(), method, num_groups=explorer.pooling.num_groups)
    x *= 3
    x += 100
    for change in (None, "eps", "weight"):
        if change == "eps":
            explorer.eps = 1e-3
        elif change == "weight":
            explorer.weight = np.ones(shape[nv.METHODS[method].affine_axis])
        mean, var = numbers_of_the_picture(explorer)
        now = explorer.statistics
        np.testing.assert_allclose(now.mean, first.mean, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(now.var, first.var, rtol=1e-12)
        np.testing.assert_allclose((mean, var), (now.mean.flat[0], now.var.flat[0]), rtol=1e-12, atol=1e-14)
    explorer.x = x
    assert explorer.statistics.var.flat[0] == pytest.approx(numbers_of_the_picture(explorer)[1], rel=1e-12)
    assert not np.allclose(explorer.statistics.var, first.var)


def test_the_page_gets_the_statistics_that_python_has(monkeypatch):
    """The answers on a tensor too large to travel, before and after it is changed in place."""
    x = np.random.default_rng(2).normal(size=LARGE)
    explorer, sent = nv.Explorer(x), []
    monkeypatch.setattr(explorer, "send", sent.append)
    for _ in range(2):
        for method in nv.METHODS:
            explorer.method = method
            question = {"method": method, "num_groups": explorer.num_groups, "index": [1, 5, 7, 9]}
            explorer._answer(explorer, question, [])
            at = explorer.pooling.set_number((1, 5, 7, 9))
            expected = (explorer.statistics.mean.flat[at], explorer.statistics.var.flat[at])
            assert (sent[-1]["mean"], sent[-1]["var"]) == pytest.approx(expected, rel=1e-12, abs=1e-14)
        x += 100
    assert len(sent) == 2 * len(nv.METHODS)
    before, after = sent[: len(nv.METHODS)], sent[len(nv.METHODS) :]
    same = [(a["mean"], a["var"]) == (b["mean"], b["var"]) for a, b in zip(after, before, strict=True)]
    assert [name for name, kept in zip(nv.METHODS, same, strict=True) if not kept] == HEADS


@pytest.mark.parametrize("shape", [(2, 8, 4, 4), (4, 64, 40, 40)])
def test_given_sets_agree_after_x_and_labels_are_changed_in_place(shape):
    x = np.random.default_rng(2).normal(size=shape)
    labels = np.arange(x.size).reshape(shape) % 5
    explorer = nv.Explorer(x, labels=labels)
    first = explorer.statistics
    x += 100
    labels[:] = 0
    np.testing.assert_array_equal(explorer.statistics.mean, first.mean)
    np.testing.assert_allclose(numbers_of_the_picture(explorer), (first.mean[0], first.var[0]), rtol=1e-9)


def test_running_statistics_that_go_on_do_not_change_an_explorer():
    x = np.random.default_rng(2).normal(size=(2, 8, 4, 4))
    mean, var = np.zeros(8), np.ones(8)
    explorer = nv.Explorer(x, "batch", mode="eval", statistics=type("Own", (), {"mean": mean, "var": var}))
    mean += 5
    var *= 7
    assert explorer.statistics.mean[0] == numbers_of_the_picture(explorer)[0] == 0


# ---- copies ----------------------------------------------------------------------------------------------------------


COPIES = [copy.copy, copy.deepcopy, lambda explorer: pickle.loads(pickle.dumps(explorer))]


@pytest.mark.parametrize("made", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"method": "batch", "index": (1, 2, 3, 0), "step": 3, "view": "paper", "color": "value", "controls": False},
        {"method": "layer", "weight": np.ones((8, 4, 4)), "eps": 1e-3, "title": "<b>"},
        {"weight": np.arange(8.0), "bias": np.ones(8), "predict": True, "presenter": True},
        {"labels": np.arange(256).reshape(2, 8, 4, 4) % 3, "marks": np.ones((2, 8, 4, 4), bool)},
        {"method": "weight_norm", "weight": np.ones(2)},
    ],
)
def test_an_explorer_can_be_copied(made, keywords):
    explorer = nv.Explorer(np.random.default_rng(3).normal(size=(2, 8, 4, 4)), **keywords)
    if keywords.get("method") == "weight_norm":
        explorer.method = "batch"  # to which a weight of shape (Cout,) does not belong
    twin = made(explorer)
    assert type(twin).__name__ == "Explorer"
    assert isinstance(twin, nv.Explorer)
    assert twin.model_id != explorer.model_id
    assert twin.to_html() == explorer.to_html()
    np.testing.assert_array_equal(twin.x, explorer.x)
    twin.step = 5
    twin.eps = 0.5
    assert explorer.step == keywords.get("step", 0)
    assert explorer._scene["eps"] == keywords.get("eps", 1e-5)
    works_like_new = nv.Explorer(twin.x)
    twin.x = works_like_new.x + 1
    assert not np.array_equal(explorer.x, twin.x)


@pytest.mark.parametrize("made", COPIES)
def test_a_copy_keeps_layout_and_tooltip(made, explorer):
    explorer.layout, explorer.tooltip = {"width": "50%"}, "a tensor"
    twin = made(explorer)
    assert (twin.layout.width, twin.tooltip) == ("50%", "a tensor")
    twin.layout.width = "30%"
    assert explorer.layout.width == "50%"


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy])
def test_a_copy_keeps_a_class_of_the_users_own(made, explorer):
    class Own(nv.Explorer):
        pass

    twin = made(made(Own(explorer.x)))
    assert isinstance(twin, Own)
    assert twin.to_html() == nv.Explorer(explorer.x).to_html()


def test_eval_mode_survives_a_copy(explorer):
    explorer.method, explorer.mode = "batch", "eval"
    for made in COPIES:
        np.testing.assert_array_equal(made(explorer).statistics.mean, explorer.statistics.mean)


def test_what_show_returns_can_be_copied():
    for shown in (nv.show(), nv.compare_methods()):
        shown.to_svg()
        for made in COPIES:
            assert made(shown).to_html() == shown.to_html()


# ---- what a page takes -----------------------------------------------------------------------------------------------


class Permissive:
    """Answers to every name, as some models do."""

    def __getattr__(self, name):
        return []


def norm(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)


OTHERS = {
    "quiz": (lambda: nv.quiz(), "not Quiz; its own to_html() makes a page of it"),
    "chooser": (lambda: nv.chooser(), "not Chooser; its own to_html() makes a page of it"),
    "figure": (lambda: nv.cube(np.zeros((2, 4))), "not Figure; its own to_html() makes a page of it"),
    "probe": (lambda: nv.probe(norm, (2, 4, 3, 3)), "not Probe; pass what its explore() returns"),
    "verdict": (lambda: nv.check(norm, "batch"), "not Verdict; pass what its explore() returns"),
    "None": (lambda: None, "not None"),
    "string": (lambda: "page", "not str"),
    "number": (lambda: 3, "not int"),
    "dictionary": (lambda: {"x": 1}, "not dict"),
    "generator": (lambda: (x for x in [np.zeros((2, 4))]), "not generator"),
    "class": (lambda: nv.Explorer, "not MetaHasTraits"),
    "permissive": (Permissive, "not Permissive"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("listed", [False, True])
def test_what_has_no_place_on_a_page_gets_one_sentence(tmp_path, name, listed):
    make, end = OTHERS[name]
    item = make()
    path = tmp_path / "page.html"
    known = "explorers, what show() and compare_methods() returned, and arrays"
    with pytest.raises(TypeError) as caught:
        nv.to_html([nv.show(), item] if listed else item, path)
    assert str(caught.value).startswith(f"to_html() takes {known}, {end}")
    assert not path.exists()


def test_a_list_of_explorers_in_the_list_gets_one_sentence():
    for inner in ([nv.show(), nv.show()], (nv.Explorer(), np.zeros((2, 4)))):
        with pytest.raises(TypeError, match=r"^to_html\(\) takes one flat list; compare_methods\(\) puts explorers"):
            nv.to_html([nv.show(), inner])
    assert nv.to_html([[[1.0, 2.0], [3.0, 5.0]]]).count('<section class="nvp-explorer"') == 1


def test_explorers_of_inspection_have_a_place_on_a_page():
    explored = nv.probe(norm, (2, 4, 3, 3)).explore()
    assert nv.to_html([explored]).count('<section class="nvp-explorer"') == 1


# ---- the work is done once -------------------------------------------------------------------------------------------


@pytest.fixture
def counts(monkeypatch):
    """How many pictures are drawn, and how many scenes built."""
    from normviz.explorer import scene
    from normviz.explorer.svg import picture

    counts = dict.fromkeys(("draw", "build"), 0)

    def counting(module, name):
        real = getattr(module, name)

        def count(*arguments):
            counts[name] += 1
            return real(*arguments)

        monkeypatch.setattr(module, name, count)

    counting(picture, "draw")
    counting(scene, "build")
    return counts


@pytest.mark.parametrize(
    ("make", "pictures"),
    [(lambda: nv.show(), 1), (lambda: nv.Explorer(), 1), (lambda: nv.compare_methods(), 2)],
    ids=["show", "Explorer", "compare_methods"],
)
def test_a_notebook_output_is_drawn_once_and_its_scene_built_once(counts, make, pictures):
    made = make()
    made._repr_mimebundle_()
    assert counts == {"draw": pictures, "build": 1}
    made.to_html()
    assert counts == {"draw": 2 * pictures, "build": 1}


def test_a_picture_needs_no_scene(counts, tmp_path):
    pytest.importorskip("resvg_py")
    shown = nv.show()
    shown.to_svg()
    shown.to_gif(tmp_path / "sweep.gif", width=200)
    assert counts["build"] == 0


@pytest.mark.parametrize("make", [nv.show, nv.compare_methods])
def test_what_is_shown_of_a_large_tensor_does_not_keep_it(make):
    x = np.zeros((4, 64, 40, 40))
    shown, kept = make(x), weakref.ref(x)
    del x
    assert kept() is None
    assert shown.to_html()
    assert len(pickle.dumps(shown)) < 200_000
    # A few samples times channels travel; more stay with Python.
    x = np.zeros((2**15, 8))
    shown, kept = make(x), weakref.ref(x)
    del x
    assert kept() is None
    assert shown.scene["mean"] is None
    assert "need a running kernel" in shown.to_svg()
    assert len(pickle.dumps(shown)) < 700_000


def test_a_gif_that_cannot_be_finished_leaves_the_old_one(monkeypatch, tmp_path):
    pytest.importorskip("resvg_py")
    path = tmp_path / "sweep.gif"
    path.write_bytes(b"old")

    def fail(self, target):
        raise OSError("the disk is full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        nv.show().to_gif(path, width=200)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.gif"]
