"""One difference is made between two models, and compare has to find that one and no other."""

import pytest
import torch
from torch import nn

import normviz as nv
from tests.inspect.compared import net, one_weight, parted, replaced, set_, swap, what, x


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


PLANTED = {
    "eps": (set_(m4__eps=1e-2), True, "4", ["eps"], "eps is 1e-05 in a and 0.01 in b"),
    "affine swapped": (swap, True, "4", ["affine"], "weight and bias are swapped"),
    "one weight": (one_weight, True, "4", ["weight"], "most at entry 5"),
    "bias": (set_(m7__bias=0.0), True, "7", ["bias"], "bias differs by"),
    "num_groups": (set_(m4__num_groups=2), True, "4", ["num_groups"], "num_groups is 4 in a and 2 in b"),
    "mode": (lambda m: m[1].eval(), True, "1", ["mode"], "the running ones in b (eval mode)"),
    "running mean": (set_(m1__running_mean=0.0), False, "1", ["running_mean"], "running_mean differs by"),
    "running var": (set_(m1__running_var=1.0), False, "1", ["running_var"], "running_var differs by"),
    "kind": (replaced(nn.BatchNorm2d(8, track_running_stats=False)), True, "4", ["kind"], "kind is Group Norm with G"),
    "affine missing": (lambda m: setattr(m, "4", nn.GroupNorm(4, 8, affine=False)), True, "4", ["weight", "bias"], "8"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_one_difference_is_found_where_it_is(name):
    change, mode, layer, expected, words = PLANTED[name]
    found = parted(change, mode)
    assert not found.same
    assert (found.first.name, what(found.first), found.between) == (layer, expected, None)
    assert not found.first.input_parts
    assert found.first.output_parts
    assert words in str(found)
    assert str(found).startswith(f"The two models begin to differ at {layer}: inputs agree")
    assert [p.name for p in found.pairs if p.differences] == [layer]


@pytest.mark.parametrize("mode", [True, False])
def test_two_that_are_the_same(mode):
    found = parted(lambda m: None, mode)
    assert found.same
    assert (found.first, found.between, found.only_a, found.only_b) == (None, None, [], [])
    assert [p.name for p in found.pairs] == ["1", "4", "7"]
    assert all(p.input_difference == p.output_difference == 0 for p in found.pairs)
    assert str(found) == (
        "The two models agree at 3 pairs of normalization layers and in their output, on this example."
    )


def test_momentum_acts_in_train_mode_alone():
    train, rest = (parted(set_(m1__momentum=0.01), mode) for mode in (True, False))
    assert train.same
    assert (train.first.name, what(train.first), train.first.output_parts) == ("1", ["momentum"], False)
    assert str(train).startswith("All numbers agree on this example, but 1 is set differently.")
    assert "momentum is 0.1 in a and 0.01 in b (it changes only the running statistics)" in str(train)
    assert rest.same
    assert rest.first is None
    assert what(rest.pairs[0]) == ["momentum"]
    assert "without effect while the running statistics are used" in str(rest)


def test_running_statistics_that_a_run_does_not_use_are_told_but_no_cause():
    found = parted(set_(m1__running_mean=0.0))
    assert found.same
    assert what(found.pairs[0]) == ["running_mean"]
    assert "not used in this mode" in str(found)


@pytest.mark.parametrize("scale", [1.0, 1e-2], ids=["hidden by rounding", "seen"])
def test_layer_norms_eps(scale):
    """1e-6 against 1e-5 is below rounding where the variance is 1, but it is reported."""
    a, b = (nn.Sequential(nn.Identity(), nn.LayerNorm(16, eps=eps)) for eps in (1e-6, 1e-5))
    found = nv.compare(a, b, torch.randn(2, 9, 16) * scale)
    assert found.same == (scale == 1)
    assert ("begin to differ" in str(found)) == (scale < 1)
    assert (found.first.name, what(found.first)) == ("1", ["eps"])
    assert found.first.output_parts == (scale < 1)


def test_a_layer_that_the_other_has_not():
    a, b = net(), net()
    b = nn.Sequential(*b[:3], nn.InstanceNorm2d(8), *b[3:])
    found = nv.compare(a, b, x())
    assert not found.same
    assert [s.name for s in found.only_b] == ["3"]
    assert [(p.a.name, p.b.name) for p in found.pairs] == [("1", "1"), ("4", "5"), ("7", "8")]
    assert found.between == ("1", "4 / 5")
    assert "Only in b: 3 (InstanceNorm2d, input 2×8×8×8)." in str(found)
    swapped = nv.compare(b, a, x())
    assert ([s.name for s in swapped.only_a], swapped.only_b) == (["3"], [])


@pytest.mark.parametrize(("at", "between"), [(0, ("(input)", "1")), (3, ("1", "4")), (9, ("7", "(output)"))])
def test_what_is_no_norm_layer_is_said_to_lie_between_them(at, between):
    def change(model):
        model[at].weight.data[0] += 0.5

    found = parted(change)
    assert not found.same
    assert found.between == between
    assert (found.first is None) == (at == 9)
    assert "no normalization layer of both is the cause" in str(found)
    if at < 9:
        assert found.first.name == between[1]
        assert f"is made by {'0 in a and 0 in b' if at == 0 else '3 in a and 3 in b'}" in str(found)


def test_the_first_of_two_is_the_cause():
    def change(model):
        one_weight(model)
        model[7].eps = 1e-1

    found = parted(change)
    assert (found.first.name, what(found.first)) == ("4", ["weight"])
    assert "Also: 7: eps is 1e-05 in a and 0.1 in b." in str(found)


def test_an_earlier_setting_that_does_not_show_is_not_the_cause():
    def change(model):
        model[1].momentum = 0.5
        one_weight(model)

    assert parted(change).first.name == "4"
