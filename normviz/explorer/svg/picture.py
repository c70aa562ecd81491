"""The still picture: the cube, and below it the set in words and numbers, as SVG text.

It is shown where no script runs (an untrusted notebook, a printed page, a viewer of files), so it must be complete by
itself. It is as large as the explorer, which replaces it without a jump where scripts run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from normviz.explorer.constants import LIMITS
from normviz.explorer.svg import palette, question
from normviz.explorer.svg.axis_names import axis_names, has_groups, length_names
from normviz.explorer.svg.chart import chart
from normviz.explorer.svg.cube import draw
from normviz.explorer.svg.readout import Data, Readout, State, measure, name_of, span, whole
from normviz.explorer.svg.steps import HAT, step_lines, written
from normviz.explorer.svg.writer import FONT, Pen, clipped, number, plain, width_of, wrapped

WIDTH, HEIGHT, CUBE_HEIGHT = 960, 740, 440
EDGE = 28
CUBE = {"x": 16, "y": 76, "width": 928, "height": 318}
PANEL = {"y": 438, "left": 388, "steps": 180}
THEMES = ("light", "dark", "auto")


@np.errstate(all="ignore")
def svg(data: Data, state: State, *, width: int = WIDTH, theme: str = "auto", cube_only: bool = False) -> str:
    """The still picture of a state.

    Parameters
    ----------
    data, state
        A scene, unpacked, and the traits: method, num_groups, index, step, view, color, mode. With predict the cube
        shows the cell alone, and nothing tells its set.
    width
        In pixels; the height follows.
    theme
        "light", "dark", or "auto", which follows the reader's.
    cube_only
        Leave out the panels under the cube.

    Returns
    -------
    str
        One `<svg>` element with no scripts, no ids and no references, so that any number of them fit on a page.
    """
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r} is unknown; these are known: {', '.join(THEMES)}")
    pen = Pen(theme)
    state = question.blank(state) if state.get("predict") else state
    height = CUBE_HEIGHT if cube_only else HEIGHT
    shown = measure(data, state)
    body = [
        pen.rect(0.5, 0.5, WIDTH - 1, height - 1, "page", 10, "line"),
        *_heading(pen, data, state, shown),
        f'<g transform="translate({CUBE["x"]} {CUBE["y"]})">',
        *draw(pen, data, state, shown, CUBE),
        "</g>",
        *_legend(pen, data, state, shown),
    ]
    if state.get("predict") and not cube_only:
        body += question.draw(pen, data, shown, WIDTH, HEIGHT, EDGE, PANEL["y"])
    elif not cube_only:
        body += [*_set(pen, data, state, shown), *_steps(pen, data, state, shown), *_values(pen, data, shown)]
    name = escape(name_of(data, state), quote=False)
    words = escape(question.description(data, state, shown), quote=False)
    theme_class = ' class="nvp-auto"' if theme == "auto" else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{round(width * height / WIDTH)}" '
        f'viewBox="0 0 {WIDTH} {height}"{theme_class} font-family="{FONT}"><title>{name}</title><desc>{words}</desc>'
        f"{pen.style()}{''.join(body)}</svg>"
    )


def stacked(parts: Sequence[tuple[Data, State]]) -> str:
    """The still pictures of several explorers, one below the other; of one alone, as it is."""
    drawn = [svg(data, state) for data, state in parts]
    if len(drawn) == 1:
        return drawn[0]
    inner = [text.replace("<svg ", f'<svg y="{k * HEIGHT}" ', 1) for k, text in enumerate(drawn)]
    tall = HEIGHT * len(drawn)
    size = f'width="{WIDTH}" height="{tall}" viewBox="0 0 {WIDTH} {tall}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(inner)}</svg>'


def words(data: Data, state: State) -> str:
    """The picture in words: the status line or, in a prediction, the question."""
    return question.description(data, state, measure(data, state))


def _heading(pen: Pen, data: Data, state: State, shown: Readout) -> Iterator[str]:
    row = shown.method
    name = f"{row['label']}, <i>G</i> = {state['num_groups']}" if has_groups(row) else row["label"]
    name += " (eval mode)" if shown.evaluating else ""
    yield pen.text(EDGE, 40, name, 23, bold=True)
    axes = ", ".join(length_names(data.shape, row))
    shape = ", ".join(str(length) for length in data.shape)
    yield pen.text(WIDTH - EDGE, 40, f"<i>x</i>: ({axes}) = ({shape})", 13, "muted", "end")
    room = WIDTH - 2 * EDGE
    if data.scene.get("title"):
        title = clipped(str(data.scene["title"]), 13, 300)
        yield pen.text(WIDTH - EDGE, 61, title, 13, "ink", "end", bold=True, literal=True)
        room -= 330
    yield pen.text(EDGE, 63, "".join(wrapped(_subtitle(shown, bool(state.get("predict"))), 14, room, 1)), 14, "muted")


def _subtitle(shown: Readout, predict: bool) -> str:
    if predict:
        return "Which cells share mean and variance with the cell i?"
    if shown.method["name"] == "given":
        return "Sets as given by labels."
    if shown.evaluating:
        return "Nothing is pooled: running statistics gathered in training take the place of the batch's own."
    return plain(shown.method.get("words", ""))


# ---- under the cube: the legend, and what is left out --------------------------------------------------------------


def _legend(pen: Pen, data: Data, state: State, shown: Readout) -> Iterator[str]:
    x, y = float(EDGE), PANEL["y"] - 14
    cell = f"the cell <i>i</i> = ({', '.join(str(i) for i in state['index'])})"
    items = [("cell-front", cell if _in_sight(data, state, shown) else f"{cell}, inside")]
    if not (shown.evaluating or state.get("predict")):
        name = "the set of each method" if state["view"] == "paper" else "its set <i>S</i><sub>i</sub>"
        fill = "set-front" if state["color"] == "set" else "page"
        items.insert(0, (fill, name))
    for fill, label in items:
        yield pen.rect(x, y - 10, 12, 12, fill, 2, "edge")
        yield pen.text(x + 18, y, label, 12.5)
        x += 34 + width_of(label, 12.5)
    if data.marks is not None and state["view"] != "paper":
        yield pen.path(f"M{number(x)} {y - 10}h12v12h-12zl12 12m0-12l-12 12", stroke="edge", width=1.1)
        yield pen.text(x + 18, y, "marked", 12.5)
        x += 34 + width_of("marked", 12.5)
    if state["color"] == "partition":
        yield pen.text(x, y, "colours tell sets apart, a number is the set’s label", 12.5, "muted")
    elif state["color"] != "set":
        low, high = (-3.0, 3.0) if state["color"] == "normalized" else data.scene["colors"]
        yield pen.text(x, y, f"{HAT if state['color'] == 'normalized' else '<i>x</i>'}: {written(low, 3)}", 12.5)
        x += 16 + width_of(f"x: {written(low, 3)}", 12.5)
        bound = max(abs(low), abs(high))
        ramp = palette.legend(-bound, bound) if low < 0 < high else palette.legend(low, high)
        for color in ramp:
            yield f'<path fill="{color}" d="M{number(x)} {y - 10}h6v12h-6"/>'
            x += 6
        yield pen.text(x + 6, y, written(high if not low < 0 < high else bound, 3), 12.5)
    note = "; ".join(_notes(data, state))
    if note:
        yield pen.text(EDGE, y - 22, clipped(note, 12, WIDTH - 2 * EDGE), 12, "muted")


def _in_sight(data: Data, state: State, shown: Readout) -> bool:
    """Whether the drawn cell touches a visible face: top, front or right."""
    n, c, h, w = shown.cell
    if state["view"] == "paper":
        _, bc, *_ = data.bins
        flat, size = h * data.cube[3] + w, -(-data.cube[2] * data.cube[3] // 8)
        return n < -(-data.cube[0] // 16) or flat < size or c // bc == (data.cube[1] - 1) // bc
    return c == 0 or h == 0 or w == data.cube[3] - 1


def _notes(data: Data, state: State) -> Iterator[str]:
    """Sentences on what the drawing leaves out."""
    n, _, h, w = data.cube
    paper = state["view"] == "paper"
    weights = data.method(state["method"])["axes"] == "weights"
    sizes = dict(zip(("Cin", "kH", "kW") if weights else ("c", "h", "w"), data.bins[1:], strict=True))
    if paper:
        sizes = {"c": data.bins[1], "n": -(-n // 16), "(h, w)": -(-h * w // 8)}
    per = [f"{size} {axis}" for axis, size in sizes.items() if size > 1]
    if per:
        exact = "; the numbers are exact" if data.scene["mean"] else ""
        yield f"a drawn cell stands for {' × '.join(per)}{exact}"
    if not paper and n > LIMITS["samples"]:
        first = state["index"][0] // LIMITS["samples"] * LIMITS["samples"]
        yield f"{'Cout' if weights else 'n'} = {span((first, min(first + LIMITS['samples'], n)))} of {n}"


# ---- the set -------------------------------------------------------------------------------------------------------


def _set(pen: Pen, data: Data, state: State, shown: Readout) -> Iterator[str]:
    top, width = PANEL["y"], PANEL["left"] - EDGE - 16
    yield pen.rect(EDGE - 8, top, width + 12, HEIGHT - top - 20, "card", 8)
    y = top + 27.0
    for label, text in _set_lines(data, state, shown):
        at, room = (EDGE + 120, width - 132) if label else (EDGE + 6, width - 12)
        if label:
            yield pen.text(EDGE + 6, y, label, 12, "muted")
        yield pen.text(at, y, text, fitted(text, 13.5, 10.5, room))
        y += 24
    caution = "" if shown.evaluating else plain(shown.method.get("caution", ""))
    fitting = int((HEIGHT - 28 - y) // 17)
    for line in wrapped(caution, 12, width - 10, fitting) if fitting > 0 else []:
        yield pen.text(EDGE + 6, y + 4, line, 12, "muted")
        y += 17


def _set_lines(data: Data, state: State, shown: Readout) -> Iterator[tuple[str, str]]:
    row = shown.method
    axes = axis_names(data.shape, row)
    if shown.evaluating:
        yield "", "In eval mode no set is pooled."
        yield "", f"Channel <i>c</i> = {shown.cell[1]} is normalized by its running"
        yield "", "mean and variance, whatever is in the batch."
        yield "couples samples", "<b>no</b>"
        return
    if shown.ranges is None:
        yield "", f"<i>S</i><sub>i</sub> = set {shown.label}, as given"
        yield "cells in the set", f"<b>{whole(shown.size)}</b>"
        yield "sets in all", f"<b>{whole(shown.sets)}</b>"
        return
    yield "", f"<i>S</i><sub>i</sub> = {{ <i>j</i> : {row['symbol']} }}"
    yield "", ", ".join(f"<i>{axis}</i> = {span(r)}" for axis, r in zip(axes, shown.ranges, strict=True))
    extents = [stop - start for start, stop in shown.ranges]
    product = f"{' · '.join(str(e) for e in extents)} = " if sum(e > 1 for e in extents) > 1 else ""
    yield "cells in the set", f"|<i>S</i><sub>i</sub>| = {product}<b>{whole(shown.size)}</b>"
    yield "sets in all", f"<b>{whole(shown.sets)}</b>"
    rules = [row["n"], row["c"], *[row["spatial"]] * (len(data.shape) - 2)]
    kept = [str(g) for g, rule in zip(shown.grid, rules, strict=True) if rule != "all"]
    yield "statistics’ shape", f"{row['statistics']} = <b>({', '.join(kept)}{',' if len(kept) == 1 else ''})</b>"
    yield "couples samples", couples(shown, data.shape[0])


def couples(shown: Readout, samples: int) -> str:
    """Whether the output for one sample depends on others."""
    row = shown.method
    if row["axes"] == "weights":
        return "<b>no</b> data are pooled"
    if row["n"] == "one":
        return "<b>no</b>"
    if row["n"] == "all":
        return "<b>yes</b>" if samples > 1 else "<b>yes</b>, but N = 1"
    start, stop = shown.ranges[0] if shown.ranges else (0, samples)
    return f"<b>yes</b>, the {stop - start} of a slice" if stop - start > 1 else "<b>yes</b>, but a slice has 1"


# ---- the steps -----------------------------------------------------------------------------------------------------


def _steps(pen: Pen, data: Data, state: State, shown: Readout) -> Iterator[str]:
    top, left = PANEL["y"], PANEL["left"]
    yield pen.rect(left - 8, top, WIDTH - EDGE + 8 - left + 8, PANEL["steps"], "card", 8)
    room = WIDTH - EDGE - left - 138
    for k, (name, text) in enumerate(step_lines(data, state, shown)):
        y = top + 27 + 27 * k
        if k == state.get("step", 0):
            yield pen.rect(left - 2, y - 18, WIDTH - EDGE + 4 - left, 26, "soft", 6)
        yield f'<circle cx="{left + 14}" cy="{number(y - 5)}" r="9"{pen.paint("accent")}/>'
        yield pen.text(left + 14, y - 0.8, str(k), 11.5, "page", "middle", bold=True)
        yield pen.text(left + 32, y, name, 13, "muted")
        yield pen.text(left + 138, y, text, fitted(text, 14, 9.5, room))


def fitted(text: str, size: float, least: float, room: float) -> float:
    """The size at which a text fits, at most `size` and at least `least`."""
    return size if width_of(text, size) <= room else max(least, size * room / width_of(text, size))


def _values(pen: Pen, data: Data, shown: Readout) -> Iterator[str]:
    top, left = PANEL["y"] + PANEL["steps"] + 8, PANEL["left"]
    height = HEIGHT - 20 - top
    yield pen.rect(left - 8, top, WIDTH - EDGE + 16 - left, height, "card", 8)
    yield from chart(pen, data, shown, left + 6, top + 8, WIDTH - EDGE - left - 12, height - 8)
