"""Every sentence of a probe is true, also of functions that are no normalizers, or whose sets overlap or are masked.

Each case says by construction which cells answer to which, and by what they are divided. The oracle is the matrix of
all pairs of cells, made from that, and not from a call of the function.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import normviz as nv
from normviz.inspect.probe.sets import number
from tests.inspect.zoo import hat, per_channel

TOKENS, MAPS, VECTORS = (4, 8, 6), (3, 4, 6, 6), (16, 8)
MOST_CALLS = 90


# ---- functions, written by hand ----


def running(x, axis, over=(), centered=True, eps=1e-5):
    """Normalized with the statistics of all steps up to each one, over whole axes `over`: asteroid's cLN."""
    first, second = (np.sum(p, over, keepdims=True).cumsum(axis) for p in (x, x * x))
    count = np.ones(x.shape).sum(over, keepdims=True).cumsum(axis)
    mean = first / count if centered else 0
    return (x - mean) / np.sqrt(np.maximum(second / count - mean**2, 0) + eps)


def by_triangle(x):
    """The same over axes 1 and 2 by a product with a matrix of zeros, which spreads a NaN to every step."""
    steps = x.shape[2]
    weights = np.tril(np.ones((steps, steps))) / np.arange(1, steps + 1)[:, None]
    mean, square = (np.einsum("ts,ns->nt", weights, p.mean(1))[:, None] for p in (x, x * x))
    return (x - mean) / np.sqrt(np.maximum(square - mean**2, 0) + 1e-5)


def moving(x, keep=0.9):
    """Divided by an exponential moving average of the mean square along axis 2."""
    y, square = np.empty_like(x), 0
    for t in range(x.shape[2]):
        square = keep * square + (1 - keep) * (x[:, :, t] ** 2).mean(1, keepdims=True)
        y[:, :, t] = x[:, :, t] / np.sqrt(square + 1e-5)
    return y


def windows(x, axis, steps, over=()):
    """Normalized with the cells at these steps from each one along an axis."""
    y, n = np.empty_like(x), x.shape[axis]
    for i in range(n):
        places = [i + s for s in steps if 0 <= i + s < n]
        part, here = x.take(places, axis), x.take([i], axis)
        axes = (axis, *over)
        at = (slice(None),) * axis + (slice(i, i + 1),)
        y[at] = (here - part.mean(axes, keepdims=True)) / np.sqrt(part.var(axes, keepdims=True) + 1e-5)
    return y


def response(x, size=3, k=1.0):
    """Local response normalization over channels (AlexNet)."""
    total = sum(
        np.pad(x * x, [(0, 0), (s, size - 1 - s)] + [(0, 0)] * (x.ndim - 2))[:, size // 2 : size // 2 + x.shape[1]]
        for s in range(size)
    )
    return x / (k + total / size) ** 0.75


def overlapping_groups(x):
    """Groups of 4 channels at every second channel."""
    parts = [hat(x[:, s : s + 4], (1, 2, 3)) for s in range(0, x.shape[1] - 3, 2)]
    y, count = np.zeros_like(x), np.zeros(x.shape[1])
    for s, part in zip(range(0, x.shape[1] - 3, 2), parts, strict=True):
        y[:, s : s + 4] += part
        count[s : s + 4] += 1
    return y / per_channel(count)


def without_itself(x, axes=(2, 3)):
    """Each cell is normalized with the statistics of the others of its set."""
    n = np.ones(x.shape).sum(axes, keepdims=True) - 1
    mean, square = ((p.sum(axes, keepdims=True) - p) / n for p in (x, x * x))
    return (x - mean) / np.sqrt(np.maximum(square - mean**2, 0) + 1e-5)


def masked(x, keep, axes, otherwise="normalized", centered=True, by_product=False):
    """Statistics of the kept cells alone; the others are normalized with them, set to 0, or passed through."""
    keep = np.broadcast_to(keep, x.shape)
    alone = (lambda p: p * keep) if by_product else (lambda p: np.where(keep, p, 0))
    count = keep.sum(axes, keepdims=True)
    mean = alone(x).sum(axes, keepdims=True) / count if centered else 0
    y = (x - mean) / np.sqrt(alone((x - mean) ** 2).sum(axes, keepdims=True) / count + 1e-5)
    return {"normalized": y, "zero": np.where(keep, y, 0), "passed": np.where(keep, y, x)}[otherwise]


def softmax(x, axis=1):
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def global_response(x, channels=1):
    """GRN (ConvNeXt V2)."""
    maps = tuple(a for a in range(1, x.ndim) if a != channels)
    norms = np.sqrt((x * x).sum(maps, keepdims=True))
    return 1.3 * x * norms / (norms.mean(channels, keepdims=True) + 1e-6) + x


def renormalized(x):
    """Batch Renormalization with bounds of 3 and 5."""
    mean, std = x.mean((0, 2, 3), keepdims=True), np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    return (x - mean) / std * np.clip(std / 1.2, 1 / 3, 3) + np.clip((mean - 0.3) / 1.2, -5, 5)


def switchable(x):
    axes = (2, 3), (1, 2, 3), (0, 2, 3)
    mean, var = (sum(f(x, a, keepdims=True) for a in axes) / 3 for f in (np.mean, np.var))
    return (x - mean) / np.sqrt(var + 1e-5)


def whitened(x, iterations=None):
    """Decorrelated Batch Norm; with `iterations` by Newton's method, as IterNorm."""
    flat = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    flat = flat - flat.mean(1, keepdims=True)
    cov = flat @ flat.T / flat.shape[1] + 1e-5 * np.eye(len(flat))
    if iterations:
        trace, root = np.trace(cov), np.eye(len(flat))
        for _ in range(iterations):
            root = 1.5 * root - 0.5 * root @ root @ root @ (cov / trace)
        root = root / np.sqrt(trace)
    else:
        if not np.isfinite(cov).all():
            return x * np.nan
        values, vectors = np.linalg.eigh(cov)
        root = vectors @ np.diag(values**-0.5) @ vectors.T
    return np.moveaxis((root @ flat).reshape(x.shape[1], x.shape[0], *x.shape[2:]), 0, 1)


def quantiles(x, low, middle, high):
    low, middle, high = (np.quantile(x, q, (2, 3), keepdims=True) for q in (low, middle, high))
    return (x - middle) / (high - low + 1e-5)


def absolute(x, axes, centered=True):
    """Divided by the mean absolute value."""
    top = x - x.mean(axes, keepdims=True) * centered
    return top / (np.abs(top).mean(axes, keepdims=True) + 1e-5)


def norm(x, axes):
    return np.sqrt((x * x).sum(axes, keepdims=True))


class MovingBatchNorm:
    """Batch Norm that normalizes with its running statistics in train mode as well, after their update."""

    def __init__(self):
        self.mean, self.var = 0.0, 1.0

    def __call__(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean((0, 2, 3), keepdims=True)
        self.var = 0.9 * self.var + 0.1 * x.var((0, 2, 3), keepdims=True)
        return (x - self.mean) / np.sqrt(self.var + 1e-5)


# ---- which cells answer to which, by construction ----

SAME, ALL = np.equal, lambda i, j: i == i
EARLIER, LATER = np.greater_equal, np.less_equal


def at(*steps):
    return lambda i, j: np.isin(j - i, steps)


def blocks(size):
    return lambda i, j: i // size == j // size


def share_group(i, j):
    """Whether two of 8 channels are in one of the groups 0-3, 2-5 and 4-7."""
    return sum(np.isin(i // 2 - k, (0, 1)) & np.isin(j // 2 - k, (0, 1)) for k in range(3))


def relation(shape, rules):
    """The matrix [answers, changed] of all cells, where one cell responds to another if it does along every axis."""
    places = np.indices(shape).reshape(len(shape), -1)
    answers = np.ones((places.shape[1],) * 2, bool)
    for rule, place in zip(rules, places, strict=True):
        answers &= np.asarray(rule(place[:, None], place[None, :]), bool)
    return answers


@dataclass
class Truth:
    """A function, and what is true of it.

    Attributes
    ----------
    rules
        For each axis, whether a cell responds to another one along it; None if the cells' relation is no such product.
    overlap
        The sentence about sets that overlap, where one is expected.
    keep, otherwise
        The cells that are not masked, and what becomes of the others.
    divides
        What divides, in the words of the report; None if no root of variance, mean square or sum of squares does.
    curve
        Whether an activation follows, or another function of x_hat.
    method, never
        The method that may be named, and words that may not be said.
    """

    fn: Any
    shape: tuple
    rules: tuple | None
    overlap: str | None = None
    axis: int = 1
    keep: Any = None
    otherwise: str = ""
    divides: str | None = None
    centered: bool = True
    curve: bool = False
    method: str | None = None
    never: tuple = ()


PADDING = np.arange(6) < np.array([6, 4, 3, 5])[:, None, None]
HOLES = np.random.default_rng(3).random((1, 1, 6, 6)) < 0.7
CHANNELS = np.array([1, 1, 0, 1]).reshape(1, 4, 1, 1) == 1
STEPS = (SAME, ALL, EARLIER)
CAUSAL = "each cell responds to all earlier ones (causal along axis 2)"
LN, BN, IN = (SAME, ALL, ALL, ALL), (ALL, SAME, ALL, ALL), (SAME, SAME, ALL, ALL)
ONE = (SAME, ALL, SAME)
VAR, SQUARE, SUM = "root of the variance", "root of the mean square", "root of the sum of squares"
NORMAL = {"divides": VAR}

OVERLAPS = {
    "steps of all channels": Truth(lambda x: running(x, 2, (1,)), TOKENS, STEPS, f"{CAUSAL}, over all of axis 1"),
    "steps of one sample": Truth(lambda x: running(x, 2, (1,)), (1, 4, 24), STEPS, f"{CAUSAL}, over all of axis 1"),
    "steps of each channel": Truth(lambda x: running(x, 2), TOKENS, (SAME, SAME, EARLIER), CAUSAL),
    "tokens, channels last": Truth(
        lambda x: running(x, 1, (2,)), (4, 6, 8), STEPS, "causal along axis 1), over all of axis 2", -1
    ),
    "rows": Truth(lambda x: running(x, 2, (1, 3)), MAPS, (SAME, ALL, EARLIER, ALL), f"{CAUSAL}, over all of axes 1, 3"),
    "channels": Truth(lambda x: running(x, 1, (2, 3)), MAPS, (SAME, EARLIER, ALL, ALL), "causal along axis 1"),
    "the batch": Truth(lambda x: running(x, 0, (2, 3)), MAPS, (EARLIER, SAME, ALL, ALL), "causal along axis 0"),
    "backwards": Truth(
        lambda x: np.flip(running(np.flip(x, 2), 2, (1,)), 2), TOKENS, (SAME, ALL, LATER), "all later ones (causal"
    ),
    "RMS": Truth(lambda x: running(x, 2, (1,), centered=False), TOKENS, STEPS, CAUSAL),
    "float16": Truth(lambda x: running(x.astype("f4"), 2, (1,)).astype("f2"), TOKENS, STEPS, CAUSAL),
    "then ReLU": Truth(lambda x: np.maximum(running(x, 2, (1,)), 0), TOKENS, STEPS, CAUSAL, curve=True),
    "by a triangle": Truth(by_triangle, TOKENS, STEPS, f"{CAUSAL}, over all of axis 1"),
    "vectors": Truth(lambda x: running(x, 1), (5, 8), (SAME, EARLIER), "causal along axis 1"),
    "volumes": Truth(
        lambda x: running(x, 2, (1, 3, 4)), (2, 3, 4, 3, 3), (SAME, ALL, EARLIER, ALL, ALL), "over all of axes 1, 3, 4"
    ),
    "moving average": Truth(moving, (3, 4, 9), STEPS, CAUSAL),
    "response": Truth(response, MAPS, (SAME, at(-1, 0, 1), SAME, SAME), "a window along axis 1, from 1 before it to 1"),
    "box filter": Truth(
        lambda x: windows(x, 2, (-1, 0, 1), (1,)), (2, 4, 30), (SAME, ALL, at(-1, 0, 1)), "window along axis 2, from 1"
    ),
    "the last three": Truth(
        lambda x: windows(x, 2, (-2, -1, 0)), TOKENS, (SAME, SAME, at(-2, -1, 0)), "from 2 before it to 0 after it"
    ),
    "dilated": Truth(
        lambda x: windows(x, 2, (-4, -2, 0, 2, 4), (1,)), (2, 4, 16), (SAME, ALL, at(-4, -2, 0, 2, 4)), "-4, -2, 0, 2"
    ),
    "overlapping groups": Truth(
        overlapping_groups, (2, 8, 3, 3), (SAME, share_group, ALL, ALL), "some of the cells along axis 1, not the same"
    ),
    "switchable": Truth(switchable, MAPS, None),
    "half of the channels backwards": Truth(
        lambda x: np.concatenate([running(x[:, :4], 2), np.flip(running(np.flip(x[:, 4:], 2), 2), 2)], 1), TOKENS, None
    ),
    "two axes": Truth(lambda x: running(x, 2, (1,)) + running(x, 3, (1,)), MAPS, None),
}  # fmt: skip

MASKED = {
    f"{name} of {where}, the others {otherwise}{', by a product' * product}": Truth(
        lambda x, k=keep, a=axes, o=otherwise, p=product, c=name != "RMS": masked(x, k, a, o, c, p),
        shape, rules, keep=keep, otherwise=otherwise, divides=SQUARE if name == "RMS" else VAR, centered=name != "RMS",
    )
    for name, where, shape, axes, rules, keep, otherwise, product in [
        ("BN", "padded tokens", TOKENS, (0, 2), (ALL, SAME, ALL), PADDING, "normalized", False),
        ("BN", "padded tokens", TOKENS, (0, 2), (ALL, SAME, ALL), PADDING, "zero", False),
        ("BN", "padded tokens", TOKENS, (0, 2), (ALL, SAME, ALL), PADDING, "passed", False),
        ("BN", "padded tokens", TOKENS, (0, 2), (ALL, SAME, ALL), PADDING, "normalized", True),
        ("BN", "padded tokens", TOKENS, (0, 2), (ALL, SAME, ALL), PADDING, "zero", True),
        ("LN", "padded samples", TOKENS, (1, 2), (SAME, ALL, ALL), PADDING, "normalized", False),
        ("LN", "padded samples", TOKENS, (1, 2), (SAME, ALL, ALL), PADDING, "zero", False),
        ("LN", "padded samples", TOKENS, (1, 2), (SAME, ALL, ALL), PADDING, "passed", False),
        ("RMS", "padded samples", TOKENS, (1, 2), (SAME, ALL, ALL), PADDING, "normalized", False),
        ("RMS", "padded samples", TOKENS, (1, 2), (SAME, ALL, ALL), PADDING, "zero", False),
        ("IN", "maps with holes", MAPS, (2, 3), IN, HOLES, "normalized", False),
        ("IN", "maps with holes", MAPS, (2, 3), IN, HOLES, "zero", False),
        ("LN", "some channels", MAPS, (1, 2, 3), LN, CHANNELS, "normalized", False),
        ("LN", "some channels", MAPS, (1, 2, 3), LN, CHANNELS, "passed", False),
        ("LN", "steps after the first", TOKENS, (1, 2), (SAME, ALL, ALL), np.arange(6) > 0, "normalized", False),
        ("RMS", "padded samples", TOKENS, (1, 2), (SAME, ALL, ALL), PADDING, "normalized", True),
        ("LN", "the first channels", (4, 6), (1,), (SAME, ALL), np.arange(6) < 4, "passed", False),
        ("BN", "some vectors", VECTORS, (0,), (ALL, SAME), np.arange(16)[:, None] % 4 > 0, "zero", False),
    ]
}  # fmt: skip

STYLE = np.random.default_rng(4).uniform(0.5, 2, (2, *MAPS))
OTHERS = {
    "L2 of vectors": Truth(
        lambda x: x / norm(x, 1), VECTORS, (SAME, ALL), divides=SUM, centered=False, never=("Weight Norm", "RMS Norm")
    ),
    "RMS, one output constant": Truth(
        lambda x: np.where(np.arange(6) == 2, 0, 6**0.5 * x / norm(x, 1)), (4, 6), (SAME, ALL), centered=False
    ),
    "L2 over the batch": Truth(lambda x: x / norm(x, 0), VECTORS, (ALL, SAME), divides=SUM, centered=False),
    "L2 with a bound": Truth(
        lambda x: x / np.maximum(norm(x, 1), 1e-12), MAPS, (SAME, ALL, SAME, SAME), divides=SUM, centered=False
    ),
    "L2 of rows": Truth(lambda x: x / norm(x, 3), MAPS, (SAME, SAME, SAME, ALL), divides=SUM, centered=False),
    "L2 of samples": Truth(
        lambda x: x / norm(x, (1, 2, 3)), MAPS, LN, divides=SUM, centered=False, method="weight_norm"
    ),
    "L2 of tokens, scaled": Truth(
        lambda x: 3 * x / norm(x, 2), (4, 6, 8), (SAME, SAME, ALL), axis=-1, divides=SUM, centered=False
    ),
    "clipped by norm": Truth(
        lambda x: x * np.minimum(1, 1 / (norm(x, (1, 2, 3)) + 1e-9)), MAPS, LN, divides=SUM, centered=False,
        method="weight_norm",
    ),
    "L1": Truth(lambda x: absolute(x, (1, 2, 3)), MAPS, LN),
    "L1 of all cells": Truth(lambda x: absolute(x, (0, 1, 2, 3)), (4, 8, 12, 12), (ALL,) * 4),
    "L1, not centered": Truth(lambda x: absolute(x, (2, 3), False), MAPS, IN),
    "L1, then ReLU": Truth(lambda x: np.maximum(absolute(x, (2, 3), False), 0), MAPS, IN),
    "L1 of vectors": Truth(lambda x: x / np.abs(x).sum(1, keepdims=True), VECTORS, (SAME, ALL)),
    "the largest": Truth(lambda x: x / np.abs(x).max((1, 2, 3), keepdims=True), MAPS, LN),
    "least and most": Truth(
        lambda x: (x - x.min((2, 3), keepdims=True)) / np.ptp(x, (2, 3), keepdims=True), MAPS, IN
    ),
    "quartiles": Truth(lambda x: quantiles(x, 0.25, 0.5, 0.75), MAPS, IN),
    "percentiles": Truth(lambda x: np.clip(quantiles(x, 0.01, 0.01, 0.99), 0, 1), MAPS, IN),
    "the sum": Truth(lambda x: x / x.sum(1, keepdims=True), MAPS, (SAME, ALL, SAME, SAME)),
    "GRN": Truth(global_response, MAPS, LN, never=("activation",)),
    "GRN, channels last": Truth(lambda x: global_response(x, 3), (3, 6, 6, 4), LN, axis=-1, never=("activation",)),
    "softmax": Truth(softmax, VECTORS, (SAME, ALL)),
    "softmax of maps": Truth(lambda x: softmax(x.reshape(3, 4, 36), 2).reshape(x.shape), MAPS, IN),
    "attention": Truth(
        lambda x: np.einsum("nts,ncs->nct", softmax(np.einsum("nct,ncs->nts", x, x), 2), x), TOKENS, (SAME, ALL, ALL)
    ),
    "renormalized": Truth(renormalized, MAPS, BN),
    "moving statistics": Truth(MovingBatchNorm(), MAPS, BN),
    "AdaIN": Truth(
        lambda x: hat(x, (2, 3)) * STYLE[0, :, :, :1, :1] + STYLE[1, :, :, :1, :1], MAPS, IN, method="instance",
        divides=VAR,
    ),
    "SPADE": Truth(lambda x: hat(x, (0, 2, 3)) * STYLE[0] + STYLE[1], MAPS, BN, method="batch", **NORMAL),
    "EvoNorm-S0": Truth(
        lambda x: x / (1 + np.exp(-x)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5), MAPS, IN
    ),
    "FRN, then TLU": Truth(
        lambda x: np.maximum(hat(x, (2, 3), 1e-6, centered=False), 0.1), MAPS, IN, method="frn", divides=SQUARE,
        centered=False, curve=True,
    ),
    "divisive": Truth(
        lambda x: x / np.sqrt(1 + (x * x).mean(1, keepdims=True)), MAPS, (SAME, ALL, SAME, SAME), method="rms",
        divides=SQUARE, centered=False,
    ),
    "power norm": Truth(lambda x: hat(x, (0, 2, 3), centered=False), MAPS, BN, divides=SQUARE, centered=False),
    "whitened": Truth(whitened, MAPS, None),
    "IterNorm": Truth(lambda x: whitened(x, 5), (8, 4, 8, 8), (ALL,) * 4),
    "then ReLU": Truth(lambda x: np.maximum(hat(x, (1, 2, 3)), 0), MAPS, LN, method="layer", curve=True, **NORMAL),
    "then a square": Truth(lambda x: hat(x, (2, 3)) ** 2, MAPS, IN, method="instance", curve=True, **NORMAL),
    "without itself": Truth(without_itself, MAPS, IN, method="instance", curve=True, **NORMAL),  # a curve of x_hat
    "residual": Truth(lambda x: x + hat(x, (1,)), TOKENS, ONE),
    "sorted": Truth(lambda x: np.sort(x, 3), MAPS, None),
    "no change": Truth(lambda x: x + 0 * global_response(x), MAPS, (SAME,) * 4),
    "scales of samples": Truth(lambda x: x * np.arange(1, 4).reshape(3, 1, 1, 1), MAPS, (SAME,) * 4),
    "scales of elements": Truth(lambda x: x * STYLE[0, :1], MAPS, (SAME,) * 4, never=("Batch Norm",)),
    "a step": Truth(lambda x: np.where(x > 0, 1.0, 0.0), MAPS, (SAME,) * 4),
    "a narrow clip": Truth(lambda x: np.clip(x, -0.01, 0.01), MAPS, (SAME,) * 4),
}  # fmt: skip

TRUTHS = {**OVERLAPS, **MASKED, **OTHERS}


def expected_sets(case):
    """Labels of the disjoint sets, and the cells that are mute among them; None where the sets overlap."""
    if case.rules is None:
        return None, None
    answers = relation(case.shape, case.rules)
    if not np.array_equal(answers, answers.T) or not np.array_equal(answers, answers @ answers):
        return None, None
    labels = answers.argmax(1).reshape(case.shape)
    keep = np.broadcast_to(True if case.keep is None else case.keep, case.shape)
    if case.keep is not None and case.otherwise != "normalized":
        labels = np.where(keep, labels, labels.size + np.arange(labels.size).reshape(case.shape))
    return number(labels), ~keep


@pytest.mark.parametrize("name", TRUTHS)
def test_every_sentence_is_true(name):
    case = TRUTHS[name]
    found = nv.probe(case.fn, case.shape, channel_axis=case.axis)
    said, (labels, mute) = str(found), expected_sets(case)
    why = found.undetermined.get("labels", "")

    assert found.calls <= MOST_CALLS, said
    if case.overlap is not None:
        assert why.startswith("sets overlap: each cell responds to "), said
        assert case.overlap in why
    elif labels is None:
        assert not why.startswith("sets overlap: each"), said  # no product of axes
    if labels is None:
        assert found.labels is found.block is found.method is None, said
        assert not re.search("subtracted|is divided by|activation|Norm with|No weight|sets of", said), said
        return
    assert not why.startswith("sets overlap: each"), said
    if found.labels is not None:
        assert np.array_equal(number(found.labels), labels), said
        assert found.elementwise or found.sets_in_words() in said
        alone = int((np.bincount(labels.ravel()) == 1).sum())
        if case.otherwise in ("zero", "passed"):
            assert f"{alone} cells stand alone" in said
    else:
        assert name in ("quartiles", "percentiles", "attention", "RMS, one output constant"), (
            said
        )  # some cells hardly respond
    if case.otherwise == "normalized":
        assert found.mute.any()
        assert not (found.mute & ~mute).any()
        assert "The sets are disjoint, but at least " in said
    else:
        assert found.mute is None, said

    samples = labels.reshape(len(labels), -1)
    coupled = any(bool(np.isin(one, other).any()) for one, other in zip(samples, np.roll(samples, 1, 0), strict=True))
    assert found.labels is None or found.couples_samples is coupled

    if "is divided by" in said:
        assert f"the square {case.divides}" in said, said
        assert ("The mean of the set is subtracted" in said) == case.centered, said
    elif found.is_normalizer:
        assert case.divides is None, said
    assert ("nonlinear function of x_hat" in said) == case.curve, said
    assert found.method in (None, case.method), said
    assert not any(word in said for word in case.never), said
    if "depends on the scale" in said:
        x = np.random.default_rng(0).normal(size=case.shape)
        assert not np.allclose(case.fn(4 * x), case.fn(x), atol=1e-3)


def test_mute_cells_are_found_whichever_cells_are_tried():
    case = TRUTHS["RMS of padded samples, the others normalized, by a product"]
    labels, mute = expected_sets(case)
    for seed in range(12):
        found = nv.probe(case.fn, case.shape, seed=seed)
        assert np.array_equal(number(found.labels), labels)
        assert found.mute.any()
        assert not (found.mute & ~mute).any()
        assert found.method is found.is_normalizer is None


@pytest.mark.parametrize("name", ["steps of all channels", "moving average", "GRN", "L2 of vectors", *[*MASKED][:3]])
def test_the_same_in_float32(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    case = TRUTHS[name]

    def fn(x):
        return torch.tensor(case.fn(x.double().numpy())).float()

    found, same = (nv.probe(f, case.shape, channel_axis=case.axis) for f in (fn, case.fn))
    assert (found.framework, found.dtype) == ("torch", "float32")
    for field in ("method", "block", "centered", "is_normalizer"):
        assert getattr(found, field) == getattr(same, field)
    assert found.undetermined.get("labels") == same.undetermined.get("labels")
    assert (found.mute is None) == (same.mute is None)


def test_the_overlap_is_what_single_cells_show():
    """The oracle of this file, checked itself: the matrix is what NaN in one cell after the other shows."""
    for name in ("steps of each channel", "dilated", "overlapping groups", "backwards"):
        case = TRUTHS[name]
        answers, x = relation(case.shape, case.rules), np.random.default_rng(0).normal(size=case.shape)
        for cell in range(0, x.size, 7):
            poisoned = x.copy()
            poisoned.flat[cell] = np.nan
            assert np.array_equal(np.isnan(case.fn(poisoned)).ravel(), answers[:, cell]), (name, cell)
