"""The gradient on the CPU: sums of g and of g * (x - mean), then the gradient of x, in blocks that stay in the cache.

x is seen as (outer, length, inner). Usually neither sets nor weights change along the middle axis, as along the cells
of a map. The sums over it are small, and all others follow from them. Where the weight changes inside a set, as along
the features of a token, the middle axis is the whole set, and g is multiplied by the weight first. float32 is summed in
float32, a few values at a time, and everything further in float64.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from normviz.backends import threads
from normviz.backends.cpu.affine import Folding, folding, no_buffer
from normviz.backends.cpu.half import narrow
from normviz.backends.cpu.moments import DOUBLE, PIECE64, SINGLE, STRIP, Workspace, ones, piece, whole_blocks
from normviz.backends.cpu.strides import laid_out, viewable

CELLS = 1 << 16
"""Cells in a block: of x, the gradient and two results, 1 MiB of float32, the size of a second-level cache."""
FEWEST = 8
"""Fewer cells than this are not worth a sum of their own."""
CHAIN = 16
"""Lines of float32 columns that are added one after the other, at most."""
FAR = 2.0**30
"""Sets whose mean or deviation is beyond this or its inverse are computed in float64: float32 might overflow."""

Part = tuple[tuple[int, int], tuple[int, int]]


class Layout(NamedTuple):
    """How x is seen.

    Attributes
    ----------
    fold
        How x, the gradient of the output, that of x, and the values of sets and weights get the same axes.
    shape
        (outer, length, inner).
    sums
        The folded shape with the middle axis as 1.
    weighted
        Whether the weight changes along the middle axis, and along no other.
    """

    fold: Folding
    shape: tuple[int, int, int]
    sums: tuple[int, ...]
    weighted: bool


@lru_cache(maxsize=512)
def layout(shape: Any, arrays: Any, block: Any, weight: Any) -> Layout | None:
    """Return how to see arrays of these strides; None if that takes a copy, or the weight does not fit."""
    fold = folding(shape, arrays, block, (weight,))
    lengths, of_sets, of_weight = fold.arrays[0].shape, fold.sets.shape, fold.parameters[0].shape
    inside = [axis for axis, n in enumerate(lengths) if n > 1 and of_sets[axis] == 1]
    middle = max((a for a in inside if of_weight[a] == 1), key=lambda a: lengths[a], default=None)
    weighted = len(inside) == 1 and of_weight[inside[0]] == math.prod(of_weight) > 1
    if middle is not None and (lengths[middle] >= FEWEST or not weighted):
        weighted = False
    elif weighted:
        middle = inside[0]
    else:
        return None
    assert middle is not None
    seen = (math.prod(lengths[:middle]), lengths[middle], math.prod(lengths[middle + 1 :]))
    sums = tuple(1 if axis == middle else n for axis, n in enumerate(lengths))
    views = (view(laid_out(shape, *array)) for array, view in zip(arrays, fold.arrays, strict=True))
    if not all(viewable(view, seen) for view in views):
        return None
    return Layout(fold, seen, sums, weighted)


def write(
    how: Layout,
    x: Any,
    grad: Any,
    mean: Any,
    rstd: Any,
    weight: Any,
    out: Any,
    over: float,
    centered: bool,
    fixed: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the gradient with respect to x to `out`; return those of weight and bias, in weight's shape.

    Mean and rstd have one entry a set; sums over a set are divided by `over`.
    """
    fold, (outer, length, inner) = how.fold, how.shape
    # Reshaped in two steps, because the axes may have to change places first.
    x_view, g_view, y = (view(a).reshape(how.shape) for a, view in zip((x, grad, out), fold.arrays, strict=True))
    single = all(a.dtype.kind == "f" and a.itemsize <= 4 for a in (x, grad)) and piece() and not _far(mean, rstd)
    work = SINGLE if single else DOUBLE
    gamma, mean, rstd = fold.parameters[0](weight), fold.sets(mean), fold.sets(rstd)

    def spread(values: np.ndarray) -> np.ndarray:
        """Return values of the sets, or of sets and weights, for each line of the middle axis."""
        return np.broadcast_to(values, how.sums).reshape(outer, 1, inner)

    parts, steps = _parts(how)
    row = (length if inner == 1 else inner) if x.dtype == grad.dtype == out.dtype == work else 0
    rounded, scale = spread(mean).astype(work), spread(rstd)
    lost = rounded - spread(mean)  # by rounding the mean
    each = gamma.reshape(1, length, 1).astype(work) if how.weighted else None
    unit, moved = scale.astype(work), (lost * scale).astype(work)

    def load(at: Any, memory: tuple[Workspace, Workspace], made: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Return x - mean, or x_hat if the weight changes inside a set, and g of a block."""
        block = memory[0].load(x_view[at], None)
        lines = at[0], slice(None), at[2]
        made = memory[0].get("x_hat", block.shape) if made is None else made
        x_hat = np.subtract(block, rounded[lines], out=made)
        if each is not None:
            x_hat *= unit[lines]
            if work == SINGLE:
                x_hat += moved[lines]
        return x_hat, memory[1].load(g_view[at], None)

    def sums(part: Part) -> tuple[np.ndarray, Any]:
        memory = Workspace(work), Workspace(work)
        found = np.zeros((2, part[0][1] - part[0][0], inner))
        of_each = np.zeros((2, length)) if how.weighted else None
        with np.errstate():
            no_buffer(row)
            for at in _blocks(part, steps, inner):
                x_hat, g = load(at, memory)
                if of_each is not None and each is not None:
                    of_each[0] += _over_others(g)
                    of_each[1] += _over_others(np.multiply(g, x_hat, out=memory[0].get("product", g.shape)))
                    g = np.multiply(g, each, out=memory[1].get("weighted", g.shape))
                here = slice(at[0].start - part[0][0], at[0].stop - part[0][0]), at[2]
                found[0][here] += _over_middle(g)
                if inner == 1:
                    found[1][here] += _dot(g[..., 0], x_hat[..., 0])[:, None]
                else:
                    found[1][here] += _over_middle(np.multiply(g, x_hat, out=x_hat))
        return found, of_each

    count = threads.worthwhile(x.nbytes)
    found = threads.in_turn(sums, parts, count)
    total = np.zeros((2, outer, inner))
    for part, (of_part, _) in zip(parts, found, strict=True):
        total[:, part[0][0] : part[0][1]] += of_part
    if each is not None:
        of_bias, of_weight = np.add.reduce([of_each for _, of_each in found])
        g_sum, gx_sum = total[:, :, None]
        slope, factor = -scale * gx_sum / over, scale
    else:
        total[1] += total[0] * lost[:, 0]
        g_sum, gx_sum = total.reshape(2, *how.sums)
        away, inside = ([a for a, n in enumerate(p.shape) if n == 1] for p in (gamma, mean))
        of_bias, of_weight = (p.sum(axis=tuple(away)) for p in (g_sum, gx_sum * rstd))
        g_sum, gx_sum = ((p * gamma).sum(axis=tuple(inside), keepdims=True) for p in (g_sum, gx_sum))
        slope, factor = spread(rstd**3 * gx_sum / -over), spread(rstd * gamma)
        g_sum = spread(g_sum)
    shift = (slope * (0 if how.weighted else lost) - scale * g_sum / over).astype(work) if centered else None
    slope, factor = slope.astype(work), factor.astype(work)

    def result(part: Part) -> None:
        memory = Workspace(work), Workspace(work)
        with np.errstate():
            no_buffer(row)
            for at in _blocks(part, steps, inner):
                lines, target = (at[0], slice(None), at[2]), y[at]
                made = target if target.dtype == work else memory[0].get("x_hat", target.shape)
                if fixed:
                    g = memory[1].load(g_view[at], None)
                    np.multiply(g, factor[lines], out=made)
                    made = made if each is None else np.multiply(made, each, out=made)
                else:
                    made, g = load(at, memory, made)
                    made *= slope[lines]
                    if shift is not None:
                        made += shift[lines]
                    g = np.multiply(g, factor[lines], out=memory[1].get("weighted", g.shape))
                    made += g if each is None else np.multiply(g, each, out=g)
                if target.dtype == np.float16 and work == SINGLE:
                    narrow(made, target)
                elif target.dtype != work:
                    np.copyto(target, made, casting="unsafe")

    threads.in_turn(result, parts, count)
    of_weight, of_bias = (fold.parameters[0].back(p).reshape(weight.shape) for p in (of_weight, of_bias))
    return of_weight, of_bias


def _far(mean: np.ndarray, rstd: np.ndarray) -> bool:
    """Return whether a set lies near the ends of float32's range."""
    size = np.maximum(np.maximum(abs(mean), rstd), 1 / rstd)
    return np.fmax.reduce(size, axis=None) > FAR


def _parts(how: Layout) -> tuple[list[Part], tuple[int, int, int]]:
    """Return ranges of the outer and of the middle axis, and the steps of the blocks in them.

    They do not depend on the number of threads, so no digit of the sums does.
    """
    outer, length, inner = how.shape
    across = min(inner, max(1, CELLS // length) if how.weighted else STRIP)
    lines = length if how.weighted else min(length, max(1, CELLS // across))
    steps = max(1, CELLS // (lines * across)), lines, across
    return list(product(whole_blocks(outer, steps[0]), whole_blocks(length, lines))), steps


def _blocks(part: Part, steps: tuple[int, int, int], inner: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the index of every block of a part."""
    ranges = (*part, (0, inner))
    starts = (range(*ends, step) for ends, step in zip(ranges, steps, strict=True))
    for start in product(*starts):
        at = (slice(a, min(a + n, end)) for a, n, (_, end) in zip(start, steps, ranges, strict=True))
        yield next(at), next(at), next(at)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the dot product of every row of a with b, or with its row of b."""
    if a.strides[-1] != a.itemsize:  # of a broadcast or reversed row, NumPy would add all cells one after the other
        a = np.ascontiguousarray(a)
    length = a.shape[1]
    cells = PIECE64 if a.dtype == DOUBLE else piece()
    if length <= cells:
        return np.vecdot(a, b).astype(np.float64)
    count = length // cells
    even = count * cells
    a_pieces, b_pieces = (p[..., :even].reshape(*p.shape[:-1], count, cells) for p in (a, b))
    found = np.add.reduce(np.vecdot(a_pieces, b_pieces), axis=1, dtype=np.float64)
    return found + np.vecdot(a[:, even:], b[..., even:]) if even < length else found


def _over_middle(values: np.ndarray) -> np.ndarray:
    """Return the sums over the middle axis, (outer, inner)."""
    outer, length, inner = values.shape
    if inner == 1:
        return _dot(values[..., 0], ones(length, values.dtype))[:, None]
    if values.dtype == DOUBLE:
        return np.add.reduce(values, axis=1)
    even = length // CHAIN * CHAIN
    lines = values[:, :even].reshape(outer, -1, CHAIN, inner)
    return np.add.reduce(np.add.reduce(lines, axis=2), axis=1, dtype=np.float64) + np.add.reduce(
        values[:, even:], axis=1
    )


def _over_others(values: np.ndarray) -> np.ndarray:
    """Return the sums over the outer and the inner axis, (length,)."""
    outer, length, inner = values.shape
    if inner > 1:
        return _dot(values.reshape(-1, inner), ones(inner, values.dtype)).reshape(outer, length).sum(0)
    return _over_middle(values.reshape(1, outer, length))[0]
