"""The cubes of `nv.cube` in space: meshes, lines and a camera that sees them where svg/geometry.py places them.

x runs along W, y into the depth along C, z up against H; one unit is a pixel. A box is (k, (X, Y, Z)): the number of a
drawn sample, and ranges of its cells along W, C and H, as in svg/geometry.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.core.methods import Method
from normviz.core.pooling import Pooling
from normviz.explorer.axis_names import length_names
from normviz.explorer.constants import CONSTANTS, LIGHT
from normviz.explorer.svg import geometry
from normviz.explorer.svg.geometry import Frame, View

THINNEST = 2 * CONSTANTS["strokes"]["set"]
"""Pixels: the least thickness of a set, so that a line of the grid on it does not hide it."""
SET_LIFT, LINE_LIFT = 0.15, 0.7
"""Pixels by which the set stands off the other cells, and the lines off both; at equal depth they would be torn."""

# A box's corners are numbered by bits: 1 for the far end of x, 2 of y, 4 of z. Corners of a face, then its name.
FACES = (
    *(((4, 5, 7, 6), "top"), ((0, 2, 3, 1), "side")),
    *(((0, 1, 5, 4), "front"), ((2, 6, 7, 3), "front")),
    *(((1, 3, 7, 5), "side"), ((0, 4, 6, 2), "side")),
)
EDGES = ((0, 1, 3, 2, 0), (4, 5, 7, 6, 4), (0, 4), (1, 5), (2, 6), (3, 7))

Box = tuple[int, geometry.Box]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Space(Frame):
    """A frame whose points are in space; the camera of `scene` sees each where the frame itself projects it.

    Attributes
    ----------
    lift
        Pixels by which all that lies on the surface of a sample stands off it.
    """

    lift: float = 0.0

    def project(self, k: int, x: float, y: float, z: float) -> Any:
        """A point of solid k, in cells (z counted from the top), in space."""
        across, down = self.origins[k]
        start = across * self.ca, across * self.sa, -down / self.ce
        off = [self.lift * ((i == n) - (i == 0)) for i, n in zip((x, y, z), self.cells, strict=True)]
        along = [i * length * self.scale for i, length in zip((x, y, self.cells[2] - z), self.unit, strict=True)]
        return start[0] + along[0] + off[0], start[1] + along[1] + off[1], start[2] + along[2] - off[2]


@dataclass(frozen=True)
class Drawing:
    """What is drawn of a tensor, and where.

    Attributes
    ----------
    shape, cell
        (N, C, *spatial), and the cell whose set is lit.
    view, frame
        The drawn samples and their cells, and where they stand.
    width, height
        Pixels of the whole scene.
    """

    shape: tuple[int, ...]
    cell: tuple[int, ...]
    view: View
    frame: Frame
    width: float
    height: float

    def space(self, lift: float = 0) -> Space:
        """The frame in space."""
        return Space(**vars(self.frame), lift=lift)

    def boxes(self) -> list[Box]:
        """All drawn samples."""
        return [(k, [(0, n) for n in self.view.cells]) for k in range(len(self.view.solids))]

    def lit(self, now: Pooling) -> list[Box]:
        """The set of the cell: a box in each drawn sample that it reaches, thick enough to be seen."""
        cube = geometry.cube_shape(self.shape)
        sets, cell = geometry.sets_of(now.method, cube, now.num_groups), geometry.to_cube(self.cell, self.shape)
        n, c, h, w = geometry.ranges_of(sets, cell)
        box = []
        for (start, stop), length, unit in zip((w, c, h), self.view.cells, self.frame.unit, strict=True):
            more = max(0, THINNEST / (unit * self.frame.scale) - (stop - start)) / 2
            box.append((max(start - more, 0), min(stop + more, length)))
        return [(k, box) for k, sample in enumerate(self.view.solids) if n[0] <= sample < n[1]]


def place(shape: tuple[int, ...], cell: tuple[int, ...], width: float) -> Drawing:
    """Place the samples beside that of `cell` as the explorer does in a stage of `width` pixels."""
    view = geometry.view_of(shape, {"view": "samples", "index": cell})
    size = geometry.stage_of(view, width, shape[0])
    frame = geometry.make_frame(view, size)
    return Drawing(shape, cell, view, frame, size["width"], size["height"])


def corners(frame: Space, boxes: Iterable[Box]) -> list[Point]:
    """The eight corners of each box."""
    return [frame.project(k, x[i & 1], y[i >> 1 & 1], z[~i >> 2 & 1]) for k, (x, y, z) in boxes for i in range(8)]


def by_axis(points: Iterable[tuple[float | None, ...]]) -> dict[str, list[float | None]]:
    """The points as plotly takes them: one list for each axis."""
    axes = list(zip(*points, strict=True)) or [()] * 3
    return {name: [v if v is None else round(v, 2) for v in values] for name, values in zip("xyz", axes, strict=True)}


def box_corners(on: Drawing, now: Pooling | None = None) -> dict[str, list[float | None]]:
    """The corners of all samples, or of a set, filled up with empty boxes to one for each drawn sample.

    Then every state of the set has equally many corners, and a button need not carry the faces.
    """
    found = corners(on.space(SET_LIFT), on.lit(now)) if now else corners(on.space(), on.boxes())
    return by_axis([*found, *found[:1] * (8 * len(on.view.solids) - len(found))])


def mesh(on: Drawing, now: Pooling | None = None) -> dict[str, Any]:
    """A mesh3d of all samples, or of a set: 12 triangles for each box, and a colour for each face."""
    triangles = [(a, *ends) for (a, b, c, d), _ in FACES for ends in ((b, c), (c, d))]
    starts = range(0, 8 * len(on.view.solids), 8)
    colors = [LIGHT[f"set-{face}" if now else face] for _, face in FACES for _ in range(2)]
    return {
        "type": "mesh3d",
        **box_corners(on, now),
        **{name: [start + t[at] for start in starts for t in triangles] for at, name in enumerate("ijk")},
        "facecolor": colors * len(starts),
        "flatshading": True,
        "lighting": {"ambient": 1, "diffuse": 0, "specular": 0, "fresnel": 0},
        "hoverinfo": "name",
        "hoverlabel": {"namelength": -1},
    }


def grid(on: Drawing) -> dict[str, Any]:
    """The lines between drawn cells, each a loop around the sample: far fewer than the edges of all cells."""
    frame, loops = on.space(LINE_LIFT), []
    for k, _ in on.boxes():
        lines = iter(geometry.grid_lines(frame, k, on.view.bins))
        # Two lines with a common end, on two of the visible faces; the loop goes on over the hidden faces.
        for (a, b), (c, d) in zip(lines, lines, strict=True):
            first, corner = (b, a) if c == a else (a, b)
            fourth = tuple(p + r - q for p, q, r in zip(first, corner, d, strict=True))
            loops.append([first, corner, d, fourth, first])
    return polylines(loops, "grid", 1.5)


def outline(on: Drawing) -> dict[str, Any]:
    """The edges of every sample."""
    frame = on.space(LINE_LIFT)
    lines = ([corners(frame, [box])[i] for i in edge] for box in on.boxes() for edge in EDGES)
    return polylines(lines, "edge", 3.5)


def polylines(lines: Iterable[Iterable[Any]], color: str, width: float) -> dict[str, Any]:
    """A trace of lines, with a gap after each."""
    points = by_axis(point for line in lines for point in (*line, (None, None, None)))
    look = {"type": "scatter3d", "mode": "lines", "hoverinfo": "skip", "line": {"color": LIGHT[color], "width": width}}
    return look | points


def scene(on: Drawing, method: Method) -> dict[str, Any]:
    """Camera, axes and labels of the cubes.

    An orthographic view draws one unit of the aspect as half the height of the scene, so that a unit of length becomes
    one pixel.
    """
    f = on.frame
    right, up = np.array([f.ca, f.sa, 0]), np.array([-f.sa * f.se, f.ca * f.se, f.ce])
    eye = np.array([f.sa * f.ce, -f.ca * f.ce, f.se])
    every = np.array(corners(on.space(LINE_LIFT), on.boxes()))
    depth = every @ eye
    # The axes begin and end at equal distances from the point that the camera looks at, and turns around.
    middle = on.width / 2 * right - on.height / 2 * up + (depth.min() + depth.max()) / 2 * eye
    reach = np.abs(every - middle).max(axis=0) + 2  # plotly cuts off objects at the ends of an axis
    hidden = {"visible": False, "showspikes": False, "autorange": False}
    ends = dict(zip("xyz", np.round([middle - reach, middle + reach], 2).T.tolist(), strict=True))
    return {
        **{f"{axis}axis": {**hidden, "range": range_} for axis, range_ in ends.items()},
        "aspectmode": "manual",
        "aspectratio": {axis: (high - low) / (on.height / 2) for axis, (low, high) in ends.items()},
        "camera": {"eye": dict(zip("xyz", (1.8 * eye).tolist(), strict=True)), "projection": {"type": "orthographic"}},
        "annotations": labels(on, method),
    }


def letters(shape: Sequence[int], method: Method) -> tuple[str, str, str, str]:
    """The names of a sample, of its depth, height and width; the last two are empty where x has no such axis."""
    sample, channel, *spatial = length_names(shape, method.axes)
    return "n" if sample == "N" else sample, channel, ", ".join(spatial[:-1]), "".join(spatial[-1:])


def labels(on: Drawing, method: Method) -> list[dict[str, Any]]:
    """The number under every sample, and the letters at the first one's edges, which depend on the method."""
    x, y, z = on.view.cells
    space = on.space()
    sample, *names = letters(on.shape, method)

    def label(text: str, k: int, point: Point, size: int, **place: Any) -> dict[str, Any]:
        at = dict(zip("xyz", (round(v, 2) for v in space.project(k, *point)), strict=True))
        return {"text": text, **at, "font": {"size": size}, "showarrow": False, **place}

    numbers = [label(f"{sample} = {n}", k, (x, 0, z), 13, yshift=-16) for k, n in enumerate(on.view.solids)]
    points = (0, y / 2, 0), (0, 0, z / 2), (x / 2, 0, z)
    shifts = (-9, 6), (-8, 0), (-5, -10)
    return numbers + [
        label(f"<i>{name}</i>", 0, point, 14, xanchor="right", xshift=dx, yshift=dy)
        for name, point, (dx, dy) in zip(names, points, shifts, strict=True)
        if name
    ]
