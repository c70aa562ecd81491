"""A progress bar for long readings, drawn by tqdm."""

import importlib
import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from normviz.core.errors import brief

PATIENCE = 2.0
"""Seconds before a bar appears that the caller did not ask for."""


class NoBar(AbstractContextManager["NoBar"]):
    """Takes the place of tqdm's bar and draws nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to close."""

    def update(self, amount: int) -> None:
        """Nothing to draw."""


def progress_bar(wanted: bool | None, total: int | None, **options: Any) -> Any:
    """Return a bar with `update(amount)`, as a context manager.

    Parameters
    ----------
    wanted
        True for a bar at once, False for none. None draws one after PATIENCE seconds in a terminal or a notebook, if
        tqdm is installed.
    total
        How much there is to read; None if that is unknown.
    options
        Further options of tqdm, such as the unit.

    Raises
    ------
    ImportError
        If the bar is wanted and tqdm is not installed.
    """
    if wanted is not None and not isinstance(wanted, bool):
        raise TypeError(
            f"progress must be True, False or None, not {brief(wanted)}; None shows a bar for long readings"
        )
    if not (wanted or (wanted is None and visible())):
        return NoBar()
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError as error:
        if wanted is None:
            return NoBar()
        raise ImportError("progress=True needs tqdm; pip install 'normviz[progress]', or leave it out") from error
    return tqdm(total=total, leave=bool(wanted), delay=0 if wanted else PATIENCE, **options)


def visible() -> bool:
    """Return whether stderr is shown in a terminal or in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel") or (sys.stderr is not None and sys.stderr.isatty())
