"""The front-end's pure functions, called in the browser and compared with Python's arithmetic."""

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import pytest

import normviz as nv
from normviz.core.pooling import fitting_divisor
from normviz.explorer import scene
from normviz.explorer.svg import writer
from tests.browser import host, reading

CASES = 300


def random_cases(seed: int) -> list[dict[str, Any]]:
    """Shapes of rank 2 to 5, every method, a G that divides, a cell."""
    rng, cases = np.random.default_rng(seed), []
    for k in range(CASES):
        shape = [int(rng.integers(1, 6)), int(rng.choice([1, 2, 3, 4, 6, 8, 12, 16]))]
        shape += [int(n) for n in rng.integers(1, 8, size=k % 4)]
        method = nv.METHODS[list(nv.METHODS)[k % len(nv.METHODS)]]
        row = {key: getattr(method, key) for key in ("name", "n", "c", "spatial")}
        groups = int(rng.choice(nv.divisors(shape[method.grouped_axis]))) if method.has_groups else None
        cases.append({"shape": shape, "row": row, "G": groups, "index": [int(rng.integers(n)) for n in shape]})
    return cases


def test_blocks_and_sets_are_pythons(call):
    cases = random_cases(0)
    answers = call(
        "return given.map(({ shape, row, G, index }) => {"
        "  const block = front.blockOf(row, shape, G), set = front.setOf(block, index);"
        "  return [block, set];"
        "});",
        cases,
    )
    for case, (block, ranges) in zip(cases, answers, strict=True):
        pool = nv.pooling(case["row"]["name"], case["shape"], case["G"])
        assert tuple(block) == pool.block, case
        assert tuple(slice(*r) for r in ranges) == pool.set_of(case["index"]), case


def test_a_g_that_does_not_divide_gives_way_to_the_next_below(call):
    pairs = [[G, length] for G in range(-1, 15) for length in range(1, 14)]
    expected = [max(d for d in nv.divisors(length) if d <= max(G, 1)) for G, length in pairs]
    assert call("return given.map(([G, length]) => front.fitting(G, length))", pairs) == expected
    assert [fitting_divisor(length, G) for G, length in pairs] == expected


def test_divisors_are_pythons(call):
    upto = list(range(1, 130))
    assert [tuple(d) for d in call("return given.map(front.divisors)", upto)] == [nv.divisors(c) for c in upto]


def test_every_rank_is_a_cube_and_back(call):
    cases = random_cases(1)
    answers = call(
        "return given.map(({ shape, index }) => {"
        "  const cube = front.toCube(index, shape);"
        "  return [front.cubeShape(shape), cube, front.fromCube(cube, shape)];"
        "});",
        cases,
    )
    for case, (cube, cell, back) in zip(cases, answers, strict=True):
        shape = case["shape"]
        assert math.prod(cube) == math.prod(shape), case
        assert back == case["index"], case
        # The cube is a reshape: a cell keeps its place in memory.
        assert np.ravel_multi_index(cell, cube) == np.ravel_multi_index(case["index"], shape), case


def test_statistics_merge_to_numpys(call):
    x = host.tensor(6, 35, seed=3, dtype="float64") * 10 + 40
    atoms = {"count": x.shape[1], "mean": x.mean(1).tolist(), "m2": (x.var(1) * x.shape[1]).tolist()}
    merged = call("return front.mergeAtoms(given, given.count, [0, 1, 2, 3, 4, 5])", atoms)
    assert merged["count"] == x.size
    assert merged["mean"] == pytest.approx(x.mean(), rel=1e-14)
    assert merged["m2"] / merged["count"] == pytest.approx(x.var(), rel=1e-13)
    for centered, mean, var in ((True, x.mean(), x.var()), (False, 0, (x * x).mean())):
        both = call("return front.twoPass(given[0], given[1])", [x.ravel().tolist(), centered])
        assert both["mean"] == pytest.approx(mean, rel=1e-13)
        assert both["var"] == pytest.approx(var, rel=1e-13)


@pytest.mark.parametrize("size", [{"width": 1060, "height": 320}, {"width": 300, "height": 250}])
def test_a_visible_cell_is_found_again_from_its_pixel(call, size):
    """Pick is the projection solved backwards: at the middle of each visible face, and just inside its corners."""
    found = call(
        """
        const wrong = [];
        let tried = 0;
        const shapes = [[4, 16, 12, 12], [2, 3, 5, 7], [8, 6, 1, 9], [1, 64, 8, 8], [5, 12, 1, 1], [3, 1, 30, 4]];
        const angles = [{ az: 0.42, el: 0.46 }, { az: 0.2, el: 1.1 }, { az: 1.2, el: 0.2 }];
        for (const cube of shapes) for (const angle of angles)
          for (const cut of [0, Math.floor(cube[1] / 2)]) {
            const [N, C, H, W] = cube, cells = [W, C, H];
            const margin = { left: 40, right: 8, top: 6, bottom: 28, gap: 16, most: 30 };
            const frame = front.makeFrame(cells, front.sampleLengths(cube), N, given, angle, margin);
            const at = (v) => [0, Math.floor(v / 2), v - 1];
            for (let k = 0; k < N; k++) for (const x of at(W)) for (const y of [cut, ...at(C)]) for (const z of at(H)) {
              const seen = front.visibleFaces(frame, k, [[x, x + 1], [y, y + 1], [z, z + 1]], cut);
              for (const [face, quad] of Object.entries(seen)) {
                const middle = [0, 1].map((a) => quad.reduce((sum, p) => sum + p[a], 0) / 4);
                const points = [middle, ...quad.map((p) => p.map((v, a) => 0.97 * v + 0.03 * middle[a]))];
                for (const [px, py] of points) {
                  tried++;
                  const hit = front.pick(frame, px, py, cut);
                  const right = hit && hit.solid === k && String(hit.cell) === String([x, y, z]);
                  if (!right) wrong.push({ cube, angle, cut, k, cell: [x, y, z], face, hit });
                }
              }
            }
          }
        return { tried, wrong: wrong.slice(0, 5), count: wrong.length };
        """,
        size,
    )
    assert found["tried"] > 5000
    assert not found["count"], f"{found['count']} of {found['tried']} points: {found['wrong']}"


def test_what_is_drawn_stays_in_the_picture(call):
    """Whatever the shape, the size and the angles asked for: no corner of a solid lies outside."""
    rng = np.random.default_rng(5)
    cases = [
        {
            "cube": [int(rng.integers(1, 9)), *(int(2 ** rng.uniform(0, 8)) for _ in range(3))],
            "size": {"width": int(rng.integers(280, 1200)), "height": int(rng.integers(236, 460))},
            "angles": {"az": float(rng.uniform(-2, 4)), "el": float(rng.uniform(-2, 4))},
        }
        for _ in range(CASES)
    ]
    answers = call(
        """
        return given.map(({ cube, size, angles }) => {
          const [N, C, H, W] = cube, margin = { left: 40, right: 8, top: 6, bottom: 28, gap: 16, most: 30 };
          const frame = front.makeFrame([W, C, H], front.sampleLengths(cube), N, size, angles, margin), out = [];
          for (let k = 0; k < N; k++) for (const x of [0, W]) for (const y of [0, C]) for (const z of [0, H])
            out.push(front.project(frame, k, x, y, z));
          return { clamped: front.clampAngles(angles), xs: out.map((p) => p[0]), ys: out.map((p) => p[1]) };
        });
        """,
        cases,
    )
    for case, drawn in zip(cases, answers, strict=True):
        assert min(drawn["xs"]) >= -0.5, case
        assert max(drawn["xs"]) <= case["size"]["width"] + 0.5, case
        assert min(drawn["ys"]) >= -0.5, case
        assert max(drawn["ys"]) <= case["size"]["height"] + 0.5, case
        # Strictly between edge-on and face-on, so that the same three faces stay in sight.
        assert 0 < drawn["clamped"]["az"] < math.pi / 2, case
        assert 0 < drawn["clamped"]["el"] < math.pi / 2, case


def test_numbers_are_plain_decimals(call):
    values = [0, 1, -1, 1.5, 0.9166666666, 35.734375, 1e-7, -3.25e-9, 123456.789, 1e15, 2 / 3, 1e5 + 0.5]
    shown = call("return given.map((v) => front.decimal(v))", values)
    assert shown[:6] == ["0", "1", "-1", "1.5", "0.91667", "35.734"]
    for text, value in zip(shown, values, strict=True):
        assert "e" not in text.lower(), f"{value} is shown as {text}"
        assert reading.shows(text, value), f"{value} is shown as {text}"
    assert call("return [NaN, Infinity, -Infinity].map((v) => front.decimal(v))") == ["NaN", "inf", "-inf"]


def rounded(value: float, digits: int) -> str:
    """The exact value of a float to so many digits, halves away from zero, as a plain decimal."""
    exact = Decimal(value)
    if not exact:
        return "0"
    last = Decimal(1).scaleb(exact.adjusted() + 1 - digits)
    text = format(exact.quantize(last, ROUND_HALF_UP, Context(prec=400)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def test_numbers_are_rounded_as_pythons_decimals_are(call):
    rng = np.random.default_rng(11)
    values = [float(v) for v in rng.choice([-1, 1], 3000) * 10 ** rng.uniform(-12, 17, 3000)]
    # Ties: whole multiples of a power of two end in 5 when they are written out.
    values += [float((2 * k + 1) * 2.0**-n) for k, n in rng.integers([0, 1], [40_000, 12], (3000, 2))]
    # Nearly ties: the shortest text that names the float ends in 5, its exact value lies above or below.
    values += [float(f"{k}5e-{n}") for k, n in rng.integers([1, 0], [100_000, 9], (3000, 2))]
    values += [0.453125, -0.453125, 1.015625, 0.15, 2.5, 9.9999951, 999999.5, 99999.5, 1e21, 1.5e300, 5e-324, 1e-7]
    cases = [[value, int(digits)] for value, digits in zip(values, rng.integers(1, 16, len(values)), strict=True)]
    cases += [[value, 5] for value in values]
    shown = call("return given.map(([value, digits]) => front.decimal(value, digits))", cases)
    wrong = [(*case, text) for case, text in zip(cases, shown, strict=True) if text != rounded(*case)]
    assert not wrong, wrong[:5]
    assert shown[cases.index([0.453125, 5])] == "0.45313"


def test_half_precision_is_decoded_as_numpy_decodes_it(call):
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    shown = call("return [...front.unpack(given)].map(String)", scene.pack(every))
    np.testing.assert_array_equal([float(text) for text in shown], every.astype(np.float64))


def test_coordinates_are_rounded_to_tenths_alike_in_both_languages(call):
    rng = np.random.default_rng(12)
    quarters = [k / 4 for k in range(-20, 20)]  # exact in binary, and every other one lies between two tenths
    values = [-0.01, 0.04, *quarters, *rng.uniform(-900, 900, 300).tolist()]
    expected = [math.floor(10 * value + 0.5) / 10 for value in values]
    shown = call("return given.map((v) => front.polygon([[v, 0], [0, v]]))", values)
    assert [[float(n) for n in re.findall(r"-?[\d.]+", path)] for path in shown] == [[v, 0, 0, v] for v in expected]
    assert [float(writer.number(value)) for value in values] == expected
    starts = [writer.polygons([[(value, -value), (0, 0)]]) for value in values]
    first = [[float(n) for n in re.findall(r"-?[\d.]+", path)[:2]] for path in starts]
    assert first == [[v, math.floor(0.5 - 10 * value) / 10] for v, value in zip(expected, values, strict=True)]


def test_formulas_write_very_small_and_very_large_numbers_as_powers_of_ten(call):
    values = [1e-6, 9.99e-7, -2.5e-9, 453125e-12, 999_999_999.5, 1e9, -1.234565e15, 0, 5]
    shown = call("return given.map((v) => front.number(v))", values)
    assert shown == [
        "0.000001", "9.99·10<sup>-7</sup>", "-2.5·10<sup>-9</sup>", "4.5313·10<sup>-7</sup>", "1000000000",
        "1·10<sup>9</sup>", "-1.2346·10<sup>15</sup>", "0", "5",
    ]  # fmt: skip
    # With more digits than nine, larger numbers are plain as well.
    assert call("return front.number(1234567890.25, 12)") == "1234567890.25"


def test_the_histogram_counts_every_value(call):
    x = host.tensor(1000, seed=8)
    shares = call("return front.histogram(given, -1, 1, 20)", x.tolist())
    inside, _ = np.histogram(np.clip(x, -1, 1), bins=20, range=(-1, 1))
    assert np.allclose(shares, inside / x.size)
    # NaN is in no bin.
    with_nan = call("return front.histogram([NaN, 0.5, NaN], 0, 1, 4)")
    assert with_nan == [0, 0, 1, 0]


def test_a_state_from_anywhere_can_be_drawn(call):
    """A link, an old page, a slider: what does not fit becomes what does."""
    data = "const data = { shape: [2, 12, 3, 3], methods: { batch: {}, group: {} }, divisors: front.divisors(12) };"
    nonsense = {
        "method": "grup",
        "G": 5,
        "index": [9, -1, 1.5],
        "step": 77,
        "view": "up",
        "color": "red",
        "mode": "eval",
    }
    fitted = call(f"{data} return front.fit(given, data)", nonsense)
    assert fitted == {
        "method": "group", "G": 4, "index": [0, 0, 0, 0], "step": 5, "view": "samples", "color": "set", "mode": "train",
    }  # fmt: skip
    clipped = call(
        f"{data} return front.fit(given, data)", {"method": "batch", "G": 3, "index": [9, -1, 1.5, 2], "step": 2}
    )
    assert clipped["index"] == [1, 0, 1, 2]
    assert (clipped["method"], clipped["G"], clipped["step"]) == ("batch", 3, 2)


EDGES = [(1, 0, 0, 0), *((0, *step) for step in np.ndindex(2, 2, 2) if 0 < sum(step) < 3)]
EDGES += [(0, 0, 1, -1), (0, 1, -1, 0), (0, 1, 0, -1)]


def test_neighbouring_sets_never_share_a_colour(call):
    """Nor do sets that touch at an edge, where the spatial axes are split."""
    for grid in (
        [1, 16, 1, 1],
        [4, 4, 1, 1],
        [4, 16, 1, 1],
        [4, 1, 12, 12],
        [8, 64, 1, 1],
        [1, 256, 1, 1],
        [2, 4, 6, 6],
    ):
        cells = list(np.ndindex(*grid))
        code = "return given.cells.map((cell) => String(front.partitionColor(cell, given.grid)));"
        given = {"cells": cells, "grid": grid}
        colours = dict(zip(cells, call(code, given), strict=True))
        for cell in cells:
            for step in EDGES:
                near = tuple(np.add(cell, step))
                assert near not in colours or colours[near] != colours[cell], (grid, cell, near)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_page_puts_back_the_zeros_that_did_not_travel(call, dtype):
    x = np.maximum(np.random.default_rng(5).normal(size=1003), 0).astype(dtype)
    sent = scene.without_zeros({"values": scene.pack(x)})["values"]
    assert len(sent["data"]) < 0.6 * len(scene.pack(x)["data"])
    found = call("const x = front.unpack(given); return [x.constructor.name, [...x].map(String)]", sent)
    assert found[0] == ("Float64Array" if dtype == np.float64 else "Float32Array")
    np.testing.assert_array_equal([float(text) for text in found[1]], x.astype(np.float64))


def test_the_fewest_digits_give_a_number_again(call):
    """Of a float32 as NumPy writes it; a number that float32 does not hold keeps all its digits."""
    rng = np.random.default_rng(4)
    single = (rng.normal(size=300) * 10.0 ** rng.integers(-20, 20, size=300)).astype("f4")
    whole = [16777217.0, 123456789.0, 0.1, 1 / 3, 5e-324]
    texts = call("return given.map((value) => front.shortest(value, true))", [*single.astype(float).tolist(), *whole])
    assert [np.float32(text) for text in texts[:300]] == single.tolist()
    assert all(len(t.strip("-").split("e")[0].replace(".", "").strip("0")) <= 9 for t in texts[:300])
    assert [float(text) for text in texts[300:]] == whole
