"""Names of the axes of x and of the statistics of a set, by method: those of readout.js."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GIVEN = {"name": "given", "label": "Given sets"} | dict.fromkeys(("n", "c", "spatial"), "all")
GIVEN |= {"centered": True, "statistic": "mean and variance", "axes": "activations"}
"""The row that takes the place of a method for given sets, which are no blocks."""


def axis_names(shape: Sequence[int], method: Mapping[str, Any] = GIVEN) -> list[str]:
    """Names of the axes of x: n, c, h, w; of weights Cout, Cin, kH, kW."""
    spatial = {2: "", 3: "l", 4: "hw", 5: "dhw"}[len(shape)]
    return ["Cout", "Cin", *(f"k{a.upper()}" for a in spatial)] if method["axes"] == "weights" else ["n", "c", *spatial]


def length_names(shape: Sequence[int], method: Mapping[str, Any] = GIVEN) -> list[str]:
    """Names of the lengths of the axes: N, C, H, W; of weights Cout, Cin, kH, kW."""
    names = axis_names(shape, method)
    return names if method["axes"] == "weights" else [name.upper() for name in names]


def has_groups(method: Mapping[str, Any]) -> bool:
    """Whether the method takes G."""
    return "group" in (method["n"], method["c"])


def spread_name(method: Mapping[str, Any]) -> str:
    """The name of the second statistic of a set."""
    return "variance" if method["centered"] else method["statistic"]
