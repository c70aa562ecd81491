"""Where a layer keeps its weight and bias, its running statistics, and its mode."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from normviz.core.array_kinds import host
from normviz.inspect._call import FunctionUnderTest, Refusal, hand_over, owner
from normviz.inspect._signature import (
    BIAS,
    MODES,
    RUNNING,
    STATE,
    TEXTS,
    WEIGHT,
    entry_role,
    mode_value,
    plain,
    role_of,
    texts_of,
)
from normviz.inspect._snapshot import LIBRARIES, Snapshot, first_line, globals_of, is_array, package, slots_of


def attribute(value: Any, name: str) -> Any:
    """Return an attribute; None if there is none, or if a property raises."""
    with suppress(Exception):
        return getattr(value, name, None)
    return None


def method(value: Any, name: str) -> Callable | None:
    """Return a method of an object, but none that its `__getattr__` invents."""
    found = attribute(value, name) if inspect.getattr_static(value, name, None) is not None else None
    return found if callable(found) else None


def item(holder: Any, step: Any) -> Any:
    """Return an entry of a dict or list, what a variable around a function holds, or an attribute; None if none."""
    if issubclass(type(holder), dict):
        return dict.get(holder, step)
    if issubclass(type(holder), list | tuple) and isinstance(step, int):
        return holder[step] if step < len(holder) else None
    return attribute(holder, step)


@dataclass(frozen=True)
class Slot:
    """A place that holds an array: an attribute of a layer, an entry of a dict or list, a variable around a function.

    `path` leads from the owner to it; it is (name,) where that is empty.
    """

    owner: Any
    name: str
    path: tuple = ()

    def _place(self) -> tuple[Any, Any, Any]:
        """Return what holds the value, under which key, and the value."""
        *before, last = self.path or (self.name,)
        holder = self.owner
        for step in before:
            holder = item(holder, step)
        return holder, last, item(holder, last)

    @property
    def value(self) -> Any:
        """What the place holds."""
        return self._place()[2]

    def read(self) -> np.ndarray | None:
        """Return its numbers in float64; None if there are none."""
        value: Any = self.value
        for get in ("numpy", "get_value", "value"):
            inner = None if value is None or is_array(value) else attribute(value, get)
            if inner is not None:
                with suppress(Exception):
                    value = inner() if callable(inner) else inner
        with suppress(Exception):  # ragged lists, dtypes that hold no numbers, meta tensors
            value = np.array(value) if isinstance(value, list | tuple) else value
            if is_array(value):
                return np.array(host(value.detach() if hasattr(value, "detach") else value), np.float64)
        return None

    def write(self, numbers: np.ndarray) -> bool:
        """Replace its numbers by others of the same shape; return whether that worked."""
        value: Any = self.value
        torch = sys.modules.get("torch")
        try:
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                value[...] = numbers
            elif torch is not None and isinstance(value, torch.Tensor):
                with torch.no_grad():
                    torch.Tensor.copy_(value, torch.as_tensor(numbers))
            elif hasattr(value, "assign"):
                value.assign(numbers.astype(np.float32))  # pyright: ignore[reportAttributeAccessIssue]
            elif not is_array(value) and is_array(inner := attribute(value, "value")):  # a variable of Flax
                value.value = hand_over(numbers, "jax", str(inner.dtype))  # pyright: ignore[reportAttributeAccessIssue]
            else:
                new = hand_over(numbers, "jax", str(value.dtype)) if is_array(value) else numbers.tolist()
                if not is_array(value) and not isinstance(value, list):
                    return False
                self.put(new)
        except Exception:
            return False
        found = self.read()
        return found is not None and np.allclose(found, numbers, rtol=1e-2)

    def put(self, value: Any) -> None:
        """Let the place hold another object."""
        holder, last, _ = self._place()
        if issubclass(type(holder), dict | list):
            holder[last] = value
        else:
            setattr(holder, last, value)


def find_parameters(layer: Any) -> dict[str, Slot]:
    """Return where a layer keeps its "weight" and its "bias"; the first object that has either counts."""
    for holder in _holders(layer):
        slots = {}
        # The `weights` of a layer of Keras are all its variables.
        all_of_keras = {"weights"} if attribute(holder, "trainable_variables") is not None else set()
        for which, names in (("weight", WEIGHT), ("bias", BIAS)):
            for slot in (Slot(holder, name) for name in names if name not in all_of_keras):
                if (numbers := slot.read()) is not None and numbers.size:
                    slots.setdefault(which, slot)
        if slots:
            return slots
    return {}


def find_running(
    objects: Iterable[Any], arguments: dict[str, Any], names: Sequence[str] | None = None
) -> list[tuple[Slot, Slot]]:
    """Return where running means and variances are kept, under the given names or usual ones, the likeliest first.

    `objects` are those that fn reaches, and `arguments` those that it is called with.
    """
    found = []
    for places in (*_of_arguments(arguments), *map(places_of, objects)):
        known = {name if names else plain(name): name for name in places}
        pairs = [names] if names else [(mean, var) for mean in known if mean in RUNNING for var in RUNNING[mean]]
        for mean, var in pairs:
            if mean in known and var in known:
                found += _layers(*(Slot(places[known[n]][0], known[n], places[known[n]][1]) for n in (mean, var)))
    return sorted(found, key=lambda slots: is_of_a_batch(slots))


def is_of_a_batch(slots: tuple[Slot, Slot]) -> bool:
    """Whether the names, such as mean and var, may be those of the last batch's own statistics."""
    return role_of(slots[0].name) == "mean"


def _layers(mean: Slot, var: Slot) -> Iterator[tuple[Slot, Slot]]:
    """Yield the two themselves, or where they are lists or dicts with an entry for each layer, those entries."""
    if mean.read() is not None and var.read() is not None:
        yield mean, var
        return
    kept = mean.value
    steps = [*kept] if isinstance(kept, dict) else range(len(kept)) if isinstance(kept, list | tuple) else ()
    for step in steps:
        first, second = (replace(slot, path=(*(slot.path or (slot.name,)), step)) for slot in (mean, var))
        if first.read() is not None and second.read() is not None:
            yield first, second


def _of_arguments(arguments: dict[str, Any]) -> Iterator[dict[str, tuple[Any, tuple]]]:
    yield {name: (arguments, (name,)) for name in arguments}
    for name, value in arguments.items():
        if isinstance(value, dict):
            yield {key: (arguments, (name, key)) for key in value}


def places_of(value: Any) -> dict[str, tuple[Any, tuple]]:
    """Return the names of what an object, a dict or the variables around a function hold: (owner, path) for each."""
    kind = type(value)
    if is_array(value) or issubclass(kind, type | MethodType):
        return {}
    if issubclass(kind, dict):
        return {key: (value, (key,)) for key in dict.keys(value) if isinstance(key, str)}
    if issubclass(kind, FunctionType):
        if package(value.__module__) in LIBRARIES:
            return {}
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        found: dict[str, Any] = {name: (value.__globals__, (name,)) for name in globals_of(value.__code__)}
        return found | {name: (cell, ("cell_contents",)) for name, cell in cells}
    names: list[str] = []
    with suppress(Exception):
        names += object.__getattribute__(value, "__dict__")
    names += [name for name, _ in slots_of(kind)]
    of_class = [pair for base in kind.__mro__[:-1] for pair in vars(base).items()]
    names += [name for name, part in of_class if type(part) is property or is_array(part)]
    buffers = attribute(value, "_buffers")
    names += buffers if isinstance(buffers, dict) else ()
    return {name: (value, (name,)) for name in names}


def _holders(layer: Any) -> Iterator[Any]:
    """Yield the layer and, if it wraps one other object, that object, and so on."""
    function, seen = type(_holders), set()
    while hasattr(layer, "__dict__") and not isinstance(layer, function) and id(layer) not in seen:
        yield layer
        seen.add(id(layer))
        inner: Any = vars(layer).values()
        if attribute(layer, "buffers") is not None:  # a torch module
            with suppress(Exception):
                inner = [*layer.children()]
        inner = [v for v in inner if callable(v) and hasattr(v, "__dict__") and not isinstance(v, type | function)]
        if len(inner) != 1:
            return
        layer = inner[0]


@dataclass(frozen=True)
class Mode:
    """How fn is switched between training and evaluation: by its methods, a flag or a text that it reads."""

    switch: Callable[[bool], Any]
    own: bool  # whether it is fn's own, and not that of an object which a function only refers to

    def set(self, training: bool) -> None:
        """Switch the mode; Refusal if the layer raises."""
        try:
            self.switch(training)
        except Exception as error:
            name = "training" if training else "evaluation"
            raise Refusal(f"fn raised {type(error).__name__} when set to {name}: {first_line(error)}") from error


def find_mode(fn: Callable, call: FunctionUnderTest) -> Mode | None:
    """Return how to set the mode of fn; None if it has none."""
    layer, texts = owner(fn), call.takes.texts
    if "training" in call.takes.roles:  # comes first: a layer of Keras on PyTorch has a train() that has no effect
        return Mode(lambda training: call.values.__setitem__("training", training), True)
    if "is_grad_enabled" in texts:
        return Mode(lambda training: setattr(call, "gradients", training), True)
    is_function = issubclass(type(layer), FunctionType)
    # A layer of a library is right in both modes, so a function that does not follow its flag sets the mode itself.
    followed = [o for o in call.snapshot.objects if not (is_function and package(type(o).__module__) in LIBRARIES)]
    if not is_function and method(layer, "train") and method(layer, "eval"):
        return Mode(lambda training: layer.train() if training else layer.eval(), True)
    flags = [
        (Slot(where[0], name, where[1]), now)
        for value in followed
        for name, where in places_of(value).items()
        if name.lower().strip("_") in MODES and _is_mode(now := Slot(where[0], name, where[1]).value)
    ]

    def switch(training: bool) -> None:
        for slot, now in flags:
            slot.put(mode_value(slot.name, training, now, texts))

    return Mode(switch, not is_function) if flags else None


def _is_mode(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and any(value in texts for texts in TEXTS))


class Held:
    """Owns a dict of state in the variables around a function, so that a snapshot restores it as a whole."""

    def __init__(self, state: dict) -> None:
        self.state = state


def held(snapshot: Snapshot) -> list[Held]:
    """Return what owns the dicts that hold running statistics or a mode, or may get them."""
    if not snapshot.variables:
        return []
    late = any(entry_role(text) in STATE for text in texts_of(snapshot.objects))
    return [
        Held(value)
        for value in snapshot.variables
        if (late and not value) or any(entry_role(str(key)) in ("training", *STATE) for key in value)
    ]


def snapshot_of(fn: Callable) -> Snapshot:
    """Return a snapshot of fn, in which dicts of state are restored as a whole, whoever owns them."""
    snapshot = Snapshot(fn)
    owners = held(snapshot)
    return Snapshot(*owners, fn) if owners else snapshot
