"""The moments of an array in a file, which is read front to back in pieces that fit one small buffer."""

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np

from normviz.arrays.request import take
from normviz.backends.base import Box
from normviz.streaming.containers import fill, opened
from normviz.streaming.partial_moments import PART, Extents, PartialMoments, in_order, join, measure
from normviz.streaming.progress import progress_bar

BUFFER = 1 << 22
"""Bytes that are read at once: they stay in a cache, whatever the file's size."""


def read(
    file: Any, extents_of: Extents, channel_axis: int, backend: str | None, progress: bool | None, key: str | None
) -> PartialMoments:
    """Return the moments of a file's array in blocks of `extents_of(shape)`."""
    with opened(file, key) as (stream, header, name):
        # Every argument is checked before a value is read.
        whole = header.view(header.like(), channel_axis)
        extents = extents_of(whole.shape)
        moments = np.zeros([-(-n // extent) for n, extent in zip(whole.shape, extents, strict=True)], PART)
        buffer = np.empty(max(min(BUFFER, header.nbytes), header.dtype.itemsize), np.uint8)
        done, insists, name_used = 0, backend is not None, ""
        with progress_bar(progress, header.nbytes, unit="B", unit_scale=True) as bar:
            for box in pieces(header.shape, max(1, BUFFER // header.dtype.itemsize)):
                shape = [cut.stop - cut.start for cut in box]
                part = buffer[: math.prod(shape) * header.dtype.itemsize]
                got = fill(stream, part, name)
                if got < part.size:
                    header.refuse(name, done + got)
                view, worker, _ = take(header.view(header.numbers(part, shape), channel_axis), 1, backend)
                cuts = in_order(box[::-1] if header.fortran else box, channel_axis)
                for start, stop in pairwise(at_groups(cuts[1], extents[1])):
                    inside = view[:, start - cuts[1].start : stop - cuts[1].start]
                    part, used = measure(inside, worker, extents, insists)
                    if used is not worker:  # the GPU has no memory left; the rest stays on the host
                        worker, backend = used, used.name
                    cut = (cuts[0], slice(start, stop), *cuts[2:])
                    at = tuple(
                        slice(s.start // extent, -(-s.stop // extent)) for s, extent in zip(cut, extents, strict=True)
                    )
                    moments[at] = join(moments[at], part)
                done, name_used = done + got, worker.name
                bar.update(got)
    return PartialMoments(moments, whole.shape, name_used)


def pieces(shape: tuple[int, ...], cells: int) -> Iterator[Box]:
    """Cut an array into runs of at most `cells` neighbouring cells, in their order, each a box."""
    split = next(axis for axis in range(len(shape)) if math.prod(shape[axis + 1 :]) <= cells)
    step = cells // math.prod(shape[split + 1 :])
    rest = tuple(slice(0, n) for n in shape[split + 1 :])
    for outer in product(*map(range, shape[:split])):
        for start in range(0, shape[split], step):
            yield *(slice(i, i + 1) for i in outer), slice(start, min(start + step, shape[split])), *rest


def at_groups(channels: slice, size: int) -> list[int]:
    """Return where channels are cut so that each run lies in one group of `size` channels, or fills whole ones.

    >>> at_groups(slice(3, 14), 4), at_groups(slice(5, 7), 4)
    ([3, 4, 12, 14], [5, 7])
    """
    start, stop = channels.start, channels.stop
    first, last = -(-start // size) * size, stop // size * size
    return sorted({start, min(first, stop), max(last, start), stop})
