"""The quiz."""

from tests.browser.test_quiz import (
    ask,
    test_a_click_pokes_the_cell_under_it,
    test_a_notebooks_output_answers_in_its_frame,
    test_a_poke_lights_exactly_the_set,
    test_pokes_are_counted_until_the_answer,
    test_right_and_wrong_answers_and_the_score,
    test_the_quiz_works_by_keyboard,
)

COLUMN = "quiz"
