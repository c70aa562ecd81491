"""The numbers of one state: the set, its statistics and the values of one cell, as readout.js works them out.

They come from the scene alone, so that a picture says no more than a page that is made from the same scene.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from normviz.explorer.snippets import texts
from normviz.explorer.svg.axis_names import GIVEN, axis_names, has_groups, spread_name
from normviz.explorer.svg.geometry import block_of, cube_shape, set_of, to_cube

State = Mapping[str, Any]


def unpack(packed: Mapping[str, str]) -> np.ndarray:
    """The array that `scene.pack` packed."""
    return np.frombuffer(base64.b64decode(packed["data"]), np.dtype(packed["dtype"]).newbyteorder("<"))


class Data:
    """A scene with its arrays, each unpacked once, when it is first needed."""

    def __init__(self, scene: Mapping[str, Any]) -> None:
        self.scene = scene
        self.shape = tuple(scene["shape"])
        self.cube = cube_shape(self.shape)
        self.bins = tuple(scene["bins"])
        self.methods = {row["name"]: {**row, **texts.words(row, self.shape)} for row in scene["methods"]}
        self._arrays: dict[tuple[str, ...], np.ndarray | None] = {}

    def array(self, *keys: str) -> np.ndarray | None:
        """An array of the scene, such as ("mean",) or ("running", "mean"); None if the scene does not have it."""
        if keys not in self._arrays:
            packed: Any = self.scene
            for key in keys:
                packed = packed and packed.get(key)
            self._arrays[keys] = unpack(packed) if packed else None
        return self._arrays[keys]

    @cached_property
    def values(self) -> np.ndarray | None:
        """All values as float64, of the shape of the cube; None where they are too many to travel."""
        values = self.array("values")
        return None if values is None else values.reshape(self.cube).astype(np.float64)

    @cached_property
    def labels(self) -> Any:
        """Which given set each cell is in, of the shape of the cube; None where no sets are given."""
        labels = self.array("labels")
        return None if labels is None else labels.reshape(self.cube)

    @cached_property
    def marks(self) -> Any:
        """Which cells are marked, of the shape of the cube; None where none are."""
        if self.scene.get("marks") is None:
            return None
        marks = np.zeros(self.cube, bool)
        marks.flat[self.scene["marks"]] = True
        return marks

    @property
    def running(self) -> Any:
        """Running mean and variance, each (C,); or None."""
        return (self.array("running", "mean"), self.array("running", "var")) if self.scene.get("running") else None

    def method(self, name: str) -> Mapping[str, Any]:
        """The row of a method."""
        return GIVEN if name == "given" else self.methods[name]

    def groups(self, state: State) -> int:
        """The chosen G; with another method chosen, the usual one, for the classical figure shows all four."""
        return state.get("num_groups") or max(g for g in range(1, 5) if self.shape[1] % g == 0)

    @cached_property
    def field(self) -> np.ndarray:
        """The values that colours stand for, or the means of the drawn cells where the scene has no values."""
        if self.values is not None:
            return self.values
        size = [-(-n // b) for n, b in zip(self.cube, self.bins, strict=True)]
        level = self.array("coarse").reshape(size)  # type: ignore[union-attr]
        low, high = self.scene["extent"]
        return np.where(level == 255, np.nan, low + level / 254 * (high - low))

    @np.errstate(all="ignore")
    def normalized(self, method: Mapping[str, Any], state: State) -> np.ndarray:
        """`field`, normalized; a coarse mean by the statistics of its first cell."""
        block = block_of(method, self.cube, self.groups(state))
        grid = [n // b for n, b in zip(self.cube, block, strict=True)]
        if self.running is not None and state.get("mode") == "eval" and method["name"] == state["method"] == "batch":
            found = self.running[0].reshape(grid), self.running[1].reshape(grid)
        else:
            found = self.statistics(method, self.groups(state))
        if found is None:  # the scene does not carry them
            return np.full(self.field.shape, np.nan)
        bins = self.bins if self.values is None else (1, 1, 1, 1)
        at = np.ix_(*(np.arange(0, n, size) // b for n, size, b in zip(self.cube, bins, block, strict=True)))
        return (self.field - found[0][at]) / np.sqrt(found[1][at] + self.scene["eps"])

    def values_of(self, shown: Readout) -> np.ndarray:
        """The values of the set, or the means of the drawn cells that overlap it; in eval mode those of the channel."""
        if shown.method["name"] == "given":
            return self.values[self.labels == shown.label] if self.values is not None else np.zeros(0)
        c = shown.cell[1]
        box = shown.box or [(0, length) if axis != 1 else (c, c + 1) for axis, length in enumerate(self.cube)]
        bins = (1, 1, 1, 1) if self.values is not None else self.bins
        return self.field[tuple(slice(a // b, -(-z // b)) for (a, z), b in zip(box, bins, strict=True))].ravel()

    @np.errstate(all="ignore")
    def statistics(self, method: Mapping[str, Any], num_groups: int | None) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and variance of every set, of the shape of the grid, or None where the scene does not carry them."""
        n, c, h, w = self.cube
        if method["spatial"] == "all":
            count, mean, m2, shape = self.scene["count"], self.array("mean"), self.array("m2"), (n, c, 1, 1)
        # Sets that split the spatial axes pool the channels of one position: count = C, one atom for each position.
        elif self.values is not None:
            count, mean, shape = c, self.values.mean(axis=1, keepdims=True), (n, 1, h, w)
            m2 = ((self.values - mean) ** 2).sum(axis=1, keepdims=True)
        else:
            count, shape = c, (n, 1, h, w)
            mean, m2 = self.array("positions", "mean"), self.array("positions", "m2")
        if mean is None or m2 is None:
            return None
        mean, m2 = (part.astype(np.float64).reshape(shape) for part in (mean, m2))
        return merge(count, mean, m2, block_of(method, self.cube, num_groups), method["statistic"])


@np.errstate(all="ignore")
def merge(
    count: int, mean: np.ndarray, m2: np.ndarray, block: Sequence[int], statistic: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pool atoms of equal count over blocks: the mean of the means; M2 plus the squared differences of the means."""
    # The atoms may already stand for a whole axis; there the block covers one atom.
    extents = [min(b, length) for b, length in zip(block, mean.shape, strict=True)]
    tiled = [part for b, length in zip(extents, mean.shape, strict=True) for part in (length // b, b)]
    axes = (1, 3, 5, 7)
    mean, m2 = mean.reshape(tiled), m2.reshape(tiled)
    atoms = math.prod(extents)
    pooled = mean.mean(axis=axes, keepdims=True)
    total = (m2 + count * (mean - pooled) ** 2).sum(axis=axes)
    pooled = pooled.squeeze(axis=axes)
    var = total / (count * atoms)
    if statistic == "mean and variance":
        return pooled, var
    square = var + pooled**2
    return np.zeros_like(pooled), square * (count * atoms) if statistic == "squared norm" else square


@np.errstate(all="ignore")
def means(values: np.ndarray, bins: Sequence[int]) -> np.ndarray:
    """Means of boxes of `bins` cells; the last box along an axis may be smaller."""
    for axis, size in enumerate(bins):
        if size > 1:
            starts = np.arange(0, values.shape[axis], size)
            lengths = np.diff(np.append(starts, values.shape[axis]))
            along = [-1 if a == axis else 1 for a in range(4)]
            values = np.add.reduceat(values, starts, axis=axis, dtype=np.float64) / lengths.reshape(along)
    return values


@dataclass(frozen=True)
class Readout:
    """The numbers of one state.

    Attributes
    ----------
    ranges
        The set as (start, stop) along each axis of x; None where no set is drawn (eval mode, given sets).
    box
        The same along (n, c, h, w) of the cube.
    grid
        How many sets along each axis of x; empty for given sets.
    mean, var, x
        None where the scene does not carry them, as it does not for the single values of a large tensor.
    """

    method: Mapping[str, Any]
    cell: tuple[int, int, int, int]
    ranges: list[tuple[int, int]] | None
    box: list[tuple[int, int]] | None
    grid: list[int]
    size: int
    sets: int
    label: int
    evaluating: bool
    mean: float | None
    var: float | None
    x: float | None
    gamma: float
    beta: float
    deviation: float | None
    normalized: float | None
    y: float | None


@np.errstate(all="ignore")
def measure(data: Data, state: State) -> Readout:
    """Work out the numbers of a state."""
    index, num_groups, scene = tuple(state["index"]), state.get("num_groups"), data.scene
    cell = to_cube(index, data.shape)
    method = data.method(state["method"])
    evaluating = state.get("mode") == "eval" and method["name"] == "batch" and data.running is not None
    ranges = box = None
    grid: list[int] = []
    if method["name"] == "given":
        label = int(data.labels[cell])
        members = data.labels == label
        size, sets = int(members.sum()), np.unique(data.labels).size
        mean = var = None
        if data.values is not None:
            mean, var = float(data.values[members].mean()), float(data.values[members].var())
        elif (labels := data.array("sets", "label")) is not None:
            at = int(np.searchsorted(labels, label))
            mean, var = (float(data.array("sets", key)[at]) for key in ("mean", "var"))  # type: ignore[index]
    else:
        block = block_of(method, data.shape, num_groups)
        grid = [n // b for n, b in zip(data.shape, block, strict=True)]
        ranges, size, sets = set_of(block, index), math.prod(block), math.prod(grid)
        label = int(np.ravel_multi_index([i // b for i, b in zip(index, block, strict=True)], grid))
        drawn = block_of(method, data.cube, num_groups)
        box = set_of(drawn, cell)
        every = data.statistics(method, num_groups)
        at = tuple(i // b for i, b in zip(cell, drawn, strict=True))
        mean, var = (None, None) if every is None else (float(every[0][at]), float(every[1][at]))
    if evaluating:
        ranges = box = None
        mean, var = (float(data.running[k][cell[1]]) for k in (0, 1))  # type: ignore[index]
    gamma, beta = (parameter(data, state, name, cell) for name in ("weight", "bias"))
    x = float(data.values[cell]) if data.values is not None else state.get("value")
    deviation = None if var is None else math.sqrt(var + scene["eps"])
    normalized = None if x is None or mean is None or deviation is None else (x - mean) / deviation
    y = None if normalized is None else gamma * normalized + beta
    numbers = (mean, var, x, gamma, beta, deviation, normalized, y)
    return Readout(method, cell, ranges, box, grid, size, sets, label, evaluating, *numbers)


def parameter(data: Data, state: State, name: str, cell: tuple[int, ...]) -> float:
    """The weight or bias applied at a cell. Per-element parameters exist only for Layer Norm."""
    array, per_output = data.array(name), bool(data.scene.get("per_output"))
    neutral = 1.0 if name == "weight" else 0.0
    if array is None or (data.scene.get("elementwise") and state["method"] != "layer"):
        return neutral
    if per_output != (data.method(state["method"])["axes"] == "weights"):
        return neutral
    if per_output:
        return float(array[cell[0]])
    if array.size == data.shape[1]:
        return float(array[cell[1]])
    return float(array.reshape(data.cube[1:])[cell[1:]])


def decimal(value: float | None, digits: int = 5) -> str:
    """A plain decimal without an exponent, which a screen reader can read."""
    if value is None:
        return "?"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return (
        np.format_float_positional(value, precision=digits, unique=False, fractional=False, trim="-") if value else "0"
    )


def formula(value: float | None, digits: int = 5) -> str:
    """As `decimal`, but very small and very large numbers as powers of ten, for formulas. May hold <sup>."""
    if value is None or not math.isfinite(value) or value == 0 or 1e-6 <= abs(value) < 10 ** max(9, digits):
        return decimal(value, digits)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{decimal(float(mantissa), digits)}·10<sup>{int(exponent)}</sup>"


def digits_for(shown: Readout) -> int:
    """Digits that distinguish a value from the mean: more than five if both are large against the deviation."""
    largest = max((abs(v) for v in (shown.x, shown.mean) if v is not None), default=0.0)
    lost = largest / math.sqrt(shown.var) if shown.var else 0.0
    if not lost or not math.isfinite(lost):
        return 5
    return min(5 + max(0, math.ceil(math.log10(lost) - 1)), 15)


def whole(value: int) -> str:
    """A whole number with thin spaces between the thousands."""
    return f"{value:,}".replace(",", "\u202f")


def span(ranges: tuple[int, int]) -> str:
    """An inclusive range for people: "0 to 3", "5"."""
    start, stop = ranges
    return f"{start}" if stop - start == 1 else f"{start} to {stop - 1}"


def name_of(data: Data, state: State) -> str:
    """The method, with G where it has one."""
    row = data.method(state["method"])
    return f"{row['label']}, G = {state['num_groups']}" if has_groups(row) else row["label"]


def status(data: Data, state: State, shown: Readout) -> str:
    """The status line: the set, its size, mean and variance."""
    name, where = name_of(data, state), f"cell ({', '.join(str(i) for i in state['index'])})"
    if shown.evaluating:
        return (
            f"{name} in eval mode, {where}: no set; running mean {decimal(shown.mean)}, "
            f"running variance {decimal(shown.var)}."
        )
    axes = axis_names(data.shape, shown.method)
    ranges = ", ".join(f"{axis} {span(r)}" for axis, r in zip(axes, shown.ranges, strict=True)) if shown.ranges else ""
    numbers = "its mean and variance need a running kernel"
    if shown.mean is not None:
        second = f"{spread_name(shown.method)} {decimal(shown.var)}"
        numbers = f"mean {decimal(shown.mean, digits_for(shown))}, {second}"
    cells = "1 cell" if shown.size == 1 else f"{shown.size} cells"
    return f"{name}: the set of {where} is {ranges or f'set {shown.label}'}; {cells}, {numbers}."
