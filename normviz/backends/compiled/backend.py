"""The compiled backend: NumPy's tasks as fused loops, for the arrays that a plan fits."""

import math
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Given
from normviz.backends.compiled import gradient_kernels, gradient_layout
from normviz.backends.compiled.columns import over_columns
from normviz.backends.compiled.gradient_columns import gradient_over_columns
from normviz.backends.compiled.kernels import PIECES, READ, WRITE, merged, over_rows
from normviz.backends.compiled.layout import Plan, plan
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
        how = plan(x.shape, block, x.itemsize, x.strides) if _takes(x) else None
        if how is None:
            packed = x.copy("K") if _takes(x) and math.prod(block) > 1 else x
            return super().moments(x, block) if packed.strides == x.strides else self.moments(packed, block)
        mean, m2 = _moments(_line(x, how.order), how, threads.worthwhile(x.nbytes))
        grid = [n // extent for n, extent in zip(x.shape, block, strict=True)]
        return mean.reshape(grid), m2.reshape(grid)

    @np.errstate(all="ignore")
    def normalize(
        self, x: np.ndarray, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: np.ndarray
    ) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out, set by set."""
        if not _takes(x) or out.dtype != x.dtype:
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
        arrays = (_line(x, how.order), _line(out, how.order), *parameters)
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
        self, x: Any, grad: Any, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the gradient with respect to x to `out`; return those of weight and bias."""
        how = None
        factor = np.ones(pool.parameter_shape) if weight is None else weight
        laid_out = grad if _takes(grad) else grad.astype(np.float64)
        if pool.size > 1 and _takes(x) and out.dtype == x.dtype:
            how = _gradient_plan(x, laid_out, out, pool, factor)
            if how is None and laid_out.strides != x.strides:  # it was broadcast, or is of another layout than x
                copied = np.empty_like(x, dtype=laid_out.dtype)
                copied[...] = laid_out
                laid_out, how = copied, _gradient_plan(x, copied, out, pool, factor)
        if how is None:
            return super().gradient(x, grad, pool, weight, eps, given, fixed, out)
        # Of each set; the loops replace the variance by rstd.
        sets = (2, pool.count)
        mean, rstd = np.empty(sets) if given is None else np.array([a.reshape(-1) for a in given], np.float64)
        in_order = factor.transpose(how.order).reshape(-1)
        parameters = np.zeros((2, len(how.parts), in_order.size))
        loops = gradient_over_columns if how.columns else gradient_kernels.gradient_over_rows
        lines = [_line(a, how.order) for a in (x, laid_out, out)]
        arrays = (*lines, in_order, mean, rstd, np.empty(how.sums), *parameters)
        divisor = 1.0 if pool.row.statistic == "squared norm" else float(pool.size)
        options = (given is None, pool.row.centered, fixed, divisor, eps)

        def run(task: int, parts: list[gradient_layout.Part]) -> None:
            for part in parts:
                loops(arrays, (how.nests, how.numbers, how.starts), options, part, task)

        shares = [how.parts[a:b] for a, b in threads.shares(len(how.parts), threads.worthwhile(x.nbytes))]
        everything = gradient_kernels.SUM + gradient_kernels.SOLVE + gradient_kernels.WRITE
        if how.divided:
            threads.run(lambda parts: run(gradient_kernels.SUM, parts), shares)
            last = how.parts[-1]
            run(gradient_kernels.SOLVE, [(0, 0, last[2], 0, last[4])])
            threads.run(lambda parts: run(gradient_kernels.WRITE, parts), shares)
        else:
            threads.run(lambda parts: run(everything, parts), shares)
        totals = parameters.sum(axis=1) if len(how.parts) > 1 else parameters[:, 0]
        of_weight, of_bias = (total.reshape(how.in_memory).transpose(how.back) for total in totals)
        return of_weight, of_bias


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


def _gradient_plan(
    x: np.ndarray, grad: np.ndarray, out: np.ndarray, pool: Pooling, weight: np.ndarray
) -> gradient_layout.Plan | None:
    strides, itemsizes = (x.strides, grad.strides, out.strides), (x.itemsize, grad.itemsize, out.itemsize)
    return gradient_layout.plan(x.shape, pool.block, strides, itemsizes, weight.shape)


def _takes(x: np.ndarray) -> bool:
    """Return whether loops take an array: float32, float64, float16 and bfloat16 in this machine's byte order."""
    return ((x.dtype.char in "fde" and x.dtype.isnative) or x.dtype.name == "bfloat16") and x.flags.aligned


def _line(x: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Return the memory of an array from its lowest address on as one line; of halves the bits.

    `order` are its axes from the outermost in memory to the innermost.
    """
    laid_out = x if x.flags.c_contiguous else x.transpose(order)
    cells = laid_out.reshape(-1) if laid_out.flags.c_contiguous and x.flags.writeable else np.asarray(_Memory(x))
    return cells if x.itemsize > 2 else cells.view(np.int16 if x.dtype.char == "e" else np.uint16)


class _Memory:
    """The memory of an array from its lowest address to its highest, as one line that kernels may take.

    A kernel is compiled again for an array that is read-only or has gaps, but not for this one.
    """

    def __init__(self, x: np.ndarray) -> None:
        low, high = np.lib.array_utils.byte_bounds(x)
        self.x = x  # which keeps the memory
        cells = ((high - low) // x.itemsize,)
        self.__array_interface__ = {"version": 3, "shape": cells, "typestr": x.dtype.str, "data": (low, False)}
