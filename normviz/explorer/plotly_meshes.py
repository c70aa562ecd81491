"""The places of the cubes of `nv.cube`, and their meshes and lines.

x runs along W, y into the depth along C, z up against H; one unit is one drawn cell along H and W.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from normviz.core.methods import Method
from normviz.core.pooling import Pooling

MOST_CELLS = 32
"""An axis longer than this is drawn aggregated."""
MOST_SAMPLES = 8
AZIMUTH, ELEVATION = 0.42, 0.46
"""The direction of the camera in radians, to the right of the front and above it."""
LIFT = 0.7
"""Pixels between the faces and the lines on them; at the same depth the lines would be drawn in parts."""
LEFT, RIGHT, BETWEEN, BELOW, ABOVE = 46, 18, 44, 52, 24
"""Pixels: for the letter H, the other side, between two rows of samples, for the labels under the last row, above."""

LETTERS = {2: ("", ""), 3: ("", "L"), 4: ("H", "W"), 5: ("D·H", "W")}
"""The letters at the vertical and at the horizontal edge, by rank."""
KERNEL = {2: ("", ""), 3: ("", "kL"), 4: ("kH", "kW"), 5: ("kD·kH", "kW")}
"""The same for weights."""

# A box's corners are numbered by bits: 1 for the far end of x, 2 of y, 4 of z. Corners of a face, then its tone.
FACES = (
    *(((4, 5, 7, 6), 0), ((0, 2, 3, 1), 2)),
    *(((0, 1, 5, 4), 1), ((2, 6, 7, 3), 1)),
    *(((1, 3, 7, 5), 2), ((0, 4, 6, 2), 2)),
)

Box = tuple[float, float, float, float, float, float]
Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Placement:
    """The places of the samples.

    Attributes
    ----------
    shape, samples
        (N, C, *spatial), and which samples are drawn.
    bins, cells, unit
        Along c, h, w: cells of x to a drawn cell, drawn cells, and the length of one.
    places
        Where the front lower left corner of each drawn sample is.
    scale
        Pixels to a unit of length.
    width, height
        Pixels of the whole scene.
    """

    shape: tuple[int, ...]
    samples: range
    bins: tuple[int, int, int]
    cells: tuple[int, int, int]
    unit: tuple[float, float, float]
    places: tuple[tuple[float, float, float], ...]
    scale: float
    width: float
    height: float

    @property
    def lift(self) -> float:
        """The distance of lines from the faces."""
        return LIFT / self.scale

    def box(self, n: int, ranges: Ranges | None = None, lift: float = 0) -> Box:
        """Corners (x0, x1, y0, y1, z0, z1) of the drawn cells of sample n in `ranges` along c, h, w, or of all."""
        px, py, pz = self.places[n - self.samples.start]
        (c0, c1), (h0, h1), (w0, w1) = ranges or [(0, cells) for cells in self.cells]
        uc, uh, uw = self.unit
        top = pz + self.cells[1] * uh
        return (
            *(px + w0 * uw - lift, px + w1 * uw + lift),
            *(py + c0 * uc - lift, py + c1 * uc + lift),
            *(top - h1 * uh - lift, top - h0 * uh + lift),
        )

    def extent(self) -> tuple[list[float], list[float], tuple[float, float]]:
        """Return the ends of the coordinates, low and high, and the middle of the picture, across and upright.

        The middle is on the screen, and counts from the middle of the coordinates, where the camera's own origin is.
        """
        boxes = [self.box(n, lift=self.lift) for n in self.samples]
        low = [min(box[2 * k] for box in boxes) for k in range(3)]
        high = [max(box[2 * k + 1] for box in boxes) for k in range(3)]
        origin = [_middle(ends) for ends in zip(low, high, strict=True)]
        (ca, sa), (ce, se) = turn(AZIMUTH), turn(ELEVATION)
        points = [
            [value - middle for value, middle in zip(corner, origin, strict=True)]
            for box in boxes
            for corner in product(box[0:2], box[2:4], box[4:6])
        ]
        across = [x * ca + y * sa for x, y, _ in points]
        upright = [z * ce + (y * ca - x * sa) * se for x, y, z in points]
        # The labels need more room on the left and below than on the right and above.
        shift = (RIGHT - LEFT) / 2 / self.scale, (ABOVE - BELOW) / 2 / self.scale
        # plotly cuts off objects at the ends of an axis.
        low, high = [v - 1 for v in low], [v + 1 for v in high]
        return low, high, (_middle(across) + shift[0], _middle(upright) + shift[1])


def make_frame(shape: Sequence[int], sample: int, width: float) -> Placement:
    """Place the samples around `sample` side by side, as large as `width` pixels allow."""
    count, channels, *spatial = shape
    drawn = min(count, MOST_SAMPLES)
    start = min(max(sample - drawn // 2, 0), count - drawn)
    lengths = (channels, math.prod(spatial[:-1]), spatial[-1] if spatial else 1)
    size_c, size_h, size_w = (-(-length // MOST_CELLS) for length in lengths)
    c, h, w = -(-lengths[0] // size_c), -(-lengths[1] // size_h), -(-lengths[2] // size_w)
    longest = max(h, w)
    # Depth is squashed, so that the front face can be seen, and no side is thinner than a sixth of the longest.
    deep, high, wide = (max(side, longest / 6) for side in (min(c, 1.7 * longest), h, w))
    (ca, sa), (ce, se) = turn(AZIMUTH), turn(ELEVATION)
    across, upright = wide * ca + deep * sa, high * ce + (wide * sa + deep * ca) * se
    step = 1.2 * across
    scale, columns, rows = 0.0, drawn, 1
    for down in range(1, drawn + 1):
        k = -(-drawn // down)
        size = min((width - LEFT - RIGHT) / (across + (k - 1) * step), 640 / (1 + down) / upright)
        if size > 1.6 * scale:  # side by side, unless more rows make the cubes much larger
            scale, columns, rows = size, k, down
    drop = (upright + BETWEEN / scale) / ce
    places = tuple((k % columns * step * ca, k % columns * step * sa, -(k // columns) * drop) for k in range(drawn))
    return Placement(
        shape=tuple(shape),
        samples=range(start, start + drawn),
        bins=(size_c, size_h, size_w),
        cells=(c, h, w),
        unit=(deep / c, high / h, wide / w),
        places=places,
        scale=scale,
        width=width,
        height=rows * upright * scale + (rows - 1) * BETWEEN + ABOVE + BELOW,
    )


def _middle(values: Sequence[float]) -> float:
    return (min(values) + max(values)) / 2


def turn(angle: float) -> tuple[float, float]:
    """Return cosine and sine."""
    return math.cos(angle), math.sin(angle)


def lit_boxes(frame: Placement, now: Pooling, cell: Iterable[int]) -> list[Box]:
    """Return the boxes of the set of `cell`: a box for each drawn sample that it reaches."""
    n, c, *spatial = now.set_of(cell)
    # The spatial axes are pooled whole or not at all, so that all but the last are one run of rows.
    first = 0
    for part, length in zip(spatial[:-1], now.shape[2:-1], strict=True):
        first = first * length + part.start
    rows = slice(first, first + math.prod(part.stop - part.start for part in spatial[:-1]))
    parts = (c, rows, spatial[-1] if spatial else slice(0, 1))
    ranges = [(part.start // size, -(-part.stop // size)) for part, size in zip(parts, frame.bins, strict=True)]
    # Slightly larger than the cells, so that they lie in front of them.
    return [frame.box(k, ranges, 0.1 * frame.lift) for k in frame.samples if n.start <= k < n.stop]


def corners(boxes: Sequence[Box], pad: int = 0) -> dict[str, list[float]]:
    """Return x, y, z of the eight corners of each box, filled up with empty boxes to `pad` boxes.

    Then every state of the set has equally many corners, and a button need not carry the faces.
    """
    points: dict[str, list[float]] = {"x": [], "y": [], "z": []}
    for x0, x1, y0, y1, z0, z1 in boxes:
        for k in range(8):
            points["x"].append(round(x1 if k & 1 else x0, 3))
            points["y"].append(round(y1 if k & 2 else y0, 3))
            points["z"].append(round(z1 if k & 4 else z0, 3))
    for values in points.values():
        values += values[:1] * (8 * pad - len(values))
    return points


def mesh(boxes: Sequence[Box], tones: Sequence[str], pad: int = 0) -> dict[str, Any]:
    """Return a mesh3d of boxes: 12 triangles for each, and a tone for each direction."""
    triangles = [(a, b, c, tone) for (a, b, c, d), tone in FACES for a, b, c in ((a, b, c), (a, c, d))]
    count = max(pad, len(boxes))
    vertices = ([8 * box + t[at] for box in range(count) for t in triangles] for at in range(3))
    return {
        "type": "mesh3d",
        **corners(boxes, pad),
        **dict(zip("ijk", vertices, strict=True)),
        "facecolor": [tones[tone] for _ in range(count) for *_, tone in triangles],
        "flatshading": True,
        "lighting": {"ambient": 1, "diffuse": 0, "specular": 0, "fresnel": 0},
        "hoverinfo": "name",
        "hoverlabel": {"namelength": -1},
    }


def grid(frame: Placement) -> dict[str, list[float | None]]:
    """Return the lines between drawn cells, each a loop around the sample: far fewer than the edges of all cells."""
    loops = []
    for n in frame.samples:
        x0, x1, y0, y1, z0, z1 = frame.box(n, lift=frame.lift)
        left, front, bottom = frame.places[n - frame.samples.start]
        uc, uh, uw = frame.unit
        for p in (left + k * uw for k in range(1, frame.cells[2])):
            loops.append([(p, y0, z0), (p, y1, z0), (p, y1, z1), (p, y0, z1)])
        for p in (front + k * uc for k in range(1, frame.cells[0])):
            loops.append([(x0, p, z0), (x1, p, z0), (x1, p, z1), (x0, p, z1)])
        for p in (bottom + k * uh for k in range(1, frame.cells[1])):
            loops.append([(x0, y0, p), (x1, y0, p), (x1, y1, p), (x0, y1, p)])
    return _paths([*loop, loop[0]] for loop in loops)


def outline(frame: Placement) -> dict[str, list[float | None]]:
    """Return the edges of every sample."""
    paths = []
    for n in frame.samples:
        x0, x1, y0, y1, z0, z1 = frame.box(n, lift=frame.lift)
        floor, roof = ([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z), (x0, y0, z)] for z in (z0, z1))
        paths += [floor, roof, *zip(floor[:-1], roof[:-1], strict=True)]
    return _paths(paths)


def _paths(paths: Iterable[Iterable[tuple[float, float, float]]]) -> dict[str, list[float | None]]:
    """Join paths into one trace, a gap after each."""
    points: dict[str, list[float | None]] = {"x": [], "y": [], "z": []}
    for path in paths:
        for values, along in zip(points.values(), zip(*path, strict=True), strict=True):
            values += [*(round(value, 4) for value in along), None]
    return points


def scene(frame: Placement, method: Method) -> dict[str, Any]:
    """Return camera, aspect and labels of the cubes.

    An orthographic view draws one unit of the aspect as half the height of the scene, so that the size follows exactly.
    """
    (ca, sa), (ce, se) = turn(AZIMUTH), turn(ELEVATION)
    low, high, middle = frame.extent()
    size = frame.scale / (frame.height / 2)
    eye, right, up = (sa * ce, -ca * ce, se), (ca, sa, 0.0), (-sa * se, ca * se, ce)
    across, upright = middle
    center = [size * (right[k] * across + up[k] * upright) for k in range(3)]
    hidden = {"visible": False, "showspikes": False, "autorange": False}
    axes = {f"{axis}axis": {**hidden, "range": [low[k], high[k]]} for k, axis in enumerate("xyz")}
    return {
        **axes,
        "aspectmode": "manual",
        "aspectratio": {axis: (high[k] - low[k]) * size for k, axis in enumerate("xyz")},
        "camera": {
            "eye": {axis: center[k] + 1.8 * eye[k] for k, axis in enumerate("xyz")},
            "center": dict(zip("xyz", center, strict=True)),
            "up": {"x": 0, "y": 0, "z": 1},
            "projection": {"type": "orthographic"},
        },
        "dragmode": "turntable",
        "annotations": marks(frame, method),
    }


def marks(frame: Placement, method: Method) -> list[dict[str, Any]]:
    """Return the letters at the first sample's edges, which depend on the method, and the number under every sample."""
    weights = method.axes == "weights"
    shared = {"showarrow": False, "font": {"size": 14}}
    vertical, horizontal = (KERNEL if weights else LETTERS)[len(frame.shape)]
    sample, channel = ("Cout", "Cin") if weights else ("n", "C")
    uc, uh, uw = frame.unit
    c, h, w = frame.cells
    labels = []
    for n, (x, y, z) in zip(frame.samples, frame.places, strict=True):
        labels.append({"text": f"{sample} = {n}", "x": x + w * uw / 2, "y": y, "z": z, "yshift": -34, **shared})
    x, y, z = frame.places[0]
    depth = {"x": x, "y": y + c * uc / 2, "z": z + h * uh, "xshift": -14, "yshift": 8}
    side = {"x": x, "y": y, "z": z + h * uh / 2, "xanchor": "right", "xshift": -8}
    below = {"x": x + w * uw / 2, "y": y, "z": z, "yshift": -14}
    for name, place in ((channel, depth), (vertical, side), (horizontal, below)):
        if name:
            labels.append({"text": f"<i>{name}</i>", **place, "font": {"size": 16}, "showarrow": False})
    return labels
