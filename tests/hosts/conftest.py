"""The real hosts. `make test-hosts` runs these tests; they are no part of `make test`, which has no such hosts."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Watch, browser, chromium_path  # noqa: F401
from tests.browser.reading import HANGS
from tests.hosts.host import ROOT, Host, Row, keep
from tests.server import Server

LEFT = pytest.StashKey[Counter[Row]]()
"""How many tests of each row have not run to their end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, default=ROOT / "build" / "hosts.json", help="where to write the table")


def row_of(item: pytest.Item) -> Row | None:
    """What a test fills in: `HOST` of its file, or its parameter `host`; None for a file without a row."""
    if hasattr(item, "callspec") and "host" in item.callspec.params:
        return item.callspec.params["host"]
    return getattr(item.module, "HOST", None)


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    """The host of this file, `HOST`, or one of several with which the tests are parametrized; in its environment."""
    host = request.param if hasattr(request, "param") else request.module.HOST
    assert host.python
    return host


@contextmanager
def pages(browser: Browser) -> Iterator[Callable[..., Page]]:  # noqa: F811
    """Give a function that makes pages which reach this machine alone."""
    contexts = []

    def make(width: int = 1300, height: int = 1000, **options: object) -> Page:
        viewport = {"width": width, "height": height}
        context = browser.new_context(**{"viewport": viewport, "bypass_csp": True} | options)
        contexts.append(context)
        context.set_default_timeout(HANGS)
        watch = Watch(context, allowed=("http://127.0.0.1", "ws://127.0.0.1", "http://localhost", "ws://localhost"))
        page = context.new_page()
        page.asked, page.errors = watch.requests, watch.errors
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:  # noqa: F811
    """Make pages that reach this machine alone; `page.asked` has the addresses elsewhere that a host asked for."""
    with pages(browser) as make:
        yield make


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """A page that reaches this machine alone."""
    return new_page()


# ---- what becomes of the table ---------------------------------------------------------------------------------------


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Tests that do not run count as tests that have not ended: a part of a file says nothing of its row."""
    for item in items:
        item.config.stash.setdefault(LEFT, Counter())[row_of(item)] += 1


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash.setdefault(LEFT, Counter()).update(map(row_of, session.items))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Note what failed, and show what the servers of that moment said."""
    report = yield
    row, left = row_of(item), item.config.stash[LEFT]
    if row is None:
        return report
    if report.failed:
        row.failed.update([item.module.COLUMN] if hasattr(item.module, "COLUMN") else row.columns_of(item.name))
        report.sections += [(f"log of {server.name}", server.log()[-3000:]) for server in Server.running]
    # A skipped test has said nothing.
    left[row] += report.skipped - (call.when == "teardown")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write what was seen, and say it."""
    left = {row: count for row, count in config.stash.get(LEFT, Counter()).items() if row is not None}
    if config.option.collectonly:  # tests/test_host_table.py reads this line
        terminalreporter.write_line(json.dumps([[row.table, row.name, row.note] for row in left]))
        return
    ended = [row for row, count in left.items() if not count]
    rows = [row for row in ended if not isinstance(row, Host) or row.can_be_made]
    path = config.getoption("--table")
    kept = keep(rows, path)
    for name in kept:
        terminalreporter.write_line(f"{name}: {kept[name]}")
    others = {row.name for row in left} - kept.keys()
    if others:
        terminalreporter.write_line(f"Not seen to the end, so {path} keeps what it said: {', '.join(sorted(others))}")
