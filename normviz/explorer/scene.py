"""The scene: everything that the browser needs of one tensor, computed once.

The page computes by itself which set a cell lies in. Python gives it the numbers: the exact moments of every (sample,
channel), from which it merges any set of batch, layer, instance or group, and the values. Above `MOST_VALUES` cells it
gets coarse means instead of values, for colours only; the moments stay exact.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.array_kinds import host
from normviz.core.methods import METHODS
from normviz.core.moments import Moments
from normviz.core.pooling import Pooling, canonical
from normviz.core.statistics import Statistics
from normviz.explorer.constants import LIMITS
from normviz.explorer.snippets import texts
from normviz.explorer.svg.geometry import cube_shape
from normviz.explorer.svg.readout import means
from normviz.functions.reduce import moments, statistics

if TYPE_CHECKING:
    from normviz.explorer.validation import Subject

MOST_VALUES = 2**17
MOST_COARSE = 2**16
MOST_ATOMS = 2**16
"""Where samples times channels are more (a long batch of vectors), the page does not get the moments either."""
MOST_LINES: int = LIMITS["lines"]
"""An axis longer than this is drawn aggregated."""
SETS = ("name", "label", "n", "c", "spatial", "axes")
"""What the browser needs of a row of METHODS to draw its sets."""
ROW = (*SETS, "centered", "statistic")
"""What it needs for the numbers as well."""
LARGEST = 1e300
"""The limit of scales: twice as much must be finite."""
ALONE = {"mean and variance": "layer", "mean square": "rms", "squared norm": "weight_norm"}
"""For each statistic, the method that measures one sample whose channels are all pooled."""

GivenSets = Mapping[str, np.ndarray]
"""Label, count, mean and variance of every given set, ascending by label."""


def pack(array: np.ndarray) -> dict[str, str]:
    """An array as base64 of little-endian numbers: every host passes JSON on, but not every one binary buffers."""
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.name, "data": base64.b64encode(array.tobytes()).decode("ascii")}


def pack_labels(labels: np.ndarray) -> dict[str, str]:
    """The numbers of sets, packed as bytes where they fit."""
    return pack(labels.astype(np.uint8 if labels.max() < 256 else np.int32))


def bins(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """How many cells of x one drawn cell stands for, along n, c, h, w: 1 unless an axis is longer than `MOST_LINES`."""
    cube = cube_shape(shape)
    size = [1, *(-(-length // MOST_LINES) for length in cube[1:])]
    if math.prod(cube) > MOST_VALUES:
        drawn = lambda: [-(-length // s) for length, s in zip(cube, size, strict=True)]  # noqa: E731
        while math.prod(drawn()) > MOST_COARSE and max(drawn()[1:]) > 1:
            axis = 1 + int(np.argmax(drawn()[1:]))
            size[axis] *= 2
    return tuple(size)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Tensor:
    """All data of x, read once, so picture and statistics agree even if x is changed in place later.

    Attributes
    ----------
    values
        In host memory, with axes (N, C, *spatial). Up to `MOST_VALUES` cells they are a copy. Above, they share the
        memory of x where that is possible, and only single cells, and methods that need neither `moments` nor
        `positions`, read it.
    moments
        Of every (sample, channel).
    positions
        The statistics of every position, over its channels; None where the values are a copy, and where they would
        weigh more than the picture.
    scene
        The part of the scene that x alone decides.
    """

    values: np.ndarray
    moments: Moments
    positions: Statistics | None
    scene: Mapping[str, Any]

    @property
    def exact(self) -> bool:
        """Whether all values are sent to the page."""
        return self.values.size <= MOST_VALUES

    def statistics(self, method: str, num_groups: int | None) -> Statistics:
        """The statistics of a method."""
        row = METHODS[method]
        if not self.exact and row.spatial == "all":
            return self.moments.pool(method, num_groups)
        if self.positions is None or row.c != "all":
            return statistics(self.values, method, num_groups=num_groups)
        mean, var = self.positions.mean, self.positions.var
        if row.centered:
            return self.positions
        return Statistics(mean=np.zeros_like(mean), var=var + mean**2, count=self.positions.count)

    def set_statistics(self, pool: Pooling, index: tuple[int, ...]) -> tuple[float, float]:
        """Mean and variance of the set of one cell."""
        if self.exact or self.positions is not None or pool.row.spatial == "all":
            found, at = self.statistics(pool.method, pool.num_groups), pool.set_number(index)
        else:  # this set alone, as one sample whose channels are all pooled
            found, at = statistics(self.values[pool.set_of(index)].reshape(1, -1), ALONE[pool.row.statistic]), 0
        return float(found.mean.flat[at]), float(found.var.flat[at])


@np.errstate(all="ignore")
def read(x: Any, channel_axis: int = 1) -> Tensor:
    """Read what a scene and the statistics of x are made of; the shape of x has been checked."""
    values = canonical(host(x), channel_axis)
    exact, C, size = values.size <= MOST_VALUES, values.shape[1], bins(values.shape)
    values = values.copy() if exact else values
    try:
        atoms = moments(x, channel_axis=channel_axis)
    except MemoryError as error:
        raise MemoryError(f"x of shape {values.shape} is too large for the memory; give a smaller part") from error
    carried = exact or atoms.mean.size <= MOST_ATOMS
    positions = statistics(values, "positional") if not exact and values.size // C <= MOST_COARSE else None
    scene: dict[str, Any] = {
        "shape": list(values.shape),
        "dtype": str(getattr(x, "dtype", values.dtype)).removeprefix("torch."),
        "backend": atoms.backend,
        "bins": list(size),
        "count": int(atoms.count),
        "mean": pack(smallest(atoms.mean)) if carried else None,
        "m2": pack(smallest(atoms.m2)) if carried else None,
        **colors(values, size, exact=exact),
    }
    if not exact:
        scene["positions"] = positions and {"mean": pack(positions.mean), "m2": pack(positions.var * C)}
    return Tensor(values, atoms, positions, scene)


def build(on: Subject) -> dict[str, Any]:
    """Everything that the page shows of a checked tensor, as JSON."""
    packed = {name: None if p is None else pack(p) for name, p in (("weight", on.weight), ("bias", on.bias))}
    scene: dict[str, Any] = {
        **on.tensor.scene,
        **packed,
        "eps": float(on.eps),
        "elementwise": any(p is not None and p.ndim > 1 for p in (on.weight, on.bias)),
        "per_output": on.per_output,
        "running": None if on.running is None else {"mean": pack(on.running[0]), "var": pack(on.running[1])},
        "labels": None if on.labels is None else pack_labels(on.labels),
        "marks": None if on.marks is None else np.flatnonzero(on.marks).tolist(),
        "title": on.title,
        "methods": methods(on),
    }
    if not on.tensor.exact and on.sets is not None:
        scene["sets"] = {key: pack(array) for key, array in on.sets.items()}
    return scene


def methods(on: Subject) -> list[dict[str, Any]]:
    """The rows of METHODS with their code; weight and bias belong to activations, or to the filters of weights."""
    affine = {name: p.shape for name, p in (("weight", on.weight), ("bias", on.bias)) if p is not None}
    rows = []
    for method in METHODS.values():
        given = affine if (method.axes == "weights") == on.per_output else {}
        code = partial(texts.code, method, on.shape, eps=on.eps, channel_axis=on.channel_axis, affine=given)
        row = {key: getattr(method, key) for key in ROW} | {"code": code()}
        rows.append(row | ({"eval": code(mode="eval")} if method.name == "batch" else {}))
    return rows


@np.errstate(all="ignore")
def colors(values: np.ndarray, size: tuple[int, ...], *, exact: bool) -> dict[str, Any]:
    """The values, exact or coarse, and the range that their colours span (2nd to 98th percentile)."""
    small = (values if exact else means(values.reshape(cube_shape(values.shape)), size)).astype(np.float64)
    finite = small[np.isfinite(small)].clip(-LARGEST, LARGEST)
    low, high = (float(q) for q in np.percentile(finite, [2, 98])) if finite.size else (0.0, 0.0)
    extent = [float(finite.min()), float(finite.max())] if finite.size else [0.0, 0.0]
    if exact:
        return {"values": pack(smallest(values)), "colors": [low, high], "extent": extent}
    # One byte a mean is enough for a colour; 255 stands for "not finite".
    width = (extent[1] - extent[0]) or 1.0
    share = (small.clip(-LARGEST, LARGEST) - extent[0]) / width
    level = np.where(np.isfinite(small), np.round(share * 254), 255).astype(np.uint8)
    return {"values": None, "coarse": pack(level), "colors": [low, high], "extent": extent}


@np.errstate(all="ignore")
def smallest(values: np.ndarray) -> np.ndarray:
    """The values in the smallest float type that keeps every one of them."""
    exact = values.astype(np.float64)
    for dtype in (np.float16, np.float32):
        if np.array_equal(values.astype(dtype).astype(np.float64), exact, equal_nan=True):
            return values.astype(dtype)
    return exact


@np.errstate(all="ignore")
def given_sets(values: np.ndarray, labels: np.ndarray | None) -> GivenSets | None:
    """Label, count, mean and variance of every given set, ascending by label; None without labels."""
    if labels is None:
        return None
    numbers, where, count = np.unique(labels, return_inverse=True, return_counts=True)
    x, where = values.ravel().astype(np.float64), where.ravel()
    mean = np.bincount(where, x) / count
    var = np.bincount(where, np.square(x - mean[where])) / count
    return {"label": numbers.astype(np.int32), "count": count.astype(np.int32), "mean": mean, "var": var}
