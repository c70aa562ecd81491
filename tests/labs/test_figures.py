"""The charts of the labs: steps that change something, the numbers of measure(), a caption, an alt text."""

import copy
import json
import pickle
from colorsys import rgb_to_hsv
from pathlib import Path

import numpy as np
import pytest

import normviz as nv
from normviz.charts import chart, chart_html
from normviz.explorer.constants import CONSTANTS
from normviz.explorer.plotly_figure import Figure, in_words, plain
from tests.labs.cases import LABS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module", params=LABS)
def lab(request):
    return request.param


@pytest.fixture(scope="module")
def figure(lab):
    return getattr(nv.labs, lab).figure(**LABS[lab].quick)


def steps(figure):
    return figure.layout.sliders[0].steps if figure.layout.sliders else figure.layout.updatemenus[0].buttons


def test_it_has_words_where_nothing_draws_it(figure):
    """How IPython shows them is tested with the cube."""
    assert type(figure) is Figure
    words = in_words(figure).replace("\n", " ")
    assert plain(figure.layout.title.text) in words
    assert all(text in words for text in (figure.layout.meta["alt"], figure.layout.meta["caption"]))


def test_programs_know_it_as_a_figure_of_plotly_and_it_can_be_copied(figure):
    """shinywidgets reads the module of an object, and Streamlit that and the name of its class."""
    assert f"{figure.__module__}.{type(figure).__qualname__}" == "plotly.graph_objs._figure.Figure"
    for other in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        assert type(other) is Figure
        assert other == figure


def test_every_step_shows_something_else(lab, figure):
    shown = [json.dumps(step.args, sort_keys=True, default=list) for step in steps(figure)]
    assert len(shown) == len(set(shown)) == LABS[lab].steps
    for step in steps(figure):
        traces, layout, indices = step.args
        assert indices == [] or max(indices) < len(figure.data)
        assert all(len(values) == len(indices) for values in traces.values())
        assert all(isinstance(path, str) for path in layout)


def test_the_step_shown_first_is_what_the_traces_hold(lab, figure):
    active = figure.layout.sliders[0].active if figure.layout.sliders else 0
    changes, _, indices = steps(figure)[active].args
    for key, values in changes.items():
        for value, index in zip(values, indices, strict=True):
            if value is None:  # the trace stays as it is
                continue
            held = json.dumps(figure.data[index][key], default=_plain)
            assert json.loads(held) == json.loads(json.dumps(value, default=_plain)), (key, index)


def _plain(values):
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def test_caption_and_alt_text(figure):
    words = figure.layout.meta
    assert len(words["alt"]) > 80
    [caption] = [a for a in figure.layout.annotations if a.name == "caption"]
    assert caption.text.replace("<br>", " ") == words["caption"]
    assert chart_html.alt(figure) == words["alt"]
    assert f'aria-label="{words["alt"][:20]}' in chart_html.to_html(figure, include_plotlyjs=False)


def test_axes_are_named_and_the_figure_is_small(lab, figure):
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    shown = [axis for axis in axes if axis.visible is not False and axis.showticklabels is not False]
    assert len([axis for axis in shown if not axis.title.text]) <= LABS[lab].untitled_axes
    assert len(figure.to_json()) < LABS[lab].characters


def test_every_menu_and_slider_has_an_accessible_name(figure):
    assert all(menu.name for menu in figure.layout.updatemenus)
    assert all(slider.currentvalue.prefix.strip(" =:") for slider in figure.layout.sliders)


def test_numbers_are_those_measured():
    noise = nv.labs.batch_size.measure(draws=20)
    figure = nv.labs.batch_size.figure(draws=20)
    np.testing.assert_allclose(figure.data[0].y, noise.mean_error[:, 0], rtol=1e-3)
    np.testing.assert_allclose(steps(figure)[5].args[0]["y"][3], noise.var_error[:, 5], rtol=1e-3)

    result = nv.labs.train_eval.measure(steps=6, depth=2)
    figure = nv.labs.train_eval.figure(steps=6, depth=2)
    last = max(k for k, trace in enumerate(figure.data) if trace.name == "momentum 0.5")
    np.testing.assert_allclose(steps(figure)[4].args[0]["y"][last], result.gap[4, -1], rtol=1e-3)

    moved = nv.labs.coupling.measure().moved
    np.testing.assert_allclose(np.array(steps(nv.labs.coupling.figure())[3].args[0]["z"][0]), moved[:, 3], rtol=1e-3)


def luminance(colour):
    colour = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    channels = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark):
    layout = chart.template(dark).layout
    back = luminance(layout.paper_bgcolor)

    def against(colour):
        low, high = sorted((luminance(colour), back))
        return (high + 0.05) / (low + 0.05)

    assert against(layout.font.color) > 7
    assert all(against(colour) > 3.5 for colour in chart.COLOURS.values())


def test_the_colours_of_lines_are_the_hues_of_the_explorer():
    for line, hue in zip(CONSTANTS["lines"], CONSTANTS["hues"], strict=True):
        line_hue, hue_hue = (rgb_to_hsv(*(c / 255 for c in rgb))[0] for rgb in (line, hue))
        assert abs((line_hue - hue_hue + 0.5) % 1 - 0.5) < 0.04


def check_projected(figure, width, height, size):
    layout = figure.layout
    template = layout.template.layout
    assert (layout.width, layout.height, template.font.size) == (width, height, size)
    texts = [layout.title, template.xaxis.title, *layout.annotations, *layout.updatemenus]
    texts += [slider.currentvalue for slider in layout.sliders]
    assert min(text.font.size or size for text in texts) >= size
    assert [a for a in layout.annotations if a.name == "caption"] == []


@pytest.mark.parametrize(("width", "height", "size"), [(980, 670, 20), (1240, 670, 20), (1860, 1005, 30)])
def test_a_figure_for_a_projector_fits_the_screen(width, height, size):
    """1240 fits 1280 x 720, 980 fits 1024 x 768, and on a larger screen all grows."""
    check_projected(nv.labs.coupling.figure(width=width, presenter=True), width, height, size)


def test_for_a_projector_only_the_sizes_differ(lab, figure):
    """The lines, the steps and the words stay; two labs leave out what nobody could read from the last row."""
    shown = getattr(nv.labs, lab).figure(presenter=True, **LABS[lab].quick)
    check_projected(shown, 1240, 670, 20)
    left_out = {"memory": "scatter", "style": "bar"}.get(lab)
    assert [t.name for t in shown.data] == [t.name for t in figure.data if t.type != left_out]
    assert [step.label for step in steps(shown)] == [step.label for step in steps(figure)]
    assert shown.layout.meta == figure.layout.meta


@pytest.mark.parametrize("width", [320, 900])
def test_captions_are_broken_to_the_width(width):
    figure = nv.labs.coupling.figure(width=width)
    [caption] = [a.text for a in figure.layout.annotations if a.name == "caption"]
    assert max(map(len, caption.split("<br>"))) * chart.LETTER <= width
    assert figure.layout.width == width


def test_labs_are_found_by_name_and_an_unknown_one_is_not():
    assert set(LABS) == set(nv.labs.__all__) == set(dir(nv.labs))
    with pytest.raises(
        AttributeError, match=r"^module 'normviz.labs' has no attribute 'batchsize'; the labs: batch_size,"
    ):
        nv.labs.batchsize  # noqa: B018


@pytest.mark.skipif(not DOCS.is_dir(), reason="needs the documentation's sources")
@pytest.mark.parametrize(
    ("page", "entry"), [("look", "nv.labs.{}.figure("), ("reference", "automodule:: normviz.labs.{}")]
)
def test_every_lab_is_in_the_documentation(page, entry):
    text = (DOCS / page / "labs.md").read_text(encoding="utf-8")
    assert [name for name in LABS if entry.format(name) not in text] == []


def test_the_html_is_a_part_or_a_page_and_keeps_the_options():
    figure = nv.labs.published.figure()
    part = chart_html.to_html(figure, include_plotlyjs=False, post_script="window.after = '{plot_id}';", div_id="one")
    assert part.startswith('<figure aria-label="A chart of published numbers')
    assert part.count("normvizKeys.equip(") == 1
    assert "window.after = 'one'" in part
    assert chart_html.keys_script() in part
    whole = chart_html.to_html(figure, include_plotlyjs=False, full_html=True, config={"displaylogo": True})
    assert whole.startswith("<!doctype html>")
    assert "<title>At 2 images per GPU Batch Norm’s error is 11.1 points higher" in whole
    assert '"displaylogo": true' in whole
    assert '"showSendToCloud": false' in whole


def test_the_script_of_the_keys_is_small_and_loads_nothing():
    script = chart_html.keys_script()
    assert len(script) < 12_500
    assert max(map(len, script.splitlines())) <= 120
    assert "http" not in script
    assert "import" not in script.replace("importance", "")
    assert "</script" not in script
