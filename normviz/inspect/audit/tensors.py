"""Small questions about torch's tensors and modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def eager() -> Iterator[None]:
    """Run what torch.compile has wrapped as it was written: compiled code calls no hooks."""
    stance = getattr(torch.compiler, "set_stance", None)
    if stance is None or "torch._dynamo" not in sys.modules:
        yield
        return
    with stance("force_eager"):
        yield


def first(value: Any) -> Any:
    """Return the first tensor in what a module takes or gives, or None; nested ones have no shape, and don't count."""
    if isinstance(value, torch.Tensor):
        return None if value.is_nested else value
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return next((t for t in map(first, value) if t is not None), None)
    return None


def torchs(module: Any) -> bool:
    """Whether a module's forward is torch's own, so that it is known for what it is."""
    return type(module).__module__.startswith("torch.") and not isinstance(module, torch.jit.ScriptModule)


def empty(tensor: Any) -> bool:
    """Whether it is a parameter or buffer that a lazy layer has yet to make."""
    return torch.nn.parameter.is_lazy(tensor)


def plain(x: Any) -> bool:
    """Whether a tensor has real numbers in memory that can be looked at: not one of torch.func's, nested or sparse."""
    wrapped = getattr(getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", lambda _: False)
    if x.is_meta or x.is_nested or x.layout != torch.strided or wrapped(x) or not x.numel():
        return False
    return x.is_floating_point() or x.is_quantized


def version(x: Any) -> int:
    """How often x was written into; tensors of inference mode don't count."""
    return -1 if x.is_inference() else x._version


def weights_of(x: Any, storages: set[int]) -> bool:
    """Whether x is a view of a parameter: weight standardization, which normalizes no activations."""
    try:
        return x.untyped_storage().data_ptr() in storages
    except (NotImplementedError, RuntimeError):  # no memory of the usual kind
        return False
