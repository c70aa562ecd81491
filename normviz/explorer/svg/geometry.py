"""Orthographic projection and the two views of the still picture, by the formulas of geometry.js and cube.js.

A drawing is a row of *solids* that share one frame. A solid has three axes: X to the right, Y into depth, Z down from
the top. In the "samples" view a solid is one sample, (X, Y, Z) = (w, c, h); in the "paper" view it is one method,
(X, Y, Z) = (c, n, hw).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.core.methods import Method, find
from normviz.core.pooling import Pooling, fitting_divisor, pooling
from normviz.explorer.constants import ANGLES, CONSTANTS, LIMITS, MARGINS

Range = tuple[int, int]
Point = tuple[float, float]
Box = Sequence[Range]

PAPER_METHODS: Sequence[str] = CONSTANTS["paper_methods"]
LENGTHS, ARRANGEMENT = CONSTANTS["lengths"], CONSTANTS["arrangement"]
MOST_VALUES, MOST_COARSE = LIMITS["values"], LIMITS["coarse"]
"""The most cells whose values a page contains, and the most drawn cells for which it contains means instead."""
FACES = {
    "top": ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)),
    "front": ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)),
    "side": ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)),
}
"""The corners of each visible face of a box: 1 is the far end of an axis."""
EDGES = ((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value within [low, high]."""
    return min(max(value, low), high)


def sets_of(method: str, shape: Sequence[int], num_groups: int | None) -> Pooling:
    """The pooling sets of a method; a G that does not divide gives way to the next below.

    The classical figure shows Group Norm beside Ghost Batch Norm, whose G divides N and perhaps not C.
    """
    row, shape = find(method), tuple(shape)
    return pooling(method, shape, fitting_divisor(shape[row.grouped_axis], num_groups or 1) if row.has_groups else None)


def ranges_of(sets: Pooling, index: Iterable[int]) -> list[Range]:
    """The set of a cell, as (start, stop) for each axis."""
    return [(part.start, part.stop) for part in sets.set_of(index)]


def cube_shape(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Any rank from 2 to 5 as (N, C, H, W)."""
    n, c, *spatial = shape
    return n, c, math.prod(spatial[:-1]), spatial[-1] if spatial else 1


def to_cube(index: Sequence[int], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """A cell of x as a cell of the cube."""
    n, c, *spatial = index
    h = 0
    for axis, i in enumerate(spatial[:-1]):
        h = h * shape[axis + 2] + i
    return n, c, h, spatial[-1] if spatial else 0


def bins(
    shape: Sequence[int], most_values: int = MOST_VALUES, most_coarse: int = MOST_COARSE
) -> tuple[int, int, int, int]:
    """How many cells of x one drawn cell stands for, along n, c, h, w: 1 unless an axis is longer than is drawn.

    Above `most_values` cells there are at most `most_coarse` drawn cells, or one for each sample.
    """
    cube = cube_shape(shape)
    size = [1, *(-(-length // LIMITS["lines"]) for length in cube[1:])]
    if math.prod(cube) > most_values:
        drawn = lambda: [-(-length // s) for length, s in zip(cube, size, strict=True)]  # noqa: E731
        while math.prod(drawn()) > most_coarse and max(drawn()[1:]) > 1:
            axis = 1 + int(np.argmax(drawn()[1:]))
            size[axis] *= 2
    return tuple(size)  # type: ignore[return-value]


# ---- the two views ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Solids, and how they stand for cells of the cube (n, c, h, w).

    Attributes
    ----------
    solids
        Sample numbers, or the names of methods in the classical figure.
    cells, lengths, bins, margin
        Along X, Y, Z: cells, drawn lengths, and cells to one drawn cell; the room round the solids, in pixels.
    """

    name: str
    solids: Sequence[Any]
    cells: tuple[int, int, int]
    lengths: Sequence[float]
    bins: tuple[int, int, int]
    margin: Mapping[str, float]

    @property
    def is_paper(self) -> bool:
        """Whether this is the classical figure."""
        return self.name == "paper"

    def box(self, block: Box, row: Method, width: int) -> Box:
        """A block of (n, c, h, w) as a box of (X, Y, Z)."""
        n, c, h, w = block
        if not self.is_paper:
            return w, c, h
        z = h[0] * width + w[0]
        return c, n, (0, self.cells[2]) if row.spatial == "all" else (z, z + 1)


def view_of(shape: Sequence[int], state: Mapping[str, Any]) -> View:
    """The view of a tensor that a state asks for: its "view", "index" and, in the classical figure, "method"."""
    n, c, h, w = cube_shape(shape)
    _, bc, bh, bw = bins(shape)
    if state["view"] == "paper":
        extra = () if state["method"] in (*PAPER_METHODS, "given") else (state["method"],)
        size = (bc, -(-n // LIMITS["paper_samples"]), -(-h * w // LIMITS["paper_positions"]))
        side = LENGTHS["paper"]
        lengths = side, clamp(side * n / c, LENGTHS["paper_least"], side), side
        return View("paper", (*PAPER_METHODS, *extra), (c, n, h * w), lengths, size, MARGINS["paper"])
    most, margin, longest = LIMITS["samples"], MARGINS["samples"], max(h, w)
    margin = margin | {"most": max(margin["least"], margin["of_length"] / longest)}
    first = state["index"][0] // most * most
    # True to the cells, but depth is squashed and no side is thinner than a sixth.
    true = w, min(c, LENGTHS["deepest"] * longest), h
    lengths = [max(length, longest / LENGTHS["thinnest"]) for length in true]
    return View("samples", range(first, min(first + most, n)), (w, c, h), lengths, (bw, bc, bh), margin)


def surface(view: View) -> Iterator[Box]:
    """Boxes of one drawn cell that touch a visible face."""
    (x, y, z), (bx, by, bz) = view.cells, view.bins
    for j in range(0, y, by):
        for k in range(0, z, bz):
            for i in range(0, x, bx):
                if j == 0 or k == 0 or i + bx >= x:
                    yield (i, min(i + bx, x)), (j, min(j + by, y)), (k, min(k + bz, z))


# ---- projection ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """Where the solids stand and how large they are drawn, in pixels."""

    cells: Sequence[int]
    origins: Sequence[Point]
    unit: Sequence[float]
    scale: float
    ca: float
    sa: float
    ce: float
    se: float
    width: float
    height: float

    def project(self, k: int, x: float, y: float, z: float) -> Point:
        """A point of solid k, in cells (z counted from the top), on the screen."""
        px, py, pz = x * self.unit[0], y * self.unit[1], (self.cells[2] - z) * self.unit[2]
        ox, oy = self.origins[k]
        across, up = px * self.ca + py * self.sa, pz * self.ce + (py * self.ca - px * self.sa) * self.se
        return ox + self.scale * across, oy - self.scale * up


def make_frame(view: View, size: Mapping[str, float]) -> Frame:
    """Stand the solids in the rows and columns that draw them largest in `size` pixels."""
    az, el = ANGLES[view.name]["az"], ANGLES[view.name]["el"]
    ca, sa, ce, se = math.cos(az), math.sin(az), math.cos(el), math.sin(el)
    (x, y, z), count, margin = view.lengths, len(view.solids), view.margin
    wide, high = x * ca + y * sa, z * ce + (x * sa + y * ca) * se
    room = size["width"] - margin["left"] - margin["right"]
    scale, cols, rows = 0.0, 1, 1
    for across in range(1, count + 1):
        down = -(-count // across)
        fits_across = (room - (across - 1) * margin["gap"]) / (across * wide)
        candidate = min(fits_across, (size["height"] / down - margin["top"] - margin["bottom"]) / high, margin["most"])
        if candidate > scale * ARRANGEMENT["better"]:
            scale, cols, rows = candidate, across, down
    scale = max(scale, ARRANGEMENT["least"])
    w, h = wide * scale, high * scale
    step_x = min(w * ARRANGEMENT["apart"] + margin["gap"], (room + margin["gap"]) / cols)
    left = margin["left"] + (room - (step_x * (cols - 1) + w)) / 2
    step_y = min(size["height"] / rows, h + margin["top"] + margin["bottom"] + ARRANGEMENT["below"])
    above = (size["height"] - step_y * rows) / 2
    # The lower left corner of the front face is the origin of a solid: it lies x*sa*se above the lowest point.
    base = (step_y - margin["top"] - margin["bottom"] - h) / 2 + margin["top"] + h - x * sa * se * scale
    origins = [(left + step_x * (k % cols), above + step_y * (k // cols) + base) for k in range(count)]
    unit = [length / n for length, n in zip(view.lengths, view.cells, strict=True)]
    return Frame(view.cells, origins, unit, scale, ca, sa, ce, se, w, h)


def faces(frame: Frame, k: int, box: Box) -> dict[str, list[Point]]:
    """The three faces of a box in solid k that an eye in front, above and to the right sees, four corners each."""
    x, y, z = box
    return {face: [frame.project(k, x[i], y[j], z[m]) for i, j, m in corners] for face, corners in FACES.items()}


def on_faces(cells: Sequence[int], box: Box) -> dict[str, bool]:
    """On which visible faces of its solid a box lies."""
    return {"top": box[2][0] <= 0, "front": box[1][0] <= 0, "side": box[0][1] >= cells[0]}


def visible_faces(frame: Frame, k: int, box: Box) -> dict[str, list[Point]]:
    """What of a box lies on the visible faces of its solid."""
    seen = on_faces(frame.cells, box)
    return {face: quad for face, quad in faces(frame, k, box).items() if seen[face]} if any(seen.values()) else {}


def hidden_edges(frame: Frame, k: int, box: Box) -> list[tuple[Point, Point]]:
    """The edges of a box that lie inside the solid, out of sight."""
    corners = [(box[0][i & 1], box[1][i >> 1 & 1], box[2][i >> 2 & 1]) for i in range(8)]
    lies = [(z <= 0, x >= frame.cells[0], y == 0) for x, y, z in corners]
    inside = [ends for ends in EDGES if not any(map(all, zip(*(lies[i] for i in ends), strict=True)))]
    return [(frame.project(k, *corners[i]), frame.project(k, *corners[j])) for i, j in inside]


def grid_lines(frame: Frame, k: int, bins: Sequence[int]) -> list[tuple[Point, Point]]:
    """Grid lines of the visible faces: `bins` cells to a line, and never closer than the least distance."""
    x, y, z = frame.cells

    def every(axis: int) -> range:
        drawn = (frame.ca, math.hypot(frame.sa, frame.ca * frame.se), frame.ce)[axis]
        cell = frame.unit[axis] * frame.scale * drawn
        step = bins[axis] * max(1, math.ceil(LIMITS["grid"] / (cell * bins[axis])))
        return range(step, frame.cells[axis], step)

    ends = [((i, 0, 0), to) for i in every(0) for to in ((i, 0, z), (i, y, 0))]
    ends += [pair for i in every(1) for pair in (((0, i, 0), (x, i, 0)), ((x, i, 0), (x, i, z)))]
    ends += [pair for i in every(2) for pair in (((0, 0, i), (x, 0, i)), ((x, 0, i), (x, y, i)))]
    return [(frame.project(k, *a), frame.project(k, *b)) for a, b in ends]


def stage_of(view: View, width: float, samples: int) -> dict[str, float]:
    """The size of the explorer's stage for a tensor of so many samples, without the height that cubes leave empty."""
    stage = CONSTANTS["stage"]
    kind = "narrow" if width <= stage["narrow_below"] else "tall" if samples > stage["tall_above"] else "usual"
    least, share, most = stage[kind]
    size = {"width": width, "height": clamp(width * share, least, most)}
    frame = make_frame(view, size)
    rows = len({round(y) for _, y in frame.origins})
    height = rows * (frame.height + view.margin["top"] + view.margin["bottom"])
    return {"width": width, "height": min(height, size["height"])}


def middle(points: Sequence[Point]) -> Point:
    """The mean of points."""
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)
