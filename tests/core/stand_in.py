"""A stand-in for CuPy that computes on the host, so that the path of device arrays runs where there is no GPU.

As strict as CuPy: an operation that mixes device and host arrays is a TypeError, and so is a silent conversion; one on
an array of another device than the current one is a ValueError. Copies on a stream arrive as late as they may, when
somebody waits for the stream, and a buffer that changes under a copy is an error. Memory can be made scarce.
"""

import sys
import weakref
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from normviz.backends import dispatch as backends
from normviz.backends.cuda import kernels


class Device:
    """A device, and the current one; `seen` are the devices and streams on which something was made or computed."""

    current, seen = 0, set()

    def __init__(self, number=None):
        self.id, self.before = Device.current if number is None else number, []

    def __enter__(self):
        self.before.append(Device.current)
        Device.current = self.id

    def __exit__(self, *_):
        Device.current = self.before.pop()

    @staticmethod
    def note():
        Device.seen.add((Device.current, Stream.current[-1].ptr))

    @staticmethod
    def check(arrays, what):
        """Note that something is computed of arrays, which must all be on the current device."""
        Device.note()
        for a in arrays:
            if isinstance(a, DeviceArray) and a.device.id != Device.current:
                raise ValueError(
                    f"{what}: an array is on device {a.device.id}, and the current one is {Device.current}"
                )


class DeviceArray(np.ndarray):
    """An array that says it is on a CUDA device."""

    device = None  # NumPy's own attribute of this name cannot be set

    def __array_finalize__(self, source):
        self.device = source.device if isinstance(source, DeviceArray) else Device()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        arrays = (*inputs, *(out or ()))
        if any(isinstance(a, np.ndarray) and not isinstance(a, DeviceArray) for a in arrays if a is not None):
            raise TypeError(f"{ufunc.__name__}: device and host arrays do not mix")
        Device.check(arrays, ufunc.__name__)
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
        Device.check((self, value), "assignment")
        self.view(np.ndarray)[at] = value.view(np.ndarray) if isinstance(value, DeviceArray) else value

    def __dlpack_device__(self):
        return 2, self.device.id

    def astype(self, dtype, **options):
        Device.check((self,), "astype")
        return super().astype(dtype, **options)

    def copy(self, order="C"):
        Device.check((self,), "copy")
        return super().copy(order)

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)

    def set(self, values, stream=None):
        if isinstance(values, DeviceArray) or (values.dtype, values.shape) != (self.dtype, self.shape):
            raise TypeError("set takes a host array of the same dtype and shape")
        (stream or Stream.current[-1]).watch(values)
        self[...] = values.view(DeviceArray)

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            return np.array(self.view(np.ndarray))
        stream.later.append((out, np.array(self.view(np.ndarray))))
        return out


class Stream:
    """Copies to the host happen when somebody waits; what is copied from it must not change before."""

    current: ClassVar = []
    made = 0

    def __init__(self, ptr=7, non_blocking=False):
        Stream.made += 1
        self.ptr, self.device, self.later, self.watched, self.waited = ptr, Device.current, [], [], 0

    @classmethod
    def from_external(cls, other):
        version, ptr = other.__cuda_stream__()
        assert version == 0
        return cls(ptr)

    def is_capturing(self):
        return False

    def __enter__(self):
        assert self.device == Device.current
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
        self.waited += 1
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
        Device.note()
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
    Stream.current = [Stream(0)]
    cupy.cuda = SimpleNamespace(
        is_available=lambda: True,
        Device=Device,
        Stream=Stream,
        get_current_stream=lambda: Stream.current[-1],
        alloc_pinned_memory=lambda nbytes: np.full(nbytes, 0xAB, np.uint8),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        runtime=SimpleNamespace(
            getDevice=lambda: Device.current,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda i: properties,
            memGetInfo=lambda: (memory.limit - memory.used, memory.limit),
            runtimeGetVersion=lambda: 13020,
            driverGetVersion=lambda: 13010,
        ),
    )
    cupy.get_default_memory_pool = lambda: memory
    cupy.asarray = lambda a: a if _is_here(a) else memory.take(np.array(a))
    cupy.asnumpy = lambda a: a.get() if isinstance(a, DeviceArray) else np.asarray(a)
    cupy.empty = lambda shape, dtype: memory.take(_garbage(np.empty(shape, dtype)))
    cupy.zeros = lambda shape: memory.take(np.zeros(shape))
    cupy.ones = lambda shape: memory.take(np.ones(shape))
    cupy.empty_like = lambda a, dtype: memory.take(_garbage(np.empty_like(_on_device(a), dtype)))
    cupy.where = lambda *a: np.where(*a).view(DeviceArray)
    cupy.stack = lambda arrays, axis: memory.take(np.stack([_on_device(a) for a in arrays], axis))
    cupy.broadcast_to = lambda a, shape: np.broadcast_to(_on_device(a), shape).view(DeviceArray)
    cupy.from_dlpack = _from_dlpack
    for name in ("isfinite", "sqrt", "subtract", "may_share_memory"):
        setattr(cupy, name, getattr(np, name))
    return cupy


@contextmanager
def installed(raw_module=NoKernels):
    """Put the stand-in where cupy would be."""

    def forget():
        backends.cupy_problem.cache_clear()
        backends.load.cache_clear()
        backends.CuPy.ready = False

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


def _is_here(a):
    return isinstance(a, DeviceArray) and a.device.id == Device.current


def _from_dlpack(a):
    with Device(a.__dlpack_device__()[1]):
        return np.from_dlpack(a).view(DeviceArray)


def _garbage(a):
    """Fill memory that nobody has written yet, so that reading it shows."""
    a.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xAB
    return a
