"""Pages and slides that nbconvert makes: nothing runs behind them."""

import shutil
import tarfile
from dataclasses import dataclass

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.alive import CHART, EXPLORER, SETUP, SHOW, assert_alive, assert_chart, frame_of, still_or_words
from tests.browser.lab import notebook
from tests.hosts.host import ENVIRONMENTS, Host, run

SCRIPTS = ("reveal.js@4.0.2", "requirejs@2.3.6")
RECIPE = ("--ExecutePreprocessor.store_widget_state=False",)
CELLS = ["explorer", "show", "chart"]


@dataclass(eq=False)
class Nbconvert(Host):
    """A way to make a page: the format, whether by the recipe of the docs, and whether scripts run on it."""

    requirements: tuple[str, ...] = ("nbconvert>=7.17", "ipykernel>=6")
    form: str = "html"
    by_recipe: bool = True
    scripts: bool = True


PAGE = Nbconvert("nbconvert, page", note="by the recipe")
SLIDES = Nbconvert("nbconvert, slides", note="by the recipe", form="slides")
STATE = Nbconvert("nbconvert, page without the recipe", note="use the recipe", by_recipe=False)
SILENT = Nbconvert("nbconvert, page where scripts are off", note="by the recipe; a chart needs scripts", scripts=False)


def hosts(*of):
    return pytest.mark.parametrize("host", of, indirect=True, scope="module", ids=lambda host: host.name)


@pytest.fixture(scope="module")
def copies():
    """The folders of reveal.js and RequireJS, for which nbconvert's slides would ask servers."""
    assert shutil.which("npm"), "npm is not installed, and reveal.js comes from it; install Node.js"
    for name in SCRIPTS:
        folder = ENVIRONMENTS / name
        if not (folder / "package" / "package.json").exists():
            folder.mkdir(exist_ok=True)
            run("npm", "pack", "--silent", name, cwd=folder)
            with tarfile.open(next(folder.glob("*.tgz"))) as packed:
                packed.extractall(folder, filter="data")
    return [ENVIRONMENTS / name / "package" for name in SCRIPTS]


@pytest.fixture(scope="module")
def converted(host, copies, tmp_path_factory):
    """The page, made as a user makes it."""
    path = tmp_path_factory.mktemp("nbconvert") / "lesson.ipynb"
    nb = notebook(SETUP, EXPLORER, SHOW, CHART)
    for cell in nb.cells:
        cell.metadata["slideshow"] = {"slide_type": "slide"}
    nbformat.write(nb, path)
    more = {"PLOTLY_RENDERER": "plotly_mimetype+notebook"} if host.by_recipe else {}
    options = RECIPE if host.by_recipe else ()
    if host.form == "slides":
        reveal, require = copies
        options += (f"--SlidesExporter.reveal_url_prefix={reveal.as_uri()}",)
        options += (f"--SlidesExporter.require_js_url={(require / 'require.js').as_uri()}",)
    convert = (host.python, "-m", "nbconvert", "--to", host.form, "--execute")
    host.run(*convert, *options, path, env=host.environment | more)
    return next(path.parent.glob("*.html"))


@pytest.fixture
def cell(host, converted, new_page):
    """Give the cell with an output, on its page or its slide."""
    # Reveal.js zooms a slide, of 960 x 700, to the window, and playwright misses what is in a zoomed frame.
    size = (1000, 730) if host.form == "slides" else (1300, 1000)
    page = new_page(*size, java_script_enabled=host.scripts)

    def of(output):
        number = 1 + CELLS.index(output)
        page.goto(f"{converted.as_uri()}{f'#/{number}' if host.form == 'slides' else ''}")
        place = page.locator(".jp-CodeCell").nth(number)
        if host.form == "slides":
            page.locator(".reveal.ready").wait_for()
            expect(place).to_be_in_viewport()
        place.scroll_into_view_if_needed()
        return place

    return of


@hosts(PAGE, SLIDES)
def test_explorer_is_alive(host, cell):
    assert_alive(frame_of(cell("explorer")))
    host.saw("explorer", "alive")


@hosts(PAGE, SLIDES, STATE)
def test_show_is_alive(host, cell):
    place = cell("show")
    assert_alive(frame_of(place))
    size = "e => [e.clientWidth, e.clientHeight]"
    assert place.locator("iframe").evaluate(size) == place.locator("div:has(> iframe)").evaluate(size)
    host.saw("show", "alive")


@hosts(PAGE, SLIDES)
def test_chart_is_alive(host, cell):
    assert_chart(cell("chart"))
    host.saw("chart", "alive")


@hosts(SILENT)
@pytest.mark.parametrize("output", ["explorer", "show"])
def test_it_is_a_picture(host, cell, output):
    picture = cell(output).locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("e => e.naturalWidth") > 400
    assert "Group Norm" in picture.get_attribute("alt")
    host.saw(output, "still")


@hosts(STATE)
def test_chart_says_what_to_do(host, cell):
    host.saw("chart", still_or_words(cell("chart").locator(".jp-OutputArea-output")))


@hosts(SILENT)
def test_chart_needs_scripts(host, cell):
    """Of what plotly's renderer for pages writes, nothing is seen."""
    place = cell("chart").locator(".jp-OutputArea-output")
    assert not place.locator("svg:visible, img:visible").count()
    assert not "".join(place.all_inner_texts()).strip()
    host.saw("chart", "dead")


@hosts(STATE)
def test_explorer_asks_a_cdn(host, cell):
    """Nbconvert's widget manager comes from a server. That nothing is shown without it is the reason for the recipe."""
    place = cell("explorer")
    place.page.wait_for_load_state("networkidle")
    assert any("html-manager" in address for address in place.page.asked), place.page.asked
    assert not place.locator("img:visible, iframe:visible, .normviz").count()
    host.saw("explorer", "dead")
