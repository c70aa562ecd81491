"""Moments and statistics of anything: an array, a file, chunks or a dask array."""

from typing import Any

import numpy as np

from normviz.arrays import small_arrays as direct
from normviz.backends.cuda.oom import falls_back
from normviz.backends.dispatch import adopt
from normviz.core.errors import check_keywords
from normviz.core.moments import Moments, as_statistics
from normviz.core.pooling import canonical, pooling
from normviz.core.sources import source
from normviz.core.statistics import Statistics, made
from normviz.functions.resolve import start


@check_keywords
@falls_back
def moments(x: Any, *, channel_axis: int = 1, backend: str | None = None, progress: bool | None = None) -> Moments:
    """Return the moments of every (sample, channel) of x, from one pass.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5: NumPy, CuPy, torch, JAX, or a nested list. Or what gives it in
        parts, as `normviz.streaming` says: the path of a .npy file, an open file, an iterable of chunks along N, a dask
        array.
    channel_axis
        Where C is.
    backend
        "numpy" or "cupy" to insist; None asks the array.
    progress
        A bar, for files and iterables: True, False, or None for one once it takes long and somebody looks.

    Raises
    ------
    ValueError, TypeError
        As `normviz.core.pooling.canonical`.

    Examples
    --------
    >>> moments(np.ones((2, 3, 4, 4)))
    Moments(count=16, mean: (2, 3), m2: (2, 3), backend='numpy')
    """
    if type(x) is not np.ndarray and source(x):
        from normviz.streaming import read as streaming  # which needs this module

        return streaming.moments(x, channel_axis, backend, progress)
    if direct.takes(x, backend):
        view = direct.view(x, channel_axis)
        how = direct.plan("instance", None, view.shape)
        _, mean, m2 = direct.measure(view, how)
        shape = view.shape[:2]
        return made(Moments, count=how.rows[1], mean=mean.reshape(shape), m2=m2.reshape(shape), backend="numpy")
    array, worker, _ = adopt(x, backend)
    view = canonical(array, channel_axis)
    pool = pooling("instance", view.shape)
    mean, m2 = (worker.host(a).reshape(view.shape[:2]) for a in worker.moments(view, pool.block))
    return made(Moments, count=pool.size, mean=mean, m2=m2, backend=worker.name)


@check_keywords
def sweep(
    x: Any, *, channel_axis: int = 1, backend: str | None = None, progress: bool | None = None
) -> dict[tuple[str, int | None], Statistics]:
    """Return the statistics of batch, layer, instance and every group from one pass: `moments(x).sweep()`.

    >>> sweep(np.ones((2, 4, 3)))["group", 2]
    Statistics(mean: (2, 2), var: (2, 2), count=6, backend='numpy')
    """
    return moments(x, channel_axis=channel_axis, backend=backend, progress=progress).sweep()


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
        from normviz.streaming import read as streaming  # which needs this module

        return streaming.statistics(x, method, num_groups, channel_axis, backend, progress)
    view, pool, worker, _ = start(x, method, num_groups, channel_axis, backend)
    mean, m2 = map(worker.host, worker.moments(view, pool.block))
    return as_statistics(mean, m2, pool.size, pool, worker.name)
