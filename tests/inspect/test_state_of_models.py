"""A probe leaves everything as it was found, also when the function raises."""

import copy
import random
import warnings

import numpy as np
import pytest

import normviz as nv
from normviz.inspect._snapshot import Snapshot, restore_after

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T = torch.nn


def bits(value):
    """Everything about a module that can be compared, tensors as bytes and objects by identity."""
    seen = {}
    for name, module in value.named_modules():
        own = {k: v for k, v in vars(module).items() if not isinstance(v, dict)}
        hooks = {k: list(v.items()) for k, v in vars(module).items() if isinstance(v, dict) and "hook" in k}
        seen[name] = (type(module), module.training, own, hooks, list(module._modules))
    for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
        grad = tensor.grad
        whole = None if grad is None else (id(grad), grad.numpy().tobytes())
        seen["tensor " + name] = (id(tensor), tensor.detach().numpy().tobytes(), tensor.requires_grad, whole)
    return seen


def randomness():
    state = np.random.get_state()  # noqa: NPY002
    return random.getstate(), state[1].tobytes(), state[2:], torch.get_rng_state().numpy().tobytes()


def model():
    """One of everything: running statistics, dropout, modes, hooks, gradients, frozen and parametrized weights."""
    net = T.Sequential(
        T.BatchNorm2d(8, momentum=0.7),
        T.Sequential(T.GroupNorm(4, 8), T.Dropout(0.3)),
        torch.nn.utils.parametrizations.spectral_norm(T.Conv2d(8, 8, 1)),
        T.BatchNorm2d(8).eval(),
    )
    net[0].weight.requires_grad_(False)
    net[1].register_forward_hook(lambda *_: None)
    net(torch.randn(2, 8, 3, 3)).sum().backward()
    net[3].running_mean.fill_(float("nan"))
    net[3].bias.grad = None
    return net


class Meddler(T.Module):
    """Changes all that it can while it runs."""

    def __init__(self, inner, fails=False):
        super().__init__()
        self.inner, self.fails, self.seen, self.count = inner, fails, [], 0
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.count += 1
        self.seen.append(x)
        self.total += 1
        self.cache = x
        self.inner.train(self.count % 2 == 0)
        with torch.no_grad():
            for p in self.inner.parameters():
                p.add_(1)
                p.requires_grad_(not p.requires_grad)
                p.grad = torch.ones_like(p)
        self.inner.register_forward_hook(lambda *_: None)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(True)
        random.random()
        np.random.normal()  # noqa: NPY002
        torch.rand(2)
        if self.fails:
            raise RuntimeError("no")
        return x - x.mean((2, 3), keepdim=True)


@pytest.fixture(autouse=True)
def _settings():
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def unchanged(fn, module, error=None):
    torch.manual_seed(11)
    before, numbers = bits(module), randomness()
    if error:
        with pytest.raises(error):
            nv.probe(fn)
    else:
        nv.probe(fn)
    assert repr(bits(module)) == repr(before)
    assert randomness() == numbers
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_a_model_is_left_as_it_was():
    net = model()
    unchanged(net, net)


@pytest.mark.parametrize("reach", ["function", "method", "default", "nested"])
def test_a_model_behind_a_function_is_left_as_it_was(reach):
    net = model()

    def inner(x, layer=net):
        return layer(x)

    ways = {
        "function": lambda x: net(x),
        "method": net.forward,
        "default": inner,
        "nested": lambda x: (lambda y: net(y))(x),
    }
    unchanged(ways[reach], net)


@pytest.mark.parametrize("fails", [False, True])
def test_a_meddler_changes_nothing(fails):
    meddler = Meddler(model(), fails)
    unchanged(meddler, meddler, ValueError if fails else None)
    assert (meddler.seen, meddler.count) == ([], 0)
    assert not hasattr(meddler, "cache")


def test_this_test_can_fail():
    net = model()
    before = bits(net)
    net(torch.randn(2, 8, 3, 3))
    assert repr(bits(net)) != repr(before)


class Student:
    """Batch Norm as students write it, with numbers of its own and a generator of its own."""

    decay = np.array([0.9])

    def __init__(self):
        self.mean, self.var, self.steps, self.cache = np.zeros(8), np.ones(8), 0, None
        self.history, self.by_name = [], {"last": np.zeros(3)}
        self.rng = np.random.default_rng(3)
        self.training = True

    def __call__(self, x):
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        self.mean *= self.decay
        self.mean += 0.1 * mean
        self.var = 0.9 * self.var + 0.1 * var
        self.steps += 1
        self.decay[:] = 0.5
        self.history.append(mean)
        self.by_name["last"] = mean
        self.by_name["new"] = 1
        self.training = False
        self.rng.normal()
        self.cache = x
        return (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)


def test_a_students_object_is_left_as_it_was():
    student = Student()
    before, mean = copy.deepcopy(vars(student)), student.mean
    assert nv.probe(student).method == "batch"
    assert student.mean is mean
    assert repr(vars(student) | {"rng": 0}) == repr(before | {"rng": 0})
    assert student.rng.bit_generator.state == before["rng"].bit_generator.state
    assert Student.decay.tolist() == [0.9]


def test_arrays_in_the_variables_around_a_function_are_put_back_and_records_are_kept():
    running, state, calls = np.zeros(8), {"mean": np.zeros(8)}, []

    def fn(x):
        nonlocal running
        calls.append(1)
        running = running + x.mean((0, 2, 3))
        state["mean"] = running
        return (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)

    first = running
    found = nv.probe(fn)
    assert running is first
    assert not running.any()
    assert not state["mean"].any()
    assert found.calls == len(calls)


def test_each_call_starts_from_the_same_state():
    """A function that drifts from call to call shows one face."""
    total = np.zeros(1)

    def fn(x):
        total[0] += 1
        return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5) * total

    found = nv.probe(fn)
    assert (found.method, found.affine, found.stochastic) == ("instance", "none", False)
    assert total == 0


def test_flax_modules_are_left_as_they_were():
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    keys = nnx.Rngs(0)
    net = nnx.Sequential(nnx.BatchNorm(8, rngs=keys), nnx.Dropout(0.5, rngs=keys))

    def state():
        import jax

        leaves = jax.tree.leaves(nnx.state(net))
        return [np.asarray(jax.random.key_data(v) if "key" in str(v.dtype) else v).tobytes() for v in leaves]

    before = state()
    assert nv.probe(net, (4, 6, 6, 8), channel_axis=-1).stochastic
    assert state() == before
    net(np.ones((4, 6, 6, 8), "f4"))
    assert state() != before


def test_the_same_seed_gives_the_same_probe_whatever_was_drawn_before():
    drawn = []

    def fn(x):
        drawn.append((random.random(), np.random.normal(), float(torch.rand(1))))  # noqa: NPY002
        return x

    records = []
    for before, seed in ((1, 5), (2, 5), (2, 6)):
        random.seed(before)
        np.random.seed(before)  # noqa: NPY002
        torch.manual_seed(before)
        nv.probe(fn, seed=seed)
        records.append(list(drawn))
        drawn.clear()
    assert records[0] == records[1] != records[2]


def test_a_generator_of_its_own_goes_back_to_where_it_was():
    generator = torch.Generator().manual_seed(1)
    python, old = random.Random(1), np.random.RandomState(1)
    before = generator.get_state().clone(), python.getstate(), old.get_state()[1].tobytes()

    def fn(x):
        python.random()
        old.normal()
        return x + torch.rand(x.shape, generator=generator, dtype=x.dtype)

    assert nv.probe(fn).stochastic
    assert torch.equal(generator.get_state(), before[0])
    assert (python.getstate(), old.get_state()[1].tobytes()) == before[1:]


def test_a_lazy_layer_is_asked_for_a_first_call():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions say that lazy layers are new
        layer = T.LazyBatchNorm2d()
    with pytest.raises(ValueError, match=r"^fn is a lazy layer that has no parameters yet; call it once"):
        nv.probe(layer)


def test_what_holds_itself_is_walked_once():
    ring = {}
    ring["self"] = [ring]
    with restore_after(lambda: ring) as found:
        assert any(value is ring for value in found.objects)


def test_random_numbers_can_go_on():
    rng = np.random.default_rng(0)
    found = Snapshot(lambda: rng)
    first = rng.normal()
    found.restore(randomness=False)
    assert rng.normal() != first
    found.restore()
    assert rng.normal() == first
