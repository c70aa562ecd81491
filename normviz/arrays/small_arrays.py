"""The path of a small NumPy array: the sets become rows in float64, by a plan that is kept for each shape.

For small tensors, argument checking and blocking cost more than the arithmetic. Everything that follows from the shape
is therefore looked up, and about a dozen NumPy calls do the rest.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from normviz.arrays.request import Request
from normviz.backends.base import Backend
from normviz.core.pooling import Pooling

MOST = 0
"""The most cells that take this path."""

_TYPES = frozenset(map(np.dtype, ("float32", "float64")))


@dataclass(frozen=True, eq=False)
class Plan:
    """How an array of one shape becomes rows, one for each set.

    Attributes
    ----------
    tiles
        The shape in tiles, without axes of length 1.
    order
        The axes of the tiles with those that count the sets first; None where they are in that order already.
    ordered, back
        The shape in that order, and the way back from it.
    rows
        (number of sets, cells of one).
    average
        The dot product of a row with it is the mean of the row.
    over
        Factor that turns a sum of squares into the variance or the mean square.
    """

    tiles: tuple[int, ...]
    order: tuple[int, ...] | None
    ordered: tuple[int, ...]
    back: tuple[int, ...]
    rows: tuple[int, int]
    average: np.ndarray
    over: float


@lru_cache(maxsize=512)
def plan(pool: Pooling) -> Plan:
    """Return the plan for a pooling."""
    tiles = [n for pair in zip(pool.grid, pool.block, strict=True) for n in pair]
    live = [axis for axis, n in enumerate(tiles) if n > 1]
    order = sorted(range(len(live)), key=lambda i: live[i] % 2)
    lengths = tuple(tiles[axis] for axis in live)
    return Plan(
        tiles=lengths,
        order=tuple(order) if order != sorted(order) else None,
        ordered=tuple(lengths[i] for i in order),
        back=tuple(order.index(i) for i in range(len(order))),
        rows=(pool.count, pool.size),
        average=np.full(pool.size, 1 / pool.size),
        over=1.0 if pool.row.statistic == "squared norm" else 1 / pool.size,
    )


def takes(request: Request) -> bool:
    """Return whether the array is small enough, of float32 or float64, and on NumPy."""
    x = request.view
    return (
        request.worker.name == "numpy"
        and x.size <= MOST
        and x.dtype in _TYPES
        and request.given is None
        and request.grad is None
    )


@np.errstate(all="ignore")
def moments(request: Request) -> tuple[np.ndarray, np.ndarray, Backend]:
    """Return mean and M2 of every set, and the backend."""
    _, mean, m2 = _deviations(request)
    return mean, m2, request.worker


@np.errstate(all="ignore")
def normalize(request: Request) -> Any:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, as the caller's kind of array."""
    x, how = request.view, plan(request.pool)
    rows, _, squares = _deviations(request)
    squares *= how.over
    squares += request.eps
    np.sqrt(squares, squares)
    rows /= squares[:, None]
    y = rows.reshape(x.shape) if how.order is None else rows.reshape(how.ordered).transpose(how.back).reshape(x.shape)
    if request.weight is not None:
        y *= request.weight
    if request.bias is not None:
        y += request.bias
    out = np.empty_like(x) if request.target is None else request.target
    out[...] = y
    return request.deliver(out)


def _deviations(request: Request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sets as rows less their means, the means, and the sums of squares of the rows; all float64."""
    x, how = request.view, plan(request.pool)
    if how.order is None:
        rows = x.reshape(how.rows).astype(np.float64)
    else:
        rows = x.reshape(how.tiles).transpose(how.order).astype(np.float64, order="C").reshape(how.rows)
    if not request.pool.row.centered:
        return rows, np.zeros(len(rows)), np.vecdot(rows, rows)
    # Relative to the first value, so that a constant has a variance of exactly 0.
    first = rows[:, 0].copy()
    rows -= first[:, None]
    mean = np.vecdot(rows, how.average)
    rows -= mean[:, None]
    mean += first
    return rows, mean, np.vecdot(rows, rows)
