"""What is shown gives HTML for any page: `fragment`, the same as a notebook gets."""

import pytest

import normviz as nv
from tests.pages import Reader, X, inside

FRAMED = {
    "Explorer": lambda: nv.Explorer(X, "batch"),
    "show": lambda: nv.show(X, "batch"),
    "compare_methods": lambda: nv.compare_methods(X),
    "quiz": lambda: nv.quiz(seed=0),
    "chooser": lambda: nv.chooser(),
}
REPORTS = {
    "probe": lambda: nv.probe(lambda x: x, (2, 4, 3, 3)),
    "check": lambda: nv.check(lambda x: x, "batch"),
}


@pytest.mark.parametrize("name", FRAMED)
def test_a_fragment_is_what_a_notebook_gets(name):
    shown = FRAMED[name]()
    bundle = shown._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert shown.fragment() == shown._repr_html_() == data["text/html"]


@pytest.mark.parametrize("name", FRAMED)
def test_a_fragment_holds_all_that_it_needs(name):
    """Nothing outside the frame is a script, a style sheet or an address."""
    text = FRAMED[name]().fragment()
    assert {tag for tag, _ in Reader(text).tags} <= {"div", "figure", "img", "figcaption", "iframe"}
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert inside(text).startswith("<!doctype html>")


@pytest.mark.parametrize("name", FRAMED)
def test_a_theme_that_is_given_is_that_of_the_frame_and_of_the_picture(name):
    shown = FRAMED[name]()
    light, dark, auto = (shown.fragment(theme=theme) for theme in ("light", "dark", "auto"))
    assert len({Reader(text).find("img")[0]["src"] for text in (light, dark, auto)}) == 3
    for text, theme in ((light, "light"), (dark, "dark")):
        assert f'<html lang="en" data-theme="{theme}" style="color-scheme:{theme}">' in inside(text)
        assert Reader(text).find("iframe")[0]["style"].endswith(f";color-scheme:{theme}")
    assert '<html lang="en">' in inside(auto)
    with pytest.raises(ValueError, match=r"^theme=.drak. is unknown; these are known: light, dark, auto$"):
        shown.fragment(theme="drak")


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_gives_its_html(name):
    report = REPORTS[name]()
    assert report.fragment() == report._repr_html_()


def test_reports_on_models_give_their_html():
    torch = pytest.importorskip("torch")
    model, example = torch.nn.Sequential(torch.nn.BatchNorm2d(4)), torch.ones(2, 4, 3, 3)
    for report in (nv.audit(model, example), nv.compare(model, model, example)):
        assert report.fragment() == report._repr_html_()
        assert "<iframe" not in report.fragment()
