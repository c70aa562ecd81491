"""The CuPy backend: our kernels for arrays that are dense in memory, CuPy's own operations for all others.

`xp` is a parameter, so the tests can run all of this without a GPU.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from normviz.backends.base import Backend, Box, Given, clip, tile
from normviz.backends.cpu.backend import NumPy
from normviz.backends.cuda.gradient import gradient
from normviz.backends.cuda.kernels import (
    HEADERS,
    KINDS,
    OPTIONS,
    PARAMETERS,
    SOURCE,
    Found,
    Kernels,
    atoms,
    covers,
    instances,
    on_grid,
    scale,
)
from normviz.backends.cuda.layout import contiguous, order_of
from normviz.backends.cuda.transfer import Corner, Lane, Sums, cut
from normviz.backends.failure import OutOfGpuMemory
from normviz.core.errors import readable_bytes
from normviz.core.pooling import Pooling


class CuPy(Backend):
    """CuPy on the current device, which is that of x (see `normviz.backends.placement`).

    A host array passes through it in pieces.
    """

    name = "cupy"
    cells = 1 << 24  # in a box of the base class: 128 MB of float64, enough to fill a GPU and small in its memory
    piece = 1 << 26  # bytes of a host array that are transferred at a time, in one or two milliseconds
    least = 1 << 18  # smaller pieces than this do not help a GPU whose memory is full
    ready = False  # whether kernels have been at work in this process, so that some are compiled

    def __init__(self, xp: Any) -> None:
        super().__init__(xp)
        self._modules: dict[str, Any] = {}
        self._devices: dict[int, Kernels] = {}
        self._lanes: dict[int, list[Lane]] = {}

    def module(self, key: str = "") -> Any:
        """Return the module of one type of x, or the one that every call needs; the first call compiles it."""
        if key not in self._modules:
            source, names = HEADERS + SOURCE, instances()[key]
            self._modules[key] = self.xp.RawModule(code=source, options=OPTIONS, name_expressions=names)
        return self._modules[key]

    def host(self, values: Any) -> np.ndarray:
        """Copy the values to the host."""
        return self.xp.asnumpy(values)

    def empty_like(self, like: Any, dtype: Any) -> Any:
        """Return an array of like's shape and layout, where it is."""
        if not self._is_here(like):
            return np.empty_like(like, dtype=dtype)
        return self._or_no_memory(like, lambda: self.xp.empty_like(like, dtype=dtype))

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether b shares memory with a, other than by being the very same cells in the same order."""
        if not (self._is_here(a) and self._is_here(b)):
            return self._is_here(a) == self._is_here(b) and NumPy().overlap(a, b)
        same = a.data.ptr == b.data.ptr and a.strides == b.strides and a.itemsize == b.itemsize
        return not same and bool(self.xp.may_share_memory(a, b))

    @np.errstate(all="ignore")
    def moments(self, x: Any, block: tuple[int, ...]) -> tuple[Any, Any]:
        """Mean and sum of squared deviations of every block of x, float64, in the shape of the grid, on the device."""
        if self._is_here(x):
            if not covers(x.dtype):
                return self._or_no_memory(x, lambda: super(CuPy, self).moments(x, block))
            if order_of(x) is not None:
                try:
                    return on_grid(atoms(self.kernels(), x, block)[0], x, block)
                except self.xp.cuda.memory.OutOfMemoryError:
                    pass  # there may be room for pieces
                self._free()
        return self._or_no_memory(x, lambda: self._in_parts(tile(x, block)))

    @np.errstate(all="ignore")
    def normalize(self, x: Any, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: Any) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out, for a dense x in four launches or so.

        Weight and bias broadcast against x, float64 on the host or of any type on the device.
        """
        if self._alike(x, out):
            try:
                done = self._scale(x, out, self._found(x, pool, eps, given), weight, bias)
            except self.xp.cuda.memory.OutOfMemoryError:
                done = False  # and nothing is written: the kernel comes last, and needs no memory
            if done:
                return
            self._free()
        weight, bias = (None if p is None else self._float64(p) for p in (weight, bias))
        super().normalize(x, pool, weight, bias, eps, given, out)

    def _found(self, x: Any, pool: Pooling, eps: float, given: Given) -> Found:
        """Return the statistics of every set of a dense x on the device, computed or given."""
        if given is not None:
            mean, var = self.xp.asarray(np.stack(given))
            return Found(mean, var, pool.block, contiguous(pool.grid), 0, 1.0, eps)
        found, steps = atoms(self.kernels(), x, pool.block)
        sets = tuple(2 * step for step in steps)
        return Found(found[:, 0], found[:, 1], pool.block, sets, KINDS[pool.row.statistic], pool.size, eps)

    @np.errstate(all="ignore")
    def affine(self, x: Any, mean: Any, rstd: Any, weight: Any, bias: Any, out: Any) -> None:
        """Write (x - mean) * rstd * weight + bias; the parameters are float64 and broadcast against x.

        Weight and bias may be None.
        """
        mean, rstd, weight, bias = (None if p is None else self._local(p) for p in (mean, rstd, weight, bias))
        given = (mean, rstd, weight, bias)
        if self._alike(x, out):
            try:
                done = self._scale(x, out, Found.of(mean, rstd), weight, bias)
            except self.xp.cuda.memory.OutOfMemoryError:
                done = False
            if done:
                return
            self._free()

        def work(box: Box, lane: Lane | Corner) -> None:
            part = lane.load(x[box], out.dtype)
            mean, rstd, weight, bias = (None if p is None else p[clip(box, p.shape)] for p in given)
            if not self._scale(part, part, Found.of(mean, rstd), weight, bias):
                super(CuPy, self).affine(part, mean, rstd, weight, bias, part)
            lane.store(part, out[box])

        apart = not (self.xp if self._is_here(x) else np).may_share_memory(x, out)
        self._pieces(x, out.dtype, work, again=apart)

    def gradient(
        self, x: Any, grad: Any, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the gradient with respect to x to `out`; return those of weight and bias, float64 on the host."""
        weight = None if weight is None else self._float64(weight)
        if self._alike(x, out) and self._alike(x, grad):
            try:
                gamma = self.xp.ones(pool.parameter_shape) if weight is None else weight
                statistics = self._found(x, pool, eps, given)
                done = gradient(self.kernels(), x, grad, pool, gamma, statistics, fixed, out)
            except self.xp.cuda.memory.OutOfMemoryError:
                done = None  # and nothing is written, as above
            if done is not None:
                return self.host(done[0]), self.host(done[1])
            self._free()
        return super().gradient(x, grad, pool, weight, eps, given, fixed, out)

    def slopes(self, x: Any, grad: Any, mean: Any, rstd: Any, weight: Any, out: Any, *rest: Any) -> tuple[Any, Any]:
        """Write the gradient with respect to x to `out`; return those of weight and bias, float64, in weight's shape.

        CuPy's own operations do this, so all of x must fit on the device.
        """
        return self._or_no_memory(x, lambda: self._slopes(x, grad, mean, rstd, weight, out, *rest))

    def _slopes(self, x: Any, grad: Any, mean: Any, rstd: Any, weight: Any, out: Any, *rest: Any) -> Any:
        x_here, grad_here = (self._plain(a) for a in (x, grad))
        direct = self._is_here(out) and out.dtype.name != "bfloat16"
        out_here = out if direct else self.xp.empty(out.shape, np.float64 if out.dtype.itemsize == 8 else np.float32)
        weight = None if weight is None else self._local(weight)
        found = super().slopes(x_here, grad_here, mean, rstd, weight, out_here, *rest)
        if self._is_here(out):
            if not direct:
                out[...] = out_here.astype(out.dtype)
        else:
            np.copyto(out, self.host(out_here), casting="unsafe")
        return found

    def _scale(self, x: Any, y: Any, found: Found, weight: Any, bias: Any) -> bool:
        """Write (x - mean) * rstd * weight + bias to y, laid out as x; return whether the kernels did."""
        if not covers(x.dtype):
            return False
        weight, bias = (None if p is None else self._parameter(p) for p in (weight, bias))
        return scale(self.kernels(), x, y, found, weight, bias)

    def _parameter(self, p: Any) -> Any:
        """Return a weight or bias on the current device, in a type that `table` reads."""
        p = self._local(p)
        return p if p.dtype.name in PARAMETERS and p.dtype.isnative else p.astype(np.float64)

    def _float64(self, p: Any) -> Any:
        """Return a weight or bias on the current device, in the type that CuPy's own operations take it in."""
        return self._plain(self._local(p)).astype(np.float64)

    def _alike(self, x: Any, y: Any) -> bool:
        """Whether the kernels can write y as they read x: both on the device, of one type, and dense in one order."""
        here = self._is_here(x) and self._is_here(y) and x.dtype == y.dtype and covers(x.dtype)
        return here and order_of(x) is not None and order_of(x) == order_of(y)

    # ---- arrays that are worked on in pieces ----

    def _in_parts(self, tiles: Any) -> tuple[Any, Any]:
        """Mean and M2 over the odd axes of tiles, piece by piece."""
        sums = Sums(self.xp, tiles.shape)
        dtype = np.dtype(f"f{tiles.dtype.itemsize}" if tiles.dtype.kind == "f" else "f8")
        if tiles.dtype.name == "bfloat16":
            dtype = tiles.dtype

        def work(box: Box, lane: Lane | Corner) -> None:
            part = lane.load(tiles[box], dtype)
            inside = tuple(n if axis % 2 else 1 for axis, n in enumerate(part.shape))
            if covers(dtype):
                mean, m2 = on_grid(atoms(self.kernels(), part, inside)[0], part, inside)
            else:
                mean, m2 = super(CuPy, self).moments(part, inside)
            mean, m2 = (a.reshape(part.shape[::2]) for a in (mean, m2))
            sums.add(box[::2], part.shape, mean, m2, lane.stream)

        self._pieces(tiles, dtype, work, again=True)
        return sums.mean, sums.m2

    def _pieces(self, a: Any, dtype: np.dtype, work: Callable[[Box, Any], None], again: bool) -> None:
        """Call work(box, lane) for boxes of a, smaller ones once the GPU runs out of memory.

        If even the smallest do not fit, OutOfGpuMemory lets another backend do everything: always with `again`, and
        without it only as long as no box is done.
        """
        cells = max(1, self.piece // dtype.itemsize)
        todo, ready, turn = [tuple(slice(0, n) for n in a.shape)], False, 0
        # Each call has lanes of its own, also if threads call at the same time.
        kept = self._lanes.setdefault(self.xp.cuda.runtime.getDevice(), [])
        lanes = [Corner()] if self._is_here(a) else [self._lane(kept), self._lane(kept)]
        try:
            while todo:
                box = todo.pop()
                inner = cut(a, box, cells)
                if len(inner) > 1:
                    todo += reversed(inner)
                    continue
                try:
                    if not ready:
                        for lane in lanes:
                            lane.open(min(cells, a.size) * dtype.itemsize)
                        ready = True
                    lane = lanes[turn % len(lanes)]
                    with lane.stream:
                        work(box, lane)
                    turn += 1
                    continue
                except self.xp.cuda.memory.OutOfMemoryError:
                    pass  # continue outside the handler, because the error keeps arrays alive
                for lane in lanes:
                    lane.finish()
                    lane.close()
                ready, cells = False, cells // 2
                self._free()
                if cells * dtype.itemsize < self.least:
                    if again or not turn:
                        raise self._no_memory(a)
                    raise MemoryError("the GPU ran out of memory with x partly overwritten by the result")
                todo.append(box)
            for lane in lanes:
                lane.finish()
        finally:
            for lane in lanes:  # an error must not free a buffer that a copy still uses
                lane.settle()
                lane.close()
            kept += [lane for lane in lanes if isinstance(lane, Lane)]

    def _lane(self, kept: list[Lane]) -> Lane:
        try:
            return kept.pop()
        except IndexError:
            return Lane(self.xp)

    # ---- devices ---------------------------------------------------------------------------------------------------

    def _is_here(self, a: Any) -> bool:
        return isinstance(a, self.xp.ndarray)

    def _local(self, values: Any) -> Any:
        if self._is_here(values) and values.device.id == self.xp.cuda.runtime.getDevice():
            return values
        return self.xp.asarray(self.host(values))

    def _plain(self, a: Any) -> Any:
        """Return an array on the device, in a dtype that CuPy's own operations take."""
        if self._is_here(a):
            return a.astype(np.float32) if a.dtype.name == "bfloat16" else a
        return self.xp.asarray(np.asarray(a, a.dtype.newbyteorder("=")))

    def kernels(self) -> Kernels:
        """Return the kernels for the current device."""
        device = self.xp.cuda.runtime.getDevice()
        if device not in self._devices:
            found = self.xp.cuda.runtime.getDeviceProperties(device)
            threads = found["multiProcessorCount"] * found["maxThreadsPerMultiProcessor"]
            self._devices[device] = Kernels(self.xp, self.module, threads)
            CuPy.ready = True
        return self._devices[device]

    def _free(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _or_no_memory(self, x: Any, compute: Callable[[], Any]) -> Any:
        """Return compute(), with the memory that CuPy and torch keep if it is needed."""
        for _ in range(2):
            try:
                return compute()
            except self.xp.cuda.memory.OutOfMemoryError:
                pass
            self._free()
        raise self._no_memory(x)

    def _no_memory(self, x: Any) -> OutOfGpuMemory:
        free, total = self.xp.cuda.runtime.memGetInfo()
        left, of, needed = map(readable_bytes, (free, total, x.size * x.dtype.itemsize))
        return OutOfGpuMemory(
            f"the GPU has {left} of {of} left, too little for x of {needed} even in pieces; free some, or pass "
            "backend='numpy'"
        )
