"""A MyST site: its tool writes the pages as JSON, and its theme draws them. The theme is on no registry as a whole.

So the JSON is what `myst build` wrote, and the parts of the theme that show it, a React component for `{anywidget}` and
thebe for outputs of a notebook, come from npm and run on a page of our own.
"""

import json
import shutil
import subprocess
import sys
import tarfile

import nbformat
import pytest

from tests.browser.alive import CHART, EXPLORER, SETUP, SHOW, assert_alive, frame_of
from tests.browser.lab import notebook
from tests.browser.reading import state, wait_for
from tests.hosts.host import ENVIRONMENTS, Host, run
from tests.server import Server

HOST = Host(
    "MyST (mystmd, Jupyter Book 2)",
    ("mystmd>=1.8", "nbconvert>=7.16", "ipykernel>=6"),
    note="explorer by export --anywidget; the site's template comes from a server and was not tried",
)
THEME = ENVIRONMENTS / "mystmd-theme"
PAGE = """<!doctype html><html><meta charset="utf-8"><link rel="icon" href="data:,">
<link rel="stylesheet" href="thebe/thebe-core.css"><style>
body { margin: 0; font: 18px/2 serif; background: #fff; } .dark body { background: #1c1917; color: #fff; }
main { max-width: 800px; margin: auto; }</style>
<main></main><script src="thebe/thebe-core.min.js"></script><script type="module" src="theme.js"></script></html>"""
SCRIPT = """
import { createRoot } from "react-dom/client";
import { createElement } from "react";
import { ANY_RENDERERS } from "@myst-theme/anywidget";
const place = () => document.querySelector("main").appendChild(document.createElement("div"));
window.showWidget = (node) => createRoot(place()).render(createElement(ANY_RENDERERS.anywidget, { node }));
window.showOutput = (output) => {
  const core = window.thebeCore.module;
  const cell = new core.PassiveCellRenderer("cell", core.makeRenderMimeRegistry(), undefined);
  cell.attachToDOM(place(), true);
  cell.render(core.stripWidgets([output]));
};
"""


@pytest.fixture(scope="module")
def theme():
    """The parts of the theme, for a page."""
    assert shutil.which("npm"), "npm is not installed, and MyST's theme comes from it; install Node.js"
    THEME.mkdir(parents=True, exist_ok=True)
    (THEME / "theme.js").write_text(SCRIPT)
    packages = ("@myst-theme/anywidget@1", "react@18", "react-dom@18", "esbuild")
    run("npm", "install", "--silent", "--legacy-peer-deps", "--prefix", THEME, *packages)
    run(THEME / "node_modules/.bin/esbuild", "theme.js", "--bundle", "--format=esm", "--outfile=made.js", cwd=THEME)
    archive = THEME / run("npm", "pack", "--silent", "thebe-core@0.5", cwd=THEME).strip()
    with tarfile.open(archive) as files:
        files.extractall(THEME, [file for file in files if file.name.startswith("package/dist/lib/")], filter="data")
    return THEME


@pytest.fixture(scope="module")
def site(host, theme, tmp_path_factory):
    """A built site: the nodes of its page and the outputs of its notebook, as JSON, and the address of its files."""
    folder = tmp_path_factory.mktemp("myst")
    command = "normviz export --shape 4 16 12 12 -m group -g 8 --anywidget lesson".split()
    said = host.run(host.python, "-m", *command, cwd=folder)
    written = said[said.index("```") :]
    chosen = written.replace('"index":[0,0,0,0],"step":0', '"index":[1,5,2,2],"step":3')
    bare = "\n".join([*written.splitlines()[:2], "```"])
    strange = bare.replace("\n```", '\n{ method: "bach", num_groups: 5 }\n```')
    wrong = bare.replace("\n```", "\n{ method\n```")
    (folder / "myst.yml").write_text("version: 1\nproject:\n  title: Lesson\nsite:\n  template: book-theme\n")
    (folder / "index.md").write_text("# Lesson\n\n" + "\n\n".join([chosen, bare, strange, wrong]))
    nbformat.write(notebook(SETUP, SHOW, EXPLORER, CHART), folder / "shown.ipynb")
    host.run(host.python, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", folder / "shown.ipynb")
    # Without a network it stops at the template; the content is written by then.
    command = [host.python.with_name("myst"), "build", "--site", "--ci"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=host.environment)
    content, public = folder / "_build/site/content", folder / "_build/site/public"
    assert (content / "index.json").exists(), built.stdout + built.stderr
    shutil.copytree(theme / "package/dist/lib", public / "thebe")
    shutil.copy(theme / "made.js", public / "theme.js")
    (public / "index.html").write_text(PAGE)
    found = {
        name: list(nodes_of(json.loads((content / f"{name}.json").read_text("utf-8"))["mdast"], kind))
        for name, kind in (("index", "anywidget"), ("shown", "output"))
    }
    command = (sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1")
    with Server("MyST's files", command, folder=public) as server:
        yield folder, found, server.url


def nodes_of(node, kind):
    """The nodes of a kind in MyST's tree, in their order."""
    if isinstance(node, dict) and node.get("type") == kind:
        yield node
    for child in node.get("children", []):
        yield from nodes_of(child, kind)


@pytest.fixture
def opened(page, site):
    _, found, address = site
    page.goto(address)
    page.wait_for_function("window.showWidget && window.thebeCore?.module")
    return page, found


def shown(page, node):
    """The place of a widget that the theme draws."""
    page.evaluate("node => showWidget(node)", node)
    place = page.locator("main > div").last
    place.locator(".normviz[data-ready]").wait_for()
    return place


def test_the_built_node_has_module_style_and_model(site):
    folder, found, _ = site
    node = found["index"][0]
    for name, file in (("esm", "explorer.mjs"), ("css", "explorer.css")):
        copy = folder / "_build/site/public" / node[name].lstrip("/")
        assert copy.read_bytes() == (folder / "lesson" / file).read_bytes()
    assert (node["model"]["method"], node["model"]["index"]) == ("group", [1, 5, 2, 2])
    assert found["index"][1]["model"] == {}


@pytest.mark.parametrize("width", [1300, 500])
def test_explorer(opened, host, width):
    page, found = opened
    page.set_viewport_size({"width": width, "height": 900})
    place = shown(page, found["index"][0])
    assert place.evaluate("e => e.querySelector('.myst-anywidget')?.shadowRoot ? 'shadow' : 'open'") == "shadow"
    assert_alive(place)
    assert page.evaluate("document.scrollingElement.scrollWidth") == width
    assert not page.asked
    host.saw("explorer", "alive")


def test_the_theme_is_that_of_the_site(opened):
    page, found = opened
    root = shown(page, found["index"][0]).locator(".normviz")
    wait_for(root, theme="light")
    page.evaluate("document.documentElement.className = 'dark'")
    wait_for(root, theme="dark")


def test_a_part_of_the_model_is_enough_and_what_does_not_fit_is_said(opened):
    page, found = opened
    for node, G, said in zip(
        found["index"][1:],
        (8, 4, 8),  # 4 is a divisor of C = 16, and close to 5
        ("", 'left out: method: "bach" and num_groups: 5.', "left out: Invalid JSON5/JSON supplied."),
        strict=True,
    ):
        root = shown(page, node).locator(".normviz")
        assert (state(root)["method"], state(root)["num_groups"], state(root)["step"]) == ("group", G, 0)
        assert root.locator(".nv-alert").text_content().endswith(said)


def test_a_clicker_reaches_the_presenter(opened):
    page, found = opened
    root = shown(page, found["index"][1]).locator(".normviz")
    root.get_by_role("button", name="Present").click()
    page.evaluate("document.activeElement.shadowRoot.activeElement.blur()")
    page.keyboard.press("PageDown")
    wait_for(root, step=1)


def test_show(opened, site, host):
    """In a notebook with its outputs: nv.show, and nv.Explorer by its HTML."""
    page, found = opened
    public = site[0] / "_build/site/public"
    for output in [node["jupyter_data"] for node in found["shown"][:2]]:
        # The theme fetches what the tool stored in files of its own.
        data = {
            kind: part.get("content") or (public / part["path"].lstrip("/")).read_text("utf-8")
            for kind, part in output["data"].items()
        }
        page.evaluate("output => showOutput(output)", {**output, "data": data})
        place = page.locator("main > div").last
        place.scroll_into_view_if_needed()  # a frame draws once it is in the window
        assert_alive(frame_of(place))
    host.saw("show", "alive")


def test_chart(site, host):
    """The figure is in the page's JSON. The theme draws it with jupyterlab-plotly, which was not run here."""
    data = site[1]["shown"][2]["jupyter_data"]["data"]
    assert json.loads(data["application/vnd.plotly.v1+json"]["content"])["data"]
    host.saw("chart", "not tried")
