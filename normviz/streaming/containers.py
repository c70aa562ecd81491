"""Files of arrays: which kind a file is, told by its first bytes, and where in it the numbers of one array begin."""

import io
import json
import math
import os
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from normviz.core.array_kinds import LOADERS, suffix_of
from normviz.core.errors import brief
from normviz.core.pooling import canonical

_NPY = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    # Version 3 differs in the encoding of the names of fields, and arrays with fields are refused.
    (3, 0): np.lib.format.read_array_header_2_0,
}
_TENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "C64": "<c8", "BOOL": "?"}
_TENSORS |= {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
"""NumPy's dtypes for those of .safetensors; bfloat16 is the upper half of float32."""
_MOST_HEADER = 100_000_000
"""Bytes of the header of a .safetensors file, as its own library has it."""
_SKIPPED = 1 << 20
"""Bytes of a pipe that are read at once to come to a tensor."""
_MOST_NAMES = 8
"""So many names of arrays stand in a message."""
_OTHERS = (
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file", ".h5"),
    (b"\x80\x02\x8a\nl\xfc\x9cF", "was written by torch.save", ".pt"),  # as PyTorch did before version 1.6
    *((bytes([0x80, version]), "is a pickle, and reading it can run code", ".pkl") for version in (2, 3, 4, 5)),
    *((start, "is a picture", ".png") for start in (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")),
    (b"MATLAB", "is a MATLAB file", ".mat"),
)
"""How files begin that are not read here, what is said of one, and the suffix whose line of code reads it."""


@dataclass(frozen=True)
class Header:
    """What is known of an array before its numbers are read."""

    shape: tuple[int, ...]  # in the order of its cells, slowest first
    dtype: np.dtype  # of its cells
    fortran: bool = False  # whether `shape` is reversed
    bfloat16: bool = False  # whether the cells, unsigned integers by `dtype`, are bfloat16

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def view(self, cells: np.ndarray, channel_axis: int) -> np.ndarray:
        """Return cells in the order of the file as a view with axes (N, C, *spatial)."""
        return canonical(cells.T if self.fortran else cells, channel_axis)

    def like(self) -> np.ndarray:
        """Return an array of this shape and dtype that takes no memory."""
        return np.broadcast_to(np.zeros((), np.float32 if self.bfloat16 else self.dtype), self.shape)

    def numbers(self, content: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return bytes of the file as an array of that shape, in the order of the file."""
        cells = content.view(self.dtype).reshape(shape)
        return (cells.astype(np.uint32) << 16).view(np.float32) if self.bfloat16 else cells

    def refuse(self, name: str, found: int) -> NoReturn:
        """Raise the error that there are only so many bytes of numbers."""
        kind = "bfloat16" if self.bfloat16 else self.dtype.name
        raise ValueError(
            f"{name} holds {found} of the {self.nbytes} bytes of {kind} "
            f"{self.shape[::-1] if self.fortran else self.shape} that its header announces; "
            "it was cut off, so write or download it anew"
        )


def load(file: Any, key: str | None = None) -> np.ndarray:
    """Return one array of a path or a binary file object; see `opened`."""
    with opened(file, key) as (stream, header, name):
        content = np.empty(header.nbytes, np.uint8)
        if (got := fill(stream, content, name)) < header.nbytes:
            header.refuse(name, got)
        cells = header.numbers(content, header.shape)
        return cells.T if header.fortran else cells


@contextmanager
def opened(file: Any, key: str | None) -> Iterator[tuple[Any, Header, str]]:
    """Open one array of a path or a binary file object; give a stream at its first number, its header and its name.

    Nothing is unpickled. What is cut off is refused before a number is read, unless the file is a pipe.

    Raises
    ------
    ValueError, TypeError
        If the file is of another kind or damaged, or holds several arrays and `key` names none of them.
    """
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key must be the name of an array, not {brief(key)}")
    name = _name(file)
    with ExitStack() as stack:
        stream = file if hasattr(file, "read") else stack.enter_context(Path(file).open("rb", buffering=0))
        if isinstance(stream, io.TextIOBase):
            raise TypeError(f"{name} is opened as text; open it in binary, open(path, 'rb')")
        start = _bytes(stream, 8, name)
        if not start:
            raise ValueError(f"{name} is empty; write or download it anew")
        if start[:2] == b"PK":
            with _checked(f"{name} is damaged, because it does not have the checksum (CRC) and size that it states"):
                member, size, name = _member(stack, stream, key, name)
                header = _npy_header(member, _bytes(member, 8, name), name)
                if size - member.tell() < header.nbytes:
                    header.refuse(name, size - member.tell())
                yield member, header, name  # at its end the checksum is compared
            return
        if start[:6] == np.lib.format.MAGIC_PREFIX:
            if key is not None:
                raise ValueError(f"{name} holds one array, which has no name; leave key={brief(key)} out")
            header = _npy_header(stream, start, name)
        else:
            header, name = _tensor_header(stream, start, key, name)
        left = _left(stream)
        if left is not None and left < header.nbytes:
            header.refuse(name, left)
        yield stream, header, name


@contextmanager
def _checked(damaged: str) -> Iterator[None]:
    """Turn the errors of zipfile and its decompressors into one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{damaged}; save it again") from error


# ---- the kinds of files ----


def _npy_header(stream: Any, start: bytes, name: str) -> Header:
    """Read the header of a .npy file whose first 8 bytes are `start`."""
    if start[:6] != np.lib.format.MAGIC_PREFIX or len(start) < 8:
        _refuse_kind(start, name)
    if (start[6], start[7]) not in _NPY:
        raise ValueError(f"{name} has version {start[6]}.{start[7]} of the .npy format; versions 1.0 to 3.0 are read")
    try:
        shape, fortran, dtype = _NPY[start[6], start[7]](stream)
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


def _member(stack: ExitStack, stream: Any, key: str | None, name: str) -> tuple[Any, int, str]:
    """Open one .npy file of a zip archive; return the stream, the bytes that it has, and its name for messages."""
    if not stream.seekable():
        raise ValueError(f"{name} is an archive, which cannot be read from a pipe; save one array with np.save")
    try:
        archive = stack.enter_context(zipfile.ZipFile(stream))
    except Exception as error:  # so do corrupt bytes here
        reason = "its list of members is wrong"
        raise ValueError(f"{name} is a damaged zip file, because {reason}; save it again with np.savez") from error
    members = {info.filename: info for info in archive.infolist()}
    arrays = {n.removesuffix(".npy"): info for n, info in members.items() if n.endswith(".npy")}
    if not arrays:
        if any(n.rpartition("/")[2] == "data.pkl" for n in members):
            _refuse_other(name, "was written by torch.save", ".pt")
        if "model.weights.h5" in members:
            _refuse_other(name, "is a model of Keras", ".keras")
        remedy = "save arrays with np.savez, and those of PyTorch with np.savez or as .safetensors"
        raise ValueError(f"{name} is a zip file without .npy arrays; {remedy}")
    chosen = _chosen([*arrays], key, name)
    info, name = arrays[chosen], f"{name}, array {chosen!r},"
    if info.flag_bits & 1:
        raise ValueError(f"{name} is protected by a password; save it again with np.savez")
    try:
        return stack.enter_context(archive.open(info)), info.file_size, name
    except NotImplementedError as error:
        remedy = "save it again with np.savez_compressed, which uses method 8 (deflate)"
        raise ValueError(f"{name} is packed by method {info.compress_type}; {remedy}") from error


def _tensor_header(stream: Any, start: bytes, key: str | None, name: str) -> tuple[Header, str]:
    """Read the header of a .safetensors file, and go on to the numbers of one tensor.

    The file begins with the length of its header, 8 bytes; the header is JSON, with dtype, shape and place by name.
    """
    length, left, named = int.from_bytes(start, "little"), _left(stream), suffix_of(name) == ".safetensors"
    if len(start) < 8 or length > min(_MOST_HEADER, _MOST_HEADER if left is None else left):
        if not named:
            _refuse_kind(start, name)
        size = "too few" if left is None else left + len(start)
        most = "a header at most 100 MB; save it again"
        raise ValueError(f"{name} states a header of {length} bytes, but the file has {size}, and {most}")
    text = _bytes(stream, length, name)
    if not (named or text.startswith(b"{")):
        _refuse_kind(start, name)
    damaged = f"{name} is not a complete .safetensors file, because its header cannot be read; save it again"
    try:
        tensors = {k: v for k, v in json.loads(text).items() if k != "__metadata__"}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(damaged) from error
    if not tensors:
        raise ValueError(f"{name} holds no tensors; save at least one")
    chosen = _chosen([*tensors], key, name)
    name = f"{name}, array {chosen!r},"
    try:
        dtype, shape, (begin, end) = (tensors[chosen][k] for k in ("dtype", "shape", "data_offsets"))
        if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)) or begin > end or len(shape) > 64:
            raise ValueError
        known = dtype in _TENSORS
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(damaged) from error
    if not known:
        numbers = "float16, float32, float64, integers or booleans"
        raise TypeError(f"{name} has dtype {brief(dtype)}; save it as {numbers}")
    header = Header(tuple(shape), np.dtype(_TENSORS[dtype]), bfloat16=dtype == "BF16")
    if header.nbytes != end - begin:
        need = f"shape {header.shape} and dtype {dtype} need {header.nbytes}"
        raise ValueError(f"{name} has {end - begin} bytes of numbers, but {need}; save it again")
    if left is None:
        for place in range(0, begin, _SKIPPED):
            _bytes(stream, min(_SKIPPED, begin - place), name)
    else:
        stream.seek(begin, os.SEEK_CUR)
    return header, name


def _chosen(names: Sequence[str], key: str | None, name: str) -> str:
    if key in names or (key is None and len(names) == 1):
        return names[0] if key is None else key
    if key is None:
        few = ", ".join(map(repr, names[:_MOST_NAMES])) + ", ..." * (len(names) > _MOST_NAMES)
        raise ValueError(f"{name} holds {len(names)} arrays; choose one by key=, of {few}")
    near = get_close_matches(key[:80], names, n=3) or names[:_MOST_NAMES]
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    raise ValueError(f"{name} holds no array {brief(key)}; it has {', '.join(map(repr, near))}{more}")


def _refuse_kind(start: bytes, name: str) -> NoReturn:
    for beginning, what, suffix in _OTHERS:
        if start.startswith(beginning):
            _refuse_other(name, what, suffix)
    suffix = suffix_of(name)
    writer = {".npz": "np.savez", ".npy": "np.save"}.get(suffix)
    if writer or suffix not in LOADERS:
        suffix, writer = (suffix, writer) if writer else (".npy", "np.save")
        raise ValueError(f"{name} does not begin as a {suffix} file does; {writer} writes such files")
    raise ValueError(f"{name} does not begin as a .npy file does; {LOADERS[suffix]} reads a {suffix} file")


def _refuse_other(name: str, what: str, suffix: str) -> NoReturn:
    raise ValueError(f"{name} {what}; load it with {LOADERS[suffix]}, and pass one array")


# ---- streams ----


def fill(stream: Any, buffer: np.ndarray, name: str) -> int:
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


def _bytes(stream: Any, count: int, name: str) -> bytes:
    """Read so many bytes, or as many as there are."""
    buffer = np.empty(count, np.uint8)
    return buffer[: fill(stream, buffer, name)].tobytes()


def _left(stream: Any) -> int | None:
    """Return how many bytes are left in a regular file; None for other streams, which tell only by reading."""
    raw = getattr(stream, "file", stream)  # the file that a wrapper of tempfile holds
    raw = getattr(raw, "raw", raw)
    if not isinstance(raw, io.FileIO):
        return None
    status = os.fstat(raw.fileno())
    return status.st_size - stream.tell() if stat.S_ISREG(status.st_mode) else None


def _name(file: Any) -> str:
    name = file if not hasattr(file, "read") else getattr(file, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else f"the {type(file).__name__} object"
