"""Functions that misbehave: a probe or a check ends with a result or one sentence, without a raw error or a warning."""

import random
import re
import sys

import numpy as np
import pytest

import normviz as nv
from tests.inspect.zoo import hat

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def at_call(number, change):
    """Instance Norm whose output, or whole call, is another one once."""

    def make():
        calls = []

        def fn(x):
            calls.append(1)
            return change(x) if len(calls) == number else hat(x, (2, 3))

        return fn

    return make


class TextFails(Exception):
    def __str__(self):
        raise KeyError("x")


def raises(error):
    def fn(x):
        raise error

    return fn


class NoShape:
    dtype, shape = "float64", None


class ShapeFails:
    dtype = "float64"

    @property
    def shape(self):
        raise RuntimeError("no shape")


class MetaFails(type):
    def __getattr__(cls, name):
        raise RuntimeError(name)


class OfMetaclass(metaclass=MetaFails):
    def __call__(self, x):
        return x


class Unequal:
    """Cannot be compared, counted or printed, and neither can what it holds."""

    def __init__(self, depth=1):
        self.held = {Unequal(0): 1} if depth else {}
        self.members = {Unequal(0)} if depth else set()

    def __hash__(self):
        return 1

    def __eq__(self, other):
        raise RuntimeError("eq")

    def __bool__(self):
        raise RuntimeError("bool")

    def __len__(self):
        raise RuntimeError("len")

    def __repr__(self):
        raise RuntimeError("repr")

    def __call__(self, x):
        self.more = self.held.popitem(), self.members.pop()
        return x


class Uncountable(list):
    def __iter__(self):
        raise RuntimeError("iter")

    def __len__(self):
        raise RuntimeError("len")


class HoldsUncountable:
    def __init__(self):
        self.held = Uncountable([1, 2])

    def __call__(self, x):
        self.held.append(1)
        return x


class SignatureFails:
    @property
    def __signature__(self):
        raise RuntimeError("signature")

    def __call__(self, x):
        return x


class Emptied:
    def __init__(self):
        self.a = 1

    def __call__(self, x):
        vars(self).clear()
        return x


def same(fn):
    return lambda: fn


HOSTILE = {
    **{f"raises in call {k}": at_call(k, raises(RuntimeError("one\ntwo"))) for k in (1, 2, 3, 4, 6, 14, 20, 24, 28)},
    **{f"None in call {k}": at_call(k, lambda x: None) for k in (2, 3, 6, 20)},
    **{f"another shape in call {k}": at_call(k, lambda x: x[:1]) for k in (2, 4, 16, 22)},
    **{f"NaN in call {k}": at_call(k, lambda x: x * np.nan) for k in (1, 2, 3, 6, 18, 22)},
    **{f"infinity in call {k}": at_call(k, lambda x: x * np.inf) for k in (2, 6, 16, 18, 20)},
    **{f"1e308 in call {k}": at_call(k, lambda x: x * 0 + 1e308) for k in (1, 2, 16, 18, 20, 22, 24)},
    "an error without text": same(raises(TextFails())),
    "recursion": same(lambda x: (f := lambda g: g(g))(f)),
    "no shape": same(lambda x: NoShape()),
    "a shape that raises": same(lambda x: ShapeFails()),
    "complex": same(lambda x: x + 1j),
    "complex tensor": same(lambda x: torch.as_tensor(x) + 1j),
    "texts": same(lambda x: x.astype(str)),
    "objects": same(lambda x: x.astype(object)),
    "records": same(lambda x: np.zeros(x.shape, "f4,f4")),
    "dates": same(lambda x: x.astype("M8[s]")),
    "masked": same(lambda x: np.ma.array(x, mask=x > 0)),
    "a generator": same(lambda x: (y for y in x)),
    "sparse": same(lambda x: torch.as_tensor(x).to_sparse()),
    "of the meta device": same(lambda x: torch.empty(x.shape, device="meta")),
    "of a graph": same(lambda x: torch.as_tensor(x).clone().requires_grad_()),
    "10^18 cells": same(lambda x: np.broadcast_to(x.ravel()[0], (10**6,) * 3)),
    "10^18 cells of torch": same(lambda x: torch.zeros(1).expand(10**6, 10**6, 10**6)),
    "exp": same(lambda x: np.exp(np.clip(x, None, 1e3))),
    "log": same(np.log),
    "0": same(lambda x: x * 0),
    "weights of 1e300": same(lambda x: 1e300 * hat(x, (2, 3))),
    "weights of 1e-300": same(lambda x: 1e-300 * hat(x, (2, 3))),
    "eps of 1e30": same(lambda x: hat(x, (2, 3), 1e30)),
    "NaN here and there": same(lambda x: np.where(np.random.random(x.shape) < 0.5, np.nan, x)),  # noqa: NPY002
    "shrinks its input": same(lambda x: (x.resize((1,), refcheck=False), x)[1]),
    "a metaclass": OfMetaclass,
    "no comparison": Unequal,
    "no iteration": HoldsUncountable,
    "no signature": SignatureFails,
    "no attributes afterwards": Emptied,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("use", ["probe", "check"])
def test_a_result_or_one_sentence(name, use):
    fn, numbers, error = HOSTILE[name](), random.getstate(), None
    try:
        result = str(nv.probe(fn) if use == "probe" else nv.check(fn, "instance"))
    except Exception as raised:
        error, result = raised, str(raised)
    assert type(error) in (type(None), ValueError, TypeError), error
    assert error is None or (result.startswith("fn ") and "\n" not in result)
    assert result
    assert random.getstate() == numbers


def test_a_function_that_can_be_called_once():
    with pytest.raises(
        ValueError, match=r"^fn raised RuntimeError on a float64 numpy input of shape \(4, 8, 6, 6\): one$"
    ) as caught:
        nv.probe(at_call(2, raises(RuntimeError("one\ntwo")))())
    assert type(caught.value) is ValueError
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("part", ["all", "one buffer"])
def test_a_model_on_the_meta_device(part):
    layer = torch.nn.BatchNorm2d(8, device="meta" if part == "all" else None)
    layer.register_buffer("scale", torch.empty(1, device="meta"))
    expected = "meta device, which holds no numbers; move it to another device first, for instance by fn.to_empty("
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        nv.probe(layer)
    assert type(caught.value) is ValueError
    assert expected in str(nv.check(layer, "batch"))


def test_the_shape_is_judged_before_the_numbers_are_copied():
    def fn(x):
        return np.broadcast_to(x.ravel()[0], (10**6,) * 3)

    message = "fn returned shape (1000000, 1000000, 1000000) for an input of shape (4, 8, 6, 6); a normalizer keeps the"
    with pytest.raises(ValueError, match=re.escape(message)):
        nv.probe(fn)
    assert nv.check(fn, "instance").codes == ("wrong-shape",)


def test_a_chain_longer_than_the_stack_is_no_recursion_of_ours():
    held = []
    for _ in range(10 * sys.getrecursionlimit()):
        held = [held]
    assert nv.probe(lambda x: x * len(held)).elementwise
