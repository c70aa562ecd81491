"""The recipe "Watch your own training": every block of the page is carried out."""

import re
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import normviz as nv
from normviz.inspect.record.rules import RECORD_RULES

PAGE = (Path(__file__).parent.parent.parent / "docs" / "look" / "over_time.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^###? ([^\n]+)\n(?:(?!^##).)*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def given():
    """The names that a reader has."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4), nn.LayerNorm(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = [(torch.randn(6, 4), torch.randint(4, (6,))) for _ in range(12)]
    loss_function = nn.CrossEntropyLoss()

    def train(model):
        for x, y in loader:
            loss_function(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

    names = {"nv": nv, "torch": torch, "nn": nn, "ExitStack": ExitStack, "nullcontext": nullcontext, "device": "cpu"}
    return names | {n: v for n, v in locals().items() if n != "names"}


def after(heading, **more):
    names = given() | more
    exec(compile(BLOCKS[heading], f"over_time.md, {heading}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_block_is_tried_here_and_every_warning_has_a_row():
    tried = set(re.findall(r'after\("([^"]+)"', Path(__file__).read_text("utf-8")))
    assert set(BLOCKS) == tried
    assert PAGE.count("```python") == len(BLOCKS)
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE) == list(RECORD_RULES)


def test_a_plain_loop(capsys):
    r = after("Watch your own training")["r"]
    assert r.steps == list(range(12))
    assert r.layers == ["1", "3"]
    assert "2 normalization layers, 12 recorded steps (0 to 11)" in capsys.readouterr().out


def test_long_runs():
    r = after("Long runs")["r"]
    assert (r.steps, r.layers) == ([0, 10, 20, 30], ["1"])


def test_mixed_precision_and_accumulation():
    r = after("Mixed precision and gradient accumulation")["r"]
    assert r.steps == list(range(12))
    weight = r["1"].weight
    assert [k for k in range(11) if not np.array_equal(weight[k], weight[k + 1])] == [3, 7]


def test_several_processes(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        after("Several processes")
    finally:
        torch.distributed.destroy_process_group()
    loaded = nv.Recording.load("run.npz")
    assert (loaded.steps, loaded.layers) == ([0, 5, 10], ["1", "3"])


def test_resume():
    names = after("Resume")
    assert names["first"].steps == names["second"].steps == list(range(12))
    assert np.array_equal(nv.Recording.load("second.npz")["1"].mean, names["second"]["1"].mean)


def test_a_trainer_that_owns_the_loop():
    names = after("A trainer that owns the loop")
    assert names["watch"].recording.steps == [0, 10]
    assert not names["model"][1]._forward_hooks


def test_without_a_display_and_into_a_logger():
    logged = []
    r = after("Watch your own training")["r"]
    loaded = after("A job without a display", r=r)["loaded"]
    assert np.array_equal(loaded["1"].var, r["1"].var)
    assert all("<html" in Path(name).read_text("utf-8") for name in ("run.html", "layer.html"))
    after("Into a logger", r=r, log=lambda numbers, step: logged.append((step, numbers)))
    assert len(logged) == 2 * 12
    wanted = {"1/variance": r["1"].var[0].mean(), "1/gradient": r["1"].grad_norm[0]}
    assert logged[0] == (0, pytest.approx(wanted))
