"""Dask arrays: chunked along any axes, on any scheduler, the numbers of the same array in memory.

Tolerances as in test_streaming: every sum here runs in float64, so 1e-12 of the largest value.
"""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from normviz.backends import threads
from normviz.backends.dispatch import BACKENDS, load
from normviz.core.pooling import canonical
from normviz.streaming import dask_arrays
from normviz.streaming.partial_moments import WHOLE
from tests.core.cases import configurations, each_message, on_axis, refuses, values

dask = pytest.importorskip("dask", reason="dask is not installed: no array of it to work on")
da = pytest.importorskip("dask.array", reason="dask has no arrays here: its extra 'array' is not installed")
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


def close(found, expected):
    for name in ("mean", "m2") if hasattr(found, "m2") else ("mean", "var"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), **CLOSE)
    assert (found.count, found.backend) == (expected.count, expected.backend)


@st.composite
def chunked(draw):
    """Draw (x, the same as a dask array, channel_axis, method, num_groups)."""
    full = (draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 4, 6])), *(draw(st.integers(1, 4)) for _ in range(3)))
    shape = full[: draw(st.integers(2, 5))]
    axis = draw(st.sampled_from([1, -1, 0]))
    x = on_axis(values(shape, seed=draw(st.integers(0, 999))), axis)
    chunks = tuple(draw(st.integers(1, n)) for n in x.shape)
    return x, da.from_array(x, chunks=chunks), axis, *draw(st.sampled_from(list(configurations(shape))))


@given(chunked(), st.booleans(), st.booleans())
def test_any_chunks(case, affine, given_statistics):
    x, lazy, axis, method, num_groups = case
    options = {"channel_axis": axis, "num_groups": num_groups}
    close(nv.moments(lazy, channel_axis=axis), nv.moments(x, channel_axis=axis))
    own = nv.statistics(x, method, **options)
    close(nv.statistics(lazy, method, **options), own)
    if affine:
        length = canonical(x, axis).shape[nv.METHODS[method].affine_axis]
        options |= {"weight": values(length, seed=1), "bias": values(length, seed=2), "eps": 0.1}
    if given_statistics:
        options["statistics"] = nv.Statistics(mean=own.mean + 1, var=own.var + 2, count=own.count)
    y = nv.normalize(lazy, method, **options)
    assert isinstance(y, da.Array)
    assert (y.chunks, y.dtype) == (lazy.chunks, x.dtype)
    np.testing.assert_allclose(y.compute(scheduler="sync"), nv.normalize(x, method, **options), rtol=1e-9, atol=1e-10)


def test_a_weight_for_every_element():
    x = values((4, 6, 3, 2))
    for axis in (1, -1):
        moved = on_axis(x, axis)
        weight, bias = (values(moved.shape[1:], seed=seed) for seed in (1, 2))
        options = {"weight": weight, "bias": bias, "channel_axis": axis}
        y = nv.normalize(da.from_array(moved, chunks=(2, 2, 2, 1)), "layer", **options)
        np.testing.assert_allclose(y.compute(), nv.normalize(moved, "layer", **options), **CLOSE)


@pytest.mark.parametrize("dtype", [">f4", "f4", "f2", "i4", "?"])
@pytest.mark.parametrize("method", nv.METHODS)
def test_every_dtype(dtype, method):
    x = abs(values((4, 6, 5, 3), loc=0)).astype(dtype)
    num_groups = 2 if nv.METHODS[method].has_groups else None
    lazy = da.from_array(x, chunks=(1, 4, 3, 3))
    y, expected = (nv.normalize(a, method, num_groups=num_groups) for a in (lazy, x))
    assert y.dtype == y.compute().dtype == expected.dtype
    tolerance = 1e-2 if dtype == "f2" else 1e-5
    np.testing.assert_allclose(y.compute(), expected, rtol=tolerance, atol=tolerance)


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: no bfloat16 for NumPy").bfloat16
    x = values((2, 4, 3), dtype=np.float32).astype(bfloat16)
    y = nv.normalize(da.from_array(x, chunks=(1, 2, 3)), "batch")
    assert y.dtype == y.compute().dtype == bfloat16
    expected = nv.normalize(x.astype(np.float32), "batch")
    np.testing.assert_allclose(y.compute().astype(np.float32), expected, rtol=1e-2, atol=1e-2)


def counted(shape, chunks):
    """A dask array, and the list of the blocks that were made of it so far."""
    made = []

    def block(block_info):
        made.append(block_info[None]["chunk-location"])
        return values(block_info[None]["chunk-shape"], seed=len(made))

    return da.map_blocks(
        block, chunks=da.core.normalize_chunks(chunks, shape), dtype=float, meta=np.empty([0] * 4)
    ), made


def test_every_chunk_is_made_once():
    for measure in (
        nv.moments,
        nv.sweep,
        lambda x: nv.statistics(x, "positional"),
        lambda x: nv.statistics(x, "batch"),
    ):
        x, made = counted((4, 6, 4, 4), (1, 3, 2, 4))
        measure(x)
        assert sorted(made) == list(np.ndindex(4, 2, 2, 1))


def test_normalize_is_lazy_and_makes_every_chunk_once():
    x, made = counted((4, 6, 4, 4), (1, 3, 2, 4))
    for method, num_groups in configurations(x.shape):
        y = nv.normalize(x, method, num_groups=num_groups)
        assert not made
        y.compute(scheduler="sync")
        assert sorted(made) == list(np.ndindex(4, 2, 2, 1))
        made.clear()


def test_many_chunks_are_merged_in_a_tree():
    x = values((1, 1, 4096), loc=5)
    lazy = da.from_array(x, chunks=(1, 1, 4))
    close(nv.moments(lazy), nv.moments(x))
    # No task takes in more than a few of the thousand chunks.
    graph = dict(dask_arrays._moments(lazy, (1, 1, WHOLE), "numpy", False).__dask_graph__())
    assert max(len(getattr(task, "dependencies", ())) for task in graph.values()) <= 16


def test_memory_holds_a_few_chunks():
    def measure(chunks):
        x = da.ones((chunks, 4, 256, 256), chunks=(1, 4, 256, 256), dtype=np.float32)
        tracemalloc.start()
        nv.moments(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    with dask.config.set(num_workers=2):  # every thread holds a chunk, and dask would take one for each processor
        measure(2)
        assert measure(64) < 12 << 20  # of 64 MiB


def test_chunks_are_measured_on_one_thread_each(monkeypatch):
    seen = set()
    measure = load("numpy").moments.__func__

    def watched(self, *arguments):
        seen.add(threads.number())
        return measure(self, *arguments)

    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "4")
    monkeypatch.setattr(type(load("numpy")), "moments", watched)
    lazy = da.from_array(values((4, 2, 3)), chunks=(1, 2, 3))
    nv.normalize(lazy, "batch").compute()
    nv.moments(lazy)
    assert seen == {1}


def test_the_backend_is_honoured(backend):
    x = values((4, 6, 5))
    lazy = da.from_array(x, chunks=(2, 4, 3))
    with dask.config.set(scheduler="sync"):  # the emulation of the kernels has one thread
        close(nv.moments(lazy, backend=backend), nv.moments(x, backend=backend))
        y = nv.normalize(lazy, "layer", backend=backend).compute()
    np.testing.assert_allclose(y, nv.normalize(x, "layer", backend=backend), **CLOSE)


def test_one_backend_works_on_all_chunks(monkeypatch, stand_in_for_cupy):
    """The size of the largest chunk decides, also for the last ones, which are smaller."""
    x, used = values((5, 3, 4)), []
    lazy = da.from_array(x, chunks=(2, 3, 4))
    for name in ("numpy", "cupy"):
        worker = type(load(name))
        moments = worker.moments
        monkeypatch.setattr(worker, "moments", lambda self, *a, m=moments: used.append(self.name) or m(self, *a))
    for least, name in ((x[:2].nbytes, "cupy"), (x[:2].nbytes + 1, "numpy")):
        monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", str(least))
        with dask.config.set(scheduler="sync"):
            close(nv.moments(lazy), nv.moments(x, backend=name))
            used.clear()
            nv.normalize(lazy, "batch").compute()
        assert used == [name] * 3


def test_a_worker_without_the_backend_takes_numpy(monkeypatch, stand_in_for_cupy):
    x = values((4, 3, 5))
    lazy = da.from_array(x, chunks=(2, 3, 5))
    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", "0")
    chosen, insisted = nv.normalize(lazy, "batch"), nv.normalize(lazy, "batch", backend="cupy")
    monkeypatch.setitem(BACKENDS, "cupy", BACKENDS["cupy"]._replace(problem=lambda: "CuPy is not installed here"))
    load.cache_clear()
    with dask.config.set(scheduler="sync"):
        np.testing.assert_allclose(chosen.compute(), nv.normalize(x, "batch", backend="numpy"), **CLOSE)
        with pytest.raises(RuntimeError, match="CuPy is not installed here"):
            insisted.compute()


def test_compiled_loops_on_chunks_of_several_threads():
    if problem := BACKENDS["compiled"].problem():
        pytest.skip(problem)
    x = values((16, 6, 9, 7), dtype=np.float32)
    lazy = da.from_array(x, chunks=(3, 4, 9, 7))
    with dask.config.set(scheduler="threads", num_workers=4):
        close(nv.moments(lazy, backend="compiled"), nv.moments(x, backend="compiled"))
        y = nv.normalize(lazy, "group", num_groups=2, backend="compiled").compute()
    np.testing.assert_allclose(y, nv.normalize(x, "group", num_groups=2, backend="compiled"), rtol=1e-6, atol=1e-6)


def test_running_statistics():
    x = values((6, 3, 4))
    lazy = da.from_array(x, chunks=(2, 2, 3))
    running, expected = nv.RunningStatistics(3), nv.RunningStatistics(3)
    running.update(lazy)
    expected.update(x)
    np.testing.assert_allclose(running.var, expected.var, **CLOSE)
    y = nv.normalize(lazy, "batch", statistics=running)
    np.testing.assert_allclose(y.compute(), nv.normalize(x, "batch", statistics=expected), **CLOSE)


def test_a_constant_and_what_is_not_finite():
    x = np.full((2, 3, 8, 8), 0.1)
    lazy = da.from_array(x, chunks=(1, 2, 3, 5))
    assert (nv.moments(lazy).m2 == 0).all()
    assert (nv.moments(lazy).mean == 0.1).all()
    x[1, 2, 7, 0] = np.nan
    found = nv.moments(da.from_array(x, chunks=(1, 2, 3, 5)))
    assert np.argwhere(~np.isfinite(found.mean)).tolist() == [[1, 2]]


def test_empty_chunks_are_passed_over():
    x = values((6, 3, 4))
    keep = np.array([True, True, False, False, True, True])
    lazy = da.from_array(x, chunks=(2, 3, 2))[da.from_array(keep, chunks=2)]
    lazy.compute_chunk_sizes()
    assert lazy.chunks[0] == (2, 0, 2)
    close(nv.moments(lazy), nv.moments(x[keep]))
    close(nv.statistics(lazy, "batch"), nv.statistics(x[keep], "batch"))
    for method, num_groups in configurations(x[keep].shape):
        y = nv.normalize(lazy, method, num_groups=num_groups)
        np.testing.assert_allclose(y.compute(), nv.normalize(x[keep], method, num_groups=num_groups), **CLOSE)


def test_on_processes_of_a_cluster():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed: no cluster to work on")
    x = values((8, 6, 10, 7), loc=3)
    lazy = da.from_array(x, chunks=(3, 4, 5, 7))
    patient = {f"distributed.comm.timeouts.{name}": "250s" for name in ("connect", "tcp")}
    with (
        dask.config.set(patient),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert len(client.run(threading.get_ident)) == 2
        close(nv.moments(lazy), nv.moments(x))
        for key, found in nv.sweep(lazy).items():
            close(found, nv.sweep(x)[key])
        y = nv.normalize(lazy, "group", num_groups=2)
        np.testing.assert_allclose(y.compute(), nv.normalize(x, "group", num_groups=2), **CLOSE)


X = da.zeros((2, 6, 3, 3), chunks=(1, 3, 3, 3))
ONE = nv.Statistics(mean=[0], var=[1], count=1)
UNKNOWN = X[X[:, 0, 0, 0] < 1]
ONLY_ARRAYS = "this takes an array in memory, not a dask array; pass its .compute(), or a part of it that fits"
MESSAGES = [
    (lambda: nv.moments(UNKNOWN), ValueError, "x has chunks of unknown size, ... call x.compute_chunk_sizes() first"),
    (lambda: nv.normalize(UNKNOWN, "batch"), ValueError, "x has ... shape (nan, 6, 3, 3); ... compute_chunk_sizes..."),
    (lambda: nv.normalize(X, "batch", out=np.zeros(X.shape)), TypeError, "out is of no use ... lazy; leave it out"),
    (lambda: nv.normalize(X, "batch", weight=np.ones(3)), ValueError, "weight ... (3,); ... C=6 channels needs (6,)"),
    (lambda: nv.normalize(X, "batch", eps=0), ValueError, "eps=0 is not > 0; ... by zero (PyTorch's default is 1e-5)"),
    (lambda: nv.normalize(X, "batch", statistics=ONE), ValueError, "statistics have shape (1,); ... needs (6,)"),
    (lambda: nv.statistics(X, "group", num_groups=4), ValueError, "num_groups=4 does not divide C=6; ... 1, 2, 3, 6"),
    (lambda: nv.moments(X.astype(complex)), TypeError, "x has dtype complex128; use float16, ... integers or booleans"),
    (lambda: nv.moments(da.ma.masked_array(X, X < 1)), TypeError, "x is a masked ... for instance with .filled(0)"),
    (lambda: nv.moments(X[0, 0, 0]), ValueError, "x has rank 1, shape (3,); it needs 2 to 5 axes, (N, C, *spatial)"),
    (lambda: nv.gradient(X, X, "batch"), TypeError, ONLY_ARRAYS),
    (lambda: nv.Explorer(X), TypeError, ONLY_ARRAYS),
    (lambda: nv.show(X), TypeError, ONLY_ARRAYS),
    (lambda: nv.cube(X), TypeError, ONLY_ARRAYS),
]


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)
