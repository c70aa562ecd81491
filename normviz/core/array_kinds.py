"""Find out what x is (an array of which library, a file, chunks, a dask array), and read it on the host.

Nothing is imported to find out. A module that is not in sys.modules has made no array.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any, Literal

import numpy as np

from normviz.core.errors import brief

_LIBRARIES = (("cupy", "ndarray"), ("torch", "Tensor"), ("jax", "Array"))
_ON_HOST, _ON_CUDA = (1, 3), (2, 13)  # DLPack's device types: CPU and pinned memory; CUDA and managed memory
LOADERS = {
    ".npy": "np.load(path, mmap_mode='r')",
    ".npz": "np.load(path)['its name']",
    ".safetensors": "safetensors.numpy.load_file(path)['its name']",
    ".pt": "torch.load(path, weights_only=True)",
    ".h5": "h5py.File(path)['its name'][...]",
    ".keras": "keras.saving.load_model(path).get_weights()",
    ".mat": "scipy.io.loadmat(path)['its name']",
    ".csv": "np.loadtxt(path, delimiter=',')",
    ".pkl": "pickle.load(open(path, 'rb'))",
    ".png": "np.asarray(PIL.Image.open(path))[None], whose channels are last",
}
"""The line of Python that reads a file, by its suffix."""
_ALIKE = {".pth": ".pt", ".ckpt": ".pt", ".hdf5": ".h5", ".tsv": ".csv", ".txt": ".csv", ".pickle": ".pkl"}
_ALIKE |= dict.fromkeys((".jpg", ".jpeg", ".webp", ".gif", ".bmp"), ".png")
_ARRAY_ATTRIBUTES = ("dtype", "__array__", "__array_interface__", "__dlpack__")


def kind(x: Any) -> str:
    """Return the library that made an array: "cupy", "torch", "jax", or "numpy" for everything else."""
    if type(x) is np.ndarray:
        return "numpy"
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


def suffix_of(path: str | os.PathLike) -> str:
    """Return the suffix of a file's name in small letters, of those that are alike the one in LOADERS.

    >>> suffix_of("Weights.PTH"), suffix_of("no suffix")
    ('.pt', '')
    """
    suffix = PurePath(os.fsdecode(path)).suffix.lower()
    return _ALIKE.get(suffix, suffix)


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
    dtype = getattr(x, "dtype", "")
    if isinstance(dtype, np.dtype) and dtype.kind != "V":  # at once, because the name of a dtype is slow to build
        return False
    return str(dtype).removeprefix("torch.") == "bfloat16"


def host(x: Any) -> np.ndarray:
    """Return an array of any kind, or a nested list, as a NumPy array; bfloat16 becomes float32."""
    if kind(x) == "cupy":
        return widened(x.get())
    if kind(x) == "torch":
        if x.is_meta:
            raise TypeError("a tensor on the device meta has a shape and no numbers; load its numbers first")
        return from_dlpack(widened(x).cpu(), np)
    x = widened(x)
    if isinstance(x, np.ma.MaskedArray):  # refused by the caller, who knows its name
        return x
    if problem := no_array(x):
        raise TypeError(f"this takes an array{problem}")
    try:
        array = np.asarray(x)
    except ValueError as error:
        if not isinstance(x, list | tuple):
            raise
        kind_of, shapes = type(x).__name__, [getattr(part, "shape", None) for part in x[:4]]
        if all(isinstance(shape, tuple) for shape in shapes):  # a batch of (inputs, labels), for instance
            few = ", ".join(map(str, shapes)) + ", ..." * (len(x) > 4)
            raise ValueError(f"the {kind_of} holds arrays of shapes {few}; pass one of them, x[0]") from error
        raise ValueError(f"the {kind_of} has parts of unequal length; those of an array are all alike") from error
    if array.dtype == object and not isinstance(x, np.ndarray | list | tuple):
        kind_of = "None" if x is None else f"a {type(x).__name__}"
        more = " of other things than numbers; pass its numbers alone" if array.ndim else ""
        raise TypeError(f"this takes an array, not {kind_of}{more}")
    return array


def no_array(x: Any) -> str | None:
    """Return the end of a message of what x is instead of an array in memory; None where it may be one."""
    known, kind_of = source(x), type(x).__name__
    if known == "file":
        suffix = "" if hasattr(x, "read") else suffix_of(x)
        suffix = suffix if suffix in LOADERS else ".npy"
        return f", not a file; {LOADERS[suffix]} makes one of a {suffix} file"
    if known == "chunks":
        return f", not a {kind_of} of chunks; join them, np.concatenate(list(chunks))"
    if known == "dask":
        return " in memory, not a dask array; pass its .compute(), or a part of it that fits"
    if isinstance(x, Mapping):
        names = [*islice(_arrays_of(x, "x"), 7)]
        few = ", ".join(names[:6]) + ", ..." * (len(names) > 6) if names else "it has none"
        return f", not a {'dict' if isinstance(x, dict) else kind_of}; pass one of its arrays: {few}"
    if type(x).__module__.partition(".")[0] == "PIL":
        return f", not a picture ({kind_of}); pass np.asarray(x)[None] with channel_axis=-1"
    if isinstance(x, list | tuple) and x and isinstance(x[0], str | os.PathLike) and suffix_of(x[0]) in LOADERS:
        return f", not a {kind_of} of paths; pass chunks, (np.load(path, mmap_mode='r') for path in paths)"
    if isinstance(x, list | tuple) and x and kind(x[0]) == "torch":
        return f", not a {kind_of} of tensors; pass torch.stack(x)"
    return None


def _arrays_of(x: Mapping, name: str) -> Iterator[str]:
    """Yield how the arrays in a mapping, and in the mappings in it, are written."""
    for key in x:
        here = f"{name}[{brief(key)}]"
        # An .npz archive holds arrays alone, and would unpack each.
        value = None if isinstance(x, np.lib.npyio.NpzFile) else x[key]
        if isinstance(value, Mapping) and name.count("[") < 3:
            yield from _arrays_of(value, here)
        elif value is None or hasattr(value, "shape"):
            yield here


def real_numbers(value: Any, name: str) -> np.ndarray:
    """Return a parameter of any kind of array as float64 on the host; raise TypeError if its numbers are not real."""
    return check_real(host(value), name).astype(np.float64)


def check_real(array: Any, name: str) -> Any:
    """Return a parameter as it is; raise TypeError if its numbers are not real."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and no entry can be left out; fill it, for instance with .filled(1)"
        )
    if array.dtype.kind not in "biuf" and not is_bfloat16(array):
        raise TypeError(f"{name} has dtype {array.dtype}; use a float")
    if array.size > 1 << 40:  # a view that repeats a few cells; a copy would not fit into memory
        raise ValueError(
            f"{name} has shape {array.shape}, {array.size:.3g} entries; a parameter has one entry per channel"
        )
    return array


def widened(x: Any) -> Any:
    """Return x detached from torch's graph, and in float32 if it is bfloat16."""
    if kind(x) == "torch":
        x = x.detach()
        return x.float() if is_bfloat16(x) else x
    return x.astype(np.float32) if is_bfloat16(x) else x


def from_dlpack(x: Any, xp: Any) -> Any:
    """Return a tensor as an array of the module xp that shares its memory; raise TypeError where it cannot be read."""
    try:
        array = xp.from_dlpack(x)
    except Exception as error:  # a sparse tensor, a quantized one, one of 8 bits
        kinds = f"dtype {x.dtype}, layout {getattr(x, 'layout', None)}"
        remedy = "convert it, for instance with .to_dense() or .float()"
        raise TypeError(f"a tensor of {kinds}, cannot be read as an array; {remedy}") from error
    # With NumPy 2.0, or with PyTorch's older DLPack, nobody may write to it.
    return x.numpy() if xp is np and kind(x) == "torch" and not array.flags.writeable else array
