"""Count, mean and M2 of parts of pooling sets, in structured arrays that can be cut, merged and sent."""

import math
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from normviz.arrays.paths import box_moments
from normviz.backends.base import Backend
from normviz.core.methods import Method
from normviz.core.moments import Moments, as_statistics, merge, merge_two
from normviz.core.pooling import Pooling
from normviz.core.statistics import Statistics

T = TypeVar("T")
PART = np.dtype([("count", "f8"), ("mean", "f8"), ("m2", "f8")])
"""The moments of one part of a set."""
WHOLE = sys.maxsize
"""The extent of an axis that is merged whole, however long it turns out to be."""
FAR = 1e300
"""Smaller numbers have a difference that does not overflow."""
Extents = Callable[[tuple[int, ...]], tuple[int, ...]]
"""From the shape (N, C, *spatial) to how many cells along each axis are merged while x is read; see `extents_of`."""


class PartialMoments(NamedTuple):
    """What a reading returns.

    `moments` is an array of PART, one for each block of `extents_of`; `shape` is (N, C, *spatial) of all that was read.
    `backend` names the one that computed; the last one, if NumPy took over from a GPU without memory.
    """

    moments: np.ndarray
    shape: tuple[int, ...]
    backend: str


def extents_of(
    row: Method, shape: Sequence[int], num_groups: int | None, at_once: Collection[int] = ()
) -> tuple[int, ...]:
    """Return how many cells along each axis are merged while x is read: WHOLE axes, a group, or one cell.

    Groups along the axes `at_once` are merged while x is read, and so are groups of channels within a position, where
    the moments of single channels would be as many as the cells of x. `finish` merges the others.
    """
    axes = (0, 1) if within_positions(row) else at_once
    group = [shape[axis] // (num_groups or 1) if axis in axes else 1 for axis in range(2)]
    spatial = [WHOLE if row.spatial == "all" else 1] * (len(shape) - 2)
    return *({"all": WHOLE, "group": group[a], "one": 1}[e] for a, e in enumerate((row.n, row.c))), *spatial


def within_positions(row: Method) -> bool:
    """Return whether the sets are groups of channels within one position."""
    return row.c == "group" and row.spatial == "one"


def in_order(items: Sequence[T], channel_axis: int) -> tuple[T, ...]:
    """Return one item for each axis of x in the order of `canonical`: (N, C, *spatial)."""
    first, *others = (item for axis, item in enumerate(items) if axis != channel_axis % len(items))
    return first, items[channel_axis], *others


def measure(view: Any, worker: Backend, extents: tuple[int, ...], insists: bool) -> tuple[np.ndarray, Backend]:
    """Return the moments of every block of `extents` in a canonical view, and the backend.

    NumPy takes over if the GPU has no memory left, unless the caller `insists` on it. The view is not asked for again,
    so this also holds for chunks that can be read only once.
    """
    block = tuple(map(min, extents, view.shape))
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


class Merged:
    """The moments of parts of the same sets, merged one after the other.

    The sums run relative to the means of the first part. Otherwise the mean would be rounded at every part, and of
    1000 parts of 1e8 +- 1e-2 the variance would keep 7 digits.
    """

    def __init__(self) -> None:
        self.parts = np.zeros(0, PART)
        self.origin = np.zeros(0)

    def add(self, part: np.ndarray) -> None:
        """Merge one more part."""
        if not self.parts.size:
            # Where it is not finite or so large that a difference could overflow, 0 takes its place.
            self.origin = np.where(abs(part["mean"]) < FAR, part["mean"], 0.0)
        part["mean"] -= self.origin
        self.parts = join(self.parts, part) if self.parts.size else part

    def get(self) -> np.ndarray:
        """Return the moments of all parts."""
        self.parts["mean"] += self.origin
        return self.parts


def join_along(parts: np.ndarray, axis: tuple[int, ...], keepdims: bool = True) -> np.ndarray:
    """Merge all moments along the axes `axis`, which keep length 1."""
    for a in axis:
        merged = Merged()
        for part in np.split(parts.copy(), parts.shape[a], axis=a):
            merged.add(part)
        parts = merged.get()
    return parts


def as_moments(parts: np.ndarray, backend: str) -> Moments:
    """Return parts that span all spatial axes as Moments."""
    mean, m2 = (parts[name].reshape(parts.shape[:2]) for name in ("mean", "m2"))
    return Moments(count=int(parts["count"].flat[0]), mean=mean, m2=m2, backend=backend)


@np.errstate(all="ignore")
def finish(parts: np.ndarray, pool: Pooling, backend: str) -> Statistics:
    """Return the statistics of `pool` from the moments of blocks of `extents_of`, or of parts of them."""
    (N, C), (rows, columns) = parts.shape[:2], pool.grid[:2]
    n, c = N // rows, C // columns  # how many parts of each set are left, along the samples and the channels
    count = int(parts["count"].flat[0])
    mean, m2 = (np.moveaxis(parts[name].reshape(N, C, -1), -1, 0).reshape(-1, C) for name in ("mean", "m2"))
    mean, m2 = (np.moveaxis(a.reshape(-1, rows, columns), 0, -1) for a in merge(mean, m2, count, (n, c)))
    return as_statistics(mean, m2, n * c * count, pool, backend)
