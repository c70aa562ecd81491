"""Find out what x is (an array of which library, a file, chunks, a dask array), and read it on the host.

Nothing is imported to find out. A module that is not in sys.modules has made no array.
"""

import os
import sys
from typing import Any, Literal

import numpy as np

_LIBRARIES = (("cupy", "ndarray"), ("torch", "Tensor"), ("jax", "Array"))
_ON_HOST, _ON_CUDA = (1, 3), (2, 13)  # DLPack's device types: CPU and pinned memory; CUDA and managed memory
_ARRAY_ATTRIBUTES = ("dtype", "__array__", "__array_interface__", "__dlpack__")


def kind(x: Any) -> str:
    """Return the library that made an array: "cupy", "torch", "jax", or "numpy" for everything else."""
    for module, name in _LIBRARIES:
        array_type = getattr(sys.modules.get(module), name, None)
        if array_type is not None and isinstance(x, array_type):
            return module
    return "numpy"


def source(x: Any) -> Literal["file", "chunks", "dask"] | None:
    """Return what x is to be read from, or None for an array in memory, including nested lists.

    A string, a path and an object with `read` are files. An object that can be iterated over but not indexed (a
    generator, another iterator, a torch DataLoader) gives chunks. Lists and tuples are arrays.

    >>> source("x.npy"), source(iter([])), source([[1.0, 2.0]])
    ('file', 'chunks', None)
    """
    if isinstance(x, np.ndarray | list | tuple):
        return None
    dask_array = getattr(sys.modules.get("dask.array"), "Array", None)
    if dask_array is not None and isinstance(x, dask_array):
        return "dask"
    if any(hasattr(x, name) for name in _ARRAY_ATTRIBUTES):
        return None
    if isinstance(x, str | os.PathLike) or hasattr(x, "read"):
        return "file"
    if hasattr(x, "__next__") or (hasattr(x, "__iter__") and not hasattr(x, "__getitem__")):
        return "chunks"
    return None


def on_gpu(x: Any) -> bool:
    """Return whether x lies on a CUDA device; raise ValueError for devices other than CPU and CUDA."""
    if kind(x) == "numpy":
        return False
    try:
        device = int(x.__dlpack_device__()[0])
    except Exception as error:  # a tracer inside jax.jit, a tensor on torch's meta device
        raise ValueError(f"x, a {type(x).__name__}, has no values to read ({error}); pass a concrete array") from error
    if device not in (*_ON_HOST, *_ON_CUDA):
        raise ValueError(f"x, a {type(x).__name__}, is neither on the CPU nor on a CUDA device; move it to the CPU")
    return device in _ON_CUDA


def is_bfloat16(x: Any) -> bool:
    """Return whether x holds bfloat16, a type that NumPy lacks."""
    return str(getattr(x, "dtype", "")).removeprefix("torch.") == "bfloat16"


def host(x: Any) -> np.ndarray:
    """Return an array of any kind, or a nested list, as a NumPy array; bfloat16 becomes float32."""
    if kind(x) == "cupy":
        return x.get()
    if kind(x) == "torch":
        return from_dlpack(widened(x).cpu(), np)
    x = widened(x)
    if isinstance(x, np.ma.MaskedArray):  # refused by the caller, who knows its name
        return x
    remedies = {
        "file": "this takes an array, not a file; np.load(path, mmap_mode='r') makes one of a .npy file",
        "chunks": f"this takes an array, not a {type(x).__name__} of chunks; join them, np.concatenate(list(chunks))",
        "dask": "this takes an array in memory, not a dask array; pass its .compute(), or a part of it that fits",
    }
    if read_from := source(x):
        raise TypeError(remedies[read_from])
    try:
        return np.asarray(x)
    except ValueError as error:
        if not isinstance(x, list | tuple):
            raise
        kind_of = type(x).__name__
        raise ValueError(f"the {kind_of} has parts of unequal length; those of an array are all alike") from error


def real_numbers(value: Any, name: str) -> np.ndarray:
    """Return a parameter of any kind of array as float64 on the host; raise TypeError if its numbers are not real."""
    array = host(value)
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and no entry can be left out; fill it, for instance with .filled(1)"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; use a float")
    if array.size > 1 << 40:  # a view that repeats a few cells; a copy would not fit into memory
        raise ValueError(
            f"{name} has shape {array.shape}, {array.size:.3g} entries; a parameter has one entry per channel"
        )
    return array.astype(np.float64)


def widened(x: Any) -> Any:
    """Return x detached from torch's graph, and in float32 if it is bfloat16."""
    if kind(x) == "torch":
        x = x.detach()
        return x.float() if is_bfloat16(x) else x
    return x.astype(np.float32) if is_bfloat16(x) else x


def from_dlpack(x: Any, xp: Any) -> Any:
    """Return a tensor as an array of the module xp that shares its memory; raise TypeError where it cannot be read."""
    try:
        return xp.from_dlpack(x)
    except Exception as error:  # a sparse tensor, a quantized one, one of 8 bits
        kinds = f"dtype {x.dtype}, layout {getattr(x, 'layout', None)}"
        remedy = "convert it, for instance with .to_dense() or .float()"
        raise TypeError(f"a tensor of {kinds}, cannot be read as an array; {remedy}") from error
