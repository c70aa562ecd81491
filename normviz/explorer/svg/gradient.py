"""How x_hat of the picked cell i follows every x_j, d x_hat_i / d x_j, by the formulas of js/core/gradient.js."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import Method
from normviz.explorer.axis_names import GIVEN
from normviz.explorer.constants import CONSTANTS
from normviz.explorer.svg.geometry import Box, bins, cube_shape, ranges_of, sets_of, to_cube

if TYPE_CHECKING:
    from normviz.explorer.svg.readout import Readout
    from normviz.explorer.validation import Subject


@dataclass(frozen=True)
class Gradient:
    """The gradient under one method: (1/s) (delta_ij - (1 + x_hat_i x_hat_j) / m) in the set of m cells, 0 outside.

    s = sqrt(var + eps). Without the 1 where no mean is taken; without 1/m for a squared norm; 1/s at i alone in eval.

    Attributes
    ----------
    alone
        Whether x_i alone has an influence: in eval.
    cell, block
        Cell i, and its set as a range for each axis of the cube; None for given sets.
    mean, deviation, here
        Of the set: its mean and s; and x_hat_i.
    share, one
        1/(s m), or what takes its place; and whether a mean is taken.
    own, total
        The gradient at cell i, and its sum over the set.
    end
        The end of the colours, on both sides of 0.
    """

    alone: bool
    cell: tuple[int, ...]
    block: Box | None
    mean: float
    deviation: float
    here: float
    share: float
    one: int
    own: float
    total: float
    end: float

    def at(self, x: Any) -> Any:
        """The gradient at cells of the set other than i that have the values x."""
        hat = (x - self.mean) / self.deviation
        return np.zeros_like(hat) if self.alone else -self.share * (self.one + self.here * hat)

    def rooted(self, value: float) -> float:
        """What a colour shows, from -1 to 1: a signed root, because cell i's gradient is so much larger than others."""
        part = value / (self.end or 1)
        return 0.0 if abs(part) < 1e-6 else math.copysign(math.sqrt(abs(part)), part)


@np.errstate(all="ignore")
def gradient_of(on: Subject, state: Mapping[str, Any], shown: Readout, row: Method) -> Gradient:
    """The gradient of the picked cell under a method, which in the classical figure need not be the chosen one."""
    cell, tensor, cube = to_cube(shown.index, on.shape), on.tensor, cube_shape(on.shape)
    alone, block, mean, var, size = shown.evaluating and row.name == "batch", None, shown.mean, shown.var, shown.size
    number = 0
    if row is not GIVEN:
        sets = sets_of(row.name, cube, state["num_groups"])
        block, number = ranges_of(sets, cell), sets.set_number(cell)
        if not alone:
            found, size = tensor.known(row.name, sets.num_groups), sets.size
            mean, var = (each.flat[number] for each in (found.mean, found.var)) if found else (math.nan, math.nan)
    assert mean is not None
    assert var is not None
    deviation = float(np.sqrt(np.float64(var) + on.eps))
    # A picture without single values takes the mean of the drawn cell.
    near = cell if tensor.values is not None else tuple(i // n for i, n in zip(cell, bins(on.shape), strict=True))
    here = float((np.float64(tensor.field[near]) - mean) / deviation)
    share = 0.0 if alone else 1 / deviation / (1 if row.statistic == "squared norm" else size)
    own = 1 / deviation - (0 if alone else share * (row.centered + here * here))
    end = 0 if alone else share * (row.centered + CONSTANTS["normalized"][1] * abs(here))
    end = 1 / deviation if end == 0 else end
    total = own if alone else 0 * own
    if not row.centered:
        assert block is not None
        within = tuple(slice(*each) for each in block)
        if tensor.values is not None:
            raw = tensor.field[within].mean()
        elif row.spatial == "all":
            raw = tensor.atoms.mean[within[:2]].mean() if tensor.atoms else math.nan
        else:
            raw = tensor.positions.mean.flat[number] if tensor.positions and row.c == "all" else math.nan
        total = 1 / deviation - share * here * size * float(raw / deviation)
    block = [(i, i + 1) for i in cell] if alone else block
    return Gradient(alone, cell, block, float(mean), deviation, here, share, int(row.centered), own, total, end)
