"""Views of an array in the order of its memory, without a copy; how to make them is found out once for each layout."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from operator import mul
from typing import Any

import numpy as np

from normviz.backends.base import tile


def follows(tiles: np.ndarray, outer: int, inner: int) -> bool:
    """Return whether two axes, neighbours in the order of memory, can be merged into one."""
    return tiles.strides[outer] == tiles.strides[inner] * tiles.shape[inner]


def viewable(x: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Return whether x, which has cells, can be reshaped to `shape` without a copy.

    NumPy 2.0 cannot be asked: it copies x to find out, also an x whose cells must not be read.
    """
    live = [axis for axis, n in enumerate(x.shape) if n > 1]
    # Where two axes cannot be merged, the new shape has to have a boundary too.
    breaks = {math.prod(x.shape[:inner]) for outer, inner in pairwise(live) if not follows(x, outer, inner)}
    return breaks <= set(accumulate(shape, mul))


def laid_out(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> np.ndarray:
    """Return an array of this layout whose cells must not be read."""
    return np.lib.stride_tricks.as_strided(np.empty(1, f"V{itemsize}"), shape, strides)


@dataclass(frozen=True)
class View:
    """How to bring an array into another order and number of axes.

    Attributes
    ----------
    tiles, order, shape
        The array is reshaped to `tiles`, transposed to `order`, and reshaped to `shape`.
    direct
        Whether reshaping it to `shape` is enough, because no axes change places.
    """

    tiles: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]
    direct: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the view of an array of this layout."""
        return x.reshape(self.shape) if self.direct else x.reshape(self.tiles).transpose(self.order).reshape(self.shape)

    def back(self, values: np.ndarray, tiles: tuple[int, ...] | None = None) -> np.ndarray:
        """Return values in this order and shape as tiles again; another shape of these leaves axes at length 1."""
        tiles = self.tiles if tiles is None else tiles
        if self.direct:
            return values.reshape(tiles)
        return values.reshape([tiles[axis] for axis in self.order]).transpose(self._inverse)

    @cached_property
    def _inverse(self) -> tuple[int, ...]:
        return tuple(map(self.order.index, range(len(self.order))))


def view(x: np.ndarray, tiles: Any, order: Any, shape: Any) -> View:
    """Return how to see x, whose axes allow it, in this order and shape."""
    live = [axis for axis in order if tiles[axis] > 1]
    return View(tiles, order, shape, live == sorted(live) and viewable(x, shape))


@dataclass(frozen=True)
class Reading:
    """A view of tiles with the longest run of reduced axes in the middle.

    Attributes
    ----------
    view
        How to see x in shape (outer, length, inner), or (outer, outer, length, inner) where the outer axes cannot be
        one; the last axis that is longer than 1 is contiguous.
    kept
        Shape of the tiles with the reduced axes that the view merges set to 1.
    apart
        The reduced axes of the tiles that are still longer than 1 then.
    parts
        How many cells these axes have.
    """

    view: View
    kept: tuple[int, ...]
    apart: tuple[int, ...]
    parts: int

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return values of shape (outer, inner) in the shape `kept`, or of the grid where nothing else is apart."""
        placed = values if self.view.direct and not self.apart else self.view.back(values, self.kept)
        return placed if self.apart else placed.reshape(self.view.tiles[::2])


@lru_cache(maxsize=1024)
def reading(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, block: tuple[int, ...]) -> Reading | None:
    """Return how to reduce the longest run of axes inside the blocks, or None if the strides of x forbid it.

    Other axes inside the blocks are kept, for a merge afterwards: the moments of every (sample, channel) lead to those
    of every channel.
    """
    x = laid_out(shape, strides, itemsize)
    tiles = tile(x, block)
    live = sorted((a for a in range(tiles.ndim) if tiles.shape[a] > 1), key=lambda a: -tiles.strides[a])
    if not live or tiles.strides[live[-1]] != itemsize:
        return None
    runs: list[list[int]] = []
    for axis in live:
        if axis % 2 == 0:
            runs.append([])
        elif runs and runs[-1] and follows(tiles, runs[-1][-1], axis):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    run = max(runs, key=lambda axes: np.prod([tiles.shape[a] for a in axes]) if axes else 0)
    if not run:
        return None
    start = live.index(run[0])
    outer, inner = live[:start], live[start + len(run) :]
    order = (*outer, *(a for a in range(tiles.ndim) if tiles.shape[a] == 1), *run, *inner)
    kept = tuple(1 if a in run else n for a, n in enumerate(tiles.shape))
    apart = tuple(a for a in range(1, tiles.ndim, 2) if kept[a] > 1)
    lengths = [[tiles.shape[a] for a in axes] for axes in (outer, run, inner)]
    for split in (0, 1):  # the outer axes as one; or the first of them apart, as in a slice of the channels
        first, rest = lengths[0][:split], lengths[0][split:]
        seen = (*first, *(math.prod(n) for n in (rest, *lengths[1:])))
        if viewable(tiles.transpose(order), seen):
            return Reading(view(x, tiles.shape, order, seen), kept, apart, math.prod(kept[a] for a in apart))
    return None
