"""The gradient in compiled loops."""

from itertools import pairwise
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Given
from normviz.backends.compiled import gradient_kernels as kernels
from normviz.backends.compiled.gradient_layout import Part, Plan, plan
from normviz.core.pooling import Pooling

_BITS = {"float16": np.int16, "bfloat16": np.uint16}
_TYPES = ("float32", "float64", *_BITS)


def gradient(
    x: np.ndarray, grad: np.ndarray, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Do `Backend.gradient`, or return None where no kernel does it; nothing has been written then."""
    if pool.size == 1 or not _known(x) or out.dtype != x.dtype:
        return None
    if weight is None:
        weight = np.ones(pool.parameter_shape)
    if not _known(grad):
        grad = grad.astype(np.float64)
    how = _plan(x, grad, out, pool, weight)
    if how is None:
        laid_out = np.empty_like(x, dtype=grad.dtype)
        laid_out[...] = grad
        grad, how = laid_out, _plan(x, laid_out, out, pool, weight)
    if how is None:
        return None
    mean, rstd = np.empty((2, pool.count))
    if given is not None:
        mean = np.array(given[0], np.float64).reshape(-1)  # a copy, because the kernels may write there
        with np.errstate(all="ignore"):
            rstd = 1 / np.sqrt(given[1].reshape(-1) + eps)
    line = np.ascontiguousarray(weight.transpose(how.order)).reshape(-1)
    of_weight, of_bias = parameters = np.zeros((2, len(how.parts), line.size))
    loops = getattr(kernels, how.kernel)
    arguments = (
        *(_flat(a) for a in (x, grad, out)),
        line,
        mean,
        rstd,
        how.nests,
        how.numbers,
        how.starts,
        eps,
        1.0 if pool.row.statistic == "squared norm" else float(pool.size),
        given is None,
        pool.row.centered,
        fixed,
        np.empty(how.sums),
        of_weight,
        of_bias,
    )

    def run(task: int, parts: list[Part]) -> None:
        for part in parts:
            loops(*arguments, part, task)

    count = min(threads.worthwhile(x.nbytes), len(how.parts))
    ends = [len(how.parts) * i // count for i in range(count + 1)]
    shares = [how.parts[a:b] for a, b in pairwise(ends)]
    if how.divided:
        threads.run(lambda parts: run(kernels.SUM, parts), shares)
        last = how.parts[-1]
        run(kernels.SOLVE, [(0, 0, last[2], 0, last[4])])
        threads.run(lambda parts: run(kernels.WRITE, parts), shares)
    else:
        threads.run(lambda parts: run(kernels.SUM + kernels.SOLVE + kernels.WRITE, parts), shares)
    back = np.argsort(how.order)
    shape = [weight.shape[axis] for axis in how.order]
    of_weight, of_bias = (total.reshape(shape).transpose(back) for total in parameters.sum(axis=1))
    return of_weight, of_bias


def _plan(x: np.ndarray, grad: np.ndarray, out: np.ndarray, pool: Pooling, weight: np.ndarray) -> Plan | None:
    cells = []
    for array in (x, grad, out):
        if any(stride % array.itemsize for stride in array.strides):
            return None
        cells.append(tuple(stride // array.itemsize for stride in array.strides))
    return plan(x.shape, pool.block, x.itemsize, tuple(cells), weight.shape)


def _known(x: np.ndarray) -> bool:
    return x.dtype.name in _TYPES and x.dtype.isnative and x.flags.aligned


def _flat(x: np.ndarray) -> np.ndarray:
    """Return the memory of an array from its lowest address on as one line; of float16 and bfloat16 the bits."""
    line = x.reshape(-1) if x.flags.c_contiguous and x.flags.writeable else np.asarray(_Memory(x))
    return line.view(_BITS[x.dtype.name]) if x.itemsize == 2 else line


class _Memory:
    """The memory of an array from its lowest address to its highest, as one line that kernels may take.

    A kernel is compiled again for an array that is read-only or has gaps, but not for this one.
    """

    def __init__(self, x: np.ndarray) -> None:
        low, high = np.lib.array_utils.byte_bounds(x)
        self.x = x  # which keeps the memory
        self.__array_interface__ = {
            "version": 3,
            "shape": ((high - low) // x.itemsize,),
            "typestr": x.dtype.str,
            "data": (low, False),
        }
