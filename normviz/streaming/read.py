"""Moments and statistics of what is read in parts: a file, chunks, or a dask array."""

from typing import Any

from normviz.core.array_kinds import source
from normviz.core.methods import find
from normviz.core.moments import Moments
from normviz.core.pooling import pooling
from normviz.core.statistics import Statistics
from normviz.streaming import chunks, dask_arrays, npy_files
from normviz.streaming.partial_moments import PartialMoments, as_moments, extents_of, finish


def moments(x: Any, channel_axis: int, backend: str | None, progress: bool | None) -> Moments:
    """Return the moments of a file, of chunks or of a dask array; see `normviz.moments`."""
    found = _read(x, "instance", None, channel_axis, backend, progress)
    return as_moments(found.moments, found.backend)


def statistics(
    x: Any, method: str, num_groups: int | None, channel_axis: int, backend: str | None, progress: bool | None
) -> Statistics:
    """Return the statistics of a file, of chunks or of a dask array; see `normviz.statistics`."""
    found = _read(x, method, num_groups, channel_axis, backend, progress)
    return finish(found.moments, pooling(method, found.shape, num_groups), found.backend)


def _read(
    x: Any, method: str, num_groups: int | None, channel_axis: int, backend: str | None, progress: bool | None
) -> PartialMoments:
    """Return the moments from which the method's statistics follow."""
    kind = source(x)

    def extents(shape: tuple[int, ...]) -> tuple[int, ...]:
        # Only the whole batch tells whether it can be cut into slices; its first chunk does not.
        if kind != "chunks" or find(method).n != "group":
            pooling(method, shape, num_groups)
        return extents_of(find(method), shape, num_groups)

    if kind == "dask":
        return dask_arrays.read(x, extents, channel_axis, backend)
    return (npy_files if kind == "file" else chunks).read(x, extents, channel_axis, backend, progress)
