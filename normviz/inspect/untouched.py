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
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

# Their code keeps no state of the caller's, and its globals lead everywhere.
LIBRARIES = frozenset(
    ["torch", "numpy", "jax", "jaxlib", "flax", "keras", "cupy", "scipy", "tensorflow", "normviz", "functools"]
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
        self._randomness: list[Callable[[], None]] = [*_global_randomness()]
        for root in roots:
            self._walk(root, owned=False, chance=False)
        self._restore += _settings()

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
        if (generator := _generator(value)) is not None:
            self._randomness.append(generator)
        elif (array := _contents(value)) is not None:
            self._note(type(value).__module__)
            remember.append(array)
        elif isinstance(value, dict):
            entries = dict(value) if owned else {k: v for k, v in value.items() if is_array(v)}
            remember.append(partial(_put_back_dict, value, entries, owned))
            self._each([*value.values()], owned, chance)
        elif isinstance(value, list):
            remember.append(partial(_put_back_list, value, list(value), owned))
            self._each([*value], owned, chance)
        elif isinstance(value, tuple | set | frozenset):
            if isinstance(value, set) and owned:
                remember.append(partial(_put_back_set, value, set(value)))
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
                remember.append(partial(_put_back_cell, cell, _cell(cell)))
                self._each([_cell(cell)], False, chance)
            self._each([value.__defaults__, value.__kwdefaults__, value.__dict__], False, chance)
            if value.__module__ is None or _package(value.__module__) not in LIBRARIES:
                names = {name for name in _names(value.__code__) if name in value.__globals__}
                arrays = {k: value.__globals__[k] for k in names if is_array(value.__globals__[k])}
                remember.append(partial(_put_back_dict, value.__globals__, arrays, False))
                self._each([value.__globals__[name] for name in sorted(names)], False, chance)
        else:
            self._attributes(value, remember, chance)

    def _attributes(self, value: Any, remember: list, chance: bool) -> None:
        self._note(type(value).__module__)
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict):
            remember.append(partial(_put_back_dict, own, dict(own), True))
            self._each([*own.values()], True, chance)
        for name in {s for c in type(value).__mro__ for s in _slots(c)} - {"__dict__", "__weakref__"}:
            try:
                held = object.__getattribute__(value, name)
            except AttributeError:
                continue
            remember.append(partial(_put_back_slot, value, name, held))
            self._each([held], True, chance)
        if callable(value) and hasattr(value, "__wrapped__"):  # what jax.jit makes keeps no __dict__
            self._each([value.__wrapped__], False, chance)
        if hasattr(value, "parameters") and hasattr(value, "buffers") and _package(type(value).__module__) == "torch":
            self._each([*value.parameters(), *value.buffers()], True, chance)  # a scripted module keeps them in C++
        if _package(type(value).__module__) not in LIBRARIES:
            of_class = [v for c in type(value).__mro__[:-1] for k, v in vars(c).items() if k in _CALLED or is_array(v)]
            self._each(of_class, False, chance)

    def _each(self, values: list, owned: bool, chance: bool) -> None:
        for value in values:
            self._walk(value, owned=owned, chance=chance)

    def _note(self, module: str | None) -> None:
        if module and _package(module) not in self.packages:
            self.packages.append(_package(module))


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


def is_array(value: Any) -> bool:
    """Whether value is an array of NumPy, torch, JAX or CuPy."""
    kinds = (("torch", "Tensor"), ("jax", "Array"), ("cupy", "ndarray"))
    types = [getattr(sys.modules.get(module), name, None) for module, name in kinds]
    return isinstance(value, (np.ndarray, *(t for t in types if isinstance(t, type))))


_CALLED = ("__call__", "forward", "call")


def _package(module: str) -> str:
    return str(module).partition(".")[0]


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(f"_{cls.__name__.lstrip('_')}{s}" if s[:2] == "__" and s[-2:] != "__" else s for s in slots)


def _names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return {*code.co_names, *(name for c in inner for name in _names(c))}


def _cell(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


# ---- how each kind of thing is put back: only where it has changed ----


def _put_back_cell(cell: CellType, found: Any) -> None:
    if is_array(found) and _cell(cell) is not found:
        cell.cell_contents = found


def _put_back_slot(value: Any, name: str, found: Any) -> None:
    if getattr(value, name, None) is not found:
        object.__setattr__(value, name, found)


def _put_back_dict(value: dict, found: dict, owned: bool) -> None:
    same = [*value] == [*found] if owned else True
    if same and all(k in value and value[k] is v for k, v in found.items()):
        return
    if owned:
        dict.clear(value)
    for key, old in found.items():
        dict.__setitem__(value, key, old)


def _put_back_list(value: list, found: list, owned: bool) -> None:
    if owned and (len(value) != len(found) or any(a is not b for a, b in zip(value, found, strict=True))):
        list.__setitem__(value, slice(None), found)
    for i, old in enumerate(found):
        if is_array(old) and i < len(value) and value[i] is not old:
            list.__setitem__(value, i, old)


def _put_back_set(value: set, found: set) -> None:
    if value != found:
        set.clear(value)
        set.update(value, found)


def _contents(value: Any) -> Callable[[], None] | None:
    """Return what puts an array's contents back; None if value is no array."""
    if not is_array(value):
        return None
    if isinstance(value, np.ndarray):
        return partial(_put_back_array, value, value.copy())
    if _package(type(value).__module__) == "cupy":
        return partial(_put_back_array, value, value.copy())
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if type(value).__name__.startswith("Uninitialized"):
            raise ValueError("fn is a lazy layer that has no parameters yet; call it once on an input of yours first")
        with torch.no_grad():
            grad = value.grad if value.is_leaf else None
            kept = None if grad is None else grad.detach().clone()
            return partial(_put_back_tensor, torch, value, value.detach().clone(), value.requires_grad, grad, kept)
    return lambda: None  # a JAX array never changes


def _put_back_array(value: Any, found: Any) -> None:
    if value.tobytes() != found.tobytes() and getattr(value.flags, "writeable", True):
        value[...] = found


def _put_back_tensor(torch: Any, value: Any, found: Any, requires_grad: bool, grad: Any, kept: Any) -> None:
    with torch.no_grad():
        for now, before in ((value, found), (grad, kept)):
            if before is not None and not _same(torch, now, before):
                now.detach().copy_(before)
    if value.is_leaf:
        if value.requires_grad != requires_grad:
            value.requires_grad_(requires_grad)
        if value.grad is not grad:
            value.grad = grad


def _same(torch: Any, a: Any, b: Any) -> bool:
    """Whether two tensors agree bit for bit; NaN, which equals nothing, included."""
    try:
        return torch.equal(a.detach().contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
    except RuntimeError:  # a scalar, or a layout without bytes to look at
        return torch.equal(a.detach(), b)


def _generator(value: Any) -> Callable[[], None] | None:
    """Return what puts a generator of random numbers back; None if value is none."""
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        state = bits.state
        return lambda: setattr(bits, "state", state)
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    return None


def _global_randomness() -> Iterator[Callable[[], None]]:
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        yield partial(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():
            yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _settings() -> list[Callable[[], None]]:
    """What puts back the settings of the process that a layer may change."""
    if torch := sys.modules.get("torch"):
        dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
        return [partial(torch.set_default_dtype, dtype), partial(torch.set_grad_enabled, grad)]
    return []
