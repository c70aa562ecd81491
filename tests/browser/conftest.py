import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, sync_playwright

import normviz as nv
from tests.browser import host, snippets
from tests.browser.lab import Lab, wait_for_lab
from tests.browser.reading import HANGS, open_file
from tools.find_browser import find

HERE = ("file:", "blob:", "data:", "about:")
KEPT = 4
"""As many contexts wait for the next test. Making one costs more than loading a page into it."""


@pytest.fixture(scope="package")
def chromium_path() -> str:
    return find()


@pytest.fixture(scope="package")
def browser(chromium_path: str) -> Iterator[Browser]:
    # The browser's own errands (updates, safe browsing) would be the only requests it makes by itself.
    args = ["--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb"]
    if sys.platform == "linux" and os.geteuid() == 0:
        args.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=args)
        yield browser
        browser.close()


class Watch:
    """What went wrong on the pages of one context: errors, and requests that leave the page.

    Attributes
    ----------
    errors
        Messages of exceptions and of console.error.
    requests
        Addresses of requests that were refused.
    tolerated
        Parts of messages that a host itself is known to utter.
    """

    def __init__(self, context: BrowserContext, allowed: tuple[str, ...] = (), tolerated: tuple[str, ...] = ()) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.tolerated = tolerated
        self._allowed = (*HERE, *allowed)
        self._context = context
        context.route("**/*", self._route)
        context.on("page", self._page)

    def _page(self, page: Page) -> None:
        page.on("pageerror", lambda error: self._error(str(error.stack or error)))
        page.on("console", lambda message: message.type == "error" and self._error(message.text))
        page.on("websocket", lambda socket: socket.url.startswith(self._allowed) or self.requests.append(socket.url))

    def _error(self, text: str) -> None:
        if not any(part in text for part in self.tolerated):
            self.errors.append(text)

    def _route(self, route: Route) -> None:
        if route.request.url.startswith(self._allowed):
            return route.continue_()
        self.requests.append(route.request.url)
        return route.abort("internetdisconnected")

    def leave(self) -> None:
        """Watch no more: the context goes to another test."""
        self._context.unroute("**/*", self._route)
        self._context.remove_listener("page", self._page)

    def check(self) -> None:
        """Fail if anything went wrong."""
        assert not self.requests, f"requests left the page: {self.requests}"
        assert not self.errors, f"the page complained: {self.errors}"


@pytest.fixture(scope="package")
def contexts(browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    """Contexts that no test uses at the moment, by their options. A blank page keeps the window of each open."""
    kept: dict[str, BrowserContext] = {}
    yield kept
    for context in kept.values():
        context.close()


@pytest.fixture
def new_page(browser: Browser, contexts: dict[str, BrowserContext]) -> Iterator[Callable[..., Page]]:
    """Make pages without a network; the test fails if one complains or asks for anything."""
    made: list[tuple[str, BrowserContext, Watch]] = []

    def make(width: int = 1100, height: int = 900, *, tolerated: tuple[str, ...] = (), **options: object) -> Page:
        # Playwright evaluates its scripts as text, which the policy of our pages forbids.
        options = {"viewport": {"width": width, "height": height}, "offline": True, "bypass_csp": True} | options
        key = repr(sorted(options.items()))
        context = contexts.pop(key, None)
        if context is None:
            context = browser.new_context(**options)
            context.set_default_timeout(HANGS)
            context.new_page()
        made.append((key, context, Watch(context, tolerated=tolerated)))
        return context.new_page()

    yield make
    for key, context, watch in made:
        for page in context.pages[1:]:
            page.close()
        watch.leave()
        if key in contexts:
            context.close()
        else:
            context.clear_permissions()
            contexts[key] = context
    while len(contexts) > KEPT:
        contexts.pop(next(iter(contexts))).close()
    for _, _, watch in made:
        watch.check()


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """One page of usual size."""
    return new_page()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported page of one small tensor, (3, 16, 6, 7)."""
    path = tmp_path / "page.html"
    nv.to_html(nv.show(host.tensor(3, 16, 6, 7), title="Activations of a layer"), path)
    return path


@pytest.fixture
def root(page: Page, exported: Path) -> Locator:
    """The explorer on that page, open and drawn."""
    return open_file(page, exported)


@pytest.fixture
def call(page: Page, tmp_path: Path) -> Callable[..., Any]:
    """Evaluate JavaScript with the module's exports in `front` and the argument in `given`."""
    page.goto(host.write(tmp_path / "module.html").as_uri())
    page.wait_for_function("window.loaded")
    return lambda code, given=None: page.evaluate(f"(given) => {{ {code} }}", given)


@pytest.fixture(scope="package")
def front(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page that has the functions of the front-end, and no explorer."""
    page = browser.new_page()
    page.goto(host.write(tmp_path_factory.mktemp("code") / "module.html").as_uri())
    page.wait_for_function("window.loaded", timeout=HANGS)
    yield page
    page.close()


@pytest.fixture(scope="package")
def code_of(front: Page) -> Callable[..., Any]:
    """The code in all frameworks, as a page writes it, of each [row, choice] of a list."""
    return lambda cases: front.evaluate("cases => cases.map(([row, choice]) => front.codeOf(row, choice))", cases)


@pytest.fixture(scope="package")
def run(front: Page) -> Callable[..., Any]:
    """Run (source, arrays) pairs in a framework, and return what each makes of y."""
    return lambda framework, cases: snippets.run(framework, cases, front)


@pytest.fixture
def offline_page(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page that may ask for what it likes and gets nothing, and the addresses it asked for.

    For hosts that are not ours: what nbconvert writes asks for MathJax and RequireJS.
    """
    context = browser.new_context(viewport={"width": 1100, "height": 900}, offline=True, bypass_csp=True)
    context.set_default_timeout(HANGS)
    watch = Watch(context)
    yield context.new_page(), watch.requests
    context.close()


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab of its own, that knows nothing of this user's settings."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def lab_page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """JupyterLab in the browser, with no network but to that server."""
    context = browser.new_context(viewport={"width": 1300, "height": 1000}, bypass_csp=True)
    context.set_default_timeout(HANGS)
    allowed = (lab.url, lab.url.replace("http", "ws", 1))
    # Lab says aloud what it finds missing (a workspace not made yet), and what it asked a kernel that was then ended.
    ended = ("Could not restore the debugger state", "Canceled future for create_subshell_request")
    watch = Watch(context, allowed, tolerated=("Failed to load resource", *ended))
    page = context.new_page()
    page.add_init_script(path=Path(__file__).with_name("leaks.js"))
    page.goto(lab.address())
    wait_for_lab(page)
    yield page
    context.close()
    watch.check()
