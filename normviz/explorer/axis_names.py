"""Names in pictures: of the axes of x and of their lengths, as in readout.js, and of methods in little room."""

from __future__ import annotations

import re
from collections.abc import Sequence

from normviz.core.methods import Method
from normviz.explorer.sentences import say

GIVEN = Method("given", say("common.given"), n="all", c="all", spatial="all", affine="none", torch="", reference="")
"""The row that takes the place of a method for given sets, which are no blocks."""


def axis_names(shape: Sequence[int], axes: str = "activations") -> list[str]:
    """Names of the axes of x: n, c, h, w; of weights Cout, Cin, kH, kW. `axes` is that of the method."""
    spatial = {2: "", 3: "l", 4: "hw", 5: "dhw"}[len(shape)]
    return ["Cout", "Cin", *(f"k{a.upper()}" for a in spatial)] if axes == "weights" else ["n", "c", *spatial]


def length_names(shape: Sequence[int], axes: str = "activations") -> list[str]:
    """Names of the lengths of the axes: N, C, H, W; of weights Cout, Cin, kH, kW."""
    names = axis_names(shape, axes)
    return names if axes == "weights" else [name.upper() for name in names]


def short_label(row: Method) -> str:
    """The name of a method where there is little room: "Batch" for "Batch Norm"."""
    return re.sub("( Layer| Response| Batch)? Norm$", "", row.label).replace("Standardization", "Std.")
