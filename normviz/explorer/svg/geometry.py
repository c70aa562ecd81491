"""Orthographic projection, and the two views of the still picture.

These are the formulas of geometry.js and of viewOf in cube.js. A test draws random cases in both languages and compares
the numbers.

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
from normviz.core.pooling import Pooling, pooling
from normviz.explorer.constants import ANGLES, CONSTANTS, LIMITS, MARGINS

Range = tuple[int, int]
Point = tuple[float, float]
Box = Sequence[Range]

PAPER_METHODS: Sequence[str] = CONSTANTS["paper_methods"]
LENGTHS = CONSTANTS["lengths"]
MOST_VALUES, MOST_COARSE = 2**17, 2**16
"""The most cells whose values a page contains, and the most drawn cells for which it contains means instead."""
FACES = ("top", "front", "side")


def sets_of(method: str, shape: Sequence[int], num_groups: int | None) -> Pooling:
    """The pooling sets of a method; a G that does not divide gives way to the next below.

    The classical figure shows Group Norm beside Ghost Batch Norm, whose G divides N and perhaps not C.
    """
    row, shape = find(method), tuple(shape)
    return pooling(method, shape, fitting(num_groups, shape[row.grouped_axis]) if row.has_groups else None)


def fitting(num_groups: int | None, length: int) -> int:
    """The largest divisor of a length that is at most G."""
    return next(g for g in range(min(num_groups or 1, length), 0, -1) if length % g == 0)


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


def bins(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """How many cells of x one drawn cell stands for, along n, c, h, w: 1 unless an axis is longer than is drawn."""
    cube = cube_shape(shape)
    size = [1, *(-(-length // LIMITS["lines"]) for length in cube[1:])]
    if math.prod(cube) > MOST_VALUES:
        drawn = lambda: [-(-length // s) for length, s in zip(cube, size, strict=True)]  # noqa: E731
        while math.prod(drawn()) > MOST_COARSE and max(drawn()[1:]) > 1:
            axis = 1 + int(np.argmax(drawn()[1:]))
            size[axis] *= 2
    return tuple(size)  # type: ignore[return-value]


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value within [low, high]."""
    return min(max(value, low), high)


def clamp_angles(az: float, el: float) -> tuple[float, float]:
    """The angles at which the same three faces stay in sight."""
    return clamp(az, *ANGLES["limits"]["az"]), clamp(el, *ANGLES["limits"]["el"])


def sample_lengths(cube: Sequence[int]) -> list[float]:
    """Drawn lengths of (W, C, H): true to the cells, but depth is squashed and no side is thinner than a sixth."""
    _, c, h, w = cube
    longest = max(h, w)
    return [max(cells, longest / LENGTHS["thinnest"]) for cells in (w, min(c, LENGTHS["deepest"] * longest), h)]


def paper_lengths(cube: Sequence[int]) -> list[float]:
    """Drawn lengths of (C, N, HW) in the classical figure."""
    side = LENGTHS["paper"]
    return [side, clamp(side * cube[0] / cube[1], LENGTHS["paper_least"], side), side]


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


def make_frame(
    cells: Sequence[int],
    lengths: Sequence[float],
    count: int,
    size: Mapping[str, float],
    angles: Mapping[str, float],
    margin: Mapping[str, float],
) -> Frame:
    """Stand `count` solids in the rows and columns that draw them largest; the arguments are makeFrame's."""
    az, el = clamp_angles(angles["az"], angles["el"])
    ca, sa, ce, se = math.cos(az), math.sin(az), math.cos(el), math.sin(el)
    x, y, z = lengths
    wide, high = x * ca + y * sa, z * ce + (x * sa + y * ca) * se
    room = size["width"] - margin["left"] - margin["right"]
    scale, cols, rows = 0.0, 1, 1
    for across in range(1, count + 1):
        down = -(-count // across)
        fits_across = (room - (across - 1) * margin["gap"]) / (across * wide)
        candidate = min(fits_across, (size["height"] / down - margin["top"] - margin["bottom"]) / high, margin["most"])
        if candidate > scale * 1.001:
            scale, cols, rows = candidate, across, down
    scale = max(scale, 0.01)
    w, h = wide * scale, high * scale
    step_x = min(w * 1.3 + margin["gap"], (room + margin["gap"]) / cols)
    left = margin["left"] + (room - (step_x * (cols - 1) + w)) / 2
    step_y = min(size["height"] / rows, h + margin["top"] + margin["bottom"] + 24)
    above = (size["height"] - step_y * rows) / 2
    # The lower left corner of the front face is the origin of a solid: it lies x*sa*se above the lowest point.
    base = (step_y - margin["top"] - margin["bottom"] - h) / 2 + margin["top"] + h - x * sa * se * scale
    origins = [(left + step_x * (k % cols), above + step_y * (k // cols) + base) for k in range(count)]
    unit = [length / n for length, n in zip(lengths, cells, strict=True)]
    return Frame(cells, origins, unit, scale, ca, sa, ce, se, w, h)


def faces(frame: Frame, k: int, box: Box) -> dict[str, list[Point]]:
    """The three faces of a box in solid k that an eye in front, above and to the right sees, four corners each."""
    (x0, x1), (y0, y1), (z0, z1) = box

    def at(*corners: tuple[float, float, float]) -> list[Point]:
        return [frame.project(k, *corner) for corner in corners]

    return {
        "top": at((x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)),
        "front": at((x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)),
        "side": at((x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)),
    }


def visible_faces(frame: Frame, k: int, box: Box) -> dict[str, list[Point]]:
    """What of a box lies on the visible faces of its solid."""
    every = faces(frame, k, box)
    seen = {"top": box[2][0] <= 0, "front": box[1][0] <= 0, "side": box[0][1] >= frame.cells[0]}
    return {name: every[name] for name in FACES if seen[name]}


EDGES = ((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7))


def hidden_edges(frame: Frame, k: int, box: Box) -> list[tuple[Point, Point]]:
    """The edges of a box that lie inside the solid, out of sight."""

    def faces_of(corner: tuple[int, int, int]) -> tuple[bool, bool, bool]:
        x, y, z = corner
        return z <= 0, x >= frame.cells[0], y == 0

    corners = [(box[0][i & 1], box[1][i >> 1 & 1], box[2][i >> 2 & 1]) for i in range(8)]
    ends = [(corners[i], corners[j]) for i, j in EDGES]
    inside = [(a, b) for a, b in ends if not any(map(all, zip(faces_of(a), faces_of(b), strict=True)))]
    return [(frame.project(k, *a), frame.project(k, *b)) for a, b in inside]


def grid_lines(frame: Frame, k: int, bins: Sequence[int], least: float = LIMITS["grid"]) -> list[tuple[Point, Point]]:
    """Grid lines of the visible faces; `bins` cells to a line, and never closer than `least` pixels."""
    x, y, z = frame.cells

    def every(axis: int) -> range:
        drawn = (frame.ca, math.hypot(frame.sa, frame.ca * frame.se), frame.ce)[axis]
        cell = frame.unit[axis] * frame.scale * drawn
        step = bins[axis] * max(1, math.ceil(least / (cell * bins[axis])))
        return range(step, frame.cells[axis], step)

    ends = [((i, 0, 0), to) for i in every(0) for to in ((i, 0, z), (i, y, 0))]
    ends += [pair for i in every(1) for pair in (((0, i, 0), (x, i, 0)), ((x, i, 0), (x, i, z)))]
    ends += [pair for i in every(2) for pair in (((0, 0, i), (x, 0, i)), ((x, 0, i), (x, y, i)))]
    return [(frame.project(k, *a), frame.project(k, *b)) for a, b in ends]


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
    lengths: list[float]
    bins: tuple[int, int, int]
    margin: Mapping[str, float]

    @property
    def is_paper(self) -> bool:
        """Whether this is the classical figure."""
        return self.name == "paper"

    def box(self, block: Box, row: Method, width: int) -> list[Range]:
        """A block of (n, c, h, w) as a box of (X, Y, Z)."""
        n, c, h, w = block
        if not self.is_paper:
            return [w, c, h]
        z = h[0] * width + w[0]
        return [c, n, (0, self.cells[2]) if row.spatial == "all" else (z, z + 1)]


def view_of(shape: Sequence[int], state: Mapping[str, Any]) -> View:
    """The view of a tensor that a state asks for: its "view", "index" and, in the classical figure, "method"."""
    n, c, h, w = cube_shape(shape)
    _, bc, bh, bw = bins(shape)
    if state["view"] == "paper":
        extra = () if state["method"] in (*PAPER_METHODS, "given") else (state["method"],)
        size = (bc, -(-n // LIMITS["paper_samples"]), -(-h * w // LIMITS["paper_positions"]))
        return View("paper", (*PAPER_METHODS, *extra), (c, n, h * w), paper_lengths((n, c)), size, MARGINS["paper"])
    most, margin = LIMITS["samples"], MARGINS["samples"]
    margin = margin | {"most": max(margin["least"], margin["of_length"] / max(h, w))}
    first = state["index"][0] // most * most
    solids = range(first, min(first + most, n))
    return View("samples", solids, (w, c, h), sample_lengths((n, c, h, w)), (bw, bc, bh), margin)


def surface(view: View) -> Iterator[Box]:
    """Boxes of one drawn cell that touch a visible face."""
    (x, y, z), (bx, by, bz) = view.cells, view.bins
    for j in range(0, y, by):
        for k in range(0, z, bz):
            for i in range(0, x, bx):
                if j == 0 or k == 0 or i + bx >= x:
                    yield [(i, min(i + bx, x)), (j, min(j + by, y)), (k, min(k + bz, z))]


def middle(points: Sequence[Point]) -> Point:
    """The mean of points."""
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)
