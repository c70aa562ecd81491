"""Where the findings of a check are written down, each with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from normviz.inspect.check.codes import HINTS
from normviz.inspect.check.known_bugs import Change, Explanation, near
from normviz.inspect.check.precision import Trouble
from normviz.inspect.check.running_stats import Numbers
from normviz.inspect.check.simulate import Recipe, Scene
from normviz.inspect.check.verdict import Finding


class Ledger:
    """The findings so far.

    Attributes
    ----------
    findings
        In the order in which they came up.
    shown
        The input that shows the first of them on cells, and where it is wrong.
    """

    def __init__(self, channel_axis: int) -> None:
        self.channel_axis = channel_axis
        self.findings: list[Finding] = []
        self.shown: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def codes(self) -> set[str]:
        """Of the findings so far."""
        return {f.code for f in self.findings}

    def name(self, change: Change, found: Explanation, base: Recipe, tests: Sequence) -> None:
        """Write down one of the faults, where it shows best."""
        without = base
        for other in found.changes:
            if other is not change:
                without = Recipe(**{**vars(without), **other.fields})
        best: tuple[Any, ...] = ()
        for _, scene, y, *_ in tests:
            whole = scene.whole()
            with_it, left = whole.output(found.recipe), whole.output(without)
            share = np.abs(np.nan_to_num(with_it - left)) / (1 + np.abs(left))
            if not best or share.max() > best[0]:
                best = (share.max(), whole, y, int(share.argmax()), whole.output(base))
        _, whole, y, cell, expected = best
        wrong = ~near(y, expected, 1e-4)
        wrong[cell] = True
        self.add(change.code, change.said, whole, y, expected, wrong, cell, details=change.details)

    def report(self, trouble: Trouble | Numbers) -> None:
        """Write down what an experiment has shown."""
        if isinstance(trouble, Numbers):
            self.add(
                trouble.code, trouble.said, pair=(trouble.expected, trouble.seen), place=(trouble.channel,), wrong=None
            )
            return
        shown = (trouble.scene, trouble.y, trouble.expected, trouble.wrong)
        self.add(trouble.code, trouble.said, *shown, pair=trouble.pair)

    def add(
        self,
        code: str,
        said: str,
        scene: Scene | None = None,
        y: np.ndarray | None = None,
        expected: np.ndarray | None = None,
        wrong: np.ndarray | None = None,
        cell: int | None = None,
        *,
        pair: tuple[Any, Any] | None = None,
        place: tuple[int, ...] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Write down a finding; where `wrong` says which cells show it, with its worst cell or the given one."""
        should, seen = pair or (None, None)
        message = f"fn {said}" + ("" if said.endswith("?") else ".")
        if scene is not None and y is not None and expected is not None and wrong is not None:
            shape = scene.x.shape
            with np.errstate(all="ignore"):
                left = np.nan_to_num(np.abs(y - expected), nan=np.inf)
            cell = int(np.argmax(np.where(wrong, left, -1))) if cell is None else cell
            indices = np.unravel_index(cell, shape)
            at = [int(i) for i in indices]
            at.insert(self.channel_axis % len(shape), at.pop(1))
            place, should, seen = tuple(at), float(expected[cell]), float(y[cell])
            message += f" At cell {place} {should:.5g} is right, and {seen:.5g} came; "
            most = left[wrong].max()
            by = f", by up to {most:.3g}" if np.isfinite(most) else ""
            message += f"{wrong.sum()} of {wrong.size} cells are wrong{by}."
            if self.shown is None:
                self.shown = scene.x, wrong.reshape(shape)
        elif place is not None:
            message += f" There {should:.6g} is right, and {seen:.6g} came."
        self.findings.append(Finding(code, message, place, should, seen, HINTS.get(code, ""), details or {}))
