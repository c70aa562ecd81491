"""Instance Norm with the affine map of a style: a row of a table, or the statistics of another image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import check_eps
from normviz.core.array_kinds import host
from normviz.core.errors import brief
from normviz.core.statistics import Statistics
from normviz.functions.gradient import Gradients
from normviz.functions.reduce import statistics
from normviz.relatives.work import Work, begin, entries, normalizer


@normalizer
def conditional_instance(
    x: Any, style: Any, *, weight: Any = None, bias: Any = None, eps: float = 1e-5, channel_axis: int = 1,
    backend: str | None = None,
) -> Any:  # fmt: skip
    """Return Instance Norm of x with the weight and the bias of each sample's style.

    Parameters
    ----------
    x, eps, channel_axis, backend
        As in `normviz.normalize`.
    style
        N whole numbers from 0 to S - 1: the row of the tables for each sample.
    weight, bias
        Tables of shape (S, C); at least one of them.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    PyTorch: torch.nn.functional.instance_norm(x) * weight[style][:, :, None, None] + bias[style][:, :, None, None].
    Source: Dumoulin, Shlens & Kudlur 2017.

    Examples
    --------
    >>> x = np.array([[[1.0, 3.0]], [[1.0, 3.0]]])
    >>> conditional_instance(x, [0, 1], weight=[[1.0], [10.0]]).round(2)
    array([[[ -1.,   1.]],
    <BLANKLINE>
           [[-10.,  10.]]])
    """
    work = begin(x, channel_axis, backend)
    chosen, gamma, beta = _tables(work, style, weight, bias)
    return work.finish(work.normalize("instance", scale=gamma[chosen], shift=beta[chosen], eps=eps))


@normalizer
def conditional_instance_gradient(
    x: Any, grad_output: Any, style: Any, *, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    channel_axis: int = 1, backend: str | None = None,
) -> Gradients:  # fmt: skip
    """Return the gradients of `conditional_instance`; those of the tables are (S, C).

    Examples
    --------
    >>> x = np.array([[[1.0, 3.0]], [[1.0, 3.0]]])
    >>> conditional_instance_gradient(x, np.ones_like(x), [1, 1], weight=[[1.0], [10.0]]).bias
    array([[0.],
           [4.]])
    """
    work = begin(x, channel_axis, backend)
    grad = work.like(grad_output, "grad_output")
    chosen, gamma, _ = _tables(work, style, weight, bias)
    of_input, *of_samples = work.gradient("instance", grad, scale=gamma[chosen], eps=eps)
    of_weight, of_bias = np.zeros_like(gamma), np.zeros_like(gamma)
    for table, of_each in zip((of_weight, of_bias), of_samples, strict=True):
        np.add.at(table, chosen, of_each)
    return Gradients(work.finish(of_input), of_weight, of_bias, work.backend)


def _tables(work: Work, style: Any, weight: Any, bias: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row of each sample and both tables, after a check."""
    C = work.x.shape[1]
    given = {name: host(value) for name, value in (("weight", weight), ("bias", bias)) if value is not None}
    if not given:
        raise ValueError(f"neither weight nor bias is given; conditional_instance needs a table of shape (S, {C})")
    name, first = next(iter(given.items()))
    if first.ndim != 2 or first.shape[1] != C or not len(first):
        needed = f"(S, {C}), a row per style and an entry per channel"
        raise ValueError(f"{name} has shape {first.shape}; it needs {needed}")
    S = len(first)
    tables = {key: entries(value, key, (S, C), "as the other table") for key, value in given.items()}
    chosen = host(style)
    if chosen.dtype.kind not in "iu":
        raise TypeError(f"style has dtype {chosen.dtype}; use whole numbers, one per sample")
    if chosen.shape != work.x.shape[:1]:
        raise ValueError(f"style has shape {chosen.shape}; it needs {work.x.shape[:1]}, one number per sample")
    if chosen.min() < 0 or chosen.max() >= S:
        wrong = chosen[(chosen < 0) | (chosen >= S)][0]
        raise ValueError(f"style holds {wrong}; {name} has S={S} styles, 0 to {S - 1}")
    return chosen, tables.get("weight", np.ones((S, C))), tables.get("bias", np.zeros((S, C)))


@dataclass(frozen=True, eq=False)
class AdaINGradients:
    """Gradients of a loss with respect to the arguments of `adain`.

    `input` and `style` are the same kinds of arrays as x and style, in their shapes.
    """

    input: Any
    style: Any
    backend: str


@normalizer
def adain(
    x: Any, style: Any, *, alpha: float = 1.0, eps: float = 1e-5, channel_axis: int = 1, backend: str | None = None
) -> Any:
    """Return x with the mean and the standard deviation of `style`, per sample and channel.

    Parameters
    ----------
    x
        The content, (N, C, *spatial), as in `normviz.normalize`.
    style
        Shape (N, C, *its own spatial axes), or (1, C, ...) for one style for all samples.
    alpha
        From 0 (x unchanged) to 1 (the whole style): alpha * AdaIN(x, style) + (1 - alpha) * x.
    eps
        Added to both variances, > 0, so that AdaIN(x, x) is x. Variances are biased.
    channel_axis, backend
        As in `normviz.normalize`; channel_axis is that of both.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    PyTorch, but for eps: style.std((2, 3), correction=0, keepdim=True) * torch.nn.functional.instance_norm(x) +
    style.mean((2, 3), keepdim=True). Source: Huang & Belongie 2017.

    Examples
    --------
    >>> adain(np.array([[[0.0, 2.0]]]), np.array([[[10.0, 10.0, 16.0, 16.0]]])).round(3)
    array([[[10., 16.]]])
    """
    work, _, alpha, found, scale = _both(x, style, alpha, eps, channel_axis, backend)
    y = work.normalize("instance", scale=alpha * scale, shift=alpha * found.mean, eps=eps)
    if alpha < 1:
        work.add(y, 1 - alpha, work.x)
    return work.finish(y)


@normalizer
def adain_gradient(
    x: Any, grad_output: Any, style: Any, *, alpha: float = 1.0, eps: float = 1e-5, channel_axis: int = 1,
    backend: str | None = None,
) -> AdaINGradients:  # fmt: skip
    """Return the gradients of `adain` with respect to content and style, given the one of its output.

    Notes
    -----
    The style's mean gets sum(g) and its deviation sum(g * x_hat), per sample and channel; from the mean, each
    value of the style gets 1 / |S|; from the deviation s, it gets (value - mean) / (|S| s).

    Examples
    --------
    >>> x, style = np.array([[[0.0, 2.0]]]), np.array([[[10.0, 16.0]]])
    >>> adain_gradient(x, np.ones_like(x), style).style.round(3)
    array([[[1., 1.]]])
    """
    work, other, alpha, found, scale = _both(x, style, alpha, eps, channel_axis, backend)
    grad = work.like(grad_output, "grad_output")
    of_input, to_scale, to_mean = work.gradient("instance", grad, scale=alpha * scale, eps=eps)
    if alpha < 1:
        work.add(of_input, 1 - alpha, grad)
    # The style's own pass divides by its deviation.
    each = alpha / found.count
    of_style = other.normalize("instance", scale=each * to_scale, shift=each * to_mean, eps=eps, statistics=found)
    return AdaINGradients(work.finish(of_input), other.finish(of_style), work.backend)


def _both(
    x: Any, style: Any, alpha: float, eps: float, channel_axis: int, backend: str | None
) -> tuple[Work, Work, float, Statistics, np.ndarray]:
    """Check the arguments; return content, style, alpha, and the style's statistics and standard deviations."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.number)) or not 0 <= alpha <= 1:
        raise ValueError(f"alpha={brief(alpha)} is not between 0 (x as it is) and 1 (the style whole)")
    work = begin(x, channel_axis, backend)
    other = begin(style, channel_axis, work.backend, "style")
    N, C = work.x.shape[:2]
    if other.x.shape[:2] not in ((N, C), (1, C)):
        n, c = other.x.shape[:2]
        needed = "the same C and as many samples or 1"
        raise ValueError(f"style has N={n}, C={c}; x has N={N}, C={C}, and style needs {needed}")
    eps, found = check_eps(eps), statistics(other.x, "instance", backend=other.backend)
    return work, other, float(alpha), found, np.sqrt(found.var + eps)
