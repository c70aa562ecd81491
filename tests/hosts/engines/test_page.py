"""The exported page: methods, slider, keys, drag, click, tooltip, and its state in the address."""

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
from tests.browser.test_keyboard import (
    test_arrows_move_within_the_methods,
    test_digits_choose_methods,
    test_enter_and_space_press,
    test_the_cube_by_keyboard,
    test_the_slider_by_keyboard,
)
from tests.browser.test_panel import test_the_values_stand_on_one_scale

COLUMN = "page"
