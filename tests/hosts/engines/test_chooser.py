"""The decision guide."""

from tests.browser.test_chooser import (
    guide,
    test_a_click_chooses_the_cell_under_it_and_a_drag_turns,
    test_an_earlier_answer_can_be_changed_and_later_ones_are_forgotten_only_where_they_no_longer_apply,
    test_every_text_of_the_picture_fits_into_its_box,
    test_start_again,
    test_the_address_keeps_the_answers_and_brings_them_back,
    test_the_guide_works_by_keyboard,
    test_the_lit_set_is_the_one_that_python_gives,
    test_what_no_longer_fits_says_so,
)

COLUMN = "chooser"
