"""What the tests read off a page: the hooks that the explorer promises, and numbers as a person sees them."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright import sync_api
from playwright.sync_api import Frame, Locator, Page

HANGS = 200_000
"""Milliseconds after which a page or a process hangs for certain, on a slow machine too. No test waits for less."""
READY = ".normviz[data-ready]"
sync_api.expect.set_options(timeout=HANGS)


def expect(found: Any) -> Any:
    """Playwright's `expect`, also for what stands in for a locator in an engine that Playwright does not drive."""
    return found.expectation if hasattr(found, "expectation") else sync_api.expect(found)


def open_file(page: Page, path: Path, fragment: str = "", *, explorers: int = 1) -> Locator:
    """Open a page from the disk and wait until its explorers are drawn; give the first of them."""
    page.goto(path.as_uri() + fragment)
    return ready(page, explorers)


def ready(page: Page | Frame, explorers: int = 1) -> Locator:
    """Wait until so many explorers are drawn; give the first."""
    page.wait_for_function("([query, n]) => document.querySelectorAll(query).length >= n", arg=[READY, explorers])
    return page.locator(".normviz").first


def state(root: Locator) -> dict[str, Any]:
    """The state that the root tells."""
    data = root.evaluate("root => ({...root.dataset})")
    return {
        "method": data["method"],
        "num_groups": int(data["numGroups"]),
        "index": tuple(map(int, data["index"].split(","))),
        "set": data["set"],
        "step": int(data["step"]),
    }


def wait_for(root: Locator, **attributes: object) -> None:
    """Wait until the root's data attributes have these values: wait_for(root, num_groups=4).

    The root is looked up each time: another tensor brings another root.
    """
    for key, value in attributes.items():
        expect(root).to_have_attribute(f"data-{key.replace('_', '-')}", str(value))


def drawn(page: Page | Frame) -> None:
    """Wait until everything that was asked for has been drawn: drawing waits for a frame."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def status(root: Locator) -> str:
    """The status line."""
    return root.get_by_role("status").inner_text()


def radio(root: Locator, label: str) -> Locator:
    """A method's button, by its exact name."""
    return root.get_by_role("radiogroup", name="Method", exact=True).get_by_role("radio", name=label, exact=True)


def slider(root: Locator) -> Locator:
    """The slider of G."""
    return root.get_by_role("slider", name="Groups G", exact=True)


def choose(root: Locator, label: str) -> None:
    """Choose a method as a person does: opening "More" if it is folded away."""
    button = radio(root, label)
    if not button.is_visible():
        root.get_by_role("button", name="More", exact=True).click()
    button.click()


def as_text(slices: tuple[slice, ...]) -> str:
    """A set from Python as the root writes it: "0:1,2:4,0:4,0:4"."""
    return ",".join(f"{s.start}:{s.stop}" for s in slices)


NUMBER = r"(-?(?:\d+(?:\.\d+)?|inf|NaN))"


def statistics_of(line: str) -> tuple[int, str, str]:
    """Size, mean and variance (or mean square) from a status line; a number with an exponent is no plain decimal."""
    found = re.search(rf"; (\d+) cells?, mean {NUMBER}, (?:variance|mean square|squared norm) {NUMBER}\.(?: |$)", line)
    assert found, f"no size, mean and variance as plain decimals in {line!r}"
    return int(found[1]), found[2], found[3]


def shows(text: str, value: float, digits: int = 5) -> bool:
    """Whether `text` is `value` to the digits shown: at least `digits` of them, and right to half of the last."""
    shown = float(text)
    if not math.isfinite(value) or not math.isfinite(shown):
        return math.isnan(shown) if math.isnan(value) else shown == value
    if value == 0:
        return abs(shown) < 1e-9
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    # Ties and the last bits of a float64 sum may fall either way.
    return abs(shown - value) <= 0.5 * unit * (1 + 1e-6) + 1e-12


def each(root: Locator, function: str, arguments: list[Any]) -> list[Any]:
    """Call an (async) JavaScript function (root, argument) for each argument in one go."""
    loop = "const out = []; for (const one of list) out.push(await f(root, one)); return out;"
    return root.evaluate(f"async (root, list) => {{ const f = {function}; {loop} }}", arguments)


Pages = Callable[..., Page]
