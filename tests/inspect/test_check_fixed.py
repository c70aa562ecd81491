"""Mean and variance that do not come from x: kept statistics in closures, functions and layers in eval mode."""

import numpy as np
import pytest

import normviz as nv

EPS = 1e-5
RNG = np.random.default_rng(0)
MEAN, VAR = RNG.normal(size=8), RNG.uniform(0.5, 2, 8)
WEIGHT, BIAS = RNG.uniform(0.5, 1.5, 8), RNG.normal(size=8)


def along(p):
    return p.reshape(1, -1, 1, 1)


def fixed(x, mean=MEAN, var=VAR, eps=EPS):
    return (x - along(mean).astype(x.dtype)) / np.sqrt(along(var) + eps).astype(x.dtype)


@pytest.mark.parametrize("method", ["batch", "layer", "instance", "group", "positional", "rms", "frn", "ghost"])
def test_statistics_in_a_closure(method):
    groups = 2 if nv.METHODS[method].has_groups else None
    affine = {"weight": WEIGHT, "bias": BIAS}
    for fn, more in (
        (lambda x: fixed(x), {}),
        (lambda x: fixed(x) * along(WEIGHT) + along(BIAS), affine),
        (lambda x, weight, bias: fixed(x) * along(weight) + along(bias), {}),
        (lambda x: (x - MEAN) / np.sqrt(VAR), {"channel_axis": -1, "shape": (4, 6, 8)}),
        (lambda x: fixed(x), {"dtype": "float16"}),
    ):
        verdict = nv.check(fn, method, groups, **more)
        assert verdict.codes == ("uses-running-statistics",), f"{more}: {verdict}"
        message = verdict.findings[0].message
        assert "fn takes no statistics from x" in message
        assert "fn holds an array of each" in message


def test_the_numbers_are_those_of_the_function():
    verdict = nv.check(lambda x: (x - 0.45) / 0.22, "batch", eps=0)
    finding = verdict.findings[0]
    np.testing.assert_allclose(finding.details["scale"], 1 / 0.22)
    np.testing.assert_allclose(finding.details["offset"], -0.45 / 0.22)
    assert "4.5455 * x - 2.0455 for any x, as with a fixed mean of 0.45 and a fixed variance of 0.0484." in str(finding)
    assert verdict.wrong[finding.cell]


def test_layers_in_evaluation():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    T, F = torch.nn, torch.nn.functional

    def trained(layer):
        for buffer in [*layer.buffers(), *layer.parameters()]:
            if buffer.is_floating_point():
                buffer.data.copy_(torch.rand(buffer.shape) + 0.5)
        return layer

    class Frozen(T.Module):
        def __init__(self):
            super().__init__()
            for name in ("weight", "bias", "running_mean", "running_var"):
                self.register_buffer(name, torch.rand(8) + 0.5)

        def forward(self, x):
            w, b, mean, var = (
                getattr(self, n).view(-1, 1, 1) for n in ("weight", "bias", "running_mean", "running_var")
            )
            return (x - mean) * (var + EPS).rsqrt() * w + b

    batch, instance = (
        trained(T.BatchNorm2d(8)).eval(),
        trained(T.InstanceNorm2d(8, affine=True, track_running_stats=True)).eval(),
    )
    fresh, frozen, mean, var = T.BatchNorm2d(8).eval(), Frozen(), torch.rand(8), torch.rand(8) + 0.5
    kept = {"BatchNorm2d": batch, "InstanceNorm2d": instance, "Frozen": frozen}
    for fn, method, name in (
        (lambda x: batch(x), "batch", "BatchNorm2d"),
        (lambda x: batch(x), "layer", "BatchNorm2d"),
        (lambda x: instance(x), "instance", "InstanceNorm2d"),
        (instance, "instance", "InstanceNorm2d"),
        (lambda x: frozen(x), "batch", "Frozen"),
        (lambda x: fresh(x), "batch", "BatchNorm2d"),
        (lambda x: F.batch_norm(x, mean, var, training=False), "batch", None),
        (frozen, "batch", None),
    ):
        verdict = nv.check(fn, method)
        assert verdict.codes == ("uses-running-statistics",), str(verdict)
        message = verdict.findings[0].message
        assert name is None or f" of {name}." in message
        if name in kept and fn is not instance and "fresh" not in fn.__code__.co_freevars:
            c = verdict.findings[0].cell[1]
            assert f"running_mean = {float(kept[name].running_mean[c]):.5g} and running_var" in message

    class StaysInEval(T.BatchNorm2d):
        def train(self, mode=True):
            return super().train(False)

    assert nv.check(StaysInEval(8), "batch").codes == ("uses-running-statistics",)
    assert "normalizes with running_mean and running_var, which it never updates" in str(nv.check(frozen, "batch"))
    given = {"weight": batch.weight, "bias": batch.bias}
    assert nv.check(batch, "batch").passed
    assert nv.check(instance.train(), "instance").passed
    assert nv.check(lambda x: batch(x), "batch", **given).codes == ("uses-running-statistics",)
    batch.train()
    assert nv.check(lambda x: batch(x), "batch", **given).passed
    assert nv.check(lambda x: batch.train()(x), "batch", **given).passed  # whatever mode check sets the layer to


def test_a_frozen_layer_with_another_eps():
    class Frozen:
        running_mean, running_var = MEAN.copy(), VAR.copy()

        def __call__(self, x):
            return fixed(x, self.running_mean, self.running_var, eps=0)

    assert {*nv.check(Frozen(), "batch", eps=1e-2).codes} == {"uses-running-statistics", "eps-missing"}


def test_only_weight_and_bias_are_a_fixed_mean_of_zero():
    """What rounding leaves of it is no mean."""
    verdict = nv.check(lambda x, w, b: x * w.reshape(-1, 1, 1) + b.reshape(-1, 1, 1), "batch")
    assert verdict.codes == ("uses-running-statistics",)
    assert "as with a fixed mean of 0 and a fixed variance of 0.99999." in verdict.findings[0].message
