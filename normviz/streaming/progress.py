"""A progress bar for long readings, drawn by tqdm where somebody looks."""

import importlib
import sys
import time
from contextlib import suppress
from typing import Any

PATIENCE = 2.0
"""Seconds that a reading may take before a bar that nobody asked for appears."""


class Progress:
    """Counts what has been read, and draws a bar if asked to, or once it has taken PATIENCE seconds before a reader.

    Parameters
    ----------
    wanted
        True for a bar at once, False for none, None for one after a while where somebody looks: in a terminal or a
        notebook, and with tqdm installed.
    total
        How much there is to read, None if unknown.
    options
        What tqdm is to know besides, such as the unit.

    Raises
    ------
    ImportError
        If the bar is wanted and tqdm is not installed.
    """

    def __init__(self, wanted: bool | None, total: int | None, **options: Any) -> None:
        if wanted is not None and not isinstance(wanted, bool):
            raise TypeError(f"progress must be True, False or None, not {wanted!r}; None shows a bar for long readings")
        self.done, self.bar, self.total, self.options = 0, None, total, {"leave": bool(wanted), **options}
        self.due = time.monotonic() + PATIENCE if wanted is None and somebody_looks() else None
        if wanted:
            self._draw()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, amount: int) -> None:
        """Count what has been read."""
        self.done += amount
        if self.bar is not None:
            self.bar.update(amount)
        elif self.due is not None and time.monotonic() > self.due:
            self.due = None
            with suppress(ImportError):
                self._draw()

    def _draw(self) -> None:
        try:
            tqdm = importlib.import_module("tqdm.auto").tqdm
        except ImportError as error:
            raise ImportError("progress=True needs tqdm; pip install 'normviz[progress]', or leave it out") from error
        self.bar = tqdm(total=self.total, initial=self.done, **self.options)


def somebody_looks() -> bool:
    """Whether what is written to stderr reaches a terminal, or a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel") or (sys.stderr is not None and sys.stderr.isatty())
