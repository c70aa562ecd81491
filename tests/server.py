"""A program that serves pages on this machine while a test needs it. Its log is shown if it does not start."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from tests.browser.reading import HANGS

T = TypeVar("T")
SECONDS = HANGS / 1000


def until(condition: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """Ask again and again until there is an answer. For processes: a page can be waited for without asking."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
    return found


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A program that serves pages, running while the context is open.

    Parameters
    ----------
    name
        What messages call it.
    command
        How it is started. "{port}" stands for a free port.
    folder
        Where it is started.
    environment
        All its environment variables; those of this process if it is None. "{port}" may stand in them too.
    path
        Where the pages begin, such as "app/": it has started once an answer comes from there.
    seconds
        After how long it hangs for certain.

    Attributes
    ----------
    url
        Where it listens, with a slash at the end.
    """

    running: ClassVar[list["Server"]] = []

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        path: str = "",
        seconds: float = 6 * SECONDS,
    ) -> None:
        self.name, self.folder, self.path, self.seconds = name, folder, path, seconds
        self._command = [*map(str, command)]
        self._environment = os.environ if environment is None else environment

    def __enter__(self) -> Self:
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}/"
        self._kept = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [part.replace("{port}", port) for part in self._command],
                env={key: value.replace("{port}", port) for key, value in self._environment.items()},
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # what it starts is ended with it
            )  # fmt: skip
        Server.running.append(self)
        try:
            until(self._has_started, f"{self.name} to start", self.seconds)
        except BaseException as error:
            said = self.log()
            self.__exit__()
            if isinstance(error, (RuntimeError, TimeoutError)):
                raise RuntimeError(f"{self.name} did not start ({error}); it said:\n{said}") from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # It is asked to end, and then ends what it has started itself, such as kernels.
        Server.running.remove(self)
        self._process.terminate()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._kept.cleanup()

    @property
    def _log(self) -> Path:
        return Path(self._kept.name) / "log"

    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text("utf-8", errors="replace")

    def _has_started(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError("it ended")
        return self.answers()

    def answers(self) -> bool:
        """Whether it answers at `url` by now; any answer but an error of the server's own counts."""
        try:
            urllib.request.urlopen(self.url + self.path, timeout=SECONDS).close()
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True
