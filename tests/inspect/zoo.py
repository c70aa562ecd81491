"""Layers and functions whose sets, statistics and parameters are known, with all that a probe should say of each."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import normviz as nv

SHAPE = (4, 8, 6, 6)
LAST = (4, 6, 6, 8)
RNG = np.random.default_rng(7)
WEIGHT, BIAS = RNG.uniform(0.5, 2, 8), RNG.normal(size=8)
ELEMENTS, SHIFTS = RNG.uniform(0.5, 2, SHAPE[1:]), RNG.normal(size=SHAPE[1:])
NUMBERS = {"centered", "eps", "eps_inside", "unbiased", "affine", "weight", "bias"}
AFTER = NUMBERS - {"centered"}
MAPPED = {"centered", "eps", "eps_inside", "unbiased"}


@dataclass
class Case:
    """A function to probe, and the fields to find; `open` names those that cannot be told."""

    fn: Any
    truth: dict
    shape: tuple = SHAPE
    axis: int = 1
    open: set = field(default_factory=set)
    sets: Any = None
    calls: int = 40
    tolerance: float = 1e-4


def normal(method=None, num_groups=None, block=None, **more):
    """The fields of a healthy normalizer, with what differs from it."""
    row = nv.METHODS.get(method)
    return {
        "method": method,
        "num_groups": num_groups,
        "block": block,
        "centered": row is None or row.centered,
        "eps": 1e-5,
        "eps_inside": True,
        "unbiased": False,
        "affine": "none",
        "weight": None,
        "bias": None,
        "couples_samples": row is not None and row.couples_samples,
        "elementwise": False,
        "stochastic": False,
        "is_normalizer": True,
    } | more


def cellwise(**more):
    """The fields of a function that treats each cell by itself."""
    return normal(block=(1, 1, 1, 1), elementwise=True, is_normalizer=False) | more


# ---- written by hand, as students write them ----


def hat(x, axes, eps=1e-5, centered=True, outside=False, ddof=0):
    mean = x.mean(axes, keepdims=True) if centered else 0
    var = x.var(axes, ddof=ddof, keepdims=True) if centered else (x * x).mean(axes, keepdims=True)
    return (x - mean) / (np.sqrt(var) + eps if outside else np.sqrt(var + eps))


def per_channel(values):
    return np.asarray(values)[None, :, None, None]


def over_channels(order, sizes):
    """Each run of `sizes` channels, taken in `order`, is normalized together."""

    def fn(x):
        y = np.empty_like(x)
        for channels in np.split(np.asarray(order), np.cumsum(sizes)[:-1]):
            y[:, channels] = hat(x[:, channels], (1, 2, 3))
        return y

    labels = np.empty(SHAPE, int)
    for i, channels in enumerate(np.split(np.asarray(order), np.cumsum(sizes)[:-1])):
        labels[:, channels] = i + len(sizes) * np.arange(SHAPE[0])[:, None, None, None]
    return fn, labels


def windows(x):
    n, c, h, w = x.shape
    return hat(x.reshape(n, c, h // 3, 3, w // 3, 3), (3, 5)).reshape(x.shape)


def by_matrix(x):
    """Group Norm by products with a matrix of zeros and ones, which spreads a NaN to every channel."""
    among = np.kron(np.eye(4), np.ones((2, 2))) / 2
    mean = np.einsum("cd,nd->nc", among, x.mean((2, 3)))[:, :, None, None]
    var = np.einsum("cd,nd->nc", among, ((x - mean) ** 2).mean((2, 3)))[:, :, None, None]
    return (x - mean) / np.sqrt(var + 1e-5)


def refuses_nan(x):
    if np.isnan(x).any():
        raise ValueError("no NaN, please")
    return hat(x, (2, 3))


def in_place(x):
    x -= x.mean((2, 3), keepdims=True)
    x /= np.sqrt((x * x).mean((2, 3), keepdims=True) + 1e-5)
    return x


def affine_per_group(x):
    n, _, h, w = x.shape
    y = hat(x.reshape(n, 4, 2, h, w), (2, 3, 4)) * WEIGHT[:4].reshape(1, 4, 1, 1, 1)
    return y.reshape(x.shape)


def ghost(x):
    return np.concatenate([hat(part, (0, 2, 3)) for part in np.split(x, 2)])


def mixture(x):
    """Switchable Norm with equal shares of two."""
    mean = (x.mean((2, 3), keepdims=True) + x.mean((1, 2, 3), keepdims=True)) / 2
    var = (x.var((2, 3), keepdims=True) + x.var((1, 2, 3), keepdims=True)) / 2
    return (x - mean) / np.sqrt(var + 1e-5)


INTERLEAVED, INTERLEAVED_SETS = over_channels(np.argsort(np.arange(8) % 4, kind="stable"), [2] * 4)
SHUFFLED, SHUFFLED_SETS = over_channels([5, 0, 3, 7, 1, 6, 2, 4], [4, 4])
UNEQUAL, UNEQUAL_SETS = over_channels(np.arange(8), [3, 5])
IN, GN, LN, BN = (1, 1, 6, 6), (1, 2, 6, 6), (1, 8, 6, 6), (4, 1, 6, 6)
ONE = {"method", "num_groups"}
AFFINE = {"affine": "channel", "weight": WEIGHT, "bias": BIAS}


def normalized(method, **options):
    return lambda x: nv.normalize(x, method, weight=WEIGHT, bias=BIAS, **options)


NUMPY = {
    "batch": Case(normalized("batch"), normal("batch", block=BN, **AFFINE)),
    "layer": Case(normalized("layer", eps=1e-12), normal("layer", block=LN, eps=1e-12, **AFFINE)),
    "instance": Case(normalized("instance", eps=0.1), normal("instance", block=IN, eps=0.1, **AFFINE)),
    "group": Case(normalized("group", num_groups=2), normal("group", 2, (1, 4, 6, 6), **AFFINE)),
    "positional": Case(
        normalized("positional"), normal("positional", block=(1, 8, 1, 1), **AFFINE), open={"unbiased"}
    ),
    "rms": Case(normalized("rms"), normal("rms", block=(1, 8, 1, 1), **AFFINE), open={"unbiased"}),
    "frn": Case(lambda x: hat(x, (2, 3), 1e-6, centered=False), normal("frn", block=IN, eps=1e-6)),
    "ghost": Case(ghost, normal("ghost", 2, (2, 1, 6, 6))),
    "weight norm": Case(
        lambda x: x / np.sqrt((x * x).sum((1, 2, 3), keepdims=True)),
        normal("weight_norm", block=LN, eps=0.0),
        open={"unbiased", "eps_inside"},
    ),
    "interleaved groups": Case(INTERLEAVED, normal(), sets=INTERLEAVED_SETS),
    "shuffled groups": Case(SHUFFLED, normal(), sets=SHUFFLED_SETS),
    "groups of 3 and 5": Case(UNEQUAL, normal(), sets=UNEQUAL_SETS),
    "windows": Case(windows, normal(block=(1, 1, 3, 3)), open={"unbiased"}),
    "rows": Case(lambda x: hat(x, (3,)), normal(block=(1, 1, 1, 6))),
    "columns": Case(lambda x: hat(x, (2,)), normal(block=(1, 1, 6, 1))),
    "all cells at once": Case(lambda x: hat(x, None), normal(block=SHAPE, couples_samples=True)),
    "samples at one place": Case(lambda x: hat(x, (0,)), normal(block=(4, 1, 1, 1), couples_samples=True)),
    "unbiased": Case(lambda x: hat(x, (2, 3), 1e-3, ddof=1), normal("instance", block=IN, eps=1e-3, unbiased=True)),
    "unbiased batch": Case(lambda x: hat(x, (0, 2, 3), ddof=1), normal("batch", block=BN, unbiased=True)),
    "eps outside": Case(
        lambda x: hat(x, (2, 3), 1e-3, outside=True), normal("instance", block=IN, eps=1e-3, eps_inside=False)
    ),
    "unbiased, eps outside": Case(
        lambda x: hat(x, (2, 3), 0.1, outside=True, ddof=1),
        normal("instance", block=IN, eps=0.1, eps_inside=False, unbiased=True),
    ),
    "no eps": Case(lambda x: hat(x, (0, 2, 3), 0), normal("batch", block=BN, eps=0.0), open={"eps_inside"}),
    "affine per group": Case(
        affine_per_group, normal("group", 4, GN, affine="group", weight=WEIGHT[:4], bias=np.zeros(4))
    ),
    "one scale": Case(
        lambda x: 2 * hat(x, (2, 3)) + 1,
        normal("instance", block=IN, affine="channel", weight=np.full(8, 2.0), bias=np.ones(8)),
    ),
    "element-wise affine": Case(
        lambda x: hat(x, (1, 2, 3)) * ELEMENTS + SHIFTS,
        normal("layer", block=LN, affine="element", weight=ELEMENTS, bias=SHIFTS),
        open={"unbiased"},
    ),
    "one weight of 0": Case(
        lambda x: hat(x, (0, 2, 3)) * per_channel([0, *WEIGHT[1:]]) + per_channel(BIAS),
        normal("batch", block=BN, affine="channel", weight=np.array([0, *WEIGHT[1:]]), bias=BIAS),
    ),
    "scales for each sample": Case(
        lambda x: hat(x, (2, 3)) * np.linspace(1, 2, 32).reshape(4, 8, 1, 1),
        normal("instance", block=IN),
        open={"affine", "weight", "bias"},
    ),
    "NaN refused": Case(refuses_nan, normal("instance", block=IN)),
    "NaN replaced": Case(lambda x: hat(np.nan_to_num(x), (2, 3)), normal("instance", block=IN)),
    "NaN spread": Case(by_matrix, normal("group", 4, GN)),
    "in place": Case(in_place, normal("instance", block=IN)),
    "float32 within": Case(lambda x: hat(x.astype("f4"), (2, 3)).astype("f8"), normal("instance", block=IN)),
    "float16": Case(
        lambda x: nv.normalize(x.astype("f2"), "instance", eps=1e-3), normal("instance", block=IN, eps=1e-3)
    ),
    "a large bias": Case(
        lambda x: hat(x.astype("f4"), (2, 3)) + np.float32(1000),
        normal("instance", block=IN, affine="channel", weight=np.ones(8), bias=np.full(8, 1000.0)),
        tolerance=1e-3,
    ),
    "identity": Case(lambda x: x, cellwise(), open=MAPPED),
    "a fixed map": Case(
        lambda x: x * per_channel(WEIGHT) + per_channel(BIAS), cellwise(**AFFINE), open=MAPPED
    ),
    "ReLU": Case(lambda x: np.maximum(x, 0), cellwise(), open=NUMBERS),
    "tanh": Case(np.tanh, cellwise(), open=NUMBERS),
    "then ReLU": Case(
        lambda x: np.maximum(hat(x, (2, 3)) * per_channel(WEIGHT) + per_channel(BIAS), 0),
        normal("instance", block=IN),
        open=AFTER,
    ),
    "then a threshold": Case(
        lambda x: np.maximum(hat(x, (2, 3), 1e-6, centered=False) * per_channel(WEIGHT), 0.1),
        normal("frn", block=IN),
        open=AFTER,
    ),
    "x / std": Case(
        lambda x: x / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5), normal(block=IN, centered=False), open=ONE
    ),
    "divided by the variance": Case(
        lambda x: (x - x.mean((2, 3), keepdims=True)) / (x.var((2, 3), keepdims=True) + 1e-5),
        normal(block=IN, is_normalizer=False),
        open={*ONE, "eps", "eps_inside", "unbiased"},
    ),
    "only centered": Case(
        lambda x: x - x.mean((2, 3), keepdims=True),
        normal(block=IN, is_normalizer=False),
        open={*ONE, "eps", "eps_inside", "unbiased"},
    ),
    "divided by the maximum": Case(
        lambda x: (x - x.mean((2, 3), keepdims=True)) / np.abs(x).max((2, 3), keepdims=True),
        normal(block=IN),
        open={*ONE, *NUMBERS, "is_normalizer"},
    ),
    "affine before": Case(
        lambda x: hat(x * per_channel(WEIGHT), (1, 2, 3)), normal(block=LN), open={*ONE, *NUMBERS, "is_normalizer"}
    ),
    "a mixture": Case(mixture, normal(block=LN), open={*ONE, *NUMBERS, "is_normalizer"}),
    "softmax": Case(
        lambda x: np.exp(x - x.max(1, keepdims=True)) / np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True),
        normal(block=(1, 8, 1, 1), is_normalizer=False),
        open={*ONE, *NUMBERS},
    ),
    "neighbours": Case(
        lambda x: x + 0.5 * np.roll(x, 1, 3),
        normal(is_normalizer=False),
        open={*ONE, *NUMBERS, "labels", "block", "couples_samples"},
        calls=60,
    ),
    "a constant": Case(
        np.ones_like,
        normal(),
        open={*ONE, *NUMBERS, "labels", "block", "couples_samples", "is_normalizer", "elementwise"},
    ),
    "NaN": Case(
        lambda x: x * np.nan,
        normal(),
        open={*ONE, *NUMBERS, "labels", "block", "couples_samples", "is_normalizer", "elementwise"},
    ),
    "noise added": Case(
        lambda x: hat(x, (2, 3)) + 0.1 * np.random.normal(size=x.shape),  # noqa: NPY002
        normal("instance", block=IN, stochastic=True),
        open={"affine", "weight", "bias", "unbiased"},
    ),
    "one cell in a set": Case(
        lambda x: hat(x, (2, 3)),
        normal("instance", block=(1, 1, 1, 1)),
        (4, 8, 1, 1),
        open={*NUMBERS, "elementwise", "is_normalizer"},
    ),
    "one sample": Case(lambda x: hat(x, (0, 2, 3)), normal("batch", block=(1, 1, 6, 6)), (1, 8, 6, 6), calls=60),
    "two cells in a set": Case(lambda x: hat(x, (1,)), normal("layer", block=(1, 2)), (6, 2)),
    "channels in front": Case(
        lambda x: hat(x, (2, 3)), normal("instance", block=IN), (8, 4, 6, 6), 0
    ),
}  # fmt: skip
