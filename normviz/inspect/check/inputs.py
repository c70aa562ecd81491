"""Random inputs for which every known bug changes the output, and each in its own way."""

from __future__ import annotations

import numpy as np


def plain(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return random numbers whose mean and scale differ between channels, samples and positions."""
    each = (*shape[:2], *[1] * (len(shape) - 2))
    x = rng.normal(size=shape) * rng.uniform(0.6, 1.8, each) + rng.uniform(-2, 2, each)
    for axis, n in enumerate(shape[2:], 2):
        along = [-1 if a == axis else 1 for a in range(len(shape))]
        x = x + rng.uniform(-0.7, 0.7, n).reshape(along)
    return x


def comparison_inputs(
    shape: tuple[int, ...], rng: np.random.Generator, eps: float, resolution: float
) -> dict[str, np.ndarray]:
    """Return the inputs that outputs are compared on: two of ordinary size, and smaller ones on which eps shows."""
    root = eps**0.5 if eps else 1e-3
    made = {"ordinary": plain(shape, rng), "other": plain(shape, rng) * 1.5}
    if resolution <= 2.0**-23:
        return made | {"small": plain(shape, rng) * 0.7 * root, "tiny": plain(shape, rng) * 1e-3 * root}
    # Half precision cannot hold much smaller numbers, so there eps shows only if it is about as large.
    return made | {"small": plain(shape, rng) * max(0.7 * root, 0.05)}


def random_parameters(size: int | tuple[int, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a weight of both signs and a bias; no number in them is 0, 1 or a repetition."""
    weight = rng.uniform(0.5, 1.7, size) * np.where(rng.random(size) < 0.3, -1, 1)
    return {"weight": weight, "bias": rng.uniform(0.3, 1.2, size) * rng.choice([-1, 1], size)}
