"""The numbers that a page computes of a tensor that was made in it, compared with Python's."""

import base64
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

import normviz as nv
from normviz import samples
from normviz.explorer import scene
from normviz.explorer.constants import LIMITS
from tests.browser import host

BITS = """
const bits = (values) => {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
};
const blobOf = (text) => new Blob([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))]);
/** The data of an explorer with this part. */
const dataOf = (part) => ({ ...given.data, ...part });
/** What a part holds, as text that a test can compare to the last bit. */
const bitsOf = ({ shape, dtype, bins, count, mean, m2, values, coarse, positions, colors, extent }) =>
  ({ shape, dtype, bins, count, colors: colors.map(String), extent: extent.map(String), coarse: coarse && bits(coarse),
     values: values && bits(values), mean: mean && bits(mean), m2: m2 && bits(m2),
     positions: positions && [bits(positions.mean), bits(positions.m2)] });
/** The name of the error with which a promise rejects. */
const nameOfError = (promise) => promise.then(() => "none", (error) => error.name);
"""


@pytest.fixture
def call(page: Page, tmp_path: Path) -> Callable[..., Any]:
    """Evaluate JavaScript with the functions of the front-end in `front` and the argument in `given`."""
    page.goto(host.write(tmp_path / "module.html").as_uri())
    page.wait_for_function("window.loaded")
    return lambda code, given=None: page.evaluate(f"async (given) => {{ {BITS} {code} }}", given)


def from_bits(text: str, dtype: str) -> np.ndarray:
    """The array whose bytes the page sent."""
    return np.frombuffer(base64.b64decode(text), dtype)


def random_shape(rng: np.random.Generator, rank: int, most: int) -> list[int]:
    """Lengths from 1 on whose product is at most `most`."""
    shape = [1] * rank
    for axis in rng.permutation(rank):
        shape[axis] = int(min(2 ** rng.uniform(0, 6), most // math.prod(shape)))
    return shape


# ---- fills ----


def test_fills_have_the_same_bits_as_in_python(call):
    rng = np.random.default_rng(1)
    seeds = [0, 1, 7, -1, 2**31, 2**32 - 1, 2**32 + 7, 2**40 + 5, -(2**35) - 3]
    cases = [
        {"shape": random_shape(rng, 2 + k % 4, 3000), "fill": fill, "seed": seeds[(k * 5 + j) % len(seeds)]}
        for k in range(24)
        for j, fill in enumerate(samples.FILLS)
    ]
    # Longer than a piece, in Python and in the page.
    cases += [
        {"shape": [3, 5, 140, 141], "fill": fill, "seed": 3}
        for fill in ("normal", "loud channel", "loud sample", "ramp")
    ]
    cases += [{"shape": [33, 20, 17, 25], "fill": "sample", "seed": 0}]
    answers = call(
        "const sample = await front.unpackSample(given.sample);"
        "return given.cases.map(({ shape, fill, seed }) => bits(front.filled(shape, fill, seed, sample)));",
        {"cases": cases, "sample": scene.packed_sample()},
    )
    for case, answer in zip(cases, answers, strict=True):
        expected = nv.samples.filled(**case)
        assert from_bits(answer, "<u4").tolist() == expected.view("<u4").ravel().tolist(), case


def test_the_page_knows_the_same_fills_and_the_same_limit(call):
    names, shape, values = call("return [front.FILLS, front.EXAMPLE.shape, front.EXAMPLE.values]")
    assert tuple(names) == samples.FILLS
    assert np.array_equal(np.reshape(values, shape), nv.samples.filled((1, 1), "example"))
    assert LIMITS["filled"] == samples.MOST


def test_the_packed_sample_is_small_and_complete(call):
    packed = scene.packed_sample()
    assert len(packed) < 36_000
    code = "const { shape, values } = await front.unpackSample(given); return [shape, bits(values)];"
    shape, text = call(code, packed)
    assert np.array_equal(from_bits(text, "<f4").reshape(shape), nv.samples.activations(16))


# ---- moments ----

DATA = {
    "methods": {name: {key: getattr(row, key) for key in scene.ROW} for name, row in nv.METHODS.items()},
    "eps": 1e-5, "weight": None, "bias": None, "running": None, "labels": None, "elementwise": [],
}  # fmt: skip
MEASURE = """
const measured = (part, { method, G, index }) => {
  const { mean, var: spread, x, size } = front.measure(dataOf(part), { method, G, index, mode: "train", step: 0 });
  return [mean, spread, x, size].map(String);
};
"""


def random_choices(rng: np.random.Generator, shape: list[int], count: int) -> list[dict[str, Any]]:
    """Methods, each with a G that divides, and cells."""
    choices = []
    for method in rng.permutation(list(nv.METHODS))[:count].tolist():
        row = nv.METHODS[method]
        groups = int(rng.choice(nv.divisors(shape[row.grouped_axis]))) if row.has_groups else None
        choices.append({"method": method, "G": groups, "index": [int(rng.integers(n)) for n in shape]})
    return choices


SUMMABLE = 1e307
"""Of larger values the sum may overflow. Python then halves them; the page shows no mean."""


def check_numbers(x: np.ndarray, choice: dict[str, Any], answer: list[str]) -> None:
    """Mean, variance, x and size from the page are those of the set, in two passes with more digits than float64."""
    pool = nv.pooling(choice["method"], x.shape, choice["G"])
    own_set = x[pool.set_of(choice["index"])].astype(np.float64)
    with np.errstate(all="ignore"):
        # Relative to one of them, so that a constant has a variance of 0.
        first = own_set.flat[0] if pool.row.centered and np.isfinite(own_set.flat[0]) else 0.0
        wide = own_set.astype(np.longdouble) - first
        middle = wide.mean() if pool.row.centered else 0
        total = ((wide - middle) ** 2).sum()
        known_mean = float(first + middle)
        known_var = float(total / (1 if pool.row.statistic == "squared norm" else pool.size))
    mean, var, value, size = map(float, answer)
    assert size == own_set.size, choice
    if math.isnan(value) or not math.isnan(x[tuple(choice["index"])]):
        assert math.isnan(value) or value == x[tuple(choice["index"])], choice
    for found, known, scale in (
        (mean, known_mean, abs(own_set).max()),
        (var, known_var, 0),
    ):
        if not abs(own_set).max() < SUMMABLE:
            assert not (np.isfinite(found) and np.isinf(known)), (choice, x.shape)
        elif np.isfinite(known):
            assert found == pytest.approx(known, rel=1e-12, abs=1e-12 * scale + 1e-320), (choice, x.shape)
        else:
            assert not np.isfinite(found), (choice, x.shape)


def test_numbers_of_filled_tensors_are_those_of_statistics(call):
    rng = np.random.default_rng(2)
    recipes = []
    for k in range(300):
        # Every thirtieth is so large that the page gets means of boxes instead of values.
        most = 400_000 if k % 30 == 7 else 4_000
        shape = random_shape(rng, 2 + k % 4, most)
        if most > 4_000 and math.prod(shape) <= LIMITS["values"]:
            shape = [*[3, 40, 30, 50, 2][: len(shape)]] if len(shape) > 3 else [300, 500, 1][: len(shape)]
        recipe = {"shape": shape, "fill": samples.FILLS[k % 8], "seed": int(rng.integers(2**32))}
        recipes.append(recipe | {"choices": random_choices(rng, shape, 3)})
    answers = call(
        MEASURE + "const sample = await front.unpackSample(given.sample);"
        "return given.recipes.map(({ shape, fill, seed, choices }) => {"
        "  const part = front.partOf(front.filled(shape, fill, seed, sample), shape, 'float32');"
        "  return choices.map((choice) => measured(part, choice));"
        "});",
        {"recipes": recipes, "sample": scene.packed_sample(), "data": DATA},
    )
    compared = 0
    for recipe, found in zip(recipes, answers, strict=True):
        x = nv.samples.filled(recipe["shape"], recipe["fill"], recipe["seed"])
        for choice, answer in zip(recipe["choices"], found, strict=True):
            if answer[0] == "NaN" and x.size > LIMITS["values"]:  # only a question to the worker answers that
                continue
            check_numbers(x, choice, answer)
            compared += 1
    assert compared > 880


def hostile() -> list[np.ndarray]:
    """Tensors whose moments lose digits or overflow where they are computed carelessly."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(3, 8, 5, 6))
    outlier = 1e-2 * z
    outlier[:, :, 0, 0] = 1e6
    holes = z.copy()
    holes[0, 1, 2, 3], holes[1, 4, 0, 0], holes[2, 7, 4, 5] = np.nan, np.inf, -np.inf
    both = z.copy()
    both[0, 0, 0, 0], both[0, 0, 0, 1] = np.inf, -np.inf
    # So large that the page gets means of boxes, and moments of positions, instead of values.
    many = 1e4 + 1e-2 * rng.normal(size=(2, 70, 31, 33))
    odd = many.copy()
    odd[0, 3, 2, 1], odd[1, 5, 30, 32] = np.nan, np.inf
    return [
        np.full((3, 8, 5, 6), 0.1), np.full((2, 6, 7), 1e300), np.full((4, 3), -7.3), 1e4 + 1e-2 * z, 1e8 + z,
        outlier, holes, both, z * 1e-160, z * 1e160, z * 5e-324, 1e300 + 1e290 * z, np.sign(z) * 1e308,
        np.where(z > 2, z, 0), many, odd, np.full((3, 50, 31, 33), 0.1),
    ]  # fmt: skip


def test_hostile_values_lose_no_digits(call):
    rng = np.random.default_rng(4)
    tensors = hostile()
    cases = [
        {"shape": x.shape, "values": scene.pack(x), "choices": random_choices(rng, list(x.shape), len(nv.METHODS))}
        for x in tensors
    ]
    answers = call(
        MEASURE + "return given.cases.map(({ shape, values, choices }) => {"
        "  const part = front.partOf(front.unpack(values), shape, 'float64');"
        "  return choices.map((choice) => measured(part, choice));"
        "});",
        {"cases": cases, "data": DATA},
    )
    for x, case, found in zip(tensors, cases, answers, strict=True):
        for choice, answer in zip(case["choices"], found, strict=True):
            if answer[0] != "NaN" or x.size <= LIMITS["values"]:
                check_numbers(x, choice, answer)
            if len(set(x.flat)) == 1 and answer[0] != "NaN" and nv.METHODS[choice["method"]].centered:
                assert [float(number) for number in answer[:2]] == [x.flat[0], 0], choice


def test_numbers_from_a_scene_of_python_lose_no_digits(call):
    """Its means are rounded, so the page goes back to the values where the mean is large beside the deviations."""
    rng = np.random.default_rng(10)
    tensors = [x for x in hostile() if x.size <= LIMITS["values"]]
    cases = [
        {"scene": host.model(x)["_scene"], "choices": random_choices(rng, list(x.shape), len(nv.METHODS))}
        for x in tensors
    ]
    answers = call(
        MEASURE + "return given.cases.map(({ scene, choices }) => {"
        "  const data = front.readScene(scene);"
        "  return choices.map((choice) => measured(data, choice));"
        "});",
        {"cases": cases},
    )
    for x, case, found in zip(tensors, cases, answers, strict=True):
        for choice, answer in zip(case["choices"], found, strict=True):
            check_numbers(x, choice, answer)


def test_a_value_that_is_not_finite_stays_in_its_own_set(call):
    x = hostile()[6]
    choices = [{"method": "instance", "G": None, "index": [n, c, 0, 0]} for n in range(3) for c in range(8)]
    answers = call(
        MEASURE + "const part = front.partOf(front.unpack(given.values), given.shape, 'float64');"
        "return given.choices.map((choice) => measured(part, choice));",
        {"shape": x.shape, "values": scene.pack(x), "choices": choices, "data": DATA},
    )
    lost = [choice["index"][:2] for choice, answer in zip(choices, answers, strict=True) if answer[1] == "NaN"]
    assert lost == [[0, 1], [1, 4], [2, 7]]


def test_a_part_is_what_python_sends(call):
    """Bins, extents, colours and the bytes of drawn means to the last bit, moments to 1e-12."""
    rng = np.random.default_rng(5)
    shapes = [(4, 16, 12, 12), (3, 5), (2, 3, 40), (3, 45, 40, 33), (2, 7, 3, 70, 51), (2, 3, 200, 130), (140_000, 1)]
    tensors = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    filled = [
        {"shape": shape, "fill": fill} for shape in shapes[3:5] for fill in ("sample", "ramp", "constant", "relu")
    ]
    tensors += [nv.samples.filled(**recipe) for recipe in filled]
    tensors.append((np.arange(140_000.0) % 509).reshape(140_000, 1))  # half of them lie between two bytes
    tensors += hostile()
    cases = [{"shape": x.shape, "values": scene.pack(x), "dtype": x.dtype.name} for x in tensors]
    for case, recipe in zip(cases[len(shapes) :], filled, strict=False):
        case |= recipe | {"values": None}
    parts = call(
        "const sample = await front.unpackSample(given.sample);"
        "return given.cases.map(({ shape, values, dtype, fill }) => bitsOf("
        "  front.partOf(front.unpack(values) ?? front.filled(shape, fill, 0, sample), shape, dtype)));",
        {"cases": cases, "sample": scene.packed_sample()},
    )
    for x, part in zip(tensors, parts, strict=True):
        sent = scene.read(x.astype(np.float64)).packed()
        assert part["shape"] == sent["shape"]
        assert part["dtype"] == x.dtype.name
        assert (part["bins"], part["count"]) == (sent["bins"], sent["count"])
        for name in ("colors", "extent"):  # means of boxes are summed in another order
            near = sent[name] if part["values"] else pytest.approx(sent[name], rel=1e-14, abs=1e-14)
            assert [float(end) for end in part[name]] == near, (name, x.shape)
        assert (part["values"] is None) == (sent["values"] is None) == (x.size > LIMITS["values"])
        if part["coarse"]:
            assert np.array_equal(from_bits(part["coarse"], "u1"), unpacked(sent["coarse"])), x.shape
        both = [(part[name], sent[name]) for name in ("mean", "m2")]
        positions = sent.get("positions") or {"mean": None, "m2": None}
        both += zip(part["positions"] or [None, None], positions.values(), strict=True)
        for found, known in both:
            assert (found is None) == (known is None), x.shape
            if found is not None:
                found, known = from_bits(found, "<f8"), unpacked(known).astype(np.float64)
                finite = np.isfinite(known) & (float(np.nan_to_num(abs(x), posinf=0).max()) < SUMMABLE)
                near = np.isclose(found, known, rtol=1e-12, atol=1e-12 * abs(known[finite]).max(initial=0) + 1e-320)
                assert (near | ~finite).all(), x.shape
                assert not np.isfinite(found[~finite]).any(), x.shape


def unpacked(packed: dict[str, str]) -> np.ndarray:
    """An array as scene.py packed it."""
    return from_bits(packed["data"], np.dtype(packed["dtype"]).newbyteorder("<").str)


# ---- files ----


def opened(stored: np.ndarray, dtype: str | None = None) -> dict[str, Any]:
    """What the reader of a file hands on of an array."""
    fortran = bool(stored.flags.f_contiguous and not stored.flags.c_contiguous)
    return {
        "name": "x",
        "shape": stored.shape,
        "dtype": dtype or stored.dtype.name,
        "fortran": fortran,
        "little": stored.dtype.byteorder != ">",
        "offset": 10,
        "bytes": base64.b64encode(b"\1" * 10 + stored.tobytes(order="A")).decode("ascii"),
    }


def files() -> list[tuple[np.ndarray, dict[str, Any], int]]:
    """Values in C order with axes (N, C, *spatial), the opened array and where its channels are."""
    rng = np.random.default_rng(6)
    cases = []
    for k, dtype in enumerate(
        [
            "bool",
            "i1",
            "u1",
            "i2",
            "u2",
            "i4",
            "u4",
            "i8",
            "u8",
            "f2",
            "f4",
            "f8",
            ">i2",
            ">u4",
            ">i8",
            ">f2",
            ">f4",
            ">f8",
        ]
    ):
        shape = random_shape(rng, 2 + k % 4, 900)
        kind = np.dtype(dtype)
        values = rng.normal(0, 40, shape) if kind.kind == "f" else rng.integers(0, 120, shape)
        stored = np.asarray(values, kind, order="F" if k % 3 == 1 else "C")
        axis = -1 if k % 2 else 1
        cases.append((np.moveaxis(stored, axis, 1), opened(stored), axis))
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 6e-8, 65504, 1, 2**-14], np.float16).reshape(2, 4)
    halves = np.arange(2**16, dtype=np.uint16).reshape(16, 16, 16, 16)
    cases += [(special, opened(special), 1), (halves.view(np.float16), opened(halves, "float16"), 1)]
    wide = (halves[:, :, 0].astype(np.uint32) << 16).view(np.float32)
    cases += [(wide, opened(halves[:, :, 0].copy(), "bfloat16"), 1)]
    huge = np.array([[2**63 - 1, 2**53 + 1], [-(2**63), -5]], np.int64)
    return [*cases, (huge, opened(huge), 1), (huge.view(np.uint64), opened(huge.view(np.uint64)), 1)]


READ = """
const open = ({ bytes, ...array }) => ({ ...array, blob: blobOf(bytes) });
"""


def test_files_of_every_dtype_and_order(call):
    cases = files()
    answers = call(
        READ + "const maker = front.createMaker(''), parts = [];"
        "for (const { array, axis } of given) {"
        "  const part = await maker.make({ file: open(array), channelAxis: axis });"
        "  parts.push({ ...bitsOf(part), values: bits(Float64Array.from(part.values)) });"
        "}"
        "maker.close();"
        "return parts;",
        [{"array": array, "axis": axis} for _, array, axis in cases],
    )
    for (x, array, axis), part in zip(cases, answers, strict=True):
        assert tuple(part["shape"]) == x.shape, (array["dtype"], axis)
        assert part["dtype"] == array["dtype"]
        found = from_bits(part["values"], "<f8").reshape(x.shape)
        np.testing.assert_array_equal(found, x.astype(np.float64), err_msg=f"{array['dtype']}, {axis}, {x.shape}")


def test_a_file_in_slices_has_the_numbers_of_one_in_memory(call):
    """In every order of storage; slices end within a sample, and a few cells are edited."""
    rng = np.random.default_rng(7)
    arrays = []
    for shape, order, axis in [
        ((3, 20, 50, 48), "C", 1), ((3, 50, 48, 20), "C", -1), ((3, 20, 50, 48), "F", 1),
        ((2, 5, 50, 33, 9), "F", -1), ((2, 6, 3, 100, 40), "C", 1), ((2, 70_000), "C", 1),
        # So few positions that the moments are not kept: a question takes the numbers of its set from the file.
        ((300, 80, 3, 2), "C", 1), ((300, 3, 2, 80), "C", -1), ((300, 80, 3, 2), "F", 1), ((40_000, 2, 2), "F", -1),
    ]:  # fmt: skip
        stored = np.asarray(rng.normal(300, 20, shape), ">f4", order=order)
        arrays.append((np.moveaxis(stored, axis, 1), opened(stored), axis))
    edits = [[0, 1000.5], [1234, -2.25], [139_000, 7.0]]
    asked = ["batch", "layer", "instance", "weight_norm", "frn", "positional", "rms"]
    answers = call(
        READ + "const found = [];"
        "for (const { array, axis } of given.files) {"
        "  const { part, tensor } = await front.fromSlices("
        "    front.createSource(open(array), axis, 5000), given.edits, async () => {});"
        "  const cells = await tensor.numbersAt([0, 77, 1234, 139000, 139001]);"
        "  const answers = [];"
        "  for (const method of given.asked) {"
        "    const question = { method, num_groups: 2, index: part.shape.map((length) => length >> 1) };"
        "    answers.push(await front.answerOf(tensor, question, given.data.methods[method]));"
        "  }"
        "  found.push({ ...bitsOf(part), cells, answers, all: bits(await tensor.values()) });"
        "}"
        "return found;",
        {
            "files": [{"array": array, "axis": axis} for _, array, axis in arrays],
            "edits": edits, "asked": asked, "data": DATA,
        },
    )  # fmt: skip
    for (x, _, _), found in zip(arrays, answers, strict=True):
        edited = x.astype(np.float64)
        flat = edited.reshape(-1)
        for place, value in edits:
            flat[int(place)] = value
        edited = flat.reshape(x.shape)
        sent = scene.read(edited).packed()
        assert found["cells"] == [flat[i] for i in (0, 77, 1234, 139000, 139001)]
        assert np.array_equal(from_bits(found["all"], "<f8"), flat), x.shape
        middle = tuple(length // 2 for length in x.shape)
        for method, answer in zip(asked, found["answers"], strict=True):
            expected, at = nv.statistics(edited, method), nv.pooling(method, x.shape).set_number(middle)
            assert answer["x"] == edited[middle]
            assert answer["mean"] == pytest.approx(expected.mean.flat[at], rel=1e-12), (method, x.shape)
            assert answer["var"] == pytest.approx(expected.var.flat[at], rel=1e-12, abs=1e-12), (method, x.shape)
        assert np.array_equal(from_bits(found["coarse"], "u1"), unpacked(sent["coarse"])), x.shape
        for name in ("mean", "m2"):
            if sent[name] is not None:
                np.testing.assert_allclose(from_bits(found[name], "<f8"), unpacked(sent[name]), rtol=1e-12)


# ---- making ----


def cut_or_repeated(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values cut, or repeated cyclically along every axis, to a shape of the same rank."""
    return values[np.ix_(*(np.arange(n) % length for n, length in zip(shape, values.shape, strict=True)))]


def test_values_of_ones_own_are_cut_or_repeated_and_then_edited(call):
    rng = np.random.default_rng(8)
    base = rng.normal(size=(3, 4, 5, 6))
    shapes = [(3, 4, 5, 6), (1, 4, 5, 6), (7, 2, 11, 13), (2, 9, 40, 60), (6, 30, 40, 60)]
    edits = [[0, 3.5], [11, -1.25]]
    last = np.moveaxis(base, 1, -1).astype("<f4")
    answers = call(
        READ + "const maker = front.createMaker(''), base = { values: front.unpack(given.base), shape: [3, 4, 5, 6] };"
        "const found = [];"
        "for (const shape of given.shapes) {"
        "  const orders = [{ base, shape }, { base, shape, edits: given.edits }, { file: open(given.file), shape,"
        "    channelAxis: -1 }];"
        "  const parts = [];"
        "  for (const order of orders) parts.push(bitsOf(await maker.make(order)));"
        "  found.push(parts);"
        "}"
        "maker.close();"
        "return found;",
        {"base": scene.pack(base), "shapes": shapes, "edits": edits, "file": opened(np.ascontiguousarray(last))},
    )
    for shape, (plain, edited, from_file) in zip(shapes, answers, strict=True):
        expected = cut_or_repeated(base, shape)
        changed = expected.copy().reshape(-1)
        for place, value in edits:
            changed[int(place)] = value
        single = expected.astype(np.float32)
        for part, x in ((plain, expected), (edited, changed.reshape(shape)), (from_file, single)):
            assert tuple(part["shape"]) == shape
            assert part["dtype"] == x.dtype.name
            if part["values"]:
                assert np.array_equal(from_bits(part["values"], x.dtype.str).reshape(shape), x), shape
            else:
                known = unpacked(scene.read(x.astype(np.float64)).packed()["mean"])
                np.testing.assert_allclose(from_bits(part["mean"], "<f8"), known, rtol=1e-12, atol=1e-14)


def test_worker_and_page_make_equal_parts(call):
    """The same bits, at once or in pieces, and the same answers about single cells."""
    rng = np.random.default_rng(9)
    shapes = [[4, 16, 12, 12], [3, 40, 31, 33], [5, 33, 1000], [2, 24, 4, 30, 30], [70_000, 2]]
    orders = [
        {"shape": shape, "fill": fill, "seed": 5, "edits": [[1, 0.5]] if fill == "relu" else []}
        for shape in shapes
        for fill in ("sample", "loud channel", "relu")
    ]
    questions = [
        [
            {"method": choice["method"], "num_groups": choice["G"] or 1, "index": choice["index"]}
            for choice in random_choices(rng, order["shape"], 4)
        ]
        for order in orders
    ]
    answers = call(
        """
        const run = async () => {
          const maker = front.createMaker(given.sample), found = [];
          for (const [k, order] of given.orders.entries()) {
            const part = await maker.make(order), answers = [];
            if (!part.values)
              for (const question of given.questions[k])
                answers.push(Object.values(await maker.ask(question, given.data.methods[question.method])).map(String));
            const all = !part.values && order.fill === "relu" ? bits(await maker.values()) : "";
            found.push([bitsOf(part), answers, all]);
          }
          maker.close();
          return found;
        };
        const real = window.Worker;
        let workers = 0, done = 0;
        const count = ({ data }) => { if (data.result) done++; };
        window.Worker = class extends real {
          constructor(...all) { super(...all); workers++; this.addEventListener("message", count); }
        };
        const inWorker = await run();
        window.Worker = undefined;
        const inPage = await run();
        // A worker whose script a page may not load says so after a while.
        window.Worker = class extends real { constructor() { super("blob:nowhere"); } };
        const refused = await run();
        window.Worker = real;
        return { inWorker, inPage, refused, workers, done };
        """,
        {"orders": orders, "questions": questions, "sample": scene.packed_sample(), "data": DATA},
    )
    assert answers["workers"] == 1
    assert answers["done"] >= 9, "the page did the work, and not the worker"
    assert answers["inWorker"] == answers["inPage"] == answers["refused"]
    asked = 0
    for order, asking, (_, found, values) in zip(orders, questions, answers["inWorker"], strict=True):
        x = nv.samples.filled(order["shape"], order["fill"], order["seed"]).astype(np.float64)
        for place, value in order["edits"]:
            x.reshape(-1)[int(place)] = value
        if values:
            np.testing.assert_array_equal(from_bits(values, "float64"), x.ravel())
        for question, (key, value, mean, var) in zip(asking if found else [], found, strict=True):
            asked += 1
            groups = question["num_groups"] if nv.METHODS[question["method"]].has_groups else None
            assert key == f"{question['method']}/{question['num_groups']}/{','.join(map(str, question['index']))}"
            pool = nv.pooling(question["method"], x.shape, groups)
            size = str(math.prod(pool.block))
            choice = {"method": question["method"], "G": groups, "index": question["index"]}
            check_numbers(x, choice, [mean, var, value, size])
    assert asked > 20


def test_a_large_tensor_of_the_page_needs_no_kernel(call):
    """The note below the picture says so only of one that Python sent."""
    shape = [3, 45, 40, 33]
    code = """
    const state = { method: "layer", G: 1, index: [0, 0, 0, 0], mode: "train", step: 0, view: "samples" };
    const noteOf = (data) => front.aggregation(data, state, front.measure(data, state));
    const part = front.partOf(front.filled(given.shape, "normal", 1), given.shape, "float32");
    return [noteOf(dataOf(part)), noteOf(front.readScene(given.scene))];
    """
    sent = host.model(nv.samples.filled(shape, "normal", 1))["_scene"]
    made, from_python = call(code, {"shape": shape, "scene": sent, "data": DATA})
    assert made.startswith("Drawn aggregated: each drawn cell stands for ")
    assert made.endswith(" All numbers are exact.")
    assert from_python.endswith(" Single values need a running kernel.")


def test_a_newer_order_takes_the_place_of_an_older_one(call):
    """In the worker and in the page: cancelled, superseded, or asked about too late, a promise says so."""
    code = """
    const big = { shape: [16, 64, 40, 40], fill: "normal", seed: 1 }, row = given.data.methods.layer;
    const small = { shape: [2, 3, 4, 4], fill: "normal", seed: 7 };
    const maker = front.createMaker(given.sample), found = {};
    const shares = [];
    const first = maker.make(big, { onProgress: (share) => shares.push(share) });
    const second = maker.make({ ...big, seed: 2 });
    found.superseded = await nameOfError(first);
    found.second = (await second).mean[0];
    const asked = maker.ask({ method: "layer", num_groups: 1, index: [0, 0, 0, 0] }, row);
    const now = maker.make(small);
    found.atOnce = now.values[0];
    found.late = await nameOfError(asked);
    found.none = await nameOfError(maker.ask({ method: "layer", num_groups: 1, index: [0, 0, 0, 0] }, row));
    const third = maker.make(big, { onProgress: (share) => { shares.push(share); maker.cancel(); } });
    found.cancelled = await nameOfError(third);
    const said = shares.length;
    // A cancelled order leaves the tensor before it, about which questions are answered.
    await maker.make({ ...big, seed: 3 });
    const given_up = maker.make(big);
    maker.cancel();
    found.gone = await nameOfError(given_up);
    found.kept = (await maker.ask({ method: "layer", num_groups: 1, index: [0, 0, 0, 1] }, row)).x;
    // The sample must be unpacked first, so even a small tensor comes later, and may be superseded.
    const sample = maker.make({ ...small, fill: "sample" });
    const instead = maker.make(small);
    found.unpacking = await nameOfError(sample);
    found.instead = instead.values[0];
    found.unpacked = (await maker.make({ ...small, fill: "sample" })).values[5];
    found.quiet = shares.length === said && shares.every((share) => share >= 0 && share <= 1);
    maker.close();
    return found;
    """
    given = {"sample": scene.packed_sample(), "data": DATA}
    in_worker = call(code, given)
    in_page = call(f"const real = window.Worker; window.Worker = undefined; {code}", given)
    second, third = (nv.samples.filled((16, 64, 40, 40), "normal", seed) for seed in (2, 3))
    assert in_worker == in_page
    assert in_worker.pop("second") == pytest.approx(second[0, 0].mean(dtype=np.float64), rel=1e-12)
    assert in_worker == {
        "superseded": "AbortError", "cancelled": "AbortError", "gone": "AbortError", "unpacking": "AbortError",
        "late": "AbortError", "none": "AbortError", "atOnce": -2.8992462158203125, "instead": -2.8992462158203125,
        "kept": float(third[0, 0, 0, 1]), "unpacked": float(nv.samples.filled((2, 3, 4, 4), "sample").flat[5]),
        "quiet": True,
    }  # fmt: skip


def test_what_cannot_be_made_is_told_in_a_sentence_and_leaves_the_tensor(call):
    """A file that became shorter, and a browser that gives no memory, in the worker and in the page."""
    code = """
        const row = given.data.methods.layer, maker = front.createMaker("");
        const said = async (order) => maker.make(order).then(() => "made", (error) => error.message);
        await maker.make({ shape: [3, 40, 31, 40], fill: "ramp", seed: 0 });
        const file = { file: "x.npy", name: "x.npy", shape: [2, 3], dtype: "float32", offset: 0,
                       blob: new Blob([new Uint8Array(10)]) };
        const shorter = await said({ file, channelAxis: 1 });
        const longer = await said({ file: { ...file, shape: [200, 300] }, channelAxis: 1 });
        const huge = await said({ shape: [3, 2 ** 20, 2 ** 20, 2 ** 20], fill: "ramp", seed: 0 });
        const { x } = await maker.ask({ method: "layer", num_groups: 1, index: [0, 0, 0, 9] }, row);
        maker.close();
        return [shorter, longer, huge, x];
    """
    unreadable = "“x.npy” cannot be read any more; if it was moved or changed, open it again."
    memory = "A tensor of shape (3, 1048576, 1048576, 1048576) needs more memory than this page gets; make it smaller."
    for before in ("", "const real = window.Worker; window.Worker = undefined;"):
        assert call(f"{before} {code}", {"data": DATA}) == [unreadable, unreadable, memory, 9]
