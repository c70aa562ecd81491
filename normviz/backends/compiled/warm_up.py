"""Compile every loop at once, so that no later call waits for the compiler."""

from itertools import product

import numpy as np

from normviz.backends.base import Backend
from normviz.backends.threads import WORTH
from normviz.core.methods import METHODS
from normviz.core.pooling import pooling_of


def warm_up(worker: Backend) -> None:
    """Do every task on small arrays of each dtype and layout, and on one that is divided among threads."""
    for dtype, (name, row), channels_last in product(_dtypes(), METHODS.items(), (False, True)):
        x = np.ones((2, 4, 3, 2), dtype)
        if channels_last:
            x = np.ones((2, 3, 2, 4), dtype).transpose(0, 3, 1, 2)
        pool = pooling_of(name, x.shape, 2 if row.has_groups else None)
        own = np.zeros(pool.statistics_shape), np.ones(pool.statistics_shape)
        parameter, out = np.ones(pool.parameter_shape), np.empty_like(x)
        worker.moments(x, pool.block)
        for given in (None, own):
            worker.normalize(x, pool, parameter, parameter, 1e-5, given, out)
            for fixed in {False, given is not None}:
                worker.gradient(x, x, pool, parameter, 1e-5, given, fixed, out)
    for dtype in _dtypes():
        x = np.ones((1, 1, WORTH // np.dtype(dtype).itemsize), dtype)
        pool = pooling_of("layer", x.shape, None)
        worker.normalize(x, pool, None, None, 1e-5, None, x)
        worker.gradient(x, x, pool, None, 1e-5, None, False, x)


def _dtypes() -> list[type | np.dtype]:
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return [np.float16, np.float32, np.float64]
    return [np.float16, np.float32, np.float64, np.dtype(bfloat16)]
