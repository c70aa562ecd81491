"""The recipe on NumPy, in cache-sized blocks on several threads."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Backend, mean_and_m2, tile
from normviz.backends.cpu import affine as scaling
from normviz.backends.cpu import moments as passes
from normviz.backends.cpu.strides import reading


class NumPy(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    cells = 1 << 16  # 512 kB of float64: a box stays in the second-level cache through its passes

    def __init__(self) -> None:
        super().__init__(np)

    def host(self, values: Any) -> np.ndarray:
        """Return the values as they are."""
        return np.asarray(values)

    def overlap(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Whether b shares memory with a, other than by being the very same cells in the same order."""
        if a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.itemsize == b.itemsize:
            return False
        try:
            return np.shares_memory(a, b, max_work=100_000)  # pyright: ignore[reportArgumentType]
        except np.exceptions.TooHardError:
            return True

    @np.errstate(all="ignore")
    def moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sum of squared deviations of every block of x, float64, in the shape of the grid."""
        tiles = tile(x, block)
        if math.prod(block) == 1:
            mean = x.astype(np.float64)
            return mean, mean - mean
        found = reading(tiles, frozenset(range(1, tiles.ndim, 2)))
        if found is None:  # strides without a plan: the recipe copies box by box
            return super().moments(x, block)
        mean, m2 = (found.place(a) for a in _moments(found.view))
        odd = tuple(range(1, mean.ndim, 2))
        apart = math.prod(mean.shape[axis] for axis in odd)
        if apart > 1:  # parts of equal count: M2 within them, plus the count times the M2 of their means
            count = math.prod(block) // apart
            mean, between = mean_and_m2(mean.copy(), odd, np)
            m2 = m2.sum(axis=odd, keepdims=True) + count * between
        grid = tiles.shape[::2]
        return mean.reshape(grid), m2.reshape(grid)

    @np.errstate(all="ignore")
    def affine(self, x: np.ndarray, mean: Any, rstd: Any, weight: Any, bias: Any, out: np.ndarray) -> None:
        """Write (x - mean) * rstd * weight + bias; the parameters are float64 and broadcast against x."""
        work = np.float64 if out.dtype.itemsize == 8 else np.float32
        scaling.apply(x, scaling.steps(mean, rstd, weight, bias, work, x.size), out, work)


def _moments(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and M2 over the last axis but one, on as many threads as the size is worth."""
    if view.ndim == 4:
        parts = [_moments(part) for part in view]
        return np.stack([mean for mean, _ in parts]), np.stack([m2 for _, m2 in parts])
    axis, cuts = _cuts(view.shape, threads.worthwhile(view.nbytes))
    parts = [view[(slice(None),) * axis + (slice(a, b),)] for a, b in cuts]
    done = threads.run(_sweep, parts)
    if axis == 1:
        total = Sums(done[0][0].shape)
        for part, (mean, m2) in zip(parts, done, strict=True):
            total.add(..., part.shape[1], mean, m2)
        return total.mean, total.m2
    mean, m2 = (np.concatenate(a, axis=min(axis, 1)) for a in zip(*done, strict=True))
    return mean, m2


def _cuts(shape: tuple[int, ...], count: int) -> tuple[int, list[tuple[int, int]]]:
    """Share (outer, length, inner) out among `count` threads: along the axis that leaves the least to merge."""
    outer, _, inner = shape
    axis = 0 if outer >= 4 * count or count == 1 else 2 if inner >= passes.STRIP * count else 1
    count = min(count, shape[axis])
    ends = [shape[axis] * i // count for i in range(count + 1)]
    return axis, list(pairwise(ends))


class Sums:
    """Moments that grow by parts (Chan, Golub & LeVeque 1983)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean, self.m2 = np.zeros(shape), np.zeros(shape)
        self.count = 0

    def add(self, at: Any, cells: int, mean: np.ndarray, m2: np.ndarray) -> None:
        """Take in a part."""
        delta = mean - self.mean[at]
        total = self.count + cells
        self.mean[at] += delta * (cells / total)
        self.m2[at] += m2 + delta * delta * (self.count * cells / total)
        self.count = total


def _sweep(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and M2 over the middle axis of (outer, length, inner), block by block on this thread; (outer, inner)."""
    outer, length, inner = view.shape
    buffers = passes.Buffers(passes.working_type(view.dtype, length, inner))
    mean, m2 = np.empty((outer, inner)), np.empty((outer, inner))
    across = min(inner, passes.STRIP)
    cells = passes.CELLS * (passes.MANY if inner == 1 and length >= passes.NARROW else 1)
    step = max(1, cells // (length * across))
    for a in range(0, outer, step):
        for b in range(0, inner, across):
            part, at = view[a : a + step, :, b : b + across], np.s_[a : a + step, b : b + across]
            if inner == 1:
                mean[a : a + step, 0], m2[a : a + step, 0] = _merged(part[..., 0], passes.of_rows, buffers)
            else:
                mean[at], m2[at] = _merged(part, passes.of_columns, buffers)
    return mean, m2


def _merged(block: np.ndarray, moments_of: Any, buffers: passes.Buffers) -> tuple[Any, Any]:
    """Mean and M2 over axis 1 of a block that may be too long for the cache: then in parts."""
    length = block.shape[1]
    across = block.size // length if block.ndim == 3 else 1  # rows come one after the other, columns side by side
    step = max(1, passes.CELLS // across)
    if length <= step:
        return moments_of(block, buffers)
    sums = Sums((block.shape[0], *block.shape[2:]))
    for start in range(0, length, step):
        part = block[:, start : start + step]
        sums.add(..., part.shape[1], *moments_of(part, buffers))
    return sums.mean, sums.m2
