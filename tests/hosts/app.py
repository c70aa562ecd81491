"""Apps in real programs: the files that docs/teach/apps.md gives, served, and what every output is asked."""

import io
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Frame, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser import fits
from tests.browser.reading import HANGS, READY
from tests.hosts.host import ROOT, Host
from tests.server import Server

WIDTHS = (1300, 700)
"""Of the window, in pixels."""

CUT = """element => {
    const found = [], box = element.getBoundingClientRect(), name = element.getAttribute("class") || element.tagName;
    if (box.width < 0.5 * innerWidth || box.height < 300) found.push(`${name} is ${box.width} x ${box.height}`);
    if (box.left < -1 || box.right > innerWidth + 1)
        found.push(`${name} lies from ${box.left} to ${box.right} in a page of ${innerWidth}`);
    let isWithinPage = false;
    for (let at = element; (at = at.assignedSlot ?? at.parentElement ?? at.getRootNode().host); ) {
        const { overflowX, overflowY } = getComputedStyle(at), edge = at.getBoundingClientRect();
        if (at === document.body || at === document.documentElement) break;
        // What scrolls the whole page is about as high as the window.
        isWithinPage ||= /auto|scroll/.test(overflowY) && at.clientHeight > 0.75 * innerHeight;
        if (overflowY !== "visible" && !isWithinPage && (box.bottom > edge.bottom + 1 || box.top < edge.top - 1))
            found.push(`${name} is ${box.height} high, and ${at.className || at.tagName} shows ${edge.height}`);
        if (overflowX !== "visible" && (box.right > edge.right + 1 || box.left < edge.left - 1))
            found.push(`${name} is ${box.width} wide, and ${at.className || at.tagName} shows ${edge.width}`);
    }
    return found;
}"""
"""What is cut off of an element, by its ancestors or by the window, and whether it has collapsed."""


@dataclass(eq=False)
class App(Host):
    """A program for apps.

    Attributes
    ----------
    heading
        Of the file on the page of the docs.
    command
        What starts it, in the folder of `app.py`.
    settings
        Environment variables that say where it listens.
    port
        What says so in the file itself.
    frame
        The program's own frame in which it puts the HTML of `nv.show`.
    start
        What has to be pressed before the outputs are there.
    control
        The role of the app's own controls that make the picture, of which the last one, or its right end, is G = 16.
    dark
        What gives the page the program's dark theme where it does not follow the reader's system: a part of the
        address, or JavaScript.
    """

    heading: str = ""
    command: tuple[str, ...] = ("python", "app.py")
    settings: tuple[tuple[str, str], ...] = ()
    port: str = ""
    frame: str = ""
    start: str = ""
    control: str = ""
    dark: str = ""

    def server(self, folder: Path, *changed: tuple[str, str]) -> Server:
        """The app, served; with other words in the file, if there are pairs of old and new ones."""
        code = recipe(self.heading)
        for old, new in changed:
            code = code.replace(old, new)
        if self.port:
            assert self.port in code
            code = code.replace(self.port, 'port=int(__import__("os").environ["PORT"])')
        (folder / "app.py").write_text(code, "utf-8")
        # marimo reads its settings here.
        (folder / "pyproject.toml").write_text('[tool.marimo.display]\ntheme = "system"\n', "utf-8")
        program = shutil.which(self.command[0], path=self.environment["PATH"])
        assert program, f"{self.name} has no command {self.command[0]}"
        settings = self.environment | {"PORT": "{port}"} | dict(self.settings)
        return Server(self.name, (program, *self.command[1:]), folder=folder, environment=settings)

    def open(self, page: Page, url: str, *, dark: bool = False) -> None:
        """Open the app in a page, in its dark theme if that is asked for, and start it."""
        query = dark and self.dark.startswith("?")
        page.goto(url + self.dark if query else url)
        if dark and self.dark and not query:
            page.locator(READY).wait_for()  # earlier the program would set its own theme over it
            page.evaluate(self.dark)
        if self.start:
            page.locator(".cm-editor").first.wait_for()
            page.keyboard.press(self.start)

    def place(self, page: Page) -> Page | Frame:
        """The page in which the output of `nv.show` stands: that of a frame of the program, where it has one."""
        if not self.frame:
            return page
        frame = page.locator(self.frame).element_handle().content_frame()
        assert frame is not None
        return frame


def recipe(heading: str) -> str:
    """The file below a heading of the page of the docs."""
    text = (ROOT / "docs" / "teach" / "apps.md").read_text("utf-8")
    found = re.search(rf"^## {heading}\n+```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/teach/apps.md has no file below {heading}"
    return found[1]


def assert_whole(page: Page, *outputs: Locator, inside: Frame | None = None, widths: tuple[int, ...] = WIDTHS) -> None:
    """At each width of the window nothing of an output is cut off, scrolls inside, or has collapsed.

    `inside` is the page in the last of them, if that is a frame.
    """
    for width in widths:
        page.set_viewport_size({"width": width, "height": 1000})
        for output in outputs:
            output.scroll_into_view_if_needed()
            element = output.element_handle()
            try:  # until it has its new width
                element.owner_frame().wait_for_function(
                    f"element => !({CUT})(element).length", arg=element, timeout=HANGS
                )
            except PlaywrightTimeout:
                found = element.evaluate(CUT)
                assert not found, f"in a window {width} pixels wide: {found}"
        if inside:
            assert fits.what_scrolls(outputs[-1], inside, "() => {}", (0,)) == []


def assert_chart(page: Page) -> None:
    """It is drawn, nothing is cut off, and its own button works. It has one width, which must have room."""
    chart = page.locator(".js-plotly-plot")
    drawn = chart.locator(".main-svg").first
    drawn.wait_for()
    assert_whole(page, drawn, widths=WIDTHS[:1])
    chart.get_by_text("Dark / light").click()
    expect(drawn).to_have_css("background-color", "rgb(20, 23, 28)")


def assert_readable(page: Page) -> None:
    """Each text of the chart is light where its ground is dark."""
    drawn = page.locator(".js-plotly-plot .main-svg").first
    drawn.wait_for()
    dark = is_dark_beside(page, drawn, 4)
    texts = page.locator(".js-plotly-plot :is(.gtitle, .annotation-text, .xtick text, .slider-label)")
    fills = texts.evaluate_all(
        "all => all.map(e => getComputedStyle(e).fill.match(/[0-9.]+/g).slice(0, 3).map(Number))"
    )
    assert fills
    assert [fill for fill in fills if (sum(fill) > 1.5 * 255) != dark] == []


def is_dark_beside(page: Page, element: Locator, right: int = -4) -> bool:
    """Whether the page is dark left of an element, or so many pixels to the right of its edge: as a person sees it."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    assert box is not None
    clip = {"x": max(box["x"] + right, 0), "y": max(box["y"], 0) + 40, "width": 2, "height": 2}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip)))
    return picture.convert("L").getpixel((0, 0)) < 128
