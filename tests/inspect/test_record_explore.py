"""The explorer of a recorded layer against plain loops over what hooks of the test's own have seen."""

import base64
import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

import normviz as nv
from normviz.explorer.svg.picture import still
from normviz.inspect.record.layer import LayerRecording
from normviz.inspect.record.recording import Recording
from tests.inspect.audit_models import HandHeadNorm
from tests.inspect.recorded import HandRMS, Net, Tied, images, made, train


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Last(nn.Module):
    """A norm of channels last, on an input of channels first."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class Heads(nn.Module):
    """One norm for all heads, on a view that has an axis for the heads."""

    def __init__(self, heads, size):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(size)

    def forward(self, x):
        return self.norm(x.movedim(1, -1).unflatten(-1, (self.heads, -1)))


class Frozen(nn.BatchNorm2d):
    """Batch Norm that normalizes by its running statistics while the model trains."""

    def train(self, mode=True):
        return super().train(False)


# norm, its name, shapes (N, C, *spatial) of the batches, the shown shape, and the key of a cell's set
CASES = {
    "batch": (nn.BatchNorm2d(5), "norm", [(4, 5, 3, 2), (3, 5, 3, 2)], (4, 5, 3, 2), lambda n, c, *p: c),
    "batch of vectors": (nn.BatchNorm1d(70), "norm", [(6, 70)] * 2, (6, 70), lambda n, c, *p: c),
    "batch of volumes": (nn.BatchNorm3d(2), "norm", [(3, 2, 2, 3, 2)] * 2, (3, 2, 2, 3, 2), lambda n, c, *p: c),
    "group": (nn.GroupNorm(3, 6), "norm", [(30, 6, 2, 2), (7, 6, 2, 2)], (21, 6, 2, 2), lambda n, c, *p: (n, c // 2)),
    "layer": (nn.LayerNorm((4, 3, 2)), "norm", [(70, 4, 3, 2)] * 2, (64, 4, 3, 2), lambda n, c, *p: n),
    "instance": (
        nn.InstanceNorm2d(5, affine=True, track_running_stats=True),
        "norm",
        [(20, 5, 3, 3)] * 2,
        (12, 5, 3, 3),
        lambda n, c, *p: (n, c),
    ),
    "positional": (Last(nn.LayerNorm(6)), "norm.norm", [(6, 6, 30)] * 2, (2, 6, 30), lambda n, c, *p: (n, *p)),
    "positional, a set more than is kept": (
        Last(nn.LayerNorm(4)),
        "norm.norm",
        [(2, 4, 65)] * 2,
        (1, 4, 64),
        lambda n, c, *p: (n, *p),
    ),
    "positional of maps": (
        Last(nn.LayerNorm(4)),
        "norm.norm",
        [(2, 4, 9, 10)] * 2,
        (1, 4, 6, 10),
        lambda n, c, *p: (n, *p),
    ),
    "positional of vectors": (nn.LayerNorm(8), "norm", [(5, 8), (4, 8)], (5, 8), lambda n, c, *p: n),
    "rms": (Last(nn.RMSNorm(6)), "norm.norm", [(2, 6, 5)] * 2, (2, 6, 5), lambda n, c, *p: (n, *p)),
    "rms by hand": (Last(HandRMS(6)), "norm.norm", [(2, 6, 5)] * 2, (2, 6, 5), lambda n, c, *p: (n, *p)),
    "heads": (Heads(3, 4), "norm.norm", [(2, 12, 5)] * 2, (2, 4, 5, 3), lambda n, c, *p: (n, *p)),
    "heads by hand": (HandHeadNorm(4, 16), "norm", [(2, 16, 5)] * 2, (2, 16, 5), lambda n, c, *p: (n, c // 4, *p)),
    "many heads by hand": (
        HandHeadNorm(4, 16),
        "norm",
        [(2, 16, 30)] * 2,
        (1, 8, 30),
        lambda n, c, *p: (n, c // 4, *p),
    ),
}


class Model(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.norm(x * self.scale).square().mean()


def recorded(norm, name, shapes, seed=0):
    """Train on random batches of these shapes; return the recording, and the inputs of the layer in float64."""
    torch.manual_seed(seed)
    model, seen = Model(norm).train(), []
    last = not isinstance(norm, (HandHeadNorm, nn.BatchNorm1d)) and (name == "norm.norm" or len(shapes[0]) == 2)

    def look(module, args, output):
        x = args[0].detach().double().numpy()
        seen.append(np.moveaxis(x, -1, 1) if last else x)

    handle = model.get_submodule(name).register_forward_hook(look)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with nv.record(model) as r:
        for shape in shapes:
            model(torch.randn(shape) * 2 + torch.rand(shape[1]).reshape(-1, *[1] * (len(shape) - 2))).backward()
            optimizer.step()
    handle.remove()
    return r, seen


def sets_by_loop(x, key):
    """Mean, variance and mean square of the set of each cell, and its number of cells, from one cell after another."""
    members = {}
    for cell in np.ndindex(x.shape):
        members.setdefault(key(*cell), []).append(float(x[cell]))
    found = {}
    for name, values in members.items():
        mean = math.fsum(values) / len(values)
        var = math.fsum((v - mean) ** 2 for v in values) / len(values)
        found[name] = mean, var, math.fsum(v * v for v in values) / len(values), len(values)
    return found


def unpacked(packed, *shape):
    return None if packed is None else np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"]).reshape(shape)


def said(shown):
    """The status line of the still picture."""
    return still(*shown.page_parts()[0]).status


def number(line, name):
    return float(re.search(rf"\b{name} (-?[\d.]+|NaN|-?inf)(?=[,. ]|$)", line)[1].rstrip("."))


def cells_of(shape):
    """The corners of a shape, and a cell within."""
    corners = set(itertools.product(*({0, length - 1} for length in shape)))
    return sorted(corners | {tuple(length // 2 for length in shape)})


@pytest.mark.parametrize("case", CASES)
def test_the_sets_of_every_kind_are_those_of_a_plain_loop(case):
    norm, name, shapes, shape, key = CASES[case]
    r, seen = recorded(norm, name, shapes)
    rms = "rms" in case
    for t, x in enumerate(seen):
        shown = r.explore(name, time=t)
        assert shown.subject.shape == shape
        time, T = shown.scene["time"], len(seen)
        mean, var = (unpacked(time[of], T, -1)[t] for of in ("mean", "var"))
        wanted = sets_by_loop(x, key)
        for cell in cells_of(shape):
            if key(*cell) not in wanted:
                assert said(r.explore(name, time=t, index=cell)).endswith(
                    f": the batch of this step has no cell ({', '.join(map(str, cell))})."
                )
                continue
            m, v, square, size = wanted[key(*cell)]
            m, v = (0, square) if rms else (m, v)
            at = r.explore(name, time=t, index=cell)
            pool = at.subject.time.sets
            s = pool.set_number(cell)
            assert (mean[s], var[s]) == pytest.approx((m, v), rel=1e-6, abs=1e-7)
            own = at.subject.tensor.set_statistics(pool, cell)
            assert own == pytest.approx((m, v), rel=1e-6, abs=1e-7)
            whole = at.subject.tensor.statistics(pool.method, pool.num_groups)
            assert (whole.mean.flat[s], whole.var.flat[s], whole.count) == (*own, size)
            line = said(at)
            # Of the heads of a long sequence, the page has the first ones.
            label = r[name].label.replace("G = 4", f"G = {pool.num_groups}")
            assert line.startswith(f"Step {t}. {label}: the set of cell ({', '.join(map(str, cell))}) is n ")
            assert f"; {size} cells, mean " in line
            assert number(line, "mean") == pytest.approx(m, rel=1e-4, abs=1e-7)
            assert number(line, "mean square" if rms else "variance") == pytest.approx(v, rel=1e-4)


def test_running_statistics_weight_gap_and_the_rest_are_those_of_the_recording():
    model = made(Net)
    with nv.record(model) as r:
        train(model, images(6))
    for name, channel_of in {"batch": lambda s: s, "instance": lambda s: s % 8}.items():
        layer, time = r[name], r.explore(name).scene["time"]
        for of, pair in {"": time, "running_": time["running"], "set_": time["quartiles"]}.items():
            for each in ("mean", "var"):
                kept = getattr(layer, of + each) if name == "batch" or of else getattr(layer, f"first_{each}")
                kept = kept[:, : time["shape"][0] * 8]
                np.testing.assert_array_equal(
                    unpacked(pair[each], 6, -1), kept[:, : unpacked(pair[each], 6, -1).shape[1]]
                )
        for of in ("weight", "bias"):
            np.testing.assert_array_equal(unpacked(time[of], 6, 8), getattr(layer, of))
        for of in ("own", "samples", "count"):
            np.testing.assert_array_equal(unpacked(time[of], 6), getattr(layer, of))
        assert unpacked(time["steps"], 6).tolist() == r.steps
        gap, (mean, var) = unpacked(time["gap"], 6, -1), (unpacked(time[of], 6, -1) for of in ("mean", "var"))
        for t, s in np.ndindex(gap.shape):
            running_mean, running_var = layer.running_mean[t, channel_of(s)], layer.running_var[t, channel_of(s)]
            # The outputs of one value of z by its own and by the running statistics, at z = -1 and 1: their difference
            # is linear in z, so that its mean square over the set follows.
            own, running = np.sqrt(var[t, s] + layer.eps), np.sqrt(running_var + layer.eps)
            spread = np.sqrt(var[t, s]) / own
            off = [mean[t, s] + z * own * 1.0 for z in (-spread, spread)]
            differences = [(x - running_mean) / running - (x - mean[t, s]) / own for x in off]
            assert gap[t, s] == pytest.approx(np.sqrt(np.mean(np.square(differences))), rel=1e-9)
        cell = (1, 3, 2, 1)
        line, s = said(r.explore(name, time=4, index=cell)), 3 if name == "batch" else 11
        assert number(line, "Running mean") == pytest.approx(layer.running_mean[4, 3], rel=1e-4)
        assert number(line, "running variance") == pytest.approx(layer.running_var[4, 3], rel=1e-4)
        assert number(line, "gap") == pytest.approx(gap[4, s], rel=1e-4)
    for name in ("group", "layer"):
        time = r.explore(name).scene["time"]
        assert time["running"] is time["gap"] is None
        np.testing.assert_array_equal(unpacked(time["channel_mean"], 6, 8), r[name].mean)


def test_the_scene_is_locked_to_the_layer_and_has_no_values():
    model = made(Net)
    with nv.record(model) as r:
        train(model, images(3))
    shown = r.explore("group", time=1, index=(1, 3, 1, 1), color="value", controls=False, presenter=True)
    scene = shown.scene
    assert [row["name"] for row in scene["methods"]] == ["group"]
    assert [scene[name] for name in ("values", "mean", "m2", "coarse", "running")] == [None] * 5
    assert scene["shape"] == scene["time"]["shape"] == [4, 8, 6, 5]
    assert (scene["title"], scene["eps"], scene["time"]["every"]) == ("group", 1e-5, 1)
    means = r["group"].mean
    assert scene["extent"] == pytest.approx([means.min(), means.max()])
    np.testing.assert_array_equal(unpacked(scene["weight"], 8), r["group"].weight[1])
    wanted = {"method": "group", "num_groups": 4, "index": (1, 3, 1, 1), "color": "value", "time": 1}
    assert {name: shown.state[name] for name in wanted} == wanted
    assert (shown.state["controls"], shown.state["presenter"], shown.state["predict"]) == (False, True, False)
    assert repr(shown) == "Shown(shape=(4, 8, 6, 5), method='group', num_groups=4, index=(1, 3, 1, 1))"
    with pytest.raises(ValueError, match="recording of method 'group', and has no values of x"):
        shown.subject.tensor.statistics("batch", None)


def test_it_opens_at_the_last_step_at_which_the_layer_was_called():
    model = made(Tied)
    with nv.record(model) as r:
        train(model, images(6))  # the third and the sixth forward leave out the norm
    shown = r.explore("norm")
    assert (shown.state["time"], shown.subject.time.step) == (4, 4)
    assert unpacked(shown.scene["time"]["steps"], 4).tolist() == [0, 1, 3, 4]
    np.testing.assert_array_equal(unpacked(shown.scene["time"]["mean"], 4, 4), r["norm"].mean[[0, 1, 3, 4]])
    # Both calls of the step are one set.
    assert said(shown).startswith("Step 4. Batch Norm: the set of cell (0, 0, 0, 0) is n 0 to 7, c 0, ")
    assert f"; {r['norm'].count[4]} cells, mean " in said(shown)


def test_it_is_shown_everywhere_without_a_kernel(tmp_path):
    r, _ = recorded(*CASES["batch"][:3])
    shown = r.explore("norm", title="Mine")
    page = nv.to_html([shown, nv.show(method="group")])
    assert page.count('<section class="nvp-explorer"') == 2
    assert '"time":{"steps"' in page
    assert "<title>Mine: Batch Norm" in page
    shown.to_html(tmp_path / "a.html")
    assert "Step 1. Batch Norm" in (tmp_path / "a.html").read_text()
    assert "Step 1. Batch Norm" in shown.to_svg()
    assert "Step 1. Batch Norm" in shown.fragment()
    r.save(tmp_path / "r.npz")
    assert Recording.load(tmp_path / "r.npz").explore("norm", title="Mine").scene == shown.scene


@pytest.mark.parametrize("color", ["set", "partition", "value"])
def test_the_picture_is_drawn_in_each_color(color):
    for case in ("batch", "group", "batch of vectors", "batch of volumes", "heads by hand"):
        norm, name, shapes, *_ = CASES[case]
        r, _ = recorded(norm, name, shapes)
        assert r.explore(name, color=color).to_svg().startswith("<svg")


def test_a_color_stands_for_the_mean_of_a_channel():
    r, _ = recorded(*CASES["batch"][:3])
    subject, means = r.explore("norm", time=0).subject, r["norm"].mean
    wanted = np.broadcast_to(means[0].reshape(1, 5, 1, 1), (4, 5, 3, 2))
    np.testing.assert_allclose(subject.tensor.field, wanted, atol=(means.max() - means.min()) / 500)


def test_it_works_inside_the_block_and_for_one_step():
    torch.manual_seed(0)
    model = Model(nn.BatchNorm1d(3))
    with nv.record(model) as r:
        model(torch.randn(4, 3)).backward()
        first = r.explore("norm")
        model(torch.randn(4, 3)).backward()
        assert r.explore("norm").state["time"] == 1
    assert (first.state["time"], unpacked(first.scene["time"]["steps"], 1).tolist()) == (0, [0])
    assert r.explore("norm", time=0).scene["time"]["mean"] != first.scene["time"]["mean"]


def test_a_frozen_batch_norm_opens_in_eval_mode():
    r, _ = recorded(Frozen(5), "norm", [(4, 5, 3, 2)] * 2)
    shown = r.explore("norm", index=(0, 2, 0, 0))
    assert (shown.state["mode"], unpacked(shown.scene["time"]["own"], 2).tolist()) == ("eval", [0, 0])
    line = (
        "Step 1. Batch Norm in eval mode, cell (0, 2, 0, 0): no cells are pooled; running mean 0, running variance 1."
    )
    assert said(shown) == line
    assert "the set of cell (0, 2, 0, 0) is n 0 to 3" in said(r.explore("norm", index=(0, 2, 0, 0), mode="train"))


def test_nan_and_infinity_are_shown():
    torch.manual_seed(0)
    model = Model(nn.BatchNorm1d(3))
    with nv.record(model) as r, torch.no_grad():
        for bad in (0.0, math.inf, math.nan):
            x = torch.randn(4, 3)
            x[1, 2] += bad
            model(x)
    for t in (1, 2):
        shown = r.explore("norm", time=t, index=(0, 2), color="value")
        assert "variance NaN. Running mean " in said(shown)
        assert "gap NaN standard deviations" in said(shown)
        assert "normviz-data" in shown.to_html()
        assert shown.to_svg().startswith("<svg")
    assert r.explore("norm").scene["time"]["warnings"][0][:2] == [1, "non-finite"]


def test_warnings_have_the_index_of_the_step_that_is_sent():
    model = made(Tied)
    with nv.record(model) as r, torch.no_grad():
        for k in range(6):
            model(torch.randn(4, 3, 4, 4) * (math.nan if k == 3 else 1))
    (found,) = [w for w in r.warnings if w.layer == "norm" and w.code == "non-finite"]
    assert found.step == 3
    # Forward 2 did not call the norm, so that step 3 is the third one that is sent.
    assert [2, "non-finite", found.message] in r.explore("norm").scene["time"]["warnings"]


def test_the_words_say_what_the_page_leaves_out():
    def words(shown):
        return still(*shown.page_parts()[0]).words

    text = words(made_up(2048, 600).explore("norm"))
    assert "Mean and variance of every set are as recorded. A recording keeps no single values." in text
    assert re.search(r"One of \d+ recorded steps is shown\.$", text)
    r, _ = recorded(*CASES["positional"][:3])
    wanted = (
        "The input has shape (6, 6, 30). A recording keeps the statistics of the first 60 sets, and those are drawn."
    )
    assert words(r.explore("norm.norm")).endswith(wanted)
    r, _ = recorded(*CASES["batch"][:3])
    assert "recorded" not in words(r.explore("norm"))


def test_tokens_whose_number_changes():
    shapes = [(3, 6, 30), (3, 6, 20), (3, 6, 40)]
    r, seen = recorded(Last(nn.LayerNorm(6)), "norm.norm", shapes)
    assert r.explore("norm.norm").subject.shape == (1, 6, 30)
    for t, x in enumerate(seen):
        for position in (0, 19, 29):
            shown = r.explore("norm.norm", time=t, index=(0, 2, position))
            if position >= x.shape[2]:
                assert said(shown) == ("Step 1. Positional Layer Norm: the batch of this step has no cell (0, 2, 29).")
                assert math.isnan(shown.subject.tensor.set_statistics(shown.subject.time.sets, (0, 2, 29))[0])
            else:
                own = shown.subject.tensor.set_statistics(shown.subject.time.sets, (0, 2, position))
                assert own[0] == pytest.approx(x[0, :, position].mean(), rel=1e-6, abs=1e-7)
    # Of maps whose sides change, a number may mean another position.
    r, _ = recorded(Last(nn.LayerNorm(6)), "norm.norm", [(2, 6, 4, 4), (2, 6, 4, 5)])
    shown = r.explore("norm.norm", time=1)
    assert shown.subject.shape == (1, 6, 4, 4)
    assert np.isnan(unpacked(shown.scene["time"]["mean"], 2, 16)[1]).all()
    assert not np.isnan(unpacked(shown.scene["time"]["mean"], 2, 16)[0]).any()


def made_up(C, T, **more):
    """A recording of one Batch Norm over T steps, without a training run."""
    random = np.random.default_rng(0)
    table = {name: random.normal(size=(T, C)) ** 2 for name in ("mean", "var", "running_mean", "running_var")}
    table |= {name: random.normal(size=(T, C)) for name in ("weight", "bias")}
    table |= {"set_mean": np.sort(random.normal(size=(T, 5))), "set_var": np.sort(random.random((T, 5)))}
    steps = {"grad_norm": np.ones(T), "samples": np.full(T, 8), "count": np.full(T, 8 * 49), "own": np.full(T, True)}
    fixed = {"name": "norm", "type": "BatchNorm2d", "kind": "batch", "num_groups": None, "shape": (8, C, 7, 7)}
    fixed |= {"eps": 1e-5, "momentum": 0.1, "first_mean": None, "first_var": None}
    made = Recording()
    made._steps, made._layers = tuple(range(0, 2 * T, 2)), {"norm": LayerRecording(**fixed | table | steps | more)}
    return made


def test_a_large_recording_is_thinned_evenly_and_the_page_stays_small():
    r = made_up(2048, 600)
    for step in (1198, 600, 0):
        shown = r.explore("norm", time=step)
        time = shown.scene["time"]
        every = time["every"]
        steps = np.frombuffer(base64.b64decode(time["steps"]["data"]), np.int32)
        assert every > 1
        assert set(np.diff(steps)) == {2 * every}
        assert step in steps
        assert (steps[0] < 2 * every, steps[-1] > 2 * (599 - every)) == (True, True)
        row = steps.tolist().index(step)
        np.testing.assert_array_equal(
            unpacked(time["mean"], len(steps), 2048)[row], r["norm"].mean[step // 2].astype(np.float32)
        )
        assert number(said(shown), "mean") == pytest.approx(r["norm"].mean[step // 2, 0], rel=1e-4)
        assert len(shown.to_html()) < 2_500_000
    # What fits is sent in full.
    time = made_up(64, 200).explore("norm").scene["time"]
    assert (time["every"], time["mean"]["dtype"]) == (1, "float64")
    time = made_up(64, 700).explore("norm").scene["time"]
    assert (time["every"], time["mean"]["dtype"]) == (1, "float32")


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net():
    model = made(Net)
    with nv.record(model, every=10) as r:
        train(model, images(40))
    return r


BAD = {
    "another layer": (
        "bach",
        {},
        ValueError,
        "unknown layer 'bach'; did you mean 'batch'? (known: batch, group, instance, layer)",
    ),
    "no name": (3, {}, ValueError, "unknown layer 3 (known: batch, group, instance, layer)"),
    "another step": (
        "batch",
        {"time": 13},
        ValueError,
        "layer batch has no recorded step 13; the nearest ones are 10 and 20",
    ),
    "after the last": (
        "batch",
        {"time": 1000},
        ValueError,
        "layer batch has no recorded step 1000; the nearest ones are 20 and 30",
    ),
    "half a step": ("batch", {"time": 10.5}, TypeError, "time must be a whole number, not 10.5"),
    "a yes": ("batch", {"time": True}, TypeError, "time must be a whole number, not True"),
    "a misspelt keyword": (
        "batch",
        {"colour": "set"},
        TypeError,
        "explore(): unknown keyword 'colour'; did you mean 'color'? "
        "(known: time, index, color, mode, controls, presenter, title)",
    ),
    "a keyword of show": (
        "batch",
        {"predict": True},
        TypeError,
        "explore(): unknown keyword 'predict' (known: time, index, color, mode, controls, presenter, title)",
    ),
    "a color of values": (
        "batch",
        {"color": "normalized"},
        ValueError,
        "unknown color 'normalized' (known: set, partition, value); a recording has no single values",
    ),
    "another mode": ("batch", {"mode": "test"}, ValueError, "unknown mode 'test' (known: train, eval)"),
    "eval of Group Norm": (
        "group",
        {"mode": "eval"},
        ValueError,
        "mode='eval' is for Batch Norm with running statistics, and layer group is not one",
    ),
    "a cell outside": (
        "batch",
        {"index": (0, 8, 0, 0)},
        IndexError,
        "there is no cell (0, 8, 0, 0) in shape (4, 8, 6, 5); indices are (0..3, 0..7, 0..5, 0..4)",
    ),
    "a channel alone": ("batch", {"index": 3}, TypeError, "index must be 4 whole numbers (n, c, ...), not 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(net, case):
    name, keywords, error, message = BAD[case]
    with pytest.raises(error) as raised:
        net.explore(name, **keywords)
    assert str(raised.value) == message


def test_a_cell_whose_set_was_not_kept():
    norm, name, shapes, *_ = CASES["group"]
    r, _ = recorded(norm, name, shapes)
    with pytest.raises(IndexError) as raised:
        r.explore(name, index=(25, 0, 0, 0))
    assert str(raised.value) == (
        "there is no cell (25, 0, 0, 0) in shape (21, 6, 2, 2); indices are (0..20, 0..5, 0..1, 0..1); "
        "of the layer's shape (30, 6, 2, 2) the recording keeps the first 63 sets"
    )


def test_a_recording_without_steps_and_layers_without_sets():
    with pytest.raises(ValueError, match=r"^the recording has no steps to explore; train inside its with block$"):
        Recording().explore("norm")
    model = nn.Sequential(nn.Conv1d(3, 4, 1), nn.LocalResponseNorm(2))
    with nv.record(model) as r:
        model(torch.randn(2, 3, 5))
    wanted = (
        r"^the pooling sets of layer 1 \(LocalResponseNorm\) are not known, so there is no set to show; figure\(\) "
    )
    with pytest.raises(ValueError, match=wanted):
        r.explore("1")
    never = made_up(4, 3, count=np.zeros(3, int), samples=np.zeros(3, int))
    with pytest.raises(
        ValueError, match=r"^layer norm was not called in a recorded step, so there is nothing to show$"
    ):
        never.explore("norm")
    model = made(Tied)
    with nv.record(model) as r:
        train(model, images(5))
    with pytest.raises(ValueError, match=r"^layer norm was not called at step 2; the nearest ones are 1 and 3$"):
        r.explore("norm", time=2)
