"""Find which cells share a set, from the outputs that respond when some inputs are changed.

A cell responds when any cell of its set is changed, so the cells of one set always respond alike. Group the cells that
have responded alike so far into classes, and change one cell of every class. A class that is one set responds as a
whole; a class of several sets responds in part, and is split. After about log2(number of sets) calls every class
responds as a whole, which proves that the classes are the sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling, divisors

Experiment = Callable[[np.ndarray], np.ndarray]
Log = list[tuple[np.ndarray, np.ndarray]]
MAX_CALLS = 30


@dataclass(frozen=True)
class Overlap:
    """Which cells answer to which, if the sets overlap."""

    reach: tuple[np.ndarray, ...]  # for each axis a boolean array [changed, responding] of its indices
    names: tuple[str, ...]  # in words, with {axis} for the axis; "" where it is not pooled, "all" where all of it is

    def hit(self, mask: np.ndarray) -> np.ndarray:
        """Return which cells answer to the changed ones."""
        return reduce(lambda cells, reach: np.tensordot(cells, reach, (0, 0)) > 0, self.reach, mask)

    def in_words(self, axis_of: Callable[[int], int]) -> str:
        """Return "sets overlap: each cell responds to ...", with the numbers of the axes that fn has."""
        named = [n.format(axis=axis_of(a)) for a, n in enumerate(self.names) if n not in ("", "all")]
        whole = sorted(axis_of(a) for a, name in enumerate(self.names) if name == "all")
        over = f", over all of {'axis' if len(whole) == 1 else 'axes'} {', '.join(map(str, whole))}" if whole else ""
        return f"sets overlap: each cell responds to {' and '.join(named)}{over}"


@dataclass(frozen=True)
class Sets:
    """A partition of the cells. Arrays are of the shape (N, C, *spatial)."""

    labels: np.ndarray  # numbers of the sets, in the order in which they first occur
    proven: bool  # whether they explain every response, and each set responded as a whole in the last call
    responded: np.ndarray  # which cells have responded at all
    log: Log  # for each call, which cells were changed and which responded
    active: np.ndarray | None = None  # if some cells are mute, those known to change the others of their sets
    mute: np.ndarray | None = None  # and those known not to
    overlap: Overlap | None = None  # how the sets overlap, if they do; `labels` means nothing then

    def hit(self, mask: np.ndarray) -> np.ndarray:
        """Return which cells answer when those of the mask are changed."""
        if self.overlap:
            return self.overlap.hit(mask)
        return _hit(self.labels.ravel(), mask.ravel()).reshape(mask.shape)


def find_sets(
    experiment: Experiment,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    max_calls: int = MAX_CALLS,
    incomplete: bool = False,
    exact: bool = False,
    coarser: np.ndarray | None = None,
) -> Sets:
    """Find the sets of a shape with few calls.

    `experiment` takes a boolean array, the cells to change, and returns another, the cells that respond. `incomplete`
    means that some cells may fail to respond, so a response that does not fit is no reason to stop; `exact` that every
    cell responds that can, so those that never do are constants, and sets of their own. `coarser` are labels of
    classes that the sets cannot exceed.
    """
    log, stuck, whole, without = [], False, False, 0
    labels = np.zeros(math.prod(shape), int) if coarser is None else coarser.ravel()

    def ask(mask: np.ndarray) -> np.ndarray:
        log.append((mask.reshape(shape), experiment(mask.reshape(shape))))
        return log[-1][1].ravel()

    while not whole and len(log) < max_calls:
        before, pairs = labels.max(), bool(log) and (stuck or not labels.any())
        if pairs:  # one cell in every other set, then one in each of those between: neither may reach the others
            half = _checkered(labels.reshape(shape)).ravel()
            mask = _choose(labels if before else half.astype(int), rng, one_each=True)
            masks = [mask & half, mask & ~half]
        else:
            masks = [_choose(labels, rng, one_each=False)]
        for mask in masks:
            response = ask(mask)
            without += not response.any()
            labels = number(labels * 2 + response)
            first = log[0][1].ravel()
            if (response & ~_hit(labels, mask)).any() or (len(log) == 2 and 0 < response[first].sum() < first.sum()):
                # Cells of an unchanged class have responded, or the set of the first cell is none to another.
                max_calls = max_calls if incomplete else 0
        stuck = labels.max() == before
        whole = pairs and stuck and (response.any() or without > 3)
        if exact and without == len(log) == 3:
            break
    responded = np.any([response for _, response in log], axis=0).ravel()
    silent = ~responded & exact & responded.any()
    labels = number(np.where(silent, labels.size + np.arange(labels.size), labels))
    alone = (np.bincount(labels) == 1)[labels]
    if whole and alone.any() and not alone.all():
        # Changed together, single cells must not reach a set, and no set may reach them.
        ask(alone)
        ask(_choose(labels, rng, one_each=True) & ~alone)
    explained = all(np.array_equal(_hit(labels, mask.ravel()) & ~silent, response.ravel()) for mask, response in log)
    return Sets(labels.reshape(shape), bool(whole and explained), responded.reshape(shape), log)


def _choose(labels: np.ndarray, rng: np.random.Generator, one_each: bool) -> np.ndarray:
    """Return the cells to change: one of each small class; in larger ones enough for about half of their sets."""
    sizes = np.bincount(labels)
    smallest = sizes.min()
    order = rng.permutation(labels.size)
    first_of_class = order[np.unique(labels[order], return_index=True)[1]]
    mask = np.zeros(labels.size, bool)
    mask[first_of_class] = True
    if not one_each:
        large = sizes > 3.5 * smallest
        mask[first_of_class[large]] = False
        if smallest > 1:
            mask |= large[labels] & (rng.random(labels.size) < 1 - 0.5 ** (1 / smallest))
        else:  # every other cell of each class, so that sets of one cell are told apart in the fewest calls
            by_class = order[np.argsort(labels[order], kind="stable")]
            rank = np.empty(labels.size, int)
            rank[by_class] = np.arange(labels.size)
            mask |= large[labels] & (rank % 2 == 0)
    return mask


def _checkered(labels: np.ndarray) -> np.ndarray:
    """Return the cells of every other set along each axis, or of the first half of the only set."""
    if labels.max() == 0:
        return (np.arange(labels.size) * 2 < labels.size).reshape(labels.shape)
    _, first = np.unique(labels, return_index=True)
    places = [np.unique(axis, return_inverse=True)[1] for axis in np.unravel_index(first, labels.shape)]
    return (np.sum(places, axis=0) % 2 == 0)[labels]


def _hit(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return which cells share a set with a changed one."""
    return np.bincount(labels, mask, labels.max() + 1)[labels] > 0


def number(keys: np.ndarray) -> np.ndarray:
    """Number the classes of `keys` in the order in which they first occur."""
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
    return block if np.array_equal(numbers, number(labels)) else None


def rows_with(labels: np.ndarray, certain: np.ndarray | None = None) -> list[tuple[Method, int | None]]:
    """Return every row of METHODS, with its num_groups, that divides the shape into these sets.

    If only some cells are `certain`, the rows need to agree on those alone.
    """
    fits = []
    for row, pool in every_pooling(labels.shape):
        theirs = pool.labels()
        where = slice(None) if certain is None else certain
        if np.array_equal(number(theirs[where].ravel()), number(labels[where].ravel())):
            fits.append((row, pool.num_groups))
    return fits


def only_partition(labels: np.ndarray, responded: np.ndarray) -> np.ndarray | None:
    """Return the only partition consistent with the cells that responded; None if there are several, or none."""
    if not responded.any():
        return None
    ways = [Pooling(row.name, labels.shape, groups).labels() for row, groups in rows_with(labels, responded)]
    if np.unique(labels[responded]).size == responded.sum():
        ways.append(np.arange(labels.size).reshape(labels.shape))
    return ways[0] if len({way.tobytes() for way in ways}) == 1 else None


def every_pooling(shape: tuple[int, ...]) -> list[tuple[Method, Pooling]]:
    """Return every way in which a row of METHODS divides a shape."""
    return [
        (row, Pooling(row.name, shape, groups))
        for row in METHODS.values()
        for groups in (divisors(shape[row.grouped_axis]) if row.has_groups else (None,))
    ]


def other_sizes(labels: np.ndarray) -> list[tuple[int, ...]]:
    """Return shapes on which the same sets have another number of cells, those with the smallest sets first.

    Only the length of axes that every set pools completely is changed, since the new sets are known then.
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
    """Extend values of each cell to another shape, along axes on which they are constant."""
    for axis, length in enumerate(shape):
        if cells.shape[axis] != length:
            cells = cells.take([0], axis).repeat(length, axis)
    return cells


def statistics_of(x: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return mean, biased variance, mean square and number of cells of each cell's set, each of the shape of x."""
    flat, values = labels.ravel(), x.ravel()
    count = np.bincount(flat)
    mean = np.bincount(flat, values) / count
    var = np.bincount(flat, np.square(values - mean[flat])) / count
    found = {"mean": mean, "var": var, "square": np.bincount(flat, np.square(values)) / count, "count": count}
    return {name: value[labels] for name, value in found.items()}
