"""Which backend works on an array: asked of the array, never set as a global.

- An array on a CUDA device is worked on there, by CuPy, whoever made it: CuPy, torch and JAX share memory by DLPack.
- An array on the host is worked on by NumPy, unless it has at least NORMVIZ_GPU_MIN_BYTES bytes (256 MiB if that is not
  set) and CuPy finds a device: below that, moving it there and back costs more than it saves.
- `backend="numpy"` or `backend="cupy"` insists, and fails loudly where it cannot be had.

What CuPy works on stays where it is: an array on the host passes through the GPU in pieces, so it may be larger than
the GPU's memory.

The result is the same kind of array, on the same device, as the one that came in.
"""

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Backend
from normviz.backends.cuda.oom import size
from normviz.core.errors import unknown
from normviz.core.sources import in_memory

BACKENDS = ("numpy", "cupy")
GPU_MIN_BYTES = 1 << 28

# A module that is not in sys.modules has made no array, so nothing is imported to find out.
_KINDS = (("cupy", "ndarray"), ("torch", "Tensor"), ("jax", "Array"))
_ON_HOST, _ON_CUDA = (1, 3), (2, 13)  # DLPack's device types: CPU and pinned memory; CUDA and managed memory


def kind(x: Any) -> str:
    """Return who made the array: "cupy", "torch", "jax", or "numpy" for all else."""
    for module, name in _KINDS:
        array_type = getattr(sys.modules.get(module), name, None)
        if array_type is not None and isinstance(x, array_type):
            return module
    return "numpy"


def on_gpu(x: Any) -> bool:
    """Whether x lies on a CUDA device; ValueError where it is on neither a CPU nor a CUDA device."""
    if kind(x) == "numpy":
        return False
    try:
        device = int(x.__dlpack_device__()[0])
    except Exception as error:  # a tracer inside jax.jit, a tensor on torch's meta device
        raise ValueError(f"x, a {type(x).__name__}, has no values to read ({error}); pass a concrete array") from error
    if device not in (*_ON_HOST, *_ON_CUDA):
        raise ValueError(f"x, a {type(x).__name__}, is neither on the CPU nor on a CUDA device; move it to the CPU")
    return device in _ON_CUDA


@cache
def cupy_problem() -> str | None:
    """Return why CuPy cannot be used here, or None if it can."""
    if "cupy" not in sys.modules and find_spec("cupy") is None:
        return "CuPy is not installed; pip install 'normviz[cuda12]' or 'normviz[cuda13]'"
    try:
        cupy: Any = import_module("cupy")
    except Exception as error:
        return f"CuPy cannot be imported: {error}"
    # CuPy imports without a GPU and fails at first use, so ask.
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device; nvidia-smi shows whether the driver does"
    from normviz.backends.cuda.backend import CuPy

    try:
        cupy.cuda.nvrtc.getVersion()  # the compiler is a library of its own, looked for at first use
        CuPy(cupy).module.compile()
    except Exception as error:
        extra = "cuda12" if cupy.cuda.runtime.runtimeGetVersion() < 13000 else "cuda13"
        reason = str(error).strip().partition("\n")[0]
        return (
            f"CUDA's compiler or its headers do not work here ({type(error).__name__}: {reason}); "
            f"pip install 'normviz[{extra}]'"
        )
    return None


@cache
def load(name: str) -> Backend:
    """Return the backend called `name`."""
    if name == "numpy":
        from normviz.backends.cpu.backend import NumPy

        return NumPy()
    if problem := cupy_problem():
        raise RuntimeError(f"backend 'cupy' cannot be used: {problem}; backend='numpy' works without it")
    from normviz.backends.cuda.backend import CuPy

    return CuPy(import_module("cupy"))


def backend_for(x: Any, backend: str | None = None) -> str:
    """Return the name of the backend that would work on x: "numpy" or "cupy".

    Raises
    ------
    ValueError
        If `backend` is neither None nor one of those names.
    RuntimeError
        If it is "cupy", or x is on a GPU, and CuPy cannot be used here.

    Examples
    --------
    >>> backend_for(np.zeros((2, 3)))
    'numpy'
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(unknown("backend", backend, BACKENDS))
    if backend is None:
        least = _gpu_min_bytes()
        try:
            large = getattr(x, "nbytes", 0) >= least
        except RuntimeError:  # a sparse tensor's, which nobody can read anyway
            large = False
        backend = "cupy" if on_gpu(x) or (large and cupy_problem() is None) else "numpy"
    return load(backend).name


def devices() -> dict[str, str]:
    """Return what each backend has here, or why it cannot be used.

    >>> list(devices())
    ['numpy', 'cupy']
    """
    numpy = f"NumPy {np.__version__} on {threads.available()} CPU cores, {threads.number()} threads for large arrays"
    return {"numpy": numpy, "cupy": cupy_problem() or _gpus()}


def adopt(x: Any, backend: str | None = None) -> tuple[Any, Backend, Callable[[Any], Any]]:
    """Return x as an array of the backend that works on it, that backend, and the way back.

    The way back makes a result the same kind of array as x, on its device; bfloat16, which is computed in float32,
    becomes bfloat16 again. Nothing is copied where x's memory can be shared, and what is on the host stays there.
    """
    chosen = load(backend_for(x, backend))
    on_device = on_gpu(x)
    here = chosen.name == "cupy" or not on_device
    native = _share(x, chosen.xp) if chosen.name == "cupy" and on_device else host(x)

    def back(y: Any) -> Any:
        return _like(y if here else chosen.host(y), x)

    return native, chosen, back


def host(x: Any) -> np.ndarray:
    """Return x, any kind of array or a nested list, as a NumPy array; bfloat16 becomes float32."""
    if kind(x) == "cupy":
        return x.get()
    if kind(x) == "torch":
        return _from_dlpack(_widen(x).cpu(), np)
    x = _widen(x)
    if isinstance(x, np.ma.MaskedArray):  # which is refused where its name is known
        return x
    try:
        return np.asarray(in_memory(x))
    except ValueError as error:
        if not isinstance(x, list | tuple):
            raise
        kind_of = type(x).__name__
        raise ValueError(f"the {kind_of} has parts of unequal length; those of an array are all alike") from error


def numbers(value: Any, name: str) -> np.ndarray:
    """Return a parameter, of any kind of array, as float64 in host memory; TypeError if it holds no real numbers."""
    array = host(value)
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and no entry can be left out; fill it, for instance with .filled(1)"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; use a float")
    return array.astype(np.float64)


def is_bfloat16(x: Any) -> bool:
    """Whether x holds bfloat16, which NumPy lacks."""
    return str(getattr(x, "dtype", "")).removeprefix("torch.") == "bfloat16"


def _widen(x: Any) -> Any:
    if kind(x) == "torch":
        x = x.detach()
        return x.float() if is_bfloat16(x) else x
    return x.astype(np.float32) if is_bfloat16(x) else x


@cache
def _bfloat16() -> np.dtype | None:
    """Return the type that CuPy knows bfloat16 by, or None where ml_dtypes is not there."""
    return None if find_spec("ml_dtypes") is None else np.dtype(import_module("ml_dtypes").bfloat16)


def _share(x: Any, xp: Any) -> Any:
    """Return an array on a CUDA device as CuPy's; bfloat16 by way of integers, which every DLPack shares."""
    if not is_bfloat16(x):
        return x if kind(x) == "cupy" else _from_dlpack(_widen(x), xp)
    if kind(x) == "cupy":
        return x
    if (bfloat16 := _bfloat16()) is None:
        return xp.from_dlpack(_widen(x))
    integers = x.detach().view(sys.modules["torch"].int16) if kind(x) == "torch" else x.view("int16")
    return xp.from_dlpack(integers).view(bfloat16)


def _from_dlpack(x: Any, xp: Any) -> Any:
    try:
        return xp.from_dlpack(x)
    except Exception as error:  # a sparse tensor, a quantized one, one of 8 bits
        kinds = f"dtype {x.dtype}, layout {getattr(x, 'layout', None)}"
        remedy = "convert it, for instance with .to_dense() or .float()"
        raise TypeError(f"a tensor of {kinds}, cannot be read as an array; {remedy}") from error


def _like(y: Any, x: Any) -> Any:
    """Return y as the kind of array that x is, where x is."""
    module: Any = sys.modules.get(kind(x))
    integers = is_bfloat16(y) and kind(x) != "cupy"
    y = y.view(np.int16) if integers else y
    if kind(x) == "torch":
        y = module.from_dlpack(y)
        return y.view(module.bfloat16) if integers else y.to(x.device, x.dtype if is_bfloat16(x) else None)
    if kind(x) == "jax":
        y = module.device_put(module.numpy.from_dlpack(y), x.sharding)
        y = y.view("bfloat16") if integers else y
    elif kind(x) == "cupy":
        y = module.asarray(y)
    return y.astype(x.dtype) if is_bfloat16(x) and not is_bfloat16(y) else y


def _gpu_min_bytes() -> int:
    text = os.environ.get("NORMVIZ_GPU_MIN_BYTES") or str(GPU_MIN_BYTES)
    if not text.isdecimal():
        raise ValueError(f"NORMVIZ_GPU_MIN_BYTES={text!r} is no number of bytes; set it to digits alone, or not at all")
    return int(text)


def _gpus() -> str:
    cupy = import_module("cupy")
    runtime = cupy.cuda.runtime
    found = [runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount())]
    names = ", ".join(f"{p['name'].decode()} ({size(p['totalGlobalMem'])})" for p in found)
    cuda, driver = (f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.runtimeGetVersion(), runtime.driverGetVersion()))
    least = _gpu_min_bytes()
    return (
        f"CuPy {cupy.__version__} on {names}; CUDA {cuda}, its driver up to {driver}; "
        f"arrays on the host from {size(least)} go there"
    )
