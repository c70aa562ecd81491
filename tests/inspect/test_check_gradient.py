"""Gradients, of autograd and of a backward written by hand."""

import numpy as np
import pytest

import normviz as nv

AXES = (0, 2, 3)


def parts(x):
    root = np.sqrt(x.var(AXES, keepdims=True) + 1e-5)
    return (x - x.mean(AXES, keepdims=True)) / root, root


def plain(x):
    return parts(x)[0]


def affine(x, weight, bias):
    return parts(x)[0] * weight[:, None, None] + bias[:, None, None]


def through(grad, hat, root):
    return (grad - grad.mean(AXES, keepdims=True) - hat * (grad * hat).mean(AXES, keepdims=True)) / root


def backward(grad, x):
    return through(grad, *parts(x))


def backward_of_all(x, grad, weight):
    hat, root = parts(x)
    return through(grad * weight[:, None, None], hat, root), (grad * hat).sum(AXES), grad.sum(AXES)


def test_right_ones_pass():
    verdict = nv.check(plain, "batch", backward=backward)
    assert verdict.passed
    assert "gradient" not in verdict.skipped
    assert nv.check(affine, "batch", backward=backward_of_all).passed
    assert nv.check(plain, "batch", dtype="float64").skipped == {"gradient": "NumPy has no autograd; give backward="}


@pytest.mark.parametrize(
    ("wrong", "which"),
    [
        (lambda grad, x: grad / parts(x)[1], "mean and variance"),
        (lambda grad, x: (grad - grad.mean(AXES, keepdims=True)) / parts(x)[1], "the variance"),
        (
            lambda grad, x: (grad - parts(x)[0] * (grad * parts(x)[0]).mean(AXES, keepdims=True)) / parts(x)[1],
            "the mean",
        ),
    ],
)
def test_detached_statistics_in_a_backward(wrong, which):
    verdict = nv.check(plain, "batch", backward=wrong)
    assert verdict.codes == ("gradient-wrong", "statistics-detached")
    assert verdict.findings[1].message.startswith(f"fn treats {which} as constant")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda grad, x: -backward(grad, x),
        lambda grad, x: backward(grad, x) * x.shape[0],
        lambda grad, x: grad,
        lambda grad, x: backward(grad, x).sum(0),
        lambda grad, x: None,
    ],
)
def test_wrong_gradients(wrong):
    assert nv.check(plain, "batch", backward=wrong).codes == ("gradient-wrong",)


def test_wrong_gradients_of_weight_and_bias():
    def weightless(x, grad, weight):
        of_x, _, of_bias = backward_of_all(x, grad, weight)
        return of_x, grad.sum(AXES), of_bias

    def mean_for_bias(x, grad, weight):
        of_x, of_weight, _ = backward_of_all(x, grad, weight)
        return of_x, of_weight, grad.mean(AXES)

    assert "with respect to weight" in nv.check(affine, "batch", backward=weightless).findings[0].message
    assert "with respect to bias" in nv.check(affine, "batch", backward=mean_for_bias).findings[0].message


def scaled(through_x=1, through_mean=1, through_var=1):
    """A backward whose parts are multiples of the right ones."""

    def backward(grad, x):
        hat, root = parts(x)
        of_mean, of_var = grad.mean(AXES, keepdims=True), hat * (grad * hat).mean(AXES, keepdims=True)
        return (through_x * grad - through_mean * of_mean - through_var * of_var) / root

    return backward


CAUSES = {
    "the sign": (scaled(-1, -1, -1), ": it is -1 times the right one"),
    "divided by the samples": (lambda grad, x: backward(grad, x) / x.shape[0], "(N = 3 samples) of the right one"),
    "m times": (lambda grad, x: backward(grad, x) * x[:, 0].size, " cells in a set) the right one"),
    "divided by |S| once too often": (
        lambda grad, x: scaled(1, 1, 1 / x[:, 0].size)(grad, x),
        ": its part through the variance is 1 / ",
    ),
    "twice": (scaled(1, 2, 1), ": its part through the mean is 2 times the right one"),
    "something else": (lambda grad, x: np.abs(backward(grad, x)), "that does not match its output. At cell"),
}


@pytest.mark.parametrize("wrong", CAUSES)
def test_the_cause_of_a_wrong_gradient(wrong):
    faulty, cause = CAUSES[wrong]
    verdict = nv.check(plain, "batch", backward=faulty)
    assert verdict.codes == ("gradient-wrong",)
    assert cause in verdict.findings[0].message


def test_a_gradient_without_the_weight():
    def weightless(x, grad, weight):
        return backward(grad, x)

    message = nv.check(affine, "batch", backward=weightless).findings[0].message
    assert ": it is the one for a weight of 1. At cell" in message


def test_a_backward_that_raises():
    verdict = nv.check(plain, "batch", backward=lambda grad, x: grad @ x.nothing)
    assert verdict.codes == ("gradient-wrong",)
    assert "backward raised AttributeError" in verdict.findings[0].message


class Cached:
    """The forward caches the arrays that backward needs."""

    def __init__(self, detached=False):
        self.detached = detached

    def __call__(self, x):
        self.hat, self.root = parts(x)
        return self.hat

    def backward(self, dout):
        return dout / self.root if self.detached else through(dout, self.hat, self.root)


def test_an_object_with_a_backward_of_its_own():
    layer = Cached()
    assert nv.check(layer, "batch").passed
    assert vars(layer) == {"detached": False}
    assert "statistics-detached" in nv.check(Cached(detached=True), "batch").codes


def test_a_wrong_forward_with_its_own_right_gradient_is_wrong_once():
    def unbiased(x):
        return (x - x.mean(AXES, keepdims=True)) / np.sqrt(x.var(AXES, keepdims=True, ddof=1) + 1e-5)

    def its_own(grad, x):
        m = x.size / x.shape[1]
        root = np.sqrt(x.var(AXES, keepdims=True, ddof=1) + 1e-5)
        hat = unbiased(x)
        pulled = (grad * hat).mean(AXES, keepdims=True) * m / (m - 1)
        return (grad - grad.mean(AXES, keepdims=True) - hat * pulled) / root

    assert nv.check(unbiased, "batch", backward=its_own).codes == ("unbiased-variance",)
    assert nv.check(unbiased, "batch", backward=backward).codes == ("unbiased-variance", "gradient-wrong")


def test_sets_of_one_cell_without_eps_have_no_gradient_to_compare():
    verdict = nv.check(lambda x: x / np.abs(x - x), "instance", shape=(4, 3), backward=lambda grad, x: grad)
    assert not verdict.passed
    unbiased = nv.check(lambda x: (x - x) / np.sqrt((x - x) ** 2 / 0), "instance", shape=(4, 3), backward=backward)
    assert not unbiased.passed


def test_autograd_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def norm(x, detach):
        mean, var = x.mean(AXES, keepdim=True), x.var(AXES, correction=0, keepdim=True)
        if detach:
            mean, var = mean.detach(), var.detach()
        return (x - mean) * torch.rsqrt(var + 1e-5)

    assert nv.check(lambda x: norm(x, False), "batch").passed
    assert nv.check(lambda x: norm(x, True), "batch").codes == ("gradient-wrong", "statistics-detached")
    through_data = nv.check(
        lambda x: (x - x.data.mean(AXES, True)) * torch.rsqrt(x.var(AXES, correction=0, keepdim=True) + 1e-5), "batch"
    )
    assert "treats the mean as constant" in through_data.findings[-1].message
    frozen = torch.nn.BatchNorm2d(6).requires_grad_(False)
    verdict = nv.check(frozen, "batch")
    assert verdict.passed
    assert not frozen.weight.requires_grad
    assert frozen.weight.grad is None
    cut = nv.check(lambda x: norm(x, False).detach(), "batch")
    assert cut.passed
    assert cut.skipped["gradient"] == "autograd has no path from the output to x"


def test_autograd_of_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    stop = jax.lax.stop_gradient

    def norm(x, keep):
        mean, var = (keep(s) for s in (x.mean(AXES, keepdims=True), x.var(AXES, keepdims=True)))
        return (x - mean) / jax.numpy.sqrt(var + 1e-5)

    assert nv.check(lambda x: norm(x, lambda s: s), "batch", framework="jax").passed
    detached = nv.check(lambda x: norm(x, stop), "batch", framework="jax")
    assert detached.codes == ("gradient-wrong", "statistics-detached")
