"""The first call of a function: which shape, and which layout of weight and bias, it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from normviz.arrays.arguments import native_order, parameter
from normviz.core.errors import brief
from normviz.core.methods import METHODS, Method
from normviz.core.pooling import Pooling, canonical
from normviz.inspect._call import MOST_CELLS, Answer, FunctionUnderTest, Refusal, owner
from normviz.inspect._signature import STATE, Takes, arrays_in, general_values, signature, texts_of
from normviz.inspect._snapshot import Snapshot, is_array
from normviz.inspect.check.bug import Case
from normviz.inspect.check.known_bugs import affine_not_reshaped
from normviz.inspect.check.layer_state import Slot, attribute, find_parameters, snapshot_of
from normviz.inspect.check.search import apply
from normviz.inspect.check.simulate import TOLERANCE, Cut, Recipe, Scene, near, plain, random_parameters, right


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
    layout: str  # that of weight and bias, one of `_layouts`
    first: tuple[np.ndarray, Answer]  # input and answer of the first call
    given: bool = False  # whether the caller gave weight and bias
    replaced: tuple[str, ...] = ()  # which of fn's own weight and bias hold random numbers during the check
    # with_flat: what shape (C,) of weight and bias gave, where they are "along" x now, or x has another shape now
    with_flat: Subject | Refusal | None = None
    flattens: bool = False  # whether it takes weight and bias of shape (C,), and those "along" x not in another way
    # arrange: maps an output of another shape to the shape of the input
    arrange: Callable[[np.ndarray], np.ndarray] = lambda y: y

    @property
    def per_group(self) -> bool:
        """Whether it takes one weight for each group."""
        return self.layout == "group"

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
        flat = self.layout == "along" and self.pool.shape[self.pool.row.affine_axis]
        passed = self.call.takes.handed(self.call.arguments, self.given, flat or 0)
        sentences = [f"check passed {passed}."] if passed else []
        if self.layout != "along" and isinstance(self.with_flat, Refusal):
            sentences.append(f"check used shape {self.shape}, because {self.with_flat}.")
        return " ".join(sentences)

    def gives(self, other: Answer) -> bool:
        """Whether another answer is that of the first call."""
        first = self.first[1]
        return other.shape == first.shape and bool(near(other.y, first.y, self.tolerance).all())

    def not_reshaped(self) -> list[str]:
        """Return which of weight and bias fn needs "along" the axes of x, as a caller does not have them."""
        x, _ = self.first
        needed, values = [], self.call.values
        for role in [role for role in ("weight", "bias") if isinstance(values.get(role), np.ndarray)]:
            self.call.values = values | {role: values[role].reshape(-1)}
            try:
                if not self.gives(self.call.ask(x)):
                    needed.append(role)
            except Refusal:
                needed.append(role)
        self.call.values = values
        return needed

    def scene(self, x: np.ndarray) -> Scene:
        """Return the scene of an input."""
        return Scene(self.pool, x, self.weight, self.bias, self.call.resolution)

    def begins_with(self, recipe: Recipe) -> bool:
        """Whether the output of the first call is that of a version of the normalizer."""
        x, answer = self.first
        if answer.shape != self.shape:
            return False
        return bool(self.scene(x).agrees(self.flat(answer.y), recipe, self.tolerance).all())

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


class StateSearch(Protocol):
    """Finds the mode and the running statistics of a function."""

    def set_mode(self, call: FunctionUnderTest) -> Callable[[], Any] | None:
        """Return what to call before every call of fn, if anything."""

    def find_state(self, call: FunctionUnderTest, x: np.ndarray) -> bool:
        """Find the running statistics once fn has been called with x; return whether fn has some."""
        raise NotImplementedError


def set_up(fn: Callable, request: Expectation, state: StateSearch | None = None) -> Subject:
    """Call fn with one shape and layout after another; return the first that gives right outputs, or that it takes.

    Refusal if fn takes none of them.
    """
    takes = signature(fn, texts=texts_of(Snapshot(fn).objects), state=request.method == "batch")
    slots = {} if request.given else find_parameters(owner(fn))
    refusal, fallback, other_rank = None, None, False
    for shape in _shapes(fn, takes, request, slots):
        tried: dict[str, Subject | Refusal] = {}
        for layout in _layouts(takes, request, shape, slots):
            try:
                tried[layout] = subject = _try_axes(fn, takes, request, shape, slots, layout, state)
            except Refusal as error:
                tried[layout] = error
                refusal = refusal or error
                continue
            if layout == "along":
                subject.with_flat = next(iter(tried.values()))
                if len(subject.first[1].shape) > len(shape):  # fn adds axes to weight and bias, which have them already
                    del tried[layout]
                    continue
            tells = fallback is None or subject.pool.size > 1
            if tells and not subject.per_group and subject.begins_with(right(subject.pool, request.eps)):
                return subject
        accepted = [subject for subject in tried.values() if isinstance(subject, Subject)]
        if accepted and fallback is None:
            fallback = min(accepted, key=lambda subject: subject.first[1].shape != subject.shape)
            along, element = tried.get("along"), tried.get("element")
            fallback.flattens = isinstance(along, Refusal) or (along is not None and along.gives(fallback.first[1]))
            if isinstance(element, Subject) and not fallback.flattens:
                fallback = element
            other_rank = fallback.layout == "along" and _is_for_features(fallback, request.eps)
        # A function of (N, C) alone may take longer shapes too, but its weight of shape (C,) does not broadcast there.
        if fallback is not None and not other_rank:
            break
    if fallback is not None:
        if other_rank and state is not None:  # what fn keeps was read for another shape since then
            fallback.call.before = state.set_mode(fallback.call) or fallback.call.before
            state.find_state(fallback.call, fallback.first[0])
        return fallback
    if request.shape is not None and refusal is not None and (request.given or slots):
        # Where the last axis is as long as that of the channels, weight and bias that nobody reshapes raise no error.
        shape = (*shape[:-1], shape[METHODS[request.method].affine_axis])
        with suppress(Refusal):
            subject = _try(fn, takes, request, shape, slots, _layouts(takes, request, shape, slots)[0], state)
            case = Case(subject.pool, request.eps, request.channel_axis, subject.weight, subject.bias)
            for change in affine_not_reshaped(case):
                if subject.begins_with(apply(right(subject.pool, request.eps), [change])):
                    subject.with_flat = refusal
                    return subject
    raise refusal or Refusal("fn accepts none of the shapes that normviz tries")


def _is_for_features(subject: Subject, eps: float) -> bool:
    """Whether fn pools the axes that it would have to pool of (N, C), whatever axes follow."""
    pool = subject.pool
    cut = Cut("block", (*pool.block[:2], *[1] * len(pool.shape[2:])))
    return not pool.row.has_groups and subject.begins_with(replace(right(pool, eps), cut=cut))


def _try_axes(fn: Callable, takes: Takes, request: Expectation, *more: Any) -> Subject:
    """Call fn with the pooled axes as its `axis`, or with that of the channels where this alone gives what is right."""
    if "axis" not in takes.names:
        return _try(fn, takes, request, *more)
    try:
        pooled = _try(fn, takes, request, *more)
    except Refusal:
        return _try(fn, takes, request, *more, axis_of="channels")
    if not pooled.begins_with(right(pooled.pool, request.eps)):
        with suppress(Refusal):
            other = _try(fn, takes, request, *more, axis_of="channels")
            if other.begins_with(right(other.pool, request.eps)):
                return other
    return pooled


def _try(
    fn: Callable,
    takes: Takes,
    request: Expectation,
    shape: tuple,
    slots: dict,
    layout: str,
    state: StateSearch | None,
    axis_of: str = "sets",
) -> Subject:
    pool, axis = Pooling(request.method, shape, request.num_groups), request.channel_axis
    rng = np.random.default_rng(request.seed)
    known = request.given or _random_parameters(takes.roles, request, pool, slots, layout, rng)
    lengths = [n if a == pool.row.affine_axis else 1 for a, n in enumerate(shape)]
    along = native_order(lengths, axis)
    if layout == "along":
        known = {role: None if p is None else p.reshape(along) for role, p in known.items()}
    replaced = []
    if not {"weight", "bias"} & takes.roles:
        for role, slot in slots.items():
            now: Any = slot.read()
            new = known[role]
            if layout == "own" and _aligned(now, pool, axis) is not None:
                known[role] = new = random_parameters(now.shape, rng)[role]
            if new is None or now.size != new.size:
                continue
            if slot.write(new.reshape(now.shape)):
                replaced.append(role)
            else:
                known[role] = now
    broadcast = {role: None if p is None else _broadcast(p, role, pool, layout, axis) for role, p in known.items()}
    values = _values(request, pool, takes)
    if axis_of == "channels":
        values["axis"] = axis
    forms: list[tuple[int, ...]] = []  # of running statistics, where it is not known
    if request.method == "batch" and (
        layout == "along" or any(p is not None and p.shape == along for p in known.values())
    ):
        forms = [along, values[STATE[0]].shape][:: 1 if layout == "along" else -1]
    values |= {role: p for role, p in known.items() if role in takes.roles}
    options = {"channel_axis": axis, "framework": request.framework, "seed": request.seed}
    call = FunctionUnderTest(fn, snapshot_of(fn), takes, values, **options)
    if state is not None:
        call.before = state.set_mode(call) or call.before
    answer = _begin(call, x := plain(shape, rng), request.dtype, forms)
    if state is not None and state.find_state(call, call.round(x)):
        answer = call.ask(call.round(x))
    weight, bias = (None if p is None else call.round(p) for p in (broadcast["weight"], broadcast["bias"]))
    return Subject(call, pool, weight, bias, layout, (call.round(x), answer), bool(request.given), tuple(replaced))


def _begin(call: FunctionUnderTest, x: np.ndarray, dtype: str | None, forms: Sequence[tuple[int, ...]]) -> Answer:
    """Call fn with running statistics in one of these shapes: the first that fn does not spread over a second axis."""
    for form in forms:
        call.values |= {role: call.values[role].reshape(form) for role in STATE}
        with suppress(Refusal):
            answer = call.begin(x, dtype)
            beside = [a.shape for _, a in arrays_in(call.returned) if tuple(a.shape) != answer.shape]
            if x.shape[1] == 1 or x.shape[1] ** 2 not in map(math.prod, beside):
                return answer
    return call.begin(x, dtype)


def _values(request: Expectation, pool: Pooling, takes: Takes) -> dict[str, Any]:
    """Return what follows from the method and the shape for each role of a parameter, in the layout of fn."""
    axis, rank, row = request.channel_axis, len(pool.shape), pool.row
    order = [a for a in range(rank) if a != axis % rank]
    order.insert(1, axis % rank)  # the axes of fn's array in the canonical order
    shape, pooled = native_order(pool.shape, axis), sorted(order[a] for a in row.pooled_axes(rank))
    groups = {"layer": 1, "instance": pool.shape[1]}.get(row.name)
    is_first, spatial = order[1] == 1, ("", "L", "HW", "DHW")[rank - 2]
    short, long = (f"NC{spatial}", "channels_first") if is_first else (f"N{spatial}C", "channels_last")

    def of_batch(which: str, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = getattr(x, which)(tuple(pooled), keepdims=True)
        return found.reshape(-1) if row.name == "batch" else found

    values = {
        "num_groups": request.num_groups or groups,
        "eps": request.eps,
        "normalized_shape": tuple(shape[a] for a in pooled),
        "axis": pooled[0] if len(pooled) == 1 else tuple(pooled),
        "mean": partial(of_batch, "mean"),
        "var": partial(of_batch, "var"),
        "data_format": long if any("channels" in text for text in takes.texts) else short,
    }
    if request.momentum is not None:
        values["momentum"] = request.momentum
    return general_values(pool.shape, axis, request.seed) | values


def _layouts(takes: Takes, request: Expectation, shape: tuple[int, ...], slots: dict[str, Slot]) -> list[str]:
    """Return layouts of weight and bias, that of a caller first.

    They are as "given", or have one number for each "channel", "element" or "group", or for each channel of a group,
    which all groups have in "common", or lie "along" the axes of x, as (1, C, 1, 1) does; or fn keeps its "own".
    """
    row, C = METHODS[request.method], shape[METHODS[request.method].affine_axis]
    of_common = row.shared and request.num_groups != 1
    takes_some = bool({"weight", "bias"} & takes.roles)
    arrays = request.given.values() if request.given else [slot.read() for slot in slots.values()]
    sizes = {p.size for p in arrays if p is not None}
    if sizes == {request.num_groups} != {C} and row.name == "group":
        return ["group"]
    if request.given:
        one_axis = all(p.shape == (C,) for p in request.given.values() if p is not None)
        return ["given", *["along"] * (takes_some and one_axis)]
    if sizes:
        rest = math.prod(shape[1:])
        if of_common and sizes == {shape[1] // (request.num_groups or 1)}:
            return ["common"]
        if row.elementwise and sizes == {rest} != {C}:
            return ["element"]
        return ["channel" if sizes == {C} else "own"]
    if not takes_some:
        return ["channel"]
    of_groups = row.name == "group" and request.num_groups != shape[1]
    return ["channel", *["element"] * row.elementwise, "along", *["group"] * of_groups, *["common"] * of_common]


def _random_parameters(
    taken: set[str], request: Expectation, pool: Pooling, slots: dict, layout: str, rng: np.random.Generator
) -> dict[str, np.ndarray | None]:
    """Return a random weight and bias in a layout; None where fn takes and has none."""
    sample = list(native_order(pool.shape, request.channel_axis))
    del sample[1 if request.channel_axis % len(sample) == 0 else 0]  # the axis of the samples
    sizes = {"element": tuple(sample), "group": pool.num_groups, "common": pool.block[1]}
    size = sizes.get(layout, pool.shape[pool.row.affine_axis])
    roles = (taken & {"weight", "bias"} or slots.keys()) if layout != "own" else ()
    return {role: p if role in roles else None for role, p in random_parameters(size, rng).items()}


def _broadcast(p: np.ndarray, role: str, pool: Pooling, layout: str, channel_axis: int) -> np.ndarray:
    """Return a parameter that broadcasts against canonical x."""
    rank, shape = len(pool.shape), native_order(pool.shape, channel_axis)
    if layout == "group":
        return p.repeat(pool.shape[1] // (pool.num_groups or 1)).reshape(1, -1, *[1] * (rank - 2))
    if p.ndim == rank and all(n in (1, m) for n, m in zip(p.shape, shape, strict=True)):
        return np.array(canonical(p, channel_axis))
    if layout == "own" and (aligned := _aligned(p, pool, channel_axis)) is not None:
        return aligned
    if p.ndim > 1 and p.size == pool.shape[pool.row.affine_axis]:
        p = p.reshape(-1)
    return parameter(p, role, pool, channel_axis)


def _aligned(p: np.ndarray, pool: Pooling, channel_axis: int) -> np.ndarray | None:
    """Return a parameter of the lengths of fn's last axes, or of its axis 1, in a shape that broadcasts against x."""
    shape = native_order(pool.shape, channel_axis)
    if p.shape == shape[len(shape) - p.ndim :]:
        return np.array(canonical(p.reshape(*[1] * (len(shape) - p.ndim), *p.shape), channel_axis))
    if p.shape == shape[1:2]:
        return np.array(canonical(p.reshape(1, -1, *[1] * (len(shape) - 2)), channel_axis))
    return None


def _shapes(fn: Callable, takes: Takes, request: Expectation, slots: dict[str, Slot]) -> list[tuple[int, ...]]:
    """Return the canonical shapes to try, the likeliest first."""
    axis, row, G = request.channel_axis, METHODS[request.method], request.num_groups
    if request.shape is not None:
        return [canonical_shape(request.shape, axis)]
    channels, samples = [], []
    arrays = [p for p in request.given.values() if p is not None] + [slot.read() for slot in slots.values()]
    objects = Snapshot(fn).objects
    arrays += [a for a in objects if is_array(a)]
    arrays += [np.array(a) for a in objects if type(a) is list and {*map(type, a)} == {float}]
    for array in arrays:
        lengths = [n for n in attribute(array, "shape") or () if n != 1]
        if not all(isinstance(n, int) for n in lengths):  # a nested tensor
            continue
        if len(lengths) == 1 and 0 < lengths[0] <= 4096:
            channels.append(lengths[0])
        elif 2 <= len(lengths) <= 4 and min(lengths) > 0:
            samples.append(lengths)
    if G and row.shared:
        channels = [c * G for c in channels] + channels  # parameters that all groups share
    if G and G in channels and row.name == "group":
        channels.insert(0, G * 2)  # parameters of G numbers: one group for each is likelier than one channel
    shapes = [(3, *canonical_shape((2, *s), axis)[1:]) for s in samples if -1 - len(s) <= axis <= len(s)]
    shapes = [s for s in shapes if not row.has_groups or s[row.grouped_axis] % (G or 1) == 0]
    usual = [*_usual_shapes(row, G, [*dict.fromkeys(channels)][:4], axis)]
    if any(attribute(array, "shape") == (1,) for array in arrays):  # a scalar, or that of a single channel
        usual += _usual_shapes(row, G, [1], axis)
    usual = [s for s in usual if -len(s) <= axis < len(s)]
    shapes = shapes + usual if row.elementwise else usual + shapes
    shapes = [s for s in dict.fromkeys(shapes) if math.prod(s) <= MOST_CELLS]
    if not shapes:
        raise ValueError(f"num_groups={brief(G)} needs more than {MOST_CELLS:,} cells, the most that check takes")
    fitting = []  # those that the given weight and bias go with
    for shape in shapes:
        pool = Pooling(request.method, shape, G)
        with suppress(ValueError):
            for role, p in request.given.items():
                if p is not None:
                    _broadcast(p, role, pool, _layouts(takes, request, shape, slots)[0], axis)
            fitting.append(shape)
    return fitting or shapes


def _usual_shapes(
    row: Method, num_groups: int | None, channels: list[int], channel_axis: int
) -> Iterator[tuple[int, ...]]:
    """Yield shapes (N, C, *spatial) with axes of different lengths; `channels` are lengths found in fn.

    In some the last axis, or axis 1 where the channels are last, is as long as that of the channels: a function that
    confuses the two raises for the others.
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
                yield (3, C, 5, C) if channel_axis % rank == 1 else (3, C, C, 5)
