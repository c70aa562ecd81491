"""What a check has found: its findings, in words, for a test, and with the wrong cells lit."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import METHODS

if TYPE_CHECKING:
    from normviz.explorer.widget import Explorer


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    code
        Its name: that of a known bug, or of the first stage that is wrong.
    message
        What is wrong, where, and by how much.
    cell
        The cell of x, as fn has it, that shows it best; (c,) for a running statistic; None where no cell does.
    expected, seen
        The numbers there; for wrong-shape and wrong-dtype, and where there are no numbers, what stands for them.
    hint
        Where to look.
    details
        What the bug is made of, by code: axes, eps, m.
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


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """What `check` says of a function.

    Attributes
    ----------
    findings
        What is wrong, the first thing to mend first.
    method, num_groups, eps
        What was asked for.
    shape, channel_axis, framework, dtype
        What fn was called with.
    calls
        Forward calls used.
    skipped
        What could not be checked -> why.
    x, wrong
        The input that shows the first finding, as fn has it, and, with axes (N, C, *spatial), its wrong cells.
    cause
        What fn raised, if it did.
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
    x: np.ndarray | None = None
    wrong: np.ndarray | None = None
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
        """Raise AssertionError with all that is wrong, if anything is."""
        if self.findings:
            raise AssertionError(str(self)) from self.cause

    def explore(self, **keywords: Any) -> Explorer:
        """Open the Explorer on the input that shows the first finding, its wrong cells lit.

        Raises
        ------
        ValueError
            If no input was compared.
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

    # ---- in words ----

    def _name(self) -> str:
        return METHODS[self.method].label + (f" with G = {self.num_groups}" if self.num_groups else "")

    def _short(self) -> str:
        return "passed" if self.passed else ", ".join(self.codes)

    def _with(self) -> str:
        if not self.shape:
            return "(No output could be compared.)"
        return f"({self.calls} calls with {self.dtype} of shape {self.shape}, {self.framework}.)"

    def _headline(self) -> str:
        asked = f"{self._name()} {'and' if self.num_groups else 'with'} eps = {self.eps:.4g}"
        if self.passed:
            return f"Passed: this is {asked}."
        n = len(self.findings)
        return f"Failed: this is not {asked}. {n} finding{'s' if n > 1 else ''}:"

    def __str__(self) -> str:
        lines = [self._headline()]
        for number, finding in enumerate(self.findings, 1):
            lines.append(f"  {number}. {finding}")
            if finding.hint:
                lines.append(f"     Hint: {finding.hint}")
        lines += [f"Not checked: {what} ({why})." for what, why in self.skipped.items()]
        return "\n".join([*lines, self._with()])

    def __repr__(self) -> str:
        return f"<Verdict on {self._name()}: {self._short()}, {self.calls} calls>"

    def _repr_html_(self) -> str:
        said = "".join(
            f"<li><b><code>{html.escape(f.code)}</code></b>: {html.escape(f.message)}"
            + (f"<br><i>Hint: {html.escape(f.hint)}</i></li>" if f.hint else "</li>")
            for f in self.findings
        )
        rest = [f"Not checked: {what} ({why})." for what, why in self.skipped.items()]
        text = f"<p><b>{html.escape(self._headline())}</b></p>" + (f"<ol>{said}</ol>" if said else "")
        return text + f"<p>{html.escape(' '.join([*rest, self._with()]))}</p>" + self._picture()

    def _picture(self) -> str:
        """The explorer with the wrong cells lit; the words stand without it where it can't be drawn."""
        if self.x is None or self.wrong is None or not self.wrong.any():
            return ""
        from normviz.explorer.show import show

        return show(self.x, **self._scene())._repr_mimebundle_()["text/html"]
