"""The result of a comparison: where two models part, as fields, a text and a table."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

import numpy as np

from normviz.explorer.fragment import Fragment
from normviz.inspect.audit.table import html_box, html_table, times
from normviz.inspect.audit.tensors import short_name
from normviz.inspect.compare.layer_diff import LayerPair, times_in_words
from normviz.inspect.compare.matching import OTHER_VALUES, UNTOLD
from normviz.inspect.compare.recording import UNKNOWN, LayerUse
from normviz.inspect.probe.report import Probe

HEADS = ("a", "b", "kind", "input differs", "output differs", "settings that differ")
MAX_OTHERS = 8
"""Pairs other than the first, and layers of one model alone, that a text lists."""


@dataclass(kw_only=True, eq=False, repr=False)
class Comparison(Fragment):
    """Where two models part, made by `compare`.

    Attributes
    ----------
    pairs
        A list of LayerPair, in order of use; empty if one of the two is not a torch model.
    only_a, only_b
        Lists of LayerUse: layers without a counterpart in the other model.
    first
        The first pair at which the numbers part. If the outputs of the models agree, the first with a setting that
        differs and acts, such as an eps far below the variance, or momentum in train mode. None if there is neither.
    between
        If the inputs of `first` part already, the cause is not a normalization layer of both models: then the names of
        the layer before, whose outputs agree, and of `first`. "(input)" and "(output)" stand for the models' ends.
    same
        Whether the models' outputs agree. Settings that differ without showing are in `first`, and in the text.
    output_difference, tolerance
        Of the models' first output: cell by cell, also if one has its axes in another order.
    notes, measured
        Sentences: on the outputs, and on known bugs that explain those of the first pair; and on what probe measures.
    norms
        What probe measures of the two norms that the caller names, where the outputs differ; else empty.
    """

    pairs: list[LayerPair]
    only_a: list[LayerUse]
    only_b: list[LayerUse]
    output_difference: float | None
    tolerance: float
    notes: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    norms: list[Probe] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first: LayerPair | None = None
        self.between: tuple[str, str] | None = None
        self.explained = False  # whether a known bug explains the first pair
        self._untold: list[str] = []  # pairs before `first` that could not be compared
        self.outputs_agree = self.output_difference is not None and self.output_difference <= self.tolerance
        if not self.outputs_agree:
            self._find_where_they_part()
        if self.between is None and self.first is None:
            self.first = next((p for p in self.pairs if self._acts(p)), None)
        known = self.output_difference is not None
        self.same = self.outputs_agree if known else self.between is None and self.first is None

    def _find_where_they_part(self) -> None:
        before = "(input)"
        for number, pair in enumerate(self.pairs):
            if pair.unmatched == UNTOLD:
                self._untold.append(short_name(pair.name))
                continue
            if self._made_up_for(number):
                continue
            if pair.input_parts or pair.output_parts:
                self.first, self.between = pair, (before, pair.name) if pair.input_parts else None
                return
            before, self._untold = pair.name, []
        if self.output_difference is not None:
            self.between = (before, "(output)")

    def _made_up_for(self, number: int) -> bool:
        """Whether a pair that differs cannot be where the models part."""
        pair = self.pairs[number]
        if np.isinf(pair.input_difference or 0.0):  # there is nothing to compare
            return any(p.matched and not p.input_parts for p in self.pairs[number + 1 :])
        # the layer itself may take it out again
        return pair.input_parts and pair.output_difference is not None and not pair.output_parts

    def _acts(self, pair: LayerPair) -> bool:
        """Whether a setting differs that a run on other values would show."""
        acting = {d.what for d in pair.differences if d.acts}
        if pair.input_parts or pair.output_parts:  # something later makes up for all that this run shows
            return not acting.isdisjoint(("mode", "momentum"))
        return bool(acting - {"input_shape"})

    def __str__(self) -> str:
        return "\n".join(
            [self._headline(), *self._cause(), *(f"  {n}" for n in self.notes + self.measured), *self._others()]
        )

    def __repr__(self) -> str:
        where = "the same" if self.same else "not the same"
        if self.first:
            name = short_name(self.first.name)
            where = f"{name} is set differently" if self.same else f"part at {name}"
        return f"<Comparison of {len(self.pairs)} pairs of layers: {where}>"

    def _repr_html_(self) -> str:
        rows = []
        for p in self.pairs:
            differences = _number(p.input_difference), _number(p.output_difference)
            settings = "; ".join(map(str, p.differences)) or "–"
            cells = (short_name(p.a.name), short_name(p.b.name), p.a.kind, *differences, settings)
            rows.append((cells, "" if p is self.first else None))
        items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in str(self).splitlines()[1:])
        headline = f"<p><b>{html.escape(self._headline())}</b></p>" + (f"<ul>{items}</ul>" if items else "")
        return html_box(headline + (html_table(HEADS, rows, wide=HEADS[-1]) if rows else ""))

    def _headline(self) -> str:
        p = self.first
        all_agree = not any(pair.input_parts or pair.output_parts for pair in self.pairs)
        if self.same and self.first is None:
            if not self.pairs or not all_agree:
                return "The outputs of the two models agree, on this example."
            if self.only_a or self.only_b:
                return "All numbers that can be compared agree, but some layers have no counterpart."
            many = f"{len(self.pairs)} pair{'s' * (len(self.pairs) != 1)} of normalization layers"
            return f"The two models agree at {many} and in their output, on this example."
        if self.between:
            return self._where(*self.between)
        if p and p.output_parts and not self.outputs_agree:
            return (
                f"The two models begin to differ at {short_name(p.name)}: inputs agree "
                f"(they differ by {_number(p.input_difference)}), outputs differ by {_number(p.output_difference)} "
                f"(relative; {p.tolerance:g} counts as rounding)."
            )
        subject = "All numbers agree" if all_agree else "The outputs agree"
        return f"{subject} on this example, but {short_name(p.name if p else '')} is set differently."

    def _where(self, before: str, after: str) -> str:
        if not self.pairs and not self.only_a and not self.only_b:
            return f"The outputs of the two {_differ(self.output_difference)}."
        start = "the input" if before == "(input)" else f"{short_name(before)}, whose outputs agree,"
        p, end, cause = self.first, "the output", "no normalization layer of both is the cause"
        if p:
            what = _differ(p.input_difference)
            if np.isinf(p.input_difference or 0.0):
                what = "hold other values" if p.unmatched == OTHER_VALUES else "have other shapes"
            if what == "have other shapes":
                cause = f"no comparison of {short_name(after)} was possible"
            end = f"{short_name(after)}, whose inputs {what}"
        if self._untold:
            cause = f"{', '.join(self._untold)} could not be compared, as cells could not be matched"
        return f"The two models begin to differ between {start} and {end}: {cause}."

    def _cause(self) -> list[str]:
        """Return lines on what differs in the first pair, or before it."""
        p = self.first
        if p is None:
            return [f"  The outputs {_differ(self.output_difference)}."] if self.between and self.pairs else []
        name = short_name(p.name)
        if self.between:
            made = [f"{short_name(use.before)} in {m}" for m, use in (("a", p.a), ("b", p.b)) if use.before]
            return [f"  The input of {name} is made by {' and '.join(made)}."] if made else []
        lines = [f"  {name} {p.pools}."] if p.pools else []
        lines += [f"  {name}: {d}." for d in p.differences if d.what != "block" or not p.pools]
        if lines or self.explained:
            return lines
        if UNKNOWN in (p.a.kind, p.b.kind):
            m = "a" if p.a.kind == UNKNOWN else "b"
            return [f"  {name} could not be compared further: no sets of its input explain its output in {m}."]
        if "output" in (p.a.known_by, p.b.known_by):
            return [f"  {name} is known only by its output, so weight and bias could not be compared."]
        return [f"  The settings of {name} agree. Its arithmetic differs, or it enlarges a difference of its inputs."]

    def _others(self) -> list[str]:
        lines = []
        for m, uses in (("a", self.only_a), ("b", self.only_b)):
            paired = {getattr(p, m).name: p for p in self.pairs}
            only = [use for use in uses if use.name not in paired]
            moving = [use for use in only if use.mode == "train" and use.running is not None and use.own]
            why = f", only in {m}, is in train mode: it uses batch statistics, not its running statistics."
            lines += _first_few([f"  Layer {short_name(use.name)}{why}" for use in moving], "  So are {} more.")
            texts = [f"{short_name(use.name)} ({short_name(use.type)}, input {times(use.input_shape)})" for use in only]
            more = f"  Only in {m}: {{}} more layers; see .only_{m}."
            lines += _first_few([f"  Only in {m}: {text}." for text in texts], more)
            for name in dict.fromkeys(use.name for use in uses if use.name in paired):
                of_it = [p for p in self.pairs if getattr(p, m).name == name]
                own, other = (sum(getattr(p, which).calls for p in of_it) for which in (m, "ab".replace(m, "")))
                own += sum(use.name == name for use in uses)
                lines.append(f"  {m} calls {short_name(name)} {own} times, the other model {times_in_words(other)}.")
        others = [p for p in self.pairs if p is not self.first]
        for p in others:
            if p.unmatched == UNTOLD or (p.unmatched and self.outputs_agree):
                lines.append(f"  {short_name(p.name)} could not be compared: {p.unmatched}.")
        told = [f"  Also: {short_name(p.name)}: {'; '.join(map(str, p.differences))}." for p in others if p.differences]
        return lines + _first_few(told, "  Also: {} more pairs are set differently; see .pairs.")


def _first_few(lines: list[str], more: str) -> list[str]:
    """Return a list, cut where it is long, and then how many are left."""
    return lines[:MAX_OTHERS] + [more.format(len(lines) - MAX_OTHERS)] * (len(lines) > MAX_OTHERS)


def _differ(value: float | None) -> str:
    return "cannot be compared" if value is not None and np.isinf(value) else f"differ by {_number(value)}"


def _number(value: float | None) -> str:
    return "–" if value is None else "0" if value == 0 else f"{value:.2g}"
