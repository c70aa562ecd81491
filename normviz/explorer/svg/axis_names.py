"""What the axes of x and the numbers of a set are called, by method: those of measure.js."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GIVEN = {"name": "given", "label": "Given sets"} | dict.fromkeys(("n", "c", "spatial"), "all")
GIVEN |= {"centered": True, "statistic": "mean and variance", "axes": "activations"}
"""Stands in for a method where the sets came with the scene and are no blocks."""


def axis_names(shape: Sequence[int], method: Mapping[str, Any] = GIVEN) -> list[str]:
    """Names of the axes of x: n, c, h, w; of weights Cout, Cin, kH, kW."""
    spatial = {2: "", 3: "l", 4: "hw", 5: "dhw"}[len(shape)]
    return ["Cout", "Cin", *(f"k{a.upper()}" for a in spatial)] if method["axes"] == "weights" else ["n", "c", *spatial]


def length_names(shape: Sequence[int], method: Mapping[str, Any] = GIVEN) -> list[str]:
    """The axes as lengths are called: N, C, H, W; of weights Cout, Cin, kH, kW."""
    names = axis_names(shape, method)
    return names if method["axes"] == "weights" else [name.upper() for name in names]


def has_groups(method: Mapping[str, Any]) -> bool:
    """Whether the method takes G."""
    return "group" in (method["n"], method["c"])


def spread_name(method: Mapping[str, Any]) -> str:
    """What the second number of a set is called."""
    return "variance" if method["centered"] else method["statistic"]
