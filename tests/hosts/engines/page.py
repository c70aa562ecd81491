"""The words of Playwright that the tests use, spoken by another engine's driver, so that one test plays in three."""

import json
import re
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.reading import HANGS
from tests.hosts.engines.drivers import Driver

FIND = Path(__file__).with_name("find.js").read_text("utf-8")
KEYS = {
    "Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Control": "\ue009", "Alt": "\ue00a", "Escape": "\ue00c",
    "Space": " ", "PageUp": "\ue00e", "PageDown": "\ue00f", "End": "\ue010", "Home": "\ue011", "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Delete": "\ue017", "Backspace": "\ue003",
    "F2": "\ue032",
}  # fmt: skip
Wanted = str | re.Pattern[str]


def wanted(text: Wanted, exact: bool = False) -> dict[str, Any]:
    if isinstance(text, str):
        return {"text": text, "exact": exact}
    return {"pattern": text.pattern, "flags": "i" if text.flags & re.IGNORECASE else ""}


def until(attempt: Callable[[], Any], says: Callable[[], str] = str) -> Any:
    """Try until it gives something."""
    end = time.monotonic() + HANGS / 1000
    while not (got := attempt()):
        if time.monotonic() > end:
            raise AssertionError(says())
        time.sleep(0.02)
    return got


class Locator:
    """A way to elements, walked anew each time."""

    def __init__(self, place: "Frame", steps: tuple[tuple[Any, ...], ...] = ()) -> None:
        self.place, self.steps = place, steps

    def __str__(self) -> str:
        return " > ".join(str(step) for step in self.steps)

    def _step(self, *step: Any) -> "Locator":
        return Locator(self.place, (*self.steps, step))

    @property
    def page(self) -> "Page":
        return self.place.page

    @property
    def first(self) -> "Locator":
        return self.nth(0)

    @property
    def last(self) -> "Locator":
        return self.nth(-1)

    def nth(self, k: int) -> "Locator":
        return self._step("nth", k)

    def locator(self, query: str) -> "Locator":
        return self._step("css", query)

    def get_by_role(
        self, role: str, *, name: Wanted = "", exact: bool = False, checked: bool | None = None
    ) -> "Locator":
        return self._step("role", role, wanted(name, exact) if name else None, checked)

    def get_by_label(self, text: Wanted, *, exact: bool = False) -> "Locator":
        return self._step("label", wanted(text, exact))

    def get_by_text(self, text: Wanted, *, exact: bool = False) -> "Locator":
        return self._step("text", wanted(text, exact))

    def filter(self, *, has_text: Wanted = "", has_not_text: Wanted = "", visible: bool = False) -> "Locator":
        found = self._step("has", wanted(has_text), True) if has_text else self
        found = found._step("has", wanted(has_not_text), False) if has_not_text else found
        return found._step("seen") if visible else found

    def frame_locator(self, query: str) -> "Frame":
        return Frame(self.page, self.locator(query))

    @property
    def expectation(self) -> "Expectation":
        """What `expect` of the tests takes."""
        return Expectation(self)

    def element_handle(self) -> "Locator":
        return self

    def content_frame(self) -> "Frame":
        return Frame(self.page, self)

    # ---- reading ----

    def _all(self, code: str, argument: Any = None) -> Any:
        function = f"async (steps, argument) => {{ const {{ find, plain, isVisible, reach }} = {FIND}; {code} }}"
        return self.place.call(function, self.steps, argument)

    def _one(self, code: str, argument: Any = None) -> Any:
        """What code gives of the only element `e`, once there is one."""
        code = f"""const all = find(steps); if (all.length !== 1) return [all.length];
                   const [e] = all; return [1, await (async () => {{ {code} }})()];"""
        got = until(lambda: (found := self._all(code, argument))[0] and found, lambda: f"there is no {self}")
        assert got[0] == 1, f"{got[0]} elements instead of one: {self}"
        return got[1]

    def evaluate(self, function: str, argument: Any = None) -> Any:
        return self._one(f"return ({function})(e, argument);", argument)

    def evaluate_all(self, function: str, argument: Any = None) -> Any:
        return self._all(f"return ({function})(find(steps), argument);", argument)

    def count(self) -> int:
        return self._all("return find(steps).length;")

    def is_visible(self) -> bool:
        return self._all("return find(steps).some(isVisible);")

    def get_attribute(self, name: str) -> str | None:
        return self._one("return e.getAttribute(argument);", name)

    def inner_text(self) -> str:
        return self._one("return e.innerText ?? '';")

    def text_content(self) -> str:
        return self._one("return e.textContent;")

    def input_value(self) -> str:
        return self._one("return e.value;")

    def inner_html(self) -> str:
        return self._one("return e.innerHTML;")

    def all_inner_texts(self) -> list[str]:
        return self._all("return find(steps).map((e) => e.innerText);")

    def all_text_contents(self) -> list[str]:
        return self._all("return find(steps).map((e) => e.textContent);")

    def bounding_box(self) -> dict[str, float]:
        x, y, width, height = self._one(
            "const box = e.getBoundingClientRect(); return [box.x, box.y, box.width, box.height];"
        )
        left, top = self.place.corner()
        return {"x": x + left, "y": y + top, "width": width, "height": height}

    def wait_for(self, *, state: str = "visible") -> None:
        expectation = Expectation(self)
        expectation.to_be_visible() if state == "visible" else expectation.to_have_count(int(state == "attached"))

    # ---- doing, as a person does ----

    def hover(self) -> None:
        found = until(
            lambda: self._one("return [await reach(e)];")[0], lambda: f"hidden, disabled, moving or covered: {self}"
        )
        left, top = self.place.corner()
        self.page.mouse.move(found[0] + left, found[1] + top)

    def click(self) -> None:
        self.hover()
        self.page.mouse.down()
        self.page.mouse.up()

    def check(self) -> None:
        if not self._one("return e.checked;"):
            self.click()

    def focus(self) -> None:
        self._one("e.focus();")

    def blur(self) -> None:
        self._one("e.blur();")

    def press(self, key: str) -> None:
        self.focus()
        self.page.keyboard.press(key)

    def fill(self, text: str) -> None:
        until(lambda: self._one("return isVisible(e) && !e.disabled;"), lambda: f"cannot be filled: {self}")
        self._one("e.focus(); e.select();")
        self.page.keyboard.type(text) if text else self.page.keyboard.press("Delete")

    def select_option(self, value: str) -> None:
        """As Playwright does it: the list that a click opens is no part of the page."""
        self._one(
            """e.value = argument;
            if (e.value !== argument) throw new Error(`no option ${argument}`);
            for (const type of ["input", "change"]) e.dispatchEvent(new Event(type, { bubbles: true }));""",
            value,
        )

    def set_input_files(self, files: Any) -> None:
        """Paths, or the files themselves: {"name", "buffer"}."""
        folder = Path(tempfile.mkdtemp(dir=self.page.folder))
        paths = []
        for one in files if isinstance(files, list) else [files]:
            if isinstance(one, dict):
                (folder / one["name"]).write_bytes(one["buffer"])
                one = folder / one["name"]
            paths.append(str(one))
        self.place.give_files(self._function(), paths)

    def _function(self) -> str:
        return f"() => {FIND}.find({json.dumps(self.steps)})[0]"


class Frame(Locator):
    """A document: the page, or what is in a frame of it."""

    def __init__(self, page: "Page | None", element: Locator | None = None) -> None:
        self._page, self.element = page, element
        super().__init__(self)

    @property
    def page(self) -> "Page":
        return self._page or self  # type: ignore[return-value]

    @property
    def _frame(self) -> Any:
        if self.element is None:
            return None
        self.element._one("e.scrollIntoView({ block: 'nearest', behavior: 'instant' });")
        return self.page.driver.frame(self.element.place._frame, self.element._function())

    def call(self, function: str, *given: Any) -> Any:
        return self.page.driver.call(self._frame, function, *given)

    def give_files(self, function: str, paths: list[str]) -> None:
        self.page.driver.give_files(self._frame, function, paths)

    def corner(self) -> tuple[float, float]:
        """Where it begins on the page."""
        if self.element is None:
            return 0, 0
        left, top = self.element.place.corner()
        inner = "const box = e.getBoundingClientRect(); return [box.x + e.clientLeft, box.y + e.clientTop];"
        x, y = self.element._one(inner)
        return left + x, top + y

    def evaluate(self, expression: str, argument: Any = None) -> Any:
        """What an expression or a function gives; a script of statements gives nothing."""
        code = f"async (argument) => {{ const value = ({expression}\n);"
        try:
            return self.call(f"{code} return typeof value === 'function' ? value(argument) : value; }}", argument)
        except RuntimeError as error:
            if not re.search("SyntaxError|Unexpected token", str(error)):
                raise
        return self.call(f"() => {{ {expression}\n }}")

    def wait_for_function(self, expression: str, *, arg: Any = None) -> None:
        until(lambda: self.evaluate(expression, arg), lambda: f"never came true: {expression}")


class Page(Frame):
    """The window of a driver."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        super().__init__(None)
        self.driver, self.folder = driver, folder
        self.mouse, self.keyboard = Mouse(driver), Keyboard(driver)

    @property
    def url(self) -> str:
        return self.evaluate("location.href")

    @property
    def viewport_size(self) -> dict[str, int]:
        return self.evaluate("({ width: innerWidth, height: innerHeight })")

    def set_viewport_size(self, size: dict[str, int]) -> None:
        self.driver.resize(size["width"], size["height"])

    def goto(self, address: str) -> None:
        # A new hash alone loads nothing, and a driver would wait for it.
        self.driver.go(address)

    def add_init_script(self, script: str = "", *, path: Path | None = None) -> None:
        self.driver.prepare(path.read_text("utf-8") if path else script)

    def set_content(self, html: str) -> None:
        self.goto("about:blank")
        self.evaluate("(html) => { document.documentElement.innerHTML = html; }", html)

    def add_style_tag(self, *, content: str) -> None:
        self.evaluate(
            "(text) => { document.head.appendChild(document.createElement('style')).textContent = text; }", content
        )

    def reload(self) -> None:
        self.driver.reload()

    def pdf(self, *, format: str, prefer_css_page_size: bool = False) -> bytes:
        assert not prefer_css_page_size
        pdf = self.driver.printed(*{"A4": (21, 29.7), "Letter": (21.59, 27.94)}[format])
        # Cairo packs what a page consists of.
        packed = re.findall(rb"/ObjStm.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
        return b"\n".join([pdf, *map(zlib.decompress, packed)])

    def screenshot(self, *, path: Path) -> None:
        path.write_bytes(self.driver.picture())


class Mouse:
    def __init__(self, driver: Driver) -> None:
        self._driver, self._at = driver, (0.0, 0.0)

    def _act(self, *actions: dict[str, Any]) -> None:
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": list(actions)}
        self._driver.act(None, [mouse])

    def move(self, x: float, y: float, *, steps: int = 1) -> None:
        # A driver's mouse stays in the window.
        width, height = self._driver.call(None, "() => [innerWidth, innerHeight]")
        (a, b), self._at = self._at, (min(max(x, 0), width - 1), min(max(y, 0), height - 1))
        shares = [k / steps for k in range(1, steps + 1)]
        places = [(a + (self._at[0] - a) * share, b + (self._at[1] - b) * share) for share in shares]
        self._act(*({"type": "pointerMove", "x": px, "y": py, "duration": 0} for px, py in places))

    def down(self) -> None:
        self._act({"type": "pointerDown", "button": 0})

    def up(self) -> None:
        self._act({"type": "pointerUp", "button": 0})

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self.down()
        self.up()


class Keyboard:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def _act(self, *keys: tuple[str, str]) -> None:
        actions = [{"type": f"key{way}", "value": key} for way, key in keys]
        self._driver.act(None, [{"type": "key", "id": "keyboard", "actions": actions}])

    def press(self, keys: str) -> None:
        *held, last = [KEYS.get(key, key) for key in re.split(r"\+(?=.)", keys)]
        down = [("Down", key) for key in (*held, last)]
        self._act(*down, *(("Up", key) for key in (last, *reversed(held))))

    def type(self, text: str) -> None:
        keys = text.replace("\n", KEYS["Enter"])
        self._act(*((way, key) for key in keys for way in ("Down", "Up")))


class Expectation:
    """What Playwright's `expect` asks; it waits until it is so."""

    def __init__(self, found: Locator) -> None:
        self._found = found

    def _holds(self, code: str, argument: Any = None) -> None:
        code = f"const all = find(steps); const [e] = all; return [{code}, all.length, e?.outerHTML.slice(0, 300)];"
        last: list[Any] = []

        def attempt() -> bool:
            last[:] = self._found._all(code, argument)
            return last[0]

        until(attempt, lambda: f"{code} with {argument!r} does not hold for {self._found}: {last[1]} found, {last[2]}")

    def _text(self, read: str, text: Wanted, contains: bool = False) -> None:
        if isinstance(text, re.Pattern):
            self._holds(f"e && new RegExp(argument[0], argument[1]).test({read})", list(wanted(text).values()))
        else:
            self._holds(f"e && ({read}).includes(argument)" if contains else f"e && ({read}) === argument", text)

    def to_have_attribute(self, name: str, value: Wanted) -> None:
        self._text(f"e.getAttribute({name!r})", value)

    def to_have_value(self, value: Wanted) -> None:
        self._text("e.value", value)

    def to_have_text(self, text: Wanted) -> None:
        self._text("plain(e.textContent)", text)

    def not_to_have_text(self, text: str) -> None:
        self._holds("e && plain(e.textContent) !== argument", text)

    def to_contain_text(self, text: Wanted) -> None:
        self._text("plain(e.textContent)", text, contains=True)

    def to_have_count(self, count: int) -> None:
        self._holds("all.length === argument", count)

    def to_have_css(self, name: str, value: str) -> None:
        self._text(f"getComputedStyle(e).getPropertyValue({name!r})", value)

    def to_be_visible(self) -> None:
        self._holds("all.length === 1 && isVisible(e)")

    def to_be_hidden(self) -> None:
        self._holds("!all.some(isVisible)")

    def to_be_focused(self) -> None:
        self._holds("e && e.getRootNode().activeElement === e")

    def to_be_checked(self) -> None:
        self._holds("e?.checked ?? e?.ariaChecked === 'true'")

    def to_be_disabled(self) -> None:
        self._holds("e && (e.disabled || e.ariaDisabled === 'true')")
