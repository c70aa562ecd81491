"""A stand-in for CuPy that computes on the host, so that the path of device arrays runs where there is no GPU.

As strict as CuPy: an operation that mixes device and host arrays is a TypeError, and so is a silent conversion.
"""

from types import ModuleType, SimpleNamespace

import numpy as np


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

    def __setitem__(self, at, value):
        if isinstance(value, np.ndarray) and not isinstance(value, DeviceArray):
            raise TypeError("device and host arrays do not mix")
        self.view(np.ndarray)[at] = value.view(np.ndarray) if isinstance(value, DeviceArray) else value

    def __dlpack_device__(self):
        return 2, 0

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)

    def get(self):
        return np.array(self.view(np.ndarray))


def module():
    """Return a module that passes for cupy."""
    cupy = ModuleType("cupy")
    cupy.__version__ = "0 (stand-in)"
    cupy.ndarray = DeviceArray
    properties = {"name": b"a CPU", "totalGlobalMem": 1 << 30}
    cupy.cuda = SimpleNamespace(
        is_available=lambda: True,
        runtime=SimpleNamespace(getDeviceCount=lambda: 1, getDeviceProperties=lambda i: properties),
    )
    cupy.asarray = lambda a: np.asarray(a).view(DeviceArray)
    cupy.asnumpy = lambda a: a.get()
    cupy.zeros = lambda shape: np.zeros(shape).view(DeviceArray)
    cupy.where = lambda *a: np.where(*a).view(DeviceArray)
    for name in ("isfinite", "sqrt", "subtract", "may_share_memory"):
        setattr(cupy, name, getattr(np, name))
    cupy.empty_like = lambda a, dtype: np.empty_like(a.view(np.ndarray), dtype).view(DeviceArray)
    return cupy
