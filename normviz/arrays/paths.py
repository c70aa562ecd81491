"""Choose how an array in memory is computed; if its backend fails, for lack of memory for instance, NumPy does it.

A new backend changes nothing here.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np

from normviz.arrays import in_memory
from normviz.arrays.request import Request
from normviz.backends.base import Backend
from normviz.backends.dispatch import load
from normviz.backends.failure import BackendFailure
from normviz.core.array_kinds import host

R = TypeVar("R")


def compute(task: Literal["moments", "normalize", "gradient"], request: Request) -> Any:
    """Return the result of a task, by the backend of the request."""
    first = getattr(in_memory, task)
    return or_on_the_host(lambda: first(request), lambda: compute(task, request.on_the_host()), request.insists)


def box_moments(
    view: Any, worker: Backend, block: tuple[int, ...], insists: bool
) -> tuple[np.ndarray, np.ndarray, Backend]:
    """Return mean and M2 of every block of a view, on the host in the shape of the grid, and the backend that did it.

    The view is read again if the backend fails; its source is not.
    """

    def by(view: Any, worker: Backend) -> tuple[np.ndarray, np.ndarray, Backend]:
        mean, m2 = map(worker.host, worker.moments(view, block))
        return mean, m2, worker

    return or_on_the_host(lambda: by(view, worker), lambda: by(host(view), load("numpy")), insists)


def or_on_the_host(first: Callable[[], R], second: Callable[[], R], insists: bool) -> R:
    """Return first(), or second() with one warning if the backend fails and the caller does not insist on it."""
    try:
        return first()
    except BackendFailure as error:
        if insists:
            raise
        message = f"{error}; NumPy computes this instead"
    # The warning names the line of the caller's own code: the first frame outside this package.
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("normviz."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)
    return second()
