"""Where a layer keeps its weight and bias, its running statistics, and its mode."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.core.array_kinds import host
from normviz.inspect._call import BIAS, WEIGHT, FunctionUnderTest, Refusal, first_line
from normviz.inspect._snapshot import is_array

RUNNING = (
    ("running_mean", "running_var"),
    ("moving_mean", "moving_variance"),
    ("moving_mean", "moving_var"),
    ("running_mean", "running_variance"),
    ("running_avg", "running_var"),
    ("run_mean", "run_var"),
    ("ra_mean", "ra_var"),
    ("mean", "var"),
    ("mean_", "var_"),
    ("mu", "var"),
    ("pop_mean", "pop_var"),
)
"""Usual names of the running mean and variance."""
MODES = ("training", "is_training", "train")


def attribute(value: Any, name: str) -> Any:
    """Return an attribute; None if there is none, or if a property raises."""
    with suppress(Exception):
        return getattr(value, name, None)
    return None


def method(value: Any, name: str) -> Callable | None:
    """Return a method of an object, but none that its `__getattr__` invents."""
    found = attribute(value, name) if inspect.getattr_static(value, name, None) is not None else None
    return found if callable(found) else None


@dataclass(frozen=True)
class Slot:
    """An attribute of a layer that holds an array."""

    owner: Any
    name: str

    def read(self) -> np.ndarray | None:
        """Return its numbers in float64; None if there are none."""
        value: Any = attribute(self.owner, self.name)
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
        value: Any = attribute(self.owner, self.name)
        torch = sys.modules.get("torch")
        try:
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                value[...] = numbers
            elif torch is not None and isinstance(value, torch.Tensor):
                with torch.no_grad():
                    torch.Tensor.copy_(value, torch.as_tensor(numbers))
            elif hasattr(value, "assign"):
                value.assign(numbers.astype(np.float32))  # pyright: ignore[reportAttributeAccessIssue]
            else:
                return False
        except Exception:
            return False
        found = self.read()
        return found is not None and np.allclose(found, numbers, rtol=1e-2)


def find_parameters(layer: Any) -> dict[str, Slot]:
    """Return where a layer keeps its "weight" and its "bias"; the first object that has either counts."""
    for holder in _holders(layer):
        slots = {}
        # The `weights` of a layer of Keras are all its variables.
        all_of_keras = {"weights"} if attribute(holder, "trainable_variables") is not None else set()
        for role, names in (("weight", WEIGHT), ("bias", BIAS)):
            for slot in (Slot(holder, name) for name in names if name not in all_of_keras):
                if (numbers := slot.read()) is not None and numbers.size:
                    slots.setdefault(role, slot)
        if slots:
            return slots
    return {}


def find_running(layer: Any, names: Sequence[str] | None = None) -> tuple[Slot, Slot] | None:
    """Return where a layer keeps its running mean and variance, under the given names or usual ones."""
    for holder in _holders(layer):
        for mean, var in [names] if names else RUNNING:
            slots = Slot(holder, mean), Slot(holder, var)
            if all(slot.read() is not None for slot in slots):
                return slots
    return None


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
    """How a layer is switched between training and evaluation: by its methods, an attribute, or an argument."""

    switch: Callable[[bool], Any]
    by: str

    def set(self, training: bool) -> None:
        """Switch the mode; Refusal if the layer raises."""
        try:
            self.switch(training)
        except Exception as error:
            name = "training" if training else "evaluation"
            raise Refusal(f"fn raised {type(error).__name__} when set to {name}: {first_line(error)}") from error


def find_mode(layer: Any, call: FunctionUnderTest) -> Mode | None:
    """Return how to set the mode of a layer; None if it has none."""
    name = None
    with suppress(Exception):  # there is no signature, or looking for it runs code of the layer that raises
        parameters = inspect.signature(getattr(layer, "call", layer)).parameters
        name = next((n for n in (*MODES, "use_running_average") if n in parameters), None)
    if name is not None:  # comes first: a layer of Keras on PyTorch has a train() that has no effect
        call.takes.names["training"] = name
        convert = (lambda t: not t) if name == "use_running_average" else bool
        return Mode(lambda training: call.values.__setitem__("training", convert(training)), f"{name}=")
    if method(layer, "train") and method(layer, "eval"):
        return Mode(lambda training: layer.train() if training else layer.eval(), "train() and eval()")
    for name in MODES:
        if isinstance(attribute(layer, name), bool):
            return Mode(lambda training, name=name: setattr(layer, name, training), name)
    return None
