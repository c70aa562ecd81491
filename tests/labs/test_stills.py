"""The still pictures of the labs show today's figures: `make pictures` draws them anew."""

import re
from html import unescape
from importlib.resources import files
from xml.etree import ElementTree

import pytest

import normviz as nv
from normviz.labs.stills import still

REMEDY = "the still picture has other words than the figure: run `make pictures`"


def words(markup):
    """Return the words of a text or of an SVG in their order, without tags.

    A rounding error such as 4e-16 depends on the machine, so it counts as "e".
    """
    visible = re.sub(r"<(style|defs|desc)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    text = re.sub(r"<[^<>]+>", " ", visible)
    # Plotly and svgo put their tags between letters, as for a bold or a raised one.
    return re.sub(r"\s", "", re.sub(r"\b\d\S*e-\d+", "e", unescape(text)))


def stated(figure):
    """Return the texts that a figure shows at first: title, axes, notes, names and numbers at marks, slider."""
    layout = figure.layout
    yield layout.title.text
    yield from (
        axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.visible is not False
    )
    yield from (note.text for note in layout.annotations if note.name != "caption")
    yield from (slider.currentvalue.prefix + slider.steps[slider.active].label for slider in layout.sliders)
    for trace in figure.data:
        if trace.visible is not False and "text" in (getattr(trace, "mode", None) or ""):
            yield from trace.text
        if trace.visible is not False and trace.name and trace.showlegend is True and layout.showlegend is not False:
            yield trace.name


@pytest.fixture(scope="module", params=nv.labs.__all__)
def lab(request):
    return request.param


def test_a_still_picture_has_the_words_of_todays_figure(lab):
    figure, svg = getattr(nv.labs, lab).figure(), still(lab)
    shown = words(svg)
    assert [text for text in stated(figure) if text and words(text) not in shown] == [], REMEDY
    [description] = re.findall("<desc>(.*?)</desc>", svg)
    wanted = f"{figure.layout.meta['alt']} {figure.layout.meta['caption']}"
    assert words(unescape(description)) == words(wanted), REMEDY


def test_it_is_an_svg_that_loads_nothing_and_can_stand_beside_others(lab):
    svg = still(lab)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert not re.search(r"<script|\bon\w+=|href=\"(?!#|data:image/)", svg)
    assert all(name.startswith(f"{lab}_svg__") for name in re.findall(r'\bid="([^"]+)"', svg))


def test_the_still_pictures_are_small():
    sizes = {lab: len(still(lab).encode()) for lab in nv.labs.__all__}
    assert max(sizes.values()) < 60_000, sizes
    assert sum(sizes.values()) < 320_000, sizes


def test_every_lab_has_one_and_nothing_else_has():
    held = {file.name for file in (files("normviz.labs") / "stills").iterdir()}
    assert held == {f"{lab}.svg" for lab in nv.labs.__all__}
    with pytest.raises(ValueError, match=r"^unknown lab 'foldin'; did you mean 'folding'\?"):
        still("foldin")
