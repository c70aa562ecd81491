"""Functions and layers that misbehave in the middle of a check: each gives a finding, in one sentence."""

import numpy as np
import pytest

import normviz as nv


def raising(x):
    raise RuntimeError("boom")


class Later:
    """Batch Norm up to a call, and something else from then on; the class counts, for check restores the object."""

    calls = 0

    def __init__(self, right_calls, otherwise):
        self.right_calls, self.otherwise = right_calls, otherwise

    def __call__(self, x):
        Later.calls += 1
        return nv.normalize(x, "batch") if Later.calls <= self.right_calls else self.otherwise(x)


ANSWERS = {
    "raises": raising,
    "None": lambda x: None,
    "text": lambda x: "text",
    "array of text": lambda x: np.full(x.shape, "text"),
    "complex numbers": lambda x: x * 1j,
    "array of None": lambda x: np.full(x.shape, None),
    "list": lambda x: x.tolist(),
    "tuple": lambda x: (x, x),
    "one number": lambda x: x.sum(),
    "other shape": lambda x: x[:1],
    "no cells": lambda x: x[:0],
    "other rank": lambda x: x.reshape(-1),
    "transposed": lambda x: x.T,
    "10^18 cells": lambda x: np.broadcast_to(1.0, (10**9, 10**9)),
    "NaN": lambda x: x * np.nan,
    "no memory": lambda x: np.empty(2**62),
}


@pytest.mark.parametrize("right_calls", range(8))
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_changes_is_a_finding(answer, right_calls):
    Later.calls = 0
    verdict = nv.check(Later(right_calls, ANSWERS[answer]), "batch")
    assert not verdict.passed
    for finding in verdict.findings:
        assert finding.message.startswith("fn ")
        assert "\n" not in finding.message
        assert len(finding.message) < 500
        assert finding.hint
    assert "Failed" in str(verdict)


def test_the_message_names_both_shapes():
    Later.calls = 0
    verdict = nv.check(Later(4, lambda x: x[:1]), "batch")
    assert verdict.codes == ("wrong-shape",)
    assert verdict.findings[0].message == (
        "fn returned shape (1, 8, 5, 4) in call 5 for an input of shape (3, 8, 5, 4), "
        "and (3, 8, 5, 4) in its first call."
    )


def test_the_text_of_an_exception_does_not_choose_the_code():
    def refuses(x):
        raise ValueError("this is not an array that holds no real numbers")

    assert nv.check(refuses, "batch").codes == ("raises",)


# ---- layers ----


class Layer:
    """A right Batch Norm; the subclasses spoil what surrounds it."""

    def __init__(self, channels=8):
        self.running_mean, self.running_var = np.zeros(channels), np.ones(channels)
        self.training = True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def __call__(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var, m = x.mean((0, 2, 3)), x.var((0, 2, 3)), x.size // x.shape[1]
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean
            self.running_var = 0.9 * self.running_var + 0.1 * var * m / (m - 1)
        return (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]


def test_the_layer_that_is_spoiled_below_is_right():
    assert nv.check(Layer(), "batch").passed


def test_a_property_that_raises_is_no_parameter():
    class Unreadable(Layer):
        @property
        def weight(self):
            raise RuntimeError("not built yet")

        bias = backward = momentum = gamma = weight

    assert nv.check(Unreadable(), "batch").passed


class Raises:
    """Raises for every attribute that it lacks."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __call__(self, x):
        return nv.normalize(x, "batch")


class Invents(Raises):
    """Invents every attribute that it lacks."""

    def __getattr__(self, name):
        return self


class Unequal(Raises):
    """Cannot be compared or hashed."""

    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError("no comparison")


@pytest.mark.parametrize("kind", [Raises, Invents, Unequal])
def test_objects_that_cannot_be_looked_at(kind):
    fn = kind()
    assert nv.check(fn, "batch").passed
    assert vars(fn) == {}


@pytest.mark.parametrize("name", ["train", "eval"])
def test_a_mode_that_cannot_be_set(name):
    class Stuck(Layer):
        pass

    setattr(Stuck, name, raising)
    verdict = nv.check(Stuck(), "batch")
    assert verdict.codes == ("raises",)
    mode = "training" if name == "train" else "evaluation"
    assert verdict.findings[0].message == f"fn raised RuntimeError when set to {mode}: boom."
    assert isinstance(verdict.cause, RuntimeError)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (16,), (2, 8)])
def test_statistics_of_another_number_are_not_those_of_the_channels(shape):
    class Scaled(Layer):
        """Keeps a mean and a variance for another purpose."""

        def __init__(self):
            self.mean, self.var = np.zeros(shape), np.ones(shape)

        def __call__(self, x):
            return nv.normalize(x, "batch")

    verdict = nv.check(Scaled(), "batch", shape=(3, 8, 5, 4))
    assert verdict.passed
    assert verdict.skipped["running statistics"] == "mean and var do not hold one number for each of the channels"


def test_statistics_that_shrink():
    class Shrinks(Layer):
        def __call__(self, x):
            y = super().__call__(x)
            self.running_mean = self.running_mean[:3]
            return y

    verdict = nv.check(Shrinks(), "batch")
    assert verdict.codes == ("raises",)
    assert verdict.findings[0].message == "fn leaves no 8 numbers in running_mean and running_var once it is called."


def test_one_cell_in_each_set():
    """Each channel has one value, so there is no unbiased variance."""

    class Guarded(Layer):
        def __call__(self, x):
            y = nv.normalize(x, "batch")
            if self.training:
                self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(0)
                self.running_var = 0.9 * self.running_var + 0.1 * x.var(0)
            else:
                y = (x - self.running_mean) / np.sqrt(self.running_var + 1e-5)
            return y

    assert nv.check(Guarded(), "batch", shape=(1, 8)).passed


class Wrapper:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, x):
        return nv.normalize(x, "batch")


def test_wrappers_of_wrappers():
    wrapped = Wrapper(None)
    wrapped.inner = wrapped
    assert nv.check(wrapped, "batch").passed
    first, second = Wrapper(None), Wrapper(None)
    first.inner, second.inner = second, first
    assert nv.check(first, "batch").passed
    deep = Wrapper(None)
    for _ in range(2000):
        deep = Wrapper(deep)
    assert nv.check(deep, "batch").passed


@pytest.mark.parametrize("empty", [np.zeros(0), np.zeros((2, 0, 3)), np.zeros((0, 0)), np.zeros(5000)])
@pytest.mark.parametrize("method", ["layer", "batch"])
def test_arrays_of_any_shape_within_reach(empty, method):
    def fn(x):
        return nv.normalize(x, method) + 0 * np.sum(empty)

    verdict = nv.check(fn, method)
    assert verdict.passed, str(verdict)


def test_meta_tensors():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    verdict = nv.check(torch.nn.BatchNorm2d(6, device="meta"), "batch")
    assert verdict.codes == ("raises",)
    assert "meta device" in verdict.findings[0].message
    verdict = nv.check(lambda x: torch.empty(x.shape, device="meta"), "batch", framework="torch")
    assert verdict.codes == ("no-array",)
    assert verdict.findings[0].message.startswith("fn returned ")


# ---- backward ----


def plain(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda grad, x: (), "backward returned a tuple of 0 for x of shape (3, 8, 5, 4)"),
        (lambda grad, x: None, "backward returned None for x of shape (3, 8, 5, 4)"),
        (lambda grad, x: 3.0, "backward returned a float for x of shape (3, 8, 5, 4)"),
        (lambda grad, x: {"x": grad}, "backward returned a dict for x of shape (3, 8, 5, 4)"),
        (lambda grad, x: (None, grad), "backward returned None for x of shape (3, 8, 5, 4)"),
        (lambda grad, x: grad[0], "backward returned shape (8, 5, 4) for x of shape (3, 8, 5, 4)"),
        (
            lambda grad, x: np.broadcast_to(1.0, (10**9, 10**9)),
            "backward returned shape (1000000000, 1000000000) for x",
        ),
        (lambda grad, x: grad * 1j, "backward returned no real numbers: its gradient of input has dtype complex128"),
        (lambda grad, x: grad.astype(str), "backward returned no real numbers: its gradient of input has dtype <U32"),
        (
            lambda grad, x: grad.astype(object),
            "backward returned no real numbers: its gradient of input has dtype object",
        ),
        (
            lambda grad, x: (grad, grad[0, :, 0, 0] * 1j),
            "backward returned no real numbers: its gradient of weight has",
        ),
        (
            lambda grad, x: (grad, np.full(8, "text")),
            "backward returned no real numbers: its gradient of weight has dtype <U4",
        ),
    ],
)
def test_a_backward_that_returns_no_gradient(wrong, said):
    verdict = nv.check(plain, "batch", backward=wrong)
    assert verdict.codes == ("gradient-wrong",)
    assert verdict.findings[0].message.startswith(f"fn cannot be differentiated: {said}")
