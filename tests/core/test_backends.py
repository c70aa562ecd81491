"""Which backend gets an array, and what kind of array comes back."""

import sys

import numpy as np
import pytest

import normviz as nv
from normviz.backends import dispatch as backends
from normviz.backends.compiled import readiness
from normviz.core.array_kinds import host
from tests import gpu
from tests.core.cases import configurations, one_each, values
from tests.core.stand_in import DeviceArray

EXPECTED = nv.normalize(values((2, 4, 3, 3)), "group", num_groups=2)


def on_device(x):
    return sys.modules["cupy"].asarray(x)


def test_cupy_on_a_gpu():
    if not gpu.present():
        pytest.skip(f"the suite did not run on a GPU: {gpu.cupy_problem()}")
    assert gpu.cupy_problem() is None
    assert nv.devices()["cupy"].startswith("CuPy ")


def test_numpy_arrays_and_lists_stay_with_numpy():
    assert nv.backend_for(values((2, 3))) == nv.backend_for([[1, 2]]) == "numpy"
    assert nv.moments(values((2, 3))).backend == nv.statistics([[1, 2]], "batch").backend == "numpy"


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    backends.cupy_problem.cache_clear()
    try:
        assert nv.devices()["cupy"].startswith("CuPy cannot be imported: ")
        assert nv.backend_for(np.zeros((2, 1 << 26), np.uint8)) != "cupy"
        with pytest.raises(RuntimeError, match=r"^backend 'cupy' cannot be used: CuPy cannot be imported: "):
            nv.moments(values((2, 3)), backend="cupy")
    finally:
        backends.cupy_problem.cache_clear()


@pytest.fixture
def numba_now(monkeypatch):
    """What is found out about numba during a test is forgotten again."""
    backends._numba_problem.cache_clear()
    backends.load.cache_clear()
    yield monkeypatch
    backends._numba_problem.cache_clear()


def not_installed(patch):
    patch.delitem(sys.modules, "numba", raising=False)
    patch.setattr(backends, "find_spec", lambda name: None)


def fails_with(error):
    def fail(patch):
        def importing(name):
            raise error

        patch.setitem(sys.modules, "numba", None)
        patch.setattr(backends, "import_module", importing)

    return fail


def switched_off(patch):
    patch.setattr(pytest.importorskip("numba").config, "DISABLE_JIT", 1)


BROKEN = 'numba cannot be imported ({}); pip install --upgrade "normviz[fast]"'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (not_installed, 'numba is not installed; pip install "normviz[fast]"'),
        (
            fails_with(ImportError("Numba needs NumPy 2.5 or less.\nGot NumPy 2.6.")),
            BROKEN.format("ImportError: Numba needs NumPy 2.5 or less. Got NumPy 2.6."),
        ),
        (fails_with(SystemError("initialization")), BROKEN.format("SystemError: initialization")),
        (switched_off, "numba compiles nothing while NUMBA_DISABLE_JIT is set; unset it"),
    ],
    ids=["not installed", "another NumPy", "SystemError", "switched off"],
)
def test_without_numba(numba_now, change, said):
    numba_now.setenv("NORMVIZ_COMPILED_MIN_BYTES", "0")
    change(numba_now)
    assert nv.devices(warm_up=True)["compiled"] == said
    x = values((2, 3))
    assert nv.backend_for(x) == nv.moments(x).backend == "numpy"
    for call in (nv.backend_for, nv.moments):
        with pytest.raises(RuntimeError) as caught:
            call(x, backend="compiled")
        expected = f"backend 'compiled' cannot be used: {said}; backend='numpy' works without it"
        assert str(caught.value) == expected


@pytest.fixture
def needs_numba():
    if problem := backends.compiled_problem():
        pytest.skip(f"the compiled backend was not tested: {problem}")


def test_the_size_decides_for_the_compiled_backend(needs_numba, monkeypatch):
    x, large = values((2, 3)), np.zeros((2, backends.COMPILED_MIN_BYTES // 2), np.int8)
    monkeypatch.delenv("NORMVIZ_COMPILED_MIN_BYTES")
    monkeypatch.setattr(readiness, "ready", False)
    assert [nv.backend_for(a) for a in (x, [[1, 2]], large[:, 1:], large)] == ["numpy"] * 3 + ["compiled"]
    monkeypatch.setenv("NORMVIZ_COMPILED_MIN_BYTES", str(x.nbytes))
    assert [nv.backend_for(a) for a in (x[:1], x)] == ["numpy", "compiled"]
    assert nv.statistics(x, "batch").backend == nv.gradient(x, x, "batch").backend == "compiled"
    assert nv.backend_for(large, "numpy") == nv.moments(x, backend="numpy").backend == "numpy"


def test_every_size_is_compiled_once_that_costs_nothing(needs_numba, monkeypatch):
    monkeypatch.delenv("NORMVIZ_COMPILED_MIN_BYTES")
    monkeypatch.setattr(readiness, "ready", True)
    assert nv.backend_for(values((2, 3))) == nv.backend_for([[1, 2]]) == "compiled"
    monkeypatch.setenv("NORMVIZ_COMPILED_MIN_BYTES", "100")  # a size that is set decides alone
    assert nv.backend_for(values((2, 3))) == "numpy"


def test_numpy_takes_over_for_good_where_a_loop_cannot_be_compiled(needs_numba, monkeypatch):
    from normviz.backends.compiled.machine_code import compiled

    def no_memory(*_):
        raise MemoryError("LLVM has no memory")

    monkeypatch.setattr(readiness, "failure", None)
    monkeypatch.setenv("NORMVIZ_COMPILED_MIN_BYTES", "0")
    loop = compiled()(lambda x: x[0])
    monkeypatch.setattr(loop._compiler, "compile", no_memory)
    monkeypatch.setattr(type(backends.load("compiled")), "normalize", lambda self, x, *_: loop(np.ones(1, "f2")))
    x = values((2, 4, 3, 3))
    with pytest.warns(RuntimeWarning, match=r"cannot compile here \(MemoryError: LLVM has no memory\); NumPy computes"):
        y = nv.normalize(x, "group", num_groups=2, out=x)
    np.testing.assert_array_equal(y, EXPECTED)
    assert nv.backend_for(x) == "numpy"
    assert nv.devices()["compiled"].endswith("cannot compile here (MemoryError: LLVM has no memory)")
    nv.normalize(x, "batch")  # without another warning
    with pytest.raises(RuntimeError, match=r"^numba .* cannot compile here \(MemoryError: LLVM has no memory\)$"):
        nv.normalize(x, "batch", backend="compiled")


def test_cupy_without_a_gpu(stand_in_for_cupy):
    stand_in_for_cupy.cuda.is_available = lambda: False
    assert nv.devices()["cupy"] == "CuPy finds no CUDA device; nvidia-smi shows whether the driver does"
    with pytest.raises(RuntimeError, match="cannot be used: CuPy finds no CUDA device"):
        nv.normalize(values((2, 3)), "batch", backend="cupy")


@pytest.mark.parametrize(("version", "extra"), [(12090, "cuda12"), (13020, "cuda13")])
def test_cupy_without_cuda_s_compiler_or_headers(stand_in_for_cupy, monkeypatch, version, extra):
    def no_library():
        raise RuntimeError('Failure finding "libnvrtc.so"\nsearched in ...')

    def no_headers(self):
        raise OSError('kernels.cu(1): cannot open source file "cuda_fp16.h"')

    runtime = stand_in_for_cupy.cuda.runtime
    monkeypatch.setattr(runtime, "runtimeGetVersion", lambda: version)
    for place, name, fail, error in (
        (stand_in_for_cupy.cuda.nvrtc, "getVersion", no_library, 'RuntimeError: Failure finding "libnvrtc.so"'),
        (
            stand_in_for_cupy.RawModule,
            "compile",
            no_headers,
            'OSError: kernels.cu(1): cannot open source file "cuda_fp16.h"',
        ),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            backends.cupy_problem.cache_clear()
            assert nv.devices()["cupy"] == (
                f'CUDA\'s compiler or its headers do not work here ({error}); pip install "normviz[{extra}]"'
            )
            assert nv.backend_for(np.zeros((2, 1 << 26), np.uint8)) != "cupy"
            with pytest.raises(RuntimeError, match="backend 'cupy' cannot be used: CUDA's compiler"):
                nv.moments(values((2, 3)), backend="cupy")


def test_devices(stand_in_for_cupy):
    found = nv.devices()
    assert list(found) == ["numpy", "compiled", "cupy"]
    assert found["numpy"].startswith(f"NumPy {np.__version__} on ")
    assert found["cupy"] == (
        "CuPy 0 (stand-in) on a CPU (1 GiB); CUDA 13.2, its driver up to 13.1; "
        "arrays on the host from 256 MiB go there, once an array has been there"
    )


def test_a_large_host_array_goes_to_the_gpu(stand_in_for_cupy, monkeypatch):
    x = values((2, 4, 3, 3))
    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", str(x.nbytes))
    assert nv.backend_for(x) == nv.statistics(x, "batch").backend == "cupy"
    y = nv.normalize(x, "group", num_groups=2)
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, EXPECTED, rtol=1e-12)
    assert nv.backend_for(x, "numpy") == nv.backend_for(x[:1]) == "numpy"


def test_a_large_host_array_does_not_start_the_gpu(emulated_cupy, monkeypatch):
    """Which compiles for seconds, unless it has been used before."""
    monkeypatch.delenv("NORMVIZ_GPU_MIN_BYTES", raising=False)
    monkeypatch.setattr(backends, "GPU_MIN_BYTES", 1 << 10)
    x = values((2, 16, 3, 3))
    assert nv.moments(x).backend != "cupy"
    assert nv.moments(on_device(x)).backend == "cupy"
    assert nv.moments(x).backend == nv.backend_for(x) == "cupy"
    assert nv.moments(x[:1]).backend == "cupy"
    assert nv.moments(x[:1, :4]).backend != "cupy"


def test_device_arrays_stay_on_the_device(stand_in_for_cupy):
    x = on_device(values((2, 4, 3, 3)))
    assert nv.backend_for(x) == "cupy"
    for method, num_groups in configurations(x.shape):
        y = nv.normalize(x, method, num_groups=num_groups, weight=on_device(np.ones(one_each(method, x.shape))))
        assert type(y) is DeviceArray
        assert type(nv.statistics(x, method, num_groups=num_groups).mean) is np.ndarray
    found = nv.gradient(x, x, "batch")
    assert (type(found.input), type(found.weight), found.backend) == (DeviceArray, np.ndarray, "cupy")
    out = on_device(np.empty(x.shape))
    assert nv.normalize(x, "group", num_groups=2, out=out) is out
    np.testing.assert_allclose(out.get(), EXPECTED, rtol=1e-12)
    assert nv.normalize(x, "group", num_groups=2, out=x) is x
    np.testing.assert_allclose(x.get(), EXPECTED, rtol=1e-12)


def test_device_memory_that_overlaps_is_refused(stand_in_for_cupy):
    row = on_device(np.arange(12.0))
    with pytest.raises(ValueError, match="out overlaps x without being x itself"):
        nv.normalize(row[:6].reshape(2, 3), "batch", out=row[1:7].reshape(2, 3))
    np.testing.assert_array_equal(row.get(), np.arange(12))


def test_numpy_can_be_insisted_on_for_a_device_array(stand_in_for_cupy):
    x, out = on_device(values((2, 4, 3, 3))), on_device(np.empty((2, 4, 3, 3)))
    assert nv.moments(x, backend="numpy").backend == "numpy"
    assert nv.normalize(x, "group", num_groups=2, backend="numpy", out=out) is out
    for y in (out, nv.normalize(x, "group", num_groups=2, backend="numpy")):
        assert type(y) is DeviceArray
        np.testing.assert_allclose(y.get(), EXPECTED, rtol=1e-12)


def test_the_stand_in_refuses_what_cupy_refuses(stand_in_for_cupy):
    x = on_device(np.ones(3))
    with pytest.raises(TypeError):
        x + np.ones(3)
    with pytest.raises(TypeError):
        x[:] = np.ones(3)


def test_torch_in_torch_out(backend):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(values((2, 4, 3, 3))).requires_grad_()
    y = nv.normalize(x, "group", num_groups=2, weight=torch.ones(4), backend=backend)
    assert (type(y), y.requires_grad, y.dtype) == (torch.Tensor, False, torch.float64)
    np.testing.assert_allclose(y, EXPECTED, rtol=1e-12)
    assert type(nv.gradient(x, x, "batch", backend=backend).input) is torch.Tensor
    out = torch.empty_like(x)
    assert nv.normalize(x, "group", num_groups=2, out=out, backend=backend) is out
    np.testing.assert_allclose(out.detach(), EXPECTED, rtol=1e-12)
    strided = x.detach().movedim(1, -1)
    y = nv.normalize(strided, "group", num_groups=2, channel_axis=-1, backend=backend)
    np.testing.assert_allclose(y.movedim(-1, 1), EXPECTED, rtol=1e-12)
    assert nv.normalize(torch.ones(2, 3, dtype=torch.int64), "batch").dtype == torch.float64


def test_torch_bfloat16(backend):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(values((2, 4, 3, 3))).bfloat16()
    expected = nv.normalize(x.float(), "group", num_groups=2).bfloat16()
    y = nv.normalize(x, "group", num_groups=2, backend=backend)
    assert y.dtype == torch.bfloat16
    # A float32 that differs in its last digit may fall to the other side: one rounding of bfloat16.
    torch.testing.assert_close(y, expected, rtol=2**-7, atol=1e-6)
    assert nv.gradient(x, x, "batch", weight=torch.ones(4).bfloat16(), backend=backend).input.dtype == torch.bfloat16
    assert nv.normalize(x, "group", num_groups=2, out=x, backend=backend) is x
    assert torch.equal(x, y)


def test_torch_on_no_device():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"^x, a Tensor, has no values to read \(.*\); pass a concrete array$"):
        nv.moments(torch.zeros(2, 3, device="meta"))


def test_jax_in_jax_out(backend):
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(values((2, 4, 3, 3), dtype=np.float32))
    expected = nv.normalize(np.asarray(x), "group", num_groups=2)
    y = nv.normalize(x, "group", num_groups=2, weight=jax.numpy.ones(4), backend=backend)
    assert (isinstance(y, jax.Array), y.dtype) == (True, np.float32)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)
    half = nv.normalize(x.astype("bfloat16"), "batch", backend=backend)
    assert half.dtype == "bfloat16"
    with pytest.raises(TypeError, match="out is a JAX array, which never changes"):
        nv.normalize(x, "batch", out=x, backend=backend)
    with pytest.raises(ValueError, match="has no values to read"):
        jax.jit(lambda a: nv.normalize(a, "batch"))(x)


@pytest.mark.parametrize("part", [np.s_[:], np.s_[::-1, :, ::2], np.s_[..., ::2], np.s_[:1, :, :1, :1]], ids=str)
def test_numpy_s_bfloat16(backend, part):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = values((2, 4, 3, 3)).astype(ml_dtypes.bfloat16)[part]
    y = nv.normalize(x, "batch", backend=backend)
    expected = nv.normalize(x.astype(np.float32), "batch").astype(x.dtype)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y.astype(float), expected.astype(float), rtol=2**-7, atol=1e-6)
    exact = nv.statistics(x.astype(float), "batch")
    np.testing.assert_allclose(nv.statistics(x, "batch", backend=backend).var, exact.var, rtol=1e-6)
    found, plain = (nv.gradient(a, a, "batch", backend=backend) for a in (x, x.astype(np.float32)))
    assert found.input.dtype == x.dtype
    np.testing.assert_allclose(found.weight, plain.weight, rtol=1e-5, atol=1e-5)
    assert nv.normalize(x, "batch", out=x, backend=backend) is x
    np.testing.assert_array_equal(x.astype(float), y.astype(float))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_the_compiled_backend_shares_bfloat16_with_every_library(needs_numba, monkeypatch, library):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = values((2, 4, 3, 3)).astype(ml_dtypes.bfloat16)
    if library != "numpy":
        x = bfloat16s(library)[1](x.astype(np.float32))
    at = {
        "numpy": lambda: x.ctypes.data,
        "torch": lambda: x.data_ptr(),
        "jax": lambda: x.unsafe_buffer_pointer(),
    }[library]()
    native, _, back = backends.adopt(x, "compiled")
    assert (native.dtype, native.ctypes.data) == (np.dtype(ml_dtypes.bfloat16), at)
    again = back(native.copy())
    assert (type(again), again.dtype) == (type(x), x.dtype)
    np.testing.assert_array_equal(host(again), host(x))
    monkeypatch.setattr(
        backends, "_bfloat16", lambda: None
    )  # without ml_dtypes, which NumPy and JAX have with the array
    assert backends.adopt(x, "compiled")[0].dtype == (np.float32 if library == "torch" else ml_dtypes.bfloat16)
    y = nv.normalize(x, "batch", backend="compiled")
    np.testing.assert_allclose(host(y), host(nv.normalize(x, "batch", backend="numpy")), rtol=2**-7, atol=1e-6)


def bfloat16s(library):
    """Numbers as the bfloat16 of a library, and a function from float32 to its arrays."""
    if library == "cupy":
        bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
        return on_device, lambda a: on_device(a.astype(bfloat16))
    module = pytest.importorskip(library)
    if library == "torch":
        return module.from_numpy, lambda a: module.from_numpy(a).bfloat16()
    return module.numpy.asarray, lambda a: module.numpy.asarray(a).astype("bfloat16")


@pytest.mark.parametrize("parameters", ["cupy", "torch", "jax"])
@pytest.mark.parametrize("library", ["numpy", "cupy", "torch", "jax"])
def test_parameters_may_be_bfloat16(stand_in_for_cupy, library, parameters):
    """Of any library, for x of any library: the same as in float32."""
    shape = (2, 4, 3, 3)
    x = values(shape, dtype=np.float32)
    x = x if library == "numpy" else bfloat16s(library)[0](x)
    half = bfloat16s(parameters)[1]
    weight, grad = values(4, 1).round(1).astype(np.float32), values(shape, 2).round(1).astype(np.float32)
    ours, plain = ([half(weight), half(-weight), half(weight**2), half(grad)], [])
    for p in ours:
        plain.append(host(p))
        assert plain[-1].dtype == np.float32

    def results(w, b, v, g):
        given = nv.Statistics(mean=b, var=v, count=18)
        yield nv.normalize(x, "batch", weight=w, bias=b)
        yield nv.normalize(x, "batch", statistics=given)
        found = nv.gradient(x, g, "batch", weight=w)
        yield from (found.input, found.weight, found.bias)

    for found, expected in zip(results(*ours), results(*plain), strict=True):
        assert type(found) is type(expected)
        np.testing.assert_array_equal(host(found), host(expected))


@pytest.mark.parametrize("name", ["NORMVIZ_GPU_MIN_BYTES", "NORMVIZ_COMPILED_MIN_BYTES"])
def test_a_bad_threshold(monkeypatch, name):
    monkeypatch.setenv(name, "1 GB")
    with pytest.raises(ValueError) as caught:
        nv.backend_for(np.zeros((2, 3)))
    assert str(caught.value) == (f"{name}='1 GB' is not a number of bytes; set it to digits alone, or not at all")
