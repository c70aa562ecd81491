"""The still picture is well-formed, sparing and true: Pooling says what is lit, and the core what is written."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import validation
from normviz.explorer.constants import DARK, LIGHT
from normviz.explorer.svg import cube, geometry, picture, readout
from normviz.explorer.svg.cube import rectangles

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><!-- <img src=x onerror=alert(1)> & \" ' ]]> \u2028"


def draw(x, theme="auto", **keywords) -> str:
    scene, state = validation.check(x, **keywords)
    return picture.svg(readout.Data(scene), state, theme=theme)


def words(text: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(text).iter(f"{SVG}text")]


def tensor(*shape, seed=0):
    return np.random.default_rng(seed).normal(0.5, 2, shape)


STATES = [
    {},
    *({"method": name} for name in nv.METHODS),
    {"view": "paper"},
    {"view": "paper", "method": "rms"},
    *({"color": color} for color in ("partition", "value", "normalized")),
    *({"color": color, "view": "paper", "method": "positional"} for color in ("partition", "value", "normalized")),
    {"step": 5, "title": HOSTILE},
]


@pytest.mark.parametrize("keywords", STATES)
@pytest.mark.parametrize("shape", [(3, 8), (2, 8, 5), (4, 8, 3, 6), (2, 4, 2, 3, 3), (1, 1, 1, 1), (9, 40, 35, 33)])
def test_every_state_is_one_well_formed_element_that_leads_nowhere(shape, keywords):
    text = draw(tensor(*shape), **keywords)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text
    assert root.find(f"{SVG}desc").text
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {
            *("svg", "title", "desc", "style", "g", "path", "rect", "circle", "text", "tspan"),
        }
        assert not {"id", "href", "src"} & {name.split("}")[-1] for name in element.attrib}
        assert not any(name.startswith("on") for name in element.attrib)
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in text
    assert "nan" not in re.sub(r">[^<]*<", "><", text).lower()


@pytest.mark.parametrize("theme", picture.THEMES)
def test_a_theme_colours_everything(theme):
    text = draw(tensor(2, 4, 3, 3), theme)
    assert ("prefers-color-scheme" in text) == (theme == "auto")
    card = ET.fromstring(text).find(f"{SVG}rect").get("fill")
    assert card == (DARK if theme == "dark" else LIGHT)["page"]


def test_an_unknown_theme_is_refused():
    with pytest.raises(ValueError, match=r"^theme='sepia' is unknown; these are known: light, dark, auto$"):
        draw(tensor(2, 4), theme="sepia")


def test_the_sample_tensor_is_small():
    x = nv.samples.activations()
    assert len(draw(x).encode()) <= 24_000
    for keywords in ({"color": "value"}, {"color": "normalized"}, {"color": "partition", "method": "instance"}):
        assert len(draw(x, **keywords).encode()) <= 42_000
    assert len(draw(tensor(32, 256, 14, 14), color="value").encode()) <= 100_000


def test_the_same_state_gives_the_same_bytes():
    x = nv.samples.activations()
    assert draw(x, color="normalized") == draw(x.copy(), color="normalized")


@pytest.mark.parametrize("seed", range(80))
def test_the_lit_boxes_are_the_set(seed):
    rng = np.random.default_rng(seed)
    shape = [int(rng.integers(1, 7)), int(rng.choice([1, 2, 4, 6, 12])), *rng.integers(1, 7, size=seed % 4).tolist()]
    method = list(nv.METHODS)[seed % len(nv.METHODS)]
    row = nv.METHODS[method]
    groups = int(rng.choice(nv.divisors(shape[row.grouped_axis]))) if row.has_groups else None
    index = tuple(int(rng.integers(n)) for n in shape)
    scene, now = validation.check(np.zeros(shape), method=method, num_groups=groups, index=index)
    data = readout.Data(scene)
    shown, views = readout.measure(data, now), geometry.view_of(data, now)

    lit = np.zeros(data.cube, bool)
    for k, n in enumerate(views.solids):
        for (w0, w1), (c0, c1), (h0, h1) in cube.boxes_of(data, now, shown, views, k):
            lit[n, c0:c1, h0:h1, w0:w1] = True
    pool = nv.pooling(method, shape, groups)
    expected = np.zeros(shape, bool)
    expected[pool.set_of(index)] = True
    first = slice(views.solids[0], views.solids[-1] + 1)
    np.testing.assert_array_equal(lit[first], expected.reshape(data.cube)[first])
    assert (shown.size, shown.sets, shown.label) == (pool.size, pool.count, pool.set_number(index))
    assert tuple(slice(*r) for r in shown.ranges) == pool.set_of(index)


def test_the_polygons_that_are_filled_are_faces_of_those_boxes():
    scene, now = validation.check(tensor(4, 8, 3, 6), method="group", num_groups=4, index=(1, 5, 0, 5))
    data = readout.Data(scene)
    views = geometry.view_of(data, now)
    margin, size = views.margin, picture.CUBE
    frame = geometry.make_frame(views.cells, views.lengths, 4, size, geometry.ANGLES["samples"], margin)
    seen = geometry.visible_faces(frame, 1, [(0, 6), (4, 6), (0, 3)])
    root = ET.fromstring(picture.svg(readout.Data(scene), now, theme="light"))
    for face, fill in (("top", "#5b9bf0"), ("side", "#1d5cbb")):
        paths = [e.get("d") for e in root.iter(f"{SVG}path") if e.get("fill") == fill]
        assert len(paths) == 1, face
        np.testing.assert_allclose(corners(paths[0]), seen[face], atol=0.06)
    assert "front" not in seen
    fronts = [e for e in root.iter(f"{SVG}path") if e.get("fill") == "#2f77dd" and e.get("d").endswith("z")]
    assert not fronts


def corners(path: str) -> np.ndarray:
    """The corners of one polygon, from its path of steps."""
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


@pytest.mark.parametrize("method", nv.METHODS)
@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_the_cores(method, seed):
    x = tensor(3, 6, 4, 5, seed=seed)
    rng = np.random.default_rng(seed + 100)
    row = nv.METHODS[method]
    weight, bias = (rng.normal(size=x.shape[row.affine_axis]) for _ in range(2))
    groups = int(rng.choice(nv.divisors(x.shape[row.grouped_axis]))) if row.has_groups else None
    index = tuple(int(rng.integers(n)) for n in x.shape)
    kept = {"weight": weight, "bias": bias, "eps": 1e-3}
    scene, now = validation.check(x, method=method, num_groups=groups, index=index, **kept)
    shown = readout.measure(readout.Data(scene), now)
    found = nv.statistics(x, method, num_groups=groups)
    y = nv.normalize(x, method, num_groups=groups, **kept)
    at = nv.pooling(method, x.shape, groups).set_number(index)
    expected = (found.mean.flat[at], found.var.flat[at], x[index], y[index])
    np.testing.assert_allclose((shown.mean, shown.var, shown.x, shown.y), expected, rtol=1e-9, atol=1e-12)
    written = " ".join(words(picture.svg(readout.Data(scene), now)))
    for value in (shown.x, shown.var, shown.y):
        assert readout.decimal(value).replace("-", "−") in written


def test_a_large_tensor_has_exact_moments_and_says_what_it_leaves_out():
    x = tensor(10, 64, 20, 20)
    scene, now = validation.check(x, method="group", num_groups=8, index=(9, 20, 3, 3))
    assert scene["values"] is None
    shown = readout.measure(readout.Data(scene), now)
    np.testing.assert_allclose((shown.mean, shown.var), (x[9, 16:24].mean(), x[9, 16:24].var()))
    assert shown.x is None
    text = words(picture.svg(readout.Data(scene), now))
    assert "i = (9, 20, 3, 3); its single value is not in this picture" in text
    note = next(t for t in text if "stands for" in t)
    assert "n = 8 to 9 of 10" in note
    assert f"{scene['bins'][1]} c" in note


def test_eval_mode_shows_no_set_and_whose_numbers_are_used():
    x, running = tensor(4, 3, 2, 2), nv.RunningStatistics(3)
    running.update(x)
    text = words(draw(x, method="batch", mode="eval", statistics=running, index=(1, 2, 0, 0)))
    assert "Batch Norm (eval mode)" in text
    assert f"μ = running mean[2] = {readout.decimal(running.mean[2])}".replace("-", "−") in text
    assert not [t for t in text if t.startswith("|S")]


def test_given_sets_are_drawn_and_counted():
    x, labels = tensor(2, 4, 3, 3), np.random.default_rng(0).integers(0, 3, (2, 4, 3, 3))
    scene, now = validation.check(x, labels=labels, index=(1, 2, 0, 1))
    shown = readout.measure(readout.Data(scene), now)
    members = labels == labels[1, 2, 0, 1]
    assert (shown.size, shown.sets) == (members.sum(), 3)
    np.testing.assert_allclose((shown.mean, shown.var), (x[members].mean(), x[members].var()))
    ET.fromstring(picture.svg(readout.Data(scene), dict(now) | {"color": "partition"}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30])
@pytest.mark.parametrize("color", ["set", "value", "normalized"])
def test_odd_values_show_something_true(value, color):
    x = np.full((2, 4, 3, 3), 1.0)
    x[0, 1, 1, 1] = value
    text = draw(x, index=(0, 1, 1, 1), color=color)
    ET.fromstring(text)
    written = re.sub(r"</?sup>", "", readout.formula(value)).replace("-", "−")
    assert f"x(0, 1, 1, 1) = {written}" in words(text)


def test_hostile_titles_are_text():
    text = draw(tensor(2, 4), title=HOSTILE)
    root = ET.fromstring(text)
    assert "<img" not in text
    assert "</script>" not in text
    assert not list(root.iter(f"{SVG}img"))
    assert "<b>R&D</b> < 1" in words(draw(tensor(2, 4), title="<b>R&D</b> < 1"))


def test_no_axis_is_named_that_x_does_not_have():
    assert not {"H", "W", "L"} & set(words(draw(tensor(2, 4))))
    assert {"C", "L"} <= set(words(draw(tensor(2, 4, 5))))
    assert {"C", "H", "W"} <= set(words(draw(tensor(2, 4, 5, 5))))
    assert {"C", "D·H", "W"} <= set(words(draw(tensor(2, 4, 2, 5, 5))))


def test_weights_have_axes_of_their_own():
    said = words(draw(tensor(2, 4, 5, 3), method="weight_norm"))
    assert {
        "Cin",
        "kH",
        "kW",
        "Cout = 0",
        "Cout = 1",
        "squared norm",
        "Cout = 0, Cin = 0 to 3, kH = 0 to 4, kW = 0 to 2",
    } <= set(said)
    assert "x: (Cout, Cin, kH, kW) = (2, 4, 5, 3)" in said
    assert not {"C", "H", "W", "N", "n = 0"} & set(said)
    paper = words(draw(tensor(2, 4, 5, 3), method="weight_norm", view="paper"))
    assert (paper.count("N"), paper.count("Cout"), paper.count("kH, kW")) == (4, 1, 1)


def test_the_classical_figure_beside_ghost_batches_has_groups_that_divide_the_channels():
    said = words(draw(tensor(6, 4, 2, 2), method="ghost", num_groups=3, view="paper"))
    assert {"Group Norm G = 2", "Ghost Batch Norm G = 3"} <= set(said)
    said = words(draw(tensor(6, 4, 2, 2), method="ghost", num_groups=3))
    assert {"Ghost Batch Norm, G = 3", "yes, the 2 of a slice"} <= set(said)
    assert "yes, but a slice has 1" in words(draw(tensor(6, 4, 2, 2), method="ghost", num_groups=6))


def test_rectangles_cover_an_array_once():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (5, 7), (12, 12)):
        flat = rng.integers(0, 3, shape)
        again, times = np.full(shape, -1), np.zeros(shape, int)
        for level, row, column, rows, columns in rectangles(flat):
            again[row : row + rows, column : column + columns] = level
            times[row : row + rows, column : column + columns] += 1
        np.testing.assert_array_equal(again, flat)
        assert (times == 1).all()
