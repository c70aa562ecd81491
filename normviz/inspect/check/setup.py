"""The first call: which shape, and which layout of weight and bias, a function takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import parameter, uncanonical
from normviz.backends.dispatch import host
from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, canonical
from normviz.inspect._call import Answer, Asked, Refusal, owner, signature
from normviz.inspect._snapshot import Found, is_array
from normviz.inspect.check import held
from normviz.inspect.check.inputs import TOLERANCE, parameters, plain, shapes
from normviz.inspect.check.known_bugs import near, right
from normviz.inspect.check.simulate import Scene


@dataclass
class Started:
    """A function that has answered, and what it is to be compared with.

    Attributes
    ----------
    asked, pool
        The function, and the sets it should have.
    weight, bias
        What it applies, broadcasting against canonical x; None where it has none.
    per_group
        Whether it takes one weight a group.
    first
        Input and answer of the first call.
    """

    asked: Asked
    pool: Pooling
    weight: np.ndarray | None
    bias: np.ndarray | None
    per_group: bool
    first: tuple[np.ndarray, Answer]
    arrange: Callable[[np.ndarray], np.ndarray] = lambda y: y

    def scene(self, x: np.ndarray) -> Scene:
        """An input with what belongs to it."""
        return Scene(self.pool, x, self.weight, self.bias)


@dataclass
class Wanted:
    """What `check` was asked, checked."""

    method: str
    num_groups: int | None
    shape: tuple[int, ...] | None
    weight: Any
    bias: Any
    eps: float
    channel_axis: int
    framework: str | None
    dtype: str | None
    seed: int


def start(fn: Callable, wanted: Wanted, mode_first: Callable[[Any, Asked], Any]) -> Started | Refusal:
    """Return fn with the first shape and layout that it takes, one that gives right answers if there is; or a Refusal.

    `mode_first` brings fn into the mode that it is to be compared in.
    """
    slots = {} if wanted.weight is not None or wanted.bias is not None else held.parameters(owner(fn))
    refusal = None
    for shape in _shapes(fn, wanted, slots):
        takers = []
        for layout in _layouts(fn, wanted, shape, slots):
            try:
                started = _try(fn, wanted, shape, slots, layout, mode_first)
            except Refusal as error:
                refusal = refusal or error
                continue
            if _agrees(started, wanted):
                return started
            takers.append(started)
        if takers:
            return takers[0]
    return refusal or Refusal("fn takes no shape of arrays that normviz knows")


def _try(fn: Callable, wanted: Wanted, shape: tuple, slots: dict, layout: str, mode_first: Callable) -> Started:
    pool = Pooling(wanted.method, shape, wanted.num_groups)
    takes, rng = signature(fn), np.random.default_rng(wanted.seed)
    values: dict[str, Any] = {"num_groups": wanted.num_groups, "eps": wanted.eps}
    known = _parameters(fn, wanted, pool, slots, layout, rng)
    values |= {role: p for role, p in known.items() if role in takes.names}
    if not {"weight", "bias"} & takes.names.keys():
        for role, slot in slots.items():
            now: Any = slot.read()
            new = known[role]
            if new is not None and now.size == new.size and not slot.write(new.reshape(now.shape)):
                known[role] = now
    found = Found(fn)
    options = {"channel_axis": wanted.channel_axis, "framework": wanted.framework, "seed": wanted.seed}
    asked = Asked(fn, found, takes, values, **options)
    asked.before = mode_first(fn, asked) or asked.before
    answer = asked.begin(x := plain(shape, rng), wanted.dtype)
    along = {role: _along(p, pool, layout, wanted.channel_axis, asked) for role, p in known.items()}
    return Started(asked, pool, along["weight"], along["bias"], layout == "group", (asked.round(x), answer))


def _agrees(started: Started, wanted: Wanted) -> bool:
    x, answer = started.first
    if answer.shape != uncanonical(x, wanted.channel_axis).shape:
        return False
    expected = started.scene(x).whole().output(right(started.pool, wanted.eps))
    seen = canonical(answer.y, wanted.channel_axis).reshape(-1)
    return bool(near(seen, expected, TOLERANCE[started.asked.resolution]).all()) and not started.per_group


# ---- weight and bias ----


def _layouts(fn: Callable, wanted: Wanted, shape: tuple[int, ...], slots: dict) -> Iterator[str]:
    """Layouts of weight and bias to try: the caller's own, or one a channel, an element of a sample, or a group."""
    row, takes = METHODS[wanted.method], signature(fn)
    if wanted.weight is not None or wanted.bias is not None:
        yield "given"
        return
    sizes = {slot.read().size for slot in slots.values()}
    if sizes:
        C, rest = shape[row.affine_axis], int(np.prod(shape[1:]))
        if sizes == {wanted.num_groups} != {C} and row.name == "group":
            yield "group"
        elif sizes == {rest} and rest != C:
            yield "element"
        else:
            yield "channel" if sizes == {C} else "none"
        return
    yield "channel"
    if {"weight", "bias"} & takes.names.keys():
        yield "along"
        if row.elementwise:
            yield "element"
        if row.name == "group" and wanted.num_groups != shape[1]:
            yield "group"


def _parameters(
    fn: Callable, wanted: Wanted, pool: Pooling, slots: dict, layout: str, rng: np.random.Generator
) -> dict[str, np.ndarray | None]:
    """Weight and bias as fn is given them, or keeps them."""
    if layout == "given":
        return {role: None if p is None else np.array(host(p), np.float64) for role, p in _given(wanted)}
    roles = signature(fn).names.keys() & {"weight", "bias"} or slots.keys()
    axis = METHODS[pool.method].affine_axis
    sample = uncanonical(np.empty((1, *pool.shape[1:]), np.int8), wanted.channel_axis).shape
    sample = tuple(np.delete(sample, 1 if wanted.channel_axis % len(sample) == 0 else 0))
    along = tuple(n if a == axis else 1 for a, n in enumerate(pool.shape))
    along = uncanonical(np.empty(along, np.int8), wanted.channel_axis).shape
    size = {"element": sample, "group": pool.num_groups, "along": along}.get(layout, pool.shape[axis])
    made = dict(zip(("weight", "bias"), parameters(size, rng), strict=True))
    return {role: made[role] if role in roles and layout != "none" else None for role in made}


def _given(wanted: Wanted) -> Iterator[tuple[str, Any]]:
    yield "weight", wanted.weight
    yield "bias", wanted.bias


def _along(p: np.ndarray | None, pool: Pooling, layout: str, channel_axis: int, asked: Asked) -> np.ndarray | None:
    """A parameter, rounded as fn sees it, broadcasting against canonical x."""
    if p is None:
        return None
    p = asked.round(p)
    if layout == "group":
        return p.repeat(pool.shape[1] // (pool.num_groups or 1)).reshape(1, -1, *[1] * (len(pool.shape) - 2))
    if p.ndim == len(pool.shape):
        return np.array(canonical(p, channel_axis))
    return parameter(p.reshape(-1) if p.size == pool.shape[1] and p.ndim > 1 else p, "weight", pool, channel_axis)


# ---- shapes ----


def _shapes(fn: Callable, wanted: Wanted, slots: dict) -> Sequence[tuple[int, ...]]:
    """Canonical shapes to try."""
    axis = wanted.channel_axis
    if wanted.shape is not None:
        return [canonical(np.empty(wanted.shape, np.int8), axis, "shape").shape]
    row = METHODS[wanted.method]
    channels, samples = [], []
    arrays = [p for _, p in _given(wanted) if p is not None] + [slot.read() for slot in slots.values()]
    arrays += [a for a in Found(fn).objects if is_array(a)]
    for array in arrays:
        lengths = [n for n in getattr(array, "shape", np.shape(array)) if n != 1]
        if len(lengths) == 1 and lengths[0] <= 4096:
            channels.append(int(lengths[0]))
        elif 2 <= len(lengths) <= 4 and row.elementwise:
            samples.append(canonical(np.empty((2, *lengths), np.int8), axis).shape)
    if wanted.num_groups and wanted.num_groups in channels and row.name == "group":
        channels.insert(0, wanted.num_groups * 2)  # as many as groups: one each, more likely than one channel a group
    found = shapes(row, wanted.num_groups, [*dict.fromkeys(channels)][:4])
    found = [shape for shape in found if -len(shape) <= axis < len(shape)]
    return [*dict.fromkeys([(3, *s[1:]) for s in samples]), *found]
