"""The scene: everything that the browser needs of one tensor, computed once.

The page computes by itself which set a cell lies in. Python gives it the numbers: the exact moments of every (sample,
channel), from which it merges any set of batch, layer, instance or group, and the values. Above `MOST_VALUES` cells it
gets coarse means instead of values, for colours only; the moments stay exact.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from normviz.core.array_kinds import host
from normviz.core.methods import METHODS
from normviz.core.moments import Moments
from normviz.core.pooling import Pooling, canonical
from normviz.core.statistics import Statistics
from normviz.explorer.axis_names import short_label
from normviz.explorer.constants import LIMITS
from normviz.explorer.svg.geometry import MOST_COARSE, MOST_VALUES, bins, cube_shape
from normviz.functions.reduce import moments, statistics
from normviz.samples import REPEATED, activations

if TYPE_CHECKING:
    from normviz.explorer.validation import Subject

MOST_ATOMS: int = LIMITS["moments"]
"""Where samples times channels are more (a long batch of vectors), the page does not get the moments either."""
SETS = ("name", "label", "n", "c", "spatial", "axes")
"""What the browser needs of a row of METHODS to draw its sets."""
ROW = (*SETS, "centered", "statistic", "affine")
"""What it needs for the numbers as well."""
LARGEST: float = LIMITS["largest"]
"""The limit of scales: twice as much must be finite."""
ALONE = {"mean and variance": "layer", "mean square": "rms", "squared norm": "weight_norm"}
"""For each statistic, the method that measures one sample whose channels are all pooled."""

GivenSets = Mapping[str, np.ndarray]
"""Label, count, mean and variance of every given set, ascending by label."""


def pack(array: np.ndarray) -> dict[str, str]:
    """An array as base64 of little-endian numbers: every host passes JSON on, but not every one binary buffers."""
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.name, "data": base64.b64encode(array.tobytes()).decode("ascii")}


def without_zeros(scene: Mapping[str, Any]) -> Mapping[str, Any]:
    """A scene for a page. Where many values are zero, as after a ReLU, only the others travel, and bits tell which."""
    values = scene["values"]
    if values is None:
        return scene
    bits = np.frombuffer(base64.b64decode(values["data"]), f"u{np.dtype(values['dtype']).itemsize}")
    filled = bits != 0  # a negative zero travels too
    if filled.mean() > 0.9:
        return scene
    which = pack(np.packbits(filled, bitorder="little"))["data"]
    return {**scene, "values": {**values, "data": pack(bits[filled])["data"], "filled": which, "size": bits.size}}


def pack_labels(labels: np.ndarray) -> dict[str, str]:
    """The numbers of sets, packed as bytes where they fit."""
    return pack(labels.astype(np.uint8 if labels.max() < 256 else np.int32))


class Room(NamedTuple):
    """How many cells a page has room for: single values, drawn cells with their means, positions with statistics."""

    values: int = MOST_VALUES
    coarse: int = MOST_COARSE
    positions: int = MOST_COARSE


USUAL_ROOM = Room()


@dataclass(frozen=True, eq=False)
class Tensor:
    """All data of x, read once, so picture and statistics agree even if x is changed in place later.

    Attributes
    ----------
    shape, dtype, backend
        (N, C, *spatial); the dtype of x; the backend that computed the moments.
    source
        The values in host memory, with axes (N, C, *spatial). Up to `MOST_VALUES` cells they are a copy. Above, they
        share the memory of x where that is possible, and only single cells, and methods that need neither `moments`
        nor `positions`, read it. None where only what travels to a page is kept.
    moments
        Of every (sample, channel); None where they do not travel and only that is kept.
    positions
        The statistics of every position, over its channels; None where the values are a copy, and where they would
        weigh more than the picture.
    coarse
        The means of the drawn cells in steps of one byte, where the values do not travel: one byte is enough for a
        colour. 255 stands for "not finite".
    extent, colors
        The lowest and the highest of the drawn values, and the range that their colours span (2nd to 98th percentile).
    room
        How much of it a page has room for. The still picture is drawn with the usual room only.
    """

    shape: tuple[int, ...]
    dtype: str
    backend: str
    source: np.ndarray | None
    moments: Moments | None
    positions: Statistics | None
    coarse: np.ndarray | None
    extent: tuple[float, float]
    colors: tuple[float, float]
    room: Room = USUAL_ROOM

    @property
    def values(self) -> np.ndarray | None:
        """All values, if they travel to the page."""
        return self.source if self.coarse is None else None

    @property
    def atoms(self) -> Moments | None:
        """The moments, if they travel to the page."""
        few = self.coarse is None or self.moments is None or self.moments.mean.size <= MOST_ATOMS
        return self.moments if few else None

    @cached_property
    def field(self) -> np.ndarray:
        """The values that colours stand for, of the shape of the cube, or the means of the drawn cells."""
        if self.values is not None:
            return self.values.reshape(cube_shape(self.shape)).astype(np.float64)
        low, high = self.extent
        assert self.coarse is not None
        return np.where(self.coarse == 255, np.nan, low + self.coarse / 254 * (high - low))

    @cached_property
    def has_holes(self) -> bool:
        """Whether x holds NaN or infinity."""
        return not np.isfinite(self.values).all() if self.values is not None else bool((self.coarse == 255).any())

    def travelling(self) -> Tensor:
        """Only what travels to a page, so that a large x is not kept in memory."""
        return self if self.coarse is None else replace(self, source=None, moments=self.atoms)

    def statistics(self, method: str, num_groups: int | None) -> Statistics:
        """The statistics of a method."""
        found = self.known(method, num_groups)
        if found is None and METHODS[method].spatial == "all" and self.moments is not None:
            return self.moments.pool(method, num_groups)
        return found or statistics(self.source, method, num_groups=num_groups)

    @np.errstate(all="ignore")
    def known(self, method: str, num_groups: int | None) -> Statistics | None:
        """The statistics of a method, if what travels to the page has them."""
        row = METHODS[method]
        if self.values is not None:
            return statistics(self.values, method, num_groups=num_groups)
        if row.spatial == "all":
            return self.atoms and self.atoms.pool(method, num_groups)
        if self.positions is None or row.c != "all":
            return None
        mean, var = self.positions.mean, self.positions.var
        if row.centered:
            return self.positions
        return Statistics(mean=np.zeros_like(mean), var=var + mean**2, count=self.positions.count)

    def set_statistics(self, pool: Pooling, index: tuple[int, ...]) -> tuple[float, float]:
        """Mean and variance of the set of one cell."""
        found, at = (self.statistics if pool.row.spatial == "all" else self.known)(pool.method, pool.num_groups), 0
        if found is not None:
            at = pool.set_number(index)
        else:  # this set alone, as one sample whose channels are all pooled
            assert self.source is not None
            found = statistics(self.source[pool.set_of(index)].reshape(1, -1), ALONE[pool.row.statistic])
        return float(found.mean.flat[at]), float(found.var.flat[at])

    def packed(self) -> dict[str, Any]:
        """The part of the scene that x alone decides."""
        atoms, positions = self.atoms, self.positions
        # Where room is short the moments travel in float32, which has more digits than an explorer shows.
        small = smallest if self.room == USUAL_ROOM else in_float32
        scene: dict[str, Any] = {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "backend": self.backend,
            "bins": list(bins(self.shape, *self.room[:2])),
            "count": math.prod(self.shape[2:]),
            "mean": atoms and pack(small(atoms.mean)),
            "m2": atoms and pack(small(atoms.m2)),
            "values": None if self.values is None else pack(smallest(self.values)),
            "colors": list(self.colors),
            "extent": list(self.extent),
        }
        if self.coarse is not None:
            places = positions and {"mean": positions.mean, "m2": positions.var * self.shape[1]}
            places = places and {name: pack(small(each)) for name, each in places.items()}
            scene |= {"coarse": pack(self.coarse), "positions": places}
        return scene


@np.errstate(all="ignore")
def read(x: Any, channel_axis: int = 1, room: Room = USUAL_ROOM) -> Tensor:
    """Read what a scene and the statistics of x are made of; the shape of x has been checked."""
    values = canonical(host(x), channel_axis)
    exact, C, shape = values.size <= room.values, values.shape[1], values.shape
    values = values.copy() if exact else values
    try:
        atoms = moments(x, channel_axis=channel_axis)
    except MemoryError as error:
        raise MemoryError(f"x of shape {shape} is too large for the memory; give a smaller part") from error
    few = not exact and values.size // C <= room.positions
    return Tensor(
        shape,
        str(getattr(x, "dtype", values.dtype)).removeprefix("torch."),
        atoms.backend,
        values,
        atoms,
        statistics(values, "positional") if few else None,
        *colors(values if exact else means(values.reshape(cube_shape(shape)), bins(shape, *room[:2])), exact=exact),
        room,
    )


def build(on: Subject) -> dict[str, Any]:
    """Everything that the page shows of a checked tensor, as JSON."""
    packed = {name: None if p is None else pack(smallest(p)) for name, p in (("weight", on.weight), ("bias", on.bias))}
    scene: dict[str, Any] = {
        **on.tensor.packed(),
        **packed,
        "eps": float(on.eps),
        "channel_axis": on.channel_axis,
        "elementwise": [name for name in packed if (p := getattr(on, name)) is not None and p.ndim > 1],
        "per_output": on.per_output,
        "running": None
        if on.running is None
        else {name: pack(smallest(each)) for name, each in zip(("mean", "var"), on.running, strict=True)},
        "labels": None if on.labels is None else pack_labels(on.labels),
        "marks": None if on.marks is None else np.flatnonzero(on.marks).tolist(),
        "title": on.title,
        "methods": rows() if on.time is None else [row for row in rows() if row["name"] == on.time.sets.method],
    }
    if on.time is not None:
        scene["time"] = on.time.packed()
    if on.recipe is not None:
        scene["editable"] = {"recipe": on.recipe, "sample": packed_sample()}
    if on.tensor.coarse is not None and on.sets is not None:
        scene["sets"] = {key: pack(array) for key, array in on.sets.items()}
    return scene


def rows() -> list[dict[str, Any]]:
    """What the browser needs of METHODS."""
    return [{key: getattr(row, key) for key in ROW} | {"short": short_label(row)} for row in METHODS.values()]


@np.errstate(all="ignore")
def colors(drawn: np.ndarray, *, exact: bool) -> tuple[np.ndarray | None, tuple[float, float], tuple[float, float]]:
    """For what is drawn, `coarse`, `extent` and `colors` of its Tensor."""
    small = drawn.astype(np.float64)
    finite = small[np.isfinite(small)].clip(-LARGEST, LARGEST)
    low, high = (float(q) for q in np.percentile(finite, [2, 98])) if finite.size else (0.0, 0.0)
    extent = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return None if exact else levels(small, extent), extent, (low, high)


@np.errstate(all="ignore")
def levels(drawn: np.ndarray, extent: tuple[float, float]) -> np.ndarray:
    """`coarse` of a Tensor: what is drawn, in steps of one byte between the ends of its extent."""
    share = (drawn.clip(-LARGEST, LARGEST) - extent[0]) / ((extent[1] - extent[0]) or 1.0)
    return np.where(np.isfinite(drawn), np.round(share * 254), 255).astype(np.uint8)


@np.errstate(all="ignore")
def means(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Means of boxes of `size` cells; the last box along an axis may be smaller."""
    cells: Any = 1.0
    for axis, length in enumerate(size):
        if length > 1:
            starts = np.arange(0, values.shape[axis], length)
            lengths = np.diff(np.append(starts, values.shape[axis]))
            values = np.add.reduceat(values, starts, axis=axis, dtype=np.float64)
            cells = cells * lengths.reshape([-1 if a == axis else 1 for a in range(4)])
    # One division at the end, as in the page: then the order of the axes changes no byte of sums that are exact.
    return values / cells


@np.errstate(all="ignore")
def smallest(values: np.ndarray) -> np.ndarray:
    """The values in the smallest float type that keeps every one of them."""
    exact = values.astype(np.float64)
    for dtype in (np.float16, np.float32):
        if np.array_equal(values.astype(dtype).astype(np.float64), exact, equal_nan=True):
            return values.astype(dtype)
    return exact


@np.errstate(all="ignore")
def in_float32(values: np.ndarray) -> np.ndarray:
    """The values in float32 or, where that keeps every one of them, in float16."""
    return smallest(values.astype(np.float32))


@cache
def packed_sample() -> str:
    """The first 16 sample activations, from which a page fills a tensor, as base64 (35 kB).

    They are multiples of 1/128. The low bytes of all come first, then the high bytes: so they need a tenth less.
    """
    steps = (activations(REPEATED) * 128).astype(np.uint16)
    both = (steps & 255).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes()
    return base64.b64encode(zlib.compress(both, 9)).decode("ascii")


@np.errstate(all="ignore")
def given_sets(tensor: Tensor, labels: np.ndarray | None) -> GivenSets | None:
    """Label, count, mean and variance of every given set, ascending by label; None without labels."""
    if labels is None or tensor.source is None:
        return None
    numbers, at, where, count = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    x, where = tensor.source.ravel().astype(np.float64), where.ravel()
    first = np.where(np.isfinite(x[at]), x[at], 0.0)
    x -= first[where]  # so that a constant has a variance of exactly 0
    mean = np.bincount(where, x) / count
    var = np.bincount(where, np.square(x - mean[where])) / count
    return {"label": numbers.astype(np.int32), "count": count.astype(np.int32), "mean": mean + first, "var": var}
