"""A page that nbconvert makes: nothing runs behind it."""

import nbformat
import pytest

from tests.browser.alive import CHART, EXPLORER, SETUP, SHOW, assert_alive, frame_of
from tests.browser.lab import notebook
from tests.hosts.host import Host

HOST = Host("nbconvert", note="with store_widget_state=False", requirements=("nbconvert>=7.16", "ipykernel>=6"))


@pytest.fixture(scope="module")
def converted(host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nbconvert")
    path = folder / "lesson.ipynb"
    nbformat.write(notebook(SETUP, SHOW, EXPLORER, CHART), path)
    host.run(host.python, "-m", "nbconvert", "--to", "html", "--execute",
        "--ExecutePreprocessor.store_widget_state=False", path)  # fmt: skip
    return path.with_suffix(".html")


def cell(page, number):
    return page.locator(".jp-Cell").nth(number)


def test_show(page, host, converted):
    page.goto(converted.as_uri())
    assert_alive(frame_of(cell(page, 1)))
    host.saw("show", "alive")
