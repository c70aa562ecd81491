"""The arrays of a relative with axes (N, C, *spatial), its two passes over them, and the way back.

Every relative consists of passes (x - mean) / sqrt(var + eps) * scale + shift, with numbers for each (sample, channel),
and of the gradient of such a pass. So the backends do the work, in the dtype of x.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from normviz.arrays.arguments import like_x, uncanonical
from normviz.arrays.paths import compute
from normviz.arrays.request import Request, resolve, take
from normviz.backends.base import Backend, boxes
from normviz.backends.placement import on_the_device_of_x
from normviz.core.array_kinds import on_gpu, real_numbers, widened
from normviz.core.errors import check_keywords

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Work:
    """An array (N, C, *spatial) of a backend, and what its computation needs.

    Attributes
    ----------
    x
        The array, of NumPy or CuPy; bfloat16 in float32. Of weights, Cout comes first, then Cin.
    worker, asked
        The backend, and its name where the caller insists on it.
    asarray
        Converts to an array of the kind of x.
    order
        Changes the order of axes between x and `canonical`, in both directions.
    back
        Takes a result in the order of `canonical` back to the caller's kind of array.
    channel_axis
        Where C is in the caller's arrays; of weights, where Cout is.
    """

    x: Any
    worker: Backend
    asked: str | None
    asarray: Callable[[Any], Any]
    order: Callable[[Any], Any]
    back: Callable[[Any], Any]
    channel_axis: int

    @property
    def backend(self) -> str:
        """The name of the backend."""
        return self.worker.name

    def like(self, values: Any, name: str) -> Any:
        """Return an array that must have x's shape, in x's order of axes."""
        view = like_x(values, name, self.order(self.x), self.worker, self.channel_axis)
        return self.order(widened(self.asarray(view)))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Lay out (C,), (N, C) or (1, C) to broadcast against x, on the host."""
        rows = values if values.ndim > 1 else values[None]
        return rows.reshape(*rows.shape, *[1] * (self.x.ndim - 2))

    def normalize(self, method: str, **options: Any) -> Any:
        """Return a new array (x - mean) / sqrt(var + eps) * weight + bias; see `_request`."""
        return compute("normalize", self._request(method, **options))

    def gradient(
        self, method: str, grad: Any, *, fixed: bool = False, **options: Any
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the gradients of x, of scale or weight, and of shift or bias; those of the last two in the same shape.

        With `fixed` the given statistics are constants.
        """
        request = self._request(method, **options)._replace(grad=grad, fixed=fixed)
        of_input, *others, _ = compute("gradient", request)
        scale = options.get("scale")
        return of_input, *(a if scale is None else a.reshape(scale.shape) for a in others)

    def add(self, y: Any, factor: float, x: Any) -> None:
        """Add factor * x to y, box by box, because an array of its own would cost more than the arithmetic."""
        for box in boxes(y, self.worker.cells):
            y[box] += factor * x[box]

    def _request(self, method: str, *, scale: Any = None, shift: Any = None, **options: Any) -> Request:
        """Return the request of a pass. Scale and shift, (N, C) or (1, C), take the place of weight and bias."""
        taken = self.x, self.worker, self.asarray
        request = resolve(self.x, method, backend=self.asked, taken=taken, **options)
        own = {name: self.spread(value) for name, value in (("weight", scale), ("bias", shift)) if value is not None}
        return request._replace(**own)

    def finish(self, y: Any) -> Any:
        """Return a result in the caller's kind of array, dtype and order of axes."""
        return self.back(uncanonical(self.order(y), self.channel_axis))


def normalizer(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function check its keywords, work on the device of x, and give no warning about numbers."""
    return check_keywords(on_the_device_of_x(np.errstate(all="ignore")(function)))


def begin(x: Any, channel_axis: int = 1, backend: str | None = None, name: str = "x", *, weights: bool = False) -> Work:
    """Check x and return its Work; with `weights` it is (Cout, Cin, *kernel), and channel_axis says where Cout is."""
    view, worker, back = take(x, channel_axis, backend, name)
    asarray = worker.xp.asarray if on_gpu(view) else np.asarray

    def order(view: Any) -> Any:
        return view.swapaxes(0, 1) if weights else view

    # Not bfloat16, because sums of results in it would be rounded twice.
    return Work(order(widened(view)), worker, backend, asarray, order, back, channel_axis)


def entries(value: Any, name: str, shape: tuple[int, ...], meaning: str) -> np.ndarray:
    """Return a parameter as float64 in host memory; it must have `shape`, which `meaning` explains."""
    array = real_numbers(value, name)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it needs {shape}, {meaning}")
    return array
