"""Iterators, texts without end, deep lists and enormous views: one short sentence, or the same result as usual."""

import json
import re

import numpy as np
import pytest

import normviz as nv
from normviz.book import chart
from normviz.charts.chart_html import to_html

X = np.zeros((4, 8, 4, 4))
HUGE = np.broadcast_to(np.float32(1), (10**6, 10**6, 10**3, 10**3))
SHOWN = {
    "Explorer": nv.Explorer,
    "show": nv.show,
    "compare_methods": nv.compare_methods,
    "worksheet": nv.worksheet,
    "to_html": nv.to_html,
}


def deep():
    nested = []
    for _ in range(5000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("make", [iter, lambda index: map(int, index)])
def test_every_method_gets_an_index_that_can_be_read_once(make):
    index = (1, 2, 1, 1)
    assert nv.worksheet(X.shape, index=make(index)) == nv.worksheet(X.shape, index=index)
    compared = nv.compare_methods(X, ["batch", "group"], index=make(index))
    assert [state["index"] for state in compared.states] == [index, index]


@pytest.mark.parametrize("value", ["x" * 10**6, deep(), [1] * 10**6], ids=["text", "deep", "long"])
@pytest.mark.parametrize(
    ("subject", "call"),
    [
        ("num_groups", lambda v: nv.quiz(num_groups=v)),
        ("num_groups", lambda v: nv.quiz(method="batch", num_groups=v)),
        ("num_groups", lambda v: nv.quiz(method="group", num_groups=v)),
        ("num_groups", lambda v: nv.worksheet(methods=["batch"], num_groups=v)),
        ("num_groups", lambda v: nv.worksheet(methods=["group"], num_groups=v)),
        ("num_groups", lambda v: nv.compare_methods(X, ["batch", "layer"], num_groups=v)),
        ("num_groups", lambda v: nv.show(X, "batch", num_groups=v)),
        ("method", lambda v: nv.cube(X, v)),
        ("num_groups", lambda v: nv.cube(X, num_groups=v)),
        ("width", lambda v: nv.cube(X, width=v)),
        ("index", lambda v: nv.cube(X, index=v)),
        ("index", lambda v: nv.worksheet(index=v)),
        ("shape", lambda v: nv.worksheet((v, 8))),
        ("num_samples", nv.samples.activations),
        ("num_samples", nv.samples.photographs),
    ],
)
def test_a_wrong_argument_is_named_in_one_short_sentence(subject, call, value):
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        call(value)
    assert len(str(caught.value)) < 500
    assert subject in str(caught.value) or isinstance(caught.value, IndexError)


@pytest.mark.parametrize("width", [10**400, 10**5000, float("inf"), np.complex64(900), -1, True], ids=type)
def test_a_width_of_a_cube_is_a_number_of_pixels(width):
    with pytest.raises(ValueError, match=r"^width must be a number of pixels from 320 to 100000, not "):
        nv.cube(X, "batch", width=width)


def test_a_number_of_samples_with_thousands_of_digits_is_refused_by_name():
    with pytest.raises(ValueError, match=r"num_samples=.* is not between 1 and"):
        nv.samples.activations(10**5000)


@pytest.mark.parametrize("make", [nv.Explorer, nv.show, nv.worksheet])
def test_a_title_without_a_text_is_refused(make):
    with pytest.raises(TypeError, match=r"^title must be text, not "):
        make(X, title=deep())


def test_half_a_character_in_a_chart_becomes_a_sign_that_can_be_written():
    half = "a\ud800"
    layout = {"title": {"text": half}, "meta": {"alt": half}}
    for text in (chart({"data": [], "layout": layout}), chart({"data": [{"name": half}], "layout": {"title": half}})):
        assert 'aria-label="a\ufffd: chart"' in text.encode().decode()
        data = re.search('<script type="application/json">(.*?)</script>', text)
        assert half in json.dumps(json.loads(data[1]), ensure_ascii=False)
    figure = nv.labs.batch_size.figure()
    figure.layout.title.text, figure.layout.meta = half, {"alt": half}
    page = to_html(figure, full_html=True, include_plotlyjs=False).encode().decode()
    assert "<title>a\ufffd</title>" in page
    assert 'aria-label="a\ufffd"' in page


@pytest.mark.parametrize("name", SHOWN)
def test_an_enormous_view_is_refused_with_its_size(name):
    with pytest.raises(ValueError, match=r"^x of shape .* has 1000000000000000000 cells; at most 68719476736 can be"):
        SHOWN[name](HUGE)


def test_another_enormous_tensor_and_an_enormous_shape_are_refused():
    explorer = nv.Explorer(X)
    with pytest.raises(Exception, match="has 1000000000000000000 cells; at most"):
        explorer.x = HUGE
    assert explorer.x is X
    with pytest.raises(ValueError, match="has 1000000000000000000 cells; at most"):
        nv.worksheet(HUGE.shape)


def test_more_channels_than_fit_into_memory_are_refused_with_the_shape(monkeypatch):
    view = np.broadcast_to(np.float32(1), (10**9, 60))
    monkeypatch.setattr("normviz.explorer.scene.moments", lambda *_, **__: np.empty(1 << 56))
    with pytest.raises(MemoryError, match=r"^x of shape \(1000000000, 60\) is too large for the memory; give a"):
        nv.show(view)
