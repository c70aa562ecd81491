"""`gradient`: the derivatives of `normalize` by its input, weight and bias."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.paths import compute
from normviz.arrays.request import resolve
from normviz.backends.placement import on_the_device_of_x
from normviz.core.errors import check_keywords
from normviz.core.statistics import Statistics
from normviz.functions.running import RunningStatistics


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a loss with respect to the arguments of `normalize`.

    Attributes
    ----------
    input
        The same kind of array as x, in its shape.
    weight, bias
        Float64 NumPy arrays in the shape of the weight, also where all heads share it. Without a weight they are (C,),
        or (Cout,) for weights.
    backend
        The backend that computed them.
    """

    input: Any
    weight: np.ndarray
    bias: np.ndarray
    backend: str


@check_keywords
@on_the_device_of_x
def gradient(
    x: Any,
    grad_output: Any,
    method: str,
    *,
    num_groups: int | None = None,
    weight: Any = None,
    eps: float = 1e-5,
    statistics: Statistics | RunningStatistics | None = None,
    channel_axis: int = 1,
    backend: str | None = None,
) -> Gradients:
    """Return the gradients of normalize(x, method, weight=weight, bias=bias), given the gradient of its output.

    Parameters
    ----------
    x
        The input of normalize, (N, C, *spatial).
    grad_output
        Gradient of the loss with respect to the output, in x's shape.
    method, num_groups, weight, eps, channel_axis, backend
        As in `normalize`. The bias has no influence on the gradients.
    statistics
        Statistics are x's own, saved from `statistics(x, method)`, so that they need not be computed again.
        RunningStatistics are constants: the gradient does not pass through them, as in a PyTorch layer after eval().

    Notes
    -----
    dL/dx = (g - mean(g) - x_hat * mean(g * x_hat)) / sqrt(var + eps), with g = weight * grad_output and means over the
    cell's set. For a method that takes no mean there is no mean(g); for weight_norm the last mean is a sum. PyTorch
    computes the same by loss.backward(). A grad_output that is 1 at one cell i and 0 elsewhere gives d y_i / d x_j for
    every j, as the explorer shows it with color="gradient".

    Examples
    --------
    >>> x, g = np.array([[[0.0, 2.0]]]), np.array([[[1.0, 0.0]]])
    >>> gradient(x, g, "instance", eps=1e-12).bias
    array([1.])
    """
    if grad_output is None:
        raise TypeError("grad_output is None; give the gradient of the output, an array of x's shape")
    given: Any = {"weight": weight, "eps": eps, "statistics": statistics, "grad_output": grad_output}
    request = resolve(x, method, num_groups, channel_axis, backend, **given)
    of_input, of_weight, of_bias, worker = compute("gradient", request)
    return Gradients(of_input, of_weight, of_bias, worker.name)
