"""An audit as text, HTML, plain values, data frame and explorer."""

import dataclasses
import html.parser
import json
import sys
import types

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


@pytest.fixture
def found():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(8, 8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
    return nv.audit(model, torch.randn(2, 3, 9, 9))


def test_in_a_terminal(found):
    assert str(found).splitlines() == [
        "layer  kind               input    block    |S|  sets  uses  parameters  share  state  gap",
        "1      Group Norm, G = 8  2×8×7×7  1×1×7×7   49    16     1          16  66.2%  train    –",
        "4      Batch Norm         2×8×5×5  2×1×5×5   50     8     1          16  33.8%  train    –",
        "",
        "2 normalization layers, 1 warning.",
        "! accidental-instance at 1: Group Norm with G = C = 8 has one channel to a group: it is Instance Norm; "
        "use fewer groups, or InstanceNorm if you want that method",
    ]
    assert repr(found) == "<Audit: 2 normalization layers, 1 warning>"


class Tags(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.rows = [], [], 0

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_in_a_notebook(found):
    page = Tags()
    page.feed(found._repr_html_())
    assert not page.open
    assert page.rows == 3
    text = " ".join(page.text)
    assert "2 normalization layers, 1 warning" in text
    assert "accidental-instance" in text
    assert "⚠ 1" in text  # not by colour alone
    # The notebook decides between a light and a dark theme.
    assert "color:inherit" in text
    assert "#fff" not in text
    assert "prefers-color-scheme" not in text


def test_empty_in_a_notebook():
    page = Tags()
    page.feed(nv.audit(nn.Linear(3, 3), torch.zeros(1, 3))._repr_html_())
    assert not page.open
    assert page.rows == 0


def test_as_plain_values(found):
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["name"] for row in plain["layers"]] == ["1", "4"]
    assert plain["layers"][1]["block"] == [2, 1, 5, 5]
    (warning,) = plain["warnings"]
    assert set(warning) == {"code", "layer", "message", "remedy", "numbers"}
    assert warning["numbers"] == {"num_groups": 8, "channels": 8}
    model = nn.Sequential(nn.BatchNorm2d(8))
    model[0].running_mean += 1e300 if model[0].running_mean.dtype == torch.float64 else 1e38
    json.dumps(nv.audit(model, spread(2, 8, 6, 6)).to_dict(), allow_nan=False)


def test_to_frame_without_pandas(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_frame needs pandas; install it with: python -m pip install pandas"):
        found.to_frame()


def test_to_frame_hands_rows_and_columns_to_pandas(found, monkeypatch):
    made = {}
    fake = types.SimpleNamespace(DataFrame=lambda rows, columns: made.update(rows=rows, columns=columns))
    monkeypatch.setitem(sys.modules, "pandas", fake)
    found.to_frame()
    assert made["columns"] == [f.name for f in dataclasses.fields(found.layers[0])]
    assert [row["name"] for row in made["rows"]] == ["1", "4"]


def test_to_frame(found):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["kind"]) == ["group", "batch"]


# ---- explore ----


def inputs_of(model, layer, example):
    """The inputs of a layer, kept by a hook of this test."""
    kept = []
    handle = layer.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach().clone()))
    with torch.no_grad():
        model(example)
    handle.remove()
    return kept


def test_explore_shows_what_the_layer_gets():
    model, x = zoo.ResNet().eval(), torch.randn(2, 3, 64, 64)
    model.layer3[0].bn1.running_mean += 0.5
    model.layer3[0].bn1.weight.data.uniform_(0.5, 2)
    explorer = nv.audit(model, x).explore("layer3.0.bn1")
    (expected,) = inputs_of(model, model.layer3[0].bn1, x)
    np.testing.assert_array_equal(explorer.x, expected.numpy())
    assert (explorer.method, explorer.mode) == ("batch", "eval")
    np.testing.assert_allclose(explorer.weight, model.layer3[0].bn1.weight.detach().numpy())
    np.testing.assert_allclose(explorer.statistics.mean, model.layer3[0].bn1.running_mean.numpy())


def test_explore_in_train_mode_uses_the_randomness_of_the_audit():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(0.5), nn.GroupNorm(2, 8))
    x = torch.randn(2, 3, 9, 9)
    torch.manual_seed(5)
    found = nv.audit(model, x)
    torch.manual_seed(5)
    (expected,) = inputs_of(model, model[2], x)
    torch.manual_seed(6)
    state = torch.get_rng_state()
    np.testing.assert_array_equal(found.explore("2").x, expected.numpy())
    assert torch.equal(torch.get_rng_state(), state)


EXPLORED = [
    (nn.GroupNorm(4, 8), (2, 8, 5, 3), "group", (1, 2, 5, 3)),
    (nn.GroupNorm(1, 8), (2, 8, 5, 3), "group", (1, 8, 5, 3)),
    (nn.LayerNorm([8, 5, 3]), (2, 8, 5, 3), "layer", (1, 8, 5, 3)),
    (nn.LayerNorm(16), (2, 9, 16), "positional", (1, 16, 1)),
    (nn.RMSNorm(16), (2, 4, 3, 16), "rms", (1, 16, 1, 1)),
    (nn.InstanceNorm2d(8, affine=True), (2, 8, 5, 3), "instance", (1, 1, 5, 3)),
    (nn.BatchNorm1d(8), (4, 8), "batch", (4, 1)),
    (zoo.LayerNorm2d(8), (2, 8, 5, 3), "positional", (1, 8, 1, 1)),
    (zoo.HandGroupNorm(4, 8), (2, 8, 6, 6), "group", (1, 2, 6, 6)),
]


@pytest.mark.parametrize(("module", "shape", "method", "block"), EXPLORED)
def test_explore_on_the_layers_own_sets(module, shape, method, block):
    explorer = nv.audit(nn.Sequential(module), spread(*shape)).explore("0", index=None)
    assert (explorer.method, explorer.pooling.block) == (method, block)
    assert explorer.x.shape == shape


@pytest.mark.parametrize(("shape", "normalized"), [((2, 8, 5, 6), (5, 6)), ((2, 2, 2, 3, 3, 16), (16,))])
def test_explore_on_sets_that_no_method_has(shape, normalized):
    x = spread(*shape)
    explorer = nv.audit(nn.Sequential(nn.LayerNorm(normalized)), x).explore("0")
    if len(shape) == 4:
        assert explorer.method == "instance" or explorer.statistics.mean.size == 16
    else:
        np.testing.assert_allclose(np.sort(explorer.statistics.mean), np.sort(x.mean(-1).numpy().ravel()), atol=1e-6)


def test_explore_what_cannot_be(found):
    with pytest.raises(ValueError, match=r"^unknown layer '5' \(known: 1, 4\)$"):
        found.explore("5")
    with pytest.raises(ValueError, match=r"^use=1: '4' is used 1 times in a run; count from 0$"):
        found.explore("4", use=1)
    local = nv.audit(nn.LocalResponseNorm(3), spread(2, 8, 6, 6))
    with pytest.raises(ValueError, match=r"^layer '\(model\)' has no sets to explore: each cell has a window"):
        local.explore("(model)")
    with pytest.raises(KeyError, match="unknown layer 'conv'"):
        found["conv"]


def test_many_warnings_of_one_kind_are_folded():
    found = nv.audit(
        nn.Sequential(*[nn.Sequential(nn.GroupNorm(8, 8), nn.ReLU()) for _ in range(5)]), spread(2, 8, 6, 6)
    )
    page = Tags()
    page.feed(found._repr_html_())
    assert not page.open
    assert len(found.warnings) == 5
    text = "".join(page.text)
    assert text.count("it is Instance Norm") == 5
    assert "2 more of accidental-instance" in text
