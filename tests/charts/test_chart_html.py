"""The HTML of a chart: text never becomes markup, and errors name their cause."""

from html.parser import HTMLParser

import pytest
from plotly import graph_objects as go

import normviz as nv
from normviz.charts.chart_html import alt, to_html

HOSTILE = '"><img src=x onerror=alert(1)></title></script><script>alert(1)</script>'


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.title, self.label = [""], "", ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "figure":
            self.label = dict(attrs)["aria-label"]

    def handle_data(self, data):
        if self.tags[-1] == "title" and not self.title:
            self.title = data


def test_hostile_text_adds_no_element():
    figure = nv.labs.published.figure()
    plain = Tags(to_html(figure, include_plotlyjs=False, full_html=True))
    figure.layout.title.text = f"<b>{HOSTILE}</b>"
    figure.layout.meta = {"alt": HOSTILE, "caption": HOSTILE}
    figure.data[0].name = figure.layout.annotations[0].text = HOSTILE
    page = Tags(to_html(figure, include_plotlyjs=False, full_html=True))
    assert page.tags == plain.tags
    assert (page.title, page.label) == (HOSTILE, HOSTILE)


def test_the_title_of_a_page_is_plotlys_title_without_its_markup():
    figure = nv.labs.published.figure()
    figure.layout.title.text = "<b>1 &lt; 2 &amp;<br>so on</b>"
    assert Tags(to_html(figure, include_plotlyjs=False, full_html=True)).title == "1 < 2 & so on"
    figure.layout.title.text = None
    assert Tags(to_html(figure, include_plotlyjs=False, full_html=True)).title == ""


@pytest.mark.parametrize("div_id", ["", HOSTILE, 'a"b', "a b", "a\n", 7.5j])
def test_a_div_id_that_is_not_an_id(div_id):
    with pytest.raises(ValueError, match=r"^div_id=.* is not an id; use letters, digits, -, _, : and \.$"):
        to_html(nv.labs.published.figure(), include_plotlyjs=False, div_id=div_id)


@pytest.mark.parametrize("meta", [None, {}, {"alt": 3}, "alt", ["alt"]])
def test_a_figure_without_alt_text(meta):
    figure = go.Figure(layout={"meta": meta})
    for function in (alt, to_html):
        with pytest.raises(
            ValueError, match=r'^the figure has no alt text; set figure\.layout\.meta = {"alt": "\.\.\."}$'
        ):
            function(figure)
