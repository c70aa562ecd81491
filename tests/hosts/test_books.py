"""Course books: a page that Sphinx with MyST-NB, Jupyter Book 1 or nbsphinx makes of a notebook, from the disk."""

import re

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser import fits
from tests.browser.alive import CHART, EXPLORER, SETUP, SHOW, assert_alive, frame_of
from tests.browser.lab import notebook
from tests.hosts.host import ROOT, Host

SPHINX = Host("Sphinx with MyST-NB", ("sphinx>=8", "myst-nb>=1.2", "furo"), note="with normviz.book; theme furo")
JUPYTER_BOOK = Host("Jupyter Book 1", ("jupyter-book<2",), note="with normviz.book")
NBSPHINX = Host("nbsphinx", ("nbsphinx", "furo", "ipykernel>=6"), note="with the lines for conf.py")
OURS = [SPHINX, JUPYTER_BOOK]
"""Books that use normviz.book."""

RECIPES = (ROOT / "docs" / "teach" / "your_course.md").read_text("utf-8")
FOR_SPHINX, FOR_JUPYTER_BOOK, FOR_NBSPHINX = (
    re.search(rf"```\w+\n({begin}.*?)```", RECIPES, re.DOTALL)[1]
    for begin in ("extensions = ", "sphinx:", "import os\n\nimport nbsphinx")
)
CHAPTERS = ("lesson", *"abcdef")
PAGES = [(1300, "light"), (500, "dark")]


@pytest.fixture(scope="module")
def lesson(host, tmp_path_factory):
    """The page of a notebook in a book of eight pages, read and written by two processes, in which a warning fails."""
    folder, rst = tmp_path_factory.mktemp("book"), host is NBSPHINX
    nb = notebook(SETUP, SHOW, EXPLORER, CHART)
    # nbsphinx converts Markdown with pandoc, which pip does not install.
    title = nbformat.v4.new_raw_cell("Lesson\n======", metadata={"raw_mimetype": "text/restructuredtext"})
    nb.cells.insert(0, title if rst else nbformat.v4.new_markdown_cell("# Lesson"))
    nbformat.write(nb, folder / "lesson.ipynb")
    for name in CHAPTERS[1:]:
        (folder / f"{name}.{'rst' if rst else 'md'}").write_text(f"{name}\n=\n" if rst else f"# {name}\n")
    if host is JUPYTER_BOOK:
        (folder / "index.md").write_text("# Book\n")
        (folder / "_config.yml").write_text(f"title: Lesson\n{FOR_JUPYTER_BOOK}")
        chapters = "".join(f"- file: {name}\n" for name in CHAPTERS)
        (folder / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{chapters}")
        host.run(host.python.with_name("jupyter-book"), "build", "-W", folder)
        return folder / "_build" / "html" / "lesson.html"
    lines = f'extensions = ["nbsphinx"]\n{FOR_NBSPHINX}' if rst else FOR_SPHINX
    (folder / "conf.py").write_text(f'{lines}\nhtml_theme = "furo"\n')
    (folder / "index.rst").write_text("Book\n====\n\n.. toctree::\n\n" + "".join(f"   {name}\n" for name in CHAPTERS))
    host.run(host.python, "-m", "sphinx", "-W", "-j", "2", "-b", "html", folder, folder / "html")
    return folder / "html" / "lesson.html"


def opened(new_page, lesson, width, theme):
    page = new_page(width, 1000, color_scheme=theme)
    page.goto(lesson.as_uri())
    return page


def output(page, number):
    """An output: the first is of nv.show, the second of nv.Explorer, and the last of the chart."""
    return page.locator(".cell_output, div.nboutput").nth(number)


def check_explorer(page, place):
    """It is alive, and nothing scrolls inside or to the side."""
    frame, inside = fits.frame_of(place)
    assert_alive(frame_of(place))
    assert fits.what_scrolls(frame, inside, "() => {}", (0,)) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= page.viewport_size["width"]
    return frame, inside


@pytest.mark.parametrize("host", [*OURS, NBSPHINX], indirect=True, ids=lambda host: host.package)
@pytest.mark.parametrize(("width", "theme"), PAGES)
@pytest.mark.parametrize(("column", "number"), [("show", 0), ("explorer", 1)])
def test_frames(new_page, host, lesson, width, theme, column, number):
    page = opened(new_page, lesson, width, theme)
    frame, inside = check_explorer(page, output(page, number))
    if host in OURS:
        high = "Math.ceil(document.querySelector('main').getBoundingClientRect().height)"
        assert frame.bounding_box()["height"] == inside.evaluate(high)
    expect(inside.locator(".normviz")).to_have_attribute("data-theme", theme)
    host.saw(column, "alive")


@pytest.mark.parametrize("host", OURS, indirect=True, ids=lambda host: host.package)
def test_frames_follow_the_switch_of_the_theme(new_page, host, lesson):
    """The book is dark on a light system once its reader says so."""
    page = opened(new_page, lesson, 1300, "light")
    _, inside = fits.frame_of(output(page, 0))
    for theme in ("dark", "light"):
        for place in ("documentElement", "body"):
            page.evaluate(f"document.{place}.dataset.theme = '{theme}'")
        expect(inside.locator(".normviz")).to_have_attribute("data-theme", theme)


@pytest.mark.parametrize("host", [*OURS, NBSPHINX], indirect=True, ids=lambda host: host.package)
@pytest.mark.parametrize(("width", "theme"), PAGES)
def test_chart(new_page, host, lesson, width, theme):
    page = opened(new_page, lesson, width, theme)
    place = output(page, -1)
    place.scroll_into_view_if_needed()
    paper = place.locator(".main-svg").first
    paper.wait_for()
    if host in OURS:
        place.locator(".normviz-chart[data-ready]").wait_for()
        wide = place.locator(".normviz-wide")
        assert wide.evaluate("e => e.scrollWidth > e.clientWidth") == (width == 500)  # a much narrower page scrolls it
        caption = wide.locator("figcaption").bounding_box()
        assert caption["x"] == wide.bounding_box()["x"]
        assert caption["width"] <= wide.bounding_box()["width"]
        expect(paper).to_have_css("background-color", {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[theme])
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    host.saw("chart", "alive")


@pytest.mark.parametrize("host", [*OURS, NBSPHINX], indirect=True, ids=lambda host: host.package)
def test_pages_ask_for_nothing_of_ours(new_page, host, lesson):
    """MathJax and RequireJS are of the program that makes the page."""
    page = opened(new_page, lesson, 1300, "light")
    for number in range(3):
        output(page, number).scroll_into_view_if_needed()
    output(page, -1).locator(".main-svg").first.wait_for()
    assert [url for url in page.asked if not re.search("mathjax|require", url.lower())] == []
