"""Firefox over WebDriver BiDi and WebKitGTK over WebDriver: real browsers of Debian's, driven with real input events.

Both take the same actions (https://www.w3.org/TR/webdriver2/#actions). What a call gives or takes is JSON.
"""

import base64
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import websocket

from tests.hosts.host import Engine
from tests.server import free_port
from tools.find_browser import find

HERE = ("file:", "blob:", "data:", "about:", "moz-extension:", "resource:", "chrome:")
SECONDS = 60  # after which a command hangs for certain
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def patiently(attempt: Any, error: type[Exception] | tuple[type[Exception], ...]) -> Any:
    """Try until the browser listens."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return attempt()
        except error:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Driver:
    """One window of one browser. A frame is what `frame` gave, or None for the page itself."""

    row: ClassVar[Engine]
    differs: ClassVar[tuple[str, ...]] = ()
    """Columns in which something looks different, as the note of the row says."""

    def __init__(self, *, dark: bool = False) -> None:
        self.errors: list[str] = []
        self.prepared: list[str] = []
        self.requests: list[str] = []
        self._folder = tempfile.TemporaryDirectory()
        self._processes: list[subprocess.Popen] = []
        try:
            self._start(Path(self._folder.name), dark)
        except BaseException:
            self._end()
            raise

    def _run(self, *command: str, **options: Any) -> None:
        self._processes.append(subprocess.Popen(command, start_new_session=True, **options))

    def prepare(self, script: str) -> None:
        raise NotImplementedError(f"{self.row.name} runs no script before a page's own")

    def forget(self) -> None:
        """Prepare no page any more, and let go of all keys."""

    def call(self, frame: Any, function: str, *given: Any) -> Any:
        """Call a function of the page with JSON, also an async one, and give its JSON."""
        text = f"async (given) => JSON.stringify((await ({function})(...JSON.parse(given))) ?? null)"
        return json.loads(self._call(frame, text, json.dumps(given)))

    def close(self) -> None:
        """End the session, and with it the browser."""
        try:
            self._leave()
        finally:
            self._end()

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(SECONDS)
        self._folder.cleanup()


class Firefox(Driver):
    row = Engine("Firefox")

    def _start(self, folder: Path, dark: bool) -> None:
        port = free_port()
        prefs = {
            "layout.css.prefers-color-scheme.content-override": 0 if dark else 1,
            "browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False,
            "browser.aboutwelcome.enabled": False, "focusmanager.testmode": True,
        }  # fmt: skip
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in prefs.items()]
        (folder / "user.js").write_text("\n".join(lines))
        # Without the focus a field tells no change. The test mode gives it to a window that no desktop shows, and an
        # address to open gives it to the page instead of the address bar.
        flags = ("--headless", "--no-remote", f"--remote-debugging-port={port}", "--profile", str(folder), "data:,")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._run(find("firefox"), *flags, env=os.environ | {"HOME": str(folder)}, **quiet)
        address = f"ws://127.0.0.1:{port}/session"
        connect = lambda: websocket.create_connection(address, timeout=SECONDS, suppress_origin=True)  # noqa: E731
        self._socket = patiently(connect, (OSError, websocket.WebSocketException))
        self._number = 0
        session = self.send("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": False}})
        self.row.version = session["capabilities"]["browserVersion"]
        self.page = self.send("browsingContext.getTree")["contexts"][0]["context"]
        self.send("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            got = json.loads(self._socket.recv())
            if got.get("id") == self._number:
                if got["type"] == "error":
                    raise RuntimeError(f"{method}: {got['error']}: {got['message']}")
                return got["result"]
            self._hear(got.get("method"), got["params"])

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        if event == "log.entryAdded" and params["level"] == "error":
            self.errors.append(params["text"])
        if event == "network.beforeRequestSent" and not params["request"]["url"].startswith(HERE):
            self.requests.append(params["request"]["url"])

    def _value(self, frame: Any, function: str, *given: Any) -> dict[str, Any]:
        arguments = [{"type": "string", "value": one} for one in given]
        got = self.send("script.callFunction", functionDeclaration=function, arguments=arguments, awaitPromise=True,
                        target={"context": frame or self.page}, userActivation=True)  # fmt: skip
        if got["type"] == "exception":
            raise RuntimeError(got["exceptionDetails"]["text"])
        return got["result"]

    def _call(self, frame: Any, function: str, given: str) -> str:
        return self._value(frame, function, given)["value"]

    def frame(self, frame: Any, function: str) -> Any:
        """The frame in the element that a function gives."""
        return self._value(frame, f"() => ({function})().contentWindow")["value"]["context"]

    def act(self, frame: Any, actions: list[dict[str, Any]]) -> None:
        self.send("input.performActions", context=frame or self.page, actions=actions)
        # The events reach the page in a process of its own, at the latest with the next frame.
        self._call(frame, "() => new Promise((done) => requestAnimationFrame(() => done('')))", "")

    def give_files(self, frame: Any, function: str, paths: list[str]) -> None:
        element = {"sharedId": self._value(frame, function)["sharedId"]}
        self.send("input.setFiles", context=frame or self.page, element=element, files=paths)

    def go(self, address: str) -> None:
        self.send("browsingContext.navigate", context=self.page, url=address, wait="complete")

    def reload(self) -> None:
        self.send("browsingContext.reload", context=self.page, wait="complete")

    def resize(self, width: int, height: int) -> None:
        self.send("browsingContext.setViewport", context=self.page, viewport={"width": width, "height": height})

    def picture(self) -> bytes:
        return base64.b64decode(self.send("browsingContext.captureScreenshot", context=self.page)["data"])

    def printed(self, width: float, height: float) -> bytes:
        """A PDF; the sheet is in centimetres."""
        page = {"width": width, "height": height}
        return base64.b64decode(self.send("browsingContext.print", context=self.page, page=page)["data"])

    def prepare(self, script: str) -> None:
        """Run a script in each page before its own."""
        self.prepared.append(
            self.send("script.addPreloadScript", functionDeclaration=f"() => {{ {script} }}")["script"]
        )

    def forget(self) -> None:
        self.send("input.releaseActions", context=self.page)
        for script in self.prepared:
            self.send("script.removePreloadScript", script=script)
        self.prepared.clear()

    def _leave(self) -> None:
        self.send("browser.close")
        self._socket.close()


class WebKit(Driver):
    row = Engine("WebKitGTK", note="the set does not glide to its next place; printing was not tried")
    differs = ("page",)

    def _start(self, folder: Path, dark: bool) -> None:
        driver, self._log = find("webkit"), folder / "log"
        read, write = os.pipe()
        with self._log.open("w") as log:
            self._run("Xvfb", "-displayfd", str(write), "-screen", "0", "1800x1600x24", "-nolisten", "tcp",
                      pass_fds=[write], stderr=subprocess.DEVNULL)  # fmt: skip
            os.close(write)
            with os.fdopen(read) as told:  # the X server dies if nobody reads the whole line
                display = told.readline().strip()
            port = free_port()
            look = {"GTK_THEME": "Adwaita:dark" if dark else "Adwaita"}
            # As root, WebKit's own sandbox cannot be set up.
            more = {"DISPLAY": f":{display}", "HOME": str(folder), "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
                    "NO_AT_BRIDGE": "1", "GDK_BACKEND": "x11"}  # fmt: skip
            self._run(driver, f"--port={port}", env=os.environ | more | look, stdout=log, stderr=log)
        self._address = f"http://127.0.0.1:{port}/session"
        wanted = {"webkitgtk:browserOptions": {
            "args": ["--automation", "--enable-write-console-messages-to-stdout=true"]
        }}  # fmt: skip
        ask = lambda: self.send("POST", "", capabilities={"alwaysMatch": wanted})  # noqa: E731
        got = patiently(ask, urllib.error.URLError)
        self._address += f"/{got['sessionId']}"
        self.row.version = got["capabilities"]["browserVersion"]
        self._inside: Any = None
        self.send("POST", "/timeouts", script=SECONDS * 1000)

    def send(self, how: str, path: str, **params: Any) -> Any:
        data = json.dumps(params).encode() if how == "POST" else None
        request = urllib.request.Request(self._address + path, data, {"Content-Type": "application/json"}, method=how)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {json.load(error)['value']}") from None

    def _enter(self, frame: Any) -> None:
        """A frame is the elements that lead to it."""
        if frame != self._inside:
            self.send("POST", "/frame", id=None)
            for element in frame or ():
                self.send("POST", "/frame", id=element)
            self._inside = frame

    def _call(self, frame: Any, function: str, given: str) -> str:
        self._enter(frame)
        script = """const done = arguments[1];
            (%s)(arguments[0]).then((value) => done([true, value]), (error) => done([false, `${error}`]));"""
        is_good, value = self.send("POST", "/execute/async", script=script % function, args=[given])
        if not is_good:
            raise RuntimeError(value)
        return value

    def _element(self, frame: Any, function: str) -> dict[str, str]:
        self._enter(frame)
        return self.send("POST", "/execute/sync", script=f"return ({function})()", args=[])

    def frame(self, frame: Any, function: str) -> Any:
        """The frame in the element that a function gives."""
        return (*(frame or ()), self._element(frame, function))

    def act(self, frame: Any, actions: list[dict[str, Any]]) -> None:
        self._enter(frame)
        self.send("POST", "/actions", actions=actions)

    def give_files(self, frame: Any, function: str, paths: list[str]) -> None:
        element = self._element(frame, function)[ELEMENT]
        self.send("POST", f"/element/{element}/value", text="\n".join(paths))

    def go(self, address: str) -> None:
        self._inside = None
        self.send("POST", "/url", url=address)

    def reload(self) -> None:
        self._inside = None
        self.send("POST", "/refresh")

    def forget(self) -> None:
        self.send("DELETE", "/actions")

    def resize(self, width: int, height: int) -> None:
        more = [0, 0]
        for _ in range(3):  # around the page, there are a title and tools
            self.send("POST", "/window/rect", width=width + more[0], height=height + more[1])
            inner = self.call(None, "() => [innerWidth, innerHeight]")
            if inner == [width, height]:
                return
            more = [more[0] + width - inner[0], more[1] + height - inner[1]]

    def picture(self) -> bytes:
        self._enter(None)
        return base64.b64decode(self.send("GET", "/screenshot"))

    def printed(self, width: float, height: float) -> bytes:
        page = {"width": width, "height": height}
        return base64.b64decode(self.send("POST", "/print", page=page))

    def _leave(self) -> None:
        self.send("DELETE", "")
