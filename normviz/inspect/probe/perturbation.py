"""Change some cells of an input, and find which cells of the output respond."""

from __future__ import annotations

import math

import numpy as np

from normviz.inspect._call import Forward, Refusal
from normviz.inspect.probe.sets import Sets, find_sets, statistics_of


class Perturbation:
    """Changes of one input; each experiment returns one bit for each cell of the output.

    Attributes
    ----------
    x, y
        The input, whose cells are neither near 0 nor near their mean, so that a change shows; and its output.
    zero
        The output for zeros. The other cells of a set shrink to it where one cell dominates the set.
    stochastic
        Whether the same input gives another output with other random numbers.
    noise
        The largest difference between two outputs for one input with the same random numbers, or the rounding of y.
    """

    def __init__(
        self, forward: Forward, shape: tuple[int, ...], rng: np.random.Generator, *, first: bool = True
    ) -> None:
        self.forward, self.rng = forward, rng
        signs = rng.choice([-1.0, 1.0], shape)
        self.x = forward.round(signs * rng.uniform(0.5, 1.5, shape))
        self.y = forward.start(self.x) if first else forward(self.x)
        self.x = forward.round(self.x)
        again, other = forward(self.x), forward(self.x, fresh=True)
        self.stochastic = not np.array_equal(again, other, equal_nan=True)
        self.zero = _or_nan(forward, np.zeros(shape))
        self.finite = bool(np.isfinite(self.y).all())
        self.steady = bool(np.array_equal(again, self.y, equal_nan=True))
        jitter = 4 * np.fmax.reduce(np.abs(again - self.y), axis=None) if self.finite else 0.0
        self.noise = jitter + 4 * forward.resolution * np.abs(self.y)

    def poisoned(self, mask: np.ndarray) -> np.ndarray:
        """Return which cells become NaN when those of `mask` are: exact in any precision, and under any activation."""
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
        for sign in (1, -1):
            y = self.forward(self.forward.round(np.where(mask, sign * size, self.x)))
            change = np.abs(y - self.y)
            changed |= ~(change <= np.maximum(self.noise, 0.02 * np.abs(self.y - self.base)))
        return changed

    @property
    def base(self) -> np.ndarray:
        """The values that outputs shrink to."""
        return np.where(np.isfinite(self.zero), self.zero, 0.0)

    def find(self) -> Sets:
        """Return the sets found with NaN if large numbers confirm them, or else those found with large numbers."""
        try:
            sets = find_sets(self.poisoned, self.x.shape, self.rng, incomplete=self.stochastic)
        except Refusal:
            sets = None
        if sets is not None and (
            self.confirm(sets.labels) if sets.proven else self.stochastic and sets.responded.any()
        ):
            return sets
        # fn refuses NaN, replaces it, or spreads it by a product with zero.
        return find_sets(self.pushed, self.x.shape, self.rng, max_calls=15)

    def confirm(self, labels: np.ndarray) -> bool:
        """Whether large numbers change the cells of the same sets, and no others."""
        if np.allclose(self.y, self.base, rtol=0, atol=0) or not self.finite:
            return True  # no change can show
        try:
            return all(self._reaches(labels) for _ in range(2))
        except Refusal:
            return True  # fn takes no large numbers

    def _reaches(self, labels: np.ndarray) -> bool:
        """Whether the right cells change when one cell in each of about half of the sets is made large."""
        flat = labels.ravel()
        order = self.rng.permutation(flat.size)
        mask = np.zeros(flat.size, bool)
        mask[order[np.unique(flat[order], return_index=True)[1]]] = True
        if flat.max():
            chosen = self.rng.permutation(flat.max() + 1)[: flat.max() // 2 + 1]
            mask &= np.isin(flat, chosen)
        hit = (np.bincount(flat, mask) > 0)[flat].reshape(labels.shape)
        mask = mask.reshape(labels.shape)
        changed = self.pushed(mask)
        if (changed & ~hit).any():
            return False
        # Some cells cannot change: weight 0, the flat side of a ReLU, the only cell of a set.
        alone = statistics_of(self.x, labels)["count"] == 1
        responsive = hit & ~mask & ~alone & (np.abs(self.y - self.base) > 4 * self.noise)
        return not responsive.any() or bool(changed[responsive].mean() >= 0.9)


def _or_nan(forward: Forward, x: np.ndarray) -> np.ndarray:
    try:
        return forward(x)
    except Refusal:
        return np.full(x.shape, np.nan)
