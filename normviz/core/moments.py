"""Moments: count, mean and M2 of every (sample, channel), and how they merge into the statistics of a method.

M2 is the sum of squared deviations from the mean. One pass over x gives the moments. Chan's merge turns them into the
statistics of batch, layer, instance and every G; chunks of a file, partitions of a dask array and the devices of a
synchronized Batch Norm merge in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from normviz.core.errors import check_keywords
from normviz.core.methods import Statistic, find
from normviz.core.pooling import Pooling, divisors, pooling
from normviz.core.statistics import Statistics, checks_keywords, freeze, trusted, trusted_state


@checks_keywords
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Moments:
    """Count, mean and sum of squared deviations of every (sample, channel) of a tensor.

    `a + b` merges two disjoint spatial parts of the same samples and channels, `sum(parts, start=Moments.zero)` any
    number of them, and `Moments.concatenate` joins samples or channels.

    Attributes
    ----------
    count
        Cells per (sample, channel): the product of the spatial axes.
    mean, m2
        Float64 NumPy arrays of shape (N, C), read-only.
    backend
        The backend that computed them.

    Examples
    --------
    >>> from normviz import moments
    >>> x = np.arange(24.0).reshape(2, 3, 4)
    >>> parts = moments(x[..., :1]) + moments(x[..., 1:])
    >>> np.array_equal(parts.mean, moments(x).mean), parts.count
    (True, 4)
    """

    count: int
    mean: np.ndarray
    m2: np.ndarray
    backend: str = "numpy"

    zero: ClassVar["Moments"]

    def __post_init__(self) -> None:
        """Check the arguments and keep frozen copies of the arrays."""
        freeze(self, "mean", "m2", "a sum of squares", least=0)
        if self.mean.ndim != 2:
            raise ValueError(
                f"mean and m2 have shape {self.mean.shape}; moments are per (sample, channel), shape (N, C)"
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the arrays of a copy or of an unpickled value read-only as well."""
        trusted_state(self, state)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C)."""
        return self.mean.shape

    def __repr__(self) -> str:
        return f"Moments(count={self.count}, mean: {self.shape}, m2: {self.shape}, backend={self.backend!r})"

    @np.errstate(all="ignore")
    def __add__(self, other: "Moments") -> "Moments":
        """Merge disjoint spatial parts of the same samples and channels."""
        if not isinstance(other, Moments):
            return NotImplemented
        if not (self.count and other.count):
            return self if self.count else other
        if self.shape != other.shape:
            raise ValueError(
                f"moments of shapes {self.shape} and {other.shape} cannot be added; "
                "+ merges parts of the same (N, C), Moments.concatenate joins samples or channels"
            )
        merged = merge_two((self.count, self.mean, self.m2), (other.count, other.mean, other.m2))
        return Moments(**dict(zip(("count", "mean", "m2"), merged, strict=True)), backend=self.backend)

    @staticmethod
    def concatenate(parts: Iterable["Moments"], axis: int = 0) -> "Moments":
        """Join the moments of different samples (axis=0) or channels (axis=1).

        >>> from normviz import moments
        >>> x = np.arange(24.0).reshape(2, 3, 4)
        >>> Moments.concatenate([moments(x[:1]), moments(x[1:])]).shape
        (2, 3)
        """
        parts = list(parts)
        if wrong := [p for p in parts if not isinstance(p, Moments)]:
            kind = type(wrong[0]).__name__
            raise TypeError(f"parts must be Moments, not {kind}; moments(x) makes them of an array")
        if not parts or axis not in (0, 1):
            raise ValueError(f"{len(parts)} parts, axis={axis}: concatenate needs at least one part, and axis 0 or 1")
        counts, across = {p.count for p in parts}, {p.shape[1 - axis] for p in parts}
        if len(counts) > 1 or len(across) > 1:
            shapes = ", ".join(f"{p.shape} of {p.count} cells" for p in parts)
            raise ValueError(f"parts {shapes} do not fit along axis={axis}; cells and the other axis must agree")
        mean, m2 = (np.concatenate([getattr(p, name) for p in parts], axis) for name in ("mean", "m2"))
        return Moments(count=counts.pop(), mean=mean, m2=m2, backend=parts[0].backend)

    @check_keywords
    @np.errstate(all="ignore")
    def pool(self, method: str, num_groups: int | None = None) -> Statistics:
        """Merge the moments into the statistics of a method.

        Raises
        ------
        ValueError
            If the method keeps positions apart (positional, rms): those need the values, `statistics(x, method)`.

        Examples
        --------
        >>> from normviz import moments
        >>> moments(np.arange(24.0).reshape(2, 3, 4)).pool("batch").mean
        array([ 7.5, 11.5, 15.5])
        """
        if find(method).spatial != "all":
            raise ValueError(
                f"method {method!r} keeps positions apart, and moments have merged them; "
                f"use statistics(x, {method!r}), which reads the values"
            )
        pool = pooling(method, self.shape, num_groups)
        return _shaped(*self._mean_and_var(pool), self.count * pool.size, pool, self.backend)

    @np.errstate(all="ignore")
    def sweep(self) -> dict[tuple[str, int | None], Statistics]:
        """Return the statistics of batch, layer and instance, and of group for every divisor G of C.

        >>> from normviz import moments
        >>> list(moments(np.ones((2, 4, 3))).sweep())
        [('batch', None), ('layer', None), ('instance', None), ('group', 1), ('group', 2), ('group', 4)]
        """
        pools = _swept(self.shape)
        found = {p.block: self._mean_and_var(p) for p in {p.block: p for p in pools}.values()}
        return {(p.method, p.num_groups): _shaped(*found[p.block], self.count * p.size, p, self.backend) for p in pools}

    def _mean_and_var(self, pool: Pooling) -> tuple[np.ndarray, np.ndarray]:
        merged = merge(self.mean, self.m2, self.count, pool.block)
        return mean_and_var(*merged, self.count * pool.size, pool.row.statistic)


def as_statistics(mean: np.ndarray, m2: np.ndarray, count: int, pool: Pooling, backend: str) -> Statistics:
    """Return the Statistics of the sets of `pool`, of `count` cells each, from their means and M2."""
    return _shaped(*mean_and_var(mean, m2, count, pool.row.statistic), count, pool, backend)


def _shaped(mean: np.ndarray, var: np.ndarray, count: int, pool: Pooling, backend: str) -> Statistics:
    shape = pool.statistics_shape
    return trusted(Statistics, mean=mean.reshape(shape), var=var.reshape(shape), count=count, backend=backend)


@np.errstate(all="ignore")
def mean_and_var(mean: Any, m2: Any, count: int, statistic: Statistic) -> tuple[Any, Any]:
    """Return mean and variance from mean and M2; or 0 and the mean square, or 0 and the sum of squares.

    Only sums of positive terms are taken, so no digits cancel.
    """
    if statistic == "mean and variance":
        return mean, m2 / count
    square = np.where(np.isinf(mean), np.inf, m2 / count + mean * mean)
    return np.zeros_like(mean), square * count if statistic == "squared norm" else square


def merge_two(a: tuple[Any, Any, Any], b: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Merge (count, mean, M2) of two disjoint parts of the same sets (Chan, Golub & LeVeque 1983).

    The entries are numbers, or arrays of NumPy or CuPy. The counts of a may be 0; where both are 0, so is the result.
    """
    (count, mean, m2), (more, more_mean, more_m2) = a, b
    total = count + more
    share = more / (total + (total == 0))
    delta = more_mean - mean
    merged = mean + delta * share
    # Infinities of one sign, and finite means too far apart for their difference, need a sum without a difference.
    merged = np.where(np.isfinite(merged), merged, mean * (1 - share) + more_mean * share)
    # count comes before the second delta: where it is 0, a square of 1e200 would be infinite, and inf * 0 is NaN.
    return total, merged, m2 + more_m2 + delta * (count * share) * delta


def merge(mean: np.ndarray, m2: np.ndarray, count: int, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Merge moments of equal count over every block: the sum of their M2, plus count times the M2 of their means."""
    (N, C), (n, c) = mean.shape, block
    if n * c == 1:
        return mean, m2
    if n == 1:
        means, within = mean.reshape(-1, c), m2.reshape(-1, c)
    else:
        means, within = (a.reshape(N // n, n, C // c, c).swapaxes(1, 2).reshape(-1, n * c) for a in (mean, m2))
    first = means[:, :1]
    off = means - first  # so that equal means have an M2 of exactly 0
    # Not a product of matrices: its order of summation depends on the row, so a set would depend on its neighbours.
    offset = np.add.reduce(off, axis=1, keepdims=True)
    offset /= as_array(n * c)
    off -= offset
    offset += first
    finite = np.isfinite(offset[:, 0])
    if np.count_nonzero(finite) < len(finite):  # as in merge_two
        wrong = ~finite
        offset[wrong] = np.add.reduce(means[wrong] / (n * c), axis=1, keepdims=True)
        off[wrong] = means[wrong] - offset[wrong]
    off *= off
    off *= as_array(count)
    off += within
    return offset[:, 0], np.add.reduce(off, axis=1)


@lru_cache(maxsize=1024)
def as_array(number: float) -> np.ndarray:
    """Return a number as an array without axes: an operation on few cells takes a third less time with one."""
    return np.array(number, np.float64)


@lru_cache(maxsize=64)
def _swept(shape: tuple[int, ...]) -> list[Pooling]:
    return [
        *(Pooling(name, shape) for name in ("batch", "layer", "instance")),
        *(Pooling("group", shape, G) for G in divisors(shape[1])),
    ]


Moments.zero = Moments(count=0, mean=np.zeros((0, 0)), m2=np.zeros((0, 0)))
