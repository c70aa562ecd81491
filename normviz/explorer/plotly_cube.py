"""The cube as a plotly Figure, with plotly's own buttons and slider, which work without a kernel.

A plotly button carries the values that it sets, so every state that can be reached is computed here once: the places of
the lit boxes, and the title.
"""

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.array_kinds import host
from normviz.core.errors import brief, check_keywords
from normviz.core.methods import METHODS, find
from normviz.core.pooling import Pooling, canonical, check_cell, divisors, fitting_num_groups, pooling
from normviz.explorer import plotly_meshes
from normviz.explorer.constants import LIGHT
from normviz.explorer.plotly_figure import WIDTH, Figure, plain
from normviz.explorer.plotly_meshes import Drawing
from normviz.explorer.sentences import say
from normviz.explorer.svg.readout import enumerated, span

TITLE, LINE, SLIDER = 104, 18, 120
"""Pixels: above the picture for title and buttons, for each line under the title, below the picture for the slider."""
TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"
LETTER = 6.6
"""Pixels: an upper bound of the average width of a letter in a line under the title."""
NARROW, BESIDE = 760, 520
"""Pixels: where a figure is too narrow for buttons, so that one menu has all methods; where the second menu begins."""
MOST_WIDTH = 100_000
"""Pixels."""
MAIN = 4
"""Methods with a button of their own; their relatives are in a menu beside them."""
ENDS = ((0, "left", "layer"), (1, "right", "instance"))
"""The methods whose statistics Group Norm has at the ends of the slider."""


@check_keywords
def cube(
    x: Any,
    method: str = "group",
    num_groups: int | None = None,
    *,
    index: Iterable[int] | None = None,
    channel_axis: int = 1,
    width: int = WIDTH,
) -> go.Figure:
    """Draw one cube for each sample of x, with the pooling set of one cell lit, as a plotly Figure.

    Buttons and a menu choose the method, a slider G; moving it selects Group Norm. Colours of text and background come
    from plotly's template: `figure.update_layout(template="plotly_dark")` suits a dark page.

    Parameters
    ----------
    x
        Shape (N, C, *spatial) with 0 to 3 spatial axes; only the shape is drawn, with the places, sizes and angles of
        the explorer. Axes longer than 32 are drawn aggregated, and of more than 8 samples the block of 8 that holds
        the cell; the title says so.
    method
        A key of METHODS. For "weight_norm" and "weight_standardization" x stands for weights, (Cout, Cin, *kernel).
    num_groups
        G of Group Norm; None takes the largest divisor of C that is at most 4. For Ghost Batch Norm the number of
        slices of the batch, a divisor of N. With another method it is an error.
    index
        The cell, (n, c, *spatial) whatever `channel_axis` is; None takes the first.
    channel_axis
        Where C is in x.
    width
        Pixels; 320 to 100,000.

    Raises
    ------
    ValueError, TypeError, IndexError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> import normviz as nv
    >>> figure = nv.cube(nv.samples.activations(), "group", num_groups=4)
    >>> figure.layout.title.text
    '<b>Group Norm</b>, G = 4'
    """
    shape = canonical(host(x), channel_axis).shape
    if num_groups is None and find(method).has_groups:
        num_groups = fitting_num_groups(find(method), shape)
    now = pooling(method, shape, num_groups)
    number = isinstance(width, (int, float, np.integer, np.floating)) and not isinstance(width, bool)
    if not number or not 320 <= width <= MOST_WIDTH:
        raise ValueError(f"width must be a number of pixels from 320 to {MOST_WIDTH}, not {brief(width)}")
    cell = (0,) * len(shape) if index is None else check_cell(index, shape)
    on = plotly_meshes.place(shape, cell, width)
    rest = {**plotly_meshes.mesh(on), "name": say("cube.hover-others")}
    data = [rest, plotly_meshes.mesh(on, now), plotly_meshes.grid(on), plotly_meshes.outline(on)]
    figure = Figure(data, layout(on, now))
    # What a button would do.
    changed, shown = state(on, now)
    figure.data[1].update({key: value for key, (value,) in changed.items()})
    for path, value in shown.items():
        figure.layout[path] = value
    figure.layout.meta = {"alt": plain(shown["title.subtitle.text"])}
    return figure


def state(on: Drawing, now: Pooling) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what changes with the method and G: in the mesh of the set, and in the layout."""
    row, C = METHODS[now.method], now.shape[1]
    changed = {**plotly_meshes.box_corners(on, now), "name": say("cube.hover-set", method=row.label, size=now.size)}
    title, subtitle = texts(on, now)
    shown: dict[str, Any] = {"title.text": title, "title.subtitle.text": subtitle}
    for k, each in enumerate(plotly_meshes.labels(on, row)):
        shown[f"scene.annotations[{k}].text"] = each["text"]
    for m, names in enumerate(menus(on)):
        # For a method of the other menu: the first entry, or none of the buttons.
        other = 0 if None in names else -1
        shown[f"updatemenus[{m}].active"] = names.index(now.method) if now.method in names else other
    for k, main in enumerate(list(METHODS)[:MAIN] if on.width >= NARROW else []):
        shown[f"updatemenus[0].buttons[{k}].label"] = label(main, now, dot=True)
    if C > 1:
        # Layer and Instance Norm stand at the ends of the slider, the others leave it where it is.
        ends = {"layer": 1, "instance": C, "group": now.num_groups}
        if now.method in ends:
            shown["sliders[0].active"] = divisors(C).index(ends[now.method])
        shown["sliders[0].currentvalue.prefix"] = prefix(now.method)
    return {key: [value] for key, value in changed.items()}, shown


def menus(on: Drawing) -> list[list[str | None]]:
    """Return the names of the methods in each menu; None stands for the entry that opens it."""
    every: list[str | None] = list(METHODS)
    return [every[:MAIN], [None, *every[MAIN:]]] if on.width >= NARROW else [every]


def texts(on: Drawing, now: Pooling) -> tuple[str, str]:
    """Return the title and the lines under it: the lit set, and what the drawing leaves out."""
    row, title = METHODS[now.method], f"<b>{METHODS[now.method].label}</b>"
    said = {
        "cell": say("common.cell", index=", ".join(map(str, on.cell))),
        "which": say("cube.one-of", count=now.count) if now.count > 1 else say("cube.only"),
        "block": TIMES.join(map(str, now.block)),
        "share": say("cube.share") if row.centered else say("cube.share-uncentered", statistic=row.statistic),
    }
    lines = [say("cube.set", size=now.size, **said)]
    drawn, count = on.view.solids, on.shape[0]
    if len(drawn) < count:
        what = "filters" if row.axes == "weights" else "samples"
        ends = (drawn[0], drawn[-1] + 1)
        lines.append(say(f"aggregation.shown-{what}", range=span(ends), drawn=len(drawn), count=count))
    sizes = zip(np.roll(on.view.bins, -1), plotly_meshes.letters(on.shape, row)[1:], strict=True)
    folded = [say("aggregation.cells-along", size=size, axis=name) for size, name in sizes if size > 1]
    if folded:
        lines.append(say("aggregation.cell", cells=enumerated(folded)))
    most = int((on.width - 28) / LETTER)
    title = say("common.named", method=title, G=now.num_groups) if row.has_groups else title
    return title, "<br>".join(part for line in lines for part in wrap(line, most))


def prefix(method: str) -> str:
    """Return the text before the number at the slider."""
    row = METHODS[method]
    if method == "group":
        return say("cube.slider")
    at_end = method in [name for *_, name in ENDS]
    kind = "end" if at_end else {"group": "batch"}.get(row.n, "heads" if row.c == "group" else "no-groups")
    return say(f"cube.slider-{kind}", method=row.label)


def label(method: str, now: Pooling, *, dot: bool) -> str:
    """Return the label of a method; on a button with a dot, so that not only colour shows which one is chosen."""
    # Layer Norm's label has its axes, because a transformer's layer norm pools other ones.
    axes = ", ".join(filter(None, plotly_meshes.letters(now.shape, METHODS[method])[1:]))
    pools = f" ({axes})" if method == "layer" else ""
    return f"{('● ' if method == now.method else '○ ') if dot else ''}{METHODS[method].label}{pools}"


def layout(on: Drawing, now: Pooling) -> dict[str, Any]:
    """Return what stays in every state: camera, buttons and slider, and room for the longest text under the title.

    The colours of text and background are left to the template.
    """
    shape, C, wide = now.shape, now.shape[1], on.width >= NARROW
    groups = {row.name: fitting_num_groups(row, shape) if row.has_groups else None for row in METHODS.values()}
    sets = {name: pooling(name, shape, G) for name, G in groups.items()} | {now.method: now}
    steps = {str(G): pooling("group", shape, G) for G in divisors(C)}
    lines = 1 + max(texts(on, to)[1].count("<br>") for to in (*sets.values(), *steps.values()))
    above, below = TITLE + LINE * lines, SLIDER if C > 1 else 30

    def item(text: str, to: Pooling) -> dict[str, Any]:
        return {"label": text, "method": "update", "args": [*state(on, to), [1]]}

    # plotly paints the pressed button almost white in every template, so the text on it has to be dark.
    look = {"font": {"size": 12, "color": LIGHT["edge"]}, "bgcolor": "#e3e8ee", "bordercolor": "#8a94a3"}
    look |= {"xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"l": 12, "b": 2, "t": 0}}
    controls: dict[str, Any] = {"updatemenus": []}
    for m, names in enumerate(menus(on)):
        row = wide and m == 0
        buttons = [item(label(name, now, dot=row), sets[name]) for name in names if name]
        if None in names:
            buttons.insert(0, {"label": say("cube.more"), "method": "skip"})
        kind = {"type": "buttons", "direction": "right"} if row else {"type": "dropdown", "direction": "down"}
        kind |= {"name": say("cube.more") if m else say("cube.methods"), "x": BESIDE / on.width if m else 0}
        controls["updatemenus"].append({**look, **kind, "buttons": buttons})
    if C > 1:
        place = {"pad": {"l": 14, "r": 14, "t": 4, "b": 0}, "currentvalue": {"font": {"size": 14}, "xanchor": "left"}}
        chosen = divisors(C).index(groups["group"])
        controls["sliders"] = [{**place, "active": chosen, "steps": [item(G, to) for G, to in steps.items()]}]
        under = {"xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": 12}}
        under |= {"y": 0, "yshift": -84, "yanchor": "top"}
        ends = [(x, side, say("controls.end", method=METHODS[name].label)) for x, side, name in ENDS]
        controls["annotations"] = [
            {**under, "text": text, "x": x, "xanchor": side, "xshift": 14 - 28 * x} for x, side, text in ends
        ]
    corner = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"}
    return {
        "width": on.width,
        "height": above + on.height + below,
        "margin": {"l": 0, "r": 0, "t": above, "b": below},
        "title": {**corner, "pad": {"l": 14, "t": 12}, "subtitle": {"font": {"size": 13}}},
        "showlegend": False,
        "scene": plotly_meshes.scene(on, METHODS[now.method]),
        "uirevision": "cube",
        **controls,
    }
