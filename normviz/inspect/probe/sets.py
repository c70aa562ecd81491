"""Which cells share a set, from which outputs answer when which inputs are disturbed.

A cell answers when any cell of its set is disturbed. So cells of one set answer alike, always, and the other way round:
let one cell of every class of cells that have answered alike be disturbed. A class that is one set answers as a whole;
a class of several sets answers in part, and falls apart. After about log2(number of sets) calls a call comes in which
every class answers as a whole, and that is the proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling, divisors

Answers = Callable[[np.ndarray], np.ndarray]
MOST_CALLS = 30


@dataclass(frozen=True)
class Sets:
    """A partition of the cells.

    Attributes
    ----------
    labels
        Ints of the shape (N, C, *spatial), numbered as the sets first come up.
    proven
        Whether every answer is explained by them, and the last one showed each set whole.
    heard
        Which cells have answered at all.
    log
        What was disturbed and what answered, call by call.
    """

    labels: np.ndarray
    proven: bool
    heard: np.ndarray
    log: list[tuple[np.ndarray, np.ndarray]]


def find_sets(
    answers: Answers, shape: tuple[int, ...], rng: np.random.Generator, *, most: int = MOST_CALLS, deaf: bool = False
) -> Sets:
    """Find the sets of a shape with as few calls as can be.

    `answers` takes a boolean array, the cells to disturb, and returns one, the cells whose output has changed. `deaf`
    says that some cells may not answer, so that what does not fit is no reason to stop.
    """
    labels, log, whole, stuck, silent = np.zeros(math.prod(shape), int), [], False, True, 0
    while not whole and len(log) < most:
        mask = _choose(labels, rng, one_each=stuck)
        answer = answers(mask.reshape(shape)).ravel()
        log.append((mask.reshape(shape), answer.reshape(shape)))
        silent += not answer.any()
        refined = number(labels * 2 + answer)
        stuck = refined.max() == labels.max()
        whole = bool(stuck and (np.bincount(labels, mask) == 1).all() and (answer.any() or silent > 3))
        labels = refined
        if (answer & ~_hit(labels, mask)).any() and not deaf:
            break  # cells have answered whose class was left alone: these are no sets
    explained = all(np.array_equal(_hit(labels, mask.ravel()), answer.ravel()) for mask, answer in log)
    heard = np.any([answer for _, answer in log], axis=0)
    return Sets(labels.reshape(shape), whole and explained, heard, log)


def _choose(labels: np.ndarray, rng: np.random.Generator, one_each: bool) -> np.ndarray:
    """One cell of every class of few sets, which splits it; of larger ones enough to hit about half of their sets."""
    sizes = np.bincount(labels)
    smallest = sizes.min()
    order = rng.permutation(labels.size)
    first_of_class = order[np.unique(labels[order], return_index=True)[1]]
    mask = np.zeros(labels.size, bool)
    mask[first_of_class] = True
    if not one_each:
        large = sizes > 3.5 * smallest
        mask[first_of_class[large]] = False
        mask |= large[labels] & (rng.random(labels.size) < 1 - 0.5 ** (1 / smallest))
    return mask


def _hit(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Which cells share a set with a disturbed one."""
    return np.bincount(labels, mask, labels.max() + 1)[labels] > 0


def number(keys: np.ndarray) -> np.ndarray:
    """Number the classes of `keys` in the order in which they first come up."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].reshape(keys.shape)


def block_of(labels: np.ndarray) -> tuple[int, ...] | None:
    """Return the block if the sets are equal boxes, each at a multiple of its extents; None otherwise."""
    inside = np.argwhere(labels == labels.flat[0])
    block = tuple(int(n) + 1 for n in inside.max(0))
    if any(n % b for n, b in zip(labels.shape, block, strict=True)):
        return None
    grid = [n // b for n, b in zip(labels.shape, block, strict=True)]
    numbers = np.arange(math.prod(grid)).reshape(grid)
    for axis, extent in enumerate(block):
        numbers = numbers.repeat(extent, axis)
    return block if np.array_equal(numbers, labels) else None


def rows_with(labels: np.ndarray, certain: np.ndarray | None = None) -> list[tuple[Method, int | None]]:
    """Every row of METHODS, with its num_groups, that cuts the shape into these sets.

    Where only some cells are `certain`, rows that agree on those.
    """
    fits = []
    for row, pool in every_pooling(labels.shape):
        theirs = pool.labels()
        seen = slice(None) if certain is None else certain
        if np.array_equal(number(theirs[seen].ravel()), number(labels[seen].ravel())):
            fits.append((row, pool.num_groups))
    return fits


def rescued(labels: np.ndarray, heard: np.ndarray) -> np.ndarray | None:
    """Return the only way to cut the shape that the cells which were heard allow, or None if there is no such way."""
    if not heard.any():
        return None
    ways = [Pooling(row.name, labels.shape, groups).labels() for row, groups in rows_with(labels, heard)]
    if np.unique(labels[heard]).size == heard.sum():
        ways.append(np.arange(labels.size).reshape(labels.shape))
    return ways[0] if len({way.tobytes() for way in ways}) == 1 else None


def every_pooling(shape: tuple[int, ...]) -> list[tuple[Method, Pooling]]:
    """Every way in which a row of METHODS cuts a shape."""
    return [
        (row, Pooling(row.name, shape, groups))
        for row in METHODS.values()
        for groups in (divisors(shape[row.grouped_axis]) if row.has_groups else (None,))
    ]


def grown(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with two cells or more along every axis, where methods that agree on `shape` part."""
    return tuple(max(2, n) for n in shape)


def other_sizes(labels: np.ndarray) -> list[tuple[int, ...]]:
    """Shapes on which the sets are what they are, with another number of cells: smallest sets first.

    Only axes that every set pools whole may change: there the sets of the new shape are known.
    """
    rank = labels.ndim
    whole = [a for a in range(rank) if labels.shape[a] > 0 and (labels == labels.take([0], a)).all()]
    spatial, others = [a for a in whole if a > 1], [a for a in whole if a < 2]
    plans = [spatial, *([a] for a in others)] if spatial else [[a] for a in others]
    shapes = []
    for axes, lengths in product(plans, ((2, 3), (1, 2), (3, 5))):
        shape = list(labels.shape)
        for i, axis in enumerate(axes):
            shape[axis] = lengths[i % 2]
        shapes.append(tuple(shape))
    ratio = {s: math.prod(s) / labels.size for s in shapes}
    least = np.bincount(labels.ravel()).min()
    good = [s for s in dict.fromkeys(shapes) if ratio[s] != 1 and least * ratio[s] >= 2]
    return sorted(good, key=lambda s: abs(math.log(least * ratio[s] / 4)))


def carry(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Carry what is known of each cell to another shape, along axes on which it does not change."""
    for axis, length in enumerate(shape):
        if cells.shape[axis] != length:
            cells = cells.take([0], axis).repeat(length, axis)
    return cells


def statistics_of(x: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Mean, biased variance, mean square and number of cells of every set, each spread over its cells."""
    flat, values = labels.ravel(), x.ravel()
    count = np.bincount(flat)
    mean = np.bincount(flat, values) / count
    var = np.bincount(flat, np.square(values - mean[flat])) / count
    found = {"mean": mean, "var": var, "square": np.bincount(flat, np.square(values)) / count, "count": count}
    return {name: value[labels] for name, value in found.items()}
