"""Dask arrays: dask's own scheduler measures every chunk where it is, and merges the moments in a tree.

A dask array has come in before anything here runs, so dask is among the loaded modules.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from normviz.arrays.arguments import result_dtype, uncanonical
from normviz.arrays.paths import compute
from normviz.arrays.request import Request, resolve
from normviz.arrays.request import take as take_array
from normviz.backends.base import Backend
from normviz.backends.dispatch import BACKENDS, backend_for, load
from normviz.backends.placement import place
from normviz.backends.threads import at_most
from normviz.core.array_kinds import is_bfloat16, on_gpu, widened
from normviz.core.pooling import Pooling, canonical, pooling
from normviz.core.statistics import Statistics
from normviz.streaming.partial_moments import (
    PART,
    WHOLE,
    Extents,
    PartialMoments,
    extents_of,
    finish,
    join_along,
    measure,
    within_positions,
)

SET = np.dtype([("mean", "f8"), ("var", "f8")])


def read(x: Any, extents_of: Extents, channel_axis: int, backend: str | None) -> PartialMoments:
    """Return the moments of a dask array in blocks of `extents_of(shape)`."""
    view, worker, _ = take(x, channel_axis, backend)
    moments = _moments(view, extents_of(view.shape), worker.name, backend is not None)
    return PartialMoments(moments.compute(), view.shape, worker.name)


def take(x: Any, channel_axis: int, backend: str | None, out: Any = None) -> tuple[Any, Backend, Callable[[Any], Any]]:
    """Return the canonical view of a dask array, the backend of its chunks, and the way back to its dtype."""
    if out is not None:
        raise TypeError("out is of no use with a dask array, whose result is lazy; leave it out")
    if np.isnan(x.shape).any():
        raise ValueError(f"x has chunks of unknown size, shape {x.shape}; call x.compute_chunk_sizes() first")
    view = canonical(widened(x), channel_axis)
    # The size of the largest chunk decides for all of them, so that no digit depends on where a chunk ends.
    chunk = x._meta if on_gpu(x._meta) else np.broadcast_to(np.zeros((), x.dtype), x.chunksize)
    return view, load(backend_for(chunk, backend)), lambda y: y.astype(x.dtype) if is_bfloat16(x) else y


def normalize(request: Request) -> Any:
    """Return a dask array with the chunks of x; see `normviz.normalize`.

    Nothing is computed yet. Where sets span several samples, dask keeps the chunks of all of them until their
    statistics are known. For an array larger than memory compute the statistics first and pass them,
    `statistics=nv.statistics(x, "batch")`, which reads x once more.
    """
    pool, cut, within = request.pool, request.view.chunks, within_positions(request.pool.row)
    view = _with_whole_groups(request.view) if within else request.view
    gamma, beta = (None if p is None else _beside(p, view) for p in (request.weight, request.bias))
    if request.given is None:
        extents = extents_of(pool.row, view.shape, pool.num_groups)
        sets = _sets(_moments(view, extents, request.worker.name, request.insists), pool, view)
    else:
        mean, var = (p.reshape(pool.grid) if within else pool.spread(p) for p in request.given)
        sets = np.empty(mean.shape, SET)
        sets["mean"], sets["var"] = mean, var
        sets = _beside(sets, view)
    dtype = result_dtype(view)
    # A chunk may cut a group, so groups' sets are given by sample and channel, as Instance Norm's are. Only chunks that
    # were made to hold whole groups keep them.
    method, groups = ("instance", None) if pool.row.has_groups and not within else (pool.method, pool.num_groups)
    options = {"eps": request.eps, "backend": request.worker.name, "insists": request.insists}
    part = partial(_normalize_part, method=method, num_groups=groups, dtype=dtype, **options)
    y = _dask_array().map_blocks(part, view, sets, gamma, beta, dtype=dtype, meta=view._meta.astype(dtype))
    return request.back(uncanonical(y.rechunk(cut), request.channel_axis))


def _with_whole_groups(view: Any) -> Any:
    """Return the array with all channels in each chunk, so that no chunk cuts a group of them."""
    return view.rechunk({1: -1})


def _moments(view: Any, extents: tuple[int, ...], backend: str, insists: bool) -> Any:
    meta = np.empty([0] * view.ndim, PART)
    of_part = partial(_moments_of_part, extents=extents, backend=backend, insists=insists)
    axes = tuple(axis for axis, extent in enumerate(extents) if extent == WHOLE)
    if extents[1] not in (1, WHOLE):  # groups of channels; nothing is merged across the chunks
        view = _with_whole_groups(view)
        chunks = tuple((view.shape[1] // extents[1],) if a == 1 else cut for a, cut in enumerate(view.chunks))
        return view.map_blocks(of_part, chunks=chunks, dtype=PART, meta=meta)
    if not axes:
        return view.map_blocks(of_part, dtype=PART, meta=meta)
    return _dask_array().reduction(view, of_part, join_along, axis=axes, keepdims=True, dtype=PART, meta=meta)


def _moments_of_part(
    part: Any, axis: Any = None, keepdims: bool = True, *, extents: tuple[int, ...], backend: str, insists: bool
) -> np.ndarray:
    """Return the moments of one chunk, on one thread, because dask works on several chunks at once."""
    if not part.size:
        return np.zeros([1 if e == WHOLE else n // e for n, e in zip(part.shape, extents, strict=True)], PART)
    with at_most(1), place(part, backend):
        view, worker, _ = take_array(part, 1, _here(backend, insists))
        return measure(view, worker, extents, insists)[0]


def _here(backend: str, insists: bool) -> str:
    """Return the backend; or NumPy on a worker that lacks it, if the caller does not insist on it."""
    return backend if insists or BACKENDS[backend].problem() is None else "numpy"


def _sets(moments: Any, pool: Pooling, view: Any) -> Any:
    """Return the mean and variance of every set, in a shape that broadcasts against x chunk by chunk."""
    if pool.row.has_groups:
        moments = moments.rechunk({pool.row.grouped_axis: -1})
    meta = np.empty([0] * moments.ndim, SET)
    sets = moments.map_blocks(_sets_of_part, pool.method, pool.num_groups, dtype=SET, meta=meta)
    return sets.rechunk({axis: cut for axis, cut in enumerate(view.chunks) if sum(cut) == sets.shape[axis]})


def _sets_of_part(moments: np.ndarray, method: str, num_groups: int | None) -> np.ndarray:
    sets = np.empty(moments.shape, SET)
    if moments.size:
        pool = pooling(method, moments.shape, num_groups)
        found = finish(moments, pool, "numpy")
        sets["mean"], sets["var"] = pool.spread(found.mean), pool.spread(found.var)
    return sets


def _normalize_part(
    part: Any, sets: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
    method: str, num_groups: int | None, dtype: Any, eps: float, backend: str, insists: bool,
) -> Any:  # fmt: skip
    if not part.size:
        return part.astype(dtype)
    pool = pooling(method, part.shape, num_groups)
    axis = pool.row.affine_axis
    mean, var = (np.broadcast_to(sets[name], pool.grid).reshape(pool.statistics_shape) for name in ("mean", "var"))
    own = Statistics(mean=mean, var=var, count=pool.size)
    weight, bias = (p if p is None or p.size > p.shape[axis] else p.ravel() for p in (gamma, beta))
    weight, bias = (p if p is None or p.ndim == 1 else p[0] for p in (weight, bias))
    with at_most(1), place(part, backend):
        request = resolve(
            part, method, num_groups, 1, _here(backend, insists), weight=weight, bias=bias, eps=eps, statistics=own
        )
        return compute("normalize", request._replace(insists=insists))


def _beside(values: np.ndarray, view: Any) -> Any:
    """Return an array with an entry for each cell, or for each set, along every axis as a dask array, cut as x is."""
    chunks = tuple(cut if sum(cut) == n else (n,) for n, cut in zip(values.shape, view.chunks, strict=True))
    return _dask_array().from_array(values, chunks=chunks)


def _dask_array() -> Any:
    return sys.modules["dask.array"]
