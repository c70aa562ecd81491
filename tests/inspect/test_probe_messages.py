"""What a probe says of input that does not fit: one sentence, with the reason the function gave."""

import numpy as np
import pytest

import normviz as nv
from normviz.backends.dispatch import cupy_problem
from tests.core.cases import each_message, refuses
from tests.inspect.zoo import hat


def fails(x):
    raise KeyError("weight_3")


def spatial(x):
    if x.ndim != 3:
        raise ValueError("expected 3 axes.\nAnd more besides")
    return x


MESSAGES = [
    (lambda: nv.probe([1]), TypeError, "fn is of type list, which cannot be called; pass a function or a layer"),
    (lambda: nv.probe(np.ndarray), TypeError, "fn is the class ndarray itself; make a layer of it first, and ... that"),
    (lambda: nv.probe(fails), ValueError, "fn raised KeyError ... (4, 8, 6, 6): 'weight_3'; pass ... fn accepts"),
    (lambda: nv.probe(spatial, (2, 3)), ValueError, "fn raised ValueError on ... 3 axes; pass a shape ... fn accepts"),
    (lambda: nv.probe(lambda x: (x, x)), TypeError, "fn returned a tuple of 2, ... wrap ... returns its output alone"),
    (lambda: nv.probe(lambda x: None), TypeError, "fn returned None, ... wrap it so that it returns its output alone"),
    (lambda: nv.probe(lambda x: 3.0), TypeError, "fn returned a float, ... array; a normalizer gives one of its ..."),
    (lambda: nv.probe(lambda x: x.mean((2, 3))), ValueError, "fn ... (4, 8) ... (4, 8, 6, 6); ... keeps the shape"),
    (lambda: nv.probe(lambda x: x > 0), TypeError, "fn returned dtype bool; it must give float64, ... or bfloat16"),
    (lambda: nv.probe(hat, framework="torchh"), ValueError, "unknown framework 'torchh'; did ... 'torch'? (known: ..."),
    (lambda: nv.probe(hat, (8,)), ValueError, "shape has rank 1, shape (8,); it needs 2 to 5 axes, (N, C, *spatial)"),
    (lambda: nv.probe(hat, (0, 3)), ValueError, "shape has an empty axis, shape (0, 3); ... needs at least one cell"),
    (lambda: nv.probe(hat, channel_axis=4), ValueError, "channel_axis=4 is not an axis of shape, rank 4; use -4 to 3"),
    (lambda: nv.probe(hat, (10**6, 10**6)), ValueError, "shape ... has 1,000,000,000,000 cells; ... most 268,435,456"),
    (lambda: nv.probe(hat, seed=-1), ValueError, "seed=-1 ... 0 to 2**63 - 1, which every random generator takes"),
    (lambda: nv.probe(hat, seed="x"), TypeError, "seed must be a whole number, not 'x'"),
    (lambda: nv.probe(hat, shap=(2, 3)), TypeError, "probe(): unknown ... 'shap'; did you mean 'shape'? (known: ..."),
    (lambda: nv.probe(np.ones_like).explore(), ValueError, "there ... sets to explore: the output does not depend ..."),
]


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)


def test_what_the_function_raised_is_the_cause():
    with pytest.raises(ValueError, match="weight_3") as caught:
        nv.probe(fails)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.skipif(not cupy_problem(), reason="CuPy has a device here")
def test_a_framework_that_cannot_be_had():
    with pytest.raises(ValueError, match=r"^framework='cupy' cannot be used: CuPy "):
        nv.probe(hat, framework="cupy")


def test_a_torch_layer_of_another_size():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(ValueError, match=r"^fn raised RuntimeError on a float32 torch input of shape \(4, 8, 6, 6\): "):
        nv.probe(torch.nn.BatchNorm2d(5))


def no_large(x):
    if np.nanmax(np.abs(x)) > 100:
        raise ValueError("too large")
    return hat(x, (2, 3))


def no_small(x):
    if x.any() and np.nanmax(np.abs(x)) < 0.1:
        raise ValueError("too small")
    return hat(x, (2, 3))


@pytest.mark.parametrize(
    ("fn", "why", "told", "open_"),
    [
        (no_large, "too large", {"block": (1, 1, 6, 6), "method": None}, {"centered", "eps", "affine"}),
        (no_small, "too small", {"method": "instance", "affine": "none", "unbiased": False}, {"eps", "eps_inside"}),
    ],
)
def test_what_a_refusal_on_the_way_leaves_open(fn, why, told, open_):
    found = nv.probe(fn)
    assert {name: getattr(found, name) for name in told} == told
    assert open_ <= set(found.undetermined)
    assert all(found.undetermined[name].endswith(f": {why}") for name in open_)


def test_methods_that_are_one_on_a_shape_are_told_apart_on_a_larger_one_or_not_at_all():
    found = nv.probe(lambda x: hat(x, (1, 2, 3)), (4, 1, 6, 6))
    assert (found.method, found.undetermined) == ("layer", {})

    def one_channel(x):
        assert x.shape[1] == 1
        return hat(x, (1, 2, 3))

    found = nv.probe(one_channel, (4, 1, 6, 6))
    assert found.method is None
    assert found.undetermined["method"] == (
        "on shape (4, 1, 6, 6) 'instance' and 'layer' pool the same cells, and fn takes no larger one"
    )


def test_one_sample_leaves_open_whether_samples_are_coupled():
    def one_sample(x):
        assert x.shape[0] == 1
        return hat(x, (2, 3))

    found = nv.probe(one_sample, (1, 8, 6, 6))
    assert found.method is found.couples_samples is None
    assert found.undetermined["couples_samples"] == "there is one sample; give a shape with more"


def test_an_eps_too_small_for_float16():
    found = nv.probe(lambda x: nv.normalize(x.astype("f2"), "instance", eps=1e-12))
    assert (found.method, found.dtype, found.eps) == ("instance", "float16", None)
    assert found.undetermined["eps"] == (
        "float16 has no squares small enough for eps to matter: it is below 1e-10, or 0"
    )


def test_a_function_without_eps_in_float16():
    found = nv.probe(lambda x: hat(x.astype("f2").astype("f4"), (2, 3), 0).astype("f2"))
    assert (found.dtype, found.eps) == ("float16", 0.0)
