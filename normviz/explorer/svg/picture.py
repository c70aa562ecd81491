"""The still picture: the cubes, the legend and one line of numbers, as SVG, for a paper or a slide.

It is also what a reader sees where no script runs (an untrusted notebook, a printed page, a viewer of files); there
the words of `readout.words` stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from normviz.core.methods import METHODS
from normviz.explorer.axis_names import GIVEN
from normviz.explorer.constants import CONSTANTS
from normviz.explorer.sentences import say
from normviz.explorer.svg import palette
from normviz.explorer.svg.cube import Cubes, draw, line
from normviz.explorer.svg.geometry import PAPER_METHODS, stage_of, view_of
from normviz.explorer.svg.gradient import gradient_of
from normviz.explorer.svg.readout import Readout, State, decimal, measure, name_of, status, words
from normviz.explorer.svg.writer import Pen, clipped, number, width_of, wrapped

if TYPE_CHECKING:
    from normviz.explorer.validation import Subject

WIDTH, LEAST_WIDTH, MOST_WIDTH = (CONSTANTS["still"][name] for name in ("width", "least_width", "most_width"))
EDGE, ROW, TEXT, GAP = 12, 22, 13, 18
"""Pixels: the margin, the height of a line, the size of its letters, and the room between items of the legend."""
SMALL = 11.5
"""The smallest letters, of a line that is long."""
MOST_LINES = 9
BOX = "M0 -10h12v12h-12z"
Item = tuple[float, str]
"""An item of the legend: its width in pixels, and what is drawn from (0, 0) to the right."""


@dataclass(frozen=True)
class Still:
    """A still picture, drawn.

    Attributes
    ----------
    width, height
        In pixels, without the lines of numbers.
    name, status, words
        What it shows: the method, the status line, and all of it in words.
    body, caption, pen
        Its elements, and those of the lines of numbers under it; with what they were drawn.
    alone
        Whether it is the cubes alone, on a transparent ground.
    """

    width: int
    height: int
    name: str
    status: str
    words: str
    body: str
    caption: Sequence[str]
    pen: Pen
    alone: bool = False

    def size(self, *, caption: bool = True) -> tuple[int, int]:
        """Width and height in pixels, with the lines of numbers or without."""
        return self.width, self.height + (ROW * len(self.caption) if caption else 0)

    def svg(self, *, caption: bool = True, y: int | None = None) -> str:
        """The picture, moved down by `y` pixels."""
        body = self.body + ("".join(self.caption) if caption else "")
        size = self.size(caption=caption)
        return self.pen.drawing(*size, self.name, self.words, body, y=y, card=not self.alone)


def blank(state: State) -> State:
    """The state of a prediction: the samples side by side, without a colour or a mode that shows the set."""
    return {**state, "view": "samples", "color": "set", "mode": "train", "predict": True}


@np.errstate(all="ignore")
def still(on: Subject, state: State, *, width: int = WIDTH, theme: str = "auto", alone: bool = False) -> Still:
    """Draw the still picture of a state.

    Parameters
    ----------
    on, state
        A checked tensor, and the traits: method, num_groups, index, view, color, mode. With predict the cube shows the
        cell alone, and nothing tells its set.
    width
        In pixels; the height follows.
    theme
        "light", "dark", or "auto", which follows the reader's.
    alone
        Draw the cubes alone, on a transparent ground: no title, no legend and no lines of numbers.
    """
    pen, room = Pen(theme), width - 2 * EDGE
    state = blank(state) if state.get("predict") else state
    shown, top, body = measure(on, state), EDGE, []
    if on.title and not alone:
        body.append(pen.text(EDGE, top + 14, clipped(on.title, 15, room), 15, bold=True))
        top += ROW
    cubes = Cubes(on, state, shown, stage_of(view_of(on.shape, state), room, on.shape[0]))
    body += [f'<g transform="translate({EDGE} {top})">', *draw(pen, cubes), "</g>"]
    top += round(cubes.size["height"]) + 8
    name, text, described = name_of(state), status(on, state, shown), words(on, state, shown)
    if alone:
        return Still(width, top, name, text, described, "".join(body), [], pen, alone=True)
    for row in rows(legend(pen, on, state, shown), room):
        x = EDGE + (room + GAP - sum(wide + GAP for wide, _ in row)) / 2
        for wide, item in row:
            body.append(f'<g transform="translate({number(x)} {top + 14})">{item}</g>')
            x += wide + GAP
        top += ROW
    lines, size = numbers(text, room)
    caption = [pen.text(width / 2, top + 14 + ROW * k, line, size, anchor="middle") for k, line in enumerate(lines)]
    return Still(width, top + EDGE // 2, name, text, described, "".join(body), caption, pen)


def numbers(text: str, room: float) -> tuple[list[str], float]:
    """The status line in one line, or in a few lines of about equal length, and the size of its letters."""
    size = TEXT * room / width_of(text, TEXT)
    if size >= SMALL:
        return [text], min(size, TEXT)
    every = [wrapped(text, TEXT, room * share, MOST_LINES) for share in (0.6, 0.7, 0.8, 0.9, 1)]
    return next(lines for lines in every if len(lines) == len(every[-1])), TEXT


def stacked(stills: Sequence[Still], *, caption: bool = True) -> str:
    """Several still pictures, one below the other; of one alone, as it is."""
    if len(stills) == 1:
        return stills[0].svg(caption=caption)
    width, height = stacked_size(stills, caption=caption)
    inner, y = [], 0
    for each in stills:
        inner.append(each.svg(caption=caption, y=y))
        y += each.size(caption=caption)[1]
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(inner)}</svg>'


def stacked_size(stills: Sequence[Still], *, caption: bool = True) -> tuple[int, int]:
    """Width and height in pixels of `stacked`."""
    widths, heights = zip(*(each.size(caption=caption) for each in stills), strict=True)
    return max(widths), sum(heights)


# ---- the legend ------------------------------------------------------------------------------------------------------


def rows(items: Iterable[Item], room: float) -> list[list[Item]]:
    """The items of the legend in lines that fit."""
    lines: list[list[Item]] = [[]]
    for item in items:
        if lines[-1] and sum(wide + GAP for wide, _ in lines[-1]) + item[0] > room:
            lines.append([])
        lines[-1].append(item)
    return lines


def legend(pen: Pen, on: Subject, state: State, shown: Readout) -> Iterator[Item]:
    """The items of the legend."""
    color, outlined = state["color"], state["color"] != "set"

    def item(box: str, label: str) -> Item:
        return 18 + width_of(label, TEXT), box + pen.text(18, 0, label, TEXT, "muted")

    if color == "partition":
        hues = enumerate(map(palette.hexed, palette.HUES[:3]))
        colors = "".join(f'<path fill="{hue}" d="M{4 * k} -10h4v12h-4z"/>' for k, hue in hues)
        yield item(colors + pen.path(BOX, stroke="edge"), say("controls.legend-partition"))
    elif outlined:
        yield from scale(pen, on, state, shown)
    if not (shown.evaluating or state.get("predict") or color == "partition"):
        box = pen.path(BOX, stroke="set-front") if outlined else pen.path(BOX, "set-front", "set-edge")
        yield item(box, say("controls.legend-set"))
    ink = "edge" if color == "partition" else "cell-front"
    box = pen.path(BOX, stroke=ink) if outlined else pen.path(BOX, "cell-front", "cell-edge")
    yield item(box, say("controls.legend-cell"))
    if on.tensor.has_holes:
        yield item(line(pen, "holes", f"{BOX}l12 12", "mark"), say("controls.legend-holes"))
    if on.marks is not None and state["view"] != "paper":
        yield item(pen.path(f"{BOX}l12 12m0-12l-12 12", stroke="mark", width=1.3), say("controls.legend-marked"))


def scale(pen: Pen, on: Subject, state: State, shown: Readout) -> Iterator[Item]:
    """The colours of the values, and what their ends stand for."""
    (low, high), (least, most), notes = on.tensor.colors, on.tensor.extent, []
    if state["color"] != "value":
        (low, high), (least, most) = CONSTANTS["normalized"], (-math.inf, math.inf)
    if state["color"] == "gradient":
        # In the classical figure every cube has its ends. Given sets have no cube there, so the first cube's are told.
        paper = state["view"] == "paper"
        row = METHODS[PAPER_METHODS[0]] if paper and shown.row is GIVEN else shown.row
        end = gradient_of(on, state, shown, row).end
        low, high, notes = -end, end, [say(f"gradient.scale-{state['view']}")]
        least, most = (low, high) if shown.evaluating else (least, most)
    if low < 0 < high:
        low, high = min(low, -high), max(-low, high)
    first, last = decimal(low, 3), decimal(high, 3)
    first = say("controls.legend-low", value=first) if least < low else first
    last = say("controls.legend-high", value=last) if most > high else last
    colors, x = palette.legend(low, high), width_of(first, TEXT) + 6
    end = x + 6 * len(colors) + 6
    ramp = (f'<path fill="{color}" d="M{number(x + 6 * k)} -10h6v12h-6z"/>' for k, color in enumerate(colors))
    texts = pen.text(0, 0, first, TEXT, "muted"), pen.text(end, 0, last, TEXT, "muted")
    yield end + width_of(last, TEXT), "".join((*ramp, *texts))
    yield from ((width_of(note, TEXT), pen.text(0, 0, note, TEXT, "muted")) for note in notes)
