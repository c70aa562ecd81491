"""The words of a chart of recordings: names of layers, the finding, the caption and the alt text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from normviz.inspect.audit.table import plural
from normviz.inspect.audit.tensors import short_name
from normviz.inspect.record.layer import in_a_sentence

if TYPE_CHECKING:
    from normviz.inspect.record.rules import RecordWarning
    from normviz.inspect.record.runs import Run

QUANTITIES = {"var": "Variance", "gap": "Batch against running", "grad": "Gradient norm"}
"""The buttons."""


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


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last finite value of each row that is not 0; NaN where there is none."""
    good = [row[np.isfinite(row) & (row != 0)] for row in values]
    return tuple(np.array([row[k] if len(row) else np.nan for row in good]) for k in (0, -1))  # type: ignore[return-value]


def scores_of(runs: Sequence[Run], quantity: str) -> np.ndarray:
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


def most_telling(scores: np.ndarray) -> int:
    """Return the row of the largest score; 0 if there is none."""
    return int(np.nanargmax(scores)) if not np.isnan(scores).all() else 0


def finding(runs: Sequence[Run], quantity: str) -> str:
    """Return what the numbers of a quantity say, in one sentence for the title."""
    scores = scores_of(runs, quantity)
    what = {"var": "variance", "gap": "gap to the running statistics", "grad": "gradient norm"}[quantity]
    row = most_telling(scores)
    names = [*runs[0].layers]
    name = in_a_sentence(shortened(names[row], 40))
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
            return f"{many}, first in {in_a_sentence(shortened(earliest, 40))} at step {broken[earliest]}"
        factor = 10 ** scores[row]
        if len(runs[0].steps) == 1:
            values = _ends(runs[0].values["var"])[1]
            row = most_telling(values)
            largest = "largest " * (len(names) > 1)
            name = in_a_sentence(shortened(names[row], 40))
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
        most = "at most " * (kept > 1)
        apart = f"{most}{scores[row]:.2g} standard deviations apart, in {name}"
        return f"Running statistics follow the batches: at the end they are {apart}"
    least = int(np.nanargmin(scores))
    if row == least:
        return f"The last gradient norm of {name} is {last:.3g}"
    low = in_a_sentence(shortened(names[least], 40))
    return f"The last gradient norm is between {scores[least]:.3g} ({low}) and {last:.3g} ({name})"


def caption(runs: Sequence[Run], alone: Sequence[str], most: int, quantities: Sequence[str]) -> str:
    """Return how to read the chart, and what it leaves out."""
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


def alt_text(runs: Sequence[Run], quantities: Sequence[str]) -> str:
    """Return the alt text of the chart."""
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
