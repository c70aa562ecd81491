"""A notebook in JupyterLab, Notebook 7 and nbclassic, while its kernel runs."""

import pytest

import normviz as nv
from tests.browser import fits, reading
from tests.browser.alive import assert_alive, assert_chart, frame_of, still_or_words
from tests.hosts.conftest import pages
from tests.hosts.host import Host
from tests.hosts.jupyter import NAME, PROGRAMS, REQUIREMENTS
from tests.server import until

HOSTS = [Host(name, requirements) for name, requirements in REQUIREMENTS.items()]
pytestmark = pytest.mark.parametrize("host", HOSTS, indirect=True, scope="module", ids=lambda host: host.package)
WIDTHS = (1300, 700)


@pytest.fixture(scope="module")
def program(host, tmp_path_factory):
    with PROGRAMS[host.package](tmp_path_factory.mktemp(host.package), host) as program:
        yield program


@pytest.fixture(scope="module")
def ran(program, browser):
    """A page with the notebook, open and run."""
    with pages(browser) as new_page:
        page = new_page()
        program.open(page)
        program.run_all(page)
        yield page


def test_explorer_and_python_hear_of_each_other(host, program, ran):
    place = program.result(ran, "explorer")
    reading.ready(ran)
    assert_alive(place)
    wanted = ("group", 1, (1, 5, 2, 3))
    now = "(explorer.method, explorer.num_groups, tuple(explorer.index))"
    until(lambda: program.value(NAME, now) == wanted, f"Python to read {wanted}")
    program.run(NAME, "explorer.method = 'instance'")
    pool = nv.pooling("instance", (4, 16, 12, 12))
    reading.wait_for(place.locator(".normviz"), method="instance", set=reading.as_text(pool.set_of((1, 5, 2, 3))))
    host.saw("explorer", "two-way")


def test_show_is_alive(host, program, ran):
    assert_alive(frame_of(program.result(ran, "show")))
    host.saw("show", "alive")


def test_chart_is_alive(host, program, ran):
    """But in nbclassic, which has no renderer for plotly's own output."""
    place = program.result(ran, "chart")
    if host.package == "nbclassic":
        place.wait_for(timeout=reading.HANGS)
        host.saw("chart", still_or_words(place))
    else:
        assert_chart(place)
        host.saw("chart", "alive")


@pytest.mark.parametrize("width", WIDTHS)
def test_explorer_fits(program, ran, width):
    ran.set_viewport_size({"width": width, "height": 1000})
    place = program.result(ran, "explorer")
    ran.wait_for_function(fits.DRAWN, arg=place.locator(".normviz").element_handle())
    assert too_wide(place) <= 0


@pytest.mark.parametrize("width", WIDTHS)
def test_show_fits(program, ran, width):
    ran.set_viewport_size({"width": width, "height": 1000})
    place = program.result(ran, "show")
    assert fits.what_scrolls(*fits.frame_of(place), "() => {}", (0,)) == []
    assert too_wide(place) <= 0


def test_chart_fits(program, ran):
    """In a window of 1300 px. In a narrower one it keeps the width that Python gave it, and the output scrolls."""
    ran.set_viewport_size({"width": 1300, "height": 1000})
    place = program.result(ran, "chart")
    place.wait_for(timeout=reading.HANGS)
    assert too_wide(place) <= 0


def too_wide(place):
    """By how many pixels what is in a place is wider than it."""
    return place.evaluate("e => e.scrollWidth - e.clientWidth")
