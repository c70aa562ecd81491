"""Dask arrays: every chunk is measured where it is, and what is left of it merged in a tree, by dask's own scheduler.

dask is imported only once a dask array has come in, so it is there.
"""

import sys
from functools import partial
from typing import Any

import numpy as np

from normviz.arrays.arguments import check_eps, check_statistics, parameter, result_dtype, uncanonical
from normviz.backends.dispatch import backend_for, is_bfloat16
from normviz.backends.threads import at_most
from normviz.core.methods import find
from normviz.core.pooling import Pooling, canonical, pooling
from normviz.core.statistics import Statistics
from normviz.functions.normalize import normalize as normalize_array
from normviz.streaming.chunks import Axes
from normviz.streaming.partial_moments import ATOM, finish, join_along, measure_part, pooled_axes

SET = np.dtype([("mean", "f8"), ("var", "f8")])


def read(x: Any, axes_of: Axes, channel_axis: int, backend: str | None) -> tuple[np.ndarray, tuple[int, ...], str]:
    """Return the atoms over `axes_of(shape)`, the shape (N, C, *spatial), and who computed them."""
    view = _canonical(x, channel_axis)
    worker = backend_for(x._meta, backend)
    atoms = _atoms(view, axes_of(view.shape), worker)
    return atoms.compute(), view.shape, worker


def normalize(
    x: Any,
    method: str,
    num_groups: int | None,
    weight: Any,
    bias: Any,
    eps: float,
    statistics: Any,
    out: Any,
    channel_axis: int,
    backend: str | None,
) -> Any:
    """Return a dask array with the chunks of x; see `normviz.normalize`.

    Nothing is computed, but every argument is checked. Where sets reach over several samples dask keeps the chunks of
    all of them until their statistics are known; of what does not fit into memory take the statistics first,
    `statistics=nv.statistics(x, "batch")`, which reads x once more.
    """
    if out is not None:
        raise TypeError("out is of no use with a dask array, whose result is lazy; leave it out")
    view = _canonical(x, channel_axis)
    pool, eps = pooling(method, view.shape, num_groups), check_eps(eps)
    gamma, beta = (
        None if given is None else _beside(parameter(given, name, pool, channel_axis, 0.0), view)
        for name, given in (("weight", weight), ("bias", bias))
    )
    given = check_statistics(statistics, pool)
    worker = backend_for(x._meta, backend)
    if given is None:
        sets = _sets(_atoms(view, pooled_axes(method, view.ndim), worker), pool, view)
    else:
        mean, var = map(pool.spread, given)
        sets = np.empty(mean.shape, SET)
        sets["mean"], sets["var"] = mean, var
        sets = _beside(sets, view)
    dtype = result_dtype(view)
    # A chunk may cut a group, so groups' sets are given by sample and channel, as Instance Norm's are.
    method = "instance" if find(method).has_groups else method
    part = partial(_normalize_part, method=method, dtype=dtype, eps=eps, backend=worker)
    y = _dask_array().map_blocks(part, view, sets, gamma, beta, dtype=dtype, meta=view._meta.astype(dtype))
    y = uncanonical(y, channel_axis)
    return y.astype(x.dtype) if is_bfloat16(x) else y


def _canonical(x: Any, channel_axis: int) -> Any:
    if np.isnan(x.shape).any():
        raise ValueError(f"x has chunks of unknown size, shape {x.shape}; call x.compute_chunk_sizes() first")
    return canonical(x.astype(np.float32) if is_bfloat16(x) else x, channel_axis)


def _atoms(view: Any, axes: tuple[int, ...], worker: str) -> Any:
    """Return the atoms over `axes`, which are kept with length 1, as a dask array."""
    measure = partial(measure_part, backend=worker)
    meta = np.empty([0] * view.ndim, ATOM)
    if not axes:
        return view.map_blocks(measure, axis=axes, dtype=ATOM, meta=meta)
    return _dask_array().reduction(view, measure, join_along, axis=axes, keepdims=True, dtype=ATOM, meta=meta)


def _sets(atoms: Any, pool: Pooling, view: Any) -> Any:
    """Return the mean and variance of every set, shaped to broadcast against x chunk by chunk."""
    if find(pool.method).has_groups:
        atoms = atoms.rechunk({find(pool.method).grouped_axis: -1})
    sets = atoms.map_blocks(
        _sets_of_part, pool.method, pool.num_groups, dtype=SET, meta=np.empty([0] * atoms.ndim, SET)
    )
    return sets.rechunk({axis: cut for axis, cut in enumerate(view.chunks) if sets.shape[axis] > 1})


def _sets_of_part(atoms: np.ndarray, method: str, num_groups: int | None) -> np.ndarray:
    sets = np.empty(atoms.shape, SET)
    if atoms.size:
        pool = pooling(method, atoms.shape, num_groups)
        found = finish(atoms, pool, "numpy")
        sets["mean"], sets["var"] = pool.spread(found.mean), pool.spread(found.var)
    return sets


def _normalize_part(
    part: Any,
    sets: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    *,
    method: str,
    dtype: Any,
    **options: Any,
) -> Any:
    if not part.size:
        return part.astype(dtype)
    pool, axis = pooling(method, part.shape), find(method).affine_axis
    mean, var = (np.broadcast_to(sets[name], pool.grid).reshape(pool.statistics_shape) for name in ("mean", "var"))
    own = Statistics(mean=mean, var=var, count=pool.size)
    weight, bias = (p if p is None or p.size > p.shape[axis] else p.ravel() for p in (gamma, beta))
    weight, bias = (p if p is None or p.ndim == 1 else p[0] for p in (weight, bias))
    with at_most(1):
        return normalize_array(part, method, weight=weight, bias=bias, statistics=own, **options)


def _beside(values: np.ndarray, view: Any) -> Any:
    """Return a dask array of what broadcasts against x, cut as x is."""
    chunks = tuple(cut if n > 1 else (1,) for n, cut in zip(values.shape, view.chunks, strict=True))
    return _dask_array().from_array(values, chunks=chunks)


def _dask_array() -> Any:
    return sys.modules["dask.array"]
