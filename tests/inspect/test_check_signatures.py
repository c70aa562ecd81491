"""Functions with parameters and results of their own: those of frameworks, of homework and of ports."""

from collections import namedtuple
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

import normviz as nv
from tests.inspect import homework
from tests.inspect.homework import over

LAST = {"channel_axis": -1}


def shaped(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    return over(x, tuple(range(-len(normalized_shape), 0)), eps) * weight + bias


def one_pass(x, gamma, beta, mean, var):
    """Normalizes with the statistics that it is handed."""
    return (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5) * gamma[:, None, None] + beta[:, None, None]


def keeps_axes(x, gamma, beta, running_mean, running_var, training, like=(1, -1, 1, 1)):
    """All five have shape (1, C, 1, 1), as in a textbook; or those that it keeps have another shape."""
    mean, var, m = x.mean((0, 2, 3)).reshape(like), x.var((0, 2, 3)).reshape(like), x[:, 0].size
    if training:
        used = mean, var
        running_mean = 0.9 * running_mean + 0.1 * mean
        running_var = 0.9 * running_var + 0.1 * var * m / (m - 1)
    else:
        used = running_mean, running_var
    mean, var = (p.reshape(1, -1, 1, 1) for p in used)
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta, running_mean, running_var


PER_AXIS = {"weight": np.full((1, 8, 1, 1), 2.0), "bias": np.ones((1, 8, 1, 1))}


def by_name(x, data_format):
    return over(x, (0, 2, 3) if data_format == "NCHW" else (0, 1, 2))


Result = namedtuple("Result", "mean out")
OWN = {  # function, method, options, and what is said beyond "check passed" and "fn returned"
    "cs231n batch": (homework.batchnorm, "batch", {"shape": (6, 5)}, "bn_param with mode, running_mean, running_var"),
    "cs231n spatial": (homework.spatial_batchnorm, "batch", {}, "a tuple of 2; check took its element 0"),
    "cs231n layer": (homework.layernorm, "layer", {"shape": (4, 6)}, "a tuple of 2; check took its element 0"),
    "cs231n group": (homework.spatial_groupnorm, "group", {"num_groups": 4}, "G = 4"),
    "normalized_shape": (shaped, "layer", {}, "normalized_shape = (8, 5, 4)"),
    "normalized_shape, last": (shaped, "positional", LAST, "normalized_shape = (8,)"),
    "axis, batch": (lambda x, axis: over(x, axis), "batch", {}, "axis = (0, 2, 3)"),
    "axis, layer, last": (lambda x, axis: over(x, axis), "layer", LAST, "axis = (1, 2, 3)"),
    "axis, instance, last": (lambda x, axis=None: over(x, axis), "instance", LAST, "axis = (1, 2)"),
    "axis of the channels": (
        lambda x, axis: over(x, tuple(a for a in range(4) if a != axis % 4)),
        "batch",
        LAST,
        "axis = -1",
    ),
    "an axis with a default": (lambda x, axis=-1: over(x, axis), "positional", LAST, ""),
    "keywords only": (
        lambda x, *, gamma, beta, epsilon, axis: over(x, axis, epsilon) * gamma[:, None, None] + beta[:, None, None],
        "batch",
        {},
        "a random weight and bias of shape (8,), and epsilon = 1e-05 and axis = (0, 2, 3)",
    ),
    "keeps axes": (keeps_axes, "batch", {}, "shape (1, 8, 1, 1), where a caller has (8,)"),
    "keeps axes, given": (keeps_axes, "batch", PER_AXIS, "a random running_mean and running_var of shape (1, 8, 1, 1)"),
    "keeps its own flat": (
        partial(keeps_axes, like=-1),
        "batch",
        PER_AXIS,
        "running_mean and running_var of shape (8,)",
    ),
    "data_format": (by_name, "batch", {}, "data_format = 'NCHW'"),
    "data_format, last": (by_name, "batch", LAST, "data_format = 'NHWC'"),
    "given statistics": (one_pass, "batch", {}, "the batch's own mean and var of shape (8,)"),
    "x comes last": (lambda scale, x: over(x, (2, 3)) * scale[:, None, None], "instance", {}, "a random weight"),
    "params": (lambda params, x: over(x, -1) * params["g"] + params["b"], "positional", LAST, "params with b, g"),
    "args": (lambda x, *args: shaped(x, *args, weight=1, bias=0), "layer", {}, "normalized_shape = (8, 5, 4)"),
    "kwargs": (lambda x, **more: shaped(x, weight=1, bias=0, **more), "layer", {}, "normalized_shape = (8, 5, 4)"),
    "channels": (
        lambda x, num_features, eps: over(x.reshape(len(x), num_features, -1), (0, 2), eps).reshape(x.shape),
        "batch",
        {},
        "num_features = 8 and eps = 1e-05",
    ),
    "a dict": (lambda x: {"n": 3, "mean": x.mean(), "out": over(x, (1, 2, 3))}, "layer", {}, "took its entry 'out'"),
    "a list": (lambda x: [over(x, (1, 2, 3)), x.mean()], "layer", {}, "a list; check took its element 0"),
    "a named tuple": (lambda x: Result(x.mean((0, 2, 3)), over(x, (0, 2, 3))), "batch", {}, "check took its field out"),
    "a nested tuple": (lambda x: ((x.mean(), over(x, (2, 3))), None), "instance", {}, "its element 1 of element 0"),
}


@pytest.mark.parametrize("name", OWN)
def test_functions_of_ones_own(name):
    fn, method, options, said = OWN[name]
    verdict = nv.check(fn, method, **options)
    assert verdict.passed, str(verdict)
    assert said in " ".join(verdict.notes)
    assert bool(verdict.notes) == bool(said)


def test_a_weight_that_is_not_reshaped_beside_running_statistics_that_are():
    verdict = nv.check(partial(keeps_axes, like=-1), "batch")
    assert verdict.codes == ("affine-not-reshaped",), str(verdict)


WRONG = [
    (lambda x, gamma, beta, ln_param: (homework.layernorm(x, beta, gamma, ln_param)[0], 1), "layer", "affine-swapped"),
    (lambda x, axis: (over(x, axis, 1e-3), None), "batch", "eps-value"),
    (lambda x, axis=-1: over(x, axis), "layer", "wrong-axes"),
    (lambda x, normalized_shape: {"y": x / np.sqrt(np.square(x).mean(-1, keepdims=True))}, "rms", "eps-missing"),
    (lambda x, mean, var: (x - mean[:, None, None]) / (np.sqrt(var[:, None, None]) + 1e-5), "batch", "eps-outside"),
    (homework.biased_batchnorm, "batch", "running-biased"),
    (lambda x, running_mean, running_var: (x - running_mean) / np.sqrt(running_var + 1e-5), "batch", "uses-running-s"),
]


@pytest.mark.parametrize(("fn", "method", "code"), WRONG, ids=[case[2] for case in WRONG])
def test_wrong_ones_of_the_same_kinds(fn, method, code):
    verdict = nv.check(fn, method, shape=(6, 5, 4, 5) if code in ("eps-outside", "wrong-axes") else (6, 5))
    assert [c[: len(code)] for c in verdict.codes] == [code], str(verdict)


def test_what_no_rule_fills_is_named():
    verdict = nv.check(lambda x, gamma, beta, alpha, kappa: x, "layer")
    assert verdict.codes == ("raises",)
    assert verdict.findings[0].message == (
        "fn requires alpha and kappa, for which no value is known; pass a function that holds one, such as "
        "lambda x, gamma, beta: fn(x, gamma, beta, alpha=..., kappa=...)."
    )
    with pytest.raises(ValueError, match=r"^fn requires num_groups, .* such as lambda x: fn\(x, num_groups=\.\.\.\)$"):
        nv.probe(lambda x, num_groups: x)


GRADIENTS = {
    "batch": (homework.batchnorm, homework.batchnorm_backward, {"shape": (6, 5)}),
    "batch ": (homework.spatial_batchnorm, homework.spatial_batchnorm_backward, {}),
    "layer": (homework.layernorm, homework.layernorm_backward, {"shape": (4, 6)}),
    "group": (homework.spatial_groupnorm, homework.spatial_groupnorm_backward, {"num_groups": 2}),
}


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_backward_that_takes_the_cache(method):
    forward, backward, options = GRADIENTS[method]
    verdict = nv.check(forward, method.strip(), backward=backward, **options)
    assert verdict.passed, str(verdict)
    assert "gradient" not in verdict.skipped
    swapped = nv.check(forward, method.strip(), backward=lambda cache, dout: backward(dout, cache), **options)
    assert swapped.passed, str(swapped)

    def lost(dout, cache):
        """Forgets the weight."""
        found = backward(dout, cache)
        parts = [*found.values()] if isinstance(found, dict) else found
        return (parts[0] * 2, parts[1] + 1, parts[2])

    verdict = nv.check(forward, method.strip(), backward=lost, **options)
    assert verdict.codes == ("gradient-wrong",), str(verdict)
    assert "weight" in str(verdict)


def test_functions_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    F = torch.nn.functional
    for fn, method, groups, options in (
        (F.batch_norm, "batch", None, {"eps": 1e-3}),
        (F.layer_norm, "layer", None, {}),
        (F.layer_norm, "positional", None, LAST),
        (F.group_norm, "group", 4, {}),
        (F.group_norm, "layer", None, {}),
        (F.instance_norm, "instance", None, {}),
        (F.rms_norm, "rms", None, LAST),
        (torch.group_norm, "group", 2, {}),
        (torch.layer_norm, "layer", None, {"shape": (3, 6, 7)}),
        (torch.batch_norm, "batch", None, {}),
        (torch.instance_norm, "instance", None, {}),
        (torch.native_group_norm, "group", 2, {"shape": (3, 6, 7, 2)}),
        (partial(F.layer_norm, normalized_shape=(6,)), "positional", None, LAST | {"shape": (2, 5, 6)}),
        (lambda x, *more: F.group_norm(x, *more), "group", 2, {}),
        (lambda x: F.batch_norm(x, None, None, training=True), "batch", None, {}),
    ):
        verdict = nv.check(fn, method, groups, **options)
        assert verdict.passed, str(verdict)
        assert fn is not F.batch_norm or "running statistics" not in verdict.skipped
    assert nv.check(F.batch_norm, "batch", momentum=0.2).codes == ("state",)
    assert nv.check(F.batch_norm, "instance").codes == ("wrong-axes",)
    assert nv.check(F.rms_norm, "layer", shape=(4, 6)).codes == ("not-centered",)
    assert nv.check(lambda x, rm, rv, training: F.batch_norm(x, rm, rv, None, None, True), "batch").codes
    found = [nv.probe(F.batch_norm), nv.probe(F.instance_norm), nv.probe(F.layer_norm, (2, 3, 6), channel_axis=-1)]
    assert [p.method for p in found] == ["batch", "instance", "positional"]
    assert "The probe passed a random running_mean and running_var of shape (8,), and training = True" in str(found[0])
    assert found[1].passed == "eps = 1e-05"


def test_the_textbook_whose_mode_is_that_of_autograd():
    """Dive into Deep Learning keeps the biased variance, and tells training by torch.is_grad_enabled()."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum, divisor=0):
        along = [-1 if a == 1 else 1 for a in range(X.dim())]
        mean, var = moving_mean.view(along), moving_var.view(along)
        if torch.is_grad_enabled():
            dims = [a for a in range(X.dim()) if a != 1]
            mean, var = X.mean(dims, keepdim=True), X.var(dims, keepdim=True, correction=0)
            m = X.numel() // X.shape[1]
            moving_mean = (1.0 - momentum) * moving_mean + momentum * mean.view(-1)
            moving_var = (1.0 - momentum) * moving_var + momentum * var.view(-1) * m / (m - divisor)
        Y = gamma.view(along) * (X - mean) / torch.sqrt(var + eps) + beta.view(along)
        return Y, moving_mean.data, moving_var.data

    class BatchNorm(torch.nn.Module):
        def __init__(self, divisor):
            super().__init__()
            self.divisor = divisor
            self.gamma, self.beta = torch.nn.Parameter(torch.ones(6)), torch.nn.Parameter(torch.zeros(6))
            self.moving_mean, self.moving_var = torch.zeros(6), torch.ones(6)

        def forward(self, X):
            state = self.moving_mean, self.moving_var
            Y, self.moving_mean, self.moving_var = batch_norm(X, self.gamma, self.beta, *state, 1e-5, 0.1, self.divisor)
            return Y

    assert nv.check(batch_norm, "batch").codes == ("running-biased",)
    assert nv.check(partial(batch_norm, divisor=1), "batch").passed
    assert nv.check(BatchNorm(0), "batch").codes == ("running-biased",)
    assert nv.check(BatchNorm(1), "batch").passed
    assert torch.is_grad_enabled()


def test_functions_of_jax_and_flax():
    for module in ("jax", "flax"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    import jax
    import jax.numpy as jnp
    from flax import linen

    def pure(params, state, x, train):
        axes = (0, 1, 2)
        mean, var, m = x.mean(axes), x.var(axes), x.size // x.shape[-1]
        new = {"mean": 0.9 * state["mean"] + 0.1 * mean, "var": 0.9 * state["var"] + 0.1 * var * m / (m - 1)}
        mean, var, new = (mean, var, new) if train else (state["mean"], state["var"], state)
        return (x - mean) / jnp.sqrt(var + 1e-5) * params["scale"] + params["offset"], new

    x = jnp.ones((3, 5, 4, 6))
    layer, batch = linen.LayerNorm(), linen.BatchNorm(use_running_average=False)
    variables, stats = (module.init(jax.random.key(0), x) for module in (layer, batch))
    for fn, method, eps in (
        (jax.nn.standardize, "positional", 1e-5),
        (jax.nn.standardize, "layer", 1e-5),
        (pure, "batch", 1e-5),
        (layer.bind(variables), "positional", 1e-6),
        (partial(layer.apply, variables), "positional", 1e-6),
        (partial(batch.apply, stats, mutable=["batch_stats"]), "batch", 1e-5),
    ):
        verdict = nv.check(fn, method, eps=eps, shape=x.shape, **LAST)
        assert verdict.passed, str(verdict)
        assert "running statistics" not in verdict.skipped
