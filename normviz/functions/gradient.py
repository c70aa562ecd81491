"""The gradients of `normalize`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import (
    check_eps,
    like_x,
    parameter,
    result_dtype,
    uncanonical,
    unparameter,
)
from normviz.backends.cuda.oom import falls_back
from normviz.core.errors import check_keywords
from normviz.core.methods import find
from normviz.functions.resolve import measure, start


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a loss with respect to what went into `normalize`.

    Attributes
    ----------
    input
        The same kind of array as x, in its shape.
    weight, bias
        Float64 NumPy arrays in the shape of the weight; where none was given (C,), for weights (Cout,).
    backend
        Who computed them.
    """

    input: Any
    weight: np.ndarray
    bias: np.ndarray
    backend: str


@check_keywords
@falls_back
def gradient(
    x: Any,
    grad_output: Any,
    method: str,
    *,
    num_groups: int | None = None,
    weight: Any = None,
    eps: float = 1e-5,
    channel_axis: int = 1,
    backend: str | None = None,
) -> Gradients:
    """Return the gradients of normalize(x, method, weight=weight, bias=bias), given the one of its output.

    Parameters
    ----------
    x
        What went in, (N, C, *spatial).
    grad_output
        Gradient of the loss with respect to the output, in x's shape.
    method, num_groups, weight, eps, channel_axis, backend
        As in `normalize`. The bias has no influence on the gradients.

    Notes
    -----
    dL/dx = (g - mean(g) - x_hat * mean(g * x_hat)) / sqrt(var + eps) with g = weight * grad_output and means over the
    cell's set; rms and frn lack the middle term, and weight_norm has the sum in place of the last mean. As
    loss.backward() in PyTorch.

    Examples
    --------
    >>> x, g = np.array([[[0.0, 2.0]]]), np.array([[[1.0, 0.0]]])
    >>> gradient(x, g, "instance", eps=1e-12).bias
    array([1.])
    """
    view, pool, worker, back = start(x, method, num_groups, channel_axis, backend)
    eps = check_eps(eps)
    gamma = worker.xp.asarray(parameter(weight, "weight", pool, channel_axis, 1.0))
    grad = like_x(grad_output, "grad_output", view, worker, channel_axis)

    result = worker.empty_like(view, result_dtype(view))
    mean, rstd = measure(view, pool, worker, eps)
    row = find(method)
    # A norm is the root of the mean square times that of |S|: x / ||x|| * weight is x / rms(x) * (weight / root).
    root = pool.size**0.5 if row.statistic == "squared norm" else 1.0
    parameters = worker.gradient(view, grad, mean, rstd * root, gamma / root, result, pool.block, row.centered)
    elementwise = weight is not None and np.ndim(weight) > 1
    of_weight, of_bias = (unparameter(worker.host(p), elementwise, channel_axis) for p in parameters)
    of_weight = of_weight / root
    return Gradients(back(uncanonical(result, channel_axis)), of_weight, of_bias, worker.name)
