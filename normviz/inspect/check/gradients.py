"""The gradient: from autograd or from a backward function, compared with the right one."""

from __future__ import annotations

import inspect
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.array_kinds import real_numbers
from normviz.core.pooling import Pooling, canonical
from normviz.inspect._call import Refusal, described, first_line, owner, take_back
from normviz.inspect._signature import GRAD, output_of, role_of, signature
from normviz.inspect.check.layer_state import attribute, method
from normviz.inspect.check.setup import Subject
from normviz.inspect.check.simulate import Recipe, Scene, divisor, mean, plain, right
from normviz.inspect.check.verdict import Mismatch

HINTS = {
    "statistics-detached": "The mean and the variance depend on x too, so the gradient flows through them. Where are "
    "they detached, or left out of the formula?",
    "gradient-wrong": "Compare with finite differences of your forward function, one cell at a time.",
}

MOST_DIFFERENCES = 1024
"""The gradient of a faulty forward comes from finite differences, for inputs of at most this many cells."""

_DETACHED = ((False, False, "mean and variance"), (False, True, "the mean"), (True, False, "the variance"))


class NotComparable(Exception):
    """The gradient cannot be compared; the message says why."""


def backward_of(fn: Callable, given: Callable | None) -> Callable | None:
    """Return the given backward, or the method of that name of an object that belongs to no framework."""
    library = type(owner(fn)).__module__.partition(".")[0] in ("torch", "keras", "flax", "jax", "jaxlib")
    return given or (None if library else method(owner(fn), "backward"))


def gradient_errors(
    subject: Subject, recipe: Recipe, backward: Callable | None, tolerance: float
) -> Iterator[Mismatch]:
    """Compare the gradients of sum(g * fn(x)) for random g; `recipe` explains the output. May raise NotComparable."""
    call, pool = subject.call, subject.pool
    rng = np.random.default_rng(call.seed + 3)
    x, g = (call.round(plain(pool.shape, rng)) for _ in range(2))
    faulty = recipe != right(pool, recipe.eps)
    if faulty and x.size > MOST_DIFFERENCES:
        raise NotComparable("the output is wrong already")
    try:
        found = _from_backward(backward, subject, x, g) if backward else _from_autograd(subject, x, g)
    except Refusal as error:
        yield Mismatch("gradient-wrong", f"cannot be differentiated: {error}")
        return
    scene = subject.scene(x)
    weighted = g.reshape(-1) * scene.parameters(recipe.affine)[0]
    expected = _finite_differences(scene, recipe, g) if faulty else _sum(_parts(scene, recipe, weighted))
    if not np.isfinite(expected).all():
        raise NotComparable("it is not finite at the cells to compare")
    allowed = 1e-5 if faulty and tolerance < 1e-5 else max(10 * tolerance, 1e-7)
    seen = np.array(canonical(found["input"], call.channel_axis)).reshape(-1)
    # In a small set the terms of the gradient nearly cancel, while the rounding error is that of each term.
    terms = np.sqrt(scene.statistics(recipe).average(np.square(weighted))) / divisor(scene.parts(recipe)[1], recipe)
    wrong = ~_close(seen, expected, allowed, terms) & scene.holds(expected)
    if wrong.any():
        parts = {} if faulty else _parts(scene, recipe, weighted)
        cause = "" if faulty else _cause(seen, parts, allowed, pool) or _weightless(seen, scene, recipe, g, allowed)
        text = "has a gradient with respect to x that does not match its output"
        yield Mismatch("gradient-wrong", text + cause, x, seen, expected, wrong)
        for via_mean, via_var, which in _DETACHED if parts else ():
            if _close(seen, _sum(parts, via_mean, via_var), allowed, terms).all():
                text = f"treats {which} as constant: no gradient flows through {which}"
                yield Mismatch("statistics-detached", text, x, seen, expected, wrong)
                break
    if faulty:
        return
    x_hat = scene.undo_affine(scene.output(recipe), recipe.affine)
    others = tuple(a for a in range(len(pool.shape)) if a != pool.row.affine_axis)
    for role, terms in (("weight", g.reshape(-1) * x_hat), ("bias", g.reshape(-1))):
        expected = terms.reshape(pool.shape).sum(others)
        seen = found.get(role, np.empty(0)).reshape(-1)
        if seen.size == expected.size and not _close(seen, expected, allowed).all():
            c = int(np.argmax(np.abs(seen - expected)))
            text = f"has a gradient of {seen[c]:.6g} with respect to {role} {c}, where {expected[c]:.6g} is right"
            yield Mismatch("gradient-wrong", text + _cause(seen, {"all": expected}, allowed, pool))


def _close(seen: np.ndarray, expected: np.ndarray, allowed: float, size: Any = None) -> np.ndarray:
    size = np.sqrt(np.mean(np.square(expected))) if size is None else size
    return np.abs(seen - expected) <= allowed * (np.abs(expected) + size)


def _parts(scene: Scene, recipe: Recipe, upstream: np.ndarray) -> dict[str, np.ndarray]:
    """Return the parts of the gradient of the right normalizer: through x, through the mean and through the variance.

    `upstream` is the gradient of x_hat. The mean has no part where none is taken.
    """
    numerator, spread = scene.parts(recipe)
    root, statistics = divisor(spread, recipe), scene.statistics(recipe)
    parts = {"x": upstream / root}
    if recipe.subtract is mean:
        parts["the mean"] = -statistics.average(upstream) / root
    x_hat = numerator / root
    flow = x_hat * statistics.average(upstream * x_hat) / root
    parts["the variance"] = -flow * (statistics.count if scene.pool.row.statistic == "squared norm" else 1)
    return parts


def _sum(parts: dict[str, np.ndarray], via_mean: bool = True, via_var: bool = True) -> np.ndarray:
    left_out = {"the mean": not via_mean, "the variance": not via_var}
    return sum((part for name, part in parts.items() if not left_out.get(name)), np.zeros(()))


def _cause(seen: np.ndarray, parts: dict[str, np.ndarray], allowed: float, pool: Pooling) -> str:
    """Say which multiples of the parts of the right gradient make up this one; nothing if none do."""
    columns = np.stack([*parts.values()], axis=1)
    shares, _, rank, _ = np.linalg.lstsq(columns, seen, rcond=None)
    if rank < len(parts) or not _close(seen, columns @ shares, allowed).all():
        return ""
    within = 100 * allowed
    if np.ptp(shares) <= within * np.abs(shares).max():
        return f": it is {_multiple(float(shares[0]), pool, within)} the right one"
    wrong = [(name, float(s)) for name, s in zip(parts, shares, strict=True) if abs(s - 1) > within]
    told = [f"its part through {name} is {_multiple(s, pool, within)} the right one" for name, s in wrong]
    return ": " + ", and ".join(told) if all(abs(s) > within for _, s in wrong) else ""


def _multiple(share: float, pool: Pooling, within: float) -> str:
    """Return "1 / 105 of", "3 times", with the number that it may come from."""
    numbers = {"m": (pool.size, "cells in a set"), "N": (pool.shape[0], "samples"), "C": (pool.shape[1], "channels")}
    for name, (n, what) in numbers.items():
        if n > 1 and abs(share * n - 1) <= within:
            return f"1 / {n} ({name} = {n} {what}) of"
        if n > 1 and abs(share / n - 1) <= within:
            return f"{n} times ({name} = {n} {what})"
    return f"{share:.4g} times"


def _weightless(seen: np.ndarray, scene: Scene, recipe: Recipe, g: np.ndarray, allowed: float) -> str:
    if scene.weight is None:
        return ""
    without = _sum(_parts(scene, recipe, g.reshape(-1)))
    return ": it is the one for a weight of 1" if _close(seen, without, allowed).all() else ""


def _finite_differences(scene: Scene, recipe: Recipe, g: np.ndarray) -> np.ndarray:
    """Return the gradient of a faulty normalizer, by finite differences in float64."""
    result = np.empty(scene.x.size)
    for i in range(scene.x.size):
        ends = []
        for step in (1e-5, -1e-5):
            moved = scene.x.copy()
            moved.reshape(-1)[i] += step
            ends.append(g.reshape(-1) @ replace(scene, x=moved, _cache={}).output(recipe))
        result[i] = (ends[0] - ends[1]) / 2e-5
    return result


def _beside(returned: Any, shape: tuple[int, ...]) -> Any:
    output = output_of(returned, shape)[0]
    parts = [*returned.values()] if isinstance(returned, Mapping) else returned
    kept = [part for part in parts if part is not output] if isinstance(parts, tuple | list) else []
    return kept[0] if len(kept) == 1 else tuple(kept)


def _native(subject: Subject, x: np.ndarray, g: np.ndarray) -> tuple[Any, Any]:
    """Return x and g as fn takes them, and bring fn and its other arguments into their state."""
    call = subject.call
    call.restore(x)
    x, g = (np.ascontiguousarray(uncanonical(a, call.channel_axis)) for a in (x, g))
    call.calls += 1
    return call.native(x), call.native(g)


def _from_autograd(subject: Subject, x: np.ndarray, g: np.ndarray) -> dict[str, np.ndarray]:
    call = subject.call
    if call.framework not in ("torch", "jax"):
        raise NotComparable("NumPy has no autograd; give backward=")
    given, upstream = _native(subject, x, g)

    def forward(a: Any) -> Any:
        return output_of(call.takes.call(call.fn, [a], call.arguments), given.shape)[0]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if call.framework == "jax":
                y, pull = sys.modules["jax"].vjp(forward, given)
                return {"input": np.array(take_back(pull(upstream.astype(y.dtype))[0]), np.float64)}
            torch = sys.modules["torch"]
            with torch.enable_grad():
                given.requires_grad_(True)
                y = forward(given * 1)  # times 1: fn may write into its input
                if not y.requires_grad:
                    raise NotComparable("autograd has no path from the output to x")
                (found,) = torch.autograd.grad(y, given, upstream.to(y.dtype))
            return {"input": np.array(take_back(found.detach()), np.float64)}
    except NotComparable:
        raise
    except Exception as error:
        raise NotComparable(f"{type(error).__name__}: {first_line(error)}") from error


def _from_backward(backward: Callable, subject: Subject, x: np.ndarray, g: np.ndarray) -> dict[str, np.ndarray]:
    """Call backward(grad_output, x), with weight and bias if it takes them; or fn first, and then backward.

    After a call of fn it takes grad_output alone, or with what fn returned beside its output.
    """
    call = subject.call
    given, upstream = _native(subject, x, g)
    parameters = []
    with suppress(TypeError, ValueError):  # it has no signature
        parameters = [*inspect.signature(backward).parameters.values()]
    parameters = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in parameters[:2]]
    after = len(names) > 1 and names[1] in GRAD and names[0] not in GRAD  # grad_output comes second
    alone = sum(p.default is p.empty for p in parameters) == 1
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if alone or (call.took and role_of(names[not after]) != "x"):
                kept = _beside(call.takes.call(call.fn, [given], call.arguments), given.shape)
                result = backward(upstream) if alone else backward(*([kept, upstream] if after else [upstream, kept]))
            else:
                first = [given, upstream] if after else [upstream, given]
                takes = signature(backward, 2)
                takes.required = []  # what it lacks it says itself
                arguments = takes.arguments(call.values)
                result = takes.call(backward, first, {n: call.native(v) for n, v in arguments.items()})
    except Exception as error:
        raise Refusal(f"backward raised {type(error).__name__}: {first_line(error)}") from error
    if isinstance(result, Mapping) and all(re.match("d|grad_", str(key)) for key in result):  # of dx, dgamma, dbeta
        named = {role_of(re.sub("^(d_?|grad_)", "", str(key))): part for key, part in result.items()}
        result = [named.get(which) for which in ("x", "weight", "bias")]
    parts = result if isinstance(result, tuple | list) else (result,)
    found, shape = {}, tuple(given.shape)
    if not parts or tuple(attribute(parts[0], "shape") or ()) != shape:
        seen = attribute(parts[0], "shape") if parts else None
        what = described(parts[0] if parts else result) if seen is None else f"shape {tuple(seen)}"
        raise Refusal(f"backward returned {what} for x of shape {shape}")
    for role, part in zip(("input", "weight", "bias"), parts, strict=False):
        if part is None or math.prod(attribute(part, "shape") or ()) > x.size:
            continue
        try:
            found[role] = real_numbers(part, f"its gradient of {role}")
        except Exception as error:
            raise Refusal(f"backward returned no real numbers: {first_line(error)}") from error
    return found
