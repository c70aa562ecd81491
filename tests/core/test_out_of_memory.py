"""A backend that fails in the middle of a reading: what was read once is not read again.

The GPU runs out of memory, or numba cannot compile a loop.
"""

import io

import numpy as np
import pytest

import normviz as nv
from normviz.backends.dispatch import compiled_problem, load
from normviz.backends.failure import BackendFailure, OutOfGpuMemory
from tests.core.cases import values

X = values((8, 4, 5, 20), loc=3.0)
READINGS = {
    "generator": lambda: (part for part in np.split(X, 8)),
    "iterator": lambda: iter(np.split(X, 8)),
    "file": lambda: io.BytesIO(_npy(X)),
}


def _npy(x):
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


@pytest.fixture(params=[(name, failing) for name in ("cupy", "compiled") for failing in (0, 2, 7)], ids=str)
def fails(request, monkeypatch, stand_in_for_cupy):
    """The name of a backend that cannot do one piece, and the pieces that it is given; arrays of any size go there."""
    from normviz.streaming import npy_files

    name, failing = request.param
    if name == "compiled" and compiled_problem():
        pytest.skip("numba is not here")
    monkeypatch.setenv({"cupy": "NORMVIZ_GPU_MIN_BYTES", "compiled": "NORMVIZ_COMPILED_MIN_BYTES"}[name], "0")
    monkeypatch.setattr(npy_files, "BUFFER", X[0].nbytes)
    worker, pieces = load(name), []
    moments = type(worker).moments

    def failing_once(self, x, block):
        pieces.append(x.shape)
        if len(pieces) == failing + 1:
            raise OutOfGpuMemory("it failed") if name == "cupy" else BackendFailure("it failed")
        return moments(self, x, block)

    monkeypatch.setattr(type(worker), "moments", failing_once)
    return name, pieces


def expected(x=X):
    return nv.statistics(x, "batch", backend="numpy")


@pytest.mark.parametrize("reading", READINGS)
def test_every_piece_counts_once(reading, fails):
    with pytest.warns(RuntimeWarning, match=r"^it failed; NumPy computes this instead$") as caught:
        found = nv.statistics(READINGS[reading](), "batch")
    assert (len(caught), caught[0].filename) == (1, __file__)
    assert found.count == 800 == expected().count
    np.testing.assert_allclose(found.mean, expected().mean, rtol=1e-12)
    np.testing.assert_allclose(found.var, expected().var, rtol=1e-12)
    assert found.backend == "numpy"


@pytest.mark.parametrize("reading", READINGS)
def test_moments_and_running_statistics_too(reading, fails):
    running = nv.RunningStatistics(4, momentum=None)
    with pytest.warns(RuntimeWarning, match=r"NumPy computes this instead$"):
        running.update(READINGS[reading]())
    np.testing.assert_allclose(running.mean, expected().mean, rtol=1e-12)
    assert running.num_batches_tracked == 1


@pytest.mark.parametrize("reading", READINGS)
def test_after_it_that_backend_is_left_alone(reading, fails):
    with pytest.warns(RuntimeWarning, match=r"NumPy computes this instead$"):
        nv.moments(READINGS[reading]())
    assert len(fails[1]) <= 8


@pytest.mark.parametrize("reading", READINGS)
def test_who_insists_gets_the_error(reading, fails):
    with pytest.raises(BackendFailure, match=r"^it failed$"):
        nv.statistics(READINGS[reading](), "batch", backend=fails[0])


def test_a_dask_chunk_falls_back_by_itself(fails, monkeypatch):
    da = pytest.importorskip("dask.array", reason="dask is not installed")
    import dask

    from normviz.streaming import dask_arrays

    monkeypatch.setattr(dask_arrays, "backend_for", lambda meta, backend: backend or fails[0])
    lazy = da.from_array(X, chunks=(1, 4, 5, 20))
    with dask.config.set(scheduler="sync"), pytest.warns(RuntimeWarning, match=r"NumPy computes this instead$"):
        found = nv.statistics(lazy, "batch")
    np.testing.assert_allclose(found.mean, expected().mean, rtol=1e-12)
