"""What a probe has found: its fields, a paragraph in plain words, a table, and the explorer on the measured sets."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..methods import METHODS

if TYPE_CHECKING:
    from ..explorer import Explorer


@dataclass(frozen=True, eq=False, repr=False)
class Probe:
    """What a function normalizes, as `probe` measured it. A field that could not be told is None.

    Attributes
    ----------
    method, num_groups
        A key of METHODS with these sets and this statistic, and its G; None if there is none. Where two methods are the
        same sets, as Group Norm with G = 1 and Layer Norm, it is the one without groups.
    block
        Extents of a set along each axis of `shape`, also when no method has it; None if the sets are no equal boxes.
    labels
        Int array of `shape`: which set each cell is in.
    centered
        Whether a mean is subtracted.
    eps, eps_inside
        What is added, and whether under the root; eps is 0.0 where nothing is added.
    unbiased
        Whether the sum of squares is divided by m - 1 instead of m.
    affine
        "none", "channel", "group" or "element": the simplest layout of weight and bias that explains the output. A
        weight of 1 and a bias of 0 throughout is "none".
    weight, bias
        float64, of shape (C,), (G,) or that of a sample, shape[1:]; None where affine is "none".
    couples_samples
        Whether the output for one sample depends on others.
    elementwise
        Whether each output depends on its own input alone, as in Batch Norm's eval mode.
    stochastic
        Whether the same input gives another output next time.
    is_normalizer
        Whether the sets' own statistics take their scale out.
    calls
        Forward calls used.
    undetermined
        Field -> why it could not be told.
    shape, channel_axis, framework, dtype
        What fn was called with.
    """

    method: str | None
    num_groups: int | None
    block: tuple[int, ...] | None
    labels: np.ndarray | None
    centered: bool | None
    eps: float | None
    eps_inside: bool | None
    unbiased: bool | None
    affine: str | None
    weight: np.ndarray | None
    bias: np.ndarray | None
    couples_samples: bool | None
    elementwise: bool | None
    stochastic: bool
    is_normalizer: bool | None
    calls: int
    undetermined: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    channel_axis: int = 1
    framework: str = "numpy"
    dtype: str = "float64"

    def explore(self, x: Any = None, **keywords: Any) -> Explorer:
        """Open the Explorer on the measured sets.

        Parameters
        ----------
        x
            An array of `shape`; random numbers if there is none.
        keywords
            As for Explorer; they win over what the probe would say.

        Raises
        ------
        ValueError
            If the sets could not be told.
        """
        if self.labels is None:
            raise ValueError(f"there are no sets to explore: {self.undetermined['labels']}")
        from ..blocks import canonical
        from ..explorer import Explorer

        if x is None:
            x = np.random.default_rng(0).normal(size=self.shape).astype(np.float32)
        axis = keywords.setdefault("channel_axis", self.channel_axis)
        keywords.setdefault("labels", canonical(self.labels, axis))
        keywords.setdefault("title", f"Measured: {self._kind()}")
        if self.eps:
            keywords.setdefault("eps", self.eps)
        if self.affine == "channel":
            keywords = {"weight": self.weight, "bias": self.bias} | keywords
        return Explorer(x, **keywords)

    def __str__(self) -> str:
        return " ".join(self._sentences())

    def __repr__(self) -> str:
        return f"<Probe: {self._kind()}, {self.calls} calls>"

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(text)}</td></tr>"
            for name, text in self._rows()
        )
        return f"<p>{html.escape(str(self))}</p><table>{rows}</table>"

    # ---- in words ----

    def _kind(self) -> str:
        if self.method:
            return METHODS[self.method].label + (f" with G = {self.num_groups}" if self.num_groups else "")
        if self.elementwise:
            return "no sets, each cell by itself"
        if self.labels is None:
            return "no sets that can be told"
        return f"sets of {self._cells()} cells that no method in the table has"

    def _cells(self) -> str:
        sizes = np.unique(np.bincount(self.labels.ravel())) if self.labels is not None else [0]
        return " or ".join(str(size) for size in sizes[:3]) + (" or more" if len(sizes) > 3 else "")

    def _sentences(self) -> list[str]:
        said = [*self._of_sets(), *self._of_numbers()]
        if self.stochastic:
            said.append("It is random: the same input gives another output next time, as dropout does.")
        if self.undetermined:
            whys: dict[str, list[str]] = {}
            for name, why in self.undetermined.items():
                whys.setdefault(why, []).append(name)
            open_ = "; ".join(f"{', '.join(names)} ({why})" for why, names in whys.items())
            said.append(f"Could not be told: {open_}.")
        said.append(f"({self.calls} calls with {self.dtype} of shape {self.shape}, {self.framework}.)")
        return said

    def _of_sets(self) -> list[str]:
        if self.elementwise:
            if self.affine is None:
                return ["No normalizer: each output depends on its own input alone, and is no straight line of it."]
            if self.affine == "none":
                return ["No normalizer: the output is the input."]
            return [
                "No normalizer of this input: each cell is scaled and shifted by itself, by fixed numbers, "
                f"one pair for each {_per(self.affine)}. Batch Norm in eval mode does that, with its running statistics."
            ]
        if self.labels is None:
            return [{False: "No normalizer.", None: "Perhaps a normalizer.", True: "A normalizer."}[self.is_normalizer]]
        count = int(self.labels.max()) + 1
        shared = "all cells share one set" if count == 1 else f"{count} sets of {self._cells()} cells each"
        of = f", in boxes of {' × '.join(map(str, self.block))}" if self.block and count > 1 else ""
        if self.block is None:
            of = "; they are no equal boxes"
        first = {
            True: f"{self._kind()}: {shared}{of}.",
            False: f"No normalizer, though cells answer to one another: {shared}{of}.",
            None: f"Perhaps a normalizer: {shared}{of}.",
        }[self.is_normalizer]
        coupled = {
            True: "Samples influence one another.",
            False: "Samples do not influence one another.",
            None: "",
        }[self.couples_samples]
        return [first, coupled] if coupled else [first]

    def _of_numbers(self) -> list[str]:
        said = []
        if self.is_normalizer and self.centered is not None:
            by = "the mean of the set is subtracted" if self.centered else "no mean is subtracted"
            how = {True: " (unbiased: divided by m - 1)", False: "", None: ""}[self.unbiased]
            root = f"the root of the {'variance' if self.centered else 'mean square'}{how}"
            if self.eps is None:
                said.append(f"{by.capitalize()}, and {root} divides.")
            elif self.eps == 0:
                said.append(
                    f"{by.capitalize()}, and {root} divides, with no eps: a constant set gives NaN or infinity."
                )
            else:
                where = "under the root" if self.eps_inside else "outside the root"
                said.append(f"{by.capitalize()}, and {root} divides, with eps = {self.eps:.4g} {where}.")
        if self.affine == "none" and not self.elementwise:
            said.append("No weight or bias shows.")
        elif self.weight is not None and self.bias is not None:
            ends = f"weights {_range(self.weight)}, biases {_range(self.bias)}"
            said.append(f"Then one weight and one bias for each {_per(self.affine)}: {ends}.")
        return said

    def _rows(self) -> list[tuple[str, str]]:
        shown = ("method", "num_groups", "block", "centered", "eps", "eps_inside", "unbiased", "affine")
        shown += ("couples_samples", "elementwise", "stochastic", "is_normalizer", "calls")
        return [(n, f"? {self.undetermined[n]}" if n in self.undetermined else str(getattr(self, n))) for n in shown]


def _per(affine: str | None) -> str:
    return {"element": "element of a sample"}.get(affine or "", affine or "")


def _range(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if math.isclose(low, high, rel_tol=1e-4, abs_tol=1e-6) else f"{low:.4g} to {high:.4g}"
