"""How the loops of the gradient go through x, the gradient of the output and the result, and in which parts."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from normviz.backends import threads
from normviz.backends.compiled.layout import Axis, Strides, axes, join, rounds, strides_of

WIDE = 256
"""Columns in a strip: enough for long loops, and few enough for their sums to stay in the cache."""
CACHE = 1 << 19
"""Bytes of x in a strip that is gone through twice, at most, if it is not narrower than NARROW columns."""
NARROW = 64
CELLS = 1 << 14
"""Cells of a strip that are worth sums of their own."""
PARTS = 16
"""Parts of a large array, and chunks of a strip, at most.

Each part has its own sums for weight and bias, which are added in the order of the parts.
"""

X, GRAD, Y, WEIGHT, SET = range(5)


Part = tuple[int, int, int, int, int]
"""Number, first and last unit, first and last piece of each."""


class Plan(NamedTuple):
    """The loops of a gradient.

    Attributes
    ----------
    columns
        Whether the loops are columns. Then a unit of work is a strip of neighbouring columns; otherwise it is a set.
    order, back
        The axes of x from the outermost in memory to the innermost, and the permutation that undoes this order.
    in_memory
        The weight's shape in that order.
    nests
        The loops over sets and over what is inside of them, as int64: length and step of each operand.
    numbers
        What else the kernel needs to know of the loops.
    starts
        The cell of each operand at which the loops begin, counted from its lowest address.
    parts
        What a thread does at once.
    divided
        Whether the parts are parts of units, so that a set is summed completely only after all of them.
    sums
        Shape of the memory for sums.
    """

    columns: bool
    order: tuple[int, ...]
    back: tuple[int, ...]
    in_memory: tuple[int, ...]
    nests: np.ndarray
    numbers: tuple[int, ...]
    starts: tuple[int, ...]
    parts: list[Part]
    divided: bool
    sums: tuple[int, ...]


@lru_cache(maxsize=256)
def plan(
    shape: tuple[int, ...],
    block: tuple[int, ...],
    strides: tuple[Strides, ...],
    itemsizes: tuple[int, ...],
    weight: tuple[int, ...],
) -> Plan | None:
    """Return how to go through x, gradient and result, of these strides in bytes, or None where no kernel does.

    `weight` is the shape of the weight, which broadcasts against x.
    """
    if any(step % size for of, size in zip(strides, itemsizes, strict=True) for step in of):
        return None
    strides = tuple(tuple(step // size for step in of) for of, size in zip(strides, itemsizes, strict=True))
    itemsize = itemsizes[0]
    order = tuple(sorted(range(len(shape)), key=lambda axis: -(abs(strides[0][axis]) or np.inf)))
    loops = axes(shape, block, (*strides, strides_of(weight, order)))
    if not loops or any(loops[-1].steps[i] != 1 for i in (X, GRAD, Y)) or loops[-1].steps[WEIGHT] not in (0, 1):
        return None
    outside = join([loop for loop in loops if not loop.inside], (X, GRAD, Y, WEIGHT, SET))
    inside = join([loop for loop in loops if loop.inside], (X, GRAD, Y, WEIGHT))
    each, weighted = _columns(loops, outside, inside)
    large = math.prod(shape) * itemsize >= threads.WORTH
    parts = max(2, min(PARTS, math.prod(shape) // (8 * math.prod(weight)))) if large else 1
    if each == 0:
        rows = rounds(inside[:-1])
        numbers, nests = [inside[-1].length, inside[-1].steps[WEIGHT], len(outside)], [*outside, *inside[:-1]]
        cut, divided = _cut(rounds(outside), rows, parts)
        sums = (rounds(outside) if divided else 0, rows, 4)
    else:
        run, lines = outside.pop(), inside[:-1] if each > 1 else inside
        wide, beside, line = run.length * each, 1, lines[-1]
        if not weighted and 2 * wide <= WIDE and all(line.steps[i] == wide for i in (X, GRAD, Y)):
            beside = max(n for n in range(1, min(WIDE // wide, 1 + line.length // 32) + 1) if line.length % n == 0)
            lines = [*lines[:-1], Axis(line.length // beside, True, tuple(beside * step for step in line.steps))]
        count = rounds(lines)
        strip = WIDE
        if weighted:
            strip = max(NARROW, min(2 * WIDE, CACHE // (count * itemsize) // NARROW * NARROW))
        strip = min(wide, max(each, strip // each * each))
        units = rounds(outside) * -(-wide // strip)
        # Chunks follow from the size of a strip alone, so that more samples change no digit.
        chunks = 1 if weighted else max(1, min(PARTS, count, count * strip // CELLS))
        chunk = -(-count // chunks)
        cut, divided = _cut(units, -(-count // chunk), parts)
        numbers = [each, loops[-1].steps[WEIGHT], len(outside), wide, strip, count, chunk, run.steps[SET]]
        numbers += [weighted, beside]
        nests, sums = [*outside, *lines], (units if divided else len(cut), -(-count // chunk) + 1, 4, strip * beside)
    starts = [0, *(sum((loop.length - 1) * max(-loop.steps[i], 0) for loop in loops) for i in range(5))]
    table = [[loop.length, *loop.steps] for loop in nests]
    return Plan(
        each > 0,
        order,
        tuple(map(int, np.argsort(order))),
        tuple(weight[axis] for axis in order),
        np.array(table, np.int64).reshape(-1, 6),
        tuple(numbers),
        tuple(starts),
        cut,
        divided,
        sums,
    )


def _columns(loops: list[Axis], outside: list[Axis], inside: list[Axis]) -> tuple[int, bool]:
    """Return how many neighbouring columns belong to one set, and whether their weight differs from line to line.

    0 columns where the innermost loop is a row of a set.
    """
    lines = inside if not loops[-1].inside else inside[:-1]
    weighted = any(loop.steps[WEIGHT] for loop in lines)
    if not loops[-1].inside:
        return 1, weighted
    row = inside[-1]
    beside = outside[-1] if outside else None
    if beside is None or weighted or row.length > WIDE or rounds(lines) < 4:
        return 0, False
    follows = all(beside.steps[i] == row.length for i in (X, GRAD, Y))
    return (row.length, False) if follows and beside.steps[WEIGHT] == row.length * row.steps[WEIGHT] else (0, False)


def _cut(units: int, pieces: int, parts: int) -> tuple[list[Part], bool]:
    """Divide units, or the pieces of each unit where there are few units, into about as many parts."""
    if units >= parts or pieces == 1:
        return [(i, a, b, 0, pieces) for i, (a, b) in enumerate(threads.shares(units, parts))], False
    cuts = [(u, u + 1, a, b) for u in range(units) for a, b in threads.shares(pieces, -(-parts // units))]
    return [(i, *cut) for i, cut in enumerate(cuts)], True
