"""The exported page by keyboard."""

from tests.browser.test_keyboard import (
    test_arrows_move_within_the_methods,
    test_digits_choose_methods,
    test_enter_and_space_press,
    test_the_cube_by_keyboard,
    test_the_slider_by_keyboard,
)
from tests.browser.test_panel import test_the_values_stand_on_one_scale

COLUMN = "page"
