"""What is computed comes back as values that nobody changes: Statistics, and how such values are made."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from normviz.backends.dispatch import numbers
from normviz.core.errors import check_keywords, whole

T = TypeVar("T")


def checks_keywords(kind: type[T]) -> type[T]:
    """Make a misspelt keyword an error of the class that names the nearest one."""
    kind.__init__ = check_keywords(kind.__init__)
    return kind


@checks_keywords
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
        freeze(self, "mean", "var", "a variance", least=1)

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


def freeze(value: Any, first: str, second: str, meaning: str, least: int) -> None:
    """Replace two fields by read-only float64 copies.

    They must agree in shape, the second, `meaning`, not be negative, and count be an int >= least.
    """
    for name in (first, second):
        array = numbers(getattr(value, name), name)
        array.flags.writeable = False
        object.__setattr__(value, name, array)
    a, b = getattr(value, first), getattr(value, second)
    if a.shape != b.shape:
        raise ValueError(f"{first} has shape {a.shape} and {second} {b.shape}; they must be the same")
    if (b < 0).any():
        raise ValueError(f"{second} holds {np.nanmin(b):.3g}; {meaning} is at least 0")
    remedy = "; it is the number of cells that each entry stands for"
    count = whole(value.count, "count", remedy)
    if count < least:
        raise ValueError(f"count={count} is less than {least}{remedy}")
    object.__setattr__(value, "count", count)
