"""What a lab accepts: one sentence with the subject, the sizes and the remedy otherwise."""

from collections.abc import Iterable
from operator import index as as_int
from typing import Any

import numpy as np

from normviz import samples
from normviz.backends.dispatch import host
from normviz.core.pooling import canonical

REACH = 1e60
"""Values up to here, and down to its reciprocal, have fourth powers in float64."""


def tensor(x: Any, stored: int, *, least: int = 1, channels: int = 1, varied: bool = True) -> np.ndarray:
    """Return x as float64 of shape (N, C, *spatial), or `stored` real activations if it is None.

    Raises
    ------
    ValueError
        If x is empty or not finite, beyond what can be squared, has fewer than `least` samples or `channels` channels,
        or, where `varied`, a channel whose values are all the same.
    """
    if x is None:
        return samples.activations(stored).astype(np.float64)
    x = np.asarray(canonical(host(x), 1))
    x = x.astype(np.float64)
    bad = int((~np.isfinite(x)).sum())
    if bad:
        raise ValueError(f"x holds {bad} of {x.size} values that are NaN or infinite; replace them first")
    if len(x) < least:
        raise ValueError(f"x has N={len(x)} samples; this lab needs at least {least}")
    if x.shape[1] < channels:
        raise ValueError(f"x has C={x.shape[1]} channels; this lab needs at least {channels}")
    if varied:
        flat = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
        same = np.flatnonzero(np.ptp(flat, axis=1) == 0)
        if same.size:
            raise ValueError(f"channel {same[0]} of x is constant, {flat[same[0], 0] + 0.0:.4g}; pass values that vary")
    largest = float(np.abs(x).max())
    if largest and not 1 / REACH < largest < REACH:
        raise ValueError(f"the largest value of x is {largest:.0e}, too far from 1 to be squared; scale x first")
    return x


def whole(value: Any, name: str, low: int, high: int | None = None, what: str = "") -> int:
    """Return a whole number from low to high; TypeError or ValueError otherwise."""
    limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = as_int(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number {limits}, not {_said(value)}") from None
    if high is None and number < low:
        raise ValueError(f"{name}={number} must be {low} or more")
    if high is not None and not low <= number <= high:
        raise ValueError(f"{name}={number} is not {limits}{f', {what}' if what else ''}")
    return number


def number(value: Any, name: str) -> float:
    """Return a finite number; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} must be a number, not {_said(value)}")
    if not np.isfinite(value):
        raise ValueError(f"{name}={value} must be finite")
    return float(value)


def several(values: Any, name: str, such: str, least: int = 1) -> tuple:
    """Return some values, or none if `least` is 0; TypeError or ValueError otherwise, with an example."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        raise TypeError(f"{name} must be several values, such as {such}, not {_said(values)}")
    values = tuple(values)
    if len(values) < least:
        raise ValueError(f"{name} is empty; pass at least one, such as {such}")
    return values


def seed(value: Any) -> int:
    """Return a seed of random numbers; TypeError or ValueError otherwise."""
    return whole(value, "seed", 0)


def batch_sizes(values: Any, usual: tuple[int, ...], N: int) -> tuple[int, ...]:
    """Return the batch sizes in rising order, for None the usual ones that fit; ValueError if one is larger than x."""
    if values is None:
        return tuple(n for n in usual if n <= N)
    what = "the number of samples in x"
    return tuple(sorted({whole(n, "batch size", 1, N, what) for n in several(values, "batch_sizes", "(2, 8, 32)")}))


def width(value: Any) -> int:
    """Return the width of a figure in pixels; ValueError below 320."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 320 <= value < 10000:
        raise ValueError(f"width must be a number of pixels from 320 up, not {value!r}")
    return int(value)


def _said(value: Any) -> str:
    """Return what was given, an array by its shape alone."""
    return f"an array of shape {value.shape}" if np.ndim(value) and hasattr(value, "shape") else repr(value)
