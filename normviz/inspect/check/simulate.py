"""Simulated versions of a normalizer: the parts that can be wrong, the inputs, and the output of each version.

A bug may divide by 0; `check` has told NumPy to say nothing about that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.random import Generator

from normviz.core.pooling import Pooling, canonical
from normviz.inspect.probe.reading import Reading

MOST_CELLS = 4096
"""`Scene.sample` keeps at most this many cells."""

Pair = tuple[np.ndarray, np.ndarray]
"""Mean and variance of every channel, (C,) each."""

TOLERANCE = {2.0**-52: 1e-9, 2.0**-23: 1e-4, 2.0**-10: 2e-2, 2.0**-7: 1e-1}
"""Relative tolerance of an output, by the resolution of its dtype: sums in another order may differ by this much."""


FLOAT16 = 2.0**-10
"""The resolution of float16, whose largest number is 65504."""


@dataclass(frozen=True)
class Cut:
    """Which cells share a set."""

    # kind: "block"; "strided", index i of the grouped axis in group i % G; "scattered", the cells of a sample dealt out
    # to G groups one by one; "axis", the method's own sets with another axis as the channels; or "read"
    kind: str = "block"
    block: tuple[int, ...] = ()  # extents of a set along each axis of (N, C, *spatial), for "block" and "strided"
    axis: int = 1  # the axis of the channels, for "axis"
    reading: Reading | None = None  # whose sets these are, for "read"

    def labels(self, pool: Pooling) -> np.ndarray:
        """Return an int array of the shape of x: the number of the set that each cell is in."""
        shape, groups = pool.shape, pool.num_groups or 1
        where = np.indices(shape, sparse=True)
        if self.reading:
            return canonical(self.reading.labels, self.reading.names.index("C"))
        if self.kind == "axis":
            order = [0, self.axis, *(a for a in range(1, len(shape)) if a != self.axis)]
            other = Pooling(pool.method, tuple(shape[a] for a in order), pool.num_groups).labels()
            return other.transpose(np.argsort(order))
        if self.kind == "scattered":
            size = math.prod(shape[1:])
            return groups * where[0] + np.arange(size).reshape(1, *shape[1:]) % groups
        strided = pool.row.grouped_axis if self.kind == "strided" else None
        labels = np.zeros(shape, int)
        for axis, (length, extent) in enumerate(zip(shape, self.block, strict=True)):
            count = length // extent
            labels = labels * count + (where[axis] % count if axis == strided else where[axis] // extent)
        return labels


@dataclass(frozen=True)
class SetStatistics:
    """Statistics of the set of each compared cell."""

    # value, mean, var, mean_square, count: one number for each compared cell: its value, then the statistics of its set
    # (biased variance)
    value: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    mean_square: np.ndarray
    count: np.ndarray
    deviation: np.ndarray  # value - mean of every cell of x, flat
    # average: takes one number for each cell of x, flat, and returns its mean over the set of each compared cell
    average: Callable[[np.ndarray], np.ndarray]
    largest: Callable[[], np.ndarray]  # returns the largest |x| in the set of each compared cell


mean, variance, mean_square = (attrgetter(name) for name in ("mean", "var", "mean_square"))
"""Functions of `SetStatistics`, for `Recipe.subtract` and `Recipe.spread`."""


def nothing(s: SetStatistics) -> np.ndarray:
    """Return zeros, for `Recipe.subtract`."""
    return np.zeros_like(s.mean)


def all_cells(m: np.ndarray) -> np.ndarray:
    """Return m, for `Recipe.divided_by`: the squares are averaged."""
    return m


def one(m: np.ndarray) -> float:
    """Return 1, for `Recipe.divided_by`: the squares are added up."""
    return 1.0


@dataclass(frozen=True)
class Affine:
    """How a version applies weight and bias."""

    # before: maps x, weight and bias to the input that is normalized; None normalizes x itself
    before: Callable[[Any, Any, Any], Any] | None = None
    # pick: maps the weight and the bias of each cell to those that are applied to x_hat
    pick: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]] = lambda w, b: (w, b)
    # layout: maps a parameter that broadcasts against x, and its role, to the one that is used instead of it
    layout: Callable[[np.ndarray, str], np.ndarray] | None = None
    shift_first: bool = False  # whether the bias is added before the multiplication
    name: str = "right"  # for `Finding.details`


@dataclass(frozen=True)
class Recipe:
    """One version of a normalizer."""

    cut: Cut  # the sets
    # eps, eps_at: what is added, and where: "inside" the root, "outside", to the "output" x_hat, or "missing"; with
    # "least" it is the least root, and added to nothing
    eps: float
    eps_at: str = "inside"
    # subtract: what is subtracted from x: `mean`, `nothing`, or another function of the statistics
    subtract: Callable[[SetStatistics], np.ndarray] = mean
    # spread: what the divisor is made of: `variance`, `mean_square`, or another function of the statistics
    spread: Callable[[SetStatistics], np.ndarray] = variance
    # spread_cut, around_mean: the sets of the divisor, where they are not those of the mean; there it is the variance,
    # or the mean square of what is left once the mean is subtracted
    spread_cut: Cut | None = None
    around_mean: bool = False
    # divided_by: what the sum of squares is divided by, a function of the number of cells
    divided_by: Callable[[np.ndarray], Any] = all_cells
    power: float = 0.5  # 0.5 for the standard deviation, 1.0 for the variance itself
    inverted: bool = False  # whether x is multiplied by the root, and not divided by it
    affine: Affine = Affine()  # how weight and bias are applied


def right(pool: Pooling, eps: float) -> Recipe:
    """Return the version without a bug."""
    cut, summed = Cut("block", pool.block), pool.row.statistic == "squared norm"
    if pool.row.centered:
        return Recipe(cut, eps)
    return Recipe(cut, eps, subtract=nothing, spread=mean_square, divided_by=one if summed else all_cells)


@dataclass
class Scene:
    """One input, and the outputs of versions of the normalizer for it."""

    pool: Pooling  # the right sets
    x: np.ndarray  # (N, C, *spatial), float64
    # weight, bias: broadcasting against x, or None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    resolution: float = 2.0**-52  # distance from 1 to the next number in the dtype that the function computes in
    # cells: flat indices of the cells that are compared; all of them unless it is a `sample`
    cells: Any = field(default_factory=lambda: slice(None))
    _cache: dict = field(default_factory=dict, repr=False)

    def sample(self) -> Scene:
        """Return the same scene, compared on at most MOST_CELLS cells."""
        if self.x.size <= MOST_CELLS:
            return self
        cells = np.random.default_rng(0).choice(self.x.size, MOST_CELLS, replace=False)
        return replace(self, cells=cells, _cache={})

    def flat(self, y: np.ndarray) -> np.ndarray:
        """Return the compared cells of an array of as many cells as x."""
        return y.reshape(-1)[self.cells]

    def statistics(self, recipe: Recipe) -> SetStatistics:
        """Return the statistics of the recipe's sets."""
        key = recipe.cut, recipe.affine.before
        if key not in self._cache:
            x = self._normalized(recipe.affine).reshape(-1)
            labels = recipe.cut.labels(self.pool).reshape(-1)
            count = np.bincount(labels)
            cells = labels[self.cells]
            # Relative to one value of the set, so that a constant set has a variance of exactly 0.
            first = np.zeros(len(count))
            first[labels] = x
            moved = x - first[labels]
            mean = np.bincount(labels, moved) / count
            deviation = moved - mean[labels]

            def average(values: np.ndarray) -> np.ndarray:
                return (np.bincount(labels, values) / count)[cells]

            def largest() -> np.ndarray:
                most = np.zeros(len(count))
                np.maximum.at(most, labels, np.abs(x))
                return most[cells]

            numbers = (mean + first)[cells], average(np.square(deviation)), average(np.square(x)), count[cells]
            self._cache[key] = SetStatistics(x[self.cells], *numbers, deviation, average, largest)
        return self._cache[key]

    def _normalized(self, affine: Affine) -> np.ndarray:
        """Return what a version normalizes: x, or x with weight and bias already applied."""
        if affine.before is None:
            return self.x
        w, b = (d if p is None else p for p, d in ((self.weight, 1.0), (self.bias, 0.0)))
        return np.broadcast_to(affine.before(self.x, w, b), self.x.shape)

    def parts(self, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
        """Return the numerator of x_hat, and the spread: the variance or what stands in for it, before eps."""
        key = recipe.cut, recipe.affine.before, recipe.subtract, recipe.spread, recipe.divided_by
        key += recipe.spread_cut, recipe.around_mean
        if key not in self._cache:
            s = of = self.statistics(recipe)
            if recipe.spread_cut:
                of = self.statistics(replace(recipe, cut=recipe.spread_cut))
            spread = of.average(np.square(s.deviation)) if recipe.around_mean else recipe.spread(of)
            if recipe.divided_by is not all_cells:
                spread = spread * of.count / recipe.divided_by(of.count)
            self._cache[key] = s.value - recipe.subtract(s), spread
        return self._cache[key]

    def output(self, recipe: Recipe) -> np.ndarray:
        """Return the output of a version for the compared cells."""
        numerator, spread = self.parts(recipe)
        return self.apply_affine(x_hat(numerator, divisor(spread, recipe), recipe), recipe.affine)

    def agrees(self, y: np.ndarray, recipe: Recipe, tolerance: float) -> np.ndarray:
        """Return which compared cells of the output y agree with a version of the normalizer."""
        numerator, spread = self.parts(recipe)
        root, (weight, _) = divisor(spread, recipe), self.parameters(recipe.affine)
        # The dtype of fn rounds the mean; in a set of nearly equal values the small divisor enlarges that.
        subtracted = np.abs(self.statistics(recipe).value - numerator)
        rounding = 2 * self.resolution * subtracted / root * np.abs(weight)
        expected = self.apply_affine(x_hat(numerator, root, recipe), recipe.affine)
        close = near(y, expected, tolerance, rounding)
        return close | (~self.holds(expected) & np.isinf(y)) if self.resolution == FLOAT16 else close

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which numbers are finite in the dtype that the function computes in, with a margin for rounding."""
        return np.abs(values) < (60000 if self.resolution == FLOAT16 else np.inf)

    def running_output(self, recipe: Recipe, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        """Return the output of a version with the given statistics of each channel."""
        along = [1, -1, *[1] * (self.x.ndim - 2)]
        numerator = self._normalized(recipe.affine)
        numerator = numerator if recipe.subtract is nothing else numerator - mean.reshape(along)
        root = divisor(var.reshape(along), recipe)
        return self.apply_affine(self.flat(x_hat(numerator, root, recipe)), recipe.affine)

    def apply_affine(self, x_hat: np.ndarray, affine: Affine) -> np.ndarray:
        """Return x_hat with weight and bias applied."""
        w, b = self.parameters(affine)
        return (x_hat + b) * w if affine.shift_first else x_hat * w + b

    def undo_affine(self, y: np.ndarray, affine: Affine) -> np.ndarray:
        """Return the x_hat of an output."""
        w, b = self.parameters(affine)
        return y / w - b if affine.shift_first else (y - b) / w

    def parameters(self, affine: Affine) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight and the bias of each compared cell, as a version takes them."""
        if affine not in self._cache:
            spread = []
            for role, p, default in (("weight", self.weight, 1.0), ("bias", self.bias, 0.0)):
                if p is not None and affine.layout is not None:
                    p = affine.layout(p, role)
                spread.append(self.flat(np.broadcast_to(default if p is None else p, self.x.shape)))
            self._cache[affine] = tuple(p + np.zeros_like(spread[0]) for p in affine.pick(*spread))
        return self._cache[affine]


@dataclass(frozen=True)
class Trial:
    """One input that outputs are compared on: the whole flat output, and the running statistics around the call."""

    name: str
    scene: Scene
    y: np.ndarray
    before: Pair | None = None
    after: Pair | None = None

    @cached_property
    def sampled(self) -> Output:
        """A scene of some of the cells, and the output for them."""
        scene = self.scene.sample()
        return scene, scene.flat(self.y)


Output = tuple[Scene, np.ndarray]
"""An input, and the output of fn for its compared cells."""


def divisor(spread: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return what a version divides by."""
    spread = spread + recipe.eps if recipe.eps_at == "inside" else spread
    root = np.sqrt(spread) if recipe.power == 0.5 else spread
    if recipe.eps_at in ("outside", "least"):
        root = root + recipe.eps if recipe.eps_at == "outside" else np.maximum(root, recipe.eps)
    return 1 / root if recipe.inverted else root


def x_hat(numerator: np.ndarray, root: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the normalized numbers of a version that divides by `root`, before weight and bias."""
    return numerator / root + recipe.eps if recipe.eps_at == "output" else numerator / root


def near(seen: np.ndarray, expected: np.ndarray, tolerance: float, rounding: np.ndarray | float = 0.0) -> np.ndarray:
    """Return which cells agree to within the tolerance and the rounding error; NaN agrees with NaN, inf with inf."""
    size = np.abs(expected)
    mean_square = np.square(size).sum() / size.size
    if all_finite := np.isfinite(mean_square):
        allowed = tolerance * (size + np.sqrt(mean_square)) + rounding
    else:
        finite = size[np.isfinite(size)]
        mean_square = np.mean(np.square(finite)) if finite.size else 0.0
        allowed = tolerance * (size + np.sqrt(mean_square)) + np.nan_to_num(rounding, posinf=0.0)
    close = np.abs(seen - expected) <= allowed
    return close if all_finite else close | (np.isnan(seen) & np.isnan(expected)) | (seen == expected)


def plain(shape: tuple[int, ...], rng: Generator) -> np.ndarray:
    """Return random numbers whose mean and scale differ between channels, samples and positions."""
    each = (*shape[:2], *[1] * (len(shape) - 2))
    x = rng.normal(size=shape) * rng.uniform(0.6, 1.8, each) + rng.uniform(-2, 2, each)
    for axis, n in enumerate(shape[2:], 2):
        along = [-1 if a == axis else 1 for a in range(len(shape))]
        x = x + rng.uniform(-0.7, 0.7, n).reshape(along)
    return x


def comparison_inputs(shape: tuple[int, ...], rng: Generator, eps: float, resolution: float) -> dict[str, np.ndarray]:
    """Return random inputs on which every known bug shows: two of ordinary size, and smaller ones for eps."""
    root = eps**0.5 if eps else 1e-3
    made = {"ordinary": plain(shape, rng), "other": plain(shape, rng) * 1.5}
    if resolution <= 2.0**-23:
        return made | {"small": plain(shape, rng) * 0.7 * root, "tiny": plain(shape, rng) * 1e-3 * root}
    # Half precision cannot hold much smaller numbers, so there eps shows only if it is about as large.
    return made | {"small": plain(shape, rng) * max(0.7 * root, 0.05)}


def random_parameters(size: int | tuple[int, ...], rng: Generator) -> dict[str, np.ndarray]:
    """Return a weight of both signs and a bias; no number in them is 0, 1 or a repetition."""
    weight = rng.uniform(0.5, 1.7, size) * np.where(rng.random(size) < 0.3, -1, 1)
    return {"weight": weight, "bias": rng.uniform(0.3, 1.2, size) * rng.choice([-1, 1], size)}
