"""The still picture's arithmetic is the page's: both languages are given the same random cases."""

from typing import Any

import numpy as np

import normviz as nv
from normviz.explorer import validation
from normviz.explorer.svg import geometry, palette, readout

CASES = 120


def random_cases() -> list[dict[str, Any]]:
    rng, cases = np.random.default_rng(11), []
    for k in range(CASES):
        shape = [int(rng.integers(1, 12)), int(rng.choice([1, 2, 3, 6, 8, 40]))]
        shape += [int(n) for n in rng.integers(1, 40 if k % 3 else 7, size=k % 4)]
        method = nv.METHODS[list(nv.METHODS)[k % len(nv.METHODS)]]
        scene, now = validation.check(
            np.zeros(shape),
            method=method.name,
            num_groups=int(rng.choice(nv.divisors(shape[method.grouped_axis]))) if method.has_groups else None,
            index=[int(rng.integers(n)) for n in shape],
            view=["samples", "paper"][k // 2 % 2],
        )
        size = {"width": int(rng.integers(200, 1200)), "height": int(rng.integers(120, 600))}
        angles = {"az": float(rng.uniform(0, 1.5)), "el": float(rng.uniform(0, 1.5))}
        scene = {key: scene[key] for key in ("shape", "bins", "methods", "values", "labels", "marks", "running")}
        cases.append({"scene": scene, "state": now, "size": size, "angles": angles})
    return cases


def test_pictures_and_pages_draw_the_same_boxes(call):
    cases = random_cases()
    given = [
        case
        | {
            "cube": geometry.cube_shape(case["scene"]["shape"]),
            "margin": dict(geometry.view_of(readout.Data(case["scene"]), case["state"]).margin),
        }
        for case in cases
    ]
    drawn = call(
        """return given.map(({ scene, state, size, angles, cube, margin }) => {
          const methods = Object.fromEntries(scene.methods.map((row) => [row.name, row]));
          const { view, box, cell } = (() => {
            const v = front.viewOf(state.view, { cube, shape: scene.shape, bins: scene.bins, methods }, state);
            const at = front.toCube(state.index, scene.shape);
            const set = front.setOf(front.blockOf(methods[state.method], cube, state.num_groups), at);
            const k = v.name === "paper" ? v.solids.indexOf(state.method) : v.solids.indexOf(at[0]);
            return { view: v, cell: at, box: [k, v.box(set, k, state.method)] };
          })();
          const frame = front.makeFrame(view.cells, view.lengths, view.solids.length, size, angles, margin);
          const [k, ranges] = box;
          return { cells: view.cells, lengths: view.lengths, bins: view.bins, solids: [...view.solids], cell, k, ranges,
            origins: frame.origins, scale: frame.scale, width: frame.width, height: frame.height,
            faces: front.faces(frame, k, ranges), seen: front.visibleFaces(frame, k, ranges),
            hidden: front.hiddenEdges(frame, k, ranges), grid: front.gridLines(frame, k, view.bins) };
        });""",
        given,
    )
    for case, there in zip(cases, drawn, strict=True):
        data, now = readout.Data(case["scene"]), case["state"]
        here = geometry.view_of(data, now)
        frame = geometry.make_frame(
            here.cells, here.lengths, len(here.solids), case["size"], case["angles"], here.margin
        )
        cell = geometry.to_cube(now["index"], data.shape)
        assert (list(here.cells), list(here.bins)) == (there["cells"], there["bins"])
        assert (list(here.solids), list(cell)) == (there["solids"], there["cell"])
        method = data.methods[now["method"]]
        block = geometry.set_of(geometry.block_of(method, data.cube, now["num_groups"]), cell)
        k = list(here.solids).index(now["method"] if here.is_paper else cell[0])
        box = here.box(block, method, data.cube[3])
        assert (k, [list(r) for r in box]) == (there["k"], there["ranges"])
        near(here.lengths, there["lengths"])
        near(frame.origins, there["origins"])
        near([frame.scale, frame.width, frame.height], [there[key] for key in ("scale", "width", "height")])
        for mine, theirs in (
            (geometry.faces(frame, k, box), there["faces"]),
            (geometry.visible_faces(frame, k, box), there["seen"]),
        ):
            assert mine.keys() == theirs.keys()
            near([mine[face] for face in mine], [theirs[face] for face in mine])
        near(geometry.hidden_edges(frame, k, box), there["hidden"])
        near(geometry.grid_lines(frame, k, here.bins), there["grid"])


def test_pictures_and_pages_have_the_same_colours(call):
    rng = np.random.default_rng(3)
    grids = [
        [int(n) for n in rng.integers(1, 12, size=2)] + [int(n) for n in rng.choice([1, 1, 4], size=2)]
        for _ in range(60)
    ]
    places = [[int(rng.integers(n)) for n in grid] for grid in grids]
    theirs = call(
        "return given.map(([at, grid]) => front.partitionColor(at, grid));", [*zip(places, grids, strict=True)]
    )
    # A step of one in 255 is what rounding halves differently may make.
    mine = [palette.partition_color(at, grid) for at, grid in zip(places, grids, strict=True)]
    assert np.abs(np.array(mine) - np.array(theirs)).max() <= 1
    values = [float(v) for v in rng.normal(0, 2, 200)]
    for low, high in ((-2.0, 3.0), (0.0, 4.0), (-5.0, -1.0), (1.0, 1.0)):
        theirs = call("return given[0].map((v) => front.levelOf(v, given[1]));", [values, [low, high]])
        assert palette.levels(np.array(values), low, high).tolist() == theirs


def test_the_same_numbers_are_written_the_same_way(call):
    rng = np.random.default_rng(5)
    values = [float(v) for v in rng.normal(0, 1, 300) * 10.0 ** rng.integers(-9, 9, 300)] + [0.0, 1.0, -2.5, 1e15]
    assert [readout.decimal(v) for v in values] == call("return given.map((v) => front.decimal(v));", values)
    assert [readout.formula(v) for v in values] == call("return given.map((v) => front.number(v));", values)


def test_the_status_is_told_in_the_same_words(call):
    rng, given, mine = np.random.default_rng(8), [], []
    for k in range(60):
        shape = [int(n) for n in rng.integers(1, 7, size=2 + k % 4)]
        method = list(nv.METHODS)[k % len(nv.METHODS)]
        x = rng.normal(10.0 ** (k % 5), 1, shape)
        scene, now = validation.check(x, method=method, index=[int(rng.integers(n)) for n in shape])
        given.append([scene, now | {"G": now["num_groups"]}])
        data = readout.Data(scene)
        mine.append(readout.status(data, now, readout.measure(data, now)))
    theirs = call(
        """return given.map(([scene, state]) => {
          const data = front.readScene(scene);
          return front.statusText(data, state, front.measure(data, state));
        });""",
        given,
    )
    assert mine == theirs


def near(mine: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.array(mine, float), np.array(theirs, float), rtol=1e-9, atol=1e-9)
