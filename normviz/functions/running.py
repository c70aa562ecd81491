"""Running statistics: the mean and variance that Batch Norm keeps of its batches, for inference."""

from numbers import Real
from typing import Any, ClassVar

import numpy as np

from normviz.core.errors import brief, check_keywords, whole
from normviz.core.moments import Moments
from normviz.functions.reduce import statistics


class RunningStatistics:
    """Running mean and variance of every channel, as Batch Norm keeps for inference.

    PyTorch: running_mean, running_var and num_batches_tracked of torch.nn.BatchNorm2d. The running variance is unbiased
    (n - 1), although each batch is normalized with its biased variance.

    Parameters
    ----------
    num_channels
        C.
    momentum
        Weight of the newest batch; None takes the plain average of all batches. Momentum in Keras and Flax is 1 minus
        this one.

    Examples
    --------
    >>> running = RunningStatistics(1, momentum=0.5)
    >>> running.update([[[1.0, 3.0]]])
    >>> running.mean, running.var
    (array([1.]), array([1.5]))
    """

    for_method: ClassVar[str | None] = "batch"

    @check_keywords
    def __init__(self, num_channels: int, momentum: float | None = 0.1) -> None:
        remedy = "; it is C, the number of channels of x"
        self.num_channels = whole(num_channels, "num_channels", remedy)
        if self.num_channels < 1:
            raise ValueError(f"num_channels={num_channels} is less than 1{remedy}")
        if momentum is not None and not (isinstance(momentum, Real) and 0 <= momentum <= 1):
            raise ValueError(f"momentum={brief(momentum)} is not between 0 and 1; None takes the plain average")
        self.momentum = momentum
        self.num_batches_tracked = 0
        self._mean, self._var = np.zeros(self.num_channels), np.ones(self.num_channels)

    def __repr__(self) -> str:
        return (
            f"RunningStatistics({self.num_channels}, momentum={self.momentum}, "
            f"num_batches_tracked={self.num_batches_tracked})"
        )

    @property
    def mean(self) -> np.ndarray:
        """Running mean, (C,), float64; a read-only view."""
        return _read_only(self._mean)

    @property
    def var(self) -> np.ndarray:
        """Running unbiased variance, (C,), float64; a read-only view."""
        return _read_only(self._var)

    @check_keywords
    @np.errstate(all="ignore")
    def update(self, x: Any, *, channel_axis: int = 1, backend: str | None = None, key: str | None = None) -> None:
        """Update with one batch: an array, or another x of `normviz.moments`, or Moments.

        Raises
        ------
        ValueError
            If x has another number of channels, or one cell in each channel, which has no unbiased variance.
        """
        options: Any = {"channel_axis": channel_axis, "backend": backend, "key": key}
        batch = x.pool("batch") if isinstance(x, Moments) else statistics(x, "batch", **options)
        if batch.mean.shape != (self.num_channels,):
            raise ValueError(
                f"x has C={batch.mean.size} channels; these running statistics are for {self.num_channels}"
            )
        if batch.count == 1:
            raise ValueError("x has one cell per channel, which has no unbiased variance; use a larger batch or map")
        self.num_batches_tracked += 1
        newest = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        # New arrays, not a change in place: a copy of these running statistics shares the old ones.
        unbiased = batch.var * (batch.count / (batch.count - 1))
        self._mean = self._mean + newest * (batch.mean - self._mean)
        self._var = self._var + newest * (unbiased - self._var)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
