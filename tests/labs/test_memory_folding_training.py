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
    assert {len(found.values("error", m, batch_size=n)) for m in training.METHODS for n in found.batch_sizes} == {3}
    error = {
        (what, m, n): found.values(what, m, batch_size=n)
        for what in ("error", "exact_error", "batch_error", "train_error")
        for m in ("batch", "group")
        for n in (32, 2)
    }
    batch, group = (error["error", m, 2][:, -1] - error["error", m, 32][:, -1] for m in ("batch", "group"))
    assert batch.min() > 30
    assert abs(group).max() < 4
    # Exact statistics help little; those of each batch help more, but not back to the error at N = 32.
    running, exact, own = (error[what, "batch", 2] for what in ("error", "exact_error", "batch_error"))
    assert running[:, -1].mean() > exact.mean() > own.mean() + 10 > error["batch_error", "batch", 32].mean() + 20
    assert error["train_error", "batch", 2].min() > 20
    for what in ("exact_error", "batch_error"):
        assert np.array_equal(error[what, "group", 2], error["error", "group", 2][:, -1])


def test_a_short_training_learns_and_can_be_repeated():
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    short = {"batch_sizes": [32], "learning_rates": [], "epochs": 1, "progress": False, "methods": ["batch"]}
    first, again = training.measure(**short), training.measure(**short)
    assert first.runs == again.runs
    [run] = first.runs
    assert max(run.error[-1], run.train_error, run.exact_error, run.batch_error) < 40


def test_the_errors_of_a_net_are_those_of_its_forward_by_each_kind_of_statistics():
    """The images are counted one after the other here; the statistics of all training images are merged moments."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    _, data = training.load()
    few = data[0][:300], data[1][:300], *data[2:]
    model = training.net("batch", 1)
    training.TRAIN, kept = 300, training.TRAIN
    try:
        run = training.train(torch, few, "batch", 4, 0.01, 1, epochs=1, bar=training.NoBar(), model=model)
    finally:
        training.TRAIN = kept

    def forward(x, statistics):
        """Return the scores; `statistics` gives the mean and variance of every Batch Norm for its input."""
        layers, found = list(model), []
        for layer in layers:
            if isinstance(layer, torch.nn.BatchNorm2d):
                mean, var = statistics(len(found), layer, x)
                found.append((mean, var))
                x = torch.nn.functional.batch_norm(x, mean, var, layer.weight, layer.bias, eps=layer.eps)
            else:
                x = layer(x)
        return x.argmax(1), found

    def of_batch(_, __, x):
        return x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)

    def wrong(answers, labels):
        return round(100 * float((torch.cat(answers) != labels).double().mean()), 2)

    with torch.no_grad():
        images, labels = few[2], few[3]
        running = forward(images[:, 0], lambda _, layer, __: (layer.running_mean, layer.running_var))[0]
        assert run.error[-1] == wrong([running], labels)
        _, found = forward(few[0][:, 0], lambda _, __, x: (x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=True)))
        exact = forward(images[:, 0], lambda k, _, __: found[k])[0]
        assert run.exact_error == pytest.approx(wrong([exact], labels), abs=0.21)  # one image of 500
        pairs = [forward(images[k : k + 2, :2].flatten(0, 1), of_batch)[0] for k in range(0, 500, 2)]
        assert run.batch_error == pytest.approx(wrong(pairs, labels.repeat_interleave(2)), abs=0.21)


def test_a_batch_needs_an_even_size():
    with pytest.raises(ValueError, match=r"^batch size=3 is odd; a batch holds two views of each .* so take 4$"):
        training.measure(batch_sizes=[3])


@pytest.mark.parametrize(("method", "size"), training.RECORDINGS)
def test_a_recording_ships_of_the_run_with_seed_0(method, size):
    found = training.recording(method, size)
    assert found.layers == ["1", "4", "7", "10"]
    every = {2: 64, 32: 4}[size]
    steps = training.EPOCHS * training.steps_of_epoch(size)
    assert found.steps == list(range(0, steps, every))
    shapes = [found[name].shape for name in found.layers]
    assert shapes == [(size, 16, 8, 8), (size, 16, 4, 4), (size, 32, 4, 4), (size, 32, 2, 2)]
    for layer in map(found.__getitem__, found.layers):
        assert layer.kind == method
        assert (layer.samples == size).all()
        assert (layer.running_mean is not None) == (method == "batch")
        assert np.isfinite(layer.var).all()


def test_the_recordings_show_why_the_error_rises():
    """At N = 2 the statistics of a batch lie farther from the running ones than at N = 32, in every layer."""

    def apart(name, size):
        layer = training.recording("batch", size)[name]
        late = slice(len(layer.var) // 2, None)
        return np.sqrt((np.log(layer.var[late] / layer.running_var[late]) ** 2).mean())

    for name in ("1", "4", "7", "10"):
        assert apart(name, 2) > 2 * apart(name, 32)
    assert max(("1", "4", "7", "10"), key=lambda name: apart(name, 2)) == "10"


def test_the_recordings_are_small_and_no_other_ships():
    sizes = {file.name: len(file.read_bytes()) for file in (files("normviz.labs") / "recordings").iterdir()}
    assert set(sizes) == {f"{method}_{size}.npz" for method, size in training.RECORDINGS}
    assert sum(sizes.values()) < 420_000, sizes


@pytest.mark.parametrize(("method", "size"), [("none", 2), ("batch", 8), ("batch", "2"), (["batch"], 2)])
def test_a_recording_that_does_not_ship_is_refused(method, size):
    with pytest.raises(
        ValueError, match=r"^no recording of method=.* take method \"batch\" or \"group\", and batch size 2"
    ):
        training.recording(method, size)


def test_recording_the_statistics_changes_no_run(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    runs = training.record_statistics(tmp_path, epochs=1, recordings=[("batch", 32)])
    plain = training.measure(methods=["batch"], batch_sizes=[32], learning_rates=[], epochs=1, progress=False)
    assert runs == {("batch", 32): plain.runs[0]}
    assert (tmp_path / "batch_32.npz").exists()


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
        return training.Run(method, size, training.scaled(size), 0, (9.0, loss), (50.0, 10.0), 9.0, 8.0, 7.0)

    losses = {("batch", 32): 0.2, ("batch", 4): 0.21, ("group", 32): 0.1, ("group", 4): 0.25}
    found = training.Training(tuple(run(*key, loss) for key, loss in losses.items()), 2, 1.0, "here")
    buttons = training.figure(found).layout.updatemenus[0].buttons
    error, loss, why = (button.args[1]["title.text"].replace("<br>", " ") for button in buttons)
    assert loss.endswith("the training loss with Batch Norm does not grow; with Group Norm it grows 2.5-fold</b>")
    gone = "goes from 10.0 to 10.0\N{NO-BREAK SPACE}%"
    assert error == f"<b>From N = 32 to 4, the test error with Batch Norm {gone}; with Group Norm it {gone}</b>"
    assert why.replace("\N{NO-BREAK SPACE}", " ") == (
        "<b>Batch Norm at N = 4: 10 % wrong with running statistics, 8 with exact ones, 7 with those of each batch</b>"
    )
