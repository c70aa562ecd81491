"""`normalize`: one function for all methods."""

from typing import Any

import numpy as np

from normviz.arrays.paths import compute
from normviz.arrays.request import resolve
from normviz.backends.placement import on_the_device_of_x
from normviz.core.array_kinds import source
from normviz.core.errors import check_keywords
from normviz.core.statistics import Statistics
from normviz.functions.running import RunningStatistics
from normviz.streaming import dask_arrays


@check_keywords
@on_the_device_of_x
def normalize(
    x: Any,
    method: str,
    *,
    num_groups: int | None = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    statistics: Statistics | RunningStatistics | None = None,
    out: Any = None,
    channel_axis: int = 1,
    backend: str | None = None,
) -> Any:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, where mean and var are those of each cell's pooling set.

    For "weight_norm" this is v / ||v|| * g as in the paper: mean is 0, var is the squared norm, and weight is g.

    Parameters
    ----------
    x
        Array of shape (N, C, *spatial), rank 2 to 5: NumPy, CuPy, torch (detached), JAX, or a nested list; or a
        dask array, for which the result is lazy.
    method
        A key of METHODS; rms, per_head_rms, frn and weight_norm subtract no mean.
    num_groups
        G: the number of groups of channels for "group", of heads for "per_head" and "per_head_rms", of slices of the
        batch for "ghost". No other method takes it.
    weight, bias
        Shape (C,); for "layer" also the shape of one sample, x.shape[1:], as in torch.nn.LayerNorm; for "per_head" and
        "per_head_rms" also (C / num_groups,), shared by all heads. For weight_norm and weight_standardization (Cout,),
        one entry for each filter.
    eps
        Added to the variance; in units of x squared, and > 0.
    statistics
        Used instead of x's own: Statistics, or RunningStatistics for "batch" (as a PyTorch layer does after eval()).
    out
        The array to write into, like the result; it may be x itself. Nothing is written if an argument is wrong.
    channel_axis
        Where C is.
    backend
        "numpy", "compiled" or "cupy" to insist; None lets the array's type and size decide.

    Returns
    -------
    array
        The same kind of array as x, in x's dtype; integers and booleans give float64. A set of one cell gives bias, and
        a NaN or an infinity reaches only its own set.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit; the message names the values that do.

    Notes
    -----
    PyTorch: torch.nn.functional.batch_norm (training=True), layer_norm, instance_norm, group_norm and rms_norm; METHODS
    has the equivalent of every method. `normviz.relatives` has the normalizers that need more than a block.

    Examples
    --------
    >>> normalize([[[2.0, 3.0], [5.0, 7.0]]], "instance", weight=[1.0, 10.0]).round(3)
    array([[[ -1.,   1.],
            [-10.,  10.]]])
    """
    lazy = type(x) is not np.ndarray and source(x) == "dask"
    taken = dask_arrays.take(x, channel_axis, backend, out) if lazy else None
    given: Any = {"weight": weight, "bias": bias, "eps": eps, "statistics": statistics, "out": out}
    request = resolve(x, method, num_groups, channel_axis, backend, **given, taken=taken)
    return dask_arrays.normalize(request) if lazy else compute("normalize", request)
