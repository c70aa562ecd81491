"""The real hosts. `make test-hosts` runs these tests; they are no part of `make test`, which has no such hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Watch, browser, chromium_path  # noqa: F401
from tests.browser.reading import HANGS
from tests.hosts.host import ROOT, Host, keep

HOSTS: list[Host] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, default=ROOT / "build" / "hosts.json", help="where to write the table")


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    """The host of this file, `HOST`, or one of several with which the tests are parametrized."""
    HOSTS.append(getattr(request, "param", None) or request.module.HOST)
    return HOSTS[-1]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:  # noqa: F811
    """A page that reaches this machine alone."""
    context = browser.new_context(viewport={"width": 1300, "height": 1000}, bypass_csp=True)
    context.set_default_timeout(6 * HANGS)
    watch = Watch(context, allowed=("http://127.0.0.1", "ws://127.0.0.1", "http://localhost", "ws://localhost"))
    page = context.new_page()
    page.asked = watch.requests  # addresses elsewhere that the host asked for, and did not get
    yield page
    context.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was seen."""
    if HOSTS:
        keep(HOSTS, session.config.getoption("--table"))
