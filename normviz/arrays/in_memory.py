"""The path of an array in memory: its backend does the work."""

from typing import Any

import numpy as np

from normviz.arrays.arguments import unparameter
from normviz.arrays.request import Request
from normviz.backends.base import Backend


def normalize(request: Request) -> Any:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, as the caller's kind of array."""
    y = request.result()
    request.worker.normalize(request.view, request.pool, request.weight, request.bias, request.eps, request.given, y)
    return request.deliver(y)


def gradient(request: Request) -> tuple[Any, np.ndarray, np.ndarray, Backend]:
    """Return the gradients of input, weight and bias, and the backend; see `normviz.gradient`."""
    y = request.result()
    parameters = request.worker.gradient(
        request.view, request.grad, request.pool, request.weight, request.eps, request.given, request.fixed, y
    )
    of_weight, of_bias = (unparameter(p, request.weight_shape, request.channel_axis) for p in parameters)
    return request.deliver(y), of_weight, of_bias, request.worker
