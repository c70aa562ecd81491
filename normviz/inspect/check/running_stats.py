"""Batch Norm's two modes and what it keeps of the batches: each known bug is simulated and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from normviz.inspect._call import Refusal
from normviz.inspect.check import inputs
from normviz.inspect.check.held import Mode, Slot
from normviz.inspect.check.known_bugs import Change, near
from normviz.inspect.check.precision import Trouble
from normviz.inspect.check.setup import Started
from normviz.inspect.check.simulate import BEFORE, Recipe, Scene


@dataclass(frozen=True)
class Numbers:
    """A trouble of one channel's running statistic."""

    code: str
    said: str
    channel: int
    expected: float
    seen: float


@dataclass
class State:
    """Where the running statistics are, and how to set the mode.

    Attributes
    ----------
    slots
        Running mean and variance.
    mode
        How to set the mode, or None.
    momentum
        The share of the newest batch that was asked for, or None.
    """

    slots: tuple[Slot, Slot]
    mode: Mode | None
    momentum: float | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Running mean and variance now, (C,) each."""
        mean, var = (slot.read() for slot in self.slots)
        if mean is None or var is None:
            raise Refusal(f"fn leaves no numbers in {' and '.join(slot.name for slot in self.slots)} once it is called")
        return mean.reshape(-1), var.reshape(-1)

    def fill(self, rng: np.random.Generator) -> None:
        """Put numbers there that are told from 0 and 1, if they can be put there at all."""
        for slot, low, high in zip(self.slots, (-1.0, 0.5), (1.0, 2.0), strict=True):
            found = slot.read()
            if found is not None:
                slot.write(rng.uniform(low, high, found.shape))

    def library(self) -> str:
        """The package that made the holder, where that is one with conventions of its own."""
        package = type(self.slots[0].owner).__module__.partition(".")[0]
        return package if package in ("torch", "keras", "flax") else ""


def uses_running(
    tests: Sequence[tuple[Any, ...]], base: Recipe, known: Sequence[Change], tolerance: float
) -> tuple[Recipe, tuple[Change, ...]] | None:
    """Return what else fn does if it trains with its running statistics, those before or after an update.

    A test is a scene, the output of its compared cells, and what was kept before and after the call.
    """
    singles = [c for c in known if "cut" not in c.fields and c.code != "unbiased-variance"]
    for chosen in [(), *((c,) for c in singles)]:
        recipe = replace(base, **{k: v for c in chosen for k, v in c.fields.items()})
        for when in (2, 3):
            if all(near(test[1], test[0].running(recipe, *test[when]), tolerance).all() for test in tests):
                return recipe, chosen
    return None


def troubles(
    started: Started, state: State, recipe: Recipe, base: Recipe, tolerance: float
) -> Iterator[Trouble | Numbers]:
    """Train on two batches, evaluate a third, and compare what is kept and what comes out."""
    asked, rng = started.asked, np.random.default_rng(started.asked.seed + 2)
    before_call, asked.before = asked.before, lambda: None
    try:
        batches = [asked.round(inputs.plain(started.pool.shape, rng)) for _ in range(3)]
        asked.found.restore()
        if state.mode:
            state.mode.set(True)
        kept = [state.read()]
        for x in batches[:2]:
            asked.ask(x, restore=False)
            kept.append(state.read())
        near_enough = max(tolerance, 1e-6)
        yield from _updates(started, state, recipe, batches, kept, near_enough)
        if state.mode is None:
            return
        state.mode.set(False)
        answer = asked.ask(batches[2], restore=False)
        yield from _evaluation(started, recipe, base, batches[2], answer.y, kept[-1], state.read(), tolerance)
    finally:
        asked.before = before_call


def _updates(
    started: Started, state: State, recipe: Recipe, batches: list, kept: list, tolerance: float
) -> Iterator[Numbers]:
    of_batch = [_batch_statistics(started, recipe, x) for x in batches[:2]]
    count = of_batch[0][2]
    named = [slot.name for slot in state.slots]
    (mean0, var0), (mean1, var1) = kept[0], kept[1]
    still = [np.array_equal(a, b) for a, b in ((mean0, mean1), (var0, var1))]
    shares = [_share(kept[k][0], kept[k + 1][0], of_batch[k][0], tolerance) for k in (0, 1)]
    wanted, accepted = _wanted(state, shares, max(1e-3, 2 * started.asked.resolution))
    share = shares[0]
    if any(still):
        which = [name for name, unchanged in zip(named, still, strict=True) if unchanged]
        k = still.index(True)
        target = of_batch[0][0] if k == 0 else of_batch[0][1] * count / (count - 1)
        expected = kept[0][k] + wanted * (target - kept[0][k])
        c = int(np.argmax(np.abs(expected - kept[1][k])))
        left = " and ".join(which) + (" as they were" if all(still) else " as it was")
        said = f"leaves {left} in train mode; channel {c} stays at {kept[1][k][c]:.6g}"
        yield Numbers("running-not-updated", said, c, float(expected[c]), float(kept[1][k][c]))
        if all(still):
            return
    if not still[0]:
        if share is None:
            c, expected = _worst(mean0 + wanted * (of_batch[0][0] - mean0), mean1)
            said = (
                f"keeps {mean1[c]:.6g} as {named[0]} of channel {c}, which lies on no line from the old to the batch's"
            )
            yield Numbers("state", said, c, expected, float(mean1[c]))
        elif not accepted:
            c, expected = _worst(mean0 + wanted * (of_batch[0][0] - mean0), mean1)
            if abs(share + wanted - 1) < 0.01:
                said = f"gives the new batch a share of {share:.4g} and the old numbers {1 - share:.4g}"
                yield Numbers("momentum-reversed", f"{said}, the wrong way round", c, expected, float(mean1[c]))
            else:
                said = f"gives the new batch a share of {share:.4g}, where {wanted:.4g} is asked for"
                yield Numbers("state", said, c, expected, float(mean1[c]))
    if still[1]:
        return
    newest = share if share is not None else _share(var0, var1, of_batch[0][1] * count / (count - 1), tolerance)
    newest = wanted if newest is None else newest
    biased, unbiased = (var0 + newest * (of_batch[0][1] * f - var0) for f in (1.0, count / (count - 1)))
    if np.allclose(var1, unbiased, rtol=tolerance) or (
        np.allclose(var1, biased, rtol=tolerance) and state.library() in ("keras", "flax")
    ):
        return
    c, expected = _worst(unbiased, var1)
    if np.allclose(var1, biased, rtol=tolerance):
        said = f"keeps the biased variance in {named[1]}, divided by m = {count} and not by m - 1 = {count - 1}"
        yield Numbers("running-biased", said, c, expected, float(var1[c]))
    else:
        said = f"keeps {var1[c]:.6g} as {named[1]} of channel {c}, which neither m - 1 nor m explains"
        yield Numbers("state", said, c, expected, float(var1[c]))


def _evaluation(
    started: Started,
    recipe: Recipe,
    base: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    before: tuple,
    after: tuple,
    tolerance: float,
) -> Iterator[Trouble | Numbers]:
    from normviz.core.pooling import canonical

    if not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
        k = 0 if not np.array_equal(before[0], after[0]) else 1
        c = int(np.argmax(np.abs(after[k] - before[k])))
        said = f"changes what it keeps in eval mode: channel {c} goes from {before[k][c]:.6g} to {after[k][c]:.6g}"
        yield Numbers("updates-in-eval", said, c, float(before[k][c]), float(after[k][c]))
    scene = Scene(started.pool, x, started.weight, started.bias, slice(None))
    seen = canonical(started.arrange(y), started.asked.channel_axis).reshape(-1)
    ways = [recipe] if recipe == base else [recipe, base]
    ways += [replace(way, eps=base.eps) for way in ways if way.eps != base.eps]
    kept = [before, after]
    if any(near(seen, scene.running(way, *now), tolerance).all() for way in ways for now in kept):
        return
    expected = scene.running(recipe, *before)
    wrong = ~near(seen, expected, tolerance)
    if any(near(seen, scene.output(way), tolerance).all() for way in ways):
        said = "normalizes with the batch's own mean and variance in eval mode, not with the running ones"
        yield Trouble("eval-uses-batch", said, scene, seen, expected, wrong)
    else:
        said = "gives something else in eval mode than its running statistics do"
        yield Trouble("state", said, scene, seen, expected, wrong)


def _batch_statistics(started: Started, recipe: Recipe, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    scene = Scene(started.pool, x, started.weight, started.bias, slice(None))
    _, mean, var, _, count = scene.statistics(recipe.cut, BEFORE.get(recipe.affine, "x"))
    first = np.moveaxis(np.arange(x.size).reshape(x.shape), 1, 0).reshape(x.shape[1], -1)[:, 0]
    return mean[first], var[first], int(count[0])


def _share(old: np.ndarray, new: np.ndarray, batch: np.ndarray, tolerance: float) -> float | None:
    """The share of the batch in what is kept now, or None if no one share explains all channels."""
    if not np.isfinite(new).all():
        return None
    share = float(np.sum((new - old) * (batch - old)) / np.sum(np.square(batch - old)))
    return share if np.allclose(new, old + share * (batch - old), rtol=tolerance, atol=tolerance) else None


def _wanted(state: State, shares: list[float | None], error: float) -> tuple[float, bool]:
    """The share of a batch that is right, and whether what was seen, known to within an error, is accepted."""
    if state.momentum is not None:
        wanted = state.momentum
        return wanted, shares[0] is not None and abs(shares[0] - wanted) < error
    said = getattr(state.slots[0].owner, "momentum", 0.1)
    first, second = shares
    if said is None or not isinstance(said, Real) or isinstance(said, bool):
        averaged = first is not None and second is not None and abs(second - first / (1 + first)) < error
        return first or 0.1, averaged or (first is not None and first <= 0.5)
    said = float(said)
    if state.library() == "torch":
        return said, first is not None and abs(first - said) < error
    wanted = min(said, 1 - said)
    if not hasattr(state.slots[0].owner, "momentum") and first is not None:
        return min(first, 1 - first), first <= 0.5
    return wanted, first is not None and abs(first - wanted) < error


def _worst(expected: np.ndarray, seen: np.ndarray) -> tuple[int, float]:
    c = int(np.argmax(np.abs(np.nan_to_num(seen, nan=np.inf) - expected)))
    return c, float(expected[c])


__all__ = ["Numbers", "State", "troubles", "uses_running"]
