"""The cube as a plotly Figure: numbers, not pictures. What is lit is what Pooling says, in every state."""

import copy
import json
import math
import pickle
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import normviz as nv
from normviz.core.pooling import fitting_num_groups
from normviz.explorer import validation
from normviz.explorer.svg import geometry, picture

OTHER, LIT, GRID, OUTLINE = range(4)
MENU, SLIDER = "updatemenus", "sliders"


LIFT, THINNEST = 0.16, 3.2
"""Pixels: how far the set stands off its place at most, and how thick its thinnest box is, so that it can be seen."""


def corners(trace):
    """The boxes of a mesh as arrays (low, high), each (boxes, 3)."""
    points = np.stack([np.asarray(trace[axis], float) for axis in "xyz"], axis=1).reshape(-1, 8, 3)
    return points.min(axis=1), points.max(axis=1)


def lit_boxes(figure, lit=None):
    """What is lit, from the meshes alone: {sample drawn: start and stop along w, c, h, in pixels of its box}."""
    low, high = corners(figure.data[OTHER])
    found = {}
    for a, b in zip(*corners(lit or figure.data[LIT]), strict=True):
        if (b - a).max() < 1e-3:
            continue
        # The sample whose box holds the middle of this one.
        (sample,) = np.flatnonzero(((low < (a + b) / 2) & ((a + b) / 2 < high)).all(axis=1))
        # h is counted from the top.
        found[int(sample)] = [(a[0] - low[sample][0], b[0] - low[sample][0])]
        found[int(sample)] += [(a[1] - low[sample][1], b[1] - low[sample][1])]
        found[int(sample)] += [(high[sample][2] - b[2], high[sample][2] - a[2])]
    return found


def check_lit(figure, pooling, index, lit=None):
    """Compare what is lit with the labels of Pooling, one cell of x after the other."""
    shape = pooling.shape
    cube = shape[0], shape[1], math.prod(shape[2:-1]), shape[-1] if len(shape) > 2 else 1
    inside = (pooling.labels() == pooling.set_number(index)).reshape(cube)
    low, high = corners(figure.data[OTHER])
    first = index[0] // 8 * 8
    assert len(low) == min(shape[0] - first, 8)
    found = lit_boxes(figure, lit)
    assert set(found) == {n for n in range(len(low)) if inside[first + n].any()}
    for n, box in found.items():
        where = np.nonzero(inside[first + n])
        for axis, length, along in ((2, cube[3], 0), (0, cube[1], 1), (1, cube[2], 2)):
            cells = np.unique(where[axis])
            assert len(cells) == cells[-1] - cells[0] + 1
            start, stop = (at / length * (high - low)[n][along] for at in (cells[0], cells[-1] + 1))
            more = max(THINNEST - (stop - start), 0) / 2
            expected = max(start - more, 0), min(stop + more, (high - low)[n][along])
            np.testing.assert_allclose(box[along], expected, atol=LIFT)


def states(figure):
    """Every state that a button or a step reaches: (method, G, args)."""
    buttons = [b for menu in figure.layout.updatemenus for b in menu.buttons if b.method != "skip"]
    for button, method in zip(buttons, nv.METHODS, strict=True):
        assert button.label.endswith(nv.METHODS[method].label) or method == "layer"
        yield method, None, button.args
    for step in figure.layout.sliders[0].steps if figure.layout.sliders else ():
        yield "group", int(step.label), step.args


def pooling_of(method, groups, shape):
    row = nv.METHODS[method]
    return nv.pooling(method, shape, (groups or fitting_num_groups(row, shape)) if row.has_groups else None)


@st.composite
def tensors(draw):
    """(shape, method, num_groups, index)."""
    rank = draw(st.integers(2, 5))
    most = {2: 40, 3: 40, 4: 12, 5: 5}[rank]
    spatial = [draw(st.integers(1, most)) for _ in range(rank - 2)]
    shape = (draw(st.integers(1, 11)), draw(st.integers(1, 70)), *spatial)
    method = draw(st.sampled_from(list(nv.METHODS)))
    row = nv.METHODS[method]
    groups = draw(st.sampled_from(nv.divisors(shape[row.grouped_axis]))) if row.has_groups else None
    index = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return shape, method, groups, index


@settings(max_examples=40, deadline=None)
@given(tensors())
def test_what_is_lit_is_the_set(tensor):
    shape, method, groups, index = tensor
    figure = nv.cube(np.zeros(shape, np.float32), method, groups, index=index)
    assert figure.layout.scene.annotations[0].text.endswith(f" = {index[0] // 8 * 8}")
    check_lit(figure, nv.pooling(method, shape, groups), index)


@settings(max_examples=15, deadline=None)
@given(tensors())
def test_every_state_lights_its_set(tensor):
    shape, method, groups, index = tensor
    figure = nv.cube(np.zeros(shape, np.float32), method, groups, index=index)
    for name, G, (data, _, traces) in states(figure):
        assert list(traces) == [LIT]
        lit = {axis: data[axis][0] for axis in "xyz"}
        assert {len(values) for values in lit.values()} == {len(figure.data[LIT].x)}
        check_lit(figure, pooling_of(name, G or (groups if name == method else None), shape), index, lit)


def seen(figure, points):
    """Pixels of the scene where plotly's camera sees points in space: half the height is one unit of the aspect."""
    layout = figure.layout
    width = layout.width - layout.margin.l - layout.margin.r
    height = layout.height - layout.margin.t - layout.margin.b
    camera = layout.scene.camera
    eye, up = np.array([camera.eye[axis] for axis in "xyz"]), (0, 0, 1)
    assert (camera.projection.type, camera.center.x, camera.up.x) == ("orthographic", None, None)
    ranges = np.array([layout.scene[f"{axis}axis"].range for axis in "xyz"])
    aspect = np.array([layout.scene.aspectratio[axis] for axis in "xyz"])
    at = (np.asarray(points, float) - ranges.mean(axis=1)) / (ranges[:, 1] - ranges[:, 0]) * aspect
    ahead = -eye / np.linalg.norm(eye)
    right = np.cross(ahead, up) / np.linalg.norm(np.cross(ahead, up))
    return np.array([width / 2, height / 2]) + height / 2 * np.stack([at @ right, -at @ np.cross(right, ahead)], axis=1)


@settings(max_examples=40, deadline=None)
@given(tensors(), st.integers(320, 1400))
def test_cubes_stand_where_the_explorer_draws_them(tensor, width):
    """The camera sees every corner, line and set where the still picture of that size has it."""
    shape, method, groups, index = tensor
    figure = nv.cube(np.zeros(shape, np.float32), method, groups, index=index, width=width)
    view = geometry.view_of(shape, {"view": "samples", "index": index})
    size = {"width": width, "height": figure.layout.height - figure.layout.margin.t - figure.layout.margin.b}
    frame = geometry.make_frame(view, size)
    points = np.stack([figure.data[OTHER][axis] for axis in "xyz"], axis=1).reshape(-1, 8, 3)
    lit = np.stack([figure.data[LIT][axis] for axis in "xyz"], axis=1).reshape(-1, 8, 3)
    # Corners are numbered by bits: 1 for the far end of x, 2 of y, 4 of z; the three faces that are in sight.
    quads = {"top": (4, 5, 7, 6), "front": (4, 5, 1, 0), "side": (5, 7, 3, 1)}
    for k in range(len(view.solids)):
        for face, expected in geometry.faces(frame, k, [(0, n) for n in view.cells]).items():
            np.testing.assert_allclose(seen(figure, points[k][list(quads[face])]), expected, atol=0.05)
    cube = geometry.cube_shape(shape)
    block = geometry.ranges_of(geometry.sets_of(method, cube, groups), geometry.to_cube(index, shape))
    box = view.box(block, nv.METHODS[method], cube[3])
    reached = [k for k, n in enumerate(view.solids) if block[0][0] <= n < block[0][1]]
    for k, points in zip(reached, lit, strict=False):  # the rest of the mesh is empty
        for face, expected in geometry.visible_faces(frame, k, box).items():
            # A thin set is drawn thicker, so that it can be seen.
            np.testing.assert_allclose(seen(figure, points[list(quads[face])]), expected, atol=2)
    expected = np.array([geometry.grid_lines(frame, k, view.bins) for k in range(len(view.solids))]).reshape(
        -1, 1, 2, 2
    )
    lines = np.stack([figure.data[GRID][axis] for axis in "xyz"], axis=1).reshape(-1, 6, 3)[:, :5]
    loops = seen(figure, lines.reshape(-1, 3)).reshape(-1, 5, 2)
    assert len(expected) == 2 * len(loops)
    # Two sides of each loop, in one direction or the other; a line stands off the face by less than a pixel.
    sides = np.stack([loops[:, :-1], loops[:, 1:]], axis=2).repeat(2, axis=0)
    far = np.minimum(*(np.abs(each - expected).max(axis=(2, 3)) for each in (sides, sides[:, :, ::-1])))
    assert (far.min(axis=1) < 1).all()


@pytest.mark.parametrize("width", [320, 560, 900, 1200])
@pytest.mark.parametrize("shape", [(3, 8), (1, 8, 10), (9, 8, 12, 9), (4, 16, 12, 12), (2, 8, 3, 6, 7)])
def test_cubes_are_those_of_the_still_picture(shape, width):
    """The fronts in the SVG of a picture with that much room, up to a shift."""
    figure = nv.cube(np.zeros(shape), width=width)
    svg = picture.still(*validation.start(np.zeros(shape), {}), width=width + 2 * picture.EDGE).svg()
    (d,) = re.findall(r'<path class="nvp-f-front"[^>]* d="([^"]+)"', svg)
    fronts = []
    for part in d.removesuffix("z").split("z"):
        steps = [float(v) for v in re.findall(r"-?[\d.]+", part)]
        fronts.append(np.cumsum(np.reshape(steps, (-1, 2)), axis=0))
    points = np.stack([figure.data[OTHER][axis] for axis in "xyz"], axis=1).reshape(-1, 8, 3)
    drawn = np.array([seen(figure, box[[4, 5, 1, 0]]) for box in points])
    shift = drawn[0, 0] - fronts[0][0]
    np.testing.assert_allclose(drawn - shift, fronts, atol=0.25)


@pytest.mark.parametrize("shape", [(3, 8), (1, 8, 10), (9, 8, 12, 9), (2, 8, 3, 6, 7), (2, 700), (32, 256, 14, 14)])
def test_the_set_stands_off_the_other_cells(shape):
    """At equal depth plotly would draw a mixture of both."""
    figure = nv.cube(np.zeros(shape), "layer")
    low, high = corners(figure.data[OTHER])
    for sample, box in lit_boxes(figure).items():
        for (start, stop), length in zip(box, (high - low)[sample], strict=True):
            assert start < -0.05
            assert stop > length + 0.05


@pytest.fixture
def figure():
    return nv.cube(nv.samples.activations(), index=(1, 6, 6, 6))


def after(figure, args):
    """The figure as plotly would leave it after a button: restyle the lit mesh, then relayout."""
    data, layout, _ = args
    then = copy.deepcopy(figure)
    then.data[LIT].update({key: value[0] for key, value in data.items()})
    for path, value in layout.items():
        # plotly's own paths; buttons[3].label and the like are checked by assigning to them.
        at = then.layout
        *parents, last = path.replace("[", ".").replace("]", "").split(".")
        for part in parents:
            at = at[int(part)] if part.isdigit() else at[part]
        at[last] = value
    return then


def test_a_button_leaves_what_cube_draws(figure):
    """Pressing a button or moving the slider gives the figure that Python draws for that choice."""
    x = nv.samples.activations()
    for method, G, args in states(figure):
        pressed = after(figure, args)
        groups = (G or 4) if method == "group" else None
        drawn = nv.cube(x, method, groups, index=(1, 6, 6, 6))
        for axis in "xyz":
            assert pressed.data[LIT][axis] == drawn.data[LIT][axis]
        assert pressed.data[LIT].name == drawn.data[LIT].name
        assert pressed.layout.title == drawn.layout.title
        for menu, other in zip(pressed.layout.updatemenus, drawn.layout.updatemenus, strict=True):
            assert [b.label for b in menu.buttons] == [b.label for b in other.buttons]
            assert menu.active == other.active
        assert pressed.layout.scene.annotations == drawn.layout.scene.annotations
        assert pressed.layout.sliders[0].active == drawn.layout.sliders[0].active
        assert pressed.layout.sliders[0].currentvalue == drawn.layout.sliders[0].currentvalue


def test_slider_has_the_divisors(figure):
    slider = figure.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["1", "2", "4", "8", "16"]
    assert (slider.active, slider.currentvalue.prefix) == (2, "Groups G = ")
    ends = {a.text: (a.x, a.xanchor) for a in figure.layout.annotations}
    assert ends == {"Layer Norm's statistics": (0, "left"), "Instance Norm's statistics": (1, "right")}


@pytest.mark.parametrize(
    ("method", "active", "prefix"),
    [
        ("batch", 2, "Batch Norm has no groups. Group Norm: G = "),
        ("layer", 0, "Layer Norm's statistics are Group Norm's with G = "),
        ("instance", 4, "Instance Norm's statistics are Group Norm's with G = "),
        ("positional", 2, "Positional Layer Norm has no groups. Group Norm: G = "),
        ("per_head", 2, "Per-Head Layer Norm cuts the channels of each position. Group Norm: G = "),
        ("ghost", 2, "Ghost Batch Norm cuts the batch, not the channels. Group Norm: G = "),
    ],
)
def test_slider_beside_another_method(method, active, prefix):
    slider = nv.cube(nv.samples.activations(), method).layout.sliders[0]
    assert (slider.active, slider.currentvalue.prefix) == (active, prefix)


def test_one_channel_needs_no_slider():
    figure = nv.cube(np.zeros((2, 1, 3, 3)), "instance")
    assert not figure.layout.sliders
    assert not any("sliders" in path for _, _, args in states(figure) for path in args[1])


def test_the_pressed_button_is_marked_by_more_than_colour(figure):
    main, more = figure.layout.updatemenus
    assert [button.label[0] for button in main.buttons] == ["○", "○", "○", "●"]
    assert (main.active, more.active, more.buttons[0].label) == (3, 0, "More methods")
    main, more = nv.cube(nv.samples.activations(), "frn").layout.updatemenus
    assert [button.label[0] for button in main.buttons] == ["○"] * 4
    assert (main.active, more.buttons[more.active].label) == (-1, "Filter Response Norm")


def test_channel_axis_and_index_in_the_order_n_c_spatial():
    x = np.zeros((2, 5, 7, 6), np.float32)
    figure = nv.cube(x, "instance", channel_axis=-1, index=(1, 4, 0, 0))
    assert figure.layout.title.subtitle.text.startswith("The set of cell (1, 4, 0, 0), one of 12 sets: ")
    check_lit(figure, nv.pooling("instance", (2, 6, 5, 7)), (1, 4, 0, 0))


def test_meshes_are_whole(figure):
    for trace in figure.data[:2]:
        vertices = len(trace.x)
        assert vertices == 8 * 4
        assert len(trace.i) == len(trace.j) == len(trace.k) == len(trace.facecolor) == 12 * 4
        assert max(*trace.i, *trace.j, *trace.k) == vertices - 1
        # Every box is closed: each edge of each triangle is shared by exactly two.
        triangles = zip(trace.i, trace.j, trace.k, strict=True)
        sides = Counter(frozenset(side) for t in triangles for side in combinations(t, 2))
        assert set(sides.values()) == {2}


def test_everything_lies_within_the_axes(figure):
    """plotly cuts off what does not, and what lies on the very end."""
    scene = figure.layout.scene
    for trace in figure.data:
        for axis in "xyz":
            low, high = scene[f"{axis}axis"].range
            values = np.array([v for v in trace[axis] if v is not None])
            assert low + 1 < values.min()
            assert values.max() < high - 1


def test_grid_has_a_line_for_every_boundary(figure):
    """11 + 15 + 11 loops of 5 points and a gap, for each of 4 samples."""
    for axis in "xyz":
        assert figure.data[GRID][axis].count(None) == 4 * (11 + 15 + 11)
        assert len(figure.data[GRID][axis]) == 6 * 4 * (11 + 15 + 11)


def test_the_camera_is_orthographic_and_the_template_has_the_colours(figure):
    assert figure.layout.scene.camera.projection.type == "orthographic"
    assert figure.layout.paper_bgcolor is None
    assert figure.layout.font.color is None
    assert figure.layout.title.font.color is None


def test_json_is_small_and_plain(figure):
    text = figure.to_json()
    assert len(text) < 65_000
    assert "bdata" not in json.dumps(json.loads(text)["layout"])


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    figure = nv.cube(torch.zeros(2, 8, 3, 3, dtype=torch.bfloat16, requires_grad=True))
    assert figure.layout.title.text == "<b>Group Norm</b>, G = 4"


def test_plotly_is_imported_by_cube_alone():
    code = (
        "import sys, normviz; normviz.samples.activations(); assert 'plotly' not in sys.modules; "
        "normviz.cube; assert 'plotly' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


IN_IPYTHON = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
import sys, plotly.io as pio, normviz as nv, numpy as np
figure = nv.cube(np.zeros((2, 4, 3, 3)))
for pio.renderers.default in ("plotly_mimetype", "notebook_connected", "plotly_mimetype+notebook_connected", "json"):
    with capture_output() as shown:
        shell.display_formatter.format(figure)
    print(*sorted(shown.outputs[-1].data))
pio.renderers.render_on_display = False
with capture_output() as shown:
    shell.display_formatter.format(figure)
print(len(shown.outputs), shown.stdout[:7])
pio.renderers.render_on_display = True
sys.modules["nbformat"] = pio._renderers.nbformat = None
for pio.renderers.default in ("plotly_mimetype", "plotly_mimetype+notebook_connected"):
    with capture_output() as shown:
        data, _ = shell.display_formatter.format(figure)
    print(*sorted(data or shown.outputs[-1].data))
"""


def test_words_stand_beside_a_figure_where_the_chosen_renderer_adds_no_html():
    done = subprocess.run([sys.executable, "-c", IN_IPYTHON], capture_output=True, text=True, check=True)
    plotly = "application/vnd.plotly.v1+json"
    *shown, hidden, alone, both = done.stdout.splitlines()
    assert shown == [f"{plotly} text/plain", "text/html", f"{plotly} text/html", "application/json"]
    assert hidden == "0 Figure("
    # Without nbformat, as in Pyodide.
    assert (alone, both) == (f"{plotly} text/plain", f"{plotly} text/html text/plain")


def test_a_figure_stays_plotlys_figure():
    figure = nv.cube(np.zeros((2, 4, 3, 3)))
    assert isinstance(figure, go.Figure)
    assert isinstance(go.FigureWidget(figure), go.FigureWidget)
    assert pickle.loads(pickle.dumps(figure)) == figure
