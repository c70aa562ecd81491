"""The way of an array that lies on the host, or in strides, through a small buffer on the GPU and back."""

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from . import threads
from .recipe import Box, boxes


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
    """Copy between host arrays of one shape, converting; one thread can't keep up with the bus of a GPU."""
    axis = int(np.argmax(target.shape)) if target.ndim else 0
    count = min(threads.worthwhile(target.nbytes), target.shape[axis] if target.ndim else 1)
    if count <= 1:
        np.copyto(target, source, casting="unsafe")
        return
    ends = [target.shape[axis] * i // count for i in range(count + 1)]
    cuts = [(slice(None),) * axis + (slice(a, b),) for a, b in pairwise(ends)]
    threads.run(lambda at: np.copyto(target[at], source[at], casting="unsafe"), cuts)


class Lane:
    """A stream with a pinned buffer and one on the device, which a piece of a host array goes through at a time.

    With two lanes, one copies while the other computes; within a lane, the stream keeps everything in order.
    """

    def __init__(self, xp: Any, nbytes: int) -> None:
        self.device = xp.empty(nbytes, np.uint8)
        self.pinned = np.frombuffer(xp.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)
        self.stream = xp.cuda.Stream(non_blocking=True)
        # What was computed before, the parameters say, was computed on the caller's stream.
        self.stream.wait_event(xp.cuda.get_current_stream().record())
        self._pending: tuple[np.ndarray, np.ndarray] | None = None

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
        """Send what `load` returned, overwritten since, to a host array; it is there after `finish`."""
        self._here.get(stream=self.stream, out=self._host, blocking=False)
        self._pending = (target.transpose(self._order), self._host)

    def settle(self) -> None:
        """Wait for the device."""
        self.stream.synchronize()

    def finish(self) -> None:
        """Wait for the device, and for what it sent to be where it belongs."""
        self.settle()
        pending, self._pending = self._pending, None
        if pending is not None:
            copy(*pending)


class Corner:
    """The same for an array on the device that the kernels cannot read in place: a dense copy of a piece."""

    def __init__(self) -> None:
        self.stream = nullcontext()

    def load(self, part: Any, dtype: np.dtype) -> Any:
        """Return a dense copy in the part's own order of axes in memory."""
        order = outermost_first(part)
        ordered = part.transpose(order)
        made = same_bits(ordered).copy().view(dtype) if part.dtype == dtype else ordered.astype(dtype, order="C")
        return made.transpose(np.argsort(order).tolist())

    def store(self, part: Any, target: Any) -> None:
        """Write a piece where it belongs."""
        same_bits(target)[...] = same_bits(part)

    def settle(self) -> None:
        """Nothing to wait for: all happens on the caller's stream."""

    finish = settle


def same_bits(a: Any) -> Any:
    """View bfloat16 as integers, which every operation of CuPy copies."""
    return a.view(np.uint16) if a.dtype.name == "bfloat16" else a


def outermost_first(a: Any) -> list[int]:
    """Return the axes of an array in the order of its memory."""
    return sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
