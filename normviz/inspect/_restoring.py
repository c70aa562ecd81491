"""How each kind of thing is put back: in place, bit for bit, and only where it has changed."""

from __future__ import annotations

import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType
from typing import Any

import numpy as np


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
