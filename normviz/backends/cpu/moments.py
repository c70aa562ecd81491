"""Moments on the CPU: dot products over pieces of rows, or sums down columns, in blocks that fit the cache.

A block is read twice, the second time from the cache: once for its sums S, once for its sums of squares Q. The result
M2 = Q - S * mean is accurate as long as the mean is small beside the deviations. Where it is not, S and Q are taken
again of x - mean. Where that is not enough either, M2 is computed in two passes in float64.

The error does not depend on the processor. float16 and float32 are summed in float32, but only CHAIN = 4 values are
added one after the other; their sums are added in pairs, and those of pieces in float64. The worst case are cells of
few different values, because their roundings have the same sign. With u = 2**-24, half a unit in the last place of
float32, four equal squares add up with an error of at most 1.5 u, including that of the squares (eight with 3.1 u, 16
with 5 u). Where the variance is a difference, errors grow by up to 1 + MAX_RATIO: tests/core/test_accuracy.py allows
2 u for cells of equal magnitude and 4 u for others of few values. How many cells a dot product adds one after the other
depends on the processor's registers: `piece` measures it, and makes the pieces as short as that requires.
"""

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import mean_and_m2
from normviz.backends.cpu.half import widen
from normviz.core.moments import as_array

CELLS = 1 << 18
"""Cells in a block: 1 MiB of float32, the size of a second-level cache."""
CHAIN = 4
"""Values that are added one after the other in float32, at most."""
PIECES = (256, 128, 64)
"""Cells in one float32 dot product: CHAIN for each of 64, 32 or 16 partial sums, as AVX-512, AVX2 and SSE keep them."""
PIECE64 = 4096
"""Cells in one float64 dot product."""
BLOCKS = 8
"""Blocks of rows between two checks for accuracy: they still are in the third-level cache if they are summed again."""
SHORT = 1024
"""A row with fewer cells than this is summed in float64: too few pieces for their rounding errors to average out."""
NARROW = 16
"""A row shorter than this is read as so many columns, because starting a dot product takes longer than the sum."""
STRIP = 8192
"""Columns that are added at once: their float32 sums fit the first-level cache."""
SECTIONS = 8
"""A set that does not fit the cache is cut into so many parts, which may be summed on different threads."""

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
MAX_RATIO = {SINGLE: np.array(0.75), DOUBLE: np.array(1e3)}
"""Largest mean**2 / variance at which Q - S * mean is used: float64 has three digits to spare for an error of 1e-13."""
MIN_SQUARE = {SINGLE: 1e-31, DOUBLE: 1e-280}
"""Smallest mean square that is used: below it the squares lose digits, because they are subnormal or 0."""


class Workspace:
    """One thread's memory for blocks, reused from block to block."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self._memory: dict[str, np.ndarray] = {}

    def get(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return uninitialized memory of this shape; the next call with the same name may reuse it."""
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].size < size:
            self._memory[name] = np.empty(size, self.dtype)
        return self._memory[name][:size].reshape(shape)

    def load(self, block: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
        """Return the block in the workspace's dtype, less a shift for each set; without either it is not copied."""
        if block.dtype != self.dtype:
            if block.size <= CELLS // 16 and block.dtype.itemsize > 2:  # new memory is found as quickly
                block = block.astype(self.dtype)
                return block if shift is None else block - shift[:, None]
            copy = self.get("load", block.shape)
            if block.dtype == np.float16 and self.dtype == np.float32 and block.dtype.isnative:
                widen(block, copy)
            else:
                np.copyto(copy, block)
            block = copy
        if shift is None:
            return block
        return np.subtract(block, shift[:, None], out=self.get("load", block.shape))


@cache
def piece() -> int:
    """Return the largest of PIECES in which a float32 dot product adds at most CHAIN cells one after the other.

    Return 0 if none is short enough: a NumPy without a BLAS library adds all cells one after the other.
    """
    for cells in PIECES:
        # The first cell is 1, all others are half a unit in its last place. Those added to it one by one are lost.
        x = np.full(cells, 2.0**-24, np.float32)
        x[0] = 1
        counted = (float(np.vecdot(x, np.ones_like(x))) - 1) * 2**24
        if cells - counted <= CHAIN:
            return cells
    return 0


def dtype_of_sums(dtype: np.dtype, length: int, inner: int) -> np.dtype:
    """Return the dtype in which sets of (length, inner) are summed."""
    enough = length >= (SHORT if inner == 1 else SHORT // 8)
    return SINGLE if enough and dtype.kind == "f" and dtype.itemsize <= 4 and piece() else DOUBLE


def sections(length: int, inner: int) -> list[tuple[int, int]]:
    """Cut sets of (length, inner) into at most SECTIONS ranges, of whole blocks. They follow from the shape alone."""
    return whole_blocks(length, max(1, CELLS // min(inner, STRIP)))


def whole_blocks(length: int, step: int) -> list[tuple[int, int]]:
    """Cut range(length) into at most SECTIONS ranges, of whole blocks of `step` but for the end."""
    return [(a * step, min(b * step, length)) for a, b in threads.shares(-(-length // step), SECTIONS)]


def of_matrices(x: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 of every column of every matrix in x, of shape (matrices, length, columns)."""
    matrices, length, columns = x.shape
    if columns > 1:
        return _moments(x, workspace)
    rows = x.reshape(matrices, length)
    if length >= NARROW:
        mean, m2 = _moments(rows, workspace)
    else:
        turned = workspace.get("columns", (1, length, matrices))
        np.copyto(turned, rows.T)
        mean, m2 = _moments(turned, workspace)
    return mean.reshape(matrices, 1), m2.reshape(matrices, 1)


def _moments(x: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 over axis 1, by the first of three ways that is accurate for a set.

    The choice depends on the set's own values alone, so that no sample changes a digit of another's result.
    """
    mean, m2, inaccurate = _one_pass(x, None, workspace)
    if inaccurate is None:
        return mean, m2
    # Many sets, or columns, are recomputed together with their neighbours, whose new results are not used.
    part, wanted, shift = x, inaccurate, mean.astype(workspace.dtype)
    if x.ndim == 2 and np.count_nonzero(inaccurate) * 2 <= len(x):
        part, wanted, shift = x[inaccurate], inaccurate[inaccurate], shift[inaccurate]
    shifted_mean, shifted_m2, still_inaccurate = _one_pass(part, shift, workspace)
    mean[inaccurate], m2[inaccurate] = shifted_mean[wanted], shifted_m2[wanted]
    if still_inaccurate is not None and (still_inaccurate := still_inaccurate & wanted).any():
        at = inaccurate.copy()
        at[inaccurate] = still_inaccurate[wanted]
        sets = part if part.ndim == 2 else part.swapaxes(1, 2)
        mean[at], m2[at] = _two_passes(sets, np.argwhere(still_inaccurate))
    return mean, m2


def _one_pass(x: np.ndarray, shift: Any, workspace: Workspace) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return mean and M2 from S and Q of x - shift; and where M2 is inaccurate or beyond the range of the dtype."""
    length, dtype = x.shape[1], workspace.dtype
    total, squares = (_row_sums if x.ndim == 2 else _column_sums)(x, shift, workspace)
    mean = total / as_array(length)
    total *= mean
    m2 = squares - total
    accurate = total <= MAX_RATIO[dtype] * m2
    if dtype is SINGLE or x.dtype.char not in "ef":  # of a float32 in float64, no square is beyond
        accurate &= (squares > MIN_SQUARE[dtype] * length) & (squares < np.inf)
    if shift is not None:
        mean += shift
    return mean, m2, None if np.count_nonzero(accurate) == accurate.size else ~accurate


def _two_passes(sets: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 of the sets at the given indices, in float64; the sets lie along the last axis."""
    mean, m2 = np.empty((2, len(wanted)))
    step = max(1, CELLS // 2 // sets.shape[-1])
    for start in range(0, len(wanted), step):
        at = slice(start, start + step)
        rows = sets[tuple(wanted[at].T)]
        mean[at] = rows[:, 0]
        m2[at] = mean[at] - mean[at]  # 0 for a constant, NaN if it is infinite
        varied = (rows != rows[:, :1]).any(axis=1)
        if varied.any():
            found = mean_and_m2(rows[varied], (1,), np)
            mean[at][varied], m2[at][varied] = (a[:, 0] for a in found)
    return mean, m2


def _row_sums(x: np.ndarray, shift: Any, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Return S and Q of every row, from dot products of its pieces, block by block."""
    rows, length = x.shape
    double = workspace.dtype is DOUBLE
    if double and length <= PIECE64 and x.size <= CELLS:
        block = workspace.load(x, shift)
        return np.vecdot(block, ones(length, DOUBLE)), np.vecdot(block, block)
    cells = min(PIECE64 if double else piece(), length)
    count = length // cells
    even = cells * count
    all_ones = ones(cells, workspace.dtype)
    step = max(1, CELLS // length)
    found = np.empty((2, rows))
    for start in range(0, rows, step):
        at = slice(start, start + step)
        block = workspace.load(x[at], None if shift is None else shift[at])
        sums = workspace.get("sums", (2, len(block), -(-length // cells)))
        pieces = block[:, :even].reshape(len(block), count, cells)
        np.vecdot(pieces, all_ones, out=sums[0, :, :count])
        np.vecdot(pieces, pieces, out=sums[1, :, :count])
        if even < length:
            rest = block[:, even:]
            np.vecdot(rest, all_ones[: length - even], out=sums[0, :, count])
            np.vecdot(rest, rest, out=sums[1, :, count])
        np.vecdot(sums.astype(np.float64), ones(sums.shape[2], DOUBLE), out=found[:, at])
    total, squares = found
    return total, squares


@lru_cache(maxsize=256)
def ones(cells: int, dtype: np.dtype) -> np.ndarray:
    """Return ones, which are not to be changed."""
    return np.ones(cells, dtype)


def _column_sums(x: np.ndarray, shift: Any, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Return S and Q of every column; narrow matrices are read as wide ones, several of their rows side by side."""
    block = workspace.load(x, shift)
    matrices, length, columns = block.shape
    # Short rows that are read as columns have other sets beside them, whose number must change no digit.
    few = length < NARROW
    contiguous = columns <= STRIP and block[0].flags.c_contiguous
    beside = 1 << ((STRIP // columns).bit_length() - 1) if contiguous and not few else 1
    total, squares = np.zeros((2, matrices, columns))
    start = 0
    while start < length:
        while beside > length - start:
            beside //= 2
        lines = (length - start) // beside
        strips = -(-lines // CHAIN)
        end = start + strips * (lines // strips) * beside
        part = block[:, start:end].reshape(matrices, strips, lines // strips, beside * columns)
        square = (part * part).sum(axis=2) if few else np.einsum("msij,msij->msj", part, part)
        for sums, values in ((total, part.sum(axis=2)), (squares, square)):
            # In pairs, whose rounding errors are small; float64, which is slower, only for the few sums that are left.
            width, narrowest = beside, min(8, max(1, beside // 16))
            while width > narrowest:
                width //= 2
                values = values[..., : width * columns] + values[..., width * columns :]
            sums += values.reshape(matrices, strips * width, columns).sum(axis=1, dtype=np.float64)
        start = end
    return total, squares
