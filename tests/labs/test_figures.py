"""What the charts of the labs hold: steps that change something, the numbers of measure(), a caption, alt text."""

import doctest
import json
from importlib import import_module

import numpy as np
import pytest

import normviz as nv
from normviz.labs import look

LABS = {
    "batch_size": {"draws": 20},
    "coupling": {},
    "numerics": {"offsets": [0, 1e3]},
    "published": {},
    "spectrum": {"shuffles": 2},
    "train_eval": {"steps": 6, "depth": 2},
}
STEPS = {"batch_size": 16, "coupling": 6, "numerics": 3, "published": 6, "spectrum": 5, "train_eval": 5}


@pytest.fixture(scope="module", params=LABS)
def lab(request):
    return request.param


@pytest.fixture(scope="module")
def figure(lab):
    return getattr(nv.labs, lab).figure(**LABS[lab])


def steps(figure):
    return figure.layout.sliders[0].steps if figure.layout.sliders else figure.layout.updatemenus[0].buttons


def test_every_step_shows_something_else(lab, figure):
    shown = [json.dumps(step.args, sort_keys=True, default=list) for step in steps(figure)]
    assert len(shown) == len(set(shown)) == STEPS[lab]
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
            held = json.dumps(figure.data[index][key], default=list)
            assert json.loads(held) == json.loads(json.dumps(value, default=list)), (key, index)


def test_caption_and_alt_text(figure):
    words = figure.layout.meta
    assert len(words["alt"]) > 80
    [caption] = [a for a in figure.layout.annotations if a.name == "caption"]
    assert caption.text.replace("<br>", " ") == words["caption"]
    assert look.alt(figure) == words["alt"]
    assert f'aria-label="{words["alt"][:20]}' in look.to_html(figure, include_plotlyjs=False)


def test_axes_are_named_and_the_figure_is_small(figure):
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    named = [axis for axis in axes if axis.title.text]
    assert len(axes) - len(named) <= 1  # the names of the methods need no title
    assert len(figure.to_json()) < 200_000


def test_numbers_are_those_measured():
    noise = nv.labs.batch_size.measure(draws=20)
    figure = nv.labs.batch_size.figure(draws=20)
    np.testing.assert_allclose(figure.data[0].y, noise.mean_error[:, 0], rtol=1e-3)
    np.testing.assert_allclose(steps(figure)[5].args[0]["y"][3], noise.var_error[:, 5], rtol=1e-3)

    result = nv.labs.train_eval.measure(steps=6, depth=2)
    figure = nv.labs.train_eval.figure(steps=6, depth=2)
    np.testing.assert_allclose(steps(figure)[4].args[0]["y"][-1], result.gap[4, -1], rtol=1e-3)

    moved = nv.labs.coupling.measure().moved
    np.testing.assert_allclose(np.array(steps(nv.labs.coupling.figure())[3].args[0]["z"][0]), moved[:, 3], rtol=1e-3)


def test_sources_stand_on_the_chart_of_published_numbers():
    figure = nv.labs.published.figure()
    for table, step in zip(nv.labs.published.measure().tables, steps(figure), strict=True):
        text = step.args[1]["annotations[0].text"]
        assert text.replace("<br>", " ").startswith(f"Source: {table.source}")
        assert ("secondary copy" in text) == (table.key == "channels")
    assert figure.layout.annotations[0].text == steps(figure)[0].args[1]["annotations[0].text"]
    hollow = [trace for trace in figure.data if any("open" in symbol for symbol in trace.marker.symbol)]
    assert [sum("open" in symbol for symbol in trace.marker.symbol) for trace in hollow] == [5]


def luminance(colour):
    colour = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    channels = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark):
    layout = look.template(dark).layout
    back = luminance(layout.paper_bgcolor)

    def against(colour):
        low, high = sorted((luminance(colour), back))
        return (high + 0.05) / (low + 0.05)

    assert against(layout.font.color) > 7
    assert all(against(colour) > 3 for colour in look.COLOURS.values())


@pytest.mark.parametrize("width", [320, 900])
def test_captions_are_broken_to_the_width(width):
    figure = nv.labs.coupling.figure(width=width)
    [caption] = [a.text for a in figure.layout.annotations if a.name == "caption"]
    assert max(map(len, caption.split("<br>"))) * look.LETTER <= width
    assert figure.layout.width == width


def test_labs_are_found_by_name_and_an_unknown_one_is_not():
    assert set(LABS) <= set(nv.labs.__all__) == set(dir(nv.labs))
    with pytest.raises(
        AttributeError, match=r"^module 'normviz.labs' has no attribute 'batchsize'; the labs: batch_size,"
    ):
        nv.labs.batchsize  # noqa: B018


@pytest.mark.parametrize("name", [*LABS, "look"])
def test_examples(name):
    module = import_module(f"normviz.labs.{name}")
    results = doctest.testmod(module)
    assert not results.failed
    assert results.attempted >= (1 if name == "look" else 2)
