"""Every warning appears on models that deserve it, and on no similar healthy model."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import normviz as nv
from normviz.inspect.audit.rules import RULES
from tests.inspect import audit_models as zoo
from tests.inspect.audit_cases import FIRES, NEAR_MISSES, SEQ, Call, X, nan_at, zeroed
from tests.inspect.audit_models import spread


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


DEFAULT = [code for code, rule in RULES.items() if rule.default]
OPT_IN = [code for code, rule in RULES.items() if not rule.default]


def codes(model, x, **options):
    return [w.code for w in nv.audit(model, x, **options).warnings]


# ---- healthy models ----


@pytest.mark.parametrize("name", zoo.HEALTHY)
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("samples", [1, 2, 8])
def test_healthy_models_give_no_warning(name, mode, samples):
    model = zoo.HEALTHY[name]().train(mode)
    size = 32 if name != "ResNet" else 64
    found = nv.audit(model, torch.randn(samples, 3, size, size), training_batch=32)
    assert found.warnings == []
    assert len(found.layers) >= 5
    assert found.unseen == {}


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d, lambda c: nn.GroupNorm(2, c)])
def test_a_u_net_with_any_norm_gives_no_warning(norm):
    assert codes(zoo.UNet(norm), torch.randn(2, 3, 32, 32)) == []


@pytest.mark.parametrize("samples", [1, 2, 4, 16])
def test_settled_running_statistics_give_no_warning(samples):
    model = zoo.ResNet()
    with torch.no_grad():
        for _ in range(60):
            model(torch.randn(16, 3, 64, 64))
    found = nv.audit(model.eval(), torch.randn(samples, 3, 64, 64))
    assert found.warnings == []
    assert all(layer.gap is not None for layer in found.layers)


def cases(table):
    return [pytest.param(code, *case, id=f"{code} {i}") for code in table for i, case in enumerate(table[code])]


def test_every_code_has_cases():
    assert [*FIRES] == [*NEAR_MISSES] == [*RULES]
    assert all(len(v) >= 2 for v in FIRES.values())


@pytest.mark.parametrize(("code", "model", "x", "options"), cases(FIRES))
def test_it_fires(code, model, x, options):
    also = (code,) if code in OPT_IN else ()
    found = nv.audit(model, x, also=also, **options)
    assert {w.code for w in found.warnings} == {code}
    for w in found.warnings:
        assert w.layer in {layer.name for layer in found.layers}
        assert w.message
        assert w.remedy
    assert codes(model, x, **options) == ([] if also else [w.code for w in found.warnings])


@pytest.mark.parametrize(("code", "model", "x", "options"), cases(FIRES))
def test_and_can_be_ignored(code, model, x, options):
    refused = any("torch refuses" in w.message for w in nv.audit(model, x).warnings)
    ignore = [code, *([options["ignore"]] if "ignore" in options else [])]
    options = {**options, "ignore": ignore}
    if refused:
        with pytest.raises(
            ValueError, match=r"^the model raised "
        ):  # the audit does not continue after an ignored warning
            nv.audit(model, x, **options)
    else:
        assert codes(model, x, **options) == []


@pytest.mark.parametrize(("code", "model", "x", "options"), cases(NEAR_MISSES))
def test_it_stays_silent(code, model, x, options):
    assert code not in codes(model, x, also=OPT_IN, **options)


# ---- the numbers ----


def test_where_batch_norm_falls_behind_by_the_papers_table():
    """ResNet-50's last maps are 7 x 7; Batch Norm is level with Group Norm at 16 samples and behind at 8."""
    model = nn.Sequential(nn.BatchNorm2d(8))
    x = torch.randn(2, 8, 7, 7)
    assert [codes(model, x, training_batch=b) for b in (32, 16)] == [[], []]
    (w,) = nv.audit(model, x, training_batch=8).warnings
    assert (w.code, w.layer) == ("small-batch", "0")
    # 4.4 times the error of independent cells, as measured on filter responses of photographs
    assert w.numbers["noise"] == pytest.approx(4.4 / (8 * 49) ** 0.5)
    assert w.numbers["noise_std"] == pytest.approx(4.4 / (2 * 8 * 49) ** 0.5)
    assert "the mean by about 0.22 standard deviations and the standard deviation by 16%" in w.message


def test_one_line_for_all_batch_norm_layers_names_the_noisiest():
    found = nv.audit(zoo.ResNet(), torch.randn(2, 3, 64, 64), training_batch=8)
    (w,) = found.warnings
    sizes = {layer.name: layer.size // 2 for layer in found.layers}
    assert sizes[w.layer] == min(sizes.values()) == 4
    assert w.numbers["noise"] == pytest.approx(8**-0.5)  # four cells count like one, but never like less
    assert set(w.numbers["layers"]) == {n for n, cells in sizes.items() if cells < 64}


@pytest.mark.parametrize(
    ("mean", "fires"), [(0.0, False), (0.2, False), (0.45, False), (0.55, True), (-0.55, True), (2.0, True)]
)
def test_the_gap_that_is_warned_of(mean, fires):
    x = torch.randn(64, 8, 16, 16)
    model = nn.Sequential(nn.BatchNorm2d(8)).eval()
    model[0].running_mean += mean
    found = nv.audit(model, x)
    if mean:
        assert found.layers[0].gap == pytest.approx(abs(mean), abs=0.02)
    assert [w.code for w in found.warnings] == ["train-eval-gap"] * fires


def test_statistics_that_are_not_warm_yet_are_said_to_be_so():
    model = nn.Sequential(nn.BatchNorm2d(8))
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 8, 16, 16) + 9)
    (w,) = nv.audit(model, torch.randn(8, 8, 16, 16) + 9).warnings
    assert "after 3 updates 73% of the initial 0 and 1 remains in them" in w.message


@pytest.mark.parametrize("name", ["ResNet", "U-Net with BN"])
@pytest.mark.parametrize("seed", range(5))
def test_chance_alone_gives_no_gap(name, seed):
    """True running statistics, few samples of correlated maps: the gap is due to chance alone."""
    g = torch.Generator().manual_seed(seed)
    smooth = lambda n: nn.functional.avg_pool2d(torch.randn(n, 3, 70, 70, generator=g), 7, 1) * 7  # noqa: E731
    model = zoo.ResNet() if name == "ResNet" else zoo.UNet(nn.BatchNorm2d)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        for _ in range(8):
            model(smooth(16))
    for samples in (1, 2, 4):
        assert nv.audit(model.eval(), smooth(samples)).warnings == []


def test_non_finite_names_the_first_layer_and_counts_the_others():
    model = nn.Sequential(nn.GroupNorm(2, 8), nn.GroupNorm(2, 8), nn.GroupNorm(2, 8))
    model[1].weight.data[0] = float("inf")
    (w,) = nv.audit(model, torch.randn(2, 8, 6, 6)).warnings
    assert (w.layer, w.numbers["layers"]) == ("1", ["1", "2"])
    assert w.message == "its weight, bias or running statistics hold NaN or infinity (1 later layer as well)"


def test_a_reused_layer_is_judged_by_its_smallest_maps():
    model = nn.Module()
    model.norm = nn.InstanceNorm2d(8)
    model.forward = lambda xs: [model.norm(x) for x in xs]
    (w,) = nv.audit(model, ([torch.randn(2, 8, s, s) for s in (8, 2, 4)],)).warnings
    assert (w.code, w.numbers["size"]) == ("small-set", 4)


def test_instance_norm_by_a_g_that_suits_the_wider_layers_says_so():
    """One G for all layers, and the first has only G channels. Alone, or beside another G, it is the plain sentence."""
    plain = "Group Norm with G = C = 32 has one channel to a group: it is Instance Norm"
    for G, more in ((32, " here, and Group Norm in the wider layers with G = 32"), (16, "")):
        model = nn.Sequential(nn.GroupNorm(32, 32), nn.Conv2d(32, 64, 1), nn.GroupNorm(G, 64))
        (w,) = nv.audit(model, torch.randn(2, 32, 6, 6)).warnings
        assert (w.code, w.layer, w.message) == ("accidental-instance", "0", plain + more)
        exec(w.fix)
        assert nv.audit(model, torch.randn(2, 32, 6, 6)).warnings == []


def test_after_a_layer_that_torch_refuses_the_rest_is_audited_as_well():
    model = nn.Sequential(nn.GroupNorm(4, 8), nn.Conv2d(6, 8, 3), nn.GroupNorm(8, 8))
    found = nv.audit(model, torch.randn(2, 6, 6, 6))
    assert [(w.code, w.layer) for w in found.warnings] == [("groups-do-not-divide", "0"), ("accidental-instance", "2")]
    assert found.warnings[0].remedy == "use one of 1, 2, 3, 6"
    assert [layer.block for layer in found.layers] == [None, (1, 1, 4, 4)]


def test_the_ratio_of_variances_is_that_of_the_unbiased_one():
    x = spread(4, 8, 6, 6)
    model = nn.Sequential(nn.BatchNorm2d(8))
    model[0].running_var *= 50
    (w,) = nv.audit(model, x).warnings
    n = max(4, 4 * 36 / 4.4**2)
    var = x.double().var((0, 2, 3), unbiased=False)
    expected = ((var + 1e-5) / (50 + 1e-5)).mean() * n / (n - 1)
    assert w.numbers["variance_ratio"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("in_between", [True, False])
def test_what_is_written_into_is_no_longer_what_the_layer_before_made(in_between):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)

        def forward(self, x):
            x = self.conv(x)
            return self.norm(x.relu_() if in_between else x)

    assert codes(Model(), spread(2, 8, 6, 6), also="bias-before-norm") == ["bias-before-norm"] * (not in_between)


# ---- the remedies as code ----


@pytest.mark.parametrize(("code", "model", "x", "options"), cases(FIRES))
def test_the_fix_is_code_that_runs_on_a_model_of_ones_own(code, model, x, options):
    """A module that it puts in takes the place; what is loaded, printed or trained is not there to be run."""
    for w in nv.audit(model, x, also=(code,) if code in OPT_IN else (), **options).warnings:
        compile(w.fix, code, "exec")
        if not any(word in w.fix for word in ("load", "training_batches", "x =", "in [")):
            exec(w.fix, {"torch": torch, "nv": nv, "model": copy.deepcopy(model), "example": x})


@pytest.mark.parametrize(
    ("module", "x", "code", "line"),
    [
        (zoo.RMSNorm(16, eps=1e4), spread(2, 9, 16), "constant-output", "model[0].variance_epsilon = 1e-05"),
        (Call(lambda x: F.layer_norm(x, (16,), eps=1e5)), spread(2, 9, 16), "constant-output", "# in the forward of "),
        (zeroed(zoo.HandBatchNorm(8), "gamma"), X, "constant-output", "torch.nn.init.ones_(model[0].gamma)"),
        (zoo.HandBatchNorm(8, keeps=0.01), X, "momentum-reversed", "# in the forward of model[0]: momentum = 0.01"),
        (nn.BatchNorm2d(8, momentum=0.9), X, "momentum-reversed", "model[0].momentum = 0.1"),
        (nan_at(zoo.EvoNorm2dS0(2, 8), "gamma"), X, "non-finite", "model.load_state_dict("),
    ],
)
def test_the_fix_names_what_the_module_has(module, x, code, line):
    """A module may call eps or the weight by another name, or hold it in its forward alone."""
    (w,) = nv.audit(SEQ(module), x).warnings
    assert (w.code, w.fix[: len(line)]) == (code, line)


def test_the_fix_mends_it():
    model = zoo.UNet(lambda c: nn.GroupNorm(c, c)).eval()
    x = torch.randn(2, 3, 32, 32)
    for w in nv.audit(model, x).warnings:
        exec(w.fix)
    assert codes(model, x) == []
    assert model.down[1][1].num_groups == 16
