"""The path of an array in memory: its backend does the work."""

from typing import Any

import numpy as np

from normviz.arrays.arguments import unparameter
from normviz.arrays.request import Request
from normviz.backends.base import Backend
from normviz.core.moments import mean_and_var


def moments(request: Request) -> tuple[np.ndarray, np.ndarray, Backend]:
    """Return mean and M2 of every set, on the host in the shape of the grid, and the backend that computed them."""
    mean, m2 = map(request.worker.host, request.worker.moments(request.view, request.pool.block))
    return mean, m2, request.worker


def normalize(request: Request) -> Any:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, as the caller's kind of array."""
    worker, y = request.worker, request.result()
    mean, rstd = _mean_and_rstd(request)
    gamma, beta = (None if p is None else worker.xp.asarray(p) for p in (request.weight, request.bias))
    worker.affine(request.view, mean, rstd, gamma, beta, y)
    return request.deliver(y)


def gradient(request: Request) -> tuple[Any, np.ndarray, np.ndarray, Backend]:
    """Return the gradients of input, weight and bias, and the backend; see `normviz.gradient`."""
    worker, pool, y = request.worker, request.pool, request.result()
    gamma = np.ones(pool.parameter_shape) if request.weight is None else request.weight
    mean, rstd = _mean_and_rstd(request)
    # ||x|| = sqrt(mean square) * sqrt(|S|), so x / ||x|| * weight is x / rms(x) * (weight / root).
    root = pool.size**0.5 if pool.row.statistic == "squared norm" else 1.0
    options = (worker.xp.asarray(gamma) / root, y, pool.block, pool.row.centered)
    parameters = worker.gradient(request.view, request.grad, mean, rstd * root, *options)
    of_weight, of_bias = (unparameter(worker.host(p), request.weight_shape, request.channel_axis) for p in parameters)
    return request.deliver(y), of_weight / root, of_bias, worker


def _mean_and_rstd(request: Request) -> tuple[Any, Any]:
    """Return mean and 1 / sqrt(var + eps) of every set, x's own or the given ones, shaped to broadcast against x."""
    worker, pool = request.worker, request.pool
    if request.given is None:
        mean, var = mean_and_var(*worker.moments(request.view, pool.block), pool.size, pool.row.statistic)
    else:
        mean, var = map(worker.xp.asarray, request.given)
    with np.errstate(all="ignore"):
        return pool.spread(mean), pool.spread(1 / worker.xp.sqrt(var + request.eps))
