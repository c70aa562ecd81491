"""The page that marimo exports: no Python runs behind it."""

import pytest

from tests.browser import fits, reading
from tests.browser.alive import assert_alive
from tests.hosts.app import assert_chart, assert_whole, recipe
from tests.hosts.host import Host

HOST = Host("marimo export html", note="asks a CDN for marimo's own files", requirements=("marimo",))
CDN = "**/npm/@marimo-team/frontend@"


@pytest.fixture(scope="module")
def exported(host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    (folder / "app.py").write_text(recipe("marimo"), "utf-8")
    host.run(host.python, "-m", "marimo", "export", "html", "app.py", "-o", "app.html", cwd=folder)
    return folder / "app.html"


@pytest.fixture
def opened(page, host, exported):
    """The page; marimo's own files, for which it asks a CDN, come from the installed marimo, which has the same."""
    code = "import marimo; print(marimo.__path__[0])"
    files = f"{host.run(host.python, '-c', code).strip()}/_static"
    free = {"Access-Control-Allow-Origin": "*"}

    def answer(route):
        route.fulfill(path=files + route.request.url.partition("/dist")[2].partition("?")[0], headers=free)

    page.route(f"{CDN}*/dist/**", answer)
    page.goto(exported.as_uri())
    return page


def test_explorer(opened, host):
    root = opened.locator(reading.READY)
    root.wait_for()
    assert_whole(opened, root)
    assert_alive(opened)
    host.saw("explorer", "alive")


def test_show(opened, host):
    element, inside = fits.frame_of(opened)
    assert_alive(inside)
    assert_whole(opened, element, inside=inside)
    host.saw("show", "alive")


def test_chart(opened, host):
    assert_chart(opened)
    host.saw("chart", "alive")
