"""The arrays of a relative: x in float64 with axes (N, C, *spatial), its parameters, and the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import like_x, result_dtype, uncanonical
from normviz.arrays.request import take
from normviz.backends.dispatch import load
from normviz.core.array_kinds import host, is_bfloat16, on_gpu, real_numbers


@dataclass(frozen=True)
class Work:
    """An array in float64, (N, C, *spatial), of NumPy or CuPy, and what its computation needs.

    `asarray` converts to an array of its kind, `finish` takes a result of its shape back to the caller's kind of
    array, dtype and order of axes.
    """

    x: Any
    backend: str
    asarray: Callable[[Any], Any]
    finish: Callable[[Any], Any]
    channel_axis: int

    @property
    def C(self) -> int:
        """The number of channels."""
        return self.x.shape[1]

    def like(self, values: Any, name: str) -> Any:
        """Return an array that must have x's shape, in float64 and in x's order of axes."""
        view = like_x(values, name, self.x, load(self.backend), self.channel_axis)
        return self.asarray(view).astype(np.float64)

    def spread(self, values: Any) -> Any:
        """Lay out (C,), (N, C) or (1, C) to broadcast against x."""
        values = self.asarray(values)
        return values.reshape(*(values.shape if values.ndim > 1 else (1, self.C)), *[1] * (self.x.ndim - 2))


def begin(x: Any, channel_axis: int = 1, backend: str | None = None, name: str = "x") -> Work:
    """Check x and return its Work; a host array stays on the host unless backend="cupy" insists."""
    view, worker, back = take(x, channel_axis, backend or ("cupy" if on_gpu(x) else "numpy"), name)
    dtype = np.dtype(np.float32) if is_bfloat16(x) else result_dtype(view)
    asarray = worker.xp.asarray if on_gpu(view) else np.asarray

    def finish(y: Any) -> Any:
        return back(uncanonical(y.astype(dtype, copy=False), channel_axis))

    return Work(view.astype(np.float64), worker.name, asarray, finish, channel_axis)


def entries(value: Any, name: str, shape: tuple[int, ...], meaning: str) -> np.ndarray:
    """Return a parameter as float64 in host memory; it must have `shape`, which `meaning` explains."""
    array = real_numbers(value, name)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it needs {shape}, {meaning}")
    return array


def per_channel(values: Any) -> np.ndarray:
    """Return sums over samples and positions, (C,), on the host."""
    return host(values.sum(axis=(0, *range(2, values.ndim))))


def per_atom(values: Any) -> np.ndarray:
    """Return sums over positions, (N, C), on the host."""
    return host(values.reshape(*values.shape[:2], -1).sum(axis=2))
