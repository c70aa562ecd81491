"""Launches of the kernels: the grid, the number of pieces and the tables of parameters.

The array module and the compiled modules are parameters, so the same launches run on a GPU and, in tests/cuda, on an
emulation on the CPU.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from normviz.backends.cuda.layout import order_of, reduction, tables

BLOCK = 256
UNROLL, COLUMN_UNROLL, GRID_UNROLL, SLOPE_UNROLL = 4, 8, 4, 2
# The kernels of a gradient, and for which places of statistics and weight there is one.
SLOPES = {"row_slopes": (1, 2, 3), "column_slopes": (0, 1, 2), "slopes": (0, 1, 2, 3)}
# The name of a dtype in CUDA, and how many values fill 16 bytes.
TYPES = {"float16": ("__half", 8), "bfloat16": ("__nv_bfloat16", 8), "float32": ("float", 4), "float64": ("double", 2)}
# The numbers of the types of weight and bias in affine.cu.
PARAMETERS = {"float16": 0, "bfloat16": 1, "float32": 2, "float64": 3}
# Sets of at most this many cells are summed in double: with few terms, rounding errors do not average out.
FEW = 32
# The longest piece of a set, in values. The error that an outlier at the start causes grows with it, and float64 has no
# digits to spare.
LONGEST = {"float64": 1 << 13}
# Shorter rows of columns are read several at a time, because neighbouring threads must read neighbouring memory.
BESIDE = 256
FILES = ("kernels.cu", "affine.cu", "gradient.cu")
SOURCE = "".join(files(__package__ or "").joinpath(name).read_text("utf-8") for name in FILES)
HEADERS = "#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n"
OPTIONS = ("--std=c++17",)
KINDS = {"mean and variance": 0, "mean square": 1, "squared norm": 2}
RSTD = 3


class Found(NamedTuple):
    """What a table takes the statistics from: float64 on the device, see `entry` in affine.cu.

    `mean` and `spread` are arrays of the same strides. Along an axis of x, `cells` entries have one set, and the next
    set lies `sets` numbers away in memory; 0 where there is one set.
    """

    mean: Any
    spread: Any
    cells: tuple[int, ...]
    sets: tuple[int, ...]
    kind: int = RSTD
    count: float = 1.0
    eps: float = 0.0

    @classmethod
    def of(cls, mean: Any, rstd: Any) -> "Found":
        """Take mean and 1 / std that broadcast against x."""
        if (mean.shape, mean.strides) != (rstd.shape, rstd.strides):
            mean, rstd = mean + 0 * rstd, rstd + 0 * mean
        sets = tuple(step // mean.itemsize if n > 1 else 0 for step, n in zip(mean.strides, mean.shape, strict=True))
        return cls(mean, rstd, (1,) * mean.ndim, sets)


def instances() -> dict[str, list[str]]:
    """Return the names of all kernels in C++, by the module they are in.

    There are two modules for each type, the second one with the kernels of a gradient; "" is the module that all need.
    """
    found = {"": ["merge", "table<float>", "table<double>"]}
    for ctype, width in TYPES.values():
        names = []
        for work in ("double",) if ctype == "double" else ("float", "double"):
            names.append(f"moments<{ctype},{work},{UNROLL}>")
            names += [f"column_moments<{ctype},{work},{w},{COLUMN_UNROLL}>" for w in sorted({1, width // 2})]
        for w in (width, 1):
            names += [f"affine<{ctype},{w},{UNROLL}>"]
            names += [f"affine_grid<{ctype},{w},{GRID_UNROLL},{hold}>" for hold in range(3)]
        found[ctype] = names
        found[f"{ctype} gradient"] = [
            f"{name}<{ctype},{w},{SLOPE_UNROLL},{hold}>"
            for w in (width, 1)
            for name, holds in SLOPES.items()
            for hold in holds
        ]
    return found


def covers(dtype: Any) -> bool:
    """Return whether the kernels read this dtype."""
    return dtype.name in TYPES and dtype.isnative


class Kernels:
    """The kernels on one kind of device, which holds `threads` threads at once; `block` of them make a block.

    `module` returns the compiled kernels of a key of `instances`: `get_function(name)(grid, block, arguments)`, as
    cupy.RawModule has it. A function that has been fetched is kept.
    """

    def __init__(self, xp: Any, module: Callable[[str], Any], threads: int, block: int = BLOCK) -> None:
        self.xp, self.module, self.threads, self.block = xp, module, threads, block
        self._functions: dict[str, Any] = {}

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
        # Not in float64: the mean of each part is rounded, and a merge cannot make that good.
        beside = folded(K, B, W, BESIDE // x.itemsize, K // COLUMN_UNROLL) if x.itemsize < 8 else 1
        K, across = K // beside, B * beside
        if across % W or pointer(x) % 8:
            W = 1
        splits, step = self.plan_columns(outer * across // W, K, x.dtype)
        width = 2 if splits == 1 else 3
        atoms = self.xp.empty((outer * splits * across, width), np.float64)
        name = f"column_moments<{ctype},{self.work(ctype, K)},{W},{COLUMN_UNROLL}>"
        self._run(name, outer * splits * (across // W), x, atoms, outer, K, across, splits, step, np.int32(width))
        parts = splits * beside
        return atoms if parts == 1 else self.merge(atoms, outer, parts, B, K if splits == 1 else None)

    def merge(self, atoms: Any, outer: int, K: int, inner: int, count: float | None = None) -> Any:
        """Merge atoms, (outer, K, inner), over K: (outer * inner, 2).

        `count` is the number of cells of each partial result; None if each has its own. Few outputs with many parts
        each take two launches.
        """
        outputs = outer * inner
        # Teams of one lane read side by side where there is something beside; else the lanes of a team do.
        lanes = 1 if inner >= 8 else 32
        parts = max(1, min(self.threads // (lanes * outputs), K // (8 * lanes)))
        width = 2 if parts == 1 else 3
        out = self.xp.empty((outputs * parts, width), np.float64)
        team = 1
        while team < lanes and 4 * team * parts < K and 2 * team * outputs * parts <= 4 * self.threads:
            team *= 2
        given = (np.int32(3), np.float64(0)) if count is None else (np.int32(2), np.float64(count))
        counts = (np.int32(team), *given, np.int32(width))
        self._run("merge", outputs * parts * team, atoms, out, outer, K, inner, parts, *counts)
        return out if parts == 1 else self.merge(out, outputs, parts, 1)

    def table(self, work: Any, found: Found, weight: Any, bias: Any, layout: Any) -> tuple[Any, Any]:
        """Return the tables of rows and of columns that a `Layout` asks for, each None where there is none."""
        rows, columns = (self.xp.empty(size, work) if size else None for size in (layout.rows, layout.columns))
        null = np.uint64(0)  # a null pointer, as RawModule passes one
        arguments = [null if a is None else a for a in (rows, columns)]
        given = (found.mean, found.spread, np.int32(found.kind), np.float64(found.count), np.float64(found.eps))
        for p in (weight, bias):
            given += (null, np.int32(0)) if p is None else (p, np.int32(PARAMETERS[p.dtype.name]))
        name = "table<double>" if work == np.float64 else "table<float>"
        self._run(name, layout.entries, layout.packed, *arguments, *given)
        return rows, columns

    def affine(self, x: Any, y: Any, rows: Any) -> None:
        """Write y = (x - mean) * scale + shift, one of `rows`, 4 numbers each, for every x.size / (their number)."""
        ctype, W = TYPES[x.dtype.name]
        if (pointer(x) | pointer(y)) % 16:
            W = 1
        count = rows.size // 4
        L = x.size // count
        name = f"affine<{ctype},{W},{UNROLL}>"
        self._run(name, -(-x.size // (W * UNROLL)), x, rows, y, x.size, L, reciprocal(L, count))

    def affine_grid(self, x: Any, y: Any, rows: Any, columns: Any, hold: int, shape: tuple[int, int, int]) -> None:
        """Write y likewise for x as `shape`, (outer, K, B), with entries of rows and columns; `hold` as in affine.cu.

        There is a row for each of outer * K, or None, and a table of B columns for each of `outer`.
        """
        ctype, W = TYPES[x.dtype.name]
        outer, K, B = shape
        beside = folded(K, B, W, BESIDE // x.itemsize, K) if hold == 0 else 1
        K, across = K // beside, B * beside
        if (pointer(x) | pointer(y)) % 16 or across % W:
            W = 1
        vecs = outer * across // W
        lanes = max(1, min(-(-4 * self.threads // vecs), -(-K // GRID_UNROLL)))
        name = f"affine_grid<{ctype},{W},{GRID_UNROLL},{hold}>"
        rows = np.uint64(0) if rows is None else rows
        self._run(name, vecs * lanes, x, rows, columns, y, outer, K, across, B, lanes)

    def row_slopes(self, x: Any, grad: Any, sets: Any, weights: Any, hold: int, shape: tuple[int, int, int]) -> Any:
        """Return sums of g and of g * x_hat over B, (outer * K, pieces, 2), as gradient.cu defines them."""
        outer, K, B = shape
        ctype, W = self.slope_width((x, grad), B)
        rows, vecs = outer * K, B // W
        team = 1
        while team < 32 and team * SLOPE_UNROLL < vecs:
            team *= 2
        tile = team * SLOPE_UNROLL * W
        splits = max(1, min(-(-4 * self.threads // (rows * team)), B // (8 * tile)))
        step = -(-B // (splits * tile)) * tile
        splits = -(-B // step)
        sums = self.xp.empty((rows, splits, 2), np.float64)
        name = f"row_slopes<{ctype},{W},{SLOPE_UNROLL},{hold}>"
        self._run(name, rows * splits * team, x, grad, sets, weights, sums, outer, K, B, splits, step, np.int32(team))
        return sums

    def column_slopes(self, x: Any, grad: Any, sets: Any, weights: Any, hold: int, shape: tuple[int, int, int]) -> Any:
        """Return the sums over K, (outer, pieces, B, 2)."""
        outer, K, B = shape
        beside = folded(K, B, 16 // x.itemsize, BESIDE // x.itemsize, K // COLUMN_UNROLL) if hold == 0 else 1
        K, across = K // beside, B * beside
        ctype, W = self.slope_width((x, grad), across)
        splits, step = self.plan_columns(outer * across // W, K, x.dtype)
        sums = self.xp.empty((outer, splits * beside, B, 2), np.float64)
        name = f"column_slopes<{ctype},{W},{SLOPE_UNROLL},{hold}>"
        counts = (outer, K, across, B, splits, step)
        self._run(name, outer * splits * (across // W), x, grad, sets, weights, sums, *counts)
        return sums

    def slopes(
        self, x: Any, grad: Any, sets: Any, means: Any, weights: Any, y: Any, hold: int, shape: tuple[int, int, int]
    ) -> None:
        """Write the gradient by x to y."""
        outer, K, B = shape
        beside = folded(K, B, 16 // x.itemsize, BESIDE // x.itemsize, K) if hold == 0 else 1
        K, across = K // beside, B * beside
        ctype, W = self.slope_width((x, grad, y), across)
        vecs = outer * across // W
        lanes = max(1, min(-(-4 * self.threads // vecs), -(-K // SLOPE_UNROLL)))
        name = f"slopes<{ctype},{W},{SLOPE_UNROLL},{hold}>"
        self._run(name, vecs * lanes, x, grad, sets, means, weights, y, outer, K, across, B, lanes)

    def slope_width(self, arrays: tuple[Any, ...], B: int) -> tuple[str, int]:
        """Return the type in CUDA, and how many values a load takes."""
        ctype, W = TYPES[arrays[0].dtype.name]
        return ctype, 1 if any(pointer(a) % 16 for a in arrays) or B % W else W

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
        function = self._functions.get(name)
        if function is None:
            key = next(key for key, names in instances().items() if name in names)
            function = self._functions[name] = self.module(key).get_function(name)
        grid = max(1, min(-(-threads // self.block), 8 * self.threads // self.block))
        function((grid,), (self.block,), tuple(np.int64(a) if type(a) is int else a for a in arguments))


def reciprocal(divisor: int, quotients: int) -> np.uint64:
    """Return the factor that `quotient` in affine.cu multiplies by; 0 where the division is trivial."""
    return np.uint64((1 << 64) // divisor + 1 if divisor > 1 and quotients > 1 else 0)


def folded(K: int, B: int, W: int, cells: int, most: int) -> int:
    """Return how many of K rows of B columns, at most `most`, to read as one of `cells` or more in vectors of W.

    >>> folded(50176, 3, 4, 64, 50176), folded(50176, 64, 4, 64, 50176), folded(7, 3, 4, 64, 7)
    (28, 1, 1)
    """
    fitting = (m for m in range(-(-cells // B), min(most, 512) + 1) if K % m == 0 and m * B % W == 0)
    return 1 if cells <= B else next(fitting, 1)


def pointer(a: Any) -> int:
    """Return the address of the first cell."""
    return a.data.ptr


def atoms(kernels: Kernels, x: Any, block: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """Return mean and M2 of every block of a dense x, (sets, 2), and how many sets lie between those of each axis."""
    order = order_of(x) or ()
    plan = reduction(tuple(x.shape[axis] for axis in order), tuple(block[axis] for axis in order), x.itemsize)
    outer, K, B = plan.first
    found = kernels.columns(x, outer, K, B) if plan.by_columns else kernels.rows(x, outer, K)
    for shape, count in plan.merges:
        found = kernels.merge(found, *shape, count)
    steps = [0] * x.ndim
    for axis, step in zip(order, plan.steps, strict=True):
        steps[axis] = step
    return found, tuple(steps)


def on_grid(found: Any, x: Any, block: tuple[int, ...]) -> tuple[Any, Any]:
    """Return mean and M2 that `atoms` found, in the shape of the grid of blocks."""
    order = order_of(x) or ()
    grid = [x.shape[axis] // block[axis] for axis in order]
    found = found.reshape(*grid, 2).transpose(*np.argsort(order).tolist(), x.ndim)
    return found[..., 0], found[..., 1]


def scale(kernels: Kernels, x: Any, y: Any, found: Found, weight: Any, bias: Any) -> bool:
    """Write (x - mean) * rstd * weight + bias to y, laid out as x; return False if the tables would be too large.

    Weight and bias are on the device, of one of the types in PARAMETERS, with x's rank, and broadcast against x.
    """
    order = order_of(x) or ()

    def steps(p: Any) -> tuple[int, ...] | None:
        if p is None:
            return None
        return tuple(p.strides[axis] // p.itemsize if p.shape[axis] > 1 else 0 for axis in order)

    lengths, cells, sets = (tuple(values[axis] for axis in order) for values in (x.shape, found.cells, found.sets))
    layout = tables(lengths, x.itemsize, cells, sets, steps(weight), steps(bias))
    if layout is None:
        return False
    rows, columns = kernels.table(np.float64 if x.itemsize == 8 else np.float32, found, weight, bias, layout)
    if columns is None:
        kernels.affine(x, y, rows)
    else:
        kernels.affine_grid(x, y, rows, columns, layout.hold, layout.grid)
    return True
