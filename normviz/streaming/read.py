"""Moments and statistics of what is read in parts: a file, chunks, or a dask array."""

from typing import Any

import numpy as np

from normviz.core.methods import find
from normviz.core.moments import Moments
from normviz.core.pooling import pooling
from normviz.core.sources import source
from normviz.core.statistics import Statistics
from normviz.streaming import chunks
from normviz.streaming import npy_files as files
from normviz.streaming.partial_moments import as_moments, finish, pooled_axes


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
        from normviz.streaming import dask_arrays as lazy

        return lazy.read(x, axes_of, channel_axis, backend)
    return (files if kind == "file" else chunks).read(x, axes_of, channel_axis, backend, progress)
