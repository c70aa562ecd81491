"""A GPU that runs out of memory in the middle of a reading: what was read once is not read again."""

import io

import numpy as np
import pytest

import normviz as nv
from normviz.backends.cuda.out_of_memory import OutOfGpuMemory
from normviz.backends.dispatch import load
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


@pytest.fixture(params=[0, 2, 7], ids=lambda failing: f"piece {failing}")
def no_memory(request, monkeypatch, stand_in_for_cupy):
    """A GPU that has no memory for one piece, though host arrays of any size go there."""
    from normviz.streaming import npy_files

    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", "0")
    monkeypatch.setattr(npy_files, "BUFFER", X[0].nbytes)
    worker, pieces = load("cupy"), []
    moments = type(worker).moments

    def short_of_memory(self, x, block):
        pieces.append(x.shape)
        if len(pieces) == request.param + 1:
            raise OutOfGpuMemory("the GPU has no memory left")
        return moments(self, x, block)

    monkeypatch.setattr(type(worker), "moments", short_of_memory)
    return pieces


def expected(x=X):
    return nv.statistics(x, "batch", backend="numpy")


@pytest.mark.parametrize("reading", READINGS)
def test_every_piece_counts_once(reading, no_memory):
    with pytest.warns(RuntimeWarning, match=r"^the GPU has no memory left; NumPy computes this instead$") as caught:
        found = nv.statistics(READINGS[reading](), "batch")
    assert (len(caught), caught[0].filename) == (1, __file__)
    assert found.count == 800 == expected().count
    np.testing.assert_allclose(found.mean, expected().mean, rtol=1e-12)
    np.testing.assert_allclose(found.var, expected().var, rtol=1e-12)
    assert found.backend == "numpy"


@pytest.mark.parametrize("reading", READINGS)
def test_moments_and_running_statistics_too(reading, no_memory):
    running = nv.RunningStatistics(4, momentum=None)
    with pytest.warns(RuntimeWarning, match=r"NumPy computes this instead$"):
        running.update(READINGS[reading]())
    np.testing.assert_allclose(running.mean, expected().mean, rtol=1e-12)
    assert running.num_batches_tracked == 1


@pytest.mark.parametrize("reading", READINGS)
def test_after_it_the_gpu_is_left_alone(reading, no_memory):
    with pytest.warns(RuntimeWarning, match=r"NumPy computes this instead$"):
        nv.moments(READINGS[reading]())
    assert len(no_memory) <= 8


@pytest.mark.parametrize("reading", READINGS)
def test_who_insists_gets_the_error(reading, no_memory):
    with pytest.raises(MemoryError, match=r"^the GPU has no memory left$"):
        nv.statistics(READINGS[reading](), "batch", backend="cupy")


def test_a_dask_chunk_falls_back_by_itself(no_memory, monkeypatch):
    da = pytest.importorskip("dask.array", reason="dask is not installed")
    import dask

    from normviz.streaming import dask_arrays

    monkeypatch.setattr(dask_arrays, "backend_for", lambda meta, backend: backend or "cupy")
    lazy = da.from_array(X, chunks=(1, 4, 5, 20))
    with dask.config.set(scheduler="sync"), pytest.warns(RuntimeWarning, match=r"NumPy computes this instead$"):
        found = nv.statistics(lazy, "batch")
    np.testing.assert_allclose(found.mean, expected().mean, rtol=1e-12)
