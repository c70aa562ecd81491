"""The still picture of a prediction: a blank cube, and room for an answer in place of the panels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from normviz.explorer.svg.axis_names import axis_names
from normviz.explorer.svg.readout import Data, Readout, State, name_of, status
from normviz.explorer.svg.writer import Pen


def blank(state: State) -> dict[str, Any]:
    """The state of a prediction: the samples side by side, without a colour or a mode that shows the set."""
    return {**state, "view": "samples", "color": "set", "mode": "train", "predict": True}


def description(data: Data, state: State, shown: Readout) -> str:
    """The picture in words: the status line or, in a prediction, the question."""
    if not state.get("predict"):
        return status(data, state, shown)
    index = ", ".join(str(i) for i in state["index"])
    return f"{name_of(data, state)}: which cells share mean and variance with the cell i = ({index})?"


def draw(pen: Pen, data: Data, shown: Readout, width: int, height: int, edge: int, top: int) -> Iterator[str]:
    """Room for an answer, from `top` to the lower edge of a picture of this size."""
    yield pen.rect(edge - 8, top, width - 2 * edge + 16, height - top - 20, "card", 8)
    yield pen.text(edge + 14, top + 44, "What is the set of the cell <i>i</i>?", 19, bold=True)
    for k, axis in enumerate(axis_names(data.shape, shown.method)):
        yield pen.text(edge + 14, top + 92 + 40 * k, f"<i>{axis}</i> from ______ to ______", 17)
    for k, text in enumerate(("cells in the set: ______", "sets in all: ______", "couples samples: yes / no")):
        yield pen.text(width / 2, top + 92 + 40 * k, text, 17)
