"""Views of an array in the order of its memory, as (outer, set, inner), without a copy."""

from dataclasses import dataclass

import numpy as np


def follows(tiles: np.ndarray, outer: int, inner: int) -> bool:
    """Return whether two axes, neighbours in the order of memory, can be merged into one."""
    return tiles.strides[outer] == tiles.strides[inner] * tiles.shape[inner]


@dataclass(frozen=True)
class Reading:
    """A view of tiles with the longest run of reduced axes in the middle.

    Attributes
    ----------
    view
        Shape (outer, length, inner), or (outer, outer, length, inner) where the outer axes cannot be one; the last
        axis that is longer than 1 is contiguous.
    kept
        Shape of the tiles with the reduced axes that the view merges set to 1.
    order
        The axes of the tiles as the view has them.
    """

    view: np.ndarray
    kept: tuple[int, ...]
    order: tuple[int, ...]

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return values of shape (outer, inner) in the shape `kept`."""
        return values.reshape([self.kept[axis] for axis in self.order]).transpose(np.argsort(self.order))


def reading(tiles: np.ndarray, reduced: frozenset[int]) -> Reading | None:
    """Return how to reduce the longest run of reduced axes in the order of memory, or None if strides forbid it.

    Reduced axes outside that run are kept, for a merge afterwards: the moments of every (sample, channel) lead to those
    of every channel.
    """
    live = sorted((a for a in range(tiles.ndim) if tiles.shape[a] > 1), key=lambda a: -tiles.strides[a])
    if not live or tiles.strides[live[-1]] != tiles.itemsize:
        return None
    runs: list[list[int]] = []
    for axis in live:
        if axis not in reduced:
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
    lengths = [[tiles.shape[a] for a in axes] for axes in (outer, run, inner)]
    ordered = tiles.transpose(order)
    for split in (0, 1):  # the outer axes as one; or the first of them apart, as in a slice of the channels
        first, rest = lengths[0][:split], lengths[0][split:]
        shape = [*first, *(int(np.prod(n)) for n in (rest, *lengths[1:]))]
        try:
            return Reading(ordered.reshape(shape, copy=False), kept, order)
        except ValueError:
            continue
    return None
