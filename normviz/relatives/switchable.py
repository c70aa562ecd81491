"""Switchable Normalization: a mixture of the statistics of instance, layer and batch."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from normviz.arrays.arguments import check_eps
from normviz.core.statistics import Statistics
from normviz.functions.reduce import moments
from normviz.relatives.work import Work, begin, entries, normalizer

MIXED = {"instance": (), "layer": (1,), "batch": (0,)}
"""The methods whose statistics are mixed, in the order of the logits, and the axes of (N, C) that a set spans."""


@dataclass(frozen=True, eq=False)
class SwitchableGradients:
    """Gradients of a loss with respect to the arguments of `switchable`, as in `normviz.Gradients`.

    `mean_weights` and `var_weights` are (3,), float64: with respect to the logits.
    """

    input: Any
    weight: np.ndarray
    bias: np.ndarray
    mean_weights: np.ndarray
    var_weights: np.ndarray
    backend: str


@normalizer
def switchable(
    x: Any, *, mean_weights: Any = (0.0, 0.0, 0.0), var_weights: Any = (0.0, 0.0, 0.0), weight: Any = None,
    bias: Any = None, eps: float = 1e-5, channel_axis: int = 1, backend: str | None = None,
) -> Any:  # fmt: skip
    """Return x normalized by a softmax-weighted mean of the means, and of the variances, of instance, layer and batch.

    Parameters
    ----------
    x, weight, bias, channel_axis, backend
        As in `normviz.normalize`; weight and bias are (C,).
    mean_weights, var_weights
        Three logits each, for instance, layer and batch in this order. Their softmax gives the shares.
    eps
        Added to the mixed variance, > 0.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    Variances are biased. PyTorch has no layer for it; with one logit far above the others it is torch.nn's
    InstanceNorm2d, GroupNorm(1, C) or BatchNorm2d in training. Source: Luo et al. 2018.

    Examples
    --------
    >>> x = np.arange(8.0).reshape(2, 2, 2)
    >>> far = (0, 0, 1e3)  # batch alone
    >>> y = switchable(x, mean_weights=far, var_weights=far)
    >>> np.allclose(y, (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-5))
    True
    """
    work = begin(x, channel_axis, backend)
    mixed = _mixed(_statistics(work), *_shares(mean_weights, var_weights))
    return work.finish(work.normalize("instance", weight=weight, bias=bias, eps=eps, statistics=mixed))


@normalizer
def switchable_gradient(
    x: Any, grad_output: Any, *, mean_weights: Any = (0.0, 0.0, 0.0), var_weights: Any = (0.0, 0.0, 0.0),
    weight: Any = None, eps: float = 1e-5, channel_axis: int = 1, backend: str | None = None,
) -> SwitchableGradients:  # fmt: skip
    """Return the gradients of `switchable`, given the gradient of its output.

    Notes
    -----
    With s = sqrt(var + eps) and g = weight * grad_output: the mixed mean gets -sum(g) / s and the mixed variance
    -sum(g * x_hat) / (2 s^2), each per sample and channel. Each of the three statistics passes its share on to its own
    set.

    Examples
    --------
    >>> x = np.arange(8.0).reshape(2, 2, 2)
    >>> found = switchable_gradient(x, np.ones_like(x))
    >>> found.mean_weights.shape, found.weight.shape
    ((3,), (2,))
    """
    work, eps = begin(x, channel_axis, backend), check_eps(eps)
    grad, parts = work.like(grad_output, "grad_output"), _statistics(work)
    p, q = _shares(mean_weights, var_weights)
    N, C = work.x.shape[:2]
    gamma = np.ones(C) if weight is None else entries(weight, "weight", (C,), "one entry per channel")
    mixed = _mixed(parts, p, q)
    mean, var, s = mixed.mean, mixed.var, np.sqrt(mixed.var + eps)
    options: Any = {"eps": eps, "statistics": mixed}
    of_input, of_scale, of_shift = work.gradient(
        "instance", grad, scale=np.broadcast_to(gamma, (N, C)), fixed=True, **options
    )
    to_mean, to_var = -gamma * of_shift / s, -gamma * of_scale / (2 * s * s)

    # Every part's mean and variance reach each x of its set: mean by 1 / |S|, variance by 2 (x - its mean) / |S|.
    flat, slope = np.zeros_like(mean), np.zeros_like(mean)
    for part, share_mean, share_var in zip(parts, p, q, strict=True):
        flat += share_mean * to_mean.sum(axis=part.axes, keepdims=True) / part.size
        each = 2 * share_var * to_var.sum(axis=part.axes, keepdims=True) / part.size
        flat += each * (mean - part.mean)
        slope += each
    of_input += work.normalize("instance", scale=slope * s, shift=flat, **options)
    # Relative to the mixture, because a softmax does not depend on a common summand.
    of_p = np.array([(to_mean * (part.mean - mean)).sum() for part in parts])
    of_q = np.array([(to_var * (part.var - var)).sum() for part in parts])
    of_p, of_q = (share * (of - share @ of) for share, of in ((p, of_p), (q, of_q)))
    return SwitchableGradients(work.finish(of_input), of_scale.sum(0), of_shift.sum(0), of_p, of_q, work.backend)


class Part(NamedTuple):
    """One of the three: mean and variance broadcasting against (N, C), |S|, and the axes of (N, C) that a set spans."""

    mean: np.ndarray
    var: np.ndarray
    size: int
    axes: tuple[int, ...]


def _statistics(work: Work) -> list[Part]:
    """Work out the three from one pass."""
    atoms, parts = moments(work.x, backend=work.asked), []
    for name, axes in MIXED.items():
        found = atoms.pool(name)
        lined = [1 if k in axes else n for k, n in enumerate(atoms.shape)]
        parts.append(Part(found.mean.reshape(lined), found.var.reshape(lined), found.count, axes))
    return parts


def _mixed(parts: list[Part], p: np.ndarray, q: np.ndarray) -> Statistics:
    """Return the mean and the variance of the mixture, (N, C)."""
    # Relative to one of them: a sum of large means would lose their differences.
    mean, var = parts[0].mean, np.zeros_like(parts[0].var)
    for part, share_mean, share_var in zip(parts, p, q, strict=True):
        mean = mean + share_mean * (part.mean - parts[0].mean)
        var = var + share_var * part.var
    return Statistics(mean=mean, var=var, count=1)


def _shares(mean_weights: Any, var_weights: Any) -> list[np.ndarray]:
    """Softmax of the logits."""
    shares = []
    for name, value in (("mean_weights", mean_weights), ("var_weights", var_weights)):
        logits = entries(value, name, (3,), "a logit each for instance, layer and batch")
        if not np.isfinite(logits).all():
            wrong = logits[~np.isfinite(logits)][0]
            raise ValueError(f"{name} holds {wrong}; logits are finite, and 1e3 is far enough")
        e = np.exp(logits - logits.max())
        shares.append(e / e.sum())
    return shares
