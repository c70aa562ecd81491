"""The still picture is well-formed, sparing and true: Pooling says what is lit, and the core what is written."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import validation
from normviz.explorer.constants import CONSTANTS, DARK, LIGHT
from normviz.explorer.svg import geometry, picture, readout, writer
from normviz.explorer.svg.cube import Cubes, bordered, drawn_values, painted, set_boxes

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><!-- <img src=x onerror=alert(1)> & \" ' ]]> \u2028"


def draw(x, theme="auto", **keywords) -> str:
    return picture.still(*validation.start(x, keywords), theme=theme).svg()


def measured(x, **keywords) -> readout.Readout:
    return readout.measure(*validation.start(x, keywords))


def words(text: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(text).iter(f"{SVG}text")]


def tensor(*shape, seed=0):
    return np.random.default_rng(seed).normal(0.5, 2, shape)


COLORS = validation.COLORS[1:]
STATES = [
    {},
    *({"method": name} for name in nv.METHODS),
    {"view": "paper"},
    {"view": "paper", "method": "rms"},
    *({"color": color} for color in COLORS),
    *({"color": color, "view": "paper", "method": "positional"} for color in COLORS),
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


@pytest.mark.parametrize("theme", writer.THEMES)
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
    given = {"method": method, "num_groups": groups, "index": index}
    subject, now = validation.start(np.zeros(shape), given)
    shown = readout.measure(subject, now)
    cubes = Cubes(subject, now, shown, {"width": 900, "height": 300})

    lit = np.zeros(cubes.cube, bool)
    for k, n in enumerate(cubes.view.solids):
        for (w0, w1), (c0, c1), (h0, h1) in cubes.boxes(k):
            lit[n, c0:c1, h0:h1, w0:w1] = True
    pool = nv.pooling(method, shape, groups)
    expected = np.zeros(shape, bool)
    expected[pool.set_of(index)] = True
    first = slice(cubes.view.solids[0], cubes.view.solids[-1] + 1)
    np.testing.assert_array_equal(lit[first], expected.reshape(cubes.cube)[first])
    assert (shown.size, shown.count, shown.label) == (pool.size, pool.count, pool.set_number(index))
    assert tuple(slice(*r) for r in shown.ranges) == pool.set_of(index)


def test_the_polygons_that_are_filled_are_faces_of_those_boxes():
    subject, now = validation.start(tensor(4, 8, 3, 6), {"method": "group", "num_groups": 4, "index": (1, 5, 0, 5)})
    view = geometry.view_of(subject.shape, now)
    frame = geometry.make_frame(view, geometry.stage_of(view, picture.WIDTH - 2 * picture.EDGE, subject.shape[0]))
    seen = geometry.visible_faces(frame, 1, [(0, 6), (4, 6), (0, 3)])
    root = ET.fromstring(picture.still(subject, now, theme="light").svg())
    for face in ("top", "side"):
        paths = [e.get("d") for e in root.iter(f"{SVG}path") if e.get("fill") == LIGHT[f"set-{face}"]]
        assert len(paths) == 1, face
        np.testing.assert_allclose(corners(paths[0]), seen[face], atol=0.06)
    assert "front" not in seen
    fronts = [e for e in root.iter(f"{SVG}path") if e.get("fill") == LIGHT["set-front"] and e.get("d").endswith("z")]
    assert [e.get("d") for e in fronts] == ["M0 -10h12v12h-12z"]  # in the legend


def corners(path: str) -> np.ndarray:
    """The corners of one polygon, from its path of steps."""
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


@pytest.mark.parametrize("method", nv.METHODS)
@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_the_cores(method, seed):
    x = tensor(3, 6, 4, 5, seed=seed)
    rng, row = np.random.default_rng(seed + 100), nv.METHODS[method]
    groups = int(rng.choice(nv.divisors(x.shape[row.grouped_axis]))) if row.has_groups else None
    index = tuple(int(rng.integers(n)) for n in x.shape)
    given = {"method": method, "num_groups": groups, "index": index}
    shown, found = measured(x, **given), nv.statistics(x, method, num_groups=groups)
    at = nv.pooling(method, x.shape, groups).set_number(index)
    assert (shown.mean, shown.var, shown.x) == (found.mean.flat[at], found.var.flat[at], x[index])
    written = " ".join(words(draw(x, **given)))
    for number in (readout.decimal(shown.mean, readout.digits_for(shown)), readout.decimal(shown.var)):
        assert f" {number}" in written


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.453125, 5, "0.45313"),
        (-0.453125, 5, "-0.45313"),
        (0.5, 5, "0.5"),
        (1.25, 2, "1.3"),
        (2.5, 1, "3"),
        (0.15, 1, "0.1"),  # which is below 0.15 in binary
        (99999.5, 5, "100000"),
        (123456789.0, 5, "123460000"),
        (1e-7, 5, "0.0000001"),
        (-0.0, 5, "0"),
        (float("nan"), 5, "NaN"),
        (float("-inf"), 5, "-inf"),
        (None, 5, "?"),
    ],
)
def test_numbers_round_halves_away_from_zero(value, digits, text):
    assert readout.decimal(value, digits) == text


def test_a_large_tensor_has_exact_moments_and_says_what_it_leaves_out():
    x = tensor(10, 64, 20, 20)
    given = {"method": "group", "num_groups": 8, "index": (9, 20, 3, 3)}
    shown = nv.show(x, **given)
    subject, state = shown.page_parts()[0]
    assert shown.scene["values"] is subject.tensor.source is subject.x is None
    found = readout.measure(subject, state)
    np.testing.assert_allclose((found.mean, found.var), (x[9, 16:24].mean(), x[9, 16:24].var()))
    assert found.x is None
    said = ET.fromstring(shown.to_svg()).find(f"{SVG}desc").text
    assert f"each drawn cell stands for {shown.scene['bins'][1]} cells along c" in said
    assert "Samples 8 to 9 of 10 are shown." in said
    assert "Mean and variance of every set are exact." in said
    assert f"<figcaption>{said}</figcaption>" in shown.to_html()


def test_eval_mode_shows_no_set_and_whose_numbers_are_used():
    x, running = tensor(4, 3, 2, 2), nv.RunningStatistics(3)
    running.update(x)
    given = {"method": "batch", "mode": "eval", "statistics": running, "index": (1, 2, 0, 0)}
    text = draw(x, "light", **given)
    line = next(t for t in words(text) if t.startswith("Batch Norm in eval mode"))
    assert f"running mean {readout.decimal(running.mean[2])}, " in line
    assert LIGHT["set-front"] not in text
    assert "pooling set" not in words(text)
    # The other methods of the classical figure pool as ever.
    paper = ET.fromstring(draw(x, "light", view="paper", **given))
    dashed = [e.get("d").count("M") for e in paper.iter(f"{SVG}path") if e.get("stroke") == LIGHT["ghost"]]
    assert len(dashed) == 1


def test_given_sets_are_drawn_and_counted():
    x, labels = tensor(2, 4, 3, 3), np.random.default_rng(0).integers(0, 3, (2, 4, 3, 3))
    shown = measured(x, labels=labels, index=(1, 2, 0, 1))
    members = labels == labels[1, 2, 0, 1]
    assert (shown.size, shown.count) == (members.sum(), 3)
    np.testing.assert_allclose((shown.mean, shown.var), (x[members].mean(), x[members].var()))
    ET.fromstring(draw(x, labels=labels, color="partition"))
    assert nv.show(x, labels=labels).to_html().count("These sets are given by labels.</figcaption>") == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30])
@pytest.mark.parametrize("color", ["set", "value", "normalized", "gradient"])
def test_odd_values_show_something_true(value, color):
    x = np.full((2, 4, 3, 3), 1.0)
    x[0, 1, 1, 1] = value
    given = {"method": "positional", "index": (0, 1, 1, 1), "color": color}
    text, shown = draw(x, **given), measured(x, **given)
    with np.errstate(all="ignore"):
        mean = x[0, :, 1, 1].mean()
    assert shown.mean == pytest.approx(mean, rel=1e-12) or not np.isfinite([shown.mean, mean]).any()
    said = re.search(r"mean (\S*), variance (\S*)\.(?: |$)", " ".join(words(text)))
    assert said.groups() == (readout.decimal(shown.mean), readout.decimal(shown.var))
    root = ET.fromstring(text)
    # A value that is not finite is grey, so that no colour says how large it is.
    grey = [e for e in root.iter(f"{SVG}path") if e.get("fill") == "#808080"]
    assert bool(grey) == (False if color == "set" or np.isfinite(value) else color in ("normalized", "gradient"))


# ---- what stands under the cubes -------------------------------------------------------------------------------------


def test_the_caption_is_the_status_line_and_can_be_left_out():
    x = nv.samples.activations()
    for make in (nv.show, nv.Explorer):
        shown = make(x)
        with_line, without = (ET.fromstring(shown.to_svg(caption=caption)) for caption in (True, False))
        line = "Group Norm, G = 4: the set of cell (0, 0, 0, 0) is n 0, c 0 to 3, h 0 to 11, w 0 to 11; 576 cells, "
        assert words(shown.to_svg())[-1].startswith(line)
        assert len(words(shown.to_svg())) == len(words(shown.to_svg(caption=False))) + 1
        assert float(with_line.get("height")) - float(without.get("height")) == picture.ROW
        assert with_line.find(f"{SVG}desc").text == without.find(f"{SVG}desc").text


@pytest.mark.parametrize("view", ["samples", "paper"])
def test_the_cubes_alone_are_the_same_cubes_on_no_ground(view):
    shown = nv.show(tensor(2, 8, 4, 4), "group", 4, title="A title", view=view)
    whole, alone = (ET.fromstring(shown.to_svg(alone=alone, theme="light")) for alone in (False, True))
    assert [len(drawn.findall(f"{SVG}rect")) for drawn in (whole, alone)] == [1, 0]
    cubes, only = ([ET.tostring(part) for part in drawn.find(f"{SVG}g")] for drawn in (whole, alone))
    assert cubes == only
    assert words(shown.to_svg(alone=True)) == words(shown.to_svg())[1:-3]  # no title, legend and numbers
    assert float(alone.get("height")) < float(whole.get("height")) - 2 * picture.ROW
    assert alone.find(f"{SVG}desc").text == whole.find(f"{SVG}desc").text


@pytest.mark.parametrize("shape", [(3, 8), (2, 8, 5), (4, 8, 3, 6), (2, 4, 2, 3, 3), (1, 1, 1, 1), (9, 40, 35, 33)])
@pytest.mark.parametrize("width", [320, 480, 960, 2000])
@pytest.mark.parametrize("keywords", [{}, {"color": "value"}, {"view": "paper"}, {"title": "W" * 300}])
def test_everything_that_is_drawn_lies_inside_the_picture(shape, width, keywords):
    """Texts by their estimated widths, which are those of the widest font."""
    root = ET.fromstring(nv.show(tensor(*shape), **keywords).to_svg(width=width))
    height = float(root.get("height"))
    assert float(root.get("width")) == width
    assert 120 <= height <= max(560, 0.62 * width)

    # Nested groups are only moved.
    def walk(element, x, y):
        found = re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
        x, y = (x + float(found[1]), y + float(found[2])) if found else (x, y)
        for child in element:
            yield child, x, y
            if "matrix" not in child.get("transform", ""):
                yield from walk(child, x, y)

    texts = 0
    for element, dx, dy in walk(root, 0, 0):
        if element.tag == f"{SVG}text" and "transform" not in element.attrib:
            size = float(element.get("font-size", 11))
            wide = picture.width_of("".join(element.itertext()), size)
            at = dx + float(element.get("x")) - {"middle": wide / 2, "end": wide}.get(element.get("text-anchor"), 0)
            assert at >= -2, "".join(element.itertext())
            assert at + wide <= width + 2, "".join(element.itertext())
            assert 8 <= dy + float(element.get("y")) <= height
            texts += 1
    assert texts >= 3


def test_the_usual_picture_has_the_format_of_a_slide_and_no_empty_space():
    for shape, most in (((4, 16, 12, 12), 350), ((1, 12, 9, 9), 350), ((8, 12, 9, 9), 440), ((3, 8, 12), 260)):
        text = nv.show(tensor(*shape)).to_svg()
        root = ET.fromstring(text)
        assert float(root.get("width")) == 960
        assert float(root.get("height")) <= most, shape


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0, 1, 2, 3, 4], ["0", "≥ 4"]),
        ([0, 1, 2, 3, 100], ["0", "≥ 97"]),
        ([-5, -1, 0, 1, 2], ["≤ -5", "4.68"]),
        ([-2, -1, -2, -1, -2], ["-2", "-1"]),
        ([3, 3, 3, 3, 3], ["3", "3"]),
    ],
)
def test_the_ends_of_the_colours_say_where_values_lie_beyond_them(values, ends):
    x = np.resize(np.repeat(np.array(values, float), 20), (1, 4, 5, 5))
    low, high = np.percentile(x, [2, 98])
    said = words(nv.show(x, color="value").to_svg())
    bound = max(abs(low), abs(high))
    low, high = (-bound, bound) if low < 0 < high else (low, high)
    expected = [("≤ " if x.min() < low else "") + readout.decimal(low, 3)]
    expected.append(("≥ " if x.max() > high else "") + readout.decimal(high, 3))
    assert expected[0] in said
    assert expected[1] in said
    assert {"≤ -3", "≥ 3"} <= set(words(nv.show(x, color="normalized").to_svg()))


def test_the_legend_names_what_is_drawn():
    x = tensor(2, 4, 3, 3)
    said = {color: set(words(draw(x, color=color, marks=x > 1))) for color in validation.COLORS}
    assert all({"cell i", "marked"} <= each for each in said.values())
    assert {color for color, each in said.items() if "pooling set" in each} == {*COLORS, "set"} - {"partition"}
    assert {color for color, each in said.items() if "one color per set" in each} == {"partition"}
    assert "marked" not in words(draw(x, marks=x > 1, view="paper"))


@pytest.mark.parametrize("keywords", [{"width": 10}, {"width": 5000}, {"theme": "sepia"}])
def test_a_picture_that_cannot_be_drawn_is_refused(tmp_path, keywords):
    name, value = next(iter(keywords.items()))
    for shown in (nv.show(), nv.Explorer(), nv.compare_methods()):
        with pytest.raises(ValueError, match=f"^{name}='?{value}'? is"):
            shown.to_svg(tmp_path / "x.svg", **keywords)
    with pytest.raises(TypeError, match=r"^width must be a whole number, not 'wide'$"):
        nv.show().to_svg(width="wide")
    assert not list(tmp_path.iterdir())


def test_a_page_shows_the_words_beside_the_picture():
    shown = nv.show(tensor(2, 4, 3, 3), method="layer")
    assert shown.to_html().count("<figcaption>Layer Norm: the set of cell (0, 0, 0, 0) is n 0, c 0 to 3, ") == 1
    said = re.search("<figcaption>(.*?)</figcaption>", shown.to_html())[1]
    assert "This is not a transformer" in said
    assert "share one mean and one variance." in said
    assert "<" not in said


# ---- one recipe for all rows ----------------------------------------------------------------------------------------


def test_sets_that_split_channels_and_positions_are_right(monkeypatch):
    """A row that splits the channels into groups and keeps positions apart, as per-head normalization does."""
    row = nv.METHODS["group"]
    heads = type(row)(**{**vars(row), "name": "heads", "label": "Heads", "spatial": "one"})
    monkeypatch.setitem(nv.METHODS._rows, "heads", heads)
    x = tensor(2, 6, 3, 4)
    given = {"method": "heads", "num_groups": 3, "index": (1, 3, 2, 1)}
    shown = measured(x, **given)
    members = x[1, 2:4, 2, 1]
    assert shown.size == 2
    np.testing.assert_allclose((shown.mean, shown.var), (members.mean(), members.var()), rtol=1e-12)
    subject, now = validation.start(x, given | {"color": "normalized"})
    cubes = Cubes(subject, now, shown, {"width": 900, "height": 300})
    normalized = nv.normalize(x, "heads", num_groups=3)
    for box in geometry.surface(cubes.view):
        found = drawn_values(cubes, 1)(box)
        assert found == pytest.approx(normalized[cubes.first_cell(1, box)], rel=1e-6, abs=1e-9)
    large = np.random.default_rng(0).normal(size=(2, 64, 48, 48))
    assert measured(large, method="heads", num_groups=4).mean is None
    assert "need a running kernel" in draw(large, method="heads", num_groups=4)


@pytest.mark.parametrize("method", list(nv.METHODS))
def test_every_set_is_painted_once_where_it_is_seen(method):
    """The boxes of all sets cover each face, and a box lies in one set."""
    for shape in ((2, 6, 4, 5), (3, 40, 35, 3)):
        subject, now = validation.start(np.zeros(shape), {"method": method, "color": "partition"})
        cubes = Cubes(subject, now, readout.measure(subject, now), {"width": 900, "height": 300})
        labels = cubes.sets(1).labels()[1]
        front, top, side = (np.zeros(labels.shape, int) for _ in range(3))
        exact = nv.METHODS[method].spatial == "all" or max(cubes.view.bins) == 1
        for (w0, w1), (c0, c1), (h0, h1) in set_boxes(cubes, 1):
            part = (slice(c0, c1), slice(h0, h1), slice(w0, w1))
            assert np.unique(labels[part]).size == 1 or not exact
            for seen, there in ((front, c0 == 0), (top, h0 == 0), (side, w1 == shape[3])):
                seen[part] += there
        assert (front[0] == 1).all()
        assert (top[:, 0] == 1).all()
        assert (side[:, :, -1] == 1).all()


def test_thin_sets_have_no_borders():
    def borders(*shape, method):
        subject, now = validation.start(np.zeros(shape), {"method": method, "color": "partition"})
        return bordered(Cubes(subject, now, readout.measure(subject, now), {"width": 900, "height": 270}))

    assert borders(2, 4, 6, 6, method="instance")
    assert not borders(2, 40, 40, 40, method="positional")


def test_the_constants_are_json_that_python_does_not_change():
    again = json.loads(json.dumps(CONSTANTS))
    draw(tensor(9, 8, 3, 3), view="paper", color="partition")
    draw(tensor(9, 8, 3, 3), color="value")
    assert again == CONSTANTS
    assert LIGHT.keys() == DARK.keys()


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
    assert {"C", "D, H", "W"} <= set(words(draw(tensor(2, 4, 2, 5, 5))))


def test_weights_have_axes_of_their_own():
    said = words(draw(tensor(2, 4, 5, 3), method="weight_norm"))
    assert {"Cin", "kH", "kW", "Cout = 0", "Cout = 1"} <= set(said)
    assert "is Cout 0, Cin 0 to 3, kH 0 to 4, kW 0 to 2; 60 cells, mean 0, squared norm " in said[-1]
    assert not {"C", "H", "W", "N", "n = 0"} & set(said)
    paper = words(draw(tensor(2, 4, 5, 3), method="weight_norm", view="paper"))
    assert (paper.count("N"), paper.count("Cout"), paper.count("kH, kW")) == (4, 1, 1)


def test_the_classical_figure_beside_ghost_batches_has_groups_that_divide_the_channels():
    said = words(draw(tensor(6, 4, 2, 2), method="ghost", num_groups=3, view="paper"))
    assert {"Group Norm G = 2", "Ghost G = 3"} <= set(said)
    assert said[-1].startswith("Ghost Batch Norm, G = 3: the set of cell (0, 0, 0, 0) is n 0 to 1, c 0, ")


@pytest.mark.parametrize("color", ["partition", "value", "normalized"])
@pytest.mark.parametrize("view", ["samples", "paper"])
@pytest.mark.parametrize("shape", [(2, 6, 4, 5), (3, 40, 35, 3), (18, 4, 5, 5), (4, 40, 40, 40)])
def test_every_face_is_painted_once(color, view, shape):
    subject, now = validation.start(tensor(*shape), {"method": "positional", "color": color, "view": view})
    cubes = Cubes(subject, now, readout.measure(subject, now), {"width": 900, "height": 300})
    x, y, z = cubes.view.cells
    groups = [ET.fromstring(text) for text in painted(cubes, 0)]
    for group, (across, down) in zip(groups, ((x, y), (x, z), (y, z)), strict=True):
        times = np.zeros((across, down), int)
        for a, c, b, d in re.findall(r"M(\d+) (\d+)H(\d+)V(\d+)", "".join(path.get("d") for path in group)):
            times[int(a) : int(b), int(c) : int(d)] += 1
        assert (times == 1).all()


def test_a_drawn_cell_has_the_colour_of_the_mean_of_its_cells():
    x = tensor(20, 40, 7, 9)
    for view in ("samples", "paper"):
        subject, now = validation.start(x, {"view": view, "color": "value"})
        cubes = Cubes(subject, now, readout.measure(subject, now), {"width": 900, "height": 300})
        for box in geometry.surface(cubes.view):
            (x0, x1), (y0, y1), (z0, z1) = box
            part = x[0, y0:y1, z0:z1, x0:x1] if view == "samples" else x.reshape(20, 40, -1)[y0:y1, x0:x1, z0:z1]
            assert drawn_values(cubes, 0)(box) == pytest.approx(part.mean())


@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((2, 100_000), {"method": "instance"}),
        ((100_000, 2), {"method": "layer", "view": "paper"}),
        ((2, 3000, 6, 6), {"method": "batch"}),
    ],
)
def test_more_sets_than_can_be_seen_are_drawn_as_cells(shape, keywords):
    text = nv.show(np.zeros(shape, np.float32), color="partition", **keywords).to_svg()
    assert len(text) < 120_000
    if "view" not in keywords:  # where Batch Norm stands beside it
        assert '<g font-size="11"' not in text  # no number stands for several sets
