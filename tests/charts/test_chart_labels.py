"""The names at the ends of lines: apart, in the colour of the line, and right in every step."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normviz.charts import chart
from normviz.charts.chart_labels import spread
from normviz.explorer.plotly_figure import Figure, plain

ROOM = chart.Room(760)
LABELS = st.lists(st.tuples(st.floats(0, 400), st.floats(5, 40)), min_size=1, max_size=8)


@given(LABELS)
def test_labels_do_not_overlap_and_keep_their_order(labels):
    centres, heights = zip(*labels, strict=True)
    places = spread(centres, heights, 0, 400)
    order = sorted(range(len(labels)), key=lambda k: centres[k])
    for a, b in pairwise(order):
        assert places[b] - places[a] >= (heights[a] + heights[b]) / 2 - 1e-6
    assert min(p - h / 2 for p, h in zip(places, heights, strict=True)) >= -1e-6
    if sum(heights) <= 400:
        assert max(p + h / 2 for p, h in zip(places, heights, strict=True)) <= 400 + 1e-6


def test_labels_with_room_stay_at_their_lines():
    assert spread([300, 10, 100], [20, 20, 20], 0, 400) == [300, 10, 100]


def drawn(*lines, log=False, steps=None, ends=None, buttons=None):
    """A finished chart of these lines, and its trace of labels."""
    figure = Figure()
    for k, y in enumerate(lines):
        figure.add_scatter(x=[1, 2, 3], y=y, name=f"line {k}", **chart.line(k, chart.NAMES[k]))
    figure.update_yaxes(range=[-1, 2] if log else [0, 10], type="log" if log else "linear")
    if steps:
        every = [chart.step(str(k), {"y": y}, range(len(lines))) for k, y in enumerate(steps)]
        chart.add_slider(figure, every, "k = ")
    if buttons:
        every = [chart.step(str(k), {"visible": v}, range(len(lines))) for k, v in enumerate(buttons)]
        chart.add_buttons(figure, every, "which")
    ends = ends or [chart.Ends(range(len(lines)))]
    figure = chart.finish(figure, "Title", "Caption", "Alt", room=ROOM, ends=ends)
    return figure, figure.data[len(lines)]


def words(texts):
    return [plain(text).replace("\u00a0", "") for text in texts]


def test_each_line_has_its_name_in_its_colour_and_the_legend_has_none():
    figure, labels = drawn([1, 2, 3], [1, 5, 8])
    assert words(labels.text) == ["line 0", "line 1"]
    assert [chart.COLOURS["blue"] in labels.text[0], chart.COLOURS["orange"] in labels.text[1]] == [True, True]
    assert (labels.x, labels.y) == ((3, 3), (3, 8))
    assert [trace.showlegend for trace in figure.data] == [False] * 3
    assert figure.layout.xaxis.domain[1] < 0.95  # room for the names


def test_names_that_would_overlap_are_moved_apart():
    _, labels = drawn([1, 5, 5], [9, 5, 5.1])
    assert labels.y[0] < 5
    assert labels.y[1] > 5.1
    assert (labels.y[1] - labels.y[0]) * 34 == pytest.approx(15, rel=0.01)  # 340 pixels for 10, lines of 15


@pytest.mark.parametrize(("other", "said"), [([1, 2, 3], "(the same)"), ([1, 2.1, 3], "(almost the same)")])
def test_lines_that_coincide_share_a_label_that_says_so(other, said):
    _, labels = drawn([1, 2, 3], other, [3, 2, 1])
    assert words(labels.text) == [f"line 0, line 1 {said}", "line 2"]


def test_lines_that_only_meet_at_the_end_have_a_label_each():
    _, labels = drawn([1, 2, 3], [9, 9, 3])
    assert words(labels.text) == ["line 0", "line 1"]


def test_a_line_that_ends_early_has_its_name_there_and_an_empty_one_has_none():
    _, labels = drawn([1, 4, None], [None] * 3, [0.01, 20, 70], log=True)
    assert words(labels.text) == ["line 0", "line 2"]
    assert labels.x == (2, 3)
    assert labels.y == pytest.approx((4, 70), rel=1e-3)


def test_the_names_follow_the_slider():
    figure, labels = drawn([1, 2, 3], [1, 5, 8], steps=[[[1, 2, 3], [1, 5, 8]], [[1, 2, 9], [1, 2, 9]]])
    first, second = (step.args for step in figure.layout.sliders[0].steps)
    assert list(first[2]) == list(second[2]) == [0, 1, 2]
    assert list(first[0]["y"][2]) == list(labels.y) == [3, 8]
    assert words(second[0]["text"][2]) == ["line 0, line 1 (the same)"]
    assert list(second[0]["text"][:2]) == [None, None]  # the lines' own texts stay


def test_the_names_are_shown_with_their_lines():
    ends = [chart.Ends([0]), chart.Ends([1], span=[0, 20])]
    figure, _ = drawn([1, 2, 3], [1, 5, 18], ends=ends, buttons=[[True, False], [False, True]])
    names = figure.data[2:]
    assert [trace.visible for trace in names] == [True, False]
    assert [list(b.args[0]["visible"]) for b in figure.layout.updatemenus[0].buttons] == [
        [True, False, True, False],
        [False, True, False, True],
    ]


def test_a_step_may_change_the_range_too():
    figure = Figure().add_scatter(x=[1, 2], y=[1, 2], name="a").add_scatter(x=[1, 2], y=[1, 2.1], name="b")
    steps = [chart.step("all", {"y": [[1, 2], [1, 9]]}, [0, 1], yaxis__range=[0, high]) for high in (10, 1000)]
    chart.add_slider(figure, steps, "k = ")
    figure = chart.finish(figure, "Title", "Caption", "Alt", room=ROOM, ends=[chart.Ends([0, 1])])
    near, far = (step.args[0] for step in figure.layout.sliders[0].steps)
    assert len(near["text"][2]) == 2
    assert words(far["text"][2]) == ["a, b (almost the same)"]


def test_an_axis_without_a_range_is_refused():
    figure = Figure().add_scatter(x=[1, 2], y=[1, 2], name="a")
    with pytest.raises(ValueError, match=r"^the vertical axis of lines with names at their ends needs a range$"):
        chart.finish(figure, "Title", "Caption", "Alt", room=ROOM, ends=[chart.Ends([0])])
