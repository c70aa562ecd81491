"""The two views: which solids are drawn, and how they stand for cells. viewOf of cube.js in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normviz.explorer.svg import geometry
from normviz.explorer.svg.geometry import Box, Point
from normviz.explorer.svg.readout import Data, State

MOST_SAMPLES = 8
PAPER_METHODS = ("batch", "layer", "instance", "group")


@dataclass(frozen=True)
class View:
    """Solids, and how they stand for cells of the cube (n, c, h, w).

    Attributes
    ----------
    solids
        Sample numbers, or the names of methods in the classical figure.
    cells, lengths, bins
        Along X, Y, Z: cells, drawn lengths, and cells to one drawn cell.
    margin
        Room round the solids, in pixels.
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

    def box(self, block: Box, method: Mapping[str, Any], width: int) -> list[tuple[int, int]]:
        """A block of (n, c, h, w) as a box of (X, Y, Z)."""
        n, c, h, w = block
        if not self.is_paper:
            return [w, c, h]
        z = h[0] * width + w[0]
        return [c, n, (0, self.cells[2]) if method["spatial"] == "all" else (z, z + 1)]


def view_of(data: Data, state: State) -> View:
    """The view that a state asks for."""
    n, c, h, w = data.cube
    _, bc, bh, bw = data.bins
    if state["view"] == "paper":
        extra = () if state["method"] in (*PAPER_METHODS, "given") else (state["method"],)
        solids = [name for name in (*PAPER_METHODS, *extra) if name in data.methods]
        margin = {"left": 34, "right": 12, "top": 30, "bottom": 26, "gap": 30, "most": 34}
        bins = (bc, -(-n // 16), -(-h * w // 8))
        return View("paper", solids, (c, n, h * w), geometry.paper_lengths(data.cube), bins, margin)
    first = state["index"][0] // MOST_SAMPLES * MOST_SAMPLES
    margin = {"left": 46, "right": 14, "top": 14, "bottom": 40, "gap": 18, "most": max(30, 150 / max(h, w))}
    solids = range(first, min(first + MOST_SAMPLES, n))
    return View("samples", solids, (w, c, h), geometry.sample_lengths(data.cube), (bw, bc, bh), margin)


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
