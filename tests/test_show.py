"""What `show` puts into a notebook: a picture, a frame over it, and nothing that goes blank."""

import base64
import html
import re

import nbformat
import numpy as np
import pytest

import normviz as nv
from normviz.explorer.show import Shown
from tests.pages import HOSTILE, Reader, X, data_of, inside


def test_show_gives_a_page_and_a_picture_and_nothing_else():
    shown = nv.show(X, "group", 4, index=(0, 3, 1, 1))
    assert isinstance(shown, Shown)
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/html", "image/svg+xml"}
    assert repr(shown) == "Shown(shape=(2, 8, 4, 4), method='group', num_groups=4, index=(0, 3, 1, 1))"
    assert " at 0x" not in repr(shown) + repr(nv.show(X, "rms")) + "".join(bundle.values())


def test_the_html_of_show_is_a_picture_under_a_sandboxed_frame():
    made = nv.show(X)._repr_mimebundle_()["text/html"]
    reader = Reader(made)
    assert [tag for tag, _ in reader.tags] == ["div", "div", "figure", "img", "figcaption", "iframe"]
    (_, outer), (_, wrapper), (_, still), (_, img), _, (_, frame) = reader.tags
    assert outer["style"] == "max-width:960px"
    # The frame gets its height from an expression of its width, not from the picture, and covers it.
    assert wrapper["style"].startswith("position:relative;padding-bottom:calc(")
    assert "height:calc(0px)" in still["style"]
    assert img["alt"].startswith(
        "Group Norm, G = 4: the set of cell (0, 0, 0, 0) is n 0, c 0 to 1, h 0 to 3, w 0 to 3;"
    )
    kind, _, packed = img["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(packed).decode() == nv.show(X).to_svg(caption=False)
    assert re.fullmatch(
        r"width:100%;max-width:960px;max-width:min\(960px, calc\(.*\) \* [\d.]+\);height:auto;display:block",
        img["style"],
    )
    words = re.search("<figcaption.*?>(.*?)</figcaption>", made)[1]
    assert words.startswith(html.escape(img["alt"]))
    assert "share one mean and one variance." in words
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"] == "Group Norm, G = 4: interactive explorer"
    size = "width:100%;height:100%;min-width:0;min-height:0;max-width:none;max-height:none;margin:0;padding:0"
    assert frame["style"] == f"position:absolute;inset:0;{size};border:0;color-scheme:light dark"
    assert "DecompressionStream('gzip')" in frame["srcdoc"]
    assert "fetch" not in frame["srcdoc"]
    assert "src" not in frame


def test_the_frame_unpacks_the_page_without_a_second_picture():
    text = inside(nv.show(X, "layer", step=3)._repr_mimebundle_()["text/html"])
    assert text.startswith("<!doctype html>")
    assert data_of(text)[0]["state"]["method"] == "layer"
    assert data_of(text)[0]["state"]["step"] == 3
    assert "<svg" not in text.split("<script", 1)[0]


def test_any_title_is_text_in_a_notebook_too():
    made = nv.show(X, title=HOSTILE)._repr_mimebundle_()["text/html"]
    assert [tag for tag, _ in Reader(made).tags] == ["div", "div", "figure", "img", "figcaption", "iframe"]
    assert data_of(inside(made))[0]["scene"]["title"] == HOSTILE


@pytest.mark.parametrize(
    "keywords",
    [
        {"method": "grup"},
        {"num_groups": 3},
        {"method": "batch", "num_groups": 2},
        {"index": (0, 8, 0, 0)},
        {"eps": 0},
        {"weight": np.ones(3)},
        {"metod": "batch"},
        {"step": 9},
        {"view": "side"},
    ],
)
def test_show_refuses_what_the_explorer_refuses(keywords):
    with pytest.raises(Exception) as by_explorer:
        nv.Explorer(X, **keywords)
    with pytest.raises(type(by_explorer.value), match=f"^{re.escape(str(by_explorer.value))}$"):
        nv.show(X, **keywords)


def test_the_explorers_bundle_has_the_same_two_beside_the_widget():
    explorer = nv.Explorer(X, "group", 4)
    data, _ = explorer._repr_mimebundle_()
    assert {"text/html", "image/svg+xml", "application/vnd.jupyter.widget-view+json"} <= set(data)
    assert data["text/html"] == nv.show(X, "group", 4)._repr_mimebundle_()["text/html"]


def test_a_notebook_of_ten_is_small_and_nbconvert_keeps_them_alive():
    nbconvert = pytest.importorskip("nbconvert")
    x, cells = nv.samples.activations(), []
    for k in range(10):
        bundle = nv.show(x, list(nv.METHODS)[k % 6], index=(k % 4, k, k, k))._repr_mimebundle_()
        output = nbformat.v4.new_output("display_data", data=bundle)
        cells.append(nbformat.v4.new_code_cell("nv.show(x)", outputs=[output]))
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert len(nbformat.writes(notebook).encode()) <= 2_000_000
    body, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert body.count('sandbox="allow-scripts"') == 10
    assert "DecompressionStream" in html.unescape(body)
