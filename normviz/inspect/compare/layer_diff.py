"""Two layers, one of each model: what is set differently, and by how much their numbers differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.inspect.audit.layers import LOCAL
from normviz.inspect.compare.comparison import Difference, Pair, Side, relative, tolerance_of

EPS = 1e-3
"""eps is a setting, so a relative difference above this is none of rounding, but for one that was fitted: 0.1."""


def pair(a: Side, b: Side, tolerance: float | None) -> Pair:
    """Compare two uses; what they hold of activations is let go."""
    tolerance = tolerance_of(a.dtype, b.dtype) if tolerance is None else tolerance
    return Pair(
        a=a.bare(),
        b=b.bare(),
        differences=tuple(_differences(a, b, tolerance)),
        input_difference=_of(a.x, b.x),
        output_difference=_of(a.y, b.y),
        tolerance=tolerance,
    )


def _of(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    return None if a is None or b is None else relative(a, b)


def _differences(a: Side, b: Side, tolerance: float) -> Iterator[Difference]:
    if a.kind != b.kind:
        yield _plain("kind", *(_label(s) for s in (a, b)))
    elif a.num_groups != b.num_groups:
        yield _plain("num_groups", a.num_groups, b.num_groups)
    elif a.block != b.block and a.input_shape == b.input_shape:
        yield _plain("block", a.block, b.block)
    if a.input_shape != b.input_shape:
        yield _plain("input_shape", a.input_shape, b.input_shape)
    if a.eps is not None and b.eps is not None and abs(a.eps - b.eps) > _eps_room(a, b) * max(a.eps, b.eps):
        yield _plain("eps", a.eps, b.eps)
    if a.own != b.own and "batch" in (a.kind, b.kind):
        which = ["the batch's own" if s.own else "its running" for s in (a, b)]
        said = f"statistics are {which[0]} in a ({a.mode} mode) and {which[1]} in b ({b.mode} mode)"
        yield Difference("mode", a.mode, b.mode, said)
    yield from _momentum(a, b)
    yield from _running(a, b, tolerance)
    yield from _affine(a, b, tolerance)


def _eps_room(a: Side, b: Side) -> float:
    return 0.1 if "output" in (a.known_by, b.known_by) else EPS


def _momentum(a: Side, b: Side) -> Iterator[Difference]:
    if a.running is None or b.running is None or a.momentum == b.momentum:
        return
    acts = a.own or b.own
    why = "it moves the running statistics alone" if acts else "without effect while the running statistics are used"
    first, second = ("cumulative" if s.momentum is None else s.momentum for s in (a, b))
    yield Difference("momentum", a.momentum, b.momentum, f"momentum is {first} in a and {second} in b ({why})", acts)


def _running(a: Side, b: Side, tolerance: float) -> Iterator[Difference]:
    if (a.running is None) != (b.running is None):
        if a.kind == b.kind and "output" not in (a.known_by, b.known_by):
            has, not_ = ("a", "b") if b.running is None else ("b", "a")
            said = f"{has} keeps running statistics and {not_} does not"
            yield Difference("running", a.running is not None, b.running is not None, said)
        return
    if a.running is None or b.running is None:
        return
    spread = np.sqrt(np.maximum(np.abs(a.running[1]).mean(), 1e-30))  # a mean near 0 is compared with a deviation
    for what, mine, other, least in zip(("mean", "var"), a.running, b.running, (spread, 0.0), strict=True):
        by = _far(mine, other, least)
        if by > tolerance:
            said = (
                f"running_{what} differs by {by:.2g} (relative)"
                if np.isfinite(by)
                else f"running_{what} has {len(mine)} entries in a and {len(other)} in b"
            )
            acts = not (a.own and b.own)
            yield Difference(f"running_{what}", mine, other, said + ("" if acts else ", not used in this mode"), acts)


def _affine(a: Side, b: Side, tolerance: float) -> Iterator[Difference]:
    """Compare weights and biases; none is a weight of ones and a bias of zeros."""
    if "output" in (a.known_by, b.known_by):  # theirs may be held under any name
        return
    sides = [(_filled(s.weight, s.bias, 1.0), _filled(s.bias, s.weight, 0.0)) for s in (a, b)]
    (weight_a, bias_a), (weight_b, bias_b) = sides
    wrong = [_far(weight_a, weight_b), _far(bias_a, bias_b, 1e-6 + np.sqrt(np.square(weight_a).mean()))]
    swapped = [_far(weight_a, bias_b), _far(bias_a, weight_b)]
    if max(wrong) > tolerance >= max(swapped):
        yield Difference("affine", "weight, bias", "bias, weight", "weight and bias are swapped")
        return
    for what, by, mine, other in zip(("weight", "bias"), wrong, (a.weight, a.bias), (b.weight, b.bias), strict=True):
        if by > tolerance:
            yield Difference(what, mine, other, _affine_words(what, by, mine, other))
        elif (mine is None) != (other is None):
            has, not_ = ("a", "b") if other is None else ("b", "a")
            said = f"{has} learns a {what} and {not_} has none (no difference yet)"
            yield Difference("affine", mine is not None, other is not None, said, acts=False)


def _affine_words(what: str, by: float, mine: np.ndarray | None, other: np.ndarray | None) -> str:
    if mine is None or other is None:
        return (
            f"{what}: {'none' if mine is None else mine.size} in a and {'none' if other is None else other.size} in b"
        )
    if mine.size != other.size:
        return f"{what} has {mine.size} entries in a and {other.size} in b"
    worst = int(np.abs(mine - other).argmax())
    return (
        f"{what} differs by {by:.2g} (relative), most at entry {worst}: "
        f"{mine[worst]:.6g} in a and {other[worst]:.6g} in b"
    )


def _filled(values: np.ndarray | None, like: np.ndarray | None, value: float) -> np.ndarray:
    if values is not None:
        return values
    return np.full(1 if like is None else like.shape, value)


def _far(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Return the relative difference, of a single number from all of the others too; infinite for other sizes."""
    if a.size != b.size and 1 not in (a.size, b.size):
        return np.inf
    a, b = np.broadcast_arrays(a, b)
    return relative(a, b, least)


def _label(side: Side) -> str:
    if side.kind == LOCAL:
        return "Local Response Norm"
    return METHODS[side.kind].label + (f" with G = {side.num_groups}" if side.num_groups else "")


def _plain(what: str, a: Any, b: Any) -> Difference:
    words = {"num_groups": "num_groups", "input_shape": "the input's shape", "block": "the block of a set"}
    first, second = (f"{v:g}" if isinstance(v, float) else str(v) for v in (a, b))
    return Difference(what, a, b, f"{words.get(what, what)} is {first} in a and {second} in b")
