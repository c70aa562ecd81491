"""A notebook that was run, saved and opened again after its kernel had ended: no cell has run in the new one."""

import pytest
from playwright.sync_api import expect

from tests.browser import reading
from tests.browser.alive import assert_alive, assert_chart, frame_of, still_or_words
from tests.hosts.conftest import pages
from tests.hosts.host import Host
from tests.hosts.jupyter import PROGRAMS, REQUIREMENTS

HOSTS = [
    Host(f"{name}, opened again", requirements, note="for the explorer, run its cell again")
    for name, requirements in REQUIREMENTS.items()
]
pytestmark = pytest.mark.parametrize("host", HOSTS, indirect=True, scope="module", ids=lambda host: host.package)


@pytest.fixture(scope="module")
def again(host, browser, tmp_path_factory):
    """Give the place of an output in the notebook that is opened again."""
    with PROGRAMS[host.package](tmp_path_factory.mktemp(host.package), host) as program, pages(browser) as new_page:
        first = new_page()
        program.open(first)
        program.run_all(first)
        reading.ready(first)
        frame_of(program.result(first, "show"))
        if host.package == "nbclassic":
            program.result(first, "chart").wait_for()
        else:
            assert_chart(program.result(first, "chart"))
        program.save(first)
        first.close()
        program.end_kernels()
        page = new_page()
        program.open(page)
        yield lambda output: program.result(page, output)


def test_explorer_needs_its_kernel(host, again):
    """The widget is gone with the kernel. JupyterLab says only that a model is missing, nbclassic what to do."""
    place = again("explorer")
    told = {"nbclassic": "running the appropriate cells"}.get(host.package, "model not found")
    expect(place).to_contain_text(told)
    assert not place.locator(".normviz, iframe, img").count()
    host.saw("explorer", "words" if host.package == "nbclassic" else "dead")


def test_show_is_alive(host, again):
    assert_alive(frame_of(again("show")))
    host.saw("show", "alive")


def test_chart_is_alive(host, again):
    place = again("chart")
    if host.package == "nbclassic":
        place.wait_for(timeout=reading.HANGS)
        host.saw("chart", still_or_words(place))
    else:
        place.hover()  # until then plotly shows the picture that it has saved
        assert_chart(place)
        host.saw("chart", "alive")
