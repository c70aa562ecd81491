"""Filter Response Normalization with its thresholded linear unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.functions.reduce import statistics
from normviz.relatives.work import Work, begin, entries, normalizer

TAU = "one threshold per channel"


@dataclass(frozen=True, eq=False)
class FRNGradients:
    """Gradients of a loss with respect to the arguments of `frn`, as in `normviz.Gradients`.

    `tau` is (C,), float64; None where no threshold was given.
    """

    input: Any
    weight: np.ndarray
    bias: np.ndarray
    tau: np.ndarray | None
    backend: str


@normalizer
def frn(
    x: Any, *, weight: Any = None, bias: Any = None, tau: Any = None, eps: float = 1e-5, channel_axis: int = 1,
    backend: str | None = None,
) -> Any:  # fmt: skip
    """Return max(x / sqrt(mean(x^2) + eps) * weight + bias, tau), the mean over each channel of each sample.

    Parameters
    ----------
    x, weight, bias, channel_axis, backend
        As in `normviz.normalize`; weight and bias are (C,).
    tau
        The thresholds, (C,). Zeros make a ReLU; None applies no threshold.
    eps
        Added to the mean square, > 0.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    PyTorch has no layer for it: torch.maximum(x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + eps) * weight +
    bias, tau), each of the last three of shape (1, C, 1, 1). Source: Singh & Krishnan 2020.

    Examples
    --------
    >>> frn(np.array([[[3.0, -4.0]]]), tau=[0.5]).round(3)
    array([[[0.849, 0.5  ]]])
    """
    work = begin(x, channel_axis, backend)
    y = work.normalize("frn", weight=weight, bias=bias, eps=eps)
    if tau is not None:
        np.maximum(y, _level(work, tau, y), out=y)
    return work.finish(y)


@normalizer
def frn_gradient(
    x: Any, grad_output: Any, *, weight: Any = None, bias: Any = None, tau: Any = None, eps: float = 1e-5,
    channel_axis: int = 1, backend: str | None = None,
) -> FRNGradients:  # fmt: skip
    """Return the gradients of `frn`, given the gradient of its output.

    Where a value is below its threshold, the gradient goes to tau; where both are equal, half of it does, as in
    torch.maximum. Unlike in `normviz.gradient` the bias matters, because it decides which values are below.

    Examples
    --------
    >>> x = np.array([[[3.0, -4.0]]])
    >>> frn_gradient(x, np.ones_like(x), tau=[0.5]).tau
    array([1.])
    """
    work = begin(x, channel_axis, backend)
    g, of_tau = work.like(grad_output, "grad_output"), None
    options: Any = {"weight": weight, "eps": eps}
    if tau is not None:
        options["statistics"] = statistics(work.x, "frn", backend=work.asked)
        y = work.normalize("frn", bias=bias, **options)
        y -= _level(work, tau, y)
        share = np.sign(y, out=y)  # 1 above the threshold, 0 on it, -1 below
        share += 1
        share *= 0.5
        above = g * share
        below = statistics(g - above, "batch", backend=work.asked)
        of_tau, g = below.mean * below.count, above
    found = work.gradient("frn", g, **options)
    return FRNGradients(work.finish(found[0]), *found[1:], of_tau, work.backend)


def _level(work: Work, tau: Any, y: Any) -> Any:
    """Return the thresholds beside y, in its dtype."""
    C = y.shape[1:2]
    return work.asarray(work.spread(entries(tau, "tau", C, TAU)).astype(y.dtype))
