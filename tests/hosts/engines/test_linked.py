"""Two explorers on one page, alone and linked."""

from tests.browser.test_classroom import test_what_moves_in_one_moves_in_all_but_the_method
from tests.browser.test_two_explorers import (
    test_a_written_address_reaches_the_second,
    test_each_keeps_its_own_state,
    test_ids_are_unique,
    test_the_address_keeps_both,
    test_the_tour_of_one_leaves_the_other_alone,
    two,
)

COLUMN = "linked"
