"""Batch Norm's two modes and running statistics: every bug in a NumPy class and in a torch module, and right ones."""

import copy
import itertools

import numpy as np
import pytest

import normviz as nv

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T = torch.nn

BUGS = (
    "running-biased",
    "momentum-reversed",
    "eval-uses-batch",
    "train-uses-running",
    "running-not-updated",
    "updates-in-eval",
)


class Norm:
    """Batch Norm in NumPy, as a student writes it, with the given bugs."""

    def __init__(self, *bugs, channels=6, momentum=0.1, shape=None):
        self.bugs, self.momentum, self.training = bugs, momentum, True
        self.gamma, self.beta = np.ones(channels), np.zeros(channels)
        self.running_mean, self.running_var = np.zeros(shape or channels), np.ones(shape or channels)

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def __call__(self, x):
        kept = self.running_mean.shape
        mean, var, m = x.mean((0, 2, 3)), x.var((0, 2, 3)), x.size // x.shape[1]
        if (self.training or "updates-in-eval" in self.bugs) and "running-not-updated" not in self.bugs:
            new = 1 - self.momentum if "momentum-reversed" in self.bugs else self.momentum
            of_all = var if "running-biased" in self.bugs else var * m / (m - 1)
            self.running_mean = self.running_mean * (1 - new) + new * mean.reshape(kept)
            self.running_var = self.running_var * (1 - new) + new * of_all.reshape(kept)
        own = self.training != ("eval-uses-batch" in self.bugs and not self.training)
        own = own and "train-uses-running" not in self.bugs
        own = own or ("eval-uses-batch" in self.bugs and not self.training)
        if not own:
            mean, var = self.running_mean.reshape(-1), self.running_var.reshape(-1)
        if "unbiased-variance" in self.bugs and own:
            var = var * m / (m - 1)
        root = np.sqrt(var) + 1e-5 if "eps-outside" in self.bugs else np.sqrt(var + 1e-5)
        hat = (x - mean.reshape(1, -1, 1, 1)) / root.reshape(1, -1, 1, 1)
        return hat * self.gamma.reshape(1, -1, 1, 1) + self.beta.reshape(1, -1, 1, 1)


class Layer(T.Module):
    """The same in PyTorch, written another way."""

    def __init__(self, *bugs):
        super().__init__()
        self.bugs = bugs
        self.weight, self.bias = T.Parameter(torch.ones(6)), T.Parameter(torch.zeros(6))
        self.register_buffer("moving_mean", torch.zeros(6))
        self.register_buffer("moving_variance", torch.ones(6))

    def forward(self, x):
        dims = [d for d in range(x.dim()) if d != 1]
        var, mean = torch.var_mean(x, dims, correction=0)
        use_batch = self.training
        if "train-uses-running" in self.bugs:
            use_batch = False
        if "eval-uses-batch" in self.bugs and not self.training:
            use_batch = True
        rate = 0.9 if "momentum-reversed" in self.bugs else 0.1
        update = self.training or "updates-in-eval" in self.bugs
        if update and "running-not-updated" not in self.bugs:
            correction = 0 if "running-biased" in self.bugs else 1
            with torch.no_grad():
                self.moving_mean.lerp_(mean, rate)
                self.moving_variance.lerp_(x.var(dims, correction=correction), rate)
        if not use_batch:
            mean, var = self.moving_mean, self.moving_variance
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        hat = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
        return hat * self.weight.view(shape) + self.bias.view(shape)


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("make", [Norm, Layer])
def test_each_bug(make, bug):
    verdict = nv.check(make(bug), "batch")
    assert verdict.codes == (bug,), str(verdict)


@pytest.mark.parametrize("make", [Norm, Layer])
def test_the_healthy_twins_pass(make):
    assert nv.check(make(), "batch").passed


HIDDEN = {  # the one makes the other invisible
    frozenset(pair)
    for pair in (
        ("running-not-updated", "running-biased"),
        ("running-not-updated", "momentum-reversed"),
        ("running-not-updated", "updates-in-eval"),
    )
}


@pytest.mark.parametrize(
    "pair", [p for p in itertools.combinations(BUGS, 2) if frozenset(p) not in HIDDEN], ids=" + ".join
)
def test_pairs(pair):
    verdict = nv.check(Norm(*pair), "batch")
    assert {*verdict.codes} == {*pair}, str(verdict)


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("other", ["unbiased-variance", "eps-outside"])
def test_pairs_with_a_bug_of_the_output(bug, other):
    if (bug, other) == ("train-uses-running", "unbiased-variance"):
        return  # what is not used leaves no trace
    verdict = nv.check(Norm(bug, other), "batch")
    assert {*verdict.codes} == {bug, other}, str(verdict)


HEALTHY = [
    T.BatchNorm2d(6),
    T.BatchNorm2d(6, momentum=0.9),
    T.BatchNorm2d(6, momentum=0.5),
    T.BatchNorm2d(6, momentum=None),
    T.BatchNorm2d(6, affine=False),
    T.BatchNorm2d(6, track_running_stats=False),
    T.BatchNorm2d(6).eval(),
    T.BatchNorm2d(6).double(),
    T.BatchNorm2d(6).half(),
    T.BatchNorm2d(6, momentum=0.7599).bfloat16(),
    T.BatchNorm1d(7),
    T.BatchNorm3d(4),
    T.Sequential(T.BatchNorm2d(5)),
    Norm(momentum=0.01),
    Norm(shape=(1, 6, 1, 1)),
]


@pytest.mark.parametrize("layer", HEALTHY, ids=[f"{i} {type(layer).__name__}" for i, layer in enumerate(HEALTHY)])
def test_healthy_layers_pass_and_stay_as_they_were(layer):
    before = copy.deepcopy(vars(layer))
    state = None if isinstance(layer, Norm) else copy.deepcopy(layer.state_dict())
    chance = torch.get_rng_state()
    verdict = nv.check(layer, "batch")
    assert verdict.passed, str(verdict)
    assert torch.equal(chance, torch.get_rng_state())
    assert layer.training == before["training"]
    if state is None:
        for name, value in before.items():
            np.testing.assert_array_equal(getattr(layer, name), value)
    else:
        for name, value in layer.state_dict().items():
            assert torch.equal(value, state[name]), name
        assert all(p.grad is None for p in layer.parameters())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
def test_a_nested_tensor_in_the_layer_has_no_shape_to_follow(layout):
    layer = torch.nn.BatchNorm2d(6)
    layer.lengths = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)
    verdict = nv.check(layer, "batch")
    assert verdict.passed
    assert 6 in verdict.shape


def test_momentum_is_compared_with_the_requested_one():
    assert nv.check(T.BatchNorm2d(6, momentum=0.2), "batch", momentum=0.2).passed
    verdict = nv.check(T.BatchNorm2d(6, momentum=0.2), "batch", momentum=0.1)
    assert verdict.codes == ("state",)
    assert "a share of 0.2, not 0.1" in verdict.findings[0].message
    assert nv.check(T.BatchNorm2d(6, momentum=0.9), "batch", momentum=0.1).codes == ("momentum-reversed",)


def test_the_numbers_are_those_of_a_channel():
    finding = nv.check(Norm("running-biased"), "batch").findings[0]
    assert len(finding.cell) == 1
    assert finding.expected > finding.seen > 0


def test_names_can_be_given():
    class Other:
        """Keeps its statistics under unusual names."""

        def __init__(self):
            self.inner_mean_so_far, self.inner_var_so_far, self.learning = np.zeros(4), np.ones(4), True

        def train(self):
            self.learning = True

        def eval(self):
            self.learning = False

        def __call__(self, x):
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            if self.learning:
                self.inner_mean_so_far = 0.9 * self.inner_mean_so_far + 0.1 * mean
                self.inner_var_so_far = 0.9 * self.inner_var_so_far + 0.1 * var
            else:
                mean, var = self.inner_mean_so_far, self.inner_var_so_far
            return (x - mean.reshape(1, -1, 1, 1)) / np.sqrt(var.reshape(1, -1, 1, 1) + 1e-5)

    shape = (3, 4, 5, 3)
    unseen = nv.check(Other(), "batch", shape=shape)
    assert unseen.passed
    assert "running statistics" in unseen.skipped
    named = nv.check(Other(), "batch", shape=shape, running=("inner_mean_so_far", "inner_var_so_far"))
    assert named.codes == ("running-biased",)


def test_a_running_variance_that_is_neither_biased_nor_unbiased():
    class Root(Norm):
        """Averages standard deviations."""

        def __call__(self, x):
            before = self.running_var
            y = super().__call__(x)
            if self.training:
                self.running_var = (0.9 * np.sqrt(before) + 0.1 * x.std((0, 2, 3))) ** 2
            return y

    verdict = nv.check(Root(), "batch")
    assert verdict.codes == ("state",)
    assert "which dividing by |S| - 1 or by |S| does not explain" in verdict.findings[0].message

    class Kept(Norm):
        """Keeps the standard deviation under the name of the variance."""

        def __call__(self, x):
            before = self.running_var
            y = super().__call__(x)
            if self.training:
                self.running_var = 0.9 * before + 0.1 * x.std((0, 2, 3))
            return y

    message = nv.check(Kept(), "batch").findings[0].message
    assert "fn stores standard deviations in running_var, not variances." in message


def test_running_statistics_that_vanish():
    class Forgetful(Norm):
        def __call__(self, x):
            y = super().__call__(x)
            self.running_mean = None
            return y

    verdict = nv.check(Forgetful(), "batch")
    assert verdict.codes == ("raises",)
    assert verdict.findings[0].message == "fn leaves no numbers in running_mean and running_var once it is called."
