"""How compiled loops go through an array in the order of its memory.

Every array that a loop reads or writes is an operand: x, the output, weight, bias, and the statistics of the sets. A
loop sees an operand as one line of cells, from its lowest address on, and finds a cell by adding up steps. Axes that
all operands can walk through as one are joined. There are two kinds of loops:

- *rows*: the innermost axis lies inside a set, so a set consists of rows of neighbouring cells. So do the methods that
  pool positions on channels-first memory, and tokens.
- *columns*: neighbouring cells belong to different sets. So do Batch Norm on channels-last memory, and the methods that
  pool the channels of one position on channels-first memory.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

CELLS = 1 << 16
"""Cells of a row in a piece of a set: larger sets are divided at fixed places, whatever the number of threads."""
SHORT = 32
"""Rows shorter than this are taken as columns, if they lie beside each other."""
LONG = 64
"""Rows with a weight for each cell are made at least this long, by repeating the weight, if ..."""
REPEATED = 1 << 13
"""... it has no more entries than this then."""
WIDE = 256
"""Lines of fewer columns are joined; lines of more are cut into strips."""
CACHE = 1 << 19
"""Bytes of x in a strip, which is read twice, if half of WIDE columns or more fit."""

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
    columns
        Whether the loops are columns.
    order
        The axes of x from the outermost in memory to the innermost.
    sets
        The number of sets.
    units
        The number of sets, or of strips of columns.
    size
        Cells in a set.
    pieces
        Pieces of a unit that is read, and of one that is written.
    parameter
        The shape that weight and bias are broadcast to.
    table
        For the kernels, int64 with six columns. First come five rows of numbers: how many loops go over the sets, over
        what is read inside of one and over what is written there, then sets, size, statistic; how rows are cut for
        reading, and for writing, see `_cuts`; at which cell x, y, the parameters and the statistics begin, and the
        parameters' innermost step; for columns, the cells across, the columns of a set, those of a strip, the strips,
        and whether parameters change from line to line (2: and across). Then come the loops: their lengths, and the
        steps of these operands.
    """

    columns: bool
    order: tuple[int, ...]
    sets: int
    units: int
    size: int
    pieces: tuple[int, int]
    parameter: tuple[int, ...]
    table: np.ndarray


X, Y, WEIGHT, SET = range(4)


@lru_cache(maxsize=256)
def plan(
    shape: tuple[int, ...],
    block: tuple[int, ...],
    itemsize: int,
    of_x: Strides,
    of_y: Strides | None = None,
    parameter: tuple[int, ...] | None = None,
    statistic: int = 0,
) -> Plan | None:
    """Return how to go through x and y, or None where no kernel does.

    The strides of x and y are in bytes; None for y where nothing is written. `parameter` is the shape in which weight
    and bias broadcast against x. What is read, and in which parts, does not depend on y or on the parameters.
    """
    if any(stride % itemsize for strides in (of_x, of_y or ()) for stride in strides):
        return None
    x, y = (tuple(stride // itemsize for stride in strides) for strides in (of_x, of_y or of_x))
    order = tuple(sorted(range(len(shape)), key=lambda axis: -(abs(x[axis]) or np.inf)))
    parameter = parameter or (1,) * len(shape)
    loops = axes(shape, block, (x, y, strides_of(parameter, order)))
    if (
        math.prod(block) == 1
        or loops[-1].steps[X] != 1
        or loops[-1].steps[Y] != 1
        or loops[-1].steps[WEIGHT] not in (0, 1)
    ):
        return None
    inside, sets = ([loop for loop in loops if loop.inside is kind] for kind in (True, False))
    reads, writes = join(inside, (X,)), join(inside, (X, Y, WEIGHT))
    alone, sets = join(sets, (X, SET)), join(sets, (X, Y, WEIGHT, SET))
    each = _columns_of_a_set(loops, alone, reads)
    if each == 0:
        longer = _longer(parameter, shape, block, order) if writes[-1].length < LONG else parameter
        if longer != parameter and loops[-1].steps[WEIGHT]:
            return plan(shape, block, itemsize, of_x, of_y, longer, statistic)
        cuts = [_cuts(part[-1].length, CELLS, part[:-1], CELLS) for part in (reads, writes)]
        reads, writes, columns = reads[:-1], writes[:-1], [0] * 6
        units = rounds(sets)
    else:
        if sets[-1].length != alone[-1].length or sets[-1].steps[Y] != each or (each > 1 and writes[-1].length != each):
            return None
        lines = rounds(inside) // each
        if each > 1:
            reads, writes = reads[:-1], writes[:-1]
        wide = sets[-1].length * each
        strip = _strip(wide, each, lines * itemsize)
        across = min(strip, wide)
        (reads, of_reads), (writes, of_writes) = (_lines(part, wide, across) for part in (reads, writes))
        cuts = [of_reads, of_writes]
        units = rounds(sets[:-1]) * -(-wide // strip)
        by_line = any(loop.steps[WEIGHT] for loop in writes)
        columns = [wide, each, strip, -(-wide // strip), by_line * (1 + loops[-1].steps[WEIGHT]), 0]
    starts = [sum((loop.length - 1) * max(-loop.steps[i], 0) for loop in loops) for i in range(4)]
    head = [
        [len(sets), len(reads), len(writes), rounds(sets), rounds(inside), statistic],
        *cuts,
        [0, *starts, loops[-1].steps[WEIGHT]],
        columns,
    ]
    table = head + [[loop.length, *loop.steps, 0] for loop in (*sets, *reads, *writes)]
    pieces = cuts[0][4], cuts[1][4]
    return Plan(each > 0, order, rounds(sets), units, rounds(inside), pieces, parameter, np.array(table, np.int64))


def _columns_of_a_set(loops: list[Axis], sets: list[Axis], reads: list[Axis]) -> int:
    """Return how many neighbouring columns belong to a set; 0 for rows."""
    if not loops[-1].inside:
        return 1
    row = reads[-1].length
    return row if row < SHORT and len(reads) > 1 and sets and sets[-1].steps[X] == row else 0


def _longer(
    parameter: tuple[int, ...], shape: tuple[int, ...], block: tuple[int, ...], order: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape of a parameter that is repeated along inner axes of a set until its rows are long enough."""
    longer, row = list(parameter), 1
    for axis in reversed(order):
        more = math.prod(longer) // longer[axis] * shape[axis]
        if row >= LONG or block[axis] != shape[axis] or more > REPEATED:
            break
        longer[axis] = shape[axis]
        row *= shape[axis]
    return tuple(longer)


def _strip(wide: int, each: int, nbytes: int) -> int:
    """Return the columns of a strip, for columns of `nbytes` bytes: whole sets."""
    fits = CACHE // nbytes
    columns = min(fits if fits >= WIDE // 2 else WIDE, WIDE) // 16 * 16
    return min(wide, max(columns // each, 1) * each)


def _cuts(length: int, width: int, loops: list[Axis], cells: int) -> list[int]:
    """Return how rows are cut: cells of a row, its parts, parts in all, parts in a piece, pieces, cells of a part."""
    parts = -(-length // width)
    count = parts * rounds(loops)
    each = max(1, cells // min(length, width))
    return [length, parts, count, each, -(-count // each), width]


def _lines(loops: list[Axis], wide: int, across: int) -> tuple[list[Axis], list[int]]:
    """Return loops over lines, and how the lines are cut; short lines that follow each other become longer ones."""
    last = loops[-1]
    beside = WIDE // wide if last.steps[:3] == (wide, wide, 0) else 1
    if beside > 1:
        return loops[:-1], _cuts(last.length * wide, beside * wide, loops[:-1], 4 * CELLS)
    return loops, _cuts(wide, wide, loops, 4 * CELLS * wide // across)


def rounds(loops: list[Axis]) -> int:
    """Return how often the innermost of nested loops goes round."""
    return math.prod(loop.length for loop in loops)
