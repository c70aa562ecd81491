"""The result of a check: its findings, as text, for a test, and with a picture of what is wrong."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.arrays.arguments import native_order
from normviz.core.methods import METHODS
from normviz.explorer.fragment import Fragment

if TYPE_CHECKING:
    from normviz.explorer.widget import Explorer


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    code
        The name of a known bug, or of the first wrong stage.
    message
        What is wrong, where, and by how much.
    cell
        The cell of x, as fn has it, that shows it best; (c,) for a running statistic; None if no cell shows it.
    expected, seen
        The right number there and the number of fn; the two shapes or dtypes for wrong-shape and wrong-dtype; None if
        there are none.
    hint
        Where to look.
    details
        More about the bug, which depends on the code: axes, eps, m.
    """

    code: str
    message: str
    cell: tuple[int, ...] | None = None
    expected: Any = None
    seen: Any = None
    hint: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True)
class Mismatch:
    """The result of one experiment, from which a `Finding` is made."""

    code: str  # that of the finding
    text: str  # what fn does, in words that follow "fn "
    x: np.ndarray | None = None  # the input, (N, C, *spatial), or None if no cell shows the fault
    # y, expected, wrong: for each cell of x, flat: the output, the right output, and whether the cell shows the fault
    y: np.ndarray | None = None
    expected: np.ndarray | None = None
    wrong: np.ndarray | None = None
    cell: int | None = None  # flat index of the cell to report; None reports the one with the largest error
    channel: int | None = None  # the channel that a running statistic belongs to
    pair: tuple[Any, Any] | None = None  # what was expected and seen, if no cell shows it
    details: dict[str, Any] = field(default_factory=dict)  # those of the finding

    def finding(self, channel_axis: int, hint: str) -> Finding:
        """Return the finding, with the cell as fn has it."""
        message = f"fn {self.text}" + ("" if self.text.endswith("?") else ".")
        place, (expected, seen) = None, self.pair or (None, None)
        if self.x is not None and self.y is not None and self.expected is not None and self.wrong is not None:
            with np.errstate(all="ignore"):
                error = np.nan_to_num(np.abs(self.y - self.expected), nan=np.inf)
            cell = int(np.argmax(np.where(self.wrong, error, -1))) if self.cell is None else self.cell
            place = native_order([int(i) for i in np.unravel_index(cell, self.x.shape)], channel_axis)
            expected, seen = float(self.expected[cell]), float(self.y[cell])
            most = error[self.wrong].max()
            by = f", by up to {most:.3g}" if np.isfinite(most) else ""
            message += f" At cell {place} the right value is {expected:.5g}, and fn gave {seen:.5g}; "
            message += f"{self.wrong.sum()} of {self.wrong.size} cells are wrong{by}."
        elif self.channel is not None:
            place = (self.channel,)
            message += f" The right value there is {expected:.6g}, and fn gave {seen:.6g}."
        return Finding(self.code, message, place, expected, seen, hint, self.details)


@dataclass(frozen=True, eq=False, repr=False)
class Verdict(Fragment):
    """The result of `check`.

    Attributes
    ----------
    findings
        What is wrong; fix the first one first.
    method, num_groups, eps
        The requested normalizer.
    shape, channel_axis, framework, dtype
        Those of the inputs of fn.
    calls
        Number of forward calls.
    skipped
        Maps what could not be checked to the reason.
    notes
        Sentences about what check handed to fn beyond what its caller gave, and what it assumed.
    x, wrong
        The input that shows the first finding, as fn has it, and its wrong cells, with axes (N, C, *spatial).
    sets
        The sets of fn where they are not those of the method: labels of the shape of `wrong`. None if check knows none.
    cause
        The exception that fn raised, if any.
    """

    findings: tuple[Finding, ...]
    method: str
    num_groups: int | None
    eps: float
    shape: tuple[int, ...] = ()
    channel_axis: int = 1
    framework: str = "numpy"
    dtype: str = "float64"
    calls: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    x: np.ndarray | None = None
    wrong: np.ndarray | None = None
    sets: np.ndarray | None = None
    cause: BaseException | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings, each once."""
        return tuple(dict.fromkeys(f.code for f in self.findings))

    def raise_if_failed(self) -> None:
        """Raise AssertionError with all findings, if there are any."""
        if self.findings:
            raise AssertionError(str(self)) from self.cause

    def explore(self, **keywords: Any) -> Explorer:
        """Return an Explorer of the input that shows the first finding, with its wrong cells lit.

        Raises
        ------
        ValueError
            If no output could be compared.
        """
        from normviz.explorer.widget import Explorer

        if self.x is None:
            raise ValueError("there is no input to explore: fn gave no output that could be compared")
        return Explorer(self.x, **self._scene() | keywords)

    def _scene(self) -> dict[str, Any]:
        known = {"method": self.method, "num_groups": self.num_groups, "eps": max(self.eps, 1e-30)}
        cell = self.findings[0].cell if self.findings else None
        if cell is not None and len(cell) == len(self.shape):
            index = [*cell]
            channel = index.pop(self.channel_axis % len(cell))
            known["index"] = (index[0], channel, *index[1:])
        return known | {"channel_axis": self.channel_axis, "marks": self.wrong, "title": f"Check: {self._short()}"}

    def _name(self) -> str:
        return METHODS[self.method].named(self.num_groups)

    def _short(self) -> str:
        return "passed" if self.passed else ", ".join(self.codes)

    def _last_lines(self) -> list[str]:
        calls = f"({self.calls} calls with {self.dtype} of shape {self.shape}, {self.framework}.)"
        skipped = [f"Not checked: {what} ({why})." for what, why in self.skipped.items()]
        return [*skipped, *self.notes, calls if self.shape else "(No output could be compared.)"]

    def _headline(self) -> str:
        requested = f"{self._name()} {'and' if self.num_groups else 'with'} eps = {self.eps:.4g}"
        if self.passed:
            return f"Passed: this is {requested}."
        n = len(self.findings)
        return f"Failed: this is not {requested}. {n} finding{'s' if n > 1 else ''}:"

    def __str__(self) -> str:
        lines = [self._headline()]
        for number, finding in enumerate(self.findings, 1):
            lines.append(f"  {number}. {finding}")
            if finding.hint:
                lines.append(f"     Hint: {finding.hint}")
        return "\n".join(lines + self._last_lines())

    def __repr__(self) -> str:
        return f"<Verdict on {self._name()}: {self._short()}, {self.calls} calls>"

    def _repr_html_(self) -> str:
        findings = "".join(
            f"<li><b><code>{html.escape(f.code)}</code></b>: {html.escape(f.message)}"
            + (f"<br><i>Hint: {html.escape(f.hint)}</i></li>" if f.hint else "</li>")
            for f in self.findings
        )
        text = f"<p><b>{html.escape(self._headline())}</b></p>" + (f"<ol>{findings}</ol>" if findings else "")
        return text + f"<p>{html.escape(' '.join(self._last_lines()))}</p>" + self._picture()

    def _picture(self) -> str:
        """Return the explorer with the wrong cells crossed, as HTML; empty if no cell is wrong.

        Where most cells are wrong, crosses say nothing. Then the sets of fn stand beside those of the method.
        """
        if self.x is None or self.wrong is None or not self.wrong.any():
            return ""
        from normviz.explorer.show import beside_given_sets, show

        scene = self._scene()
        if 2 * self.wrong.sum() <= self.wrong.size:
            return show(self.x, **scene).fragment()
        text, scene["marks"] = f"{self.wrong.sum()} of {self.wrong.size} cells are wrong, so none has a cross.", None
        if self.sets is None:
            return f"<p>{text}</p>" + show(self.x, **scene).fragment()
        right = html.escape(self._name())
        text += f" The first picture has the sets of {right}, the second the sets of fn. Click a cell to compare them."
        return f"<p>{text}</p>" + beside_given_sets(self.x, self.sets, **scene).fragment()
