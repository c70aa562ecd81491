"""What happens when a GPU has no memory left: NumPy takes over, unless the caller insisted on the GPU."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class OutOfGpuMemory(MemoryError):
    """The GPU has no memory even for a small piece of an array; nothing has been written."""


def falls_back(function: Callable[P, R]) -> Callable[P, R]:
    """Let NumPy do what the GPU has no memory for, with one warning, where the keyword `backend` was left open."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OutOfGpuMemory as error:
            if kwargs.get("backend") is not None:
                raise
            # Two levels up: this wrapper and the one that checks the keywords lie between the caller and here.
            warnings.warn(f"{error}; NumPy computes this instead", RuntimeWarning, stacklevel=3)
        kwargs["backend"] = "numpy"
        return function(*args, **kwargs)

    return call


def size(nbytes: float) -> str:
    """Return a number of bytes as people read it.

    >>> size(1536), size(3 << 30)
    ('1.5 KiB', '3 GiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024 or unit == "GiB":
            break
        nbytes /= 1024
    return f"{nbytes:.4g} {unit}"
