"""The NumPy backend: moments and the affine map, in blocks that fit the cache, on several threads."""

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Backend, Given, mean_and_m2
from normviz.backends.cpu import affine, gradient, moments
from normviz.backends.cpu.strides import reading
from normviz.core.moments import as_array, mean_and_var, merge_two
from normviz.core.pooling import Pooling


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
        if not np.may_share_memory(a, b):
            return False
        if a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.itemsize == b.itemsize:
            return False
        try:
            return np.shares_memory(a, b, max_work=100_000)  # pyright: ignore[reportArgumentType]
        except np.exceptions.TooHardError:
            return True

    @np.errstate(all="ignore")
    def moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and M2 of every block of x, float64, in the shape of the grid; `Backend.moments` says more."""
        return self._moments(x, block)

    def _moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        found = reading(x.shape, x.strides, x.itemsize, block)
        if found is None:
            if math.prod(block) > 1:  # no view has the axes in a usable order: copy box by box
                return super().moments(x, block)
            mean = x.astype(np.float64)
            return mean, mean - mean
        mean, m2 = _over_last_but_one(found.view(x))
        mean, m2 = found.place(mean), found.place(m2)
        if not found.apart:
            return mean, m2
        # Parts of equal count: the sum of their M2, plus the count times the M2 of their means.
        mean, between = mean_and_m2(mean, found.apart, np)
        m2 = np.add.reduce(m2, axis=found.apart, keepdims=True) + math.prod(block) // found.parts * between
        grid = found.view.tiles[::2]
        return mean.reshape(grid), m2.reshape(grid)

    @np.errstate(all="ignore")
    def normalize(self, x: Any, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: Any) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out."""
        mean, var = self._mean_and_var(x, pool) if given is None else given
        affine.apply(x, pool, mean, np.sqrt(var + eps), weight, bias, out)

    @np.errstate(all="ignore")
    def gradient(
        self, x: Any, grad: Any, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the gradient with respect to x to `out`; return those of weight and bias; see `Backend.gradient`."""
        mean, var = given = self._mean_and_var(x, pool) if given is None else given
        gamma = np.ones(pool.parameter_shape) if weight is None else weight
        arrays = tuple((a.strides, a.itemsize) for a in (x, grad, out))
        how = gradient.layout(x.shape, arrays, pool.block, gamma.shape)
        if how is None:
            return super().gradient(x, grad, pool, weight, eps, given, fixed, out)
        over = 1 if pool.row.statistic == "squared norm" else pool.size
        centered = pool.row.centered
        return gradient.write(how, x, grad, mean, 1 / np.sqrt(var + eps), gamma, out, over, centered, fixed)

    def _mean_and_var(self, x: np.ndarray, pool: Pooling) -> tuple[np.ndarray, np.ndarray]:
        mean, m2 = self._moments(x, pool.block)
        if pool.row.centered:
            return mean, m2 / as_array(pool.size)
        return mean_and_var(mean, m2, pool.size, pool.row.statistic)


def _over_last_but_one(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 over the last axis but one, on as many threads as the size is worth."""
    if view.ndim == 4:
        parts = [_over_last_but_one(part) for part in view]
        return np.stack([mean for mean, _ in parts]), np.stack([m2 for _, m2 in parts])
    outer, length, inner = view.shape
    dtype = moments.dtype_of_sums(view.dtype, length, inner)
    count = threads.worthwhile(view.nbytes)
    if count == 1 and view.size <= moments.CELLS:
        return moments.of_matrices(view, moments.Workspace(dtype))
    sections = moments.sections(length, inner)
    if count == 1:
        return _over_middle_axis(view, sections, dtype)
    # Divide the axis with the least to merge. Only where a set begins or ends, or a section does, so that the number of
    # threads changes no digit.
    axis = 0 if outer >= 4 * count else 2 if inner >= moments.STRIP * count else 1
    edges = (range(outer + 1), [0, *(end for _, end in sections)], [*range(0, inner, moments.STRIP), inner])[axis]
    parts = [(edges[start], edges[end]) for start, end in threads.shares(len(edges) - 1, count)]

    def work(part: tuple[int, int]) -> Any:
        at = slice(*part)
        if axis != 1:
            return _over_middle_axis(view[(slice(None),) * axis + (at,)], sections, dtype)
        mine = [section for section in sections if part[0] <= section[0] < part[1]]
        return [(end - start, *_over_middle_axis(view[:, start:end], [(0, end - start)], dtype)) for start, end in mine]

    done = threads.run(work, parts)
    if axis == 1:
        return _merge(section for of_thread in done for section in of_thread)
    mean, m2 = (np.concatenate(a, axis=axis // 2) for a in zip(*done, strict=True))
    return mean, m2


def _merge(parts: Iterable[tuple[int, Any, Any]]) -> tuple[Any, Any]:
    """Merge (count, mean, M2) of the parts of the same sets; return mean and M2."""
    _, mean, m2 = reduce(merge_two, parts)
    return mean, m2


def _over_middle_axis(view: np.ndarray, sections: list[tuple[int, int]], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2, of shape (outer, inner), of (outer, length, inner), block by block on this thread."""
    outer, length, inner = view.shape
    workspace = moments.Workspace(dtype)
    across = min(inner, moments.STRIP)
    cells = moments.CELLS * (moments.BLOCKS if inner == 1 and length >= moments.NARROW else 1)
    step = max(1, cells // (length * across))
    if view.size <= moments.CELLS:
        return moments.of_matrices(view, workspace)
    mean, m2 = np.empty((outer, inner)), np.empty((outer, inner))
    for a in range(0, outer, step):
        for b in range(0, inner, across):
            part, at = view[a : a + step, :, b : b + across], np.s_[a : a + step, b : b + across]
            mean[at], m2[at] = _merge(
                (end - start, *_in_blocks(part[:, start:end], workspace)) for start, end in sections
            )
    return mean, m2


def _in_blocks(section: np.ndarray, workspace: moments.Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 over axis 1 of a section, which is read in parts if it does not fit the cache."""
    _, length, inner = section.shape
    step = max(1, moments.CELLS // inner)
    if length <= step:
        return moments.of_matrices(section, workspace)
    parts = (section[:, start : start + step] for start in range(0, length, step))
    return _merge((part.shape[1], *moments.of_matrices(part, workspace)) for part in parts)
