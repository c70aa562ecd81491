"""The backends that every numeric test runs on."""

import sys
from contextlib import contextmanager

import pytest

from normviz import backends
from tests.core import stand_in


@contextmanager
def _stand_in_for_cupy():
    def forget():
        backends.cupy_problem.cache_clear()
        backends.load.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", stand_in.module())
        forget()
        yield sys.modules["cupy"]
    forget()


@pytest.fixture
def stand_in_for_cupy():
    """Put the stand-in where cupy would be."""
    with _stand_in_for_cupy() as cupy:
        yield cupy


# CuPy itself only where there is a GPU: test_backends says once, as a skip, why it is not here.
USABLE = ["numpy", "cupy's path on NumPy", *([] if backends.cupy_problem() else ["cupy"])]


@pytest.fixture(scope="module", params=USABLE)
def backend(request):
    """Name of a backend: NumPy; CuPy's code on a stand-in; CuPy itself."""
    if request.param != "cupy's path on NumPy":
        yield request.param
        return
    with _stand_in_for_cupy():
        yield "cupy"
