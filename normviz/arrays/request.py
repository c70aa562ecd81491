"""Check the arguments of a numerical call, once, and put them into one `Request`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from normviz.arrays.arguments import check_eps, check_statistics, like_x, parameter, result_dtype, target, uncanonical
from normviz.backends.base import Backend
from normviz.backends.dispatch import adopt, load
from normviz.core.array_kinds import host, kind, on_gpu, real_numbers
from normviz.core.pooling import Pooling, canonical, pooling_of


class Request(NamedTuple):
    """What a call works on. Every path takes this object and nothing else.

    Attributes
    ----------
    view
        x with its axes in the order (N, C, *spatial), as an array of the backend.
    pool
        The pooling sets; `pool.row` is the method's row in METHODS.
    worker
        The backend.
    back
        Converts a result to the caller's kind of array, on the caller's device.
    channel_axis
        Where C is in the caller's arrays.
    insists
        Whether the caller named the backend; then no other backend takes over.
    weight, bias
        In a shape that broadcasts against `view`; None where none is given. Float64 on the host, or on the GPU in any
        dtype where both it and x are there.
    weight_shape
        The shape of the weight as the caller gave it; None without one.
    eps
        A float > 0.
    given
        Mean and variance of every set, float64 on the host, that the caller gave; or None.
    fixed
        Whether the given statistics are constants, as running statistics are. Others are x's own for a gradient.
    out, target
        The caller's array for the result, and the canonical view of its memory if the backend can write there.
    grad
        The gradient of the output, laid out as `view`.
    """

    view: Any
    pool: Pooling
    worker: Backend
    back: Callable[[Any], Any]
    channel_axis: int
    insists: bool
    weight: Any = None
    bias: Any = None
    weight_shape: tuple[int, ...] | None = None
    eps: float = 1e-5
    given: Any = None
    fixed: bool = False
    out: Any = None
    target: Any = None
    grad: Any = None

    def result(self) -> Any:
        """Return the array to write the result into: the target, or a new array."""
        if self.target is not None:
            return self.target
        return self.worker.empty_like(self.view, result_dtype(self.view))

    def deliver(self, y: Any) -> Any:
        """Return a written result in the caller's kind of array and order of axes; in `out` where that is given."""
        if self.target is not None and y is self.target:
            return self.out
        y = self.back(y if self.channel_axis == 1 else uncanonical(y, self.channel_axis))
        if self.out is None:
            return y
        (self.out.detach() if kind(self.out) == "torch" else self.out)[...] = y
        return self.out

    def on_the_host(self) -> "Request":
        """Return the same request for NumPy, with x copied to the host if it lies on a GPU."""
        grad = None if self.grad is None else host(self.grad)
        written = None if self.target is None or on_gpu(self.target) else self.target
        weight, bias = (None if p is None else real_numbers(p, "a parameter") for p in (self.weight, self.bias))
        return self._replace(
            view=host(self.view), grad=grad, worker=load("numpy"), target=written, weight=weight, bias=bias
        )


def take(x: Any, channel_axis: int, backend: str | None, name: str = "x") -> tuple[Any, Backend, Callable[[Any], Any]]:
    """Return x's canonical view as an array of its backend, the backend, and the way back to x's kind of array."""
    array, worker, back = adopt(x, backend)
    return canonical(array, channel_axis, name), worker, back


def resolve(
    x: Any,
    method: str,
    num_groups: int | None = None,
    channel_axis: int = 1,
    backend: str | None = None,
    *,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    statistics: Any = None,
    out: Any = None,
    grad_output: Any = None,
    taken: tuple[Any, Backend, Callable[[Any], Any]] | None = None,
) -> Request:
    """Check the arguments of a call, and return what it works on.

    `taken` is what `take` returns for x; a dask array has its own.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If an argument does not fit, or the backend cannot be used, in one sentence. Nothing has been written then.
    """
    view, worker, back = taken or take(x, channel_axis, backend)
    pool = pooling_of(method, view.shape, num_groups)
    on_device = worker.name == "cupy" and on_gpu(view)
    return Request(
        view=view,
        pool=pool,
        worker=worker,
        back=back,
        channel_axis=channel_axis,
        insists=backend is not None,
        eps=check_eps(eps),
        weight=None if weight is None else parameter(weight, "weight", pool, channel_axis, on_device=on_device),
        weight_shape=None if weight is None else np.shape(weight),
        bias=None if bias is None else parameter(bias, "bias", pool, channel_axis, on_device=on_device),
        given=None if statistics is None else check_statistics(statistics, pool),
        fixed=statistics is not None and statistics.for_method is not None,
        out=out,
        target=None if out is None else target(out, x, view, worker, channel_axis),
        grad=None if grad_output is None else like_x(grad_output, "grad_output", view, worker, channel_axis),
    )
