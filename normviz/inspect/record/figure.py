"""A recording as a chart: all layers over time as a heat map, and one layer as lines; or two recordings."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.explorer.plotly_figure import Figure
from normviz.inspect.audit.tensors import MAX_NAME, short_name
from normviz.inspect.record.figure_panels import BEGINS, LEFT, PANELS, Places, axes_of, number_of
from normviz.inspect.record.figure_words import (
    QUANTITIES,
    alt_text,
    caption,
    finding,
    most_telling,
    scores_of,
    shortened,
)
from normviz.inspect.record.runs import Line, Run, lines_of_all, matched

if TYPE_CHECKING:
    from normviz.inspect.record.recording import Recording

NUMBERS = 300_000
"""Numbers of all layers' lines, of about 8 bytes; where there are many layers, the lines have fewer steps."""
TITLES = {
    "var": "Variance, median over the channels",
    "gap": "Outputs by batch and by running statistics, apart (std)",
    "grad": "Norm of the gradient at the output",
}
SHOWN_BY = {"var": "var", "gap": "mean", "grad": "grad"}
"""The panel of the chosen layer that a projector shows with a quantity; a page shows all of them."""
FRAME = (-0.5, -0.5, 0.5, 0.5, -0.5)
"""Heights of the corners of the frame around a row."""


def figure(
    recording: Recording, other: Recording | None = None, *, width: int | None = None, presenter: bool = False
) -> go.Figure:
    """Draw all layers of a recording over time, and one of them, which a slider chooses; or those of two recordings."""
    room = chart.room(width, presenter)
    runs, alone = matched(recording, other)
    return drawn(runs, alone, room, *lines_of_all(runs, NUMBERS, 0 if presenter else 1))


def drawn(
    runs: Sequence[Run], alone: Sequence[str], room: chart.Room, of_layers: Sequence[Sequence[Line]], most: int
) -> go.Figure:
    """Return the figure of one or two runs with the lines that `lines_of_all` made."""
    names, R = [*runs[0].layers], len(runs)
    quantities = [q for q in QUANTITIES if q == "var" or any(np.isfinite(run.values[q]).any() for run in runs)]
    panels = [*PANELS][: 2 + ("grad" in quantities)]
    layers = [[line for line in of if line.panel in panels] for of in of_layers]
    drawing: Any = Figure()
    for k, run in enumerate(runs):
        _add_heat_map(drawing, k, run)
    first = len(drawing.data)
    for panel, style, *_ in layers[0]:
        drawing.add_scatter(**style, **axes_of(panel, room))
    for panel in panels:
        drawing.add_scatter(**BEGINS, **axes_of(panel, room))
    changing, rows = [*range(first, len(drawing.data)), *range(2, first, 3)], len(names)

    def step(row: int) -> dict[str, Any]:
        """Show a layer: its lines, the names of its channels, its warnings, and a frame around its row."""
        layout: dict[str, Any] = {}
        marks = []
        warned = [(w, w.step * run.per_step) for run in runs for w in run.warnings if w.layer == names[row]]
        for panel in panels:
            ys = [v for line in layers[row] if line.panel == panel for v in line.y if v is not None]
            span, changes = _vertical(ys, logarithmic=panel != "mean", few=room.presenter)
            layout |= {f"yaxis{number_of(panel)}__{key}": value for key, value in changes.items()}
            x, y, text = [], [], []
            for w, at in warned:
                x += [at, at, None]
                y += [*span, None]
                text += [f"{w.code}, step {w.step}:<br>{chart.broken(escape(w.message), 320)}"] * 2 + [""]
            marks.append(Line(panel, {"hovertext": text}, BEGINS["name"], x, y))
        frames = [
            Line("", {}, "the chosen layer", drawing.data[k].x, [row + edge for edge in FRAME]) for k in changing[-R:]
        ]
        every = [*layers[row], *marks, *frames]
        shown = {
            "x": [line.x for line in every],
            "y": [line.y for line in every],
            "name": [line.name for line in every],
        }
        shown["hovertext"] = [line.style.get("hovertext", "") for line in every]
        shown["showlegend"] = [_in_legend(line, room, R) for line in every]
        label = shortened(names[row], int((room.width - 150) / (1.1 * room.letter)))
        return chart.step(label, shown, changing, **layout)

    def choice(quantity: str) -> dict[str, Any]:
        """Show a quantity in the heat maps; on a projector also its panel of the layer."""
        each = [run.values[quantity] for run in runs]
        heats = range(0, first, 3)
        shown: dict[str, list] = {
            "z": [_logs(v) for v in each],
            "text": [[chart.rounded(row) for row in v] for v in each],
        }
        layout = {f"coloraxis__{k}": v for k, v in _colours(np.concatenate([v.ravel() for v in each]), room).items()}
        layout["title__text"] = finding(runs, quantity)
        shown["name"] = [
            TITLES[quantity] if R == 1 else f"{escape(run.name)}: {QUANTITIES[quantity].lower()}" for run in runs
        ]
        layout |= {f"annotations[{k}]__text": name for k, name in enumerate(shown["name"])}
        if not room.presenter:
            return chart.step(QUANTITIES[quantity], shown, heats, **layout)
        lit, scatters = SHOWN_BY[quantity], changing[:-R]
        # Neither z nor text is in these traces, so they lose nothing.
        shown = {key: [*values, *[None] * len(scatters)] for key, values in shown.items()}
        shown["name"][R:] = [*(line.name for line in layers[0]), *[BEGINS["name"]] * len(panels)]
        own = [line.panel for line in layers[0]] + panels
        shown["visible"] = [True] * R + [panel == lit for panel in own]
        layout |= {f"yaxis{number_of(panel)}__visible": panel == lit for panel in panels}
        return chart.step(QUANTITIES[quantity], shown, [*heats, *scatters], **layout)

    entries = [[line.name for line in of if line.panel == "var" and _in_legend(line, room, R)] for of in layers]
    legend = max(entries, key=lambda of: len(str(of)))
    place = Places(room, R, rows, max(len(_short(name, room)) for name in names), panels, drawing, legend)
    by_samples = len({run.per_step for run in runs}) > 1
    place.lay_out(drawing, [_short(name, room) for name in names], by_samples=by_samples)
    chart.add_slider(drawing, [step(row) for row in range(rows)], "Layer ", most_telling(scores_of(runs, "var")))
    # There is no room for the labels of the steps, which are the names of all layers; the chosen one stands above.
    drawing.layout.sliders[0].update(font={"size": 1, "color": "rgba(0, 0, 0, 0)"}, ticklen=0, minorticklen=0)
    if rows == 1:
        drawing.layout.sliders = ()
    steps = sorted({step for run in runs for step in run.steps[:7].tolist()})
    if len(steps) < 7 and not by_samples:  # else plotly puts ticks between them
        drawing.update_xaxes(tickvals=steps)
    chart.add_buttons(drawing, [choice(q) for q in quantities], "Show", menu=room.narrow)
    chart.finish(
        drawing, finding(runs, quantities[0]), caption(runs, alone, most, quantities), alt_text(runs, quantities),
        room=room, height=place.height, left=LEFT, names=legend if room.presenter else [""],
    )  # fmt: skip
    if not room.presenter:  # it stands above the lines, and not above the heat map
        drawing.update_layout(legend_y=place.legend_y, legend_yanchor="top")
    return drawing


def _add_heat_map(drawing: Any, k: int, run: Run) -> None:
    """Add the heat map of a run, marks where warnings begin, and the frame around the chosen layer."""
    names, x = [*run.layers], run.steps[run.columns]
    short = [shortened(name, MAX_NAME) for name in names]
    rows = [one if short.count(one) == 1 else escape(name) for one, name in zip(short, names, strict=True)]
    own, n = {"xaxis": f"x{k + 1}", "yaxis": f"y{k + 1}"}, k + 3
    drawing.add_heatmap(
        x=x.tolist(), y=rows, coloraxis="coloraxis",
        hovertemplate="%{y}<br>step %{x}: %{text}<extra></extra>", **own,
    )  # fmt: skip
    # The rows have two axes: this one shows names that are short enough, the other one has whole names for who hovers.
    own["yaxis"] = f"y{n}"
    drawing.add_scatter(
        x=[w.step for w in run.warnings if w.layer in run.layers],
        y=[names.index(w.layer) for w in run.warnings if w.layer in run.layers],
        hovertext=[
            f"{escape(short_name(w.layer))}<br>{w.code}, step {w.step}" for w in run.warnings if w.layer in run.layers
        ],
        mode="markers", hovertemplate="%{hovertext}<extra></extra>", showlegend=False, cliponaxis=False,
        marker={"symbol": "triangle-right", "size": 8, "color": chart.COLOURS["red"],
                "line": {"color": "white", "width": 1}}, **own,
    )  # fmt: skip
    half = (x[-1] - x[0]) / max(len(x) - 1, 1) / 2 or 0.5
    edges = [float(x[0] - half), float(x[-1] + half)]
    drawing.add_scatter(
        x=[edges[0], edges[1], edges[1], edges[0], edges[0]], mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": chart.COLOURS["red"], "width": 2}, cliponaxis=False, **own,
    )  # fmt: skip
    drawing.update_layout({f"xaxis{k + 1}": {"range": edges, "title": {"text": "step"}, "zeroline": False}})


def _in_legend(line: Line, room: chart.Room, runs: int) -> bool:
    """Whether a line is in the legend, which names those of one panel; for a projector only one line of each run."""
    if room.presenter and runs > 1:
        return "fill" not in line.style and "running" not in line.name and bool(line.panel and line.y)
    return (line.panel == "var" or room.presenter) and bool(line.panel and line.y)


def _short(name: str, room: chart.Room) -> str:
    return shortened(name, 14 if room.narrow or room.presenter else 24)


def _logs(values: np.ndarray) -> list[list[float | None]]:
    with np.errstate(all="ignore"):
        return [chart.rounded(row) for row in np.log10(values)]


def _colours(values: np.ndarray, room: chart.Room) -> dict[str, Any]:
    """Return ends and ticks of the colours: the middle 98 % of the values, so that one extreme does not decide."""
    good = values[np.isfinite(values) & (values > 0)]
    low, high = np.quantile(np.log10(good), [0.01, 0.99]) if len(good) else (-1.0, 1.0)
    if high - low < 0.3:
        low, high = (low + high) / 2 - 0.15, (low + high) / 2 + 0.15
    ticks = _ticks(float(low), float(high), 4 if room.presenter else 6)
    logs = np.log10(ticks["tickvals"]).tolist()
    colorbar = {"colorbar__tickvals": logs, "colorbar__ticktext": ticks["ticktext"]}
    return {"cmin": float(low), "cmax": float(high), **colorbar}


def _ticks(low: float, high: float, most: int) -> dict[str, Any]:
    """Return at most about `most` ticks between two powers of 10."""
    for digits in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        found = [float(f"{d}e{e}") for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for d in digits]
        found = [v for v in found if low - 1e-9 <= np.log10(v) <= high + 1e-9]
        if len(found) <= most:
            break
    return chart.ticks(found[:: -(-len(found) // most) or 1])


def _vertical(values: Sequence[float], *, logarithmic: bool, few: bool) -> tuple[list[float], dict[str, Any]]:
    """Return the ends of a vertical axis around these values, and what a step changes of the axis."""
    good = np.array([v for v in values if v > 0 or not logarithmic])
    with np.errstate(all="ignore"):
        good = np.log10(good) if logarithmic else good
    low, high = (float(good.min()), float(good.max())) if len(good) else (-1.0, 1.0)
    room = 0.06 * (high - low) or (0.15 if logarithmic else 0.1 * abs(high) or 1)
    low, high = low - room, high + room
    if not logarithmic:
        return [low, high], {"range": [low, high]}
    return [10**low, 10**high], {"range": [low, high], **_ticks(low, high, 4 if few else 6)}
