"""A stand-in for CuPy that computes on the host, so that the path of device arrays runs where there is no GPU.

As strict as CuPy: an operation that mixes device and host arrays is a TypeError, and so is a silent conversion. Copies
on a stream arrive as late as they may, when somebody waits for the stream, and a buffer that changes under a copy is an
error. Memory can be made scarce.
"""

import sys
import weakref
from contextlib import contextmanager, nullcontext
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from normviz.backends import dispatch as backends
from normviz.backends.cuda import kernels


class DeviceArray(np.ndarray):
    """An array that says it is on a CUDA device."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        arrays = (*inputs, *(out or ()))
        if any(isinstance(a, np.ndarray) and not isinstance(a, DeviceArray) for a in arrays if a is not None):
            raise TypeError(f"{ufunc.__name__}: device and host arrays do not mix")
        if out is not None:
            options["out"] = tuple(None if a is None else a.view(np.ndarray) for a in out)
        plain = [a.view(np.ndarray) if isinstance(a, DeviceArray) else a for a in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        return out[0] if out is not None and out[0] is not None else np.asarray(result).view(DeviceArray)

    def __array_function__(self, function, types, args, kwargs):
        result = super().__array_function__(function, types, args, kwargs)
        return result.view(DeviceArray) if isinstance(result, np.ndarray) else result

    def __setitem__(self, at, value):
        if isinstance(value, np.ndarray) and not isinstance(value, DeviceArray):
            raise TypeError("device and host arrays do not mix")
        self.view(np.ndarray)[at] = value.view(np.ndarray) if isinstance(value, DeviceArray) else value

    def __dlpack_device__(self):
        return 2, 0

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self):
        return SimpleNamespace(id=0)

    def set(self, values, stream):
        if isinstance(values, DeviceArray) or (values.dtype, values.shape) != (self.dtype, self.shape):
            raise TypeError("set takes a host array of the same dtype and shape")
        stream.watch(values)
        self[...] = values.view(DeviceArray)

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            return np.array(self.view(np.ndarray))
        stream.later.append((out, np.array(self.view(np.ndarray))))
        return out


class Stream:
    """Copies to the host happen when somebody waits; what is copied from it must not change before."""

    ptr = 0

    def __init__(self, non_blocking=False):
        self.later, self.watched = [], []

    def __enter__(self):
        Stream.current.append(self)
        return self

    def __exit__(self, *_):
        Stream.current.pop()

    def record(self):
        return SimpleNamespace(stream=self)

    def wait_event(self, event):
        assert isinstance(event.stream, Stream)

    def watch(self, values):
        self.watched.append((values, values.copy()))

    def synchronize(self):
        for values, before in self.watched:
            np.testing.assert_array_equal(values, before, "a buffer changed while it was being copied")
        for out, values in self.later:
            out[...] = values
        self.later, self.watched = [], []


class OutOfMemoryError(MemoryError):
    """What CuPy raises."""


class Memory:
    """What the device has: `limit` bytes in all for arrays made by `empty` and its like."""

    def __init__(self):
        self.limit, self.used, self.freed = 1 << 40, 0, 0

    def take(self, array):
        if self.used + array.nbytes > self.limit:
            raise OutOfMemoryError(f"Out of memory allocating {array.nbytes:,} bytes")
        self.used += array.nbytes
        found = array.view(DeviceArray)
        weakref.finalize(found, self._give, array.nbytes)
        return found

    def _give(self, nbytes):
        self.used -= nbytes

    def free_all_blocks(self):
        self.freed += 1


class NoKernels:
    """Kernels that never were compiled: what is left is CuPy's own operations."""

    def __init__(self, code, options, name_expressions):
        pass

    def compile(self):
        pass


def module(raw_module=NoKernels, threads=2048):
    """Return a module that passes for cupy, whose device has one processor of so many threads."""
    cupy = ModuleType("cupy")
    cupy.__version__ = "0 (stand-in)"
    cupy.ndarray, cupy.RawModule, cupy.memory = DeviceArray, raw_module, Memory()
    memory = cupy.memory
    properties = {
        "name": b"a CPU",
        "totalGlobalMem": 1 << 30,
        "l2CacheSize": 64,
        "multiProcessorCount": 1,
        "maxThreadsPerMultiProcessor": threads,
    }
    Stream.current = [Stream()]
    cupy.cuda = SimpleNamespace(
        is_available=lambda: True,
        Device=lambda number=None: nullcontext(),
        Stream=Stream,
        get_current_stream=lambda: Stream.current[-1],
        alloc_pinned_memory=lambda nbytes: np.full(nbytes, 0xAB, np.uint8),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        runtime=SimpleNamespace(
            getDevice=lambda: 0,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda i: properties,
            memGetInfo=lambda: (memory.limit - memory.used, memory.limit),
            runtimeGetVersion=lambda: 13020,
            driverGetVersion=lambda: 13010,
        ),
    )
    cupy.get_default_memory_pool = lambda: memory
    cupy.asarray = lambda a: a if isinstance(a, DeviceArray) else memory.take(np.array(a))
    cupy.asnumpy = lambda a: a.get() if isinstance(a, DeviceArray) else np.asarray(a)
    cupy.empty = lambda shape, dtype: memory.take(_garbage(np.empty(shape, dtype)))
    cupy.zeros = lambda shape: memory.take(np.zeros(shape))
    cupy.ones = lambda shape: memory.take(np.ones(shape))
    cupy.empty_like = lambda a, dtype: memory.take(_garbage(np.empty_like(_on_device(a), dtype)))
    cupy.where = lambda *a: np.where(*a).view(DeviceArray)
    cupy.stack = lambda arrays, axis: memory.take(np.stack([_on_device(a) for a in arrays], axis))
    cupy.broadcast_to = lambda a, shape: np.broadcast_to(_on_device(a), shape).view(DeviceArray)
    cupy.from_dlpack = lambda a: np.from_dlpack(a).view(DeviceArray)
    for name in ("isfinite", "sqrt", "subtract", "may_share_memory"):
        setattr(cupy, name, getattr(np, name))
    return cupy


@contextmanager
def installed(raw_module=NoKernels):
    """Put the stand-in where cupy would be."""

    def forget():
        backends.cupy_problem.cache_clear()
        backends.load.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", module(raw_module))
        if raw_module is NoKernels:
            patch.setattr(kernels, "TYPES", {})
        forget()
        yield sys.modules["cupy"]
    forget()


def _on_device(a):
    """The values of a device array, which is what CuPy's functions take."""
    if not isinstance(a, DeviceArray):
        raise TypeError(f"a {type(a).__name__} is no device array")
    return a.view(np.ndarray)


def _garbage(a):
    """Fill memory that nobody has written yet, so that reading it shows."""
    a.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xAB
    return a
