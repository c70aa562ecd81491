"""Change some cells of an input, and find which cells of the output respond."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from normviz.inspect._call import Forward, Refusal
from normviz.inspect.probe.mute import find_masked, find_mute
from normviz.inspect.probe.overlap import find_overlap
from normviz.inspect.probe.sets import MAX_CALLS, Experiment, Sets, find_sets

MOST_CALLS, LARGE_CALLS = 70, 25
"""Calls after which no other kind of sets is looked for, and how many of them are left for large numbers."""


class Perturbation:
    """Changes of one input; each experiment returns one bit for each cell of the output."""

    def __init__(
        self, forward: Forward, shape: tuple[int, ...], rng: np.random.Generator, *, first: bool = True
    ) -> None:
        self.forward, self.rng, self.calls = forward, rng, 0
        signs = rng.choice([-1.0, 1.0], shape)
        # Cells neither near 0 nor near their mean, so that a change shows.
        self.x = forward.round(signs * rng.uniform(0.5, 1.5, shape))
        self.y = forward.start(self.x) if first else forward(self.x)
        self.x = forward.round(self.x)
        again, other = forward(self.x), forward(self.x, fresh=True)
        # Whether the same input gives another output with other random numbers.
        self.stochastic = not np.array_equal(again, other, equal_nan=True)
        # The other cells of a set shrink to their output for zeros where one cell dominates the set.
        try:
            self.zero = forward(np.zeros(shape))
        except Refusal:
            self.zero = np.full(shape, np.nan)
        self.finite = bool(np.isfinite(self.y).all())
        # The largest difference between two outputs with the same random numbers, and the rounding of y.
        jitter = 4 * np.fmax.reduce(np.abs(again - self.y), axis=None) if self.finite else 0.0
        self.noise = jitter + 4 * forward.resolution * np.abs(self.y)

    def poisoned(self, mask: np.ndarray) -> np.ndarray:
        """Return which cells become NaN when those of `mask` are: exact in any precision, and under any activation."""
        self.calls += 1
        return np.isnan(self.forward(np.where(mask, np.nan, self.x)))

    def pushed(self, mask: np.ndarray) -> np.ndarray:
        """Return which cells change when those of `mask` are made large: the others of their sets shrink to almost 0.

        Both signs are tried, since a set of two cells gives ±1 at any distance.
        """
        least = 16 if self.forward.dtype == "float16" else 100
        largest = 2e4 if self.forward.dtype == "float16" else math.inf
        size = min(least * math.sqrt(self.x.size), largest) * self.rng.uniform(1, 3, self.x.shape)
        size *= self.rng.choice([-1.0, 1.0], self.x.shape)
        changed = np.zeros(self.x.shape, bool)
        self.calls += 2
        for sign in (1, -1):
            y = self.forward(self.forward.round(np.where(mask, sign * size, self.x)))
            change = np.abs(y - self.y)
            changed |= ~(change <= np.maximum(self.noise, 0.02 * np.abs(self.y - self.base)))
        return changed

    @property
    def base(self) -> np.ndarray:
        """The values that outputs shrink to."""
        return np.where(np.isfinite(self.zero), self.zero, 0.0)

    def find(self, *, disjoint_alone: bool = False) -> Sets:
        """Return the sets found with NaN if large numbers confirm them, or else those found with large numbers.

        With `disjoint_alone`, neither sets that overlap nor mute cells are looked for.
        """
        self.disjoint_alone, spread = disjoint_alone, None
        try:
            # Healthy sets take about as many calls as their number has binary digits.
            most = min(MAX_CALLS, 8 + int(1.5 * math.log2(self.x.size)))
            sets = self._search(self.poisoned, most, exact=True)
            if sets.proven and sets.mute is None and np.bincount(sets.labels.ravel()).min() > 1:
                spread = sets.labels
            found = sets.proven or sets.overlap
            if self.confirm(sets) if found else self.stochastic and sets.responded.any():
                return sets
        except Refusal:
            pass
        # fn refuses NaN, replaces it, or spreads it by a product with zero.
        return self._search(self.pushed, 15, coarser=spread)

    def _search(
        self, experiment: Experiment, most: int, exact: bool = False, coarser: np.ndarray | None = None
    ) -> Sets:
        """Look for disjoint sets, then for sets that overlap, then for sets with mute cells."""
        hides = {"incomplete": self.stochastic and exact, "exact": exact and not self.stochastic}
        shape, rng = self.x.shape, self.rng

        def left() -> int:
            return self._left() - LARGE_CALLS if exact else self._left() // 2

        sets = find_sets(experiment, shape, rng, max_calls=max(2, min(most, left())), coarser=coarser, **hides)
        if sets.proven or self.stochastic or self.disjoint_alone or not sets.responded.any():
            return sets
        log = [*sets.log]
        overlap = find_overlap(experiment, shape, rng, log, left())
        if overlap:
            return replace(sets, overlap=overlap)
        few = [call for call in log if 8 * call[0].sum() <= self.x.size]
        return find_masked(experiment, shape, rng, few, left()) or sets

    def mute(self, labels: np.ndarray) -> np.ndarray:
        """Return some cells that change no other one of their sets; all False if none was found."""
        return find_mute(self.pushed, labels, self.rng, min(4, self._left() // 2))

    def _left(self) -> int:
        return max(0, MOST_CALLS - self.calls)

    def confirm(self, sets: Sets) -> bool:
        """Whether large numbers change the cells that answer according to the sets, and no others."""
        if np.allclose(self.y, self.base, rtol=0, atol=0) or not self.finite:
            return True  # no change can show
        try:
            return all(self._reaches(sets) for _ in range(2))
        except Refusal:
            return True  # fn takes no large numbers

    def _reaches(self, sets: Sets) -> bool:
        """Whether the right cells change when one cell in each of about half of the sets is made large."""
        flat = sets.labels.ravel() if not sets.overlap else np.arange(self.x.size)
        able = np.ones(flat.size, bool) if sets.active is None else sets.active.ravel()
        order = self.rng.permutation(np.flatnonzero(able))
        mask = np.zeros(flat.size, bool)
        mask[order[np.unique(flat[order], return_index=True)[1]]] = True
        if flat.max():
            most = 3 if sets.overlap else flat.max() // 2 + 1
            mask &= np.isin(flat, self.rng.permutation(flat.max() + 1)[:most])
        mask = mask.reshape(self.x.shape)
        hit = sets.hit(mask)
        changed = self.pushed(mask)
        if (changed & ~hit).any():
            return False
        # Some cells cannot change: weight 0, the flat side of a ReLU, the only cell of a set.
        alone = (np.bincount(flat) == 1)[flat].reshape(self.x.shape) & (not sets.overlap)
        responsive = hit & ~mask & ~alone & (np.abs(self.y - self.base) > 4 * self.noise)
        return not responsive.any() or bool(changed[responsive].mean() >= 0.9)
