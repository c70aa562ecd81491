"""Models that deserve a warning, and near misses that don't: (model, example, options) by code."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.inspect import audit_models as zoo
from tests.inspect.audit_models import spread


class Call(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def trained(model, *shape, steps=60):
    """Let the running statistics settle on batches of noise."""
    with torch.no_grad():
        for i in range(steps):
            model.train()(spread(*shape, seed=i))
    return model


def bn(c=8, mean=0.0, var=1.0, **options):
    module = nn.BatchNorm2d(c, **options)
    if module.track_running_stats:
        module.running_mean += mean
        module.running_var *= var
    return module


def nan_at(module, name, value=math.nan):
    getattr(module, name).data[0] = value
    return module


def outlier(value):
    """Tokens in half precision with one channel that outshines the others."""
    x = spread(2, 9, 64)
    x[:, :, 5] = value
    return x.half()


def constant(module, value):
    module.weight.data.fill_(value)
    return module


def drawn(module, mean=0.1, std=0.1, std_of_bias=0.1):
    nn.init.normal_(module.weight, mean, std)
    nn.init.normal_(module.bias, 0.0, std_of_bias)
    return module


def counted(module, updates):
    module.num_batches_tracked.fill_(updates)
    return module


def half_frozen(module, name):
    getattr(module, name).requires_grad_(False)
    return module


def overflowing(x):
    return (x * 300).half().pow(2).float()


def dead(x, channel=3, value=0.7):
    return torch.cat([x[:, :channel], torch.full_like(x[:, :1], value), x[:, channel + 1 :]], 1)


def weighted(module, values):
    module.weight.data.copy_(torch.tensor(values))
    return module


def biased(module):
    module.bias.data += torch.arange(float(module.bias.numel()))
    return module


def zeroed(module, name):
    nn.init.zeros_(module.get_parameter(name))
    return module


def untracked(module):
    """In train mode it leaves its running statistics alone, though it has some."""
    module.track_running_stats = False
    return module


def in_float32(x):
    return (x.float() * x.float().square().mean(-1, keepdim=True).rsqrt()).to(x.dtype)


torch.manual_seed(0)  # the models are made on import
X, BIG, MAPS = spread(2, 8, 6, 6), spread(8, 8, 16, 16), spread(4, 8, 2, 2)
ZEROS, ONES = torch.zeros(8), torch.ones(8)
POOL = nn.AdaptiveAvgPool2d(1)
SEQ = nn.Sequential

FIRES = {
    "one-value-per-set": [
        (SEQ(POOL, nn.GroupNorm(8, 8)), X, {"ignore": "accidental-instance"}),
        (SEQ(POOL, nn.GroupNorm(8, 8)), X[:1], {"ignore": "accidental-instance"}),  # which torch refuses
        (SEQ(POOL, nn.InstanceNorm2d(8)), X, {}),  # which torch refuses
        (SEQ(nn.Conv2d(8, 1, 1), nn.Flatten(2), nn.Flatten(0, 1), Call(lambda x: x[:, :1]), nn.LayerNorm(1)), X, {}),
        (SEQ(POOL, bn()), X[:1], {}),  # which torch refuses
        (SEQ(POOL, bn(track_running_stats=False)).eval(), X[:1], {}),  # which torch refuses
        (SEQ(POOL, bn()).eval(), X, {"training_batch": 1, "ignore": "small-batch"}),
        (SEQ(POOL, Call(lambda x: F.group_norm(x, 8))), X, {"ignore": "accidental-instance"}),
    ],
    "small-set": [
        (SEQ(nn.InstanceNorm2d(8)), MAPS, {}),
        (SEQ(nn.GroupNorm(4, 8), nn.ReLU(), POOL, nn.GroupNorm(4, 8)), X, {}),
        (SEQ(nn.LayerNorm(4)), spread(2, 9, 4), {}),
        (SEQ(nn.RMSNorm(7)), spread(2, 9, 7), {}),
        (SEQ(Call(lambda x: x / (x.square().mean((2, 3), keepdim=True) + 1e-6).sqrt())), spread(4, 8, 2, 2), {}),
    ],
    "accidental-instance": [
        (SEQ(nn.GroupNorm(8, 8)), X, {}),
        (SEQ(Call(lambda x: F.group_norm(x, 8))), X, {}),
        (SEQ(zoo.HandGroupNorm(8, 8)), X, {}),
        (SEQ(nn.GroupNorm(8, 8), nn.Conv2d(8, 16, 3), nn.GroupNorm(8, 16)), X, {}),  # the model's G, at its narrowest
    ],
    "small-batch": [
        (SEQ(bn(), nn.ReLU(), bn()), X, {"training_batch": 2}),
        (zoo.ResNet().eval(), torch.randn(2, 3, 64, 64), {"training_batch": 4}),
        (SEQ(nn.Flatten(), nn.BatchNorm1d(288)).eval(), X, {"training_batch": 8}),
        (SEQ(bn()), torch.randn(2, 8, 64, 64), {"training_batch": 7}),  # however large the maps
        (SEQ(zoo.HandBatchNorm(8)), X, {"training_batch": 4}),
    ],
    "non-finite": [
        (SEQ(nn.GroupNorm(2, 8), Call(lambda x: x / 0), nn.GroupNorm(2, 8)), X, {}),
        (SEQ(Call(overflowing), nn.GroupNorm(2, 8), nn.GroupNorm(4, 8)), X, {}),
        (SEQ(nan_at(bn(), "running_var")), X, {}),
        (SEQ(nan_at(nn.GroupNorm(2, 8), "weight")), X, {}),
        (SEQ(nan_at(zoo.EvoNorm2dS0(2, 8), "gamma")), X, {}),
        (SEQ(nan_at(bn(), "running_mean")).eval(), X, {}),
        (SEQ(nan_at(zoo.HandBatchNorm(8), "running_var", math.inf)).eval(), X, {}),
        (SEQ(nan_at(zoo.HandBatchNorm(8), "running_var")).eval(), X, {}),
        (SEQ(nan_at(zoo.FrozenBatchNorm2d(8), "running_var")), X, {}),
        (SEQ(nan_at(nn.InstanceNorm2d(8, track_running_stats=True), "running_mean")).eval(), X, {}),
        (SEQ(Call(lambda x: (x - x.mean(1, keepdim=True)) / x.var(1, keepdim=True).sqrt())), (30000 * X).half(), {}),
        (SEQ(nn.RMSNorm(6, eps=0.0)), torch.zeros(2, 8, 6), {"ignore": "small-set"}),
    ],
    "constant-output": [
        (SEQ(zoo.RMSNorm(64)).half(), outlier(3000.0), {}),
        (SEQ(zoo.SquaredLayerNorm(64)).half(), outlier(-500.0), {}),
        (SEQ(zoo.HandGroupNorm(2, 8)).half(), (300 * X).half(), {}),
        (SEQ(zoo.HandGroupNorm(2, 8, nn.ReLU())).half(), (2000 * X).half(), {}),
        (SEQ(Call(lambda x: x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt())), 1e25 * X, {}),
        (
            SEQ(Call(lambda x: (x - x.mean(0)) / ((x - x.mean(0)) ** 2).mean(0).sqrt())),
            (2000 * spread(16, 8)).half(),
            {},
        ),
        (SEQ(nn.LayerNorm(16, eps=1e5)), spread(2, 9, 16), {}),
        (SEQ(zoo.RMSNorm(16, eps=1e4)), spread(2, 9, 16), {}),
        (SEQ(nn.Conv2d(8, 8, 3), constant(nn.GroupNorm(2, 8), 0.0)), X, {}),
        (SEQ(weighted(nn.GroupNorm(2, 8), [*range(8)]), nn.ReLU(), constant(nn.GroupNorm(4, 8), 0.0)), X, {}),
        (SEQ(zoo.HandBatchNorm(8), nn.ReLU(), zeroed(zoo.HandBatchNorm(8), "gamma")), X, {}),
    ],
    "groups-do-not-divide": [
        (SEQ(nn.GroupNorm(4, 8)), spread(2, 6, 6, 6), {}),  # which torch refuses
        (SEQ(Call(lambda x: F.group_norm(x, 3)), nn.ReLU()), X, {}),  # which torch refuses
        (SEQ(zoo.HandGroupNorm(4, 10)), spread(2, 10, 6, 6), {}),
        (SEQ(zoo.HandGroupNorm(4, 10, nn.ReLU())), spread(2, 10, 12, 12), {}),
    ],
    "dead-channel": [
        (SEQ(Call(dead), nn.GroupNorm(2, 8)), X, {}),
        (SEQ(Call(lambda x: dead(x, 0, 0.0)), bn()).eval(), X, {}),
        (SEQ(weighted(nn.GroupNorm(2, 8), [1, 1, 1, 0, 1, 1, 1, 1])), X, {}),
    ],
    "bias-before-norm": [
        (SEQ(nn.Conv2d(8, 8, 3), bn()), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3), nn.Identity(), nn.InstanceNorm2d(8)), X, {}),
        (SEQ(nn.Flatten(), nn.Linear(288, 8), nn.BatchNorm1d(8)), X, {}),
        (SEQ(nn.ConvTranspose2d(8, 8, 3), zoo.BatchNormAct2d(8)), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3), nn.GroupNorm(8, 8)), X, {"ignore": "accidental-instance"}),
        (SEQ(nn.Conv2d(8, 8, 3), zoo.HandBatchNorm(8)), X, {}),
    ],
    "group-one": [
        (SEQ(nn.GroupNorm(1, 8)), X, {}),
        (SEQ(Call(lambda x: F.group_norm(x, 1))), X, {}),
    ],
    "back-to-back": [
        (SEQ(nn.GroupNorm(2, 8), nn.InstanceNorm2d(8)), X, {}),
        (SEQ(nn.GroupNorm(2, 8), nn.Dropout(), nn.GroupNorm(2, 8)).eval(), X, {}),
        (SEQ(zoo.RMSNorm(6), nn.LayerNorm(6)), spread(2, 8, 6), {"ignore": "small-set"}),
        (SEQ(nn.LayerNorm(9), zoo.RMSNorm(9)), spread(2, 8, 9), {}),
        (SEQ(zoo.BatchNormAct2d(8, nn.Identity), bn()), X, {}),
    ],
    "eps-underflow": [
        (SEQ(nn.LayerNorm(16, eps=1e-12)).half(), spread(2, 9, 16).half(), {}),
        (SEQ(nn.RMSNorm(16, eps=1e-8)).half(), spread(2, 9, 16).half(), {}),
        (SEQ(zoo.RMSNorm(16, eps=1e-10)).half(), spread(2, 9, 16).half(), {}),
        (SEQ(nn.GroupNorm(2, 8, eps=1e-60)), X, {}),
        (SEQ(nn.InstanceNorm2d(8, eps=1e-12)).half(), X.half(), {}),
    ],
    "train-eval-gap": [
        (SEQ(bn(mean=3.0)), BIG, {}),
        (SEQ(bn(var=100.0)).eval(), BIG, {}),
        (SEQ(bn(var=0.01)), X, {}),
        (SEQ(bn(var=100.0)), X, {}),  # a gap that chance might give, and a variance that it can't
        (trained(SEQ(bn(momentum=0.01)), 8, 8, 16, 16, steps=3).eval(), 10 * BIG + 5, {}),
        (SEQ(trained(zoo.HandBatchNorm(8), 8, 8, 16, 16)), BIG + 5, {}),
        (SEQ(trained(zoo.BatchNormAct2d(8), 8, 8, 16, 16)).eval(), BIG / 10, {}),
    ],
    "train-mode": [
        (SEQ(bn()), X, {}),
        (zoo.ResNet(), torch.randn(2, 3, 64, 64), {}),
        (SEQ(nn.InstanceNorm2d(8, track_running_stats=True)), X, {}),
    ],
    "running-untouched": [
        (SEQ(bn()).eval(), X, {}),
        (SEQ(zoo.HandBatchNorm(8)).eval(), X, {"ignore": "statistics-not-loaded"}),
        (SEQ(nn.InstanceNorm2d(8, track_running_stats=True)), X, {}),
    ],
    "statistics-not-loaded": [
        (SEQ(weighted(bn(), [*range(1, 9)])).eval(), X, {}),
        (SEQ(biased(bn())).eval(), X, {}),
        (SEQ(drawn(bn(), 1.0, 0.02, 0.02)).eval(), X, {}),
        (SEQ(weighted(bn(), [*range(1, 9)]).requires_grad_(False)).eval(), X, {}),
        (SEQ(zoo.HandBatchNorm(8)).eval(), X, {}),
        (SEQ(weighted(zoo.BatchNormAct2d(8), [*range(1, 9)])).eval(), X, {}),
        (SEQ(biased(nn.InstanceNorm2d(8, affine=True, track_running_stats=True))).eval(), X, {}),
        (SEQ(nn.Flatten(), biased(nn.BatchNorm1d(288))).eval(), X, {}),
        (SEQ(counted(bn(), 1000)).eval(), X, {}),
        (SEQ(Call(lambda x: F.batch_norm(x, ZEROS, ONES, torch.arange(1.0, 9)))), X, {}),
    ],
    "frozen-but-training": [
        (SEQ(nn.Conv2d(8, 8, 3), bn().requires_grad_(False)), X, {}),
        (zoo.ResNet().requires_grad_(False), torch.randn(2, 3, 64, 64), {}),
        (SEQ(nn.Conv2d(8, 8, 3), bn(affine=False)).requires_grad_(False), X, {}),
        (SEQ(SEQ(nn.Conv2d(8, 8, 3), bn(affine=False)).requires_grad_(False), nn.Conv2d(8, 8, 3)), X, {}),
        (SEQ(zoo.HandBatchNorm(8).requires_grad_(False)), X, {}),
        (SEQ(zoo.BatchNormAct2d(8).requires_grad_(False)), X, {}),
        (SEQ(bn(momentum=None).requires_grad_(False)), X, {}),
        (SEQ(nn.InstanceNorm2d(8, affine=True, track_running_stats=True).requires_grad_(False)), X, {}),
    ],
    "momentum-reversed": [
        (SEQ(bn(momentum=0.99)), X, {}),
        (SEQ(bn(momentum=0.9)).eval(), X, {}),
        (SEQ(bn(momentum=1)), X, {}),
        (SEQ(nn.InstanceNorm2d(8, track_running_stats=True, momentum=0.997)), X, {}),
        (SEQ(zoo.BatchNormAct2d(8, momentum=0.99)), X, {}),
        (SEQ(zoo.HandBatchNorm(8, momentum=0.99)), X, {}),
        (SEQ(Call(lambda x: F.batch_norm(x, ZEROS.clone(), ONES.clone(), training=True, momentum=0.9))), X, {}),
    ],
}
NEAR_MISSES = {
    "one-value-per-set": [
        (SEQ(POOL, bn()).eval(), X[:1], {}),  # the number of samples in training is not known
        (SEQ(POOL, bn()), X, {}),
        (SEQ(POOL, nn.GroupNorm(1, 8)), X[:1], {}),
        (SEQ(POOL, bn()).eval(), X[:1], {"training_batch": 32}),
    ],
    "small-set": [
        (SEQ(nn.InstanceNorm2d(8)), spread(4, 8, 2, 4), {}),
        (SEQ(nn.InstanceNorm2d(8, track_running_stats=True)).eval(), MAPS, {}),
        (SEQ(nn.LayerNorm(8)), spread(2, 9, 8), {}),
        (SEQ(POOL, nn.GroupNorm(1, 8)), X, {}),
        (SEQ(POOL, bn()), X, {}),
    ],
    "accidental-instance": [
        (SEQ(nn.GroupNorm(4, 8)), X, {}),
        (SEQ(nn.InstanceNorm2d(8)), X, {}),
        (SEQ(nn.Conv2d(8, 1, 1), nn.GroupNorm(1, 1)), X, {}),
        (SEQ(zoo.HandGroupNorm(4, 8)), X, {}),
    ],
    "small-batch": [
        (SEQ(bn()), X, {}),
        (SEQ(bn()), X, {"training_batch": 16}),
        (SEQ(bn()), torch.randn(2, 8, 64, 64), {"training_batch": 8}),
        (SEQ(nn.GroupNorm(2, 8)), X, {"training_batch": 1}),
        (SEQ(zoo.FrozenBatchNorm2d(8)), X, {"training_batch": 2}),
        (SEQ(bn().requires_grad_(False)).eval(), X, {"training_batch": 2}),
    ],
    "non-finite": [
        (SEQ(nn.GroupNorm(2, 8), Call(lambda x: x / 0)), X, {}),
        (SEQ(Call(lambda x: x * 1e18), nn.GroupNorm(2, 8)), X, {}),
        (SEQ(Call(lambda x: x * 0), nn.GroupNorm(2, 8)), X, {}),
    ],
    "constant-output": [
        (SEQ(zoo.RMSNorm(64)).half(), outlier(200.0), {}),
        (SEQ(nn.RMSNorm(64)).half(), outlier(3000.0), {}),
        (SEQ(nn.LayerNorm(64)).half(), outlier(30000.0), {}),
        (SEQ(zoo.InFloat32(zoo.RMSNorm(64))).half(), outlier(3000.0), {}),
        (SEQ(zoo.RMSNorm(64)).bfloat16(), outlier(3000.0).bfloat16(), {}),
        (SEQ(nn.LayerNorm(16)), torch.zeros(2, 9, 16), {}),  # a dead input
        (SEQ(zoo.HandGroupNorm(2, 8)).half(), torch.full_like(X, 3000.0).half(), {}),
        (SEQ(nn.LayerNorm(16)), 1e-5 * spread(2, 9, 16), {}),
        (SEQ(nn.LayerNorm(16, eps=1e-3)), spread(2, 9, 16), {}),
        (SEQ(nn.GroupNorm(2, 8), nn.ReLU(), constant(nn.GroupNorm(4, 8), 0.0)), X, {}),  # a residual branch, untrained
        (SEQ(POOL, nn.GroupNorm(8, 8)), X, {}),  # which has another code
        (SEQ(zeroed(zoo.ZeroCenteredBatchNorm(8), "scale")), X, {}),
        (SEQ(Call(in_float32)).half(), torch.full((2, 9, 16), 3000.0).half(), {}),  # all its outputs are 1
    ],
    "groups-do-not-divide": [
        (SEQ(nn.GroupNorm(3, 6)), spread(2, 6, 6, 6), {}),
        (SEQ(zoo.HandGroupNorm(5, 10)), spread(2, 10, 6, 6), {}),
    ],
    "dead-channel": [
        (SEQ(Call(lambda x: x * torch.logspace(0, -3, 8).reshape(-1, 1, 1)), nn.GroupNorm(2, 8)), X, {}),
        (SEQ(weighted(bn(), [0.0] * 8)), X, {}),  # all of them: a residual branch that starts at zero
        (SEQ(nn.ReLU(), bn()), X, {}),
    ],
    "bias-before-norm": [
        (SEQ(nn.Conv2d(8, 8, 3, bias=False), bn()), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3), nn.GroupNorm(4, 8)), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3), nn.ReLU(), bn()), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3), nn.ReLU(inplace=True), bn()), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3), Call(F.relu_), bn()), X, {}),
        (SEQ(nn.Linear(16, 16), nn.LayerNorm(16)), spread(2, 9, 16), {}),
        (SEQ(nn.Linear(6, 6), nn.InstanceNorm1d(8)), spread(2, 8, 6), {"ignore": "small-set"}),  # along another axis
        (SEQ(nn.Conv2d(8, 8, 3), zoo.FrozenBatchNorm2d(8)), X, {}),
    ],
    "group-one": [
        (SEQ(nn.GroupNorm(2, 8)), X, {}),
        (SEQ(nn.LayerNorm([8, 6, 6])), X, {}),
        (SEQ(nn.Conv2d(8, 1, 1), nn.GroupNorm(1, 1)), X, {}),
    ],
    "back-to-back": [
        (SEQ(nn.GroupNorm(2, 8), nn.ReLU(), nn.GroupNorm(2, 8)), X, {}),
        (SEQ(nn.GroupNorm(2, 8), nn.ReLU(inplace=True), nn.GroupNorm(2, 8)), X, {}),
        (SEQ(nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8)), X, {}),
    ],
    "eps-underflow": [
        (SEQ(nn.LayerNorm(16)).half(), spread(2, 9, 16).half(), {}),
        (SEQ(nn.LayerNorm(16, eps=1e-12)), spread(2, 9, 16), {}),
        (SEQ(nn.LayerNorm(16, eps=1e-12)).bfloat16(), spread(2, 9, 16).bfloat16(), {}),
        (SEQ(nn.LayerNorm(16, eps=6e-8)).half(), spread(2, 9, 16).half(), {}),
    ],
    "train-eval-gap": [
        (SEQ(bn(mean=0.05, var=1.0)), torch.randn(16, 8, 16, 16), {}),
        (SEQ(bn()), 100 * BIG, {}),  # untouched
        (SEQ(bn(mean=3.0).requires_grad_(False)).eval(), BIG, {}),  # frozen
        (SEQ(nn.BatchNorm2d(8, track_running_stats=False)), 100 * BIG, {}),
        (SEQ(POOL, bn(var=0.02, mean=0.1)), torch.randn(2, 8, 6, 6), {}),  # two values are too few
    ],
    "train-mode": [
        (SEQ(bn()).eval(), X, {}),
        (SEQ(nn.GroupNorm(2, 8)), X, {}),
        (SEQ(zoo.FrozenBatchNorm2d(8)), X, {}),
    ],
    "running-untouched": [
        (SEQ(bn(mean=0.1)), X, {}),
        (SEQ(nn.BatchNorm2d(8, track_running_stats=False)), X, {}),
        (trained(SEQ(bn()), 8, 8, 6, 6, steps=1), X, {}),
    ],
    "statistics-not-loaded": [
        (SEQ(bn()).eval(), X, {}),
        (SEQ(bn(), constant(bn(), 0.0)).eval(), X, {}),  # as built, with the last one at 0
        (SEQ(drawn(nn.BatchNorm1d(500)), nn.ReLU(), drawn(nn.BatchNorm1d(500))).eval(), spread(2, 500), {}),
        (SEQ(drawn(bn(), 1.0, 0.02, 0.0), nn.ReLU(), drawn(bn(), 1.0, 0.02, 0.0)).eval(), X, {}),  # as DCGAN starts
        (SEQ(weighted(bn(), [*range(1, 9)])), X, {}),  # it does not use them
        (SEQ(weighted(bn(mean=0.1), [*range(1, 9)])).eval(), X, {}),
        (SEQ(weighted(bn(var=1.1), [*range(1, 9)])).eval(), X, {}),
        (SEQ(counted(weighted(bn(mean=0.1), [*range(1, 9)]), 0)).eval(), X, {}),  # loaded from another framework
        (SEQ(counted(bn(momentum=0.0), 1000)).eval(), X, {}),
        (SEQ(zoo.FrozenBatchNorm2d(8)).eval(), X, {}),
        (SEQ(weighted(bn(track_running_stats=False), [*range(1, 9)])).eval(), X, {}),
    ],
    "frozen-but-training": [
        (SEQ(nn.Conv2d(8, 8, 3), bn().requires_grad_(False).eval()), X, {}),
        (zoo.ResNet().requires_grad_(False).eval(), torch.randn(2, 3, 64, 64), {}),
        (SEQ(nn.Conv2d(8, 8, 3), bn(affine=False)), X, {}),
        (SEQ(nn.Conv2d(8, 8, 3).requires_grad_(False), bn()), X, {}),
        (SEQ(half_frozen(bn(), "bias")), X, {}),
        (SEQ(half_frozen(bn(), "weight")), X, {}),
        (SEQ(bn(momentum=0.0).requires_grad_(False)), X, {}),
        (SEQ(bn(track_running_stats=False).requires_grad_(False)), X, {}),
        (SEQ(untracked(bn()).requires_grad_(False)), X, {}),
        (SEQ(nn.GroupNorm(2, 8).requires_grad_(False)), X, {}),
        (SEQ(zoo.FrozenBatchNorm2d(8)), X, {}),
        (SEQ(bn(affine=False)), X, {}),  # nothing in the model could be frozen
    ],
    "momentum-reversed": [
        (SEQ(bn(momentum=0.01)), X, {}),
        (SEQ(bn(momentum=0.5)), X, {}),
        (SEQ(bn(momentum=None)), X, {}),
        (SEQ(zoo.BatchNormAct2d(8, momentum=None)), X, {}),
        (SEQ(bn(momentum=0.99).requires_grad_(False)).eval(), X, {}),  # it never moves
        (SEQ(bn(momentum=0.99, track_running_stats=False)), X, {}),
        (SEQ(zoo.HandBatchNorm(8, keeps=0.99)), X, {}),  # the same word in the other sense
        (SEQ(zoo.HandBatchNorm(8, momentum=1.0)), X, {}),  # the first of a cumulative average
        (SEQ(nn.InstanceNorm2d(8, momentum=0.99)), X, {}),
    ],
}
