"""SVG elements: numbers, paths and texts, in colours that may follow the reader's theme."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import accumulate, pairwise, takewhile

from normviz.explorer.constants import DARK, LIGHT
from normviz.explorer.svg.geometry import Point

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

SERIF = "Georgia,'Times New Roman',serif"
"""For the letters of formulas."""


def number(value: float) -> str:
    """A number of pixels, to a tenth, rounded as Math.round in the page."""
    return f"{math.floor(10 * value + 0.5) / 10:g}"


def _line(points: Iterable[Point]) -> str:
    # Relative coordinates are shorter; the absolute ones are rounded, so that errors do not add up.
    rounded = [(math.floor(10 * x + 0.5), math.floor(10 * y + 0.5)) for x, y in points]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(rounded)]
    start = " ".join(f"{v / 10:g}" for v in rounded[0])
    return f"M{start}l" + " ".join(f"{dx / 10:g} {dy / 10:g}" for dx, dy in steps)


def polygons(quads: Iterable[Sequence[Point]]) -> str:
    """A path of closed polygons."""
    return "".join(f"{_line(points)}z" for points in quads).replace(" -", "-")


def segments(lines: Iterable[tuple[Point, Point]]) -> str:
    """A path of single lines."""
    return "".join(map(_line, lines)).replace(" -", "-")


THEMES = ("light", "dark", "auto")


class Pen:
    """Elements in the colours of a theme: "light", "dark", or "auto", which follows the reader's."""

    def __init__(self, theme: str) -> None:
        if theme not in THEMES:
            raise ValueError(f"theme={theme!r} is unknown; these are known: {', '.join(THEMES)}")
        self.theme = theme
        self.palette = DARK if theme == "dark" else LIGHT
        self.used: set[tuple[str, str]] = set()

    def _color(self, kind: str, name: str | None) -> str:
        return f' {kind}="{"none" if name is None else self.palette[name]}"'

    def paint(self, fill: str | None = None, stroke: str | None = None, width: float = 1) -> str:
        """Fill and stroke attributes, by the names of the palette, and the class by which the dark rules find them."""
        used = [(kind, name) for kind, name in (("fill", fill), ("stroke", stroke)) if name]
        self.used |= set(used)
        names = " ".join(f"nvp-{kind[0]}-{name}" for kind, name in used)
        text = (f' class="{names}"' if self.theme == "auto" and names else "") + self._color("fill", fill)
        return f'{text}{self._color("stroke", stroke)} stroke-width="{width:g}"' if stroke else text

    def path(self, d: str, fill: str | None = None, stroke: str | None = None, width: float = 1, more: str = "") -> str:
        """A path, or nothing where there is nothing to draw."""
        return f'<path{self.paint(fill, stroke, width)}{more} d="{d}"/>' if d else ""

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str, radius: float = 0, stroke: str | None = None
    ) -> str:
        """A box with round corners."""
        place = "".join(f' {k}="{number(v)}"' for k, v in (("x", x), ("y", y), ("width", width), ("height", height)))
        return f'<rect{place} rx="{number(radius)}"{self.paint(fill, stroke)}/>'

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 13,
        fill: str = "ink",
        anchor: str = "start",
        *,
        bold: bool = False,
        letter: str = "",
        after: str = "",
        more: str = "",
    ) -> str:
        """A text, then the letter of a formula, and the text after it."""
        attributes = f' x="{number(x)}" y="{number(y)}" font-size="{number(size)}"{self.paint(fill)}'
        attributes += f' text-anchor="{anchor}"' if anchor != "start" else ""
        attributes += ' font-weight="600"' if bold else ""
        text, letter, after = (escape(part, quote=False) for part in (text, letter, after))
        letter = f'<tspan font-family="{SERIF}" font-style="italic">{letter}</tspan>' if letter else ""
        return f"<text{attributes}{more}>{text}{letter}{after}</text>"

    def drawing(
        self,
        width: int,
        height: int,
        title: str,
        about: str,
        body: str,
        *,
        y: int | None = None,
        border: str = "",
        card: bool = True,
    ) -> str:
        """One `<svg>` element with no scripts, no ids and no references, so that any number of them fit on a page.

        The elements in `body` stand on a card, unless `card` is False. A screen reader reads the title and what the
        picture is about.
        """
        line = 0.5 if border else 0
        ground = self.rect(line, line, width - 2 * line, height - 2 * line, "page", 10, border or None) if card else ""
        dark = "".join(f".nvp-auto .nvp-{kind[0]}-{name}{{{kind}:{DARK[name]}}}" for kind, name in sorted(self.used))
        auto, at = self.theme == "auto", "" if y is None else f' y="{y}"'
        at += ' class="nvp-auto"' if auto else ""
        style = f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>" if auto else ""
        title, about = (escape(text, quote=False) for text in (title, about))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img"{at} width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="{FONT}"><title>{title}</title><desc>{about}</desc>'
            f"{style}{ground}{body}</svg>"
        )


NARROW = frozenset("iljtfrI.,:;'|!()[]{} \u0302\u202f")
WIDE = frozenset("mwMWσΣ−=+√")


def _widths(text: str) -> Iterator[float]:
    return (0.38 if c in NARROW else 0.85 if c in WIDE else 0.63 for c in text)


def width_of(text: str, size: float) -> float:
    """The approximate width of a text, in the widest of the fonts that FONT may find (DejaVu Sans)."""
    return size * sum(_widths(text))


def wrapped(text: str, size: float, room: float, most: int) -> list[str]:
    """Lines that fit; where there are too many, the last one ends with an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or width_of(longer, size) <= room:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = lines[-1].rstrip(" .,;") + " …"
            break
    return [clipped(line, size, room) for line in lines]


def clipped(text: str, size: float, room: float) -> str:
    """One line of plain text that fits, in one pass: the text may be long."""
    if width_of(text, size) <= room:
        return text
    ends = accumulate(_widths(text), initial=sum(_widths("…")))
    fitting = sum(1 for _ in takewhile(lambda end: size * end <= room, ends))
    return text[: max(fitting - 1, 0)].rstrip() + "…"
