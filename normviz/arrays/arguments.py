"""Checks of the arguments of the numerical functions, which also bring them into the axis order (N, C, *spatial)."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from normviz.backends.base import Backend
from normviz.backends.dispatch import adopt
from normviz.core.array_kinds import check_real, is_bfloat16, kind, on_gpu, real_numbers
from normviz.core.errors import brief
from normviz.core.pooling import Pooling, canonical

_FLOATS = frozenset(map(np.dtype, ("float32", "float64")))


def check_eps(eps: float) -> float:
    """Return eps as a float; it must be a number > 0."""
    if type(eps) is float and 0 < eps < math.inf:
        return eps
    if isinstance(eps, bool) or not isinstance(eps, Real):
        raise TypeError(f"eps must be a number, not {brief(eps)}")
    try:
        number = float(eps)
    except OverflowError:
        number = math.inf
    if number == math.inf:
        raise ValueError("eps=inf leaves nothing of x; give a finite number (PyTorch's default is 1e-5)")
    if not number > 0:
        raise ValueError(f"eps={eps} is not > 0; without it a constant set divides by zero (PyTorch's default is 1e-5)")
    return number


def check_statistics(given: Any, pool: Pooling) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the mean and the variance that take the place of x's own, or None."""
    if given is None:
        return None
    if not hasattr(type(given), "for_method"):
        raise TypeError(f"statistics must be Statistics or RunningStatistics, not {type(given).__name__}")
    if given.for_method not in (None, pool.method):
        raise ValueError(
            f"running statistics are Batch Norm's, (C,); method {pool.method!r} takes none, so leave them out"
        )
    if given.mean.shape != pool.statistics_shape:
        needed = f"method {pool.method!r} on x of shape {pool.shape} needs {pool.statistics_shape}"
        raise ValueError(f"statistics have shape {given.mean.shape}; {needed}")
    return (given.mean if pool.row.centered else np.zeros_like(given.mean)), given.var


def parameter(
    value: Any, name: str, pool: Pooling, channel_axis: int, default: float | None = None, on_device: bool = False
) -> Any:
    """Return weight or bias in float64 on the host, and in a shape that broadcasts against x's canonical view.

    Where it is None, return an array full of `default`, or None if that is None too. With `on_device`, one that is on a
    GPU stays there, in its own dtype: only its shape is looked at.
    """
    if value is None:
        return default if default is None else np.full(pool.parameter_shape, default)
    axis = pool.row.affine_axis
    if type(value) is np.ndarray and value.dtype in _FLOATS and value.shape == (pool.shape[axis],):
        value = value.astype(np.float64)
    elif on_device and on_gpu(value):
        value = check_real(adopt(value, "cupy")[0], name)
    else:
        value = real_numbers(value, name)
    if value.shape == (pool.shape[axis],):
        return value.reshape(pool.parameter_shape)
    C, spatial, each = pool.shape[1], pool.shape[2:], pool.block[1]
    if pool.row.shared and value.shape == (each,):
        return value[None].repeat(C // each, 0).reshape(pool.parameter_shape)
    sample = list(spatial)
    sample.insert(_channel_in_sample(channel_axis, len(pool.shape)), C)
    if pool.row.elementwise and value.shape == tuple(sample):
        return np.moveaxis(value, _channel_in_sample(channel_axis, len(pool.shape)), 0)[None]
    allowed = f"({pool.shape[axis]},)" + (f" or {tuple(sample)}" if pool.row.elementwise and spatial else "")
    allowed += f" or ({each},), shared by all groups" if pool.row.shared and each < C else ""
    on = f"C={C} channels" if axis else f"Cout={pool.shape[0]} output channels"
    raise ValueError(f"{name} has shape {value.shape}; method {pool.method!r} on {on} needs {allowed}")


def unparameter(value: np.ndarray, shape: tuple[int, ...] | None, channel_axis: int) -> np.ndarray:
    """Return the gradient of a parameter in the parameter's own shape; None for one entry a channel."""
    if shape is None or shape == (value.size,):
        return value.reshape(-1)
    if len(shape) == 1:  # shared by all groups
        return value.reshape(-1, *shape).sum(0)
    return np.moveaxis(value[0], 0, _channel_in_sample(channel_axis, value.ndim))


def _channel_in_sample(channel_axis: int, rank: int) -> int:
    """Return the position of C among the axes of one sample."""
    return max(channel_axis % rank - 1, 0)


def native_order(per_axis: Sequence[int], channel_axis: int) -> tuple[int, ...]:
    """Return one number for each axis of (N, C, *spatial) in the order of the caller's axes."""
    numbers = list(per_axis)
    numbers.insert(channel_axis % len(numbers), numbers.pop(1))
    return tuple(numbers)


def uncanonical(view: Any, channel_axis: int) -> Any:
    """Return a canonical view with its axes in the caller's order."""
    if channel_axis in (1, 1 - view.ndim):
        return view
    return view.transpose(native_order(range(view.ndim), channel_axis))


def result_dtype(view: Any) -> np.dtype:
    """Return the dtype of a result: x's own, or float64 for integers and booleans."""
    if view.dtype.kind == "f" and view.dtype.isnative:
        return view.dtype
    if is_bfloat16(view):
        return view.dtype
    return np.dtype(f"f{view.dtype.itemsize}" if view.dtype.kind == "f" else "f8")


def like_x(values: Any, name: str, view: Any, worker: Backend, channel_axis: int) -> Any:
    """Return the canonical view of an array that must have x's shape."""
    other = canonical(adopt(values, worker.name)[0], channel_axis, name)
    if on_gpu(other) and on_gpu(view):
        check_place(other, name, view)
    if other.shape != view.shape:
        found, needed = (uncanonical(a, channel_axis).shape for a in (other, view))
        raise ValueError(f"{name} has shape {found}; it must be x's, {needed}")
    return other


def target(out: Any, x: Any, view: Any, worker: Backend, channel_axis: int) -> Any:
    """Return the canonical view of `out` if the backend can write into its memory, and None if it cannot.

    Raises
    ------
    TypeError, ValueError
        If out is another kind of array than x, or differs from the result in shape or dtype, or overlaps x without
        being x itself, or is read-only or shows one cell in several places.
    """
    dtype = result_dtype(view)
    if kind(out) != kind(x) or not hasattr(out, "__dlpack__"):
        raise TypeError(f"out is of type {type(out).__name__}, x of {type(x).__name__}; pass the same kind of array")
    if kind(out) == "jax":
        raise TypeError("out is a JAX array, which never changes; leave it out and take what is returned")
    check_place(out, "out", x)
    native = adopt(out, worker.name)[0]
    wanted = uncanonical(view, channel_axis).shape
    if native.shape != wanted:
        raise ValueError(f"out has shape {native.shape}; it must be x's, {wanted}")
    if native.dtype != dtype or is_bfloat16(out) != is_bfloat16(x):
        raise ValueError(f"out has dtype {out.dtype}; for x of dtype {getattr(x, 'dtype', dtype)} it must be {dtype}")
    if _repeats(native) or (isinstance(out, np.ndarray) and not out.flags.writeable):
        raise ValueError("out is read-only, or shows one cell in several places; pass an array that owns its cells")
    if is_bfloat16(out) != is_bfloat16(native) or on_gpu(out) != on_gpu(native):
        return None
    y = canonical(native, channel_axis, "out")
    if worker.overlap(view, y):
        raise ValueError("out overlaps x without being x itself; pass x, or an array with memory of its own")
    return y


def check_place(a: Any, name: str, x: Any) -> None:
    """Raise ValueError if an array is not on the device of x."""
    if kind(a) == kind(x) == "numpy":
        return
    there, here = (f"GPU {b.__dlpack_device__()[1]}" if on_gpu(b) else "the CPU" for b in (a, x))
    if there != here:
        raise ValueError(f"{name} is on {there} and x on {here}; move one of them")


def _repeats(a: Any) -> bool:
    """Return whether an array shows one cell in several places: the step along an axis is within the axes inside it."""
    if a.flags.forc:
        return False
    reach = a.itemsize
    for step, n in sorted((abs(step), n) for step, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if step < reach:
            return True
        reach += step * (n - 1)
    return False
