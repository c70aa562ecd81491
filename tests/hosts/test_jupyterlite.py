"""The course as `normviz lite` writes it, in Chromium: Python runs in the page, and only this machine is asked.

The site is built by JupyterLite 0.6 with the Pyodide of `pyodide_files`, because the newest JupyterLite takes Pyodide
from a server that the tests do not ask. For the newest only the built site is checked.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.browser.alive import CHART, EXPLORER, METHODS, SETUP, SHOW, assert_alive, frame_of
from tests.browser.lab import wait_for_lab
from tests.browser.reading import HANGS, choose, state, wait_for
from tests.course import answers_to
from tests.hosts.host import ROOT, Host, environment
from tests.hosts.pyodide_files import pyodide
from tests.server import Server, until

NOTE = "normviz lite, with Pyodide 0.27.7 and NumPy 2.0.2; the newest JupyterLite, whose Pyodide is on a CDN: not tried"
HOST = Host(
    "JupyterLite", note=NOTE, requirements=("jupyterlite-core[contents]==0.6.4", "jupyterlite-pyodide-kernel==0.6.1")
)
NEWEST = Host("newest JupyterLite", requirements=("jupyterlite-pyodide-kernel>=0.8", "jupyterlite-core[contents]>=0.8"))
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
NOTEBOOK = "02_group_norm.ipynb"
EXERCISE = "exercise-five-grade"
SERVE = (sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1")
PICTURE = ".jp-OutputArea iframe"

# A notebook keeps its cells; `ran` is true once all have run.
RUN_ALL = """() => {
    window.ran = false;
    jupyterapp.commands.execute("notebook:run-all-cells").then(() => { window.ran = true; });
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = 0;
    notebook.scrollToItem(0);
}"""
OUTPUTS = """() => Object.fromEntries(jupyterapp.shell.currentWidget.content.widgets
    .filter((cell) => cell.model.type === "code").map((cell) => [cell.model.id, cell.model.outputs.toJSON()]))"""
OPEN = """async (path) => {
    const widget = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
    await widget.context.ready;
    await widget.sessionContext.ready;
    jupyterapp.shell.activateById(widget.id);
}"""
APPEND = """async (codes) => {
    const notebook = jupyterapp.shell.currentWidget.content, cells = notebook.model.sharedModel;
    for (const source of codes) {
        cells.insertCell(cells.cells.length, { cell_type: "code", source });
        notebook.activeCellIndex = cells.cells.length - 1;
        await jupyterapp.commands.execute("notebook:run-cell");
    }
    const made = notebook.widgets.slice(-codes.length);
    return made.map((cell) => cell.model.outputs.toJSON().map((one) => one.text || one.evalue || "").join(""));
}"""


def written(host, *options):
    """A folder with the site that `normviz lite` writes in the environment of this host."""
    folder = ROOT / "build" / host.folder.name
    host.run(host.python, "-m", "normviz", "lite", folder, *options)
    return folder


@pytest.fixture(scope="module")
def site(host):
    return written(host, "--offline", pyodide())


@pytest.fixture(scope="module")
def lab(site, browser, chromium_path):
    """The page of JupyterLite with the notebook, all cells run, and the seconds until the first picture."""
    config = site / "jupyter-lite.json"
    settings = json.loads(config.read_text("utf-8"))
    settings["jupyter-config-data"]["exposeAppInBrowser"] = True
    config.write_text(json.dumps(settings), "utf-8")
    with Server("the site", SERVE, folder=site) as server:
        # Not even a service worker, which no route of Playwright sees, finds another machine.
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        sandbox = ["--no-sandbox"] if sys.platform == "linux" and os.geteuid() == 0 else []
        alone = browser.browser_type.launch(executable_path=chromium_path, args=[rules, *sandbox])
        context = alone.new_context(viewport={"width": 1300, "height": 1000})
        context.set_default_timeout(2 * HANGS)
        page = context.new_page()
        page.asked = set()
        context.on("request", lambda request: page.asked.add(request.url))
        page.goto(f"{server.url}?path={NOTEBOOK}")
        wait_for_lab(page)
        page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.isReady")
        start = time.monotonic()
        page.evaluate(RUN_ALL)
        page.locator(PICTURE).first.wait_for(state="attached")
        page.seconds = time.monotonic() - start
        page.wait_for_function("window.ran")
        page.here = server.url
        yield page
        alone.close()


def outputs_without_errors(lab):
    """The outputs of the current notebook by cell, none of which is an error."""
    outputs = lab.evaluate(OUTPUTS)
    errors = [one for cell in outputs.values() for one in cell if one["output_type"] == "error"]
    assert not errors, errors
    return outputs


def last_cell(lab):
    cell = lab.locator(".jp-NotebookPanel .jp-CodeCell").last
    cell.scroll_into_view_if_needed()
    return cell


def test_the_notebook_runs_as_it_is(lab, site):
    """Without %pip, and without an error in any cell."""
    print(f"\nRun All to the first picture: {lab.seconds:.1f} s, with a load of {os.getloadavg()[0]:.0f}")
    assert json.loads((site / "files" / NOTEBOOK).read_text()) == json.loads(
        (ROOT / "notebooks" / NOTEBOOK).read_text()
    )
    outputs = outputs_without_errors(lab)
    assert "Exercise 2" in str(outputs[EXERCISE])
    assert "right" not in str(outputs[EXERCISE])


def test_an_exercise_is_graded(lab):
    answers = answers_to(Path(NOTEBOOK))[EXERCISE]
    cells = json.loads((ROOT / "notebooks" / NOTEBOOK).read_text())["cells"]
    grade = next("".join(cell["source"]) for cell in cells if cell["id"] == EXERCISE)
    _, wrong, _, right = lab.evaluate(APPEND, [answers["wrong-1"].code, grade, answers["right"].code, grade])
    assert "Exercise 2: right" in right
    assert "Exercise 2: right" not in wrong


def test_show_is_alive(lab, host):
    lab.evaluate(APPEND, [SETUP, SHOW])
    assert_alive(frame_of(last_cell(lab)))
    host.saw("show", "alive")


def test_explorer_is_two_way(lab, host):
    lab.evaluate(APPEND, [SETUP, EXPLORER])
    last_cell(lab)
    # The others are in frames.
    root = lab.locator(".normviz[data-ready]")
    root.wait_for()
    label, name = METHODS[0]
    choose(root, label)
    assert state(root)["method"] == name
    # What a click tells waits for a frame.
    until(lambda: lab.evaluate(APPEND, ["print(explorer.method)"]) == [f"{name}\n"], "Python to hear of the click")
    lab.evaluate(APPEND, ["explorer.method = 'layer'"])
    wait_for(root, method="layer")
    host.saw("explorer", "two-way")


def test_chart_is_drawn(lab, host):
    lab.evaluate(APPEND, [SETUP, CHART])
    cell = last_cell(lab)
    cell.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert cell.locator(".js-plotly-plot .main-svg").first.bounding_box()["width"] > 300
    host.saw("chart", "alive")


@pytest.mark.parametrize("name", ["08_large_tensors.ipynb", "10_real_bugs.ipynb"])
def test_other_notebooks_run(lab, name):
    """One that uses files and devices elsewhere, and one with many outputs; test_pyodide.py runs the cells of all."""
    lab.evaluate(OPEN, name)
    lab.wait_for_function("(name) => jupyterapp.shell.currentWidget?.context?.path === name", arg=name)
    lab.evaluate(RUN_ALL)
    lab.wait_for_function("window.ran")
    assert any(outputs_without_errors(lab).values())


def test_nobody_else_is_asked(lab):
    elsewhere = {url for url in lab.asked if not url.startswith((lab.here, "data:", "blob:"))}
    assert not elsewhere
    assert any("/static/pyodide/numpy" in url for url in lab.asked)


def test_a_narrow_window_shows_the_notebook_alone(lab, new_page):
    page = new_page(width=390)
    page.goto(f"{lab.here}?path={NOTEBOOK}")
    page.wait_for_url(f"{lab.here}notebooks/index.html?path={NOTEBOOK}")
    page.get_by_role("heading", name="Group Norm and G", exact=False).wait_for()


def test_the_newest_takes_pyodide_from_its_cdn():
    """What can be told without a network: the site is built, and its settings name files that are there."""
    site = written(NEWEST)
    data = json.loads((site / "jupyter-lite.json").read_text("utf-8"))["jupyter-config-data"]
    options = data["litePluginSettings"][KERNEL]
    assert "pyodideUrl" not in options
    assert not (site / "static").exists()
    names = {one["name"] for one in data["federated_extensions"]}
    assert names == {KERNEL.partition(":")[0], "@jupyter-widgets/jupyterlab-manager", "anywidget", "jupyterlab-plotly"}
    worker = site / "extensions" / KERNEL.partition(":")[0] / "static"
    addresses = [name for name in options["loadPyodideOptions"]["packages"] if name.endswith(".whl")]
    assert all((worker / address).exists() for address in addresses)
    assert any("pyodide_kernel" in address for address in addresses)
    assert list(worker.glob("*worker*.js"))
    assert not options["disablePyPIFallback"]
    assert {path.name for path in (site / "files").iterdir()} >= {path.name for path in ROOT.glob("notebooks/*.ipynb")}


def test_the_newest_refuses_an_older_pyodide(tmp_path):
    command = (NEWEST.python, "-m", "normviz", "lite", tmp_path / "site", "--offline", pyodide())
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment())
    said = "holds Python 3.12.7, and the installed kernel of JupyterLite needs Python 3."
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not list(tmp_path.iterdir())
