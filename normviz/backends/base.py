"""What every backend offers, as plain array operations: view x in tiles and sum over the axes inside a block.

No step depends on a method, and none copies x. The work goes box by box, each box small enough to stay in a cache, or
in a small part of a GPU's memory.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from normviz.core.moments import mean_and_var, merge_two
from normviz.core.pooling import Pooling

Box = tuple[slice, ...]


def tile(x: Any, block: tuple[int, ...]) -> Any:
    """View x as (N/bn, bn, C/bc, bc, ...): even axes count the blocks, odd axes the cells inside one."""
    return x.reshape([n for length, extent in zip(x.shape, block, strict=True) for n in (length // extent, extent)])


def boxes(x: Any, cells: int) -> Iterator[Box]:
    """Cut x into boxes of at most `cells` cells; the axes with the smallest strides are cut last."""
    steps, room = [1] * x.ndim, cells
    for axis in sorted(range(x.ndim), key=lambda axis: abs(x.strides[axis])):
        steps[axis] = min(x.shape[axis], room)
        room //= steps[axis]
    for starts in product(*(range(0, n, step) for n, step in zip(x.shape, steps, strict=True))):
        yield tuple(slice(start, start + step) for start, step in zip(starts, steps, strict=True))


def clip(box: Box, shape: tuple[int, ...]) -> Box:
    """Return the part of an array of `shape` that broadcasts against `box`."""
    return tuple(slice(None) if n == 1 else cut for cut, n in zip(box, shape, strict=True))


def mean_and_m2(part: Any, axes: tuple[int, ...], xp: Any) -> tuple[Any, Any]:
    """Return mean and M2 over `axes`, which keep length 1, in float64; see `Backend.moments` for infinities and NaN.

    Two passes: E[x^2] - E[x]^2 loses every digit once |mean| >> std. Values are taken relative to the first one of
    their set, so that a constant has a variance of exactly 0.
    """
    first = part[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(part.ndim))].astype(np.float64)
    deviations = xp.subtract(part, first, dtype=np.float64)
    offset = deviations.mean(axis=axes, keepdims=True)
    mean = offset + first
    deviations -= offset
    if (wrong := ~xp.isfinite(mean)).any():  # infinities and NaN, or finite values too far apart for their difference
        count = math.prod(part.shape[axis] for axis in axes)
        mean = xp.where(wrong, (part / np.float64(count)).sum(axis=axes, keepdims=True), mean)
        deviations = xp.where(wrong, part - mean, deviations)
    deviations *= deviations
    return mean, deviations.sum(axis=axes, keepdims=True)


Given = tuple[np.ndarray, np.ndarray] | None
"""Mean and variance of every set, float64 on the host in `Pooling.statistics_shape`; None takes x's own."""


class Backend:
    """The recipe on one array module.

    The tasks are `moments`, `normalize` and `gradient`. A backend may replace a whole task, or only `affine` or
    `slopes`, the passes over x that the tasks consist of.

    Attributes
    ----------
    name
        "numpy", "compiled" or "cupy"; results carry it as `.backend`.
    xp
        The array module: numpy or cupy.
    cells
        Cells in a box at most.
    """

    name: str
    cells: int

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def host(self, values: Any) -> np.ndarray:
        """Return values as a NumPy array."""
        raise NotImplementedError

    def empty_like(self, like: Any, dtype: Any) -> Any:
        """Return an array of like's shape and layout, where it is."""
        return self.xp.empty_like(like, dtype=dtype)

    def overlap(self, a: Any, b: Any) -> bool:
        """Return whether b shares memory with a, other than by being the same cells in the same order."""
        raise NotImplementedError

    @np.errstate(all="ignore")
    def moments(self, x: Any, block: tuple[int, ...]) -> tuple[Any, Any]:
        """Return mean and M2, the sum of squared deviations, of every block of x: float64, in the shape of the grid.

        One rule holds for numbers that are not finite, in every backend, layout and size:

        - A mean is infinite if its block holds infinities of one sign. It is NaN if the block holds both signs, or NaN.
          M2 is NaN in all these cases, and so is the variance, as NumPy and PyTorch have it.
        - A mean square, and a sum of squares, is infinite where the mean is infinite, and NaN where the mean is NaN.
        - The mean of finite values is finite: that of 1e308 and -1e308 is 0. M2 and a mean square beyond float64's
          range are infinite.

        So an output is NaN in the whole block if a mean is subtracted. Otherwise infinities become NaN, and the other
        cells of an infinite mean square 0.
        """
        xp, tiles = self.xp, tile(x, block)
        odd = tuple(range(1, tiles.ndim, 2))
        one_a_set = [1 if axis in odd else n for axis, n in enumerate(tiles.shape)]
        count, mean, m2 = (xp.zeros(one_a_set) for _ in range(3))
        for box in boxes(tiles, self.cells):
            part = tiles[box]
            cells = math.prod(part.shape[axis] for axis in odd)
            at = clip(box, mean.shape)
            merged = merge_two((count[at], mean[at], m2[at]), (cells, *mean_and_m2(part, odd, xp)))
            count[at], mean[at], m2[at] = merged
        grid = tiles.shape[::2]
        return mean.reshape(grid), m2.reshape(grid)

    def normalize(self, x: Any, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: Any) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out.

        Weight and bias broadcast against x, or are None; float64 on the host, or on the GPU of any type, as x is there.
        """
        gamma, beta = (None if p is None else self.xp.asarray(p) for p in (weight, bias))
        self.affine(x, *self.mean_and_rstd(x, pool, eps, given), gamma, beta, out)

    def gradient(
        self, x: Any, grad: Any, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the gradient with respect to x to `out`; return those of weight and bias, float64 on the host.

        `given` are x's own mean and variance if they are known already. With `fixed` they are constants that do not
        depend on x. The gradients of the parameters have weight's shape, or one entry a channel without a weight.
        """
        gamma = np.ones(pool.parameter_shape) if weight is None else weight
        mean, rstd = self.mean_and_rstd(x, pool, eps, given)
        # ||x|| = sqrt(mean square) * sqrt(|S|), so x / ||x|| * weight is x / rms(x) * (weight / root).
        root = pool.size**0.5 if pool.row.statistic == "squared norm" else 1.0
        gamma = self.xp.asarray(gamma) / root
        of_weight, of_bias = self.slopes(x, grad, mean, rstd * root, gamma, out, pool.block, pool.row.centered, fixed)
        return self.host(of_weight) / root, self.host(of_bias)

    def mean_and_rstd(self, x: Any, pool: Pooling, eps: float, given: Given) -> tuple[Any, Any]:
        """Return mean and 1 / sqrt(var + eps) of every set, shaped to broadcast against x."""
        if given is None:
            mean, var = mean_and_var(*self.moments(x, pool.block), pool.size, pool.row.statistic)
        else:
            mean, var = map(self.xp.asarray, given)
        with np.errstate(all="ignore"):
            return pool.spread(mean), pool.spread(1 / self.xp.sqrt(var + eps))

    @np.errstate(all="ignore")
    def affine(self, x: Any, mean: Any, rstd: Any, weight: Any, bias: Any, out: Any) -> None:
        """Write (x - mean) * rstd * weight + bias to out.

        The parameters are float64 and broadcast against x; weight and bias may be None.
        """
        for box in boxes(x, self.cells):
            mean_here, scale = (p[clip(box, p.shape)] for p in (mean, rstd))
            if weight is not None:
                scale = scale * weight[clip(box, weight.shape)]
            y = x[box] - mean_here
            y *= scale
            if bias is not None:
                y += bias[clip(box, bias.shape)]
            out[box] = y

    @np.errstate(all="ignore")
    def slopes(
        self, x: Any, grad: Any, mean: Any, rstd: Any, weight: Any, out: Any, block: Any, centered: bool, fixed: bool
    ) -> tuple[Any, Any]:
        """Write the gradient with respect to x to `out`; return those of weight and bias, float64, in weight's shape.

        dL/dx = rstd * (g - mean(g) - x_hat * mean(g * x_hat)), g = weight * grad, means over each set; without centring
        the middle term is absent, and with fixed statistics both are.
        """
        xp = self.xp
        of_weight, of_bias = xp.zeros(weight.shape), xp.zeros(weight.shape)
        g_sum, gx_sum = xp.zeros(mean.shape), xp.zeros(mean.shape)

        def load(box: Box) -> tuple[Any, Any, Any]:
            x_hat = x[box] - mean[clip(box, mean.shape)]
            x_hat *= rstd[clip(box, rstd.shape)]
            return x_hat, grad[box].astype(np.float64), weight[clip(box, weight.shape)]

        for box in boxes(x, self.cells):
            x_hat, g, w = load(box)
            for total, values in ((of_bias, g), (of_weight, g * x_hat), (g_sum, g * w), (gx_sum, g * w * x_hat)):
                axes = tuple(axis for axis, n in enumerate(total.shape) if n == 1)
                total[clip(box, total.shape)] += values.sum(axis=axes, keepdims=True)

        g_mean, gx_mean = (share(total, block) for total in (g_sum, gx_sum))
        for box in boxes(x, self.cells):
            x_hat, g, w = load(box)
            g *= w
            if centered and not fixed:
                g -= g_mean[clip(box, mean.shape)]
            if not fixed:
                g -= x_hat * gx_mean[clip(box, mean.shape)]
            out[box] = g * rstd[clip(box, rstd.shape)]
        return of_weight, of_bias


def share(total: Any, block: tuple[int, ...]) -> Any:
    """Turn sums over parts of a set into the mean over the whole set, in the same shape."""
    here = tuple(min(n, extent) for n, extent in zip(total.shape, block, strict=True))
    tiles = tile(total, here)
    odd = tuple(range(1, tiles.ndim, 2))
    mean = tiles.sum(axis=odd, keepdims=True) / math.prod(block)
    return (mean + 0 * tiles).reshape(total.shape)
