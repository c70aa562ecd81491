import numpy as np
import pytest

import normviz as nv
from normviz.labs import gradients

X = np.random.default_rng(3).normal(size=(2, 4, 2, 2))


@pytest.fixture(scope="module")
def found():
    return gradients.measure(X, eps=1e-5)


@pytest.mark.parametrize("method", gradients.METHODS)
def test_blocks_follow_the_formula_and_other_sets_get_nothing(found, method):
    sets = found.jacobians[method].pooling
    groups = {"num_groups": sets.num_groups} if method == "group" else {}
    labels, hat = sets.labels().ravel(), nv.normalize(X, method, eps=1e-5, **groups).ravel()
    want = np.zeros((32, 32))
    for k in range(sets.count):
        cells = np.flatnonzero(labels == k)
        values, m = X.ravel()[cells], len(cells)
        s = np.sqrt((np.mean(values**2) if method == "rms" else values.var()) + 1e-5)
        inner = np.eye(m) - np.outer(hat[cells], hat[cells]) / m - (0 if method == "rms" else 1 / m)
        want[np.ix_(cells, cells)] = inner / s
    np.testing.assert_allclose(found.jacobians[method].matrix, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", gradients.METHODS)
def test_jacobian_agrees_with_finite_differences(found, method):
    sets = found.jacobians[method].pooling
    groups = {"num_groups": sets.num_groups} if method == "group" else {}
    h, i = 1e-6, 5
    step = h * np.eye(32)[i].reshape(X.shape)
    up, down = (nv.normalize(X + sign * step, method, eps=1e-5, **groups).ravel() for sign in (1, -1))
    np.testing.assert_allclose(found.jacobians[method].matrix[:, i], (up - down) / (2 * h), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", gradients.METHODS)
def test_weights_times_k_divide_the_gradient_by_k(method):
    found = gradients.measure(X, eps=1e-12)
    np.testing.assert_allclose(found.norms[method], 1 / np.array(found.scales), rtol=1e-6)
    np.testing.assert_array_equal(found.norms["none"], 1)


def test_figure_holds_the_numbers_and_every_step_changes_them():
    figure, found = gradients.figure(), gradients.measure()
    steps = figure.layout.sliders[0].steps
    assert len({str(step.args) for step in steps}) == len(gradients.METHODS)
    for step, method in zip(steps, gradients.METHODS, strict=True):
        assert list(step.args[0]["y"][2]) == found.norms[method].tolist()
    assert figure.layout.meta["alt"]
    assert figure.layout.meta["caption"]
