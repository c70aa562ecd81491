"""Arrays on the device: of every library on a GPU, where there is one, and of CuPy on the stand-in everywhere."""

from contextlib import contextmanager
from functools import cache
from importlib import import_module

import ml_dtypes
import numpy as np
import pytest

import normviz as nv
from tests import gpu
from tests.core import reference, stand_in
from tests.core.cases import configurations, values
from tests.cuda import emulate

SHAPE = (2, 6, 3, 5)
TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
CLOSE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 3e-6, "float64": 1e-11}
LAYOUTS = {
    "dense": lambda a: a,
    "channels last": lambda a: a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "unaligned": lambda a: np.concatenate([a.reshape(-1)[:1], a.reshape(-1)])[1:].reshape(a.shape),
    "every second": lambda a: a.repeat(2, axis=-1)[..., ::2],
}
PLACES = ["stand-in", *(f"GPU, {library}" for library in ("cupy", "torch", "jax") if gpu.present())]


class Place:
    """A device, and the arrays of one library on it."""

    def __init__(self, library, cupy):
        self.library, self.cupy, self.real = library, cupy, cupy.__version__ != "0 (stand-in)"
        self.module = cupy if library == "cupy" else import_module(library)

    def put(self, array):
        """An array with the same strides, not aligned where the array is not."""
        whole = array if array.base is None or self.library == "jax" else array.base
        if self.library == "jax":
            return self.module.device_put(self.module.numpy.asarray(array), gpu.of_jax(self.module))
        if self.library == "torch" and whole.dtype == ml_dtypes.bfloat16:
            there = self.module.from_numpy(whole.view(np.int16)).cuda().view(self.module.bfloat16)
        else:
            there = self.module.from_numpy(whole).cuda() if self.library == "torch" else self.module.asarray(whole)
        start = (array.ctypes.data - whole.ctypes.data) // array.itemsize
        steps = [step // array.itemsize for step in array.strides]
        if self.library == "torch":
            return there.as_strided(array.shape, steps, start)
        flat = there.reshape(-1)[start:]
        as_strided = np.lib.stride_tricks.as_strided if not self.real else self.cupy.lib.stride_tricks.as_strided
        return as_strided(flat, array.shape, array.strides, **({} if self.real else {"subok": True}))

    def get(self, array):
        """The values in float64 on the host."""
        if self.library == "torch":
            return array.double().cpu().numpy()
        return (array.get() if self.library == "cupy" else np.asarray(array)).astype(np.float64)


@pytest.fixture(params=PLACES)
def place(request):
    """CuPy on the stand-in, and each library on the GPU."""
    if request.param == "stand-in":
        if problem := emulate.problem():
            pytest.skip(problem)
        with stand_in.installed(emulate.raw_module) as cupy:
            yield Place("cupy", cupy)
        return
    assert gpu.cupy_problem() is None
    library = request.param.partition(", ")[2]
    if library != "cupy":
        module = pytest.importorskip(library)
        found = module.cuda.is_available() if library == "torch" else gpu.of_jax(module)
        if not found:
            pytest.skip(f"this {library} does not reach the GPU")
    yield Place(library, import_module("cupy"))


@cache
def numbers(dtype):
    """x and the gradient of the output in a dtype, and the same exactly."""
    x, grad = (values(SHAPE, seed).astype(TYPES[dtype]) for seed in (0, 1))
    return x, grad, x.astype(float), grad.astype(float)


@cache
def expected(dtype, method, num_groups):
    """Statistics, output and gradient by plain loops in float64."""
    _, _, x, grad = numbers(dtype)
    weight = np.linspace(0.5, 2, SHAPE[nv.METHODS[method].affine_axis])
    return (
        weight,
        reference.statistics_arrays(x, method, num_groups),
        reference.normalize(x, method, num_groups, weight, weight),
        reference.gradient(x, grad, method, num_groups, weight),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_method(place, dtype, layout):
    if place.library == "jax" and (dtype == "float64" or layout != "dense"):
        pytest.skip("JAX has neither strides nor, unless it is told, float64")
    x, grad, *_ = (place.put(LAYOUTS[layout](a)) for a in numbers(dtype)[:2])
    for method, num_groups in configurations(SHAPE):
        weight, (mean, var), y, slope = expected(dtype, method, num_groups)
        options = {"num_groups": num_groups}
        found = nv.statistics(x, method, **options)
        assert found.backend == "cupy"
        np.testing.assert_allclose(found.mean, mean, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.var, var, rtol=1e-6, atol=1e-6)
        ours = nv.normalize(x, method, weight=weight, bias=weight, **options)
        assert type(ours) is type(x)
        np.testing.assert_allclose(place.get(ours), y, rtol=CLOSE[dtype], atol=CLOSE[dtype])
        gradients = nv.gradient(x, grad, method, weight=weight, **options)
        np.testing.assert_allclose(place.get(gradients.input), slope, rtol=CLOSE[dtype], atol=2 * CLOSE[dtype])


@pytest.mark.parametrize("dtype", TYPES)
def test_out_and_in_place(place, dtype):
    if place.library == "jax":
        pytest.skip("a JAX array never changes")
    weight, _, y, _ = expected(dtype, "group", 2)
    for layout in LAYOUTS.values():
        x, out = (place.put(layout(numbers(dtype)[0])) for _ in range(2))
        for target in (out, x):
            assert nv.normalize(x, "group", num_groups=2, weight=weight, bias=weight, out=target) is target
            np.testing.assert_allclose(place.get(target), y, rtol=CLOSE[dtype], atol=CLOSE[dtype])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_parameters_on_the_device(place, dtype):
    """Of x's type and of others."""
    weight, bias = (values(6, seed).astype(TYPES[dtype]) for seed in (2, 3))
    for of_x in ("float32", dtype):
        x = numbers(of_x)[0]
        y = nv.normalize(place.put(x), "batch", weight=place.put(weight), bias=place.put(bias))
        exact = reference.normalize(x.astype(float), "batch", None, weight.astype(float), bias.astype(float))
        np.testing.assert_allclose(place.get(y), exact, rtol=CLOSE[of_x], atol=2 * CLOSE[of_x])


def test_float32_up_to_its_ends(place):
    x = np.where(values((4, 6, 7, 9), loc=0) > -1, np.float32(3e38), np.float32(-3e38))
    x[1] = np.sign(x[1]) * np.float32(3e-42)
    for method, num_groups in (("instance", None), ("group", 2), ("frn", None)):
        y = place.get(nv.normalize(place.put(x), method, num_groups=num_groups, eps=1e-300))
        exact = nv.normalize(x.astype(float), method, num_groups=num_groups, eps=1e-300)
        if place.library == "jax":  # which may hold subnormal numbers to be 0 while it copies them
            y, exact = np.delete(y, 1, 0), np.delete(exact, 1, 0)
        np.testing.assert_allclose(y, exact, rtol=1e-6, atol=1e-6)


@contextmanager
def little_memory(place, nbytes):
    """Leave so many bytes for what CuPy allocates."""
    pool = place.cupy.get_default_memory_pool()
    try:
        if place.real:
            pool.free_all_blocks()
            pool.set_limit(size=pool.total_bytes() + nbytes)
        else:
            pool.limit = pool.used + nbytes
        yield
    finally:
        if place.real:
            pool.set_limit(size=0)
        else:
            pool.limit = 1 << 40


def test_with_little_memory_the_work_is_done_in_pieces(place):
    """x is never dense, so that every piece of it is copied."""
    cells = 1 << 24 if place.real else 1 << 13
    x = place.put(values((cells >> 11, 8, 16, 16), dtype=np.float32).repeat(2, axis=-1)[..., ::2])
    if place.library == "jax":
        pytest.skip("JAX has no strides")
    out = place.put(np.empty(tuple(x.shape), np.float32).repeat(2, axis=-1)[..., ::2])
    exact = nv.normalize(place.get(x), "batch", backend="numpy")
    with little_memory(place, cells):  # a quarter of x
        assert nv.normalize(x, "batch", out=out) is out
    np.testing.assert_allclose(place.get(out), exact, rtol=3e-6, atol=3e-6)


def test_a_gpu_without_memory_leaves_the_work_to_numpy(place):
    x = place.put(values((64, 8, 16, 16), dtype=np.float32))
    with little_memory(place, 100), pytest.warns(RuntimeWarning, match="too little for x of .* NumPy computes this"):
        found = nv.moments(x)
    assert found.backend == "numpy"
    np.testing.assert_allclose(found.m2, nv.moments(place.get(x)).m2, rtol=1e-6)
