"""The statistics of pooling sets, as values that do not change."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from normviz.core.array_kinds import real_numbers
from normviz.core.errors import check_keywords, whole

T = TypeVar("T")


def checks_keywords(kind: type[T]) -> type[T]:
    """Make a misspelt keyword of the class an error that names the nearest one."""
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
        (N, *spatial) for positional and rms, (N, G, *spatial) for per_head and per_head_rms, (N, C) for frn, (G, C) for
        ghost, (Cout,) for the two that normalize weights. Where a method takes no mean, mean is 0 and var is the mean
        square (rms, per_head_rms, frn) or the sum of squares (weight_norm).
    count
        Cells per set.
    backend
        The backend that computed them.

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

    for_method: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        """Check the arguments and keep read-only copies of the arrays."""
        freeze(self, "mean", "var", "a variance", least=1)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the arrays of a copy or of an unpickled value read-only as well."""
        trusted_state(self, state)

    def __repr__(self) -> str:
        return (
            f"Statistics(mean: {self.mean.shape}, var: {self.var.shape}, count={self.count}, backend={self.backend!r})"
        )


def trusted(kind: type[T], **fields: Any) -> T:
    """Build Moments or Statistics without validating or copying; the arrays must be valid and not shared."""
    built = object.__new__(kind)
    trusted_state(built, fields)
    return built


def trusted_state(built: Any, fields: dict[str, Any]) -> None:
    """Set the fields of a value without validating or copying them, and make its arrays read-only."""
    for value in fields.values():
        if type(value) is np.ndarray:
            value.setflags(write=False)
    built.__dict__.update(fields)


def freeze(value: Any, first: str, second: str, meaning: str, least: int) -> None:
    """Check two array fields and the count, and replace the arrays by read-only float64 copies.

    The shapes must agree, no entry of the second array, `meaning`, may be negative, and count must be an int >= least.
    """
    for name in (first, second):
        array = real_numbers(getattr(value, name), name)
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
