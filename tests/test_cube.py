"""The cube as a plotly Figure: numbers, not pictures. What is lit is what Pooling says, in every state."""

import copy
import json
import math
import subprocess
import sys
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import normviz as nv
from normviz.core.pooling import fitting_num_groups

OTHER, LIT, GRID, OUTLINE = range(4)
MENU, SLIDER = "updatemenus", "sliders"


def corners(trace):
    """The boxes of a mesh as arrays (low, high), each (boxes, 3)."""
    points = np.stack([np.asarray(trace[axis], float) for axis in "xyz"], axis=1).reshape(-1, 8, 3)
    return points.min(axis=1), points.max(axis=1)


def lit_cells(figure, shape, lit=None):
    """What is lit, read off the two meshes alone: {sample drawn: ((c0, c1), (h0, h1), (w0, w1))} in drawn cells."""
    low, high = corners(figure.data[OTHER])
    height = math.prod(shape[2:-1])
    drawn = [-(-n // -(-n // 32)) for n in (shape[-1] if len(shape) > 2 else 1, shape[1], height)]
    found = {}
    for a, b in zip(*corners(lit or figure.data[LIT]), strict=True):
        if (b - a).max() < 1e-3:
            continue
        # The sample whose box holds the middle of this one.
        (sample,) = np.flatnonzero(((low < (a + b) / 2) & ((a + b) / 2 < high)).all(axis=1))
        start, stop = ((v - low[sample]) / (high - low)[sample] * drawn for v in (a, b))
        np.testing.assert_allclose(start, np.round(start), atol=0.1)
        np.testing.assert_allclose(stop, np.round(stop), atol=0.1)
        (w0, c0, z0), (w1, c1, z1) = np.round(start).astype(int), np.round(stop).astype(int)
        found[int(sample)] = ((c0, c1), (drawn[2] - z1, drawn[2] - z0), (w0, w1))
    return found


def expected_cells(pooling, index, first, drawn):
    """The same from the labels of Pooling, one cell of x after the other."""
    shape = pooling.shape
    inside = (pooling.labels() == pooling.set_number(index)).reshape(
        shape[0], shape[1], math.prod(shape[2:-1]), shape[-1] if len(shape) > 2 else 1
    )
    found = {}
    for n in range(first, first + drawn):
        if inside[n].any():
            bins = [-(-length // 32) for length in inside.shape[1:]]
            where = [np.unique(at // size) for at, size in zip(np.nonzero(inside[n]), bins, strict=True)]
            assert all(len(at) == at[-1] - at[0] + 1 for at in where)
            found[n - first] = tuple((at[0], at[-1] + 1) for at in where)
    return found


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
    first = int(figure.layout.scene.annotations[0].text.rpartition(" = ")[2])
    drawn = len(corners(figure.data[OTHER])[0])
    assert drawn == min(shape[0], 8)
    assert first <= index[0] < first + drawn
    now = nv.pooling(method, shape, groups)
    assert lit_cells(figure, shape) == expected_cells(now, index, first, drawn)


@settings(max_examples=15, deadline=None)
@given(tensors())
def test_every_state_lights_its_set(tensor):
    shape, method, groups, index = tensor
    figure = nv.cube(np.zeros(shape, np.float32), method, groups, index=index)
    first = int(figure.layout.scene.annotations[0].text.rpartition(" = ")[2])
    for name, G, (data, _, traces) in states(figure):
        assert list(traces) == [LIT]
        lit = {axis: data[axis][0] for axis in "xyz"}
        assert {len(values) for values in lit.values()} == {len(figure.data[LIT].x)}
        now = pooling_of(name, G or (groups if name == method else None), shape)
        assert lit_cells(figure, shape, lit) == expected_cells(now, index, first, min(shape[0], 8))


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
    assert ends == {"Layer Norm’s statistics": (0, "left"), "Instance Norm’s statistics": (1, "right")}


@pytest.mark.parametrize(
    ("method", "active", "prefix"),
    [
        ("batch", 2, "Batch Norm has no groups. Group Norm: G = "),
        ("layer", 0, "Layer Norm’s statistics are Group Norm’s with G = "),
        ("instance", 4, "Instance Norm’s statistics are Group Norm’s with G = "),
        ("positional", 2, "Positional Layer Norm has no groups. Group Norm: G = "),
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
    assert lit_cells(figure, (2, 6, 5, 7)) == {1: ((4, 5), (0, 5), (0, 7))}


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
            assert low + 0.5 < values.min()
            assert values.max() < high - 0.5


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
    assert len(text) < 60_000
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
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
