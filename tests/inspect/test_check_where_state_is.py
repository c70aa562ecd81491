"""Running statistics and modes wherever a Batch Norm keeps them, each right and with every bug that shows there."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

import normviz as nv

SHAPE = (3, 5, 4, 2)
BUGS = (
    "running-biased",
    "momentum-reversed",
    "eval-uses-batch",
    "train-uses-running",
    "running-not-updated",
    "updates-in-eval",
)


def run(x, bug, training, mean, var):
    """Batch Norm of x; return y, and the running mean and variance, with a bug."""
    own, m = (x.mean((0, 2, 3)), x.var((0, 2, 3))), x.size // x.shape[1]
    used = own if (training or bug == "eval-uses-batch") and bug != "train-uses-running" else (mean, var)
    y = (x - used[0][:, None, None]) / np.sqrt(used[1] + 1e-5)[:, None, None]
    if (training or bug == "updates-in-eval") and bug != "running-not-updated":
        share, divisor = 0.9 if bug == "momentum-reversed" else 0.1, 1 if bug == "running-biased" else m / (m - 1)
        mean, var = (1 - share) * mean + share * own[0], (1 - share) * var + share * divisor * own[1]
    return y, mean, var


def zeros():
    return np.zeros(SHAPE[1]), np.ones(SHAPE[1])


class Layer:
    """Calls `run` with what `read` gives, and hands the new numbers to `write`."""

    def __init__(self, bug, **state):
        self.bug = bug
        vars(self).update(state)

    def __call__(self, x):
        y, *new = run(x, self.bug, self.learns(), *self.read())
        self.write(*new)
        return y

    def learns(self):
        return self.bn_param["mode"] == "train"

    def read(self):
        return zeros()

    def write(self, mean, var):
        pass


class Dict(Layer):
    """As cs231n has it: nothing is there before the first call."""

    def read(self):
        return self.bn_param.get("running_mean", zeros()[0]), self.bn_param.get("running_var", zeros()[1])

    def write(self, mean, var):
        self.bn_param["running_mean"], self.bn_param["running_var"] = mean, var


class Buffers(Layer):
    def learns(self):
        return self.config["is_training"]

    def read(self):
        return self.buffers["bn"]["mean"], self.buffers["bn"]["var"]

    def write(self, mean, var):
        self.buffers["bn"].update(mean=mean, var=var)


class Object(Layer):
    def learns(self):
        return not self.inference

    def read(self):
        return self.state.running_mean, self.state.running_var

    def write(self, mean, var):
        self.state.running_mean, self.state.running_var = mean, var


class Lists(Layer):
    """Two layers, of which the second one is called, with a text for the mode."""

    def learns(self):
        return self.mode != "eval"

    def read(self):
        return self.running_means[1], self.running_vars[1]

    def write(self, mean, var):
        self.running_means[1], self.running_vars[1] = mean, var


class Slots(Layer):
    """Has no dict of attributes."""

    __slots__ = ("bug", "mean_running", "train", "var_running")

    def __init__(self, bug):
        self.bug, self.train = bug, True
        self.mean_running, self.var_running = zeros()

    def learns(self):
        return self.train

    def read(self):
        return self.mean_running, self.var_running

    def write(self, mean, var):
        self.mean_running, self.var_running = mean, var


class Layers(Layer):
    """A dict for each layer, as a checkpoint names its entries."""

    def learns(self):
        return not self.testing

    def read(self):
        return self.layers[1]["bn2.running_mean"], self.layers[1]["bn2.running_var"]

    def write(self, mean, var):
        self.layers[1].update({"bn2.running_mean": mean, "bn2.running_var": var})


@dataclass
class Kept:
    running_mean: np.ndarray = field(default_factory=lambda: zeros()[0])
    running_var: np.ndarray = field(default_factory=lambda: zeros()[1])


def closure_of_a_dict(bug):
    kept = {"mode": "train", "moving_mean": zeros()[0], "moving_var": zeros()[1]}

    def fn(x):
        y, kept["moving_mean"], kept["moving_var"] = run(
            x, bug, kept["mode"] == "train", kept["moving_mean"], kept["moving_var"]
        )
        return y

    return fn


def closure_of_variables(bug):
    running_mean, running_var = zeros()

    def fn(x, train=True):
        nonlocal running_mean, running_var
        y, running_mean, running_var = run(x, bug, train, running_mean, running_var)
        return y

    return fn


def in_place(bug):
    def fn(x, running_mean, running_var, mode, momentum=0.1):
        y, running_mean[:], running_var[:] = run(x, bug, mode == "training", running_mean, running_var)
        return y

    return fn


def handed_back(bug):
    return lambda x, running_mean, running_var, training: run(x, bug, training, running_mean, running_var)


def state_handed_back(bug):
    def fn(x, state, use_running_average):
        y, mean, var = run(x, bug, not use_running_average, state["mean"], state["var"])
        return y, {"mean": mean, "var": var}

    return fn


def bn_param(bug):
    def fn(x, bn_param):
        mean, var = bn_param.get("running_mean", zeros()[0]), bn_param.get("running_var", zeros()[1])
        y, bn_param["running_mean"], bn_param["running_var"] = run(x, bug, bn_param["mode"] == "train", mean, var)
        return y, (x, mean)

    return fn


PLACES = {
    "dict": lambda bug: Dict(bug, bn_param={"mode": "train"}),
    "dict in test mode": lambda bug: Dict(bug, bn_param={"mode": "test"}),
    "nested dict": lambda bug: Buffers(
        bug, config={"is_training": True}, buffers={"bn": dict(zip(("mean", "var"), zeros(), strict=True))}
    ),
    "namespace": lambda bug: Object(
        bug, inference=False, state=SimpleNamespace(running_mean=zeros()[0], running_var=zeros()[1])
    ),
    "dataclass": lambda bug: Object(bug, inference=True, state=Kept()),
    "lists": lambda bug: Lists(
        bug, mode="train", running_means=[np.zeros(3), zeros()[0]], running_vars=[np.ones(3), zeros()[1]]
    ),
    "slots": Slots,
    "layers": lambda bug: Layers(
        bug,
        testing=True,
        layers=[{}, dict(zip(("bn2.running_mean", "bn2.running_var"), zeros(), strict=True))],
    ),
    "closure of a dict": closure_of_a_dict,
    "closure of variables": closure_of_variables,
    "arguments, in place": in_place,
    "arguments, handed back": handed_back,
    "a state, handed back": state_handed_back,
    "bn_param": bn_param,
}


@pytest.mark.parametrize("place", PLACES)
def test_right_ones_pass(place):
    verdict = nv.check(PLACES[place](None), "batch", shape=SHAPE)
    assert verdict.passed, str(verdict)
    assert "running statistics" not in verdict.skipped


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("bug", BUGS)
def test_each_bug(place, bug):
    if (place, bug) == ("closure of a dict", "train-uses-running"):
        return  # for a function that refers to a layer, the layer is in eval mode
    verdict = nv.check(PLACES[place](bug), "batch", shape=SHAPE)
    assert verdict.codes == (bug,), str(verdict)
    assert verdict.findings[0].expected != verdict.findings[0].seen


@pytest.mark.parametrize("place", ["dict", "nested dict", "dataclass", "lists"])
def test_everything_is_as_it_was(place):
    layer = PLACES[place](None)
    before = repr(vars(layer))
    assert nv.check(layer, "batch", shape=SHAPE).passed
    assert repr(vars(layer)) == before
    fn = closure_of_a_dict(None)
    kept = repr(fn.__closure__[1].cell_contents)
    assert nv.check(fn, "batch", shape=SHAPE).passed
    assert repr(fn.__closure__[1].cell_contents) == kept


def without_state(x):
    return nv.normalize(x, "batch")


UNUSABLE = [
    (
        PLACES["nested dict"](None),
        {"running": ("foo", "bar")},
        "running=('foo', 'bar'): fn keeps no such arrays in an attribute, a dict, a variable around it or an argument; "
        "did you mean ('mean', 'var')? (it keeps mean, var)",
    ),
    (
        Layer(None, running_men=zeros()[0], running_variants=zeros()[1], bn_param={"mode": "train"}),
        {"running": ("running_mean", "running_var")},
        "running=('running_mean', 'running_var'): fn keeps no such arrays in an attribute, a dict, a variable around "
        "it or an argument; did you mean ('running_men', 'running_variants')? (it keeps running_men, running_variants)",
    ),
    (
        Layer(None, a=np.zeros(3), b=np.zeros(7), bn_param={"mode": "train"}),
        {"running": ("a", "b")},
        "running=('a', 'b'): a and b do not hold one number for each of the channels",
    ),
    (
        without_state,
        {"running": ("a", "b"), "momentum": 0.1},
        "running=('a', 'b'): fn keeps no such arrays in an attribute, a dict, a variable around it or an argument (it "
        "keeps no arrays)",
    ),
    (
        without_state,
        {"momentum": 0.1},
        "momentum=0.1: fn has no running statistics that check can read; give running=(mean, var), or leave momentum "
        "out (it keeps no arrays)",
    ),
]


@pytest.mark.parametrize(("fn", "options", "said"), UNUSABLE)
def test_names_and_shares_that_cannot_be_used(fn, options, said):
    with pytest.raises(ValueError, match=r"^(running|momentum)=") as caught:
        nv.check(fn, "batch", shape=SHAPE, **options)
    assert str(caught.value) == said
    with pytest.raises(ValueError, match=r"means nothing to method 'layer', only to 'batch'; leave it out$"):
        nv.check(without_state, "layer", **options)


def test_plain_lists():
    class Numbers(Slots):
        def read(self):
            return np.array(self.mean_running), np.array(self.var_running)

        def write(self, mean, var):
            self.mean_running, self.var_running = mean.tolist(), var.tolist()

    layer = Numbers("running-biased")
    layer.write(*zeros())
    assert nv.check(layer, "batch").codes == ("running-biased",)
    assert layer.mean_running == [0.0] * SHAPE[1]


def test_names_and_shares_that_can():
    assert nv.check(PLACES["lists"](None), "batch", shape=SHAPE, running=("running_means", "running_vars")).passed
    assert nv.check(PLACES["bn_param"](None), "batch", shape=SHAPE, momentum=0.1).passed
    assert nv.check(PLACES["bn_param"](None), "batch", shape=SHAPE, momentum=0.2).codes == ("state",)
    assert nv.check(PLACES["nested dict"](None), "batch", shape=SHAPE, momentum=0.9).codes == ("momentum-reversed",)


def test_a_function_may_leave_the_update_to_its_caller():
    def fn(x, running_mean, running_var, training=False):
        return run(x, None, training, running_mean, running_var)[0]

    def returns_those_of_the_batch(x, running_mean, running_var, training=False):
        return fn(x, running_mean, running_var, training), x.mean((0, 2, 3)), x.var((0, 2, 3))

    def forgets(x, running_mean, running_var, training=False):
        y, running_mean, running_var = run(x, None, training, running_mean, running_var)
        return y

    for left in (fn, returns_those_of_the_batch):
        verdict = nv.check(left, "batch", shape=SHAPE)
        assert verdict.passed, str(verdict)
        assert "its caller " in verdict.skipped["how running statistics are updated"]
    assert nv.check(forgets, "batch", shape=SHAPE).codes == ("running-not-updated",)


@pytest.mark.parametrize("share_of", ["new", "old"])
def test_a_momentum_that_check_hands_over_may_be_either_share(share_of):
    def fn(x, bn_param):
        share = bn_param["momentum"] if share_of == "new" else 1 - bn_param["momentum"]
        mean, var, m = x.mean((0, 2, 3)), x.var((0, 2, 3)), x.size // x.shape[1]
        if bn_param["mode"] == "train":
            for name, new in (("running_mean", mean), ("running_var", var * m / (m - 1))):
                bn_param[name] = (1 - share) * bn_param[name] + share * new
        else:
            mean, var = bn_param["running_mean"], bn_param["running_var"]
        return (x - mean[:, None, None]) / np.sqrt(var + bn_param["eps"])[:, None, None]

    verdict = nv.check(fn, "batch", shape=SHAPE)
    assert verdict.passed, str(verdict)
    assert verdict.notes[0].startswith("check passed bn_param with mode, running_mean, running_var, ")


def test_what_is_not_looked_at_is_said():
    class Odd(Layer):
        """Keeps them under names that nobody knows."""

        def learns(self):
            return self.on

        def read(self):
            return self.memory["a"], self.memory["b"]

        def write(self, mean, var):
            self.memory |= {"a": mean, "b": var}

    layer = Odd("momentum-reversed", on=True, memory=dict(zip("ab", zeros(), strict=True)))
    verdict = nv.check(layer, "batch", shape=SHAPE)
    assert verdict.passed
    assert "Not checked: running statistics (not found under the usual names; give running=" in str(verdict)
    assert nv.check(layer, "batch", shape=SHAPE, running=("a", "b")).codes == ("momentum-reversed",)


def test_statistics_of_the_last_batch_are_no_running_ones():
    class Caches(Layer):
        """Keeps what its backward needs."""

        def __call__(self, x):
            self.mean, self.var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            return run(x, None, True, self.mean, self.var)[0]

    layer = Caches(None)
    layer(np.random.default_rng(0).normal(size=SHAPE))
    for one in (layer, Caches(None)):
        verdict = nv.check(one, "batch", shape=SHAPE)
        assert verdict.passed, str(verdict)
        assert verdict.skipped["running statistics"].startswith("mean and var do not carry over")


def test_instance_norm_with_running_statistics():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    verdict = nv.check(torch.nn.InstanceNorm2d(4, track_running_stats=True), "instance")
    assert verdict.passed
    assert verdict.skipped["running statistics"] == "check compares those of 'batch' alone"
    assert "running statistics" not in nv.check(torch.nn.InstanceNorm2d(4), "instance").skipped
