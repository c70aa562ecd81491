"""Sets that overlap: find along which axes a cell answers to earlier ones, or to a window around it.

The relation is looked for as a product: cell i answers to cell j if it does so along every axis. Then a change of one
cell shows one row along each axis at once, and a few changes on a diagonal of x show the rows that are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from normviz.core.pooling import divisors
from normviz.inspect.probe.sets import Experiment, Log, Overlap

MOST_SINGLES = 10


def find_overlap(
    experiment: Experiment, shape: tuple[int, ...], rng: np.random.Generator, log: Log, max_calls: int
) -> Overlap | None:
    """Find the relation with few calls, which are added to the log; None if it is no such product.

    The calls in the log are what the relation is tested with.
    """
    singles = []
    most = min(max(shape), MOST_SINGLES)
    orders = [np.r_[rng.permutation(np.arange(1, n - 1))[: most - 2], np.unique([n - 1, 0])] for n in shape]
    for k in range(min(most, max_calls)):
        cell = tuple(int(order[(k + a) % len(order)]) for a, order in enumerate(orders))
        response = _ask(experiment, [cell], shape, log)
        singles.append((cell, response))
        lines = [response.any(tuple(a for a in range(len(shape)) if a != axis)) for axis in range(len(shape))]
        mute = response.sum() == 1 and all(0 < i < n - 1 for i, n in zip(cell, shape, strict=True) if n > 2)
        if mute or response.sum() != math.prod(int(line.sum()) for line in lines):
            return None
    found = [_along(axis, n, singles) for axis, n in enumerate(shape)]
    known = [f for f in found if f is not None]
    if len(known) < len(shape) or not singles:
        return None
    overlap = Overlap(tuple(reach for _, reach in known), tuple(name for name, _ in known))
    if all(name in ("", "all") for name in overlap.names):
        return None
    for _ in range(2):  # the same along other lines
        _ask(experiment, [tuple(rng.integers(shape)) for _ in range(2)], shape, log)
    return overlap if all(_agrees(overlap, *call) for call in log) else None


def _ask(experiment: Experiment, cells: list, shape: tuple[int, ...], log: Log) -> np.ndarray:
    """Change some cells, and return which respond; those that are changed count as such."""
    mask = np.zeros(shape, bool)
    mask[tuple(np.transpose(cells))] = True
    log.append((mask, experiment(mask)))
    return log[-1][1] | mask


def _agrees(overlap: Overlap, mask: np.ndarray, response: np.ndarray) -> bool:
    hit = overlap.hit(mask)
    return not (response & ~hit & ~mask).any() and bool((response | mask).sum() >= 0.95 * (hit | mask).sum())


def _along(axis: int, n: int, singles: list) -> tuple[str, np.ndarray] | None:
    """Return the simplest relation along an axis that explains every response to a single cell, with its name."""
    others = tuple(a for a in range(singles[0][1].ndim) if a != axis) if singles else ()
    rows: dict[int, np.ndarray] = {}
    for cell, response in singles:
        line = response.any(others)
        if not np.array_equal(rows.setdefault(cell[axis], line), line):
            return None
    for name, reach in _relations(n, rows):
        if all(np.array_equal(reach[j], row) for j, row in rows.items()):
            return name, reach
    return None


def _relations(n: int, rows: dict[int, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Every relation along an axis that has a name, simplest first: [changed, responding]."""
    changed, responding = np.indices((n, n))
    ahead = responding - changed
    yield "", ahead == 0
    yield "all", ahead == ahead
    for block in divisors(n)[1:-1]:
        yield f"blocks of {block} along axis {{axis}}", changed // block == responding // block
    yield "all earlier ones (causal along axis {axis})", ahead >= 0
    yield "all later ones (causal along axis {axis}, in reverse)", ahead <= 0
    steps = sorted({int(i) - j for j, row in rows.items() for i in np.flatnonzero(row)})
    yield _window([-s for s in reversed(steps)]), np.isin(ahead, steps)
    if len(rows) == n:
        reach = np.array([rows[j] for j in range(n)])
        # Cells that reach no other one may be mute, and those that answer to no other one constant.
        among = np.unique(reach[reach.sum(1) > 1][:, reach.sum(0) > 1], axis=0)
        if (among.sum(0) > 1).any():
            yield "some of the cells along axis {axis}, not the same for each", reach


def _window(steps: list[int]) -> str:
    """Name the cells at these steps from the one that answers."""
    if steps == list(range(steps[0], steps[-1] + 1)):
        before, after = -steps[0], steps[-1]
        return f"a window along axis {{axis}}, from {max(before, 0)} before it to {max(after, 0)} after it"
    return f"the cells at steps of {', '.join(map(str, steps))} along axis {{axis}}"
