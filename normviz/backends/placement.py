"""Every public function works on the device of x, and on the stream of the library that made x."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from normviz.backends.cuda.streams import where_x_is
from normviz.backends.dispatch import cupy_problem, load
from normviz.core.array_kinds import on_gpu

P = ParamSpec("P")
R = TypeVar("R")

_ANYWHERE = nullcontext()


def place(x: Any, backend: str | None, others: Iterable[Any] = ()) -> AbstractContextManager[None]:
    """Return a context in which CuPy works where x is; `others` are further arrays of the call.

    Nothing happens for an array on the host, or if CuPy does not do the work.
    """
    if type(x) is np.ndarray or backend not in (None, "cupy") or not on_gpu(x) or cupy_problem():
        return _ANYWHERE
    return where_x_is(load("cupy").xp, x, others)


def on_the_device_of_x(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function work on the device and the stream of its first argument."""
    first = next(iter(inspect.signature(function).parameters))

    @wraps(function)
    def placed(*args: P.args, **kwargs: P.kwargs) -> R:
        x: Any = args[0] if args else kwargs.get(first)
        if type(x) is np.ndarray:
            return function(*args, **kwargs)
        backend: Any = kwargs.get("backend")
        with place(x, backend, (*args[1:], *kwargs.values())):
            return function(*args, **kwargs)

    return placed
