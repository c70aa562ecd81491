"""Weight Norm and Weight Standardization, which normalize the weights of a layer and not its data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import check_eps
from normviz.core.array_kinds import host
from normviz.core.errors import brief
from normviz.core.statistics import Statistics
from normviz.functions.reduce import statistics
from normviz.relatives.work import Work, begin, entries, normalizer

TINY = np.finfo(np.float64).tiny
"""Takes the place of an eps of 0, with which a filter of zeros would be 0 / 0."""


@dataclass(frozen=True, eq=False)
class WeightNormGradients:
    """Gradients of a loss with respect to the arguments of `weight_norm`.

    `v` is the same kind of array as v, in its shape; orthogonal to v, filter by filter. `g` is (Cout,), float64.
    """

    v: Any
    g: np.ndarray
    backend: str


@normalizer
def weight_norm(v: Any, g: Any = None, *, dim: int = 0, eps: float = 0.0, backend: str | None = None) -> Any:
    """Return g * v / ||v||, with the norm of each filter.

    Parameters
    ----------
    v
        Weights, 2 to 5 axes, such as (Cout, Cin, kH, kW) or (out, in).
    g
        The new norms, (Cout,); ones by default. With g = ||v|| the result is v.
    dim
        The axis of Cout: 0 in PyTorch, -1 in Keras and Flax, whose kernels are (kH, kW, Cin, Cout).
    eps
        Added to the squared norm, >= 0.
    backend
        As in `normviz.normalize`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or a filter is zero, or too small to be squared, and eps is 0.

    Notes
    -----
    PyTorch: torch.nn.utils.parametrizations.weight_norm, which keeps g as original0 and v as original1, and has no eps.
    Source: Salimans & Kingma 2016.

    Examples
    --------
    >>> weight_norm([[3.0, 4.0], [0.0, 2.0]], [10.0, 1.0])
    array([[6., 8.],
           [0., 1.]])
    """
    work, options = _directed(v, g, dim, eps, backend)
    return work.finish(work.normalize("weight_norm", **options))


@normalizer
def weight_norm_gradient(
    v: Any, grad_output: Any, g: Any = None, *, dim: int = 0, eps: float = 0.0, backend: str | None = None
) -> WeightNormGradients:
    """Return the gradients of `weight_norm`, given the gradient of its output, which has v's shape.

    The gradient of v is g / ||v|| * (grad - u (u . grad)) with u = v / ||v||. It is orthogonal to v, because the length
    of v does not matter; so a step of gradient descent never shortens v. The gradient of g is u . grad.

    Examples
    --------
    >>> found = weight_norm_gradient([[3.0, 4.0]], [[1.0, 0.0]])
    >>> found.v.round(3), found.g.round(3)
    (array([[ 0.128, -0.096]]), array([0.6]))
    """
    work, options = _directed(v, g, dim, eps, backend)
    of_v, of_g, _ = work.gradient("weight_norm", work.like(grad_output, "grad_output"), **options)
    return WeightNormGradients(work.finish(of_v), of_g, work.backend)


@normalizer
def weight_standardization(
    w: Any, *, eps: float = 1e-5, unbiased: bool = False, dim: int = 0, backend: str | None = None
) -> Any:
    """Return (w - mean) / sqrt(var + eps), with the mean and the biased variance of each filter.

    Parameters
    ----------
    w, dim, backend
        As v, dim and backend in `weight_norm`.
    eps
        > 0; added to the variance or, with `unbiased`, to the deviation.
    unbiased
        True divides as the authors' code does: by the unbiased standard deviation (n - 1) plus eps, outside the root.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit; also for a filter of a single weight, which has no unbiased deviation.

    Notes
    -----
    PyTorch: (w - w.mean((1, 2, 3), keepdim=True)) / torch.sqrt(w.var((1, 2, 3), correction=0, keepdim=True) + eps).
    Source: Qiao et al. 2019.

    Examples
    --------
    >>> weight_standardization([[1.0, 3.0], [0.0, 20.0]]).round(2)
    array([[-1.,  1.],
           [-1.,  1.]])
    >>> weight_standardization([[1.0, 3.0]], unbiased=True).round(2)
    array([[-0.71,  0.71]])
    """
    work, eps = _filters(w, "w", dim, backend), check_eps(eps)
    options: Any = {"eps": TINY, "statistics": _authors(work, eps)[0]} if unbiased else {"eps": eps}
    return work.finish(work.normalize("weight_standardization", **options))


@normalizer
def weight_standardization_gradient(
    w: Any, grad_output: Any, *, eps: float = 1e-5, unbiased: bool = False, dim: int = 0, backend: str | None = None
) -> Any:
    """Return the gradient of `weight_standardization` with respect to w: the same kind of array, in its shape.

    It sums to 0 over each filter. With `unbiased`, d the divisor and s the unbiased deviation of n weights:
    (g - mean(g)) / d - c sum(g c) / (d^2 (n - 1) s), with c = w - mean(w).

    Examples
    --------
    >>> weight_standardization_gradient([[0.0, 1.0, 5.0]], [[1.0, 0.0, 0.0]]).round(3)
    array([[ 0.176, -0.22 ,  0.044]])
    """
    work, eps = _filters(w, "w", dim, backend), check_eps(eps)
    g = work.like(grad_output, "grad_output")
    if not unbiased:
        return work.finish(work.gradient("weight_standardization", g, eps=eps)[0])
    given, s = _authors(work, eps)
    options: Any = {"eps": TINY, "statistics": given}
    of_input, along, total = work.gradient("weight_standardization", g, fixed=True, **options)
    # In a constant filter c is 0, whatever it is divided by.
    scale, shift = along / ((1 - given.count) * np.where(s == 0, 1.0, s)), -total / (given.count * np.sqrt(given.var))
    of_input += work.normalize("weight_standardization", weight=scale, bias=shift, **options)
    return work.finish(of_input)


def _filters(w: Any, name: str, dim: int, backend: str | None) -> Work:
    w = w if hasattr(w, "ndim") else host(w)
    rank = w.ndim
    if not hasattr(dim, "__index__") or isinstance(dim, bool) or (rank > 1 and not -rank <= dim < rank):
        raise ValueError(f"dim={brief(dim)} is not an axis of {name}, rank {rank}; 0 is PyTorch's, -1 that of Keras")
    return begin(w, dim if rank > 1 else 1, backend, name, weights=True)


def _directed(v: Any, g: Any, dim: int, eps: float, backend: str | None) -> tuple[Work, dict[str, Any]]:
    """Check the arguments of weight_norm; return the weights, and the options of a pass over them."""
    work = _filters(v, "v", dim, backend)
    filters = work.x.shape[:1]
    gain = np.ones(filters) if g is None else entries(g, "g", filters, "one gain per filter")
    if eps != 0 or isinstance(eps, bool):
        return work, {"weight": gain, "eps": check_eps(eps)}
    found = statistics(work.x, "weight_norm", backend=work.asked)
    for k in np.flatnonzero(found.var < TINY / np.finfo(np.float64).eps)[:1]:  # TINY would change the norm
        if work.x[k].any():
            raise ValueError(f"filter {k} of v is too small to be squared; scale v first, or give eps > 0")
        raise ValueError(f"filter {k} of v is all zeros, which has no direction; give eps > 0 to keep it zero")
    return work, {"weight": gain, "eps": TINY, "statistics": found}


def _authors(work: Work, eps: float) -> tuple[Statistics, np.ndarray]:
    """Return statistics with the squared divisor of the authors' code as variance, and the unbiased deviation."""
    found = statistics(work.x, "weight_standardization", backend=work.asked)
    if found.count == 1:
        raise ValueError("a filter of w has one weight, which has no unbiased deviation; leave unbiased out")
    s = np.sqrt(found.var * (found.count / (found.count - 1)))
    return Statistics(mean=found.mean, var=(s + eps) ** 2, count=found.count), s
