"""The running statistics of Batch Norm and its two modes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from dis import get_instructions
from numbers import Real
from types import FunctionType
from typing import Any

import numpy as np

from normviz.core.errors import brief
from normviz.inspect._call import FunctionUnderTest, Refusal, owner
from normviz.inspect._signature import arrays_in, role_of
from normviz.inspect._snapshot import is_array
from normviz.inspect.check.bug import Change
from normviz.inspect.check.layer_state import Mode, Slot, attribute, find_running, is_of_a_batch, places_of, snapshot_of
from normviz.inspect.check.precision import library_layer
from normviz.inspect.check.search import apply
from normviz.inspect.check.setup import Expectation, Subject
from normviz.inspect.check.simulate import Pair, Recipe, Scene, Trial, near, plain
from normviz.inspect.check.verdict import Mismatch

HINTS = {
    "running-biased": "The batch itself is normalized with the biased variance. The running variance estimates the "
    "variance of all the data. Which divisor fits an estimate?",
    "momentum-reversed": "After one batch, should most of the running mean be old or new? Conventions differ: "
    "PyTorch's "
    "momentum is the share of the new batch.",
    "eval-uses-batch": "In eval mode, should the output for one sample depend on the other samples of the batch?",
    "train-uses-running": "Which statistics does Batch Norm use in training?",
    "uses-running-statistics": "From what should mean and variance be computed? Look for eval mode, training=False, or "
    "numbers from an earlier call.",
    "running-not-updated": "Where is the result of the update stored? A new local variable is gone after the call.",
    "updates-in-eval": "Evaluating twice should give the same output twice. What must eval mode not change?",
    "state": "Print the running statistics before and after one call in train mode, and compute the update by hand.",
}


@dataclass
class RunningState:
    """The running statistics of a layer, and its mode."""

    call: FunctionUnderTest  # the function that has them
    slots: tuple[Slot, Slot]  # running mean and variance
    mode: Mode | None  # how to set the mode, or None
    momentum: float | None  # the requested share of the newest batch, or None
    channels: int  # C
    filled: tuple[str, ...] = ()  # the names of those that hold random numbers
    handed_back: bool = False  # whether fn returns the new ones, and does not change the old ones
    left: str = ""  # why their update is not compared

    @property
    def names(self) -> tuple[str, str]:
        """The names of the two places."""
        return self.slots[0].name, self.slots[1].name

    @property
    def has_all_channels(self) -> bool:
        """Whether both hold one number for each channel."""
        return all(p is not None and p.size == self.channels for p in (slot.read() for slot in self.slots))

    @property
    def is_argument(self) -> bool:
        """Whether fn takes them as arguments."""
        return self.slots[0].owner is self.call.arguments

    def read(self) -> Pair:
        """Return running mean and variance, (C,) each."""
        mean, var = (slot.read() for slot in self.slots)
        if mean is None or var is None or not mean.size == var.size == self.channels:
            needed = f"no {self.channels} numbers" if mean is not None and var is not None else "no numbers"
            raise Refusal(f"fn leaves {needed} in {' and '.join(self.names)} once it is called")
        return mean.reshape(-1), var.reshape(-1)

    def fill(self, rng: np.random.Generator) -> None:
        """Write numbers that differ from 0 and 1 to the places that can be written, for the whole check."""
        self.filled = ()
        for slot, low, high in zip(self.slots, (-1.0, 0.5), (1.0, 2.0), strict=True):
            if (numbers := slot.read()) is not None and slot.write(rng.uniform(low, high, numbers.shape)):
                self.filled += (slot.name,)
        self.call.snapshot = snapshot_of(self.call.fn)

    def go_on(self, subject: Subject, x: np.ndarray) -> tuple[Scene, np.ndarray, Pair]:
        """Call fn from the state that it is in; return the output and the new state, put to its place if need be."""
        before = self.read()
        scene, y = subject.output(x, restore=False)
        if not self.left and all(map(np.array_equal, before, self.read())):
            for slot, array in zip(self.slots, self._returned(), strict=False):
                now: Any = slot.value
                slot.put(array.reshape(now.shape))
                self.handed_back = True
        return scene, y, self.read()

    def _returned(self) -> list[Any]:
        """Return the new running mean and variance, if fn returns them: by their names, or as the only two arrays."""
        found = [(where, a) for where, a in arrays_in(self.call.returned) if math.prod(a.shape) == self.channels]
        named = [a for name in self.names for where, a in found if where.startswith(f"entry {name!r}")]
        if len(named) == 2:
            return named
        return [a for _, a in found] if self.is_argument and len(found) == 2 else []

    @property
    def is_left_to_caller(self) -> bool:
        """Whether fn seems not meant to update its arguments: it neither assigns nor returns them, nor has a share."""
        code = getattr(self.call.fn, "__code__", None)
        if code is None or not self.is_argument or self.handed_back or len(self.slots[0].path) > 1:
            return False
        stored = {one.argval for one in get_instructions(code) if one.opname.startswith("STORE")}
        return self.names[0] not in stored and "momentum" not in map(role_of, code.co_varnames)

    @property
    def is_frozen(self) -> bool:
        """Whether it seems to be meant never to update: it stays out of train mode, or has no momentum."""
        layer = self.slots[0].owner
        stays_out = any(attribute(layer, name) is False for name in ("training", "trainable"))
        return self.momentum is None and (stays_out or attribute(layer, "momentum") is None)

    @property
    def library(self) -> str:
        """The package of the layer, if it has conventions of its own."""
        package = type(self.slots[0].owner).__module__.partition(".")[0]
        return package if package in ("torch", "keras", "flax") else (library_layer(self.call) or "").lower()


def find_state(
    call: FunctionUnderTest, mode: Mode | None, x: np.ndarray, request: Expectation, fill: bool
) -> RunningState | str:
    """Find the running statistics of fn, which has been called with x; with `fill` give them random numbers.

    Return them, or why there are none to compare.
    """
    fn = call.fn
    C, rng = x.shape[1], np.random.default_rng(request.seed)
    call.restore(x)
    found = find_running(call.snapshot.objects, call.arguments, request.running)
    stateless = issubclass(type(fn), FunctionType) and not any(map(_may_keep, call.snapshot.objects))
    if not found and not stateless:  # perhaps the first call makes them
        call.ask(x)
        found = find_running(snapshot_of(fn).objects, call.arguments, request.running)
    given = {call.takes.names.get(which) for which in ("mean", "var")}  # those of the batch, which check hands over
    found = [pair for pair in found if pair[0].owner is not call.arguments or pair[0].name not in given]
    states = [RunningState(call, slots, mode, request.momentum, C) for slots in found]
    own = {id(state.slots[0].value): state for state in reversed(states)}  # a layer comes before its dict of buffers
    fitting = [state for state in states if state.has_all_channels and own[id(state.slots[0].value)] is state]
    kept = snapshot_of(fn)
    if len(fitting) > 1:  # those that a call changes come first
        before = [state.read() for state in fitting]
        call.ask(x)
        still = [all(map(np.array_equal, old, state.read())) for old, state in zip(before, fitting, strict=True)]
        fitting = [fitting[i] for i in np.argsort(still, kind="stable")]
        kept.restore()
    for state in fitting:
        if state.is_argument:
            return state
        if fill or is_of_a_batch(state.slots):
            state.fill(rng)
        fits = not is_of_a_batch(state.slots) or _matters(state, x, rng)
        if not fits or not fill:
            kept.restore()
            call.snapshot, state.filled = kept, ()
        if fits:
            return state
    if fitting:
        return f"{' and '.join(fitting[0].names)} do not carry over from batch to batch; give running=(mean, var)"
    if states:
        return f"{' and '.join(states[0].names)} do not hold one number for each of the channels"
    if "mean" in call.takes.names:
        return "fn takes the mean and the variance from its caller"
    if request.running or stateless:
        return ""
    return "not found under the usual names; give running=(mean, var)"


def _may_keep(value: Any) -> bool:
    return is_array(value) or (not issubclass(type(value), FunctionType) and bool(places_of(value)))


def unusable(call: FunctionUnderTest, request: Expectation, why: str) -> str:
    """Return a sentence on a running= or momentum= for which there are no running statistics, because of `why`."""
    objects = snapshot_of(call.fn).objects
    places = [pair for value in (call.arguments, *objects) for pair in places_of(value).items()]
    slots = [Slot(holder, name, path) for name, (holder, path) in places]
    arrays = [slot for slot in slots if (numbers := slot.read()) is not None and numbers.ndim]
    kept = [*dict.fromkeys(slot.name for slot in arrays if not isinstance(slot.value, tuple))]
    keeps = f"it keeps {', '.join(kept[:20])}{', ...' if len(kept) > 20 else ''}" if kept else "it keeps no arrays"
    if request.running is None:
        remedy = "give running=(mean, var), or leave momentum out"
        return f"momentum={request.momentum}: fn has no running statistics that check can read; {remedy} ({keeps})"
    names = tuple(map(brief, request.running))
    if why:
        return f"running=({', '.join(names)}): {why}"
    near = find_running(objects, call.arguments)
    pairs = [(slots[0].name, slots[1].name) for slots in near] or [
        tuple(get_close_matches(name, kept, n=1)[0] for name in request.running if get_close_matches(name, kept, n=1))
    ]
    question = f"; did you mean {pairs[0]!r}?" if len(pairs[0]) == 2 else ""
    where = "in an attribute, a dict, a variable around it or an argument"
    return f"running=({', '.join(names)}): fn keeps no such arrays {where}{question} ({keeps})"


def _matters(state: RunningState, x: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether fn carries on from the numbers that it keeps as mean and variance, or normalizes with them in eval."""
    call, outcomes = state.call, []
    if not state.filled:
        return True  # it cannot be told
    for _ in range(2):
        before = state.read()
        call.ask(x)
        after, y = state.read(), None
        if state.mode is not None:
            call.restore(x)
            state.mode.set(False)
            y = call.ask(x, restore=False).y
        outcomes.append((after, y, any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))))
        call.snapshot.restore()
        state.fill(rng)
    (first, y, changed), (second, other, _) = outcomes
    carried = changed and any(not np.allclose(a, b, rtol=1e-6) for a, b in zip(first, second, strict=True))
    return carried or (y is not None and not np.allclose(y, other, rtol=1e-6, equal_nan=True))


def train_uses_running(
    state: RunningState, trials: Sequence[Trial], base: Recipe, known: Sequence[Change], tolerance: float
) -> tuple[Recipe | None, list[Mismatch]]:
    """Return the recipe of a fn that normalizes with its running statistics in train mode, and what is wrong."""
    singles = [c for c in known if "cut" not in c.fields and c.code != "unbiased-variance"]
    sampled = [trial.sampled for trial in trials]
    for chosen in [(), *((c,) for c in singles)]:
        recipe = apply(base, chosen)
        for kept in ([t.before for t in trials], [t.after for t in trials]):
            tests = zip(sampled, kept, strict=True)
            if all(p is not None and near(y, s.running_output(recipe, *p), tolerance).all() for (s, y), p in tests):
                scene, y = trials[0].scene, trials[0].y
                code, text = "train-uses-running", "normalizes with its running statistics in train mode"
                if state.is_frozen and np.array_equal(trials[0].before or (), trials[0].after or ()):
                    names = " and ".join(state.names)
                    code, text = "uses-running-statistics", f"normalizes with {names}, which it never updates"
                wrong = ~scene.agrees(y, base, tolerance)
                first = Mismatch(code, f"{text}, not with the batch's own", scene.x, y, scene.output(base), wrong)
                return recipe, [first, *(Mismatch(c.code, c.text, details=c.details) for c in chosen)]
    return None, []


def running_errors(
    subject: Subject, state: RunningState, recipe: Recipe, base: Recipe, tolerance: float
) -> Iterator[Mismatch]:
    """Train with two batches, evaluate a third, and compare the running statistics and the output."""
    call, rng = subject.call, np.random.default_rng(subject.call.seed + 2)
    prepare, call.before = call.before, lambda: None
    try:
        batches = [plain(subject.pool.shape, rng) for _ in range(3)]
        if not state.filled and not state.is_argument:
            state.fill(rng)
        call.restore(batches[0])
        if state.mode:
            state.mode.set(True)
        kept, statistics = [state.read()], []
        first = np.arange(state.channels) * math.prod(subject.pool.shape[2:])  # the first cell of each channel
        for x in batches[:2]:
            scene, _, now = state.go_on(subject, x)
            kept.append(now)
            of_batch = scene.statistics(recipe)
            statistics.append((of_batch.mean[first], of_batch.var[first]))
        error = max(1e-3, 2 * call.resolution)
        yield from _update_errors(state, kept, statistics, scene.x.size // state.channels, max(tolerance, 1e-6), error)
        if state.mode is None:
            return
        state.mode.set(False)
        scene, y, now = state.go_on(subject, batches[2])
        yield from _evaluation_errors(scene, y, recipe, base, kept[-1], now, tolerance)
    finally:
        call.before = prepare


def _update_errors(
    state: RunningState, kept: list[Pair], batches: list[Pair], m: int, tolerance: float, error: float
) -> Iterator[Mismatch]:
    """Compare the running statistics before and after one and two batches, whose statistics are `batches`."""
    (mean0, var0), (mean1, var1) = kept[:2]
    mean, var = batches[0]
    unbiased = m / max(m - 1, 1)
    still = [np.array_equal(mean0, mean1), np.array_equal(var0, var1)]
    shares = [None if still[0] else _share(kept[k][0], kept[k + 1][0], batches[k][0], tolerance) for k in (0, 1)]
    wanted, accepted = _requested_share(state, shares, error)
    share = shares[0]
    right_mean, right_var = mean0 + wanted * (mean - mean0), var0 + wanted * (var * unbiased - var0)
    if state.handed_back and share is not None and abs(share - 1) < error:
        state.left = "fn returns the batch statistics, and its caller averages them"
        return
    if state.is_left_to_caller and still[0]:
        state.left = "fn does not change the running statistics that it gets; its caller updates them"
        return
    if any(still):
        expected, seen = (right_mean, mean1) if still[0] else (right_var, var1)
        left = " and ".join(name for name, unchanged in zip(state.names, still, strict=True) if unchanged)
        left += " as they were" if all(still) else " as it was"
        c = int(np.argmax(np.abs(expected - seen)))
        text = f"leaves {left} in train mode; channel {c} stays at {seen[c]:.6g}"
        yield _of_channel("running-not-updated", text, c, expected, seen)
    if not still[0] and not accepted:
        c, code = _worst(right_mean, mean1), "state"
        if share is None:
            text = f"keeps {mean1[c]:.6g} as {state.names[0]} of channel {c}, which is not an average of old and new"
        elif abs(share + wanted - 1) < 0.01:
            code = "momentum-reversed"
            text = f"gives the new batch a share of {share:.4g} and the old value {1 - share:.4g}; the two are swapped"
        else:
            text = f"gives the new batch a share of {share:.4g}, not {wanted:.4g}"
        yield _of_channel(code, text, c, right_mean, mean1)
    if still[1] or m == 1:
        return
    newest = share if share is not None else _share(var0, var1, var * unbiased, tolerance)
    newest = wanted if newest is None else newest
    with_unbiased, with_biased = (var0 + newest * (var * f - var0) for f in (unbiased, 1.0))
    is_biased = np.allclose(var1, with_biased, rtol=tolerance)
    if np.allclose(var1, with_unbiased, rtol=tolerance) or (is_biased and state.library in ("keras", "flax")):
        return
    c = _worst(with_unbiased, var1)
    text = (
        f"keeps {var1[c]:.6g} as {state.names[1]} of channel {c}, which dividing by |S| - 1 or by |S| does not explain"
    )
    roots = [var0 + newest * (np.sqrt(var * f) - var0) for f in (unbiased, 1.0)]
    roots += [np.sqrt(with_unbiased), np.sqrt(with_biased)]
    if any(np.allclose(var1, kept, rtol=tolerance) for kept in roots):
        text = f"stores standard deviations in {state.names[1]}, not variances"
    if is_biased:
        text = f"keeps the biased variance in {state.names[1]}, divided by |S| = {m} and not by |S| - 1 = {m - 1}"
    yield _of_channel("running-biased" if is_biased else "state", text, c, with_unbiased, var1)


def _evaluation_errors(
    scene: Scene, y: np.ndarray, recipe: Recipe, base: Recipe, before: Pair, after: Pair, tolerance: float
) -> Iterator[Mismatch]:
    """Compare the output in eval mode, and the running statistics before and after it."""
    for old, new in zip(before, after, strict=True):
        if not np.array_equal(old, new):
            c = int(np.argmax(np.abs(new - old)))
            text = f"changes its running statistics in eval mode: channel {c} goes from {old[c]:.6g} to {new[c]:.6g}"
            yield _of_channel("updates-in-eval", text, c, old, new)
            break
    recipes = [recipe] if recipe == base else [recipe, base]
    recipes += [replace(r, eps=base.eps) for r in recipes if r.eps != base.eps]
    if any(near(y, scene.running_output(r, *kept), tolerance).all() for r in recipes for kept in (before, after)):
        return
    expected = scene.running_output(recipe, *before)
    wrong = ~near(y, expected, tolerance)
    code, text = "state", "gives an output in eval mode that does not follow from its running statistics"
    if any(scene.agrees(y, r, tolerance).all() for r in recipes):
        code = "eval-uses-batch"
        text = "normalizes with the batch's own mean and variance in eval mode, not with the running ones"
    yield Mismatch(code, text, scene.x, y, expected, wrong)


def _of_channel(code: str, text: str, c: int, expected: np.ndarray, seen: np.ndarray) -> Mismatch:
    return Mismatch(code, text, channel=c, pair=(float(expected[c]), float(seen[c])))


def _share(old: np.ndarray, new: np.ndarray, batch: np.ndarray, tolerance: float) -> float | None:
    """Return the share of the batch in the running statistic, or None if no one share explains all channels."""
    if not np.isfinite(new).all():
        return None
    share = float(np.sum((new - old) * (batch - old)) / np.sum(np.square(batch - old)))
    return share if np.allclose(new, old + share * (batch - old), rtol=tolerance, atol=tolerance) else None


def _requested_share(state: RunningState, shares: list[float | None], error: float) -> tuple[float, bool]:
    """Return the right share of a batch, and whether the observed ones, known to within an error, are accepted."""
    first, second = shares
    if state.momentum is not None:
        return state.momentum, first is not None and abs(first - state.momentum) < error
    call, no_value = state.call, object()
    handed = "momentum" in call.takes.roles
    if handed:  # whether it is the share of the new or of the old, fn may choose
        momentum, has_momentum = call.values["momentum"], True
    else:
        holders = (state.slots[0].owner, owner(call.fn))
        kept = [dict.get(h, "momentum", no_value) if isinstance(h, dict) else _get(h, no_value) for h in holders]
        momentum = next((m for m in kept if m is not no_value), no_value)
        momentum, has_momentum = (0.1, False) if momentum is no_value else (momentum, True)
    if not isinstance(momentum, Real) or isinstance(momentum, bool):
        averaged = first is not None and second is not None and abs(second - first / (1 + first)) < error
        return first or 0.1, averaged or (first is not None and first <= 0.5)
    momentum = float(momentum)
    if handed and first is not None and abs(first + momentum - 1) < error:
        return first, True
    if state.library != "torch":
        if not has_momentum and first is not None:
            return min(first, 1 - first), first <= 0.5
        momentum = min(momentum, 1 - momentum)
    return momentum, first is not None and abs(first - momentum) < error


def _get(holder: Any, otherwise: Any) -> Any:
    try:
        return holder.momentum
    except Exception:
        return otherwise


def _worst(expected: np.ndarray, seen: np.ndarray) -> int:
    return int(np.argmax(np.abs(np.nan_to_num(seen, nan=np.inf) - expected)))
