"""What an object keeps: its weight and bias, its running statistics, and its mode."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.backends.dispatch import host
from normviz.inspect._call import BIAS, WEIGHT, Asked
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


@dataclass(frozen=True)
class Slot:
    """One attribute of an object that holds an array."""

    owner: Any
    name: str

    def read(self) -> np.ndarray | None:
        """Its numbers in float64, or None if there are none."""
        value: Any = getattr(self.owner, self.name, None)
        for get in ("numpy", "get_value", "value"):
            if value is not None and not is_array(value) and hasattr(value, get):
                inner = getattr(value, get)
                with suppress(Exception):
                    value = inner() if callable(inner) else inner
        if isinstance(value, list | tuple):
            value = np.array(value)
        if value is None or not is_array(value):
            return None
        with suppress(TypeError, ValueError):
            return np.array(host(value.detach() if hasattr(value, "detach") else value), np.float64)
        return None

    def write(self, numbers: np.ndarray) -> bool:
        """Put other numbers of the same shape there; False if that cannot be done."""
        value: Any = getattr(self.owner, self.name, None)
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


def parameters(fn: Any) -> dict[str, Slot]:
    """Where fn keeps its "weight" and its "bias", as far as one object has them."""
    for holder in _holders(fn):
        slots = {}
        for role, names in (("weight", WEIGHT), ("bias", BIAS)):
            for name in names:
                numbers = Slot(holder, name).read()
                if numbers is not None and numbers.size and role not in slots:
                    slots[role] = Slot(holder, name)
        if slots:
            return slots
    return {}


def running(fn: Any, given: tuple[str, str] | None = None) -> tuple[Slot, Slot] | None:
    """Where fn keeps its running mean and variance, under the given names or usual ones."""
    for holder in _holders(fn):
        for names in [given] if given else RUNNING:
            slots = Slot(holder, names[0]), Slot(holder, names[1])
            if all(slot.read() is not None for slot in slots):
                return slots
    return None


def _holders(fn: Any) -> Iterator[Any]:
    """fn, and the one thing in it that a wrapper wraps."""
    if not hasattr(fn, "__dict__") or isinstance(fn, type(_holders)):
        return
    yield fn
    inner: Iterable[Any] = fn.children() if hasattr(fn, "children") and hasattr(fn, "buffers") else vars(fn).values()
    inner = [v for v in inner if callable(v) and hasattr(v, "__dict__") and not isinstance(v, type | type(_holders))]
    if len(inner) == 1:
        yield from _holders(inner[0])


@dataclass(frozen=True)
class Mode:
    """How fn is told to train or to evaluate: by its own methods, an attribute, or an argument of the call."""

    set: Callable[[bool], Any]
    by: str


def mode(fn: Any, asked: Asked) -> Mode | None:
    """Return how to set fn's mode, or None if it has none."""
    name = _argument(fn)
    if name is not None:  # first, for a layer of Keras may have train() from PyTorch, which it does not listen to
        asked.takes.names["training"] = name
        wanted = (lambda t: not t) if name == "use_running_average" else bool
        return Mode(lambda training: asked.values.__setitem__("training", wanted(training)), f"{name}=")
    if callable(getattr(fn, "train", None)) and callable(getattr(fn, "eval", None)):
        return Mode(lambda training: fn.train() if training else fn.eval(), "train() and eval()")
    for name in ("training", "is_training", "train"):
        if isinstance(getattr(fn, name, None), bool):
            return Mode(lambda training, name=name: setattr(fn, name, training), name)
    return None


def _argument(fn: Any) -> str | None:
    try:
        named = inspect.signature(getattr(fn, "call", fn)).parameters
    except (TypeError, ValueError):
        return None
    return next((n for n in ("training", "is_training", "train", "use_running_average") if n in named), None)
