"""Choose how an array in memory is computed; if its backend fails, for lack of memory for instance, NumPy does it.

A new backend changes nothing here.
"""

import sys
import warnings
from typing import Any, Literal

import numpy as np

from normviz.arrays.arguments import unparameter
from normviz.arrays.request import Request
from normviz.backends.base import Backend
from normviz.backends.dispatch import load
from normviz.backends.failure import BackendFailure
from normviz.core.array_kinds import host


def compute(task: Literal["normalize", "gradient"], request: Request) -> Any:
    """Return the result of a task, by the backend of the request."""
    try:
        return _TASKS[task](request)
    except BackendFailure as error:
        _announce(error, request.insists)
    return compute(task, request.on_the_host())


def _normalize(request: Request) -> Any:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, as the caller's kind of array."""
    y = request.result()
    request.worker.normalize(request.view, request.pool, request.weight, request.bias, request.eps, request.given, y)
    return request.deliver(y)


def _gradient(request: Request) -> tuple[Any, np.ndarray, np.ndarray, Backend]:
    """Return the gradients of input, weight and bias, and the backend; see `normviz.gradient`."""
    y = request.result()
    parameters = request.worker.gradient(
        request.view, request.grad, request.pool, request.weight, request.eps, request.given, request.fixed, y
    )
    of_weight, of_bias = (unparameter(p, request.weight_shape, request.channel_axis) for p in parameters)
    return request.deliver(y), of_weight, of_bias, request.worker


_TASKS = {"normalize": _normalize, "gradient": _gradient}


def box_moments(
    view: Any, worker: Backend, block: tuple[int, ...], insists: bool
) -> tuple[np.ndarray, np.ndarray, Backend]:
    """Return mean and M2 of every block of a view, on the host in the shape of the grid, and the backend that did it.

    The view is read again if the backend fails; its source is not.
    """
    try:
        mean, m2 = map(worker.host, worker.moments(view, block))
        return mean, m2, worker
    except BackendFailure as error:
        _announce(error, insists)
    return box_moments(host(view), load("numpy"), block, insists)


def _announce(error: BackendFailure, insists: bool) -> None:
    """Warn that a backend failed and NumPy takes over; raise the error if the caller insists on the backend."""
    if insists:
        raise error
    # The warning names the line of the caller's own code: the first frame outside this package.
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("normviz."):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{error}; NumPy computes this instead", RuntimeWarning, stacklevel=level)
