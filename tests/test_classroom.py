"""Features for teaching without a browser: predictions, methods side by side, worksheets and animations."""

import os
import re
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

import normviz as nv
from normviz.classroom.worksheet import distinct, end_of
from normviz.explorer import js as front
from normviz.explorer import validation
from normviz.explorer.svg.writer import width_of
from tests.pages import HOSTILE, Reader, X, data_of, inside

# ---- predict, then reveal --------------------------------------------------------------------------------------------


def test_a_prediction_travels_as_a_trait_and_its_answer_comes_back():
    explorer = nv.Explorer(X, "group", 4, predict=True)
    assert explorer.predict is True
    assert explorer.answer == {}
    explorer.set_state({"answer": {"right": 3, "missed": 0, "extra": 1}})
    assert explorer.answer["extra"] == 1
    assert nv.Explorer(X).predict is False
    assert data_of(nv.show(X, predict=True).to_html())[0]["state"]["predict"] is True


@pytest.mark.parametrize("keywords", [{}, {"color": "partition"}, {"color": "normalized"}, {"view": "paper"}])
def test_the_still_picture_of_a_prediction_hides_the_set(keywords):
    """The pictures of two methods with different sets differ only in the methods' names."""
    shown = {name: nv.show(X, name, index=(0, 3, 1, 1), predict=True, **keywords) for name in ("layer", "instance")}
    pictures = {name: one.to_svg() for name, one in shown.items()}
    assert pictures["layer"].replace("Layer Norm", "Instance Norm") == pictures["instance"]
    assert pictures["layer"] != nv.show(X, "layer", index=(0, 3, 1, 1), **keywords).to_svg()
    alt = Reader(shown["layer"]._repr_mimebundle_()["text/html"]).find("img")[0]["alt"]
    assert alt == "Layer Norm. Mark the pooling set of cell (0, 3, 1, 1)."


def test_given_sets_cannot_be_predicted():
    text = "predict=True asks for a method's set, and labels are sets of their own; leave out one"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        nv.show(X, labels=np.zeros(X.shape, int), predict=True)


# ---- the quiz --------------------------------------------------------------------------------------------------------


def test_the_words_of_the_quizzes_picture_fit_into_it():
    root = ET.fromstring(nv.quiz(np.zeros((10, 128, 3, 4)), questions=12).to_svg())
    texts = root.findall("{http://www.w3.org/2000/svg}text")
    assert len(texts) >= 3
    for text in texts:
        width = width_of("".join(text.itertext()), float(text.get("font-size")))
        assert float(text.get("x")) + width <= float(root.get("width"))


# ---- methods side by side --------------------------------------------------------------------------------------------


def test_methods_compared_share_one_scene_and_are_linked():
    compared = nv.compare_methods(X, ["batch", "group"], num_groups=2, index=(1, 3, 1, 1))
    assert repr(compared) == "Compared(shape=(2, 8, 4, 4), methods=['batch', 'group'])"
    first, second = data_of(compared.to_html())
    assert isinstance(first["scene"], dict)
    assert second["scene"] == 0
    assert first["link"] == second["link"]
    assert (second["state"]["method"], second["state"]["num_groups"]) == ("group", 2)
    assert first["state"]["index"] == second["state"]["index"] == [1, 3, 1, 1]


def test_methods_compared_go_onto_a_page_with_others():
    texts = data_of(nv.to_html([X, nv.compare_methods(X), nv.compare_methods(X, ["layer", "rms", "instance"])]))
    assert [part.get("link") for part in texts] == [None, 1, 1, 2, 2, 2]
    assert [part["scene"] if isinstance(part["scene"], int) else "own" for part in texts] == [
        *("own", "own", 1),
        *("own", 3, 3),
    ]


def test_the_output_of_a_comparison_is_a_picture_under_a_frame():
    bundle = nv.compare_methods(X, ["batch", "group"])._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/svg+xml"}
    tags = [tag for tag, _ in Reader(bundle["text/html"]).tags]
    assert tags == ["div", "div", "figure", "img", "figcaption", "iframe"]
    assert len(data_of(inside(bundle["text/html"]))) == 2
    drawn = ET.fromstring(bundle["image/svg+xml"])
    heights = [int(child.attrib["height"]) for child in drawn]
    assert drawn.attrib["viewBox"] == f"0 0 960 {sum(heights)}"
    assert [child.attrib["y"] for child in drawn] == ["0", str(heights[0])]


def sizes(compared):
    shape = compared.scene["shape"]
    chosen = [(state["method"], state["num_groups"]) for state in compared.states]
    return [nv.pooling(name, shape, G if nv.METHODS[name].has_groups else None).size for name, G in chosen]


@pytest.mark.parametrize(
    "methods",
    [("batch", "group"), ("layer", "group", "instance"), ("group", "ghost"), ("batch", "layer", "rms", "group")],
)
def test_methods_compared_have_sets_of_different_sizes_where_there_are_such(methods):
    compared = nv.compare_methods(methods=methods)  # of the samples, where G = 4 gives sets as large as Batch Norm's
    assert len(set(sizes(compared))) == len(methods)
    for state in compared.states:
        assert 1 < state["num_groups"] < 16
    assert len(set(sizes(nv.compare_methods(methods=methods, num_groups=4)))) <= len(methods)


def test_a_comparison_keeps_the_usual_number_of_groups_where_it_can():
    assert [state["num_groups"] for state in nv.compare_methods(X).states] == [4, 2]
    assert nv.compare_methods(np.zeros((3, 8, 4, 4))).states[1]["num_groups"] == 4
    # Every G gives Batch Norm's size or has no other: the usual one stays.
    assert nv.compare_methods(np.zeros((2, 1, 4, 4)), ["batch", "group"]).states[1]["num_groups"] == 1
    assert sizes(nv.compare_methods(np.zeros((1, 1, 4, 4)), ["batch", "group"])) == [16, 16]
    # What is asked for is kept, also where sizes agree.
    assert sizes(nv.compare_methods(num_groups=4)) == [576, 576]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"methods": ["batch"]}, ValueError, "compare_methods() shows 2 to 4 methods side by side, not 1"),
        ({"methods": "batch"}, ValueError, "compare_methods() shows 2 to 4 methods side by side, not 1"),
        ({"methods": ["batch"] * 5}, ValueError, "compare_methods() shows 2 to 4 methods side by side, not 5"),
        (
            {"methods": ["batch", "layer"], "num_groups": 2},
            ValueError,
            "num_groups=2 means nothing to methods batch, layer; leave it out",
        ),
    ],
)
def test_a_comparison_that_cannot_be_is_refused(arguments, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        nv.compare_methods(X, **arguments)


def test_a_comparison_takes_methods_and_no_method():
    with pytest.raises(TypeError, match=r"^compare_methods\(\): .*'method'.*methods"):
        nv.compare_methods(X, method="batch")


# ---- worksheets ------------------------------------------------------------------------------------------------------


def test_one_file_under_two_names_holds_questions_and_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("link.html").symlink_to("sheet.html")
    for key in ("./sheet.html", tmp_path / "sheet.html", "link.html"):
        nv.worksheet((2, 8, 4, 4), path="sheet.html", key=key)
        assert Path("sheet.html").read_text("utf-8") == nv.worksheet((2, 8, 4, 4))


def test_a_worksheet_has_questions_and_a_key(tmp_path):
    """In two files, in two that are named, in one that is named twice, or as one text."""
    arguments = {"x": (2, 8, 4, 4), "methods": ["batch", "group"], "num_groups": 2}
    assert nv.worksheet(**arguments, path=tmp_path / "sheet.html") is None
    questions, key = ((tmp_path / name).read_text("utf-8") for name in ("sheet.html", "sheet-key.html"))
    nv.worksheet(**arguments, path=tmp_path / "a.html", key=tmp_path / "b.html")
    assert [(tmp_path / name).read_text("utf-8") for name in ("a.html", "b.html")] == [questions, key]
    nv.worksheet(**arguments, path=tmp_path / "one.html", key=str(tmp_path / "one.html"))
    assert (tmp_path / "one.html").read_text("utf-8") == nv.worksheet(**arguments)
    assert (
        sorted(each.name for each in tmp_path.iterdir()) == "a.html b.html one.html sheet-key.html sheet.html".split()
    )
    in_one = nv.worksheet(**arguments).split('<div class="key">')
    assert [text.count("<section>") for text in in_one] == [2, 2]
    assert questions.count("<svg") == key.count("<svg") == 2
    assert ">pooling set<" in key
    assert ">pooling set<" not in questions
    assert "share one mean and one variance" not in questions
    assert "Key: Which cells share mean and variance?" in key
    assert "n</i> 0 to 1, <i>c</i> 0, <i>h</i> 0 to 3, <i>w</i> 0 to 3. Cells in the set: <b>32</b>" in key
    assert "n</i> 1, <i>c</i> 0 to 3, <i>h</i> 0 to 3, <i>w</i> 0 to 3. Cells in the set: <b>64</b>" in key


EVERY = list(nv.METHODS)
SHAPES = [
    (n, c, *spatial)
    for n in (1, 2, 3, 4, 8)
    for c in (1, 2, 3, 4, 6, 7, 8, 12, 25)
    for spatial in ((), (1,), (5,), (1, 1), (2, 3), (1, 2, 2))
]


@pytest.mark.parametrize("methods", [["batch", "layer", "instance", "group"], EVERY, EVERY[::-1]], ids=" ".join)
def test_no_two_questions_have_the_same_answer(methods):
    """Whatever the shape: a method is left out only if its sets are asked already, or if no G is left for it."""
    for shape in SHAPES:
        asked, notes = distinct(shape, validation.each_method(methods, None, None))
        labels = {each["method"]: nv.pooling(each["method"], shape, each["num_groups"]).labels() for each in asked}
        for one, other in combinations(labels.values(), 2):
            assert (one != other).any(), shape
        left = [name for name in methods if name not in labels]
        assert [each["method"] for each in asked] == [name for name in methods if name in labels]
        assert len(notes) == len(left)
        for name in left:
            row = nv.METHODS[name]
            every = nv.divisors(shape[row.grouped_axis])[1:-1] if row.has_groups else [None]
            for G in every:
                mine = nv.pooling(name, shape, G).labels()
                assert any((mine == other).all() for other in labels.values()), (shape, name)
        for each in asked:
            if (G := each["num_groups"]) is not None:
                assert 1 < G < shape[nv.METHODS[each["method"]].grouped_axis]


@pytest.mark.parametrize(
    ("shape", "G"), [((2, 4, 3, 3), 2), ((2, 6, 3, 3), 3), ((2, 9, 2, 2), 3), ((2, 10, 2, 2), 5), ((2, 25, 2, 2), 5)]
)
def test_a_worksheet_takes_the_number_of_groups_next_to_4(shape, G):
    assert f"<h2>4. Group Norm, G = {G}</h2>" in nv.worksheet(shape)


@pytest.mark.parametrize(
    ("shape", "questions", "said"),
    [
        (
            (2, 7, 3, 3), 3,
            ["Group Norm is left out: no G between 1 and C = 7 gives sets that differ from all others here."],
        ),
        ((1, 8, 3, 3), 3, ["Instance Norm is left out: on this shape it has the same sets as Batch Norm."]),
        (
            (2, 1, 3, 3), 2,
            [
                "Instance Norm is left out: on this shape it has the same sets as Layer Norm.",
                "Group Norm is left out: no G between 1 and C = 1 gives sets that differ from all others here.",
            ],
        ),
    ],
)  # fmt: skip
def test_a_worksheet_says_what_it_leaves_out(shape, questions, said):
    sheet, key = nv.worksheet(shape).split('<div class="key">')
    assert sheet.count("<section>") == key.count("<section>") == questions
    assert re.findall("<p>([^<]* left out: .*)</p>", sheet) == said
    assert "left out" not in key
    answers = re.findall("<p>(.*?)</p>", key)
    assert len(set(answers)) == len(answers) == questions


@pytest.mark.parametrize(
    ("methods", "G", "whose", "left"),
    [
        (["batch", "layer", "instance", "group"], 8, "Instance Norm", "Instance Norm"),
        (["group", "layer"], 1, "Layer Norm", "Layer Norm"),
        (["group", "batch"], 1, "Layer Norm", None),
    ],
)
def test_a_number_of_groups_at_the_end_is_taken_with_a_warning(methods, G, whose, left):
    text = f"The statistics of Group Norm with G = {G} are those of {whose}."
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$") as warned:
        page = nv.worksheet((2, 8, 3, 3), methods, num_groups=G)
    assert [each.filename for each in warned] == [__file__]
    assert f"<p>{text}</p>" in page
    assert f"Group Norm, G = {G}</h2>" in page
    found = re.findall("<p>(.*) is left out: on this shape it has the same sets as (.*)[.]</p>", page)
    assert found == ([] if left is None else [(left, f"Group Norm with G = {G}")])


def test_the_ends_of_other_methods_with_groups_are_named_too():
    for name, G, text in [
        ("ghost", 1, "The statistics of Ghost Batch Norm with G = 1 are those of Batch Norm."),
        ("ghost", 4, "The statistics of Ghost Batch Norm with G = 4 are those of Instance Norm."),
        ("per_head_rms", 1, "The statistics of Per-Head RMS Norm with G = 1 are those of RMS Norm."),
        ("per_head", 6, "Per-Head Layer Norm with G = 6 makes every cell a set of its own."),
        ("per_head", 2, None),
        ("batch", None, None),
    ]:
        assert end_of((4, 6, 3, 3), {"method": name, "num_groups": G}) == text


def test_a_worksheet_into_a_pipe_is_one_page(tmp_path):
    """It has one name, so questions and key stay together."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_text, "utf-8")
        nv.worksheet((2, 4, 2, 2), "batch", path=tmp_path / "pipe")
        assert read.result() == nv.worksheet((2, 4, 2, 2), "batch")
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_worksheet_has_no_script():
    reader = Reader(nv.worksheet(X, title=HOSTILE))
    assert {"script", "img", "link", "iframe"}.isdisjoint(tag for tag, _ in reader.tags)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"methods": []}, ValueError, "worksheet() has nothing to ask: methods is empty; give it at least one"),
        (
            {"x": (2, 8, -1, 4)},
            TypeError,
            "worksheet() takes an array or a shape (N, C, ...) of whole numbers, not (2, 8, -1, 4)",
        ),
        (
            {"methods": ["batch"], "num_groups": 2},
            ValueError,
            "num_groups=2 means nothing to methods batch; leave it out",
        ),
        (
            {"methods": None},
            TypeError,
            "methods must be a method or a list of methods, such as ['batch'], not None",
        ),
        ({"methods": [["batch"]]}, TypeError, "method must be a name such as 'batch', not list"),
        ({"index": 5}, TypeError, "index must be 4 whole numbers (n, c, ...), not 5"),
        (
            {"x": (2, 7, 3, 3), "methods": "group"},
            ValueError,
            "worksheet() has nothing to ask: Group Norm is left out: no G between 1 and C = 7 gives sets that differ "
            "from all others here.",
        ),
        ({"key": "k.html"}, ValueError, "key='k.html' needs a path for the questions; give path, too"),
    ],
)
def test_a_worksheet_that_cannot_be_is_refused(arguments, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        nv.worksheet(**arguments)


def test_any_title_of_a_worksheet_is_text():
    tags = [tag for tag, _ in Reader(nv.worksheet((2, 4), "batch", title="A title")).tags]
    assert tags[:6] == ["html", "head", "meta", "meta", "meta", "title"]
    for title in (HOSTILE, "<b>", "<!--", 5, None, "a\x00b\ud800"):
        assert [tag for tag, _ in Reader(nv.worksheet((2, 4), "batch", title=title)).tags] == tags
    assert "<h1>5</h1>" in nv.worksheet((2, 4), "batch", title=5)


def test_a_misspelt_keyword_of_a_worksheet_gets_the_nearest_one():
    with pytest.raises(TypeError, match=r"^worksheet\(\): unknown keyword 'metods'; did you mean 'methods'\?"):
        nv.worksheet(metods="batch")


# ---- animations ------------------------------------------------------------------------------------------------------


def test_the_gif_sweeps_every_g(tmp_path):
    pytest.importorskip("resvg_py", reason="needs resvg-py (the extra gif)")
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (the extra gif)")
    path = tmp_path / "sweep.gif"
    nv.Explorer(X[:, :6], "batch", index=(0, 3, 1, 1)).to_gif(path, duration=700, width=640)
    with image.open(path) as moving:
        assert moving.format == "GIF"
        assert moving.n_frames == len(nv.divisors(6))
        height = int(ET.fromstring(nv.show(X[:, :6]).to_svg(width=640)).attrib["height"])
        assert moving.size == (640, height)
        assert (moving.info["loop"], moving.info["duration"]) == (0, 700)
        frames = []
        for k in range(moving.n_frames):
            moving.seek(k)
            frames.append(np.asarray(moving.convert("RGB"), int))
    # The pictures have a light background, and each G lights fewer cells than the one before.
    blue = [int(((f[:, :, 2] - f[:, :, 0]) > 80).sum()) for f in frames]
    assert blue == sorted(blue, reverse=True)
    assert len(set(blue)) == len(blue)
    assert all(np.median(f) > 230 for f in frames)
    # The line of numbers has dark pixels, so a font was found, and differs from G to G.
    lines = [f[height - 50 :] for f in frames]
    assert all((line.sum(axis=2) < 300).sum() > 400 for line in lines)
    assert all((a != b).any() for a, b in pairwise(lines))
    assert path.stat().st_size < 300_000


@pytest.mark.parametrize("width", [160, 480, 1920])
def test_a_gif_has_the_width_that_was_asked_for_and_may_leave_out_its_caption(tmp_path, width):
    pytest.importorskip("resvg_py", reason="needs resvg-py (the extra gif)")
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (the extra gif)")
    heights = []
    for caption in (True, False):
        nv.show(X).to_gif(tmp_path / "sweep.gif", width=width, caption=caption)
        with image.open(tmp_path / "sweep.gif") as moving:
            heights.append(moving.size[1])
            assert (moving.size[0], moving.n_frames) == (width, len(nv.divisors(8)))
    assert heights[0] > heights[1]


def test_the_gif_of_the_samples_is_below_a_megabyte(tmp_path):
    pytest.importorskip("resvg_py", reason="needs resvg-py (the extra gif)")
    nv.show().to_gif(tmp_path / "sweep.gif")
    assert (tmp_path / "sweep.gif").stat().st_size < 1_000_000


@pytest.mark.parametrize("module", ["resvg_py", "PIL"])
def test_without_its_extra_the_gif_names_it(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    text = 'to_gif() needs resvg-py and Pillow, and one of them is missing: pip install "normviz[gif]"'
    with pytest.raises(ImportError, match=f"^{re.escape(text)}$"):
        nv.show(X).to_gif(tmp_path / "sweep.gif")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"width": 10}, ValueError, "width=10 is out of range; give 160 to 4000"),
        ({"duration": 0}, ValueError, "duration=0 is out of range; give 20 to 60000"),
        ({"duration": "slow"}, TypeError, "duration must be a whole number, not 'slow'"),
    ],
)
def test_a_gif_that_cannot_be_is_refused(tmp_path, arguments, error, text):
    pytest.importorskip("resvg_py", reason="needs resvg-py (the extra gif)")
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        nv.show(X).to_gif(tmp_path / "sweep.gif", **arguments)


# ---- size ------------------------------------------------------------------------------------------------------------


def test_pages_contain_no_indentation_and_no_comment_lines():
    for text in (front.module(), front.page(), front.stylesheet()):
        assert not re.search(r"^[ \t]|^//|^/\*", text, re.MULTILINE)
        assert "https://" not in text
    assert len(nv.show(nv.samples.activations())._repr_mimebundle_()["text/html"]) < 120_000
