"""The moments of an array in a file, which is read front to back in pieces that fit one small buffer."""

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np

from normviz.arrays.request import take
from normviz.backends.base import Box
from normviz.backends.dispatch import backend_for
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
        done, insists = 0, backend is not None
        # What is compiled for one piece serves all of them. A GPU gets single pieces, so their own size decides.
        if backend is None and backend_for(whole) == "compiled":
            backend = "compiled"
        with progress_bar(progress, header.nbytes, unit="B", unit_scale=True) as bar:
            for box in pieces(header.shape, max(1, BUFFER // header.dtype.itemsize)):
                shape = [cut.stop - cut.start for cut in box]
                part = buffer[: math.prod(shape) * header.dtype.itemsize]
                got = fill(stream, part, name)
                if got < part.size:
                    header.refuse(name, done + got)
                view, worker, _ = take(header.view(header.numbers(part, shape), channel_axis), 1, backend)
                n, c, *spatial = in_order(box[::-1] if header.fortran else box, channel_axis)
                for ns, cs in product(at_groups(n, extents[0]), at_groups(c, extents[1])):
                    inside = view[ns.start - n.start : ns.stop - n.start, cs.start - c.start : cs.stop - c.start]
                    part, worker = measure(inside, worker, extents, insists)
                    cuts = zip((ns, cs, *spatial), extents, strict=True)
                    at = tuple(slice(cut.start // extent, -(-cut.stop // extent)) for cut, extent in cuts)
                    so_far = moments[at]
                    moments[at] = join(so_far, part) if so_far["count"].any() else part
                # The last pieces may be smaller, and a GPU may run out of memory; but one backend reads the whole file.
                done, backend = done + got, worker.name
                bar.update(got)
    return PartialMoments(moments, whole.shape, worker.name)


def pieces(shape: tuple[int, ...], cells: int) -> Iterator[Box]:
    """Cut an array into runs of at most `cells` neighbouring cells, in their order, each a box."""
    split = next(axis for axis in range(len(shape)) if math.prod(shape[axis + 1 :]) <= cells)
    step = cells // math.prod(shape[split + 1 :])
    rest = tuple(slice(0, n) for n in shape[split + 1 :])
    for outer in product(*map(range, shape[:split])):
        for start in range(0, shape[split], step):
            yield *(slice(i, i + 1) for i in outer), slice(start, min(start + step, shape[split])), *rest


def at_groups(cut: slice, size: int) -> list[slice]:
    """Cut a part of an axis into runs that each lie in one group of `size` cells, or fill whole ones.

    >>> at_groups(slice(3, 14), 4), at_groups(slice(5, 7), 4)
    ([slice(3, 4, None), slice(4, 12, None), slice(12, 14, None)], [slice(5, 7, None)])
    """
    first, last = -(-cut.start // size) * size, cut.stop // size * size
    ends = sorted({cut.start, min(first, cut.stop), max(last, cut.start), cut.stop})
    return [slice(*run) for run in pairwise(ends)]
