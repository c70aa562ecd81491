"""The NumPy backend: moments and the affine map, in blocks that fit the cache, on several threads."""

import math
from collections.abc import Iterable
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Backend, mean_and_m2, tile
from normviz.backends.cpu import affine, moments
from normviz.backends.cpu.strides import reading
from normviz.core.moments import merge_two


class NumPy(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    cells = 1 << 16  # 512 kB of float64, which stay in the second-level cache

    def __init__(self) -> None:
        super().__init__(np)

    def host(self, values: Any) -> np.ndarray:
        """Return the values as they are."""
        return np.asarray(values)

    def overlap(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Return whether b shares memory with a, other than by being the same cells in the same order."""
        if a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.itemsize == b.itemsize:
            return False
        try:
            return np.shares_memory(a, b, max_work=100_000)  # pyright: ignore[reportArgumentType]
        except np.exceptions.TooHardError:
            return True

    @np.errstate(all="ignore")
    def moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sum of squared deviations of every block of x, float64, in the shape of the grid."""
        tiles = tile(x, block)
        if math.prod(block) == 1:
            mean = x.astype(np.float64)
            return mean, mean - mean
        found = reading(tiles, frozenset(range(1, tiles.ndim, 2)))
        if found is None:  # no view has the axes in a usable order: copy box by box
            return super().moments(x, block)
        mean, m2 = (found.place(a) for a in _moments(found.view))
        odd = tuple(range(1, mean.ndim, 2))
        apart = math.prod(mean.shape[axis] for axis in odd)
        if apart > 1:  # parts of equal count: the sum of their M2, plus the count times the M2 of their means
            count = math.prod(block) // apart
            mean, between = mean_and_m2(mean, odd, np)
            m2 = m2.sum(axis=odd, keepdims=True) + count * between
        grid = tiles.shape[::2]
        return mean.reshape(grid), m2.reshape(grid)

    @np.errstate(all="ignore")
    def affine(self, x: np.ndarray, mean: Any, rstd: Any, weight: Any, bias: Any, out: np.ndarray) -> None:
        """Write (x - mean) * rstd * weight + bias; the parameters are float64 and broadcast against x."""
        work = np.float64 if out.dtype.itemsize == 8 else np.float32
        affine.apply(x, affine.steps(mean, rstd, weight, bias, work, x.size), out, work)


def _moments(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 over the last axis but one, on as many threads as the size is worth."""
    if view.ndim == 4:
        parts = [_moments(part) for part in view]
        return np.stack([mean for mean, _ in parts]), np.stack([m2 for _, m2 in parts])
    axis, cuts = _cuts(view.shape, threads.worthwhile(view.nbytes))
    parts = [view[(slice(None),) * axis + (slice(start, end),)] for start, end in cuts]
    done = threads.run(_over_middle_axis, parts)
    if axis == 1:
        return _merge((part.shape[1], *found) for part, found in zip(parts, done, strict=True))
    mean, m2 = (np.concatenate(a, axis=min(axis, 1)) for a in zip(*done, strict=True))
    return mean, m2


def _cuts(shape: tuple[int, ...], count: int) -> tuple[int, list[tuple[int, int]]]:
    """Divide (outer, length, inner) among `count` threads: return the axis with the least to merge, and the ranges."""
    outer, _, inner = shape
    axis = 0 if outer >= 4 * count or count == 1 else 2 if inner >= moments.STRIP * count else 1
    count = min(count, shape[axis])
    ends = [shape[axis] * i // count for i in range(count + 1)]
    return axis, list(pairwise(ends))


def _merge(parts: Iterable[tuple[int, Any, Any]]) -> tuple[Any, Any]:
    """Merge (count, mean, M2) of the parts of the same sets; return mean and M2."""
    _, mean, m2 = reduce(merge_two, parts)
    return mean, m2


def _over_middle_axis(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2, of shape (outer, inner), of (outer, length, inner), block by block on this thread."""
    outer, length, inner = view.shape
    workspace = moments.Workspace(moments.dtype_of_sums(view.dtype, length, inner))
    mean, m2 = np.empty((outer, inner)), np.empty((outer, inner))
    across = min(inner, moments.STRIP)
    cells = moments.CELLS * (moments.BLOCKS if inner == 1 and length >= moments.NARROW else 1)
    step = max(1, cells // (length * across))
    for a in range(0, outer, step):
        for b in range(0, inner, across):
            part, at = view[a : a + step, :, b : b + across], np.s_[a : a + step, b : b + across]
            if inner == 1:
                mean[a : a + step, 0], m2[a : a + step, 0] = _in_parts(part[..., 0], moments.of_rows, workspace)
            else:
                mean[at], m2[at] = _in_parts(part, moments.of_columns, workspace)
    return mean, m2


def _in_parts(block: np.ndarray, moments_of: Any, workspace: moments.Workspace) -> tuple[Any, Any]:
    """Return mean and M2 over axis 1 of a block, which is read in parts if it does not fit the cache."""
    length = block.shape[1]
    across = block.size // length if block.ndim == 3 else 1  # rows are read one by one, columns side by side
    step = max(1, moments.CELLS // across)
    if length <= step:
        return moments_of(block, workspace)
    parts = (block[:, start : start + step] for start in range(0, length, step))
    return _merge((part.shape[1], *moments_of(part, workspace)) for part in parts)
