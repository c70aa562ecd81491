"""The gradient: asked of autograd, or of the backward that belongs to a function, and compared with the right one."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.methods import METHODS
from normviz.core.pooling import canonical
from normviz.inspect._call import GRAD, Asked, Refusal, described, first_line, owner, signature, take_back
from normviz.inspect.check import inputs
from normviz.inspect.check.precision import Trouble
from normviz.inspect.check.setup import Started
from normviz.inspect.check.simulate import Recipe, Scene, divisor, right

LIMIT = 1024
"""Cells up to which the gradient of a faulty forward is taken by finite differences."""


def backward_of(fn: Callable, given: Callable | None) -> Callable | None:
    """The backward that was given, or the method of that name of an object that is no framework's."""
    found = getattr(owner(fn), "backward", None)
    library = type(owner(fn)).__module__.partition(".")[0] in ("torch", "keras", "flax", "jax", "jaxlib")
    return given or (found if callable(found) and not library else None)


def troubles(started: Started, recipe: Recipe, backward: Callable | None, tolerance: float) -> Iterator[Trouble | str]:
    """Compare the gradients of one random sum of the output; a str says why that cannot be done."""
    asked, pool = started.asked, started.pool
    rng = np.random.default_rng(asked.seed + 3)
    x, g = (asked.round(inputs.plain(pool.shape, rng)) for _ in range(2))
    faulty = recipe != right(pool, recipe.eps)
    if faulty and x.size > LIMIT:
        yield "the output is wrong already"
        return
    try:
        found = _by_backward(backward, asked, x, g) if backward else _by_autograd(asked, x, g)
    except Refusal as error:
        yield Trouble("gradient-wrong", f"cannot be differentiated: {error}")
        return
    if isinstance(found, str):
        yield found
        return
    scene = Scene(pool, x, started.weight, started.bias, slice(None))
    expected = _differences(scene, recipe, g) if faulty else _exact(scene, recipe, g, True, True)
    allowed = 1e-5 if faulty and tolerance < 1e-5 else max(10 * tolerance, 1e-7)
    if not np.isfinite(expected).all():
        yield "it is not finite where it should be compared"
        return
    seen = np.array(canonical(found["input"], asked.channel_axis)).reshape(-1)
    # In a small set the terms all but cancel; what rounds is each of them.
    terms = _terms(scene, recipe, g)
    wrong = ~_close(seen, expected, allowed, terms)
    if wrong.any():
        said = "has another gradient with respect to x than its output"
        yield Trouble("gradient-wrong", said, scene, seen, expected, wrong)
        for mean, var, which in () if faulty else _DETACHED:
            frozen = _exact(scene, recipe, g, mean, var)
            if _close(seen, frozen, allowed, terms).all():
                said = f"takes {which} for a constant: its gradient is the one without the way through {which}"
                yield Trouble("statistics-detached", said, scene, seen, expected, wrong)
                break
    x_hat = scene.unaffine(scene.output(recipe), recipe.affine)
    flat = g.reshape(-1)
    for role, product in (("weight", flat * x_hat), ("bias", flat)):
        if found.get(role) is None or faulty:
            continue
        yield from _of_parameter(role, found[role], product, pool.shape, METHODS[pool.method].affine_axis, allowed)


_DETACHED = ((False, False, "mean and variance"), (False, True, "the mean"), (True, False, "the variance"))


def _of_parameter(
    role: str, seen: np.ndarray, product: np.ndarray, shape: tuple, axis: int, allowed: float
) -> Iterator[Trouble]:
    others = tuple(a for a in range(len(shape)) if a != axis)
    expected = product.reshape(shape).sum(others)
    if seen.size != expected.size:
        return
    wrong = ~_close(seen.reshape(-1), expected, allowed)
    if wrong.any():
        c = int(np.argmax(np.abs(seen.reshape(-1) - expected)))
        said = (
            f"has a gradient of {seen.reshape(-1)[c]:.6g} with respect to {role} {c}, where {expected[c]:.6g} is right"
        )
        yield Trouble("gradient-wrong", said)


def _close(
    seen: np.ndarray, expected: np.ndarray, allowed: float, size: np.ndarray | float | None = None
) -> np.ndarray:
    size = np.sqrt(np.mean(np.square(expected))) if size is None else size
    return np.abs(seen - expected) <= allowed * (np.abs(expected) + size)


def _terms(scene: Scene, recipe: Recipe, g: np.ndarray) -> np.ndarray:
    """The size of the terms of each cell's gradient."""
    w, _ = scene.parameters(recipe.affine)
    labels = recipe.cut.labels(scene.pool).reshape(-1)
    squares = np.bincount(labels, np.square(g.reshape(-1) * w)) / np.bincount(labels)
    return np.sqrt(squares)[labels] / divisor(scene.parts(recipe)[1], recipe)


# ---- what it should be ----


def _exact(scene: Scene, recipe: Recipe, g: np.ndarray, through_mean: bool, through_var: bool) -> np.ndarray:
    """The gradient of the right normalizer, through its statistics or past them."""
    above, spread = scene.parts(recipe)
    root = divisor(spread, recipe)
    w, _ = scene.parameters(recipe.affine)
    pulled = g.reshape(-1) * w
    labels = recipe.cut.labels(scene.pool).reshape(-1)
    count = np.bincount(labels)
    result = pulled
    if recipe.centre == "mean" and through_mean:
        result = result - (np.bincount(labels, pulled) / count)[labels]
    if through_var:
        x_hat = above / root
        per = 1.0 if scene.statistic == "squared norm" else 1 / count
        result = result - x_hat * (np.bincount(labels, pulled * x_hat) * per)[labels]
    return result / root


def _differences(scene: Scene, recipe: Recipe, g: np.ndarray) -> np.ndarray:
    """The gradient of a faulty normalizer, by finite differences in float64."""
    result = np.empty(scene.x.size)
    flat = g.reshape(-1)
    for i in range(scene.x.size):
        ends = []
        for step in (1e-5, -1e-5):
            moved = scene.x.copy()
            moved.reshape(-1)[i] += step
            ends.append(flat @ Scene(scene.pool, moved, scene.weight, scene.bias, slice(None)).output(recipe))
        result[i] = (ends[0] - ends[1]) / 2e-5
    return result


# ---- what it is ----


def _by_autograd(asked: Asked, x: np.ndarray, g: np.ndarray) -> dict[str, Any] | str:
    asked.found.restore()
    asked.before()
    laid, pulled = (np.ascontiguousarray(uncanonical(a, asked.channel_axis)) for a in (x, g))
    values = {k: asked.native(v) if isinstance(v, np.ndarray) else v for k, v in asked.values.items()}
    given, upstream = asked.native(laid), asked.native(pulled)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if asked.framework == "torch":
                return _torch(asked, given, upstream, values)
            if asked.framework == "jax":
                jax = sys.modules["jax"]
                y, pull = jax.vjp(lambda a: asked.takes.call(asked.fn, [a], values), given)
                return {"input": np.array(take_back(pull(upstream.astype(y.dtype))[0]), np.float64)}
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return "NumPy has no autograd; give backward="


def _torch(asked: Asked, given: Any, upstream: Any, values: dict) -> dict[str, Any] | str:
    torch = sys.modules["torch"]
    with torch.enable_grad():
        given.requires_grad_(True)
        asked.calls += 1
        y = asked.takes.call(asked.fn, [given * 1], values)  # times 1: an array that may be changed in place
        if not y.requires_grad:
            return "no autograd leads from the output to x"
        (found,) = torch.autograd.grad(y, given, upstream.to(y.dtype))
    return {"input": np.array(take_back(found.detach()), np.float64)}


def _by_backward(backward: Callable, asked: Asked, x: np.ndarray, g: np.ndarray) -> dict[str, Any]:
    """Call backward(grad_output, x), with weight and bias if it takes them; or fn and then backward(grad_output)."""
    laid, pulled = (asked.native(np.ascontiguousarray(uncanonical(a, asked.channel_axis))) for a in (x, g))
    values = {k: asked.native(v) if isinstance(v, np.ndarray) else v for k, v in asked.values.items()}
    names = [p.name for p in _parameters(backward)]
    asked.found.restore()
    asked.before()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if sum(p.default is p.empty for p in _parameters(backward)) == 1:
                asked.calls += 1
                asked.takes.call(asked.fn, [laid], values)
                result = backward(pulled)
            else:
                first = (
                    [laid, pulled] if len(names) > 1 and names[1] in GRAD and names[0] not in GRAD else [pulled, laid]
                )
                result = signature(backward, 2).call(backward, first, values)
    except Exception as error:
        raise Refusal(f"backward raised {type(error).__name__}: {first_line(error)}") from error
    parts = result if isinstance(result, tuple | list) else (result,)
    found = dict(zip(("input", "weight", "bias"), parts, strict=False))
    if tuple(getattr(found["input"], "shape", ())) != tuple(laid.shape):
        what = tuple(found["input"].shape) if hasattr(found["input"], "shape") else described(found["input"])
        raise Refusal(f"backward returned {what} for x of shape {tuple(laid.shape)}")
    return {k: np.array(take_back(v), np.float64) for k, v in found.items() if v is not None}


def _parameters(backward: Callable) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(backward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
