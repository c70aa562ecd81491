"""The cubes of the still picture as SVG: faces, sets, the picked cell, letters and set numbers.

It draws what drawCube of cube.js draws, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling
from normviz.explorer.axis_names import GIVEN, axis_names, length_names, short_label
from normviz.explorer.constants import CONSTANTS, LIGHT, LIMITS
from normviz.explorer.svg import geometry, palette
from normviz.explorer.svg.geometry import FACES, Box, Frame, Point, Range, View, middle, surface, visible_faces
from normviz.explorer.svg.gradient import gradient_of
from normviz.explorer.svg.readout import Readout, State, name_of, row_of
from normviz.explorer.svg.writer import Pen, number, polygons, segments

if TYPE_CHECKING:
    from normviz.explorer.validation import Subject

STROKES, OPACITY, DASHES, LABELS = (CONSTANTS[name] for name in ("strokes", "opacity", "dashes", "labels"))
EDGES = {"set": ("set", "set-edge"), "partition": ("set_partition", "edge"), "value": ("set_value", "set-front")}
"""By what colours stand for: the stroke of the set's edge, and its colour."""
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
        return geometry.make_frame(self.view, self.size)

    @cached_property
    def cube(self) -> tuple[int, int, int, int]:
        """The shape (N, C, H, W) in which x is drawn."""
        return geometry.cube_shape(self.on.shape)

    @property
    def color(self) -> str:
        """What colours stand for: the set, all sets ("partition"), or "value"."""
        return "value" if self.state["color"] in ("normalized", "gradient") else self.state["color"]

    def row(self, k: int) -> Method:
        """The method of solid k."""
        return METHODS[self.view.solids[k]] if self.view.is_paper else row_of(self.state)

    @cached_property
    def all_sets(self) -> list[Pooling]:
        """The sets of each solid, as sets of the cube; none where they are given."""
        rows = [self.row(k) for k in range(len(self.view.solids)) if self.row(k) is not GIVEN]
        return [geometry.sets_of(row.name, self.cube, self.state["num_groups"]) for row in rows]

    def sets(self, k: int) -> Pooling:
        """The sets of solid k."""
        return self.all_sets[k]

    def boxes(self, k: int) -> list[Box]:
        """The boxes of the set in solid k, in cells of (X, Y, Z)."""
        row, n = self.row(k), self.view.solids[k]
        if self.state.get("predict") or (self.shown.evaluating and row.name == "batch"):
            return []
        if row is GIVEN:
            return self.holding(k, self.on.labels == self.shown.label)
        block = geometry.ranges_of(self.sets(k), geometry.to_cube(self.state["index"], self.on.shape))
        inside = self.view.is_paper or block[0][0] <= n < block[0][1]
        return [self.view.box(block, row, self.cube[3])] if inside else []

    def holding(self, k: int, cells: np.ndarray) -> list[Box]:
        """The drawn cells of sample k that hold any of `cells`, booleans of x's shape."""
        one = cells.reshape(self.cube)[self.view.solids[k]]
        return [(x, y, z) for x, y, z in surface(self.view) if one[slice(*y), slice(*z), slice(*x)].any()]

    def first_cell(self, k: int, box: Box) -> tuple[int, ...]:
        """The first cell of the cube, (n, c, h, w), in a box of solid k."""
        (x, _), (y, _), (z, _) = box
        return (y, x, *divmod(z, self.cube[3])) if self.view.is_paper else (self.view.solids[k], y, z, x)

    def set_at(self, k: int, box: Box) -> tuple[int, ...]:
        """The place in the grid of the set of that cell."""
        return tuple(i // n for i, n in zip(self.first_cell(k, box), self.sets(k).block, strict=True))

    def quads(self, k: int, boxes: Sequence[Box]) -> list[Sequence[Point]]:
        """The visible faces of boxes."""
        return [quad for box in boxes for quad in visible_faces(self.frame, k, box).values()]


def draw(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The SVG of the cubes."""
    on, view, frame, color = cubes.on, cubes.view, cubes.frame, cubes.color
    solids = range(len(view.solids))
    rest = [geometry.faces(frame, k, [(0, extent) for extent in view.cells]) for k in solids]
    boxes = [(k, box) for k in solids for box in cubes.boxes(k)]
    lit = [visible_faces(frame, k, box) for k, box in boxes]
    yield '<g stroke-linejoin="round" stroke-linecap="round">'
    yield from (pen.path(polygons(quads[face] for quads in rest), face) for face in FACES)
    if color == "set":
        yield from (pen.path(polygons(seen[f] for seen in lit if f in seen), f"set-{f}") for f in FACES)
    else:
        yield from (group for k in solids for group in painted(cubes, k))
    yield line(pen, "grid", "".join(segments(geometry.grid_lines(frame, k, view.bins)) for k in solids))
    if color == "partition" and bordered(cubes):
        borders = (cubes.quads(k, list(set_boxes(cubes, k))) for k in solids)
        yield line(pen, "borders", "".join(map(polygons, borders)), "edge")
    if on.marks is not None and not view.is_paper:
        marked = [quad for k in solids for quad in cubes.quads(k, cubes.holding(k, on.marks))]
        crosses = segments(ends for a, b, c, d in marked for ends in ((a, c), (b, d)))
        yield line(pen, "marks", polygons(marked) + crosses, "mark")
    if on.tensor.has_holes:
        struck = [quad for k in solids for quad in cubes.quads(k, list(holes(cubes, k)))]
        yield line(pen, "holes", "".join(polygons([quad]) + segments([(quad[0], quad[2])]) for quad in struck), "mark")
    name, ink = EDGES[color]
    yield line(pen, name, polygons(quad for seen in lit for quad in seen.values()), ink)
    yield line(pen, "outline", polygons(quads[face] for quads in rest for face in FACES), "edge")
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
    """The picked cell, in orange: dashed and below its place on the top if it lies inside; ringed if it is small."""
    view, frame, partition = cubes.view, cubes.frame, cubes.color == "partition"
    n, c, h, w = geometry.to_cube(cubes.state["index"], cubes.on.shape)
    box = [(i, i + 1) for i in ((c, n, h * cubes.cube[3] + w) if view.is_paper else (w, c, h))]
    # In the classical figure H and W are one short axis, so the drawn cell that contains the cell is shown.
    size = view.bins if view.is_paper else (1, 1, 1)
    drawn = [(i // b * b, min(i // b * b + b, most)) for (i, _), b, most in zip(box, size, view.cells, strict=True)]
    ink, halo = ("on-hue", "halo") if partition else ("cell-front", "page")
    for k in range(len(view.solids)) if view.is_paper else [view.solids.index(n)]:
        seen = visible_faces(frame, k, drawn)
        quads = list((seen or geometry.faces(frame, k, box)).values())
        if seen and cubes.color == "set":
            fills = ((f"cell-{face}", quad) for face, quad in seen.items())
            yield from (pen.path(polygons([quad]), fill, "cell-edge", STROKES["cell"]) for fill, quad in fills)
        else:
            name, d = "cell_plain" if seen else "cell_ghost", polygons(quads)
            if not seen:  # a line up to its place on the top, which tells how deep inside it lies
                x, y, z = box
                middle_of = sum(x) / 2, sum(y) / 2
                d += segments([(frame.project(k, *middle_of, 0), frame.project(k, *middle_of, z[0]))])
                d += polygons([geometry.faces(frame, k, (x, y, (0, 1)))["top"]])
            if partition or not seen:  # a halo separates the line from the colour under it
                yield pen.path(d, stroke=halo, width=STROKES[name] + 2)
            yield line(pen, name, d, ink)
        small = min(frame.unit[0], frame.unit[2]) * frame.scale < LIMITS["ring"]["below"]
        if small and not view.is_paper:
            x, y = middle([point for quad in quads for point in quad])
            circle = f'<circle cx="{number(x)}" cy="{number(y)}" r="{LIMITS["ring"]["radius"]}"'
            yield from (f"{circle}{pen.paint(None, *look)}/>" for look in ((halo, 4.4), (ink, STROKES["ring"])))


# ---- letters ---------------------------------------------------------------------------------------------------------


def sample_letters(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The letters of the axes at the first sample, and the number of each."""
    frame, axes, (x, y, z) = cubes.frame, cubes.row(0).axes, cubes.view.cells
    first, (_, channel, *spatial) = axis_names(cubes.on.shape, axes)[0], length_names(cubes.on.shape, axes)
    # Only axes that x has get a letter: (N, C) and (N, C, L) are drawn with sides of length 1.
    places = {"channel": (channel, (0, y / 2, 0)), "height": (", ".join(spatial[:-1]), (0, 0, z / 2))}
    places["width"] = "".join(spatial[-1:]), (x / 2, 0, z)
    for name, (letter, point) in places.items():
        (left, top), (dx, dy) = frame.project(0, *point), LABELS[name]
        yield pen.text(left + dx, top + dy, "", 15, anchor="end", letter=letter) if letter else ""
    for k, n in enumerate(cubes.view.solids):
        (right, low), (_, high) = frame.project(k, x, 0, z), frame.project(k, 0, 0, z)
        # "Cout = 0" is long, so it keeps a distance from the letter before it.
        clear = frame.project(k, x / 2, 0, z)[0] + LABELS["sample"]["letter"] * len(f"{first} = {n}")
        at = max(right - LABELS["sample"]["left"], clear), max(low, high) + LABELS["sample"]["below"]
        yield pen.text(*at, "", anchor="middle", letter=first, after=f" = {n}")


def paper_letters(pen: Pen, cubes: Cubes) -> Iterator[str]:
    """The letters of the axes and the title of each method of the classical figure."""
    frame, (x, y, z) = cubes.frame, cubes.view.cells
    paper, over, under = LABELS["paper"], LABELS["title"], LABELS["underline"]
    for k, name in enumerate(cubes.view.solids):
        (zx, zy), (cx, cy), (nx, ny) = (frame.project(k, *p) for p in ((0, 0, z / 2), (x / 2, 0, z), (x, y / 2, z)))
        left, top = frame.project(k, 0, 0, 0)[0] + frame.width / 2, frame.project(k, 0, y, 0)[1]
        zx += paper["positions"]
        turn = f' transform="rotate(-90 {number(zx)} {number(zy)})"'
        row, chosen = cubes.row(k), name == cubes.state["method"]
        first, channel, *spatial = length_names(cubes.on.shape, row.axes)
        yield pen.text(zx, zy, "", 15, anchor="middle", letter=", ".join(spatial), more=turn)
        (cdx, cdy), (ndx, ndy) = paper["channel"], paper["samples"]
        yield pen.text(cx + cdx, cy + cdy, "", 15, anchor="end", letter=channel)
        yield pen.text(nx + ndx, ny + ndy, "", 15, letter=first)
        title, groups, state = row.label, {}, cubes.state
        if frame.width < max(over["narrow"], over["letter"] * len(name_of({**state, "method": name}))):
            title = short_label(row)
        if row.has_groups:
            title, groups = f"{title} ", {"letter": "G", "after": f" = {cubes.sets(k).num_groups}"}
        ink = "ink" if chosen else "muted"
        yield pen.text(left, top - over["above"], title, 14, ink, "middle", bold=chosen, **groups)
        if chosen:
            long = under["letter"] * len(title + "".join(groups.values()))
            d = f"M{number(left - long / 2)} {number(top - under['above'])}h{number(long)}"
            yield line(pen, "underline", d, "accent")


# ---- faces coloured by set or by value -------------------------------------------------------------------------------


def coloured(cubes: Cubes, k: int) -> Iterator[tuple[Box, palette.Rgb]]:
    """The boxes that touch a face of solid k, with their colours: all sets, or all drawn cells."""
    row, on = cubes.row(k), cubes.on
    if cubes.color == "partition" and row is not GIVEN:
        grid = cubes.sets(k).grid
        yield from ((box, palette.partition_color(cubes.set_at(k, box), grid)) for box in set_boxes(cubes, k))
    elif cubes.color == "partition" and on.labels is not None:
        labels, total = on.labels.reshape(cubes.cube), int(on.labels.max()) + 1
        for box in surface(cubes.view):
            label = int(labels[cubes.first_cell(k, box)])
            yield box, palette.partition_color((0, label, 0, 0), (1, total, 1, 1))
    else:
        kinds = {"value": on.tensor.colors, "normalized": CONSTANTS["normalized"], "gradient": (-1, 1)}
        value, ends = drawn_values(cubes, k), kinds[cubes.state["color"]]
        for box in surface(cubes.view):
            found = value(box)
            if found is not None:
                yield box, palette.level_color(palette.level_of(found, *ends))


def painted(cubes: Cubes, k: int) -> Iterator[str]:
    """The coloured faces of solid k, each a group in its own coordinates with one path for each colour."""
    frame, boxes = cubes.frame, list(coloured(cubes, k))
    for face, (u, v) in AXES.items():
        # A row of boxes of one colour is one rectangle.
        rows: dict[tuple[palette.Rgb, Range], list[list[int]]] = {}
        for box, color in boxes:
            if geometry.on_faces(frame.cells, box)[face]:
                runs = rows.setdefault((color, box[v]), [])
                if runs and runs[-1][1] == box[u][0]:
                    runs[-1][1] = box[u][1]
                else:
                    runs.append([*box[u]])
        paths: dict[palette.Rgb, str] = {}
        for (color, (c, d)), runs in rows.items():
            paths[color] = paths.get(color, "") + "".join(f"M{a} {c}H{b}V{d}H{a}" for a, b in runs)
        corner = [frame.cells[0] if face == "side" else 0, 0, 0]
        ends = [frame.project(k, *(i + (axis == each) for each, i in enumerate(corner))) for axis in (u, v)]
        left, top = frame.project(k, *corner)
        matrix = " ".join(f"{value:.6g}" for x, y in ends for value in (x - left, y - top))
        inside = "".join(f'<path fill="{palette.toned(color, face)}" d="{d}"/>' for color, d in paths.items())
        yield f'<g transform="matrix({matrix} {number(left)} {number(top)})">{inside}</g>'


def drawn_values(cubes: Cubes, k: int) -> Callable[[Box], float | None]:
    """A function that gives what a colour stands for: the mean over a drawn cell, normalized if asked for."""
    if cubes.state["color"] == "gradient":
        return drawn_gradient(cubes, k)
    field = normalized(cubes, k) if cubes.state["color"] == "normalized" else cubes.on.tensor.field
    return means_of(cubes, k, field)


def means_of(cubes: Cubes, k: int, field: np.ndarray) -> Callable[[Box], float]:
    """A function that gives the mean of a field over a drawn cell of solid k."""
    if cubes.on.tensor.values is not None:
        return lambda box: mean_of(part(cubes, k, field, box))
    return lambda box: mean_of(coarse(cubes, field, cells_of(cubes, k, box)))


@np.errstate(all="ignore")
def holes(cubes: Cubes, k: int) -> Iterator[Box]:
    """The drawn cells of solid k with NaN or infinity, which are struck out because one spoils its whole set."""
    mean = means_of(cubes, k, cubes.on.tensor.field)
    return (box for box in surface(cubes.view) if not math.isfinite(mean(box)))


def mean_of(values: np.ndarray) -> float:
    """The mean, exact for one value."""
    return float(values.mean() if values.size > 1 else values.item())


def part(cubes: Cubes, k: int, field: np.ndarray, box: Box) -> np.ndarray:
    """The entries of a field, of the shape of the cube, in a box of solid k."""
    x, y, z = (slice(*each) for each in box)
    return field.reshape(*field.shape[:2], -1)[y, x, z] if cubes.view.is_paper else field[cubes.view.solids[k], y, z, x]


def cells_of(cubes: Cubes, k: int, box: Box) -> Box:
    """The cells of a box of solid k, as a range for each axis of the cube, where only means of drawn cells are known.

    They do not follow the positions: in the classical figure a drawn cell takes the rows that its positions touch.
    """
    x, y, z = box
    if not cubes.view.is_paper:
        n = cubes.view.solids[k]
        return (n, n + 1), y, z, x
    (first, start), (last, stop) = (divmod(i, cubes.cube[3]) for i in (z[0], z[1] - 1))
    return y, x, (first, last + 1), (start, stop + 1) if first == last else (0, cubes.cube[3])


def coarse(cubes: Cubes, field: np.ndarray, ranges: Box) -> np.ndarray:
    """The means of the drawn cells that ranges of cells touch."""
    size = geometry.bins(cubes.on.shape)
    return field[tuple(slice(i // b, -(-j // b)) for (i, j), b in zip(ranges, size, strict=True))]


@np.errstate(all="ignore")
def drawn_gradient(cubes: Cubes, k: int) -> Callable[[Box], float | None]:
    """A function that gives the mean gradient over a drawn cell, as a colour shows it; None outside the set."""
    on, cube = cubes.on, cubes.cube
    found, field = gradient_of(on, cubes.state, cubes.shown, cubes.row(k)), on.tensor.field
    if found.block is None:
        assert on.labels is not None
        within: Any = on.labels.reshape(cube) == cubes.shown.label
    else:
        within = tuple(slice(*each) for each in found.block)

    def of_cells(box: Box) -> float | None:
        inside = part(cubes, k, members, box)
        return found.rooted(mean_of(part(cubes, k, values, box))) if inside.any() else None

    def of_means(box: Box) -> float | None:
        ranges = cells_of(cubes, k, box)
        total, common = math.prod(stop - start for start, stop in ranges), ranges
        if found.block is None:
            inside = np.count_nonzero(within[tuple(slice(*each) for each in ranges)])
        else:
            common = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(ranges, found.block, strict=True)]
            inside = math.prod(max(stop - start, 0) for start, stop in common)
        if not inside:
            return None
        own = all(start <= i < stop for i, (start, stop) in zip(found.cell, ranges, strict=True))
        mean = found.at(mean_of(coarse(cubes, field, common)))
        return found.rooted((inside * mean + own / found.deviation) / total)

    if on.tensor.values is None:
        return of_means
    members = np.zeros(cube, bool)
    members[within] = True
    values = np.where(members, found.at(field), 0)
    values[found.cell] += 1 / found.deviation
    return of_cells


@np.errstate(all="ignore")
def normalized(cubes: Cubes, k: int) -> np.ndarray:
    """The values of the cube, each normalized by its set; where there are only means, by the set of the first cell.

    NaN where the numbers of the sets do not travel.
    """
    on, row, field = cubes.on, cubes.row(k), cubes.on.tensor.field
    evaluating = cubes.shown.evaluating and row.name == "batch"
    if row is GIVEN:
        assert on.labels is not None
        assert on.sets is not None
        at = np.searchsorted(on.sets["label"], on.labels.reshape(cubes.cube))
        mean, var = (on.sets[key][at] for key in ("mean", "var"))
    else:
        found = on.tensor.known(row.name, cubes.sets(k).num_groups)
        numbers = on.running if evaluating else found and (found.mean, found.var)
        if numbers is None:
            return np.full(field.shape, np.nan)
        mean, var = (cubes.sets(k).spread(each) for each in numbers)
    size = geometry.bins(on.shape) if on.tensor.values is None else (1, 1, 1, 1)
    mean, var = (each[tuple(slice(None, None, b) for b in size)] for each in (mean, var))
    return (field - mean) / np.sqrt(var + on.eps)


# ---- all sets --------------------------------------------------------------------------------------------------------


def set_boxes(cubes: Cubes, k: int) -> Iterator[Box]:
    """The boxes of all sets of solid k that touch a visible face, or those of drawn cells where there are too many."""
    yield from surface(replace(cubes.view, bins=steps_of(cubes, k)[1]))


def steps_of(cubes: Cubes, k: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The cells of a set of solid k along X, Y, Z, and those of the boxes that are drawn of it."""
    (n, c, h, w), view = cubes.sets(k).block, cubes.view
    own = (c, n, view.cells[2] if cubes.row(k).spatial == "all" else 1) if view.is_paper else (w, c, h)
    free = (0, 1) if view.is_paper else (1,)
    every = enumerate(zip(own, view.cells, view.bins, strict=True))
    few = (axis in free and length // size <= LIMITS["sets"] for axis, (size, length, _) in every)
    return own, tuple(size if keep else max(size, b) for keep, size, b in zip(few, own, view.bins, strict=True))


def bordered(cubes: Cubes) -> bool:
    """Whether sets are thick enough for borders; very thin ones would show nothing but borders."""
    if row_of(cubes.state) is GIVEN:
        return False
    view, frame = cubes.view, cubes.frame
    n, c, h, w = geometry.sets_of(cubes.state["method"], cubes.cube, cubes.state["num_groups"]).block
    extents = zip((c, n, h * w) if view.is_paper else (w, c, h), view.cells, frame.unit, strict=True)
    return all(size == most or size * unit * frame.scale >= LIMITS["border"] for size, most, unit in extents)


def set_numbers(cubes: Cubes) -> Iterator[str]:
    """The number of each set, on a face of it where there is room."""
    view, texts = cubes.view, []
    for k in range(len(view.solids)):
        # A drawn cell that stands for several sets gets no number.
        own, steps = ((), None) if cubes.row(k) is GIVEN else steps_of(cubes, k)
        if own != steps:
            continue
        for box in set_boxes(cubes, k):
            text = str(np.ravel_multi_index(cubes.set_at(k, box), cubes.sets(k).grid))
            seen = visible_faces(cubes.frame, k, box)
            quads = (seen[face] for face in ("front", "top", "side") if face in seen)
            if quad := next((quad for quad in quads if roomy(quad, len(text))), None):
                x, y = middle(quad)
                texts.append(f'<text x="{number(x)}" y="{number(y + 3.5)}">{text}</text>')
    # A light halo keeps the numbers legible on every hue.
    halo = f'paint-order="stroke" stroke="{LIGHT["halo"]}" stroke-opacity=".69" stroke-width="2"'
    look = f'font-size="11" font-weight="600" text-anchor="middle" fill="{LIGHT["on-hue"]}"'
    yield f"<g {look} {halo}>{''.join(texts)}</g>" if texts else ""


def roomy(quad: Sequence[Point], digits: int) -> bool:
    """Room for a number: its height across the middle of the face, and the width of its digits."""
    a, b, c, e = quad
    least, across = LIMITS["number"], [x for x, _ in quad]
    if max(across) - min(across) < least["digit"] * digits + least["around"]:
        return False
    cross = abs((b[0] - a[0]) * (e[1] - a[1]) - (b[1] - a[1]) * (e[0] - a[0]))
    longer = max(math.dist(middle([a, e]), middle([b, c])), math.dist(middle([a, b]), middle([e, c])))
    return cross / longer >= least["height"]
