"""The first call of a function: which shape, and which layout of weight and bias, it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import parameter
from normviz.core.errors import brief
from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling, canonical
from normviz.inspect._call import MOST_CELLS, Answer, FunctionUnderTest, Refusal, owner, signature
from normviz.inspect._snapshot import Snapshot, is_array
from normviz.inspect.check.layer_state import Slot, attribute, find_parameters
from normviz.inspect.check.simulate import TOLERANCE, Scene, native_order, plain, random_parameters, right


class ShapeChanged(Refusal):
    """The function returned another shape than before, for an input of the same shape."""


@dataclass(frozen=True)
class Expectation:
    """The arguments of `check`, validated; `given` holds "weight" and "bias" in float64, empty if neither was given."""

    method: str
    num_groups: int | None
    shape: tuple[int, ...] | None
    given: dict[str, np.ndarray | None]
    eps: float
    channel_axis: int
    framework: str | None
    dtype: str | None
    seed: int
    backward: Callable | None
    running: Sequence[str] | None
    momentum: float | None


@dataclass
class Subject:
    """A function that has been called once, and what its outputs are compared with."""

    call: FunctionUnderTest  # the function
    pool: Pooling  # the sets that it should have
    # weight, bias: what it applies, broadcasting against canonical x; None where it has none
    weight: np.ndarray | None
    bias: np.ndarray | None
    per_group: bool  # whether it takes one weight for each group
    first: tuple[np.ndarray, Answer]  # input and answer of the first call
    given: bool = False  # whether the caller gave weight and bias
    replaced: tuple[str, ...] = ()  # which of fn's own weight and bias hold random numbers during the check
    # arrange: maps an output of another shape to the shape of the input
    arrange: Callable[[np.ndarray], np.ndarray] = lambda y: y

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the inputs as fn takes them."""
        return native_order(self.pool.shape, self.call.channel_axis)

    @property
    def tolerance(self) -> float:
        """The relative tolerance of the outputs."""
        return TOLERANCE[self.call.resolution]

    def handed_in(self) -> str:
        """Return a sentence about what fn was handed besides x and beyond what the caller gave; empty if nothing."""
        values = {role: value for role, value in self.call.values.items() if role in self.call.takes.names}
        shapes = {role: p.shape for role, p in values.items() if isinstance(p, np.ndarray)}
        numbers = [f"{role} = {values[role]:.4g}" for role in ("num_groups", "eps") if values.get(role) is not None]
        of = " and ".join(dict.fromkeys(map(str, shapes.values())))
        arrays = [f"a random {' and '.join(shapes)} of shape {of}"] if shapes and not self.given else []
        passed = arrays + [" and ".join(numbers)] * bool(numbers)
        return f"check passed {', and '.join(passed)}." if passed else ""

    def scene(self, x: np.ndarray) -> Scene:
        """Return the scene of an input."""
        return Scene(self.pool, x, self.weight, self.bias, self.call.resolution)

    def flat(self, y: np.ndarray) -> np.ndarray:
        """Return an output of fn as a flat array in the canonical order."""
        return np.array(canonical(self.arrange(y), self.call.channel_axis)).reshape(-1)

    def output(self, x: np.ndarray, *, restore: bool = True) -> tuple[Scene, np.ndarray]:
        """Call fn with x, rounded to its dtype; return the scene and the flat output; Refusal if there is none."""
        x = self.call.round(x)
        answer, expected = self.call.ask(x, restore=restore), self.first[1].shape
        if answer.shape != expected:
            raise ShapeChanged(
                f"fn returned shape {answer.shape} in call {self.call.calls} for an input of shape {self.shape}, and "
                f"{expected} in its first call"
            )
        return self.scene(x), self.flat(answer.y)


def canonical_shape(shape: Sequence[int], channel_axis: int) -> tuple[int, ...]:
    """Return the shape (N, C, *spatial) of an array of fn's."""
    return canonical(np.broadcast_to(np.int8(0), shape), channel_axis, "shape").shape


def set_up(fn: Callable, request: Expectation, prepare: Callable[[Any, FunctionUnderTest, Pooling], Any]) -> Subject:
    """Call fn with one shape and layout after another; return the first that gives right outputs, or that it takes.

    `prepare` finds the state of fn, and returns what to call before every call. Refusal if fn takes none of them.
    """
    slots = {} if request.given else find_parameters(owner(fn))
    refusal = None
    for shape in _shapes(fn, request, slots):
        accepted = []
        for layout in _layouts(fn, request, shape, slots):
            try:
                subject = _try(fn, request, shape, slots, layout, prepare)
            except Refusal as error:
                refusal = refusal or error
                continue
            x, answer = subject.first
            if answer.shape == subject.shape and not subject.per_group:
                base = right(subject.pool, request.eps)
                if subject.scene(x).agrees(subject.flat(answer.y), base, subject.tolerance).all():
                    return subject
            accepted.append(subject)
        if accepted:
            return accepted[0]
    raise refusal or Refusal("fn takes no shape of arrays that normviz knows")


def _try(fn: Callable, request: Expectation, shape: tuple, slots: dict, layout: str, prepare: Callable) -> Subject:
    pool = Pooling(request.method, shape, request.num_groups)
    takes, rng, axis = signature(fn), np.random.default_rng(request.seed), request.channel_axis
    known = request.given or _random_parameters(takes.names, request, pool, slots, layout, rng)
    replaced = []
    if not {"weight", "bias"} & takes.names.keys():
        for role, slot in slots.items():
            now: Any = slot.read()
            new = known[role]
            if new is None or now.size != new.size:
                continue
            if slot.write(new.reshape(now.shape)):
                replaced.append(role)
            else:
                known[role] = now
    broadcast = {role: None if p is None else _broadcast(p, role, pool, layout, axis) for role, p in known.items()}
    values = {"num_groups": request.num_groups, "eps": request.eps}
    values |= {role: p for role, p in known.items() if role in takes.names}
    options = {"channel_axis": axis, "framework": request.framework, "seed": request.seed}
    call = FunctionUnderTest(fn, Snapshot(fn), takes, values, **options)
    call.before = prepare(fn, call, pool) or call.before
    answer = call.begin(x := plain(shape, rng), request.dtype)
    weight, bias = (None if p is None else call.round(p) for p in (broadcast["weight"], broadcast["bias"]))
    return Subject(
        call, pool, weight, bias, layout == "group", (call.round(x), answer), bool(request.given), tuple(replaced)
    )


def _layouts(fn: Callable, request: Expectation, shape: tuple[int, ...], slots: dict[str, Slot]) -> list[str]:
    """Return layouts of weight and bias.

    They are "given", or have one number for each "channel", "element" or "group", or for each channel of a group, which
    all groups have in "common", or lie "along" the axes of x.
    """
    row = METHODS[request.method]
    of_common = row.shared and request.num_groups != 1
    if request.given:
        return ["given"]
    sizes = {p.size for p in (slot.read() for slot in slots.values()) if p is not None}
    if sizes:
        C, rest = shape[row.affine_axis], math.prod(shape[1:])
        if sizes == {request.num_groups} != {C} and row.name == "group":
            return ["group"]
        if of_common and sizes == {shape[1] // (request.num_groups or 1)}:
            return ["common"]
        return ["element" if sizes == {rest} and rest != C else "channel" if sizes == {C} else "none"]
    if not {"weight", "bias"} & signature(fn).names.keys():
        return ["channel"]
    of_groups = row.name == "group" and request.num_groups != shape[1]
    return ["channel", "along", *["element"] * row.elementwise, *["group"] * of_groups, *["common"] * of_common]


def _random_parameters(
    names: dict[str, str], request: Expectation, pool: Pooling, slots: dict, layout: str, rng: np.random.Generator
) -> dict[str, np.ndarray | None]:
    """Return a random weight and bias in a layout; None where fn takes and has none."""
    axis, sample = pool.row.affine_axis, list(native_order(pool.shape, request.channel_axis))
    del sample[1 if request.channel_axis % len(sample) == 0 else 0]  # the axis of the samples
    along = native_order([n if a == axis else 1 for a, n in enumerate(pool.shape)], request.channel_axis)
    sizes = {"element": tuple(sample), "group": pool.num_groups, "along": along, "common": pool.block[1]}
    size = sizes.get(layout, pool.shape[axis])
    roles = (names.keys() & {"weight", "bias"} or slots.keys()) if layout != "none" else ()
    return {role: p if role in roles else None for role, p in random_parameters(size, rng).items()}


def _broadcast(p: np.ndarray, role: str, pool: Pooling, layout: str, channel_axis: int) -> np.ndarray:
    """Return a parameter that broadcasts against canonical x."""
    rank, shape = len(pool.shape), native_order(pool.shape, channel_axis)
    if layout == "group":
        return p.repeat(pool.shape[1] // (pool.num_groups or 1)).reshape(1, -1, *[1] * (rank - 2))
    if p.ndim == rank and all(n in (1, m) for n, m in zip(p.shape, shape, strict=True)):
        return np.array(canonical(p, channel_axis))
    if p.ndim > 1 and p.size == pool.shape[pool.row.affine_axis]:
        p = p.reshape(-1)
    return parameter(p, role, pool, channel_axis)


def _shapes(fn: Callable, request: Expectation, slots: dict[str, Slot]) -> list[tuple[int, ...]]:
    """Return the canonical shapes to try, the likeliest first."""
    axis, row, G = request.channel_axis, METHODS[request.method], request.num_groups
    if request.shape is not None:
        return [canonical_shape(request.shape, axis)]
    channels, samples = [], []
    arrays = [p for p in request.given.values() if p is not None] + [slot.read() for slot in slots.values()]
    arrays += [a for a in Snapshot(fn).objects if is_array(a)]
    for array in arrays:
        lengths = [n for n in attribute(array, "shape") or () if n != 1]
        if not all(isinstance(n, int) for n in lengths):  # a nested tensor
            continue
        if len(lengths) == 1 and 0 < lengths[0] <= 4096:
            channels.append(lengths[0])
        elif 2 <= len(lengths) <= 4 and min(lengths) > 0 and row.elementwise:
            samples.append(lengths)
    if G and row.shared:
        channels = [c * G for c in channels] + channels  # parameters that all groups share
    if G and G in channels and row.name == "group":
        channels.insert(0, G * 2)  # parameters of G numbers: one group for each is likelier than one channel
    shapes = [(3, *canonical_shape((2, *s), axis)[1:]) for s in samples if -1 - len(s) <= axis <= len(s)]
    shapes += [s for s in _usual_shapes(row, G, [*dict.fromkeys(channels)][:4]) if -len(s) <= axis < len(s)]
    shapes = [s for s in dict.fromkeys(shapes) if math.prod(s) <= MOST_CELLS]
    if not shapes:
        raise ValueError(f"num_groups={brief(G)} needs more than {MOST_CELLS:,} cells, the most that check takes")
    fitting = []  # those that the given weight and bias go with
    for shape in shapes:
        pool = Pooling(request.method, shape, G)
        with suppress(ValueError):
            for role, p in request.given.items():
                if p is not None:
                    _broadcast(p, role, pool, "given", axis)
            fitting.append(shape)
    return fitting or shapes


def _usual_shapes(row: Method, num_groups: int | None, channels: list[int]) -> Iterator[tuple[int, ...]]:
    """Yield shapes (N, C, *spatial) with axes of different lengths; `channels` are lengths found in fn.

    In some the last axis is as long as that of the channels: a function that confuses the two raises for the others.
    """
    groups = num_groups or 1
    default = groups * {1: 8, 2: 4, 3: 2}.get(groups, 2) if row.grouped_axis == 1 else 8
    known = [c for c in channels if row.grouped_axis == 0 or c % groups == 0]
    for rank in (4, 3, 2, 5):
        for C in dict.fromkeys([*known, default]):
            others = [n for n in (3, 5, 4, 7, 6) if n != C][: rank - 1]
            if row.has_groups and row.grouped_axis == 0:
                others[0] = 2 * groups if groups > 2 else 3 * groups
            yield (C, *others) if row.affine_axis == 0 else (others[0], C, *others[1:])
        for C in dict.fromkeys([*known, default]) if rank == 4 and row.affine_axis == 1 else ():
            if row.grouped_axis == 1:
                yield 3, C, 5, C
