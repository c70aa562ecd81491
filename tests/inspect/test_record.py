"""Every number of a recording against plain hooks, and training that is the same to the last bit."""

import copy
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import normviz as nv
from normviz.inspect.record.measure import moments_by_torch
from tests.inspect.recorded import (
    STEPS,
    HandRMS,
    Net,
    PlainHooks,
    Tied,
    Tokens,
    assert_same,
    bits,
    channels,
    expected,
    groups,
    images,
    made,
    maps,
    optimizer_of,
    positions,
    samples,
    tokens,
    train,
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


NET = {
    "batch": (1, channels),
    "group": (1, groups(4)),
    "instance": (1, maps),
    "layer": (1, samples),
}
TOKENS = {"norm": (-1, positions), "rms": (-1, positions), "hand": (-1, positions)}


def both(kind, layers, batches, *, every=1, run=train, **options):
    """Train twice from the same start, with plain hooks and with a recording; return what each has seen."""
    # A hook on the output of Instance Norm does not see the gradient if a step in place follows.
    plain, recorded = made((lambda: Net(inplace=False)) if kind is Net else kind), made(kind)
    hooks, optimizer = PlainHooks(plain, layers), optimizer_of(plain)
    run(plain, batches, optimizer, **options)
    seen = bits(plain, optimizer)
    hooks.close()
    optimizer = optimizer_of(recorded)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    with nv.record(recorded, every=every) as r:
        run(recorded, batches, optimizer, **options)
    assert torch.equal(state, torch.get_rng_state())
    assert bits(recorded, optimizer)[:3] == seen[:3]
    return r, hooks.rows


@pytest.mark.parametrize("accumulate", [1, 4])
def test_batch_group_instance_and_layer_norm_of_twenty_steps(accumulate):
    r, rows = both(Net, NET, images(), accumulate=accumulate)
    assert r.steps == list(range(STEPS))
    assert r.layers == [*NET]
    for name, (axis, sets) in NET.items():
        assert_same(r[name], expected(rows[name], axis, sets))
        assert np.isfinite(r[name].grad_norm).all()
    assert [r[name].kind for name in NET] == ["batch", "group", "instance", "layer"]
    assert (r["group"].num_groups, r["batch"].eps, r["batch"].momentum) == (4, 1e-5, 0.1)
    assert r["batch"].running_mean.shape == (STEPS, 8)
    assert r["group"].running_mean is None


def test_positional_layer_norm_rms_norm_and_a_norm_known_by_its_output():
    r, rows = both(Tokens, TOKENS, tokens())
    assert r.layers == ["norm", "rms", "(model):layer_norm", "hand"]
    for name, (axis, sets) in TOKENS.items():
        assert_same(r[name], expected(rows[name], axis, sets, mean_taken=name == "norm"))
    assert r["hand"].kind == r["rms"].kind == "rms"
    audited = [layer.name for layer in nv.audit(made(Tokens), tokens(1)[0][0]).layers]
    assert r.layers == audited


def test_a_function_that_normalizes(monkeypatch):
    plain = made(Tokens)
    hooks = PlainHooks(plain, ["(model):layer_norm"])
    layer_norm = F.layer_norm

    def observed(x, shape, weight=None, bias=None, eps=1e-5):
        y = layer_norm(x, shape, weight, bias, eps)
        if weight is plain.scale:
            hooks.see("(model):layer_norm", x, y, weight=weight)
        return y

    with monkeypatch.context() as patched:
        patched.setattr(F, "layer_norm", observed)
        train(plain, tokens())
    model = made(Tokens)
    with nv.record(model) as r:
        train(model, tokens())
    assert_same(r["(model):layer_norm"], expected(hooks.rows["(model):layer_norm"], -1, positions))
    assert r["(model):layer_norm"].weight[-1] == pytest.approx(model.scale.detach().numpy(), abs=0.05)


def test_a_tied_layer_has_its_calls_merged_and_nan_where_it_is_not_called():
    layers = {"norm": (1, channels), "group": (1, groups(2))}
    r, rows = both(Tied, layers, images())
    for name, (axis, sets) in layers.items():
        assert_same(r[name], expected(rows[name], axis, sets))
    not_called = [k for k in range(STEPS) if (k + 1) % 3 == 0]
    assert np.isnan(r["norm"].mean[not_called]).all()
    assert np.isnan(r["norm"].grad_norm[not_called]).all()
    assert not r["norm"].called[not_called].any()
    assert r["norm"].called.sum() == STEPS - len(not_called)


def test_every_third_step():
    r, rows = both(Net, NET, images(), every=3)
    assert r.steps == [0, 3, 6, 9, 12, 15, 18]
    for name, (axis, sets) in NET.items():
        assert_same(r[name], expected([rows[name][k] for k in r.steps], axis, sets))


def test_bfloat16_autocast():
    def run(model, batches, optimizer):
        with torch.autocast("cpu", torch.bfloat16):
            train(model, batches, optimizer)

    r, rows = both(Net, {"batch": (1, channels), "group": (1, groups(4))}, images(), run=run)
    assert_same(r["batch"], expected(rows["batch"], 1, channels), rtol=1e-6)
    assert_same(r["group"], expected(rows["group"], 1, groups(4)), rtol=1e-6)


def test_amp_steps_that_are_skipped():
    def run(model, batches, optimizer):
        options = {"growth_factor": 2.0**20, "backoff_factor": 2.0**-20, "growth_interval": 5}
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, **options)
        for x, y in batches:
            scaler.scale(8 * F.cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()

    r, rows = both(Net, NET, images(), run=run)
    weight = r["batch"].weight
    skipped = [k for k in range(STEPS - 1) if (weight[k] == weight[k + 1]).all()]
    assert skipped[:2] == [0, 6], "the loss overflows there"
    assert not np.isfinite(r["batch"].grad_norm[0])
    for name, (axis, sets) in NET.items():
        assert_same(r[name], expected(rows[name], axis, sets))


def test_eval_forwards_between_are_not_counted():
    def run(model, batches, optimizer):
        for i, batch in enumerate(batches):
            train(model, [batch], optimizer)
            model.eval()
            with torch.no_grad():
                model(batches[i - 1][0])

    r, rows = both(Net, NET, images(6), run=run, every=2)
    assert r.steps == [0, 2, 4]
    for name, (axis, sets) in NET.items():
        assert_same(r[name], expected([rows[name][k] for k in r.steps], axis, sets))


def test_checkpoint_and_resume(tmp_path):
    whole, _ = both(Net, NET, images())
    model = made(Net)
    optimizer, batches = optimizer_of(model), images()
    with nv.record(model) as first:
        train(model, batches[:9], optimizer)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
        torch.save(copy.deepcopy(model), tmp_path / "m.pt")
    resumed = made(Net, seed=5)
    optimizer, kept = optimizer_of(resumed), torch.load(tmp_path / "c.pt")
    resumed.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    with nv.record(resumed) as second:
        train(resumed, batches[9:], optimizer)
    for name in NET:
        for what in ("mean", "running_var", "weight", "grad_norm", "set_var"):
            if getattr(whole[name], what) is not None:
                joined = np.concatenate([getattr(first[name], what), getattr(second[name], what)])
                assert np.array_equal(joined, getattr(whole[name], what))


def test_a_distributed_wrapper_of_one_process(tmp_path):
    whole, _ = both(Net, NET, images(5))
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for of_wrapper in (True, False):
            wrapper = nn.parallel.DistributedDataParallel(made(Net))
            with nv.record(wrapper if of_wrapper else wrapper.module) as r:
                train(wrapper, images(5))
            prefix = "module." * of_wrapper
            assert r.layers == [prefix + name for name in NET]
            for name in NET:
                assert np.array_equal(r[prefix + name].mean, whole[name].mean)
                assert np.allclose(r[prefix + name].grad_norm, whole[name].grad_norm, rtol=1e-6)
    finally:
        torch.distributed.destroy_process_group()


def test_it_is_right_for_the_model_that_is_itself_a_norm_and_for_few_and_many_axes():
    cases = [
        (nn.BatchNorm1d(4), (5, 4), channels),
        (nn.InstanceNorm3d(4), (2, 4, 3, 2, 5), maps),
        (nn.LayerNorm((2, 5)), (3, 4, 2, 5), lambda x: [*x.reshape(12, 10)]),
        (nn.LayerNorm(4), (3, 4), samples),
        (nn.GroupNorm(2, 4), (2, 4, 3, 2, 2, 2), groups(2)),
    ]
    for module, shape, sets in cases:
        x = torch.randn(shape) * 3 + 1
        with nv.record(module) as r:
            module(x)
        wanted = expected(
            [
                [
                    {
                        "x": x.double().numpy(),
                        "squares": [],
                        "module": None,
                        **dict.fromkeys(("weight", "bias", "running_mean", "running_var")),
                    }
                ]
            ],
            1,
            sets,
        )
        for name in ("mean", "var", "set_mean", "set_var"):
            np.testing.assert_allclose(getattr(r["(model)"], name), wanted[name], rtol=1e-6, atol=1e-7)


def test_torch_computes_the_same_moments():
    x = torch.randn(3, 4, 5, 6) * 2 + 100
    for axis in (1, -1):
        a, b = moments_by_torch(x, axis), nv.moments(x.numpy(), channel_axis=axis)
        assert a.count == b.count
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
        np.testing.assert_allclose(a.m2, b.m2, rtol=1e-9)
    assert moments_by_torch(x[..., 0, 0], 1).shape == (3, 4)


class Stateful(nn.Module):
    """A norm known by its output that counts its calls and draws numbers, with an in-place step at the end."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.zeros(8)), 0

    def forward(self, x):
        self.calls += 1
        self.drawn = np.random.random() + float(torch.rand(()))  # noqa: NPY002
        mean, var = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / torch.sqrt(var + 1e-5) * self.weight.reshape(-1, 1, 1) + x * 0


def test_what_recognizes_a_layer_leaves_its_state_and_all_randomness():
    def run(record):
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        model = nn.Sequential(nn.Conv2d(3, 8, 3), Stateful(), nn.Flatten(), nn.Linear(8 * 4 * 3, 4))
        optimizer = optimizer_of(model)
        if record:
            with nv.record(model) as r:
                train(model, images(4), optimizer)
            assert r.layers == ["1"]
            assert r["1"].kind == "layer"
        else:
            train(model, images(4), optimizer)
        return bits(model, optimizer), model[1].calls, model[1].drawn, np.random.random()  # noqa: NPY002

    assert run(True) == run(False)


def test_a_module_around_one_call_has_its_own_name():
    class LayerNorm2d(nn.LayerNorm):
        def forward(self, x):
            x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
            return x.permute(0, 3, 1, 2)

    model = nn.Sequential(nn.Conv2d(3, 8, 3), LayerNorm2d(8), nn.Flatten(), nn.Linear(8 * 4 * 3, 4))
    with nv.record(model) as r:
        train(model, images(3))
    assert (r.layers, r["1"].type, r["1"].kind) == (["1"], "LayerNorm2d", "positional")
    assert r["1"].mean.shape == (3, 8)


def test_a_hand_written_norm_may_write_into_its_input():
    class InPlace(HandRMS):
        def forward(self, x):
            x *= torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)
            return x * self.weight

    model, x = InPlace(8), torch.randn(4, 7, 8) * 3
    with nv.record(model) as r, torch.no_grad():
        for _ in range(2):
            model(x.clone())
    np.testing.assert_allclose(r["(model)"].var, [x.double().numpy().var((0, 1))] * 2, rtol=1e-6)


class Checkpointed(Net):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(super().forward, x.requires_grad_(), use_reentrant=self.reentrant)


class Blocks(Tokens):
    """Tokens in two blocks; the second has all norms, functions and hand-written ones too."""

    def __init__(self, reentrant=None):
        super().__init__()
        self.inner, self.reentrant = Tokens(), reentrant
        self.inner.embed = nn.Linear(8, 8)

    def forward(self, x):
        x = self.embed(x)
        return self.inner(x) if self.reentrant is None else checkpoint(self.inner, x, use_reentrant=self.reentrant)


def same_series(a, b, names=("mean", "var", "grad_norm", "weight", "samples", "set_var")):
    assert (a.steps, a.layers) == (b.steps, b.layers)
    for layer in a.layers:
        for name in names:
            assert np.array_equal(getattr(a[layer], name), getattr(b[layer], name), equal_nan=True), (layer, name)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(reentrant):
    """A repeated forward is no step, and its gradient counts where it belongs."""
    # Batch Norm updates its running statistics again when the forward is repeated.
    whole, _ = both(Net, NET, images(4))
    assert np.isfinite(whole["batch"].grad_norm).all()

    def recorded(model, run=train, every=1, batches=None):
        with nv.record(model, every=every) as r:
            run(model, batches or images(4))
        return r

    same_series(recorded(made(lambda: Checkpointed(reentrant))), whole)

    def around(model, batches):  # the whole model, from outside
        optimizer = optimizer_of(model)
        for x, y in batches:
            F.cross_entropy(checkpoint(model, x.requires_grad_(), use_reentrant=reentrant), y).backward()
            optimizer.step()
            optimizer.zero_grad()

    same_series(recorded(made(Net), around), whole)
    same_series(recorded(made(Net), around, every=2), recorded(made(Net), every=2))
    tied = lambda: checkpointed_tied(reentrant)  # noqa: E731
    same_series(recorded(tied(), batches=images(5)), recorded(made(Tied), batches=images(5)))
    blocks = recorded(made(Blocks), batches=tokens(3))
    assert len(blocks.layers) == 4
    same_series(recorded(made(lambda: Blocks(reentrant)), batches=tokens(3)), blocks)


def checkpointed_tied(reentrant):
    class Repeated(Tied):
        def forward(self, x):
            x = self.conv(x)
            self.calls += 1
            if self.calls % 3:
                x = checkpoint(lambda x: self.norm(self.norm(x)[:, :, ::2] * 2 + 1), x, use_reentrant=reentrant)
            return self.head(self.group(x).mean((2, 3)))

    return made(Repeated)


def test_reentrant_checkpointing_with_two_forwards_before_a_backward_in_any_order():
    batches = images(2)

    def losses(model):
        return [F.cross_entropy(checkpoint(model, x.requires_grad_(), use_reentrant=True), y) for x, y in batches]

    wanted = None
    for backward in (
        lambda a, b: (a + b).backward(),
        lambda a, b: (a.backward(), b.backward()),
        lambda a, b: (b.backward(), a.backward()),
    ):
        model = made(Net)
        with nv.record(model) as r:
            backward(*losses(model))
        if wanted is None:
            plain = made(Net)
            with nv.record(plain) as wanted:
                sum(F.cross_entropy(plain(x), y) for x, y in batches).backward()
        assert r.steps == [0, 1]
        for name in NET:
            assert np.array_equal(r[name].grad_norm, wanted[name].grad_norm)


def test_checkpointing_is_the_same_to_the_last_bit():
    def run(recorded):
        model = made(lambda: Checkpointed(reentrant=True))
        optimizer = optimizer_of(model)
        with nv.record(model) if recorded else nullcontext():
            train(model, images(4), optimizer)
        return bits(model, optimizer)

    assert run(True) == run(False)


def test_what_the_norm_of_the_gradient_sums_up():
    """Each forward has its own; a backward that runs twice counts twice; none without a backward."""
    batches = images(2)

    def losses(model):
        return [F.cross_entropy(model(x), y) for x, y in batches]

    model = made(Net)
    with nv.record(model) as alone:
        for loss in losses(model):
            loss.backward()
    model = made(Net)
    with nv.record(model) as together:
        sum(losses(model)).backward()
    model = made(Net)
    with nv.record(model) as again:
        a, _ = losses(model)
        a.backward(retain_graph=True)
        once = again["group"].grad_norm
        (2 * a).backward()
    assert np.array_equal(alone["group"].grad_norm, together["group"].grad_norm)
    assert np.array_equal(once, [alone["group"].grad_norm[0], np.nan], equal_nan=True)
    assert again["group"].grad_norm[0] == pytest.approx(once[0] * np.sqrt(1 + 2**2), rel=1e-6)
    assert np.isnan(again["group"].grad_norm[1])


def test_a_layer_in_eval_mode_of_a_model_that_trains():
    model, x = nn.Sequential(nn.BatchNorm1d(4)), torch.randn(6, 4)
    model[0].eval()
    with nv.record(model) as r:
        model(x)
    assert r["0"].own.tolist() == [False]
    np.testing.assert_allclose(r["0"].mean[0], x.double().mean(0).numpy(), rtol=1e-6)
    assert (r["0"].running_mean == 0).all()


def test_forwards_without_a_gradient_in_train_mode():
    model, batches = made(Net), images(3)
    with nv.record(model) as r, torch.no_grad():
        for x, _ in batches:
            model(x)
    assert r.steps == [0, 1, 2]
    assert np.isnan(r["batch"].grad_norm).all()
    assert np.isfinite(r["batch"].running_var).all()


def test_the_state_of_a_checkpoint_is_loaded_inside_the_block():
    whole, _ = both(Net, NET, images(6))
    model = made(Net)
    optimizer = optimizer_of(model)
    with nv.record(model) as r:
        train(model, images(6)[:3], optimizer)
        kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        train(model, images(6, seed=7)[:2], optimizer)  # a stretch that went wrong
        model.load_state_dict(kept[0])
        optimizer = optimizer_of(model)
        optimizer.load_state_dict(kept[1])
        train(model, images(6)[3:], optimizer)
    assert r.steps == list(range(8))
    for name in NET:
        joined = np.delete(r[name].var, [3, 4], 0), np.delete(r[name].grad_norm, [3, 4])
        assert np.array_equal(joined[0], whole[name].var)
        assert np.array_equal(joined[1], whole[name].grad_norm)


@pytest.mark.parametrize("given", [0, 2])
def test_an_empty_batch(given):
    sizes = [given, 3, 0, 2]
    for norm, count in ((nn.GroupNorm(2, 4), 20), (nn.LayerNorm((4, 5, 4)), 20)):
        with nv.record(norm) as r:
            for n in sizes:
                norm(torch.ones(n, 4, 5, 4) * 3)
        layer = r["(model)"]
        assert layer.samples.tolist() == sizes
        assert layer.called.tolist() == [n > 0 for n in sizes]
        assert layer.count.tolist() == [count * n for n in sizes]
        assert np.array_equal(layer.mean[:, 0], [3 if n else np.nan for n in sizes], equal_nan=True)
        assert layer.shape == (given or 3, 4, 5, 4)
        assert "non-finite" not in {w.code for w in r.warnings}


def test_a_synchronized_batch_norm_of_one_process():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.SyncBatchNorm(8)), torch.randn(6, 4)
    with nv.record(model) as r:
        y = model[0](x)
        model(x)
    assert (r["1"].kind, r["1"].type) == ("batch", "SyncBatchNorm")
    np.testing.assert_allclose(r["1"].mean[0], y.detach().double().mean(0), rtol=1e-6)


def test_lazy_layers_have_their_parameters_after_the_first_forward():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(4))
    with nv.record(model) as r:
        for x in torch.randn(2, 6, 5):
            model(x).square().sum().backward()
    assert (r["1"].type, r["1"].mean.shape) == ("BatchNorm1d", (2, 8))
    assert np.isfinite(r["1"].grad_norm).all()
    assert np.array_equal(r["1"].running_mean[-1], model[1].running_mean.double())


def test_a_parametrized_weight_is_the_one_that_the_forward_uses():
    class Exp(nn.Module):
        def forward(self, x):
            return x.exp()

    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    nn.utils.parametrize.register_parametrization(model[1], "weight", Exp())
    with nv.record(model) as r:
        model(torch.randn(6, 4))
    np.testing.assert_allclose(r["1"].weight[0], np.full(8, np.e), rtol=1e-6)


def test_a_functional_call_is_a_forward_with_the_weights_that_it_is_given():
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    given = {name: p.detach() * 0 + 2 for name, p in model.named_parameters()}
    with nv.record(model) as r:
        torch.func.functional_call(model, given, (torch.randn(6, 4),))
    assert (r["1"].weight == 2).all()
    assert r.steps == [0]


def test_a_scripted_norm_among_others():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = nn.Sequential(nn.Linear(4, 8), torch.jit.script(nn.BatchNorm1d(8)))
    x = torch.randn(6, 4)
    with nv.record(model) as r:
        model(x).square().sum().backward()
    np.testing.assert_allclose(r["1"].mean[0], model[0](x).detach().double().mean(0), rtol=1e-6)
    assert np.isfinite(r["1"].grad_norm).all()


def test_data_parallel_on_the_cpu():
    whole, _ = both(Net, NET, images(3))
    wrapper = nn.DataParallel(made(Net))
    with nv.record(wrapper) as r:
        train(wrapper, images(3))
    assert r.layers == [f"module.{name}" for name in NET]
    for name in NET:
        assert np.array_equal(r[f"module.{name}"].grad_norm, whole[name].grad_norm)


def test_two_recordings_of_one_model_at_once():
    model = made(Net)
    with nv.record(model, every=2) as a, nv.record(model) as b:
        train(model, images(5))
    assert (a.steps, b.steps) == ([0, 2, 4], [0, 1, 2, 3, 4])
    for name in NET:
        assert np.array_equal(a[name].var, b[name].var[::2])
        assert np.array_equal(a[name].grad_norm, b[name].grad_norm[::2])
