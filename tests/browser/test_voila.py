"""The studio under Voila: a page without code, served here, driven as a class would, with no network but the server."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import normviz as nv
from tests.browser import reading
from tests.browser.conftest import Watch
from tests.browser.reading import choose, radio, state, status, wait_for
from tests.browser.voila import Voila

# Voila's own template links to two stylesheets of icons elsewhere. The studio has no icons, and works without them.
ICONS = re.compile(r"/@fortawesome/fontawesome-free@[^/]+/css/(all|v4-shims)\.min\.css$")

Visit = Callable[..., tuple[Page, Watch]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Voila(tmp_path_factory.mktemp("voila")) as url:
        yield url


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open the served page as a student would: each visit has a kernel of its own."""
    made: list[BrowserContext] = []

    def open_page(url: str, width: int = 1100, tolerated: tuple[str, ...] = ()) -> tuple[Page, Watch]:
        made.append(browser.new_context(viewport={"width": width, "height": 900}))
        made[-1].set_default_timeout(60_000)
        watch = Watch(made[-1], (url, url.replace("http", "ws", 1)), tolerated=tolerated)
        return made[-1].new_page(), watch

    yield open_page
    for context in made:
        context.close()


@pytest.fixture
def page(visit: Visit, address: str) -> Iterator[Page]:
    """The studio, served and drawn; the test fails if the page complains, or asks for anything but Voila's icons."""
    page, watch = visit(address)
    page.context.route(ICONS, lambda route: route.fulfill(content_type="text/css", body=""))
    page.goto(address)
    reading.ready(page)
    yield page
    watch.check()


def slider_of(page: Page, letter: str) -> Locator:
    return page.get_by_role("slider", name=letter, exact=True)


def said(page: Page) -> Locator:
    return page.locator(".nvs-notes")


def refusal(page: Page) -> Locator:
    return page.locator(".normviz-studio").get_by_role("alert")


def give(page: Page, path: Path) -> None:
    """Choose a file as a person does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a .npy file", exact=False).click()
    chooser.value.set_files(path)


def test_batch_becomes_instance(page):
    """The lesson of the panel, by keyboard: N down to 1."""
    root = page.locator(".normviz")
    choose(root, "Batch Norm")
    wait_for(root, method="batch", set="0:4,0:1,0:12,0:12")
    expect(said(page)).to_contain_text("No two of these methods have the same sets here.")
    slider_of(page, "N").focus()
    for n in (3, 2, 1):
        page.keyboard.press("ArrowLeft")
        wait_for(root, set=f"0:{n},0:1,0:12,0:12")
    expect(slider_of(page, "N")).to_be_focused()
    expect(said(page)).to_contain_text("N = 1: Batch Norm’s sets are Instance Norm’s now, 16 sets of 144 values.")
    expect(said(page)).to_contain_text("x: N × C × H × W = 1 × 16 × 12 × 12")
    batch = status(root)
    assert "144 cells" in batch
    choose(root, "Instance Norm")
    wait_for(root, method="instance")
    assert reading.statistics_of(status(root)) == reading.statistics_of(batch)
    expect(said(page)).to_contain_text("the explorer shows the same numbers")


def test_g_and_the_picked_cell_follow_the_sliders(page):
    root = page.locator(".normviz")
    expect(slider_of(page, "C")).to_have_attribute("aria-valuenow", "16.0")
    root.get_by_role("application").press("Shift+ArrowRight")
    wait_for(root, index="1,0,0,0")
    slider_of(page, "C").focus()
    for channels, groups in ((15, 3), (14, 2), (13, 1), (12, 4)):
        page.keyboard.press("ArrowLeft")
        wait_for(root, num_groups=groups, set=f"1:2,0:{channels // groups},0:12,0:12")
    slider_of(page, "N").press("Home")
    wait_for(root, index="0,0,0,0", num_groups=4)
    expect(page.get_by_role("textbox", name="N, as a number")).to_have_text("1")


def test_random_numbers(page):
    root = page.locator(".normviz")
    page.get_by_label("Source", exact=True).select_option("random numbers")
    expect(said(page)).to_contain_text("Normal random numbers, seed 0: mean 0 and variance 1.")
    first = nv.Studio(source="random")
    mean = float(first.statistics.mean[0, 0])
    expect(root.get_by_role("status")).to_contain_text("576 cells")
    assert reading.shows(reading.statistics_of(status(root))[1], mean)
    page.get_by_role("button", name="New numbers").click()
    expect(said(page)).to_contain_text("seed 1")
    assert not reading.shows(reading.statistics_of(status(root))[1], mean)
    page.get_by_label("Numbers", exact=True).select_option("loud sample")
    expect(said(page)).to_contain_text("sample 0 ten times as large")


def test_cupy_is_answered_and_the_choice_stays(page):
    if not nv.devices()["cupy"].startswith("CuPy finds no"):
        pytest.skip(f"there is a reason of another kind, or a GPU: {nv.devices()['cupy']}")
    page.get_by_label("Backend", exact=True).select_option("cupy")
    expect(refusal(page)).to_contain_text("backend 'cupy' cannot be used: CuPy finds no CUDA device")
    expect(page.get_by_label("Backend", exact=True)).to_have_value("auto")
    page.get_by_label("Backend", exact=True).select_option("numpy")
    expect(refusal(page)).to_have_count(0)
    expect(said(page)).to_contain_text("Computed by numpy")


def test_a_file_of_one_s_own_and_a_broken_one(page, tmp_path):
    root = page.locator(".normviz")
    x = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    np.save(tmp_path / "mine.npy", x)
    (tmp_path / "broken.npy").write_bytes((tmp_path / "mine.npy").read_bytes()[:-10])
    np.save(tmp_path / "objects.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    give(page, tmp_path / "mine.npy")
    wait_for(root, index="0,0,0", num_groups=3, set="0:1,0:2,0:5")
    assert reading.shows(reading.statistics_of(status(root))[1], float(x[0, :2].mean(dtype=np.float64)))
    expect(page.get_by_label("Source", exact=True)).to_have_value("mine.npy")
    expect(said(page)).to_contain_text("mine.npy: float32 of shape (2, 6, 5), (N, C, L).")
    for letter, there in (("L", 1), ("H", 0), ("W", 0)):
        expect(slider_of(page, letter)).to_have_count(there)
    for name, words in (
        ("broken.npy", "broken.npy holds 230 of the 240 bytes of float32 (2, 6, 5) that its header announces"),
        ("objects.npy", "objects.npy holds Python objects, a pickle, which can run code when read"),
    ):
        give(page, tmp_path / name)
        expect(refusal(page)).to_contain_text(words)
        expect(page.get_by_label("Source", exact=True)).to_have_value("mine.npy")
        assert state(root)["set"] == "0:1,0:2,0:5"
    slider_of(page, "N").press("Home")
    expect(refusal(page)).to_have_count(0)
    expect(said(page)).to_contain_text("x: N × C × L = 1 × 6 × 5")


COUNT = """() => {
    window.tensors = 0;
    const drawn = (node) => node.classList?.contains("normviz");
    const count = (list) => { for (const { addedNodes } of list) tensors += [...addedNodes].filter(drawn).length; };
    new MutationObserver(count).observe(document.body, { childList: true, subtree: true });
}"""


def test_a_drag_makes_no_more_tensors_than_it_passes_lengths(page):
    """All along N and back: the explorer follows as fast as it can, skips what it cannot, and ends where N does."""
    root, handle = page.locator(".normviz"), slider_of(page, "N")
    page.evaluate(COUNT)
    rail = page.locator(".widget-slider", has=handle).locator(".slider").bounding_box()
    at, middle = handle.bounding_box(), rail["y"] + rail["height"] / 2
    page.mouse.move(at["x"] + at["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(rail["x"] + rail["width"], middle, steps=100)
    page.mouse.move(rail["x"], middle, steps=100)
    page.mouse.up()
    expect(handle).to_have_attribute("aria-valuenow", "1.0")
    expect(said(page)).to_contain_text("N × C × H × W = 1 ×")
    wait_for(root, set="0:1,0:4,0:12,0:12")
    expect(root.locator(".nv-labels")).to_contain_text("n = 0")
    expect(root.locator(".nv-labels")).not_to_contain_text("n = 1")
    assert 1 <= page.evaluate("tensors") <= 28 + 31


WIDE = """() => {
    const hides = (e) => getComputedStyle(e).overflowX !== "visible" && e.clientWidth > 1
        && e.scrollWidth > e.clientWidth + 1;
    return [...document.querySelectorAll(".nvs-controls, .nvs-controls *:not(.nvs-voice)")]
        .filter((e) => e.getBoundingClientRect().right > innerWidth || hides(e))
        .map((e) => [e.className, e.scrollWidth, e.clientWidth]);
}"""


def test_nothing_sticks_out(page):
    page.get_by_label("Source", exact=True).select_option("random numbers")
    expect(page.get_by_role("button", name="New numbers")).to_be_visible()
    for width in (1100, 720, 360):
        page.set_viewport_size({"width": width, "height": 900})
        reading.drawn(page)
        assert page.evaluate(WIDE) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name(page):
    """By axe, on the studio alone: the page around it is Voila's."""
    page.get_by_label("Source", exact=True).select_option("random numbers")
    expect(page.get_by_role("button", name="New numbers")).to_be_visible()
    found = Axe().run(page, context=".normviz-studio")
    assert not found.violations_count, found.generate_report()
    slider_of(page, "N").evaluate("(e) => e.removeAttribute('aria-label')")
    assert "aria-input-field-name" in Axe().run(page, context=".normviz-studio").generate_snapshot()


def test_it_works_where_there_is_no_network(visit, address):
    """Voila's template asks for icons, nobody for anything else, and the studio is there without them."""
    page, watch = visit(address, tolerated=("Failed to load resource",))
    page.goto(address)
    root = reading.ready(page)
    radio(root, "Layer Norm").click()
    wait_for(root, method="layer", set="0:1,0:16,0:12,0:12")
    expect(said(page)).to_contain_text("C·H·W = 16·12·12")
    assert len(watch.requests) == 2
    assert all(ICONS.search(url) for url in watch.requests)
    assert watch.errors == []


def test_the_command_serves_a_page_that_asks_nobody(visit, tmp_path):
    """`normviz studio` leaves those icons out; options go to Voila."""
    with Voila(tmp_path, "--theme=dark", command=True) as url:
        page, watch = visit(url)
        page.goto(url)
        root = reading.ready(page)
        wait_for(root, theme="dark")
        slider_of(page, "N").press("Home")
        wait_for(root, set="0:1,0:4,0:12,0:12")
        watch.check()


def test_the_watch_would_see_a_request(visit, address):
    page, watch = visit(address)
    page.context.route(ICONS, lambda route: route.fulfill(content_type="text/css", body=""))
    page.goto(address)
    reading.ready(page)
    page.evaluate("() => fetch('http://elsewhere.invalid/').catch(() => {})")
    with pytest.raises(AssertionError, match="requests left the page"):
        watch.check()
