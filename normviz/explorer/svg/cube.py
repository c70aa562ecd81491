"""The cubes of the still picture as SVG: faces, sets, the picked cell, letters and set numbers.

It draws what drawCube of cube.js draws, in the same order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling
from normviz.explorer.constants import ANGLES, CONSTANTS, LIGHT, LIMITS
from normviz.explorer.scene import means
from normviz.explorer.svg import geometry, palette
from normviz.explorer.svg.axis_names import GIVEN, axis_names, length_names
from normviz.explorer.svg.geometry import FACES, Box, Frame, Point, View, fitting, middle, ranges_of, sets_of
from normviz.explorer.svg.readout import Readout, State, row_of
from normviz.explorer.svg.writer import Pen, number, polygon, segments

if TYPE_CHECKING:
    from normviz.explorer.validation import Subject

STROKES, OPACITY, DASHES = CONSTANTS["strokes"], CONSTANTS["opacity"], CONSTANTS["dashes"]
Rectangle = tuple[palette.Rgb, int, int, int, int]
"""A colour, and from where to where it goes on a face, in cells: along its first and its second axis."""
AXES = {"top": (0, 1), "front": (0, 2), "side": (1, 2)}
"""The axes of each face: X, Y or Z."""


@dataclass(frozen=True, eq=False)
class Cubes:
    """What is drawn of a state, and where; `size` is the room for it in pixels."""

    on: Subject
    state: State
    shown: Readout
    size: Mapping[str, float]

    @cached_property
    def view(self) -> View:
        """The solids."""
        return geometry.view_of(self.on.shape, self.state)

    @cached_property
    def frame(self) -> Frame:
        """Where the solids stand."""
        view = self.view
        return geometry.make_frame(
            view.cells, view.lengths, len(view.solids), self.size, ANGLES[view.name], view.margin
        )

    @cached_property
    def cube(self) -> tuple[int, int, int, int]:
        """The shape (N, C, H, W) in which x is drawn."""
        return geometry.cube_shape(self.on.shape)

    @cached_property
    def cell(self) -> tuple[int, int, int, int]:
        """The picked cell of the cube."""
        return geometry.to_cube(self.state["index"], self.on.shape)

    @property
    def color(self) -> str:
        """What colours stand for: the set, all sets ("partition"), or "value"."""
        return "value" if self.state["color"] == "normalized" else self.state["color"]

    def row(self, k: int) -> Method:
        """The method of solid k."""
        return METHODS[self.view.solids[k]] if self.view.is_paper else row_of(self.state)

    def sets(self, k: int) -> Pooling:
        """The sets of solid k, as sets of the cube."""
        return sets_of(self.row(k).name, self.cube, self.state["num_groups"])

    def boxes(self, k: int) -> list[Box]:
        """The boxes of the set in solid k, in cells of (X, Y, Z)."""
        row, n = self.row(k), self.view.solids[k]
        if self.state.get("predict") or (self.shown.evaluating and row.name == "batch"):
            return []
        if row is not GIVEN:
            block = ranges_of(self.sets(k), self.cell)
            inside = self.view.is_paper or block[0][0] <= n < block[0][1]
            return [self.view.box(block, row, self.cube[3])] if inside else []
        labels = self.on.labels
        assert labels is not None
        members = labels.reshape(self.cube)[n] == self.shown.label
        # Along (c, h, w), which a solid has as (Y, Z, X).
        return [box for box in geometry.surface(self.view) if members[cells_of(box)].any()]


def cells_of(box: Box) -> tuple[slice, ...]:
    """The cells of a sample, of shape (C, H, W), that a box of (X, Y, Z) holds."""
    return tuple(slice(*box[axis]) for axis in (1, 2, 0))


def draw(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The SVG of the cubes."""
    view, frame, color = cubes.view, cubes.frame, cubes.color
    solids = range(len(view.solids))
    rest = [geometry.faces(frame, k, [(0, extent) for extent in view.cells]) for k in solids]
    boxes = [(k, box) for k in solids for box in cubes.boxes(k)]
    lit = [geometry.visible_faces(frame, k, box) for k, box in boxes]
    yield '<g stroke-linejoin="round" stroke-linecap="round">'
    for face in FACES:
        yield pen.path("".join(polygon(quads[face]) for quads in rest), fill=face)
    painted = [paint(cubes, k) for k in solids] if color != "set" else []
    for k, faces in enumerate(painted):
        yield from (face_group(frame, k, face, found) for face, found in faces.items())
    if color == "set":
        for face in FACES:
            yield pen.path("".join(polygon(seen[face]) for seen in lit if face in seen), fill=f"set-{face}")
    yield line(pen, "grid", "".join(segments(geometry.grid_lines(frame, k, view.bins)) for k in solids))
    if color == "partition" and bordered(cubes):
        seen = (geometry.visible_faces(frame, k, box) for k in solids for box in set_boxes(cubes, k))
        yield line(pen, "borders", "".join(polygon(quad) for quads in seen for quad in quads.values()), "edge")
    if cubes.on.marks is not None and not view.is_paper:
        yield line(pen, "marks", marked_cells(cubes, cubes.on.marks.reshape(cubes.cube)), "mark")
    name, ink = {
        "set": ("set", "set-edge"),
        "partition": ("set_partition", "edge"),
        "value": ("set_value", "set-front"),
    }[color]
    yield line(pen, name, "".join(polygon(quad) for seen in lit for quad in seen.values()), ink)
    yield line(pen, "outline", "".join(polygon(quads[face]) for quads in rest for face in FACES), "edge")
    if cubes.shown.row is not GIVEN:
        yield line(pen, "ghost", "".join(segments(geometry.hidden_edges(frame, k, box)) for k, box in boxes))
    yield from picked_cell(pen, cubes)
    yield "</g>"
    if color == "partition":
        yield from set_numbers(cubes)
    yield from (paper_letters if view.is_paper else sample_letters)(pen, cubes)


def line(pen: Pen, name: str, d: str, ink: str | None = None) -> str:
    """A path in the stroke of that name."""
    more = f' stroke-opacity="{OPACITY[name]}"' if name in OPACITY else ""
    more += f' stroke-dasharray="{DASHES[name]}"' if name in DASHES else ""
    return pen.path(d, stroke=ink or name, width=STROKES[name], more=more)


def picked_cell(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The picked cell, in orange; dashed if it lies inside, with a ring around it if it is small."""
    view, frame, (n, c, h, w), partition = cubes.view, cubes.frame, cubes.cell, cubes.color == "partition"
    z = h * cubes.cube[3] + w
    at = (c, n, z) if view.is_paper else (w, c, h)
    box = [(i, i + 1) for i in at]
    # In the classical figure H and W are one short axis, so the drawn cell that contains the cell is shown.
    size = view.bins if view.is_paper else (1, 1, 1)
    drawn = [(i // b * b, min(i // b * b + b, most)) for i, b, most in zip(at, size, view.cells, strict=True)]
    ink, halo = ("on-hue", "halo") if partition else ("cell-front", "page")
    for k, solid in enumerate(view.solids):
        if not view.is_paper and solid != n:
            continue
        seen = geometry.visible_faces(frame, k, drawn)
        quads = seen or geometry.faces(frame, k, box)
        if seen and cubes.color == "set":
            for face, quad in seen.items():
                yield pen.path(polygon(quad), f"cell-{face}", "cell-edge", STROKES["cell"])
        else:
            path = "".join(polygon(quad) for quad in quads.values())
            name = "cell_plain" if seen else "cell_ghost"
            if partition or not seen:  # a halo separates the line from the colour under it
                yield pen.path(path, stroke=halo, width=STROKES[name] + 2)
            yield line(pen, name, path, ink)
        if not view.is_paper and (
            not seen or min(frame.unit[0], frame.unit[2]) * frame.scale < LIMITS["ring"]["below"]
        ):
            x, y = middle([point for quad in quads.values() for point in quad])
            circle = f'<circle cx="{number(x)}" cy="{number(y)}" r="{LIMITS["ring"]["radius"]}"'
            yield from (f"{circle}{pen.paint(None, *look)}/>" for look in ((halo, 4.4), (ink, STROKES["ring"])))


def marked_cells(cubes: Cubes, marks: np.ndarray) -> str:
    """Crosses on the drawn cells that are marked."""
    parts = []
    for (k, n), box in product(enumerate(cubes.view.solids), geometry.surface(cubes.view)):
        if marks[n][cells_of(box)].any():
            for a, b, c, d in geometry.visible_faces(cubes.frame, k, box).values():
                parts.append(polygon((a, b, c, d)) + segments([(a, c), (b, d)]))
    return "".join(parts)


# ---- letters ---------------------------------------------------------------------------------------------------------


def sample_letters(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The letters of the axes at the first sample, and the number of each."""
    view, frame, axes = cubes.view, cubes.frame, cubes.row(0).axes
    x, y, z = view.cells
    # Only axes that x has get a letter: (N, C) and (N, C, L) are drawn with sides of length 1.
    (first, *_), (_, channel, *spatial) = axis_names(cubes.on.shape, axes), length_names(cubes.on.shape, axes)
    places = [(channel, (0, y / 2, 0), -9, -4), (", ".join(spatial[:-1]), (0, 0, z / 2), -8, 4)]
    places.append(("".join(spatial[-1:]), (x / 2, 0, z), -5, 15))
    for letter, point, dx, dy in places:
        left, top = frame.project(0, *point)
        yield pen.text(left + dx, top + dy, f"<i>{letter}</i>", 15, anchor="end") if letter else ""
    for k, n in enumerate(view.solids):
        (right, low), (left, high) = frame.project(k, x, 0, z), frame.project(k, 0, 0, z)
        # "Cout = 0" is long, so it keeps a distance from the letter before it.
        clear = frame.project(k, x / 2, 0, z)[0] + 4 * len(f"{first} = {n}")
        yield pen.text(max(right - 2, clear), max(low, high) + 19, f"<i>{first}</i> = {n}", 13, anchor="middle")


def paper_letters(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The letters of the axes and the title of each method of the classical figure."""
    view, frame = cubes.view, cubes.frame
    x, y, z = view.cells
    for k, name in enumerate(view.solids):
        (zx, zy), (cx, cy), (nx, ny) = (frame.project(k, *p) for p in ((0, 0, z / 2), (x / 2, 0, z), (x, y / 2, z)))
        left, top = frame.project(k, 0, 0, 0)[0] + frame.width / 2, frame.project(k, 0, y, 0)[1]
        turn = f' transform="rotate(-90 {number(zx - 9)} {number(zy)})"'
        row, chosen = cubes.row(k), name == cubes.state["method"]
        first, channel, *spatial = length_names(cubes.on.shape, row.axes)
        yield pen.text(zx - 9, zy, f"<i>{', '.join(spatial)}</i>", 15, anchor="middle", more=turn)
        yield pen.text(cx - 6, cy + 15, f"<i>{channel}</i>", 15, anchor="end")
        yield pen.text(nx + 6, ny + 13, f"<i>{first}</i>", 15)
        title = short(row.label) if frame.width < max(112, 7.2 * len(row.label)) else row.label
        if row.has_groups:
            length = cubes.on.shape[row.grouped_axis]
            title += f" <i>G</i> = {fitting(cubes.state['num_groups'], length)}"
        yield pen.text(left, top - 11, title, 14, "ink" if chosen else "muted", "middle", bold=chosen)
        if chosen:
            yield line(pen, "underline", f"M{number(left - 46)} {number(top - 5)}h92", "accent")


def short(label: str) -> str:
    """The label without "Norm", where there is little room."""
    return re.sub("( Layer| Response| Batch)? Norm$", "", label).replace("Standardization", "Std.")


# ---- faces coloured by set or by value -------------------------------------------------------------------------------


def paint(cubes: Cubes, k: int) -> dict[str, list[Rectangle]]:
    """The coloured rectangles on the faces of solid k."""
    if cubes.color == "partition" and cubes.row(k) is not GIVEN:
        return painted_sets(cubes, k)
    if cubes.color == "partition":
        assert cubes.on.labels is not None
        total = int(cubes.on.labels.max()) + 1
        levels = cubes.on.labels.reshape(cubes.cube)[first_cells(cubes, k)]
        colors = {level: palette.partition_color((0, level, 0, 0), (1, total, 1, 1)) for level in np.unique(levels)}
    else:
        ends = CONSTANTS["normalized"] if cubes.state["color"] == "normalized" else cubes.on.tensor.colors
        levels = palette.levels(drawn_values(cubes, k), *ends)
        colors = {level: palette.level_color(level) for level in range(-1, palette.LEVELS)}
    faces = {"top": levels[:, 0, :], "front": levels[0], "side": levels[:, :, -1].T}
    return {face: [*scaled(cubes.view, face, flat, colors)] for face, flat in faces.items()}


def scaled(view: View, face: str, flat: np.ndarray, colors: Mapping[int, palette.Rgb]) -> Iterator[Rectangle]:
    """The rectangles of equal numbers on a face, in cells."""
    u, v = AXES[face]
    for level, row, column, rows, columns in rectangles(flat):
        ends = ((u, column, columns), (v, row, rows))
        (a, b), (c, d) = (
            (first * view.bins[axis], min((first + count) * view.bins[axis], view.cells[axis]))
            for axis, first, count in ends
        )
        yield colors[level], a, b, c, d


def rectangles(flat: np.ndarray) -> Iterator[tuple[int, int, int, int, int]]:
    """Cut an array into few rectangles of equal numbers: (number, row, column, rows, columns)."""
    height, width = flat.shape
    open_runs: dict[tuple[int, int, int], int] = {}
    for row in range(height + 1):
        runs: dict[tuple[int, int, int], int] = {}
        if row < height:
            edges = [0, *(np.flatnonzero(np.diff(flat[row])) + 1).tolist(), width]
            for first, stop in pairwise(edges):
                run = (int(flat[row, first]), first, stop - first)
                runs[run] = open_runs.pop(run, row)
        for (level, first, columns), start in open_runs.items():
            yield level, start, first, row - start, columns
        open_runs = runs


def face_group(frame: Frame, k: int, face: str, found: Sequence[Rectangle]) -> str:
    """A face as a group in its own coordinates, one path for each colour."""
    corner = (frame.cells[0] if face == "side" else 0, 0, 0)
    ends = [frame.project(k, *(i + (axis == each) for each, i in enumerate(corner))) for axis in AXES[face]]
    left, top = frame.project(k, *corner)
    matrix = " ".join(f"{value:.6g}" for x, y in ends for value in (x - left, y - top))
    paths: dict[palette.Rgb, list[str]] = {}
    for color, a, b, c, d in found:
        paths.setdefault(color, []).append(f"M{a} {c}H{b}V{d}H{a}")
    inside = "".join(f'<path fill="{palette.toned(color, face)}" d="{"".join(d)}"/>' for color, d in paths.items())
    return f'<g transform="matrix({matrix} {number(left)} {number(top)})">{inside}</g>'


def first_cells(cubes: Cubes, k: int) -> tuple[np.ndarray, ...]:
    """The (n, c, h, w) of the first cell in each drawn cell, to be broadcast to (Y, Z, X)."""
    view, width = cubes.view, cubes.cube[3]
    x, y, z = (np.arange(0, length, size) for length, size in zip(view.cells, view.bins, strict=True))
    x, y, z = x[None, None, :], y[:, None, None], z[None, :, None]
    return (y, x, z // width, z % width) if view.is_paper else (np.full((1, 1, 1), view.solids[k]), y, z, x)


@np.errstate(all="ignore")
def drawn_values(cubes: Cubes, k: int) -> np.ndarray:
    """The mean of each drawn cell of solid k, (Y, Z, X); normalized by the set of its first cell if asked for."""
    view, on, row = cubes.view, cubes.on, cubes.row(k)
    if not view.is_paper:
        size = geometry.bins(on.shape) if on.tensor.values is not None else (1, 1, 1, 1)
        drawn = means(on.tensor.field[view.solids[k]][None], size)[0]
    else:
        drawn = folded(cubes)
    if cubes.state["color"] != "normalized":
        return drawn
    if row is GIVEN:
        return np.full(drawn.shape, np.nan)
    sets = cubes.sets(k)
    if cubes.shown.evaluating and row.name == "batch" and on.running is not None:
        mean, var = on.running
    elif found := on.tensor.known(row.name, sets.num_groups):
        mean, var = found.mean, found.var
    else:  # what travels to the page does not have them
        return np.full(drawn.shape, np.nan)
    at = tuple(i // extent for i, extent in zip(first_cells(cubes, k), sets.block, strict=True))
    return (drawn - mean.reshape(sets.grid)[at]) / np.sqrt(var.reshape(sets.grid)[at] + on.eps)


def folded(cubes: Cubes) -> np.ndarray:
    """The drawn cells (Y, Z, X) of the classical figure, where H and W are one axis."""
    (bc, bn, bz), field, width = cubes.view.bins, cubes.on.tensor.field, cubes.cube[3]
    if cubes.on.tensor.values is not None:
        flat = field.reshape(*field.shape[:2], 1, -1)
        return means(flat, (bn, bc, 1, bz))[:, :, 0].transpose(0, 2, 1)
    # The coarse means do not follow the positions: a drawn cell takes the rows that its positions touch.
    _, _, bh, bw = geometry.bins(cubes.on.shape)
    few, parts = means(field, (bn, 1, 1, 1)), []
    for z in range(0, cubes.view.cells[2], bz):
        last = min(z + bz, cubes.view.cells[2]) - 1
        rows = slice(z // width // bh, last // width // bh + 1)
        columns = slice(z % width // bw, last % width // bw + 1) if z // width == last // width else slice(None)
        parts.append(few[:, :, rows, columns].mean(axis=(2, 3)))
    return np.stack(parts, axis=1)


# ---- all sets --------------------------------------------------------------------------------------------------------


def set_boxes(cubes: Cubes, k: int) -> Iterator[Box]:
    """The boxes of all sets of solid k that touch a visible face; where positions are binned, those of drawn cells."""
    row, (n, c, h, w), view = cubes.row(k), cubes.sets(k).block, cubes.view
    bx, _, bz = view.bins
    paper = (c, n, view.cells[2] if row.spatial == "all" else bz)
    steps = paper if view.is_paper else (max(w, bx), c, max(h, bz))
    yield from geometry.surface(replace(view, bins=steps))


def set_at(cubes: Cubes, k: int, box: Box) -> tuple[int, ...]:
    """The place in the grid of the set that the first cell of a box lies in."""
    x, y, z = (first for first, _ in box)
    width = cubes.cube[3]
    cell = (y, x, z // width, z % width) if cubes.view.is_paper else (cubes.view.solids[k], y, z, x)
    return tuple(i // extent for i, extent in zip(cell, cubes.sets(k).block, strict=True))


def painted_sets(cubes: Cubes, k: int) -> dict[str, list[Rectangle]]:
    """Each set in its colour."""
    found: dict[str, list[Rectangle]] = {face: [] for face in FACES}
    grid = cubes.sets(k).grid
    for box in set_boxes(cubes, k):
        color = palette.partition_color(set_at(cubes, k, box), grid)
        for face in geometry.visible_faces(cubes.frame, k, box):
            u, v = AXES[face]
            found[face].append((color, *box[u], *box[v]))
    return found


def bordered(cubes: Cubes) -> bool:
    """Whether sets are thick enough for borders; very thin ones would show nothing but borders."""
    if row_of(cubes.state) is GIVEN:
        return False
    view, frame = cubes.view, cubes.frame
    n, c, h, w = sets_of(cubes.state["method"], cubes.cube, cubes.state["num_groups"]).block
    extents = zip((c, n, h * w) if view.is_paper else (w, c, h), view.cells, frame.unit, strict=True)
    return all(size == most or size * unit * frame.scale >= LIMITS["border"] for size, most, unit in extents)


def set_numbers(cubes: Cubes) -> Iterator[str]:
    """The number of each set, on a face of it where there is room."""
    view, texts = cubes.view, []
    for k in range(len(view.solids)):
        # A drawn cell that stands for several sets gets no number.
        many = view.bins[2] * (1 if view.is_paper else view.bins[0]) > 1
        if cubes.row(k) is GIVEN or (many and cubes.row(k).spatial != "all"):
            continue
        grid = cubes.sets(k).grid
        for box in set_boxes(cubes, k):
            seen, text = (
                geometry.visible_faces(cubes.frame, k, box),
                str(np.ravel_multi_index(set_at(cubes, k, box), grid)),
            )
            quad = next((seen[f] for f in ("front", "top", "side") if f in seen and roomy(seen[f], len(text))), None)
            if quad:
                x, y = middle(quad)
                texts.append(f'<text x="{number(x)}" y="{number(y + 3.5)}">{text}</text>')
    if texts:
        # A light halo keeps the numbers legible on every hue.
        halo = f'paint-order="stroke" stroke="{LIGHT["halo"]}" stroke-opacity=".69" stroke-width="2"'
        look = f'font-size="11" font-weight="650" text-anchor="middle" fill="{LIGHT["on-hue"]}"'
        yield f"<g {look} {halo}>{''.join(texts)}</g>"


def roomy(quad: Sequence[Point], digits: int) -> bool:
    """Room for a number: its height across the middle of the face, and the width of its digits."""
    a, b, c, e = quad
    least, across = LIMITS["number"], [x for x, _ in quad]
    if max(across) - min(across) < least["digit"] * digits + least["around"]:
        return False
    cross = abs((b[0] - a[0]) * (e[1] - a[1]) - (b[1] - a[1]) * (e[0] - a[0]))
    longer = max(math.dist(middle([a, e]), middle([b, c])), math.dist(middle([a, b]), middle([e, c])))
    return cross / longer >= least["height"]
