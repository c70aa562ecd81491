"""The numbers of one state and the words about it: the set of a cell, its statistics, what the picture leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling, pooling
from normviz.explorer import texts
from normviz.explorer.axis_names import GIVEN, axis_names, length_names
from normviz.explorer.constants import LIMITS
from normviz.explorer.sentences import say
from normviz.explorer.svg.geometry import Range, bins, cube_shape, ranges_of
from normviz.explorer.svg.gradient import gradient_of

if TYPE_CHECKING:
    from normviz.explorer.timeline import Timeline
    from normviz.explorer.validation import Subject

State = Mapping[str, Any]


@dataclass(frozen=True)
class Readout:
    """The numbers of one state.

    Attributes
    ----------
    row
        The method, or GIVEN.
    index
        The picked cell of x.
    sets
        The pooling sets of x; None where they are given.
    label, size, count
        The number of the set, its cells, and how many sets there are.
    evaluating
        Whether running statistics take the place of the set's own.
    mean, var, x
        None where what travels to the page does not have them, such as the single values of a large tensor.
    """

    row: Method
    index: tuple[int, ...]
    sets: Pooling | None
    label: int
    size: int
    count: int
    evaluating: bool
    mean: float | None
    var: float | None
    x: float | None

    @property
    def ranges(self) -> list[Range]:
        """The set as (start, stop) along each axis of x; empty where no block is pooled."""
        return [] if self.sets is None or self.evaluating else ranges_of(self.sets, self.index)


def row_of(state: State) -> Method:
    """The row of the chosen method."""
    return METHODS.get(state["method"], GIVEN)


def measure(on: Subject, state: State) -> Readout:
    """Work out the numbers of a state."""
    index, row, values = tuple(state["index"]), row_of(state), on.tensor.values
    x = None if values is None else float(values[index])
    if row is GIVEN:
        assert on.labels is not None
        assert on.sets is not None
        numbers = on.sets["label"]
        at = int(np.searchsorted(numbers, on.labels[index]))
        mean, var = (float(on.sets[key][at]) for key in ("mean", "var"))
        return Readout(row, index, None, int(numbers[at]), int(on.sets["count"][at]), numbers.size, False, mean, var, x)
    sets = pooling(row.name, on.shape, state["num_groups"] if row.has_groups else None)
    label, evaluating = sets.set_number(index), state["mode"] == "eval" and row.name == "batch"
    mean = var = None
    if evaluating and on.running is not None:
        mean, var = (float(each[index[1]]) for each in on.running)
    elif found := on.tensor.known(row.name, sets.num_groups):
        mean, var = float(found.mean.flat[label]), float(found.var.flat[label])
    size = sets.size if on.time is None else on.time.size
    return Readout(row, index, sets, label, size, sets.count, evaluating, mean, var, x)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def decimal(value: float | None, digits: int = 5) -> str:
    """A plain decimal without an exponent, which a screen reader can read."""
    if value is None or value == 0:
        return "?" if value is None else "0"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    text = f"{Context(digits, ROUND_HALF_UP).create_decimal_from_float(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def digits_for(shown: Readout) -> int:
    """Digits that distinguish a value from the mean: more than five if both are large against the deviation."""
    if shown.x is None or shown.mean is None or not shown.var:
        return 5
    lost = max(abs(shown.x), abs(shown.mean)) / math.sqrt(shown.var)
    return min(5 + max(0, math.ceil(math.log10(lost) - 1)), 15) if 0 < lost < math.inf else 5


def span(ranges: Range) -> str:
    """An inclusive range for people: "0 to 3", "5"."""
    start, stop = ranges
    return f"{start}" if stop - start == 1 else f"{start} to {stop - 1}"


# ---- words -----------------------------------------------------------------------------------------------------------


def name_of(state: State) -> str:
    """The method, with G where it has one."""
    row = row_of(state)
    return say("common.named", method=row.label, G=state["num_groups"]) if row.has_groups else row.label


def status(on: Subject, state: State, shown: Readout) -> str:
    """The status line: the set, its size, mean and variance, and the gradient; in a prediction the question.

    Of a recording it also tells the step, and the running statistics.
    """
    line = status_of_set(on, state, shown)
    return line if on.time is None else status_at_step(on.time, state, shown, line)


def status_of_set(on: Subject, state: State, shown: Readout) -> str:
    """The status line without what belongs to a step of a recording."""
    name, cell = name_of(state), cell_name(shown)
    if state.get("predict"):
        return say("status.question", name=name, cell=cell)
    more = f" {gradient_text(on, state, shown)}" if state["color"] == "gradient" and shown.mean is not None else ""
    if shown.evaluating:
        return say("status.eval", name=name, cell=cell, mean=decimal(shown.mean), var=decimal(shown.var)) + more
    pooled = shown.ranges if on.time is None else on.time.at_step(shown.ranges)
    axes = zip(axis_names(on.shape, shown.row.axes), pooled, strict=False)
    ranges = ", ".join(f"{axis} {span(each)}" for axis, each in axes) or say("status.given", label=shown.label)
    about = {"name": name, "cell": cell, "set": ranges, "size": shown.size, "spread": spread_name(shown.row)}
    if shown.mean is None:
        return say("status.set-pending", **about)
    return say("status.set", **about, mean=decimal(shown.mean, digits_for(shown)), var=decimal(shown.var)) + more


def status_at_step(time: Timeline, state: State, shown: Readout, line: str) -> str:
    """The status line of a recorded step, from the line about its set."""
    if not time.has(shown.index):
        return say("time.absent", step=time.step, name=name_of(state), cell=cell_name(shown))
    if time.running is None or time.gap is None or shown.evaluating:
        return say("time.status", step=time.step, line=line)
    mean, var = (decimal(float(array[time.at, shown.index[1]])) for array in time.running)
    gap = decimal(float(time.gap[time.at, shown.label]))
    return say("time.status-running", step=time.step, line=line, mean=mean, var=var, gap=gap)


def cell_name(shown: Readout) -> str:
    """The picked cell."""
    return say("common.cell", index=", ".join(map(str, shown.index)))


def gradient_text(on: Subject, state: State, shown: Readout) -> str:
    """The gradient at the picked cell, and what its sum over the set means."""
    found = gradient_of(on, state, shown, shown.row)
    if not math.isfinite(found.own):
        return say("gradient.sum-lost")
    # Differences of rounding are no gradient.
    own, total = (decimal(0 if abs(v) < 1e-10 / found.deviation else v) for v in (found.own, found.total))
    kind = "eval" if shown.evaluating else "mean" if shown.row.centered else "no-mean"
    return say(f"gradient.sum-{kind}", own=own, sum=total)


def spread_name(row: Method) -> str:
    """The name of the second statistic of a set."""
    return "variance" if row.centered else row.statistic


def words(on: Subject, state: State, shown: Readout) -> str:
    """The picture in words: the status line, which cells are pooled, what to be careful about, what is left out."""
    parts = [status(on, state, shown)]
    if shown.row is GIVEN:
        parts.append(say("sets.given"))
    elif not (state.get("predict") or shown.evaluating):
        about = texts.words(shown.row, on.shape)
        parts += [about["words"], about["caution"]]
    return " ".join(filter(None, [*parts, *aggregation(on, state, shown), *left_out(on.time)]))


def left_out(time: Timeline | None) -> Iterator[str]:
    """What of a recording is not on the page, as views/time.js says it."""
    if time is not None and time.every > 1:
        yield say("time.thinned", every=time.every)
    if time is not None and time.shape != time.sets.shape:
        yield say("time.part", shape=", ".join(map(str, time.shape)), count=time.sets.count)


def aggregation(on: Subject, state: State, shown: Readout) -> Iterator[str]:
    """What the drawing aggregates or leaves out, as `aggregation` of explorer.js says it."""
    row, (N, _, H, W), size = row_of(state), cube_shape(on.shape), bins(on.shape)
    paper, kind = state["view"] == "paper", "filters" if row.axes == "weights" else "samples"
    first, channel, *spatial = axis_names(on.shape, row.axes)
    lengths, parts = length_names(on.shape, row.axes)[2:], []
    axes = (first, channel, enumerated(spatial[:-1]), "".join(spatial[-1:]))
    folded = [
        say("aggregation.cells-along", size=count, axis=axis)
        for a, (count, axis) in enumerate(zip(size, axes, strict=True))
        if count > 1 and not (paper and a > 1)
    ]
    if folded:
        parts.append(say("aggregation.cell", cells=enumerated(folded)))
    if len(on.shape) == 5 and not paper:
        parts.append(say("aggregation.depth", depth=lengths[0], height=lengths[1]))
    most = LIMITS["samples"]
    if most < N and not paper:
        start = state["index"][0] // most * most
        stop = min(start + most, N)
        parts.append(say(f"aggregation.shown-{kind}", range=span((start, stop)), drawn=stop - start, count=N))
    each = -(-H * W // LIMITS["paper_positions"])
    if paper and each > 1:
        parts.append(say("aggregation.positions", axes=enumerated(lengths), count=H * W, drawn=-(-H * W // each)))
    if paper and LIMITS["paper_samples"] < N:
        parts.append(say(f"aggregation.cell-{kind}", count=-(-N // LIMITS["paper_samples"])))
    if state["color"] == "gradient" and on.tensor.values is None:
        parts.append(say("gradient.means"))
    if parts:
        exact = "exact" if on.tensor.values is not None else "no-numbers" if shown.mean is None else "exact-sets"
        exact = exact if on.time is None else "recorded"
        yield from (*parts, say(f"aggregation.numbers-{exact}"))


def enumerated(items: Sequence[str]) -> str:
    """Several items as a list in a sentence: "a, b and c"."""
    return say("common.list-and", rest=", ".join(items[:-1]), last=items[-1]) if len(items) > 1 else "".join(items)
