"""Count, mean and M2 of parts of pooling sets, in structured arrays that can be cut, merged and sent."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from normviz.arrays.paths import box_moments
from normviz.backends.base import Backend
from normviz.core.moments import Moments, as_statistics, merge_two
from normviz.core.pooling import Pooling
from normviz.core.statistics import Statistics

T = TypeVar("T")
PART = np.dtype([("count", "f8"), ("mean", "f8"), ("m2", "f8")])
"""The moments of one part of a set."""
Axes = Callable[[tuple[int, ...]], tuple[int, ...]]
"""From the shape (N, C, *spatial) to the axes that the method pools whole."""


class PartialMoments(NamedTuple):
    """What a reading returns.

    `moments` is an array of PART, of length 1 along the axes that are pooled whole; `shape` is (N, C, *spatial) of all
    that was read. `backend` names the one that computed; the last one, if NumPy took over from a GPU without memory.
    """

    moments: np.ndarray
    shape: tuple[int, ...]
    backend: str


def in_order(items: Sequence[T], channel_axis: int) -> tuple[T, ...]:
    """Return one item for each axis of x in the order of `canonical`: (N, C, *spatial)."""
    first, *others = (item for axis, item in enumerate(items) if axis != channel_axis % len(items))
    return first, items[channel_axis], *others


def measure(view: Any, worker: Backend, axis: tuple[int, ...], insists: bool) -> tuple[np.ndarray, Backend]:
    """Return the moments of a canonical view over the axes `axis`, which keep length 1, and the backend.

    NumPy takes over if the GPU has no memory left, unless the caller `insists` on it. The view is not asked for again,
    so this also holds for chunks that can be read only once.
    """
    block = tuple(n if a in axis else 1 for a, n in enumerate(view.shape))
    mean, m2, worker = box_moments(view, worker, block, insists)
    return packed(math.prod(block), mean, m2), worker


def packed(count: Any, mean: Any, m2: Any) -> np.ndarray:
    """Return count, mean and M2 as one array of PART."""
    parts = np.empty(np.shape(mean), PART)
    parts["count"], parts["mean"], parts["m2"] = count, mean, m2
    return parts


@np.errstate(all="ignore")
def join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Merge the moments of disjoint parts of the same sets."""
    return packed(*merge_two((a["count"], a["mean"], a["m2"]), (b["count"], b["mean"], b["m2"])))


def join_along(parts: np.ndarray, axis: tuple[int, ...], keepdims: bool = True) -> np.ndarray:
    """Merge all moments along the axes `axis`, which keep length 1."""
    for a in axis:
        joined, *others = np.split(parts, range(1, parts.shape[a]), axis=a)
        for other in others:
            joined = join(joined, other)
        parts = joined
    return parts


def as_moments(parts: np.ndarray, backend: str) -> Moments:
    """Return parts that span all spatial axes as Moments."""
    mean, m2 = (parts[name].reshape(parts.shape[:2]) for name in ("mean", "m2"))
    return Moments(count=int(parts["count"].flat[0]), mean=mean, m2=m2, backend=backend)


def finish(parts: np.ndarray, pool: Pooling, backend: str) -> Statistics:
    """Return the statistics of `pool` from the moments over its `Pooling.pooled_axes`."""
    if pool.row.has_groups:
        return as_moments(parts, backend).pool(pool.method, pool.num_groups)
    return as_statistics(parts["mean"], parts["m2"], int(parts["count"].flat[0]), pool, backend)
