"""Other engines than Chromium's, in the browsers that Debian has: the tests are those of tests/browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import call, exported, root  # noqa: F401
from tests.hosts.engines.drivers import Driver, Firefox, WebKit
from tests.hosts.engines.page import Page
from tests.hosts.host import Engine

DRIVERS = {driver.row: driver for driver in (Firefox, WebKit)}


@pytest.fixture(scope="session", params=DRIVERS, ids=lambda engine: engine.name)
def host(request: pytest.FixtureRequest) -> Engine:
    """The row of an engine."""
    return request.param


@pytest.fixture(scope="session")
def driver(host: Engine) -> Iterator[Driver]:
    """One browser at a time: pytest runs all tests of the first engine before those of the second."""
    driver = DRIVERS[host]()
    yield driver
    driver.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:  # noqa: F811
    """What a file of tests plays is a column of the table."""
    report = yield
    engine, column = item.callspec.params["host"], item.module.COLUMN
    if report.passed and call.when == "call":
        engine.saw(column, "differs" if column in DRIVERS[engine].differs else "works")
    return report


@pytest.fixture
def new_page(driver: Driver, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """The one window, which is opened anew for each test; the test fails if the page complains or asks for anything."""
    allowed: list[str] = []

    def make(width: int = 1100, height: int = 900, *, tolerated: tuple[str, ...] = (), **options: object) -> Page:
        assert set(options) <= {"bypass_csp", "permissions"}, f"this window has no {options}"
        allowed.extend(tolerated)
        driver.resize(width, height)
        return Page(driver, tmp_path)

    driver.errors.clear()
    driver.requests.clear()
    yield make
    driver.go("about:blank")
    driver.forget()
    errors = [text for text in driver.errors if not any(part in text for part in allowed)]
    assert not driver.requests, f"requests left the page: {driver.requests}"
    assert not errors, f"the page complained: {errors}"


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """One page of usual size."""
    return new_page()
