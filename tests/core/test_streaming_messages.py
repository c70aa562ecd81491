"""The text of every refusal of a file, of chunks, and of what takes neither: one sentence, nothing read in vain."""

import io
import os
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import normviz as nv
from normviz.core.errors import unknown
from normviz.streaming import chunks as chunks_module
from normviz.streaming import npy_files as files
from tests.core.cases import each_message, refuses

X = np.zeros((2, 6, 3, 3), np.float32)


def saved(x, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, x, version=version)
    return stream.getvalue()


NPY = saved(X)
HEADER = len(NPY) - X.nbytes


def named(content, name="x.npy"):
    """A stream that has a name, as an open file does."""
    stream = io.BytesIO(content)
    stream.name = name
    return stream


def with_header(text):
    text = text.encode().ljust(HEADER - 11) + b"\n"
    return NPY[:8] + len(text).to_bytes(2, "little") + text + NPY[HEADER:]


def described(shape):
    return with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}")


ARRAY = "x has dtype {}; use float16, float32, float64, integers or booleans"
IN_BATCHES = "of a loader of (inputs, labels) pass (batch[0] for batch in loader)"
MESSAGES = [
    # what is no .npy file
    (lambda: nv.moments(named(b"")), ValueError, "x.npy does not begin as a .npy file does; np.save writes such files"),
    (
        lambda: nv.moments(io.BytesIO(b"a,b\n1,2\n3,4\n")),
        ValueError,
        "the BytesIO object does not begin as a .npy file does; np.save writes such files",
    ),
    (
        lambda: nv.moments(named(b"PK\x03\x04 and so on", "x.npz")),
        ValueError,
        "x.npz is an archive (.npz), not one array; pass one of it, np.load(file)['its name']",
    ),
    (
        lambda: nv.moments(named(b"\x93NUMPY\x09\x00" + NPY[8:])),
        ValueError,
        "x.npy has version 9.0 of the .npy format; versions 1.0 to 3.0 are read",
    ),
    (
        lambda: nv.moments(io.StringIO("1, 2")),
        TypeError,
        "the StringIO object is opened as text; open it in binary, open(path, 'rb')",
    ),
    # corrupt headers
    (
        lambda: nv.moments(named(NPY[: HEADER - 20])),
        ValueError,
        f"x.npy has a corrupt header (EOF: reading array header, expected {HEADER - 10} bytes got {HEADER - 30}); "
        "write or download it anew",
    ),
    (
        lambda: nv.moments(named(described((2, -6, 3)))),
        ValueError,
        "x.npy has a corrupt header (a shape of (2, -6, 3)); write or download it anew",
    ),
    (
        lambda: nv.moments(named(with_header("{'descr': '<f4', 'fortran_order': False}"))),
        ValueError,
        "x.npy has a corrupt header (Header does not contain the correct keys: ['descr', 'fortran_order']); "
        "write or download it anew",
    ),
    (
        lambda: nv.moments(named(described((1 << 40, 1 << 40)))),
        ValueError,
        f"x.npy has a corrupt header (a shape of {(1 << 40, 1 << 40)}); write or download it anew",
    ),
    # cut off
    (
        lambda: nv.moments(named(NPY[:-100])),
        ValueError,
        "x.npy holds 332 of the 432 bytes of float32 (2, 6, 3, 3) that its header announces; it was cut off, "
        "so write or download it anew",
    ),
    (
        lambda: nv.statistics(named(saved(np.asfortranarray(X))[:-432]), "batch"),
        ValueError,
        "x.npy holds 0 of the 432 bytes of float32 (2, 6, 3, 3) that its header announces; it was cut off, "
        "so write or download it anew",
    ),
    # as for arrays
    (
        lambda: nv.moments(named(saved(np.zeros((2, 0, 3))))),
        ValueError,
        "x has an empty axis, shape (2, 0, 3); every axis needs at least one cell",
    ),
    (
        lambda: nv.moments(named(saved(np.float64(3)))),
        ValueError,
        "x has rank 0, shape (); it needs 2 to 5 axes, (N, C, *spatial)",
    ),
    (lambda: nv.moments(named(saved(X + 0j))), TypeError, ARRAY.format("complex64")),
    (lambda: nv.moments(named(saved(X.astype("U3")))), TypeError, ARRAY.format("<U3")),
    (lambda: nv.moments(named(saved(X.view([("a", "f4")])))), TypeError, ARRAY.format("[('a', '<f4')]")),
    (
        lambda: nv.moments(named(saved(X.astype(object)))),
        TypeError,
        "x.npy holds Python objects, a pickle, which can run code when read; save numbers instead",
    ),
    (
        lambda: nv.moments(named(NPY), channel_axis=4),
        ValueError,
        "channel_axis=4 is not an axis of x, rank 4; use -4 to 3",
    ),
    (
        lambda: nv.statistics(named(NPY), "group", num_groups=4),
        ValueError,
        "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6",
    ),
    (lambda: nv.statistics(named(NPY), "Batch"), ValueError, unknown("method", "Batch", nv.METHODS)),
    (lambda: nv.moments(named(NPY), backend="numpi"), ValueError, unknown("backend", "numpi", ["numpy", "cupy"])),
    # chunks
    (
        lambda: nv.moments(iter([])),
        ValueError,
        "x has no chunks: the iterable is empty, or has been read before; an iterator gives them once",
    ),
    (
        lambda: nv.moments(iter([X, X[:1], X[..., :2]])),
        ValueError,
        "chunk 2 is float32 with C=6 and spatial axes (3, 2), and the chunks before it float32 with C=6 and (3, 3); "
        "only N may differ",
    ),
    (
        lambda: nv.moments(iter([X, X.astype("f8")])),
        ValueError,
        "chunk 1 is float64 with C=6 and spatial axes (3, 3), and the chunks before it float32 with C=6 and (3, 3); "
        "only N may differ",
    ),
    (
        lambda: nv.moments(iter([X, X[..., :2]]), channel_axis=-1),
        ValueError,
        "chunk 1 is float32 with C=2 and spatial axes (6, 3), and the chunks before it float32 with C=3 and (6, 3); "
        "only N may differ",
    ),
    (
        lambda: nv.moments(iter([X, X[0]])),
        ValueError,
        "chunk 1 is float32 with C=3 and spatial axes (3,), and the chunks before it float32 with C=6 and (3, 3); "
        "only N may differ",
    ),
    (
        lambda: nv.moments(iter([X, np.float32(1)])),
        ValueError,
        "chunk 1 has rank 0, shape (); it needs 2 to 5 axes, (N, C, *spatial)",
    ),
    (
        lambda: nv.moments(iter([X[:0]])),
        ValueError,
        "chunk 0 has an empty axis, shape (0, 6, 3, 3); every axis needs at least one cell",
    ),
    (
        lambda: nv.moments(iter([X, X[:0]])),
        ValueError,
        "chunk 1 has an empty axis, shape (0, 6, 3, 3); every axis needs at least one cell",
    ),
    (
        lambda: nv.moments(iter([X + 0j])),
        TypeError,
        "chunk 0 has dtype complex64; use float16, float32, float64, integers or booleans",
    ),
    (
        lambda: nv.moments([batch] for batch in (X, X)),
        TypeError,
        f"chunk 0 is of type list, not an array of shape (n, C, *spatial); {IN_BATCHES}",
    ),
    (
        lambda: nv.moments({"a.npy", "b.npy"}),
        TypeError,
        f"chunk 0 is of type str, not an array of shape (n, C, *spatial); {IN_BATCHES}",
    ),
    (
        lambda: nv.statistics(iter([X, X[:1]]), "ghost", num_groups=2),
        ValueError,
        "num_groups=2 does not divide N=3; these do: 1, 3 (slices of 3, 1 samples)",
    ),
    (
        lambda: nv.moments(iter([X]), progress="yes"),
        TypeError,
        "progress must be True, False or None, not 'yes'; None shows a bar for long readings",
    ),
    # what takes arrays alone
    (
        lambda: nv.normalize("x.npy", "batch"),
        TypeError,
        "this takes an array, not a file; np.load(path, mmap_mode='r') makes one of a .npy file",
    ),
    (
        lambda: nv.gradient(iter([X]), X, "batch"),
        TypeError,
        "this takes an array, not a list_iterator of chunks; join them, np.concatenate(list(chunks))",
    ),
    (
        lambda: nv.Explorer("x.npy"),
        TypeError,
        "this takes an array, not a file; np.load(path, mmap_mode='r') makes one of a .npy file",
    ),
]


@each_message(MESSAGES)
def test_message(wrong, error, message):
    refuses(wrong, error, message)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*x\.npy'$"):
        nv.moments(tmp_path / "x.npy")
    with pytest.raises(IsADirectoryError):
        nv.moments(tmp_path)


@pytest.fixture
def unread(monkeypatch):
    """Make measuring anything an error: what is refused must be refused before."""
    for module in (files, chunks_module):
        monkeypatch.setattr(module, "measure", lambda *_, **__: pytest.fail("values were measured"))


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_cut_off_is_refused_before_anything_is_measured(tmp_path, unread, buffering, monkeypatch):
    path = tmp_path / "x.npy"
    path.write_bytes(NPY[:-1])
    monkeypatch.setattr(files, "BUFFER", 16)
    message = f"^{path} holds 431 of the 432 bytes of float32 "
    with pytest.raises(ValueError, match=message):
        nv.moments(path)
    with path.open("rb", buffering=buffering) as stream, pytest.raises(ValueError, match=message):
        nv.moments(stream)


def test_wrong_arguments_are_refused_before_anything_is_measured(unread, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(NPY)
    for parts in (lambda: path, lambda: iter([X])):
        for wrong in (
            lambda x: nv.statistics(x, "nothing"),
            lambda x: nv.statistics(x, "group", num_groups=4),
            lambda x: nv.moments(x, channel_axis=7),
        ):
            with pytest.raises(ValueError):
                wrong(parts())


def test_a_stream_cut_off_says_so_at_its_end(monkeypatch):
    monkeypatch.setattr(files, "BUFFER", 16)
    read, write = os.pipe()
    os.write(write, NPY[:-1])
    os.close(write)
    with os.fdopen(read, "rb") as stream, pytest.raises(ValueError, match="holds 431 of the 432 bytes"):
        nv.moments(stream)


def test_a_pickle_is_never_opened():
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("the pickle was opened",)

    with pytest.raises(TypeError, match="holds Python objects"):
        nv.moments(io.BytesIO(saved(np.array([[Trap()]], object))))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, HEADER - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_header_is_refused_or_read(damage):
    """Whatever bytes stand there, no other error comes out, nor is more memory taken than a buffer."""
    content = bytearray(NPY)
    for place, byte in damage:
        content[place] = byte
    with suppress(ValueError, TypeError):
        nv.moments(io.BytesIO(bytes(content)))
