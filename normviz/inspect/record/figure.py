"""A recording as a chart: all layers over time as a heat map, and one layer as lines; or two recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.explorer.plotly_figure import Figure
from normviz.inspect.audit.table import plural
from normviz.inspect.audit.tensors import MAX_NAME, short_name
from normviz.inspect.record.layer import in_a_sentence

if TYPE_CHECKING:
    from normviz.inspect.record.layer import LayerRecording
    from normviz.inspect.record.recording import Recording
    from normviz.inspect.record.rules import RecordWarning

NUMBERS = 300_000
"""Numbers of all layers' lines, of about 8 bytes; where there are many layers, the lines have fewer steps."""
MOST_STEPS, FEWEST_STEPS = 500, 50
CELLS = 40_000
"""Cells of a heat map."""
QUANTITIES = {"var": "Variance", "gap": "Batch against running", "grad": "Gradient norm"}
"""The buttons."""
TITLES = {
    "var": "Variance, median over the channels",
    "gap": "Outputs by batch and by running statistics, apart (std)",
    "grad": "Norm of the gradient at the output",
}
SHOWN_BY = {"var": "var", "gap": "mean", "grad": "grad"}
"""The panel of the chosen layer that a projector shows with a quantity; a page shows all of them."""
CHANNEL_COLOURS = ("green", "pink", "cyan", "yellow")
RUN_COLOURS = ("blue", "orange")
ROW, TALLEST, LABEL = 18, 400, 14
"""Pixels: height of a layer's row, of the heat map at most, and between two names of layers."""


class Line(NamedTuple):
    """One line of the chosen layer: the panel, its place in the legend, style, name, steps and values."""

    panel: str
    style: dict[str, Any]
    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]


@dataclass(frozen=True)
class Run:
    """A recording that is drawn.

    Attributes
    ----------
    name
        What the chart calls it.
    steps
        The recorded steps, (T,).
    per_step
        What a step counts for along the lines: 1, or the batch size N, if two runs differ in that.
    columns
        The indices of those that the heat map shows.
    layers
        By name.
    warnings
        All of the recording.
    values
        By quantity: (layers, columns), NaN where a layer has none.
    """

    name: str
    steps: np.ndarray
    per_step: int
    columns: np.ndarray
    layers: dict[str, LayerRecording]
    warnings: list[RecordWarning]
    values: dict[str, np.ndarray]


def figure(
    recording: Recording, other: Recording | None = None, *, width: int | None = None, presenter: bool = False
) -> go.Figure:
    """Draw all layers of a recording over time, and one of them, which a slider chooses; or those of two recordings."""
    room = chart.room(width, presenter)
    runs, alone = matched(recording, other)
    return drawn(runs, alone, room, *lines_of_all(runs, NUMBERS, 0 if presenter else 1))


def matched(recording: Recording, other: Recording | None = None) -> tuple[list[Run], list[str]]:
    """Return one or two runs with the same layers in the same order, and sentences on the layers that one lacks."""
    given = [recording] if other is None else [recording, other]
    for one in given:
        if not one.steps or not one.layers:
            which = "the other recording" if one is other else "the recording"
            raise ValueError(
                f"{which} has no step to draw; call the model in train mode inside `with nv.record(model)`"
            )
    common = [name for name in recording.layers if all(name in one.layers for one in given)]
    if other is not None and not common:
        raise ValueError(
            f"the two recordings have no layer in common: {_some(recording.layers)}; and {_some(other.layers)}"
        )
    found = [{name: one[name] for name in common} for one in given]
    names = _run_names(found)
    lacking = [[name for name in one.layers if name not in common] for one in given]
    alone = [f"Only in {run}: {_some(some)}." for run, some in zip(names, lacking, strict=True) if some]
    most = max(FEWEST_STEPS, min(MOST_STEPS, CELLS // len(common))) // len(given)
    sizes = [_batch_size(layers) for layers in found]
    per_step = sizes if all(sizes) and len({*sizes}) > 1 else [1] * len(given)
    return [_run(*each, most) for each in zip(names, per_step, given, found, strict=True)], alone


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(short_name, names[:3])) + f" and {len(names) - 3} more" * (len(names) > 3)


def _run_names(runs: Sequence[dict[str, LayerRecording]]) -> list[str]:
    """Return what two runs differ in, method or batch size, as their names; or "this run" and "the other run"."""
    if len(runs) == 1:
        return ["the run"]
    labels, sizes = [], []
    for layers in runs:
        methods = {layer.label.partition(",")[0] for layer in layers.values()}
        labels.append(methods.pop() if len(methods) == 1 else "")
        size = _batch_size(layers)
        sizes.append(f"N\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{size}" if size else "")
    differ = [part for part in (labels, sizes) if all(part) and part[0] != part[1]]
    return [", ".join(part[k] for part in differ) for k in range(2)] if differ else ["this run", "the other run"]


def _batch_size(layers: dict[str, LayerRecording]) -> int:
    """Return the usual number of samples in a call, 0 if there was none."""
    samples = np.concatenate([layer.samples[layer.called] for layer in layers.values()])
    return int(np.median(samples)) if len(samples) else 0


def _run(name: str, per_step: int, recording: Recording, layers: dict[str, LayerRecording], most: int) -> Run:
    steps = np.array(recording.steps)
    columns = evenly(np.arange(len(steps)), most)
    with np.errstate(all="ignore"):
        var = np.array([np.median(layer.var[columns], 1) for layer in layers.values()])
        squares = [layer.squared_gaps() for layer in layers.values()]
        none = np.full(len(columns), np.nan)
        gap = np.array([none if square is None else np.sqrt(square[columns].mean(1)) for square in squares])
    grad = np.array([layer.grad_norm[columns] for layer in layers.values()])
    return Run(name, steps, per_step, columns, layers, recording.warnings, {"var": var, "gap": gap, "grad": grad})


def evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the indices, evenly spaced, with the first and the last."""
    if len(indices) <= most:
        return indices
    return indices[np.unique(np.linspace(0, len(indices) - 1, most).round().astype(int))]


# ---- one layer as lines ----


def lines(run: int, runs: Sequence[Run], name: str, most: int, channels: int) -> list[Line]:
    """Return the lines of a layer of a run; every layer has the same ones, some of them empty."""
    of, layer = runs[run], runs[run].layers[name]
    at = evenly(np.flatnonzero(layer.called), most)
    x = (of.steps[at] * of.per_step).tolist()
    colour = chart.COLOURS[RUN_COLOURS[run]]
    prefix = f"{escape(of.name)}: " * (len(runs) > 1)
    own = {"color": colour, "width": 2.5, "dash": ("solid", "dash")[run]}
    followed = {"color": colour, "width": 1.5, "dash": ("dot", "dashdot")[run]}
    if len(runs) == 1:
        followed = {"color": chart.COLOURS["orange"], "width": 2, "dash": "dash"}
    shade = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "hoverinfo": "skip"}
    shade["fillcolor"] = f"rgba({', '.join(str(int(colour[k : k + 2], 16)) for k in (1, 3, 5))}, 0.2)"
    few = "lines+markers" if len(at) <= 24 else "lines"
    found = []
    chosen = chosen_channels(layer, [w for w in of.warnings if w.layer == name], channels)
    tables = {
        "var": (layer.set_var, layer.var, layer.running_var),
        "mean": (layer.set_mean, layer.mean, layer.running_mean),
    }
    for panel, (sets, own_values, running) in tables.items():
        around = _band(x, sets[at, 1], sets[at, 3], least=sets[at, 2] if panel == "var" else None)
        found.append(Line(panel, shade, f"{prefix}quartiles of the sets", *around))
        median = {"mode": few, "line": own}
        found.append(Line(panel, median, f"{prefix}median of the sets", x, chart.rounded(sets[at, 2])))
        with np.errstate(all="ignore"):
            y = [] if running is None else chart.rounded(np.median(running[at], 1))
        style = {"mode": few, "line": followed}
        found.append(Line(panel, style, f"{prefix}running, median", x if y else [], y))
        if len(runs) == 1:
            for c, hue in zip([*chosen, *[None] * channels][:channels], CHANNEL_COLOURS, strict=False):
                for values, dash, what in ((own_values, "solid", ""), (running, "dot", ", running")):
                    style = {"mode": few, "line": {"color": chart.COLOURS[hue], "width": 1.3, "dash": dash}}
                    there = c is not None and values is not None
                    y = chart.rounded(values[at, c]) if there else []  # type: ignore[index]
                    found.append(Line(panel, style, f"channel {c}{what}", x if there else [], y))
    norms = layer.grad_norm[at]
    came = np.flatnonzero(~np.isnan(norms))
    style = {"mode": few, "line": own}
    found.append(Line("grad", style, f"{prefix}gradient norm", [x[k] for k in came], chart.rounded(norms[came])))
    return found


def chosen_channels(layer: LayerRecording, warnings: Sequence[RecordWarning], most: int) -> list[int]:
    """Return the channels that are drawn: those that warnings name, then those with the largest gap.

    Without running statistics, those whose variance has changed most.
    """
    named = [c for warning in warnings for c in warning.numbers.get("channels", ())]
    called = np.flatnonzero(layer.called)
    if len(called):
        squares = layer.squared_gaps()
        with np.errstate(all="ignore"):
            change = np.abs(np.log(layer.var[called[-1]] / layer.var[called[0]]))
            size = change if squares is None else np.median(squares[evenly(called, FEWEST_STEPS)], 0)
        named += np.argsort(-np.nan_to_num(size, nan=-1), kind="stable")[:most].tolist()
    return [*dict.fromkeys(named)][:most]


def _band(
    x: Sequence[float], low: np.ndarray, high: np.ndarray, *, least: np.ndarray | None
) -> tuple[list[float | None], list[float | None]]:
    """Return the outline of the band between two lines, one polygon for each stretch where both are finite.

    On a logarithmic axis, where `least` gives the values around which the range is chosen, a 0 is drawn as less than
    all of them.
    """
    if least is not None:
        positive = np.concatenate([low, least, high])
        positive = positive[np.isfinite(positive) & (positive > 0)]
        low = np.where(low > 0, low, positive.min() / 10 if len(positive) else np.nan)
    good = np.isfinite(low) & np.isfinite(high) & ((high > 0) | (least is None))
    outline: tuple[list[float | None], list[float | None]] = ([], [])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(int)))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        there, back = chart.rounded(low[a:b]), chart.rounded(high[a:b])
        for axis, points in zip(outline, ([*x[a:b], *x[a:b][::-1]], [*there, *back[::-1]]), strict=True):
            axis.extend([None] * bool(axis) + points)
    return outline


# ---- the figure ----


def lines_of_all(runs: Sequence[Run], numbers: int, channels: int) -> tuple[list[list[Line]], int]:
    """Return the lines of every layer, and at how many steps at most, so that all have about `numbers` numbers."""
    names = [*runs[0].layers]
    most = max(FEWEST_STEPS, min(MOST_STEPS, numbers // (len(names) * len(runs) * (14 + 8 * channels))))
    return [[line for k in range(len(runs)) for line in lines(k, runs, name, most, channels)] for name in names], most


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
        drawing.add_scatter(**style, **_axes(panel, room))
    for panel in panels:
        drawing.add_scatter(**BEGINS, **_axes(panel, room))
    changing, rows = [*range(first, len(drawing.data)), *range(2, first, 3)], len(names)

    def step(row: int) -> dict[str, Any]:
        """Show a layer: its lines, the names of its channels, its warnings, and a frame around its row."""
        layout: dict[str, Any] = {}
        marks = []
        warned = [(w, w.step * run.per_step) for run in runs for w in run.warnings if w.layer == names[row]]
        for panel in panels:
            ys = [v for line in layers[row] if line.panel == panel for v in line.y if v is not None]
            span, changes = _vertical(ys, logarithmic=panel != "mean", few=room.presenter)
            layout |= {f"yaxis{_number(panel)}__{key}": value for key, value in changes.items()}
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
        layout |= {f"yaxis{_number(panel)}__visible": panel == lit for panel in panels}
        return chart.step(QUANTITIES[quantity], shown, [*heats, *scatters], **layout)

    entries = [[line.name for line in of if line.panel == "var" and _in_legend(line, room, R)] for of in layers]
    legend = max(entries, key=lambda of: len(str(of)))
    place = _Places(room, R, rows, max(len(_short(name, room)) for name in names), panels, drawing, legend)
    by_samples = len({run.per_step for run in runs}) > 1
    place.lay_out(drawing, [_short(name, room) for name in names], by_samples=by_samples)
    chart.add_slider(drawing, [step(row) for row in range(rows)], "Layer ", _most_telling(_scores(runs, "var")))
    # There is no room for the labels of the steps, which are the names of all layers; the chosen one stands above.
    drawing.layout.sliders[0].update(font={"size": 1, "color": "rgba(0, 0, 0, 0)"}, ticklen=0, minorticklen=0)
    if rows == 1:
        drawing.layout.sliders = ()
    steps = sorted({step for run in runs for step in run.steps[:7].tolist()})
    if len(steps) < 7 and not by_samples:  # else plotly puts ticks between them
        drawing.update_xaxes(tickvals=steps)
    chart.add_buttons(drawing, [choice(q) for q in quantities], "Show", menu=room.narrow)
    chart.finish(
        drawing, finding(runs, quantities[0]), _caption(runs, alone, most, quantities), _alt(runs, quantities),
        room=room, height=place.height, left=LEFT, names=legend if room.presenter else [""],
    )  # fmt: skip
    if not room.presenter:  # it stands above the lines, and not above the heat map
        drawing.update_layout(legend_y=place.legend_y, legend_yanchor="top")
    return drawing


PANELS = {"var": "variance of the sets", "mean": "mean of the sets", "grad": "gradient norm"}
"""The panels of the chosen layer, and the titles of their vertical axes."""
BEGINS: dict[str, Any] = {
    "name": "a warning begins",
    "mode": "lines+markers",
    "line": {"color": chart.COLOURS["red"], "width": 1.5, "dash": "dot"},
    "marker": {"size": 6, "symbol": "triangle-up"},
    "hovertemplate": "%{hovertext}<extra></extra>",
}
FRAME = (-0.5, -0.5, 0.5, 0.5, -0.5)
"""Heights of the corners of the frame around a row."""
LEFT = 64


def _number(panel: str) -> int:
    """Return the number of a panel's axes; those of the heat maps are 1 and 2, and those of their rows 3 and 4."""
    return 5 + [*PANELS].index(panel)


def _axes(panel: str, room: chart.Room) -> dict[str, str]:
    """Return the axes of a panel; for a projector all panels are one, with three vertical axes."""
    return {"xaxis": f"x{_number('var' if room.presenter else panel)}", "yaxis": f"y{_number(panel)}"}


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


def shortened(name: str, letters: int) -> str:
    """Return the name of a layer for plotly, with an ellipsis in the middle where it is longer than `letters`.

    >>> shortened("features.denseblock3.denselayer12.norm1", 24)
    'featu…denselayer12.norm1'
    """
    name = short_name(name)
    if len(name) > letters:
        back = letters * 3 // 4  # layers differ at the end of their names
        name = f"{name[: letters - 1 - back]}…{name[-back:]}"
    return escape(name, quote=False)


class _Places:
    """Where the panels stand, in pixels from the left and the top of the plot.

    On a page the heat maps stand above the panels of the layer, for a projector beside one of them.
    """

    def __init__(self, room: chart.Room, runs: int, rows: int, letters: int, panels: Sequence[str], drawing: Any,
                 legend: Sequence[str]) -> None:  # fmt: skip
        self.room, self.rows, self.panels = room, rows, panels
        scale = room.scale
        self.width = width = room.width - round(scale * LEFT) - round(scale * 20)
        start, bar = max(0, (letters * 7.3 + 12 - LEFT) * scale), 62 * scale
        tall = max(3.5 * ROW, min(ROW * rows, TALLEST))
        self.heats, self.details = [], []
        if room.presenter:
            self.height = 300  # the shares count; `finish` computes the height
            whole, half = (0, 300), (0.5 if runs == 1 else 0.6) * width
            self._beside(start, half - bar, runs, whole)
            self.details = [(half + 80 * scale, width, whole)] * len(panels)
            self.bar = half - bar + 8
            return
        if room.narrow:
            self.heats = [(start, width - bar, (k * (tall + 74), k * (tall + 74) + tall)) for k in range(runs)]
        else:
            self._beside(start, width - bar, runs, (0, tall))
        self.bar = width - bar + 8
        self.legend_top = self.heats[-1][2][1] + chart.AXIS + 6
        top = self.legend_top + 24 * chart.legend_rows(drawing, width, [*legend, BEGINS["name"]], 1) + 14
        if room.narrow:
            ends = [(top + k * 208, top + k * 208 + 150) for k in range(len(panels))]
            self.details = [(0, width, span) for span in ends]
        else:
            gap = 82
            each = (width - gap * (len(panels) - 1)) / len(panels)
            self.details = [(k * (each + gap), k * (each + gap) + each, (top, top + 180)) for k in range(len(panels))]
        self.height = round(self.details[-1][2][1])

    def _beside(self, left: float, right: float, runs: int, span: tuple[float, float]) -> None:
        each = (right - left - 14 * (runs - 1)) / runs
        self.heats = [(left + k * (each + 14), left + k * (each + 14) + each, span) for k in range(runs)]

    @property
    def legend_y(self) -> float:
        return 1 - self.legend_top / self.height

    def lay_out(self, drawing: Any, names: Sequence[str], *, by_samples: bool) -> None:
        """Set the axes, and add the titles of the panels."""
        room, rows = self.room, self.rows
        # A projector leaves about 230 pixels.
        high = 230 / room.scale if room.presenter else self.heats[0][2][1] - self.heats[0][2][0]
        apart = -(-LABEL * rows // high)
        shown = [*range(0, rows, max(1, int(apart)))]
        for k, box in enumerate(self.heats):
            labelled = k == 0 or room.narrow
            self._axes(drawing, k + 1, box)
            left, top = drawing.layout[f"xaxis{k + 1}"].domain[0], drawing.layout[f"yaxis{k + 1}"].domain[1]
            drawing.add_annotation(
                text="", name=chart.PANEL, x=left, y=top, xanchor="left", yanchor="bottom", align="left",
                xref="paper", yref="paper", showarrow=False,
            )  # fmt: skip
            # Without its type, plotly takes names such as "1" and "4" for numbers.
            own = {"visible": False, "type": "category", "range": [rows - 0.5, -0.5], "title": {"text": "layer"}}
            ticks = {"tickvals": shown, "ticktext": [names[i] for i in shown], "showticklabels": labelled}
            over = {"overlaying": f"y{k + 1}", "anchor": f"x{k + 1}", "side": "left", "range": [rows - 0.5, -0.5]}
            plain = {"showgrid": False, "zeroline": False}
            drawing.update_layout({f"yaxis{k + 1}": own, f"yaxis{k + 3}": over | ticks | plain})
        across = {"title": {"text": "samples seen" if by_samples else "step"}, "nticks": 5}
        for k, (panel, box) in enumerate(zip(self.panels, self.details, strict=True)):
            n, vertical = _number(panel), {"type": "linear" if panel == "mean" else "log", "nticks": 5}
            vertical["title"] = {"text": PANELS[panel]}
            if room.presenter and k:
                first = _number("var")
                drawing.update_layout({f"yaxis{n}": {**vertical, "overlaying": f"y{first}", "anchor": f"x{first}"}})
                continue
            self._axes(drawing, n, box)
            drawing.update_layout({f"xaxis{n}": across, f"yaxis{n}": vertical})
        top, bottom = self.heats[0][2][0], self.heats[-1][2][1]
        bar = {"x": self.bar / self.width, "xanchor": "left", "xpad": 0, "ypad": 0, "thickness": 12 * room.scale}
        bar |= {"lenmode": "fraction", "len": (bottom - top) / self.height, "outlinewidth": 0, "ticks": "outside"}
        bar |= {"y": 1 - (top + bottom) / 2 / self.height, "yanchor": "middle"}
        drawing.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": bar})

    def _axes(self, drawing: Any, number: int, box: tuple[float, float, tuple[float, float]]) -> None:
        left, right, (top, bottom) = box
        across = [left / self.width, min(1, right / self.width)]
        up = [max(0, 1 - bottom / self.height), 1 - top / self.height]
        x, y = {"domain": across, "anchor": f"y{number}"}, {"domain": up, "anchor": f"x{number}"}
        drawing.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})


# ---- ranges and colours ----


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


# ---- in words ----


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last finite value of each row that is not 0; NaN where there is none."""
    good = [row[np.isfinite(row) & (row != 0)] for row in values]
    return tuple(np.array([row[k] if len(row) else np.nan for row in good]) for k in (0, -1))  # type: ignore[return-value]


def _scores(runs: Sequence[Run], quantity: str) -> np.ndarray:
    """Return, for each layer, what makes it the one that the finding names: its change, its gap, or its gradient.

    Of two runs it is how far they are apart, in powers of 10, at the last step of each.
    """
    first, last = _ends(runs[0].values[quantity])
    with np.errstate(all="ignore"):
        if len(runs) > 1:
            return np.abs(np.log10(last / _ends(runs[1].values[quantity])[1]))
        if quantity == "var":
            return np.abs(np.log10(last / first))
    if quantity == "gap":
        names = [*runs[0].layers]
        for w in _trailing(runs[0]):
            last[names.index(w.layer)] = w.numbers["gap"]
        if _trailing(runs[0]):  # a warning says more than the last step
            last[[not any(w.layer == name for w in _trailing(runs[0])) for name in names]] = np.nan
    return last


def _trailing(run: Run) -> list[RecordWarning]:
    return [w for w in run.warnings if w.code == "running-behind" and w.layer in run.layers]


def _most_telling(scores: np.ndarray) -> int:
    return int(np.nanargmax(scores)) if not np.isnan(scores).all() else 0


def finding(runs: Sequence[Run], quantity: str) -> str:
    """Return what the numbers of a quantity say, in one sentence for the title."""
    scores = _scores(runs, quantity)
    what = {"var": "variance", "gap": "gap to the running statistics", "grad": "gradient norm"}[quantity]
    row = _most_telling(scores)
    names = [*runs[0].layers]
    name = shortened(in_a_sentence(names[row]), 40)
    first, last = (values[row] for values in _ends(runs[0].values[quantity]))
    if np.isnan(scores).all():
        return f"No layer has a {what} that can be drawn"
    if len(runs) > 1:
        others = _ends(runs[1].values[quantity])[1][row]
        ends = f"{last:.3g} ({escape(runs[0].name)}) and {others:.3g} ({escape(runs[1].name)})"
        if len(names) == 1:
            return f"The last {what} of {name}: {ends}"
        return f"The last {what} differs most in {name}: {ends}"
    if quantity == "var":
        broken = {w.layer: w.step for w in reversed(runs[0].warnings) if w.code == "non-finite" and w.layer in names}
        if broken:
            earliest = min(broken, key=lambda layer: broken[layer])
            many = f"NaN or infinity in {len(broken)} of {plural(len(names), 'layer')}"
            return f"{many}, first in {shortened(in_a_sentence(earliest), 40)} at step {broken[earliest]}"
        factor = 10 ** scores[row]
        if len(runs[0].steps) == 1:
            values = _ends(runs[0].values["var"])[1]
            row = _most_telling(values)
            largest = "largest " * (len(names) > 1)
            name = shortened(in_a_sentence(names[row]), 40)
            return f"At step {runs[0].steps[0]}, the variance is {largest}in {name}, {values[row]:.3g}"
        if factor < 2:
            from_to = f"From step {runs[0].steps[0]} to {runs[0].steps[-1]}"
            whose = f"the variance of {name} changes" if len(names) == 1 else "no layer’s variance changes"
            return f"{from_to}, {whose} by {'' if len(names) == 1 else 'more than '}a factor of {factor:.3g}"
        most = "most " * (len(names) > 1)
        return f"The variance changes {most}in {name}, from {first:.3g} to {last:.3g}"
    if quantity == "gap":
        kept = int((~np.isnan(runs[0].values["gap"]).all(1)).sum())
        trailing = {w.layer for w in _trailing(runs[0])}
        if trailing:
            many = f"{len(trailing)} of {plural(kept, 'layer')}"
            return f"Running statistics trail in {many}: {name}, {scores[row]:.2g} standard deviations"
        where = f", at most in {name}," if kept > 1 else f" in {name}"
        return f"Running statistics follow the batches{where} {scores[row]:.2g} standard deviations apart at the end"
    least = int(np.nanargmin(scores))
    if row == least:
        return f"The last gradient norm of {name} is {last:.3g}"
    low = shortened(in_a_sentence(names[least]), 40)
    return f"The last gradient norm is between {scores[least]:.3g} ({low}) and {last:.3g} ({name})"


def _caption(runs: Sequence[Run], alone: Sequence[str], most: int, quantities: Sequence[str]) -> str:
    names, layers = [*runs[0].layers], [layer for run in runs for layer in run.layers.values()]
    said = [
        "Rows: layers in the order of first call; colours are logarithmic and span the middle 98\u00a0% of the values."
    ]
    said.append("The variance is the median over the channels.")
    said.append("An empty cell: the layer was not called, or the value is 0 or not finite.")
    if "gap" in quantities:
        said.append(
            "Batch against running: root mean square difference of the layer’s outputs, in standard deviations, by the "
            "batch’s and by the running statistics."
        )
    without = sum(all(run.layers[name].running_mean is None for run in runs) for name in names)
    if without:
        some = f"{plural(without, 'layer')} of {len(names)} without"
        said.append(f"{'No layer has' if without == len(names) else some} running statistics.")
    if any((layer.set_mean[layer.called] == 0).all() for layer in layers if layer.called.any()):
        said.append("Where a method takes no mean, its sets have a mean of 0, and the mean square is their variance.")
    if any(w.layer in run.layers for run in runs for w in run.warnings):
        said.append("Red marks: a warning begins.")
    if len({run.per_step for run in runs}) > 1:
        said.append("The lines are drawn over the samples seen, step · N, because the batch sizes differ.")
    thinned = [f"{len(run.columns)} of {len(run.steps)}" for run in runs if len(run.columns) < len(run.steps)]
    if thinned:
        said.append(f"The heat map shows {' and '.join(thinned)} recorded steps, evenly spaced.")
    longest = max(int(layer.called.sum()) for layer in layers)
    if longest > most:
        said.append(f"The lines of a layer show {most} of its {longest} steps.")
    return " ".join([*said, *alone])


def _alt(runs: Sequence[Run], quantities: Sequence[str]) -> str:
    shown = [QUANTITIES[q].lower() for q in quantities]
    choice = f"; buttons choose {', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else f": {shown[0]}"
    layers = plural(len(runs[0].layers), "normalization layer")
    maps = "A heat map" if len(runs) == 1 else f"Two heat maps, {runs[0].name} and {runs[1].name}"
    spans = " and ".join(f"{plural(len(run.steps), 'recorded step')}" for run in runs)
    lines = "variance and mean of its sets with their running statistics" + ", and its gradient norm" * (
        "grad" in quantities
    )
    marked = sum(w.layer in run.layers for run in runs for w in run.warnings)
    return (
        f"{maps} of {layers} over {spans}{choice}. Line charts of one layer, which a slider chooses: {lines}. "
        f"{plural(marked, 'warning')}{' marked where they begin' if marked else ''}."
    )
