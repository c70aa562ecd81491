"""The text of every refusal of a file, of chunks, and of what takes neither: one sentence, nothing read in vain."""

import io
import os
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
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


def reading(content, name="x.npy", **options):
    """A call that reads a file of this content."""
    return lambda: nv.moments(named(content, name), **options)


def chunks(*parts, **options):
    """A call that reads these chunks."""
    return lambda: nv.moments(iter(parts), **options)


ONLY_N = "and the chunks before it float32 with C=6 and (3, 3); only N may differ"
IN_BATCHES = "not an array of shape (n, C, *spatial); of a loader ... pass (batch[0] for batch in loader)"
MESSAGES = [
    # what is no .npy file
    (reading(b""), ValueError, "x.npy is empty; write or download it anew"),
    (reading(b"1, 2"), ValueError, "x.npy does not begin as a .npy file does; np.save writes such files"),
    (lambda: nv.moments(io.BytesIO(b"a,b\n1,2\n3,4\n")), ValueError, "the BytesIO ... np.save writes such files"),
    (reading(b"PK\x03\x04 and so on", "x.npz"), ValueError, "x.npz is a damaged zip file, ... again with np.savez"),
    (reading(b"\x93NUMPY\x09\x00" + NPY[8:]), ValueError, "x.npy has version 9.0 ...; versions 1.0 to 3.0 are read"),
    (lambda: nv.moments(io.StringIO("1, 2")), TypeError, "the StringIO object is opened as text; ... open(path, 'rb')"),
    # corrupt headers
    (
        reading(NPY[: HEADER - 20]),
        ValueError,
        f"x.npy has a corrupt header (EOF: ... {HEADER - 10} bytes got {HEADER - 30}); write or download it anew",
    ),
    (reading(described((2, -6, 3))), ValueError, "x.npy has a corrupt header (a shape of (2, -6, 3)); ... it anew"),
    (reading(described((True, 6, 3))), ValueError, "x.npy has a corrupt header (a shape of (True, 6, 3)); ... it anew"),
    (reading(described((1 << 40,) * 2)), ValueError, f"x.npy ... header (a shape of {(1 << 40,) * 2}); ... it anew"),
    (
        reading(with_header("{'descr': '<f4', 'fortran_order': False}")),
        ValueError,
        "x.npy has a corrupt header (Header ... keys: ['descr', 'fortran_order']); write or download it anew",
    ),
    (
        reading(with_header("{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (2, 3)}")),
        ValueError,
        "x.npy has a corrupt header (cells of ('<f4', (2,))); write or download it anew",
    ),
    # cut off
    (reading(NPY[:-100]), ValueError, "x.npy holds 332 of the 432 bytes of float32 (2, 6, 3, 3) ... download it anew"),
    (reading(saved(np.asfortranarray(X))[:-432]), ValueError, "x.npy holds 0 of the 432 bytes ... download it anew"),
    # as for arrays
    (reading(saved(X[:, :0])), ValueError, "x has an empty axis, shape (2, 0, 3, 3); every axis ... at least one cell"),
    (reading(saved(np.float64(3))), ValueError, "x has rank 0, shape (); it needs 2 to 5 axes, (N, C, *spatial)"),
    (reading(saved(X + 0j)), TypeError, "x has dtype complex64; use float16, float32, float64, integers or booleans"),
    (reading(saved(X.astype("U3"))), TypeError, "x has dtype <U3; use float16, float32, float64, integers or booleans"),
    (reading(saved(X.view([("a", "f4")]))), TypeError, "x has dtype [('a', '<f4')]; use float16, ... or booleans"),
    (reading(saved(X.astype(object))), TypeError, "x.npy holds Python objects, a pickle, ... save numbers instead"),
    (reading(NPY, channel_axis=4), ValueError, "channel_axis=4 is not an axis of x, rank 4; use -4 to 3"),
    (
        reading(NPY, backend="numpi"),
        ValueError,
        "unknown backend 'numpi'; ... 'numpy'? (known: numpy, compiled, cupy)",
    ),
    (lambda: nv.statistics(named(NPY), "group", num_groups=4), ValueError, "num_groups=4 ... C=6; ... do: 1, 2, 3, 6"),
    (lambda: nv.statistics(named(NPY), "Batch"), ValueError, "unknown method 'Batch'; did you mean 'batch'? ..."),
    # chunks
    (chunks(), ValueError, "x has no chunks: the iterable is empty, or has been read ...; an iterator gives them once"),
    (chunks(X, X[:1], X[..., :2]), ValueError, f"chunk 2 is float32 with C=6 and spatial axes (3, 2), {ONLY_N}"),
    (chunks(X, X.astype("f8")), ValueError, f"chunk 1 is float64 with C=6 and spatial axes (3, 3), {ONLY_N}"),
    (chunks(X, X[..., :2], channel_axis=-1), ValueError, "chunk 1 is float32 with C=2 ... C=3 and (6, 3); only N ..."),
    (chunks(X, X[0]), ValueError, f"chunk 1 is float32 with C=3 and spatial axes (3,), {ONLY_N}"),
    (chunks(X, np.float32(1)), ValueError, "chunk 1 has rank 0, shape (); it needs 2 to 5 axes, (N, C, *spatial)"),
    (chunks(X[:0]), ValueError, "chunk 0 has an empty axis, shape (0, 6, 3, 3); every axis needs at least one cell"),
    (chunks(X, X[:0]), ValueError, "chunk 1 has an empty axis, shape (0, 6, 3, 3); every axis needs at least one cell"),
    (chunks(X + 0j), TypeError, "chunk 0 has dtype complex64; use float16, float32, float64, integers or booleans"),
    (chunks([X], [X]), TypeError, f"chunk 0 is of type list, {IN_BATCHES}"),
    (lambda: nv.moments({"a.npy", "b.npy"}), TypeError, f"chunk 0 is of type str, {IN_BATCHES}"),
    (lambda: nv.statistics(iter([X, X[:1]]), "ghost", num_groups=2), ValueError, "num_groups=2 ... N=3; ... 1, 3 (..."),
    (chunks(X, progress="yes"), TypeError, "progress must be True, False or None, not 'yes'; None shows a bar ..."),
    (chunks(X, progress=np.zeros(2)), TypeError, "progress must be True, False or None, not array([0., 0.]); None ..."),
    # what takes arrays alone
    (lambda: nv.normalize("x.npy", "batch"), TypeError, "this takes an array, not a file; np.load(path, ... .npy file"),
    (lambda: nv.gradient(iter([X]), X, "batch"), TypeError, "this takes an array, ... np.concatenate(list(chunks))"),
    (lambda: nv.Explorer("x.npy"), TypeError, "this takes an array, not a file; np.load(path, mmap_mode='r') ... file"),
]


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)


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


@given(st.lists(st.tuples(st.integers(0, HEADER - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_header_is_refused_or_read(damage):
    """Whatever bytes stand there, no other error comes out, nor is more memory taken than a buffer."""
    content = bytearray(NPY)
    for place, byte in damage:
        content[place] = byte
    with suppress(ValueError, TypeError):
        nv.moments(io.BytesIO(bytes(content)))
