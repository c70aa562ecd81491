"""The output pass on the CPU: (x - mean) * rstd * weight + bias, block by block from the cache.

Centred first: folded into a * x + b it loses four digits at |mean| / std = 1e5. The mean is rounded to the type that is
worked in, and what rounding lost goes into what is added.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import boxes, clip
from normviz.backends.cpu.half import narrow, widen
from normviz.backends.cpu.strides import follows

CELLS = 1 << 17
"""Cells in a block: 512 kB of float32, so that x and y of it stay in the second-level cache."""
STRIP = 8192
"""A row of parameters shorter than this is repeated up to it, for an inner loop of NumPy is as long as such a row."""

FAR = 2.0**100
"""In float32 what is so large may overflow once a mean is subtracted, or has an inverse with few digits left."""

Step = tuple[np.ufunc, np.ndarray]
Job = tuple[np.ndarray, np.ndarray, list[Step]]


def steps(mean: np.ndarray, rstd: np.ndarray, weight: Any, bias: Any, work: Any, cells: int) -> list[Step]:
    """Return what to do to x: ufuncs, each with its other operand in the type that is worked in.

    Parameters become one where that leaves them small beside the `cells` cells of x; a scale for each position and a
    weight for each channel stay apart.
    """
    todo: list[tuple[np.ufunc, Any]] = []
    if work == np.float32 and (factor := _nearer(mean, rstd)) is not None:
        # By a power of two, and by 1 where the values lie well, which changes no digit.
        todo, mean, rstd = [(np.multiply, factor)], mean * factor, np.minimum(rstd / factor, FAR)
    rounded = mean.astype(work)
    scale, shift = rstd, (rounded - mean) * rstd
    if weight is not None and np.broadcast(rstd, weight).size * 8 <= cells:
        scale, shift, weight = rstd * weight, shift * weight, None
    if bias is not None and weight is None and np.broadcast(shift, bias).size * 8 <= cells:
        shift, bias = shift + bias, None
    todo += [(np.subtract, rounded), (np.multiply, scale), (np.add, shift if shift.any() else None)]
    todo += [(np.multiply, weight), (np.add, bias)]
    return [(ufunc, p.astype(work, copy=False)) for ufunc, p in todo if p is not None]


def _nearer(mean: np.ndarray, rstd: np.ndarray) -> np.ndarray | None:
    """What takes sets near the ends of float32 to its middle, or None where there are none."""
    high, low = (abs(mean) > FAR) | (rstd < 1 / FAR), rstd > FAR
    if not (high.any() or low.any()):
        return None
    # A set that varies so little has a small mean; one that does not vary is 0 by any factor.
    return np.where(high, 2.0**-24, np.where(low & (abs(mean) < 1), 2.0**64, 1.0))


def apply(x: np.ndarray, todo: list[Step], y: np.ndarray, work: Any) -> None:
    """Write the result of the steps on x to y, on as many threads as the size is worth."""
    for job in _wide(*_folded(x, y, todo)):
        parts = list(_shares(job, threads.worthwhile(job[0].nbytes)))
        threads.run(lambda part: _pass(part, np.dtype(work)), parts)


def _folded(x: np.ndarray, y: np.ndarray, todo: list[Step]) -> Job:
    """The same with the axes in the order of memory, and those made one that no array tells apart."""
    runs: list[list[int]] = []
    for axis in sorted((a for a in range(x.ndim) if x.shape[a] > 1), key=lambda a: -abs(x.strides[a])):
        last = runs[-1][-1] if runs else axis
        alike = runs and all((p.shape[last] > 1) == (p.shape[axis] > 1) for _, p in todo)
        if alike and follows(x, last, axis) and follows(y, last, axis):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    order = [a for run in runs for a in run] + [a for a in range(x.ndim) if x.shape[a] == 1]

    def fold(array: np.ndarray, copy: bool | None) -> np.ndarray:
        shape = [int(np.prod([array.shape[a] for a in run])) for run in runs] or [1]
        return array.transpose(order).reshape(shape, copy=copy)

    return fold(x, False), fold(y, False), [(ufunc, fold(p, None)) for ufunc, p in todo]


def _wide(x: np.ndarray, y: np.ndarray, todo: list[Step]) -> Iterator[Job]:
    """Lay short rows side by side where their parameters are the same for each; the rows left over come apart."""
    length = x.shape[-1]
    if x.ndim < 2 or length >= STRIP or any(p.shape[-2] > 1 for _, p in todo):
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
        x[..., :even, :].reshape(shape, copy=False),
        y[..., :even, :].reshape(shape, copy=False),
        [(ufunc, np.tile(p, beside) if p.shape[-1] > 1 else p) for ufunc, p in todo],
    )
    if even < x.shape[-2]:
        yield from _wide(x[..., even:, :], y[..., even:, :], todo)


def _shares(job: Job, count: int) -> Iterator[Job]:
    """Cut a job along its longest axis into `count` parts."""
    x, y, todo = job
    axis = int(np.argmax(x.shape))
    count = min(count, x.shape[axis])
    for i in range(count):
        start, end = x.shape[axis] * i // count, x.shape[axis] * (i + 1) // count
        box = (slice(None),) * axis + (slice(start, end),) + (slice(None),) * (x.ndim - axis - 1)
        yield x[box], y[box], [(ufunc, p[clip(box, p.shape)]) for ufunc, p in todo]


def _blocks(x: np.ndarray, parameters: list[np.ndarray]) -> Iterator[tuple[Any, list[np.ndarray]]]:
    """Yield where the blocks of x are, and what of the parameters belongs to each."""
    if x[:1].size > CELLS:
        for box in boxes(x, CELLS):
            yield box, [p[clip(box, p.shape)] for p in parameters]
        return
    step = CELLS // x[:1].size
    for start in range(0, len(x), step):
        at = slice(start, start + step)
        yield at, [p[at] if len(p) > 1 else p for p in parameters]


def _pass(job: Job, work: np.dtype) -> None:
    """Run the steps block by block on this thread."""
    x, y, todo = job
    with np.errstate():
        if x.dtype == work == y.dtype and 256 <= x.shape[-1] < STRIP:
            # Else the ufunc copies a broadcast column into a buffer of 8192 elements: half the speed.
            np.setbufsize(16)
        buffer = None if y.dtype == work else np.empty(min(x.size, CELLS), work)
        for box, parameters in _blocks(x, [p for _, p in todo]):
            source, target = x[box], y[box]
            result = target if buffer is None else buffer[: target.size].reshape(target.shape)
            if source.dtype == np.float16 and source.dtype.isnative:
                widen(source, result)
                source = result
            for (ufunc, _), parameter in zip(todo, parameters, strict=True):
                source = ufunc(source, parameter, out=result)
            if buffer is not None:
                narrow(result, target)
