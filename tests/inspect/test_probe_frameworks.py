"""Probes of JAX, Flax and CuPy functions: arrays are handed over and taken back in their own kind."""

import warnings

import numpy as np
import pytest

import normviz as nv
from normviz.inspect._call import Forward, hand_over, take_back
from normviz.inspect._snapshot import Snapshot
from tests.core import stand_in
from tests.inspect.truth import compare
from tests.inspect.zoo import LAST, MAPPED, NUMBERS, Case, cellwise, hat, normal

BN, GN, IN, ONE = (4, 6, 6, 1), (1, 6, 6, 2), (1, 6, 6, 1), (1, 1, 1, 8)


def jax_cases():
    pytest.importorskip("jax", reason="JAX is not installed")
    pytest.importorskip("flax", reason="Flax is not installed")
    import jax
    import jax.numpy as jnp
    from flax import linen, nnx

    keys = nnx.Rngs(0)
    linear = nnx.GroupNorm(8, num_groups=2, epsilon=1e-4, rngs=keys)
    linear.scale.set_value(jnp.linspace(0.5, 2, 8))
    group = linen.GroupNorm(num_groups=2)
    variables = group.init(jax.random.key(0), jnp.ones(LAST))
    scale = {"affine": "channel", "weight": np.linspace(0.5, 2, 8), "bias": np.zeros(8)}
    one_size, dropped = {"unbiased"}, {"unbiased", "affine", "weight", "bias"}
    return {
        "a function": Case(
            lambda x: (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-3),
            normal("instance", block=IN, eps=1e-3),
            LAST,
            -1,
        ),
        "jit": Case(
            jax.jit(lambda x: x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)),
            normal("rms", block=ONE),
            LAST,
            -1,
        ),
        "BatchNorm": Case(nnx.BatchNorm(8, rngs=keys), normal("batch", block=BN), LAST, -1),
        "BatchNorm, eval": Case(
            nnx.BatchNorm(8, use_running_average=True, epsilon=0.25, rngs=keys),
            cellwise(affine="channel", weight=np.full(8, 1.25**-0.5), bias=np.zeros(8)),
            LAST,
            -1,
            open=MAPPED,
        ),
        "GroupNorm": Case(linear, normal("group", 2, (1, 6, 6, 4), eps=1e-4, **scale), LAST, -1),
        "LayerNorm": Case(
            nnx.LayerNorm(8, rngs=keys), normal("positional", block=ONE, eps=1e-6), LAST, -1, open=one_size
        ),
        "LayerNorm, bfloat16": Case(
            nnx.LayerNorm(8, epsilon=1e-3, dtype=jnp.bfloat16, rngs=keys),
            normal("positional", block=ONE, eps=1e-3),
            LAST,
            -1,
            open=one_size,
            tolerance=2e-2,
        ),
        "RMSNorm": Case(nnx.RMSNorm(8, rngs=keys), normal("rms", block=ONE, eps=1e-6), LAST, -1, open=one_size),
        "InstanceNorm": Case(nnx.InstanceNorm(8, rngs=keys), normal("instance", block=IN, eps=1e-6), LAST, -1),
        "linen": Case(
            lambda x: group.apply(variables, x), normal("group", 2, (1, 6, 6, 4), eps=1e-6), LAST, -1
        ),
        "then dropout": Case(
            nnx.Sequential(nnx.GroupNorm(8, num_groups=4, rngs=keys), nnx.Dropout(0.5, rngs=keys)),
            normal("group", 4, GN, eps=1e-6, stochastic=True),
            LAST,
            -1,
            open=dropped,
        ),
        "dropout alone": Case(nnx.Dropout(0.5, rngs=keys), cellwise(stochastic=True), LAST, -1, open=NUMBERS),
    }  # fmt: skip


JAX = "a function,jit,BatchNorm,BatchNorm; eval,GroupNorm,LayerNorm,LayerNorm; bfloat16,RMSNorm,InstanceNorm,linen,"
JAX = [name.replace(";", ",") for name in (JAX + "then dropout,dropout alone").split(",")]


@pytest.fixture(scope="module")
def jax_zoo():
    return jax_cases()


@pytest.mark.parametrize("name", JAX)
def test_jax(jax_zoo, name):
    assert sorted(jax_zoo) == sorted(JAX)
    compare(jax_zoo[name], "jax")


def test_cupy_functions_get_device_arrays():
    with stand_in.installed() as cupy:
        given = []

        def fn(x):
            given.append(type(x))
            mean = np.add.reduce(x, axis=(2, 3), keepdims=True) / (x.shape[2] * x.shape[3])
            var = np.add.reduce((x - mean) ** 2, axis=(2, 3), keepdims=True) / (x.shape[2] * x.shape[3])
            return (x - mean) / cupy.sqrt(var + 1e-5)

        found = nv.probe(fn, framework="cupy")
        assert (found.method, found.framework) == ("instance", "cupy")
        assert set(given) == {cupy.ndarray}


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_arrays_go_over_and_come_back(framework, dtype):
    if framework != "numpy":
        pytest.importorskip(framework, reason=f"{framework} is not installed")
    if (framework, dtype) in {("numpy", "bfloat16"), ("jax", "float64")}:
        pytest.skip(f"{framework} has no {dtype} here")
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    array = hand_over(x, framework, dtype)
    assert str(array.dtype).removeprefix("torch.") == dtype
    forward = Forward(lambda y: y, Snapshot())
    forward.dtype = dtype
    back = take_back(array)
    np.testing.assert_array_equal(back, forward.round(x))
    before = x.copy()
    back[:] = 0
    np.testing.assert_array_equal(x, before)


def test_a_framework_can_be_given():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    kinds = []

    def fn(x):
        kinds.append(type(x))
        return hat(x, (2, 3)) if isinstance(x, np.ndarray) else torch.nn.functional.instance_norm(x)

    assert nv.probe(fn, framework="numpy").framework == "numpy"
    assert set(kinds) == {np.ndarray}
    kinds.clear()
    assert nv.probe(fn, framework="torch").framework == "torch"
    assert set(kinds) == {torch.Tensor}


def test_a_function_that_takes_half_precision_alone():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def fn(x):
        if x.dtype != torch.float16:
            raise TypeError("half, please")
        return torch.nn.functional.group_norm(x, 2)

    found = nv.probe(fn)
    assert (found.num_groups, found.dtype) == (2, "float16")


def test_warnings_of_the_function_are_kept_quiet():
    def fn(x):
        warnings.warn("loud", stacklevel=1)
        return hat(x, (2, 3))

    assert nv.probe(fn).method == "instance"
