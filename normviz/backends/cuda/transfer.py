"""Transfer of an array on the host, or of a strided one, through a small buffer on the GPU and back."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np

from normviz.backends import threads
from normviz.backends.base import Box, boxes
from normviz.core.moments import merge_two


def cut(a: Any, box: Box, cells: int) -> list[Box]:
    """Cut a box of a into boxes of at most `cells` cells.

    >>> cut(np.zeros((4, 2)), (slice(1, 4), slice(0, 2)), 4)
    [(slice(1, 3, None), slice(0, 2, None)), (slice(3, 4, None), slice(0, 2, None))]
    """
    return [
        tuple(slice(o.start + i.start, min(o.start + i.stop, o.stop)) for o, i in zip(box, inner, strict=True))
        for inner in boxes(a[box], cells)
    ]


def copy(target: np.ndarray, source: np.ndarray) -> None:
    """Copy between host arrays of one shape, with conversion, on several threads: one is slower than a GPU's bus."""
    axis = int(np.argmax(target.shape)) if target.ndim else 0
    count = min(threads.worthwhile(target.nbytes), target.shape[axis] if target.ndim else 1)
    if count <= 1:
        np.copyto(target, source, casting="unsafe")
        return
    cuts = [(slice(None),) * axis + (slice(a, b),) for a, b in threads.shares(target.shape[axis], count)]
    threads.run(lambda at: np.copyto(target[at], source[at], casting="unsafe"), cuts)


class Lane:
    """A stream with a pinned buffer and a buffer on the device; one piece of a host array passes through at a time.

    With two lanes, one copies while the other computes. The stream keeps the steps within a lane in order. CuPy's pools
    keep memory for each stream, also after its end, so a lane is used again by the next call.
    """

    def __init__(self, xp: Any) -> None:
        self.xp, self.stream = xp, xp.cuda.Stream(non_blocking=True)
        self.device: Any = None
        self.pinned: Any = None
        self.close()

    def open(self, nbytes: int) -> None:
        """Make room for pieces of up to `nbytes` bytes."""
        # The parameters may still be computed on the caller's stream.
        self.stream.wait_event(self.xp.cuda.get_current_stream().record())
        with self.stream:
            self.device = self.xp.empty(nbytes, np.uint8)
        self.pinned = np.frombuffer(self.xp.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)

    def close(self) -> None:
        """Give the buffers back to CuPy's pools; no copy may be under way."""
        self.device = self.pinned = None
        self._host: Any = None
        self._here: Any = None
        self._pending: tuple[np.ndarray, np.ndarray] | None = None
        self._order: list[int] = []

    def load(self, part: np.ndarray, dtype: np.dtype) -> Any:
        """Return a host array as a dense one on the device, in its own order of axes in memory."""
        self.finish()
        self._order = outermost_first(part)
        ordered = part.transpose(self._order)
        self._host, self._here = (
            buffer[: part.size * dtype.itemsize].view(dtype).reshape(ordered.shape)
            for buffer in (self.pinned, self.device)
        )
        copy(self._host, ordered)
        self._here.set(self._host, stream=self.stream)
        return self._here.transpose(np.argsort(self._order).tolist())

    def store(self, part: Any, target: np.ndarray) -> None:
        """Send the array that `load` returned, now with the result, to a host array; it is complete after `finish`."""
        self._here.get(stream=self.stream, out=self._host, blocking=False)
        self._pending = (target.transpose(self._order), self._host)

    def settle(self) -> None:
        """Wait for the device."""
        self.stream.synchronize()

    def finish(self) -> None:
        """Wait for the device, and copy the result to its place on the host."""
        self.settle()
        pending, self._pending = self._pending, None
        if pending is not None:
            copy(*pending)


class Corner:
    """The same interface for an array on the device that the kernels cannot read in place: copies one dense piece."""

    def __init__(self) -> None:
        self.stream = nullcontext()

    def open(self, nbytes: int) -> None:
        """Nothing to prepare."""

    def load(self, part: Any, dtype: np.dtype) -> Any:
        """Return a dense copy in the part's own order of axes in memory."""
        order = outermost_first(part)
        ordered = part.transpose(order)
        made = same_bits(ordered).copy().view(dtype) if part.dtype == dtype else ordered.astype(dtype, order="C")
        return made.transpose(np.argsort(order).tolist())

    def store(self, part: Any, target: Any) -> None:
        """Write a piece to its place."""
        same_bits(target)[...] = same_bits(part)

    def settle(self) -> None:
        """Nothing to wait for, because everything runs on the caller's stream."""

    finish = close = settle


class Sums:
    """Moments on the device, merged from parts that may arrive on different streams."""

    def __init__(self, xp: Any, tiles: tuple[int, ...]) -> None:
        self.count, self.mean, self.m2 = (xp.zeros(tiles[::2]) for _ in range(3))
        self.cells = math.prod(tiles[1::2])
        self.written = xp.cuda.get_current_stream().record()

    def add(self, at: Box, part: tuple[int, ...], mean: Any, m2: Any, stream: Any) -> None:
        """Merge the moments of a part."""
        cells = math.prod(part[1::2])
        on_a_stream = hasattr(stream, "wait_event")
        if on_a_stream:
            stream.wait_event(self.written)
        if cells < self.cells:
            # All new values are computed before the first is written: memory may run out, and the part comes again.
            merged = merge_two((self.count[at], self.mean[at], self.m2[at]), (cells, mean, m2))
            self.count[at], mean, m2 = merged
        self.mean[at] = mean
        self.m2[at] = m2
        if on_a_stream:
            self.written = stream.record()


def same_bits(a: Any) -> Any:
    """View bfloat16 as integers, which every operation of CuPy copies."""
    return a.view(np.uint16) if a.dtype.name == "bfloat16" else a


def outermost_first(a: Any) -> list[int]:
    """Return the axes of an array in the order of its memory."""
    return sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
