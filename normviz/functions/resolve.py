"""What a call works on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from normviz.backends.base import Backend
from normviz.backends.dispatch import adopt
from normviz.core.methods import find
from normviz.core.moments import mean_and_var
from normviz.core.pooling import Pooling, canonical, pooling


def start(
    x: Any, method: str, num_groups: int | None, channel_axis: int, backend: str | None
) -> tuple[Any, Pooling, Backend, Callable[[Any], Any]]:
    """Return x's canonical view, its pooling, who works on it, and the way back to x's kind of array."""
    array, worker, back = adopt(x, backend)
    view = canonical(array, channel_axis)
    return view, pooling(method, view.shape, num_groups), worker, back


def measure(view: Any, pool: Pooling, worker: Backend, eps: float, given: Any = None) -> tuple[Any, Any]:
    """Mean and 1 / sqrt(var + eps) of every set, those of x or the given ones, shaped to broadcast against x."""
    if given is None:
        mean, var = mean_and_var(*worker.moments(view, pool.block), pool.size, find(pool.method).statistic)
    else:
        mean, var = map(worker.xp.asarray, given)
    with np.errstate(all="ignore"):
        return pool.spread(mean), pool.spread(1 / worker.xp.sqrt(var + eps))
