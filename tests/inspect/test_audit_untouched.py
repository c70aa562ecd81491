"""After an audit the model, its example and all random states are as before, and no activation is kept."""

import gc
import random
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import normviz as nv
from tests.inspect import audit_models as zoo


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


class Busy(nn.Module):
    """Everything a forward can do to a model, and more."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 8, 3))
        self.hand, self.frozen = zoo.HandBatchNorm(8), nn.BatchNorm2d(8).eval().requires_grad_(False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.last, self.count, self.seen = None, 0, []
        self.fail = False

    def forward(self, x):
        x.mul_(2)  # the example
        self.calls += 1
        self.count += 1
        self.last = x
        self.seen.append(x)
        self.hand.gamma.data.mul_(1.5)
        self.train(not self.training)
        self.train(not self.training)
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        y = self.frozen(self.hand(self.spectral(self.body(x))))
        if self.fail:
            raise RuntimeError("no way")
        return y


def everything(model, example):
    """The state of a model, its example and the process, as values that can be compared."""
    bits = lambda t: None if t is None else (t.dtype, tuple(t.shape), t.detach().clone().numpy().tobytes())  # noqa: E731
    hooks = [n for n in vars(nn.Module()) if "hook" in n]
    return {
        "state": {k: bits(v) for k, v in model.state_dict().items()},
        "ids": [id(t) for t in (*model.parameters(), *model.buffers())],
        "modes": [m.training for m in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grads": [(id(p.grad), bits(p.grad)) for p in model.parameters()],
        "hooks": [[(n, list(getattr(m, n) or ())) for n in hooks] for m in model.modules()],
        "global hooks": [
            {k: list(v)} for k, v in vars(nn.modules.module).items() if k.startswith("_global") and isinstance(v, dict)
        ],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "own": (model.last, model.count, list(model.seen)),
        "example": bits(example),
        "example grad": (example.requires_grad, example.grad),
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
        "settings": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_inference_mode_enabled()),
    }


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("fail", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("what", ["audit", "explore"])
def test_everything_is_as_it_was(mode, fail, what):
    model, x = Busy().train(mode), torch.randn(2, 3, 12, 12)
    model.body[1].eval()
    model.register_forward_hook(lambda *_: None)
    model(x.clone()).sum().backward()
    model.seen.clear()
    if what == "explore":
        found = nv.audit(model, x)
    model.fail = fail
    before = everything(model, x)
    if fail and what == "audit":
        with pytest.raises(ValueError, match="no way"):
            nv.audit(model, x, also=("dead-channel",))
    elif what == "audit":
        nv.audit(model, x, also=("dead-channel",))
    else:
        found.explore("hand")
    after = everything(model, x)
    for key, value in before.items():
        assert after[key] == value, key


def test_this_test_can_fail():
    model, x = Busy(), torch.randn(2, 3, 12, 12)
    before = everything(model, x)
    with torch.no_grad():
        model(x)
    after = everything(model, x)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"state", "ids", "modes", "own", "example", "torch", "numpy", "python"} - {"ids"}


def test_nothing_is_kept_of_the_run():
    alive = []

    class Spy(nn.Module):
        def forward(self, x):
            x = x * 2
            alive.append(weakref.ref(x))
            return x

    model = nn.Sequential(Spy(), nn.GroupNorm(2, 8), Spy(), zoo.RMSNorm(6), Spy(), zoo.PreNormMLP(6), Spy())
    x = torch.randn(2, 8, 6, 6, requires_grad=True)
    found = nv.audit(model, x)
    gc.collect()
    assert len(alive) == 4
    assert [ref() for ref in alive] == [None] * 4
    assert len(found.layers) == 3
    assert x.grad is None
    assert found.explore("1").x.shape == (2, 8, 6, 6)
    gc.collect()
    assert [ref() for ref in alive] == [None] * len(alive)


def test_no_graph_is_made():
    grads = []

    class Spy(nn.Module):
        def forward(self, x):
            grads.append((torch.is_grad_enabled(), x.requires_grad))
            return x

    nv.audit(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), Spy()), torch.randn(2, 3, 6, 6))
    assert grads == [(False, False)]


def test_the_model_is_run_once():
    calls = []
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    nv.audit(model, torch.randn(2, 3, 6, 6))
    assert len(calls) == 1


def test_a_layer_that_writes_into_its_input_is_recognized_all_the_same():
    class InPlace(nn.Module):
        def forward(self, x):
            var, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
            return x.sub_(mean).div_((var + 1e-5).sqrt())

    (layer,) = nv.audit(nn.Sequential(nn.Identity(), InPlace()), zoo.spread(2, 8, 6, 6)).layers
    assert (layer.kind, layer.known_by) == ("instance", "output")


def test_an_audit_within_an_audit_and_inference_mode():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8))
    with torch.inference_mode():
        x = torch.randn(2, 3, 6, 6)
        assert nv.audit(model, x).layers[0].block == (1, 4, 4, 4)
    assert nv.audit(model, x).layers[0].block == (1, 4, 4, 4)


def test_no_output_is_held_while_the_model_goes_on():
    """A whole model may be one long forward that calls functions."""
    alive = []

    class Long(nn.Module):
        def forward(self, x):
            for _ in range(4):
                x = nn.functional.group_norm(x.tanh(), 2)
                alive.append(weakref.ref(x))
            alive[:] = [ref() is not None for ref in alive]
            return x

    assert len(nv.audit(Long(), torch.randn(2, 8, 6, 6)).layers) == 4
    assert alive == [False, False, False, True]
