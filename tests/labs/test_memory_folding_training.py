import json
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from normviz.labs import folding, memory, training
from tests.labs.cases import WIDE


@pytest.mark.parametrize("layout", memory.LAYOUTS)
@pytest.mark.parametrize("method", memory.METHODS)
def test_the_printed_python_loop_finds_the_sets(method, layout):
    found, scope = memory.measure((2, 6, 2, 3), method, layout=layout), {}
    exec(memory.loop(found.pooling, layout, "Python"), scope)
    assert scope["labels"](range(72)) == found.labels.tolist()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the printed JavaScript")
def test_the_printed_javascript_loop_finds_the_same_sets():
    every = [memory.measure((2, 6, 2, 3), method, layout=at) for method in memory.METHODS for at in memory.LAYOUTS]
    programs = [memory.loop(m.pooling, m.layout, "JavaScript") for m in every]
    calls = [f"(() => {{ {program} return labels(Array(72)); }})()" for program in programs]
    script = f"console.log(JSON.stringify([{', '.join(calls)}]))"
    out = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [m.labels.tolist() for m in every]


def test_the_strip_is_numpys_own_order():
    found = memory.measure((2, 4, 3, 3), "group", 2, layout="NHWC")
    x = np.arange(72).reshape(2, 4, 3, 3)
    places = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).ravel()
    assert set(places[found.offsets(1)]) == set(x[0, 2:].ravel())
    assert sum(length for _, length in found.runs(1)) == found.pooling.size


def test_one_piece_in_one_layout_is_often_many_in_the_other_and_a_sample_is_one_in_both():
    pieces = {
        m: [len(memory.measure(memory.SHAPE, m, layout=at).runs()) for at in memory.LAYOUTS] for m in memory.METHODS
    }
    assert pieces["layer"] == [1, 1]
    assert [pieces[m] for m in ("instance", "positional")] == [[1, 4], [4, 1]]
    assert pieces["batch"] == [2, 8]


def test_folded_batch_norm_is_exact_and_folded_group_norm_is_not():
    found = folding.measure()
    assert found.errors["batch"].max() < 1e-12
    assert found.errors["group"][0] < 1e-12
    assert found.errors["group"][1:].min() > 0.1


@pytest.mark.parametrize("with_bias", [False, True])
def test_folding_agrees_with_pytorch(with_bias):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 3, 6, 5)), random.normal(size=(4, 3, 3, 3))
    mean, conv_bias, weight, bias = random.normal(size=(4, 4))
    var = random.random(4) + 0.5
    given = {"conv_bias": conv_bias if with_bias else None, "weight": weight, "bias": bias}
    tensors = {name: None if value is None else torch.tensor(value) for name, value in given.items()}
    y = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(kernel), tensors["conv_bias"])
    want = torch.nn.functional.batch_norm(
        y, torch.tensor(mean), torch.tensor(var), tensors["weight"], tensors["bias"], eps=1e-5
    )
    folded = folding.fold(kernel, mean, var, **given)
    np.testing.assert_allclose(folding.convolve(x, *folded), want, rtol=0, atol=1e-12)
    theirs = torch.nn.utils.fusion.fuse_conv_bn_weights(
        torch.tensor(kernel), tensors["conv_bias"], torch.tensor(mean), torch.tensor(var), 1e-5,
        tensors["weight"], tensors["bias"],
    )  # fmt: skip
    for mine, its in zip(folded, theirs, strict=True):
        np.testing.assert_allclose(mine, its.detach(), rtol=0, atol=1e-12)


def test_the_recorded_cost_is_complete_and_the_caption_says_its_numbers():
    cost = folding.recorded()
    assert cost.channels == folding.CHANNELS
    assert {name: np.shape(rows) for name, rows in cost.extra.items()} == dict.fromkeys(cost.extra, (7, 3))
    batch = 100 * np.array(cost.extra["batch"])[:, 1]
    said = f"{batch[0]:.0f} % more time than the convolution alone at 3 input channels and {batch[-1]:.0f} % at 256"
    assert said in folding.figure().layout.meta["caption"]


def test_a_short_timing_has_every_layer_and_can_be_stored(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    path = tmp_path / "folding.json"
    folding.record(path, channels=[3, 8], rounds=2)
    stored = json.loads(path.read_text())
    assert stored["channels"] == [3, 8]
    assert {name: np.shape(rows) for name, rows in stored["extra"].items()} == dict.fromkeys(
        ("batch", "group", "folded"), (2, 3)
    )
    assert set(json.loads((files("normviz.labs") / "folding.json").read_text())) == set(stored)


def test_folding_is_said_to_be_exact_where_it_is():
    """All samples are equal, so sample 0 has the group statistics of all."""
    assert folding.figure(WIDE[[0, 0]]).layout.title.text.startswith("<b>Here folding is exact for both")


def test_the_recorded_run_is_complete_and_agrees_with_its_caption():
    found = training.recorded()
    assert found.batch_sizes == list(training.BATCH_SIZES)
    assert found.learning_rates == list(training.RATES)
    loss = {
        (m, n): found.values("loss", m, batch_size=n)[:, -1].mean() for m in training.METHODS for n in found.batch_sizes
    }
    assert 7 < loss["batch", 2] / loss["batch", 32] < 9
    assert loss["group", 2] < loss["group", 32]
    errors = [found.values("error", "batch", batch_size=n)[:, -1].mean() for n in (32, 2)]
    assert abs(errors[1] - errors[0]) < 0.5
    assert found.values("error", "none", learning_rate=0.3)[:, -1].min() > 80
    assert found.values("error", "batch", learning_rate=0.3)[:, -1].max() < 10


def test_a_short_training_learns_and_can_be_repeated():
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    short = {"batch_sizes": [32], "learning_rates": [], "epochs": 1, "progress": False, "methods": ["batch"]}
    first, again = training.measure(**short), training.measure(**short)
    assert first.runs == again.runs
    assert first.runs[0].error[-1] < 30


@pytest.mark.parametrize("width", [320, 699, 700, 900])
def test_the_loops_stand_side_by_side_where_there_is_room(width):
    figure = memory.figure(width=width)
    shown = [trace for trace in figure.data if trace.type == "scatter" and trace.visible]
    assert [trace.name for trace in shown] == ["Python, NCHW", "JavaScript, NCHW"]
    python, script = ((trace.x[0], trace.y[0]) for trace in shown)
    assert python == (0, 0)
    assert (script[0] > 0, script[1] < 0) == ((True, False) if width >= 700 else (False, True))
    # A letter of these fonts is 0.6 of its size wide, a line 1.3 high.
    for trace in shown:
        lines = trace.text[0].replace("<b>", "").replace("</b>", "").replace("&lt;", "<").split("<br>")
        size = trace.textfont.size
        assert 8 <= size <= 12
        assert trace.x[0] + max(map(len, lines)) * 0.6 * size <= (
            script[0] if trace is shown[0] and script[0] else width
        )
        assert -trace.y[0] + len(lines) * 1.3 * size <= -figure.layout.yaxis2.range[0]


def test_the_buttons_choose_the_layout_of_both_loops():
    figure = memory.figure()
    for at, button in zip(memory.LAYOUTS, figure.layout.updatemenus[0].buttons, strict=True):
        changes, _, indices = button.args
        shown = [figure.data[k].name for k, seen in zip(indices, changes["visible"], strict=True) if seen]
        assert shown == [f"Python, {at}", f"JavaScript, {at}"]


def test_the_folding_chart_starts_at_a_sample_where_group_norm_differs():
    figure = folding.figure()
    start = figure.layout.sliders[0].active
    assert start == 1
    batch, group = (abs(np.subtract(trace.x, trace.y)).max() for trace in figure.data[:2])
    assert batch < 1e-3 < 0.1 < group


def test_a_recording_that_cannot_be_written_leaves_the_old_one(tmp_path):
    resource = pytest.importorskip("resource", reason="limits the size of a file, as a full disk does")
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    short = {"batch_sizes": [128], "learning_rates": [0.1], "epochs": 1, "seeds": 1, "progress": False}
    path = tmp_path / "training.json"
    training.record(path, **short)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            training.record(path, **short)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["training.json"]
    assert [run["method"] for run in json.loads(before)["runs"]] == ["batch", "group", "none"] * 2


def test_the_title_of_the_memory_chart_counts_the_pieces_of_the_shown_method():
    figure = memory.figure((2, 6, 3, 3), 3)
    assert figure.layout.title.text.replace("<br>", " ") == (
        "<b>Group Norm, G = 3: in memory a set is 1 piece of 18 cells in NCHW and 9 pieces of 2 cells in NHWC</b>"
    )
    titles = [step.args[1]["title.text"].replace("<br>", " ") for step in figure.layout.sliders[0].steps]
    assert (
        titles[1] == "<b>Layer Norm: in memory a set is 1 piece of 54 cells in NCHW and 1 piece of 54 cells in NHWC</b>"
    )
    assert titles[3] == figure.layout.title.text.replace("<br>", " ")


def test_the_title_of_the_training_chart_follows_what_was_measured():
    def run(method, size, loss):
        return training.Run(method, size, training.scaled(size), 0, (9.0, loss), (50.0, 10.0))

    losses = {("batch", 32): 0.2, ("batch", 4): 0.21, ("group", 32): 0.1, ("group", 4): 0.25}
    found = training.Training(tuple(run(*key, loss) for key, loss in losses.items()), 2, 1.0, "here")
    buttons = training.figure(found).layout.updatemenus[0].buttons
    loss, error = (button.args[1]["title.text"].replace("<br>", " ") for button in buttons)
    assert loss.endswith("the training loss with Batch Norm does not grow; with Group Norm it grows 2.5-fold</b>")
    gone = "goes from 10.0 to 10.0\N{NO-BREAK SPACE}%"
    assert error == f"<b>From N = 32 to 4, the test error with Batch Norm {gone}; with Group Norm it {gone}</b>"
