"""An output whose numbers lie in other cells: transposed to be normalized, and reshaped where it had to go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.pooling import canonical
from normviz.inspect.check.bug import Case, Explanation
from normviz.inspect.check.known_bugs import changes
from normviz.inspect.check.localize import lines
from normviz.inspect.check.search import explain
from normviz.inspect.check.set_bugs import RESHAPES
from normviz.inspect.check.simulate import Affine, Recipe, Trial
from normviz.inspect.check.verdict import Mismatch
from normviz.inspect.probe.reading import axis_names


def moved_output(case: Case, trials: Sequence[Trial], base: Recipe, tolerances: Sequence[float]) -> list[Mismatch]:
    """Return what is wrong, if the right sets and known bugs explain the outputs once their cells are moved back.

    Weight and bias may be applied before the cells are moved, or after.
    """
    axis, pool, scene = case.channel_axis, case.pool, trials[0].scene
    shape, labels = uncanonical(scene.x, axis).shape, pool.labels().reshape(-1)
    names = axis_names(len(shape), axis)
    if pool.size < 3 or pool.row.axes == "weights":
        return []
    for order in [*permutations(range(len(shape)))][1:]:

        def back(y: np.ndarray, order: tuple[int, ...] = order) -> np.ndarray:
            """Return an array (N, C, *spatial) with its cells moved back."""
            moved = uncanonical(y.reshape(pool.shape), axis).reshape([shape[a] for a in order])
            return np.array(canonical(moved.transpose(np.argsort(order)), axis))

        first = back(trials[0].y).reshape(-1)
        after = Affine(layout=lambda p, _: back(np.broadcast_to(p, pool.shape)), name="after the reshape")
        for version in (base, replace(base, affine=after))[: 1 if case.weight is case.bias is None else 2]:
            x_hat = scene.undo_affine(first, version.affine)
            if not lines(labels, scene.x.reshape(-1), x_hat, tolerances[-1])[2].all():
                continue
            moved = [replace(trial, y=back(trial.y).reshape(-1)) for trial in trials]
            found = [Explanation((), version)]
            if not all(trial.scene.agrees(trial.y, version, tolerances[-1]).all() for trial in moved):
                known = changes(replace(case, measured=pool.labels()))
                known = [c for c in known if version is base or "affine" not in c.fields]
                found, _ = explain([trial.sampled for trial in moved], known, version, tolerances)
            if len(found) == 1:
                read = " is taken for ".join(f"({', '.join(each)})" for each in ([names[a] for a in order], names))
                text = f"{RESHAPES}its result of shape {read}, so its numbers land in other cells"
                expected, wrong = scene.output(base), ~scene.agrees(trials[0].y, base, tolerances[-1])
                finding = Mismatch("reshape-not-transpose", text, scene.x, trials[0].y, expected, wrong)
                return [finding, *(Mismatch(c.code, c.text, details=c.details) for c in found[0].changes)]
    return []
