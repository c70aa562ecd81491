"""The cube of the still picture: faces, sets, the cell and the letters as SVG. drawCube of cube.js in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from normviz.explorer.svg import faces, geometry
from normviz.explorer.svg.axis_names import has_groups, length_names
from normviz.explorer.svg.geometry import FACES, Box, Frame
from normviz.explorer.svg.readout import Data, Shown, State
from normviz.explorer.svg.view import View, middle, surface, view_of
from normviz.explorer.svg.writer import Pen, number, polygon, segments, width_of


def draw(pen: Pen, data: Data, state: State, shown: Shown, size: Mapping[str, float]) -> Iterator[str]:
    """The SVG of the cube, in a box of `size` pixels."""
    view = view_of(data, state)
    frame = geometry.make_frame(
        view.cells, view.lengths, len(view.solids), size, geometry.ANGLES[view.name], view.margin
    )
    solids = range(len(view.solids))
    rest = [geometry.faces(frame, k, [(0, extent) for extent in view.cells]) for k in solids]
    by_set = state["color"] == "set"
    for face in FACES:
        yield pen.path("".join(polygon(quads[face]) for quads in rest), fill=f"rest-{face}")
    if not by_set:
        yield from faces.coloured(data, state, view, frame)

    boxes = [(k, box) for k in solids for box in boxes_of(data, state, shown, view, k)]
    lit = [geometry.visible_faces(frame, k, box) for k, box in boxes]
    if by_set:
        for face in FACES:
            yield pen.path("".join(polygon(seen[face]) for seen in lit if face in seen), fill=f"set-{face}")
    grid = "".join(segments(geometry.grid_lines(frame, k, view.bins)) for k in solids)
    yield pen.path(grid, stroke="grid", width=0.6, more=' stroke-opacity=".8"')
    if data.marks is not None and not view.is_paper:
        yield pen.path(faces.marked(data, view, frame), stroke="outline", width=1.1)
    edges = "".join(polygon(quad) for seen in lit for quad in seen.values())
    edge = "outline" if state["color"] == "partition" else "set-edge" if by_set else "set-front"
    yield pen.path(edges, stroke=edge, width=1.6 if by_set else 3, more=' stroke-linejoin="round"')
    outline = "".join(polygon(quads[face]) for quads in rest for face in FACES)
    yield pen.path(outline, stroke="outline", width=1.8, more=' stroke-linejoin="round"')
    if shown.box is not None:
        hidden = "".join(segments(geometry.hidden_edges(frame, k, box)) for k, box in boxes)
        yield pen.path(hidden, stroke="ghost", width=1, more=' stroke-dasharray="3 3"')
    yield from _cell(pen, data, state, shown, view, frame)
    if state["color"] == "partition":
        yield from faces.set_numbers(data, state, view, frame)
    yield from (_paper_letters if view.is_paper else _sample_letters)(pen, data, state, view, frame)


def boxes_of(data: Data, state: State, shown: Shown, view: View, k: int) -> list[Box]:
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


def _cell(pen: Pen, data: Data, state: State, shown: Shown, view: View, frame: Frame) -> Iterator[str]:
    """The picked cell, in orange; dashed where it lies inside, with a ring round it where it is small."""
    n, c, h, w = shown.cell
    z = h * data.cube[3] + w
    at = (c, n, z) if view.is_paper else (w, c, h)
    # In the classical figure H and W are one short axis: a cell is shown as the drawn cell it lies in.
    size = view.bins if view.is_paper else (1, 1, 1)
    box = [(i // b * b, min(i // b * b + b, most)) for i, b, most in zip(at, size, view.cells, strict=True)]
    for k, solid in enumerate(view.solids):
        if not view.is_paper and solid != n:
            continue
        seen = geometry.visible_faces(frame, k, box)
        for face, quad in seen.items():
            if state["color"] in ("value", "normalized"):
                yield pen.path(polygon(quad), stroke="ring", width=2.4)
            else:
                yield pen.path(polygon(quad), fill=f"cell-{face}", stroke="cell-edge", width=1.2)
        quads = seen or geometry.faces(frame, k, box)
        if not seen:
            dashed = "".join(polygon(quad) for quad in quads.values())
            yield pen.path(dashed, stroke="ring", width=1.2, more=' stroke-dasharray="2 2"')
        if not view.is_paper and (not seen or min(frame.unit[0], frame.unit[2]) * frame.scale < 8):
            x, y = middle([point for quad in quads.values() for point in quad])
            # A halo keeps the ring apart from whatever colour lies under it.
            for color, width in (("card", 4.5), ("ring", 2)):
                yield f'<circle cx="{number(x)}" cy="{number(y)}" r="8"{pen.paint(None, color, width)}/>'


def _sample_letters(pen: Pen, data: Data, state: State, view: View, frame: Frame) -> Iterator[str]:
    x, y, z = view.cells
    # Only axes that x has get a letter: (N, C) and (N, C, L) are drawn with a side that stands for nothing.
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
        # "Cout = 0" is long: it keeps clear of the letter before it.
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
