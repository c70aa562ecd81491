"""Runs inside Pyodide: each cell of CELLS in IPython's shell. The last line gives what the cells printed and showed."""

import json

from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from js import seconds


async def run(shell, cell):
    start, value = seconds(), []
    shell.display_trap.hook = CapturingDisplayHook(shell=shell, outputs=value)
    with capture_output() as captured:
        done = await shell.run_cell_async(cell["source"], transformed_cell=cell["source"])
    error = done.error_before_exec or done.error_in_exec
    return {
        **cell,
        "error": error and f"{type(error).__name__}: {error}",
        "printed": captured.stdout,
        "warned": captured.stderr,
        "shown": [output.data for output in captured.outputs] + [output["data"] for output in value],
        "seconds": seconds() - start,
    }


shell = InteractiveShell.instance(colors="NoColor")
json.dumps([await run(shell, cell) for cell in json.loads(CELLS)])  # noqa: F704, F821
