"""Laws of the relatives, tried on what hypothesis finds; values within +-1000, tolerances as in test_laws.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import normviz as nv
from normviz import relatives
from tests.core.cases import values
from tests.core.test_laws import seeds, tensors

FAR = 1e3
"""A logit this far above the others leaves them nothing."""
scales = st.floats(0.01, 100)


@given(tensors, seeds)
def test_the_gradient_of_weight_norm_is_orthogonal_to_v(v, seed):
    v = v + values(v.shape, seed=seed)  # no filter of zeros
    grad, g = values(v.shape, seed=(seed, 1)), values(len(v), seed=(seed, 2))
    found = relatives.weight_norm_gradient(v, grad, g).v
    along = (found * v).reshape(len(v), -1).sum(1)
    size = np.sqrt((found**2).reshape(len(v), -1).sum(1) * (v**2).reshape(len(v), -1).sum(1))
    assert (abs(along) <= 1e-9 * (1 + size) + 1e-9 * abs(g) * np.abs(grad).sum()).all()


@given(tensors, seeds, scales)
def test_weight_norm_knows_the_direction_alone_and_gives_the_norm(v, seed, s):
    v = v + values(v.shape, seed=seed)
    g = values(len(v), seed=(seed, 2))
    y = relatives.weight_norm(v, g)
    np.testing.assert_allclose(np.sqrt((y**2).reshape(len(v), -1).sum(1)), abs(g), rtol=1e-9)
    np.testing.assert_allclose(relatives.weight_norm(s * v, g), y, rtol=1e-9, atol=1e-9)
    norms = np.sqrt((v**2).reshape(len(v), -1).sum(1))
    np.testing.assert_allclose(relatives.weight_norm(v, norms), v, rtol=1e-9, atol=1e-9)


@given(tensors, scales, seeds)
def test_frn_does_not_see_the_scale(x, s, seed):
    tau = values(x.shape[1], seed=seed, loc=0)
    expected = relatives.frn(x, tau=tau, eps=1e-3)
    np.testing.assert_allclose(relatives.frn(s * x, tau=tau, eps=1e-3 * s * s), expected, atol=1e-6)
    assert (expected >= tau.reshape(-1, *[1] * (x.ndim - 2))).all()


@given(tensors)
def test_switchable_with_one_logit_far_above_is_instance_layer_or_batch(x):
    for k, method in enumerate(("instance", "layer", "batch")):
        logits = FAR * np.eye(3)[k]
        y = relatives.switchable(x, mean_weights=logits, var_weights=logits, eps=1e-3)
        np.testing.assert_allclose(y, nv.normalize(x, method, eps=1e-3), rtol=1e-9, atol=1e-6)


@given(tensors, seeds, st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(x, seed, t):
    logits = values(3, seed=seed)
    one, other = (relatives.switchable(x, mean_weights=a, var_weights=-a, eps=1e-3) for a in (logits, logits + t))
    np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-6)
    found = relatives.switchable_gradient(x, values(x.shape, seed=seed), mean_weights=logits, eps=1e-3)
    for of in (found.mean_weights, found.var_weights):
        assert abs(of.sum()) <= 1e-9 * (1 + abs(of).max())


@given(tensors, st.floats(0, 1))
def test_adain_with_itself_as_style_is_the_identity(x, alpha):
    np.testing.assert_allclose(relatives.adain(x, x, alpha=alpha), x, rtol=1e-9, atol=1e-8)


@given(tensors, seeds)
def test_adain_gives_the_style_s_mean_and_nothing_else_of_its_places(x, seed):
    style = values(x.shape, seed=seed)
    y = relatives.adain(x, style, eps=1e-9)
    mean = nv.statistics(style, "instance").mean
    np.testing.assert_allclose(nv.statistics(y, "instance").mean, mean, rtol=1e-7, atol=1e-6)
    turned = style.reshape(*style.shape[:2], -1)[:, :, ::-1].reshape(style.shape)
    np.testing.assert_allclose(relatives.adain(x, turned, eps=1e-9), y, rtol=1e-9, atol=1e-6)


@given(tensors, seeds)
def test_conditional_instance_with_one_style_is_instance(x, seed):
    w, b = (values(x.shape[1], seed=(seed, k)) for k in range(2))
    y = relatives.conditional_instance(x, np.zeros(len(x), int), weight=w[None], bias=b[None])
    np.testing.assert_allclose(y, nv.normalize(x, "instance", weight=w, bias=b), rtol=1e-9, atol=1e-9)


@given(arrays(np.float64, (3, 4, 3, 3), elements=st.floats(-1e3, 1e3, width=32)), scales, st.floats(-1e3, 1e3))
def test_standardized_weights_have_mean_0_and_forget_scale_and_shift(w, s, t):
    for unbiased in (False, True):
        y = relatives.weight_standardization(w, unbiased=unbiased, eps=1e-3)
        np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-9)
        found = relatives.weight_standardization(s * w + t, unbiased=unbiased, eps=1e-3 * (s if unbiased else s * s))
        np.testing.assert_allclose(found, y, atol=1e-6)
        grad = relatives.weight_standardization_gradient(w, values(w.shape), unbiased=unbiased, eps=1e-3)
        size = abs(grad).max() + 1
        np.testing.assert_allclose(grad.sum((1, 2, 3)) / size, 0, atol=1e-9)


def test_the_authors_variant_differs_by_the_divisor_alone():
    w = values((5, 3, 2, 2))
    n = w[0].size
    ratio = relatives.weight_standardization(w) / relatives.weight_standardization(w, unbiased=True)
    std = w.std((1, 2, 3), ddof=1, keepdims=True)
    np.testing.assert_allclose(ratio, (std + 1e-5) / np.sqrt(std**2 * (n - 1) / n + 1e-5) * np.ones_like(w), rtol=1e-12)
