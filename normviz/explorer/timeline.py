"""A layer over the recorded steps of a training run, as an explorer shows it: statistics of its sets, and no values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from normviz.core.pooling import Pooling
from normviz.core.statistics import Statistics
from normviz.explorer.scene import Tensor, colors, levels, means, pack, smallest
from normviz.explorer.svg.geometry import Range, bins, cube_shape

MOST_BYTES = 1_560_000
"""Of the numbers over time that a page contains; in base64 they are a third more."""


class Pair(NamedTuple):
    """Means and variances, a row for each step."""

    mean: np.ndarray
    var: np.ndarray


@dataclass(frozen=True, eq=False)
class Timeline:
    """The statistics of one layer over T steps, for the S pooling sets and C channels that are shown.

    Attributes
    ----------
    steps, at
        The numbers of the steps, (T,), and which of them is shown: an index of `steps`.
    sets
        The layer's pooling sets on the shown shape, (N, C, *spatial).
    shape
        Of the layer's input at its first call. Where not all sets were recorded, the shown shape is a part of it.
    own_sets
        Mean and variance of the sets, (T, S): NaN for one that is not in a smaller batch.
    running, gap
        Running mean and variance, (T, C); and how far the output by them is from the one by the set's own statistics,
        in standard deviations, (T, S). None without running statistics.
    weight, bias
        As used at each step, (T, C), or None.
    channel_mean
        For colours, (T, C); None if it is the mean of the sets.
    quartiles
        Minimum, quartiles and maximum of mean and variance over all sets of the layer, (T, 5).
    own
        Whether the layer used the batch's statistics and not its running ones, (T,).
    samples, count
        The number of samples, and the number of cells of a channel, (T,).
    warnings
        (index of the step, code, message).
    every
        Of how many recorded steps one is shown.
    """

    steps: np.ndarray
    at: int
    sets: Pooling
    shape: tuple[int, ...]
    own_sets: Pair
    running: Pair | None
    gap: np.ndarray | None
    weight: np.ndarray | None
    bias: np.ndarray | None
    channel_mean: np.ndarray | None
    quartiles: Pair
    own: np.ndarray
    samples: np.ndarray
    count: np.ndarray
    warnings: tuple[tuple[int, str, str], ...]
    every: int

    @property
    def step(self) -> int:
        """The number of the shown step."""
        return int(self.steps[self.at])

    @property
    def size(self) -> int:
        """Cells of a set at the shown step: a batch may have fewer samples than the shape."""
        return int(self.count[self.at]) if self.sets.row.n == "all" else self.sets.size

    def at_step(self, ranges: list[Range]) -> list[Range]:
        """The ranges of a set, with as many samples as the batch of the shown step has."""
        return [(0, int(self.samples[self.at])), *ranges[1:]] if self.sets.row.n == "all" else ranges

    def has(self, index: tuple[int, ...]) -> bool:
        """Whether the batch of the shown step has the cell; a batch may have fewer samples or tokens than the shape."""
        row, samples = self.sets.row, self.samples[self.at]
        tokens = len(index) != 3 or row.spatial == "all" or index[2] < self.count[self.at] // max(samples, 1)
        return row.n == "all" or bool(index[0] < samples and tokens)

    def packed(self) -> dict[str, Any]:
        """The part "time" of the scene."""

        def numbers(array: np.ndarray | None) -> dict[str, str] | None:
            return None if array is None else pack(smallest(array))

        def both(pair: Pair | None) -> dict[str, Any] | None:
            return pair and {name: numbers(array) for name, array in pair._asdict().items()}

        return {
            "steps": pack(self.steps.astype(np.int32)),
            **(both(self.own_sets) or {}),
            "running": both(self.running),
            "gap": numbers(self.gap),
            "weight": numbers(self.weight),
            "bias": numbers(self.bias),
            "channel_mean": numbers(self.channel_mean),
            "quartiles": both(self.quartiles),
            "own": pack(self.own.astype(np.uint8)),
            "samples": pack(self.samples.astype(np.int32)),
            "count": pack(self.count.astype(np.int32)),
            "warnings": [list(each) for each in self.warnings],
            "every": self.every,
            "shape": list(self.shape),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class RecordedTensor(Tensor):
    """What a recording has of x at the shown step: the statistics of its sets, and no single values."""

    timeline: Timeline

    @cached_property
    def _sets(self) -> Statistics:
        time = self.timeline
        shape = time.sets.statistics_shape
        mean, var = (array[time.at].reshape(shape).astype(np.float64) for array in time.own_sets)
        return Statistics(mean=mean, var=var, count=time.size)

    def known(self, method: str, num_groups: int | None) -> Statistics | None:
        """The statistics of the layer's own method."""
        sets = self.timeline.sets
        return self._sets if (method, num_groups) == (sets.method, sets.num_groups) else None

    def statistics(self, method: str, num_groups: int | None) -> Statistics:
        """The statistics of the layer's own method; a recording has no others."""
        found = self.known(method, num_groups)
        if found is None:
            raise ValueError(f"this is a recording of method {self.timeline.sets.method!r}, and has no values of x")
        return found

    def set_statistics(self, pool: Pooling, index: tuple[int, ...]) -> tuple[float, float]:
        """Mean and variance of the set of one cell."""
        found, at = self.statistics(pool.method, pool.num_groups), pool.set_number(index)
        return float(found.mean.flat[at]), float(found.var.flat[at])

    def packed(self) -> dict[str, Any]:
        """The part of the scene that x alone decides. The page makes its colours of the means of each step."""
        return {**super().packed(), "coarse": None}


def recorded_tensor(time: Timeline) -> RecordedTensor:
    """Return what a page and a picture know of x at the shown step.

    A colour stands for the mean of a channel, and for the same one at every step.
    """
    shape = time.sets.shape
    every = time.own_sets.mean if time.channel_mean is None else time.channel_mean
    _, extent, ends = colors(every, exact=True)
    size = bins(shape)
    of_channels = means(every[time.at].astype(np.float64).reshape(1, -1, 1, 1), (1, size[1], 1, 1))
    drawn = [-(-length // each) for length, each in zip(cube_shape(shape), size, strict=True)]
    coarse = np.broadcast_to(levels(of_channels, extent), drawn)
    return RecordedTensor(shape, "float32", "", None, None, None, coarse, extent, ends, timeline=time)
