"""The direct path for small NumPy arrays: the one recipe in a dozen calls, by a plan kept from the last time.

A small tensor costs what is said about it, not what is computed: checks, views and blocks take longer than its few
hundred sums. Here all that follows from the shape is looked up, and the sets become rows, in float64.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from normviz.core.methods import find
from normviz.core.pooling import canonical, pooling

MOST = 1 << 12
"""Cells that go this way at most; from about there on the blocks of the NumPy backend are as fast."""

_TYPES = frozenset(map(np.dtype, ("float32", "float64")))


@dataclass(frozen=True, eq=False)
class Plan:
    """How an array of one shape becomes rows, one a set.

    Attributes
    ----------
    tiles, order, ordered, back
        The shape in tiles; its axes with those first that count the sets, or None where they are; the shape in that
        order; the way back.
    rows
        (number of sets, cells of one).
    average
        The product of a row with it is its mean.
    centered
        Whether that is subtracted.
    over
        Makes the variance, or the mean square, of a sum of squares.
    parameters, along
        The shape of weight and bias, and the one in which they broadcast against x.
    """

    tiles: tuple[int, ...]
    order: tuple[int, ...] | None
    ordered: tuple[int, ...]
    back: tuple[int, ...]
    rows: tuple[int, int]
    average: np.ndarray
    centered: bool
    over: float
    parameters: tuple[int]
    along: tuple[int, ...]


@lru_cache(maxsize=512)
def plan(method: str, num_groups: int | None, shape: tuple[int, ...]) -> Plan:
    """Return the plan for a shape; ValueError as `normviz.pooling`."""
    pool, row = pooling(method, shape, num_groups), find(method)
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
        centered=row.centered,
        over=1.0 if row.statistic == "squared norm" else 1 / pool.size,
        parameters=(shape[row.affine_axis],),
        along=tuple(n if axis == row.affine_axis else 1 for axis, n in enumerate(shape)),
    )


def takes(x: Any, backend: str | None) -> bool:
    """Whether x goes this way: a small array of float32 or float64 that NumPy is to work on."""
    return (
        type(x) is np.ndarray
        and 0 < x.size <= MOST
        and x.dtype in _TYPES
        and (backend == "numpy" or (backend is None and "NORMVIZ_GPU_MIN_BYTES" not in os.environ))
    )


def view(x: np.ndarray, channel_axis: Any) -> np.ndarray:
    """Return `canonical(x, channel_axis)`, at once for channels first."""
    return x if type(channel_axis) is int and channel_axis == 1 else canonical(x, channel_axis)


@np.errstate(all="ignore")
def measure(x: np.ndarray, how: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x as rows with the mean subtracted, the means, and the sums of squares of what is left; all float64."""
    if how.order is None:
        rows = x.reshape(how.rows).astype(np.float64)
    else:
        rows = x.reshape(how.tiles).transpose(how.order).astype(np.float64, order="C").reshape(how.rows)
    if not how.centered:
        return rows, np.zeros(len(rows)), np.vecdot(rows, rows)
    # Relative to the first value, so that a constant has a variance of exactly 0.
    first = rows[:, 0].copy()
    rows -= first[:, None]
    mean = np.vecdot(rows, how.average)
    rows -= mean[:, None]
    mean += first
    return rows, mean, np.vecdot(rows, rows)


@np.errstate(all="ignore")
def normalize(x: np.ndarray, how: Plan, weight: Any, bias: Any, eps: float, out: np.ndarray) -> None:
    """Write (x - mean) / sqrt(var + eps) * weight + bias to out, which may be x."""
    rows, _, squares = measure(x, how)
    squares *= how.over
    squares += eps
    np.sqrt(squares, squares)
    rows /= squares[:, None]
    y = rows.reshape(x.shape) if how.order is None else rows.reshape(how.ordered).transpose(how.back).reshape(x.shape)
    if weight is not None:
        y *= weight.reshape(how.along)
    if bias is not None:
        y += bias.reshape(how.along)
    out[...] = y


def named(method: Any, num_groups: Any) -> bool:
    """Whether a plan can be looked up by these."""
    return type(method) is str and (num_groups is None or type(num_groups) is int)


def plain(parameter: Any, how: Plan) -> bool:
    """Whether a weight or bias needs no further look: none, or one number a channel."""
    return parameter is None or (
        type(parameter) is np.ndarray and parameter.dtype in _TYPES and parameter.shape == how.parameters
    )
