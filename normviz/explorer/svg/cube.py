"""The cube of the still picture as SVG: faces, sets, the picked cell, letters and set numbers.

It draws what drawCube of cube.js draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.explorer.svg import geometry, palette
from normviz.explorer.svg.axis_names import has_groups, length_names
from normviz.explorer.svg.geometry import FACES, Box, Frame, Point, View, middle, surface, view_of
from normviz.explorer.svg.readout import Data, Readout, State, means
from normviz.explorer.svg.writer import Pen, number, polygon, segments, width_of

Levels = tuple[np.ndarray, Callable[[int], palette.Rgb]]
"""An array (Y, Z, X) of colour numbers, one for each drawn cell, and the colour of each number."""


def draw(pen: Pen, data: Data, state: State, shown: Readout, size: Mapping[str, float]) -> Iterator[str]:
    """The SVG of the cube, in a box of `size` pixels."""
    view = view_of(data, state)
    solids = range(len(view.solids))
    frame = geometry.make_frame(view.cells, view.lengths, len(solids), size, geometry.ANGLES[view.name], view.margin)
    rest = [geometry.faces(frame, k, [(0, extent) for extent in view.cells]) for k in solids]
    by_set = state["color"] == "set"
    for face in FACES:
        yield pen.path("".join(polygon(quads[face]) for quads in rest), fill=face)
    for k in [] if by_set else solids:
        levels, color_of = (_sets if state["color"] == "partition" else _values)(data, state, view, k)
        for face, flat in (("top", levels[:, 0, :]), ("front", levels[0]), ("side", levels[:, :, -1].T)):
            yield _face(frame, view, k, face, flat, color_of)

    boxes = [(k, box) for k in solids for box in boxes_of(data, state, shown, view, k)]
    lit = [geometry.visible_faces(frame, k, box) for k, box in boxes]
    if by_set:
        for face in FACES:
            yield pen.path("".join(polygon(seen[face]) for seen in lit if face in seen), fill=f"set-{face}")
    grid = "".join(segments(geometry.grid_lines(frame, k, view.bins)) for k in solids)
    yield pen.path(grid, stroke="grid", width=0.6, more=' stroke-opacity=".8"')
    if data.marks is not None and not view.is_paper:
        yield pen.path(marked_cells(data, view, frame), stroke="edge", width=1.1)
    edges = "".join(polygon(quad) for seen in lit for quad in seen.values())
    edge = "edge" if state["color"] == "partition" else "set-edge" if by_set else "set-front"
    yield pen.path(edges, stroke=edge, width=1.6 if by_set else 3, more=' stroke-linejoin="round"')
    outline = "".join(polygon(quads[face]) for quads in rest for face in FACES)
    yield pen.path(outline, stroke="edge", width=1.8, more=' stroke-linejoin="round"')
    if shown.box is not None:
        hidden = "".join(segments(geometry.hidden_edges(frame, k, box)) for k, box in boxes)
        yield pen.path(hidden, stroke="ghost", width=1, more=' stroke-dasharray="3 3"')
    yield from _cell(pen, data, state, shown, view, frame)
    if state["color"] == "partition":
        yield from set_numbers(data, state, view, frame)
    yield from (_paper_letters if view.is_paper else _sample_letters)(pen, data, state, view, frame)


def boxes_of(data: Data, state: State, shown: Readout, view: View, k: int) -> list[Box]:
    """The boxes of the set in one solid, in cells of (X, Y, Z)."""
    if state.get("predict"):
        return []
    width = data.cube[3]
    if view.is_paper:
        method = data.methods[view.solids[k]]
        if shown.evaluating and method["name"] == "batch":
            return []
        block = geometry.block_of(method, data.cube, data.groups(state))
        return [view.box(geometry.set_of(block, shown.cell), method, width)]
    n = view.solids[k]
    if shown.box is not None:
        return [view.box(shown.box, shown.method, width)] if shown.box[0][0] <= n < shown.box[0][1] else []
    if shown.method["name"] != "given":
        return []
    members = data.labels[n] == shown.label
    # Along (c, h, w), which a solid has as (Y, Z, X).
    return [box for box in surface(view) if members[tuple(slice(*box[axis]) for axis in (1, 2, 0))].any()]


def _cell(pen: Pen, data: Data, state: State, shown: Readout, view: View, frame: Frame) -> Iterator[str]:
    """The picked cell, in orange; dashed if it lies inside, with a ring around it if it is small."""
    n, c, h, w = shown.cell
    z = h * data.cube[3] + w
    at = (c, n, z) if view.is_paper else (w, c, h)
    # In the classical figure H and W are one short axis, so the drawn cell that contains the cell is shown.
    size = view.bins if view.is_paper else (1, 1, 1)
    box = [(i // b * b, min(i // b * b + b, most)) for i, b, most in zip(at, size, view.cells, strict=True)]
    for k, solid in enumerate(view.solids):
        if not view.is_paper and solid != n:
            continue
        seen = geometry.visible_faces(frame, k, box)
        for face, quad in seen.items():
            if state["color"] in ("value", "normalized"):
                yield pen.path(polygon(quad), stroke="cell-front", width=2.4)
            else:
                yield pen.path(polygon(quad), fill=f"cell-{face}", stroke="cell-edge", width=1.2)
        quads = seen or geometry.faces(frame, k, box)
        if not seen:
            dashed = "".join(polygon(quad) for quad in quads.values())
            yield pen.path(dashed, stroke="cell-front", width=1.2, more=' stroke-dasharray="2 2"')
        if not view.is_paper and (not seen or min(frame.unit[0], frame.unit[2]) * frame.scale < 8):
            x, y = middle([point for quad in quads.values() for point in quad])
            # A halo separates the ring from the colour under it.
            for color, width in (("page", 4.5), ("cell-front", 2)):
                yield f'<circle cx="{number(x)}" cy="{number(y)}" r="8"{pen.paint(None, color, width)}/>'


def _sample_letters(pen: Pen, data: Data, state: State, view: View, frame: Frame) -> Iterator[str]:
    x, y, z = view.cells
    # Only axes that x has get a letter: (N, C) and (N, C, L) are drawn with sides of length 1.
    method = data.method(state["method"])
    first, channel, *spatial = length_names(data.shape, method)
    sample = "n" if first == "N" else first
    places: dict[str, tuple[tuple[float, float, float], int, int]] = {channel: ((0, y / 2, 0), -9, -4)}
    if spatial:
        places[spatial[-1]] = ((x / 2, 0, z), -5, 16)
    if spatial[:-1]:
        places["·".join(spatial[:-1])] = ((0, 0, z / 2), -8, 4)
    for letter, (point, dx, dy) in places.items():
        at = frame.project(0, *point)
        yield pen.text(at[0] + dx, at[1] + dy, f"<i>{letter}</i>", 15, anchor="end")
    for k, n in enumerate(view.solids):
        right, low = frame.project(k, x, 0, z)
        chosen = n == state["index"][0]
        low = max(low, frame.project(k, 0, 0, z)[1])
        # "Cout = 0" is long, so it keeps a distance from the letter before it.
        place = max(right - 2, frame.project(k, x / 2, 0, z)[0] + width_of(f"{sample} = {n}", 13) / 2 + 2)
        color = "ink" if chosen else "muted"
        yield pen.text(place, low + 19, f"<i>{sample}</i> = {n}", 13, color, "middle", bold=chosen)


def _paper_letters(pen: Pen, data: Data, state: State, view: View, frame: Frame) -> Iterator[str]:
    x, y, z = view.cells
    for k, name in enumerate(view.solids):
        (zx, zy), (cx, cy), (nx, ny) = (frame.project(k, *p) for p in ((0, 0, z / 2), (x / 2, 0, z), (x, y / 2, z)))
        left, top = frame.project(k, 0, 0, 0)[0], frame.project(k, 0, y, 0)[1]
        turn = f' transform="rotate(-90 {number(zx - 9)} {number(zy)})"'
        first, channel, *spatial = length_names(data.shape, data.methods[name])
        yield pen.text(zx - 9, zy, f"<i>{', '.join(spatial)}</i>", 13, anchor="middle", more=turn)
        yield pen.text(cx - 6, cy + 15, f"<i>{channel}</i>", 13, anchor="end")
        yield pen.text(nx + 6, ny + 13, f"<i>{first}</i>", 13)
        label = data.methods[name]["label"]
        chosen, at = name == state["method"], left + frame.width / 2
        groups = geometry.fitting(data.groups(state), data.shape[data.methods[name]["n"] != "group"])
        title = f"{label} <i>G</i> = {groups}" if has_groups(data.methods[name]) else label
        size = min(15, 15 * (frame.width + 18) / width_of(title, 15.6))
        yield pen.text(at, top - 12, title, size, "accent" if chosen else "ink", "middle", bold=True)
        if chosen:
            yield pen.path(f"M{number(at - 46)} {number(top - 6)}h92", stroke="accent", width=2)


# ---- faces coloured by set or by value -------------------------------------------------------------------------------


def _method(data: Data, state: State, view: View, k: int) -> Mapping[str, Any]:
    return data.methods[view.solids[k]] if view.is_paper else data.method(state["method"])


def _first_cells(data: Data, view: View, k: int) -> tuple[np.ndarray, ...]:
    """The (n, c, h, w) of the first cell in each drawn cell, to be broadcast to (Y, Z, X)."""
    x, y, z = (np.arange(0, length, size) for length, size in zip(view.cells, view.bins, strict=True))
    x, y, z = x[None, None, :], y[:, None, None], z[None, :, None]
    if view.is_paper:
        return y, x, z // data.cube[3], z % data.cube[3]
    return np.full((1, 1, 1), view.solids[k]), y, z, x


def _sets(data: Data, state: State, view: View, k: int) -> Levels:
    """Which set each drawn cell lies in."""
    cells, method = _first_cells(data, view, k), _method(data, state, view, k)
    if method["name"] == "given":
        total = int(data.labels.max()) + 1
        return data.labels[cells], lambda level: palette.partition_color((0, level, 0, 0), (1, total, 1, 1))
    block = geometry.block_of(method, data.cube, data.groups(state))
    grid = [n // b for n, b in zip(data.cube, block, strict=True)]
    numbers = np.ravel_multi_index(np.broadcast_arrays(*(i // b for i, b in zip(cells, block, strict=True))), grid)
    return numbers, lambda level: palette.partition_color([int(i) for i in np.unravel_index(level, grid)], grid)


def _values(data: Data, state: State, view: View, k: int) -> Levels:
    """The mean of each drawn cell, normalized if asked for."""
    low, high = data.scene["colors"]
    field = data.field
    if state["color"] == "normalized":
        low, high = -3.0, 3.0
        field = data.normalized(_method(data, state, view, k), state)
    if view.is_paper:
        drawn = _folded(data, view, field)
    else:
        one = field[view.solids[k]][None]
        drawn = means(one, data.bins if data.values is not None else (1, 1, 1, 1))[0]
    return palette.levels(drawn, low, high), palette.level_color


def _folded(data: Data, view: View, field: np.ndarray) -> np.ndarray:
    """The drawn cells (Y, Z, X) of the classical figure, where H and W are one axis."""
    n, c, *_ = field.shape
    flat = field.reshape(n, c, 1, -1)
    if data.values is not None:
        return means(flat, (view.bins[1], view.bins[0], 1, view.bins[2]))[:, :, 0].transpose(0, 2, 1)
    # Coarse means are divided like the axis itself; there may be fewer of them than there are drawn cells.
    flat = means(flat, (view.bins[1], 1, 1, 1))[:, :, 0]
    drawn, length = -(-view.cells[2] // view.bins[2]), flat.shape[2]
    parts = [(i * length // drawn, max((i + 1) * length // drawn, i * length // drawn + 1)) for i in range(drawn)]
    return np.stack([flat[:, :, first:stop].mean(axis=2) for first, stop in parts], axis=1)


def _face(frame: Frame, view: View, k: int, face: str, flat: np.ndarray, color_of: Callable[[int], palette.Rgb]) -> str:
    """A face as a group in its own coordinates, one path for each colour."""
    x, y, z = view.cells
    u, v = {"top": (0, 1), "front": (0, 2), "side": (1, 2)}[face]
    corner = (x if face == "side" else 0, 0, 0)
    along, down = ([i + (axis == each) for each, i in enumerate(corner)] for axis in (u, v))
    origin = frame.project(k, *corner)
    steps = [[b - a for a, b in zip(origin, frame.project(k, *to), strict=True)] for to in (along, down)]
    matrix = " ".join(f"{value:.4g}" for step in steps for value in step) + " " + " ".join(number(p) for p in origin)
    cells, bins = (x, y, z), view.bins
    paths: dict[int, list[str]] = {}
    for level, row, first, rows, columns in rectangles(flat):
        left, top = first * bins[u], row * bins[v]
        right, bottom = min((first + columns) * bins[u], cells[u]), min((row + rows) * bins[v], cells[v])
        paths.setdefault(level, []).append(f"M{left} {top}H{right}V{bottom}H{left}")
    fills = [(palette.toned(color_of(level), face), "".join(parts)) for level, parts in sorted(paths.items())]
    inside = "".join(f'<path fill="{fill}" d="{d}"/>' for fill, d in fills)
    return f'<g transform="matrix({matrix})">{inside}</g>'


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


def set_numbers(data: Data, state: State, view: View, frame: Frame) -> Iterator[str]:
    """The number of each set, on a face of it where there is room."""
    texts = []
    for k in range(len(view.solids)):
        method = _method(data, state, view, k)
        if method["name"] == "given":
            continue
        block = geometry.block_of(method, data.cube, data.groups(state))
        grid = [n // b for n, b in zip(data.cube, block, strict=True)]
        n, c, h, w = block
        steps = (w, c, h) if not view.is_paper else (c, n, view.cells[2] if method["spatial"] == "all" else 1)
        sets = View(view.name, view.solids, view.cells, view.lengths, steps, view.margin)
        for box in surface(sets):
            seen = geometry.visible_faces(frame, k, box)
            quad = next((seen[face] for face in ("front", "top", "side") if face in seen and roomy(seen[face])), None)
            if quad:
                left, front, z = (r[0] for r in box)
                rows = front, left, z // data.cube[3], z % data.cube[3]
                cell = rows if view.is_paper else (view.solids[k], front, z, left)
                at = np.ravel_multi_index([i // b for i, b in zip(cell, block, strict=True)], grid)
                x, y = middle(quad)
                texts.append(f'<text x="{number(x)}" y="{number(y + 3.8)}">{at}</text>')
    if texts:
        # A light halo keeps the numbers legible on every hue.
        halo = 'paint-order="stroke" stroke="#fff" stroke-opacity=".75" stroke-width="2.5" stroke-linejoin="round"'
        yield f'<g font-size="11" font-weight="600" text-anchor="middle" fill="#14181f" {halo}>{"".join(texts)}</g>'


def roomy(quad: Sequence[Point]) -> bool:
    """Room for a number: at least 12 by 18 pixels across the middle of the face."""
    a, b, c, e = quad
    cross = abs((b[0] - a[0]) * (e[1] - a[1]) - (b[1] - a[1]) * (e[0] - a[0]))
    one = math.dist(middle([a, e]), middle([b, c]))
    two = math.dist(middle([a, b]), middle([e, c]))
    return min(cross / one, cross / two) >= 12 and max(one, two) >= 18


def marked_cells(data: Data, view: View, frame: Frame) -> str:
    """Crosses on the drawn cells that are marked."""
    parts = []
    for k, n in enumerate(view.solids):
        for box in surface(view):
            (x0, x1), (y0, y1), (z0, z1) = box
            if data.marks[n, y0:y1, z0:z1, x0:x1].any():
                for quad in geometry.visible_faces(frame, k, box).values():
                    parts.append(polygon(quad) + segments([(quad[0], quad[2]), (quad[1], quad[3])]))
    return "".join(parts)
