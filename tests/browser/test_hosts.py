"""A saved notebook: reopened in JupyterLab, trusted and not, and made into a page by nbconvert. Nothing goes dead."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from normviz.book import PLOTLY
from tests.browser import fits
from tests.browser.alive import CHART, SETUP, SHOW, assert_alive, assert_still, frame_of
from tests.browser.lab import Lab, notebook, open_notebook, run_all, save_and_close
from tests.browser.reading import choose, state


def run(*arguments: str | Path) -> None:
    """Run a Python module as a user does, and fail with what it said."""
    done = subprocess.run([sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- nv.show in JupyterLab -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(lab: Lab, lab_page: Page) -> Path:
    """A notebook with nv.show, run in JupyterLab, alive there, saved and closed."""
    panel = open_notebook(lab_page, lab, "shown.ipynb", notebook(SETUP, SHOW))
    run_all(lab_page)
    assert_alive(frame_of(panel))
    save_and_close(lab_page)
    return lab.root / "shown.ipynb"


def opened(lab_page: Page, lab: Lab, name: str) -> Iterator[Locator]:
    panel = open_notebook(lab_page, lab, name)
    yield panel.locator(".jp-OutputArea-output")
    save_and_close(lab_page)


@pytest.fixture
def trusted(lab: Lab, lab_page: Page, saved: Path) -> Iterator[Locator]:
    """The output of the notebook that was run here, opened again."""
    yield from opened(lab_page, lab, saved.name)


@pytest.fixture
def untrusted(lab: Lab, lab_page: Page, saved: Path) -> Iterator[Locator]:
    """The output of the same notebook as it comes from somebody else."""
    nb = nbformat.read(saved, 4)
    nb.cells[0].source += "\n# from elsewhere"
    nbformat.write(nb, saved.with_name("elsewhere.ipynb"))
    yield from opened(lab_page, lab, "elsewhere.ipynb")


def test_show_has_no_widget_in_its_output(saved):
    outputs = nbformat.read(saved, 4).cells[1].outputs
    assert [set(output.data) for output in outputs] == [{"text/html", "image/svg+xml", "text/plain"}]
    assert "0x" not in outputs[0].data["text/plain"]
    assert "widgets" not in nbformat.read(saved, 4).metadata


def test_reopened_and_trusted_it_is_alive(trusted):
    assert_alive(frame_of(trusted))


def test_nothing_scrolls_inside(trusted):
    """Beside the file browser, and in outputs of every width."""
    element, inside = fits.frame_of(trusted)
    assert fits.what_scrolls(element, inside, "() => {}", (0,)) == []
    output = "frame.closest('.jp-OutputArea-output').style"
    resize = f"(frame, width) => {{ {output}.cssText = `flex: none; padding: 0; width: ${{width}}px`; }}"
    assert fits.what_scrolls(element, inside, resize) == []


def test_reopened_and_not_trusted_it_is_a_picture(untrusted):
    assert_still(untrusted)


def test_trusted_later_it_is_alive(lab, lab_page, saved):
    nb = nbformat.read(saved, 4)
    nb.cells[0].source += "\n# from elsewhere, and trusted"
    nbformat.write(nb, saved.with_name("later.ipynb"))
    lab.trust("later.ipynb")
    for output in opened(lab_page, lab, "later.ipynb"):
        assert_alive(frame_of(output))


# ---- nv.show in a page from nbconvert --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted(saved: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nbconvert")
    run("nbconvert", "--to", "html", "--output-dir", folder, saved)
    return folder / "shown.html"


def test_converted_it_is_alive_offline(offline_page, converted):
    page, requests = offline_page
    page.goto(converted.as_uri())
    frame = frame_of(page)
    asked = [request for request in requests if "mathjax" not in request.lower() and "require" not in request.lower()]
    assert not asked, "only what nbconvert's own page wants may be asked for"
    before = len(requests)
    assert_alive(frame)
    assert len(requests) == before


def test_the_live_explorer_covers_the_picture(offline_page, converted):
    """The frame lies over the picture, is opaque once it has drawn, and nothing in it has to be scrolled sideways."""
    page, _ = offline_page
    page.goto(converted.as_uri())
    frame = frame_of(page)
    drawn = frame.evaluate(
        """() => ({
            opaque: !/, 0\\)|transparent/.test(getComputedStyle(document.body).backgroundColor),
            seen: getComputedStyle(document.body).visibility,
            wide: document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth,
            high: document.scrollingElement.scrollHeight - document.scrollingElement.clientHeight,
        })"""
    )
    assert drawn == {"opaque": True, "seen": "visible", "wide": 0, "high": 0}
    picture, over = page.locator("img").bounding_box(), page.locator("iframe").bounding_box()
    assert (over["x"], over["y"], over["width"]) == (picture["x"], picture["y"], picture["width"])
    assert over["height"] >= picture["height"]


def test_converted_and_without_scripts_it_is_a_picture(browser: Browser, converted):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(converted.as_uri())
    picture = page.locator("img")
    expect(picture).to_be_visible()
    # The frame over it is there and shows nothing: the pixels are the picture's.
    shown = settled(picture)
    page.locator("iframe").evaluate("e => e.remove()")
    same = settled(picture) == shown  # a difference of bytes in the assertion itself would be spelled out for minutes
    assert same
    context.close()


def settled(locator: Locator) -> bytes:
    """Return the pixels of an element once two screenshots in a row agree: a busy machine may paint in steps."""
    last = locator.screenshot()
    while (now := locator.screenshot()) != last:
        last = now
    return now


# ---- weight, and the saved state of widgets --------------------------------------------------------------------------


def executed(folder: Path, name: str, cells: list[str]) -> Path:
    """A notebook run from the command line and saved with its outputs and the state of its widgets."""
    path = folder / name
    nbformat.write(notebook(SETUP, *cells), path)
    run("nbconvert", "--to", "notebook", "--execute", "--inplace", path)
    return path


def ten(function: str) -> list[str]:
    """Ten different choices."""
    return [
        f"{function}(x, {method!r}, index=(1, {c}, 2, 3))"
        for method in ("batch", "layer", "instance", "frn", "weight_norm")
        for c in (3, 9)
    ]


def test_ten_shown_are_light(tmp_path):
    path = executed(tmp_path, "ten.ipynb", ten("nv.show"))
    assert path.stat().st_size <= 2_000_000


@pytest.fixture(scope="module")
def explorers(tmp_path_factory) -> Path:
    """Ten explorers with their state saved."""
    return executed(tmp_path_factory.mktemp("ten"), "explorers.ipynb", ten("nv.Explorer"))


def test_ten_explorers_with_their_state_are_light(explorers):
    assert explorers.stat().st_size <= 3_150_000
    nb = json.loads(explorers.read_text())
    states = nb["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    ours = [model["state"] for model in states.values() if model["model_module"] == "anywidget"]
    assert len(ours) == 10
    # Without it a page that has the state has no picture to run.
    assert all("export default" in model["_esm"] and model["_css"] for model in ours)
    for cell in nb["cells"][1:]:
        data = cell["outputs"][0]["data"]
        assert {"application/vnd.jupyter.widget-view+json", "text/html", "image/svg+xml"} <= set(data)
        assert "0x" not in "".join(data["text/plain"])


def test_explorers_with_their_state_are_alive_when_reopened(lab, lab_page, explorers):
    """No kernel has ever known them: JupyterLab takes them from the notebook."""
    nb = copy.deepcopy(nbformat.read(explorers, 4))
    nbformat.write(nb, lab.root / "explorers.ipynb")
    lab.trust("explorers.ipynb")
    for _ in opened(lab_page, lab, "explorers.ipynb"):
        root = lab_page.locator(".normviz[data-ready]").first
        root.wait_for()
        assert state(root)["index"] == (1, 3, 2, 3)
        choose(root, "Instance Norm")
        assert state(root)["set"] == "1:2,3:4,0:12,0:12"


# ---- charts ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def charts(tmp_path_factory) -> Path:
    """A chart of a lab, the cube, and a figure of somebody else."""
    cells = [CHART, "nv.cube(x)", "import plotly.graph_objects as go\ngo.Figure()"]
    return executed(tmp_path_factory.mktemp("charts"), "charts.ipynb", cells)


def test_a_chart_has_its_words_beside_plotlys_data(charts):
    lab, cube, other = ([set(o.data) for o in cell.outputs] for cell in nbformat.read(charts, 4).cells[1:])
    assert lab == cube == [{PLOTLY, "text/plain"}]
    assert other == [{PLOTLY}]


def test_a_chart_is_drawn_in_jupyterlab_and_needs_no_more_width_than_there_is(lab, lab_page, charts):
    """The words are not shown beside it."""
    (lab.root / "charts.ipynb").write_bytes(charts.read_bytes())
    panel = open_notebook(lab_page, lab, "charts.ipynb")
    outputs = panel.locator(".jp-OutputArea-output")
    expect(outputs).to_have_count(3)
    for output in outputs.all():
        output.locator(".main-svg").first.wait_for()
        assert output.evaluate("e => [e.scrollWidth - e.clientWidth, e.querySelectorAll('pre').length]") == [0, 0]
    save_and_close(lab_page)


def test_a_chart_is_words_in_a_page_of_nbconvert(offline_page, charts):
    run("nbconvert", "--to", "html", charts)
    page, _ = offline_page
    page.goto(charts.with_suffix(".html").as_uri())
    chart, cube = page.locator(".jp-OutputArea-output pre").all()
    for text in ("Only Batch Norm", "a table of five methods", "Measured here.", "PLOTLY_RENDERER"):
        expect(chart).to_contain_text(text)
    expect(cube).to_contain_text("Group Norm, G = 4\n\nThe set of cell (0, 0, 0, 0), one of 16 sets")
