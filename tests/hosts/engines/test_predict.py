"""Predict, then reveal."""

from tests.browser.test_classroom import (
    test_a_drag_marks_a_box_and_a_click_grows_it,
    test_another_choice_is_another_question,
    test_every_rank_can_be_predicted,
    test_nothing_tells_the_set_until_it_is_revealed,
    test_the_two_sets_are_counted_as_numpy_counts_them,
)
from tests.browser.test_predict_inside import test_what_is_marked_inside_is_seen_as_a_dashed_box

COLUMN = "predict"
