"""A progress bar for long readings, drawn by tqdm."""

import importlib
import sys
from contextlib import AbstractContextManager
from typing import Any

from normviz.backends import threads
from normviz.core.errors import brief

PATIENCE = 2.0
"""Seconds before a bar appears that the caller did not ask for."""


class NoBar(AbstractContextManager["NoBar"]):
    """Takes the place of tqdm's bar and draws nothing."""

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def update(self, amount: int) -> None:
        """Nothing to draw."""


def progress_bar(wanted: bool | None, total: int | None, **options: Any) -> Any:
    """Return a bar with `update(amount)`, as a context manager; `options` are further ones of tqdm.

    `wanted` is True for a bar at once, which needs tqdm, and False for none. None draws one after PATIENCE seconds in a
    terminal or a notebook, if tqdm is installed. `total` is None if it is unknown how much there is to read.
    """
    if wanted is not None and not isinstance(wanted, bool):
        accepted = "True, False or None"
        raise TypeError(f"progress must be {accepted}, not {brief(wanted)}; None shows a bar for long readings")
    if not (wanted or (wanted is None and visible())):
        return NoBar()
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError as error:
        if wanted is None:
            return NoBar()
        raise ImportError('progress=True needs tqdm; pip install "normviz[progress]", or leave it out') from error
    if not threads.startable():
        tqdm.monitor_interval = 0  # tqdm has a thread of its own, and warns if it cannot start it
    return tqdm(total=total, leave=bool(wanted), delay=0 if wanted else PATIENCE, **options)


def visible() -> bool:
    """Return whether stderr is shown in a terminal or in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel") or (sys.stderr is not None and sys.stderr.isatty())
