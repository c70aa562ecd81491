"""How high the frame of explorers is: what they need at the width that the frame has, as a CSS length.

A frame that may run scripts but knows nothing of the page around it cannot set its own height. So the page reserves
what the explorer needs in the state that needs most (a long text, the tour open): the picture takes what is left over.
The needs are measured: `heights` in constants.json, which tests/browser/test_fits.py compares with a browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from normviz.explorer.constants import CONSTANTS

Steps = Sequence[tuple[int, int]]
"""Pairs of pixels: from this width on, this height. The widths ascend from 0."""

COLUMN: int = CONSTANTS["column"]
"""The least width of explorers that stand side by side, in pixels."""


def of_explorers(count: int, *, controls: bool, more: bool, editable: bool = False, time: bool = False) -> Steps:
    """The height of `count` explorers, in as many columns as there is room for.

    Parameters
    ----------
    count
        How many explorers.
    controls
        Whether they have their controls.
    more
        Whether they say more than the shape and the values of the tensor ask for, such as a title.
    editable
        Whether they have the panel in which the reader makes the tensor.
    time
        Whether they have the charts of a recording.
    """
    kind = "editable" if editable else "controls" if controls else "bare"
    if time:
        kind = "time" if controls else "time_bare"
    needs = [(width, (plain, full)[more]) for width, plain, full in CONSTANTS["heights"][kind]]
    ends = [width for width, _ in needs[1:]] + [float("inf")]
    steps: list[tuple[int, int]] = []
    for columns in range(1, count + 1):
        first = 0 if columns == 1 else COLUMN * columns
        last = float("inf") if columns == count else COLUMN * (columns + 1)
        rows = -(-count // columns)
        for (width, height), end in zip(needs, ends, strict=True):
            if max(width * columns, first) < min(end * columns, last):
                steps.append((max(width * columns, first), height * rows))
    return steps


def css(steps: Steps) -> str:
    """The height as a CSS length in which 100% is the width: a sum of one term for each step.

    A term is 0 on one side of its step. On the other it is the difference, because a pixel counts 9999 times.
    """
    terms = [f"{steps[-1][1]}px"]
    for (_, before), (width, after) in pairwise(steps):
        if before > after:
            terms.append(f"clamp(0px,({width}px - 100%)*9999,{before - after}px)")
        elif before < after:
            terms.append(f"clamp({before - after}px,(100% - {width}px)*9999,0px)")
    return f"calc({' + '.join(terms)})"
