"""A real Voila: one notebook served on a free port, with settings of its own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import nbformat

from tests.browser.lab import notebook, until

CELL = "import normviz as nv\nnv.Studio()"


class Voila:
    """Voila with one notebook, on a free port and with settings of its own, while the context is open.

    `command` False serves a teacher's own notebook, with Voila's own template; True is the command `normviz studio`.
    """

    def __init__(self, folder: Path, *options: str, command: bool = False) -> None:
        self._log, path = folder / "log", folder / "studio.ipynb"
        nbformat.write(notebook(CELL), path)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        self._command = [
            *(sys.executable, "-m", *(("normviz", "studio") if command else ("voila", str(path)))),
            *("--no-browser", f"--port={port}"),
            *(f"--Voila.connection_dir_root={folder}", *options),
        ]
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "PYTEST"))},
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_NO_CONFIG": "1",
            "IPYTHONDIR": str(folder / "ipython"),
            "PYTHONWARNINGS": "default",
        }

    def __enter__(self) -> str:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        try:
            return until(self._address, "Voila to start")
        except Exception:
            self.__exit__()
            raise RuntimeError(f"Voila did not start; it said:\n{self._log.read_text()}") from None

    def __exit__(self, *_: object) -> None:
        # The server ends its kernels when it is asked to end.
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _address(self) -> str | None:
        if self._process.poll() is not None:
            raise RuntimeError("it ended")
        # Where it listens is said in the log, once it does: a port that was free may be taken by now.
        found = re.search(r"running at:\s*(http\S+)", self._log.read_text())
        return found and found[1]
