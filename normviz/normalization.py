"""Statistics, normalize, gradient: every method by the one recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import direct
from .arguments import check_eps, check_statistics, like_x, parameter, result_dtype, target, uncanonical, unparameter
from .backends import adopt, kind, load
from .backends.memory import falls_back
from .backends.recipe import Backend
from .blocks import Pooling, canonical, pooling
from .errors import check_keywords
from .merging import as_statistics, mean_and_var
from .methods import find
from .results import Statistics
from .running import RunningStatistics
from .sources import source


@check_keywords
@falls_back
def statistics(
    x: Any,
    method: str,
    *,
    num_groups: int | None = None,
    channel_axis: int = 1,
    backend: str | None = None,
    progress: bool | None = None,
) -> Statistics:
    """Return the mean and the biased variance of every pooling set of x.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5; or a file, chunks or a dask array, as `normviz.moments` takes.
    method
        A key of METHODS.
    num_groups
        G, for "group" and "ghost" alone: groups of channels, or slices of the batch.
    channel_axis
        Where C is: -1 for (N, H, W, C) images and (batch, tokens, features). For weights, where Cin is, Cout being the
        first of the other axes; Keras's (kH, kW, Cin, Cout) is to be transposed first, w.transpose(3, 2, 0, 1).
    backend
        "numpy" or "cupy" to insist; None asks the array.
    progress
        A bar, for files and iterables, as in `normviz.moments`.

    Returns
    -------
    Statistics
        (C,) for batch, (N,) for layer, (N, C) for instance and frn, (N, G) for group, (N, *spatial) for positional and
        rms, (G, C) for ghost, (Cout,) for weight_norm and weight_standardization.

    Examples
    --------
    >>> statistics([[[2.0, 3.0], [5.0, 7.0]]], "layer").mean
    array([4.25])
    """
    if type(x) is not np.ndarray and source(x):
        from . import streaming  # which needs this module

        return streaming.statistics(x, method, num_groups, channel_axis, backend, progress)
    view, pool, worker, _ = _start(x, method, num_groups, channel_axis, backend)
    mean, m2 = map(worker.host, worker.moments(view, pool.block))
    return as_statistics(mean, m2, pool.size, pool, worker.name)


@check_keywords
@falls_back
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

    For "weight_norm" that is the v / ||v|| * g of the paper: its mean is 0, its var the squared norm, g its weight.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5: NumPy, CuPy, torch (detached), JAX, or a nested list; or a
        dask array, for which the result is lazy.
    method
        A key of METHODS; rms, frn and weight_norm subtract no mean.
    num_groups
        G: for "group" the number of groups of channels, for "ghost" that of slices of the batch; for no other.
    weight, bias
        Shape (C,); for "layer" also the shape of one sample, x.shape[1:], as torch.nn.LayerNorm has. For weight_norm
        and weight_standardization (Cout,), one a filter.
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
    As torch.nn.functional.batch_norm (training=True), layer_norm, instance_norm, group_norm and rms_norm; METHODS has
    the equivalent of every method, and relatives what more than a block is needed for.

    Examples
    --------
    >>> normalize([[[2.0, 3.0], [5.0, 7.0]]], "instance", weight=[1.0, 10.0]).round(3)
    array([[[ -1.,   1.],
            [-10.,  10.]]])
    """
    if type(x) is not np.ndarray and source(x) == "dask":
        from .streaming import lazy  # which needs this module

        return lazy.normalize(x, method, num_groups, weight, bias, eps, statistics, out, channel_axis, backend)
    eps = check_eps(eps)
    if statistics is None and direct.takes(x, backend):
        view = direct.view(x, channel_axis)
        how = direct.plan(method, num_groups, view.shape) if direct.named(method, num_groups) else None
        if how and direct.plain(weight, how) and direct.plain(bias, how):
            y = np.empty_like(view) if out is None else target(out, x, view, load("numpy"), channel_axis)[0]
            direct.normalize(view, how, weight, bias, eps, y)
            if out is not None:
                return out
            return y if channel_axis == 1 else uncanonical(y, channel_axis)
    view, pool, worker, back = _start(x, method, num_groups, channel_axis, backend)
    gamma, beta = (parameter(p, name, pool, channel_axis) for name, p in (("weight", weight), ("bias", bias)))
    gamma, beta = (p if p is None else worker.xp.asarray(p) for p in (gamma, beta))
    given = check_statistics(statistics, pool)
    y, shared = target(out, x, view, worker, channel_axis)

    mean, rstd = _measure(view, pool, worker, eps, given)
    worker.affine(view, mean, rstd, gamma, beta, y)
    if shared:
        return out
    result = back(uncanonical(y, channel_axis))
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
        Float64 NumPy arrays in the shape of the weight; where none was given (C,), for weights (Cout,).
    backend
        Who computed them.
    """

    input: Any
    weight: np.ndarray
    bias: np.ndarray
    backend: str


@check_keywords
@falls_back
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
    cell's set; rms and frn lack the middle term, and weight_norm has the sum in place of the last mean. As
    loss.backward() in PyTorch.

    Examples
    --------
    >>> x, g = np.array([[[0.0, 2.0]]]), np.array([[[1.0, 0.0]]])
    >>> gradient(x, g, "instance", eps=1e-12).bias
    array([1.])
    """
    view, pool, worker, back = _start(x, method, num_groups, channel_axis, backend)
    eps = check_eps(eps)
    gamma = worker.xp.asarray(parameter(weight, "weight", pool, channel_axis, 1.0))
    grad = like_x(grad_output, "grad_output", view, worker, channel_axis)

    result = worker.empty_like(view, result_dtype(view))
    mean, rstd = _measure(view, pool, worker, eps)
    row = find(method)
    # A norm is the root of the mean square times that of |S|: x / ||x|| * weight is x / rms(x) * (weight / root).
    root = pool.size**0.5 if row.statistic == "squared norm" else 1.0
    parameters = worker.gradient(view, grad, mean, rstd * root, gamma / root, result, pool.block, row.centered)
    elementwise = weight is not None and np.ndim(weight) > 1
    of_weight, of_bias = (unparameter(worker.host(p), elementwise, channel_axis) for p in parameters)
    of_weight = of_weight / root
    return Gradients(back(uncanonical(result, channel_axis)), of_weight, of_bias, worker.name)


def _start(
    x: Any, method: str, num_groups: int | None, channel_axis: int, backend: str | None
) -> tuple[Any, Pooling, Backend, Callable[[Any], Any]]:
    """Return x's canonical view, its pooling, who works on it, and the way back to x's kind of array."""
    array, worker, back = adopt(x, backend)
    view = canonical(array, channel_axis)
    return view, pooling(method, view.shape, num_groups), worker, back


def _measure(view: Any, pool: Pooling, worker: Backend, eps: float, given: Any = None) -> tuple[Any, Any]:
    """Mean and 1 / sqrt(var + eps) of every set, those of x or the given ones, shaped to broadcast against x."""
    if given is None:
        mean, var = mean_and_var(*worker.moments(view, pool.block), pool.size, find(pool.method).statistic)
    else:
        mean, var = map(worker.xp.asarray, given)
    with np.errstate(all="ignore"):
        return pool.spread(mean), pool.spread(1 / worker.xp.sqrt(var + eps))
