"""The gradient in compiled loops."""

from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Given
from normviz.backends.compiled import gradient_kernels as kernels
from normviz.backends.compiled.gradient_columns import gradient_over_columns
from normviz.backends.compiled.gradient_layout import Part, Plan, plan
from normviz.backends.compiled.memory import line, takes
from normviz.core.pooling import Pooling


def gradient(
    x: np.ndarray, grad: np.ndarray, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Do `Backend.gradient`, or return None where no kernel does it; nothing has been written then."""
    if pool.size == 1 or not takes(x) or out.dtype != x.dtype:
        return None
    if weight is None:
        weight = np.ones(pool.parameter_shape)
    if not takes(grad):
        grad = grad.astype(np.float64)
    how = _plan(x, grad, out, pool, weight)
    if how is None and grad.strides != x.strides:  # a gradient that was broadcast, or of another layout than x
        laid_out = np.empty_like(x, dtype=grad.dtype)
        laid_out[...] = grad
        grad, how = laid_out, _plan(x, laid_out, out, pool, weight)
    if how is None:
        return None
    # Of each set; the loops replace the variance by rstd.
    mean, rstd = np.empty((2, pool.count)) if given is None else np.array([a.reshape(-1) for a in given], np.float64)
    in_order = weight.transpose(how.order).reshape(-1)
    parameters = np.zeros((2, len(how.parts), in_order.size))
    loops = gradient_over_columns if how.columns else kernels.gradient_over_rows
    arrays = (*(line(a, how.order) for a in (x, grad, out)), in_order, mean, rstd, np.empty(how.sums), *parameters)
    divisor = 1.0 if pool.row.statistic == "squared norm" else float(pool.size)
    options = (given is None, pool.row.centered, fixed, divisor, eps)

    def run(task: int, parts: list[Part]) -> None:
        for part in parts:
            loops(arrays, (how.nests, how.numbers, how.starts), options, part, task)

    shares = [how.parts[a:b] for a, b in threads.shares(len(how.parts), threads.worthwhile(x.nbytes))]
    if how.divided:
        threads.run(lambda parts: run(kernels.SUM, parts), shares)
        last = how.parts[-1]
        run(kernels.SOLVE, [(0, 0, last[2], 0, last[4])])
        threads.run(lambda parts: run(kernels.WRITE, parts), shares)
    else:
        threads.run(lambda parts: run(kernels.SUM + kernels.SOLVE + kernels.WRITE, parts), shares)
    totals = parameters.sum(axis=1) if len(how.parts) > 1 else parameters[:, 0]
    of_weight, of_bias = (total.reshape(how.in_memory).transpose(how.back) for total in totals)
    return of_weight, of_bias


def _plan(x: np.ndarray, grad: np.ndarray, out: np.ndarray, pool: Pooling, weight: np.ndarray) -> Plan | None:
    strides, itemsizes = (x.strides, grad.strides, out.strides), (x.itemsize, grad.itemsize, out.itemsize)
    return plan(x.shape, pool.block, strides, itemsizes, weight.shape)
