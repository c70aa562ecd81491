"""What a comparison of two models has found: pairs of layers, and where the numbers part."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normviz.inspect.audit.tables import STYLE, scrolled

TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 5e-3, "bfloat16": 5e-2}
HEADS = ("a", "b", "kind", "input differs", "output differs", "settings that differ")


def tolerance_of(*dtypes: str) -> float:
    """Return the relative difference that is rounding in the coarsest of the dtypes."""
    return max((TOLERANCES.get(d, TOLERANCES["float32"]) for d in dtypes), default=TOLERANCES["float32"])


def relative(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Return the root mean square of a - b over that of the larger of them, in float64; infinite for other shapes.

    >>> relative(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1, relative(np.zeros(2), np.zeros(3))
    (True, inf)
    """
    if a.shape != b.shape:
        return np.inf
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    with np.errstate(all="ignore"):
        off, size_a, size_b = (
            float(np.sqrt(np.square(t, dtype=np.float64).mean())) for t in (np.subtract(a, b, dtype=np.float64), a, b)
        )
        found = off / max(size_a, size_b, least)
    return found if np.isfinite(found) else np.inf


@dataclass(frozen=True, eq=False)
class Side:
    """One use of a normalization layer in one of the models, axes as (N, C, *spatial).

    Attributes
    ----------
    name, type, kind, num_groups, block, input_shape, eps, mode, known_by
        As in `Layer`.
    momentum
        The share of the newest batch in the running statistics; None for a cumulative mean, and where there are none.
    weight, bias
        Flat, float64; None where there is none.
    running
        Running mean and variance before the run; None where there are none.
    own
        Whether the input's own statistics were used.
    before
        The module or function that made the input, where it is known.
    dtype
        Of the input.
    """

    order: int
    name: str
    type: str
    kind: str
    num_groups: int | None
    block: tuple[int, ...] | None
    input_shape: tuple[int, ...]
    eps: float | None
    momentum: float | None
    running: tuple[np.ndarray, np.ndarray] | None
    own: bool
    mode: str
    known_by: str
    before: str | None
    dtype: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    x: np.ndarray | None = None
    y: np.ndarray | None = None

    def bare(self) -> Side:
        """Return this without the activations."""
        return replace(self, x=None, y=None)


@dataclass(frozen=True, eq=False)
class Difference:
    """One thing that is set differently in two layers.

    Attributes
    ----------
    what
        "kind", "num_groups", "block", "input_shape", "eps", "mode", "momentum", "running", "running_mean",
        "running_var", "affine", "weight" or "bias".
    a, b
        The two values.
    message
        Both in words.
    acts
        Whether it can change an output or a state in the mode that the models are in.
    """

    what: str
    a: Any
    b: Any
    message: str
    acts: bool = True

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, eq=False)
class Pair:
    """A layer of model_a and the one of model_b that it was held against.

    Attributes
    ----------
    a, b
        The two, as Side.
    differences
        What is set differently, a tuple of Difference.
    input_difference, output_difference
        Root mean square of the difference over that of the numbers; infinite where shapes differ; None where a tensor
        has no numbers to look at.
    tolerance
        Above it they part.
    """

    a: Side
    b: Side
    differences: tuple[Difference, ...]
    input_difference: float | None
    output_difference: float | None
    tolerance: float

    @property
    def name(self) -> str:
        """The name, or both where they differ."""
        return self.a.name if self.a.name == self.b.name else f"{self.a.name} / {self.b.name}"

    @property
    def input_parts(self) -> bool:
        """Whether the inputs differ by more than rounding."""
        return (self.input_difference or 0.0) > self.tolerance

    @property
    def output_parts(self) -> bool:
        """Whether the outputs differ by more than rounding."""
        return (self.output_difference or 0.0) > self.tolerance

    @property
    def acting(self) -> tuple[Difference, ...]:
        """The differences that can change something in this mode."""
        return tuple(d for d in self.differences if d.acts)


class Comparison:
    """Where two models part, made by `compare`.

    Attributes
    ----------
    pairs
        A list of Pair, in order of use.
    only_a, only_b
        Lists of Side: layers that the other model has no counterpart of.
    first
        The first pair at which the numbers part; if all agree, the first that is set differently in a way that acts,
        as eps far below the variance, or momentum in train mode; None if there is neither.
    between
        Where the inputs of `first` part already, so that the cause is no normalization layer that both have: names of
        the layer before, whose outputs still agree, and of `first`; "(output)" stands for the end of the models.
    same
        Whether all numbers agree, nothing that acts is set differently, and no layer is without counterpart.
    output_difference, tolerance
        Of the models' first output.
    """

    def __init__(
        self,
        *,
        pairs: list[Pair],
        only_a: list[Side],
        only_b: list[Side],
        output_difference: float | None,
        tolerance: float,
    ) -> None:
        self.pairs, self.only_a, self.only_b = pairs, only_a, only_b
        self.output_difference, self.tolerance = output_difference, tolerance
        self.first: Pair | None = None
        self.between: tuple[str, str] | None = None
        before = "(input)"
        for pair in pairs:
            if pair.input_parts or pair.output_parts:
                self.first, self.between = pair, (before, pair.name) if pair.input_parts else None
                break
            before = pair.name
        else:
            if (output_difference or 0.0) > tolerance:
                self.between = (before, "(output)")
            self.first = next((p for p in pairs if p.acting), None) if self.between is None else None
        self.same = self.first is None and self.between is None and not only_a and not only_b

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._why(), *self._rest()])

    def __repr__(self) -> str:
        where = "the same" if self.same else f"part at {self.first.name}" if self.first else "not the same"
        return f"<Comparison of {len(self.pairs)} pairs of layers: {where}>"

    def _repr_html_(self) -> str:
        heads = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in HEADS)
        rows = []
        for p in self.pairs:
            settings = "; ".join(map(str, p.differences)) or "–"
            cells = (p.b.name, p.a.kind, _number(p.input_difference), _number(p.output_difference))
            mark, sign = (' class="warned"', "⚠ ") if p is self.first else ("", "")
            tds = (
                "".join(f"<td>{html.escape(c)}</td>" for c in cells) + f'<td class="said">{html.escape(settings)}</td>'
            )
            rows.append(f'<tr{mark}><th scope="row">{sign}{html.escape(p.a.name)}</th>{tds}</tr>')
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""
        items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in [*self._why(), *self._rest()])
        said = f"<p><b>{html.escape(self._headline())}</b></p>" + (f"<ul>{items}</ul>" if items else "")
        return f'<div class="normviz-audit"><style>{STYLE}</style>{said}{scrolled(table) if table else ""}</div>'

    # ---- in words ----

    def _headline(self) -> str:
        if self.same:
            many = f"at {len(self.pairs)} pair{'s' * (len(self.pairs) != 1)} of normalization layers"
            return f"The two models agree {many} and in their output, on this example."
        if self.between:
            before, after = self.between
            start = "the input" if before == "(input)" else f"{before}, whose outputs agree,"
            end = "the output" if after == "(output)" else f"{after}, whose inputs {_differ(self._first_in())}"
            return f"The two models part between {start} and {end}: no normalization layer of both is the cause."
        if self.first and self.first.output_parts:
            p = self.first
            return (
                f"The two models part at {p.name}: inputs agree (they differ by {_number(p.input_difference)}), "
                f"outputs differ by {_number(p.output_difference)} (relative; {p.tolerance:g} counts as rounding)."
            )
        if self.first:
            return f"All numbers agree on this example, but {self.first.name} is set differently."
        return "All numbers that can be compared agree, but not every layer has a counterpart."

    def _first_in(self) -> float | None:
        return None if self.first is None else self.first.input_difference

    def _why(self) -> list[str]:
        """Say of the first pair what is different in it, or before it."""
        p = self.first
        if self.between and self.between[1] == "(output)":
            return [f"  The outputs {_differ(self.output_difference)}."]
        if p is None:
            return []
        if self.between:
            made = [f"{s.before} in {n}" for n, s in (("a", p.a), ("b", p.b)) if s.before]
            return [f"  The input of {p.name} is made by {' and '.join(made)}."] if made else []
        if p.differences:
            return [f"  {p.name}: {d}." for d in p.differences]
        if "output" in (p.a.known_by, p.b.known_by):
            return [f"  {p.name} is known by its output alone, so weight and bias could not be compared."]
        return [
            f"  No setting of {p.name} differs: its arithmetic does, or it enlarges what its inputs differ by already."
        ]

    def _rest(self) -> list[str]:
        lines = [
            f"  Only in {n}: {s.name} ({s.type}, input {'×'.join(map(str, s.input_shape))})."
            for n, sides in (("a", self.only_a), ("b", self.only_b))
            for s in sides
        ]
        later = [p for p in self.pairs if p is not self.first and p.differences]
        lines += [f"  Also: {p.name}: {'; '.join(map(str, p.differences))}." for p in later[:8]]
        return lines + ([f"  Also: {len(later) - 8} more pairs are set differently; see .pairs."] if later[8:] else [])


def _differ(value: float | None) -> str:
    return "have other shapes" if value is not None and np.isinf(value) else f"differ by {_number(value)}"


def _number(value: float | None) -> str:
    return "–" if value is None else "0" if value == 0 else "shape" if np.isinf(value) else f"{value:.2g}"
