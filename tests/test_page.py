"""Exported pages and what `show` puts into a notebook: whole, small, closed, and safe with any text."""

import base64
import gzip
import html
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest

import normviz as nv
from normviz.explorer import Shown, front, page, state

HOSTILE = "</script><!-- <script>alert(1)</script> & \" ' é"
X = np.random.default_rng(0).normal(size=(2, 8, 4, 4))


class Reader(HTMLParser):
    """Tags with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def data_of(text: str) -> list[dict]:
    return json.loads(Reader(text).scripts[0])


def inside(fragment: str) -> str:
    """The page that a fragment's frame unpacks."""
    (frame,) = Reader(fragment).find("iframe")
    packed = re.search(r"atob\('([A-Za-z0-9+/=]+)'\)", frame["srcdoc"]).group(1)
    return gzip.decompress(base64.b64decode(packed)).decode()


# ---- the page ------------------------------------------------------------------------------------------------------


def test_a_page_is_whole():
    text = nv.to_html(X)
    reader = Reader(text)
    assert text.startswith("<!doctype html>")
    assert reader.find("html") == [{"lang": "en"}]
    metas = {m.get("name") or m.get("http-equiv"): m.get("content") for m in reader.find("meta") if "content" in m}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "default-src 'none'" in metas["Content-Security-Policy"]
    assert "<title>Group Norm, G = 4 · normviz</title>" in text
    assert "<noscript>" in text
    scripts = reader.find("script")
    assert [s["type"] for s in scripts] == ["application/json", "module"]
    assert not [s for s in scripts if "src" in s]


def test_a_page_holds_the_module_once_however_many_explorers_it_has():
    explorer = nv.Explorer(X, "batch")
    text = nv.to_html([explorer, nv.show(X, "layer"), X])
    assert text.count("export default { render }") == 1
    assert text.count('<section class="nvp-explorer"') == 3
    assert [each["state"]["method"] for each in data_of(text)] == ["batch", "layer", "group"]
    assert "<title>Batch Norm and 2 more · normviz</title>" in text


def test_a_page_shows_the_picture_until_its_script_runs():
    text = nv.to_html(X)
    still = re.search(r'<div class="nvp-still">(<svg.*?</svg>)</div>', text, re.DOTALL).group(1)
    assert still == nv.show(X).to_svg()
    ET.fromstring(still)


def test_nothing_in_a_page_leads_out():
    text = nv.to_html([X, X])
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z.]+[^\s\"'`)]*", text, re.IGNORECASE))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, addresses
    # (The code that it shows for PyTorch may call model.eval().)
    for word in (
        r"(?<![.\w])eval\(",
        "new Function",
        r"fetch\(",
        "XMLHttpRequest",
        r"import\(",
        "@import",
        "sendBeacon",
    ):
        assert not re.search(word, text), word
    for _, attributes in Reader(text).tags:
        assert not {"src", "href", "action", "srcset"} & set(attributes)


def test_the_front_end_may_stand_in_a_script_element():
    for text in (front.module(), front.boot(), front.stylesheet()):
        assert not re.search(r"</script|<!--|</style", text, re.IGNORECASE)


def test_every_file_of_the_front_end_is_in_the_module_or_boots_a_page():
    here = Path(front.__file__).parent
    assert {path.name for path in here.glob("*.js")} == {*front.ORDER, "page.js"}


@pytest.mark.parametrize("text", [HOSTILE, "]]>", "<b>", "\\u003c/script>"])
def test_any_title_is_text(text):
    made = nv.to_html(nv.show(X, title=text))
    reader = Reader(made)
    assert len(reader.scripts) == 2
    assert data_of(made)[0]["scene"]["title"] == text
    assert "<" not in reader.scripts[0]
    assert "alert(1)" not in "".join(reader.scripts[1:])
    assert reader.find("section")[0]["aria-label"] == f"{text}: Group Norm, G = 4"


def test_a_title_keeps_no_character_that_a_picture_can_not_hold():
    shown = nv.show(X, title=" a\x00b\ud800c\n d ")
    assert shown.scene["title"] == "a\ufffdb\ufffdc d"
    ET.fromstring(shown.to_svg())
    assert len(Reader(shown.to_html()).scripts) == 2


def test_the_page_of_the_sample_tensor_is_small():
    assert len(nv.to_html(nv.samples.activations()).encode()) <= 200_000


def test_the_same_things_give_the_same_bytes():
    assert nv.to_html([X, X]) == nv.to_html([X.copy(), X.copy()])
    assert nv.show(X)._repr_mimebundle_() == nv.show(X.copy())._repr_mimebundle_()
    # An archive may carry the time at which it was made, in its bytes 4 to 7.
    packed = re.search(r"atob\('([^']+)'\)", html.unescape(nv.show(X)._repr_mimebundle_()["text/html"])).group(1)
    assert base64.b64decode(packed)[4:8] == bytes(4)


# ---- writing files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_page_is_written(tmp_path, kind):
    path = tmp_path / "page.html"
    assert nv.to_html([X], kind(path)) is None
    assert path.read_text("utf-8") == nv.to_html([X])
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    new = tmp_path / "new"
    new.touch()
    assert path.stat().st_mode == new.stat().st_mode


@pytest.mark.parametrize("make", [nv.Explorer, nv.show])
def test_explorers_and_shown_objects_write_both_kinds(tmp_path, make):
    made = make(X, "instance", index=(1, 2, 3, 0))
    assert made.to_html(tmp_path / "a.html") is None
    assert made.to_svg(tmp_path / "a.svg") is None
    assert (tmp_path / "a.html").read_text("utf-8") == made.to_html()
    assert (tmp_path / "a.svg").read_text("utf-8") == made.to_svg()
    assert data_of(made.to_html())[0]["state"]["index"] == [1, 2, 3, 0]


def test_bad_input_says_what_to_do_and_writes_nothing(tmp_path):
    old = tmp_path / "old.html"
    old.write_text("old")
    with pytest.raises(ValueError, match=r"^to_html\(\) has nothing to show: the list is empty; give it at least one"):
        nv.to_html([], old)
    with pytest.raises(TypeError, match=r"^path must be a str or a Path, not int$"):
        nv.to_html([X], 3)
    with pytest.raises(IsADirectoryError, match=r"is a folder; give the name of a file in it$"):
        nv.to_html([X], tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"^there is no folder .*nowhere to write page.html into; make it first$"
    ):
        nv.to_html([X], tmp_path / "nowhere" / "page.html")
    for bad in ([X, np.zeros((0, 3))], [np.zeros(3)], ["text"], [X, None]):
        with pytest.raises((ValueError, TypeError)):
            nv.to_html(bad, old)
    assert old.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["old.html"]


def test_a_page_that_can_not_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(self, target):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        nv.to_html([X], path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


# ---- show ----------------------------------------------------------------------------------------------------------


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
    assert [tag for tag, _ in reader.tags] == ["div", "img", "iframe"]
    (_, wrapper), (_, img), (_, frame) = reader.tags
    assert "position:relative" in wrapper["style"]
    assert "padding-bottom:44px" in wrapper["style"]
    assert img["alt"].startswith(
        "Group Norm, G = 4: the set of cell (0, 0, 0, 0) is n 0, c 0 to 1, h 0 to 3, w 0 to 3;"
    )
    kind, _, packed = img["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(packed).decode() == nv.show(X).to_svg()
    assert img["style"] == "width:100%;height:auto;display:block"
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"] == "Group Norm, G = 4: interactive explorer"
    assert frame["style"] == "position:absolute;inset:0;width:100%;height:100%;border:0;color-scheme:light"
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
    assert [tag for tag, _ in Reader(made).tags] == ["div", "img", "iframe"]
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


def test_line_separators_are_escaped_for_old_readers_of_scripts():
    scene, now = state.check(X)
    text = page.page([(scene | {"dtype": "\u2028\u2029"}, now)])
    assert "\u2028" not in text
    assert data_of(text)[0]["scene"]["dtype"] == "\u2028\u2029"


def test_a_state_that_is_no_json_is_refused_rather_than_written_wrong():
    scene, now = state.check(X)
    with pytest.raises(ValueError, match="JSON"):
        page.page([(scene | {"eps": float("nan")}, now)])
