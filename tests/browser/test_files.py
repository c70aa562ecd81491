"""Files that the reader opens in the page, and pasted texts: read as NumPy reads them, or refused in one sentence."""

import base64
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

import normviz as nv
from normviz.explorer import html_page, js
from normviz.explorer.sentences import CATALOG, say
from normviz.samples import make
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


# ---- pictures --------------------------------------------------------------------------------------------------------


def png(pixels: np.ndarray, size: tuple[int, int] | None = None) -> bytes:
    """A PNG file of pixels (H, W, 3 or 4), uint8; `size` is a width and a height that it states falsely."""
    height, width, channels = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), "u1"), pixels.reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", *(size or (width, height)), 8, 2 if channels == 3 else 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def test_the_filters_of_the_page_are_those_of_the_sample(reads):
    """On any picture of the sample's size, to rounding to a multiple of the step."""
    greys = [np.random.default_rng(k).random((64, 64)) for k in range(3)]
    for grey, found in zip(
        greys,
        reads(
            "return given.map((grey) => [...front.filtered(Float64Array.from(grey))])",
            [g.ravel().tolist() for g in greys],
        ),
        strict=True,
    ):
        margin = (make.THUMBNAIL - make.WINDOW) // 2
        expected = np.round(make.layer(grey, margin, margin) * make.GAIN / make.STEP) * make.STEP
        assert np.abs(np.reshape(found, (16, 12, 12)) - expected).max() <= make.STEP
        assert np.mean(np.reshape(found, (16, 12, 12)) == expected) > 0.999


def test_a_picture_goes_through_the_layer_of_the_sample(reads):
    """The photographs give the sample's activations, but for what lies beyond their edges; larger ones are shrunk."""
    photographs = nv.samples.photographs().transpose(0, 2, 3, 1)
    clear = np.concatenate([photographs[1], np.full((64, 64, 1), 255, "u1")], axis=2)
    outside = np.arange(64)[:, None] < 32  # transparent, which is as white
    files = [(f"{k}.png", png(pixels)) for k, pixels in enumerate(photographs)]
    files += [
        ("twice.png", png(photographs[0].repeat(2, 0).repeat(2, 1))),
        ("wide.png", png(np.pad(photographs[2], ((0, 0), (9, 10), (0, 0))))),
        ("clear.png", png(clear)),
        ("odd.png", png(photographs[3][:61, :63])),
        ("dot.png", png(np.full((1, 1, 3), 7, "u1"))),
        ("hole.png", png(np.where(outside, np.uint8(0), clear))),
        ("white.png", png(np.where(outside, np.uint8(255), clear))),
    ]
    found = open_all(reads, files)
    assert all(isinstance(one, list) and one[0]["dtype"] == "float32" for one in found)
    x = np.concatenate([array(one[0]) for one in found])
    assert x.shape == (15, 16, 12, 12)
    expected = nv.samples.activations(8)
    by_python = [make.layer(make.grey(pixels / 255), 8, 8) * make.GAIN for pixels in photographs]
    assert np.abs(x[:8] - by_python).max() <= make.STEP
    assert min(np.corrcoef(x[k].ravel(), expected[k].ravel())[0, 1] for k in range(8)) > 0.998
    for same, k in ((8, 0), (9, 2), (10, 1), (13, 14)):
        assert np.abs(x[same] - x[k]).max() <= make.STEP
    assert np.corrcoef(x[11].ravel(), x[3].ravel())[0, 1] > 0.5
    assert not x[12].any()


def test_browsers_own_pictures_are_read_and_wrong_ones_refused(reads):
    drawn = """
      const canvas = new OffscreenCanvas(130, 90);
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, 130, 90);
      pen.fillStyle = "#123";
      pen.fillRect(40, 20, 30, 50);
      const files = await Promise.all(["png", "jpeg", "webp"].map(async (kind) =>
        new File([await canvas.convertToBlob({ type: `image/${kind}`, quality: 1 })], `a.${kind}`)));
      const sizes = await Promise.all(files.map(async (f) => front.pictureSize(new Uint8Array(await f.arrayBuffer()))));
      return [sizes, await each(files, (file) => tried(async () => (await front.openFile(file)).arrays))];
    """
    sizes, found = reads(drawn)
    assert sizes == [[130, 90]] * 3
    first, *others = (array(one[0]) for one in found)
    assert first.max() > 1
    for other in others:
        assert np.abs(other - first).max() < 0.2
    good = png(nv.samples.photographs(1)[0].transpose(1, 2, 0))
    wrong = [
        ("huge.png", png(np.zeros((2, 2, 3), "u1"), (60000, 60000))),
        ("cut.png", good[:20]),
        ("none.png", good[:40]),
        ("cut.jpg", b"\xff\xd8\xff\xe0"),
        ("noise.webp", b"RIFF\0\0\0\0WEBPVP8X" + bytes(40)),
    ]
    messages = [one["message"] for one in open_all(reads, wrong)]
    assert messages[0] == say("files.picture-size", subject="“huge.png”", width=60000, height=60000, most=67)
    assert messages[1:] == [say("files.picture", subject=f"“{name}”") for name, _ in wrong[1:]]


def test_the_policy_of_a_page_lets_files_be_read(new_page, tmp_path):
    """Pictures are decoded and members unpacked where the page may load and evaluate nothing."""
    x = np.arange(6.0).reshape(1, 6)
    given = {"a.png": png(nv.samples.photographs(1)[0].transpose(1, 2, 0)), "b.npz": npz(x=x, y=x), "c.csv": b"1,2"}
    data = html_page.as_json({name: base64.b64encode(file).decode() for name, file in given.items()})
    script = f"""{js.joined("explorer/js/files/open.js")}
      const given = JSON.parse(document.getElementById("normviz-data").textContent);
      const read = [];
      for (const [name, data] of Object.entries(given)) {{
        const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
        const {{ arrays }} = await openFile(new File([bytes], name));
        for (const array of arrays) read.push(`${{name}} ${{(await unpacked(array)).shape}}`);
      }}
      console.log(read.join("; "));
    """
    path = tmp_path / "page.html"
    path.write_text(html_page.document("Files", "", data, script, style=""), encoding="utf-8")
    page = new_page(bypass_csp=False)
    with page.expect_console_message() as said:
        page.goto(path.as_uri())
    assert said.value.text == "a.png 1,16,12,12; b.npz 1,6; b.npz 1,6; c.csv 1,2"


# ---- what is refused -------------------------------------------------------------------------------------------------


def central(packed: bytes, place: int, value: bytes, member: int = 0) -> bytes:
    """A zip file with other bytes in an entry of its list of members."""
    at = [found.start() for found in re.finditer(b"PK\x01\x02", packed)][member] + place
    return packed[:at] + value + packed[at + len(value) :]


def refused_files() -> list[tuple[str, bytes, str]]:
    """Files, and the sentence with which each is refused."""
    x = np.arange(6.0).reshape(2, 3)
    good, packed, flat = npy(x), npz(x=x), npz(deflated=False, x=x)
    dict_ = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }"
    plain = headed(dict_, x.tobytes())
    tensors = safetensors(a=("F64", (2, 3), x.tobytes()))

    def head(old: str, new: str) -> bytes:
        assert old in dict_
        return headed(dict_.replace(old, new), x.tobytes())

    def named(key: str, name: str, member: str = "", **values: Any) -> tuple[str, str]:
        subject = say("files.array", file=name, array=member) if member else say("files.file", file=name)
        return name, say(f"files.{key}", subject=subject, **values)

    def npy_of(array: Any, key: str, name: str, **values: Any) -> tuple[str, bytes, str]:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=True)
        return name, file.getvalue(), named(key, name, **values)[1]

    def case(file: bytes, key: str, name: str, member: str = "", **values: Any) -> tuple[str, bytes, str]:
        return name, file, named(key, name, member, **values)[1]

    sizes = {"shape": "2, 3", "dtype": "float64", "expected": 48}
    twice = {"shape": "4, 3", "dtype": "float64", "expected": 96}
    far = struct.pack("<Q", 2**63) + tensors[8:]
    claims = {"shape": "4294967296, 4294967296", "dtype": "float64", "expected": 8 << 64, "found": 48}
    cases = [
        npy_of(np.float64(3), "rank", "0.npy", rank=0),
        npy_of(np.ones(3), "rank", "1.npy", rank=1),
        npy_of(np.ones((1,) * 6), "rank", "6.npy", rank=6),
        npy_of(np.ones((2, 0, 3)), "empty", "none.npy", shape="2, 0, 3"),
        npy_of(x.astype(complex), "holds-complex", "c16.npy"),
        npy_of(x.astype(">c8"), "holds-complex", "c8.npy"),
        npy_of(np.array([[None]]), "holds-object", "o.npy"),
        npy_of(np.zeros((2, 2), "f4,i4"), "holds-structured", "fields.npy"),
        npy_of(np.zeros((2, 2), "V2"), "holds-structured", "void.npy"),
        npy_of(np.array([["a"]]), "holds-text", "u.npy"),
        npy_of(np.array([[b"a"]]), "holds-text", "s.npy"),
        npy_of(x.astype(np.longdouble), "dtype", "wide.npy", dtype=x.astype(np.longdouble).dtype.str)
        if np.dtype(np.longdouble).itemsize > 8
        else npy_of(np.ones(3), "rank", "1.npy", rank=1),
        npy_of(np.zeros((1, 1), "M8[ns]"), "dtype", "time.npy", dtype="<M8[ns]"),
        case(good[:-1], "size", "cut.npy", found=47, **sizes),
        case(good + b"\0", "size", "extra.npy", found=49, **sizes),
        case(head("(2, 3)", "(4294967296, 4294967296)"), "size", "claim.npy", **claims),
        case(good[:60], "header", "short.npy"),
        case(good[:8], "header", "magic.npy"),
        case(b"", "header", "empty.npy"),
        case(b"\x93NUMPY\x02\0\xff\xff\xff\xff" + bytes(99), "header", "4GB.npy"),
        case(b"\x93NUMPY\x04\0" + plain[8:], "version", "new.npy", version="4.0"),
        case(b"\x93NUMPY\x01\x01" + plain[8:], "version", "newer.npy", version="1.1"),
        case(head("'<f8'", "__import__('os').abort()"), "header", "call.npy"),
        case(head("(2, 3)", "(2, 3) * 9"), "header", "product.npy"),
        case(head("(2, 3)", "(-2, -3)"), "header", "negative.npy"),
        case(head("(2, 3)", "(2, , 3)"), "header", "commas.npy"),
        case(head("(2, 3)", "[2, 3]"), "header", "list.npy"),
        case(head("False", "0"), "header", "zero.npy"),
        case(head(", }", ", 'shape': (2, 3)}"), "header", "double.npy"),
        case(head(", }", ", 'more': True}"), "header", "more.npy"),
        case(head("'fortran_order': False, ", ""), "header", "less.npy"),
        case(head("descr", "__proto__"), "header", "proto.npy"),
        case(head("'<f8'", "'float64'"), "dtype", "name.npy", dtype="float64"),
        case(head("'<f8'", "'<f3'"), "dtype", "three.npy", dtype="<f3"),
        case(packed[:-30], "zip", "cut.npz"),
        case(b"PK\x03\x04", "zip", "begin.npz"),
        case(npz(), "zip-none", "no.npz"),
        case(npz(v=np.ones(3)), "rank", "vector.npz", "v", rank=1),
        case(central(packed, 16, b"\1\2\3\4"), "checksum", "crc.npz", "x"),
        case(central(flat, 16, b"\1\2\3\4"), "checksum", "crc stored.npz", "x"),
        case(packed.replace(x.tobytes()[8:16], bytes(8)), "checksum", "changed.npz", "x")
        if x.tobytes()[8:16] in packed
        else case(flat.replace(x.tobytes()[8:16], bytes(8)), "checksum", "changed.npz", "x"),
        case(central(packed, 8, b"\1\0"), "zip-encrypted", "secret.npz"),
        case(central(packed, 10, b"\x0c\0"), "zip-method", "bzip2.npz", method=12),
        case(central(packed, 24, struct.pack("<I", 2**31)), "size", "less.npz", "x", found=2**31 - 128, **sizes),
        case(central(packed, 42, struct.pack("<I", 10**9)), "zip", "far.npz"),
        case(npz(x=x, y=x).replace(b"\2\0\2\0", b"\1\0\1\0"), "zip", "one of two.npz"),
        case(central(npz(x=x, y=x), 42, bytes(4), 1), "zip", "overlap.npz"),
        case(tensors[:6], "tensors", "six.safetensors"),
        case(tensors[:-1], "tensors", "cut.safetensors"),
        case(far, "tensors-header", "huge.safetensors", length=2**63, size=len(far)),
        case(tensors.replace(b"[2, 3]", b"[4, 3]"), "size", "s.safetensors", "a", found=48, **twice),
        case(tensors.replace(b"[0, 48]", b"[48, 0]"), "tensors", "back.safetensors"),
        case(tensors.replace(b'"F64"', b'"C64"'), "dtype", "c.safetensors", "a", dtype="C64"),
        case(tensors.replace(b"[2, 3]", b"[-2, 3]"[:6] + b"]"), "tensors", "minus.safetensors"),
        case(safetensors(), "tensors-none", "none.safetensors"),
        case(safetensors(a=("F32", (), bytes(4))), "rank", "scalar.safetensors", "a", rank=0),
        case(bytes(range(256)), "kind", "noise.bin"),
        case(b"\x80\x04K\x01.", "kind", "x.pkl"),
        case(b"\xff\xfe1", "kind", "half.bin"),
        case(b"\n# nothing\n", "blank", "blank.csv"),
        case(b"a,b\n", "blank", "head.csv"),
        case(b"1,2\n3,x\n", "field", "x.csv", line=2, column=2, text="x"),
        case(b"1,2\n3,\n", "field-empty", "gap.csv", line=2, column=2),
        case(b"1,2\n\n3\n", "row", "row.csv", line=3, count=1, first=1, expected=2),
        case(b"1,5;2\n", "comma", "comma.csv", line=1, text="1,5"),
        case(b"1,5 2,5\n3,5 4,5\n", "comma", "comma.txt", line=1, text="1,5"),
        case(b"1+2j,3\n", "holds-complex", "complex.csv"),
    ]  # fmt: skip
    long = "n" * 300 + ".npy"
    return [*cases, (long, b"", say("files.header", subject=f"“{'n' * 40}…{'n' * 15}.npy”"))]


def zipped(name: str, data: bytes, packed: bytes, *, size: int | None = None, count: int = 1) -> bytes:
    """A zip file with one deflated member, and a size or a number of members that may not be true."""
    entry = struct.pack("<HHHIIIHH", 8, 0, 0, zlib.crc32(data), len(packed), size or len(data), len(name), 0)
    local = b"PK\3\4" + struct.pack("<HH", 20, 0) + entry + name.encode()
    directory = (
        b"PK\1\2" + struct.pack("<HHH", 20, 20, 0) + entry + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name.encode()
    )
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(local) + len(packed), 0)
    return local + packed + directory + b"PK\5\6" + end


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


def test_zip_files_that_unpack_to_more_than_they_say_are_refused(reads):
    """And those that say more than is unpacked, before it is; what is packed well is read, though."""
    x = np.zeros((2, 1 << 16))
    file, half = npy(x), npy(x[:1])
    head = headed("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 134217728), }", b"")
    size = len(head) + (8 << 28)
    cases = [
        (zipped("x.npy", file, deflated(file)), None),
        (zipped("x.npy", half, deflated(half + bytes(1 << 22))), "checksum"),
        (zipped("x.npy", file, deflated(file[:-8])), "checksum"),
        (zipped("x.npy", file, deflated(file)[:-9]), "checksum"),
        (zipped("x.npy", file, deflated(file)[:-9] + b"\xff" * 9), "checksum"),
        (zipped("x.npy", head, deflated(head + bytes(1 << 20)), size=size), "inflated"),
        (zipped("x.npy", file, deflated(file), count=20000), "many"),
    ]  # fmt: skip
    found = open_all(reads, [("a.npz", data) for data, _ in cases])
    np.testing.assert_array_equal(array(found[0][0]), x)
    values = {"size": (size + 10**6 - 1) // 10**6, "most": 536}
    for (_, key), one in zip(cases[1:], found[1:], strict=True):
        subject = say("files.array", file="a.npz", array="x")
        if key == "many":
            assert one["message"] == say("files.many", subject="“a.npz”", count=20000, most=10000)
        else:
            assert one["message"] == say(f"files.{key}", subject=subject, **(values if key == "inflated" else {}))


def test_unpacking_tells_how_far_it_is_and_can_be_ended(reads):
    data = npz(x=RANDOM.normal(size=(2, 100_000)))
    code = """
      const { arrays } = await front.openFile(new File([bytes(given[0])], "x.npz"));
      const shares = [];
      await front.unpacked(arrays[0], { onProgress: (share) => shares.push(share) });
      const stop = new AbortController();
      const ended = front.unpacked(arrays[0], { onProgress: () => stop.abort(), signal: stop.signal })
        .catch((error) => error.name);
      const far = [];
      const [long] = (await front.openFile(new File([bytes(given[1])], "x.npz"))).arrays;
      const refused = front.unpacked(long, { onProgress: (share) => far.push(share) }).catch(() => far);
      return [shares, await ended, await refused];
    """
    small = npy(np.ones((2, 2)))
    long = zipped("x.npy", small, deflated(small + bytes(1 << 22)))
    shares, ended, far = reads(code, [base64.b64encode(file).decode() for file in (data, long)])
    assert far == []  # more than is expected is not unpacked to its end
    assert shares
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert ended == "AbortError"


def test_files_are_refused_in_one_sentence(reads):
    cases = refused_files()
    found = open_all(reads, [(name, file) for name, file, _ in cases])
    for (name, _, sentence), one in zip(cases, found, strict=True):
        assert isinstance(one, dict), (name, one)
        assert (one["message"], one["refused"]) == (sentence, True), name
        assert is_sentence(sentence), sentence


REFUSED_TEXTS = {
    "": ("blank", {}),
    "[1, 2]": ("rank", {"rank": 1}),
    "[[[[[[1]]]]]]": ("rank", {"rank": 6}),
    "[[], []]": ("empty", {"shape": "2, 0"}),
    "[[1, 2], [3]]": ("ragged", {"at": "[1]", "count": 1, "expected": 2}),
    "[[[1], [2]], [[3], [4, 5]]]": ("ragged", {"at": "[1][1]", "count": 2, "expected": 1}),
    "[[1, [2]]]": ("mixed", {"at": "[0][1]"}),
    "[[1], 2]": ("mixed", {"at": "[1]"}),
    "[[1, 2]": ("unclosed", {}),
    "[[1, 2)]": ("bracket", {"line": 1, "text": ")"}),
    "[[1, 2]]\n]": ("bracket", {"line": 1, "text": "]"}),
    "[[1,, 2]]": ("bracket", {"line": 1, "text": ","}),
    "array([[1, 2]]": ("bracket", {"line": 1, "text": ")"}),
    "[[1, 2]], [[3, 4]]": ("bracket", {"line": 1, "text": ", [[3, 4]]"}),
    "[[1,\n 2-3]]": ("word", {"line": 2, "text": "2-3"}),
    "[[None, 1]]": ("word", {"line": 1, "text": "None"}),
    "[[1+2j]]": ("holds-complex", {}),
    "array([[(1.+0.j)]])": ("holds-complex", {}),
    "[[1, 2, ..., 9, 10]]": ("shortened", {}),
    "<script>alert(1)</script>": ("blank", {}),
    '{"x": [[1]]}': ("blank", {}),
    "constructor toString": ("blank", {}),
    "[[constructor]]": ("word", {"line": 1, "text": "constructor"}),
    "1 2\n3 4 5": ("row", {"line": 2, "count": 3, "first": 1, "expected": 2}),
    "[" * 200_000: ("unclosed", {}),
    "[" * 200_000 + "1" + "]" * 200_000: ("rank", {"rank": 200_000}),
    "[[1" + " " * 200_000 + "x]]": ("word", {"line": 1, "text": "x"}),
    "[[1]]" + " " * 200_000 + "x": ("bracket", {"line": 1, "text": "x"}),
    '"' * 99_999: ("field-empty", {"line": 1, "column": 1}),
    "1,x\n2,3": ("field", {"line": 1, "column": 2, "text": "x"}),
    "2\n" + "1" * 200_000 + "x": ("field", {"line": 2, "column": 1, "text": "1" * 40 + "…" + "1" * 18 + "x"}),
}


def test_large_texts_are_refused_before_they_are_read(reads):
    given = """
      const text = "1 ".repeat(9e6);
      return [await pasted(text), await tried(() => front.openFile(new File([text], "large.csv")))];
    """
    subjects = (say("files.pasted"), "“large.csv”")
    expected = [say("files.text", subject=subject, size=18, most=16) for subject in subjects]
    assert [one["message"] for one in reads(given)] == expected


def test_pasted_texts_are_refused_in_one_sentence(reads):
    found = reads("return each(given, pasted)", list(REFUSED_TEXTS))
    for (text, (key, values)), one in zip(REFUSED_TEXTS.items(), found, strict=True):
        assert isinstance(one, dict), (text[:99], one)
        sentence = say(f"files.{key}", subject=say("files.pasted"), **values)
        assert (one["message"], one["refused"]) == (sentence, True), text[:99]
        assert is_sentence(sentence), sentence


# ---- what is broken --------------------------------------------------------------------------------------------------


def broken(draw: random.Random, good: bytes) -> bytes:
    """A file with some bytes changed, cut out, repeated, or put in."""
    data = bytearray(good)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        # Most bytes are numbers, and most errors in headers: half of the changes are made there.
        at = draw.randrange(min(len(data), 140 if draw.random() < 0.5 else 10**9) or 1)
        end = at + draw.choice([1, 1, 2, 4, 8, 40])
        other = bytes(draw.choices([*range(256), 0, 255, *b"()[]{}',:<>0123456789"], k=end - at))
        data[at : end if draw.random() < 0.7 else draw.choice([at, len(data)])] = draw.choice(
            [other, other, b"", data[at:end] * 2]
        )
        if not data:
            break
    return bytes(data)


def test_broken_files_give_an_array_or_a_sentence(reads):
    """Nothing else happens: no other exception, no request, and no array of another size than the file can hold."""
    draw = random.Random(5)
    x = FLOATS[:2, :2]
    picture = png(nv.samples.photographs(1)[0].transpose(1, 2, 0)[:20, :20])
    good = {
        ".npy": npy(x.astype(">f4")),
        "2.npy": npy(np.asfortranarray(INTEGERS), (2, 0)),
        ".npz": npz(x=x, y=x[0]),
        "stored.npz": npz(deflated=False, x=x, y=x[0]),
        ".safetensors": safetensors(a=("F64", x.shape, x.tobytes()), b=("BF16", (2, 2), bytes(8))),
        ".csv": b"a,b\n1,2\n3,nan\n" * 4,
        ".json": b"[[[1, 2], [3, 4]], [[5, 6.5e3], [-7, NaN]]]",
        ".png": picture,
    }
    files = [(f"{k}{name}", broken(draw, data)) for k in range(63) for name, data in good.items()]
    assert len(files) >= 500
    found = open_all(reads, files)
    read = 0
    for (name, data), one in zip(files, found, strict=True):
        if isinstance(one, dict):
            assert one["refused"], (name, one)
            assert is_sentence(one["message"]), (name, one["message"])
            assert name in one["message"], (name, one["message"])
            continue
        read += 1
        for each in one:
            assert 2 <= len(each["shape"]) <= 5
            assert array(each).size * 8 <= 64 * len(data) + 8 * 2304
        if name.endswith(".npy"):
            expected = np.load(io.BytesIO(data))
            np.testing.assert_array_equal(array(one[0]), expected.astype(float), err_msg=name, strict=True)
    assert 50 < read < 450


def test_broken_texts_give_an_array_or_a_sentence(reads):
    draw = random.Random(6)
    good = [text for text, _ in pasted_texts() if len(text) < 2000]
    pieces = [
        *"[](),;=\"'.\t\n +-eE0123456789#",
        "nan",
        "inf",
        "array(",
        "tensor(",
        "...",
        "None",
        "1j",
        "np.float64(",
        ", dtype=",
    ]
    texts = []
    for k in range(500):
        text = good[k % len(good)]
        for _ in range(draw.choice([1, 1, 2, 3, 9])):
            at = draw.randrange(len(text) + 1)
            text = text[:at] + draw.choice(pieces) * draw.choice([0, 1, 1, 3]) + text[at + draw.choice([0, 0, 1, 5]) :]
        texts.append(text)
    found = reads("return each(given, pasted)", texts)
    read = 0
    for text, one in zip(texts, found, strict=True):
        if isinstance(one, dict):
            assert one["refused"], (text, one)
            assert is_sentence(one["message"]), (text, one["message"])
            continue
        read += 1
        x = array(one[0])
        assert 2 <= x.ndim <= 5
        assert x.size <= len(text)
        try:
            expected = np.array(json.loads(text.replace("nan", "NaN").replace("inf", "Infinity")))
        except ValueError:
            continue
        np.testing.assert_array_equal(x, expected, err_msg=text)
    assert 50 < read < 450


# ---- what is taken away ----------------------------------------------------------------------------------------------

SAVED = """
const typed = { float32: Float32Array, float64: Float64Array };
const values = (one) => new typed[one.held](bytes(one.data).buffer);
"""


@pytest.fixture
def saves(page: Page, tmp_path: Path) -> Call:
    """Evaluate JavaScript with the writers in `front`."""
    page.goto(host.write(tmp_path / "files.html", entry="explorer/js/files/save.js").as_uri())
    page.wait_for_function("window.loaded")
    return lambda code, given=None: page.evaluate(f"(given) => {{ {OPEN} {SAVED} {code} }}", given)


def packed_values(x: np.ndarray) -> dict[str, str]:
    return {"held": x.dtype.name, "data": base64.b64encode(x.tobytes()).decode()}


def test_a_saved_npy_file_is_the_same_array(saves):
    arrays = [x.astype(dtype) for x in (FLOATS, FLOATS.reshape(10, 12), FLOATS[None, 0]) for dtype in ("f4", "f8")]
    code = """
      return given.map(([one, shape]) => {
        let text = "";
        for (const byte of front.npyBytes(values(one), shape)) text += String.fromCharCode(byte);
        return btoa(text);
      });
    """
    for x, found in zip(arrays, saves(code, [[packed_values(x), x.shape] for x in arrays]), strict=True):
        assert base64.b64decode(found) == npy(x)


def test_the_code_makes_the_same_x(saves, tmp_path, monkeypatch):
    """Run by Python: arrays written out, fills with typed cells, and files, from which C is moved to its place."""
    monkeypatch.chdir(tmp_path)
    images = RANDOM.normal(size=(2, 20, 20, 3))
    canonical = np.moveaxis(images, -1, 1)
    np.save("a 'b' \"c\".npy", images)
    np.save("x.npy", images)
    arrays: dict[str, Any] = {"layer/0": canonical.astype("f4")}
    Path("x.npz").write_bytes(npz(**arrays))
    recipe = {"shape": [2, 3, 20, 20], "fill": "normal", "seed": 7, "channel_axis": 1, "edits": []}
    edits = [[[1, 2, 19, 0], 0.1], [[0, 0, 0, 0], "NaN"], [[0, 1, 0, 0], "-Infinity"]]
    typed = recipe | {"fill": "edited", "base": "normal", "edits": edits}
    filled = nv.samples.filled((2, 3, 20, 20), "normal", seed=7)

    def with_edits(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        for cell, value in edits:
            x[tuple(cell)] = float(value)
        return x

    opened = {"file": "a 'b' \"c\".npy", "name": "", "format": "npy", "dtype": "float64"}
    own = {"shape": [2, 3, 20, 20], "file": opened}
    member = opened | {"file": "x.npz", "name": "layer/0", "format": "npz", "dtype": "float32"}
    last = recipe | {"fill": "file", "channel_axis": -1}
    extremes = np.array([[1e300, -5e-324, 2.0**60, 1 / 3], [np.nan, np.inf, -np.inf, -0.0]])
    small = {"shape": [3, 4, 2, 5]}
    cases: list[tuple[Any, np.ndarray, Any]] = [
        (recipe | small, FLOATS.astype("f4"), None),
        (recipe | small | {"channel_axis": -1}, FLOATS, None),
        (recipe | {"shape": [2, 4]}, extremes, None),
        (recipe | {"shape": [2, 256]}, RANDOM.normal(size=(2, 256)).astype("f4"), None),
        (recipe, filled, None),
        (typed, with_edits(filled), None),
        (typed, with_edits(canonical), {"shape": [2, 3, 20, 20]} | {"values": None}),
        (last, canonical, own),
        (last | {"fill": "edited", "base": "file", "edits": edits}, with_edits(canonical), own),
        (recipe | {"fill": "file"}, canonical.astype("f4"), own | {"file": member}),
        (last, canonical, own | {"file": opened | {"format": "text"}}),
        (last | {"fill": "edited", "base": "file"}, canonical, own | {"shape": [2, 3, 20, 21]}),
    ]
    np.save("x.npy", images)
    given = [[recipe, packed_values(x), own] for recipe, x, own in cases]
    codes = saves("return given.map(([r, x, o]) => front.asCode(r, { values: values(x), dtype: x.held }, o))", given)
    for k, (code, (_, x, _)) in enumerate(zip(codes, cases, strict=True)):
        made: dict[str, Any] = {}
        if k == 6:  # saved with channels first
            np.save("x.npy", with_edits(canonical))
        exec(code, made)
        if k == 6:
            np.save("x.npy", images)
        np.testing.assert_array_equal(made["x"], x, err_msg=code, strict=True)
        assert max(map(len, code.splitlines())) < 200
    assert "-0.0" in codes[2]
    assert [code.count("samples.filled") for code in codes] == [0] * 4 + [1] * 2 + [0] * 6
    assert [code.count('np.load("x.npy")') for code in codes] == [0] * 6 + [1] + [0] * 3 + [1] * 2
    code = """
      const tensor = { file: "a.safetensors", name: "w", format: "safetensors" };
      const own = (dtype) => ({ shape: [2, 400], file: { ...tensor, dtype } });
      const recipe = { shape: [2, 400], fill: "file", seed: 0, channel_axis: -1, edits: [] };
      return given.map((dtype) => front.asCode(recipe, { values: null, dtype }, own(dtype)));
    """
    tensors = saves(code, ["float32", "bfloat16"])
    for library, end, found in (("numpy", "", tensors[0]), ("torch", ".float().numpy()", tensors[1])):
        loaded = f'load_file("a.safetensors")["w"]{end}'
        assert found == f"import numpy as np\nfrom safetensors.{library} import load_file\n\nx = {loaded}\n"
