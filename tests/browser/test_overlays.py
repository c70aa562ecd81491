"""Given sets and marks: sets that are no blocks, and cells lit for another reason, at any size."""

import numpy as np
import pytest

import normviz as nv
from tests.browser import host
from tests.browser.reading import drawn, expect, open_file, status


def paths(root, names):
    return "".join(root.locator(name).get_attribute("d") for name in names)


@pytest.mark.parametrize("color", ["set", "partition"])
def test_as_many_given_sets_as_a_page_has_values(page, tmp_path, color):
    """More than a function can have arguments."""
    labels = np.arange(2**17).reshape(2, 64, 32, 32)
    nv.to_html(nv.show(host.tensor(2, 64, 32, 32), labels=labels, color=color), tmp_path / "page.html")
    assert "1 cell" in status(open_file(page, tmp_path / "page.html"))


def test_given_sets_of_a_large_tensor_have_exact_numbers(page, tmp_path):
    x, labels = host.tensor(2, 64, 40, 40), np.zeros((2, 64, 40, 40), int)
    labels[:, 32:] = 1
    nv.to_html(nv.show(x, labels=labels, index=(0, 40, 0, 0)), tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html")
    mean, var = x[:, 32:].mean(dtype=np.float64), x[:, 32:].var(dtype=np.float64)
    assert f"is set 1; 102400 cells, mean {mean:.5g}, variance {var:.5g}" in status(root)


def test_one_cell_among_those_that_are_drawn_as_one_is_lit_and_marked(page, tmp_path):
    shape, cell = (1, 2, 100, 100), (0, 0, 50, 51)
    labels, marks = np.zeros(shape, int), np.zeros(shape, bool)
    labels[cell], marks[cell] = 1, True
    nv.to_html(nv.show(host.tensor(*shape), labels=labels, marks=marks, index=cell), tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html")
    drawn(page)
    assert paths(root, ["path.nv-set.front"]).count("M") == 1
    assert paths(root, ["path.nv-marks"]).startswith("M")
    expect(root.get_by_text("marked", exact=True)).to_be_visible()
