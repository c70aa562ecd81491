"""The backends that every numeric test runs on."""

import os

import pytest

from normviz.backends import dispatch as backends
from tests import gpu
from tests.core import stand_in
from tests.cuda import emulate


@pytest.fixture
def stand_in_for_cupy():
    """Put the stand-in where cupy would be."""
    with stand_in.installed() as cupy:
        yield cupy


@pytest.fixture
def emulated_cupy():
    """Put the stand-in there, with the kernels on the emulation."""
    if problem := emulate.problem():
        pytest.skip(problem)
    with stand_in.installed(emulate.raw_module) as cupy:
        yield cupy


# The compiled backend only where numba is, and CuPy itself where there is a GPU: test_backends says once, as a skip,
# why one is not here.
USABLE = [
    "numpy",
    *([] if backends.compiled_problem() else ["compiled"]),
    "cupy's operations on NumPy",
    "cupy's kernels on the CPU",
    *(["GPU"] if gpu.present() else []),
]


@pytest.fixture(scope="session")
def compiled_loops(shared):
    """All loops, compiled by the first worker that needs them, while the others that need them wait."""
    filelock = pytest.importorskip("filelock")
    done = shared / "loops-compiled"
    with filelock.FileLock(f"{done}.lock"):
        if not done.exists():
            backends.devices(warm_up=True)
            done.touch()


@pytest.fixture(scope="module", params=USABLE)
def backend(request):
    """Name of a backend: NumPy; the compiled one; CuPy's code on a stand-in, without and with kernels; CuPy itself."""
    if request.param == "GPU":
        assert gpu.cupy_problem() is None, "there is a GPU, and CuPy does not work on it"
        yield "cupy"
        return
    if request.param == "compiled" and "PYTEST_XDIST_WORKER" in os.environ:
        request.getfixturevalue("compiled_loops")
    if request.param in ("numpy", "compiled"):
        yield request.param
        return
    with_kernels = "kernels" in request.param
    if with_kernels and (problem := emulate.problem()):
        pytest.skip(problem)
    with stand_in.installed(emulate.raw_module if with_kernels else stand_in.NoKernels):
        yield "cupy"
