"""Moments and statistics of what is read in parts: a file, chunks, or a dask array."""

from typing import Any

from normviz.core.array_kinds import source
from normviz.core.errors import brief
from normviz.core.methods import find
from normviz.core.moments import Moments
from normviz.core.pooling import pooling
from normviz.core.statistics import Statistics
from normviz.streaming import chunks, dask_arrays, npy_files
from normviz.streaming.partial_moments import PartialMoments, as_moments, extents_of, finish


def moments(x: Any, channel_axis: int, backend: str | None, progress: bool | None, key: str | None) -> Moments:
    """Return the moments of a file, of chunks or of a dask array; see `normviz.moments`."""
    found = _read(x, "instance", None, channel_axis, backend, progress, key)
    return as_moments(found.moments, found.backend)


def statistics(
    x: Any,
    method: str,
    num_groups: int | None,
    channel_axis: int,
    backend: str | None,
    progress: bool | None,
    key: str | None,
) -> Statistics:
    """Return the statistics of a file, of chunks or of a dask array; see `normviz.statistics`."""
    found = _read(x, method, num_groups, channel_axis, backend, progress, key)
    return finish(found.moments, pooling(method, found.shape, num_groups), found.backend)


def _read(
    x: Any,
    method: str,
    num_groups: int | None,
    channel_axis: int,
    backend: str | None,
    progress: bool | None,
    key: str | None,
) -> PartialMoments:
    kind = source(x) or "chunks"

    def extents(shape: tuple[int, ...]) -> tuple[int, ...]:
        # Only the whole batch tells whether it can be cut into slices; its first chunk does not.
        if kind != "chunks" or find(method).n != "group":
            pooling(method, shape, num_groups)
        # A chunk has all channels, and a file tells how many samples there are. The chunks of dask may cut any groups.
        at_once = {"file": (0, 1), "chunks": (1,), "dask": ()}[kind]
        return extents_of(find(method), shape, num_groups, at_once)

    if kind == "file":
        return npy_files.read(x, extents, channel_axis, backend, progress, key)
    refuse_key(key)
    if kind == "dask":
        return dask_arrays.read(x, extents, channel_axis, backend)
    return chunks.read(x, extents, channel_axis, backend, progress)


def refuse_key(key: str | None) -> None:
    """Raise TypeError if a name is given for an array that is alone."""
    if key is not None:
        raise TypeError(f"key={brief(key)} names one array of a .npz or .safetensors file, and x is none; leave it out")
