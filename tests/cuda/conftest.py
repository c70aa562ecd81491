"""The kernels, launched as on a small device and as on a large one."""

import pytest

from normviz.backends.cuda.kernels import Kernels
from normviz.backends.dispatch import load
from tests import gpu
from tests.core import stand_in
from tests.cuda import emulate
from tests.cuda.mirror import MirroredModule


def launched(module, threads=2048):
    """The launches of a module's kernels on a device of so many threads."""
    return Kernels(stand_in.module(), lambda key: module, threads)


@pytest.fixture(scope="session")
def emulation():
    """The kernels on the CPU."""
    if problem := emulate.problem():
        pytest.skip(problem)
    return emulate.module()


@pytest.fixture(scope="session", params=["emulation", *(["GPU"] if gpu.present() else [])])
def module(request):
    """The kernels on the CPU, and on a GPU where there is one."""
    if request.param == "emulation":
        return request.getfixturevalue("emulation")
    assert gpu.cupy_problem() is None, "there is a GPU, and CuPy does not work on it"
    return MirroredModule(load("cupy"))


@pytest.fixture
def emulated_cupy(emulation):
    """Put the stand-in where cupy would be, with the kernels on the emulation."""
    with stand_in.installed(emulate.raw_module) as cupy:
        yield cupy


# The number of threads decides how far rows are cut and how many launches a merge takes.
@pytest.fixture(params=[64, 2048, 1 << 18], ids=["tiny device", "device", "large device"])
def kernels(module, request):
    return launched(module, request.param)
