"""Sets that a reshape makes where a transpose was meant: the cells of x, as they lie in memory, read as other axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from normviz.core.methods import Method
from normviz.inspect.probe.sets import number


@dataclass(frozen=True)
class Reading:
    """An array whose cells, in some order of its axes, are read as those of an array of another shape."""

    method: str  # the method that pools them, for readers
    names: tuple[str, ...]  # the axes of x, in fn's own layout
    shape: tuple[int, ...]  # their lengths
    order: tuple[int, ...]  # the axes of x in the order in which its cells are read: the last one changes fastest
    read: tuple[str, ...]  # the axes that they are read as; G and C/G are the two parts of C
    lengths: tuple[int, ...]  # their lengths
    pooled: tuple[bool, ...]  # which of them a set spans

    def __str__(self) -> str:
        ordered, where = [self.names[a] for a in self.order], f"x of shape ({', '.join(self.names)})"
        if self.order == (*reversed(range(len(self.shape))),):
            where += ", in Fortran's order,"
        elif self.order != (*range(len(self.shape)),):
            where += f", transposed to ({', '.join(ordered)}),"
        moved = "the channels" if self._keeps_others(ordered) else "its axes"
        lengths = ", ".join(map(str, self.lengths))
        return f"{where} is read as ({', '.join(self.read)}) = ({lengths}) without moving {moved}"

    def _keeps_others(self, ordered: list[str]) -> bool:
        channels = ["C", *_parts(self.read)["C"]]
        return [n for n in ordered if n not in channels] == [n for n in self.read if n not in channels]

    @property
    def moves_channels_only(self) -> bool:
        """Whether the cells are read in the order of memory, and all axes but the channels at their own places."""
        return self.order == (*range(len(self.shape)),) and self._keeps_others([*self.names])

    @property
    def moves(self) -> bool:
        """Whether an axis is read at another place than its own."""
        parts = _parts(self.read)
        left, axes = [*self.read], [self.names[a] for a in self.order]
        for name in axes:
            if {*left[: len(parts[name])]} != {*parts[name]}:
                return True
            del left[: len(parts[name])]
        return False

    @property
    def labels(self) -> np.ndarray:
        """The number of the set of each cell of x, in fn's own layout."""
        return self._numbers([name for name, pooled in zip(self.read, self.pooled, strict=True) if not pooled])

    @property
    def channels(self) -> np.ndarray:
        """The channel that each cell of x is taken for, in fn's own layout."""
        return self._numbers(_parts(self.read)["C"])

    @property
    def runs(self) -> list[tuple[int, bool]]:
        """The lengths of neighbouring axes that a set spans, or does not span, together; the fastest come first."""
        runs: list[tuple[int, bool]] = []
        for length, pooled in zip(self.lengths[::-1], self.pooled[::-1], strict=True):
            if length > 1:
                before = runs.pop()[0] if runs and runs[-1][1] == pooled else 1
                runs.append((before * length, pooled))
        return runs

    def _numbers(self, axes: Sequence[str]) -> np.ndarray:
        """Number the cells of x along some of the axes that they are read as."""
        where, numbers = np.indices(self.lengths, sparse=True), np.zeros(self.lengths, int)
        for i in map(self.read.index, axes):
            numbers = numbers * self.lengths[i] + where[i]
        return numbers.reshape([self.shape[a] for a in self.order]).transpose(np.argsort(self.order))


def axis_names(rank: int, channel_axis: int) -> list[str]:
    """Return the names of the axes of fn's array, as they are in the shapes of PyTorch's documentation."""
    names = ["N", *("", "", "", "L", "HW", "DHW")[rank]]
    names.insert(channel_axis % rank, "C")
    return names


def readings(shape: Sequence[int], channel_axis: int, row: Method, num_groups: int | None) -> Iterator[Reading]:
    """Yield how a method can pool an array of fn's whose axes it takes for others, the likeliest first."""
    rank, axis, names = len(shape), channel_axis % len(shape), axis_names(len(shape), channel_axis)
    axes: dict[str, tuple[int, bool]] = {}  # the axes to read: length, and whether a set spans it
    for name, length in zip(names, shape, strict=True):
        extent = {"N": row.n, "C": row.c}.get(name, row.spatial)
        if extent == "group":
            axes |= {"G": (num_groups or 1, False), f"{name}/G": (length // (num_groups or 1), True)}
        else:
            axes[name] = length, extent == "all"
    label = row.named(num_groups)
    inner = [a for a in range(1, rank) if a != axis]
    orders = (range(rank), (0, *inner, axis), (0, axis, *inner), range(rank)[::-1])
    for order, read in product(dict.fromkeys(map(tuple, orders)), _permutations([*axes])):
        lengths, pooled = zip(*(axes[name] for name in read), strict=True)
        yield Reading(label, (*names,), (*shape,), order, read, lengths, pooled)


def misread(labels: np.ndarray, channel_axis: int, methods: Iterable[tuple[Method, int | None]]) -> list[Reading]:
    """Return the readings of some methods, (method, num_groups), that have these sets, given in fn's own layout.

    There are none if a method has these sets without a misread axis.
    """
    runs: dict[tuple[int, ...], list[tuple[int, bool]] | None] = {}
    size, found = np.count_nonzero(labels == labels.flat[0]), []
    for row, num_groups in methods:
        for reading in readings(labels.shape, channel_axis, row, num_groups):
            if math.prod(n for n, pooled in zip(reading.lengths, reading.pooled, strict=True) if pooled) != size:
                break
            if reading.order not in runs:
                runs[reading.order] = _runs(labels.transpose(reading.order).ravel())
            if reading.runs == runs[reading.order] and np.array_equal(number(reading.labels), number(labels)):
                found.append(reading)
    return found if all(reading.moves for reading in found) else []


def _runs(labels: np.ndarray) -> list[tuple[int, bool]] | None:
    """Return the `runs` of the reading that the first set of flat labels comes from; None if it comes from none."""
    same, runs, step = labels == labels[0], [], 1
    while step < labels.size:
        pooled = bool(same[step])
        others = np.flatnonzero(same[::step] != pooled)
        others = others[others > 0]
        length = int(others[0]) if others.size else labels.size // step
        if labels.size % (step * length):
            return None
        runs.append((length, pooled))
        step *= length
    return runs


def _parts(read: Sequence[str]) -> dict[str, list[str]]:
    """Return the axes that are read for each axis of x."""
    cut = {name: ["G", f"{name}/G"] for name in "NC" if f"{name}/G" in read}
    return {name: [name] for name in ("N", "C", "L", "D", "H", "W")} | cut


def _permutations(axes: list[str]) -> list[tuple[str, ...]]:
    """Return the orders of some axes, the likeliest first: N leads, and the spatial axes stay together, in order."""
    others = [a for a in axes if a in "LDHW"]

    def unusual(read: tuple[str, ...]) -> tuple[bool, ...]:
        first = read.index(others[0]) if others else 0
        return [*read[first:]][: len(others)] != others, read[0][0] not in "NG", read[-1] == "G"

    return sorted(permutations(axes), key=unusual)
