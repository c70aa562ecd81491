"""What x can be besides an array in memory: a file, chunks, a dask array; told without importing anything."""

import os
import sys
from typing import Any, Literal

import numpy as np

_ARRAYS = ("dtype", "__array__", "__array_interface__", "__dlpack__")


def source(x: Any) -> Literal["file", "chunks", "dask"] | None:
    """Return what x is to be read from, or None for an array in memory, nested lists included.

    A string or a path is a file, and so is what has `read`. What can be iterated over but not indexed is chunks:
    generators and other iterators, and a torch DataLoader. Lists and tuples stay arrays.

    >>> source("x.npy"), source(iter([])), source([[1.0, 2.0]])
    ('file', 'chunks', None)
    """
    if isinstance(x, np.ndarray | list | tuple):
        return None
    dask_array = getattr(sys.modules.get("dask.array"), "Array", None)
    if dask_array is not None and isinstance(x, dask_array):
        return "dask"
    if any(hasattr(x, name) for name in _ARRAYS):
        return None
    if isinstance(x, str | os.PathLike) or hasattr(x, "read"):
        return "file"
    if hasattr(x, "__next__") or (hasattr(x, "__iter__") and not hasattr(x, "__getitem__")):
        return "chunks"
    return None


def in_memory(x: Any) -> Any:
    """Return x; TypeError, with the remedy, if it is no array in memory."""
    remedy = {
        "file": "this takes an array, not a file; np.load(path, mmap_mode='r') makes one of a .npy file",
        "chunks": f"this takes an array, not a {type(x).__name__} of chunks; join them, np.concatenate(list(chunks))",
        "dask": "this takes an array in memory, not a dask array; pass its .compute(), or a part of it that fits",
    }
    if kind := source(x):
        raise TypeError(remedy[kind])
    return x
