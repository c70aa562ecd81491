"""The experiments of a probe, in their order, and what is concluded from each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling
from normviz.inspect._call import Forward, Refusal
from normviz.inspect._snapshot import Found
from normviz.inspect.probe.affine import Affine, layout
from normviz.inspect.probe.epsilon import Eps, find_eps
from normviz.inspect.probe.findings import NUMBERS, SETS, STRAIGHT, Findings
from normviz.inspect.probe.forms import FORMS, SCALE, Line, divisor, draw, fit
from normviz.inspect.probe.perturbation import Listener
from normviz.inspect.probe.report import Probe
from normviz.inspect.probe.sets import Sets, block_of, grown, number, rescued, rows_with, statistics_of


class Experiments:
    """One probe: the function, what is known by now, and the experiments in their order."""

    def __init__(
        self, fn: Callable, found: Found, shape: tuple[int, ...], channel_axis: int, framework: str | None, seed: int
    ) -> None:
        self.forward = Forward(fn, found, channel_axis=channel_axis, framework=framework, seed=seed)
        self.rng, self.shape, self.channel_axis = np.random.default_rng(seed), shape, channel_axis
        self.known, self.signal = Findings(), 0.0

    def report(self) -> Probe:
        """Run the experiments and put what they show into the layout of fn."""
        self.listener = Listener(self.forward, self.shape, self.rng)
        self.known.stochastic = self.listener.stochastic
        try:
            self._experiments()
        except Refusal as refusal:
            left = [f.name for f in fields(self.known) if getattr(self.known, f.name) is None and f.name != "form"]
            self.known.cannot_tell(str(refusal), *left)
        known, axis = self.known, self.channel_axis
        if known.couples_samples is None:
            known.cannot_tell("there is one sample; give a shape with more", "couples_samples")
        values = {f.name: getattr(known, f.name) for f in fields(known)}
        if known.labels is not None:
            values["labels"] = np.ascontiguousarray(uncanonical(known.labels, axis))
        if known.block is not None:
            values["block"] = uncanonical(np.empty(known.block, np.int8), axis).shape
        if known.affine == "element":  # laid out like a sample of x
            samples = 1 if axis % len(self.shape) == 0 else 0
            for name in ("weight", "bias"):
                values[name] = np.ascontiguousarray(uncanonical(values[name][None], axis).squeeze(samples))
        shape, forward = uncanonical(np.empty(self.shape, np.int8), axis).shape, self.forward
        more = {"shape": shape, "channel_axis": axis, "framework": forward.framework, "dtype": forward.dtype}
        return Probe(**values, **more, calls=forward.calls)

    # ---- the sets ----

    def _experiments(self) -> None:
        known = self.known
        if not self.listener.finite:
            why = "fn gives NaN or infinite numbers for ordinary random ones"
            known.cannot_tell(why, *SETS, *NUMBERS, "elementwise", "is_normalizer")
            return
        sets = self.listener.find()
        labels = self._take_sets(sets)
        if labels is None:
            self._without_sets(sets)
            return
        alone = bool(labels.max() + 1 == labels.size)
        line = fit(self.forward, labels, self.rng, ["x"] if alone else [*FORMS][:-1], self.listener.zero)
        known.form = line.form if line.straight else None
        moved = max(float(np.abs(z).max()) for _, z in line.pairs)
        # What is left of x - x in a set of one cell is rounding, divided by the root of eps.
        rounding = 1e4 * self.forward.resolution if alone and not line.straight else 0.0
        at_rest = moved <= rounding and (alone or line.curved == 0)
        known.elementwise = alone and not at_rest
        if at_rest:
            self._constant(line, labels)
        elif alone:
            self._elementwise(line, labels)
        elif line.straight:
            self._straight(line, labels)
        else:
            self._curved(labels)

    def _take_sets(self, sets: Sets) -> np.ndarray | None:
        """Fill in the sets if they are certain, and return them."""
        known, labels = self.known, sets.labels
        if not sets.proven:
            # Where dropout has silenced cells, the others may still leave one way to cut.
            labels = rescued(labels, sets.heard) if known.stochastic else None
            if labels is None:
                return None
        known.labels, known.block = labels, block_of(labels)
        known.couples_samples = bool((labels[1:] <= labels[0].max()).any()) if len(labels) > 1 else None
        return labels

    def _without_sets(self, sets: Sets) -> None:
        known, x = self.known, self.rng.uniform(-1.7, 1.7, self.shape) * SCALE[self.forward.dtype]
        if not sets.heard.any():
            why = "the output does not answer to the input at all"
            known.cannot_tell(why, "is_normalizer", "elementwise")
        elif known.stochastic:
            why = "fn is random, and too many cells were silent to tell their sets apart"
            known.cannot_tell(why, "is_normalizer", "elementwise")
        else:
            why = "the cells that answer to one another are no sets that share no cell: windows overlap, or layers mix"
            known.elementwise = False
            y = self._ask(x)
            self.signal = _rms(y - self._ask(-x))
            if self._same(y, self._ask(x / 4)):
                known.cannot_tell(f"the scale of the input leaves no trace, but {why}", "is_normalizer")
            else:
                known.is_normalizer = False
        known.cannot_tell(why, *SETS, *NUMBERS)

    # ---- what is done with them ----

    def _constant(self, line: Line, labels: np.ndarray) -> None:
        known = self.known
        if labels.max() + 1 == labels.size:
            why = "every set is one cell, so each output is the bias, whatever the input; give a shape with larger sets"
            known.cannot_tell(why, *NUMBERS, "is_normalizer", "elementwise")
            # Without a mean to subtract the sign of x would show.
            self._name([pair for pair in rows_with(labels) if pair[0].centered], why)
            if known.method is None:
                known.cannot_tell(why, "method", "num_groups")
            return
        why = "every weight is 0, so the output is the bias alone"
        known.affine, known.weight = "channel", np.zeros(self.shape[1])
        by_channel = np.moveaxis(line.bias, 1, 0).reshape(self.shape[1], -1)
        known.bias = by_channel[:, 0].copy()
        if not (by_channel == by_channel[:, :1]).all():
            known.cannot_tell("the biases differ within a channel, and every weight is 0", "affine", "weight", "bias")
        known.cannot_tell(why, "method", "num_groups", "is_normalizer", "centered", "eps", "eps_inside", "unbiased")

    def _elementwise(self, line: Line, labels: np.ndarray) -> None:
        known = self.known
        known.is_normalizer = False
        known.cannot_tell("fn takes no statistics of its input", "centered", "eps", "eps_inside", "unbiased")
        if line.straight:
            self._affine(line, labels, 0.0, True, np.ones(self.shape))
            return
        known.cannot_tell("the output is no straight line of the input", "affine", "weight", "bias")
        if self._scale_free(labels):
            known.cannot_tell("each output is the sign of its input: sets of one cell, or a step", "is_normalizer")

    def _straight(self, line: Line, labels: np.ndarray) -> None:
        known, (subtracted, _, power) = self.known, FORMS[line.form]
        known.centered, known.is_normalizer = subtracted is not None, power == 0.5
        if power != 0.5:
            known.cannot_tell(f"fn gives {line.form}, which is not divided by a root", "eps", "eps_inside", "unbiased")
            known.cannot_tell(f"no method gives {line.form}", "method", "num_groups")
            self._affine(line, labels, 0.0, True, np.ones(self.shape))
            return
        try:
            eps = find_eps(self.forward, line, labels, self.rng)
        except Refusal as refusal:
            eps = Eps(why=str(refusal))
        if eps.why:
            known.cannot_tell(eps.why, "eps", "eps_inside")
        elif eps.value == 0:
            known.cannot_tell("eps is 0, which is the same inside the root and outside", "eps_inside")
        line.refit(labels, eps.value or 0.0, eps.inside is not False)
        if known.stochastic:
            by, why = None, "fn is random"
        else:
            by, why = divisor(self.forward, line, labels, self.rng)
        m = statistics_of(line.pairs[0][0], labels)["count"]
        ratio = {"m - 1": m / np.maximum(m - 1, 1), "1": m}.get(by or "", np.ones(self.shape))
        known.eps, known.eps_inside, known.unbiased = eps.value, eps.inside, by == "m - 1"
        if by is None or by == "1":
            known.cannot_tell(why or "the sum of squares is divided by nothing, neither m nor m - 1", "unbiased")
        if eps.value and ratio.max() > 1.01 * ratio.min():
            known.cannot_tell("the sets differ in size, and what eps is added to with them", "eps", "eps_inside")
        elif eps.value:
            known.eps = float(f"{eps.value * float(ratio.max()) ** (1 if eps.inside else 0.5):.6g}")
        self._method(line, by)
        axis = METHODS[known.method].affine_axis if known.method else 1
        affine = self._affine(line, labels, eps.value or 0.0, eps.inside is not False, np.sqrt(ratio), axis)
        if by is None and affine.uniform:
            self._one_scale(affine.uniform, float(m.max()))

    def _one_scale(self, scale: float, m: float) -> None:
        """One scale for all cells, at one size of set, may be none at all with another divisor."""
        near = max(1e-5, 4 * self.forward.resolution)
        same = f": with {m:.0f} cells in every set they are the same"
        if abs(scale / (1 - 1 / m) ** 0.5 - 1) < near:
            why = f"a scale of {scale:.6g} everywhere, or an unbiased variance and no scale{same}"
            self.known.cannot_tell(why, "affine", "weight", "bias")
        if abs(scale * m**0.5 - 1) < near:
            why = f"a scale of {scale:.6g} everywhere, or a sum of squares that is divided by nothing{same}"
            self.known.cannot_tell(why, "affine", "weight", "bias", "method", "num_groups")

    def _affine(
        self, line: Line, labels: np.ndarray, eps: float, inside: bool, factor: np.ndarray, axis: int = 1
    ) -> Affine:
        known = self.known
        if known.stochastic:
            known.cannot_tell("fn is random", "affine", "weight", "bias")
            return Affine()
        more = {"eps": eps, "inside": inside, "factor": factor, "axis": axis}
        found = layout(line, labels, resolution=self.forward.resolution, **more)
        known.affine, known.weight, known.bias = found.kind, found.weight, found.bias
        if found.kind is None:
            known.cannot_tell("the scale or shift differs from sample to sample", "affine", "weight", "bias")
        return found

    def _curved(self, labels: np.ndarray) -> None:
        """Sets are known, but the output is no straight line of x_hat: ask what it does not depend on."""
        known, forward = self.known, self.forward
        why = "the output is no straight line of x_hat: an activation, or something else, follows"
        known.cannot_tell(why, *STRAIGHT)
        free = self._scale_free(labels)
        if free is None:
            why = f"the output changes by less than {forward.dtype} can tell from its size"
            known.cannot_tell(why, "method", "num_groups", "centered", "is_normalizer")
            return
        if not free:
            known.is_normalizer = False
            why = "the output depends on the scale of the input, so fn is no normalizer"
            known.cannot_tell(why, "method", "num_groups", "centered")
            return
        x = draw(forward, labels, self.rng, SCALE[forward.dtype])
        y, count = self._ask(x), labels.max() + 1
        size = statistics_of(x, labels)["var"] ** 0.5
        centered = self._same(y, self._ask(x + size * self.rng.uniform(-1, 1, count)[labels]))
        # Half of each set is kept; the others are changed so that mean and variance (or the mean square) stay.
        kept = self.rng.random(self.shape) < 0.5
        others = 2 * statistics_of(x, number(labels * 2 + kept))["mean"] - x if centered else -x
        if self._same(y, self._ask(np.where(kept, x, others)), kept):
            known.centered, known.is_normalizer = centered, True
            self._method(None, None)
        else:
            why = "neither mean and variance nor the mean square of each set explains the output"
            known.cannot_tell(why, "method", "num_groups", "centered", "is_normalizer")

    def _scale_free(self, labels: np.ndarray) -> bool | None:
        """Whether multiplying each set by a number of its own leaves no trace; None if the output is too coarse."""
        x, other = (draw(self.forward, labels, self.rng, SCALE[self.forward.dtype]) for _ in range(2))
        y = self._ask(x)
        self.signal = _rms(y - self._ask(other))
        if self.signal < 16 * self.forward.resolution * _rms(y):
            return None
        scaled = self._ask(x * self.rng.choice([0.5, 2.0, 4.0], labels.max() + 1)[labels])
        # Near 1 an eps of 0.1 still shows, so less is asked there.
        near = self._ask(x * (2 / SCALE[self.forward.dtype]))
        return self._same(y, scaled) and self._same(y, near, share=0.1)

    def _ask(self, x: np.ndarray) -> np.ndarray:
        return self.forward(self.forward.round(x))

    def _same(self, y: np.ndarray, other: np.ndarray, where: Any = ..., share: float = 0.02) -> bool:
        """Whether two outputs differ by little beside what another input changes."""
        return _rms((y - other)[where]) <= max(share, 8 * self.forward.resolution) * self.signal

    # ---- the method ----

    def _method(self, line: Line | None, by: str | None) -> None:
        """Name the row of METHODS, if there is one with these sets and this statistic."""
        known = self.known
        rows = rows_with(np.asarray(known.labels))
        if line is not None and line.form not in [*FORMS][:2]:
            sets = f"the sets are those of {rows[0][0].name!r}, but " if rows else ""
            known.cannot_tell(f"{sets}no method gives {line.form}", "method", "num_groups")
            return
        statistic = "mean and variance" if known.centered else "squared norm" if by == "1" else "mean square"
        fitting = [(row, groups) for row, groups in rows if row.statistic == statistic]
        if by is None and not known.centered and rows and not fitting:
            why = "the mean square or the sum of squares: sets of one size look the same"
            known.cannot_tell(why, "method", "num_groups")
        self._name(fitting, "")

    def _name(self, rows: list, why: str) -> None:
        known, larger = self.known, grown(self.shape)
        ways = {Pooling(row.name, larger, groups).labels().tobytes(): row.name for row, groups in reversed(rows)}
        if len(ways) > 1:
            names = " and ".join(sorted(map(repr, ways.values())))
            same = f"on shape {self.shape} {names} pool the same cells"
            try:
                there = rows_with(Listener(self.forward, larger, self.rng, first=False).find().labels)
                rows = [pair for pair in rows if pair in there]
            except (Refusal, ValueError, TypeError):
                known.cannot_tell(why or f"{same}, and fn takes no larger one", "method", "num_groups")
                return
            if not rows:
                known.cannot_tell(why or f"{same}, and on a larger one fn pools others", "method", "num_groups")
        if rows:
            row, groups = rows[0]
            known.method, known.num_groups = row.name, groups
            known.couples_samples = row.couples_samples


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
