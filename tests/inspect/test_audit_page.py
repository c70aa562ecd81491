"""The page of an audit: what stands in it, what it weighs, and that making it leaves the model as it was."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
import torch
from torch import nn

import normviz as nv
from normviz.inspect.audit import page
from tests.inspect import audit_models as zoo


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def explorers_of(html):
    """The explorers of a page by the name of their layer: scene and state."""
    data = re.search(r'<script type="application/json" id="normviz-data">(.*?)</script>', html, re.DOTALL)
    assert data is not None
    data = json.loads(data[1])
    unpacked = (json.loads(gzip.decompress(base64.b64decode(text))) for text in data["explorers"])
    return dict(zip(data["names"], unpacked, strict=True))


def numbers(array):
    return np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).astype(np.float64)


def test_every_warning_stands_there_with_its_evidence_and_its_remedy():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(8, 8), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4))
    found = nv.audit(model, torch.randn(2, 3, 9, 9), training_batch=2, also="train-mode")
    html = found.to_html()
    assert html is not None
    assert {w.code for w in found.warnings} == {"accidental-instance", "small-batch", "train-mode"}
    for warning in found.warnings:
        for text in (
            f"<code>{warning.code}</code>",
            warning.message[1:].split("<")[0],
            warning.remedy[1:],
            warning.fix,
        ):
            assert text.replace('"', "&quot;") in html
    assert "in train mode on an example of 2×3×9×9" in html


def test_an_explorer_shows_the_input_of_its_layer():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.Flatten(2), nn.BatchNorm1d(8))
    for p in model[1].parameters():
        nn.init.normal_(p)
    x = torch.randn(2, 3, 9, 9)
    shown = explorers_of(nv.audit(model, x).to_html())
    with torch.no_grad():
        first = model[0](x)
        second = nn.functional.group_norm(first, 4, model[1].weight, model[1].bias).flatten(2)
    for name, truth, method in (("1", first, "group"), ("3", second, "batch")):
        scene, state = shown[name]["scene"], shown[name]["state"]
        assert scene["shape"] == list(truth.shape)
        assert state["method"] == method
        np.testing.assert_allclose(numbers(scene["values"]), truth.numpy().ravel(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(numbers(shown["1"]["scene"]["weight"]), model[1].weight.detach().numpy())
    assert shown["1"]["state"]["num_groups"] == 4


def test_a_model_of_the_size_of_resnet_50_stays_below_3_mb_and_its_statistics_are_exact():
    model = zoo.ResNet(width=64, blocks=(3, 4, 6, 3)).eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(tensor)
    kept = {}
    model.layer2[0].bn1.register_forward_pre_hook(lambda module, args: kept.update(x=args[0].clone()))
    html = nv.audit(model, torch.randn(2, 3, 96, 96)).to_html()
    shown = explorers_of(html)
    assert len(shown) == 53
    assert len(html.encode()) < 3e6
    scene, x = shown["layer2.0.bn1"]["scene"], kept["x"].numpy().astype(np.float64)
    assert scene["values"] is None
    np.testing.assert_allclose(numbers(scene["mean"]).reshape(x.shape[:2]), x.mean((2, 3)), rtol=1e-6, atol=1e-7)
    m2 = np.square(x - x.mean((2, 3), keepdims=True)).sum((2, 3))
    np.testing.assert_allclose(numbers(scene["m2"]).reshape(x.shape[:2]), m2, rtol=1e-5)
    # The drawn cells are means of boxes of x.
    drawn = [-(-n // size) for n, size in zip(x.shape, scene["bins"], strict=True)]
    coarse = numbers(scene["coarse"]).reshape(drawn)
    _, c, h, w = scene["bins"]
    low, high = scene["extent"]
    assert low + coarse[1, 1, 0, 1] / 254 * (high - low) == pytest.approx(
        x[1, c : 2 * c, :h, w : 2 * w].mean(), abs=(high - low) / 254
    )


def test_what_has_no_room_or_no_sets_is_told_with_the_reason(monkeypatch):
    model = nn.Sequential(nn.GroupNorm(2, 4), nn.LocalResponseNorm(3), nn.BatchNorm2d(4))
    found = nv.audit(model, torch.randn(2, 4, 6, 6), training_batch=2)
    assert [w.layer for w in found.warnings] == ["2"]
    monkeypatch.setattr(page, "MOST_PACKED", 1500)
    html = found.to_html()
    assert [*explorers_of(html)] == ["2"], "a layer with a warning comes first"
    assert "<b>0</b>: the page has no room for its input" in html
    assert "<b>1</b>: there are no sets to show, because each cell has a window" in html


def test_names_cannot_break_the_page():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("</script><b>&", nn.GroupNorm(4, 4))

        def forward(self, x):
            return self._modules["</script><b>&"](x)

    html = nv.audit(Odd(), torch.randn(2, 4, 3, 3)).to_html()
    assert "<b>&<" not in html.replace("</script><b>&amp;", "")
    assert html.count("</script>") == 2
    assert [*explorers_of(html)] == ["</script><b>&"]


def test_the_model_is_left_as_it_was(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.GroupNorm(2, 4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = nv.audit(model, torch.randn(2, 3, 5, 5))
    state = torch.get_rng_state()
    assert found.to_html(tmp_path / "audit.html") is None
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert (tmp_path / "audit.html").read_text("utf-8") == found.to_html()
    with pytest.raises(TypeError, match="path must be a str or a Path"):
        found.to_html(3)
