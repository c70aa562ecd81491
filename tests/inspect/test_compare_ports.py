"""A model against any function of arrays: a port in NumPy, JAX or Keras, in any layout."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import normviz as nv
from normviz.inspect.compare.ports import not_measured
from tests.inspect import audit_models as zoo


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def randomized(model):
    g = torch.Generator().manual_seed(4)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=g) * 0.4 + (p.ndim == 1)
    return model.eval()


MAPS = randomized(nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8, eps=1e-3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)))
LAST = randomized(nn.Sequential(nn.Conv2d(3, 8, 1), zoo.LayerNorm2d(8, eps=1e-6), nn.GELU()))
TOKENS = randomized(nn.Sequential(nn.Linear(16, 16), nn.RMSNorm(16, eps=1e-6), nn.Linear(16, 4)))
BATCH = randomized(nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Flatten()))
X = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(1))
T = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2))


def arrays(model, make=np.asarray):
    return {k: make(v.detach().numpy()) for k, v in model.state_dict().items()}


W, Q, R = arrays(MAPS), arrays(LAST, jnp.asarray), arrays(TOKENS)


def numpy_norm(x, G=2, eps=1e-3, ddof=0, mean=True):
    h = x.reshape(len(x), G, -1)
    var = h.var(-1, keepdims=True, ddof=ddof) if mean else np.square(h).mean(-1, keepdims=True)
    y = ((h - h.mean(-1, keepdims=True) * mean) / np.sqrt(var + eps)).reshape(x.shape)
    return y * W["1.weight"][:, None, None] + W["1.bias"][:, None, None]


def numpy_port(x, norm=numpy_norm):
    """Channels first."""
    y = np.einsum("oc,nchw->nohw", W["0.weight"][:, :, 0, 0], x) + W["0.bias"][:, None, None]
    return np.maximum(norm(y), 0).mean((2, 3), keepdims=True)


def jax_norm(y, axes=-1, eps=1e-6):
    hat = (y - y.mean(axes, keepdims=True)) / jnp.sqrt(y.var(axes, keepdims=True) + eps)
    return hat * Q["1.weight"] + Q["1.bias"]


def jax_port(x, norm=jax_norm, layout=lambda y: y):
    """Channels last, in and out."""
    y = x.transpose(0, 2, 3, 1) @ Q["0.weight"][:, :, 0, 0].T + Q["0.bias"]
    return layout(jax.nn.gelu(norm(y), approximate=False))


def heads_norm(x, d=16):
    h = x.reshape(*x.shape[:-1], -1, d)
    return (h / np.sqrt(np.square(h).mean(-1, keepdims=True) + 1e-6)).reshape(x.shape) * R["1.weight"]


def tokens_port(x, norm=heads_norm):
    y = norm(x @ R["0.weight"].T + R["0.bias"])
    return {"logits": y @ R["2.weight"].T + R["2.bias"], "hidden": y}


def batch_port(x):
    P = arrays(BATCH)
    y = np.einsum("oc,nchw->nhwo", P["0.weight"][:, :, 0, 0], x) + P["0.bias"]
    y = (y - P["1.running_mean"]) / np.sqrt(P["1.running_var"] + 1e-5) * P["1.weight"] + P["1.bias"]
    return y.transpose(0, 3, 1, 2).reshape(len(x), -1)


SAME = {
    "NumPy": (MAPS, numpy_port, X, ""),
    "NumPy, x of NumPy": (MAPS, numpy_port, X.numpy(), ""),
    "JAX, channels last": (LAST, jax_port, X, "The axes of the output of b are those of a in the order (0, 2, 3, 1)."),
    "JAX, compiled": (LAST, jax.jit(jax_port), X, "in the order (0, 2, 3, 1)"),
    "JAX, tokens": (LAST, lambda x: jax_port(x, layout=lambda y: y.reshape(2, 24, 8)), X, "in other shapes"),
    "a dict of arrays": (TOKENS, tokens_port, T, ""),
    "fixed statistics": (BATCH, batch_port, X, ""),
    "two functions": (numpy_port, lambda x: MAPS(x).detach(), X.numpy(), ""),
    "several arguments": (lambda x, y: x - y, lambda x, y: -(y - x), (X, X.numpy() * 2), ""),
    "arguments by name": (lambda x, y: x - y, lambda y, x: (x - y, None), {"x": X, "y": X.numpy() * 2}, ""),
}


@pytest.mark.parametrize("name", SAME)
def test_a_right_port(name):
    model, port, x, words = SAME[name]
    for a, b in ((model, port), (port, model)):
        found = nv.compare(a, b, x)
        assert found.same
        assert (found.pairs, found.norms, found.between) == ([], [], None)
        assert str(found).startswith("The outputs of the two models agree, on this example.")
        assert " part" not in str(found)
        if a is model:
            assert words in str(found)


WRONG = {
    "groups": (MAPS, numpy_port, numpy_norm, {"G": 4}, X, "1 / the norm pools 96 cells in a, 48 in b."),
    "unbiased": (MAPS, numpy_port, numpy_norm, {"ddof": 1}, X, "is |S| in a and |S| - 1 in b."),
    "no mean": (MAPS, numpy_port, numpy_norm, {"mean": False}, X, "subtracted is the mean in a and nothing in b."),
    "whole sample": (LAST, jax_port, jax_norm, {"axes": (1, 2, 3)}, X, "pools 8 cells in a, 192 in b."),
    "heads": (TOKENS, tokens_port, heads_norm, {"d": 4}, T, "pools 16 cells in a, 4 in b."),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_named_norms_are_measured_where_the_outputs_differ(name):
    model, port, norm, wrong, x, words = WRONG[name]
    theirs = lambda y: norm(y, **wrong)  # noqa: E731
    found = nv.compare(model, lambda x: port(x, theirs), x, norms=("1", theirs))
    assert not found.same
    assert words in str(found)
    assert len(found.norms) == 2
    assert sum(" / the norm" in line for line in str(found).splitlines()) == 1
    assert " part" not in str(found)
    channels_last = (theirs, (2, 6, 4, 8), -1)
    if model is LAST:
        stated = nv.compare(lambda x: port(x, theirs), model, x, norms=(channels_last, "1"))
        assert "were taken to be" not in str(stated)


def test_norms_that_do_the_same_are_not_the_cause():
    found = nv.compare(MAPS, lambda x: numpy_port(x) + 1, X, norms=("1", numpy_norm))
    assert not found.same
    assert "The two norms give the same output for the same input, so the cause is somewhere else." in str(found)
    port = randomized(nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(4, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)))
    assert "1 pools 96 cells in a, 48 in b." in str(nv.compare(MAPS, port, X, norms=("1", "1")))


def test_what_was_measured_of_one_norm_alone_is_no_agreement():
    """The divisor cannot be measured of a layer that takes one number of features alone."""

    def by_hand(x, ddof=1):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True, ddof=ddof) + 1e-5)

    model, x = nn.Sequential(nn.LayerNorm(8)), torch.randn(2, 5, 8)
    for a, b, norms, one in (
        (model, by_hand, ("0", by_hand), "ba"),
        (by_hand, model, (by_hand, "0"), "ab"),
        (model, lambda x: by_hand(x) + 1, ("0", lambda x: by_hand(x)), "ba"),
    ):
        text = str(nv.compare(a, b, x, norms=norms))
        assert "for the same input their outputs differ by 0.06" in text
        assert f"of squares is |S| - 1 in {one[0]}, and could not be measured in {one[1]}." in text
        assert "elsewhere" not in text.replace("are elsewhere, give", "")
    right = lambda x: by_hand(x, ddof=0)  # noqa: E731
    found = nv.compare(model, lambda x: right(x) + 1, x, norms=("0", right))
    assert "The two norms give the same output for the same input, so the cause is somewhere else." in str(found)
    other_shape = nv.compare(model, lambda x: right(x) + 1, x, norms=("0", (right, (3, 4, 8), -1)))
    assert str(other_shape).count("could not be measured in a") == 1
    assert "No other difference between the two norms could be measured." in str(other_shape)
    whole = found.norms[1]
    nothing = dataclasses.replace(whole, centered=None, unbiased=None, eps=None, eps_inside=None, affine=None)
    assert not_measured(nothing, nothing) == []
    assert not_measured(nothing, whole) == [
        f"{what} in b, and could not be measured in a"
        for what in (
            "what is subtracted is the mean",
            "the divisor of the sum of squares is |S|",
            "eps is 1e-05",
            "eps is inside the root",
            "weight and bias: none",
        )
    ]
    assert "name that of each model with norms=, or give it to nv.check." in str(nv.compare(model, by_hand, x))


def test_fixed_statistics_on_one_side():
    theirs = lambda y: (y - y.mean((0, 2, 3), keepdims=True)) / (y.var((0, 2, 3), keepdims=True) + 1e-5) ** 0.5  # noqa: E731
    found = nv.compare(BATCH, lambda x: batch_port(x) * 2, X, norms=("1", theirs))
    assert "1 / the norm takes no statistics of its input in a, as in eval mode." in str(found)


def test_a_weight_that_is_1_more():
    theirs = lambda y: heads_norm(y) / R["1.weight"] * (1 + R["1.weight"])  # noqa: E731
    found = nv.compare(TOKENS, lambda x: tokens_port(x, theirs), T, norms=("1", theirs))
    assert "the weight of b is 1 more than that of a everywhere." in str(found)


def test_a_reshape_for_a_transpose_is_no_other_layout():
    wrong = lambda y: y.transpose(0, 3, 1, 2).reshape(2, 6, 4, 8)  # noqa: E731
    found = nv.compare(LAST, lambda x: jax_port(x, layout=wrong), X)
    assert not found.same
    assert "The outputs hold the same numbers: b is a reshaped, not transposed" in str(found)
    found = nv.compare(lambda x: x, lambda x: x[:, ::-1], X.numpy())
    assert (found.same, "The outputs hold the same numbers in another order." in str(found)) == (False, True)
    found = nv.compare(lambda x: x, lambda x: x[:, 1:], X.numpy())
    assert "The outputs have other shapes: a returns shape (2, 3, 6, 4), b (2, 2, 6, 4)." in str(found)


def test_keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    conv, norm = keras.layers.Conv2D(8, 1), keras.layers.LayerNormalization(epsilon=1e-6)
    model = keras.Sequential([keras.layers.Input((6, 4, 3)), conv, norm])
    state = {k: np.asarray(v) for k, v in Q.items()}
    conv.set_weights([state["0.weight"][:, :, 0, 0].T[None, None], state["0.bias"]])
    norm.set_weights([state["1.weight"], state["1.bias"]])
    port = lambda x: model(keras.ops.transpose(x, (0, 2, 3, 1)))  # noqa: E731
    assert nv.compare(LAST[:2], port, X).same
    norm.epsilon = 0.1
    assert str(nv.compare(LAST[:2], port, X)).startswith("The outputs of the two differ by 0.")


class Counting:
    """A port that counts its calls, and writes into its input."""

    def __init__(self):
        self.calls, self.mean = 0, np.zeros(3)

    def __call__(self, x):
        self.calls += 1
        self.mean += x.mean((0, 2, 3))
        x *= 0
        torch.rand(1)
        return x


def test_everything_is_left_as_it_was():
    port, x = Counting(), X.numpy().copy()
    before, state = x.copy(), torch.get_rng_state()
    nv.compare(port, nn.Identity(), x)
    assert port.calls == 0
    assert not port.mean.any()
    np.testing.assert_array_equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


ERRORS = {
    "a name of no layer": (
        {"norms": ("norm", numpy_norm)},
        ValueError,
        r"^norms: unknown layer of model_a 'norm' \(known: 1\)",
    ),
    "a name in a function": (
        {"norms": ("1", "1")},
        TypeError,
        "'1' is the name of a layer, and model_b is no torch model",
    ),
    "one norm": ({"norms": "1"}, TypeError, "^norms='1' is not a pair; give the norm of model_a and that of model_b"),
    "a number": ({"norms": ("1", 3)}, TypeError, "^norms: 3 does not name a norm of model_b; give a layer's name"),
    "names": (
        {"names": {"1": "1"}},
        ValueError,
        "^names pairs the layers of two torch models, and one of the two is none",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_to_do(name):
    given, error, words = ERRORS[name]
    with pytest.raises(error, match=words):
        nv.compare(MAPS, numpy_port, X, **given)


def test_a_port_that_raises_or_returns_nothing():
    with pytest.raises(
        ValueError, match=r"^model_b raised ValueError on an example of shape \(2, 3, 6, 4\): .*; give an"
    ):
        nv.compare(MAPS, lambda x: np.einsum("ij,jk", x, x), X)
    with pytest.raises(TypeError, match=r"^model_b returned a NoneType without an array in it; return the output"):
        nv.compare(MAPS, lambda x: None, X)
    found = nv.compare(lambda x: x, lambda x: 2 * x, X, norms=(numpy_norm, lambda y: y[:, :1]))
    assert "The norm of b could not be measured: fn returned shape" in str(found)
