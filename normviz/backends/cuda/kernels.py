"""Launches of the kernels in kernels.cu: the grid, the number of pieces and the tables of parameters.

The array module and the compiled module are parameters, so the same launches run on a GPU and, in tests/cuda, on an
emulation on the CPU.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from normviz.backends.cuda.layout import SHORT, entries, order_of, runs, split

BLOCK = 256
UNROLL, COLUMN_UNROLL, GRID_UNROLL = 4, 8, 2
# The name of a dtype in CUDA, and how many values fill 16 bytes.
TYPES = {"float16": ("__half", 8), "bfloat16": ("__nv_bfloat16", 8), "float32": ("float", 4), "float64": ("double", 2)}
# Sets of at most this many cells are summed in double: with few terms, rounding errors do not average out.
FEW = 32
# The longest piece of a set, in values. The error that an outlier at the start causes grows with it, and float64 has no
# digits to spare.
LONGEST = {"float64": 1 << 13}
SOURCE = Path(__file__).with_name("kernels.cu")
HEADERS = "#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n"
OPTIONS = ("--std=c++17",)
# Mean, rstd, weight, bias: float64, broadcasting against x; None where there is none.
Parameters = tuple[Any, Any, Any, Any]


def instances() -> list[str]:
    """Return the names of all kernels in C++."""
    names = ["merge"]
    for ctype, width in TYPES.values():
        for work in ("double",) if ctype == "double" else ("float", "double"):
            names.append(f"moments<{ctype},{work},{UNROLL}>")
            names += [f"column_moments<{ctype},{work},{w},{COLUMN_UNROLL}>" for w in sorted({1, width // 2})]
        for w in (width, 1):
            names += [f"affine<{ctype},{w},{UNROLL}>", f"affine_grid<{ctype},{w},{GRID_UNROLL}>"]
    return names


def covers(dtype: Any) -> bool:
    """Return whether the kernels read this dtype."""
    return dtype.name in TYPES and dtype.isnative


class Kernels:
    """The kernels on one kind of device, which holds `threads` threads at once; `block` of them make a block.

    `module` has the compiled kernels: `get_function(name)(grid, block, arguments)`, as cupy.RawModule has it.
    """

    def __init__(self, xp: Any, module: Any, threads: int, block: int = BLOCK) -> None:
        self.xp, self.module, self.threads, self.block = xp, module, threads, block

    def rows(self, x: Any, rows: int, L: int) -> Any:
        """Return the atoms of rows of L adjacent values: (rows, 2), mean and M2."""
        ctype, _ = TYPES[x.dtype.name]
        splits, step, team = self.plan_rows(rows, L, x.dtype)
        width = 2 if splits == 1 else 3
        atoms = self.xp.empty((rows * splits, width), np.float64)
        name = f"moments<{ctype},{self.work(ctype, L)},{UNROLL}>"
        self._run(name, rows * splits * team, x, atoms, rows, L, splits, step, np.int32(team), np.int32(width))
        return atoms if splits == 1 else self.merge(atoms, rows, splits, 1)

    def columns(self, x: Any, outer: int, K: int, B: int) -> Any:
        """Return the atoms of the columns of x as (outer, K, B): (outer * B, 2), mean and M2."""
        ctype, width16 = TYPES[x.dtype.name]
        W = width16 // 2
        if B % W or pointer(x) % 8:
            W = 1
        splits, step = self.plan_columns(outer * B // W, K, x.dtype)
        width = 2 if splits == 1 else 3
        atoms = self.xp.empty((outer * splits * B, width), np.float64)
        name = f"column_moments<{ctype},{self.work(ctype, K)},{W},{COLUMN_UNROLL}>"
        self._run(name, outer * splits * (B // W), x, atoms, outer, K, B, splits, step, np.int32(width))
        return atoms if splits == 1 else self.merge(atoms, outer, splits, B)

    def merge(self, atoms: Any, outer: int, K: int, inner: int, count: float | None = None) -> Any:
        """Merge atoms, (outer, K, inner), over K: (outer * inner, 2).

        `count` is the number of cells of each partial result; None if each has its own. Few outputs with many parts
        each take two launches.
        """
        outputs = outer * inner
        parts = max(1, min(self.threads // (32 * outputs), K // 256))
        width = 2 if parts == 1 else 3
        out = self.xp.empty((outputs * parts, width), np.float64)
        team = 1
        while team < 32 and 4 * team * parts < K and 2 * team * outputs * parts <= 4 * self.threads:
            team *= 2
        given = (np.int32(3), np.float64(0)) if count is None else (np.int32(2), np.float64(count))
        counts = (np.int32(team), *given, np.int32(width))
        self._run("merge", outputs * parts * team, atoms, out, outer, K, inner, parts, *counts)
        return out if parts == 1 else self.merge(out, outputs, parts, 1)

    def affine(self, x: Any, y: Any, rows: Any) -> None:
        """Write y = (x - mean) * scale + shift, one of `rows` for every x.size / len(rows) values."""
        ctype, W = TYPES[x.dtype.name]
        if (pointer(x) | pointer(y)) % 16:
            W = 1
        L = x.size // len(rows)
        name = f"affine<{ctype},{W},{UNROLL}>"
        self._run(name, -(-x.size // (W * UNROLL)), x, rows, y, x.size, L, reciprocal(L, len(rows)))

    def affine_grid(self, x: Any, y: Any, rows: Any, columns: Any, B: int) -> None:
        """Write y likewise, with parameters of every row of B values (or None) and of its columns.

        `columns` holds len(columns) / B tables, one for as many rows as there are for each.
        """
        ctype, W = TYPES[x.dtype.name]
        if (pointer(x) | pointer(y)) % 16 or B % W:
            W = 1
        K = x.size // len(columns)
        none = np.uint64(0)  # a null pointer, as RawModule passes one
        name = f"affine_grid<{ctype},{W},{GRID_UNROLL}>"
        scalars = (x.size, B, reciprocal(B, x.size // B), K, reciprocal(K, len(columns) // B))
        self._run(name, -(-x.size // (W * GRID_UNROLL)), x, none if rows is None else rows, columns, y, *scalars)

    def work(self, ctype: str, cells: int) -> str:
        """Return the type in which a tile of a set of so many cells is taken."""
        return "double" if ctype == "double" or cells <= FEW else "float"

    def plan_rows(self, rows: int, L: int, dtype: np.dtype) -> tuple[int, int, int]:
        """Return how many pieces a row is cut into, how long each is, and how many lanes take one."""
        width = 16 // dtype.itemsize
        team = 1
        while team < 32 and team * UNROLL < L // width + 2:
            team *= 2
        tile = team * UNROLL * width
        fill = min(-(-8 * self.threads // (rows * team)), L // (8 * tile))
        splits = max(1, fill, -(-L // LONGEST.get(dtype.name, 1 << 20)))
        step = -(-L // (splits * tile)) * tile
        return -(-L // step), step, team

    def plan_columns(self, columns: int, K: int, dtype: np.dtype) -> tuple[int, int]:
        """Return how many pieces a column is cut into, and how long each is."""
        fill = min(-(-4 * self.threads // columns), K // (4 * COLUMN_UNROLL))
        splits = max(1, fill, -(-K // LONGEST.get(dtype.name, 1 << 20)))
        step = -(-K // (splits * COLUMN_UNROLL)) * COLUMN_UNROLL
        return -(-K // step), step

    def _run(self, name: str, threads: int, *arguments: Any) -> None:
        """Launch a kernel with about `threads` threads; above 8 times what the device holds, each thread loops."""
        grid = max(1, min(-(-threads // self.block), 8 * self.threads // self.block))
        scalars = tuple(np.int64(a) if type(a) is int else a for a in arguments)
        self.module.get_function(name)((grid,), (self.block,), scalars)


def reciprocal(divisor: int, quotients: int) -> np.uint64:
    """Return the factor that `quotient` in kernels.cu multiplies by; 0 where the division is trivial."""
    return np.uint64((1 << 64) // divisor + 1 if divisor > 1 and quotients > 1 else 0)


def pointer(a: Any) -> int:
    """Return the address of the first cell."""
    return a.data.ptr


def atoms(kernels: Kernels, tiles: Any) -> tuple[Any, Any]:
    """Return mean and M2 over the odd axes of dense tiles, in the shape of the even axes."""
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
    """Write (x - mean) * rstd * weight + bias to y, laid out as x; return False if the tables would be too large."""
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
