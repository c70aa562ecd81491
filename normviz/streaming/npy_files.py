"""Files in NumPy's .npy format, read front to back in pieces that fit one small buffer."""

import io
import math
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from normviz.arrays.request import take
from normviz.backends.base import Box
from normviz.core.errors import brief
from normviz.core.pooling import canonical
from normviz.streaming.partial_moments import PART, Extents, PartialMoments, in_order, join, measure
from normviz.streaming.progress import progress_bar

BUFFER = 1 << 22
"""Bytes that are read at once: they stay in a cache, whatever the file's size."""

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    # Version 3 differs in the encoding of the names of fields, and arrays with fields are refused.
    (3, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Header:
    """The header of a file; `shape` is in the order of the file's cells, slowest first."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def view(self, cells: np.ndarray, channel_axis: int) -> np.ndarray:
        """Return cells in the order of the file as a view with axes (N, C, *spatial)."""
        return canonical(cells.T if self.fortran else cells, channel_axis)


def read(
    file: Any, extents_of: Extents, channel_axis: int, backend: str | None, progress: bool | None
) -> PartialMoments:
    """Return the moments of a file's array in blocks of `extents_of(shape)`."""
    name = _name(file)
    with nullcontext(file) if hasattr(file, "read") else Path(file).open("rb", buffering=0) as stream:
        header = read_header(stream, name)
        # An array of the same shape that takes no memory: every argument is checked before a value is read.
        whole = header.view(np.broadcast_to(np.zeros((), header.dtype), header.shape), channel_axis)
        extents = extents_of(whole.shape)
        found = _size(stream)
        if found is not None and found < header.nbytes:
            _refuse(name, header, found)
        moments = np.zeros([-(-n // extent) for n, extent in zip(whole.shape, extents, strict=True)], PART)
        buffer = np.empty(max(min(BUFFER, header.nbytes), header.dtype.itemsize), np.uint8)
        done, insists, name_used = 0, backend is not None, ""
        with progress_bar(progress, header.nbytes, unit="B", unit_scale=True) as bar:
            for box in pieces(header.shape, max(1, BUFFER // header.dtype.itemsize)):
                shape = [cut.stop - cut.start for cut in box]
                part = buffer[: math.prod(shape) * header.dtype.itemsize]
                got = _fill(stream, part, name)
                if got < part.size:
                    _refuse(name, header, done + got)
                view, worker, _ = take(header.view(part.view(header.dtype).reshape(shape), channel_axis), 1, backend)
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


def read_header(stream: BinaryIO, name: str) -> Header:
    """Read the header of a .npy file; raise ValueError or TypeError if there is none, or its dtype cannot be read."""
    if isinstance(stream, io.TextIOBase):
        raise TypeError(f"{name} is opened as text; open it in binary, open(path, 'rb')")
    magic = np.empty(8, np.uint8)
    start = magic[: _fill(stream, magic, name)].tobytes()
    if start[:4] == b"PK\x03\x04":
        raise ValueError(f"{name} is an archive (.npz), not one array; pass one of it, np.load(file)['its name']")
    if start[:6] != np.lib.format.MAGIC_PREFIX or len(start) < 8:
        raise ValueError(f"{name} does not begin as a .npy file does; np.save writes such files")
    if (start[6], start[7]) not in _READERS:
        raise ValueError(f"{name} has version {start[6]}.{start[7]} of the .npy format; versions 1.0 to 3.0 are read")
    try:
        shape, fortran, dtype = _READERS[start[6], start[7]](stream)
        shape = tuple(reversed(shape)) if fortran else shape
        if dtype.subdtype:
            raise ValueError(f"cells of {dtype}")
        bytes_at_least = dtype.itemsize * math.prod(max(n, 1) for n in shape)
        if any(type(n) is not int or n < 0 for n in shape) or bytes_at_least > sys.maxsize or len(shape) > 64:
            raise ValueError(f"a shape of {shape}")
    except Exception as error:  # the parser of Python literals raises many kinds of errors on corrupt bytes
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name} has a corrupt header ({reason}); write or download it anew") from error
    if dtype.hasobject:
        raise TypeError(f"{name} holds Python objects, a pickle, which can run code when read; save numbers instead")
    return Header(shape, dtype, fortran)


def _fill(stream: Any, buffer: np.ndarray, name: str) -> int:
    """Read into the buffer until it is full or the stream ends; return the number of bytes that were read."""
    view, got = buffer.data, 0
    while got < len(view):
        room = len(view) - got
        if hasattr(stream, "readinto"):
            count = stream.readinto(view[got:])
        else:
            data = stream.read(room)
            if isinstance(data, str):
                raise TypeError(f"{name} is opened as text; open it in binary, open(path, 'rb')")
            count = len(data) if isinstance(data, bytes | bytearray) else data
            if type(count) is int and 0 < count <= room:
                view[got : got + count] = data
        if count is None or (type(count) is int and count == 0):
            break
        if type(count) is not int or not 0 < count <= room:
            method = "readinto" if hasattr(stream, "readinto") else "read"
            wrong = f"{brief(count)} when asked for {room} bytes"
            raise TypeError(f"{method} of {name} returned {wrong}; pass a binary file")
        got += count
    return got


def _size(stream: Any) -> int | None:
    """Return how many bytes are left in a regular file; None for other streams, which tell only by reading."""
    raw = getattr(stream, "file", stream)  # the file that a wrapper of tempfile holds
    raw = getattr(raw, "raw", raw)
    if not isinstance(raw, io.FileIO):
        return None
    status = os.fstat(raw.fileno())
    return status.st_size - stream.tell() if stat.S_ISREG(status.st_mode) else None


def _name(file: Any) -> str:
    """Return the name of the file for messages."""
    name = file if not hasattr(file, "read") else getattr(file, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else f"the {type(file).__name__} object"


def _refuse(name: str, header: Header, found: int) -> None:
    shape = header.shape[::-1] if header.fortran else header.shape
    raise ValueError(
        f"{name} holds {found} of the {header.nbytes} bytes of {header.dtype.name} {shape} that its header announces; "
        "it was cut off, so write or download it anew"
    )
