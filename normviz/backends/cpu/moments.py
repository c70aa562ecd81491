"""The passes that make moments on the CPU: dot products over pieces of rows, or sums down columns, from the cache.

A block of about a megabyte is read twice, the second time from the cache: once for its sums, once for its sums of
squares. M2 = Q - S * mean is right as long as the mean is not large beside the deviations; where it is, the same two
sums are taken of x less a value from its middle, and where that is not enough, in float64 from the deviations
themselves. So the usual case runs at the speed of memory, and no case loses its digits.
"""

from typing import Any

import numpy as np

from normviz.backends.base import mean_and_m2
from normviz.backends.cpu.half import widen

CELLS = 1 << 18
"""Cells in a block: 1 MiB of float32, the second-level cache of today's cores."""
PIECE = 512
"""Cells that are summed in x's own precision, at most: their rounding errors stay below 1e-7."""
DEEP = 16
"""Rows that are summed down in x's own precision; NumPy adds these one after the other, and errors grow faster."""
MANY = 8
"""Blocks of rows that are summed before a look at the sums: they are in the third-level cache for a second try."""
SHORT = 1024
"""A row with fewer cells than this is summed in float64: there the short sums' own errors would show."""
NARROW = 16
"""A row shorter than this is read as so many columns: a dot product costs more to start than it sums."""
STRIP = 8192
"""Columns that are added at once: a strip of float32 sums stays in the first-level cache."""
MIDDLE = 16
"""Values of a set whose median is what is subtracted from it where its mean is large."""

_ROOM = {"f": 1.0, "d": 1e3}
"""How far the square of the mean may exceed the variance: float32 has no digit to spare, float64 three for 1e-13."""
_FLOOR = {"f": 1e-31, "d": 1e-280}
"""Mean squares below these are made of squares that lost digits, or all of them, below the smallest number."""


class Buffers:
    """One thread's memory for blocks, reused from block to block."""

    def __init__(self, work: Any) -> None:
        self.work = np.dtype(work)
        self._memory: dict[str, np.ndarray] = {}

    def get(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory of this shape, in the type that is worked in; a call with the same name may reuse it."""
        size = int(np.prod(shape))
        if name not in self._memory or self._memory[name].size < size:
            self._memory[name] = np.empty(size, self.work)
        return self._memory[name][:size].reshape(shape)

    def load(self, block: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
        """Return the block in the type that is worked in, less a shift for each set; not copied where it is that."""
        if block.dtype != self.work or not block.dtype.isnative:
            copy = self.get("load", block.shape)
            if block.dtype == np.float16 and self.work == np.float32 and block.dtype.isnative:
                widen(block, copy)
            else:
                np.copyto(copy, block)
            block = copy
        if shift is None:
            return block
        return np.subtract(block, shift[:, None], out=self.get("load", block.shape))


def working_type(dtype: np.dtype, length: int, inner: int) -> Any:
    """Return the type that sets of (length, inner) are summed in."""
    enough = length >= (SHORT if inner == 1 else SHORT // 8)
    return np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 and enough else np.float64


def of_rows(x: np.ndarray, buffers: Buffers) -> tuple[np.ndarray, np.ndarray]:
    """Mean and M2 of every row of x, of shape (rows, length)."""
    if x.shape[1] >= NARROW:
        return _checked(x, buffers)
    columns = buffers.get("columns", (1, *x.T.shape))
    np.copyto(columns, x.T)
    mean, m2 = _checked(columns, buffers)
    return mean[0], m2[0]


def of_columns(x: np.ndarray, buffers: Buffers) -> tuple[np.ndarray, np.ndarray]:
    """Mean and M2 of every column of every matrix in x, of shape (matrices, length, columns)."""
    return _checked(x, buffers)


def _row_sums(x: np.ndarray, shift: Any, buffers: Buffers) -> tuple[np.ndarray, np.ndarray]:
    """Sums of rows from dot products of their pieces, block by block."""
    rows, length = x.shape
    count = -(-length // PIECE)
    piece = length // count
    even = piece * count
    ones = np.ones(piece, buffers.work)
    sums = np.empty((2, rows, count + (even < length)), buffers.work)
    step = max(1, CELLS // length)
    for start in range(0, rows, step):
        at = slice(start, start + step)
        block = buffers.load(x[at], None if shift is None else shift[at])
        pieces = block[:, :even].reshape(len(block), count, piece, copy=False)
        np.vecdot(pieces, ones, out=sums[0, at, :count])
        np.vecdot(pieces, pieces, out=sums[1, at, :count])
        if even < length:
            rest = block[:, even:]
            np.vecdot(rest, ones[: length - even], out=sums[0, at, count])
            np.vecdot(rest, rest, out=sums[1, at, count])
    total, squares = sums.sum(axis=2, dtype=np.float64)
    return total, squares


def _column_sums(x: np.ndarray, shift: Any, buffers: Buffers) -> tuple[np.ndarray, np.ndarray]:
    """Sums down columns; narrow matrices are read as wide ones, several of their rows side by side."""
    block = buffers.load(x, shift)
    matrices, length, columns = block.shape
    beside = 1 << ((STRIP // columns).bit_length() - 1) if block.flags.c_contiguous and columns <= STRIP else 1
    total, squares = np.zeros((2, matrices, columns))
    start = 0
    while start < length:
        while beside > length - start:
            beside //= 2
        lines = (length - start) // beside
        strips = -(-lines // DEEP)
        end = start + strips * (lines // strips) * beside
        part = block[:, start:end].reshape(matrices, strips, lines // strips, beside * columns, copy=False)
        for sums, values in ((total, part.sum(axis=2)), (squares, np.einsum("msij,msij->msj", part, part))):
            width = beside
            while width > 8:  # pairwise, which rounds little; the rest in float64, which is slow to convert to
                width //= 2
                values = values[..., : width * columns] + values[..., width * columns :]
            sums += values.reshape(matrices, strips * width, columns).sum(axis=1, dtype=np.float64)
        start = end
    return total, squares


def _checked(x: np.ndarray, buffers: Buffers) -> tuple[np.ndarray, np.ndarray]:
    """Mean and M2 over axis 1: from plain sums, shifted ones or float64, the first that keeps the digits of a set.

    What is done for a set depends on its own values alone, so that no sample changes a digit of another's result.
    """
    mean, m2, lost = _moments(x, None, buffers)
    if lost.any():
        all_of_it = x.ndim == 3 or np.count_nonzero(lost) * 2 > lost.size
        part, where = (x, lost) if all_of_it else (x[lost], lost[lost])
        # While x is in the cache. Sets that are not lost are done too, in vain, and not looked at.
        middle = _middle(part, buffers.work)
        again, again_m2, still = _moments(part, middle, buffers)
        mean[lost], m2[lost], worst = again[where], again_m2[where], still & where
        if worst.any():
            still = lost.copy()
            still[lost] = worst[where]
            mean[still], m2[still] = _exactly(part if part.ndim == 2 else part.swapaxes(1, 2), worst, middle[worst])
    return mean, m2


def _exactly(sets: np.ndarray, wanted: np.ndarray, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and M2 of the sets that are wanted, on the last axis, in float64; of a constant one its middle and 0."""
    mean, m2 = middle.astype(np.float64), np.zeros(len(middle))
    where = np.argwhere(wanted)
    step = max(1, CELLS // 2 // sets.shape[-1])
    for start in range(0, len(where), step):
        at = slice(start, start + step)
        rows = sets[tuple(where[at].T)]
        varied = ~(rows == middle[at, None]).all(axis=1)
        if varied.any():
            found = mean_and_m2(rows[varied].astype(np.float64), (1,), np)
            mean[at][varied], m2[at][varied] = (a[:, 0] for a in found)
    return mean, m2


def _middle(x: np.ndarray, work: np.dtype) -> np.ndarray:
    """The median of a few values of each set; that of a constant set is its constant."""
    some = np.sort(x[:, :: -(-x.shape[1] // MIDDLE)].astype(work), axis=1)
    return some[:, some.shape[1] // 2]


def _moments(x: np.ndarray, shift: Any, buffers: Buffers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, M2, and where the digits of M2 were lost: to the mean, or above or below the range of the type."""
    total, squares = (_row_sums if x.ndim == 2 else _column_sums)(x, shift, buffers)
    mean = total / x.shape[1]
    m2 = squares - total * mean
    room, floor = _ROOM[buffers.work.char], _FLOOR[buffers.work.char] * x.shape[1]
    lost = ~((total * mean <= room * m2) & (squares > floor) & (squares < np.inf))
    return mean if shift is None else mean + shift, m2, lost
