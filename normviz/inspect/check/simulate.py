"""A normalizer in parts that can each be wrong, and what each version of it gives for one input."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling

MOST_CELLS = 4096
"""Cells that a version is compared on; of a larger input this many are drawn."""


@dataclass(frozen=True)
class Cut:
    """Which cells share a set.

    Attributes
    ----------
    kind
        "block"; "strided", cell i of the grouped axis in group i % G; "scattered", the cells of a sample dealt out to G
        groups one by one; or "axis", the method's own sets with another axis taken for the channels.
    block
        Extents of a set along each axis of (N, C, *spatial), for "block".
    axis
        That of the channels, for "axis".
    """

    kind: str = "block"
    block: tuple[int, ...] = ()
    axis: int = 1

    def labels(self, pool: Pooling) -> np.ndarray:
        """Number of the set that each cell is in."""
        shape, groups = pool.shape, pool.num_groups or 1
        where = np.indices(shape, sparse=True)
        if self.kind == "axis":
            order = [0, self.axis, *(a for a in range(1, len(shape)) if a != self.axis)]
            other = Pooling(pool.method, tuple(shape[a] for a in order), pool.num_groups).labels()
            return other.transpose(np.argsort(order))
        if self.kind == "scattered":
            size = math.prod(shape[1:])
            return groups * where[0] + np.arange(size).reshape(1, *shape[1:]) % groups
        strided = METHODS[pool.method].grouped_axis if self.kind == "strided" else None
        labels = np.zeros(shape, int)
        for axis, (length, extent) in enumerate(zip(shape, self.block, strict=True)):
            count = length // extent
            labels = labels * count + (where[axis] % count if axis == strided else where[axis] // extent)
        return labels


@dataclass(frozen=True)
class Recipe:
    """One version of a normalizer.

    Attributes
    ----------
    cut
        The sets.
    ddof
        What is taken from the number of cells before the sum of squares is divided by it.
    centre
        "mean"; "kept", the variance divides but the mean stays in; "square", so does the mean square.
    eps, eps_at
        What is added, and where: "inside" the root, "outside", or nowhere, "missing".
    power
        0.5 for the standard deviation, 1.0 for the variance itself.
    affine
        What becomes of weight and bias: "right", or a key of AFFINE.
    """

    cut: Cut
    eps: float
    ddof: int = 0
    centre: str = "mean"
    eps_at: str = "inside"
    power: float = 0.5
    affine: str = "right"


AFFINE = ("swapped", "before", "scale first", "shift first", "group first", "group index", "group mean", "last axis")
AFFINE_OTHER = ("none", "weight only", "bias only")
BEFORE = {"before": "affine", "scale first": "scaled"}


@dataclass
class Scene:
    """One input, and what versions of the normalizer give for it on some of its cells.

    Attributes
    ----------
    pool
        The sets as they should be.
    x
        (N, C, *spatial), float64.
    weight, bias
        Broadcasting against x, or None.
    statistic
        That of the method.
    """

    pool: Pooling
    x: np.ndarray
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    cells: Any = None
    _known: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Draw the cells to compare on."""
        self.statistic = METHODS[self.pool.method].statistic
        if self.cells is None:
            self.cells = slice(None)
            if self.x.size > MOST_CELLS:
                self.cells = np.random.default_rng(0).choice(self.x.size, MOST_CELLS, replace=False)

    @property
    def has_affine(self) -> bool:
        """Whether there is a weight or a bias."""
        return self.weight is not None or self.bias is not None

    def whole(self) -> Scene:
        """The same with every cell."""
        return Scene(self.pool, self.x, self.weight, self.bias, slice(None))

    def flat(self, y: np.ndarray) -> np.ndarray:
        """The compared cells of an array of x's shape."""
        return y.reshape(-1)[self.cells]

    @np.errstate(all="ignore")
    def statistics(self, cut: Cut, before: str = "x") -> tuple[np.ndarray, ...]:
        """Value, mean, variance, mean square and number of cells, those of each compared cell's set."""
        if (cut, before) not in self._known:
            x = self._given(before)
            labels = cut.labels(self.pool).reshape(-1)
            count = np.bincount(labels)
            flat = x.reshape(-1)
            # Relative to one value of the set, so that a constant has a variance of exactly 0.
            first = np.zeros(len(count))
            first[labels] = flat
            moved = flat - first[labels]
            mean = np.bincount(labels, moved) / count
            var = np.bincount(labels, np.square(moved - mean[labels])) / count
            square = np.bincount(labels, np.square(flat)) / count
            at = labels[self.cells]
            self._known[cut, before] = (flat[self.cells], (mean + first)[at], var[at], square[at], count[at])
        return self._known[cut, before]

    def _given(self, before: str) -> np.ndarray:
        scaled = self.x if before == "x" or self.weight is None else self.x * self.weight
        shifted = scaled if before != "affine" or self.bias is None else scaled + self.bias
        return np.broadcast_to(shifted, self.x.shape)

    @np.errstate(all="ignore")
    def parts(self, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
        """What is divided, and what divides it before eps: the variance, or what stands in its place."""
        value, mean, var, square, count = self.statistics(recipe.cut, BEFORE.get(recipe.affine, "x"))
        spread = square if recipe.centre == "square" else var
        if self.statistic == "squared norm":
            spread = spread * count
        if recipe.ddof:
            spread = spread * count / (count - recipe.ddof)
        return (value - mean if recipe.centre == "mean" else value), spread

    @np.errstate(all="ignore")
    def output(self, recipe: Recipe) -> np.ndarray:
        """What a version gives for the compared cells."""
        above, spread = self.parts(recipe)
        return self.affine(above / divisor(spread, recipe), recipe.affine)

    @np.errstate(all="ignore")
    def running(self, recipe: Recipe, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        """What a version gives with the given statistics of each channel."""
        along = [1, -1, *[1] * (self.x.ndim - 2)]
        above = self._given(BEFORE.get(recipe.affine, "x"))
        above = above - mean.reshape(along) if recipe.centre == "mean" else above
        x_hat = self.flat(above / divisor(var.reshape(along), recipe))
        return self.affine(x_hat, recipe.affine)

    def affine(self, x_hat: np.ndarray, kind: str) -> np.ndarray:
        """x_hat with weight and bias put in."""
        w, b = self.parameters(kind)
        if kind == "shift first":
            return (x_hat + b) * w
        return x_hat * w + b

    def unaffine(self, y: np.ndarray, kind: str) -> np.ndarray:
        """The x_hat that an output was made of."""
        w, b = self.parameters(kind)
        return y / w - b if kind == "shift first" else (y - b) / w

    def parameters(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of each compared cell, as a version takes them."""
        if kind not in self._known:
            w, b = (self._spread(p, kind, d) for p, d in ((self.weight, 1.0), (self.bias, 0.0)))
            one, zero = np.ones_like(w), np.zeros_like(b)
            chosen = {
                "swapped": (b, w),
                "before": (one, zero),
                "scale first": (one, b),
                "none": (one, zero),
                "weight only": (w, zero),
                "bias only": (one, b),
            }
            self._known[kind] = chosen.get(kind, (w, b))
        return self._known[kind]

    def _spread(self, p: Any, kind: str, default: float) -> np.ndarray:
        if p is None:
            return self.flat(np.full(self.x.shape, default))
        if kind.startswith("group"):
            one = p.reshape(-1)
            each = len(one) // (self.pool.num_groups or 1)
            first = {
                "group first": one[::each],
                "group index": one[: self.pool.num_groups],
                "group mean": one.reshape(-1, each).mean(1),
            }[kind]
            p = first.repeat(each).reshape(p.shape)
        elif kind == "last axis":
            p = np.moveaxis(p, 1, -1)
        return self.flat(np.broadcast_to(p, self.x.shape))


@np.errstate(all="ignore")
def divisor(spread: np.ndarray, recipe: Recipe) -> np.ndarray:
    """What a version divides by."""
    eps = 0.0 if recipe.eps_at == "missing" else recipe.eps
    if recipe.eps_at == "inside":
        spread = spread + eps
    root = np.sqrt(spread) if recipe.power == 0.5 else spread
    return root + eps if recipe.eps_at == "outside" else root


def right(pool: Pooling, eps: float) -> Recipe:
    """The version without a fault."""
    centre = "mean" if METHODS[pool.method].centered else "square"
    return Recipe(Cut("block", pool.block), eps, centre=centre)
