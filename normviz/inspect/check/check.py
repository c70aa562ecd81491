"""`check`: whether a function is the normalizer that it should be, and if not, which bug it has."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real
from types import FunctionType
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.array_kinds import real_numbers
from normviz.core.errors import brief, check_keywords, unknown, whole
from normviz.core.methods import find
from normviz.core.pooling import Pooling, check_shape
from normviz.inspect._call import (
    FRAMEWORKS,
    RESOLUTION,
    Answer,
    FunctionUnderTest,
    Refusal,
    check_callable,
    check_codes,
    check_seed,
    check_size,
    described,
    owner,
)
from normviz.inspect._signature import arrays_in, entry_role
from normviz.inspect._snapshot import restore_after
from normviz.inspect.check import fixed_stats, gradients, known_bugs, localize, precision, running_stats
from normviz.inspect.check.bug import Case, Change, Explanation
from normviz.inspect.check.layer_state import (
    Mode,
    attribute,
    find_mode,
    find_parameters,
    find_running,
    held,
    is_of_a_batch,
)
from normviz.inspect.check.measured_sets import measured_sets, renamed_on_another_shape
from normviz.inspect.check.moved_output import moved_output
from normviz.inspect.check.running_stats import RunningState
from normviz.inspect.check.search import apply, explain
from normviz.inspect.check.set_bugs import mean_and_variance_apart
from normviz.inspect.check.setup import Expectation, ShapeChanged, Subject, canonical_shape, set_up
from normviz.inspect.check.simulate import Recipe, Trial, comparison_inputs, near, right
from normviz.inspect.check.verdict import Mismatch, Verdict

HINTS = known_bugs.HINTS | localize.HINTS | precision.HINTS | running_stats.HINTS | gradients.HINTS
HINTS |= {
    "changes-input": "Look for +=, -=, *=, /= and out= on x: does x still refer to the caller's array?",
    "wrong-shape": "Follow the shape line by line. The output has one value for each cell of x.",
    "raises": "Call fn yourself with an array of this shape. If it needs another shape, pass shape= to check.",
    "no-array": "Does every path through the function end in a return? Does it return the output alone?",
    "random": "A normalizer is not random. Look for random numbers, dropout, or uninitialized memory.",
    "stateful": "Does an earlier call change what the next one returns?",
}
"""A hint for every code that a finding can have."""


@check_keywords
def check(
    fn: Callable,
    method: str,
    num_groups: int | None = None,
    *,
    shape: Sequence[int] | None = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    channel_axis: int = 1,
    framework: str | None = None,
    dtype: str | None = None,
    seed: int = 0,
    backward: Callable | None = None,
    running: tuple[str, str] | None = None,
    momentum: float | None = None,
    ignore: Collection[str] = (),
) -> Verdict:
    """Say whether `fn` is the normalizer `method`, and if it is not, which bug it has.

    Parameters
    ----------
    fn
        A function of x, or a layer. Other arguments are filled by their names, and the verdict says with what: weight
        and bias (or gamma and beta, scale and shift, w and b, or two required ones of any names), num_groups, eps,
        normalized_shape, axis, running_mean and running_var, training, and dicts of these such as bn_param. Optional
        ones are filled if they are None, or if fn is a function of a framework. Of a tuple or a dict that it returns,
        the first array of the shape of x is taken. For "batch", the running statistics and the mode are found in
        arguments, attributes, dicts and the variables around fn. What an object owns of these is replaced by random
        numbers during the check.
    method, num_groups
        What it should be: a key of METHODS, and the number of groups if the method has groups.
    shape
        Shape of the inputs, as fn takes them; None tries some.
    weight, bias
        The parameters that fn applies, or is to be called with, in the shape that its caller has: (C,), or (1, C, 1, 1)
        if the caller reshapes them. None if it has none, or can be called with random ones of shape (C,).
    eps
        What it should add to the variance, at least 0.
    channel_axis
        Its channel axis: -1 for (N, H, W, C) and (batch, tokens, features).
    framework
        "numpy", "torch", "jax" or "cupy"; None finds out.
    dtype
        "float64", "float32", "float16" or "bfloat16"; None uses the first of them that fn takes. Sums and squares that
        overflow in float16 are looked for only if float16 is requested, or if fn takes nothing else.
    seed
        Seed of the random inputs, at least 0. The same seed gives the same calls.
    backward
        backward(grad_output, x), with weight and bias if it takes them, or, after a call of fn, backward(grad_output)
        or backward(grad_output, cache), where cache is what fn returned beside its output; it returns the gradient of
        x, or a tuple of the gradients of x, weight and bias. A method of that name is found. Without one the gradient
        comes from autograd, if the framework has it.
    running
        For "batch", the names under which fn keeps the running mean and variance: those of attributes, entries of
        dicts, variables around fn or arguments. None tries the usual ones.
    momentum
        For "batch", the share of the newest batch in the running statistics; None uses that of fn.
    ignore
        Codes to leave out of the findings.

    Returns
    -------
    Verdict
        `.passed`, `.findings`, `.raise_if_failed()`; print it, or show it in a notebook.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or if fn has no running statistics that `running` or `momentum` could mean. A fault
        of fn, an exception that it raises included, is a finding.

    Notes
    -----
    Each known bug is simulated. It is named if its simulation, and no other, reproduces the output of fn on several
    inputs, alone or with up to two others. Where one bug does not suffice, the sets of fn are measured as `probe` does;
    where no bugs do, the first wrong stage is reported, with the numbers. The state of fn is restored. Half precision
    is compared to two digits, float32 to four.

    Examples
    --------
    >>> import normviz as nv
    >>> def mine(x, weight, bias):
    ...     mean, std = x.mean((0, 2, 3), keepdims=True), x.std((0, 2, 3), keepdims=True, ddof=1)
    ...     return (x - mean) / (std + 1e-5) * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
    >>> nv.check(mine, "batch").codes
    ('unbiased-variance', 'eps-outside')
    """
    check_callable(fn)
    if backward is not None:
        check_callable(backward, "backward")
    row = find(method)
    axis = whole(channel_axis, "channel_axis", "; 1 and -1 are the usual ones")
    if not -5 <= axis < 5:
        raise ValueError(f"channel_axis={brief(axis)} is not an axis of an array of 2 to 5 axes; use 1 or -1")
    if shape is not None:
        shape = check_shape(shape, "shape")
        check_size(shape)
        Pooling(method, canonical_shape(shape, axis), num_groups)
    elif not row.has_groups:
        Pooling(method, (1, 1), num_groups)
    elif whole(num_groups, "num_groups", f"; method {method!r} needs at least one group") < 1:
        raise ValueError(f"num_groups={brief(num_groups)} is less than 1; method {method!r} needs at least one group")
    if isinstance(eps, bool) or not isinstance(eps, Real) or not 0 <= eps <= sys.float_info.max:
        raise ValueError(f"eps={brief(eps)} is not a number >= 0; it is added to the variance")
    for name, value, known in (("framework", framework, FRAMEWORKS), ("dtype", dtype, (*RESOLUTION,))):
        if value is not None and not (isinstance(value, str) and value in known):
            raise ValueError(unknown(name, value, known))
    check_seed(seed)
    pair = isinstance(running, tuple | list) and len(running) == 2 and all(isinstance(name, str) for name in running)
    if running is not None and not pair:
        raise TypeError(f"running={brief(running)} is not a pair of names, (mean, variance), of attributes of fn")
    roles = [entry_role(name) for name in running or ()]
    if running and (running[0] == running[1] or roles in (["running_var", "running_mean"], ["weight", "bias"])):
        raise ValueError(
            f"running={brief(running)} is not (mean, variance): those are two arrays, and the mean is first"
        )
    if isinstance(momentum, bool) or not (momentum is None or (isinstance(momentum, Real) and 0 <= momentum <= 1)):
        raise ValueError(f"momentum={brief(momentum)} is not between 0 and 1; it is the share of the newest batch")
    for name, value in (("running", running), ("momentum", momentum)):
        if value is not None and row.name != "batch":
            raise ValueError(f"{name}={brief(value)} means nothing to method {method!r}, only to 'batch'; leave it out")
    ignored = check_codes(ignore, "ignore", HINTS)
    values = {"weight": weight, "bias": bias} if weight is not None or bias is not None else {}
    given = {role: None if p is None else real_numbers(p, role) for role, p in values.items()}
    for role, p in given.items():
        if p is not None and not np.isfinite(p).all():
            raise ValueError(f"{role} holds NaN or infinite numbers, so no output can be compared; give finite ones")
    options = (float(eps), axis, framework, dtype, seed, backward, running, momentum)
    request = Expectation(method, num_groups, shape, given, *options)
    with restore_after(fn, owner(fn), backward) as kept, restore_after(*held(kept)), np.errstate(all="ignore"):
        verdict = Check(fn, request).run()
    return replace(verdict, findings=tuple(f for f in verdict.findings if f.code not in ignored))


class Check:
    """One check of one function: the experiments in their order, and the findings so far."""

    def __init__(self, fn: Callable, request: Expectation) -> None:
        self.fn, self.request = fn, request
        self.mismatches: list[Mismatch] = []
        self.skipped: dict[str, str] = {}
        self.notes: list[str] = []
        self.mode: Mode | None = None
        self.state: RunningState | None = None
        self.subject: Subject | None = None
        self.sets: np.ndarray | None = None
        self.cause: BaseException | None = None

    def run(self) -> Verdict:
        """Run the experiments."""
        request, known = self.request, {}
        try:
            self.subject = set_up(self.fn, self.request, self)
            if self.state is None and (request.running is not None or request.momentum is not None):
                why = self.skipped.get("running statistics", "")
                raise ValueError(running_stats.unusable(self.subject.call, request, why))
            self.note(self.subject.handed_in())
            if took := self.subject.call.took:
                what = described(self.subject.call.returned)
                self.note(f"fn returned {what}; check took its {took}, which has the shape of x.")
            if self.subject.layout == "own":
                kept = [p.read() for p in find_parameters(owner(self.fn)).values()]
                shapes = dict.fromkeys(str(attribute(p, "shape")) for p in kept)
                why = f"those of fn have shape {' and '.join(shapes)}, not one number for each channel"
                self.skipped["other values of weight and bias"] = why
            self._examine(self.subject)
        except Refusal as error:
            code = "no-array" if str(error).startswith("fn returned") else "raises"
            text = f"{error}".removeprefix("fn ") + (self._other_layout() if self.subject is None else "")
            self.add("wrong-shape" if isinstance(error, ShapeChanged) else code, text)
            self.cause = error.__cause__ or error
        if self.subject is not None:
            call = self.subject.call
            if replaced := (*self.subject.replaced, *(self.state.filled if self.state else ())):
                self.note(f"check put random numbers into fn's own {', '.join(replaced)}, and then the old ones back.")
            known = {"shape": self.subject.shape, "framework": call.framework, "dtype": call.dtype, "calls": call.calls}
        for mismatch in self.mismatches:
            if mismatch.x is not None and mismatch.wrong is not None:
                known["x"] = np.ascontiguousarray(uncanonical(mismatch.x, request.channel_axis))
                known["wrong"] = mismatch.wrong.reshape(mismatch.x.shape)
                if self.sets is not None and self.sets.shape == mismatch.x.shape:
                    known["sets"] = self.sets
                break
        known |= {name: getattr(request, name) for name in ("method", "num_groups", "eps", "channel_axis")}
        findings = tuple(m.finding(request.channel_axis, HINTS[m.code]) for m in self.mismatches)
        return Verdict(findings=findings, skipped=self.skipped, notes=tuple(self.notes), cause=self.cause, **known)

    def _other_layout(self) -> str:
        """Say whether fn takes the requested shape with its channels on axis 1 where they are last, or the reverse."""
        request = self.request
        if request.shape is None or len(request.shape) < 3 or request.channel_axis % len(request.shape) == 0:
            return ""
        shape = canonical_shape(request.shape, request.channel_axis)
        axis, shape = (-1, (shape[0], *shape[2:], shape[1])) if shape == request.shape else (1, shape)
        try:
            set_up(self.fn, replace(request, shape=shape, channel_axis=axis))
        except (Refusal, ValueError):
            return ""
        return f". It takes an input of shape {shape}: are its channels on axis {axis}?"

    @property
    def codes(self) -> set[str]:
        """The codes of the findings so far."""
        return {m.code for m in self.mismatches}

    def add(self, code: str, text: str, **fields: Any) -> None:
        """Add a finding."""
        self.mismatches.append(Mismatch(code, text, **fields))

    def note(self, sentence: str) -> None:
        """Add a whole sentence about what check handed in or assumed, unless it is empty or said already."""
        if sentence and sentence not in self.notes:
            self.notes.append(sentence)

    def _add_changes(self, found: Explanation, base: Recipe, trials: Sequence[Trial]) -> None:
        """Add a finding for each change that explains the output, with the cell where it shows best."""
        for change in found.changes:
            without = apply(base, [other for other in found.changes if other is not change])
            effects = []
            for trial in trials:
                left = trial.scene.output(without)
                effect = np.abs(np.nan_to_num(trial.scene.output(found.recipe) - left)) / (1 + np.abs(left))
                effects.append((effect.max(), int(effect.argmax()), trial))
            _, cell, trial = max(effects, key=lambda effect: effect[0])
            expected = trial.scene.output(base)
            shown = {"x": trial.scene.x, "y": trial.y, "expected": expected, "wrong": ~near(trial.y, expected, 1e-4)}
            shown["wrong"][cell] = True
            text = change.text
            if found.recipe.eps != base.eps and change.code != "eps-value":  # that one says which eps it is
                text = text.replace(f"eps = {base.eps:.4g}", "eps")
            self.add(change.code, text, cell=cell, details=change.details, **shown)

    def set_mode(self, call: FunctionUnderTest) -> Callable[[], Any] | None:
        """Return what sets fn to train mode."""
        self.mode = find_mode(self.fn, call) if self.request.method == "batch" else None
        return partial(self.mode.set, True) if self.mode is not None and self.mode.own else None

    def find_state(self, call: FunctionUnderTest, x: np.ndarray) -> bool:
        """Find the running statistics of Batch Norm; return whether fn has some."""
        self.state = None
        self.skipped.pop("running statistics", None)
        if self.request.method != "batch":
            if any(not is_of_a_batch(slots) for slots in find_running(call.snapshot.objects, call.arguments)):
                self.skipped["running statistics"] = "check compares those of 'batch' alone"
            return False
        found = running_stats.find_state(call, self.mode, x, self.request, self._trains())
        if not isinstance(found, str):
            self.state = found
        elif found:
            self.skipped["running statistics"] = found
        call.restore(x)
        return self.state is not None

    def _examine(self, subject: Subject) -> None:
        call, (x, answer) = subject.call, subject.first
        if not self._has_comparable_shape(subject, x, answer) or self._is_random(subject, x, answer):
            return
        if answer.changed:
            self.add("changes-input", "writes its result into its input array, so the caller's x is overwritten")
        if answer.dtype != call.dtype and "keras" not in call.snapshot.packages:
            self.add("wrong-dtype", f"returns {answer.dtype} for {call.dtype}", pair=(call.dtype, answer.dtype))
        roles = [role for role in ("weight", "bias") if getattr(subject, role) is not None]
        if subject.per_group:
            G, C = self.request.num_groups, subject.pool.shape[1]
            text = f"has one {' and one '.join(roles)} for each of its {G} groups, not for each of the {C} channels"
            self.add("affine-per-group", text, pair=((C,), (G,)))
        base = right(subject.pool, self.request.eps)
        recipe, tolerance = self._compare_outputs(subject, base, self._trials(subject))
        if recipe is not None:
            self.sets = recipe.cut.labels(subject.pool)
        if self.sets is not None:
            right_sets = subject.pool.labels()
            pairs = np.unique([self.sets.ravel(), right_sets.ravel()], axis=1)
            # Two ways to cut x are the same if each set of one meets one set of the other.
            same = pairs.shape[1] == len(np.unique(self.sets)) == len(np.unique(right_sets))
            self.sets = None if same else np.unique(self.sets, return_inverse=True)[1].reshape(self.sets.shape)
        if subject.layout == "along" and "channels-last" not in self.codes:
            self._compare_layouts(subject, base)
        if "float16-accumulation" in self.codes:
            return
        if recipe == base and subject.layout == "own" and roles:
            shape = uncanonical(getattr(subject, roles[0]), self.request.channel_axis).shape
            shape, C = shape[next(a for a, n in enumerate(shape) if n > 1) :], subject.pool.shape[1]
            text = f"has a {' and a '.join(roles)} of shape {shape}, not one number for each of the {C} channels"
            self.add("affine", text, pair=((C,), shape))
        if recipe is None:
            self.skipped["rounding, state and gradient"] = "they can be checked only once the output is right"
            return
        for mismatch in precision.rounding_errors(subject, recipe, tolerance):
            library = mismatch.code == "cancellation" and (
                precision.library_layer(call) or precision.torch_function(subject)
            )
            if library:
                self.skipped["large means"] = f"{library} computes its variance as E[x^2] - E[x]^2, which cancels there"
            elif mismatch.code not in self.codes:
                self.mismatches.append(mismatch)
        if self.state is not None and recipe.cut != base.cut:
            self.skipped["running statistics"] = "the sets are wrong"
        elif self.state is not None and "uses-running-statistics" not in self.codes:
            self.mismatches += running_stats.running_errors(subject, self.state, recipe, base, tolerance)
            if self.state.left:
                self.skipped["how running statistics are updated"] = self.state.left
        if {"train-uses-running", "uses-running-statistics", "wrong-shape"} & self.codes:
            self.skipped["gradient"] = "the output is that of another function"
            return
        if {"mean", "var"} & call.takes.names.keys():
            self.skipped["gradient"] = "no gradient flows through a mean and a variance that the caller passes in"
            return
        backward = gradients.backward_of(self.fn, self.request.backward)
        try:
            self.mismatches += gradients.gradient_errors(subject, recipe, backward, tolerance)
        except gradients.NotComparable as reason:
            self.skipped["gradient"] = str(reason)
        if not self.mismatches and self.request.dtype is None and call.dtype in ("float64", "float32"):
            self.skipped["overflow in float16"] = 'dtype="float16" was not given'

    def _compare_layouts(self, subject: Subject, base: Recipe) -> None:
        """Report that a weight and a bias of shape (C,) have to be reshaped by the caller, unless fn says so."""
        flat, roles = subject.with_flat, subject.not_reshaped()
        names = "|".join(map(re.escape, subject.call.takes.names.values()))
        documented = rf"\b({names})\b[^\n(]*(\bshape|:)\W{{0,3}}\([^()]*, ?1\)"
        if not roles or re.search(documented, inspect.getdoc(self.fn) or "") or self._keeps_axes():
            return
        told, shown = (subject.pool, self.request.channel_axis, " and ".join(roles)), {}
        returned = flat.first[1].shape if isinstance(flat, Subject) else None
        if isinstance(flat, Subject) and returned == flat.shape:
            scene, y = flat.scene(flat.first[0]), flat.flat(flat.first[1].y)
            expected = scene.output(base)
            shown = {"x": scene.x, "y": y, "expected": expected, "wrong": ~near(y, expected, subject.tolerance)}
        self.add("affine-not-reshaped", known_bugs.without_reshape(*told, () if shown else returned), **shown)

    def _keeps_axes(self) -> bool:
        """Whether fn returns running statistics of shape (1, C, 1, 1), so that its caller has parameters like those."""
        if self.state is None or self.subject is None or not self.state.is_argument:
            return False
        shape = self.subject.call.values["running_mean"].shape
        return len(shape) > 1 and any(tuple(a.shape) == shape for _, a in arrays_in(self.subject.call.returned))

    def _has_comparable_shape(self, subject: Subject, x: np.ndarray, answer: Answer) -> bool:
        """Compare the shape of the output; where it is wrong, look for a way to compare the values anyway."""
        shape = subject.shape
        if answer.shape == shape:
            return True
        text = f"returns shape {answer.shape} for an input of shape {shape}"
        self.add("wrong-shape", text, pair=(shape, answer.shape))
        if answer.y.size != x.size:
            self.skipped["values"] = "the output has another number of cells"
            return False
        scene, base = subject.scene(x), right(subject.pool, self.request.eps)
        ways = [lambda y: y.reshape(shape)]
        for source in {len(shape) - 1, 1} if len(answer.shape) == len(shape) else ():
            target = 1 if source > 1 else len(shape) - 1
            if np.moveaxis(answer.y, source, target).shape == shape:
                ways.append(lambda y, s=source, t=target: np.moveaxis(y, s, t))
        for subject.arrange in ways:
            if scene.agrees(subject.flat(answer.y), base, subject.tolerance).all():
                break
        return True

    def _is_random(self, subject: Subject, x: np.ndarray, answer: Answer) -> bool:
        """Return whether the same input gives another output the next time."""
        for code, text, fresh in (
            ("stateful", "gives a different output for the same input after an earlier call", False),
            ("random", "gives a different output when it is called again with the same input", True),
        ):
            again = subject.call.ask(x, fresh=fresh)
            if again.shape != answer.shape or not near(again.y, answer.y, subject.tolerance).all():
                self.add(code, text)
                return True
        return False

    def _trials(self, subject: Subject) -> list[Trial]:
        rng = np.random.default_rng(self.request.seed)
        inputs = comparison_inputs(subject.pool.shape, rng, self.request.eps, subject.call.resolution)
        trials = []
        for name, x in inputs.items():
            if self.state is None:
                trials.append(Trial(name, *subject.output(x)))
            else:
                subject.call.restore(x)
                before = self.state.read()
                scene, y, after = self.state.go_on(subject, x)
                trials.append(Trial(name, scene, y, before, after))
        return trials

    def _compare_outputs(self, subject: Subject, base: Recipe, trials: list[Trial]) -> tuple[Recipe | None, float]:
        """Name what is wrong with the outputs; return the recipe that explains them, and the tolerance it took."""

        def is_right(tolerance: float) -> bool:
            return all(trial.scene.agrees(trial.y, base, tolerance).all() for trial in trials)

        strict, known, tests = subject.tolerance, [], [trial.sampled for trial in trials]
        tolerances = [*dict.fromkeys((strict, max(strict, 1e-4)))]
        asked = self.request.eps, self.request.channel_axis
        case = Case(subject.pool, *asked, subject.weight, subject.bias, subject.flattens)
        found, tolerance, line = [Explanation((), base)], strict, None
        if not is_right(strict):
            known, line = known_bugs.changes(case), fixed_stats.fixed_line(trials, strict)
            found, tolerance = explain(tests, known, base, tolerances, most=1) if line is None else ([], strict)
            if line is None and (len(found) != 1 or tolerance > strict):
                # With the sets measured, combinations with bugs that make others need no trial.
                case = replace(case, measured=measured_sets(subject))
                self.sets = case.measured
                if case.measured is None and (mismatches := moved_output(case, trials, base, tolerances)):
                    self.mismatches += mismatches
                    return None, strict
                known = known_bugs.changes(case)
                found, tolerance = explain(tests, known, base, tolerances, most=2 if case.measured is None else 3)
            if tolerance > strict and is_right(tolerance):
                found = [Explanation((), base)]
        if len(found) > 1:
            self._add_ambiguous(found, localize.first_wrong_stage(trials, base, tolerance, case, known))
            return None, tolerance
        if found:
            self._add_changes(renamed_on_another_shape(found[0], subject, case), base, trials)
            if tolerance > strict:
                self.skipped["digits beyond the fourth"] = "fn computes in float32, whatever dtype it gets"
            return found[0].recipe, tolerance
        for tolerance, state in [(t, self.state) for t in tolerances if self.state and self._trains()]:
            recipe, mismatches = running_stats.train_uses_running(state, trials, base, known, tolerance)
            if recipe is not None:
                self.mismatches += mismatches
                return recipe, tolerance
        if line is not None:
            self.mismatches.append(fixed_stats.fixed_statistics(subject, trials, base, line, strict))
            return None, strict
        recipe = self._in_float16(subject, known, base, trials)
        if recipe is None and (apart := mean_and_variance_apart(case)):
            rest = [c for c in known if not {"cut", "subtract", "spread"} & c.fields.keys()]
            simply = "divides the sum of squares by |S| - 1, not by |S|"  # these sets are not the method's
            rest = [replace(c, text=simply) if c.code == "unbiased-variance" else c for c in rest]
            found, _ = explain(tests, apart + rest, base, tolerances[:1], most=1 if case.measured is None else 2)
            if len(found) == 1:
                self._add_changes(found[0], base, trials)
                return None, strict
        if recipe is None:
            self.mismatches.append(localize.first_wrong_stage(trials, base, max(strict, 1e-6), case, known))
        return recipe, strict

    def _trains(self) -> bool:
        """Whether fn should be in train mode: a function may only refer to a layer, which is in the mode of its own."""
        return self.mode.own if self.mode else not issubclass(type(owner(self.fn)), FunctionType)

    def _in_float16(self, subject: Subject, known: list[Change], base: Recipe, trials: list[Trial]) -> Recipe | None:
        """Explain the outputs to the digits that float16 has, for a fn that computes in it whatever it is given."""
        trials = [trial for trial in trials if trial.name in ("ordinary", "other")]
        if all(trial.scene.agrees(trial.y, base, 2e-2).all() for trial in trials):
            found = [Explanation((), base)]
        else:
            known = [change for change in known if not change.code.startswith("eps")]
            found, _ = explain([trial.sampled for trial in trials], known, base, [2e-2])
        if len(found) != 1 or (mismatch := precision.float16_inside(subject)) is None:
            return None
        self._add_changes(found[0], base, trials)
        self.mismatches.append(mismatch)
        self.skipped["eps"] = "float16 is too coarse for it"
        return found[0].recipe

    def _add_ambiguous(self, found: list[Explanation], stage: Mismatch) -> None:
        """Add the first wrong stage, with the different sets of bugs that explain it."""
        ways = sorted({" with ".join(sorted(e.codes)) for e in found})
        text = f"{stage.text}. Either {' or '.join(ways)} would explain it, and these inputs cannot tell which"
        self.mismatches.append(replace(stage, text=text, details={"either": ways}))
