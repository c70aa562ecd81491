"""Tensors that are not in memory: files, iterables of chunks, dask arrays; and Batch Norm over several devices.

All are the same sum: every part is measured where it is, and what is left of it, count, mean and M2, is merged. So the
result is that of the whole tensor, however it was cut. `moments`, `sweep`, `statistics` and
`RunningStatistics.update` take, wherever they take an array:

- the path of a .npy file, or a binary file object with one, seekable or not: read in pieces of 4 MB into one buffer;
- an iterable of chunks (n, C, *spatial): a generator or another iterator of arrays, or what can be iterated over but
  not indexed, such as a torch DataLoader of plain tensors. A list or a tuple is an array. Chunks are counted from 0;
- a dask array, worked on by dask's own scheduler. `normalize` of one stays lazy.

A memory map is an array, and no copy is made of it. Several files are an iterable of those:
`nv.moments(np.load(path, mmap_mode="r") for path in paths)`.

Synchronized Batch Norm (torch.nn.SyncBatchNorm) is the merge of what each device has measured of its own samples:

>>> from normviz import Moments, moments, normalize
>>> x = np.arange(24.0).reshape(4, 2, 3)
>>> devices = [x[:1], x[1:]]  # batches may be uneven
>>> shared = Moments.concatenate(moments(part) for part in devices).pool("batch")
>>> y = [normalize(part, "batch", statistics=shared) for part in devices]
>>> np.allclose(np.concatenate(y), normalize(x, "batch"))
True
"""

from typing import Any

import numpy as np

from ..blocks import pooling
from ..merging import Moments
from ..methods import find
from ..results import Statistics
from ..sources import source
from . import chunks, files
from .atoms import as_moments, finish, pooled_axes


def moments(x: Any, channel_axis: int, backend: str | None, progress: bool | None) -> Moments:
    """Return the moments of a file, of chunks or of a dask array; see `normviz.moments`."""
    atoms, _, worker = _read(x, "instance", None, channel_axis, backend, progress)
    return as_moments(atoms, worker)


def statistics(
    x: Any, method: str, num_groups: int | None, channel_axis: int, backend: str | None, progress: bool | None
) -> Statistics:
    """Return the statistics of a file, of chunks or of a dask array; see `normviz.statistics`."""
    atoms, shape, worker = _read(x, method, num_groups, channel_axis, backend, progress)
    return finish(atoms, pooling(method, shape, num_groups), worker)


def _read(
    x: Any, method: str, num_groups: int | None, channel_axis: int, backend: str | None, progress: bool | None
) -> tuple[np.ndarray, tuple[int, ...], str]:
    """Return the atoms from which the method's statistics follow, the shape (N, C, *spatial), and who computed them."""
    kind = source(x)

    def axes_of(shape: tuple[int, ...]) -> tuple[int, ...]:
        # Whether a batch can be cut into such slices is told by all of it, not by its first chunk.
        if kind != "chunks" or find(method).n != "group":
            pooling(method, shape, num_groups)
        return pooled_axes(method, len(shape))

    if kind == "dask":
        from . import lazy

        return lazy.read(x, axes_of, channel_axis, backend)
    return (files if kind == "file" else chunks).read(x, axes_of, channel_axis, backend, progress)
