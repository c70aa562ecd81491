"""What makes an output alive or still, the same in every host."""

from playwright.sync_api import Frame, Locator, Page

import normviz as nv
from tests.browser import reading
from tests.browser.reading import choose, expect, slider, state

SETUP = "import normviz as nv\nx = nv.samples.activations()"
CHOSEN = "x, method='group', num_groups=8, index=(1, 5, 2, 2), step=3"
SHOW, EXPLORER, CHART = f"nv.show({CHOSEN})", f"explorer = nv.Explorer({CHOSEN})\nexplorer", "nv.labs.coupling.figure()"
METHODS = [("Batch Norm", "batch"), ("Layer Norm", "layer"), ("Instance Norm", "instance")]


def frame_of(place: Page | Frame | Locator) -> Frame:
    """The frame that holds the live explorer."""
    frame = place.locator("iframe").element_handle().content_frame()
    assert frame is not None
    reading.ready(frame)
    return frame


def assert_alive(place: Page | Frame | Locator) -> None:
    """The explorer of CHOSEN is in the state it was made in, and answers."""
    root = place.locator(".normviz")
    assert (state(root)["method"], state(root)["num_groups"]) == ("group", 8)
    assert (state(root)["index"], state(root)["step"]) == ((1, 5, 2, 2), 3)
    for label, name in METHODS:
        choose(root, label)
        assert state(root)["set"] == reading.as_text(nv.pooling(name, (4, 16, 12, 12)).set_of((1, 5, 2, 2)))
    slider(root).press("Home")
    root.get_by_role("application").press("ArrowRight")
    assert (state(root)["num_groups"], state(root)["index"]) == (1, (1, 5, 2, 3))


def assert_chart(place: Page | Frame | Locator) -> None:
    """The chart of CHART is drawn, and its slider changes it."""
    lines, rail = place.locator(".cartesianlayer"), place.locator(".slider-rail-touch-rect")
    expect(lines).to_be_visible(timeout=reading.HANGS)
    rail.scroll_into_view_if_needed()
    assert lines.locator(".trace path").count(), "the chart has no line"
    before = lines.inner_html()
    size = rail.bounding_box()
    rail.click(position={"x": size["width"] - 3, "y": size["height"] / 2})
    element = lines.element_handle()
    element.owner_frame().wait_for_function("([e, before]) => e.innerHTML !== before", arg=[element, before])


def still_or_words(place: Locator) -> str:
    """Which of the two stands where nothing can be alive; it must be one of them."""
    if place.locator("iframe:visible").count():
        raise AssertionError("a frame stands there; it may be alive")
    if place.locator("img:visible, svg:visible").count():
        return "still"
    assert place.inner_text().strip(), "nothing is shown"
    return "words"


def assert_still(place: Locator) -> None:
    """A picture and no frame; the words for those who cannot see it give the set."""
    picture = place.locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("e => e.decode().then(() => e.naturalWidth)") > 400
    assert "Group Norm" in picture.get_attribute("alt")
    assert place.locator("iframe").count() == 0
