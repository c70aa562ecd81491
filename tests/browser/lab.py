"""A real JupyterLab: started on a free port with settings of its own, asked over REST and by its kernel."""

import ast
import asyncio
import json
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from playwright.sync_api import Locator, Page

from tests.server import SECONDS, Server

TOKEN = "normviz-tests"
LAB_FLAGS = (
    *("--expose-app-in-browser", "--LabApp.extension_manager=readonly", "--LanguageServerManager.autodetect=False"),
    *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
)
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "PYTEST"))}
"""Today's variables without those of another Jupyter."""
CLEAN["JUPYTER_NO_CONFIG"] = "1"


def notebook(*cells: str) -> nbformat.NotebookNode:
    """A notebook of code cells, for this Python."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nb


class Lab(Server):
    """JupyterLab or a relative of it, running while the context is open.

    Parameters
    ----------
    folder
        For the notebooks and the settings.
    python, environment
        The Python that has it, and all its environment variables.
    module
        What that Python runs: jupyterlab, notebook or nbclassic.
    flags
        What only this program knows.

    Attributes
    ----------
    root
        The folder that it shows.
    url
        Where it listens, with a slash at the end.
    """

    def __init__(
        self,
        folder: Path,
        python: str | Path = sys.executable,
        environment: dict[str, str] = CLEAN,
        module: str = "jupyterlab",
        flags: tuple[str, ...] = LAB_FLAGS,
    ) -> None:
        self.root = folder / "root"
        self._runtime = folder / "runtime"
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        for made in (self.root, settings):
            made.mkdir(parents=True)
        # Neither question of a first start may cover the page.
        quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        own = {
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            "PYTHONWARNINGS": "default",
        }
        command = [
            *(python, "-m", module, "--no-browser", "--port=0"),
            *(f"--ServerApp.root_dir={self.root}", f"--IdentityProvider.token={TOKEN}", *flags),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        super().__init__(module, command, folder=self.root, environment=environment | own)

    def answers(self) -> bool:
        """Whether it has written down by now at which port it listens."""
        for found in self._runtime.glob("jpserver-*.json"):
            try:
                self.url = f"http://127.0.0.1:{json.loads(found.read_text())['port']}/"
            except ValueError:  # not written to its end yet
                return False
            return True
        return False

    # ---- over REST ----

    def request(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Ask the server's API."""
        asked = urllib.request.Request(
            f"{self.url}api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def trust(self, name: str) -> None:
        """Trust a notebook, as `jupyter trust` does."""
        self.request(f"contents/{name}/trust", "POST")

    def address(self, name: str = "") -> str:
        """Where Lab shows a notebook, or nothing yet."""
        return f"{self.url}lab{f'/tree/{name}' if name else ''}?token={TOKEN}&reset"

    # ---- in the kernel ----

    def kernel(self, name: str) -> str:
        """The id of the kernel that runs the notebook called `name`."""
        return next(s["kernel"]["id"] for s in self.request("sessions") if s["path"] == name)

    def run(self, name: str, code: str, expression: str = "None") -> Any:
        """Run code in the kernel of a notebook, beside Lab, and give the value of an expression.

        An exception there is a RuntimeError here, with its name and text.
        """
        connection = self._runtime / f"kernel-{self.kernel(name)}.json"
        # In a thread of its own: Playwright's loop runs in this one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(in_kernel(connection, code, expression))).result()

    def value(self, name: str, expression: str) -> Any:
        """The value of an expression in the kernel of a notebook."""
        return self.run(name, "", expression)


async def in_kernel(connection: Path, code: str, expression: str) -> Any:
    """Run code in the kernel that a connection file tells of, and give the value of an expression.

    It is silent, because nbclassic clears a cell's output when it hears that another client has run something.
    """
    client = AsyncKernelClient()
    client.load_connection_file(str(connection))
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=SECONDS)
        reply = await client.execute(
            code, silent=True, store_history=False, user_expressions={"it": expression}, allow_stdin=False, reply=True,
            timeout=SECONDS,
        )  # fmt: skip
    finally:
        client.stop_channels()
    content = reply["content"]
    if content["status"] == "ok":
        content = content["user_expressions"]["it"]
    if content["status"] != "ok":
        raise RuntimeError(f"{content['ename']}: {content['evalue']}")
    return ast.literal_eval(content["data"]["text/plain"])


# ---- on Lab's page ----


def wait_for_lab(page: Page) -> None:
    """Wait until Lab has started and knows the commands that are used here."""
    known = ("docmanager:open", "docmanager:save", "notebook:run-all-cells", "notebook:restart-kernel")
    has_all = "(known) => window.jupyterapp?.shell && known.every((name) => jupyterapp.commands.hasCommand(name))"
    page.wait_for_function(has_all, arg=known)
    page.evaluate("async () => { await jupyterapp.restored; }")


def open_notebook(page: Page, lab: Lab, name: str, nb: nbformat.NotebookNode | None = None) -> Locator:
    """Open a notebook (written first if given) and wait for its kernel."""
    if nb is not None:
        nbformat.write(nb, lab.root / name)
    page.evaluate(
        """async (path) => {
            const widget = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
            await widget.context.ready;
            await widget.sessionContext.ready;
            jupyterapp.shell.activateById(widget.id);
        }""",
        name,
    )
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    panel.locator(".jp-Notebook").wait_for()
    return panel


def command(page: Page, name: str, **arguments: object) -> Any:
    """Do what a menu's entry of Lab does, and wait until it is done."""
    do = "async ([name, args]) => { await jupyterapp.commands.execute(name, args); }"
    return page.evaluate(do, [name, arguments])


def run_all(page: Page) -> None:
    """Run every cell of the open notebook."""
    command(page, "notebook:run-all-cells")


def restart_kernel(page: Page) -> None:
    """Restart the open notebook's kernel from the menu, and say yes."""
    page.evaluate("() => { jupyterapp.commands.execute('notebook:restart-kernel'); }")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")


def save_and_close(page: Page) -> None:
    """Save the open notebook, end its kernel and close it."""
    command(page, "docmanager:save")
    page.evaluate(
        """async () => {
            const widget = jupyterapp.shell.currentWidget;
            await widget.sessionContext.shutdown();
            widget.close();
        }"""
    )
    page.wait_for_function("!document.querySelector('.jp-NotebookPanel')")
