"""Several GPUs, and the streams of other libraries, on the stand-in for CuPy."""

from types import SimpleNamespace

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import values
from tests.core.stand_in import Device, DeviceArray, Stream

SHAPE = (2, 4, 3, 5)
X = values(SHAPE)
RELATIVES = {
    "frn": lambda x: nv.relatives.frn(x, tau=np.zeros(4)),
    "switchable": lambda x: nv.relatives.switchable(x, mean_weights=[1.0, 2.0, 3.0]),
    "adain": lambda x: nv.relatives.adain(x, x),
    "weight_standardization": lambda x: nv.relatives.weight_standardization(x),
}
CALLS = {
    "moments": lambda x: nv.moments(x),
    "sweep": lambda x: nv.sweep(x),
    "statistics": lambda x: nv.statistics(x, "positional"),
    "normalize": lambda x: nv.normalize(x, "group", num_groups=2, weight=np.ones(4), bias=np.ones(4)),
    "normalize an odd layout": lambda x: nv.normalize(x[:, :, ::2], "layer", weight=np.ones(4)),
    "normalize whole numbers": lambda x: nv.normalize(x.astype("i4"), "batch"),
    "gradient": lambda x: nv.gradient(x, x, "batch", weight=np.ones(4)),
    "running statistics": lambda x: nv.RunningStatistics(4).update(x),
    "chunks": lambda x: nv.moments(iter([x, x])),
    **RELATIVES,
}


@pytest.fixture
def second(emulated_cupy):
    """X on the device that is not the current one; nothing is noted yet."""
    with Device(1):
        x = emulated_cupy.asarray(X)
    nv.moments(x)  # what a device needs once
    Device.seen.clear()
    return x


@pytest.mark.parametrize("name", CALLS)
def test_all_is_allocated_and_launched_on_the_device_of_x(second, name):
    if "whole" in name or "odd" in name:  # which make an array themselves
        with Device(1):
            found = CALLS[name](second)
    else:
        found = CALLS[name](second)
    assert {device for device, _ in Device.seen} == {1}
    assert Device.current == 0
    result = getattr(found, "input", found)
    assert not isinstance(result, DeviceArray) or result.device.id == 1


def test_out_and_grad_output_are_on_the_device_of_x(second, emulated_cupy):
    with Device(1):
        out = emulated_cupy.asarray(np.empty(SHAPE))
    assert nv.normalize(second, "batch", out=out) is out
    np.testing.assert_allclose(out.get(), nv.normalize(X, "batch"), rtol=1e-12, atol=1e-12)
    here = emulated_cupy.asarray(X)
    with pytest.raises(ValueError, match=r"^out is on GPU 0 and x on GPU 1; move one of them$"):
        nv.normalize(second, "batch", out=here)
    with pytest.raises(ValueError, match=r"^grad_output is on GPU 0 and x on GPU 1; move one of them$"):
        nv.gradient(second, here, "batch")
    np.testing.assert_array_equal(here.get(), X)


def test_parameters_may_be_anywhere(second, emulated_cupy):
    weight = emulated_cupy.asarray(np.arange(4.0))
    y = nv.normalize(second, "batch", weight=weight)
    np.testing.assert_allclose(y.get(), nv.normalize(X, "batch", weight=np.arange(4.0)), rtol=1e-12, atol=1e-12)


def test_numpy_gives_its_result_back_to_the_device_of_x(second):
    assert nv.normalize(second, "batch", backend="numpy").device.id == 1


def test_the_stand_in_refuses_arrays_of_two_devices(second, emulated_cupy):
    for wrong in (lambda: second + 1, lambda: second.astype("f4"), lambda: second.__setitem__(0, 1)):
        with pytest.raises(ValueError, match="an array is on device 1, and the current one is 0"):
            wrong()


@pytest.fixture
def shared(emulated_cupy, monkeypatch):
    """Arrays of torch and JAX on the host pass for arrays on the GPU."""
    for place in ("dispatch", "placement"):
        monkeypatch.setattr(f"normviz.backends.{place}.on_gpu", lambda a: type(a) is not np.ndarray)
    monkeypatch.setattr(DeviceArray, "__dlpack_device__", lambda self: (1, 0))
    Device.seen.clear()


@pytest.mark.parametrize(("address", "stream"), [(0, 0), (1234, 1234)])
def test_a_tensor_of_torch_is_worked_on_on_torch_s_stream(shared, monkeypatch, address, stream):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X.copy())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=address))
    y = nv.normalize(x, "batch")
    np.testing.assert_allclose(y, nv.normalize(X, "batch"), rtol=1e-12, atol=1e-12)
    nv.gradient(x, x, "batch")
    assert Device.seen == {(0, stream)}
    assert Stream.current[-1].ptr == 0


def test_the_default_stream_of_a_thread_gives_way_to_torch_s(shared, monkeypatch):
    """Torch refuses to share a tensor with a stream of the address 2."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    with Stream(2):
        nv.moments(torch.from_numpy(X.copy()))
    assert Device.seen == {(0, 1)}


def test_nothing_of_jax_is_freed_while_it_is_read(shared, emulated_cupy):
    jax = pytest.importorskip("jax")
    x, stream = jax.numpy.asarray(X.astype(np.float32)), Stream.current[-1]
    nv.normalize(x, "batch")
    assert stream.waited == 1
    nv.normalize(emulated_cupy.asarray(X), "batch")
    assert stream.waited == 1
    nv.gradient(emulated_cupy.asarray(X.astype(np.float32)), x, "batch")
    assert stream.waited == 2


def test_a_graph_cannot_hold_a_call(second, monkeypatch):
    monkeypatch.setattr(Stream, "is_capturing", lambda self: True)
    nv.moments(second)  # the default stream records nothing
    with (
        Device(1),
        Stream(),
        pytest.raises(RuntimeError, match="a stream that records a CUDA graph"),
    ):
        nv.moments(second)
