"""The compiled backend: NumPy's tasks as fused loops, for the arrays that a plan fits."""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Given
from normviz.backends.compiled.layout import Plan, plan
from normviz.backends.cpu.backend import NumPy
from normviz.core.moments import mean_and_var
from normviz.core.pooling import Pooling

_STATISTICS = {"mean and variance": 0, "mean square": 1, "squared norm": 2}
_ONE, _ZERO = np.ones(1), np.zeros(1)
_NONE = np.empty((2, 0))


@cache
def kernels() -> Any:
    """Return the module of the kernels; numba takes half a second to import."""
    from normviz.backends.compiled import kernels

    return kernels


class Compiled(NumPy):
    """numba on the CPU; what it has no loops for, NumPy does."""

    name = "compiled"

    def moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sum of squared deviations of every block of x, float64, in the shape of the grid."""
        how = plan(x.shape, block, x.itemsize, x.strides) if _known(x) else None
        if how is None:
            return super().moments(x, block)
        found = _moments(_flat(x, how, 0), how, threads.worthwhile(x.nbytes))
        grid = tuple(n // extent for n, extent in zip(x.shape, block, strict=True))
        return found[0].reshape(grid), found[1].reshape(grid)

    def normalize(
        self, x: np.ndarray, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: np.ndarray
    ) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out, set by set."""
        shapes = (None if p is None else p.shape for p in (weight, bias))
        if not _known(x) or out.dtype != x.dtype:
            super().normalize(x, pool, weight, bias, eps, given, out)
            return
        rest = (*shapes, _STATISTICS[pool.row.statistic])
        how = plan(x.shape, pool.block, x.itemsize, x.strides, out.strides, *rest)
        if how is None and out.strides != (like_x := np.empty_like(x)).strides:
            self.normalize(x, pool, weight, bias, eps, given, like_x)
            out[...] = like_x
            return
        if how is None:
            super().normalize(x, pool, weight, bias, eps, given, out)
            return
        parameters = (_line(weight, _ONE, how), _line(bias, _ZERO, how))
        arrays = (_flat(x, how, 0), _flat(out, how, 1), *parameters)
        count = threads.worthwhile(x.nbytes)
        divided = _divided(how, count)
        if given is None and not divided:
            _run(arrays, _NONE, how, eps, "OWN", how.sets, count)
            return
        if given is None:
            given = mean_and_var(*_moments(arrays[0], how, count), how.size, pool.row.statistic)
        statistics = np.stack([a.reshape(-1) for a in given])
        task, units = ("GIVEN_TO_PIECES", how.sets * how.pieces[1]) if divided else ("GIVEN", how.sets)
        _run(arrays, statistics, how, eps, task, units, count)


def _moments(x: np.ndarray, how: Plan, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 of every set in the order of the grid, from x as one line."""
    arrays = (x, x, _ONE, _ZERO)
    found = np.empty((2, how.sets))
    if not _divided(how, count):
        _run(arrays, found, how, 0.0, "MOMENTS", how.sets, count)
        return found[0], found[1]
    parts = np.empty((3, how.sets * how.pieces[0]))
    _run(arrays, parts, how, 0.0, "MOMENTS_OF_PIECES", parts.shape[1], count)
    kernels().merged(parts, found, how.table)
    return found[0], found[1]


def _divided(how: Plan, count: int) -> bool:
    """Return whether `count` threads need parts of sets, because there are too few sets for all of them."""
    return count > 1 and how.sets < 4 * count and max(how.pieces) > 1


def _run(arrays: Any, statistics: np.ndarray, how: Plan, eps: float, task: str, units: int, count: int) -> None:
    """Run a task on all sets or pieces, on `count` threads."""
    jit = kernels()
    number = getattr(jit, task)
    if count == 1:
        jit.over_rows(*arrays, statistics, how.table, eps, number, 0, units)
        return
    ends = [units * i // count for i in range(count + 1)]
    threads.run(lambda part: jit.over_rows(*arrays, statistics, how.table, eps, number, *part), list(pairwise(ends)))


def _known(x: np.ndarray) -> bool:
    return x.dtype.char in "fd" and x.dtype.isnative and x.flags.aligned


def _flat(x: np.ndarray, how: Plan, operand: int) -> np.ndarray:
    """Return an array as one line of its memory, in which its cells lie where the plan says."""
    if how.dense[operand] and x.flags.writeable:
        return x.reshape(-1) if x.flags.c_contiguous else x.transpose(how.order).reshape(-1)
    return np.asarray(_Memory(x))


def _line(parameter: np.ndarray | None, default: np.ndarray, how: Plan) -> np.ndarray:
    """Return a parameter as one line in the order of x's memory."""
    if parameter is None:
        return default
    return np.ascontiguousarray(parameter.transpose(how.order)).reshape(-1)


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
