"""The layers that an audit finds, and their numbers against float64 loops."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normviz as nv
from tests.inspect import audit_models as zoo
from tests.inspect.audit_models import spread


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def one(model, x, **options):
    (layer,) = nv.audit(model, x, **options).layers
    return layer


# layer, input shape -> kind, G, block
BY_CLASS = {
    "BatchNorm1d, vectors": (nn.BatchNorm1d(6), (4, 6), "batch", None, (4, 1)),
    "BatchNorm1d, sequences": (nn.BatchNorm1d(6), (4, 6, 5), "batch", None, (4, 1, 5)),
    "BatchNorm2d": (nn.BatchNorm2d(6), (4, 6, 5, 3), "batch", None, (4, 1, 5, 3)),
    "BatchNorm3d": (nn.BatchNorm3d(6), (2, 6, 4, 3, 2), "batch", None, (2, 1, 4, 3, 2)),
    "SyncBatchNorm": (nn.SyncBatchNorm(6), (4, 6, 5, 3), "batch", None, (4, 1, 5, 3)),
    "BatchNorm without state": (
        nn.BatchNorm2d(6, track_running_stats=False),
        (4, 6, 5, 3),
        "batch",
        None,
        (4, 1, 5, 3),
    ),
    "InstanceNorm1d": (nn.InstanceNorm1d(6), (4, 6, 9), "instance", None, (1, 1, 9)),
    "InstanceNorm2d": (nn.InstanceNorm2d(6, affine=True), (4, 6, 5, 3), "instance", None, (1, 1, 5, 3)),
    "InstanceNorm3d": (nn.InstanceNorm3d(6), (2, 6, 4, 3, 2), "instance", None, (1, 1, 4, 3, 2)),
    "GroupNorm": (nn.GroupNorm(3, 6), (4, 6, 5, 3), "group", 3, (1, 2, 5, 3)),
    "GroupNorm, one group": (nn.GroupNorm(1, 6), (4, 6, 5, 3), "group", 1, (1, 6, 5, 3)),
    "LayerNorm, tokens": (nn.LayerNorm(16), (2, 9, 16), "positional", None, (1, 1, 16)),
    "LayerNorm, vectors": (nn.LayerNorm(16), (4, 16), "layer", None, (1, 16)),
    "LayerNorm, channels last": (nn.LayerNorm(16), (2, 5, 3, 16), "positional", None, (1, 1, 1, 16)),
    "LayerNorm, windows": (nn.LayerNorm(16), (2, 2, 2, 3, 3, 16), "positional", None, (1, 1, 1, 1, 1, 16)),
    "LayerNorm([C, H, W])": (nn.LayerNorm([6, 5, 3]), (4, 6, 5, 3), "layer", None, (1, 6, 5, 3)),
    "LayerNorm([H, W])": (nn.LayerNorm([5, 3]), (4, 6, 5, 3), "layer", None, (1, 1, 5, 3)),
    "RMSNorm": (nn.RMSNorm(16), (2, 9, 16), "rms", None, (1, 1, 16)),
    "LocalResponseNorm": (nn.LocalResponseNorm(3), (2, 6, 5, 3), "local_response", None, None),
    "CrossMapLRN2d": (nn.CrossMapLRN2d(3), (2, 6, 5, 3), "local_response", None, None),
}


@pytest.mark.parametrize("name", BY_CLASS)
@pytest.mark.parametrize("mode", [True, False])
def test_torchs_own_layers(name, mode):
    module, shape, kind, groups, block = BY_CLASS[name]
    layer = one(nn.Sequential(module).train(mode), spread(*shape))
    assert (layer.name, layer.type, layer.known_by) == ("0", type(module).__name__, "class")
    assert (layer.kind, layer.num_groups, layer.block, layer.input_shape) == (kind, groups, block, shape)
    assert layer.mode == ("train" if mode else "eval")
    assert layer.parameters == sum(p.numel() for p in module.parameters())
    if block:
        assert (layer.size, layer.count) == (math.prod(block), math.prod(shape) // math.prod(block))
    else:
        assert (layer.size, layer.count) == (None, None)


def test_one_sample_without_its_axis():
    layer = one(nn.InstanceNorm2d(6), spread(6, 5, 3))
    assert (layer.input_shape, layer.block) == ((1, 6, 5, 3), (1, 1, 5, 3))


torch.manual_seed(0)  # the layers are made on import
# what other libraries write: layer, input shape -> kind, G, block, known by
OTHERS = {
    "frozen": (zoo.FrozenBatchNorm2d(8), (2, 8, 6, 6), "batch", None, (2, 1, 6, 6), "output"),
    "fused with ReLU": (zoo.BatchNormAct2d(8), (2, 8, 6, 6), "batch", None, (2, 1, 6, 6), "call"),
    "fused with GELU": (zoo.BatchNormAct2d(8, nn.GELU), (2, 8, 6, 6), "batch", None, (2, 1, 6, 6), "call"),
    "fused in place": (zoo.BatchNormAct2d(8, lambda: nn.ReLU(True)), (2, 8, 6, 6), "batch", None, (2, 1, 6, 6), "call"),
    "fused in eval": (zoo.BatchNormAct2d(8).eval(), (2, 8, 6, 6), "batch", None, (2, 1, 6, 6), "call"),
    "permuted": (zoo.LayerNorm2d(8), (2, 8, 6, 6), "positional", None, (1, 8, 1, 1), "call"),
    "RMS by hand": (zoo.RMSNorm(16), (2, 9, 16), "rms", None, (1, 1, 16), "output"),
    "heads by hand": (zoo.HandHeadNorm(4, 16), (2, 16, 5), "per_head", 4, (1, 4, 1), "output"),
    "group by hand": (zoo.HandGroupNorm(4, 8), (2, 8, 6, 6), "group", 4, (1, 2, 6, 6), "output"),
    "group by hand, ReLU": (zoo.HandGroupNorm(4, 8, nn.ReLU()), (2, 8, 6, 6), "group", 4, (1, 2, 6, 6), "output"),
    "batch by hand": (zoo.HandBatchNorm(8), (4, 8, 6, 6), "batch", None, (4, 1, 6, 6), "output"),
    "batch by hand, eval": (zoo.HandBatchNorm(8).eval(), (4, 8, 6, 6), "batch", None, (4, 1, 6, 6), "output"),
    "batch by hand, ReLU": (zoo.HandBatchNorm(8, nn.ReLU()), (4, 8, 6, 6), "batch", None, (4, 1, 6, 6), "output"),
    "batch by hand, SiLU": (zoo.HandBatchNorm(8, nn.SiLU()), (4, 8, 6, 6), "batch", None, (4, 1, 6, 6), "output"),
    "batch by hand, 1 + w": (zoo.ZeroCenteredBatchNorm(8), (2, 8, 2, 2), "batch", None, (2, 1, 2, 2), "output"),
    "FRN with its threshold": (zoo.FilterResponseNorm(8), (2, 8, 12, 12), "frn", None, (1, 1, 12, 12), "output"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_layers_of_other_libraries(name):
    module, shape, kind, groups, block, known_by = OTHERS[name]
    layer = one(nn.Sequential(nn.Identity(), module), spread(*shape))
    assert (layer.name, layer.kind, layer.num_groups, layer.block) == ("1", kind, groups, block)
    assert (layer.known_by, layer.parameters) == (known_by, sum(p.numel() for p in module.parameters()))


class Call(nn.Module):
    """A module that applies a function."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


@pytest.mark.parametrize(
    "make", [nn.BatchNorm2d, partial(nn.InstanceNorm2d, track_running_stats=True), zoo.HandBatchNorm]
)
def test_a_layer_that_uses_running_statistics_is_shown_as_fixed(make):
    model, x = nn.Sequential(make(8)), spread(2, 8, 6, 6)
    model[0].running_mean += 0.5
    found = nv.audit(model.eval(), x)
    (layer,) = found.layers
    assert layer.fixed
    assert str(found).splitlines()[1].split("2×8×6×6")[1].split()[:3] == ["fixed", "–", "–"]
    explorer = found.explore("0")
    assert (explorer.mode, explorer.statistics.mean.tolist()) == ("eval", [0.5] * 8)
    trained = nv.audit(model.train(), x)
    assert not trained.layers[0].fixed
    assert "fixed" not in str(trained)


def adaptive(x):
    """Give each sample the spread of the one before it."""
    std, mean = torch.std_mean(x, (2, 3), keepdim=True)
    return (x - mean) / std * std.roll(1, 0)


# what pools maps without being a normalizer: layer, input shape, axis of the channels
NO_PLAIN_NORMS = {
    "GRN": (zoo.GlobalResponseNorm(8, 0.5), (2, 6, 6, 8), -1),
    "GRN as built": (zoo.GlobalResponseNorm(8), (2, 6, 6, 8), -1),
    "EvoNorm-S0": (zoo.EvoNorm2dS0(2, 8), (2, 8, 6, 6), 1),
    "EvoNorm-B0": (zoo.EvoNorm2dB0(2, 8), (3, 8, 6, 6), 1),
    "AdaIN": (Call(adaptive), (2, 8, 6, 6), 1),
    "by the exponential of the spread": (Call(lambda x: x / x.var((2, 3), keepdim=True).sqrt().exp()), (2, 8, 6, 6), 1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", NO_PLAIN_NORMS)
def test_what_pools_maps_and_is_no_plain_normalizer(name, dtype):
    module, shape, axis = NO_PLAIN_NORMS[name]
    layer = one(nn.Sequential(nn.Identity(), copy.deepcopy(module)).to(dtype), spread(*shape).to(dtype))
    assert (layer.kind, layer.label, layer.block) == ("other", "pools H x W, not a plain normalizer", None)
    assert (layer.name, layer.channel_axis, layer.known_by) == ("1", axis, "output")


HIDDEN = {
    "RMS": (zoo.RMSNorm(64), (1, 1, 64), "rms"),
    "Layer": (zoo.SquaredLayerNorm(64), (1, 1, 64), "positional"),
    "RMS in float32": (zoo.InFloat32(zoo.RMSNorm(64)), (1, 1, 64), "rms"),
    "heads": (zoo.HandHeadNorm(3, 9), (1, 3, 1), "per_head"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", HIDDEN)
def test_sets_are_told_where_one_channel_outshines_the_others(name, dtype):
    module, block, kind = HIDDEN[name]
    x = spread(2, 9, 64)
    x[:, :, 5] = x[:, 4] = 3000.0
    layer = one(nn.Sequential(copy.deepcopy(module)).to(dtype), x.to(dtype))
    assert (layer.block, layer.kind) == (block, kind)


NO_NORMS = {
    "identity": lambda x: x,
    "copy": lambda x: x.clone(),
    "scale and shift": lambda x: 3 * x - 1,
    "a scale for each channel": lambda x: x * torch.arange(1.0, 9.0).reshape(-1, 1, 1) - 1,
    "ReLU": F.relu,
    "GELU": F.gelu,
    "softmax": lambda x: x.softmax(1),
    "squeeze and excite": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "centred": lambda x: x - x.mean((2, 3), keepdim=True),
    "shuffled": lambda x: x.flip(1),
    "blurred": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "mixed": lambda x: torch.einsum("nchw,cd->ndhw", x, torch.ones(8, 8) + torch.eye(8)),
    "residual": lambda x: x + 0.1 * torch.tanh(x.roll(1, 2)),
    "a gate by the largest": lambda x: x * x.amax((2, 3), keepdim=True).sigmoid(),
    "spatial softmax": lambda x: x * x.flatten(2).softmax(-1).reshape(x.shape),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "a power mean": lambda x: x * x.abs().pow(3).mean((2, 3), keepdim=True).pow(1 / 3),
    "by the range": lambda x: (x - x.amin((2, 3), keepdim=True)) / (x.amax((2, 3), keepdim=True) - x.amin()),
    "noise": torch.rand_like,
    "zeros": torch.zeros_like,
}


@pytest.mark.parametrize("name", NO_NORMS)
@pytest.mark.parametrize("shape", [(2, 8, 6, 6), (4, 8, 12, 12), (8, 8, 3, 3)])
def test_what_is_no_normalization_is_not_listed(name, shape):
    assert nv.audit(nn.Sequential(Call(NO_NORMS[name])), spread(*shape)).layers == []
    assert nv.audit(nn.Sequential(Call(NO_NORMS[name])), torch.randn(shape)).layers == []


BLOCKS = {"layer": (1, 2, 3), "instance": (2, 3), "positional": (1,), "last axis": (3,)}


@pytest.mark.parametrize("dims", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("act", [lambda x: x, F.relu, F.gelu, torch.tanh], ids=["bare", "relu", "gelu", "tanh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_sets_are_told_from_the_output_alone(dims, act, dtype):
    def f(x):
        var, mean = torch.var_mean(x.double(), dims, correction=0, keepdim=True)
        return act((x - mean) / (var + 1e-5).sqrt()).to(dtype)

    shape = (4, 6, 12, 10)
    layer = one(Call(f), spread(*shape).to(dtype))
    assert layer.block == tuple(n if a in dims else 1 for a, n in enumerate(shape))
    assert layer.known_by == "output"


def test_a_call_in_the_midst_of_a_forward():
    found = nv.audit(nn.Sequential(zoo.PreNormMLP(16), zoo.PreNormMLP(16)), spread(2, 9, 16))
    assert [(x.name, x.type, x.known_by) for x in found.layers] == [
        ("0:layer_norm", "layer_norm", "call"),
        ("1:layer_norm", "layer_norm", "call"),
    ]
    assert [x.parameters for x in found.layers] == [32, 32]


def test_several_calls_in_one_forward_are_numbered_and_those_with_one_weight_are_one():
    weight = torch.ones(16)

    def f(x):
        y = F.layer_norm(x, (16,)) + F.layer_norm(2 * x.tanh(), (16,))
        for _ in range(3):
            y = y.tanh() + F.rms_norm(y, (16,), weight)
        return y + F.group_norm(y, 3)

    found = nv.audit(nn.Sequential(Call(f)), spread(2, 9, 16))
    assert [(x.name, x.uses) for x in found.layers] == [
        ("0:layer_norm", 1),
        ("0:layer_norm#2", 1),
        ("0:rms_norm", 3),
        ("0:group_norm", 1),
    ]


def test_weights_that_are_standardized_are_no_activations():
    found = nv.audit(nn.Sequential(zoo.ScaledStdConv2d(3, 8, 3), nn.GroupNorm(2, 8)), spread(2, 3, 6, 6))
    assert [x.name for x in found.layers] == ["1"]


def test_torchs_functions_called_from_torch_itself():
    def f(x):
        w = torch.ones(8)
        x = torch.batch_norm(x, w, w, None, None, True, 0.1, 1e-5, False) * 2
        x = torch.group_norm(x, 2) * 2
        x = torch.instance_norm(x, w, w, None, None, True, 0.1, 1e-5, False) * 2
        return torch.layer_norm(x, (6,)).sum(1)

    found = nv.audit(Call(f), spread(2, 8, 6, 6))
    assert [x.kind for x in found.layers] == ["batch", "group", "instance", "positional"]


# ---- order, uses, shares ----


def test_order_is_that_of_use_and_what_is_not_used_is_said():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.never, self.first = nn.GroupNorm(2, 8), nn.BatchNorm2d(8), nn.BatchNorm2d(8)

        def forward(self, x):
            return self.last(self.first(x) * 2)

    found = nv.audit(Model(), spread(2, 8, 6, 6))
    assert [x.name for x in found.layers] == ["first", "last"]
    assert found.unseen == {"never": "BatchNorm2d is not called in this run"}


def test_a_reused_layer_is_one_layer_with_its_uses():
    norm = nn.GroupNorm(2, 8)

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.again, self.other = norm, norm, nn.GroupNorm(4, 8)

        def forward(self, pyramid):
            return [self.other(self.norm(x) + self.again(-x)) for x in pyramid]

    sizes = [(2, 8, 8, 8), (2, 8, 4, 4)]
    found = nv.audit(Heads(), ([spread(*s) for s in sizes],))
    assert [(x.name, x.uses, x.input_shape) for x in found.layers] == [("norm", 4, sizes[0]), ("other", 2, sizes[0])]
    assert [x.share for x in found.layers] == [2 / 3, 1 / 3]
    assert found["norm"].parameters == 16
    assert found.explore("norm", use=2).x.shape == sizes[1]


def test_shares_are_of_all_normalized_cells():
    found = nv.audit(zoo.ResNet(), torch.randn(2, 3, 64, 64))
    cells = [math.prod(x.input_shape) for x in found.layers]
    np.testing.assert_allclose([x.share for x in found.layers], np.array(cells) / sum(cells))
    assert [x.name for x in found.layers][:6] == [
        "bn1",
        "layer1.0.bn1",
        "layer1.0.bn2",
        "layer1.0.bn3",
        "layer1.0.downsample.1",
        "layer2.0.bn1",
    ]


@pytest.mark.parametrize(
    ("example", "forward"),
    [
        (spread(2, 8, 6, 6), lambda self, x: self.norm(x)),
        ((spread(2, 8, 6, 6), 2.0), lambda self, x, factor: self.norm(x * factor)),
        ({"x": spread(2, 8, 6, 6), "factor": 2.0}, lambda self, *, x, factor: self.norm(input=x * factor)),
        ({"image": spread(2, 8, 6, 6)}, lambda self, batch: self.norm(batch["image"])),
        ((spread(2, 8, 6, 6), spread(2, 8, 6, 6)), lambda self, pair: self.norm(pair[0] + pair[1])),
    ],
    ids=["tensor", "tuple", "dict", "one dict", "one tuple"],
)
def test_examples_of_every_kind(example, forward):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.GroupNorm(2, 8)

    Model.forward = forward
    assert one(Model(), example).name == "norm"


def test_no_norm_layers_is_an_empty_table():
    found = nv.audit(nn.Linear(3, 4), torch.zeros(2, 3))
    assert (found.layers, found.warnings, found.unseen) == ([], [], {})
    assert str(found) == "0 normalization layers, 0 warnings."
