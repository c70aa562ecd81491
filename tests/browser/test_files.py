"""Files that the reader opens in the page, and pasted texts: read as NumPy reads them, or refused in one sentence."""

import base64
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from normviz.explorer.sentences import CATALOG
from tests.browser import host

OPEN = """
const shown = async (array) => {
  const { blob, offset, values, shape, dtype, little, fortran, name } = await front.unpacked(array);
  const length = shape.reduce((a, b) => a * b) * (values ? 0 : front.bytesOf(dtype));
  const numbers = values ?? front.decoded(await blob.slice(offset, offset + length).arrayBuffer(), dtype, little);
  let text = "";
  for (const byte of new Uint8Array(Float64Array.from(numbers).buffer)) text += String.fromCharCode(byte);
  return { name, shape, dtype, fortran: Boolean(fortran), held: numbers.constructor.name, data: btoa(text) };
};
const tried = async (read) => {
  try {
    return await Promise.all((await read()).map(shown));
  } catch (error) {
    return { refused: error instanceof front.Refusal, message: `${error.message}`, stack: error.stack };
  }
};
const bytes = (data) => Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
const opened = ([name, data]) => tried(async () => (await front.openFile(new File([bytes(data)], name))).arrays);
const pasted = (text) => tried(async () => [front.readPasted(text)]);
const each = async (list, f) => {
  const out = [];
  for (const one of list) out.push(await f(one));
  return out;
};
"""

Call = Callable[..., Any]


@pytest.fixture
def reads(page: Page, tmp_path: Path) -> Call:
    """Evaluate JavaScript with the readers in `front`; `opened` and `pasted` try one file, one text."""
    page.goto(host.write(tmp_path / "files.html", entry="explorer/js/files/open.js").as_uri())
    page.wait_for_function("window.loaded")
    return lambda code, given=None: page.evaluate(f"async (given) => {{ {OPEN} {code} }}", given)


def open_all(reads: Call, files: list[tuple[str, bytes]]) -> list[Any]:
    return reads("return each(given, opened)", [[name, base64.b64encode(data).decode()] for name, data in files])


def array(found: dict[str, Any]) -> np.ndarray:
    """The numbers that the page read, in float64 and the shape that the file states."""
    values = np.frombuffer(base64.b64decode(found["data"]), "<f8")
    return values.reshape(found["shape"], order="F" if found["fortran"] else "C")


def npy(x: Any, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(x), version=version)
    return file.getvalue()


def npz(deflated: bool = True, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if deflated else np.savez)(file, **arrays)
    return file.getvalue()


def safetensors(**tensors: tuple[str, tuple[int, ...], bytes]) -> bytes:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, stored) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(stored)]}  # type: ignore[assignment]
        data += stored
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


SENTENCES = [
    re.compile(re.sub(r"\\\{(\w+)(?:\\\?.*?\\\|.*?)?\\\}", ".*", re.escape(text)), re.DOTALL)
    for text in CATALOG["files"].values()
]


def is_sentence(message: str) -> bool:
    return any(sentence.fullmatch(message) for sentence in SENTENCES) and message.endswith(".") and len(message) < 400


# ---- what is read ----------------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(12)
FLOATS = RANDOM.normal(size=(3, 4, 2, 5)) * 10.0 ** RANDOM.integers(-6, 7, size=(3, 4, 2, 5))
FLOATS.flat[:4] = np.nan, np.inf, -np.inf, -0.0
INTEGERS = RANDOM.integers(-(2**63), 2**63 - 1, size=(2, 3, 7), endpoint=True)
NARROW = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def halves() -> np.ndarray:
    return np.arange(65536, dtype=np.uint16).view(np.float16).reshape(2, 8, 64, 64)


def stored_dtypes() -> dict[str, tuple[bytes, np.ndarray]]:
    """A .npy file of each dtype and order of bytes, and what NumPy holds."""
    arrays: dict[str, Any] = {f"{o}f{n}": FLOATS.astype(f"{o}f{n}") for o in "<>" for n in (4, 8)}
    arrays |= {f"{o}f2": halves().astype(f"{o}f2") for o in "<>"}
    arrays |= {f"<{kind}": INTEGERS.view("i8").astype(kind) for kind in NARROW}
    arrays |= {f">{kind}": INTEGERS.astype(f">{kind}") for kind in ("i2", "u4", "i8", "u8")}
    arrays["bool"] = INTEGERS > 0
    arrays["fortran"] = np.asfortranarray(FLOATS.astype(">f4"))
    arrays["rank 2"], arrays["rank 5"] = FLOATS.reshape(3, 40), np.asfortranarray(FLOATS.reshape(3, 4, 2, 5, 1))
    arrays["1e4 +- 1e-2"] = (1e4 + 0.01 * RANDOM.normal(size=(2, 3, 8, 8))).astype("f4")
    arrays["constant"] = np.full((4, 2), -7.25)
    return {f"{name}.npy": (npy(x), x) for name, x in arrays.items()}


def headed(header: str, data: bytes, version: int = 1) -> bytes:
    text = header.encode("utf-8" if version == 3 else "latin1")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def other_headers() -> dict[str, tuple[bytes, np.ndarray]]:
    """What np.save does not write, but np.load reads."""
    x, data = np.arange(6.0).reshape(2, 3), np.arange(6.0).tobytes()
    files = {
        "version 2.0.npy": npy(x, (2, 0)),
        "version 3.0.npy": npy(x, (3, 0)),
        "equals.npy": headed("{'descr': '=f8', 'fortran_order': False, 'shape': (2, 3), }\n", data),
        "no order.npy": headed("{'descr': 'f8', 'fortran_order': False, 'shape': (2, 3)}", data),
        "other order.npy": headed('{"shape":(2,3,),\n "fortran_order":False,"descr":"<f8"}   \n', data, 3),
        "long.npy": headed("{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L)}" + " " * 9900, data, 2),
        "truth.npy": headed("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3), }", bytes([0, 1, 2, 255, 0, 4])),
    }
    truth = np.array([[False, True, True], [True, False, True]])
    return {name: (file, truth if name == "truth.npy" else x) for name, file in files.items()}


def test_npy_files_are_read_as_numpy_reads_them(reads):
    cases = stored_dtypes() | other_headers()
    assert len(cases) >= 30
    for (name, (_, expected)), found in zip(
        cases.items(), open_all(reads, [(name, file) for name, (file, _) in cases.items()]), strict=True
    ):
        assert isinstance(found, list), (name, found)
        assert [one["name"] for one in found] == [name]
        assert found[0]["dtype"] == expected.dtype.name, name
        np.testing.assert_array_equal(array(found[0]), expected.astype(float), err_msg=name, strict=True)
        # What float32 holds exactly needs no more memory.
        assert found[0]["held"] == ("Float32Array" if expected.dtype.name in ("float16", "float32") else "Float64Array")


def test_arrays_of_npz_and_safetensors_files_are_offered_by_name(reads):
    x, big = FLOATS.astype("f4"), RANDOM.normal(size=(2, 16, 64, 64))
    arrays = {
        "x": x,
        "layer/weight": np.asfortranarray(x[0]),
        "big": big,
        "vector": np.ones(3),
        "text": np.array([["a"]]),
    }
    shown = {"x": x, "layer/weight": x[0], "big": big}
    mixed = io.BytesIO(npz(**arrays))
    with zipfile.ZipFile(mixed, "a") as file:
        file.writestr("notes.txt", "not an array")
        file.comment = b"PK\x05\x06 a comment that looks like an end"
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w", allowZip64=True) as file:
        for k in range(100):
            with file.open(f"{k}.npy", "w", force_zip64=True) as member:
                member.write(npy(np.full((1, 2), k)))
    names = {"F64": "f8", "F32": "f4", "F16": "f2", "U64": "u8", "I64": "i8", "U32": "u4", "I32": "i4", "U16": "u2"}
    names |= {"I16": "i2", "U8": "u1", "I8": "i1", "BOOL": "?"}
    typed = {name: (INTEGERS % 1000 if name[0] == "F" else INTEGERS).astype(dtype) for name, dtype in names.items()}
    tensors = {name: (name, x.shape, x.tobytes()) for name, x in typed.items()}
    wide = FLOATS.astype("f4").view("u4")
    tensors["BF16"] = ("BF16", FLOATS.shape, (wide >> 16).astype("u2").tobytes())
    tensors |= {"F8": ("F8_E4M3", (2, 2), bytes(4)), "scalar": ("F32", (), bytes(4))}
    expected = typed | {"BF16": (wide >> 16 << 16).view("f4")}
    files = {
        "deflated.npz": (npz(**arrays), shown),
        "stored.npz": (npz(deflated=False, **arrays), shown),
        "mixed.npz": (mixed.getvalue(), shown),
        "one.npz": (npz(x=x), {"x": x}),
        "many.npz": (many.getvalue(), {f"{k}": np.full((1, 2), k) for k in range(100)}),
        "model.safetensors": (safetensors(**tensors), expected),
        "no ending": (safetensors(a=("F64", (1, 2), np.ones(2).tobytes())), {"a": np.ones((1, 2))}),
    }
    for (name, (_, holds)), found in zip(
        files.items(), open_all(reads, [(name, file) for name, (file, _) in files.items()]), strict=True
    ):
        assert isinstance(found, list), (name, found)
        assert [one["name"] for one in found] == list(holds), name
        for one, x in zip(found, holds.values(), strict=True):
            np.testing.assert_array_equal(array(one), x.astype(float), err_msg=f"{name} {one['name']}", strict=True)


def pasted_texts() -> list[tuple[str, Any]]:
    """Texts, and the numbers in them."""
    x, nan, inf = np.round(FLOATS.astype("f4"), 3), np.nan, np.inf
    small = x[0, :2]
    with np.printoptions(floatmode="unique", threshold=10**6):
        every = str(x)
    return [
        ("[[1, 2], [3, nan]]", [[1, 2], [3, nan]]),
        ("[[1 2]\n [3 4]]", [[1, 2], [3, 4]]),
        ("  ((1, 2.), (.5, -1e-3),)  ", [[1, 2], [0.5, -0.001]]),
        ("x = np.array([[+1, 2]], dtype=np.float32)", [[1, 2]]),
        (
            "tensor([[[1., -inf]],\n        [[Infinity, −2]]], device='cuda:0', grad_fn=<AddBackward0>);",
            [[[1, -inf]], [[inf, -2]]],
        ),
        ("[[np.float64(1.5), np.int64(-2)], [np.nan, np.True_]]", [[1.5, -2], [nan, 1]]),
        ("Array([[True, false]], dtype=bool)", [[1, 0]]),
        ("tf.Tensor(\n[[1. 2.]\n [3. 4.]], shape=(2, 2), dtype=float32)", [[1, 2], [3, 4]]),
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("\n# made by np.savetxt\n1.0e+00 -2.5e-01\r\n 3 inf\r\n\r\n", [[1, -0.25], [3, inf]]),
        ('"a, b";"c"\n1.5;"2"\n', [[1.5, 2]]),
        ("a\tb\tc\n1\t2\tNaN", [[1, 2, nan]]),
        (" 7 ", [[7]]),
        ("epoch,loss\r1,.5\r2,.25", [[1, 0.5], [2, 0.25]]),
        (repr(small.tolist()), small.astype(float)),
        (repr(small), small),
        (every, x),
        ("tensor([[[ 0.,  1.],\n         [ 2.,  3.]]], dtype=torch.float64)", [[[0, 1], [2, 3]]]),
        (json.dumps(np.arange(32.0).reshape(2, 2, 2, 2, 2).tolist()), np.arange(32.0).reshape(2, 2, 2, 2, 2)),
    ]


def test_pasted_numbers_and_tables_are_read(reads):
    texts = pasted_texts()
    for (text, numbers), found in zip(texts, reads("return each(given, pasted)", [t for t, _ in texts]), strict=True):
        assert isinstance(found, list), (text, found)
        got = array(found[0])
        expected = np.asarray(numbers)
        exact = expected.dtype == np.float32
        np.testing.assert_array_equal(got.astype(expected.dtype) if exact else got, expected, err_msg=text)
        assert (got.shape, found[0]["dtype"]) == (expected.shape, "float64")


def test_tables_are_read_from_files(reads):
    x = np.round(FLOATS.reshape(12, 10), 4)
    written = {}
    for separator, ending in ((",", "csv"), (";", "csv"), ("\t", "tsv"), (" ", "txt")):
        file = io.StringIO()
        style = {"fmt": "%r", "comments": ""} if separator == ";" else {"fmt": "%.17g"}
        np.savetxt(file, x, delimiter=separator, header="größe", **style)
        written[f"{ord(separator)}.{ending}"] = file.getvalue()
    files = [(name, text.encode()) for name, text in written.items()]
    files += [("utf16.csv", written["44.csv"].encode("utf-16")), ("windows.csv", written["59.csv"].encode("cp1252"))]
    files += [
        ("mark.csv", b"\xef\xbb\xbf" + written["44.csv"].encode()),
        ("lists.json", json.dumps(x.tolist()).encode()),
    ]
    for (name, _), found in zip(files, open_all(reads, files), strict=True):
        assert isinstance(found, list), (name, found)
        np.testing.assert_array_equal(array(found[0]), x, err_msg=name, strict=True)
