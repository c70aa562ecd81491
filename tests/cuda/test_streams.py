"""What only a GPU can show: streams that run beside one another, memory that other libraries keep, very many cells."""

from importlib import import_module

import numpy as np
import pytest

import normviz as nv
from tests import gpu
from tests.core.cases import values

if not gpu.present():
    pytest.skip("streams and memory of other libraries were not tried: there is no GPU", allow_module_level=True)
torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("this torch does not reach the GPU", allow_module_level=True)


def test_torch_on_a_side_stream():
    """What is queued before is awaited, and what is queued after reads the result."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(5):
            x = torch.full((64, 64, 256, 256), 7.0, device="cuda")
            torch.cuda._sleep(100_000_000)
            x.normal_(3, 2)
            y = nv.normalize(x, "instance", weight=torch.full((64,), 2.0, device="cuda"))
            std = y.std((0, 2, 3))
            assert (std - 2).abs().max() < 1e-3
            del x, y
            torch.empty((64, 64, 256, 256), device="cuda").fill_(float("nan"))


def test_cupy_s_default_stream_of_a_thread():
    cupy = import_module("cupy")
    x = torch.randn(8, 16, 32, 32, device="cuda")
    exact = nv.normalize(x.cpu(), "batch")
    with cupy.cuda.Stream.ptds:
        torch.testing.assert_close(nv.normalize(x, "batch").cpu(), exact, rtol=3e-6, atol=3e-6)


def test_memory_that_torch_keeps_is_given_back():
    cupy = import_module("cupy")
    cupy.get_default_memory_pool().free_all_blocks()
    free, _ = torch.cuda.mem_get_info()
    x = torch.randn(1 << 26, 4, device="cuda")
    kept = torch.empty(free - x.nbytes - (1 << 29), dtype=torch.uint8, device="cuda")
    del kept
    assert nv.normalize(x, "batch").device == x.device


def test_a_graph_of_torch_is_refused():
    x, graph = torch.randn(4, 8, 16, 16, device="cuda"), torch.cuda.CUDAGraph()
    y = nv.normalize(x, "batch")
    with pytest.raises(RuntimeError, match="records a CUDA graph"), torch.cuda.graph(graph):  # noqa: PT012
        x.add(1)  # torch warns of an empty graph
        nv.normalize(x, "batch")
    assert torch.equal(nv.normalize(x, "batch"), y)


def test_what_jax_frees_is_no_longer_read():
    jax = pytest.importorskip("jax")
    device = gpu.of_jax(jax)
    if device is None:
        pytest.skip("this jax does not reach the GPU")
    for seed in range(5):
        x = jax.device_put(values((32, 16, 64, 64), seed, np.float32), device)
        y = nv.normalize(x, "batch")
        x.delete()
        jax.device_put(np.full((32, 16, 64, 64), np.nan, np.float32), device).block_until_ready()
        exact = nv.normalize(values((32, 16, 64, 64), seed, np.float32), "batch", backend="numpy")
        np.testing.assert_allclose(np.asarray(y), exact, rtol=1e-5, atol=1e-5)


def test_more_than_2_to_the_31_cells():
    x = torch.zeros((2, 4, 1 << 14, (1 << 14) + 1), dtype=torch.float16, device="cuda")
    x[1, 3].normal_(3, 2)
    y = nv.normalize(x, "instance")
    assert (y[0] == 0).all()
    last = y[1, 3].double()
    assert abs(last.mean().item()) < 1e-3
    assert abs(last.std().item() - 1) < 1e-3
