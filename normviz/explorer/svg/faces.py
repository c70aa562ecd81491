"""Faces coloured by set or by value. Each face is one matrix, so that a run of cells costs a dozen characters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.explorer.svg import geometry
from normviz.explorer.svg import palette as colours
from normviz.explorer.svg.geometry import Frame, Point
from normviz.explorer.svg.readout import Data, State, means
from normviz.explorer.svg.view import View, middle, surface
from normviz.explorer.svg.writer import number, polygon, segments

Levels = tuple[np.ndarray, Callable[[int], colours.Rgb]]
"""An array (Y, Z, X) of colour numbers, one a drawn cell, and the colour of each number."""


def coloured(data: Data, state: State, view: View, frame: Frame) -> Iterator[str]:
    """The visible faces of every solid."""
    for k in range(len(view.solids)):
        levels, color_of = (_sets if state["color"] == "partition" else _values)(data, state, view, k)
        for face, flat in (("top", levels[:, 0, :]), ("front", levels[0]), ("side", levels[:, :, -1].T)):
            yield _face(frame, view, k, face, flat, color_of)


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
        return data.labels[cells], lambda level: colours.partition_color((0, level, 0, 0), (1, total, 1, 1))
    block = geometry.block_of(method, data.cube, data.groups(state))
    grid = [n // b for n, b in zip(data.cube, block, strict=True)]
    numbers = np.ravel_multi_index(np.broadcast_arrays(*(i // b for i, b in zip(cells, block, strict=True))), grid)
    return numbers, lambda level: colours.partition_color([int(i) for i in np.unravel_index(level, grid)], grid)


def _values(data: Data, state: State, view: View, k: int) -> Levels:
    """The mean of each drawn cell, as it is or normalized."""
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
    return colours.levels(drawn, low, high), colours.level_color


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


def _face(frame: Frame, view: View, k: int, face: str, flat: np.ndarray, color_of: Callable[[int], colours.Rgb]) -> str:
    """A face as a group in its own coordinates, one path for each colour."""
    x, y, z = view.cells
    corner, along, down = {
        "top": ((0, 0, 0), (1, 0, 0), (0, 1, 0)),
        "front": ((0, 0, 0), (1, 0, 0), (0, 0, 1)),
        "side": ((x, 0, 0), (x, 1, 0), (x, 0, 1)),
    }[face]
    u, v = {"top": (0, 1), "front": (0, 2), "side": (1, 2)}[face]
    origin = frame.project(k, *corner)
    steps = [[b - a for a, b in zip(origin, frame.project(k, *to), strict=True)] for to in (along, down)]
    matrix = " ".join(f"{value:.4g}" for step in steps for value in step) + " " + " ".join(number(p) for p in origin)
    cells, bins = (x, y, z), view.bins
    paths: dict[int, list[str]] = {}
    for level, row, first, rows, columns in rectangles(flat):
        left, top = first * bins[u], row * bins[v]
        right, bottom = min((first + columns) * bins[u], cells[u]), min((row + rows) * bins[v], cells[v])
        paths.setdefault(level, []).append(f"M{left} {top}H{right}V{bottom}H{left}")
    inside = "".join(
        f'<path fill="{colours.toned(color_of(level), face)}" d="{"".join(parts)}"/>'
        for level, parts in sorted(paths.items())
    )
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
                first = [r[0] for r in box]
                z = first[2]
                cell = (
                    (first[1], first[0], z // data.cube[3], z % data.cube[3])
                    if view.is_paper
                    else (view.solids[k], first[1], z, first[0])
                )
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


def marked(data: Data, view: View, frame: Frame) -> str:
    """Crosses on the drawn cells that are marked."""
    parts = []
    for k, n in enumerate(view.solids):
        for box in surface(view):
            (x0, x1), (y0, y1), (z0, z1) = box
            if data.marks[n, y0:y1, z0:z1, x0:x1].any():
                for quad in geometry.visible_faces(frame, k, box).values():
                    parts.append(polygon(quad) + segments([(quad[0], quad[2]), (quad[1], quad[3])]))
    return "".join(parts)
