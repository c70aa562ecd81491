"""The recipes of "Put it into your course", carried out: a page, a converted notebook, a book of one's own."""

import json
import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

import normviz as nv
from tests.browser import fits
from tests.browser.lab import notebook
from tests.browser.reading import choose, drawn, ready, slider, state, wait_for

RECIPES = (Path(__file__).parent.parent.parent / "docs" / "teach" / "your_course.md").read_text("utf-8")
LESSON = (
    "import normviz as nv\nnv.show(method='batch', index=(1, 5, 2, 3))",
    "nv.labs.coupling.figure()",
    "nv.Explorer(method='layer')",
)
FRAMES = "iframe[srcdoc][sandbox]"
CHART = "application/vnd.plotly.v1+json"


def run(*command: str | Path, folder: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def frames(page: Page) -> list:
    """The drawn frames of explorers; a browser draws a frame only near its window, so each is scrolled to."""
    found = []
    for place in page.locator(FRAMES).all():
        place.scroll_into_view_if_needed()
        found.append(place.element_handle().content_frame())
        ready(found[-1])
    return found


def test_a_page_in_a_frame_of_one_s_own(new_page, tmp_path):
    """The <iframe> of the recipe, unchanged."""
    nv.to_html([nv.show(method="batch"), nv.show(num_groups=4)], tmp_path / "lesson.html")
    assert (tmp_path / "lesson.html").stat().st_size < 300_000
    inline = RECIPES.split("```html\n")[1].split("\n```")[0]
    (tmp_path / "own.html").write_text(f"<!doctype html><title>Own</title><h1>Own</h1>{inline}", encoding="utf-8")
    page = new_page()
    page.goto((tmp_path / "own.html").as_uri())
    frame = page.locator("iframe").element_handle().content_frame()
    root = ready(frame, 2)
    choose(root, "Instance Norm")
    assert state(root)["method"] == "instance"
    fits = "Math.abs(document.querySelector('main').getBoundingClientRect().height - innerHeight) <= 1"
    heights = []
    for width in (1100, 400, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        frame.wait_for_function(f"(width) => innerWidth > width - 100 && innerWidth < width && {fits}", arg=width)
        heights.append(frame.evaluate("innerHeight"))
    assert heights[0] == heights[2] < heights[1]


NEEDS = """async (widths) => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument.scrollingElement;
  const needs = widths.map(() => 0);
  await throughStates(page.querySelector(".normviz"), (name) => {
    if (name.startsWith("presented")) return;  // it covers the frame, and scrolls by itself
    widths.forEach((width, k) => {
      frame.style.width = `${width}px`;
      needs[k] = Math.max(needs[k], page.scrollHeight);
    });
  });
  return needs;
}"""


def test_the_heights_for_a_frame_without_a_script_are_enough(new_page):
    """Nothing scrolls in any state of an explorer, and little room is left over."""
    rows = re.findall(r"\| (\d+) px \| (\d+) px \|", RECIPES)
    widths, heights = zip(*([int(number) for number in row] for row in rows), strict=True)
    page = new_page()
    page.set_content(f'<iframe style="height:50px" srcdoc="{escape(nv.to_html(nv.show(num_groups=4)))}"></iframe>')
    ready(page.frames[1])
    page.add_script_tag(content=fits.THROUGH_STATES)
    needs = page.evaluate(NEEDS, widths)
    assert all(0 <= high - need <= 40 for high, need in zip(heights, needs, strict=True)), (widths, needs, heights)


def test_a_frame_follows_the_theme_that_it_is_told(new_page, tmp_path):
    """By the message of the recipe; the frame reports when it is ready, and its height if it is too low."""
    html = nv.show(method="batch")._repr_mimebundle_()["text/html"]
    listen = "<script>said = []; addEventListener('message', ({ data }) => said.push(data.normviz));</script>"
    (tmp_path / "own.html").write_text(f"<!doctype html><title>Own</title>{listen}{html}", encoding="utf-8")
    page = new_page(700)
    page.goto((tmp_path / "own.html").as_uri())
    (inside,) = frames(page)
    page.wait_for_function("said.includes('ready')")
    assert not page.evaluate("said.some((one) => one.height)")
    page.evaluate("document.querySelector('iframe').parentElement.style.paddingBottom = '300px'")
    page.wait_for_function("said.some((one) => one.height > 700)")
    told = RECIPES.split("```js\n")[1].split("\n```")[0]
    page.evaluate(f"() => {{ const frame = document.querySelector('iframe'); {told}\n}}")
    inside.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 28)'")
    # The browser's own parts, such as scroll bars and lists, are dark as well.
    assert inside.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_nbconvert_with_charts(offline_page, tmp_path):
    """The converted page requests MathJax and RequireJS, receives neither, and works."""
    nbformat.write(notebook(*LESSON), tmp_path / "lesson.ipynb")
    command = "nbconvert --to html --execute --ExecutePreprocessor.store_widget_state=False lesson.ipynb"
    assert f"PLOTLY_RENDERER=plotly_mimetype+notebook jupyter {command}\n" in RECIPES
    run(*command.split(), folder=tmp_path, PLOTLY_RENDERER="plotly_mimetype+notebook")
    page, _ = offline_page
    page.goto((tmp_path / "lesson.html").as_uri())
    shown, explorer = frames(page)
    choose(shown.locator(".normviz"), "Instance Norm")
    choose(explorer.locator(".normviz"), "Batch Norm")
    expect(page.locator(".js-plotly-plot .slider-container")).to_be_visible()


CONF = 'extensions = ["myst_nb", "normviz.book"]'
ANY_SPEED = ("-D", "nb_execution_timeout=-1")


@pytest.fixture(scope="module")
def own_book(tmp_path_factory) -> Path:
    """A book with one line of settings and one notebook, in Sphinx's default theme."""
    source = tmp_path_factory.mktemp("own")
    assert f"```python\n{CONF}\n```" in RECIPES
    (source / "conf.py").write_text(f"{CONF}\nproject = 'Own'\n")
    nb = notebook(*LESSON)
    nb.cells.insert(0, nbformat.v4.new_markdown_cell("# Lesson"))
    nbformat.write(nb, source / "index.ipynb")
    run("sphinx", "-W", "-q", *ANY_SPEED, "-b", "html", source, source / "html", folder=source)
    return source / "html"


def test_a_book_of_one_s_own(own_book, new_page):
    page = new_page(1200)
    page.goto((own_book / "index.html").as_uri())
    shown, explorer = frames(page)
    choose(shown.locator(".normviz"), "Instance Norm")
    slider(explorer.locator(".normviz")).press("End")
    wait_for(explorer.locator(".normviz"), num_groups=16)
    chart = page.locator(".normviz-chart")
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_attribute("data-ready", "")
    chart.locator("input[type=range]").press("End")
    page.wait_for_function("document.querySelector('.normviz-plot').layout.sliders[0].active === 5")


def test_a_chart_is_drawn_once(own_book, new_page):
    """First because the browser is idle, and not again when it comes into sight."""
    page = new_page(1200, 300)
    page.goto((own_book / "index.html").as_uri())
    chart = page.locator(".normviz-chart")
    expect(chart).to_have_attribute("data-ready", "")
    assert chart.bounding_box()["y"] > 300 + 800  # farther away than a chart that is drawn because it is near
    chart.scroll_into_view_if_needed()
    chart.evaluate("chart => new Promise((done) => new IntersectionObserver(done).observe(chart))")
    drawn(page)
    assert chart.locator("figcaption").count() == 1


def test_nothing_scrolls_in_a_book(own_book, new_page):
    """Where the book's script, which gives a frame exactly the height of its page, does not run either."""
    page = new_page(1600)
    page.route("**/normviz-book.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto((own_book / "index.html").as_uri())
    output = "frame.closest('.text_html').style"
    resize = f"(frame, width) => {{ {output}.cssText = `padding: 0; width: ${{width}}px`; }}"
    assert fits.what_scrolls(*fits.frame_of(page), resize) == []


def test_a_book_that_does_not_name_the_extension_is_left_alone(tmp_path):
    """Its charts are the same as before normviz was installed."""
    (tmp_path / "conf.py").write_text("extensions = ['myst_nb']\n")
    data = {CHART: json.loads(nv.labs.coupling.figure().to_json()), "text/html": "<p>plotly's own</p>"}
    nb = notebook("1")
    nb.cells[0].outputs = [nbformat.v4.new_output("display_data", data=data)]
    nb.cells.insert(0, nbformat.v4.new_markdown_cell("# Lesson"))
    nbformat.write(nb, tmp_path / "index.ipynb")
    run("sphinx", "-q", "-D", "nb_execution_mode=off", "-b", "html", tmp_path, tmp_path / "html", folder=tmp_path)
    page = (tmp_path / "html" / "index.html").read_text("utf-8")
    assert "plotly's own" in page
    assert "normviz-" not in page
