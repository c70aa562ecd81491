"""The still picture is what the page draws: 200 random scenes, each drawn by the explorer and by Python.

The page gets a scene, a state and the size of the stage. Margins, angles, colours and texts are its own.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import validation
from normviz.explorer.constants import CONSTANTS
from normviz.explorer.svg import cube, palette, picture, readout
from normviz.explorer.svg.writer import Pen
from tests.browser import host
from tests.browser.conftest import HANGS

COLORS, STROKES = validation.COLORS, CONSTANTS["strokes"]
WIDTHS = {"borders": STROKES["borders"], "outline": STROKES["outline"], "cell": STROKES["cell_plain"]}
CASES = 200
NEAR = 0.11
"""Pixels: one step of rounding."""
Point = tuple[float, float]

# Draws each scene as the explorer does, in a stage of its size, and reads what then stands in the page.
DRAW = """(cases) => {
  const legend = document.createElement("div"), stage = document.createElement("div");
  const root = document.querySelector("main").appendChild(document.createElement("div"));
  Object.assign(root, { className: "normviz" }).dataset.theme = "light";
  root.append(Object.assign(stage, { className: "nv-stage" }), legend);
  const read = (node) => {
    const at = Object.fromEntries([...node.attributes].map(({ name, value }) => [name, value]));
    const common = { tag: node.tagName, parent: node.parentNode.getAttribute("class"), ...at };
    if (node.tagName === "text") return { ...common, text: node.textContent };
    const { display, fill, stroke, strokeWidth, strokeDasharray, opacity } = getComputedStyle(node);
    const look = [fill, stroke, parseFloat(strokeWidth), strokeDasharray, opacity];
    return { ...common, seen: display !== "none", look };
  };
  const drawn = cases.map(({ given, size }) => {
    const data = front.readScene(given._scene), state = front.fit({ ...given, G: given.num_groups }, data);
    const shown = front.measure(data, state), cube = front.createCube();
    Object.assign(stage.style, { width: `${size.width}px`, height: `${size.height}px` });
    stage.replaceChildren(cube.node);
    front.drawCube(cube, data, state, shown, size, front.ANGLES[state.view]);
    front.drawLegend({ legend }, data, state, shown);
    const scale = legend.querySelector(".nv-scale");
    return {
      size, nodes: [...cube.node.querySelectorAll("circle, text, path:not([d=''])")].map(read),
      legend: [...legend.children].map((item) => item.textContent), scale: scale?.style.background ?? "",
      status: front.statusText(data, state, shown), note: front.aggregation(data, state, shown),
      numbers: [shown.mean, shown.var].map(String), digits: shown.digits, pending: Boolean(shown.pending),
    };
  });
  root.remove();
  return drawn;
}"""


def random_case(k: int, rng: np.random.Generator) -> dict[str, Any]:
    """The arguments of an explorer; each kind of scene comes up regularly, the rest is random."""
    method = nv.METHODS[list(nv.METHODS)[k % len(nv.METHODS)]]
    rank = 2 + k // 2 % 4
    most = [6, 6, 12, 40][k % 4] if rank < 5 else 5
    shape = [int(rng.integers(1, 6)), int(rng.choice([1, 2, 3, 6, 8, 12]))]
    shape += [int(n) for n in rng.integers(1, most + 1, size=rank - 2)]
    if k % 7 == 3:
        shape[0] = int(rng.integers(9, 30))
    if k % 9 == 4:
        shape[1 + k % (rank - 1)] = int(rng.integers(33, 80))
    if k % 9 == 6:  # the drawn cells are bins along two axes
        shape[-2:] = [int(n) for n in rng.integers(33, 70, size=2)]
    if k % 23 == 21:  # too large for its values to travel
        shape = {2: [200, 900], 3: [40, 24, 150], 4: [24, 64, 12, 12], 5: [3, 32, 6, 16, 16]}[rank]
    scale = 10.0 ** rng.choice([0, 0, 0, 0, 0, -3, 4, -30, 25])
    x = rng.normal(rng.choice([0, 0.7, -30]), 1, shape) * scale
    x = np.maximum(x, 0) if k % 6 == 5 else x
    if k % 11 == 6:
        # Beside infinite values of float16 Python gives a mean square that is NaN, the page an infinite one.
        infinite = np.nan if k % 3 == 2 else np.inf
        x.flat[rng.integers(x.size, size=3)] = [np.nan, infinite, -infinite]
    with np.errstate(over="ignore"):
        x = x.astype([np.float32, np.float64, np.float16][k % 3])
    given: dict[str, Any] = {"method": method.name, "index": [int(rng.integers(n)) for n in shape]}
    if method.has_groups:
        given["num_groups"] = int(rng.choice(nv.divisors(shape[method.grouped_axis])))
    given |= {
        "view": ["samples", "samples", "paper"][k % 3],
        "color": COLORS[k // 3 % len(COLORS)],
    }
    if k % 13 == 7:
        given |= {"labels": rng.integers(0, 5, shape), "method": "given", "num_groups": None}
    if k % 4 == 1:
        length = shape[0] if method.axes == "weights" and given["method"] != "given" else shape[1]
        given |= {"weight": rng.normal(1, 0.2, length), "bias": rng.normal(0, 0.2, length)}
    if method.name == "batch" and k % 20 >= 10:
        running = nv.Statistics(mean=rng.normal(0, 1, shape[1]), var=rng.uniform(0.5, 2, shape[1]), count=9)
        given |= {"statistics": running, "mode": "eval"}
    if k % 5 == 2:
        given["marks"] = rng.uniform(size=shape) < 0.03
    return {"x": x, **given}


# ---- reading paths -------------------------------------------------------------------------------------------------


TOKEN = re.compile(r"[A-Za-z]|-?[\d.]+(?:e-?\d+)?")


def subpaths(d: str) -> list[list[Point]]:
    """The points of each part of a path of lines; a closed part does not repeat its first point."""
    parts: list[list[Point]] = []
    x = y = 0.0
    for part in d.split("M")[1:]:
        points, command, tokens = [], "L", iter(TOKEN.findall(part))
        for token in tokens:
            if token.isalpha():
                command = token
            elif command in "Hh":
                points.append((x := float(token) + (x if command == "h" else 0), y))
            elif command == "V":
                points.append((x, y := float(token)))
            else:
                assert command in "Ll", d
                dx, dy = float(token), float(next(tokens))
                x, y = (x + dx, y + dy) if command == "l" else (dx, dy)
                points.append((x, y))
        parts.append(points)
    return parts


def hexed(color: str) -> str:
    """A colour as #rrggbb, or "none"."""
    if color.startswith("rgb"):
        return "#" + "".join(f"{int(v):02x}" for v in re.findall(r"\d+", color)[:3])
    return "#" + "".join(c + c for c in color[1:]) if len(color) == 4 and color[0] == "#" else color


FACES = ("top", "front", "side")
AXES = {"top": (0, 1), "front": (0, 2), "side": (1, 2)}


@dataclass
class Drawn:
    """What is drawn of one scene, in the parts that both languages draw.

    Attributes
    ----------
    shapes, looks
        By part, such as "grid" or "set top": its polygons and lines, and its fill, stroke, width, dashes and opacity.
    fills
        Of the coloured faces, by solid and face: the colour of each drawn cell.
    texts
        Letters and set numbers: the text without spaces, its place and its anchor.
    """

    shapes: dict[str, list[list[Point]]] = field(default_factory=lambda: defaultdict(list))
    looks: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    fills: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    texts: dict[str, list[tuple[str, float, float, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, part: str, d: str, *look: Any) -> None:
        """Take one path."""
        if d:
            self.shapes[part] += subpaths(d)
            self.looks[part] = look


class Grid:
    """The drawn cells on the faces of the solids, to tell which of them a coloured polygon covers."""

    def __init__(self, cubes: cube.Cubes) -> None:
        self.view, self.frame = cubes.view, cubes.frame
        self.faces = {}
        for k, face in product(range(len(self.view.solids)), FACES):
            corner = [self.view.cells[0] if face == "side" else 0, 0, 0]
            origin, *ends = (
                np.array(self.frame.project(k, *(p + (axis == step) for axis, p in enumerate(corner))))
                for step in (None, *AXES[face])
            )
            self.faces[k, face] = origin, np.stack([end - origin for end in ends])

    def has(self, key: tuple[int, str]) -> bool:
        """Whether the cells of a face are so thick that rounding leaves them apart."""
        return np.linalg.norm(self.faces[key][1], axis=1).min() > 0.2

    def blank(self) -> dict[tuple[int, str], np.ndarray]:
        """No colour yet, for each drawn cell (v, u) of each face."""
        drawn = [-(-cells // size) for cells, size in zip(self.view.cells, self.view.bins, strict=True)]
        return {key: np.zeros([drawn[axis] for axis in AXES[key[1]][::-1]], int) for key in self.faces}

    def paint(self, fills: dict[tuple[int, str], np.ndarray], key: tuple[int, str], ends: Any, color: str) -> None:
        """Give the drawn cells whose first cell is within `ends` ((u0, v0), (u1, v1)) a colour; none may have one."""
        (u0, v0), (u1, v1) = ends
        u, v = (self.view.bins[axis] for axis in AXES[key[1]])
        if not self.has(key):
            return
        within = fills[key][math.ceil(v0 / v) : math.ceil(v1 / v), math.ceil(u0 / u) : math.ceil(u1 / u)]
        assert not within.any()
        within[...] = int(color[1:], 16) + 1

    def read(self, polygons: list[tuple[str, list[Point]]]) -> dict[tuple[int, str], np.ndarray]:
        """The colours of polygons on the screen, whose corners must be corners of cells."""
        fills, found = self.blank(), 0
        corners = np.array([points for _, points in polygons]).reshape(-1, 4, 2)
        for key, (origin, steps) in self.faces.items():
            at = (corners - origin) @ np.linalg.inv(steps)
            most = [self.view.cells[axis] for axis in AXES[key[1]]]
            inside = ((at.mean(axis=1) > 0) & (at.mean(axis=1) < most)).all(axis=1)
            places = np.round(at[inside])
            np.testing.assert_allclose(places @ steps + origin, corners[inside], atol=NEAR)
            for k, place in zip(np.flatnonzero(inside), places, strict=True):
                self.paint(fills, key, (place.min(axis=0), place.max(axis=0)), polygons[k][0])
            found += inside.sum()
        assert found == len(polygons)
        return fills


def page_drawing(nodes: list[dict[str, Any]], grid: Grid) -> Drawn:
    """What the page has drawn."""
    drawn, colored = Drawn(), []
    for node in nodes:
        if node["tag"] == "text":
            at = "".join(node["text"].split()), float(node["x"]), float(node["y"]), node.get("text-anchor", "middle")
            drawn.texts[node["parent"].removeprefix("nv-")].append(at)
            continue
        fill, stroke, *look = node["look"]
        part, look = node.get("class", "").removeprefix("nv-"), [hexed(fill), hexed(stroke), *look]
        if node["parent"] is None:
            colored += [(look[0], points) for points in subpaths(node["d"])]
        elif not node["seen"] or (part.startswith("set ") and fill == "none"):
            continue
        elif node["tag"] == "circle":
            drawn.add(part, f"M{node['cx']} {node['cy']}", *look, node["r"])
        else:
            look[0] = "none" if part == "underline" else look[0]  # a line has no area
            drawn.add("cell" if part.startswith("cell ") and fill == "none" else part, node.get("d", ""), *look)
    drawn.fills = grid.read(colored)
    return drawn


def still_drawing(cubes: cube.Cubes, grid: Grid) -> Drawn:
    """What Python has drawn, by the same names of parts."""
    drawn = Drawn(fills=grid.blank())
    tree = ElementTree.fromstring(f"<svg>{''.join(cube.draw(Pen('auto'), cubes))}</svg>")
    painted = iter(grid.faces)
    for group in tree.iter():
        for node in group:
            if node.tag == "g" and "matrix" in node.get("transform", ""):
                key = next(painted)
                a, b, c, d, x, y = map(float, node.attrib["transform"][len("matrix(") : -1].split())
                origin, steps = grid.faces[key]
                ends = [grid.view.cells[axis] for axis in AXES[key[1]]]
                corners = np.array([[0, 0], [ends[0], 0], [0, ends[1]], ends])
                np.testing.assert_allclose(corners @ [[a, b], [c, d]] + [x, y], corners @ steps + origin, atol=NEAR)
                for path in node:
                    for points in subpaths(path.attrib["d"]):
                        ends = np.min(points, axis=0), np.max(points, axis=0)
                        grid.paint(drawn.fills, key, ends, hexed(path.attrib["fill"]))
            if "matrix" in group.get("transform", ""):
                continue
            names = dict(name.split("-", 2)[1:] for name in node.get("class", "").split())
            fill, stroke = names.get("f"), names.get("s")
            wide = float(node.get("stroke-width", 1))
            dashes = node.get("stroke-dasharray")
            look = [hexed(node.get(kind, "none")) for kind in ("fill", "stroke")]
            look += [wide, f"{dashes.replace(' ', 'px, ')}px" if dashes else "none", node.get("stroke-opacity", "1")]
            if node.tag == "text":
                text = "".join("".join(node.itertext()).split())
                kind, anchor = ("labels", node.get("text-anchor", "start")) if fill else ("numbers", "middle")
                drawn.texts[kind].append((text, float(node.attrib["x"]), float(node.attrib["y"]), anchor))
            elif node.tag == "circle" and stroke not in ("page", "halo"):
                drawn.add("ring", f"M{node.attrib['cx']} {node.attrib['cy']}", *look, node.attrib["r"])
            elif node.tag == "path" and stroke not in ("page", "halo"):
                drawn.add(part_of(fill, stroke, wide, node), node.attrib["d"], *look)
    return drawn


def part_of(fill: str | None, stroke: str | None, width: float, node: Any) -> str:
    """The page's name of a part that Python has drawn in these colours."""
    if fill:
        return f"rest {fill}" if fill in FACES else fill.replace("-", " ")
    if stroke == "accent":
        return "underline"
    dashed = "stroke-dasharray" in node.attrib
    parts = {"grid": "grid", "ghost": "ghost", "mark": "marks", "set-edge": "set-edge", "set-front": "set-edge"}
    if stroke == "mark" and dashed:
        return "holes"
    if stroke in parts or dashed:
        return parts.get(stroke or "", "cell-ghost")
    return next((part for part, each in WIDTHS.items() if each == width), "set-edge")


def near(mine: list[list[Point]], theirs: list[list[Point]]) -> bool:
    """Whether both hold the same lines and polygons, in any order."""
    counts = [
        Counter(tuple(round(10 * v) for point in points for v in point) for points in each) for each in (mine, theirs)
    ]
    left, other = (list((a - b).elements()) for a, b in (counts, counts[::-1]))
    # What is left differs by a step of rounding, if at all.
    for a in left:
        match = next((b for b in other if len(a) == len(b) and np.abs(np.subtract(a, b)).max() <= 1), None)
        if match is None:
            return False
        other.remove(match)
    return not other


def differences(page: Drawn, still: Drawn) -> Iterator[str]:
    """What differs, in words."""
    if page.shapes.keys() != still.shapes.keys():
        yield f"the page draws {sorted(page.shapes)}, Python {sorted(still.shapes)}"
    for part in page.shapes.keys() & still.shapes.keys():
        if not near(still.shapes[part], page.shapes[part]):
            yield f"the places of {part}: {page.shapes[part][:2]} in the page, {still.shapes[part][:2]} in Python"
        if page.looks[part] != still.looks[part]:
            yield f"the look of {part}: {page.looks[part]} in the page, {still.looks[part]} in Python"
    for (k, face), colors in page.fills.items():
        other = still.fills[k, face]
        if (colors != other).any():
            at = tuple(np.argwhere(colors != other)[0])
            both = f"{colors[at] - 1:06x} in the page, {other[at] - 1:06x} in Python"
            yield f"{(colors != other).sum()} colours of {face} {k}: {both}"
    for kind in ("numbers", "labels"):
        a, b = ([(text, anchor) for text, _, _, anchor in each.texts[kind]] for each in (page, still))
        if a != b:
            yield f"the {kind}: {a} in the page, {b} in Python"
        elif a and not near([[t[1:3]] for t in still.texts[kind]], [[t[1:3]] for t in page.texts[kind]]):
            yield f"the places of {kind}: {page.texts[kind]} in the page, {still.texts[kind]} in Python"


@pytest.fixture(scope="module")
def scenes() -> list[tuple[dict[str, Any], Any, dict[str, Any]]]:
    """The arguments, the checked tensor and the state of each scene."""
    rng = np.random.default_rng(11)
    cases = [random_case(k, rng) for k in range(CASES)]
    return [(case, *validation.start(case["x"], {key: v for key, v in case.items() if key != "x"})) for case in cases]


def model_of(on: Any, state: dict[str, Any]) -> dict[str, Any]:
    """What a host gives to the page."""
    return state | {"_scene": on.scene, "index": list(state["index"])}


@pytest.fixture(scope="module")
def pages(scenes, browser, tmp_path_factory) -> list[dict[str, Any]]:
    """What the explorer shows of each."""
    rng = np.random.default_rng(12)
    path = tmp_path_factory.mktemp("scenes") / "host.html"
    models = [model_of(on, state) for _, on, state in scenes]
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(host.write(path, models[:1]).as_uri())
    page.wait_for_function("window.loaded", timeout=HANGS)
    sizes = [{"width": int(rng.integers(280, 1300)), "height": int(rng.integers(140, 600))} for _ in models]
    given = [{"given": model, "size": size} for model, size in zip(models, sizes, strict=True)]
    shown = [each for k in range(0, CASES, 20) for each in page.evaluate(DRAW, given[k : k + 20])]
    page.close()
    assert not errors
    return shown


def test_picture_and_page_say_the_same(scenes, pages):
    """The status line, what is aggregated, and the legend with the colours of its scale."""
    found = []
    for k, ((case, on, state), shown) in enumerate(zip(scenes, pages, strict=True)):
        measured = readout.measure(on, state)
        legend = picture.legend(Pen("auto"), on, state, measured)
        items = [ElementTree.fromstring(f"<g>{item}</g>") for _, item in legend]
        has_scale = state["color"] in ("value", "normalized", "gradient")
        scale = [hexed(node.attrib["fill"]) for node in items[0].iter("path")] if has_scale else []
        shown["scale"] = [hexed(color) for color in re.findall(r"rgb\([^)]*\)|#\w+", shown["scale"])]
        said = {
            "status": readout.status(on, state, measured),
            "note": " ".join(readout.aggregation(on, state, measured)),
            "legend": ["".join(node.itertext()) for node in items],
            "scale": scale,
        }
        # Beside values that are not finite, what is not a number depends on the order of a sum.
        for each in (said, shown):
            each["status"] = re.sub(r"mean .* -?(NaN|inf)\b.*|mean -?(NaN|inf)\b.*", "not finite", each["status"])
        found += [
            f"{k}: {case['x'].shape} {name}: {shown[name]} in the page, {text} in Python"
            for name, text in said.items()
            if text != shown[name]
        ]
    assert not found, "\n".join(found)


def test_page_has_the_numbers_of_statistics(scenes, pages):
    """Mean and variance of the set: the engine's, to the last digits of a sum of float64 numbers, and as they print."""
    found = []
    for k, ((case, on, state), shown) in enumerate(zip(scenes, pages, strict=True)):
        about = f"{k}: {on.shape} {case['x'].dtype} {state['method']}"
        if shown["pending"]:
            assert on.tensor.values is None, about
            assert shown["status"].endswith(" need a running kernel."), about
            continue
        mean, var = (float(text.replace("Infinity", "inf")) for text in shown["numbers"])
        expected = expected_statistics(case, state)
        if not np.isfinite(expected).all():
            assert not (math.isfinite(mean) and math.isfinite(var)), about
            continue
        room = 1e-9 * math.hypot(expected[0], math.sqrt(expected[1])), 1e-9 * expected[1] + 1e-13 * expected[0] ** 2
        for number, right, least in zip((mean, var), expected, room, strict=True):
            if not abs(number - right) <= least:
                found.append(f"{about}: {mean}, {var} in the page, {expected} in Python")
        said = re.search(
            r"mean (\S+), (?:running )?(?:variance|mean square|squared norm) (\S+)\.(?: |$)",
            shown["status"],
        )
        assert said, shown["status"]
        mean_digits = 5 if state["mode"] == "eval" and state["method"] == "batch" else shown["digits"]
        for text, right, digits in zip(said.groups(), expected, (mean_digits, 5), strict=True):
            near = {readout.decimal(right * (1 + by), digits) for by in (-1e-9, 0, 1e-9)}
            if len(near) == 1 and text not in near:  # else, the numbers are on both sides of a tie
                found.append(f"{about}: {text} in the page, {near} in Python")
    assert not found, "\n".join(found)


@np.errstate(all="ignore")
def expected_statistics(case: dict[str, Any], state: dict[str, Any]) -> list[float]:
    """Mean and variance of the set of the picked cell."""
    x, index, row = case["x"], tuple(state["index"]), nv.METHODS.get(state["method"])
    if row is None:
        cells = x[case["labels"] == case["labels"][index]].astype(np.float64)
        return [float(cells.mean()), float(cells.var())]
    if state["mode"] == "eval" and row.name == "batch":
        return [float(each[index[1]]) for each in (case["statistics"].mean, case["statistics"].var)]
    sets = nv.pooling(row.name, x.shape, state["num_groups"] if row.has_groups else None)
    # A page merges the moments of maps; where the sets split them, it sums the values in float64.
    if row.spatial == "all":
        found = nv.moments(x).pool(row.name, sets.num_groups)
    else:
        found = nv.statistics(x.astype(np.float64), row.name, num_groups=sets.num_groups)
    return [float(each.flat[sets.set_number(index)]) for each in (found.mean, found.var)]


def test_picture_and_page_draw_the_same(scenes, pages):
    found = []
    for k, ((case, on, state), shown) in enumerate(zip(scenes, pages, strict=True)):
        cubes = cube.Cubes(on, state, readout.measure(on, state), shown["size"])
        grid = Grid(cubes)
        about = f"{k}: {case['x'].shape} {state['method']} {state['view']} {state['color']} {shown['size']}"
        with np.errstate(all="ignore"):
            both = page_drawing(shown["nodes"], grid), still_drawing(cubes, grid)
        found += [f"{about}: {text}" for text in differences(*both)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("given", [{"method": "instance"}, {"method": "positional"}, {"method": "given"}])
def test_colour_of_a_drawn_cell_is_the_mean_of_its_cells_each_normalized_by_its_own_set(given, call):
    """Three channels and two columns to a drawn cell, by plain loops."""
    rng = np.random.default_rng(3)
    x = rng.normal(rng.normal(0, 5, (1, 70, 1, 1)), rng.uniform(0.5, 2, (1, 1, 2, 40)), (1, 70, 2, 40))
    labels = {"instance": np.arange(70)[None, :, None, None], "positional": np.arange(80).reshape(1, 1, 2, 40)}
    labels = labels.get(given["method"], rng.integers(0, 9, x.shape)) + np.zeros(x.shape, int)
    normalized = np.empty(x.shape)
    for label in np.unique(labels):
        values = x[labels == label]
        normalized[labels == label] = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    more = {"labels": labels} if given["method"] == "given" else {}
    on, state = validation.start(x, given | more | {"color": "normalized"})
    scene = {"given": model_of(on, state), "size": {"width": 700, "height": 400}}
    (shown,) = call(f"return ({DRAW})(given)", [scene])
    cubes = cube.Cubes(on, state, readout.measure(on, state), shown["size"])
    fills = page_drawing(shown["nodes"], Grid(cubes)).fills
    for h in range(2):
        for w in range(20):
            mean = normalized[0, :3, h, 2 * w : 2 * w + 2].mean()
            expected = palette.toned(palette.level_color(palette.level_of(mean, -3, 3)), "front")
            assert fills[0, "front"][h, w] == int(hexed(expected)[1:], 16) + 1
