import json
import shutil
import subprocess

import numpy as np
import pytest

from normviz.labs import folding, memory, training


@pytest.mark.parametrize("layout", memory.LAYOUTS)
@pytest.mark.parametrize("method", memory.METHODS)
def test_the_printed_python_loop_finds_the_sets(method, layout):
    found, scope = memory.measure((2, 6, 2, 3), method, layout=layout), {}
    exec(memory.python_loop(found.pooling, layout), scope)
    assert scope["labels"](range(72)) == found.labels.tolist()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the printed JavaScript")
def test_the_printed_javascript_loop_finds_the_same_sets():
    every = [memory.measure((2, 6, 2, 3), method, layout=at) for method in memory.METHODS for at in memory.LAYOUTS]
    loops = [f"(() => {{ {memory.javascript_loop(m.pooling, m.layout)} return labels(Array(72)); }})()" for m in every]
    script = f"console.log(JSON.stringify([{', '.join(loops)}]))"
    out = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [m.labels.tolist() for m in every]


def test_the_strip_is_numpys_own_order():
    found = memory.measure((2, 4, 3, 3), "group", 2, layout="NHWC")
    x = np.arange(72).reshape(2, 4, 3, 3)
    places = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).ravel()
    assert set(places[found.offsets(1)]) == set(x[0, 2:].ravel())
    assert sum(length for _, length in found.runs(1)) == found.pooling.size


def test_folded_batch_norm_is_exact_and_folded_group_norm_is_not():
    found = folding.measure(repeats=1)
    assert found.errors["batch"].max() < 1e-12
    assert found.errors["group"][0] < 1e-12
    assert found.errors["group"][1:].min() > 0.1


def test_folding_agrees_with_pytorch():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 3, 6, 5)), random.normal(size=(4, 3, 3, 3))
    mean, var = random.normal(size=4), random.random(4) + 0.5
    y = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(kernel))
    want = torch.nn.functional.batch_norm(y, torch.tensor(mean), torch.tensor(var), eps=1e-5)
    np.testing.assert_allclose(folding.convolve(x, *folding.fold(kernel, mean, var)), want, rtol=0, atol=1e-12)


def test_the_recorded_run_is_complete_and_says_what_the_caption_says():
    found = training.recorded()
    assert found.batch_sizes == list(training.BATCH_SIZES)
    assert found.learning_rates == list(training.RATES)
    loss = {
        (m, n): found.values("loss", m, batch_size=n)[:, -1].mean() for m in training.METHODS for n in found.batch_sizes
    }
    assert 7 < loss["batch", 2] / loss["batch", 32] < 9
    assert loss["group", 2] < loss["group", 32]
    assert found.values("error", "none", learning_rate=0.3)[:, -1].min() > 80
    assert found.values("error", "batch", learning_rate=0.3)[:, -1].max() < 10


def test_a_short_training_learns_and_can_be_repeated():
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    short = {"batch_sizes": [32], "learning_rates": [], "epochs": 1, "progress": False, "methods": ["batch"]}
    first, again = training.measure(**short), training.measure(**short)
    assert first.runs == again.runs
    assert first.runs[0].error[-1] < 30


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: memory.measure((2, 3)), r"shape \(2, 3\) has 2 axes; the strip needs 4: \(N, C, H, W\)"),
        (lambda: memory.measure(layout="NCWH"), "unknown layout 'NCWH'"),
        (lambda: memory.figure((8, 8, 8, 8)), "has 4096 cells; a strip can show 400"),
        (lambda: folding.measure(np.ones((1, 3, 8, 8))), "x has N=1 samples; this lab needs at least 2"),
        (lambda: folding.measure(np.full((2, 3, 8, 8), np.nan)), "NaN or infinite"),
        (lambda: folding.measure(np.ones((2, 3, 0, 8))), "x has an empty axis"),
        (lambda: folding.fold(np.ones((4, 3, 3, 3)), np.ones((2, 4)), 1.0), r"mean has shape \(2, 4\)"),
        (lambda: training.measure(batch_sizes=[5000]), "batch size 5000 must be a whole number from 2 to 1297"),
        (lambda: training.measure(methods=["grup"]), "method 'grup' is not one of batch, group, none"),
        (lambda: training.measure(learning_rates=[-1]), "learning rate -1 must be a positive number"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("lab", [memory, training])
def test_every_step_changes_something_and_the_figure_describes_itself(lab):
    figure = lab.figure()
    steps = figure.layout.sliders[0].steps
    assert len({str(step.args) for step in steps}) == len(steps)
    assert len(figure.layout.meta["alt"]) > 40
    assert len(figure.layout.meta["caption"]) > 40
    assert len(figure.to_json()) < 600_000
