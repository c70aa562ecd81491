"""Find out by experiment what a callable normalizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order, uncanonical
from normviz.core.errors import check_keywords
from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, canonical, check_shape
from normviz.inspect._call import Forward, Refusal, check_callable, check_seed, check_size
from normviz.inspect._snapshot import restore_after
from normviz.inspect.probe.fit import FORMS, SCALE, Eps, Line, divisor, draw, find_eps, fit, layout, rms
from normviz.inspect.probe.perturbation import Perturbation
from normviz.inspect.probe.report import Probe
from normviz.inspect.probe.sets import Sets, block_of, number, only_partition, rows_with, statistics_of

SETS = ("method", "num_groups", "block", "labels", "couples_samples")
NUMBERS = ("centered", "eps", "eps_inside", "unbiased", "affine", "weight", "bias")
STRAIGHT = NUMBERS[1:]


@check_keywords
def probe(
    fn: Callable,
    shape: Sequence[int] = (4, 8, 6, 6),
    *,
    channel_axis: int = 1,
    framework: str | None = None,
    seed: int = 0,
) -> Probe:
    """Find out by experiment which cells `fn` normalizes together, and how.

    Parameters
    ----------
    fn
        Any callable that takes an array of `shape` and returns one of the same shape: a NumPy function, a
        torch.nn.Module in train or eval mode, a function or layer of JAX, Flax, Keras or CuPy.
    shape
        Shape of the arrays to call fn with, in fn's own layout; 2 to 5 axes.
    channel_axis
        The axis of the channels: -1 for (N, H, W, C) and (batch, tokens, features).
    framework
        "numpy", "torch", "jax" or "cupy"; None finds out.
    seed
        Seed of the random inputs. The same seed gives the same calls.

    Returns
    -------
    Probe
        The results; `undetermined` names those that could not be measured, and why.

    Raises
    ------
    TypeError, ValueError
        If fn cannot be called, raises on `shape`, holds tensors without numbers (a lazy layer, the meta device), or
        returns anything but an array of that shape.

    Warns
    -----
    RuntimeWarning
        If something that fn changed could not be restored.

    Notes
    -----
    fn is called about 30 times, and never more than 120 times, with copies. It is judged by its outputs alone, never by
    its class. A scale or shift before the normalization that is the same throughout each set does not change the
    output, so no probe can detect it.

    Everything is restored before each call and at the end, also when fn raises: attributes, containers, parameters,
    buffers, gradients, hooks and dtypes of the objects that fn reaches; arrays in the variables around it; generators
    of random numbers; torch's global settings, os.environ, the working directory, signal handlers, warning filters.
    Not restored: numbers and lists in the variables around fn, and attributes of classes, which may be the caller's own
    record of the calls; iterators, files, threads, caches (functools.lru_cache), context variables, inference mode
    that is entered and never left, and the version counters of tensors.

    Examples
    --------
    >>> import normviz as nv
    >>> found = nv.probe(lambda x: nv.normalize(x, "group", num_groups=2, eps=1e-3))
    >>> found.method, found.num_groups, found.block, found.eps
    ('group', 2, (1, 4, 6, 6), 0.001)
    """
    check_callable(fn)
    shape = check_shape(shape, "shape")
    check_size(shape)
    check_seed(seed)
    order = canonical(np.empty(shape, np.int8), channel_axis, "shape").shape
    with restore_after(fn) as snapshot, np.errstate(all="ignore"):
        try:
            forward = Forward(fn, snapshot, channel_axis=channel_axis, framework=framework, seed=seed)
            return _Experiments(forward, order).report()
        except Refusal as refusal:
            raise ValueError(str(refusal)) from refusal.__cause__


class _Findings(Probe):
    """The fields that are known so far, with axes (N, C, *spatial)."""

    def cannot_tell(self, why: str, *names: str) -> None:
        """Set fields to None, and record why they cannot be measured."""
        for name in names:
            setattr(self, name, None)
            self.undetermined.setdefault(name, why)


class _Blanked(Forward):
    """A Forward that counts and remembers as before, and whose output is 0 in some cells, for inputs of their shape."""

    def __init__(self, forward: Forward, cells: np.ndarray) -> None:
        self.__dict__ = forward.__dict__
        self.cells = cells

    def __call__(self, x: np.ndarray, *, fresh: bool = False) -> np.ndarray:
        y = super().__call__(x, fresh=fresh)
        return np.where(self.cells, 0.0, y) if y.shape == self.cells.shape else y


class _Experiments:
    """The experiments of one probe, in their order, and what is concluded from each."""

    def __init__(self, forward: Forward, shape: tuple[int, ...]) -> None:
        self.forward = forward
        self.rng, self.shape, self.channel_axis = np.random.default_rng(forward.seed), shape, forward.channel_axis
        self.known, self.signal = _Findings(), 0.0

    def report(self) -> Probe:
        """Run the experiments, and return the results in the layout of fn."""
        known, forward, axis = self.known, self.forward, self.channel_axis
        self.perturbation = Perturbation(forward, self.shape, self.rng)
        known.stochastic = self.perturbation.stochastic
        try:
            self._experiments()
        except Refusal as refusal:
            left = [f.name for f in fields(known) if getattr(known, f.name) is None]
            known.cannot_tell(str(refusal), *(name for name in left if name not in ("form", "mute")))
        if known.couples_samples is None:
            known.cannot_tell("there is one sample; give a shape with more", "couples_samples")
        for name in ("labels", "mute"):
            if (cells := getattr(known, name)) is not None:
                setattr(known, name, np.ascontiguousarray(uncanonical(cells, axis)))
        if known.block is not None:
            known.block = native_order(known.block, axis)
        if known.affine == "element":  # laid out like a sample of x
            samples = 1 if axis % len(self.shape) == 0 else 0
            for name in ("weight", "bias"):
                cells = uncanonical(getattr(known, name)[None], axis).squeeze(samples)
                setattr(known, name, np.ascontiguousarray(cells))
        known.shape, known.channel_axis = native_order(self.shape, axis), axis
        known.framework, known.dtype = forward.framework, forward.dtype
        known.passed, known.calls = forward.passed, forward.calls
        return Probe(**vars(known))

    # ---- the sets ----

    def _experiments(self) -> None:
        known = self.known
        if not self.perturbation.finite:
            why = "fn gives NaN or infinite numbers for ordinary random ones"
            known.cannot_tell(why, *SETS, *NUMBERS, "elementwise", "is_normalizer")
            return
        sets = self.perturbation.find()
        labels = self._take_sets(sets)
        if labels is None:
            self._without_sets(sets)
            return
        alone = bool(labels.max() + 1 == labels.size)
        forms = ["x"] if alone else [*FORMS][:-1]
        line = fit(self.forward, labels, self.rng, forms, self.perturbation.zero)
        single = (np.bincount(labels.ravel()) == 1)[labels]
        if not (line.straight or alone) and single.any():
            self.forward = _Blanked(self.forward, single)
            line = fit(self.forward, labels, self.rng, forms, np.where(single, 0.0, self.perturbation.zero))
            why = "some cells do not respond to other cells, so no weight or bias is looked for"
            known.cannot_tell(why, "affine", "weight", "bias")
        known.form = line.form if line.straight else None
        moved = max(float(np.abs(z).max()) for _, z in line.pairs)
        # In a set of one cell, x - mean is rounding error alone, divided by the root of eps.
        rounding = 1e4 * self.forward.resolution if alone and not line.straight else 0.0
        constant = moved <= rounding and (alone or line.curved == 0)
        known.elementwise = alone and not constant
        if constant:
            self._constant(line, labels)
        elif alone:
            self._elementwise(line, labels)
        elif sets.mute is not None:
            self._masked(sets.mute)
        elif line.straight:
            self._straight(line, labels)
        else:
            self._curved(labels)

    def _take_sets(self, sets: Sets) -> np.ndarray | None:
        """Record the sets and return them; None if they are not certain."""
        known, labels = self.known, sets.labels
        if not sets.proven:
            # Dropout hides cells; the others may still be consistent with one partition alone.
            labels = only_partition(labels, sets.responded) if known.stochastic else None
            if labels is None:
                return None
        known.labels, known.block = labels, block_of(labels)
        in_samples = sum(np.unique(sample).size for sample in labels)
        known.couples_samples = bool(in_samples > labels.max() + 1) if len(labels) > 1 else None
        return labels

    def _without_sets(self, sets: Sets) -> None:
        known, x = self.known, self.rng.uniform(-1.7, 1.7, self.shape) * SCALE[self.forward.dtype]
        if not sets.responded.any():
            why = "the output does not depend on the input at all"
            if rms(self._output(x) - self._output(-x)):
                why = "no output responds when a few cells change, so no sets can be found"
            known.cannot_tell(why, "is_normalizer", "elementwise")
        elif known.stochastic:
            why = "fn is random, and too few cells responded to distinguish the sets"
            known.cannot_tell(why, "is_normalizer", "elementwise")
        else:
            why = (
                "no disjoint sets explain which cells respond to which others: sets overlap, or some cells "
                "respond too little"
            )
            if sets.overlap:
                why = sets.overlap.in_words(self._axis)
            known.elementwise = False
            y = self._output(x)
            self.signal = rms(y - self._output(-x))
            if self._same(y, self._output(x / 4)):
                free = "one factor for all cells changes nothing, but there are no disjoint sets"
                known.cannot_tell(free, "is_normalizer")
            else:
                known.is_normalizer = False
        known.cannot_tell(why, *SETS, *NUMBERS)

    def _axis(self, axis: int) -> int:
        """The number that an axis of (N, C, *spatial) has in fn's layout."""
        order = [a for a in range(len(self.shape)) if a != 1]
        order.insert(self.channel_axis % len(self.shape), 1)
        return order.index(axis)

    # ---- the statistics of the sets ----

    def _constant(self, line: Line, labels: np.ndarray) -> None:
        known = self.known
        if labels.max() + 1 == labels.size:
            why = "every set is one cell, so each output is the bias for every input; give a shape with larger sets"
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
            self._affine(line, labels)
            return
        why = "fn is random" if known.stochastic else "the output is not a linear function of the input"
        known.cannot_tell(why, "affine", "weight", "bias")
        if self._scale_free(labels):
            why = (
                "each output depends on the sign of its input and not on its size: sets of one cell, or a step function"
            )
            known.cannot_tell(why, "is_normalizer")

    def _straight(self, line: Line, labels: np.ndarray) -> None:
        known, (subtracted, _, power) = self.known, FORMS[line.form]
        known.centered, known.is_normalizer = subtracted is not None, power == 0.5
        if power != 0.5:
            known.cannot_tell(f"fn gives {line.form}, which is not divided by a root", "eps", "eps_inside", "unbiased")
            known.cannot_tell(f"no method gives {line.form}", "method", "num_groups")
            self._affine(line, labels)
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
        random = (None, "fn is random")
        by, why = random if known.stochastic else divisor(self.forward, line, labels, self.rng)
        m = statistics_of(line.pairs[0][0], labels)["count"]
        ratio = {"|S| - 1": m / np.maximum(m - 1, 1), "1": m}.get(by or "", np.ones(self.shape))
        known.eps, known.eps_inside, known.unbiased = eps.value, eps.inside, by == "|S| - 1"
        if by == "1":
            known.form = f"{line.form.split('/')[0]}/ root sum of squares"
        if by is None or by == "1":
            known.cannot_tell(why or "the sum of squares is divided by nothing, neither |S| nor |S| - 1", "unbiased")
        if eps.value and ratio.max() > 1.01 * ratio.min():
            known.cannot_tell("the sets differ in size, and so does the sum that eps is added to", "eps", "eps_inside")
        elif eps.value:
            known.eps = float(f"{eps.value * float(ratio.max()) ** (1 if eps.inside else 0.5):.6g}")
        self._method(line, by)
        axis = METHODS[known.method].affine_axis if known.method else 1
        self._affine(line, labels, np.sqrt(ratio), axis)
        scales = np.unique(1.0 if known.weight is None else known.weight)
        if by is None and known.affine and len(scales) == 1:
            self._one_scale(float(scales[0]), float(m.max()))

    def _one_scale(self, scale: float, m: float) -> None:
        """With one size of set, the same scale in all cells may also come from another divisor."""
        near = max(1e-5, 4 * self.forward.resolution)
        same = f": with {m:.0f} cells in every set they are the same"
        if abs(scale / (1 - 1 / m) ** 0.5 - 1) < near:
            why = f"a scale of {scale:.6g} everywhere, or an unbiased variance and no scale{same}"
            self.known.cannot_tell(why, "affine", "weight", "bias")
        if abs(scale * m**0.5 - 1) < near:
            why = f"a scale of {scale:.6g} everywhere, or a sum of squares that is divided by nothing{same}"
            self.known.form = f"{str(self.known.form).split('/')[0]}/ root of the mean or sum of squares"
            self.known.cannot_tell(why, "affine", "weight", "bias", "method", "num_groups")

    def _affine(self, line: Line, labels: np.ndarray, factor: Any = 1.0, axis: int = 1) -> None:
        known = self.known
        if "affine" in known.undetermined:
            return
        if known.stochastic:
            known.cannot_tell("fn is random", "affine", "weight", "bias")
            return
        found = layout(line, labels, resolution=self.forward.resolution, factor=factor, axis=axis)
        known.affine, known.weight, known.bias = found
        if known.affine is None:
            known.cannot_tell("the scale or shift differs from sample to sample", "affine", "weight", "bias")

    def _masked(self, mute: np.ndarray) -> None:
        """Some cells of the sets are mute. Not all of them are known, so the statistics cannot be computed."""
        self.known.mute = mute
        why = "some cells do not respond, and not all of them are known, so no statistic can be computed"
        self.known.cannot_tell(why, "method", "num_groups", *NUMBERS, "is_normalizer")

    def _curved(self, labels: np.ndarray) -> None:
        """The sets are known, but the output is not linear in x_hat: find out what it does not depend on."""
        known, forward = self.known, self.forward
        free, why = self._scale_free(labels), ""
        if free is None:
            why = f"the output changes by less than {forward.dtype} can resolve"
        elif not free:
            known.is_normalizer = False
            why = "the output depends on the scale of the input, so fn is not a normalizer"
        else:
            x = draw(forward, labels, self.rng, SCALE[forward.dtype])
            y, found = self._output(x), statistics_of(x, labels)
            moved = x + found["var"] ** 0.5 * self.rng.uniform(-1, 1, labels.max() + 1)[labels]
            centered = self._same(y, self._output(moved))
            kept = self.rng.random(self.shape) < 0.5
            if all(self._same(y, self._output(self._replaced(x, labels, k, centered)), k) for k in (kept, ~kept)):
                known.centered, known.is_normalizer = centered, True
                known.cannot_tell(
                    "the output is a nonlinear function of x_hat, for instance because an activation follows", *STRAIGHT
                )
                self._method(None, None)
                return
            why = "neither mean and variance nor the mean square of each set explains the output"
        if free and (mute := self.perturbation.mute(labels)).any():
            self._masked(mute)
        known.cannot_tell("the output is not a linear function of x_hat", *STRAIGHT)
        known.cannot_tell(why, "method", "num_groups", "centered", *["is_normalizer"] * (free is not False))

    def _replaced(self, x: np.ndarray, labels: np.ndarray, kept: np.ndarray, centered: bool) -> np.ndarray:
        """Return x with other values where it is not kept; mean and variance (or the mean square) of each set stay."""
        part, new = number(labels * 2 + kept), self.rng.uniform(-1, 1, self.shape) ** 3
        old, found = statistics_of(x, part), statistics_of(new, part)
        if not centered:
            new *= np.sqrt(old["square"] / found["square"])
        else:
            spread = np.sqrt(np.divide(old["var"], found["var"], out=np.zeros(self.shape), where=found["var"] > 0))
            new = old["mean"] + (new - found["mean"]) * spread
        return np.where(kept, x, new)

    def _scale_free(self, labels: np.ndarray) -> bool | None:
        """Whether a factor for each set leaves the output unchanged; None if the output is too coarse to tell."""
        x, other = (draw(self.forward, labels, self.rng, SCALE[self.forward.dtype]) for _ in range(2))
        y = self._output(x)
        self.signal = rms(y - self._output(other))
        if self.signal < 16 * self.forward.resolution * rms(y):
            return None
        scaled = self._output(x * self.rng.choice([0.5, 2.0, 4.0], labels.max() + 1)[labels])
        # Near 1 an eps of 0.1 still shows, so the tolerance is larger there.
        near = self._output(x * (2 / SCALE[self.forward.dtype]))
        return self._same(y, scaled) and self._same(y, near, share=0.1)

    def _output(self, x: np.ndarray) -> np.ndarray:
        return self.forward(self.forward.round(x))

    def _same(self, y: np.ndarray, other: np.ndarray, where: Any = ..., share: float = 0.02) -> bool:
        """Whether two outputs differ by little, compared with the difference that another input makes."""
        return rms((y - other)[where]) <= max(share, 8 * self.forward.resolution) * self.signal

    # ---- the method ----

    def _method(self, line: Line | None, by: str | None) -> None:
        """Find the row of METHODS with these sets and this statistic, if there is one."""
        known = self.known
        rows = rows_with(np.asarray(known.labels))
        if line is not None and line.form not in [*FORMS][:2]:
            sets = f"the sets are those of {rows[0][0].name!r}, but " if rows else ""
            known.cannot_tell(f"{sets}no method gives {line.form}", "method", "num_groups")
            return
        statistic = "mean and variance" if known.centered else "squared norm" if by == "1" else "mean square"
        fitting = [(row, groups) for row, groups in rows if row.statistic == statistic]
        if statistic == "squared norm" and fitting and len(self.shape) == 2:
            why = "an L2 norm divides each row: features have no method of that name, and weights have 'weight_norm'"
            known.cannot_tell(why, "method", "num_groups")
            return
        if by is None and not known.centered and rows and not fitting:
            why = "the mean square or the sum of squares: sets of one size look the same"
            known.cannot_tell(why, "method", "num_groups")
        self._name(fitting, "")

    def _name(self, rows: list, why: str) -> None:
        known, larger = self.known, tuple(max(2, n) for n in self.shape)
        ways = {Pooling(row.name, larger, groups).labels().tobytes(): row.name for row, groups in reversed(rows)}
        if len(ways) > 1:
            names = " and ".join(sorted(map(repr, ways.values())))
            same = f"on shape {self.shape} {names} pool the same cells"
            try:
                there = rows_with(Perturbation(self.forward, larger, self.rng, first=False).find().labels)
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
