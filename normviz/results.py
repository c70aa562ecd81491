"""What is computed comes back as values that nobody changes: Statistics, and how such values are made."""

from dataclasses import dataclass
from operator import index as as_int
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Statistics:
    """The mean and the biased variance of every pooling set.

    Attributes
    ----------
    mean, var
        Float64 NumPy arrays, read-only: (C,) for batch, (N,) for layer, (N, C) for instance, (N, G) for group,
        (N, *spatial) for positional and rms, (N, C) for frn, (G, C) for ghost, (Cout,) for the two that normalize
        weights. Where a method takes no mean, mean is 0 and var the mean square (rms, frn) or the sum of squares
        (weight_norm).
    count
        Cells per set.
    backend
        Who computed them.

    Raises
    ------
    ValueError
        If the shapes differ, a variance is negative, or count is less than 1.

    Examples
    --------
    >>> Statistics(mean=[0.0, 1.0], var=[1.0, 4.0], count=32)
    Statistics(mean: (2,), var: (2,), count=32, backend='numpy')
    """

    mean: np.ndarray
    var: np.ndarray
    count: int
    backend: str = "numpy"

    def __post_init__(self) -> None:
        """Check the arguments and keep frozen copies of the arrays."""
        freeze(self, "mean", "var", least=1)
        if (self.var < 0).any():
            raise ValueError(f"var holds {self.var.min():.3g}; a variance is at least 0")

    def __repr__(self) -> str:
        return (
            f"Statistics(mean: {self.mean.shape}, var: {self.var.shape}, count={self.count}, backend={self.backend!r})"
        )


def made(kind: type[T], **fields: Any) -> T:
    """Make Moments or Statistics of arrays that are right and nobody else's, without a look at them or a copy."""
    for value in fields.values():
        if type(value) is np.ndarray:
            value.flags.writeable = False
    made = object.__new__(kind)
    made.__dict__.update(fields)
    return made


def freeze(value: Any, first: str, second: str, least: int) -> None:
    """Replace two fields by read-only float64 copies; they must agree in shape, and count be an int >= least."""
    for name in (first, second):
        array = np.array(getattr(value, name), np.float64)
        array.flags.writeable = False
        object.__setattr__(value, name, array)
    a, b = getattr(value, first), getattr(value, second)
    if a.shape != b.shape:
        raise ValueError(f"{first} has shape {a.shape} and {second} {b.shape}; they must be the same")
    count = as_int(value.count)
    if count < least:
        raise ValueError(f"count={count} is less than {least}; it is the number of cells that each entry stands for")
    object.__setattr__(value, "count", count)
