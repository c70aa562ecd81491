"""The compiled backend: NumPy's tasks as fused loops, for the arrays that a plan fits."""

import math
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Given
from normviz.backends.compiled.columns import over_columns
from normviz.backends.compiled.gradient import gradient
from normviz.backends.compiled.kernels import PIECES, READ, WRITE, merged, over_rows
from normviz.backends.compiled.layout import Plan, plan
from normviz.backends.compiled.memory import line, takes
from normviz.backends.cpu.bfloat16 import NumPyWithBfloat16
from normviz.core.moments import mean_and_var
from normviz.core.pooling import Pooling

_STATISTICS = {"mean and variance": 0, "mean square": 1, "squared norm": 2}
_WORK = {np.dtype(np.float32): np.float32, np.dtype(np.float64): np.float64, np.dtype(np.float16): np.float32}
"""The types that loops take, in this machine's byte order, and those in which they compute; bfloat16 is another."""
_ONE, _ZERO = ((np.full(1, value, np.float32), np.full(1, value, np.float64)) for value in (1, 0))
_NONE = np.empty((2, 0))


class Compiled(NumPyWithBfloat16):
    """numba on the CPU; what it has no loops for, NumPy does."""

    name = "compiled"

    def moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and M2, the sum of squared deviations, of every block of x, by the rule of `Backend.moments`."""
        how = plan(x.shape, block, x.itemsize, x.strides) if takes(x) else None
        if how is None:
            packed = x.copy("K") if takes(x) and math.prod(block) > 1 else x
            return super().moments(x, block) if packed.strides == x.strides else self.moments(packed, block)
        mean, m2 = _moments(line(x, how.order), how, threads.worthwhile(x.nbytes))
        grid = [n // extent for n, extent in zip(x.shape, block, strict=True)]
        return mean.reshape(grid), m2.reshape(grid)

    @np.errstate(all="ignore")
    def normalize(
        self, x: np.ndarray, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: np.ndarray
    ) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out, set by set."""
        if not takes(x) or out.dtype != x.dtype:
            super().normalize(x, pool, weight, bias, eps, given, out)
            return
        shapes = [p.shape for p in (weight, bias) if p is not None]
        shape = shapes[0] if len(set(shapes)) == 1 else tuple(map(max, *shapes)) if shapes else None
        statistic = _STATISTICS[pool.row.statistic]
        how = plan(x.shape, pool.block, x.itemsize, x.strides, out.strides, shape, statistic)
        if how is None:
            like_x = np.empty_like(x)  # without gaps
            fits = plan(x.shape, pool.block, x.itemsize, x.strides, like_x.strides, shape, statistic) is not None
            if not fits and (pool.size == 1 or x.strides == like_x.strides):
                super().normalize(x, pool, weight, bias, eps, given, out)
                return
            if not fits:
                like_x[...] = x
            self.normalize(x if fits else like_x, pool, weight, bias, eps, given, like_x)
            out[...] = like_x
            return
        work = _WORK.get(x.dtype, np.float32)
        parameters = (_parameter(weight, 1, how, work), _parameter(bias, 0, how, work))
        arrays = (line(x, how.order), line(out, how.order), *parameters)
        count = threads.worthwhile(x.nbytes)
        divided = _divided(how, count)
        if given is None and not divided:
            _run(arrays, _NONE, how, eps, READ + WRITE, how.units, count)
            return
        if given is None:
            given = mean_and_var(*_moments(arrays[0], how, count), how.size, pool.row.statistic)
        statistics = np.array([a.reshape(-1) for a in given])
        if divided:
            _run(arrays, statistics, how, eps, WRITE + PIECES, how.units * how.pieces[1], count)
        else:
            _run(arrays, statistics, how, eps, WRITE, how.units, count)

    def gradient(
        self,
        x: np.ndarray,
        grad: np.ndarray,
        pool: Pooling,
        weight: Any,
        eps: float,
        given: Given,
        fixed: bool,
        out: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the gradient with respect to x to `out`; return those of weight and bias."""
        found = gradient(x, grad, pool, weight, eps, given, fixed, out)
        return super().gradient(x, grad, pool, weight, eps, given, fixed, out) if found is None else found


def _moments(x: np.ndarray, how: Plan, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and M2 of every set in the order of the grid, from x as one line."""
    arrays = (x, x, _ONE[x.dtype.char == "d"], _ZERO[x.dtype.char == "d"])
    found = np.empty((2, how.sets))
    if not _divided(how, count):
        _run(arrays, found, how, 0.0, READ, how.units, count)
    else:
        parts = np.empty((3, how.sets * how.pieces[0]))
        _run(arrays, parts, how, 0.0, READ + PIECES, how.units * how.pieces[0], count)
        merged(parts, found, how.table)
    return found[0], found[1]


def _divided(how: Plan, count: int) -> bool:
    """Return whether `count` threads need parts of sets, because there are too few units for all of them."""
    return count > 1 and how.units < 4 * count and max(how.pieces) > 1


def _run(arrays: Any, statistics: np.ndarray, how: Plan, eps: float, task: int, units: int, count: int) -> None:
    """Run a task on all units or pieces, on `count` threads."""
    loops = over_columns if how.columns else over_rows
    if count == 1:
        loops(*arrays, statistics, how.table, eps, task, 0, units)
        return
    parts = threads.shares(units, count)
    threads.run(lambda part: loops(*arrays, statistics, how.table, eps, task, *part), parts)


def _parameter(value: np.ndarray | None, default: int, how: Plan, work: Any) -> np.ndarray:
    """Return a parameter as one line in the order of x's memory."""
    if value is None:
        size = math.prod(how.parameter)
        return (_ZERO, _ONE)[default][work is np.float64] if size == 1 else np.full(size, default, work)
    if value.shape != how.parameter:
        value = np.broadcast_to(value, how.parameter)
    if value.size > max(value.shape):
        value = value.transpose(how.order)
    return value.astype(work, order="C").reshape(-1)
