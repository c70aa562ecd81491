"""The result of a probe: its fields, a paragraph of text, a table, and the explorer on the measured sets."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import canonical
from normviz.explorer.fragment import Fragment
from normviz.inspect.probe.reading import misread
from normviz.inspect.probe.sets import block_of, every_pooling

if TYPE_CHECKING:
    from normviz.explorer.widget import Explorer


@dataclass(eq=False, repr=False)
class Probe(Fragment):
    """What a function normalizes, as `probe` measured it. A field that could not be measured is None.

    Attributes
    ----------
    method, num_groups
        A key of METHODS with these sets and this statistic, and its G; None if there is none. Where two methods have
        the same sets, as Group Norm with G = 1 and Layer Norm, it is the one without groups.
    block
        Extents of a set along each axis of `shape`, even if no method has it; None if the sets are not equal boxes.
    labels
        Int array of `shape`: the number of the set that each cell is in.
    centered
        Whether a mean is subtracted.
    eps, eps_inside
        The eps that is added, and whether under the root; eps is 0.0 where nothing is added.
    unbiased
        Whether the sum of squares is divided by one less than the number of cells in the set.
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
        Whether the same input gives another output in another call.
    is_normalizer
        Whether each set is divided by a statistic of its own, so that its scale does not matter.
    calls
        Forward calls used.
    undetermined
        Field -> why it could not be measured.
    form
        How the statistics are used, such as "(x - mean) / std"; None if no form explains the output.
    mute
        Boolean array of `shape`: cells that were found to change no other cell of their sets, such as padding that a
        mask leaves out of the statistics; there may be more. None if none was found.
    shape, channel_axis, framework, dtype
        Of the arrays that fn was called with.
    passed
        The other arguments that fn was called with, in words; empty if there were none.
    """

    method: str | None = None
    num_groups: int | None = None
    block: tuple[int, ...] | None = None
    labels: np.ndarray | None = None
    centered: bool | None = None
    eps: float | None = None
    eps_inside: bool | None = None
    unbiased: bool | None = None
    affine: str | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    couples_samples: bool | None = None
    elementwise: bool | None = None
    stochastic: bool = False
    is_normalizer: bool | None = None
    calls: int = 0
    undetermined: dict[str, str] = field(default_factory=dict)
    form: str | None = None
    mute: np.ndarray | None = None
    shape: tuple[int, ...] = ()
    channel_axis: int = 1
    framework: str = "numpy"
    dtype: str = "float64"
    passed: str = ""

    def explore(self, x: Any = None, **keywords: Any) -> Explorer:
        """Open the Explorer on the measured sets.

        Parameters
        ----------
        x
            An array of `shape`; None takes random numbers.
        keywords
            As for Explorer; they take precedence over the measured values.

        Raises
        ------
        ValueError
            If the sets could not be measured.
        """
        if self.labels is None:
            raise ValueError(f"there are no sets to explore: {self.undetermined['labels']}")
        from normviz.explorer.widget import Explorer

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

    def sets_in_words(self) -> str | None:
        """Describe the measured sets, as `sets_in_words` does; None where `undetermined["labels"]` gives the reason."""
        return None if self.labels is None else sets_in_words(self.labels, self.channel_axis)

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

    # ---- text ----

    def _kind(self) -> str:
        if self.method == "weight_norm":  # the same computation on features is an L2 norm
            return "An L2 norm of each sample, or Weight Norm if x holds weights"
        if self.method:
            return METHODS[self.method].named(self.num_groups)
        if self.elementwise:
            return "Each cell by itself"
        if "method" in self.undetermined:
            return "A normalizer" if self.is_normalizer else "Sets whose method could not be measured"
        return "Sets of no method in the table" if self.labels is not None else "No sets"

    def _sentences(self) -> list[str]:
        sentences = [*self._of_sets(), *self._of_statistics(), *self._of_affine()]
        if self.stochastic:
            sentences.append("It is random: the same input gives a different output each time, as with dropout.")
        if self.undetermined:
            whys: dict[str, list[str]] = {}
            for name, why in self.undetermined.items():
                whys.setdefault(why, []).append(name)
            unknown = "; ".join(f"{', '.join(names)} ({why})" for why, names in whys.items())
            sentences.append(f"Could not be measured: {unknown}.")
        sentences += [f"The probe passed {self.passed}."] * bool(self.passed)
        return [*sentences, f"({self.calls} calls with {self.dtype} of shape {self.shape}, {self.framework}.)"]

    def _of_sets(self) -> list[str]:
        if self.elementwise:
            if self.affine == "none":
                return ["Not a normalizer: the output is the input."]
            if self.affine is None:
                linear = "is not linear in it" if self.form is None else "is a linear function of it"
                also = "" if self.stochastic else f", and {linear}"
                return [f"Not a normalizer: each output depends on its own input alone{also}."]
            fixed = ["Not a normalizer of this input: each cell is scaled and shifted by fixed numbers."]
            batch = ["Batch Norm does this in eval mode, with its running statistics."]
            return fixed + batch * (self.affine == "channel")
        verdict = {
            True: self._kind() if self.method or "method" in self.undetermined else "A normalizer with sets of its own",
            False: "Not a normalizer, although outputs depend on other cells"
            if self.labels is not None
            else "Not a normalizer",
            None: f"Perhaps {self._kind()}" if self.method else "Perhaps a normalizer",
        }[self.is_normalizer]
        if self.labels is None:
            return [f"{verdict}."]
        sentences = [f"{verdict}: {self.sets_in_words()}."]
        sizes = np.bincount(self.labels.ravel())
        if (alone := int((sizes == 1).sum())) and sizes.max() > 1:
            sentences.append(
                f"{_cells(alone, 'stand')} alone: no other cell responds to them, and they respond to no other cell."
            )
        if self.mute is not None:
            found = _cells(int(self.mute.sum()), "are", "is")
            sentences.append(
                f"The sets are disjoint, but at least {found} mute: no other cell responds to them, for instance "
                "because of a mask."
            )
        coupled = {
            True: ["The output for a sample depends on other samples."],
            False: ["The output for a sample does not depend on other samples."],
            None: [],
        }
        return [*sentences, *self._reshaped(), *coupled[self.couples_samples]]

    def _reshaped(self) -> list[str]:
        """Name the reshape that makes such sets, where no method has them."""
        labels = self.labels
        if labels is None or self.method or "method" in self.undetermined or len(np.unique(labels)) in (1, labels.size):
            return []
        rows = [(row, pool.num_groups) for row, pool in every_pooling(canonical(labels, self.channel_axis).shape)]
        rows = [pair for pair in rows if pair[0].axes == "activations" and pair[0].centered in (self.centered, None)]
        if self.block:  # only Group Norm, since other boxes come from wrong axes or from windows
            rows = [(row, groups) for row, groups in rows if row.name == "group"]
        found = misread(labels, self.channel_axis, rows)
        found = [r for r in found if not self.block or (r.read[0] == "N" and r.moves_channels_only)]
        text = "They are those of {0.method} where {0}. Was a reshape used in place of a transpose?"
        return [text.format(reading) for reading in found[:1]]

    def _of_statistics(self) -> list[str]:
        if not self.is_normalizer or self.centered is None:
            return []
        what = "variance" if self.centered else "mean square"
        if self.unbiased:
            what += " (unbiased: divided by |S| - 1)"
        if self.form and self.form.endswith("root sum of squares"):
            what = "sum of squares"
        elif not self.centered and (self.form is None or "mean or sum" in self.form):  # the two differ by a factor
            what = "mean square, or of the sum of squares,"
        elif self.form not in (None, "(x - mean) / std", "x / root mean square"):
            return [f"It gives {self.form}."]
        start = "The mean of the set is subtracted, and the result" if self.centered else "No mean is subtracted, and x"
        if self.eps is None:
            return [f"{start} is divided by the square root of the {what}."]
        if self.eps == 0:
            return [f"{start} is divided by the square root of the {what}, with no eps."]
        where = "under the root" if self.eps_inside else "outside the root"
        return [f"{start} is divided by the square root of the {what}, with eps = {self.eps:.4g} {where}."]

    def _of_affine(self) -> list[str]:
        if self.affine == "none" and not self.elementwise:
            return ["No weight or bias is applied."]
        if self.weight is None or self.bias is None:
            return []
        per = {"element": "element of a sample"}.get(self.affine or "", self.affine)
        if self.method == "weight_norm":
            per = "sample, or output channel"
        ends = f"weights {_range(self.weight)}, biases {_range(self.bias)}"
        return [f"One weight and one bias for each {per}: {ends}."]

    def _rows(self) -> list[tuple[str, str]]:
        shown = ("method", "num_groups", "block", "centered", "eps", "eps_inside", "unbiased", "affine")
        shown += ("couples_samples", "elementwise", "stochastic", "is_normalizer", "calls")
        return [(n, f"? {self.undetermined[n]}" if n in self.undetermined else str(getattr(self, n))) for n in shown]


def sets_in_words(labels: np.ndarray, channel_axis: int) -> str:
    """Describe sets, given as labels in fn's own layout, for use within a sentence.

    Boxes are given with their extents along fn's axes: "16 sets of 72 cells each, in boxes of 1 × 2 × 6 × 6". Other
    forms are "all 1152 cells share one set", "1152 sets of one cell each", and "8 sets of 108 to 180 cells, which are
    not equal boxes: the first cell's set has cells of channels 0, 1, 2". Single cells beside larger sets do not count.
    """
    sizes = np.bincount(labels.ravel())
    if len(sizes) == 1:
        return f"all {labels.size} cells share one set"
    if sizes.max() == 1:
        return f"{len(sizes)} sets of one cell each"
    larger = sizes[sizes > 1]
    low, high = larger.min(), larger.max()
    cells = f"{low} cells each" if low == high else f"{low} to {high} cells"
    text = f"{len(larger)} sets of {cells}" if len(larger) > 1 else f"one set of {high} cells"
    if block := block_of(labels):
        return f"{text}, in boxes of {' × '.join(map(str, block))}"
    first = np.flatnonzero(sizes[labels] > 1)[0]
    channels = np.unique(np.nonzero(labels == labels.flat[first])[channel_axis])
    listed = ", ".join(map(str, channels[:8])) + (", ..." if len(channels) > 8 else "")
    which = "the first of them" if first else "the first cell's set"
    return f"{text}, which are not equal boxes: {which} has cells of channels {listed}"


def _cells(count: int, verb: str, singular: str = "") -> str:
    return f"{count} cell{'s' * (count > 1)} {verb if count > 1 else singular or verb + 's'}"


def _range(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if math.isclose(low, high, rel_tol=1e-4, abs_tol=1e-6) else f"{low:.4g} to {high:.4g}"
