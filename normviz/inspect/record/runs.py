"""What a chart of recordings draws: the numbers of one or two runs, and the lines of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from normviz.charts import chart
from normviz.inspect.audit.tensors import short_name

if TYPE_CHECKING:
    from normviz.inspect.record.layer import LayerRecording
    from normviz.inspect.record.recording import Recording
    from normviz.inspect.record.rules import RecordWarning

MOST_STEPS, FEWEST_STEPS = 500, 50
CELLS = 40_000
"""Cells of a heat map."""
CHANNEL_COLOURS = ("green", "pink", "cyan", "yellow")
RUN_COLOURS = ("blue", "orange")


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


def lines_of_all(runs: Sequence[Run], numbers: int, channels: int) -> tuple[list[list[Line]], int]:
    """Return the lines of every layer, and at how many steps at most, so that all have about `numbers` numbers."""
    names = [*runs[0].layers]
    most = max(FEWEST_STEPS, min(MOST_STEPS, numbers // (len(names) * len(runs) * (14 + 8 * channels))))
    return [[line for k in range(len(runs)) for line in lines(k, runs, name, most, channels)] for name in names], most
