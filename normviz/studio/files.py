"""A tensor of one's own for the studio: a .npy file, on the disk or uploaded, or an array. Nothing is unpickled."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from normviz import blocks
from normviz.backends import host
from normviz.streaming import files


@dataclass(frozen=True, eq=False, repr=False)
class Given:
    """A tensor of one's own.

    Attributes
    ----------
    name
        What the panel calls it: the file's name, or "array".
    values
        The whole of it, in host memory, with its axes as they came.
    """

    name: str
    values: np.ndarray

    def canonical(self, channel_axis: int) -> np.ndarray:
        """A view with axes (N, C, *spatial); ValueError or TypeError for what is no such tensor."""
        return blocks.canonical(self.values, channel_axis, self.name)

    def __repr__(self) -> str:
        return f"Given({self.name!r}, {self.values.dtype} of shape {self.values.shape})"


def given(value: Any, channel_axis: int = 1, name: str = "") -> Given:
    """Read a path, or the bytes of a file called `name`; take an array as it is.

    Raises
    ------
    ValueError, TypeError
        The file is no .npy file of numbers, is cut off, has not 2 to 5 axes or an empty one, or holds NaN or infinity.
    OSError
        It can't be read.
    """
    if isinstance(value, Given):
        found = value
    elif isinstance(value, str | os.PathLike):
        path = Path(value)
        with path.open("rb") as stream:
            found = Given(path.name, read(stream, path.name))
    elif isinstance(value, bytes | bytearray | memoryview):
        found = Given(name, read(io.BytesIO(value), name))
    elif value is None:
        raise TypeError("there is no file to show: give the path of a .npy file, or an array")
    else:
        found = Given(name or "array", host(value))
    found.canonical(channel_axis)
    return found


def read(stream: BinaryIO, name: str) -> np.ndarray:
    """Read the one array of an open .npy file, all of it finite numbers."""
    header = files.read_header(stream, name)
    # What cannot be shown is refused before its values are read.
    blocks.canonical(np.broadcast_to(np.zeros((), header.dtype), header.shape[:: -1 if header.fortran else 1]), 1, name)
    start, end = stream.tell(), stream.seek(0, os.SEEK_END)
    if end - start < header.nbytes:
        files._refuse(name, header, end - start)
    stream.seek(start)
    values = np.frombuffer(stream.read(header.nbytes), header.dtype).reshape(header.shape)
    values = values.T if header.fortran else values
    check_finite(values, name)
    return values


def check_finite(values: np.ndarray, name: str) -> None:
    """ValueError for NaN and infinity: a mean of them says nothing, and they are no accident to overlook in class."""
    if values.dtype.kind != "f":
        return
    # By parts: a mask of the whole would be as large as a quarter of it.
    wrong = [(n, ~np.isfinite(part)) for n, part in enumerate(values) if not np.isfinite(part).all()]
    if wrong:
        count, (n, where) = sum(int(w.sum()) for _, w in wrong), wrong[0]
        first = (n, *(int(i) for i in np.argwhere(where)[0]))
        raise ValueError(
            f"{name} holds NaN or infinity in {count} of its {values.size} cells, the first of them at {first}; "
            "replace them before, for instance with np.nan_to_num"
        )


__all__ = ["Given", "given", "read"]
