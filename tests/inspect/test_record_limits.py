"""What a recording refuses, what it says at the end, that it leaves no trace, its warnings, and its files."""

import builtins
import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as hooks
from torch.utils.checkpoint import checkpoint

import normviz as nv
from normviz.inspect.record import rules
from tests.inspect.recorded import HandRMS, Net, Tied, bits, images, made, train


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small(*middle):
    return nn.Sequential(nn.Linear(4, 8), *(middle or (nn.BatchNorm1d(8),)), nn.Linear(8, 4))


def steps(model, n=3, size=6):
    return train(model, [(torch.randn(size, 4), torch.randint(4, (size,))) for _ in range(n)])


# ---- no trace ----


def traces(model):
    """All hooks there are."""
    of_torch = {n: dict(d) for n, d in vars(hooks).items() if n.startswith("_global_") and isinstance(d, dict)}
    own = [
        (name, {k: len(v) for k, v in vars(m).items() if "hook" in k and isinstance(v, dict)}, sorted(vars(m)))
        for name, m in model.named_modules()
    ]
    return of_torch, own, torch.overrides._len_torch_function_stack()


@pytest.mark.parametrize("raises", [False, True])
def test_hooks_leave_no_trace(raises):
    model = made(Net)
    before, (x, y) = traces(model), images(1)[0]
    loss = None
    try:
        with nv.record(model) as r:
            assert traces(model) != before
            train(model, images(2))
            loss = F.cross_entropy(model(x), y)
            if raises:
                raise KeyError("stop")
    except KeyError:
        assert raises
    assert traces(model) == before
    loss.backward()
    assert np.isnan(r["batch"].grad_norm[-1]), "no gradient came inside the block"
    assert len(r.steps) == 3
    assert r._recorder is None


def test_an_output_that_lives_on_has_no_hook():
    model = nn.BatchNorm1d(4)
    with nv.record(model):
        y = model(torch.randn(6, 4))
        assert y._backward_hooks
    assert not y._backward_hooks


def test_a_forward_that_raises_is_not_counted():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = small(), 0

        def forward(self, x):
            self.calls += 1
            x = self.inner(x)
            if self.calls == 2:
                raise RuntimeError("out of memory")
            return x

    model = Sometimes()
    with nv.record(model) as r:
        steps(model, 1)
        with pytest.raises(RuntimeError, match="out of memory"):
            steps(model, 1)
        steps(model, 2)
    assert r.steps == [0, 1, 2]
    assert np.isfinite(r["inner.1"].grad_norm).all()


class Interrupted(nn.Module):
    """A model whose second forward is interrupted, before or after its norm, or in a part inside."""

    def __init__(self, where):
        super().__init__()
        self.norm, self.calls, self.where = nn.BatchNorm1d(4), 0, where
        self.norm.register_forward_pre_hook(lambda *_: self.stop("inside"))

    def stop(self, where):
        if self.calls == 2 and self.where == where:
            raise KeyboardInterrupt

    def forward(self, x):
        self.calls += 1
        self.stop("before")
        x = self.norm(x)
        self.stop("after")
        return x


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_keyboard_interrupt_that_is_caught_inside_the_block(where, every):
    """torch calls no hook after such a forward; those after it are recorded all the same."""
    model = nn.Sequential(Interrupted(where))
    before = traces(model)
    inputs = torch.randn(5, 6, 4)
    with nv.record(model, every=every) as r:
        for x in inputs:
            try:
                model(x).sum().backward()
            except KeyboardInterrupt:
                assert model[0].calls == 2
    done = [0, 2, 3, 4]
    assert r.steps == list(range(4))[::every]
    np.testing.assert_allclose(r["0.norm"].mean, inputs.double().numpy()[done].mean(1)[::every], rtol=1e-6)
    assert np.isfinite(r["0.norm"].grad_norm).all()
    assert traces(model) == before


def train_until_interrupted(model):
    for x in torch.randn(5, 6, 4):
        model(x)


def test_a_keyboard_interrupt_that_leaves_the_block():
    model = nn.Sequential(Interrupted("after"))
    before, r = traces(model), nv.record(model)
    with pytest.raises(KeyboardInterrupt), r:
        train_until_interrupted(model)
    assert traces(model) == before
    assert (r.steps, r["0.norm"].mean.shape) == ([0], (1, 4))


def test_a_keyboard_interrupt_in_a_repeated_forward():
    """Activation checkpointing repeats a forward inside the backward, with a function that normalizes."""

    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = Helped(), 0
            self.inner.fc.register_forward_hook(self.count)

        def count(self, *_):
            self.calls += 1
            if self.calls == 4:  # the second backward
                raise KeyboardInterrupt

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=True)

    model = Repeated()
    before = traces(model)
    with nv.record(model) as r:
        for x in torch.randn(4, 6, 4):
            loss = model(x.requires_grad_()).square().sum()
            try:
                loss.backward()
            except KeyboardInterrupt:
                assert model.calls == 4
    assert (r.steps, r.layers) == ([0, 1, 2, 3], ["inner"])
    layer = r["inner"]
    assert layer.samples.tolist() == [6] * 4
    assert np.isfinite(layer.grad_norm).tolist() == [True, False, True, True]
    assert traces(model) == before


def test_a_model_that_calls_itself():
    class Recursive(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(4)

        def forward(self, x, depth=2):
            x = self.norm(x)
            return self(x * 2 + 1, depth - 1) if depth else x

    model = Recursive()
    with nv.record(model) as r:
        for x in torch.randn(2, 6, 4):
            model(x)
    assert r.steps == [0, 1]
    assert r["norm"].samples.tolist() == [18, 18]


def test_an_exception_of_the_block_is_not_hidden_by_a_warning():
    with pytest.raises(ZeroDivisionError), nv.record(small()):
        raise ZeroDivisionError


def test_two_recordings_at_once_and_a_copy_made_inside():
    model, other = small(), small(nn.LayerNorm(8))
    with nv.record(model) as a, nv.record(other, every=2) as b:
        steps(model, 2)
        steps(copy.deepcopy(model), 2)
        steps(other, 3)
    assert (a.steps, b.steps) == ([0, 1], [0, 2])


# ---- bad input ----


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return torch.relu(self.fc(x)).reshape(x.shape[0], -1)


class Helped(Plain):
    def helper(self, x):
        return F.group_norm(x, 2)

    def forward(self, x):
        return self.helper(self.fc(x))


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(3, 3), nn.Sequential(Plain())])
def test_a_model_with_no_norm_layer(model):
    n = len([*model.modules()])
    who = type(model).__name__
    wanted = f"^{who} has no normalization layer to record: none of its {n} modules is one, and none calls a function"
    with pytest.raises(ValueError, match=wanted), nv.record(model):
        pass


def test_a_model_whose_norm_shows_only_when_it_is_called():
    for model in (Helped(), nn.Sequential(nn.Linear(4, 8), HandRMS(8)), nn.Sequential(Helped())):
        with nv.record(model) as r:
            model(torch.randn(6, 4) + 1)
        assert len(r.layers) == 1


def test_arguments():
    model = small()
    for every, kind, wanted in (
        (0, ValueError, r"^every=0 is less than 1; every=10 records each tenth training forward$"),
        (-3, ValueError, r"^every=-3 is less than 1; "),
        (1.5, TypeError, r"^every must be a whole number, not 1\.5"),
        (True, TypeError, r"^every must be a whole number, not True"),
    ):
        with pytest.raises(kind, match=wanted):
            nv.record(model, every=every)
    with pytest.raises(ValueError, match=r"^unknown layer '3'.*\(known: 1\)$"):
        nv.record(model, layers=["3"])
    with pytest.raises(ValueError, match=r"^layer 0 is a Linear, no normalization; those are: 1$"):
        nv.record(model, layers="0")
    with pytest.raises(ValueError, match=r"^layers is empty; leave it out to record all, or give some of: 1$"):
        nv.record(model, layers=[])
    for layers in (3, True, 1.5):
        with pytest.raises(TypeError, match=rf"^layers must be a name or a list of names, not {layers}$"):
            nv.record(model, layers=layers)
    with pytest.raises(TypeError, match=r"^every must be a whole number, not 2\.5$"):
        nv.record(model, every=2.5)
    with pytest.raises(TypeError, match=r"^model is of type int, not a torch.nn.Module"):
        nv.record(3)
    with pytest.raises(TypeError, match="did you mean 'every'"):
        nv.record(model, evry=2)


def test_layers_chooses():
    model = made(Net)
    with nv.record(model, layers=["layer", "batch"]) as r:
        train(model, images(2))
    assert r.layers == ["batch", "layer"]
    with pytest.raises(KeyError, match="unknown layer 'grup'"):
        r["grup"]


@pytest.mark.parametrize("how", ["wrapper", "in place", "inside"])
def test_a_compiled_model_gets_a_sentence(how):
    model = small()
    if how == "in place":
        model.compile(backend="eager")
    elif how == "inside":
        model[1] = torch.compile(model[1], backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    who = "1" if how == "inside" else "the model"
    with pytest.raises(
        ValueError, match=rf"^{who} is compiled by torch.compile, and compiled code calls no hooks; rec"
    ):
        nv.record(model)


@pytest.mark.filterwarnings("ignore:Using .torch.compile")  # torch says that it calls hooks for the wrapper as well
def test_compiled_code_stays_what_it_is_if_the_model_inside_is_recorded():
    def run(recorded):
        torch.manual_seed(0)
        model = small()
        compiled = torch.compile(model, backend="aot_eager")
        if recorded:
            ends_saying(r"^Sequential was not called.* not a copy or a compiled one$", model, lambda: steps(compiled))
        else:
            steps(compiled)
        return bits(model)

    assert run(recorded=True) == run(recorded=False)


@pytest.mark.filterwarnings("ignore:Dynamo does not know", "ignore:Using .torch.compile")
def test_a_model_that_is_compiled_inside_the_block():
    model = small()

    def run():
        steps(model, 2)
        model[1].compile(backend="eager")

    wanted = r"^torch.compile has compiled 1 inside the block, and compiled code calls no hooks; compile after the rec"
    assert ends_saying(wanted, model, run).steps == [0, 1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_parts():
    model = small(nn.Sequential(nn.BatchNorm1d(8), nn.ReLU(), nn.LayerNorm(8)), nn.LayerNorm(8))
    with pytest.raises(
        ValueError, match=r"^Sequential is compiled by torch.jit, which calls no hooks for the layers i"
    ):
        nv.record(torch.jit.script(model))
    model[1] = torch.jit.script(model[1])
    wanted = r"^torch.jit has compiled what is around 1.0, 1.2, and calls no hooks inside, so not recorded$"
    assert ends_saying(wanted, model, lambda: steps(model)).layers == ["2"]


def test_a_data_parallel_of_several_devices():
    model = nn.DataParallel(small())
    model.device_ids = [0, 1]  # as on a machine with two GPUs
    wanted = r"^DataParallel trains copies of the model on other threads, which are not recorded; use DistributedDataP"
    with pytest.raises(ValueError, match=wanted):
        nv.record(model)


@pytest.mark.parametrize("how", ["vmap", "grad", "meta"])
def test_values_that_cannot_be_read(how):
    model = small()

    def run():
        if how == "vmap":
            torch.func.vmap(model)(torch.randn(3, 6, 4))
        elif how == "grad":
            torch.func.grad(lambda x: model(x).sum())(torch.randn(6, 4))
        else:
            model.to("meta")(torch.randn(6, 4, device="meta"))
        if how != "meta":
            model(torch.randn(6, 4))

    model[1] = nn.LayerNorm(8)
    wanted = r"^1 could not be measured: the values of its input cannot be read, as inside torch.func or on the meta d"
    r = ends_saying(wanted, model, run)
    assert r.warnings == []
    assert r.steps == ([0] if how == "meta" else [0, 1])
    if how != "meta":
        assert r["1"].called.tolist() == [False, True]


def test_it_cannot_be_entered_twice():
    with nv.record(small()) as r:
        with pytest.raises(
            RuntimeError, match=r"^this recording has already begun and takes no more steps; make a new"
        ):
            r.__enter__()
        steps(small())
        r._recorder.calls, r._recorder.trained = 1, 1
    with pytest.raises(RuntimeError, match=r"^this recording is one of the past and takes no more steps"), r:
        pass


# ---- at the end ----


def ends_saying(match, model, run, **options):
    """Record a run that ends with a UserWarning, and return the recording."""
    r = nv.record(model, **options)
    with pytest.warns(UserWarning, match=match), r:
        run()
    return r


def test_never_called():
    wanted = r"^Sequential was not called while it was recorded, so there are no steps; call this very model, as model"
    ends_saying(wanted, small(), lambda: None)


def test_in_eval_mode_only():
    model, wanted = small().eval(), r"^Sequential was called in eval mode only, so there are no steps; call model.train"
    r = ends_saying(wanted, model, lambda: model(torch.randn(2, 4)))
    assert r.steps == r.layers == []


def test_a_norm_that_is_not_called():
    class Unused(Plain):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(4)

    model = Unused()
    wanted = r"^Unused was recorded, but it called no normalization layer in a training forward; nv.audit\(model, exa"
    ends_saying(wanted, model, lambda: model(torch.randn(2, 4)))
    model = made(Tied)
    model.calls = 2
    wanted = r"^not called in a recorded training forward, so not recorded: norm$"
    ends_saying(wanted, model, lambda: model(images(1)[0][0]), layers=["norm", "group"])


def test_on_another_thread():
    model = small()

    def run():
        thread = threading.Thread(target=steps, args=(model,))
        thread.start()
        thread.join()
        steps(model, 1)

    wanted = r"^Sequential was called 3 times on another thread, which is not recorded; enter nv.record on the thread"
    assert ends_saying(wanted, model, run).steps == [0]


def test_a_model_that_changes_its_layers():
    model = small(nn.BatchNorm1d(8), nn.LayerNorm(8))

    def run():
        steps(model, 2)
        model[2], model[3] = nn.Identity(), nn.Linear(8, 4)
        steps(model, 2)

    wanted = r"^the layers of Sequential changed before training forward 2 \(2, 3\); a layer keeps its name and gets N"
    r = ends_saying(wanted, model, run)
    assert np.isfinite(r["1"].mean).all()
    assert np.isnan(r["2"].mean).any(1).tolist() == [False, False, True, True]


def test_a_layer_that_changes_its_channels():
    norm = nn.InstanceNorm1d(4)

    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            norm(torch.randn(2, 4, 5))
            norm(torch.randn(2, 6, 5))

    wanted = r"^\(model\) had C = 4 channels, and C = 6 in training forward 1, which is not recorded; record such calls"
    r = ends_saying(wanted, norm, run)
    assert np.isnan(r["(model)"].mean).any(1).tolist() == [False, True]


def test_what_cannot_be_measured_does_not_end_the_training(monkeypatch):
    def measure(norm, x):
        raise ArithmeticError("no")

    monkeypatch.setattr("normviz.inspect.record.recorder.measure", measure)
    model = small()
    with pytest.warns(UserWarning, match=r"^1 could not be measured: ArithmeticError: no$"), nv.record(model):
        steps(model)


# ---- warnings ----


def found(r):
    return {(w.code, w.layer, w.step) for w in r.warnings}


def feed(model, inputs, every=1):
    with nv.record(model, every=every) as r:
        for x in inputs:
            model(x)
    return r


def test_a_sound_run_has_no_warnings():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.GroupNorm(4, 8))
    assert not feed(model, [torch.randn(16, 8, 8, 8) for _ in range(40)]).warnings


def test_each_warning_has_the_step_at_which_it_began():
    def inputs(change=None, n=40, start=12):
        torch.manual_seed(0)
        given = [torch.randn(16, 8, 4, 4) for _ in range(n)]
        return [change(x, k) if change and k >= start else x for k, x in enumerate(given)]

    def dead(x, k):
        x[:, 3] = 0.5
        return x

    bn = nn.BatchNorm2d(8)
    assert ("dead-channel", "(model)", 12) in found(feed(bn, inputs(dead)))
    said = [w.message for w in feed(bn, inputs(dead)).warnings if w.code == "dead-channel"]
    assert said == ["the input is constant in 1 of C = 8 channels (3)"]
    group = nn.GroupNorm(4, 8)
    assert found(feed(group, inputs(lambda x, k: x * 1e-3))) == {("variance-below-eps", "(model)", 12)}
    assert found(feed(group, inputs(lambda x, k: x / 0.0))) == {("non-finite", "(model)", 12)}
    drifting = feed(nn.BatchNorm2d(8), inputs(lambda x, k: x + 0.2 * (k - 12)))
    ((code, _, step),) = found(drifting)
    assert code == "running-behind"
    assert 13 <= step <= 20
    assert found(feed(nn.BatchNorm2d(8, momentum=1e-3), inputs(lambda x, k: x + 5, start=0))) == {
        ("running-behind", "(model)", 0)
    }
    assert not found(feed(nn.BatchNorm2d(8), inputs(lambda x, k: x + 5, start=0))), "the start is forgotten"
    one = feed(nn.BatchNorm2d(8), inputs(lambda x, k: x[:1] if k == 12 else x))
    assert ("batch-of-one", "(model)", 12) in found(one)
    assert not [w for w in feed(nn.GroupNorm(4, 8), inputs(lambda x, k: x[:1])).warnings if w.code == "batch-of-one"]

    group = nn.GroupNorm(4, 8)
    with nv.record(group, every=2) as r, torch.no_grad():
        for k, x in enumerate(inputs()):
            group.weight[5] = 1e-3 if k >= 15 else 1.0
            group(x)
    assert found(r) == {("weight-near-zero", "(model)", 16)}
    for warning in r.warnings:
        assert str(warning) == f"weight-near-zero at (model), from step 16 on: {warning.message}; {warning.remedy}"
    with torch.no_grad():
        group.weight.zero_()
    assert not found(feed(group, inputs())), "a layer that starts with weights of 0"


def test_a_state_that_does_not_last_is_no_warning():
    def change(x, k):
        if k in (5, 6):
            x[:, 3] = 0.0
        return x

    x = [change(torch.randn(16, 8, 4, 4), k) for k in range(12)]
    assert not found(feed(nn.GroupNorm(1, 8), x))
    assert found(feed(nn.GroupNorm(1, 8), x[:7])) == {("dead-channel", "(model)", 5)}, "it lasts to the end"


# ---- files and words ----


def recorded():
    model = made(Net)
    with nv.record(model, every=2) as r:
        train(model, images(7))
    return r


def same(a, b):
    assert (a.steps, a.layers, a.every, a.warnings) == (b.steps, b.layers, b.every, b.warnings)
    for name in a.layers:
        for key, value in vars(a[name]).items():
            other = getattr(b[name], key)
            assert np.array_equal(value, other, equal_nan=True) if isinstance(value, np.ndarray) else value == other
            if isinstance(value, np.ndarray):
                assert value.dtype == other.dtype


def test_save_and_load(tmp_path):
    r = recorded()
    r.save(tmp_path / "run.npz")
    loaded = nv.Recording.load(str(tmp_path / "run.npz"))
    same(r, loaded)
    same(r, pickle.loads(pickle.dumps(r)))
    same(r, copy.deepcopy(r))
    for a in (r, loaded, copy.deepcopy(r)):
        with pytest.raises(ValueError, match="read-only"):
            a["batch"].mean[0] = 0
        with pytest.raises(AttributeError):
            a["batch"].mean = None


def test_a_file_that_is_no_recording(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.ones(3))
    for name in ("other.npz", "text.npz", "empty.npz", "array.npy"):
        with pytest.raises(ValueError, match=rf"{name} holds no recording \(.*\); Recording.save writes one$"):
            nv.Recording.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        nv.Recording.load(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        recorded().save(tmp_path / "no" / "run.npz")


def test_to_frame(monkeypatch):
    r = recorded()
    frame = r.to_frame()
    assert len(frame) == 4 * 8 * 4
    row = frame[(frame.step == 4) & (frame.layer == "batch") & (frame.channel == 3)].iloc[0]
    layer = r["batch"]
    assert (row["mean"], row["running_var"], row["weight"]) == (
        layer.mean[2, 3],
        layer.running_var[2, 3],
        layer.weight[2, 3],
    )
    assert row.grad_norm == layer.grad_norm[2]
    assert frame[frame.layer == "group"].running_mean.isna().all()
    imported = builtins.__import__

    def without_pandas(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ImportError, match=r"^to_frame needs pandas; install it with: python -m pip install pandas$"):
        r.to_frame()


def test_it_can_be_read_inside_the_block_and_does_not_change_then():
    model = small()
    with nv.record(model) as r:
        steps(model, 1)
        first = r["1"]
        assert (r.steps, r.layers, first.mean.shape) == ([0], ["1"], (1, 8))
        steps(model, 1)
        assert repr(r) == "<Recording: 1 normalization layer, 2 recorded steps (0 to 1), 0 warnings>"
    assert first.mean.shape == (1, 8)
    assert r["1"].mean.shape == (2, 8)


def test_a_copy_made_inside_the_block_is_what_was_recorded_so_far():
    model = small()
    with nv.record(model) as r:
        steps(model, 2)
        copies = copy.deepcopy(r), pickle.loads(pickle.dumps(r))
        steps(model, 1)
    for made_then in copies:
        assert made_then.steps == [0, 1]
        assert np.array_equal(made_then["1"].mean, r["1"].mean[:2])
        with pytest.raises(RuntimeError, match="one of the past"):
            made_then.__enter__()
    assert r.steps == [0, 1, 2]


def test_in_words():
    r = feed(nn.BatchNorm2d(3), [torch.randn(1 + (k != 1), 3, 9, 9) for k in range(3)])
    assert repr(r) == "<Recording: 1 normalization layer, 3 recorded steps (0 to 2), 1 warning>"
    assert repr(r["(model)"]) == "<LayerRecording (model): Batch Norm, 3 steps, C = 3>"
    remedy = "drop an incomplete last batch, or use Group Norm"
    assert str(r).splitlines()[1] == (
        "! batch-of-one at (model), from step 1 on: the batch has one sample, so its statistics are those of this "
        f"sample; {remedy}"
    )
    page = r._repr_html_()
    assert r.fragment() == page
    assert "<code>batch-of-one</code> <b>(model)</b>, from step 1 on" in page
    assert "Batch Norm" in page


def test_every_rule_is_tried_here():
    assert sorted(rules.RECORD_RULES) == [
        "batch-of-one",
        "dead-channel",
        "non-finite",
        "running-behind",
        "variance-below-eps",
        "weight-near-zero",
    ]
