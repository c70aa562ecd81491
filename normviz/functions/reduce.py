"""Moments and statistics of anything: an array, a file, chunks or a dask array."""

from typing import Any

import numpy as np

from normviz.arrays.paths import box_moments
from normviz.arrays.request import resolve
from normviz.backends.placement import on_the_device_of_x
from normviz.core.array_kinds import source
from normviz.core.errors import check_keywords
from normviz.core.moments import Moments, as_statistics
from normviz.core.statistics import Statistics, trusted
from normviz.streaming import read


@check_keywords
@on_the_device_of_x
def moments(
    x: Any,
    *,
    channel_axis: int = 1,
    backend: str | None = None,
    progress: bool | None = None,
    key: str | None = None,
) -> Moments:
    """Return the moments of every (sample, channel) of x, from one pass.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5: NumPy, CuPy, torch, JAX, or a nested list. Or a source of its
        parts (see `normviz.streaming`): the path of a .npy, .npz or .safetensors file, an open one, an iterable of
        chunks along N, a dask array. The moments of a file need 40 bytes of memory for each (sample, channel);
        `statistics(path, method)` needs that for each of its sets only, for "batch" for each channel.
    channel_axis
        Where C is.
    backend
        "numpy", "compiled" or "cupy" to insist; None lets the array's type and size decide.
    progress
        Whether to draw a progress bar for files and iterables. None draws one in a terminal or a notebook once the
        reading takes longer than two seconds.
    key
        The name of an array of a .npz or .safetensors file; None if it holds one.

    Raises
    ------
    ValueError, TypeError
        If x has not 2 to 5 axes, has an empty one, holds no real numbers, or has no such channel_axis.

    Examples
    --------
    >>> moments(np.ones((2, 3, 4, 4)))
    Moments(count=16, mean: (2, 3), m2: (2, 3), backend='numpy')
    """
    if type(x) is not np.ndarray and source(x):
        return read.moments(x, channel_axis, backend, progress, key)
    read.refuse_key(key)
    request = resolve(x, "instance", None, channel_axis, backend)
    mean, m2, worker = box_moments(request.view, request.worker, request.pool.block, request.insists)
    shape = request.pool.shape[:2]
    count = request.pool.size
    return trusted(Moments, count=count, mean=mean.reshape(shape), m2=m2.reshape(shape), backend=worker.name)


@check_keywords
def sweep(
    x: Any,
    *,
    channel_axis: int = 1,
    backend: str | None = None,
    progress: bool | None = None,
    key: str | None = None,
) -> dict[tuple[str, int | None], Statistics]:
    """Return the statistics of batch, layer, instance and every group from one pass: `moments(x).sweep()`.

    >>> sweep(np.ones((2, 4, 3)))["group", 2]
    Statistics(mean: (2, 2), var: (2, 2), count=6, backend='numpy')
    """
    return moments(x, channel_axis=channel_axis, backend=backend, progress=progress, key=key).sweep()


@check_keywords
@on_the_device_of_x
def statistics(
    x: Any,
    method: str,
    *,
    num_groups: int | None = None,
    channel_axis: int = 1,
    backend: str | None = None,
    progress: bool | None = None,
    key: str | None = None,
) -> Statistics:
    """Return the mean and the biased variance of every pooling set of x.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5; or a file, chunks or a dask array, as `normviz.moments` takes.
    method
        A key of METHODS.
    num_groups
        G, for "group" (groups of channels), "per_head" and "per_head_rms" (heads) and "ghost" (slices of the batch).
    channel_axis
        Where C is: -1 for (N, H, W, C) images and (batch, tokens, features). For weights, where Cin is; Cout is then
        the first of the other axes; transpose Keras's (kH, kW, Cin, Cout) first, w.transpose(3, 2, 0, 1).
    backend
        "numpy", "compiled" or "cupy" to insist; None lets the array's type and size decide.
    progress, key
        As in `normviz.moments`.

    Returns
    -------
    Statistics
        (C,) for batch, (N,) for layer, (N, C) for instance and frn, (N, G) for group, (N, *spatial) for positional and
        rms, (N, G, *spatial) for per_head and per_head_rms, (G, C) for ghost, (Cout,) for weight_norm and
        weight_standardization.

    Examples
    --------
    >>> statistics([[[2.0, 3.0], [5.0, 7.0]]], "layer").mean
    array([4.25])
    """
    if type(x) is not np.ndarray and source(x):
        return read.statistics(x, method, num_groups, channel_axis, backend, progress, key)
    read.refuse_key(key)
    request = resolve(x, method, num_groups, channel_axis, backend)
    mean, m2, worker = box_moments(request.view, request.worker, request.pool.block, request.insists)
    return as_statistics(mean, m2, request.pool.size, request.pool, worker.name)
