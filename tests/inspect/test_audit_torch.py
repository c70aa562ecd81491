"""Audits of running statistics, lazy layers, and modules that torch has compiled or quantized."""

import numpy as np
import pytest
import torch
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


# ---- frozen, and the gap ----


def test_frozen():
    def bn(requires_grad=True, training=True, **options):
        return nn.BatchNorm2d(8, **options).requires_grad_(requires_grad).train(training)

    cases = [
        (bn(), False),
        (bn(training=False), False),
        (bn(requires_grad=False), False),  # its running statistics still change
        (bn(requires_grad=False, training=False), True),
        (bn(requires_grad=False, momentum=0.0), True),
        (nn.GroupNorm(2, 8), False),
        (nn.GroupNorm(2, 8).requires_grad_(False), True),
        (nn.InstanceNorm2d(8), False),  # it has nothing to freeze
        (zoo.FrozenBatchNorm2d(8), True),
    ]
    assert [one(m, spread(2, 8, 6, 6)).frozen for m, _ in cases] == [frozen for _, frozen in cases]


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("make", [nn.BatchNorm2d, zoo.BatchNormAct2d, zoo.HandBatchNorm, "instance"])
def test_the_gap_is_the_distance_between_train_and_eval_output(make, mode):
    x = spread(4, 6, 5, 7)
    module = nn.InstanceNorm2d(6, track_running_stats=True, affine=True) if make == "instance" else make(6)
    module.running_mean.copy_(torch.randn(6))
    module.running_var.copy_(torch.rand(6) + 0.5)
    mean, var = (t.double().numpy().reshape(1, -1, 1, 1) for t in (module.running_mean, module.running_var))
    x64, axes = x.double().numpy(), (2, 3) if make == "instance" else (0, 2, 3)
    train = (x64 - x64.mean(axes, keepdims=True)) / np.sqrt(x64.var(axes, keepdims=True) + 1e-5)
    gap = np.sqrt(np.mean(((x64 - mean) / np.sqrt(var + 1e-5) - train) ** 2))
    assert one(module.train(mode), x).gap == pytest.approx(gap, rel=1e-5)


def test_no_gap_while_the_running_statistics_are_untouched_or_absent():
    for module in (nn.BatchNorm2d(8), nn.BatchNorm2d(8, track_running_stats=False), nn.GroupNorm(2, 8)):
        assert one(module, 100 * spread(2, 8, 6, 6)).gap is None


# ---- lazy, compiled, quantized ----


def test_lazy_layers_are_audited_on_a_copy():
    model = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.LazyInstanceNorm2d(affine=True))
    found = nv.audit(model, spread(2, 3, 6, 6))
    assert [(x.name, x.kind, x.block, x.gap) for x in found.layers] == [
        ("1", "batch", (2, 1, 4, 4), None),
        ("2", "instance", (1, 1, 4, 4), None),
    ]
    assert isinstance(model[1], nn.LazyBatchNorm2d)
    assert isinstance(model[0].weight, nn.UninitializedParameter)
    assert found.explore("1").x.shape == (2, 8, 4, 4)


def test_the_fast_path_of_transformers_is_no_obstacle():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    found = nv.audit(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval(), spread(2, 9, 16))
    assert [x.name for x in found.layers] == [f"layers.{i}.norm{j}" for i in (0, 1) for j in (1, 2)]


@pytest.mark.filterwarnings("ignore")
def test_compiled_by_torch_jit():
    bare = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    model = nn.Sequential(torch.jit.script(nn.BatchNorm2d(8)), torch.jit.script(bare), nn.GroupNorm(2, 4))
    found = nv.audit(model, spread(2, 8, 9, 9))
    assert [(x.name, x.type) for x in found.layers] == [("0", "BatchNorm2d"), ("2", "GroupNorm")]
    assert found.unseen == {"1": "compiled by torch.jit, and no call inside can be seen; it holds BatchNorm2d"}
    traced = torch.jit.trace(nn.Sequential(nn.GroupNorm(2, 8)), spread(2, 8, 6, 6))
    assert one(nn.Sequential(traced), spread(2, 8, 6, 6)).block == (1, 4, 6, 6)


def test_wrapped_by_torch_compile():
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8))
    assert one(torch.compile(model, backend="eager"), spread(2, 8, 6, 6)).name == "1"
    inner = nn.Sequential(torch.compile(nn.GroupNorm(2, 8), backend="eager"))
    assert one(inner, spread(2, 8, 6, 6)).name == "0"


def test_what_was_compiled_and_has_run_is_seen_as_well():
    model = torch.compile(nn.Sequential(nn.GroupNorm(2, 8), nn.ReLU()), backend="eager")
    before = model(spread(2, 8, 6, 6))
    assert one(model, spread(2, 8, 6, 6)).name == "0"
    torch.testing.assert_close(model(spread(2, 8, 6, 6)), before)


@pytest.mark.filterwarnings("ignore")
def test_quantized_layers():
    bn = torch.ao.nn.quantized.BatchNorm2d(8)
    x = torch.quantize_per_tensor(spread(2, 8, 6, 6), 0.05, 128, torch.quint8)
    layer = one(nn.Sequential(bn), x)
    assert (layer.kind, layer.block) == ("batch", (2, 1, 6, 6))


def test_without_values_shapes_alone():
    layer = one(nn.Sequential(nn.BatchNorm2d(8), zoo.RMSNorm(6)).to("meta"), torch.zeros(2, 8, 6, 6, device="meta"))
    assert (layer.name, layer.block) == ("0", (2, 1, 6, 6))


def test_few_cells_in_bfloat16():
    layer = one(nn.Sequential(zoo.RMSNorm(12)).bfloat16(), torch.randn(2, 2, 12).bfloat16())
    assert (layer.kind, layer.block) == ("rms", (1, 1, 12))


class Forward(nn.Module):
    """A module with any forward."""

    def __init__(self, inner, forward):
        super().__init__()
        self.inner, self._forward = inner, forward

    def forward(self, x):
        return self._forward(self, x)


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_numbers_to_look_at():
    x, module = spread(2, 8, 6, 6), nn.GroupNorm(2, 8)
    by_vmap = Forward(module, lambda self, x: torch.func.vmap(self.inner)(x[:, None]))
    sparse = Forward(module, lambda self, x: self.inner(x.to_dense()))
    for found in (nv.audit(by_vmap, x), nv.audit(sparse, x.to_sparse())):
        assert [(layer.name, layer.block) for layer in found.layers] == [("inner", (1, 4, 6, 6))]
    empty = nv.audit(nn.Sequential(module), torch.zeros(0, 8, 3, 3))
    assert empty.layers[0].count == 0
    with pytest.raises(ValueError, match=r"layer '0' gets an input of shape \(0, 8, 3, 3\) that has no values"):
        empty.explore("0")
    rows = [torch.randn(3, 8), torch.randn(5, 8)]
    for layout in (torch.strided, torch.jagged):
        found = nv.audit(nn.Sequential(nn.LayerNorm(8)), torch.nested.nested_tensor(rows, layout=layout))
        assert (found.layers, found.unseen) == ([], {"0": "its input is not a tensor of one shape"})


@pytest.mark.filterwarnings("ignore")
def test_observers_that_grow_are_put_back():
    config = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    model = torch.ao.nn.intrinsic.qat.ConvBn2d(8, 8, 3, qconfig=config)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = nv.audit(model, spread(2, 8, 6, 6))
    assert [layer.name for layer in found.layers] == ["bn"]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_parameters_can_be_resized_afterwards():
    module = zoo.RMSNorm(16)
    nv.audit(module, spread(2, 9, 16))
    module.weight.data.resize_(32)
