"""Restore what a call changed: parameters, running statistics, modes, gradients, hooks, random numbers, settings.

A layer keeps its state in attributes, arrays and generators of random numbers, whichever framework made it. A snapshot
walks over everything that a callable can reach, remembers all attributes and a copy of every array, and restores in
place, bit for bit, what has changed since. It runs none of the caller's code: neither `__getattr__` nor a property.
"""

from __future__ import annotations

import random
import sys
import warnings
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dis import get_instructions
from functools import lru_cache, partial
from itertools import chain, starmap
from operator import is_
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple, cast

import numpy as np

from normviz.inspect._global_state import Restore, global_randomness, settings

# Their code keeps no state of the caller's, and its globals lead everywhere.
LIBRARIES = frozenset(
    ["torch", "numpy", "jax", "jaxlib", "flax", "keras", "cupy", "scipy", "tensorflow", "normviz", "functools"]
)
GLOBALS = frozenset(
    ["LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"]
)
_RANDOM = frozenset(["Rngs", "RngStream", "RngState", "RngKey", "RngCount", "SeedGenerator"])
_PLAIN = (str, bytes, int, float, complex, bool, type(None), range, slice, CodeType)
_CALLED = ("__call__", "forward", "call")


class _Reached(NamedTuple):
    """An object that the walk comes to.

    `name` is the attribute or variable that holds it, or its container. What an object *owns* is restored as a whole.
    In the variables around a function only arrays are: a list or a number there may be the caller's own record of the
    calls.
    """

    name: str
    value: Any
    owned: bool


class Snapshot:
    """What a callable can reach, as it was when the snapshot was taken.

    Attributes
    ----------
    objects
        Everything reached, in the order of the walk.
    packages
        Names of the top-level packages that made them; a hint at the framework, and at nothing else.
    variables
        The dicts in the variables around functions, of which only the arrays are restored.
    failures
        What the last `restore` could not restore, and why.

    Raises
    ------
    ValueError
        If something that is reached cannot be copied.
    """

    def __init__(self, *roots: Any) -> None:
        self.objects: list[Any] = []
        self.packages: list[str] = []
        self.variables: list[dict] = []
        self.failures: list[str] = []
        self._seen: set[int] = set()
        self._classes: set[type] = set()
        self._settings: list[tuple[str, Restore]] = [*settings()]
        self._state: list[tuple[str, Restore]] = []
        self._randomness: list[tuple[str, Restore]] = [*global_randomness()]
        # A list of what is left to do and no recursion: a chain of objects may be thousands long.
        left = [(_Reached(type(root).__name__, root, False), False) for root in reversed(roots)]
        while left:
            left += reversed(self._visit(*left.pop()))

    def restore(self, *, randomness: bool = True) -> None:
        """Restore everything; without `randomness` generators go on from where they are.

        What fails stops nothing else, and is tried once more at the end, since it may depend on something later.
        """
        self._restore([*self._settings, *self._state, *(self._randomness if randomness else ())])

    def restore_settings(self) -> None:
        """Restore the settings of the process alone."""
        self._restore(self._settings)

    def _restore(self, left: list[tuple[str, Restore]]) -> None:
        for _ in range(2):
            self.failures, failed = [], []
            for name, restore in left:
                try:
                    restore()
                except Exception as error:
                    failed.append((name, restore))
                    self.failures.append(f"{name} ({type(error).__name__}: {first_line(error)})")
            left = failed

    def _visit(self, at: _Reached, of_random: bool) -> list[tuple[_Reached, bool]]:
        """Remember an object, and return those that it leads to; `of_random` if it belongs to a random generator."""
        name, value, owned = at
        kind = type(value)
        if issubclass(kind, ModuleType):
            self._note(vars(value).get("__name__"))
            return []
        if issubclass(kind, _PLAIN) or id(value) in self._seen:
            return []
        self._seen.add(id(value))
        self.objects.append(value)
        if kind is dict and not owned:
            self.variables.append(value)
        self._note((value if issubclass(kind, (type, FunctionType)) else kind).__module__)
        if str(kind.__name__).startswith("Uninitialized") and package(kind.__module__) == "torch":
            raise ValueError("fn is a lazy layer that has no parameters yet; call it once on an input of yours first")
        of_random = of_random or any(c.__name__ in _RANDOM for c in type.mro(kind))
        leads = []
        try:
            if generator := _generator(value):
                self._randomness.append((name, generator))
                return []
            for part in _parts(value, owned, self._classes):
                if isinstance(part, _Reached):
                    leads.append((part if part.name else part._replace(name=name), of_random))
                else:
                    (self._randomness if of_random else self._state).append((name, part))
        except Exception as error:
            why = f"{type(error).__name__}: {first_line(error)}"
            what = f"{name}, of type {kind.__name__}, cannot be copied, so it could not be restored after the call"
            raise ValueError(f"{what}: {why}") from error
        return leads

    def _note(self, module: Any) -> None:
        if module and package(module) not in self.packages:
            self.packages.append(package(module))


@contextmanager
def restore_after(*roots: Any) -> Iterator[Snapshot]:
    """Restore everything that the roots can reach, also after an error; warn of what could not be restored.

    Attributes and containers of the objects that are reached are restored, arrays and tensors with their dtypes,
    gradients and hooks, generators of random numbers, and the settings of the process. Not restored: numbers, texts and
    containers in the variables around a function, and attributes of classes save arrays, since they may be the caller's
    own record of the calls; iterators, files, threads, locks, caches of functools, context variables, logging, locale,
    sys.modules, the umask, tracing functions, mapping proxies, ctypes arrays, the arguments of exceptions, an inference
    mode that is entered and never left, and the version counters of tensors.
    """
    snapshot = Snapshot(*roots)
    try:
        with warnings.catch_warnings(), np.errstate(), np.printoptions():
            yield snapshot
    finally:
        snapshot.restore()
        if snapshot.failures:
            what = "; ".join(snapshot.failures[:5]) + ("; ..." if len(snapshot.failures) > 5 else "")
            warnings.warn(f"could not be restored after the call: {what}", RuntimeWarning, stacklevel=4)


def is_array(value: Any) -> bool:
    """Whether value is an array of NumPy, torch, JAX or CuPy."""
    return _is_array_type(type(value))


# The walk asks about the same few types thousands of times. A type of torch exists only once torch is there to compare.
@lru_cache(maxsize=512)
def _is_array_type(kind: type) -> bool:
    kinds = (("torch", "Tensor"), ("jax", "Array"), ("cupy", "ndarray"))
    types = [getattr(sys.modules.get(module), name, None) for module, name in kinds]
    return issubclass(kind, (np.ndarray, *(t for t in types if isinstance(t, type))))


def package(module: Any) -> str:
    """The top-level package of a dotted name."""
    return str(module).partition(".")[0]


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut after 200 characters."""
    try:
        text = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
    except Exception:
        return "no message"
    return text if len(text) <= 200 else f"{text[:200]}..."


# ---- what objects are made of ----


def _parts(value: Any, owned: bool, classes: set[type]) -> Iterator[Restore | _Reached]:
    """Functions that restore `value`, and the objects that it leads to, without a name where they have none.

    `classes` are those whose own functions and arrays have been reached; they are for the whole walk.
    """
    kind = type(value)
    if is_array(value):
        yield from _array(value)
    elif issubclass(kind, type):
        return
    elif issubclass(kind, MethodType):
        yield from (_Reached("", part, False) for part in (value.__self__, value.__func__))
    elif issubclass(kind, BuiltinFunctionType):  # the method of an object, such as random.Random().random
        yield _Reached("", value.__self__, True)
    elif issubclass(kind, FunctionType):
        yield from _function(value)
    else:
        if issubclass(kind, bytearray | array):
            yield partial(_restore_buffer, value, value[:])
        elif issubclass(kind, dict):
            items = [*_dict_type(value).items(value)]
            kept = items if owned else [(k, v) for k, v in items if is_array(v)]
            yield partial(_restore_dict, value, kept, owned)
            if issubclass(kind, defaultdict):
                factory: Any = defaultdict.__dict__["default_factory"]
                yield partial(factory.__set__, value, factory.__get__(value))
            # Most entries are plain, and there may be many: only the others are visited.
            yield from (_Reached("", k, owned) for k, _ in items if not issubclass(type(k), _PLAIN))
            yield from (
                _Reached(k if isinstance(k, str) else "", v, owned) for k, v in items if not issubclass(type(v), _PLAIN)
            )
        elif issubclass(kind, memoryview):
            yield _Reached("", value.obj, owned)
        elif issubclass(kind, list | deque | set | tuple | frozenset):
            items = [*next(c for c in (list, deque, set, tuple, frozenset) if issubclass(kind, c)).__iter__(value)]
            if issubclass(kind, list | deque):
                yield partial(_restore_sequence, value, items, owned)
            elif issubclass(kind, set) and owned:
                yield partial(_restore_set, value, items)
            yield from (_Reached("", item, owned) for item in items if not issubclass(type(item), _PLAIN))
        elif issubclass(kind, partial):
            yield from (_Reached("", part, False) for part in (value.func, value.args, value.keywords))
        yield from _attributes(value)
        torch = sys.modules.get("torch")
        if torch is not None and issubclass(kind, torch.jit.ScriptModule):  # which keeps its parameters in C++
            module: Any = value
            yield from (_Reached("parameter", p, True) for p in (*module.parameters(), *module.buffers()))
        if package(kind.__module__) not in LIBRARIES and kind not in classes:
            classes.add(kind)
            yield from _of_class(kind)


def _attributes(value: Any) -> Iterator[Restore | _Reached]:
    kind = type(value)
    yield partial(_restore_class, value, kind)
    with suppress(AttributeError):
        own = object.__getattribute__(value, "__dict__")
        if isinstance(own, dict):
            yield partial(_restore_attributes, value, own, [*own.items()])
            yield from (_Reached(k, v, True) for k, v in own.items())
    for name, slot in slots_of(kind):
        kept = _get_slot(slot, value)
        yield partial(_restore_slot, slot, value, kept)
        yield from (_Reached(name, held, True) for held in kept)


@lru_cache(maxsize=512)
def slots_of(kind: type) -> list[tuple[str, MemberDescriptorType]]:
    """The slots of a class and its bases."""
    found = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            private = name[:2] == "__" and name[-2:] != "__"
            slot = base.__dict__.get(f"_{base.__name__.lstrip('_')}{name}" if private else name)
            if isinstance(slot, MemberDescriptorType):
                found.append((name, slot))
    return found


def _function(fn: FunctionType) -> Iterator[Restore | _Reached]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        with suppress(ValueError):  # not yet assigned
            held = cell.cell_contents
            if is_array(held):
                yield partial(_restore_cell, cell, held)
            yield _Reached(name, held, False)
    yield from (_Reached("", part, False) for part in (fn.__defaults__, fn.__kwdefaults__, fn.__dict__))
    if fn.__module__ is None or package(fn.__module__) not in LIBRARIES:
        named = [(name, fn.__globals__[name]) for name in sorted(globals_of(fn.__code__)) if name in fn.__globals__]
        yield partial(_restore_dict, fn.__globals__, [(k, v) for k, v in named if is_array(v)], False)
        yield from (_Reached(name, held, False) for name, held in named)


def _of_class(kind: type) -> Iterator[Restore | _Reached]:
    """The functions of a class that a call runs, and the arrays that it holds."""
    names = dict.fromkeys(_CALLED)
    for base in kind.__mro__[:-1]:
        for name, held in vars(base).items():
            if is_array(held):
                yield partial(_restore_class_attribute, base, name, held)
                yield _Reached(name, held, False)
    left = [*names]
    while left:
        name = left.pop()
        for base in kind.__mro__[:-1]:
            method = vars(base).get(name)
            method = getattr(method, "__func__", method.fget if type(method) is property else method)
            if isinstance(method, FunctionType):
                yield _Reached(name, method, False)
                if package(method.__module__) not in LIBRARIES:
                    left += [n for code in codes(method.__code__) for n in code.co_names if n not in names]
                    names |= dict.fromkeys(left)


def codes(code: CodeType) -> list[CodeType]:
    """A code object and those of the functions inside it."""
    found = [code]
    for one in found:  # which grows meanwhile
        found += [c for c in one.co_consts if isinstance(c, CodeType)]
    return found


def globals_of(code: CodeType) -> set[str]:
    """The globals that code names; `co_names` has attributes too, and x.mean() uses no global called mean."""
    return {one.argval for inner in codes(code) for one in get_instructions(inner) if one.opname in GLOBALS}


# ---- objects and containers ----


def _restore_class(value: Any, kind: type) -> None:
    if type(value) is not kind:
        object.__setattr__(value, "__class__", kind)


def _restore_attributes(value: Any, own: dict, items: list[tuple[str, Any]]) -> None:
    if object.__getattribute__(value, "__dict__") is not own:
        object.__setattr__(value, "__dict__", own)
    _restore_dict(own, items, True)


def _get_slot(slot: Any, value: Any) -> tuple:
    """What a slot holds, as a tuple of one, or of none."""
    try:
        return (slot.__get__(value, type(value)),)
    except AttributeError:
        return ()


def _restore_slot(slot: Any, value: Any, kept: tuple) -> None:
    now = _get_slot(slot, value)
    if kept and not (now and now[0] is kept[0]):
        slot.__set__(value, kept[0])
    elif now and not kept:
        slot.__delete__(value)


def _restore_class_attribute(base: type, name: str, kept: Any) -> None:
    if vars(base).get(name) is not kept:
        type.__setattr__(base, name, kept)


def _restore_cell(cell: CellType, kept: Any) -> None:
    with suppress(ValueError):
        if cell.cell_contents is kept:
            return
    cell.cell_contents = kept


def _dict_type(value: dict) -> Any:
    """The class whose methods go past what a subclass may add; an OrderedDict keeps its order beside the entries."""
    return OrderedDict if isinstance(value, OrderedDict) else dict


def _restore_dict(value: dict, kept: list[tuple], owned: bool) -> None:
    base = _dict_type(value)
    if owned:
        now = [*base.items(value)]
        if _identical([*chain.from_iterable(now)], [*chain.from_iterable(kept)]):
            return
        base.clear(value)
    for key, old in kept:
        if owned or base.get(value, key) is not old:
            base.__setitem__(value, key, old)


def _restore_sequence(value: list | deque, kept: list, owned: bool) -> None:
    base: Any = deque if isinstance(value, deque) else list
    now = [*base.__iter__(value)]
    if owned:
        if not _identical(now, kept):
            base.clear(value)
            base.extend(value, kept)
        return
    for i, (new, old) in enumerate(zip(now, kept, strict=False)):
        if new is not old and is_array(old):
            base.__setitem__(value, i, old)


def _restore_set(value: set, kept: list) -> None:
    if {*map(id, set.__iter__(value))} != {*map(id, kept)}:
        set.clear(value)
        set.update(value, kept)


def _restore_buffer(value: Any, kept: Any) -> None:
    if value != kept:
        value[:] = kept


def _identical(a: list, b: list) -> bool:
    return len(a) == len(b) and all(starmap(is_, zip(a, b, strict=True)))


# ---- arrays ----


def _array(value: Any) -> Iterator[Restore | _Reached]:
    if isinstance(value, np.ndarray):
        plain = _distinct(value.view(np.ndarray))
        yield from _attributes(value)
        yield partial(
            _restore_ndarray, value, plain.copy("K"), value.dtype, value.shape, value.strides, value.flags.writeable
        )
        if value.dtype.hasobject:
            yield from (_Reached("", item, True) for item in plain.ravel().tolist())
    elif package(type(value).__module__) == "cupy":
        yield partial(_restore_cupy, value, value.copy())
    elif (torch := sys.modules.get("torch")) is not None and isinstance(value, torch.Tensor):
        yield from _attributes(value)
        yield from _tensor(torch, value)
    # A JAX array never changes.


def _distinct(value: np.ndarray) -> np.ndarray:
    """A view of the cells that have memory of their own: an array broadcast to 10^18 cells may have only one."""
    return value[(*(slice(0, 1) if stride == 0 else slice(None) for stride in value.strides), ...)]


def _restore_ndarray(
    value: np.ndarray, kept: np.ndarray, dtype: np.dtype, shape: tuple, strides: tuple, writeable: bool
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of arrays whose shape is set in place
        if value.dtype != dtype:
            setattr(value, "dtype", dtype)  # noqa: B010  pyright takes it for read-only
        if value.shape != shape and value.size != np.prod(shape):
            value.resize(shape, refcheck=False)
        if value.shape != shape:
            value.shape = shape
        if value.strides != strides:
            value.strides = strides
    if not _same_bits(_distinct(value.view(np.ndarray)), kept):
        if writeable:
            value.flags.writeable = True
        if value.flags.writeable:
            _distinct(value.view(np.ndarray))[...] = kept
    if value.flags.writeable != writeable:
        value.flags.writeable = writeable


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of one shape and dtype agree bit for bit, compared in pieces that fit the cache."""
    flags, of_each = ["buffered", "external_loop", "zerosize_ok", "refs_ok"], [["readonly", "contig"]] * 2
    for p, q in cast("Any", np.nditer)([a, b], flags, of_each, buffersize=2**16):
        if a.dtype.hasobject:
            if not _identical(p.tolist(), q.tolist()):
                return False
        elif not np.array_equal(p.view(np.uint8), q.view(np.uint8)):
            return False
    return True


def _restore_cupy(value: Any, kept: Any) -> None:
    flat, old = value.ravel(), kept.ravel()
    if any(flat[i : i + 2**24].tobytes() != old[i : i + 2**24].tobytes() for i in range(0, flat.size, 2**24)):
        value[...] = kept


# ---- tensors of torch ----


@contextmanager
def _torch_mode(torch: Any, value: Any) -> Iterator[None]:
    """No gradients and no `__torch_function__`; a tensor made in inference mode may only be changed in it."""
    with torch.no_grad(), torch.inference_mode(value.is_inference()), torch._C.DisableTorchFunctionSubclass():
        yield


def _tensor(torch: Any, value: Any) -> list[Restore | _Reached]:
    with _torch_mode(torch, value):
        same = value.detach()  # another tensor on the same memory
        parts = _dense_parts(torch, same)
        kept = same.clone() if parts is None else [part.clone() for part in parts]
        sizes = [part.untyped_storage().nbytes() for part in parts or ()]
        grad = value.grad if value.is_leaf else None
        hooks = {name: getattr(value, name, None) for name in ("_backward_hooks", "_post_accumulate_grad_hooks")}
    return [
        partial(_restore_tensor, torch, value, same, kept, sizes),
        partial(_restore_autograd, torch, value, value.is_leaf, value.requires_grad, grad, hooks),
        _Reached("grad", grad, True),
        *(_Reached(name, held, True) for name, held in hooks.items()),
    ]


def _dense_parts(torch: Any, value: Any) -> list[Any] | None:
    """The dense tensors that hold the numbers of a tensor, each cell of memory once; None if they cannot be reached."""
    if value.is_meta:
        return []
    if value.is_nested:
        return [value.values()]
    if value.layout == torch.sparse_coo:
        return [value._indices(), value._values()]
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [value.crow_indices(), value.col_indices(), value.values()]
    if value.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [value.ccol_indices(), value.row_indices(), value.values()]
    if value.layout != torch.strided:
        return None
    return [value[tuple(slice(0, 1) if s == 0 else slice(None) for s in value.stride())] if value.ndim else value]


def _memory(torch: Any, value: Any) -> tuple:
    parts = [(p.data_ptr(), p.shape, p.stride(), p.dtype) for p in _dense_parts(torch, value) or ()]
    coalesced = value.layout == torch.sparse_coo and value.is_coalesced()
    shape = None if value.is_nested else value.shape
    return shape, value.dtype, value.device, value.layout, coalesced, parts


def _restore_tensor(torch: Any, value: Any, same: Any, kept: Any, sizes: list[int]) -> None:
    with _torch_mode(torch, same):
        parts = _dense_parts(torch, same)
        for part, size in zip(parts or (), sizes, strict=True):
            if part.untyped_storage().nbytes() < size:  # it was freed
                part.untyped_storage().resize_(size)
        if parts is None:  # and its numbers cannot be compared either
            value.data = kept.clone()
            return
        if _memory(torch, value) != _memory(torch, same):
            value.data = same
        for part, old in zip(parts, kept, strict=True):
            if not _same_tensor(torch, part, old):
                part.copy_(old)


def _same_tensor(torch: Any, a: Any, b: Any) -> bool:
    """Whether two dense tensors agree bit for bit; NaN, which equals nothing, included."""
    if a.is_quantized:  # whose bits torch must not be asked to view as others
        a, b = a.int_repr(), b.int_repr()
    elif a.is_complex():
        a, b = (torch.view_as_real(t.resolve_conj()) for t in (a, b))
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    a, b = (t.resolve_neg().view(bits) for t in (a, b))
    if a.numel() <= 2**24 or a.device.type == "cpu":  # where torch.equal needs no memory
        return torch.equal(a, b)
    longest = max(range(a.ndim), key=lambda axis: a.shape[axis])
    length = max(1, a.shape[longest] * 2**24 // a.numel())
    return all(starmap(torch.equal, zip(a.split(length, longest), b.split(length, longest), strict=True)))


def _restore_autograd(torch: Any, value: Any, leaf: bool, requires_grad: bool, grad: Any, hooks: dict) -> None:
    with _torch_mode(torch, value):
        if leaf and not value.is_leaf:
            value.detach_()
        if leaf and value.requires_grad != requires_grad:
            value.requires_grad_(requires_grad)
        if leaf and value.grad is not grad:
            value.grad = grad
        for name, old in hooks.items():
            if getattr(value, name, None) is not old:
                setattr(value, name, old)


# ---- random numbers ----


def _spawned(value: np.random.BitGenerator) -> int | None:
    """How many children the seed of a generator has; the next one depends on it."""
    return getattr(value.seed_seq, "n_children_spawned", None)


def _restore_bit_generator(value: np.random.BitGenerator, state: Any, spawned: int | None) -> None:
    value.state = state
    if spawned is not None and _spawned(value) != spawned:
        seed: Any = value.seed_seq  # whose attributes are read-only
        own = {"spawn_key": seed.spawn_key, "pool_size": seed.pool_size}
        seed.__init__(seed.entropy, **own, n_children_spawned=spawned)


def _generator(value: Any) -> Restore | None:
    """Return what restores a generator of random numbers; None if value is none, or has no state."""
    kind = type(value)  # isinstance may run code of the object
    if issubclass(kind, np.random.Generator):
        value = value.bit_generator
    if issubclass(kind, np.random.Generator | np.random.BitGenerator):
        return partial(_restore_bit_generator, value, value.state, _spawned(value))
    if issubclass(kind, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if issubclass(kind, random.Random):
        return None if issubclass(kind, random.SystemRandom) else partial(value.setstate, value.getstate())
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(kind, torch.Generator):
        return partial(value.set_state, value.get_state())
    return None
