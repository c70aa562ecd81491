"""The exported page: methods, slider, keys, drag, click, tooltip, and its state in the address."""

import pytest

import normviz as nv
from tests.browser import reading
from tests.browser.test_exported_page import (
    exported,
    test_a_click_picks_the_cell_under_it,
    test_a_drag_turns_and_does_not_pick,
    test_a_large_tensor_is_drawn_aggregated_and_says_so,
    test_a_new_address_changes_the_open_page,
    test_any_array_shows_its_own_numbers,
    test_it_is_alive_with_no_network,
    test_no_text_becomes_a_script_in_a_page,
    test_the_address_keeps_the_state,
    test_the_address_opens_a_state,
    test_words_of_the_user_stay_words,
)

COLUMN = "page"


@pytest.mark.parametrize("width", [1300, 380])
def test_nothing_of_the_page_is_cut_off(new_page, tmp_path, width):
    page = new_page(width, 900)
    nv.to_html(nv.samples.activations(), tmp_path / "page.html")
    root = reading.open_file(page, tmp_path / "page.html")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # No control overlaps another, and none is empty or outside.
    boxes = (
        root.locator("button")
        .filter(visible=True)
        .evaluate_all(
            "all => all.map((e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"
        )
    )
    assert all(left >= 0 and right <= page.viewport_size["width"] for left, _, right, _ in boxes)
    clash = [
        (a, b) for k, a in enumerate(boxes) for b in boxes[:k]
        if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1
    ]  # fmt: skip
    assert not clash


def test_a_set_glides_unless_it_is_said_not_to(page, driver):
    """It glides where CSS knows the attribute `d` of a path."""
    assert page.evaluate("CSS.supports('d', 'path(\"M0 0\")')") == ("page" not in driver.differs)
