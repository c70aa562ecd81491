"""Checks of a lab's arguments; each error names the argument, its size and what is accepted."""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from normviz import samples
from normviz.core import errors
from normviz.core.array_kinds import host
from normviz.core.errors import brief, given
from normviz.core.pooling import canonical

LARGEST = 1e60
"""Values up to this magnitude, and down to its reciprocal, have a fourth power in float64."""
MOST = 10_000
"""The largest number of repeats, and of anything else that has no limit of its own."""


@np.errstate(invalid="ignore")  # a signalling NaN
def tensor(
    x: Any, stored: int = 0, *, least: int = 1, channels: int = 1, varied: bool = True, cells: int | None = None
) -> np.ndarray:
    """Return x as float64 of shape (N, C, *spatial), or `stored` samples of real activations if x is None.

    Raises
    ------
    TypeError, ValueError
        If x is empty, not finite or too large to be squared, has fewer than `least` samples or `channels` channels, or,
        where `varied`, has a channel whose values are all equal; with `cells`, if x is not (N, C, H, W) of at most so
        many cells.
    """
    if x is None:
        return samples.activations(stored).astype(np.float64)
    x = np.asarray(canonical(host(x), 1)).astype(np.float64)
    bad = int((~np.isfinite(x)).sum())
    if bad:
        raise ValueError(f"x holds {bad} of {x.size} values that are NaN or infinite; replace them first")
    if len(x) < least:
        raise ValueError(f"x has N={len(x)} samples; this lab needs at least {least}")
    if x.shape[1] < channels:
        raise ValueError(f"x has C={x.shape[1]} channels; this lab needs at least {channels}")
    if varied:
        flat = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
        same = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
        if same.size:
            raise ValueError(f"channel {same[0]} of x is constant, {flat[same[0], 0] + 0.0:.4g}; pass values that vary")
    largest = float(np.abs(x).max())
    if largest and not 1 / LARGEST < largest < LARGEST:
        raise ValueError(f"the largest value of x is {largest:.0e}, too far from 1 to be squared; scale x first")
    if cells and (x.ndim != 4 or x.size > cells):
        raise ValueError(f"x has shape {x.shape}, {x.size} cells; use (N, C, H, W) of at most {cells} cells")
    return x


def whole(value: Any, name: str, low: int, high: int | None = MOST, meaning: str = "") -> int:
    """Return a whole number from low to high, where `meaning` explains high; None is no limit."""
    limits = f"{low} or more" if high is None else f"from {low} to {high}"
    if np.ndim(value):
        raise TypeError(f"{name} must be a whole number, not {given(value)}; give {limits}")
    number = errors.whole(value, name, f"; give {limits}")
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name}={brief(number)} must be {limits}{meaning and f', {meaning}'}")
    return number


def number(value: Any, name: str, *, positive: bool = False, largest: float = sys.float_info.max) -> float:
    """Return a finite real number, of a magnitude up to `largest`, as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, not {given(value)}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name}={brief(value)} must be finite")
    if abs(value) > largest:
        raise ValueError(f"{name}={float(value):g} must be from {0 if positive else -largest:g} to {largest:g}")
    if positive and value <= 0:
        raise ValueError(f"{name}={float(value):g} must be above 0")
    return float(value)


def several(values: Any, name: str, example: str, least: int = 1) -> tuple:
    """Return a sequence of at least `least` values as a tuple; the error gives an example."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        raise TypeError(f"{name} must be several values, such as {example}, not {given(values)}")
    values = tuple(values)
    if len(values) < least:
        raise ValueError(f"{name} is empty; pass at least one, such as {example}")
    return values


def seed(value: Any) -> int:
    """Return a seed for NumPy's random generator."""
    return whole(value, "seed", 0, None)


def batch_sizes(values: Any, usual: tuple[int, ...], N: int) -> tuple[int, ...]:
    """Return the batch sizes in rising order; None gives those of `usual` that are at most N."""
    if values is None:
        return tuple(n for n in usual if n <= N)
    meaning = "the number of samples in x"
    return tuple(sorted({whole(n, "batch size", 1, N, meaning) for n in several(values, "batch_sizes", "(2, 8, 32)")}))
