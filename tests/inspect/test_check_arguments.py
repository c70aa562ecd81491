"""The arguments of check, valid and invalid; and that a check restores the state of fn."""

import random
from functools import partial

import numpy as np
import pytest

import normviz as nv
from normviz.inspect.check.simulate import MOST_CELLS, Scene
from tests.core.cases import each_message, refuses
from tests.inspect import faulty

SHAPE = (3, 8, 5, 4)


batch = partial(nv.check, abs, "batch")
SMALL = {"shape": (2, 4, 2, 2)}
MESSAGES = [
    (partial(nv.check, 3, "batch"), TypeError, "fn is of type int, which cannot be called; pass a function or a layer"),
    (partial(nv.check, abs, "bach"), ValueError, "unknown method 'bach'; did you mean 'batch'? (known: batch, ..."),
    (partial(nv.check, abs, "group"), TypeError, "num_groups ... whole number, not None; ... needs at least one group"),
    (partial(nv.check, abs, "group", 2.0), TypeError, "num_groups must be a ... not 2.0; ... needs at least one group"),
    (partial(nv.check, abs, "group", 0), ValueError, "num_groups=0 is less than 1; method 'group' ... least one group"),
    (partial(nv.check, abs, "group", 10**9), ValueError, "num_groups=1000000000 ... 268,435,456 ... most that ..."),
    (partial(nv.check, abs, "group", 3, **SMALL), ValueError, "num_groups=3 does not divide C=4; these do: 1, 2, 4"),
    (partial(nv.check, abs, "layer", 2), ValueError, "num_groups=2 means nothing to method 'layer'; leave it out"),
    (partial(batch, eps=-1), ValueError, "eps=-1 is not a number >= 0; it is added to the variance"),
    (partial(batch, eps=np.nan), ValueError, "eps=nan is not a number >= 0; it is added to the variance"),
    (partial(batch, eps=10**400), ValueError, "eps=10000 ... 0000 is not a number >= 0; it is added to the variance"),
    (partial(batch, shape=(3,)), ValueError, "shape has rank 1, shape (3,); it needs 2 to 5 axes, (N, C, *spatial)"),
    (partial(batch, shape=(10**6, 10**6)), ValueError, "shape ... has 1,000,000,000,000 cells; ... most 268,435,456"),
    (partial(batch, shape=(2**40, 2**40)), ValueError, "shape (1099511627776, ...) has 1,20 ... at most 268,435,456"),
    (partial(batch, framework="tf"), ValueError, "unknown framework 'tf' (known: numpy, torch, jax, cupy)"),
    (partial(batch, framework=np.array(["numpy", "jax"])), ValueError, "unknown framework array([ ... (known: ..."),
    (partial(batch, dtype="int8"), ValueError, "unknown dtype 'int8' (known: float64, float32, float16, bfloat16)"),
    (partial(batch, dtype=np.float32), ValueError, "unknown dtype <class 'numpy.float32'> (known: float64, ..."),
    (partial(batch, dtype=["float32"]), ValueError, "unknown dtype ['float32'] (known: float64, ..."),
    (partial(batch, momentum=2), ValueError, "momentum=2 is not between 0 and 1; it is the share of the newest batch"),
    (partial(batch, momentum=True), ValueError, "momentum=True is not between 0 and 1; ... share of the newest batch"),
    (partial(batch, ignore="wrong-axis"), ValueError, "ignore: unknown code 'wrong-axis'; ... mean 'wrong-axes'? ..."),
    (partial(batch, ignore=[["eps"]]), ValueError, "ignore: unknown code ['eps'] (known: eps-value, ..."),
    (partial(batch, ignore=5), TypeError, "ignore is of type int; give a code, or several in a list"),
    (partial(batch, weigth=1), TypeError, "check(): unknown keyword 'weigth'; did you mean 'weight'? (known: fn, ..."),
    (partial(batch, weight=["a"]), TypeError, "weight has dtype <U1; use a float"),
    (partial(batch, weight=1j * np.ones(8)), TypeError, "weight has dtype complex128; use a float"),
    (partial(batch, weight=np.ones(3), **SMALL), ValueError, "weight has shape (3,); ... on C=4 channels needs (4,)"),
    (partial(batch, weight=np.ones((7,) * 4), **SMALL), ValueError, "weight has shape (7, 7, 7, 7); ... needs (4,)"),
    (partial(nv.check, faulty.right, "batch", bias=np.ones(3), **SMALL), ValueError, "bias ... (3,); ... needs (4,)"),
    (partial(batch, channel_axis=3, shape=(2, 4, 2)), ValueError, "channel_axis=3 is not ... rank 3; use -3 to 2"),
    (partial(batch, channel_axis=7), ValueError, "channel_axis=7 ... axis of an array of 2 to 5 axes; use 1 or -1"),
    (partial(batch, channel_axis=True), TypeError, "channel_axis ... whole number, not True; 1 and -1 are the ..."),
    (partial(batch, channel_axis=None), TypeError, "channel_axis ... whole number, not None; 1 and -1 are the ..."),
    (partial(batch, running=("mean",)), TypeError, "running=('mean',) is not a pair of names, (mean, variance), ..."),
    (partial(batch, running="ab"), TypeError, "running='ab' ... pair of names, (mean, variance), of attributes of fn"),
    (partial(batch, running=("mean", 3)), TypeError, "running=('mean', 3) ... pair of names, (mean, variance), ..."),
    (partial(nv.check, abs, "layer", running="ab"), TypeError, "running='ab' ... pair of names, (mean, variance), ..."),
    (partial(batch, running=("mean", "mean")), ValueError, "running=('mean', 'mean') is not (mean, variance): ..."),
    (
        partial(batch, running=("moving_var", "moving_mean")),
        ValueError,
        "running=('moving_var', ... two arrays, and the mean is first",
    ),
    (partial(batch, running=("gamma", "beta")), ValueError, "running=('gamma', 'beta') is not (mean, variance): ..."),
    (partial(batch, weight=[1, np.nan]), ValueError, "weight holds NaN or infinite numbers, ...; give finite ones"),
    (partial(batch, bias=[1, np.inf]), ValueError, "bias holds NaN or infinite numbers, so no output ... finite ones"),
    (
        partial(batch, backward=3),
        TypeError,
        "backward is of type int, which cannot be called; pass a function or a ...",
    ),
    (
        partial(nv.check, abs, "layer", momentum=0.1),
        ValueError,
        "momentum=0.1 means nothing to method 'layer', only ...",
    ),
    (partial(batch, seed=-1), ValueError, "seed=-1 is not from 0 to 2**63 - 1, which every random generator takes"),
    (partial(batch, seed=2**63), ValueError, "seed=9223372036854775808 ... 0 to 2**63 - 1, which every random ..."),
    (partial(batch, seed="x"), TypeError, "seed must be a whole number, not 'x'"),
    (partial(batch, seed=0.5), TypeError, "seed must be a whole number, not 0.5"),
]


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "keywords",
    [
        {"method": LONG},
        {"eps": LONG},
        {"momentum": LONG},
        {"framework": LONG},
        {"dtype": LONG},
        {"seed": LONG},
        {"channel_axis": LONG},
        {"ignore": LONG},
        {"ignore": [LONG]},
        {"running": LONG},
        {"running": (LONG, LONG, LONG)},
        {"shape": LONG},
        {"weight": LONG},
        {"num_groups": LONG},
        {"method": "group", "num_groups": LONG},
        {"method": "group", "num_groups": LONG, "shape": (2, 4, 2, 2)},
        {"method": "group", "num_groups": 10**4000},
        {LONG: 1},
    ],
    ids=lambda keywords: next(k[:10] for k in keywords if k != "method" or len(keywords) == 1),
)
def test_a_message_stays_short_whatever_is_passed(keywords):
    with pytest.raises((TypeError, ValueError)) as caught:
        nv.check(abs, **{"method": "batch"} | keywords)
    assert len(str(caught.value)) < 1000


def test_ignore():
    assert nv.check(faulty.unbiased, "batch", ignore=["unbiased-variance"]).passed
    assert nv.check(faulty.unbiased, "batch", ignore="cancellation").codes == ("unbiased-variance",)


def test_a_given_weight_is_the_one_that_is_compared():
    weight, bias = np.linspace(1, 2, 6), np.linspace(-1, 1, 6)

    def closed(x):
        return faulty.right(x, weight, bias)

    assert nv.check(closed, "batch", weight=weight, bias=bias).passed
    assert nv.check(closed, "batch", shape=(2, 6, 3, 3)).codes != ()
    assert nv.check(faulty.right, "batch", weight=weight, bias=bias, shape=(4, 6, 2, 2)).passed
    swapped = nv.check(faulty.affine_swapped, "batch", weight=weight, bias=bias)
    assert swapped.codes == ("affine-swapped",)
    assert swapped.shape[1] == 6


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, gamma, beta: faulty.right(x, gamma, beta),
        lambda x, p, q: faulty.right(x, p, q),
        lambda x, w=None, b=None: faulty.right(x, w, b),
        lambda x, /, scale, shift: faulty.right(x, scale, shift),
        lambda x, weight, bias, eps: nv.normalize(x, "batch", weight=weight, bias=bias, eps=eps),
        lambda x, g: nv.normalize(x, "batch", weight=g),
        lambda x, beta: nv.normalize(x, "batch", bias=beta),
        lambda x, *, bias, weight: faulty.right(x, weight, bias),
    ],
)
def test_how_weight_and_bias_are_taken(fn):
    verdict = nv.check(fn, "batch")
    assert verdict.passed, str(verdict)
    assert verdict.shape == SHAPE


def test_num_groups_is_handed_over_where_it_is_required():
    def group(x, num_groups, weight, bias):
        return nv.normalize(x, "group", num_groups=num_groups, weight=weight, bias=bias)

    assert nv.check(group, "group", 4).passed
    assert nv.check(lambda x, G, gamma, beta: group(x, G, gamma, beta), "group", 3).passed


def test_a_function_of_one_shape():
    def fixed(x):
        return nv.normalize(x.reshape(2, 4, 3, 3), "layer")

    assert nv.check(fixed, "layer", shape=(2, 4, 3, 3)).passed
    other = nv.check(fixed, "layer")
    assert other.codes == ("raises",)
    assert "If it needs another shape, pass shape=" in other.findings[0].hint


def test_large_arrays_are_compared_on_a_sample_of_their_cells():
    calls = []

    def slow(x):
        calls.append(x.size)
        return (x - x.mean((0, 2, 3), keepdims=True)) / (x.std((0, 2, 3), keepdims=True) + 1e-5)

    verdict = nv.check(slow, "batch", shape=(8, 64, 28, 28))
    assert verdict.codes == ("eps-outside",)
    assert len(calls) == verdict.calls <= 20
    x = np.zeros((8, 64, 28, 28))
    assert Scene(nv.pooling("batch", x.shape), x).sample().flat(x).size == MOST_CELLS


def test_nothing_is_changed():
    kept = {"calls": 0, "weight": np.arange(8.0), "random": np.random.default_rng(1)}
    state, before = kept["random"].bit_generator.state, random.getstate()

    class Careless:
        """Changes its own weight and keeps its input."""

        def __init__(self):
            self.weight, self.bias, self.last = np.ones(8), np.zeros(8), None

        def __call__(self, x):
            self.last = x
            kept["random"].random()
            random.random()
            np.random.random()  # noqa: NPY002
            y = nv.normalize(x, "batch", weight=self.weight, bias=self.bias)
            self.weight += 1
            return y

    layer = Careless()
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002
    assert nv.check(layer, "batch").passed
    np.testing.assert_array_equal(layer.weight, np.ones(8))
    np.testing.assert_array_equal(layer.bias, np.zeros(8))
    assert layer.last is None
    assert kept["random"].bit_generator.state == state
    assert random.getstate() == before
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)  # noqa: NPY002


def test_gradients_and_hooks_of_torch_stay():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = torch.nn.GroupNorm(2, 6)
    layer(torch.randn(2, 6, 3, 3)).square().sum().backward()
    grad, weight = layer.weight.grad, layer.weight.detach().clone()
    numbers = grad.clone()
    seen = []
    layer.register_forward_hook(lambda *_: seen.append(1))
    assert nv.check(layer, "group", 2).passed
    assert layer.weight.grad is grad
    assert torch.equal(grad, numbers)
    assert torch.equal(layer.weight, weight)
    assert len(layer._forward_hooks) == 1
    x = torch.zeros(2, 6, 3, 3, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None


mean = np.zeros(3)
"""A global with the name of a method that a function below calls."""


def wide(x):
    """Batch Norm that returns float64."""
    y = np.zeros(x.shape)
    y[:] = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    return y


def test_an_attribute_is_no_global_of_that_name():
    assert nv.check(wide, "batch").codes == ("wrong-dtype",)


def test_the_same_seed_makes_the_same_calls():
    inputs = []

    def watched(x):
        inputs.append(x.tobytes())
        return faulty.unbiased(x)

    first = str(nv.check(watched, "batch"))
    half = len(inputs)
    assert str(nv.check(watched, "batch")) == first
    assert inputs[:half] == inputs[half:]
    assert nv.check(watched, "batch", seed=1).codes == ("unbiased-variance",)
