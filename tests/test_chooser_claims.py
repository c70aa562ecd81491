"""The claims of the chooser: its numbers are published ones with their source, and its code runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import normviz as nv
from normviz.method_chooser.content import ADVICE, QUESTIONS
from tests.published import without_source

# ---- the numbers -----------------------------------------------------------------------------------------------------


def claims():
    """Yield every text of the guide that may hold a number."""
    for row in QUESTIONS.values():
        yield from (row.text, row.short, row.note)
        for option in row.options:
            yield from (option.label, option.hint, option.against)
    for row in ADVICE.values():
        yield from (row.label, row.why, row.watch, row.consider, *(str(each) for each in row.evidence))


@pytest.mark.parametrize("text", list(claims()))
def test_every_number_is_published_and_its_table_is_named_beside_it(text):
    assert not without_source(text)


def test_the_guide_has_numbers():
    assert sum(bool(re.search(r"\d\.\d", text)) for text in claims()) > 15


def test_the_rows_are_those_of_the_lab():
    """Each row of numbers, or each column, is also a series of the lab on published results."""
    series = {tuple(one.values) for table in nv.labs.published.measure().tables for one in table.series}
    tables = [each.rows for row in ADVICE.values() for each in row.evidence if each.rows]
    assert len(tables) > 4
    for _, *rows in tables:
        values = [tuple(float(cell) for cell in row[1:]) for row in rows]
        assert set(values) <= series or set(zip(*values, strict=True)) <= series


def test_derived_numbers_follow_from_their_tables():
    batch, group = ([float(v) for v in row[1:]] for row in ADVICE["batch"].evidence[0].rows[1:])
    assert [round(g - b, 1) for b, g in zip(batch, group, strict=True)][:3] == [0.5, 0.5, -0.8]
    assert "0.5 points ahead of Group Norm at 32 and at 16" in QUESTIONS["samples"].note
    assert "0.8 points behind at 8" in QUESTIONS["samples"].note
    behind = [round(float(row[2]) - float(row[1]), 1) for row in ADVICE["frozen_batch"].evidence[0].rows[1:]]
    assert behind == [1.1, 1.4, 1.7, 0.9]
    keep = QUESTIONS["erase"].option("no").against
    paper, again = re.findall(r"(\d\.\d) points \w+(?: of Batch Norm)?, (\d+\.\d) against (\d+\.\d)", keep)
    assert [round(float(b) - float(a), 1) for _, a, b in (paper, again)] == [float(paper[0]), -float(again[0])]
    # In Table 6, R50 with the long schedule has 40.8, and 38.6 frozen.
    assert f"{min(behind)} to {max(behind)} box AP" in QUESTIONS["pretrained"].option("swap").against
    assert f"{40.8 - 38.6:.1f} behind Group Norm trained for longer" in QUESTIONS["pretrained"].option("swap").against


# ---- the code --------------------------------------------------------------------------------------------------------

C = 64


def torch_names(torch) -> dict:
    """Return the names that the code uses without defining them."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(C)
    per_channel = {name: torch.randn(1, C, 1, 1) for name in ("weight", "bias", "tau")}
    return per_channel | {
        "torch": torch,
        "C": C,
        "x": torch.randn(4, C, 5, 6),
        "conv": torch.nn.Conv2d(C, C, 3, bias=False),
        "model": torch.nn.Sequential(torch.nn.Conv2d(C, C, 3), norm, torch.nn.ReLU()),
        "samples": 2,
        "a": torch.randn(3),
        "b": torch.randn(3),
    }


@pytest.fixture
def run():
    """Execute the code of an advice, and return its variables."""
    torch = pytest.importorskip("torch")

    def executed(key: str, **more) -> dict:
        names = torch_names(torch) | more
        exec(ADVICE[key].code, names)
        return names

    return executed


@pytest.mark.parametrize("key", ["instance", "group", "batch"])
def test_the_layers_of_images_are_torchs(run, key):
    names = run(key)
    y = names["layer"](names["x"]).detach().numpy()
    expected = nv.normalize(names["x"].numpy(), key, num_groups=32 if key == "group" else None)
    np.testing.assert_allclose(y, expected, atol=2e-6)


@pytest.mark.parametrize(("key", "shape"), [("positional", (3, 7, C)), ("rms", (3, 7, C)), ("layer", (3, C))])
def test_the_layers_of_tokens_and_vectors_are_torchs(run, key, shape):
    torch = pytest.importorskip("torch")
    names = run(key)
    x, layer = torch.randn(shape), names["layer"]
    if layer.eps is None:  # torch's RMSNorm takes the smallest step of the dtype, which is less than ours
        layer.eps = 1e-5
    np.testing.assert_allclose(layer(x).detach().numpy(), nv.normalize(x.numpy(), key, channel_axis=-1), atol=2e-6)


def test_the_styles(run):
    torch = pytest.importorskip("torch")
    style, tables = torch.tensor([0, 2, 1, 0]), {name: torch.randn(3, C) for name in ("weight", "bias")}
    names = run("conditional_instance", style=style, **tables)
    arrays = {name: table.numpy() for name, table in tables.items()}
    expected = nv.relatives.conditional_instance(names["x"].numpy(), style.numpy(), **arrays)
    np.testing.assert_allclose(names["y"].numpy(), expected, atol=5e-6)
    names = run("adain", style=torch.randn(4, C, 5, 6) * 3 + 1)
    expected = nv.relatives.adain(names["x"].numpy(), names["style"].numpy())
    np.testing.assert_allclose(names["y"].numpy(), expected, atol=1e-4)


def test_filter_response_and_switchable(run):
    names = run("frn")
    given = {name: names[name].ravel().numpy() for name in ("weight", "bias", "tau")}
    np.testing.assert_allclose(names["y"].numpy(), nv.relatives.frn(names["x"].numpy(), **given), atol=5e-6)
    names = run("switchable")
    given = {name: names[name].ravel().numpy() for name in ("weight", "bias")}
    logits = {"mean_weights": names["a"].numpy(), "var_weights": names["b"].numpy()}
    np.testing.assert_allclose(
        names["y"].numpy(), nv.relatives.switchable(names["x"].numpy(), **logits, **given), atol=2e-5
    )


def test_slices_and_devices(run):
    torch = pytest.importorskip("torch")
    names = run("ghost_batch")
    expected = nv.normalize(names["x"].numpy(), "ghost", num_groups=2)
    np.testing.assert_allclose(names["y"].detach().numpy(), expected, atol=2e-6)
    assert isinstance(run("synchronized_batch")["model"][1], torch.nn.SyncBatchNorm)
    # The advice says that the moments of the devices merge into those of the batch.
    x = names["x"].numpy()
    whole, parts = nv.moments(x), [nv.moments(x[:2]), nv.moments(x[2:])]
    merged = nv.Moments.concatenate(parts, axis=0)
    np.testing.assert_allclose(merged.pool("batch").var, whole.pool("batch").var, rtol=1e-12)


def test_weights(run):
    names = run("weight_norm")
    layer = names["layer"]
    g, v = (getattr(layer.parametrizations.weight, f"original{k}").detach().numpy() for k in (0, 1))
    assert layer.weight.shape == (2 * C, C, 3, 3)
    expected = nv.relatives.weight_norm(v, g.ravel())
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, atol=1e-6)
    names = run("weight_standardization")
    expected = nv.relatives.weight_standardization(names["conv"].weight.detach().numpy())
    np.testing.assert_allclose(names["w"].detach().numpy(), expected, atol=5e-6)
    assert names["y"].shape == (4, C, 3, 4)


def test_standardized_weights_leave_the_rest_of_the_convolution_as_it_is(run):
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(C, 2 * C, 3, stride=2, padding=2, dilation=2, groups=4)
    names = run("weight_standardization", conv=conv, C=2 * C, x=torch.randn(2, C, 9, 8))
    with torch.no_grad():
        conv.weight.copy_(names["w"])
    expected = torch.nn.functional.group_norm(conv(names["x"]), 32)
    np.testing.assert_allclose(names["y"].detach().numpy(), expected.detach().numpy(), atol=2e-5)


def test_frozen_layers_stay_as_they_are(run):
    torch = pytest.importorskip("torch")
    model = torch_names(torch)["model"].train()
    names = run("frozen_batch", model=model)
    layer, before = model[1], model[1].running_mean.clone()
    model(names["x"])
    assert not layer.training
    assert torch.equal(layer.running_mean, before)
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    # The advice warns that model.train() thaws the layers.
    assert model.train()[1].training


def test_every_code_is_run():
    """Each key of ADVICE is named in one of the tests above."""
    here = Path(__file__).read_text(encoding="utf-8")
    assert [key for key in ADVICE if f'"{key}"' not in here] == []
