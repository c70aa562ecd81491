"""The affine map on the CPU: (x - mean) * rstd * weight + bias, block by block in the cache.

The mean is subtracted first, because a * x + b with everything folded into a and b loses four digits at
|mean| / std = 1e5. The mean is rounded to the working dtype, and the rounding error goes into the term that is added.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from normviz.backends import threads
from normviz.backends.base import boxes, clip, tile
from normviz.backends.cpu.half import narrow, widen
from normviz.backends.cpu.moments import DOUBLE, SINGLE
from normviz.backends.cpu.strides import View, follows, laid_out, view
from normviz.core.moments import as_array
from normviz.core.pooling import Pooling

CELLS = 1 << 17
"""Cells in a block: 512 kB of float32, so that its x and y fit the second-level cache."""
STRIP = 8192
"""A row of parameters shorter than this is repeated, because NumPy starts a new inner loop for each such row."""

HUGE = 2.0**100
"""Larger float32 numbers may overflow when a mean is subtracted, or have a subnormal inverse with few digits."""

Step = tuple[np.ufunc, np.ndarray]
Job = tuple[np.ndarray, np.ndarray, list[Step]]


def apply(x: np.ndarray, pool: Pooling, mean: Any, std: Any, weight: Any, bias: Any, y: np.ndarray) -> None:
    """Write (x - mean) / std * weight + bias to y, on several threads if x is large.

    Mean and std have one entry for each set; weight and bias broadcast against x, or are None.
    """
    parameters = (None if weight is None else weight.shape, None if bias is None else bias.shape)
    how = folding(x.shape, ((x.strides, x.itemsize), (y.strides, y.itemsize)), pool.block, parameters)
    work = DOUBLE if y.itemsize == 8 else SINGLE
    mean, std = how.sets(mean), how.sets(std)
    weight = None if weight is None else how.parameters[0](weight)
    bias = None if bias is None else how.parameters[1](bias)
    todo = steps(mean, std, weight, bias, work, how.few)
    count = threads.worthwhile(x.nbytes)
    for job in _with_long_rows(how.arrays[0](x), how.arrays[1](y), todo):
        if count == 1:
            _run(job, work)
        else:
            threads.run(lambda part: _run(part, work), list(_shares(job, count)))


def steps(mean: np.ndarray, std: np.ndarray, weight: Any, bias: Any, work: Any, few: tuple[bool, ...]) -> list[Step]:
    """Return the ufuncs to apply to x one after the other, each with its other operand in the dtype `work`.

    Weight and bias are combined with the values of the sets where `few` says that there are few products: a scale per
    position and a weight per channel stay separate.
    """
    todo: list[tuple[np.ufunc, Any]] = []
    rstd = as_array(1.0) / std
    if work is SINGLE and (factor := _rescaling(mean, std, rstd)) is not None:
        # Powers of two, and 1 for ordinary sets, change no digit.
        todo.append((np.multiply, factor))
        mean, rstd = mean * factor, np.minimum(rstd / factor, HUGE)
    rounded = mean.astype(work)
    scale, shift = rstd, rounded - mean
    shift *= rstd
    if weight is not None and few[0]:
        scale, shift, weight = rstd * weight, shift * weight, None
    if bias is not None and weight is None and few[1]:
        shift, bias = shift + bias, None
    todo += (np.subtract, rounded), (np.multiply, scale)
    if work is SINGLE or bias is None:
        todo.append((np.add, shift))
    todo += [(ufunc, p) for ufunc, p in ((np.multiply, weight), (np.add, bias)) if p is not None]
    return [(ufunc, p.astype(work, copy=False)) for ufunc, p in todo]


def _rescaling(mean: np.ndarray, std: np.ndarray, rstd: np.ndarray) -> np.ndarray | None:
    """Return factors that move sets near the limits of float32 to its middle, or None if there are none."""
    size = abs(mean)
    ordinary = np.maximum(np.maximum(size, std), rstd) <= as_array(HUGE)
    if np.count_nonzero(ordinary) == ordinary.size:
        return None
    high, low = (size > HUGE) | (rstd < 1 / HUGE), rstd > HUGE
    # A set that varies so little has a small mean, or is constant and becomes 0 with any factor.
    return np.where(high, 2.0**-24, np.where(low & (size < 1), 2.0**64, 1.0))


class Folding(NamedTuple):
    """How arrays of x's shape, the values of the sets, and parameters get the same axes, in the order of x's memory.

    `few` says of each parameter whether there are few combinations of its entries and the sets, beside x's cells.
    """

    arrays: tuple[View, ...]
    sets: View
    parameters: tuple[View, ...]
    few: tuple[bool, ...]


@lru_cache(maxsize=1024)
def folding(shape: Any, arrays: tuple[tuple[Any, int], ...], block: Any, parameters: tuple[Any, ...]) -> Folding:
    """Return how to reorder the axes of x's tiles by stride, and to merge those that need not be told apart.

    `arrays` are strides and bytes of a cell of x and of others; `parameters` are shapes, or None for no parameter.
    """
    x, *others = (tile(laid_out(shape, *a), block) for a in arrays)
    sets = tuple(1 if axis % 2 else n for axis, n in enumerate(x.shape))
    own = [sets]
    for of in parameters:
        # Per axis of x as many blocks and cells in one as x has, or 1 and 1.
        per_axis = zip(of or (1,) * len(shape), x.shape[::2], x.shape[1::2], strict=True)
        own.append(tuple(length for n, *pair in per_axis for length in (pair if n > 1 else (1, 1))))
    runs: list[list[int]] = []
    for axis in sorted((a for a in range(x.ndim) if x.shape[a] > 1), key=lambda a: -abs(x.strides[a])):
        last = runs[-1][-1] if runs else axis
        alike = runs and all((p[last] > 1) == (p[axis] > 1) for p in own)
        if alike and all(follows(a, last, axis) for a in (x, *others)):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    order = tuple(a for run in runs for a in run) + tuple(a for a in range(x.ndim) if x.shape[a] == 1)

    folded = tuple(math.prod(x.shape[a] for a in run) for run in runs) or (1,)
    of_sets, *of_parameters = (
        view(np.empty(n), n, order, tuple(math.prod(n[a] for a in run) for run in runs) or (1,)) for n in own
    )
    seen = tuple(view(a, x.shape, order, folded) for a in (x, *others))
    few = tuple(math.prod(map(max, sets, entries)) * 8 <= math.prod(shape) for entries in own[1:])
    return Folding(seen, of_sets, tuple(of_parameters), few)


def _with_long_rows(x: np.ndarray, y: np.ndarray, todo: list[Step]) -> Iterator[Job]:
    """Join short rows with the same parameters into long ones; rows that are left over become a job of their own."""
    length = x.shape[-1]
    if x.size < STRIP or length >= STRIP or x.ndim < 2 or any(p.shape[-2] > 1 for _, p in todo):
        yield x, y, todo
        return
    beside = min(STRIP // length, x.shape[-2])
    even = x.shape[-2] // beside * beside
    shape = (*x.shape[:-2], even // beside, beside * length)
    contiguous = all(follows(a, -2, -1) for a in (x, y))
    if not contiguous or beside == 1:
        yield x, y, todo
        return
    yield (
        x[..., :even, :].reshape(shape),
        y[..., :even, :].reshape(shape),
        [(ufunc, np.tile(p, beside) if p.shape[-1] > 1 else p) for ufunc, p in todo],
    )
    if even < x.shape[-2]:
        yield from _with_long_rows(x[..., even:, :], y[..., even:, :], todo)


def _shares(job: Job, count: int) -> Iterator[Job]:
    """Divide a job along its longest axis into at most `count` parts."""
    x, y, todo = job
    axis = int(np.argmax(x.shape))
    for start, end in threads.shares(x.shape[axis], count):
        box = (slice(None),) * axis + (slice(start, end),) + (slice(None),) * (x.ndim - axis - 1)
        yield x[box], y[box], [(ufunc, p[clip(box, p.shape)]) for ufunc, p in todo]


def no_buffer(length: int) -> None:
    """Let ufuncs work on rows of this length without a buffer, into which they copy a broadcast column otherwise.

    With the default of 8192 elements such rows take twice as long. This ends with the np.errstate around it.
    """
    if 256 <= length < STRIP:
        np.setbufsize(16)


def _blocks(x: np.ndarray, parameters: list[np.ndarray]) -> Iterator[tuple[Any, list[np.ndarray]]]:
    """Yield the index of each block of x, and the part of every parameter that broadcasts against it."""
    if x[:1].size > CELLS:
        for box in boxes(x, CELLS):
            yield box, [p[clip(box, p.shape)] for p in parameters]
        return
    step = CELLS // x[:1].size
    for start in range(0, len(x), step):
        at = slice(start, start + step)
        yield at, [p[at] if len(p) > 1 else p for p in parameters]


def _run(job: Job, work: np.dtype) -> None:
    x, y, todo = job
    no_buffer(x.shape[-1] if x.dtype == work == y.dtype else 0)
    buffer = None if y.dtype == work else np.empty(min(x.size, CELLS), work)
    if x.size <= CELLS and buffer is None:
        for ufunc, parameter in todo:
            x = ufunc(x, parameter, out=y)
        return
    for box, parameters in _blocks(x, [p for _, p in todo]):
        source, target = x[box], y[box]
        result = target if buffer is None else buffer[: target.size].reshape(target.shape)
        if source.dtype == np.float16 and source.dtype.isnative:
            widen(source, result)
            source = result
        for (ufunc, _), parameter in zip(todo, parameters, strict=True):
            source = ufunc(source, parameter, out=result)
        if target.dtype == np.float16:
            narrow(result, target)
        elif buffer is not None:  # bfloat16
            np.copyto(target, result, casting="unsafe")
