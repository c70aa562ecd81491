"""The book's extension: what a chart becomes on a page, whatever stands in the figure's JSON."""

import json
from importlib.resources import files
from types import SimpleNamespace

import pytest

import normviz as nv
from normviz.book import EXTENSION, PLOTLY, Charts, chart
from normviz.inspect.audit.rules import RULES
from normviz.inspect.check.check import HINTS
from normviz.inspect.record.rules import RECORD_RULES
from tests.pages import HOSTILE, Reader

BREAKOUT = 'px"><img src=x onerror=alert(1)><i title="'


def figure_of(text):
    """The JSON that the page's script reads, and the style of the place of the chart."""
    reader = Reader(text)
    style = next(attributes["style"] for _, attributes in reader.tags if attributes.get("class") == "normviz-plot")
    return json.loads(reader.scripts[0]), style


def test_a_chart_of_the_labs_is_kept_as_it_is():
    figure = json.loads(nv.labs.coupling.figure().to_json())
    found, style = figure_of(chart(figure))
    assert found == {key: figure[key] for key in ("data", "layout")}
    assert style == f"min-height:{figure['layout']['height']}px;width:{figure['layout']['width']}px"


@pytest.mark.parametrize("value", [HOSTILE, BREAKOUT, "1;color:red", [HOSTILE], {"a": BREAKOUT}, True, None, 1e400, -3])
@pytest.mark.parametrize("key", ["height", "width", "title", "meta", "title.text", "meta.alt"])
def test_no_value_of_a_figure_leaves_its_place(key, value):
    """Sizes are numbers or left out; a title is text; the page has the same elements whatever they hold."""
    outer, _, inner = key.partition(".")
    layout = {outer: {inner: value} if inner else value}
    text = chart({"data": [], "layout": layout})
    tags = [tag for tag, _ in Reader(text).tags]
    assert tags == ["div", "figure", "div", "script", "noscript"]
    found, style = figure_of(text)
    assert style == "min-height:450px"
    expected = None if value == 1e400 else value
    assert found["layout"] == {outer: {inner: expected} if inner else expected}
    assert all(
        set(attributes) <= {"class", "tabindex", "role", "aria-label", "style", "type"}
        for _, attributes in Reader(text).tags
    )


@pytest.mark.parametrize(
    ("height", "width", "style"),
    [
        (300, None, "min-height:300px"),
        (300.5, 400, "min-height:300.5px;width:400px"),
        ("300", 400, "min-height:450px;width:400px"),
    ],
)
def test_sizes_are_numbers(height, width, style):
    assert figure_of(chart({"data": [], "layout": {"height": height, "width": width}}))[1] == style


@pytest.mark.parametrize(
    ("layout", "title", "alt"),
    [
        ({"title": "Error <b>by</b> size"}, "Error by size: chart", "Error by size"),
        ({"title": {"text": "T"}}, "T: chart", "T"),
        ({"title": "a < b and c > d", "meta": {"alt": "1 <i> 2"}}, "a < b and c > d: chart", "1 <i> 2"),
        ({"title": {"text": 5}, "meta": {"alt": "In words"}}, "Chart: chart", "In words"),
        ({"title": {"text": "T"}, "meta": {"alt": ["no", "text"]}}, "T: chart", "T"),
        ({"title": ["no", "text"]}, "Chart: chart", "Chart"),
        ({}, "Chart: chart", "Chart"),
        (None, "Chart: chart", "Chart"),
        ("no layout", "Chart: chart", "Chart"),
    ],
)
def test_a_chart_has_a_name_and_words(layout, title, alt):
    labels = [
        attributes["aria-label"]
        for _, attributes in Reader(chart({"data": [], "layout": layout})).tags
        if "aria-label" in attributes
    ]
    assert labels == [title, alt]


def test_every_code_of_check_audit_and_record_has_a_cause_and_a_remedy_and_no_other_has():
    parts = json.loads((files("normviz.inspect") / "codes.json").read_text("utf-8"))
    for tool, known in (("check", HINTS), ("audit", RULES), ("record", RECORD_RULES)):
        codes = [code for part in parts[tool].values() for code in part]
        assert sorted(codes) == sorted(known)
        said = [text for part in parts[tool].values() for each in part.values() for text in each.values()]
        assert len(said) == 2 * len(known)
        assert all(text.endswith(".") and text.count("`") % 2 == 0 for text in said)


def renderer(extensions):
    return SimpleNamespace(
        renderer=SimpleNamespace(sphinx_env=SimpleNamespace(app=SimpleNamespace(extensions=extensions)))
    )


@pytest.mark.parametrize("content", ["text", ["a"], None, 3])
def test_what_is_no_figure_is_left_to_myst_nb(content):
    output = SimpleNamespace(mime_type=PLOTLY, content=content)
    assert Charts.handle_mime(renderer([EXTENSION]), output, inline=False) is None


def test_a_figure_becomes_a_node_only_in_a_book_that_names_the_extension():
    pytest.importorskip("docutils", reason="needs docutils (the extra book)")
    output = SimpleNamespace(mime_type=PLOTLY, content={"data": [], "layout": {"title": "T"}})
    (node,) = Charts.handle_mime(renderer([EXTENSION]), output, inline=False)
    assert node.astext() == chart(output.content)
    assert Charts.handle_mime(renderer([]), output, inline=False) is None
