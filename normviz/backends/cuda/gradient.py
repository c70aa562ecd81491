"""The gradient of a dense array on a GPU: sums by gradient.cu, what little is made of them by CuPy, then the output."""

from typing import Any

import numpy as np

from normviz.backends.base import share
from normviz.backends.cuda.kernels import Found, Kernels
from normviz.backends.cuda.layout import order_of, slope_tables
from normviz.core.pooling import Pooling


def gradient(
    kernels: Kernels, x: Any, grad: Any, pool: Pooling, weight: Any, found: Found, fixed: bool, out: Any
) -> tuple[Any, Any] | None:
    """Write the gradient by x to `out`; return those of weight and bias, float64 on the device, in weight's shape.

    All of x, grad and out are dense in one order. `weight` is float64, of x's rank, and broadcasts against x. Both x
    and grad are read once for the sums, or twice if some are over rows and some over columns, and once for the output.
    Return None, and write nothing, if the tables would be too large.
    """
    xp, order = kernels.xp, order_of(x) or ()
    work = np.float64 if x.itemsize == 8 else np.float32
    # As the output has it; else a set of one cell, whose gradient is 0, would keep the difference.
    weight = weight.astype(work).astype(np.float64)
    gamma = weight.transpose(order)
    steps = tuple(step // gamma.itemsize if n > 1 else 0 for step, n in zip(gamma.strides, gamma.shape, strict=True))
    lengths, cells, of_sets = (tuple(values[axis] for axis in order) for values in (x.shape, found.cells, found.sets))
    layout = slope_tables(lengths, x.itemsize, cells, of_sets, steps)
    if layout is None:
        return None
    hold, grid = layout.tables.hold, layout.tables.grid
    sets, weights = kernels.table(work, found, weight, None, layout.tables)
    given = (x, grad, sets, weights, hold, grid)

    def over_rows() -> Any:
        return kernels.row_slopes(*given).sum(axis=1).reshape(*layout.rows, 2)

    def over_columns() -> Any:
        return kernels.column_slopes(*given).sum(axis=1).reshape(*layout.columns, 2)

    if hold in (0, 3):  # nothing changes within a row, or within a column: both sums are made of one
        plain = over_columns() if hold == 0 else over_rows()
        weighted = plain * gamma[..., None]
    else:
        weighted, plain = (over_rows(), over_columns()) if hold == 1 else (over_columns(), over_rows())
    block = tuple(pool.block[axis] for axis in order)
    taken = (pool.row.centered and not fixed, not fixed)
    mean, with_x_hat = (
        -share(weighted[..., i], block) if t else xp.zeros(weighted.shape[:-1]) for i, t in enumerate(taken)
    )
    if pool.row.statistic == "squared norm":
        with_x_hat *= pool.size
    rounded = mean.astype(work)
    means = xp.stack([rounded, (mean - rounded).astype(work), *[with_x_hat.astype(work)] * 2], axis=-1)
    kernels.slopes(x, grad, sets, means, weights, out, hold, grid)
    alike = tuple(axis for axis, n in enumerate(gamma.shape) if n == 1)
    of_bias, of_weight = (plain[..., i].sum(axis=alike, keepdims=True) for i in (0, 1))
    back = np.argsort(order).tolist()
    return of_weight.transpose(back), of_bias.transpose(back)
