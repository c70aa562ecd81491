"""What a lab accepts: one sentence with the subject, the sizes and the remedy otherwise."""

from collections.abc import Iterable
from operator import index as as_int
from typing import Any

import numpy as np

from .. import samples
from ..backends import host
from ..blocks import canonical


def tensor(x: Any, stored: int, *, least: int = 1, channels: int = 1, varied: bool = True) -> np.ndarray:
    """Return x as float64 of shape (N, C, *spatial), or `stored` real activations if it is None.

    Raises
    ------
    ValueError
        If x is empty or not finite, has fewer than `least` samples or `channels` channels, or, where `varied`, a
        channel whose values are all the same.
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
            raise ValueError(f"channel {same[0]} of x is constant, {flat[same[0], 0]:.4g}; pass values that vary")
    return x


def whole(value: Any, name: str, low: int, high: int | None = None, what: str = "") -> int:
    """Return a whole number from low to high; TypeError or ValueError otherwise."""
    limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number {limits}, not {value!r}")
    value = as_int(value)
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name}={value} is not {limits}{f', {what}' if what else ''}")
    return value


def batch_sizes(values: Iterable[int], N: int) -> tuple[int, ...]:
    """Return the batch sizes in rising order; ValueError if there is none, or one larger than the data."""
    values = tuple(values)
    if not values:
        raise ValueError("batch_sizes is empty; pass at least one, such as (2, 8, 32)")
    return tuple(sorted({whole(n, "batch size", 1, N, "the number of samples in x") for n in values}))


def width(value: Any) -> int:
    """Return the width of a figure in pixels; ValueError below 320."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 320 <= value < 10000:
        raise ValueError(f"width must be a number of pixels from 320 up, not {value!r}")
    return int(value)
