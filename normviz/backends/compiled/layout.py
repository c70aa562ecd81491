"""How compiled loops go through an array in the order of its memory.

Every array that a loop reads or writes is an operand: x, the output, weight, bias, and the statistics of the sets. A
loop sees an operand as one line of cells, from its lowest address on, and finds a cell by adding up steps. Axes that
all operands can walk through as one are joined. There are two kinds of loops:

- *rows*: the innermost axis lies inside a set, so a set consists of rows of neighbouring cells. So do the methods that
  pool positions on channels-first memory, and tokens.
- *columns*: neighbouring cells belong to different sets. So do Batch Norm on channels-last memory, and the methods that
  pool the channels of one position on channels-first memory.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

CELLS = 1 << 16
"""Cells in a piece of a set: larger sets are divided at these fixed places, whatever the number of threads."""

Strides = tuple[int, ...]


class Axis(NamedTuple):
    """One loop: its length, whether it stays inside a set, and the step of each operand, in cells."""

    length: int
    inside: bool
    steps: tuple[int, ...]


def axes(shape: tuple[int, ...], block: tuple[int, ...], operands: tuple[Strides, ...]) -> list[Axis]:
    """Return the loops over all cells, the outermost in x's memory first, without loops of length 1.

    `operands` are strides in cells, x's first; a last operand is added, the statistics, with one cell for each set in
    the order of the grid. x's steps are not negative: axes that run backwards are turned round for all operands.

    >>> axes((2, 4, 3), (1, 2, 3), ((12, 3, 1),))
    [Axis(length=2, inside=False, steps=(12, 2)), Axis(length=2, inside=False, steps=(6, 1)), \
Axis(length=2, inside=True, steps=(3, 0)), Axis(length=3, inside=True, steps=(1, 0))]
    """
    found, of_set = [], 1
    for axis in reversed(range(len(shape))):
        extent, count = block[axis], shape[axis] // block[axis]
        steps = [strides[axis] for strides in operands]
        sign = -1 if steps[0] < 0 else 1
        if extent > 1:
            found.append(Axis(extent, True, (*(sign * step for step in steps), 0)))
        if count > 1:
            found.append(Axis(count, False, (*(sign * step * extent for step in steps), sign * of_set)))
        of_set *= count
    # The cells that a stride of 0 repeats are the farthest from each other, not the nearest.
    return sorted(found, key=lambda loop: -(loop.steps[0] or np.inf))


def join(loops: list[Axis], operands: tuple[int, ...]) -> list[Axis]:
    """Join neighbouring loops of the same kind that the given operands walk through as one.

    >>> join([Axis(2, True, (12, 0)), Axis(3, True, (4, 0)), Axis(4, True, (1, 1))], (0,))
    [Axis(length=24, inside=True, steps=(1, 1))]
    """
    joined: list[Axis] = []
    for inner in loops:
        outer = joined[-1] if joined else inner
        follows = all(outer.steps[i] == inner.steps[i] * inner.length for i in operands)
        if joined and outer.inside == inner.inside and follows:
            joined[-1] = inner._replace(length=outer.length * inner.length)
        else:
            joined.append(inner)
    return joined


def strides_of(shape: tuple[int, ...], order: tuple[int, ...]) -> Strides:
    """Return the strides in cells of an array that broadcasts against x and is contiguous in the order of x's axes.

    >>> strides_of((1, 3, 2, 1), (0, 2, 1, 3))
    (0, 1, 3, 0)
    """
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        if shape[axis] > 1:
            strides[axis] = step
            step *= shape[axis]
    return tuple(strides)


class Plan(NamedTuple):
    """How the loops of one task go through arrays of one shape, strides and block.

    Attributes
    ----------
    order
        The axes of x from the outermost in memory to the innermost.
    dense
        For each array, x first, whether its cells fill its memory in that order without gaps.
    sets
        The number of sets.
    size
        Cells in a set.
    pieces
        Pieces of a set that is read, and of one that is written.
    table
        The loops as int64, for the kernels; see `kernels.py`.
    """

    order: tuple[int, ...]
    dense: tuple[bool, ...]
    sets: int
    size: int
    pieces: tuple[int, int]
    table: np.ndarray


X, Y, WEIGHT, BIAS = range(4)


@lru_cache(maxsize=256)
def plan(
    shape: tuple[int, ...],
    block: tuple[int, ...],
    itemsize: int,
    of_x: Strides,
    of_y: Strides | None = None,
    of_weight: tuple[int, ...] | None = None,
    of_bias: tuple[int, ...] | None = None,
    statistic: int = 0,
) -> Plan | None:
    """Return how to go through x and y, or None where no kernel does.

    The strides of x and y are in bytes; None for y where nothing is written. Of weight and bias the shapes are given,
    which broadcast against x.
    """
    if any(stride % itemsize for strides in (of_x, of_y or ()) for stride in strides):
        return None
    x = tuple(stride // itemsize for stride in of_x)
    y = x if of_y is None else tuple(stride // itemsize for stride in of_y)
    order = tuple(sorted(range(len(shape)), key=lambda axis: -(abs(x[axis]) or np.inf)))
    weight, bias = (strides_of(given or (1,) * len(shape), order) for given in (of_weight, of_bias))
    loops = axes(shape, block, (x, y, weight, bias))
    if not loops or loops[-1].steps[X] != 1 or loops[-1].steps[Y] != 1 or not loops[-1].inside:
        return None
    sets = join([loop for loop in loops if not loop.inside], (X, Y, WEIGHT, BIAS, 4))
    inside = [loop for loop in loops if loop.inside]
    reads, writes = join(inside, (X,)), join(inside, (X, Y, WEIGHT, BIAS))
    if any(step not in (0, 1) for step in writes[-1].steps[WEIGHT:4]):
        return None
    sizes = [int(np.prod([loop.length for loop in part])) for part in (sets, inside)]
    cuts = [_cuts(part) for part in (reads, writes)]
    starts = [sum((loop.length - 1) * max(-loop.steps[i], 0) for loop in loops) for i in range(5)]
    head = [
        [len(sets), len(reads) - 1, len(writes) - 1, *sizes, statistic],
        *cuts,
        [0, *starts],
        [0, *writes[-1].steps],
    ]
    rows = [[loop.length, *loop.steps] for part in (sets, reads[:-1], writes[:-1]) for loop in part]
    dense = tuple(
        all(n == 1 or s == d for n, s, d in zip(shape, strides, strides_of(shape, order), strict=True))
        for strides in (x, y)
    )
    return Plan(order, dense, sizes[0], sizes[1], (cuts[0][4], cuts[1][4]), np.array(head + rows, np.int64))


def _cuts(inside: list[Axis]) -> list[int]:
    """Return the cells of a row, its parts, the parts in all, how many make a piece, the pieces, and 0."""
    length = inside[-1].length
    parts = -(-length // CELLS)
    count = parts * int(np.prod([loop.length for loop in inside[:-1]]))
    each = max(1, CELLS // length)
    return [length, parts, count, each, -(-count // each), 0]
