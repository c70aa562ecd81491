"""Read torch tensors and modules without running the user's code.

A user's module may invent attributes in `__getattr__`, or change itself when it is asked for one. So everything about a
module is looked up where Python and torch store it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

MODEL = "(model)"
"""Name of the model itself, which has the name "" in torch."""
MAX_NAME = 200
"""Characters of a name that messages and tables show."""


def tensors_in(value: Any) -> Iterator[Any]:
    """Yield the tensors in nested tuples, lists and mappings, in order, to any depth."""
    import torch

    return (leaf for leaf in leaves(value) if issubclass(type(leaf), torch.Tensor))


def leaves(value: Any) -> Iterator[Any]:
    """Yield what nested tuples, lists and mappings hold, in order, to any depth."""
    stack, visited = [value], {}
    while stack:
        value = stack.pop()
        kind = type(value)
        if not issubclass(kind, Mapping | tuple | list):
            yield value
        elif id(value) not in visited:
            visited[id(value)] = value  # keeps it alive, so that the id stays its own
            if issubclass(kind, dict):
                members = dict.values(value)  # not the method of a subclass
            else:
                members = value.values() if issubclass(kind, Mapping) else value
            stack += reversed([*members])


def first_tensor(value: Any) -> Any:
    """Return the first tensor in a module's input or output, or None; nested tensors have no shape and do not count."""
    return next((t for t in tensors_in(value) if not t.is_nested), None)


def in_memory(x: Any) -> bool:
    """Whether the elements of a tensor can be read: it is not lazy, meta, nested, sparse, empty or from torch.func."""
    import torch

    wrapped = getattr(getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", lambda _: False)
    if is_uninitialized(x) or x.is_meta or x.is_nested or x.layout != torch.strided or wrapped(x):
        return False
    return bool(x.numel())


def has_values(x: Any) -> bool:
    """Whether a tensor holds real numbers that can be read."""
    return in_memory(x) and (x.is_floating_point() or x.is_quantized)


def values(x: Any) -> np.ndarray:
    """Return a torch tensor of any device and real dtype as a NumPy array, without a copy where none is needed."""
    x = x.detach().resolve_neg()
    if x.is_quantized:
        x = x.dequantize()
    if str(x.dtype) not in ("torch.float16", "torch.float32", "torch.float64"):
        x = x.float()
    return np.from_dlpack(x.cpu())  # after x.numpy() a parameter could never be resized


def copied_values(x: Any) -> np.ndarray:
    """Return a copy of a tensor's values, in which broadcast axes still take no memory."""
    once = x[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.stride())]
    return np.broadcast_to(np.array(values(once)), tuple(x.shape))


def is_uninitialized(tensor: Any) -> bool:
    """Whether a lazy layer has yet to make this parameter or buffer."""
    import torch

    return torch.nn.parameter.is_lazy(tensor)


def version(x: Any) -> int:
    """Return how often x was written to; -1 for a tensor of inference mode, which does not count."""
    return -1 if x.is_inference() else x._version


def is_view_of(x: Any, storages: set[int]) -> bool:
    """Whether x shares memory with one of the storages."""
    try:
        return x.untyped_storage().data_ptr() in storages
    except (NotImplementedError, RuntimeError):  # it has no storage of the usual kind
        return False


def attribute(module: Any, name: str, default: Any = None) -> Any:
    """Return an attribute that a module or its class stores; no `__getattr__` and no property is called."""
    if is_scripted(module):
        return getattr(module, name, default)  # torch.jit keeps the attributes in C++
    for store in ("_parameters", "_buffers"):
        stored = _stored(module, store)
        if name in stored:
            return stored[name]
    found = inspect.getattr_static(module, name, default)
    return default if inspect.isdatadescriptor(found) else found


def named_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, module) as `model.named_modules()` does; the wrappers of torch.compile add nothing to a name."""
    stack, visited = [("", model)], set()
    while stack:
        name, module = stack.pop()
        if id(module) in visited:
            continue
        visited.add(id(module))
        yield name, module
        for key, child in reversed(_stored(module, "_modules").items()):
            if child is not None:
                inner = name if is_compiled(module) else f"{name}.{key}" if name else key
                stack.append((inner, child))


def parameters(module: Any) -> dict[str, Any]:
    """Return the parameters of a module and its submodules by name, each once."""
    return _tensors_of(module, "_parameters")


def buffers(module: Any) -> dict[str, Any]:
    """Return the buffers of a module and its submodules by name, each once."""
    return _tensors_of(module, "_buffers")


def has_children(module: Any) -> bool:
    """Whether a module has submodules."""
    return any(child is not None for child in _stored(module, "_modules").values())


def class_name(module: Any) -> str:
    """Return the name of a module's class; of a scripted module that of the class it was compiled from."""
    return str(getattr(module, "original_name", "")) if is_scripted(module) else type(module).__name__


def short_name(name: str) -> str:
    r"""Return the name of a module or class for a message: in printable characters, and cut in the middle if long.

    >>> short_name("encoder.layer.3.norm"), short_name("two\nlines"), len(short_name("x" * 1_000_000))
    ('encoder.layer.3.norm', 'two\\nlines', 200)
    """
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME // 2 - 1]}…{name[-MAX_NAME // 2 :]}"
    return name if name.isprintable() else repr(name)[1:-1]


def is_torchs_own(module: Any) -> bool:
    """Whether a module's class belongs to torch, so that its forward is known."""
    return str(type(module).__module__).startswith("torch.") and not is_scripted(module)


def is_scripted(module: Any) -> bool:
    """Whether torch.jit has compiled a module."""
    import torch

    return issubclass(type(module), torch.jit.ScriptModule)


def is_compiled(module: Any) -> bool:
    """Whether a module is the wrapper that torch.compile has put around another one."""
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and issubclass(type(module), dynamo.OptimizedModule)


def unwrapped(model: Any) -> Any:
    """Return the module inside the wrapper of torch.compile, or the module itself."""
    return _stored(model, "_modules")["_orig_mod"] if is_compiled(model) else model


def _stored(module: Any, store: str) -> dict[str, Any]:
    """Return a module's own `_parameters`, `_buffers` or `_modules`; empty where its `__init__` has made none."""
    found = getattr(module, store) if is_scripted(module) else object.__getattribute__(module, "__dict__").get(store)
    return dict(found.items()) if found else {}


def _tensors_of(module: Any, store: str) -> dict[str, Any]:
    found, ids = {}, set()
    for prefix, owner in named_modules(module):
        for name, tensor in _stored(owner, store).items():
            if tensor is not None and id(tensor) not in ids:
                ids.add(id(tensor))
                found[f"{prefix}.{name}" if prefix else name] = tensor
    return found
