"""Every field of a probe, on PyTorch's layers; and what it leaves behind."""

import numpy as np
import pytest

import normviz as nv
from tests.inspect.truth import compare
from tests.inspect.zoo import AFTER, BN, GN, IN, LAST, LN, MAPPED, NUMBERS, Case, cellwise, normal

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T, F = torch.nn, torch.nn.functional


def with_values(layer):
    """A layer whose weight and bias are no ones and zeros."""
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.rand(p.shape, generator=torch.Generator().manual_seed(3)) + 0.5)
    return layer


def values(layer):
    return {"weight": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy()}


def trained():
    layer = with_values(T.BatchNorm2d(8))
    layer.running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    layer.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    return layer.eval()


def folded(layer):
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    return {"weight": scale.detach().numpy(), "bias": (layer.bias - layer.running_mean * scale).detach().numpy()}


class AnyNorm(T.Module):
    """Like LLaMA's: computed in float32, given back in x's dtype, scaled over the last axis."""

    def __init__(self):
        super().__init__()
        self.weight = T.Parameter(torch.linspace(0.5, 2, 8))

    def forward(self, x):
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def one_size(fn):
    def checked(x):
        assert x.shape == (4, 8, 6, 6)
        return fn(x)

    return checked


GROUP, LAYER, PER_TOKEN = (with_values(n) for n in (T.GroupNorm(4, 8), T.LayerNorm([8, 6, 6]), T.LayerNorm(8)))
HEAD = T.RMSNorm(2, eps=1e-6)
HEAD.weight.data = torch.tensor([0.5, 2])
ZERO = T.init.zeros_
TORCH = {
    "BatchNorm2d": Case(T.BatchNorm2d(8), normal("batch", block=BN)),
    "BatchNorm2d, no running statistics": Case(
        T.BatchNorm2d(8, track_running_stats=False, eps=1e-3).eval(), normal("batch", block=BN, eps=1e-3)
    ),
    "BatchNorm2d, eval": Case(
        layer := trained(), cellwise(affine="channel", **folded(layer)), open=MAPPED
    ),
    "BatchNorm1d": Case(T.BatchNorm1d(8), normal("batch", block=(16, 1)), (16, 8)),
    "BatchNorm3d": Case(T.BatchNorm3d(3), normal("batch", block=(2, 1, 2, 3, 3)), (2, 3, 2, 3, 3)),
    "InstanceNorm2d": Case(T.InstanceNorm2d(8), normal("instance", block=IN)),
    "GroupNorm": Case(GROUP, normal("group", 4, GN, affine="channel", **values(GROUP))),
    "GroupNorm, one group": Case(T.GroupNorm(1, 8, eps=1e-3), normal("layer", block=LN, eps=1e-3)),
    "GroupNorm, a group a channel": Case(T.GroupNorm(8, 8), normal("instance", block=IN)),
    "GroupNorm of vectors": Case(
        T.GroupNorm(4, 8), normal("group", 4, (1, 2)), (16, 8), open={"unbiased"}
    ),
    "LayerNorm of samples": Case(
        LAYER, normal("layer", block=LN, affine="element", **values(LAYER)), open={"unbiased"}
    ),
    "LayerNorm of maps": Case(T.LayerNorm([6, 6]), normal("instance", block=IN), open={"unbiased"}),
    "LayerNorm over the last axis alone": Case(T.LayerNorm(6), normal(block=(1, 1, 1, 6)), open={"unbiased"}),
    "LayerNorm of tokens": Case(
        PER_TOKEN, normal("positional", block=(1, 1, 8), affine="channel", **values(PER_TOKEN)), (4, 6, 8), -1,
        open={"unbiased"},
    ),
    "RMSNorm": Case(
        T.RMSNorm(8, eps=1e-6), normal("rms", block=(1, 1, 1, 8), eps=1e-6), LAST, -1, open={"unbiased"}
    ),
    "RMSNorm of another house": Case(
        AnyNorm(),
        normal("rms", block=(1, 1, 8), eps=1e-6, affine="channel", weight=np.linspace(0.5, 2, 8), bias=np.zeros(8)),
        (4, 6, 8), -1, open={"unbiased"},
    ),
    "RMSNorm of heads": Case(
        lambda x: HEAD(x.unflatten(-1, (4, 2))).flatten(-2),
        normal("per_head_rms", 4, (1, 1, 2), eps=1e-6, affine="channel", weight=[0.5, 2] * 4, bias=np.zeros(8)),
        (4, 6, 8), -1, open={"unbiased"},
    ),
    "normalize": Case(
        lambda x: F.normalize(x, dim=1),
        normal(block=(1, 8, 1, 1), centered=False),
        open={"eps", "eps_inside", "unbiased"},
    ),
    "normalize, one size": Case(
        one_size(lambda x: F.normalize(x, dim=1)),
        normal(block=(1, 8, 1, 1), centered=False),
        open={"eps", "eps_inside", "unbiased", "method", "num_groups", "affine", "weight", "bias"},
    ),
    "functional": Case(lambda x: F.group_norm(x, 2, eps=1e-4), normal("group", 2, (1, 4, 6, 6), eps=1e-4)),
    "half": Case(T.GroupNorm(4, 8).half(), normal("group", 4, GN), tolerance=2e-2),
    "bfloat16": Case(T.GroupNorm(4, 8, eps=1e-3).bfloat16(), normal("group", 4, GN, eps=1e-3), tolerance=2e-2),
    "double": Case(T.GroupNorm(4, 8, eps=1e-12).double(), normal("group", 4, GN, eps=1e-12)),
    "weight 0": Case(
        ZERO((net := T.BatchNorm2d(8)).weight) is not None and net,
        normal(block=BN, couples_samples=True, affine="channel", weight=np.zeros(8), bias=np.zeros(8)),
        open={"method", "num_groups", "is_normalizer", *NUMBERS} - {"affine", "weight", "bias"},
    ),
    "then ReLU": Case(T.Sequential(GROUP, T.ReLU()), normal("group", 4, GN), open=AFTER),
    "then GELU": Case(T.Sequential(T.BatchNorm2d(8), T.GELU()), normal("batch", block=BN), open=AFTER),
    "then SiLU": Case(
        T.Sequential(T.RMSNorm(8), T.SiLU()), normal("rms", block=(1, 1, 1, 8)), LAST, -1, open=AFTER
    ),
    "then dropout": Case(
        T.Sequential(T.GroupNorm(4, 8), T.Dropout(0.5)),
        normal("group", 4, GN, stochastic=True),
        open={"affine", "weight", "bias", "unbiased"},
    ),
    "then dropout, eval": Case(T.Sequential(T.GroupNorm(4, 8), T.Dropout(0.5)).eval(), normal("group", 4, GN)),
    "dropout alone": Case(T.Dropout(0.5), cellwise(stochastic=True), open=NUMBERS),
    "convolution": Case(
        T.Conv2d(8, 8, 3, padding=1),
        normal(is_normalizer=False),
        open={*NUMBERS, "method", "num_groups", "labels", "block", "couples_samples"},
        calls=60,
    ),
    "local response": Case(
        T.LocalResponseNorm(3),
        normal(is_normalizer=False),
        open={*NUMBERS, "method", "num_groups", "labels", "block", "couples_samples"},
        calls=60,
    ),
    "convolution, then BatchNorm2d": Case(
        T.Sequential(T.Conv2d(8, 8, 1), T.BatchNorm2d(8)),
        normal(block=(4, 8, 6, 6), couples_samples=True),
        open={*NUMBERS, "method", "num_groups", "is_normalizer"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_every_field(name):
    compare(TORCH[name], "torch")


def test_the_layer_itself_and_not_only_a_function_of_it():
    assert nv.probe(T.GroupNorm(4, 8)).num_groups == 4
    assert nv.probe(T.GroupNorm(4, 8).forward).num_groups == 4


def test_a_layer_that_takes_one_size_alone():
    found = nv.probe(T.LayerNorm([8, 6, 6], eps=1e-3))
    assert found.undetermined["unbiased"] == (
        "every set has 288 cells, in every shape that fn takes; dividing by 287 would look the same with another "
        "eps and scale, so those are given as for the biased variance"
    )
    assert found.eps == pytest.approx(1e-3, rel=1e-3)


def test_an_unbiased_variance_of_one_size_is_not_taken_for_a_scale():
    @one_size
    def fn(x):
        return (x - x.mean((1, 2, 3), keepdim=True)) / torch.sqrt(x.var((1, 2, 3), keepdim=True) + 1e-5)

    found = nv.probe(fn)
    assert found.affine is found.weight is found.unbiased is None
    assert found.undetermined["affine"].startswith("a scale of 0.998262 everywhere, or an unbiased variance")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_layer():
    layer = torch.jit.script(T.BatchNorm2d(8))
    found = nv.probe(layer)
    assert (found.method, found.framework) == ("batch", "torch")
    assert layer.num_batches_tracked == 0
    assert not layer.running_mean.any()
