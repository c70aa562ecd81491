"""Ports, notebooks, errors, and the state of the models that compare runs."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normviz as nv
from normviz.inspect.audit.run import observe
from normviz.inspect.compare.compare import Recording
from normviz.inspect.compare.layer_diff import relative
from tests.inspect import audit_models as zoo
from tests.inspect.compared import net, one_weight, parted, what, x
from tests.inspect.test_audit_untouched import Busy, everything


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


class Port(nn.Module):
    """The same as net, with other names, functions for modules, and the channels last for a while."""

    def __init__(self, source, eps=1e-5):
        super().__init__()
        self.stem, self.norm, self.conv, self.fc = source[0], source[1], source[3], source[9]
        self.weight, self.bias = source[4].weight, source[4].bias
        self.last, self.eps = source[7], eps

    def forward(self, x):
        x = self.conv(self.norm(self.stem(x)).relu())
        x = F.group_norm(x, 4, self.weight, self.bias, self.eps).relu()
        return self.fc(self.last(x.flatten(2)).flatten(1))


def test_a_port_with_other_names():
    found = nv.compare(net(), Port(net()), x())
    assert found.same
    assert [(p.a.name, p.b.name) for p in found.pairs] == [("1", "norm"), ("4", "(model):group_norm"), ("7", "last")]
    found = nv.compare(net(), Port(net(), eps=1e-2), x())
    assert (found.first.name, what(found.first)) == ("4 / (model):group_norm", ["eps"])


def test_names_pair_what_order_would_not():
    class Two(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = nn.GroupNorm(2, 8), nn.GroupNorm(4, 8)
            self.order = (first, second)

        def forward(self, x):
            return sum(self.get_submodule(n)(x) for n in self.order)

    a, b = Two("first", "second"), Two("first", "second")
    found = nv.compare(a, b, torch.randn(2, 8, 5, 5), names={"first": "second"})
    assert [(p.a.name, p.b.name) for p in found.pairs] == [("first", "second")]
    with pytest.raises(ValueError, match=r"names: unknown layer of model_b 'secnd'; did you mean 'second'\?"):
        nv.compare(a, b, torch.randn(2, 8, 5, 5), names={"first": "secnd"})
    with pytest.raises(ValueError, match="unknown layer of model_a 'x'"):
        nv.compare(a, b, torch.randn(2, 8, 5, 5), names={"x": "second"})


def test_channels_last_against_channels_first():
    a = zoo.LayerNorm2d(8)
    b = nn.Sequential(nn.LayerNorm(8))
    data = torch.randn(2, 8, 5, 5)

    class Moved(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = b

        def forward(self, x):
            return self.inner(x.movedim(1, -1)).movedim(-1, 1)

    eps = a.eps
    b[0].eps = eps
    assert nv.compare(nn.Sequential(a), Moved(), data).same
    b[0].eps = 1e-1
    assert what(nv.compare(nn.Sequential(a), Moved(), data).first) == ["eps"]


def test_dropout_is_the_same_in_both():
    a = nn.Sequential(nn.Dropout(0.5), nn.GroupNorm(2, 8))
    state = torch.get_rng_state()
    assert nv.compare(a, copy.deepcopy(a), torch.randn(2, 8, 5, 5, generator=torch.Generator())).same
    assert torch.equal(torch.get_rng_state(), state)


def test_a_real_shape_of_network_twice_and_with_one_eps_changed():
    a = zoo.ResNet().eval()
    b = copy.deepcopy(a)
    data = torch.randn(1, 3, 32, 32)
    assert nv.compare(a, b, data).same
    b.layer2[1].bn2.eps = 1e-2
    assert nv.compare(a, b, data).first.name == "layer2.1.bn2"


def test_numbers_are_those_of_float64_loops():
    found = parted(one_weight)
    pair = found.pairs[1]
    with torch.no_grad():
        a, b = net(), net()
        one_weight(b)
        ya, yb = (m[:5](x()).double().numpy() for m in (a, b))
    expected = np.sqrt(((ya - yb) ** 2).mean()) / max(np.sqrt((y**2).mean()) for y in (ya, yb))
    np.testing.assert_allclose(pair.output_difference, expected, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "kept"), [(torch.float32, 1e-5), (torch.float64, 1e-10), (torch.bfloat16, 5e-2)])
def test_tolerance_follows_the_dtype(dtype, kept):
    a = nn.Sequential(nn.GroupNorm(2, 8)).to(dtype)
    assert nv.compare(a, a, torch.randn(2, 8, 5, 5).to(dtype)).pairs[0].tolerance == kept
    assert nv.compare(a, a, torch.randn(2, 8, 5, 5).to(dtype), tolerance=0.2).pairs[0].tolerance == 0.2


@pytest.mark.parametrize("fail", [False, True])
def test_both_models_are_as_they_were(fail):
    a, b, data = Busy(), Busy(), torch.randn(2, 3, 12, 12)
    b.fail = fail
    before = [everything(m, data) for m in (a, b)]
    if fail:
        with pytest.raises(ValueError, match=r"^model_b raised RuntimeError"):
            nv.compare(a, b, data)
    else:
        nv.compare(a, b, data)
    after = [everything(m, data) for m in (a, b)]
    for first, second in zip(before, after, strict=True):
        for key, value in first.items():
            assert second[key] == value, key


def test_a_notebook_shows_a_table_with_the_culprit_marked():
    page = parted(one_weight)._repr_html_()
    assert page.count("<tr") == 4
    assert '<tr class="warned"><th scope="row">⚠ 4</th>' in page
    assert "<script" not in page
    assert repr(parted(one_weight)) == "<Comparison of 3 pairs of layers: part at 4>"


def test_errors_say_what_to_do():
    with pytest.raises(TypeError, match=r"^model_b is of type str, not a torch.nn.Module and not a function"):
        nv.compare(net(), "net", x())
    with pytest.raises(TypeError, match=r"^model_a is the class GroupNorm itself, not a torch.nn.Module"):
        nv.compare(nn.GroupNorm, net(), x())
    with pytest.raises(TypeError, match="unknown keyword 'name'; did you mean 'names'"):
        nv.compare(net(), net(), x(), name={})
    with pytest.raises(ValueError, match="tolerance=2 is not a relative difference"):
        nv.compare(net(), net(), x(), tolerance=2)
    with pytest.raises(ValueError, match=r"^model_a raised RuntimeError in 0, on an input of shape \(2, 4\)"):
        nv.compare(net(), net(), torch.randn(2, 4))


def test_a_layer_more_is_told_even_where_it_changes_nothing():
    class Idle(nn.Module):
        def __init__(self, idle):
            super().__init__()
            self.norm, self.aside = nn.GroupNorm(2, 8), nn.GroupNorm(4, 8) if idle else nn.Identity()

        def forward(self, x):
            self.aside(x)
            return self.norm(x)

    found = nv.compare(Idle(False), Idle(True), torch.randn(2, 8, 5, 5))
    assert found.same
    assert (found.first, found.between, [s.name for s in found.only_b]) == (None, None, ["aside"])
    assert str(found).startswith("All numbers that can be compared agree, but some layers have no counterpart.")


def test_other_shapes_and_layers_known_by_their_output_are_put_in_words():
    data = torch.randn(2, 8, 6, 6)
    larger = nn.Sequential(nn.Upsample(scale_factor=2), nn.GroupNorm(2, 8))
    found = nv.compare(nn.Sequential(nn.GroupNorm(2, 8)), larger, data)
    assert "0 / 1, whose inputs have other shapes: no" in str(found)
    by_hand = nn.Sequential(zoo.HandGroupNorm(4, 8, nn.ReLU()))
    found = nv.compare(by_hand, nn.Sequential(nn.GroupNorm(4, 8)), data)
    assert found.first.output_parts
    assert "0 is known only by its output, so weight and bias could not be compared." in str(found)


def test_a_difference_is_relative_to_the_larger_of_two_and_channels_last_are_compared_as_first():
    small = np.array([1e-3])
    assert relative(small, 2 * small) == relative(2 * small, small) == 0.5
    assert relative(small, np.array([np.nan])) == np.inf
    layer, data = nn.LayerNorm(8), torch.randn(2, 5, 4, 8)
    (use,) = observe(nn.Sequential(layer), data, Recording).in_order()
    np.testing.assert_array_equal(use.x, data.movedim(-1, 1).numpy())
