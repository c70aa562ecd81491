"""What the kernels do with an array on the device that lies densely, in whatever order of axes."""

import math
from typing import Any

import numpy as np

from normviz.backends.cuda.kernels import Kernels
from normviz.backends.cuda.layout import SHORT, entries, order_of, runs, split

# Mean, rstd, weight, bias: float64, broadcasting against x; None where there is none.
Parameters = tuple[Any, Any, Any, Any]


def atoms(kernels: Kernels, tiles: Any) -> tuple[Any, Any]:
    """Mean and M2 over the odd axes of dense tiles, in the shape of the even ones."""
    order = order_of(tiles) or ()
    left = runs([tiles.shape[axis] for axis in order], [axis % 2 == 1 for axis in order])
    inside = [n for n, odd in left if odd]
    last, last_odd = left[-1] if left else (1, False)
    if not inside:
        found, count = kernels.rows(tiles, tiles.size, 1), 1
    elif last_odd and (last * tiles.itemsize >= SHORT or len(inside) == 1):
        del left[-1]
        found, count = kernels.rows(tiles, tiles.size // last, last), last
    else:
        # As many columns as there are side by side; a short run that is innermost is merged later.
        at = len(left) - (3 if last_odd else 2)
        columns = math.prod(n for n, _ in left[at + 1 :])
        count = left.pop(at)[0]
        found = kernels.columns(tiles, tiles.size // (count * columns), count, columns)
    for at in reversed([i for i, (_, odd) in enumerate(left) if odd]):
        outer, inner = (math.prod(n for n, _ in part) for part in (left[:at], left[at + 1 :]))
        found = kernels.merge(found, outer, left[at][0], inner, count)
        count *= left.pop(at)[0]
    even = [axis for axis in order if axis % 2 == 0]
    found = found.reshape(*(tiles.shape[axis] for axis in even), 2).transpose(*np.argsort(even).tolist(), len(even))
    return found[..., 0], found[..., 1]


def scale(kernels: Kernels, x: Any, y: Any, given: Parameters) -> bool:
    """Write (x - mean) * rstd * weight + bias to y, which lies as x does; False where the tables would be too large."""
    order = order_of(x) or ()
    lengths = tuple(x.shape[axis] for axis in order)
    statistics, affine = (
        tuple(any(p is not None and p.shape[axis] > 1 for p in pair) for axis in order)
        for pair in (given[:2], given[2:])
    )
    plan = split(lengths, (statistics, affine), x.itemsize)
    if plan is None:
        return False
    work = np.float64 if x.itemsize == 8 else np.float32
    mean, rstd, weight, bias = (None if p is None else p.transpose(order) for p in given)

    def table(shape: tuple[int, ...] | None, rows: bool) -> Any:
        if shape is None:
            return None
        pair = (mean, rstd) if plan.in_rows[0] == rows else (None, None)
        other = (weight, bias) if plan.in_rows[1] == rows else (None, None)
        return entries(kernels.xp, work, shape, (*pair, *other), fold=all(plan.in_rows))

    rows, columns = plan.tables(lengths)
    if columns is None:
        kernels.affine(x, y, table(rows, True))
    else:
        kernels.affine_grid(x, y, table(rows, True), table(columns, False), math.prod(lengths[plan.start :]))
    return True
