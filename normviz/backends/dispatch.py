"""The array's type selects the backend; there is no global setting.

- CuPy works on an array on a CUDA device, whichever library made it: CuPy, torch and JAX share memory by DLPack.
- An array on the host of at least 256 MiB goes to CuPy once that has worked in this process: to compile the kernels for
  the first time takes longer than NumPy needs for a large array. Below that size, the transfer costs more time than the
  GPU saves. A NORMVIZ_GPU_MIN_BYTES that is set decides alone, if there is a device.
- The compiled backend works on other arrays on the host, where numba is installed, if they have at least 4 MiB. Once it
  has worked in this process, it takes arrays of every size. A NORMVIZ_COMPILED_MIN_BYTES that is set decides alone.
- NumPy works on the rest.
- `backend="numpy"`, "compiled" or "cupy" insists, and raises an error where that backend cannot be used.

The array stays where it is. A host array passes through the GPU in pieces, so it may be larger than the GPU's memory.
The result is the same kind of array as the input, on the same device.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Backend
from normviz.backends.compiled import readiness
from normviz.backends.cpu.backend import NumPy
from normviz.backends.cuda.backend import CuPy
from normviz.backends.failure import BackendFailure
from normviz.core.array_kinds import from_dlpack, host, is_bfloat16, kind, on_gpu, widened
from normviz.core.errors import readable_bytes, unknown

GPU_MIN_BYTES = 1 << 28
COMPILED_MIN_BYTES = 1 << 22
"""In each process, the compiled backend takes one to two seconds to start: it imports numba and loads its code. Once on
a machine it compiles too. On one thread, an array of 6.4 MB saves about two milliseconds an output and three and a half
a gradient, and one of 26 MB twice to three times as much. So near this size a start is paid after about a thousand
outputs or five hundred gradients.
"""


@cache
def _numba_problem() -> str | None:
    if "numba" not in sys.modules and find_spec("numba") is None:
        return _missing("numba", 'pip install "normviz[fast]"')
    try:
        numba: Any = import_module("numba")
        if numba.config.DISABLE_JIT:
            return "numba compiles nothing while NUMBA_DISABLE_JIT is set; unset it"
        import_module("normviz.backends.compiled.kernels")
    except Exception as error:  # an ImportError for a version of NumPy, or a SystemError, for instance
        reason = " ".join(str(error).split())[:200]
        return f'numba cannot be imported ({type(error).__name__}: {reason}); pip install --upgrade "normviz[fast]"'
    return None


def _missing(package: str, remedy: str) -> str:
    return f"{package} runs in no browser" if sys.platform == "emscripten" else f"{package} is not installed; {remedy}"


def compiled_problem() -> str | None:
    """Return the reason why the compiled backend cannot be used here, or None if it can."""
    return readiness.failure or _numba_problem()


@cache
def cupy_problem() -> str | None:
    """Return the reason why CuPy cannot be used here, or None if it can."""
    if "cupy" not in sys.modules and find_spec("cupy") is None:
        return _missing("CuPy", 'pip install "normviz[cuda12]" or "normviz[cuda13]"')
    try:
        cupy: Any = import_module("cupy")
    except Exception as error:
        return f"CuPy cannot be imported: {error}"
    # CuPy imports without a GPU and fails at first use, so ask.
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device; nvidia-smi shows whether the driver does"
    try:
        cupy.cuda.nvrtc.getVersion()  # the compiler is a library of its own, looked for at first use
        CuPy(cupy).module().compile()
    except Exception as error:
        extra = "cuda12" if cupy.cuda.runtime.runtimeGetVersion() < 13000 else "cuda13"
        reason = str(error).strip().partition("\n")[0]
        return (
            f"CUDA's compiler or its headers do not work here ({type(error).__name__}: {reason}); "
            f'pip install "normviz[{extra}]"'
        )
    return None


@cache
def load(name: str) -> Backend:
    """Return the backend called `name`; raise RuntimeError with the reason if it cannot be used here."""
    row = BACKENDS[name]
    if problem := row.problem():
        raise RuntimeError(f"backend {name!r} cannot be used: {problem}; backend='numpy' works without it")
    return row.build()


def backend_for(x: Any, backend: str | None = None) -> str:
    """Return the name of the backend that would work on x now: "numpy", "compiled" or "cupy".

    Raises
    ------
    ValueError
        If `backend` is neither None nor one of those names.
    RuntimeError
        If that backend cannot be used here, or x is on a GPU and CuPy cannot be used.

    Examples
    --------
    >>> backend_for(np.zeros((2, 3)))
    'numpy'
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(unknown("backend", backend, BACKENDS))
    return load(backend or ("cupy" if on_gpu(x) else _for_host(x))).name


def devices(warm_up: bool = False) -> dict[str, str]:
    """Return for each backend what it runs on here, or why it cannot be used.

    With `warm_up` every loop of the compiled backend is compiled first, for all dtypes and layouts, and kept on disk.
    That takes about a minute, once on a machine; no later call waits for it then. Without numba nothing happens.

    >>> list(devices())
    ['numpy', 'compiled', 'cupy']
    """
    if warm_up and compiled_problem() is None:
        with suppress(BackendFailure):  # the line of the backend then says why
            import_module("normviz.backends.compiled.warm_up").warm_up(load("compiled"))
    return {name: row.problem() or row.describe() for name, row in BACKENDS.items()}


def adopt(x: Any, backend: str | None = None) -> tuple[Any, Backend, Callable[[Any], Any]]:
    """Return x as an array of the backend that works on it, that backend, and a function that converts results back.

    That function makes a result the same kind of array as x, on its device. NumPy computes bfloat16 in float32, and the
    result becomes bfloat16 again. Nothing is copied where x's memory can be shared, and a host array stays on the host.
    """
    if type(x) is np.ndarray and x.dtype.kind in "biuf":
        name = backend or _for_host(x)
        if name == "numpy" or name == "compiled":
            return x, load(name), _unchanged
    chosen = load(backend_for(x, backend))
    on_device = on_gpu(x)
    here = chosen.name == "cupy" or not on_device
    shared = on_device if chosen.name == "cupy" else chosen.name == "compiled" and is_bfloat16(x) and not on_device
    native = _share(x, chosen.xp) if shared else host(x)

    def back(y: Any) -> Any:
        return _like(y if here else chosen.host(y), x)

    return native, chosen, back


@cache
def _bfloat16() -> np.dtype | None:
    """Return the dtype of bfloat16 in NumPy and CuPy, or None where ml_dtypes is not installed."""
    return None if find_spec("ml_dtypes") is None else np.dtype(import_module("ml_dtypes").bfloat16)


def _share(x: Any, xp: Any) -> Any:
    """Return an array as one of xp, NumPy or CuPy; bfloat16 passes as integers, which every DLPack shares."""
    if not is_bfloat16(x):
        return x if kind(x) == "cupy" else from_dlpack(widened(x), xp)
    if kind(x) == "cupy":
        return x
    if xp is np and kind(x) != "torch":
        return np.asarray(x)
    if (bfloat16 := _bfloat16()) is None:
        return xp.from_dlpack(widened(x))
    integers = x.detach().view(sys.modules["torch"].int16) if kind(x) == "torch" else x.view("int16")
    return from_dlpack(integers, xp).view(bfloat16)


def _like(y: Any, x: Any) -> Any:
    """Return y as an array of the library of x, on the device of x."""
    module: Any = sys.modules.get(kind(x))
    integers = is_bfloat16(y) and kind(x) in ("torch", "jax")
    y = y.view(np.int16) if integers else y
    if kind(x) == "torch":
        y = module.from_dlpack(y)
        return y.view(module.bfloat16) if integers else y.to(x.device, x.dtype if is_bfloat16(x) else None)
    if kind(x) == "jax":
        y = module.device_put(module.numpy.from_dlpack(y), x.sharding)
        y = y.view("bfloat16") if integers else y
    elif kind(x) == "cupy":
        with x.device:
            y = module.asarray(y)
    return y.astype(x.dtype) if is_bfloat16(x) and not is_bfloat16(y) else y


def _unchanged(y: Any) -> Any:
    return y


def _for_host(x: Any) -> str:
    """Return the name of the backend for an array on the host, by its size."""
    try:
        nbytes = getattr(x, "nbytes", 0)
    except RuntimeError:  # from a sparse tensor, which cannot be read anyway
        nbytes = 0
    if nbytes >= _least("GPU") and (CuPy.ready or os.environ.get("NORMVIZ_GPU_MIN_BYTES")) and cupy_problem() is None:
        return "cupy"
    return "compiled" if _worth_compiling(nbytes) and compiled_problem() is None else "numpy"


def _worth_compiling(nbytes: int) -> bool:
    """Return whether an array is large enough for the compiled backend, or that needs no start any more."""
    return nbytes >= _least("COMPILED") or (readiness.ready and not os.environ.get("NORMVIZ_COMPILED_MIN_BYTES"))


def _least(name: str) -> int:
    """Return from which size on, in bytes, an array on the host goes to that backend by itself."""
    text = os.environ.get(variable := f"NORMVIZ_{name}_MIN_BYTES")
    if not text:
        return GPU_MIN_BYTES if name == "GPU" else COMPILED_MIN_BYTES
    if not text.isdecimal():
        raise ValueError(f"{variable}={text!r} is not a number of bytes; set it to digits alone, or not at all")
    return int(text)


def _cpu() -> str:
    cores = threads.available()
    return f"NumPy {np.__version__} on {cores} CPU core{'s' * (cores != 1)}; {_threads()}"


def _threads() -> str:
    why = "" if threads.startable() else ", because Python cannot start another one here"
    return f"threads for large arrays: {threads.number()}{why}"


def _loops() -> str:
    code: Any = import_module("normviz.backends.compiled.machine_code")
    folder, kept = code.writable_folder(), code.kept()
    why = "no folder can be written to" if code.KEEPS else "they cannot be kept with this version of numba"
    new = f"new ones go to {folder}" if folder else f"new ones are lost, because {why}"
    always = "" if os.environ.get("NORMVIZ_COMPILED_MIN_BYTES") else ", and every size after the first of these"
    return (
        f"numba {code.numba.__version__} for {code.processor()}; {_threads()}; "
        f"computes arrays on the host from {readable_bytes(_least('COMPILED'))} on{always}; "
        f"{kept or 'no'} compiled loops on disk, {new}"
    )


def _gpus() -> str:
    cupy = import_module("cupy")
    runtime = cupy.cuda.runtime
    found = [runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount())]
    names = ", ".join(f"{p['name'].decode()} ({readable_bytes(p['totalGlobalMem'])})" for p in found)
    cuda, driver = (f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.runtimeGetVersion(), runtime.driverGetVersion()))
    once = "" if os.environ.get("NORMVIZ_GPU_MIN_BYTES") else ", once an array has been there"
    return (
        f"CuPy {cupy.__version__} on {names}; CUDA {cuda}, its driver up to {driver}; "
        f"arrays on the host from {readable_bytes(_least('GPU'))} go there{once}"
    )


class Row(NamedTuple):
    """A backend: why it cannot be used here (or None), how it is built, and what it runs on."""

    problem: Callable[[], str | None]
    build: Callable[[], Backend]
    describe: Callable[[], str]


BACKENDS = {
    "numpy": Row(lambda: None, NumPy, _cpu),
    "compiled": Row(compiled_problem, lambda: import_module("normviz.backends.compiled.backend").Compiled(), _loops),
    "cupy": Row(cupy_problem, lambda: CuPy(import_module("cupy")), _gpus),
}
