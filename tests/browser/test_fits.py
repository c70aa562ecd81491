"""Explorers fit their place: a frame has the height that its page needs, whatever is around it and at every width."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import normviz as nv
from normviz.explorer.show import page as page_of
from tests.browser import host
from tests.browser.fits import DRAWN, THROUGH_STATES, WIDTHS, frame_of, what_scrolls
from tests.browser.reading import drawn, open_file, ready, wait_for

SLACK = 0.12
"""How much higher than the highest need a frame may be."""


def trained(x: np.ndarray) -> dict[str, Any]:
    """An explorer of x that has all that an explorer can have."""
    running = nv.RunningStatistics(x.shape[1])
    running.update(x)
    return {"x": x, "statistics": running, "title": "A clip of a video, after the second convolution"}


VOLUME = trained(host.tensor(2, 8, 6, 14, 14))
SUBJECTS: dict[str, dict[str, Mapping[str, Any]]] = {
    "a plain tensor": {"the samples": {}, "vectors": {"x": host.tensor(9, 8), "method": "layer"}},
    "more to say": {"a volume": VOLUME, "a large tensor": trained(host.tensor(32, 256, 14, 14))},
}


def html_of(shown: Any) -> str:
    return shown._repr_mimebundle_()["text/html"]


def write(path: Path, body: str) -> Path:
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>A page</title>{body}', encoding="utf-8")
    return path


# ---- the height of a frame -------------------------------------------------------------------------------------------

MEASURE = """async (widths) => {
  const needs = {}, by = {}, holder = document.querySelector("#reserved");
  for (const frame of document.querySelectorAll(".live")) {
    const page = frame.contentDocument.scrollingElement;
    await throughStates(page.querySelector(".normviz"), (name) => {
      for (const width of widths) {
        frame.style.width = `${width}px`;
        if (page.scrollHeight <= (needs[width] ?? 0)) continue;
        needs[width] = page.scrollHeight;
        by[width] = `${name}, ${frame.title}`;
      }
    });
  }
  return widths.map((width) => {
    holder.style.width = `${width}px`;
    const { clientWidth, clientHeight } = holder.querySelector("iframe");
    return { width, high: clientHeight, wide: clientWidth, need: needs[width], by: by[width] };
  });
}"""


def measured(page: Page, path: Path, shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Height of the frame, and the highest need among all states of all subjects, at each width."""
    # Frames without a sandbox, which can be measured from outside: many widths at once.
    live = "".join(
        f'<iframe class="live" title="{name}" style="border:0;height:50px" '
        f'srcdoc="{escape(page_of([one.page_parts()], framed=True))}"></iframe>'
        for name, one in shown.items()
    )
    reserved = f'<div id="reserved">{html_of(next(iter(shown.values())))}</div>'
    page.goto(write(path, f"<script>{THROUGH_STATES}</script>{reserved}{live}").as_uri())
    for frame in page.locator(".live").all():
        frame.content_frame.locator(".normviz[data-ready]").wait_for()
    widest = page.evaluate("() => parseFloat(document.querySelector('#reserved > div').style.maxWidth)")
    return page.evaluate(MEASURE, [width for width in WIDTHS if width <= widest])


LOOKS = {"controls": {}, "no controls": {"controls": False}, "editable": {"editable": True, "statistics": None}}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_frame_is_as_high_as_the_explorer_needs(page, tmp_path, kind, look):
    """In every state, and not much higher than the state that needs most."""
    # An editable explorer of one tensor comes to every shape by itself.
    subjects = list(SUBJECTS[kind].items())[: 1 if look == "editable" else None]
    shown = {name: nv.show(**{**given, **LOOKS[look]}) for name, given in subjects}
    found = measured(page, tmp_path / "page.html", shown)
    assert len(found) >= 10
    for at in found:
        assert at["wide"] == at["width"]
        assert at["need"] <= at["high"], f"too low: {at}"
        assert at["high"] <= (1 + SLACK) * at["need"], f"needlessly high: {at}"


def recorded(**keywords: Any) -> dict[str, dict[str, Any]]:
    """Explorers of recorded layers: two without warnings, and one of volumes with three."""
    torch = pytest.importorskip("torch", reason="a recording is made of a torch model")
    torch.manual_seed(0)
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8))
    tokens = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.LayerNorm(16))
    volumes = torch.nn.Sequential(torch.nn.Conv3d(2, 8, 1), torch.nn.BatchNorm3d(8))
    found = {}
    for name, model, shape in (
        ("maps", maps, (8, 3, 8, 8)), ("tokens", tokens, (32, 100, 6)), ("volumes", volumes, (4, 2, 4, 6, 6)),
    ):  # fmt: skip
        with nv.record(model) as r:
            for step in range(30):
                model(torch.randn(shape) * (10 ** (-step / 4) if name == "volumes" else 1))
        found[name] = r.explore("1", **keywords)
    warned = found.pop("volumes")
    assert len(warned.scene["time"]["warnings"]) == 3
    assert not any(shown.scene["time"]["warnings"] for shown in found.values())
    return {"a plain tensor": found, "more to say": {"volumes": warned}}


@pytest.mark.parametrize("controls", [True, False])
@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_frame_is_as_high_as_a_recorded_layer_needs(page, tmp_path, kind, controls):
    found = measured(page, tmp_path / "page.html", recorded(controls=controls)[kind])
    assert len(found) >= 10
    for at in found:
        assert at["wide"] == at["width"]
        assert at["need"] <= at["high"], f"too low: {at}"
        assert at["high"] <= (1 + SLACK) * at["need"], f"needlessly high: {at}"


COMPARED = ("batch", "weight_norm", "ghost", "layer")


@pytest.mark.parametrize("count", [2, 4])
def test_a_frame_of_several_is_as_high_as_they_need(page, tmp_path, count):
    """Beside each other and below each other, as they open and with what they share in its highest state."""
    shown = nv.compare_methods(**VOLUME, methods=COMPARED[:count])
    page.goto(write(tmp_path / "page.html", html_of(shown)).as_uri())
    element, inside = frame_of(page)
    ready(inside, count)
    for predict in (False, True):
        if predict:
            for name in ("Predict", "Reveal"):
                inside.get_by_role("button", name=name, exact=True).first.click()
        # At 1200 pixels, four stand in three columns.
        assert not what_scrolls(element, inside, RESIZE, (*WIDTHS[::2], 1200))


RESIZE = "(frame, width) => { frame.ownerDocument.body.style.cssText = `margin: 0; width: ${width}px`; }"
LOOKS_OUT = """(frame, widths) => {
  const end = (element) => element.getBoundingClientRect().bottom;
  return widths.filter((width) => {
    frame.ownerDocument.body.style.cssText = `margin: 0; width: ${width}px`;
    return end(frame.previousElementSibling.lastElementChild) > end(frame) + 0.5;
  });
}"""
"""At which widths the picture and its words stand out below the frame."""
PAGES = {
    "explorer": lambda: nv.show(),
    "no controls": lambda: nv.show(controls=False),
    "editable": lambda: nv.show(editable=True),
    "several": lambda: nv.compare_methods(methods=["batch", "layer", "instance"], controls=False),
    "quiz": lambda: nv.quiz(seed=1),
    "decision guide": lambda: nv.chooser(),
}


@pytest.mark.parametrize("kind", PAGES)
def test_nothing_scrolls_as_it_opens(page, tmp_path, kind):
    """On a page, and on a page in a frame; and the picture under the frame does not look out below it."""
    inner = write(tmp_path / "page.html", html_of(PAGES[kind]()))
    outer = write(tmp_path / "outer.html", f'<iframe id="outer" src="{inner.name}" style="width:1500px"></iframe>')
    page.goto(inner.as_uri())
    element, inside = frame_of(page)
    assert not what_scrolls(element, inside, RESIZE, (300, *WIDTHS))
    assert element.evaluate(LOOKS_OUT, WIDTHS) == []
    page.goto(outer.as_uri())
    around = page.locator("#outer").element_handle().content_frame()
    assert around is not None
    assert not what_scrolls(*frame_of(around), RESIZE, (480, 880))


# ---- where the width depends on the content, or is not known yet -----------------------------------------------------

PARENTS = [
    "display: flex", "display: inline-flex", "display: grid; grid-template-columns: auto auto", "float: left",
    "width: fit-content", "display: inline-block", "display: table-cell", "position: absolute",
]  # fmt: skip
"""Styles of elements that ask what is in them how wide they are."""


@pytest.mark.parametrize("parent", PARENTS)
def test_a_frame_has_a_width_of_its_own(page, tmp_path, parent):
    page.goto(write(tmp_path / "page.html", f'<div style="{parent}">{html_of(nv.show())}</div>').as_uri())
    element, inside = frame_of(page)
    assert not what_scrolls(element, inside, RESIZE, (400, 1000))
    assert element.evaluate("e => e.clientWidth") > 900


PAGE_STYLES = [
    "* + * { margin-top: 1.5em }", "iframe { margin: 2em 0; padding: 12px }", "body { white-space: nowrap }",
    "iframe { min-width: 2000px; min-height: 1500px }",
]  # fmt: skip
"""Rules of pages that reach into a fragment."""


@pytest.mark.parametrize("style", PAGE_STYLES)
def test_the_style_of_a_page_does_not_move_a_frame(page, style):
    page.set_content(f"<!doctype html><style>{style}</style><div>{nv.show().fragment()}</div>")
    element, _ = frame_of(page)
    box = "e => JSON.stringify(e.getBoundingClientRect())"
    assert element.evaluate(box) == element.locator("..").evaluate(box)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


MOUNT = """async ([parents, counts, widths]) => {
  const main = document.querySelector("main"), found = [];
  for (const parent of parents) for (const count of counts) {
    const place = "<b style='display: block'></b>";
    main.innerHTML = `<div style="${parent}"><span>A label</span>${place.repeat(count)}</div>`;
    const places = [...main.querySelectorAll("b")];
    const closers = await Promise.all(places.map((el) => front.default.render({ model: models[0], el })));
    const roots = places.map((place) => place.querySelector(".normviz"));
    for (const width of widths) {
      main.style.cssText = `display: flow-root; position: relative; width: ${width}px`;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      const waiting = () => roots.some((root) => !root.dataset.ready);
      for (let k = 0; k < 300 && waiting(); k++) await new Promise(requestAnimationFrame);
      found.push({ parent, count, width, more: main.scrollWidth - main.clientWidth,
        widths: roots.map((root) => root.clientWidth), drawn: roots.every((root) => root.dataset.ready) });
    }
    for (const close of closers) close();
  }
  return found;
}"""


def test_an_explorer_has_a_width_of_its_own(page, tmp_path):
    """One or two in a parent that takes the width of its content, on a page that then becomes narrower."""
    page.set_viewport_size({"width": 1900, "height": 900})
    open_file(page, host.write(tmp_path / "page.html", [host.model(host.tensor(2, 8, 4, 4))]))
    found = page.evaluate(MOUNT, [PARENTS, (1, 2), (1900, 700)])
    assert len(found) == 4 * len(PARENTS)
    for at in found:
        assert at["drawn"], at
        assert at["more"] <= 0, f"wider than the page: {at}"
        # Two stand beside each other in a row or a grid, and below each other elsewhere.
        assert min(at["widths"]) > (250 if at["width"] == 700 else 500), at


@pytest.mark.parametrize("way", ["display: none", "details", "content-visibility: hidden"])
def test_an_explorer_that_was_hidden_is_drawn_once_it_shows(page, tmp_path, way):
    """Also for another width, after it was hidden again."""
    root = open_file(page, host.write(tmp_path / "page.html", [host.model(host.tensor(2, 8, 4, 4))]))
    page.evaluate(
        """async (way) => {
            closers[0]();
            const main = document.querySelector("main"), isDetails = way === "details";
            main.innerHTML = isDetails ? "<details><summary>More</summary><div></div></details>" : "<div></div>";
            const holder = main.firstChild;
            window.show = (shown) => {
                if (isDetails) holder.open = shown;
                else holder.style.cssText = shown ? "" : way;
            };
            show(false);
            await front.default.render({ model: models[0], el: isDetails ? holder.lastChild : holder });
        }""",
        way,
    )
    drawn(page)
    assert root.get_attribute("data-ready") is None
    page.evaluate("show(true)")
    wait_for(root, ready="true")
    page.evaluate("show(false)")
    drawn(page)
    page.set_viewport_size({"width": 700, "height": 900})
    page.evaluate("show(true)")
    page.wait_for_function(f"root => root.clientWidth <= 700 && ({DRAWN})(root)", arg=root.element_handle())


# ---- explorers side by side ------------------------------------------------------------------------------------------

LINES = """(parts) => [...document.querySelectorAll(".normviz")].map((root) =>
    [...root.querySelectorAll(parts)].filter((part) => part.checkVisibility()).map((part) => {
        const { y, width, height } = part.getBoundingClientRect();
        return `${part.className} at ${Math.round(y)}, ${Math.round(width)} x ${Math.round(height)}`;
    }))"""


@pytest.mark.parametrize("controls", [True, False])
@pytest.mark.parametrize("framed", [True, False])
def test_explorers_side_by_side_stand_in_line(page, tmp_path, controls, framed):
    """Their pictures, status lines and cards, whichever has the longer text."""
    compared = nv.compare_methods(methods=["batch", "weight_norm"], controls=controls, title="Two methods")
    path = tmp_path / "page.html"
    path.write_text(page_of([compared.page_parts()], framed=framed), encoding="utf-8")
    page.set_viewport_size({"width": 1000, "height": 1500})
    root = open_file(page, path, explorers=2)
    for _ in range(3):
        drawn(page)
        first, second = page.evaluate(LINES, ".nv-method, .nv-stage, .nv-status, .nv-card")
        assert len(first) >= 5
        assert first == second
        root.get_by_role("button", name="Next", exact=True).click()
        root.get_by_role("application").press("PageDown")
    # A text changes, and nothing else.
    page.evaluate("() => { document.querySelector('.nv-words').textContent = 'A long text. '.repeat(60); }")
    drawn(page)
    first, second = page.evaluate(LINES, ".nv-status, .nv-card")
    assert first == second


SCALES = """() => [...document.querySelectorAll(".normviz")].map((root) => {
    const { x, y, width, height } = root.querySelector(".nv-outline").getBBox();
    return [x, y, width, height].map((v) => Math.round(v));
})"""


@pytest.mark.parametrize("controls", [True, False])
@pytest.mark.parametrize("width", [720, 1000, 1600])
def test_compared_explorers_have_one_scale_and_their_names(page, tmp_path, controls, width):
    """The cubes stand in the same place of each picture, and are as large."""
    names = ["batch", "weight_norm"] if width < 1600 else ["batch", "per_head_rms", "weight_norm", "layer"]
    compared = nv.compare_methods(methods=names, controls=controls, title="Methods", index=(0, 9, 3, 3))
    compared.to_html(tmp_path / "page.html")
    page.set_viewport_size({"width": width, "height": 900})
    open_file(page, tmp_path / "page.html", explorers=len(names))
    drawn(page)
    first, *others = page.evaluate(SCALES)
    assert others == [first] * len(others)
    for k, root in enumerate(page.locator(".normviz").all()):
        label = nv.METHODS[names[k]].label
        if controls:
            checked = root.get_by_role("radiogroup", name="Method").get_by_role("radio", checked=True)
            expect(checked).to_have_accessible_name(label)
            expect(checked).to_be_visible()
        else:
            expect(root.locator(".nv-method")).to_contain_text(label)
            expect(root.locator(".nv-method")).to_be_visible()


HEIGHTS_SET = """() => {
    window.set = 0;
    const count = (found) => { window.set += found.filter(({ target }) => target.closest(".nv-card")).length; };
    const watched = { subtree: true, attributes: true, attributeFilter: ["style"] };
    new MutationObserver(count).observe(document.body, watched);
}"""


def test_the_pointer_over_a_picture_sets_no_heights(page, tmp_path):
    nv.compare_methods().to_html(tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html", explorers=2)
    drawn(page)
    page.evaluate(HEIGHTS_SET)
    cell = root.locator(".nv-cell.front").bounding_box()
    for k in range(12):
        page.mouse.move(cell["x"] + 3 + 5 * k, cell["y"] + 3 + 2 * k)
    expect(root.locator(".nv-tip")).to_be_visible()
    drawn(page)
    assert page.evaluate("window.set") == 0


def test_an_explorer_without_controls_says_its_method(page, tmp_path):
    nv.compare_methods(methods=["batch", "group"], num_groups=4, controls=False).to_html(tmp_path / "page.html")
    open_file(page, tmp_path / "page.html", explorers=2)
    assert page.locator(".nv-method").all_inner_texts() == ["Batch Norm", "Group Norm, G = 4"]
    nv.show().to_html(tmp_path / "page.html")
    open_file(page, tmp_path / "page.html")
    expect(page.locator(".nv-method")).not_to_be_visible()


# ---- a page of its own -----------------------------------------------------------------------------------------------

OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter((part) => part.checkVisibility() && !part.closest("pre, svg, .nvp-title, .nv-presenter .nv-status"))
    .filter((part) => part.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
        || (part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== "visible"))
    .map((part) => part.outerHTML.slice(0, 90))"""


def test_an_exported_page_cuts_nothing_at_any_width(page, tmp_path):
    """As it opens, with the code, with all methods, in the tour, in a prediction and for a presenter."""
    nv.to_html([nv.show(**SUBJECTS["more to say"]["a large tensor"]), nv.compare_methods()], tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html", explorers=3)
    for press in ("", "Code", "More", "Tour", "Predict", "Reveal", "Present"):
        if press:
            root.get_by_role("button", name=press, exact=True).click()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function("width => innerWidth === width", arg=width)
            assert not page.evaluate(OUTSIDE), (press, width)
