"""The worksheet, on the screen and on paper."""

import pytest

import normviz as nv
from tests.browser.test_classroom import test_a_worksheet_prints_two_questions_a_sheet_and_the_key_apart as prints
from tests.hosts.engines.drivers import Firefox

COLUMN = "worksheet"


@pytest.mark.parametrize("host", [Firefox.row], indirect=True, ids=["Firefox"])
@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_two_questions_a_sheet_are_printed_and_the_key_apart(page, tmp_path, paper):
    """WebKitGTK's driver cannot print."""
    prints(page, tmp_path, paper)


@pytest.mark.parametrize("width", [1100, 380])
def test_every_picture_of_a_worksheet_is_drawn_and_nothing_is_cut_off(new_page, tmp_path, width):
    nv.worksheet((2, 4, 3, 3), path=tmp_path / "w.html", key=tmp_path / "w.html")
    page = new_page(width)
    page.goto((tmp_path / "w.html").as_uri())
    pictures = page.locator("svg").evaluate_all("all => all.map((e) => [e.getBBox().width, e.clientWidth])")
    assert len(pictures) > 4
    assert all(drawn > 100 and shown > 100 for drawn, shown in pictures)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
