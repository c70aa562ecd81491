"""Inputs on which the known bugs differ from what is right, and from one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from normviz.core.methods import Method

TOLERANCE = {2.0**-52: 1e-9, 2.0**-23: 1e-4, 2.0**-10: 2e-2, 2.0**-7: 1e-1}
"""Relative to the output, by the resolution of the dtype: what summing in another order may change."""


def plain(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random numbers whose mean and scale differ from channel to channel, sample to sample, and along the others."""
    each = (*shape[:2], *[1] * (len(shape) - 2))
    x = rng.normal(size=shape) * rng.uniform(0.6, 1.8, each) + rng.uniform(-2, 2, each)
    for axis, n in enumerate(shape[2:], 2):
        along = [-1 if a == axis else 1 for a in range(len(shape))]
        x = x + rng.uniform(-0.7, 0.7, n).reshape(along)
    return x


def inputs(shape: tuple[int, ...], rng: np.random.Generator, eps: float, resolution: float) -> dict[str, np.ndarray]:
    """What fn is compared on: ordinary numbers twice, and twice such that eps tells."""
    root = eps**0.5 if eps else 1e-3
    made = {"ordinary": plain(shape, rng), "other": plain(shape, rng) * 1.5}
    if resolution <= 2.0**-23:
        return made | {"small": plain(shape, rng) * 0.7 * root, "tiny": plain(shape, rng) * 1e-3 * root}
    # Half precision has too little room below: no smaller than this, and eps shows only if it is about as large.
    return made | {"small": plain(shape, rng) * max(0.7 * root, 0.05)}


def parameters(size: int | tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A weight of both signs and a bias, none of them 0, 1 or alike."""
    weight = rng.uniform(0.5, 1.7, size) * np.where(rng.random(size) < 0.3, -1, 1)
    return weight, rng.uniform(0.3, 1.2, size) * rng.choice([-1, 1], size)


def shapes(row: Method, num_groups: int | None, channels: list[int]) -> Iterator[tuple[int, ...]]:
    """Shapes to try, likeliest first, (N, C, *spatial), with axes of different lengths; `channels` are known of fn.

    In some the last axis is as long as that of the channels: what mistakes the one for the other raises elsewhere.
    """
    groups = num_groups or 1
    default = groups * {1: 8, 2: 4, 3: 2}.get(groups, 2) if row.grouped_axis == 1 else 8
    known = [c for c in channels if row.grouped_axis == 0 or c % groups == 0]
    for rank in (4, 3, 2, 5):
        for C in dict.fromkeys([*known, default]):
            others = [n for n in (3, 5, 4, 7, 6) if n != C][: rank - 1]
            if row.has_groups and row.grouped_axis == 0:
                others[0] = 2 * groups if groups > 2 else 3 * groups
            yield (C, *others) if row.affine_axis == 0 else (others[0], C, *others[1:])
        for C in dict.fromkeys([*known, default]) if rank == 4 and row.affine_axis == 1 else ():
            if row.grouped_axis == 1:
                yield 3, C, 5, C


def offset(labels: np.ndarray, far: float) -> np.ndarray:
    """1 above and 1 below `far`, the same number of each in every set: their squares lose the 1, in any order."""
    order = np.argsort(labels.ravel(), kind="stable")
    sorted_labels = labels.ravel()[order]
    starts = np.r_[0, np.flatnonzero(np.diff(sorted_labels)) + 1]
    sizes = np.diff(np.r_[starts, labels.size])
    place = np.arange(labels.size) - starts.repeat(sizes)
    step = np.where(place % 2 == 0, 1.0, -1.0)
    step[(place == sizes.repeat(sizes) - 1) & (place % 2 == 0)] = 0.0
    x = np.empty(labels.size)
    x[order] = far + step
    return x.reshape(labels.shape)


def heavy(labels: np.ndarray, m: int, centered: bool, rng: np.random.Generator) -> np.ndarray:
    """Numbers that float16 holds well, as it does their squared deviations, but whose sums over a set it does not."""
    deviation = rng.uniform(100, 200, labels.shape) * np.where(rng.random(labels.shape) < 0.5, -1, 1)
    return deviation + (min(90000 / m, 40000) if centered else 0)


def constants(labels: np.ndarray, x: np.ndarray, centered: bool) -> np.ndarray:
    """x, with every second set constant."""
    return np.where(labels % 2 == 0, 3.0 if centered else 0.0, x)
