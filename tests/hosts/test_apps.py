"""The recipes of docs/teach/apps.md, each in the program that it is for."""

import pytest
from playwright.sync_api import expect

from tests.browser import fits, reading
from tests.browser.alive import assert_alive, assert_still, frame_of
from tests.browser.reading import choose
from tests.hosts.app import App, assert_chart, assert_readable, assert_whole, is_dark_beside

MARIMO = {"heading": "marimo", "requirements": ("marimo",)}
LISTENS = ("--headless", "--no-token", "--host", "127.0.0.1", "--port", "{port}", "app.py")
WIDGETS = [
    App("marimo edit", command=("marimo", "edit", "--session-ttl=0", *LISTENS), start="Control+Shift+r",
        note="with expand_output=True, or marimo scrolls an output above 610 px; a reopened notebook shows a still "
             "picture, and no explorer, until it runs; asks a CDN for MathJax", **MARIMO),
    App("marimo run", command=("marimo", "run", *LISTENS), note="asks a CDN for MathJax", **MARIMO),
    App("Panel", heading="Panel", requirements=("panel", "ipywidgets_bokeh"), port="port=5006", dark="?theme=dark",
        note="with anywidget's script from the app itself, or Panel asks a CDN for it; asks a CDN for Font Awesome"),
    App("Shiny", heading="Shiny", requirements=("shiny", "shinywidgets"),
        command=("shiny", "run", "--port", "{port}", "app.py"), note='with output_widget(height="auto")',
        dark='document.documentElement.dataset.bsTheme = "dark"'),
    App("NiceGUI", heading="NiceGUI", requirements=("nicegui",), port="port=8080", dark="Quasar.Dark.set(true)"),
]  # fmt: skip
FRAGMENTS = [
    App("Streamlit", heading="Streamlit", requirements=("streamlit",), frame="iframe.stIFrame", control="slider",
        command=("streamlit", "run", "app.py", "--server.headless=true", "--server.port={port}",
                 "--server.address=127.0.0.1", "--browser.gatherUsageStats=false"), note="by st.iframe"),
    App("Gradio", heading="Gradio", requirements=("gradio",), control="radio",
        settings=(("GRADIO_SERVER_PORT", "{port}"),)),
    App("Dash", heading="Dash", requirements=("dash",), control="radio"),
]  # fmt: skip


@pytest.fixture(scope="module")
def url(host, tmp_path_factory):
    with host.server(tmp_path_factory.mktemp("app")) as server:
        yield server.url


widgets = pytest.mark.parametrize("host", WIDGETS, ids=lambda app: app.name, indirect=True, scope="module")
fragments = pytest.mark.parametrize("host", FRAGMENTS, ids=lambda app: app.name, indirect=True, scope="module")
every = pytest.mark.parametrize("host", WIDGETS + FRAGMENTS, ids=lambda app: app.name, indirect=True, scope="module")


def explorer(page, host, url, **options):
    """Open the app, and wait for its widget. It may be in a shadow root, which a locator looks into."""
    host.open(page, url, **options)
    root = page.locator(reading.READY)
    root.wait_for()
    return root


@widgets
def test_explorer(page, host, url):
    """Alive, and Python and the page change each other."""
    root = explorer(page, host, url)
    assert_whole(page, root)
    assert_alive(page)
    choose(root, "Batch Norm")
    expect(page.get_by_text("Python reads batch, cell")).to_be_visible()
    page.get_by_role("button", name="Ask for Layer Norm").click()
    reading.wait_for(root, method="layer")
    host.saw("explorer", "two-way")


@every
def test_show(page, host, url):
    host.open(page, url)
    element, inside = fits.frame_of(host.place(page))
    assert_alive(inside)
    assert_whole(page, *([page.locator(host.frame)] if host.frame else []), element, inside=inside)
    host.saw("show", "alive")


@pytest.mark.parametrize("host", WIDGETS[:1], ids=lambda app: app.name, indirect=True, scope="module")
def test_show_is_still_when_it_is_reopened(page, host, url):
    """The editor takes frames out of what it did not run itself, and the picture below stays."""
    host.open(page, url)
    fits.frame_of(page)
    page.goto(url)
    assert_still(page.locator(".output-area:has(img)"))


@every
def test_chart(page, host, url):
    host.open(page, url)
    assert_chart(page)
    host.saw("chart", "alive")


@every
def test_chart_can_be_read_on_a_dark_page(new_page, host, url):
    page = new_page(color_scheme="dark")
    host.open(page, url, dark=True)
    assert_readable(page)


@fragments
def test_explorer_as_html(page, host, tmp_path):
    with host.server(tmp_path, ("nv.show(", "nv.Explorer(")) as server:
        host.open(page, server.url)
        assert_alive(frame_of(host.place(page)))
    host.saw("explorer", "alive")


@fragments
def test_show_follows_the_app(page, host, url):
    """The app makes another one when its reader changes something."""
    host.open(page, url)
    frame_of(host.place(page))
    controls = page.get_by_role(host.control)
    controls.last.check() if host.control == "radio" else controls.press("ArrowRight")
    shown = page.frame_locator(host.frame) if host.frame else page
    expect(shown.frame_locator("iframe").locator(".normviz")).to_have_attribute("data-num-groups", "16")


@widgets
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_explorer_has_the_theme_of_the_page(new_page, host, url, scheme):
    page = new_page(color_scheme=scheme)
    root = explorer(page, host, url, dark=scheme == "dark")
    assert is_dark_beside(page, root) == (scheme == "dark")
    expect(root).to_have_attribute("data-theme", scheme)


@every
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_show_has_the_theme_of_the_page(new_page, host, url, scheme):
    """Whatever the reader's system."""
    page = new_page(color_scheme=scheme)
    host.open(page, url)
    element, inside = fits.frame_of(host.place(page))
    dark = is_dark_beside(page, element)
    expect(inside.locator(".normviz")).to_have_attribute("data-theme", "dark" if dark else "light")
