"""The backends that every numeric test runs on."""

import sys
from contextlib import contextmanager

import pytest

from normviz import backends
from normviz.backends import launches
from tests.core import stand_in
from tests.cuda import emulate


def emulated(code, options, name_expressions):
    """The CUDA source on the CPU, in the place of cupy.RawModule."""
    return emulate.module()


@contextmanager
def _stand_in_for_cupy(raw_module=stand_in.NoKernels):
    def forget():
        backends.cupy_problem.cache_clear()
        backends.load.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", stand_in.module(raw_module))
        if raw_module is stand_in.NoKernels:
            patch.setattr(launches, "TYPES", {})
        forget()
        yield sys.modules["cupy"]
    forget()


@pytest.fixture
def stand_in_for_cupy():
    """Put the stand-in where cupy would be."""
    with _stand_in_for_cupy() as cupy:
        yield cupy


@pytest.fixture
def emulated_cupy():
    """Put the stand-in there, with the kernels on the emulation."""
    if problem := emulate.problem():
        pytest.skip(problem)
    with _stand_in_for_cupy(emulated) as cupy:
        yield cupy


# CuPy itself only where there is a GPU: test_backends says once, as a skip, why it is not here.
USABLE = [
    "numpy",
    "cupy's operations on NumPy",
    "cupy's kernels on the CPU",
    *([] if backends.cupy_problem() else ["cupy"]),
]


@pytest.fixture(scope="module", params=USABLE)
def backend(request):
    """Name of a backend: NumPy; CuPy's code on a stand-in, without and with the kernels; CuPy itself."""
    if request.param in ("numpy", "cupy"):
        yield request.param
        return
    with_kernels = "kernels" in request.param
    if with_kernels and (problem := emulate.problem()):
        pytest.skip(problem)
    with _stand_in_for_cupy(emulated if with_kernels else stand_in.NoKernels):
        yield "cupy"
