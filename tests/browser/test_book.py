"""The book as `make book` builds it, opened from the disk without a network: every page works and reports no error."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from filelock import FileLock
from playwright.sync_api import Page, expect

import normviz as nv
from normviz.inspect.audit.rules import RULES
from normviz.inspect.check.check import HINTS
from tests.browser.reading import drawn, ready, slider, wait_for
from tests.course import NOTEBOOKS

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")]
    + [f"course/{path.stem}" for path in NOTEBOOKS]
    + ["changelog", "search", "genindex"]
)
FRAMES = "iframe[srcdoc][sandbox]"
MOST = 2_000_000
"""Bytes of a page of ten explorers, with all that it loads."""

AXE = {"preload": False, "resultTypes": ["violations"]}
"""axe-core would fetch the stylesheets again, which a page on the disk may not, and describe all that is right."""

# With these methods the slider of G runs over the divisors of C.
GROUPED = ("batch", "layer", "instance", "group")


@pytest.fixture(scope="session")
def book(course, shared) -> Path:
    """The book, built as a user builds it, but once for all workers and of notebooks that were run already."""
    said = shared / "book.txt"
    with FileLock(shared / "book.lock"):
        if not said.exists():
            for path in NOTEBOOKS:
                course.run(path)
            command = [sys.executable, ROOT / "tools" / "make_book.py", shared / "book", course.executed]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CI": ""})
            said.write_text(done.stdout[-2000:] + done.stderr[-6000:] if done.returncode else "", "utf-8")
    assert said.read_text("utf-8") == ""
    return shared / "book" / "html"


def opened(page: Page, book: Path, name: str) -> None:
    """Open a page and scroll through it, so that all of it is drawn."""
    page.goto((book / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for chart in page.locator(".normviz-chart").all():
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_attribute("data-ready", "")
    for frame in page.locator(FRAMES).all():
        frame.scroll_into_view_if_needed()
        ready(frame.element_handle().content_frame())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_and_is_accessible(book, new_page, name):
    """No console error and no request (`new_page` checks), all is drawn, sliders move, axe-core finds no violation."""
    page = new_page(1280, reduced_motion="reduce")
    opened(page, book, name)
    for frame in page.locator(FRAMES).all():
        inside = frame.element_handle().content_frame()
        for root in inside.locator(".normviz[data-method]").all():
            if root.get_attribute("data-method") in GROUPED and slider(root).is_visible():
                last = slider(root).get_attribute("aria-valuemax")
                slider(root).press("End")
                wait_for(root, num_groups=last)
        # The frame is as high as its content, so nothing scrolls inside.
        inside.wait_for_function("() => document.scrollingElement.scrollHeight <= innerHeight + 1")
    for chart in page.locator(".normviz-chart:has(input[type=range])").all():
        plot = chart.locator(".normviz-plot")
        steps = plot.evaluate("plot => plot.layout.sliders[0].steps.length")
        chart.locator("input[type=range]").first.press("End")
        there = "([plot, k]) => plot.layout.sliders[0].active === k"
        page.wait_for_function(there, arg=[plot.element_handle(), steps - 1])
    result = Axe().run(page, options=AXE)
    assert not result.violations_count, result.generate_report()


def test_all_labs_are_drawn_and_described(book, page):
    opened(page, book, "look/labs")
    charts = page.locator(".normviz-chart")
    assert charts.count() == len(nv.labs.__all__)
    for chart in charts.all():
        assert len(chart.get_attribute("aria-label")) > 80
        assert chart.locator(".main-svg").count() >= 1


def test_explorers_and_charts_follow_the_theme(book, page):
    opened(page, book, "index")
    inside = page.locator(FRAMES).first.element_handle().content_frame()
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert inside.evaluate(ground) == "rgb(255, 255, 255)"
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    inside.wait_for_function(f"({ground})() === 'rgb(20, 23, 28)'")
    assert inside.locator(".normviz").evaluate("root => getComputedStyle(root).color") == "rgb(232, 235, 241)"
    # A frame that starts later asks for the theme once it has drawn.
    again = page.evaluate_handle(
        "frame => frame.parentElement.appendChild(frame.cloneNode())", page.locator(FRAMES).first.element_handle()
    )
    later = again.as_element().content_frame()
    later.wait_for_function(f"({ground})() === 'rgb(20, 23, 28)'")
    again.evaluate("frame => frame.remove()")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    inside.wait_for_function(f"({ground})() === 'rgb(255, 255, 255)'")

    opened(page, book, "look/labs")
    paper = "document.querySelector('.normviz-plot .main-svg').style.background"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"{paper} === 'rgb(20, 23, 28)'")


def test_a_dark_system_makes_a_dark_book(book, new_page):
    page = new_page(color_scheme="dark", reduced_motion="reduce")
    opened(page, book, "look/methods")
    inside = page.locator(FRAMES).first.element_handle().content_frame()
    inside.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 28)'")
    result = Axe().run(page, options=AXE)
    assert not result.violations_count, result.generate_report()
    page.goto((book / "course" / "04_instance_norm_and_style.html").as_uri())
    photograph = page.locator("figure img[alt='in the dark']").first
    for property, value in {"filter": "none", "padding": "0px", "background-color": "rgba(0, 0, 0, 0)"}.items():
        expect(photograph).to_have_css(property, value)  # it keeps its colours


@pytest.mark.parametrize(
    "name", ["index", "look/labs", "look/choosing", "teach/classroom", "teach/your_course", "course/01_pooling_sets"]
)
def test_a_phone_scrolls_no_page_sideways(book, new_page, name):
    page = new_page(360, 740)
    opened(page, book, name)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_frames_and_charts_take_the_room_they_need_and_no_more(book, new_page):
    """Also after the page was narrow: no frame stays tall and empty when a phone is turned back."""
    page = new_page(1280)
    opened(page, book, "teach/classroom")
    frame = page.locator(FRAMES).first
    inside = frame.element_handle().content_frame()
    wide = frame.bounding_box()["height"]
    for width, condition in (
        (400, "frame.clientHeight > high + 200"),
        (1280, "Math.abs(frame.clientHeight - high) <= 1"),
    ):
        page.set_viewport_size({"width": width, "height": 900})
        frame.scroll_into_view_if_needed()  # frames far from the window are not laid out
        page.wait_for_function(f"([frame, high]) => {condition}", arg=[frame.element_handle(), wide])
    assert abs(inside.evaluate("document.querySelector('main').getBoundingClientRect().height") - wide) <= 1

    opened(page, book, "look/labs")
    for place in page.locator(".normviz-wide").all():
        box = place.evaluate("e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth, e.tabIndex]")
        assert box == [0, 0, -1], "a chart that scrolls within a page that has room for it"
    page.set_viewport_size({"width": 400, "height": 800})
    first = page.locator(".normviz-wide").first
    page.wait_for_function("e => e.scrollWidth > e.clientWidth && e.tabIndex === 0", arg=first.element_handle())


def test_all_charts_are_drawn_when_the_browser_is_idle(book, page):
    """A printed page needs all of its charts, on white."""
    page.emulate_media(color_scheme="dark")
    page.goto((book / "look" / "labs.html").as_uri())
    drawn_charts = "document.querySelectorAll('.normviz-chart[data-ready]').length"
    page.wait_for_function(f"{drawn_charts} === {len(nv.labs.__all__)}")
    paper = "document.querySelector('.normviz-plot .main-svg').style.background"
    assert page.evaluate(paper) == "rgb(20, 23, 28)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(f"{paper} === 'rgb(255, 255, 255)'")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{paper} === 'rgb(20, 23, 28)'")


def test_a_chapter_has_its_notebook_to_download(book, page):
    page.goto((book / "course" / "02_group_norm.html").as_uri())
    link = page.get_by_role("link", name="download the notebook").get_attribute("href")
    assert (book / "course" / link).read_bytes() == (ROOT / "notebooks" / "02_group_norm.ipynb").read_bytes()


def test_a_table_that_a_cell_makes_is_a_table(book, page):
    page.goto((book / "course" / "05_wider_family.html").as_uri())
    rows = page.locator(".cell_output table tbody tr")
    assert rows.locator("td:first-child").all_inner_texts() == [row.label for row in nv.METHODS.values()]


def test_the_page_of_codes_lists_every_code(book):
    found = re.findall(r'id="((?:check|audit)-[a-z0-9-]+)"', (book / "reference" / "codes.html").read_text("utf-8"))
    assert sorted(found) == sorted([f"check-{code}" for code in HINTS] + [f"audit-{code}" for code in RULES])


def test_ten_explorers_are_light(book, page):
    """The page with everything that it loads; plotly.js is loaded by the first chart alone."""
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    opened(page, book, "look/methods")
    assert page.locator(FRAMES).count() == 10
    files = {Path(unquote(url.removeprefix("file://")).split("?")[0]) for url in loaded if url.startswith("file:")}
    assert not [path for path in files if "plotly" in path.name]
    assert sum(path.stat().st_size for path in files) <= MOST


def test_charts_share_one_plotly(book):
    assert len(list(book.rglob("*plotly*.js"))) == 1
    assert not [path for path in book.rglob("*.html") if path.stat().st_size > 3_000_000]


def test_pages_load_nothing_from_the_network(book):
    """Pages name no script, style, font or picture outside the book."""
    outside = re.compile(r'<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^"]+"')
    for path in book.rglob("*.html"):
        found = outside.findall(path.read_text("utf-8"))
        assert not found, f"{path.relative_to(book)}: {found}"


def test_links_inside_the_book_lead_somewhere(book):
    names = {path: set(re.findall(r'\bid="([^"]+)"', path.read_text("utf-8"))) for path in book.rglob("*.html")}
    for path in names:
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', path.read_text("utf-8")):
            target, _, place = unescape(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            at = (path.parent / unquote(target)).resolve() if target else path
            assert at.exists(), f"{path.relative_to(book)} leads to {link}"
            if place and at.suffix == ".html":
                assert unquote(place) in names[at], f"{path.relative_to(book)} leads to {link}"


def test_a_widget_in_the_book_works_without_a_widget_manager(book, page):
    """The tour's nv.Explorer is shown by its HTML, so no widget manager is loaded."""
    opened(page, book, "course/00_tour")
    assert "widget-view" not in page.content()
    assert "requirejs" not in page.content().lower()
    assert page.locator(FRAMES).count() == 5
