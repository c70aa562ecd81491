"""How the kernels read an array in the order of its memory: as rows, as columns, or not at all."""

import math
from dataclasses import dataclass
from typing import Any

# For runs of fewer bytes, most of each 16-byte load is wasted, and the moments of the runs take much memory.
SHORT = 64


def order_of(a: Any) -> tuple[int, ...] | None:
    """Return the axes of an array from the outermost in memory to the innermost, or None if cells lie between.

    >>> import numpy as np
    >>> order_of(np.zeros((2, 3, 4)).transpose(0, 2, 1)), order_of(np.zeros((4, 4))[:, ::2])
    ((0, 2, 1), None)
    """
    # The stride of an axis of length 1 is arbitrary.
    order = sorted(range(a.ndim), key=lambda axis: (1, -a.strides[axis]) if a.shape[axis] > 1 else (0, axis))
    step = a.itemsize
    for axis in reversed(order):
        if a.shape[axis] > 1:
            if a.strides[axis] != step:
                return None
            step *= a.shape[axis]
    return tuple(order)


def runs(lengths: list[int], odd: list[bool]) -> list[tuple[int, bool]]:
    """Join neighbouring axes of the same kind; `odd` axes are inside a set.

    >>> runs([2, 1, 3, 4, 5], [False, True, True, True, False])
    [(2, False), (12, True), (5, False)]
    """
    found: list[tuple[int, bool]] = []
    for n, inside in zip(lengths, odd, strict=True):
        if n > 1 and found and found[-1][1] == inside:
            found[-1] = (found[-1][0] * n, inside)
        elif n > 1:
            found.append((n, inside))
    return found


@dataclass(frozen=True)
class Split:
    """The tables of parameters for y = (x - mean) * rstd * weight + bias; axes are in the order of memory.

    The table of rows spans the axes before `start`, that of columns those from `start` on and the first `lead` ones.
    `in_rows` tells for (mean and rstd, weight and bias) whether they go with the rows.
    """

    start: int
    lead: int
    in_rows: tuple[bool, bool]

    def cells(self, lengths: tuple[int, ...]) -> int:
        """Return how many entries the tables have."""
        rows, columns = self.tables(lengths)
        return sum(math.prod(table) for table in (rows, columns) if table)

    def tables(self, lengths: tuple[int, ...]) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
        """Return the shapes of both tables, with 1 for an axis that a table does not span."""
        ahead, behind = lengths[: self.start], lengths[self.start :]
        rows = (*ahead, *[1] * len(behind)) if any(self.in_rows) else None
        between = [1] * (self.start - self.lead)
        columns = None if all(self.in_rows) else (*lengths[: self.lead], *between, *behind)
        return rows, columns


def split(lengths: tuple[int, ...], varies: tuple[tuple[bool, ...], tuple[bool, ...]], itemsize: int) -> Split | None:
    """Return how to tabulate parameters that vary along some axes of memory, or None if no table is smaller than x.

    Long runs with one set of parameters are best; else the smallest tables.

    >>> split((2, 8, 64), ((True, True, False), (False, True, False)), 4)
    Split(start=2, lead=0, in_rows=(True, True))
    >>> split((2, 64, 8), ((True, True, False), (False, False, True)), 4)
    Split(start=2, lead=0, in_rows=(True, False))
    """
    rank = len(lengths)
    fixed = [n == 1 or not any(v[axis] for v in varies) for axis, n in enumerate(lengths)]
    start = next((axis + 1 for axis in reversed(range(rank)) if not fixed[axis]), 0)
    whole = Split(start, 0, (True, True))
    if math.prod(lengths[start:]) * itemsize >= SHORT or start == 0:
        return whole
    candidates = [whole]
    for start in range(rank):
        moving = [[v[axis] and n > 1 for axis, n in enumerate(lengths)] for v in varies]
        in_rows = tuple(any(m) and not any(m[start:]) for m in moving)  # constant parameters cost least in the columns
        if all(in_rows):
            continue
        across = [m for m, r in zip(moving, in_rows, strict=True) if not r]
        lead = max((axis + 1 for m in across for axis in range(start) if m[axis]), default=0)
        candidates.append(Split(start, lead, (in_rows[0], in_rows[1])))
    best = min(candidates, key=lambda candidate: candidate.cells(lengths))
    size = math.prod(lengths)
    return best if best.cells(lengths) <= max(size // 2, min(size, 1 << 20)) else None


def entries(xp: Any, work: Any, shape: tuple[int, ...], given: tuple[Any, ...], fold: bool) -> Any:
    """Return a table of (scale, mean, rest, shift), one entry a cell of `shape`, for parameters that broadcast to it.

    The mean is rounded to the working type. The part that this removes is `rest`, or is added to the shift.
    """
    mean, rstd, weight, bias = given
    zero, one = xp.zeros([1] * len(shape)), xp.ones([1] * len(shape))
    exact = zero if mean is None else mean
    scale = (one if rstd is None else rstd) * (one if weight is None else weight)
    shift = zero if bias is None else bias
    rounded = exact.astype(work)
    rest = exact - rounded
    if fold:
        shift, rest = shift - rest * scale, zero
    columns = [xp.broadcast_to(a.astype(work), shape).reshape(-1) for a in (scale, rounded, rest, shift)]
    return xp.stack(columns, axis=-1)
