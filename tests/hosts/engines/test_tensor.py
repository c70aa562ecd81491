"""The panel in which the reader makes a tensor, and the files that it opens and saves."""

from tests.browser.test_files import (
    reads,
    saves,
    test_a_picture_goes_through_the_layer_of_the_sample,
    test_a_saved_npy_file_is_the_same_array,
    test_browsers_own_pictures_are_read_and_wrong_ones_refused,
    test_npy_files_are_read_as_numpy_reads_them,
)
from tests.browser.test_tensor_panel import (
    own,
    pages,
    root,
    test_a_drag_of_a_slider_is_one_step_back,
    test_a_wrong_entry_is_told_and_changes_nothing,
    test_each_control_has_its_name_once,
    test_eps_weight_and_bias_follow_at_once,
    test_everything_by_keyboard,
    test_files_by_button_drop_and_paste,
    test_linked_explorers_show_one_tensor,
    test_the_address_keeps_the_recipe,
    test_the_array_of_an_npz_is_chosen,
    test_the_table_is_typed_over_by_keys,
    test_typed_cells_change_x_alone_and_can_be_undone,
)

COLUMN = "tensor"
