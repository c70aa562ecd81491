"""Whatever is called stays as it was found: parameters, running statistics, modes, gradients, hooks, random numbers.

A layer keeps its state in attributes, in arrays, and in generators of random numbers, whichever framework made it. So
one walk over all that a callable can reach serves them all: it remembers every attribute and the contents of every
array, and puts back, bit for bit, what has changed.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dis import get_instructions
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

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


def is_array(value: Any) -> bool:
    """Whether value is an array of NumPy, torch, JAX or CuPy."""
    kinds = (("torch", "Tensor"), ("jax", "Array"), ("cupy", "ndarray"))
    types = [getattr(sys.modules.get(module), name, None) for module, name in kinds]
    return isinstance(value, (np.ndarray, *(t for t in types if isinstance(t, type))))


def package(module: str) -> str:
    """The top-level package of a dotted name."""
    return str(module).partition(".")[0]


def held_by(cell: CellType) -> Any:
    """What a closure's cell holds; None where nothing was assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


def put_back_cell(cell: CellType, found: Any) -> None:
    """Put the array back that a closure's cell held."""
    if is_array(found) and held_by(cell) is not found:
        cell.cell_contents = found


def put_back_slot(value: Any, name: str, found: Any) -> None:
    """Put back what an attribute without a dictionary held."""
    if getattr(value, name, None) is not found:
        object.__setattr__(value, name, found)


def put_back_dict(value: dict, found: dict, owned: bool) -> None:
    """Put back the entries that were found, and if the dictionary is `owned` take new ones away."""
    same = [*value] == [*found] if owned else True
    if same and all(k in value and value[k] is v for k, v in found.items()):
        return
    # Past what a subclass may add; only an ordered one keeps a list of its own beside.
    base: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    if owned:
        base.clear(value)
    for key, old in found.items():
        base.__setitem__(value, key, old)


def put_back_list(value: list, found: list, owned: bool) -> None:
    """Put back the arrays that were found in their places, and if the list is `owned` all of it."""
    if owned and (len(value) != len(found) or any(a is not b for a, b in zip(value, found, strict=True))):
        list.__setitem__(value, slice(None), found)
    for i, old in enumerate(found):
        if is_array(old) and i < len(value) and value[i] is not old:
            list.__setitem__(value, i, old)


def put_back_set(value: set, found: set) -> None:
    """Put back the members that were found."""
    if value != found:
        set.clear(value)
        set.update(value, found)


def contents(value: Any) -> Callable[[], None] | None:
    """Return what puts an array's contents back; None if value is no array."""
    if not is_array(value):
        return None
    if isinstance(value, np.ndarray):
        return partial(_put_back_array, value, value.copy())
    if package(type(value).__module__) == "cupy":
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
            if before is not None and not now.is_nested and now.shape != before.shape:
                now.data = before.clone()  # as the observers of quantization grow
            elif before is not None and not _same(torch, now, before):
                now.detach().copy_(before)
    if value.is_leaf:
        if value.requires_grad != requires_grad:
            value.requires_grad_(requires_grad)
        if value.grad is not grad:
            value.grad = grad


def _same(torch: Any, a: Any, b: Any) -> bool:
    """Whether two tensors agree bit for bit; NaN, which equals nothing, included."""
    if a.is_meta:
        return True  # there are no bits
    if a.is_quantized:  # whose bits torch must not be asked to view as others
        a, b = a.int_repr(), b.int_repr()
    try:
        return torch.equal(a.detach().contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
    except (RuntimeError, AttributeError):  # a scalar, or a layout without bytes to look at
        return a.layout == torch.strided and not a.is_nested and torch.equal(a.detach(), b)


def generator(value: Any) -> Callable[[], None] | None:
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


def global_randomness() -> Iterator[Callable[[], None]]:
    """What puts the generators back that belong to nobody."""
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        yield partial(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():
            yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def settings() -> list[Callable[[], None]]:
    """What puts back the settings of the process that a layer may change."""
    if torch := sys.modules.get("torch"):
        dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
        return [partial(torch.set_default_dtype, dtype), partial(torch.set_grad_enabled, grad)]
    return []
