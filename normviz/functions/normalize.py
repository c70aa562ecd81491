"""Statistics, normalize, gradient: every method by the one recipe."""

from typing import Any

import numpy as np

from normviz.arrays import small_arrays as direct
from normviz.arrays.arguments import check_eps, check_statistics, parameter, target, uncanonical
from normviz.backends.cuda.oom import falls_back
from normviz.backends.dispatch import kind, load
from normviz.core.errors import check_keywords
from normviz.core.sources import source
from normviz.core.statistics import Statistics
from normviz.functions.resolve import measure, start
from normviz.functions.running import RunningStatistics


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
        from normviz.streaming import dask_arrays as lazy  # which needs this module

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
    view, pool, worker, back = start(x, method, num_groups, channel_axis, backend)
    gamma, beta = (parameter(p, name, pool, channel_axis) for name, p in (("weight", weight), ("bias", bias)))
    gamma, beta = (p if p is None else worker.xp.asarray(p) for p in (gamma, beta))
    given = check_statistics(statistics, pool)
    y, shared = target(out, x, view, worker, channel_axis)

    mean, rstd = measure(view, pool, worker, eps, given)
    worker.affine(view, mean, rstd, gamma, beta, y)
    if shared:
        return out
    result = back(uncanonical(y, channel_axis))
    if out is None:
        return result
    (out.detach() if kind(out) == "torch" else out)[...] = result
    return out
