"""Atoms: count, mean and M2 of parts of pooling sets, in structured arrays that can be cut, joined and sent."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from normviz.backends.dispatch import adopt
from normviz.backends.threads import at_most
from normviz.core.methods import find
from normviz.core.moments import Moments, as_statistics
from normviz.core.pooling import Pooling, canonical
from normviz.core.statistics import Statistics

T = TypeVar("T")
ATOM = np.dtype([("count", "f8"), ("mean", "f8"), ("m2", "f8")])


def pooled_axes(method: str, rank: int) -> tuple[int, ...]:
    """Return the axes that a method pools whole; along one that it cuts into groups the atoms are kept apart."""
    row = find(method)
    extents = (row.n, row.c, *[row.spatial] * (rank - 2))
    return tuple(axis for axis, extent in enumerate(extents) if extent == "all")


def in_order(items: Sequence[T], channel_axis: int) -> tuple[T, ...]:
    """Return what there is one of for every axis of x in the order of `canonical`: (N, C, *spatial)."""
    first, *others = (item for axis, item in enumerate(items) if axis != channel_axis % len(items))
    return first, items[channel_axis], *others


def measure(x: Any, axis: tuple[int, ...], backend: str | None) -> np.ndarray:
    """Return the atoms of x, (N, C, *spatial), over the axes `axis`, which are kept with length 1."""
    array, worker, _ = adopt(x, backend)
    view = canonical(array)
    block = tuple(n if a in axis else 1 for a, n in enumerate(view.shape))
    mean, m2 = map(worker.host, worker.moments(view, block))
    atoms = np.empty(mean.shape, ATOM)
    atoms["count"], atoms["mean"], atoms["m2"] = math.prod(block), mean, m2
    return atoms


def measure_part(part: Any, axis: tuple[int, ...], keepdims: bool = True, backend: str | None = None) -> np.ndarray:
    """Return the atoms of one chunk of a dask array, on one thread: dask works on several chunks at once."""
    if not part.size:
        return np.zeros([1 if a in axis else n for a, n in enumerate(part.shape)], ATOM)
    with at_most(1):
        return measure(part, axis, backend)


@np.errstate(all="ignore")
def join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Merge the atoms of disjoint parts of the same sets (Chan, Golub & LeVeque 1983)."""
    joined = np.empty(np.broadcast_shapes(a.shape, b.shape), ATOM)
    joined["count"] = count = a["count"] + b["count"]
    share = b["count"] / np.maximum(count, 1)
    delta = b["mean"] - a["mean"]
    joined["mean"] = a["mean"] + delta * share
    # Where a is empty its count is multiplied in first: a square of 1e200 would be infinite, and infinity times 0 NaN.
    joined["m2"] = a["m2"] + b["m2"] + delta * (a["count"] * share) * delta
    return joined


def join_along(atoms: np.ndarray, axis: tuple[int, ...], keepdims: bool = True) -> np.ndarray:
    """Merge all atoms along the axes `axis`, which are kept with length 1."""
    for a in axis:
        joined, *others = np.split(atoms, range(1, atoms.shape[a]), axis=a)
        for other in others:
            joined = join(joined, other)
        atoms = joined
    return atoms


def as_moments(atoms: np.ndarray, backend: str) -> Moments:
    """Return the Moments that atoms over all spatial axes are."""
    shape = atoms.shape[:2]
    return Moments(
        count=int(atoms["count"].flat[0]),
        mean=atoms["mean"].reshape(shape),
        m2=atoms["m2"].reshape(shape),
        backend=backend,
    )


def finish(atoms: np.ndarray, pool: Pooling, backend: str) -> Statistics:
    """Return the statistics of `pool` from the atoms over its `pooled_axes`."""
    if find(pool.method).has_groups:
        return as_moments(atoms, backend).pool(pool.method, pool.num_groups)
    return as_statistics(atoms["mean"], atoms["m2"], int(atoms["count"].flat[0]), pool, backend)
