"""Whatever is called stays as it was found: parameters, running statistics, modes, gradients, hooks, random numbers.

A layer keeps its state in attributes, in arrays, and in generators of random numbers, whichever framework made it. So
one walk over all that a callable can reach serves them all: it remembers every attribute and the contents of every
array, and puts back, bit for bit, what has changed.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dis import get_instructions
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from normviz.inspect._restoring import (
    contents,
    generator,
    global_randomness,
    held_by,
    is_array,
    package,
    put_back_cell,
    put_back_dict,
    put_back_list,
    put_back_set,
    put_back_slot,
    settings,
)

# Their code keeps no state of the caller's, and its globals lead everywhere.
LIBRARIES = frozenset(
    ["torch", "numpy", "jax", "jaxlib", "flax", "keras", "cupy", "scipy", "tensorflow", "normviz", "functools"]
)
GLOBALS = frozenset(
    ["LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"]
)
_RANDOM = frozenset(["Rngs", "RngStream", "RngState", "RngKey", "RngCount", "SeedGenerator"])
_PLAIN = (str, bytes, int, float, complex, bool, type(None), range, slice, ModuleType, BuiltinFunctionType, CodeType)


class Found:
    """What a callable can reach, as it was found.

    Attributes
    ----------
    objects
        Everything reached, in the order of the walk.
    packages
        Names of the top-level packages that made them; a hint at the framework, and at nothing else.
    """

    def __init__(self, *roots: Any) -> None:
        self.objects: list[Any] = []
        self.packages: list[str] = []
        self._seen: set[int] = set()
        self._restore: list[Callable[[], None]] = []
        self._randomness: list[Callable[[], None]] = [*global_randomness()]
        for root in roots:
            self._walk(root, owned=False, chance=False)
        self._restore += settings()

    def restore(self, *, randomness: bool = True) -> None:
        """Put everything back; without `randomness` generators go on from where they are."""
        for put_back in [*self._restore, *(self._randomness if randomness else ())]:
            put_back()

    def _walk(self, value: Any, *, owned: bool, chance: bool) -> None:
        """Remember `value` and all it leads to.

        What an object *owns* is put back as a whole. In the variables around a function only arrays are: a list or a
        number there may be the caller's own record of the calls.
        """
        if isinstance(value, ModuleType):
            self._note(value.__name__)
        if isinstance(value, _PLAIN) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        self.objects.append(value)
        chance = chance or bool(_RANDOM.intersection(c.__name__ for c in type(value).__mro__))
        remember = self._randomness if chance else self._restore
        if isinstance(value, type):
            self._note(value.__module__)
            return
        if (put_back := generator(value)) is not None:
            self._randomness.append(put_back)
        elif (array := contents(value)) is not None:
            self._note(type(value).__module__)
            remember.append(array)
        elif isinstance(value, dict):
            entries = dict(value) if owned else {k: v for k, v in value.items() if is_array(v)}
            remember.append(partial(put_back_dict, value, entries, owned))
            self._each([*value.values()], owned, chance)
        elif isinstance(value, list):
            remember.append(partial(put_back_list, value, list(value), owned))
            self._each([*value], owned, chance)
        elif isinstance(value, tuple | set | frozenset):
            if isinstance(value, set) and owned:
                remember.append(partial(put_back_set, value, set(value)))
            self._each([*value], owned, chance)
        else:
            self._object(value, remember, chance)

    def _object(self, value: Any, remember: list, chance: bool) -> None:
        self._note(getattr(value, "__module__", None) or type(value).__module__)
        if isinstance(value, MethodType):
            self._each([value.__self__, value.__func__], False, chance)
        elif isinstance(value, partial):
            self._each([value.func, value.args, value.keywords], False, chance)
        elif isinstance(value, FunctionType):
            for cell in value.__closure__ or ():
                remember.append(partial(put_back_cell, cell, held_by(cell)))
                self._each([held_by(cell)], False, chance)
            self._each([value.__defaults__, value.__kwdefaults__, value.__dict__], False, chance)
            if value.__module__ is None or package(value.__module__) not in LIBRARIES:
                names = {name for name in _names(value.__code__) if name in value.__globals__}
                arrays = {k: value.__globals__[k] for k in names if is_array(value.__globals__[k])}
                remember.append(partial(put_back_dict, value.__globals__, arrays, False))
                self._each([value.__globals__[name] for name in sorted(names)], False, chance)
        else:
            self._attributes(value, remember, chance)

    def _attributes(self, value: Any, remember: list, chance: bool) -> None:
        self._note(type(value).__module__)
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict):
            remember.append(partial(put_back_dict, own, dict(own), True))
            self._each([*own.values()], True, chance)
        for name in {s for c in type(value).__mro__ for s in _slots(c)} - {"__dict__", "__weakref__"}:
            try:
                held = object.__getattribute__(value, name)
            except AttributeError:
                continue
            remember.append(partial(put_back_slot, value, name, held))
            self._each([held], True, chance)
        if hasattr(value, "parameters") and hasattr(value, "buffers") and package(type(value).__module__) == "torch":
            self._each([*value.parameters(), *value.buffers()], True, chance)  # a scripted module keeps them in C++
        if package(type(value).__module__) not in LIBRARIES:
            of_class = [v for c in type(value).__mro__[:-1] for k, v in vars(c).items() if k in _CALLED or is_array(v)]
            self._each(of_class, False, chance)

    def _each(self, values: list, owned: bool, chance: bool) -> None:
        for value in values:
            self._walk(value, owned=owned, chance=chance)

    def _note(self, module: str | None) -> None:
        if module and package(module) not in self.packages:
            self.packages.append(package(module))


@contextmanager
def untouched(*roots: Any) -> Iterator[Found]:
    """Leave all that the roots can reach as it was, also when what happens in between fails."""
    found = Found(*roots)
    try:
        yield found
    finally:
        found.restore()


def seed_everything(seed: int) -> None:
    """Seed the generators that belong to nobody: Python's, NumPy's and torch's, each where it is loaded."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  A layer may draw from it.
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)


_CALLED = ("__call__", "forward", "call")


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(f"_{cls.__name__.lstrip('_')}{s}" if s[:2] == "__" and s[-2:] != "__" else s for s in slots)


def _names(code: CodeType) -> set[str]:
    """Return the globals that code names; `co_names` has attributes too, and x.mean() uses no global called mean."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    own = {one.argval for one in get_instructions(code) if one.opname in GLOBALS}
    return own.union(*map(_names, inner))
