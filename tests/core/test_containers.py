"""Files of several arrays, files of other programs, and objects that hold arrays: read, or refused in one sentence."""

import io
import json
import pickle
import types
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from normviz.streaming import containers
from normviz.streaming import npy_files as files
from tests.core.cases import each_message, refuses, values

X = values((2, 6, 3, 3)).astype(np.float32)
HALVES = (X.view(np.uint32) >> 16).astype(np.uint16)
"""X as bfloat16, cut off and not rounded."""


def tensors(arrays, **header):
    """A .safetensors file: the length of its header, the header as JSON, and the numbers."""
    body = b""
    for name, (dtype, array) in arrays.items():
        content = array.tobytes()
        place = [len(body), len(body) + len(content)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": place}
        body += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def archive(write=np.savez, **arrays):
    stream = io.BytesIO()
    write(stream, **arrays)
    return stream.getvalue()


def npy(x):
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


SEVERAL = {
    "conv.weight": ("F32", X),
    "conv.bias": ("F32", X[0, :, 0, 0]),
    "half": ("BF16", HALVES),
    "whole": ("I16", np.arange(12, dtype="i2").reshape(3, 4)),
    "yes": ("BOOL", X > 0),
}
READ = {
    "one tensor": (tensors({"w": ("F32", X)}, __metadata__={"format": "pt"}), None, X),
    "one of several tensors": (tensors(SEVERAL), "conv.weight", X),
    "bfloat16": (tensors(SEVERAL), "half", (HALVES.astype(np.uint32) << 16).view(np.float32)),
    "whole numbers": (tensors(SEVERAL), "whole", SEVERAL["whole"][1]),
    "booleans": (tensors(SEVERAL), "yes", X > 0),
    "one array": (archive(a=X), None, X),
    "one of two arrays": (archive(a=X, b=-X), "b", -X),
    "packed": (archive(np.savez_compressed, a=X, b=-X), "b", -X),
    "columns first": (archive(a=np.asfortranarray(X)), "a", X),
    "one .npy": (npy(X), None, X),
}


@pytest.mark.parametrize("case", READ)
def test_a_file_is_told_by_its_content(tmp_path, case, monkeypatch):
    """In pieces of 100 bytes, whatever its name, by path and as an open file."""
    content, key, x = READ[case]
    monkeypatch.setattr(files, "BUFFER", 100)
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    expected = nv.moments(x)
    for source in (path, str(path), io.BytesIO(content)):
        found = nv.moments(source, key=key)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-12)
    with path.open("rb") as stream:
        np.testing.assert_allclose(nv.statistics(stream, "layer", key=key).var, nv.statistics(x, "layer").var)
    np.testing.assert_array_equal(containers.load(path, key), x)
    running = nv.RunningStatistics(x.shape[1])
    running.update(path, key=key)
    np.testing.assert_allclose(running.mean, 0.1 * nv.statistics(x, "batch").mean, atol=1e-12)
    assert nv.sweep(path, key=key)["layer", None].mean.shape == (len(x),)


def test_a_tensor_comes_from_a_pipe_too(monkeypatch):
    class Pipe(io.RawIOBase):
        def __init__(self, content):
            self.left = io.BytesIO(content)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self.left.readinto(buffer[:7])

    monkeypatch.setattr(containers, "_SKIPPED", 16)
    np.testing.assert_array_equal(containers.load(Pipe(tensors(SEVERAL)), "half").shape, X.shape)
    with pytest.raises(ValueError, match="the Pipe object is an archive, which cannot be read from a pipe"):
        nv.moments(Pipe(archive(a=X)))


def test_against_the_library():
    numpy_of = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    written = numpy_of.save({"a": X, "b": X.astype(np.float16), "c": np.arange(6).reshape(2, 3)})
    for key, x in numpy_of.load(written).items():
        np.testing.assert_array_equal(containers.load(io.BytesIO(written), key), x)


def as_file(content, name):
    stream = io.BytesIO(content)
    stream.name = name
    return stream


def reading(content, name="x.safetensors", key=None):
    """A call that reads a file of this content and name."""
    return lambda: nv.moments(as_file(content, name), key=key)


def with_members(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "/").replace("_", "."), content)
    return stream.getvalue()


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def encrypted():
    """The flag alone is set, in the member and in the list of members."""
    content = bytearray(archive(a=X))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


ONE = tensors({"w": ("F32", X)})
NPZ = archive(a=X)
TORCH = "was written by torch.save; load it with torch.load(path, weights_only=True), and pass one array"
HEADER_CUT = "is not a complete .safetensors file, because its header cannot be read; save it again"
MESSAGES = [
    # which array
    (reading(tensors(SEVERAL)), ValueError, "x.safetensors holds 5 arrays; choose one by key=, of 'conv.weight', ..."),
    (
        reading(tensors(SEVERAL), key="conv.wieght"),
        ValueError,
        "x.safetensors holds no array 'conv.wieght'; it has ...",
    ),
    (reading(archive(a=X, b=X), "x.npz"), ValueError, "x.npz holds 2 arrays; choose one by key=, of 'a', 'b'"),
    (reading(NPZ, "x.npz", "b"), ValueError, "x.npz holds no array 'b'; it has 'a'"),
    (reading(npy(X), "x.npy", "a"), ValueError, "x.npy holds one array, which has no name; leave key='a' out"),
    (reading(NPZ, "x.npz", 3), TypeError, "key must be the name of an array, not 3"),
    (lambda: nv.moments(X, key="a"), TypeError, "key='a' names one array of a .npz or .safetensors file, ... out"),
    (lambda: nv.statistics(iter([X]), "layer", key="a"), TypeError, "key='a' names one array of ...; leave it out"),
    (
        reading(tensors({f"layer.{i}.weight": ("F32", X) for i in range(300)}), key="layer.7.weigth"),
        ValueError,
        "x.safetensors holds no array 'layer.7.weigth'; it has 'layer.7.weight', ... and 297 more",
    ),
    (reading(tensors(SEVERAL), key="conv.bias"), ValueError, "x has rank 1, shape (6,); it needs 2 to 5 axes, ..."),
    # damaged or cut off
    (
        reading(ONE[:-30]),
        ValueError,
        "x.safetensors, array 'w', holds 402 of the 432 bytes of float32 (2, 6, 3, 3) ...",
    ),
    (reading(ONE[:20]), ValueError, f"x.safetensors {HEADER_CUT}"),
    (reading(ONE[:4]), ValueError, "x.safetensors states a header of ... bytes, but ...; save it again"),
    (reading(b""), ValueError, "x.safetensors is empty; write or download it anew"),
    (reading(b"\xff" * 8 + b"{}"), ValueError, "x.safetensors states a header of 18446744073709551615 bytes, ..."),
    (reading(tensors({})), ValueError, "x.safetensors holds no tensors; save at least one"),
    (reading(b"\4\0\0\0\0\0\0\0[[]]"), ValueError, f"x.safetensors {HEADER_CUT}"),
    (reading(tensors({}, w={"dtype": "F32"})), ValueError, f"x.safetensors {HEADER_CUT}"),
    *(
        (
            reading(tensors({}, w={"dtype": dtype, "shape": shape, "data_offsets": [0, 8]})),
            ValueError,
            f"x.safetensors {HEADER_CUT}",
        )
        for dtype, shape in ((["F32"], [2]), ("F32", [1] * 70 + [2]))
    ),
    (
        reading(tensors({}, w={"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 8]}) + b"12345678"),
        ValueError,
        "x.safetensors, array 'w', has 8 bytes of numbers, but shape (2, 3) and dtype F32 need 24; save it again",
    ),
    (
        reading(tensors({"w": ("F8_E4M3", np.zeros((2, 3), "u1"))})),
        TypeError,
        "x.safetensors, array 'w', has dtype 'F8_E4M3'; save it as float16, float32, float64, integers or booleans",
    ),
    (reading(NPZ[:-30], "x.npz"), ValueError, "x.npz is a damaged zip file, because its list of members is wrong; ..."),
    (
        reading(flipped(NPZ, 200), "x.npz"),
        ValueError,
        "x.npz is damaged, because ... checksum (CRC) ...; save it again",
    ),
    (reading(encrypted(), "x.npz"), ValueError, "x.npz, array 'a', is protected by a password; save it again with ..."),
    (
        reading(archive(a=np.array([[{}, {}]])), "x.npz"),
        TypeError,
        "x.npz, array 'a', holds Python objects, a pickle, ...; save numbers instead",
    ),
    (reading(with_members(), "x.npz"), ValueError, "x.npz is a zip file without .npy arrays; save arrays with ..."),
    (reading(with_members(a_npy=b"1, 2"), "x.npz"), ValueError, "x.npz, array 'a', does not begin as a .npy file ..."),
    # other programs
    (reading(with_members(x__data_pkl=b""), "x.pt"), ValueError, f"x.pt {TORCH}"),
    (reading(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "x.ckpt"), ValueError, f"x.ckpt {TORCH}"),
    (
        reading(with_members(model_weights_h5=b""), "x.keras"),
        ValueError,
        "x.keras is a model of Keras; load it with ...",
    ),
    (
        reading(b"\x89HDF\r\n\x1a\n" + bytes(8), "x.h5"),
        ValueError,
        "x.h5 is an HDF5 file; load it with h5py.File(path)...",
    ),
    (reading(pickle.dumps(X), "x.npy"), ValueError, "x.npy is a pickle, and reading it can run code; load it with ..."),
    (
        reading(b"\x89PNG\r\n\x1a\n", "x.png"),
        ValueError,
        "x.png is a picture; load it with np.asarray(PIL.Image.open...",
    ),
    (
        reading(b"1,2\n3,4\n", "x.csv"),
        ValueError,
        "x.csv does not begin as ...; np.loadtxt(path, ...) reads a .csv file",
    ),
    (reading(b"hello world", "x.pth"), ValueError, "x.pth does not begin as ...; torch.load(...) reads a .pt file"),
    (
        reading(b"hello world", "x.npz"),
        ValueError,
        "x.npz does not begin as a .npz file does; np.savez writes ... files",
    ),
    (
        reading(npy(HALVES.view("V2")), "x.npy"),
        TypeError,
        "x has dtype |V2; ... if it is bfloat16, pass x.view(ml_dtypes.bfloat16)",
    ),
]


@pytest.mark.parametrize("content", [with_members(a_npy=npy(X)[:-40]), ONE[:-40]], ids=[".npz", ".safetensors"])
def test_what_is_cut_off_is_refused_before_anything_is_measured(tmp_path, monkeypatch, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    monkeypatch.setattr(files, "BUFFER", 100)
    monkeypatch.setattr(files, "measure", lambda *_: pytest.fail("values were measured"))
    with pytest.raises(ValueError, match=r"x, array '[aw]', holds 392 of the 432 bytes of float32 \(2, 6, 3, 3\) that"):
        nv.moments(path)


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)


class Picture:
    shape, __array_interface__ = (2, 2), np.zeros((2, 2)).__array_interface__


Picture.__module__ = "PIL.Image"


class Table:
    """As a DataFrame of text is."""

    def __array__(self, dtype=None, copy=None):
        return np.array([["a", 1], ["b", 2]], object)


IN_MEMORY = [
    (lambda: {"weight": X, "bias": X[0], "epoch": 3}, "not a dict; pass one of its arrays: x['weight'], x['bias']"),
    (lambda: {"epoch": 3, "model": {"w": X}}, "not a dict; pass one of its arrays: x['model']['w']"),
    (
        lambda: dict.fromkeys(range(9), X),
        "not a dict; pass one of its arrays: x[0], x[1], x[2], x[3], x[4], x[5], ...",
    ),
    (dict, "not a dict; pass one of its arrays: it has none"),
    (lambda: types.MappingProxyType({"w": X}), "not a mappingproxy; pass one of its arrays: x['w']"),
    (lambda: np.load(io.BytesIO(archive(a=X, b=X))), "not a NpzFile; pass one of its arrays: x['a'], x['b']"),
    (lambda: Picture(), "not a picture (Picture); pass np.asarray(x)[None] with channel_axis=-1"),
    (lambda: Table(), "not a Table of other things than numbers; pass its numbers alone"),
    (
        lambda: ["a.npy", "b.npy"],
        "not a list of paths; pass chunks, (np.load(path, mmap_mode='r') for path in paths)",
    ),
    (lambda: None, "not None"),
    (lambda: types.SimpleNamespace(), "not a SimpleNamespace"),
]
PATHS = [
    ("x.safetensors", "safetensors.numpy.load_file(path)['its name'] makes one of a .safetensors file"),
    ("x.pth", "torch.load(path, weights_only=True) makes one of a .pt file"),
    (Path("x.hdf5"), "h5py.File(path)['its name'][...] makes one of a .h5 file"),
    ("x", "np.load(path, mmap_mode='r') makes one of a .npy file"),
]


@pytest.mark.parametrize("case", range(len(IN_MEMORY) + len(PATHS)))
def test_what_holds_arrays_is_no_array(case):
    """The same sentence from every function."""
    calls = [
        lambda x: nv.normalize(x, "batch"),
        lambda x: nv.gradient(x, X, "batch"),
        lambda x: nv.normalize(X, "batch", weight=x) if x is not None else nv.normalize(x, "batch"),
        nv.cube,
        lambda x: nv.show(x) if x is not None else nv.cube(x),
    ]
    if case < len(IN_MEMORY):
        make, end = IN_MEMORY[case]
        x = make()
        calls.append(nv.moments)
    else:
        x, end = PATHS[case - len(IN_MEMORY)]
        end = f"not a file; {end}"
    for call in calls:
        with pytest.raises(TypeError) as caught:
            call(x)
        assert str(caught.value) == f"this takes an array, {end}"
    if case == 0 or case >= len(IN_MEMORY):
        with pytest.raises(TypeError) as caught:
            nv.to_html([x])
        assert str(caught.value).endswith(end.partition("; ")[2])


def test_tensors_in_a_list_and_in_a_dict():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X)
    with pytest.raises(TypeError, match=r"not a list of tensors; pass torch\.stack\(x\)$"):
        nv.moments([tensor, tensor])
    with pytest.raises(TypeError, match=r"not a dict; pass one of its arrays: x\['weight'\], x\['bias'\]$"):
        nv.moments(torch.nn.Conv2d(2, 3, 1).state_dict())
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save({"w": tensor}, stream, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ValueError, match=r"was written by torch\.save; load it with torch\.load\(path"):
            nv.moments(io.BytesIO(stream.getvalue()))


def test_arrays_of_several_shapes():
    for x, kind in (((X, np.zeros(2)), "tuple"), ([X, X[0]], "list")):
        said = f"the {kind} holds arrays of shapes (2, 6, 3, 3), {x[1].shape}; pass one of them, x[0]"
        for call in (nv.moments, lambda x: nv.normalize(x, "batch"), nv.cube):
            with pytest.raises(ValueError) as caught:
                call(x)
            assert str(caught.value) == said


def test_numbers_of_other_libraries_are_read():
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(nv.moments(pandas.DataFrame(X[0, :, 0])).mean, X[0, :, 0])


def test_nothing_is_unpickled(monkeypatch):
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("a pickle was opened"))
    for wrong, error, _ in MESSAGES:
        with pytest.raises(error):
            wrong()


@given(
    st.sampled_from([ONE, NPZ]), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_a_damaged_file_is_refused_or_read(whole, damage):
    content = bytearray(whole)
    for place, byte in damage:
        content[place % len(content)] = byte
    with suppress(ValueError, TypeError):
        nv.moments(io.BytesIO(bytes(content)))
