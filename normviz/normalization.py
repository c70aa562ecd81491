"""Normalize, take the gradient, and keep running statistics: every method by the one recipe."""

import math
from dataclasses import dataclass
from numbers import Real
from operator import index as as_int
from typing import Any

import numpy as np

from .backends import adopt, host, is_bfloat16, kind, on_gpu
from .backends.recipe import Backend
from .blocks import Pooling, canonical, pooling
from .errors import check_keywords
from .merging import Moments, Statistics, mean_and_var
from .methods import find


@check_keywords
def statistics(
    x: Any, method: str, *, num_groups: int | None = None, channel_axis: int = 1, backend: str | None = None
) -> Statistics:
    """Return the mean and the biased variance of every pooling set of x.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5.
    method
        A key of METHODS.
    num_groups
        G, for "group" alone.
    channel_axis
        Where C is: -1 for (N, H, W, C) images and (batch, tokens, features).
    backend
        "numpy" or "cupy" to insist; None asks the array.

    Returns
    -------
    Statistics
        (C,) for batch, (N,) for layer, (N, C) for instance, (N, G) for group, (N, *spatial) for positional and rms.

    Examples
    --------
    >>> statistics([[[2.0, 3.0], [5.0, 7.0]]], "layer").mean
    array([4.25])
    """
    array, worker, _ = adopt(x, backend)
    view = canonical(array, channel_axis)
    pool = pooling(method, view.shape, num_groups)
    mean, var = (worker.host(a).reshape(pool.statistics_shape) for a in _measure(view, pool, worker))
    return Statistics(mean=mean, var=var, count=pool.size, backend=worker.name)


@check_keywords
def normalize(
    x: Any,
    method: str,
    *,
    num_groups: int | None = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    statistics: "Statistics | RunningStatistics | None" = None,
    out: Any = None,
    channel_axis: int = 1,
    backend: str | None = None,
) -> Any:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, mean and var those of each cell's pooling set.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5: NumPy, CuPy, torch (detached), JAX, or a nested list.
    method
        A key of METHODS; rms subtracts no mean.
    num_groups
        G, for "group" alone.
    weight, bias
        Shape (C,); for "layer" also the shape of one sample, x.shape[1:], as torch.nn.LayerNorm has.
    eps
        Added to the variance; in units of x squared, and > 0.
    statistics
        Use these and take none from x: Statistics, or for "batch" RunningStatistics (what eval() does in PyTorch).
    out
        Where to write: an array like the result, possibly x itself. Nothing is written if an argument is wrong.
    channel_axis
        Where C is.
    backend
        "numpy" or "cupy" to insist; None asks the array.

    Returns
    -------
    array
        The same kind of array as x, in x's dtype; integers and booleans give float64. A set of one cell gives bias, and
        a NaN or an infinity reaches only its own set.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, in one sentence that says which one does.

    Notes
    -----
    As torch.nn.functional.batch_norm (training=True), layer_norm, instance_norm, group_norm and rms_norm.

    Examples
    --------
    >>> normalize([[[2.0, 3.0], [5.0, 7.0]]], "instance", weight=[1.0, 10.0]).round(3)
    array([[[ -1.,   1.],
            [-10.,  10.]]])
    """
    array, worker, back = adopt(x, backend)
    view = canonical(array, channel_axis)
    pool = pooling(method, view.shape, num_groups)
    eps = _check_eps(eps)
    gamma = worker.xp.asarray(_parameter(weight, "weight", pool, channel_axis, 1.0))
    beta = worker.xp.asarray(_parameter(bias, "bias", pool, channel_axis, 0.0))
    given = _check_statistics(statistics, pool)
    y, shared = _target(out, x, view, worker, channel_axis)

    mean, var = map(worker.xp.asarray, given) if given else _measure(view, pool, worker)
    worker.affine(view, pool.spread(mean), pool.spread(_rstd(var, eps, worker)), gamma, beta, y)
    if shared:
        return out
    result = back(_uncanonical(y, channel_axis))
    if out is None:
        return result
    (out.detach() if kind(out) == "torch" else out)[...] = result
    return out


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a loss with respect to what went into `normalize`.

    Attributes
    ----------
    input
        The same kind of array as x, in its shape.
    weight, bias
        Float64 NumPy arrays in the shape of the weight, (C,) where none was given.
    backend
        Who computed them.
    """

    input: Any
    weight: np.ndarray
    bias: np.ndarray
    backend: str


@check_keywords
def gradient(
    x: Any,
    grad_output: Any,
    method: str,
    *,
    num_groups: int | None = None,
    weight: Any = None,
    eps: float = 1e-5,
    channel_axis: int = 1,
    backend: str | None = None,
) -> Gradients:
    """Return the gradients of normalize(x, method, weight=weight, bias=bias), given the one of its output.

    Parameters
    ----------
    x
        What went in, (N, C, *spatial).
    grad_output
        Gradient of the loss with respect to the output, in x's shape.
    method, num_groups, weight, eps, channel_axis, backend
        As in `normalize`. The bias has no influence on the gradients.

    Notes
    -----
    dL/dx = (g - mean(g) - x_hat * mean(g * x_hat)) / sqrt(var + eps) with g = weight * grad_output and means over the
    cell's set; rms lacks the middle term. As loss.backward() in PyTorch.

    Examples
    --------
    >>> x, g = np.array([[[0.0, 2.0]]]), np.array([[[1.0, 0.0]]])
    >>> gradient(x, g, "instance", eps=1e-12).bias
    array([1.])
    """
    array, worker, back = adopt(x, backend)
    view = canonical(array, channel_axis)
    pool = pooling(method, view.shape, num_groups)
    eps = _check_eps(eps)
    gamma = worker.xp.asarray(_parameter(weight, "weight", pool, channel_axis, 1.0))
    grad = canonical(adopt(grad_output, worker.name)[0], channel_axis, name="grad_output")
    if grad.shape != view.shape:
        raise ValueError(f"grad_output has shape {tuple(np.shape(grad_output))}; it must be x's, {array.shape}")

    mean, var = _measure(view, pool, worker)
    result = worker.xp.empty_like(view, dtype=_result_dtype(view))
    mean, rstd = pool.spread(mean), pool.spread(_rstd(var, eps, worker))
    centered = find(method).centered
    parameters = worker.gradient(view, grad, mean, rstd, gamma, result, pool.block, centered)
    elementwise = weight is not None and np.ndim(weight) > 1
    of_weight, of_bias = (_unparameter(worker.host(p), elementwise, channel_axis) for p in parameters)
    return Gradients(back(_uncanonical(result, channel_axis)), of_weight, of_bias, worker.name)


class RunningStatistics:
    """Running mean and variance of every channel, as Batch Norm keeps for inference.

    As torch.nn.BatchNorm2d's running_mean, running_var and num_batches_tracked: the running variance is the unbiased
    one (n - 1), though a batch itself is normalized by the biased one.

    Parameters
    ----------
    num_channels
        C.
    momentum
        Weight of the newest batch; None takes the plain average of all batches. (Keras's and Flax's momentum is 1 minus
        this one.)

    Examples
    --------
    >>> running = RunningStatistics(1, momentum=0.5)
    >>> running.update([[[1.0, 3.0]]])
    >>> running.mean, running.var
    (array([1.]), array([1.5]))
    """

    @check_keywords
    def __init__(self, num_channels: int, momentum: float | None = 0.1) -> None:
        self.num_channels = as_int(num_channels)
        if self.num_channels < 1:
            raise ValueError(f"num_channels={num_channels} is less than 1; it is C, the number of channels of x")
        if momentum is not None and not (isinstance(momentum, Real) and 0 <= momentum <= 1):
            raise ValueError(f"momentum={momentum!r} is not between 0 and 1; None takes the plain average")
        self.momentum = momentum
        self.num_batches_tracked = 0
        self._mean, self._var = np.zeros(self.num_channels), np.ones(self.num_channels)

    def __repr__(self) -> str:
        return (
            f"RunningStatistics({self.num_channels}, momentum={self.momentum}, "
            f"num_batches_tracked={self.num_batches_tracked})"
        )

    @property
    def mean(self) -> np.ndarray:
        """Running mean, (C,), float64; a read-only view."""
        return _read_only(self._mean)

    @property
    def var(self) -> np.ndarray:
        """Running unbiased variance, (C,), float64; a read-only view."""
        return _read_only(self._var)

    @check_keywords
    @np.errstate(all="ignore")
    def update(self, x: Any, *, channel_axis: int = 1, backend: str | None = None) -> None:
        """Take in one batch: an array, or the Moments of one.

        Raises
        ------
        ValueError
            If x has another number of channels, or one cell a channel, which has no unbiased variance.
        """
        batch = (
            x.pool("batch")
            if isinstance(x, Moments)
            else statistics(x, "batch", channel_axis=channel_axis, backend=backend)
        )
        if batch.mean.shape != (self.num_channels,):
            raise ValueError(
                f"x has C={batch.mean.size} channels; these running statistics are for {self.num_channels}"
            )
        if batch.count == 1:
            raise ValueError("x has one cell a channel, which has no unbiased variance; use a larger batch or map")
        self.num_batches_tracked += 1
        newest = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self._mean += newest * (batch.mean - self._mean)
        self._var += newest * (batch.var * (batch.count / (batch.count - 1)) - self._var)


def _measure(view: Any, pool: Pooling, worker: Backend) -> tuple[Any, Any]:
    """Mean and variance of every set, in the grid's shape, where x is."""
    return mean_and_var(*worker.moments(view, pool.block), pool.size, find(pool.method).centered)


@np.errstate(all="ignore")
def _rstd(var: Any, eps: float, worker: Backend) -> Any:
    return 1 / worker.xp.sqrt(var + eps)


def _check_eps(eps: float) -> float:
    if isinstance(eps, bool) or not isinstance(eps, Real):
        raise TypeError(f"eps must be a number, not {eps!r}")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps={eps} is not > 0; without it a constant set divides by zero (PyTorch's default is 1e-5)")
    return float(eps)


def _check_statistics(given: Any, pool: Pooling) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the mean and the variance to use instead of x's own, or None."""
    if given is None:
        return None
    if not isinstance(given, Statistics | RunningStatistics):
        raise TypeError(f"statistics must be Statistics or RunningStatistics, not {type(given).__name__}")
    if isinstance(given, RunningStatistics) and pool.method != "batch":
        raise ValueError(
            f"running statistics are Batch Norm's, (C,); method {pool.method!r} takes none, so leave them out"
        )
    if given.mean.shape != pool.statistics_shape:
        needed = f"method {pool.method!r} on x of shape {pool.shape} needs {pool.statistics_shape}"
        raise ValueError(f"statistics have shape {given.mean.shape}; {needed}")
    return (given.mean if find(pool.method).centered else np.zeros_like(given.mean)), given.var


def _parameter(value: Any, name: str, pool: Pooling, channel_axis: int, default: float) -> np.ndarray:
    """Return weight or bias in float64, shaped to broadcast against x's canonical view."""
    C, spatial = pool.shape[1], pool.shape[2:]
    if value is None:
        return np.full((1, C, *[1] * len(spatial)), default)
    value = host(value)
    sample = list(spatial)
    sample.insert(_channel_in_sample(channel_axis, len(pool.shape)), C)
    elementwise = find(pool.method).elementwise
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {value.dtype}; use a float")
    if value.shape == (C,):
        return value.astype(np.float64).reshape(1, C, *[1] * len(spatial))
    if elementwise and value.shape == tuple(sample):
        return np.moveaxis(value.astype(np.float64), _channel_in_sample(channel_axis, len(pool.shape)), 0)[None]
    allowed = f"({C},)" + (f" or {tuple(sample)}" if elementwise and spatial else "")
    raise ValueError(f"{name} has shape {value.shape}; method {pool.method!r} on C={C} channels needs {allowed}")


def _unparameter(value: np.ndarray, elementwise: bool, channel_axis: int) -> np.ndarray:
    """Return the gradient of a parameter in the parameter's own shape."""
    if not elementwise:
        return value.reshape(-1)
    return np.moveaxis(value[0], 0, _channel_in_sample(channel_axis, value.ndim))


def _channel_in_sample(channel_axis: int, rank: int) -> int:
    """Where C is once the axis of the samples is gone."""
    return max(channel_axis % rank - 1, 0)


def _uncanonical(view: Any, channel_axis: int) -> Any:
    """Put the axes of a canonical view back where they came from."""
    axes = list(range(view.ndim))
    axes.insert(channel_axis % view.ndim, axes.pop(1))
    return view.transpose(axes)


def _result_dtype(view: Any) -> np.dtype:
    return np.dtype(f"f{view.dtype.itemsize}" if view.dtype.kind == "f" else "f8")


def _target(out: Any, x: Any, view: Any, worker: Backend, channel_axis: int) -> tuple[Any, bool]:
    """Return the array to write, in canonical order, and whether it shares out's memory."""
    dtype = _result_dtype(view)
    if out is None:
        return worker.xp.empty_like(view, dtype=dtype), False
    if kind(out) != kind(x) or not hasattr(out, "__dlpack__"):
        raise TypeError(
            f"out is a {type(out).__name__} and x a {type(x).__name__}; they must be the same kind of array"
        )
    if kind(out) == "jax":
        raise TypeError("out is a JAX array, which never changes; leave it out and take what is returned")
    native = adopt(out, worker.name)[0]
    wanted = _uncanonical(view, channel_axis).shape
    if native.shape != wanted:
        raise ValueError(f"out has shape {native.shape}; it must be x's, {wanted}")
    if native.dtype != dtype or is_bfloat16(out) != is_bfloat16(x):
        raise ValueError(f"out has dtype {out.dtype}; for x of dtype {getattr(x, 'dtype', dtype)} it must be {dtype}")
    shares_memory = not is_bfloat16(out) and on_gpu(out) == on_gpu(native)
    if not shares_memory:
        return worker.xp.empty_like(view, dtype=dtype), False
    repeats = any(stride == 0 and n > 1 for stride, n in zip(native.strides, native.shape, strict=True))
    if repeats or (isinstance(out, np.ndarray) and not out.flags.writeable):
        raise ValueError("out is read-only, or shows one cell in several places; pass an array that owns its cells")
    y = canonical(native, channel_axis)
    if worker.overlap(view, y):
        raise ValueError("out overlaps x without being x itself; pass x, or an array with memory of its own")
    return y, True


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
