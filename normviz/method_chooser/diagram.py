"""The decision tree of the chooser as a still picture, to print and for pages without scripts.

The questions that lead to images stand one below the other on the left, those that branch off stand beside them, and on
the right stands the advice with its pooling sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from normviz.explorer.sentences import say
from normviz.explorer.svg import geometry
from normviz.explorer.svg.geometry import FACES
from normviz.explorer.svg.writer import Pen, number, polygons, width_of, wrapped
from normviz.method_chooser.content import ADVICE, FIRST, QUESTIONS, Drawn, Option, Question

WIDTH, HEIGHT = 960, 1222
TRUNK = ("data", "erase", "pretrained", "samples")
"""The questions in the left column: an answer to each leads to the next. All other questions branch off."""
COLUMNS = {"trunk": (28, 252), "branch": (342, 236), "leaf": (638, 294)}
"""Left edge and width of each column in pixels."""
TOP, ROW, LEAF = 108, 52, 44
HEAD, LINE, FOOT = 34, 23, 8
"""Heights in a box in pixels: its question, each answer, and the margin below."""
THUMB = (100, 36)
KINDS = ("", "set-")
DOWN = 20
"""Distance from the left edge of a box to the line that leads down to the next box."""


class Place(NamedTuple):
    """The box of a question, in pixels."""

    x: float
    y: float
    width: float
    height: float

    def line(self, k: int) -> float:
        """Return the vertical middle of answer k."""
        return self.y + HEAD + LINE * (k + 0.5)


def description() -> str:
    """Return the picture in words."""
    first = QUESTIONS[FIRST].text
    return say("diagram.description", questions=len(QUESTIONS), advice=len(ADVICE), first=first)


def tree(pen: Pen, title: str, answers: Mapping[str, str]) -> Iterator[str]:
    """Yield the elements of the whole tree, with the path of the answers in colour."""
    boxes, ends = places(), leaves()
    yield pen.text(28, 42, title, 23, bold=True)
    yield from lines(pen, say("diagram.intro"), 28, 67, WIDTH - 56, 13)
    # The chosen lines lie above the others.
    for chosen in (False, True):
        for key, row in QUESTIONS.items():
            for k, option in enumerate(rows_of(row)):
                if (answers.get(key) == option.key) == chosen:
                    yield _edge(pen, boxes, ends, key, k, chosen)
    for key, row in QUESTIONS.items():
        yield from _box(pen, row, boxes[key], answers.get(key))
    last = list(answers)[-1] if answers else None
    paths = dict.fromkeys((kind + face for kind in KINDS for face in FACES), "")
    for (source, key), y in ends.items():
        chosen = source == last and QUESTIONS[source].option(answers[source]).to == key
        yield from _leaf(pen, key, y, chosen)
        drawn = ADVICE[key].drawn
        samples, width = 4 if len(drawn) == 1 else 2, THUMB[0] / len(drawn)
        for k, one in enumerate(drawn):
            left = COLUMNS["leaf"][0] + 6 + width * k
            for fill, d in thumb(one, samples, left, y - THUMB[1] / 2, width):
                paths[fill] += d
    # All small cubes are one path per tone: a tenth of the bytes of one path per cube.
    yield f'<g{pen.paint(None, "edge", 0.7)} stroke-linejoin="round">'
    for fill, d in paths.items():
        yield pen.path(d, fill)
    yield "</g>"
    x, y, width, height = boxes["samples"]
    yield from lines(pen, QUESTIONS["samples"].note, x + 2, y + height + 24, width - 4, 12)


def rows_of(row: Question) -> list[Option]:
    """Return the answers as the picture has them: one that leads down comes last, so that its line crosses no other."""
    return sorted(row.options, key=lambda option: row.key in TRUNK and option.to in TRUNK)


def lines(pen: Pen, text: str, x: float, y: float, room: float, size: float) -> Iterator[str]:
    """Yield the lines of a paragraph."""
    for k, line in enumerate(wrapped(text, size, room, 12)):
        yield pen.text(x, y + size * 1.42 * k, line, size, "muted")


def leaves() -> dict[tuple[str, str], float]:
    """Return the vertical middle of each advice, keyed by the question that leads to it and the advice."""
    found: dict[tuple[str, str], None] = {}

    def walk(key: str) -> None:
        for option in rows_of(QUESTIONS[key]):
            if option.to in ADVICE:
                found[key, option.to] = None
            elif all(source != option.to for source, _ in found):
                walk(option.to)

    walk(FIRST)
    return {end: TOP + ROW * (k + 0.5) for k, end in enumerate(found)}


def places() -> dict[str, Place]:
    """Return the box of each question: beside the advice that it leads to, and below the box before it."""
    ends, boxes, below = leaves(), {}, 0.0
    for key, row in QUESTIONS.items():
        height = HEAD + LINE * len(row.options) + FOOT
        around = [key] + [option.to for option in row.options if option.to not in TRUNK]
        if key in TRUNK:
            x, width = COLUMNS["trunk"]
            top = min(y for (source, _), y in ends.items() if source in around)
            boxes[key] = Place(x, max(top - LEAF / 2, below), width, height)
            below = boxes[key].y + height + 26
        else:
            x, width = COLUMNS["branch"]
            mine = [y for (source, _), y in ends.items() if source == key]
            boxes[key] = Place(x, (mine[0] + mine[-1] - height) / 2, width, height)
    return boxes


def _edge(
    pen: Pen, boxes: Mapping[str, Place], ends: Mapping[tuple[str, str], float], key: str, k: int, chosen: bool
) -> str:
    """Return the line from answer k to the box that it leads to."""
    at, to = boxes[key], rows_of(QUESTIONS[key])[k].to
    color, width = ("accent", 2.6) if chosen else ("muted", 1.1)
    if key in TRUNK and to in TRUNK:
        x = at.x + DOWN
        return pen.path(f"M{number(x)} {number(at.line(k))}V{number(boxes[to].y)}", None, color, width)
    x, y = at.x + at.width, at.line(k)
    box = boxes.get(to)
    end_x, end_y = (box.x, box.y + HEAD / 2) if box else (COLUMNS["leaf"][0], ends[key, to])
    turn = x + 62 if key in TRUNK else end_x
    bend = (turn - x) / 2
    points = ((x + bend, y), (x + bend, end_y), (turn, end_y))
    curve = f"M{number(x)} {number(y)}C" + " ".join(f"{number(px)} {number(py)}" for px, py in points)
    return pen.path(f"{curve}H{number(end_x)}", None, color, width)


def _box(pen: Pen, row: Question, at: Place, answer: str | None) -> Iterator[str]:
    yield pen.rect(at.x, at.y, at.width, at.height, "card", 8, "accent" if answer else "line")
    size = min(14.0, 14 * (at.width - 24) / width_of(row.short, 14.6))
    yield pen.text(at.x + 12, at.y + 23, row.short, size, bold=True)
    for k, option in enumerate(rows_of(row)):
        y, chosen = at.line(k), option.key == answer
        down = row.key in TRUNK and option.to in TRUNK
        if chosen:
            yield pen.rect(at.x + 6, y - LINE / 2 + 1, at.width - 12, LINE - 2, "soft", 5)
        # The dot marks the start of the line: on the right, or on the left if the line leads down.
        dot = at.x + (DOWN if down else at.width)
        yield f'<circle cx="{number(dot)}" cy="{number(y)}" r="3.5"{pen.paint("accent" if chosen else "muted")}/>'
        label = f"✓ {option.label}" if chosen else option.label
        yield pen.text(at.x + (DOWN + 10 if down else 12), y + 4.3, label, 12.5, bold=chosen)


def _leaf(pen: Pen, key: str, middle: float, chosen: bool) -> Iterator[str]:
    (x, width), row = COLUMNS["leaf"], ADVICE[key]
    yield pen.rect(x, middle - LEAF / 2, width, LEAF, "soft" if chosen else "page", 8, "accent" if chosen else "line")
    left = THUMB[0] + 12
    # `wrapped` measures letters of normal weight; bold ones are wider.
    name = wrapped(f"✓ {row.label}" if chosen else row.label, 12 * 1.09, width - left - 4, 2)
    for k, text in enumerate(name):
        yield pen.text(x + left, middle + 4.4 + 16 * (k - (len(name) - 1) / 2), text, 12, bold=True)


def thumb(one: Drawn, samples: int, left: float, top: float, width: float) -> Iterator[tuple[str, str]]:
    """Yield a small picture of a set: the fill of each kind of face, and its path."""
    cube = geometry.cube_shape((samples, *one.shape[1:]))
    margin = {"left": 2, "right": 2, "top": 1, "bottom": 1, "gap": 0, "most": 99}
    size = {"width": width / samples, "height": THUMB[1]}
    view = replace(geometry.view_of(cube, {"view": "samples", "index": (0,)}), solids=[0], margin=margin)
    alone = geometry.make_frame(view, size)
    x, y = alone.origins[0]
    # All samples stand in one row.
    frame = replace(alone, origins=[(left + x + k * size["width"], top + y) for k in range(samples)])
    # Of a visible cell, on the front of a sample in the middle.
    cell = [0 if axis == 1 else length // 2 for axis, length in enumerate(cube)]
    n, c, h, w = geometry.ranges_of(geometry.sets_of(one.method, cube, one.num_groups), cell)
    whole = [geometry.faces(frame, k, [(0, extent) for extent in view.cells]) for k in range(samples)]
    lit = [geometry.visible_faces(frame, k, [w, c, h]) for k in (range(*n) if one.pooled else ())]
    for kind, boxes in zip(KINDS, (whole, lit), strict=True):
        for face in FACES:
            yield kind + face, polygons(quads[face] for quads in boxes if face in quads)
