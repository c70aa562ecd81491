"""Names at the right ends of lines, in their colours, moved apart where they would overlap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np

from normviz.explorer.plotly_figure import plain

NARROWEST, WIDEST, SHARE = 11, 20, 0.34
"""Letters in a line of a name: as many as fit in this share of a panel, between these two."""
LETTER, HEIGHT = 0.6, 1.25
"""Width of a bold letter and height of a line, in font sizes."""
ALIKE, SAME = 0.04, 1e-6
"""Lines that are nowhere further apart than these shares of the axis share one label: almost the same, or the same."""


@dataclass(frozen=True)
class Ends:
    """Lines of one panel that get their names at their right ends.

    Attributes
    ----------
    lines
        Indices of the traces in figure.data.
    names
        The names; None takes those of the traces.
    span
        Range of the vertical axis, log10 of the values on a logarithmic one; None takes the range that the axis has, or
        that a step gives it together with y. A lab whose buttons change the range gives it here, with a group of its
        own for the lines of each button.
    """

    lines: Sequence[int]
    names: Sequence[str] | None = None
    span: Sequence[float] | None = None


def label_ends(figure: Any, ends: Sequence[Ends], plot: tuple[float, float], size: float, right: float) -> None:
    """Add a trace of names for each group of lines, and its places to every step of the slider and the buttons.

    `plot` is the width and height of the plot of all panels, `size` the size of the font and `right` the right margin,
    all in pixels. A panel becomes narrower by the width of its names. Lines that coincide share a label, which says so.
    """
    widths: dict[str, tuple[_Panel, float]] = {}
    for group in ends:
        panel = _Panel(figure, group, plot, size)
        states = [panel.labels({}, {})]
        for step in steps_of(figure):
            traces, layout, indices = step.args
            if not set(indices) & set(group.lines):
                continue
            changed = {key: dict(zip(indices, values, strict=True)) for key, values in traces.items()}
            own: dict[str, Any] = {}
            if "y" in changed:
                own = panel.labels(changed, layout)
                states.append(own)
            if "visible" in changed:
                own["visible"] = changed["visible"].get(group.lines[0])
            # For plotly, None is no value: what the step leaves as it is must be there.
            held = {key: traces.get(key) or [_held(figure.data[k][key]) for k in indices] for key in {**traces, **own}}
            extended = {key: [*values, own.get(key)] for key, values in held.items()}
            step.args = [extended, layout, [*indices, len(figure.data)]]
        letters = max(len(line) for state in states for line in _plain_lines(state["text"]))
        axis = panel.first.xaxis or "x"
        widths[axis] = panel, max(LETTER * size * (letters + 2), widths[axis][1] if axis in widths else 0)
        place = {"xaxis": panel.first.xaxis, "yaxis": panel.first.yaxis, "visible": panel.first.visible}
        font = {"size": size}
        figure.add_scatter(
            mode="text", textposition="middle right", textfont=font, cliponaxis=False, showlegend=False,
            hoverinfo="skip", **states[0], **place,
        )  # fmt: skip
    for panel, width in widths.values():
        panel.shrink(width, right)


def _held(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, np.ndarray)) else value


def steps_of(figure: Any) -> list[Any]:
    """Return the steps of a figure's sliders, and its buttons that change traces."""
    sliders, menus = figure.layout.sliders, figure.layout.updatemenus
    every = [*(s for slider in sliders for s in slider.steps), *(b for menu in menus for b in menu.buttons)]
    return [step for step in every if step.method == "update"]


def _plain_lines(texts: Sequence[str]) -> list[str]:
    return [plain(line) for text in texts for line in text.split("<br>")]


class _Panel:
    """The panel of a group of lines."""

    def __init__(self, figure: Any, group: Ends, plot: tuple[float, float], size: float) -> None:
        self.lines, self.traces = group.lines, [figure.data[k] for k in group.lines]
        self.first, self.size, self.width = self.traces[0], size, plot[0]
        self.names = group.names or [str(trace.name) for trace in self.traces]
        self.span = group.span
        names = (f"{letter}axis{(self.first[f'{letter}axis'] or letter)[1:]}" for letter in "xy")
        self.xaxis, self.yaxis = (figure.layout[name] for name in names)
        domain = self.yaxis.domain or (0, 1)
        self.height = plot[1] * (domain[1] - domain[0])
        low, high = self.xaxis.domain or (0, 1)
        self.letters = round(min(WIDEST, max(NARROWEST, SHARE * plot[0] * (high - low) / (LETTER * size))))

    def labels(self, changed: dict[str, dict[int, Any]], layout: dict[str, Any]) -> dict[str, list]:
        """Return places and texts of the names in a state, given what a step changes: by key and trace, and layout."""
        span = self.span or layout.get(f"{self.yaxis.plotly_name}.range") or self.yaxis.range
        if span is None:
            raise ValueError("the vertical axis of lines with names at their ends needs a range")
        self.low, self.high = map(float, span)
        lines = []
        for k, trace in zip(self.lines, self.traces, strict=True):
            x, y = (_or(changed.get(key, {}).get(k), trace[key]) for key in "xy")
            good = [(a, self._share(b)) for a, b in zip(x, y, strict=True) if b is not None and math.isfinite(b)]
            lines.append([point for point in good if math.isfinite(point[1])])
        groups: list[list[int]] = []
        for k, line in enumerate(lines):
            if line:
                alike = [g for g in groups if _apart(lines[g[0]], line) < ALIKE]
                alike[0].append(k) if alike else groups.append([k])
        texts = [self._text(g, max(_apart(lines[g[0]], lines[k]) for k in g)) for g in groups]
        heights = [HEIGHT * self.size * (text.count("<br>") + 1) for text in texts]
        centres = [lines[g[0]][-1][1] * self.height for g in groups]
        x = [lines[g[0]][-1][0] for g in groups]
        y = [0.0] * len(groups)
        for end in set(x):
            here = [k for k, at in enumerate(x) if at == end]
            moved = spread([centres[k] for k in here], [heights[k] for k in here], 0, self.height)
            for k, centre in zip(here, moved, strict=True):
                y[k] = self._value(centre / self.height)
        return {"x": x, "y": y, "text": texts}

    def _text(self, members: list[int], apart: float) -> str:
        """Return the names of lines that coincide, each in the colour of its line."""
        parts = []
        for k in members:
            colour = self.traces[k].line.color or self.traces[k].marker.color
            comma = "," if k != members[-1] else ""
            for line in wrap(self.names[k] + comma, self.letters, break_long_words=False):
                parts.append(f'\u00a0\u00a0<b><span style="color:{colour}">{line}</span></b>')
        if len(members) > 1:
            note = "(the same)" if apart < SAME else "(almost the same)"
            parts += [f"\u00a0\u00a0{line}" for line in wrap(note, self.letters)]
        return "<br>".join(parts)

    def _share(self, y: float) -> float:
        if self.yaxis.type == "log":
            y = math.log10(y) if y > 0 else -math.inf
        return (y - self.low) / (self.high - self.low)

    def _value(self, share: float) -> float:
        value = self.low + share * (self.high - self.low)
        return float(f"{10**value if self.yaxis.type == 'log' else value:.4g}")

    def shrink(self, width: float, right: float) -> None:
        """Make the panel narrower, so that there are `width` pixels beside it; the right margin is room too."""
        low, high = self.xaxis.domain or (0, 1)
        free = right - 4 if high > 0.999 else 0
        self.xaxis.domain = [low, high - max(0, width - free) / self.width]


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def _apart(a: list[tuple[Any, float]], b: list[tuple[Any, float]]) -> float:
    """Return the largest distance of two lines as a share of the axis."""
    if [x for x, _ in a] != [x for x, _ in b]:
        return math.inf
    return float(np.abs(np.subtract([y for _, y in a], [y for _, y in b])).max())


def spread(centres: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Return places of labels as near to their centres as possible without overlap, from low to high where they fit.

    >>> spread([10, 11, 40], [8, 8, 8], 0, 50)
    [6.5, 14.5, 40.0]
    """
    clusters: list[tuple[list[int], float]] = []
    for k in sorted(range(len(centres)), key=lambda k: centres[k]):
        members = [k]
        while True:
            # A cluster starts where its members are moved the least, in the sum of squares.
            offsets = np.cumsum([0, *(heights[m] for m in members)])
            wanted = [centres[m] - heights[m] / 2 - at for m, at in zip(members, offsets, strict=False)]
            start = max(low, min(float(np.mean(wanted)), high - float(offsets[-1])))
            if not clusters or clusters[-1][1] + sum(heights[m] for m in clusters[-1][0]) <= start:
                break
            members = clusters.pop()[0] + members
        clusters.append((members, start))
    places = [0.0] * len(centres)
    for members, start in clusters:
        for m in members:
            places[m] = start + heights[m] / 2
            start += heights[m]
    return places
