"""The tour's table of controls: it names every control that an explorer shows, and no other."""

import re
from pathlib import Path

import nbformat

import normviz as nv
from normviz.explorer.sentences import say
from tests.browser import host
from tests.browser.reading import open_file

TOUR = Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb"
UNSEEN = {"Tensor", "Reveal", "Leave", "Reset view"}
"""Controls that appear only with `editable=True`, or once another control is used."""


def test_the_tour_names_every_control_and_no_other(page, tmp_path):
    cell = next(cell for cell in nbformat.read(TOUR, as_version=4).cells if cell.id == "controls")
    named = set(re.findall(r"\*\*([^*]+)\*\*", cell.source)) - {"From the keyboard"}
    x = host.tensor(2, 4, 3, 3)
    statistics = nv.RunningStatistics(4)
    statistics.update(x)
    nv.to_html(nv.show(x, method="batch", statistics=statistics), tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html")
    buttons = root.get_by_role("button").or_(root.get_by_role("radio"))
    shown = {button.inner_text().strip() for button in buttons.all() if button.is_visible()} - {""}
    shown |= {say("controls.color"), "G"}
    steps = {button.inner_text().strip() for button in root.locator(".nv-steps").get_by_role("button").all()}
    between = {"Layer Norm", "Instance Norm"}  # The table says "Batch Norm to Group Norm".
    shown = {name.removesuffix("(C, H, W)").strip() for name in shown}
    assert named - UNSEEN == shown - steps - between
