"""The three programs that open notebooks, each in the environment of its host, and driven alike."""

from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page

from tests.browser.alive import CHART, EXPLORER, SETUP, SHOW
from tests.browser.lab import LAB_FLAGS, TOKEN, Lab, command, notebook, open_notebook, run_all, wait_for_lab
from tests.hosts.host import Host
from tests.server import until

NAME = "lesson.ipynb"
CELLS = {"explorer": EXPLORER, "show": SHOW, "chart": CHART}


class JupyterLab(Lab):
    """JupyterLab; the others differ in how they are asked."""

    flags: tuple[str, ...] = LAB_FLAGS
    cell, output = ".jp-Notebook .jp-CodeCell", ".jp-OutputArea-output"

    def __init__(self, folder: Path, host: Host) -> None:
        super().__init__(folder, host.python, host.environment, host.package, self.flags)
        nbformat.write(notebook(SETUP, *CELLS.values()), self.root / NAME)

    def open(self, page: Page) -> None:
        """Open the notebook and wait for its kernel."""
        page.goto(self.address())
        wait_for_lab(page)
        open_notebook(page, self, NAME)

    def run_all(self, page: Page) -> None:
        """Run every cell."""
        run_all(page)

    def save(self, page: Page) -> None:
        """Save the notebook, as its menu does."""
        command(page, "docmanager:save")

    def end_kernels(self) -> None:
        """End all kernels."""
        for session in self.request("sessions"):
            self.request(f"sessions/{session['id']}", "DELETE")
        until(lambda: not self.request("kernels"), "the kernels to end")

    def result(self, page: Page, output: str) -> Locator:
        """The place below the cell whose output is called so, scrolled to."""
        cell = page.locator(self.cell).filter(has_text=CELLS[output].splitlines()[0])
        cell.scroll_into_view_if_needed()
        return cell.locator(self.output)


class Notebook(JupyterLab):
    """Notebook 7: one notebook fills the page."""

    flags = ("--expose-app-in-browser",)

    def open(self, page: Page) -> None:
        page.goto(f"{self.url}notebooks/{NAME}?token={TOKEN}")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context")
        page.evaluate(
            """async () => {
                const widget = jupyterapp.shell.currentWidget;
                await widget.context.ready;
                await widget.sessionContext.ready;
            }"""
        )


class Nbclassic(JupyterLab):
    """The notebook as it was before JupyterLab."""

    flags = ()
    cell, output = ".code_cell", ".output_area"

    def open(self, page: Page) -> None:
        page.goto(f"{self.url}notebooks/{NAME}?token={TOKEN}")
        page.wait_for_function("window.Jupyter?.notebook?._fully_loaded && Jupyter.notebook.kernel?.widget_manager")
        # For 4 s the manager waits for earlier widgets, and then draws the cells again. What was run before,
        # even a slider of ipywidgets, it draws no more. We ask the same once more, and the answer comes after its own.
        page.evaluate("async () => { await Jupyter.notebook.kernel.widget_manager._loadFromKernel(); }")

    def run_all(self, page: Page) -> None:
        page.evaluate("Jupyter.notebook.execute_all_cells()")

    def save(self, page: Page) -> None:
        page.evaluate("async () => { await Jupyter.notebook.save_notebook(); }")


PROGRAMS = {"jupyterlab": JupyterLab, "notebook": Notebook, "nbclassic": Nbclassic}
REQUIREMENTS = {
    "JupyterLab": ("jupyterlab>=4.6", "ipykernel>=6"),
    "Notebook": ("notebook>=7.6", "ipykernel>=6"),
    "nbclassic": ("nbclassic>=1.3", "ipykernel>=6"),
}
