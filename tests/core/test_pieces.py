"""Arrays that pass through the GPU in pieces, and what happens when its memory runs out, on a stand-in with little."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import normviz as nv
from normviz.backends.cuda.transfer import Lane, copy
from normviz.backends.dispatch import load
from tests.core import reference
from tests.core.cases import configurations, values
from tests.core.stand_in import DeviceArray, Stream


@pytest.fixture
def worker(emulated_cupy, monkeypatch):
    """The CuPy backend, taking host arrays in pieces of 1 kB that may become 64 bytes."""
    worker = load("cupy")
    monkeypatch.setattr(type(worker), "piece", 1024)
    monkeypatch.setattr(type(worker), "least", 64)
    return worker


@pytest.fixture
def pieces(monkeypatch):
    """The sizes of the pieces that went by."""
    seen = []
    load_part = Lane.load

    def counted(self, part, dtype):
        seen.append(part.size * dtype.itemsize)
        return load_part(self, part, dtype)

    monkeypatch.setattr(Lane, "load", counted)
    return seen


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "Fortran": np.asfortranarray,
    "reversed": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "every second": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "big-endian": lambda x: x.astype(">f8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_host_arrays_in_pieces_of_odd_sizes(worker, pieces, layout):
    x = LAYOUTS[layout](values((5, 6, 7, 9)))
    for method, num_groups in configurations(x.shape):
        del pieces[:]
        found = nv.statistics(x, method, num_groups=num_groups, backend="cupy")
        mean, var = reference.statistics_arrays(x, method, num_groups)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(found.var, var, rtol=1e-12, atol=1e-13)
        options = {"num_groups": num_groups}
        if nv.METHODS[method].affine_axis == 1:
            options |= {"weight": np.arange(1.0, 7), "bias": np.arange(6.0)}
        y = nv.normalize(x, method, **options, backend="cupy")
        assert type(y) is np.ndarray
        assert sum(pieces) == 3 * x.size * 8
        assert len(pieces) > 30
        assert max(pieces) <= 1024
        expected = nv.normalize(x, method, **options, backend="numpy")
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["f2", "f4", "i4", "u1", "?"])
def test_every_type_in_pieces(worker, dtype):
    x = abs(10 * values((4, 6, 5, 7))).astype(dtype)
    for method in ("batch", "layer", "positional"):
        y = nv.normalize(x, method, backend="cupy")
        expected = nv.normalize(x, method, backend="numpy")
        assert y.dtype == expected.dtype
        close = 2e-3 if dtype == "f2" else 2e-6
        np.testing.assert_allclose(y, expected, rtol=close, atol=close)


def test_in_place_and_into_a_given_array(worker, pieces):
    x = values((5, 6, 7, 9)).astype("f4")
    expected = nv.normalize(x, "group", num_groups=3, backend="numpy")
    out = np.empty((9, 7, 6, 5), "f4").T
    for target in (out, x):
        assert nv.normalize(x, "group", num_groups=3, out=target, backend="cupy") is target
        np.testing.assert_allclose(target, expected, rtol=2e-6, atol=2e-6)
    assert len(pieces) > 30


def test_a_memory_map(worker, pieces, tmp_path):
    x = values((5, 6, 7, 9)).astype("f4")
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = nv.statistics(mapped, "batch", backend="cupy")
    np.testing.assert_allclose(found.var, x.astype(float).var((0, 2, 3)), rtol=1e-6)
    y = nv.normalize(mapped, "batch", backend="cupy")
    np.testing.assert_allclose(y, nv.normalize(x, "batch", backend="numpy"), rtol=2e-6, atol=2e-6)
    assert len(pieces) > 15


def test_a_large_array_goes_there_by_itself_and_the_result_is_of_its_kind(worker, pieces, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", "4096")
    x = torch.from_numpy(values((5, 6, 7, 9)).astype("f4"))
    y = nv.normalize(x, "batch")
    assert (type(y), len(pieces) > 15) == (torch.Tensor, True)
    np.testing.assert_allclose(y, nv.normalize(x, "batch", backend="numpy"), rtol=2e-6, atol=2e-6)
    half = nv.normalize(x.bfloat16(), "batch", out=(out := torch.empty(x.shape, dtype=torch.bfloat16)))
    assert half is out
    assert (out.float() - y).abs().max() < 0.05
    assert nv.moments(x).backend == "cupy"


def test_memory_that_runs_out_makes_the_pieces_smaller(worker, pieces, emulated_cupy):
    x = values((5, 6, 7, 9))
    expected = nv.normalize(x, "group", num_groups=2, backend="numpy")
    memory = emulated_cupy.memory
    memory.limit = memory.used + 1800
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = nv.normalize(x, "group", num_groups=2, backend="cupy")
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert memory.freed > 0
    assert max(pieces) < 1024
    assert memory.used <= memory.limit


def test_streams_are_kept_and_buffers_given_back(worker, emulated_cupy):
    x, memory = values((5, 6, 7, 9)), emulated_cupy.memory
    nv.normalize(x, "group", num_groups=2, backend="cupy")
    made, used = Stream.made, memory.used
    for method in ("batch", "layer"):
        nv.normalize(x, method, backend="cupy")
    memory.limit = used + 100
    with pytest.raises(MemoryError):
        nv.moments(x, backend="cupy")
    assert (Stream.made, memory.used) == (made, used)


def test_memory_that_torch_keeps_is_asked_for(worker, emulated_cupy, monkeypatch):
    torch = pytest.importorskip("torch")
    x, memory = values((5, 6, 7, 9)), emulated_cupy.memory
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: setattr(memory, "limit", 1 << 40))
    for array in (x, emulated_cupy.asarray(x)):
        for call in (nv.moments, lambda a, backend: nv.gradient(a, a, "batch", backend=backend)):
            memory.limit = memory.used + 100
            assert call(array, backend="cupy").backend == "cupy"


def test_without_any_memory_numpy_takes_over_in_auto(worker, emulated_cupy, monkeypatch):
    x = values((5, 6, 7, 9))
    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", "0")
    emulated_cupy.memory.limit = emulated_cupy.memory.used + 100
    text = (
        r"^the GPU has \d+ bytes of .* left, too little for x of 14\.77 KiB even in pieces; free some, or pass "
        r"backend='numpy'"
    )
    for call in (
        lambda **k: nv.moments(x, **k),
        lambda **k: nv.statistics(x, "batch", **k),
        lambda **k: nv.gradient(x, x, "batch", **k),
    ):
        with pytest.warns(RuntimeWarning, match=text + "; NumPy computes this instead$") as caught:
            assert call().backend == "numpy"
        assert (len(caught), caught[0].filename) == (1, __file__)
        with pytest.raises(MemoryError, match=text + "$"):
            call(backend="cupy")
    with pytest.warns(RuntimeWarning, match=text) as caught:
        y = nv.normalize(x, "batch")
    assert len(caught) == 1
    np.testing.assert_array_equal(y, nv.normalize(x, "batch", backend="numpy"))
    with pytest.raises(MemoryError, match=text + "$"):
        nv.normalize(x, "batch", backend="cupy")


def test_nothing_is_written_in_place_before_memory_runs_out(worker, emulated_cupy, monkeypatch):
    """Or else it says so, for the values are gone."""
    x = values((5, 6, 7, 9))
    before, given = x.copy(), nv.statistics(x, "batch")
    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", "0")
    memory = emulated_cupy.memory
    memory.limit = memory.used + 150
    with pytest.warns(RuntimeWarning, match="too little for x"):
        nv.normalize(x, "batch", statistics=given, out=x)
    np.testing.assert_allclose(x, nv.normalize(before, "batch", backend="numpy"), rtol=1e-12, atol=1e-12)
    x[...] = before
    memory.limit = 1 << 40
    store, stored = Lane.store, []

    def and_then_memory_is_gone(self, part, target):
        store(self, part, target)
        stored.append(target.size)
        memory.limit = 0

    monkeypatch.setattr(Lane, "store", and_then_memory_is_gone)
    with pytest.raises(MemoryError, match=r"^the GPU ran out of memory with x partly overwritten by the result$"):
        nv.normalize(x, "batch", statistics=given, out=x)
    assert len(stored) == 1
    memory.limit, touched = 1 << 40, (x != before).sum()
    assert touched <= stored[0]


def test_an_array_on_the_device_needs_room_for_pieces_only(worker, emulated_cupy):
    x = values((5, 6, 7, 9))
    expected = nv.normalize(x, "positional", backend="numpy")
    strided = emulated_cupy.asarray(np.repeat(x, 2, axis=3))[..., ::2]
    for array in (emulated_cupy.asarray(x), strided):
        y = nv.normalize(array, "positional")
        assert type(y) is DeviceArray
        np.testing.assert_allclose(y.get(), expected, rtol=1e-12, atol=1e-12)
    assert nv.normalize(strided, "positional", out=strided) is strided
    np.testing.assert_allclose(strided.get(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (2, 0, 1, 3), (3, 1, 2, 0), (1, 0, 3, 2)])
def test_any_block_in_any_order_of_axes(worker, emulated_cupy, order):
    x = values((4, 6, 7, 9))
    laid = emulated_cupy.asarray(x.transpose(order)).transpose(*np.argsort(order))
    for block in ((2, 3, 7, 9), (4, 1, 7, 3), (1, 6, 1, 9), (2, 2, 1, 1), (1, 1, 7, 1)):
        found = [a.get() for a in worker.moments(laid, block)]
        expected = load("numpy").moments(x, block)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_shape_type_order_and_piece_agrees_with_numpy(worker, emulated_cupy, monkeypatch, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=4), "shape"))
    order = data.draw(st.permutations(range(len(shape))), "order")
    step = data.draw(st.sampled_from([1, 1, 2, -1]), "step")
    dtype = data.draw(st.sampled_from(["f2", "f4", "f8", "i4"]), "dtype")
    monkeypatch.setattr(type(worker), "piece", data.draw(st.sampled_from([64, 200, 1 << 20]), "piece"))
    memory = (10 * values([shape[axis] for axis in order])).astype(dtype)
    x = memory.transpose(np.argsort(order))[..., ::step]
    device = emulated_cupy.asarray(memory).transpose(*np.argsort(order))[..., ::step]
    method, num_groups = data.draw(st.sampled_from(list(configurations(x.shape))), "method")
    pool = nv.pooling(method, x.shape, num_groups)
    weight = values(x.shape[nv.METHODS[method].affine_axis])
    expected = nv.normalize(x, method, num_groups=num_groups, weight=weight, backend="numpy")
    exact = nv.statistics(x.astype("f8"), method, num_groups=num_groups, backend="numpy")
    close = {"f2": 4e-3, "f4": 4e-6}.get(dtype, 1e-11)
    for a in (x, device):
        found = nv.statistics(a, method, num_groups=num_groups, backend="cupy")
        assert (found.mean.shape, found.count) == (pool.statistics_shape, pool.size)
        np.testing.assert_allclose(found.var, exact.var, rtol=1e-6 if dtype in ("f2", "f4") else 1e-11, atol=1e-11)
        y = nv.normalize(a, method, num_groups=num_groups, weight=weight, backend="cupy")
        y = y.get() if isinstance(y, DeviceArray) else y
        np.testing.assert_allclose(y, expected, rtol=close, atol=close * abs(weight).max())


def test_bfloat16_on_a_gpu_is_shared_not_copied(worker, emulated_cupy, monkeypatch):
    torch = pytest.importorskip("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = torch.from_numpy(values((3, 4, 6, 5))).bfloat16()
    expected = nv.normalize(x.float(), "group", num_groups=2).bfloat16()
    monkeypatch.setattr(
        "normviz.backends.dispatch.on_gpu", lambda a: True
    )  # a tensor like those on a GPU, but readable here
    monkeypatch.setattr("normviz.core.array_kinds.on_gpu", lambda a: True)
    monkeypatch.setattr(DeviceArray, "__dlpack_device__", lambda self: (1, 0))
    seen = []
    scale = type(worker)._scale

    def remembered(self, a, y, *given):
        seen.append((a.dtype, a.ctypes.data, y.ctypes.data))
        return scale(self, a, y, *given)

    monkeypatch.setattr(type(worker), "_scale", remembered)
    y = nv.normalize(x, "group", num_groups=2)
    assert y.dtype == torch.bfloat16
    assert (y.float() - expected.float()).abs().max() < 0.02
    assert seen == [(np.dtype(ml_dtypes.bfloat16), x.data_ptr(), y.data_ptr())]
    assert nv.normalize(x, "group", num_groups=2, out=x) is x
    assert seen[1][1:] == (x.data_ptr(), x.data_ptr())
    assert torch.equal(x, y)
    found = nv.gradient(x, x, "batch")
    assert found.input.dtype == torch.bfloat16


def test_copies_are_shared_out_among_threads(monkeypatch):
    monkeypatch.setattr("normviz.backends.threads.WORTH", 1)
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "3")
    source = values((4, 11, 5))
    for view in (lambda a: a, lambda a: a.transpose(2, 0, 1), lambda a: a[:1, :1, :1]):
        target = np.empty_like(view(source))
        copy(target, view(source))
        np.testing.assert_array_equal(target, view(source))


def test_the_stand_in_notices_a_buffer_that_changes_under_a_copy(emulated_cupy):
    stream, device, host = emulated_cupy.cuda.Stream(), emulated_cupy.empty(3, np.float64), np.ones(3)
    device.set(host, stream=stream)
    host[1] = 2
    with pytest.raises(AssertionError, match="a buffer changed while it was being copied"):
        stream.synchronize()
    stream = emulated_cupy.cuda.Stream()
    device.get(stream=stream, out=host, blocking=False)
    assert host[1] == 2
    stream.synchronize()
    assert host[1] == 1
