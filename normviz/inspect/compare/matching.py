"""Which cell of one array is which of another, whatever the layouts: the same values in another shape and order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, permutations, product
from math import gcd
from operator import mul

import numpy as np

MOST_CELLS = 2**26
"""Larger arrays are compared as they are."""
SAMPLE = 64
"""Cells on which an order of axes is tried before it is tried on all."""
MOST_AXES = 6
"""Axes of an array after one or two of them have been split."""
BY_CHANCE = 0.05
"""Two random arrays of N values each, sorted, differ by about N ** -0.5: only far less shows that they are the same."""
LEAST_CLEAR = 0.1
"""Share of the cells that must have values of their own, if the cells are matched by nothing but their values."""
OTHER_VALUES = "its inputs hold other values"
UNTOLD = "which of its inputs is which could not be told"


@dataclass(frozen=True, eq=False)
class Match:
    """How the cells of two arrays correspond."""

    difference: float  # relative, of the values in matching order; infinite if no order is known, and shapes differ
    order: np.ndarray | None = None  # for each cell of b, flat, the flat index of that of a; None: they are in place
    clear: np.ndarray | None = None  # which cells of b are matched beyond doubt, flat; None: all are
    why: str = ""  # why the cells could not be matched, "" if they are

    def both(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers of a's cells and of b's cells in one order, of the cells that are matched beyond doubt."""
        if self.order is None:
            return a, b
        flat_a, flat_b = a.reshape(-1)[self.order], b.reshape(-1)
        return (flat_a, flat_b) if self.clear is None else (flat_a[self.clear], flat_b[self.clear])


def match(a: np.ndarray, b: np.ndarray, tolerance: float) -> Match:
    """Match the cells of two arrays with the same values up to a relative difference: in place, else in any order."""
    as_they_are = relative(a, b)
    if as_they_are <= tolerance:
        return Match(as_they_are)
    if a.size != b.size:
        return Match(as_they_are, why=f"it gets {a.size} cells in a and {b.size} in b")
    other = Match(as_they_are, why=OTHER_VALUES)
    if a.size > MOST_CELLS:
        return Match(as_they_are, why=UNTOLD) if a.shape != b.shape else other
    if not _may_agree(a, b, tolerance):
        return other
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for tried in (_axis_orders(a, b, tolerance), map(np.argsort, _axis_orders(b, a, tolerance))):
        for order in tried:
            if (difference := relative(flat_a[order], flat_b)) <= tolerance:
                return Match(difference, order)
    rank_a, rank_b = np.argsort(flat_a, kind="stable"), np.argsort(flat_b, kind="stable")
    sorted_a, sorted_b = flat_a[rank_a], flat_b[rank_b]
    if not (difference := relative(sorted_a, sorted_b)) <= tolerance:
        return other
    # Two neighbours may have been exchanged by rounding, if they are as near as the two arrays differ.
    step = 4 * float(np.abs(np.subtract(sorted_a, sorted_b, dtype=np.float64)).max())
    apart_a, apart_b = (np.diff(s.astype(np.float64)) > step for s in (sorted_a, sorted_b))
    apart = np.concatenate([[True], apart_a & apart_b, [True]])
    order, clear = np.empty(b.size, np.int64), np.empty(b.size, bool)
    order[rank_b], clear[rank_b] = rank_a, apart[1:] & apart[:-1]
    if difference > BY_CHANCE * b.size**-0.5:
        return other
    if clear.mean() < LEAST_CLEAR:
        return Match(as_they_are, why=UNTOLD)
    return Match(difference, order, None if clear.all() else clear)


def _may_agree(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether sums allow so small a difference in some order: root mean squares and means differ by even less."""
    with np.errstate(all="ignore"):
        (size_a, size_b), (mean_a, mean_b) = (
            [float(f(t)) for t in (a, b)]
            for f in (lambda t: np.sqrt(np.square(t, dtype=np.float64).mean()), lambda t: t.mean(dtype=np.float64))
        )
    room = 1.01 * tolerance * max(size_a, size_b)
    return np.isfinite(room) and abs(size_a - size_b) <= room and abs(mean_a - mean_b) <= room


def _axis_orders(a: np.ndarray, b: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """Yield, as for `Match.order`, the orders of a's axes, one or two of them split, that give b on a sample of cells.

    This needs no values that occur once, as the cells after a ReLU have not; and rounding cannot mislead it.
    """
    cells = np.random.default_rng(0).integers(b.size, size=SAMPLE)
    wanted = b.reshape(-1)[cells]
    at = np.arange(a.size)
    edges = {*accumulate(b.shape, mul)}
    for lengths in _splits(tuple(n for n in a.shape if n > 1), tuple(n for n in b.shape if n > 1)):
        parts, numbers = a.reshape(lengths), at.reshape(lengths)
        for axes in permutations(range(len(lengths))):
            if not edges <= {1, *accumulate((lengths[axis] for axis in axes), mul)}:
                continue  # an axis of b would be no product of axes
            view = parts.transpose(axes)
            if relative(view[np.unravel_index(cells, view.shape)], wanted) <= 10 * tolerance:
                yield numbers.transpose(axes).reshape(-1)


def _splits(a: tuple[int, ...], b: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the lengths a, and those with one or two axes split at a common divisor of an axis of a and one of b."""
    ways = [
        [(n,), *sorted({p for d in {gcd(n, m) for m in b} for p in ((n // d, d), (d, n // d))} - {(n, 1), (1, n)})]
        for n in a
    ]
    chosen = [way for way in product(*ways) if sum(map(len, way)) <= min(len(a) + 2, MOST_AXES)]
    for way in sorted(chosen, key=lambda way: sum(map(len, way))):
        yield tuple(n for part in way for n in part)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two flat arrays of labels put the same cells together."""
    pairs = np.unique(a * (int(b.max()) + 1) + b).size
    return pairs == np.unique(a).size == np.unique(b).size


def relative(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Return the root mean square of a - b over that of the larger of them, in float64; infinite for other shapes.

    >>> relative(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1, relative(np.zeros(2), np.zeros(3))
    (True, inf)
    """
    if a.shape != b.shape:
        return np.inf
    # Along axes that are broadcast in both all numbers are the same, and the mean is that of one.
    once = tuple(slice(0, 1) if s == t == 0 else slice(None) for s, t in zip(a.strides, b.strides, strict=True))
    a, b = a[once], b[once]
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    with np.errstate(all="ignore"):
        difference = np.subtract(a, b, dtype=np.float64)
        off, size_a, size_b = (float(np.sqrt(np.square(t, dtype=np.float64).mean())) for t in (difference, a, b))
        found = off / max(size_a, size_b, least)
    return found if np.isfinite(found) else np.inf
