"""How the kernels read an array in the order of its memory: as rows, as columns, or not at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

# For runs of fewer bytes, most of each 16-byte load is wasted, and the moments of the runs take much memory.
SHORT = 64


def order_of(a: Any) -> tuple[int, ...] | None:
    """Return the axes of an array from the outermost in memory to the innermost, or None if cells lie between.

    >>> import numpy as np
    >>> order_of(np.zeros((2, 3, 4)).transpose(0, 2, 1)), order_of(np.zeros((4, 4))[:, ::2])
    ((0, 2, 1), None)
    """
    return _order(a.shape, a.strides, a.itemsize)


@lru_cache(maxsize=512)
def _order(shape: tuple[int, ...], strides: tuple[int, ...], step: int) -> tuple[int, ...] | None:
    # The stride of an axis of length 1 is arbitrary.
    order = sorted(range(len(shape)), key=lambda axis: (1, -strides[axis]) if shape[axis] > 1 else (0, axis))
    for axis in reversed(order):
        if shape[axis] > 1:
            if strides[axis] != step:
                return None
            step *= shape[axis]
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

    @property
    def hold(self) -> int:
        """What the columns hold, as affine.cu numbers it."""
        return {(True, False): 1, (False, True): 2}.get(self.in_rows, 0)

    def grid(self, lengths: tuple[int, ...]) -> tuple[int, int, int]:
        """Return x as (outer, K, B): a table of B columns for every K rows."""
        lead, start = self.lead, self.start
        return math.prod(lengths[:lead]), math.prod(lengths[lead:start]), math.prod(lengths[start:])


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


class Reduction(NamedTuple):
    """How the moments of blocks are made: x as `first`, (outer, K, B), of which K is reduced, and what is merged then.

    Attributes
    ----------
    first, by_columns
        With `by_columns` every column of K cells that lie B apart, otherwise B is 1 and every row.
    merges
        ((outer, K, inner), cells of one atom) of each merge.
    steps
        How many sets lie between two neighbours along each axis in memory; 0 where an axis has one set.
    """

    first: tuple[int, int, int]
    by_columns: bool
    merges: tuple[tuple[tuple[int, int, int], int], ...]
    steps: tuple[int, ...]


@lru_cache(maxsize=512)
def reduction(lengths: tuple[int, ...], block: tuple[int, ...], itemsize: int) -> Reduction:
    """Return how to make the moments of blocks of a dense array; axes are in the order of memory.

    >>> reduction((8, 16, 49), (8, 1, 49), 4)
    Reduction(first=(128, 49, 1), by_columns=False, merges=(((1, 8, 16), 49),), steps=(0, 1, 0))
    """
    tiles = [n for length, cells in zip(lengths, block, strict=True) for n in (length // cells, cells)]
    left = runs(tiles, [axis % 2 == 1 for axis in range(len(tiles))])
    size = math.prod(lengths)
    inside = [n for n, odd in left if odd]
    last, last_odd = left[-1] if left else (1, False)
    by_columns = False
    if not inside:
        first, count = (size, 1, 1), 1
    elif last_odd and (last * itemsize >= SHORT or len(inside) == 1):
        del left[-1]
        first, count = (size // last, last, 1), last
    else:
        # As many columns as there are side by side; a short run that is innermost is merged later.
        at = len(left) - (3 if last_odd else 2)
        columns = math.prod(n for n, _ in left[at + 1 :])
        count = left.pop(at)[0]
        first, by_columns = (size // (count * columns), count, columns), True
    merges = []
    for at in reversed([i for i, (_, odd) in enumerate(left) if odd]):
        outer, inner = (math.prod(n for n, _ in part) for part in (left[:at], left[at + 1 :]))
        merges.append(((outer, left[at][0], inner), count))
        count *= left.pop(at)[0]
    return Reduction(first, by_columns, tuple(merges), contiguous(tiles[::2]))


def contiguous(lengths: Sequence[int]) -> tuple[int, ...]:
    """Return the steps along the axes of an array in C order, and 0 along one of length 1.

    >>> contiguous((2, 1, 3))
    (3, 0, 1)
    """
    return tuple(math.prod(lengths[axis + 1 :]) if n > 1 else 0 for axis, n in enumerate(lengths))


class Layout(NamedTuple):
    """The tables for one layout of x, statistics and parameters, and how `affine_grid` reads x then.

    Attributes
    ----------
    rows, columns
        Numbers in each table; 0 where there is none.
    entries
        Of both.
    packed
        `Tables` of affine.cu as an array of one element, which CuPy passes by value.
    hold, grid
        As in `Split`.
    """

    rows: int
    columns: int
    entries: int
    packed: np.ndarray
    hold: int
    grid: tuple[int, int, int]


Steps = tuple[int, ...]


@lru_cache(maxsize=512)
def tables(
    lengths: tuple[int, ...], itemsize: int, cells: Steps, sets: Steps, weight: Steps | None, bias: Steps | None
) -> Layout | None:
    """Return the tables for a dense x, or None if they would be too large; axes are in the order of memory.

    `cells` and `sets` are those of `Found`, `weight` and `bias` the steps between their entries.
    """
    rank = len(lengths)
    none = (0,) * rank
    weight, bias = weight or none, bias or none
    varies = (tuple(map(bool, sets)), tuple(bool(a or b) for a, b in zip(weight, bias, strict=True)))
    plan = split(lengths, varies, itemsize)
    if plan is None:
        return None
    holds = [[place == which for place in plan.in_rows] for which in (True, False)]
    made = [(shape, h[0], h[1]) for shape, h in zip(plan.tables(lengths), holds, strict=True)]
    return Layout(*_packed(made, cells, sets, weight, bias), hold=plan.hold, grid=plan.grid(lengths))


def _packed(
    made: Sequence[tuple[Steps | None, bool, bool]], cells: Steps, sets: Steps, weight: Steps, bias: Steps
) -> tuple[int, int, int, np.ndarray]:
    """Return the numbers in two tables, the entries of both, and `Tables` of affine.cu.

    Each is made of its shape, or None, and of whether it holds statistics, and weight and bias.
    """
    numbers, counts = [], []
    for shape, *holds in made:
        size = math.prod(shape) if shape else 0
        counts.append((size, size * (4 if holds[0] else 2)))
        numbers += [size, *holds]
        for steps, one in ((shape or (1,) * len(cells), 1), (cells, 1), (sets, 0), (weight, 0), (bias, 0)):
            numbers += [*[one] * (5 - len(cells)), *steps]
    packed = np.array(numbers, np.int64).view(np.dtype((np.void, 8 * len(numbers))))
    (first, of_first), (second, of_second) = counts
    return of_first, of_second, first + second, packed


class SlopeLayout(NamedTuple):
    """The tables for a gradient: of the statistics, and of the weight; where both are, as gradient.cu numbers it.

    `rows` and `columns` are the shapes of sums over rows and over columns, in the order of memory; `tables` makes both
    tables, the statistics first.
    """

    tables: Layout
    rows: Steps
    columns: Steps


@lru_cache(maxsize=512)
def slope_tables(lengths: Steps, itemsize: int, cells: Steps, sets: Steps, weight: Steps) -> SlopeLayout | None:
    """Return the tables for a gradient, or None if they would be too large; arguments as for `tables`."""
    plan = split(lengths, (tuple(map(bool, sets)), tuple(map(bool, weight))), itemsize)
    if plan is None:
        return None
    rows, columns = plan.tables(lengths)
    made = [(rows if place else columns, i == 0, i == 1) for i, place in enumerate(plan.in_rows)]
    packed = _packed(made, cells, sets, weight, (0,) * len(lengths))
    hold = 3 if all(plan.in_rows) else plan.hold
    whole = (*lengths[: plan.start], *[1] * (len(lengths) - plan.start))
    return SlopeLayout(Layout(*packed, hold=hold, grid=plan.grid(lengths)), whole, columns or ())
