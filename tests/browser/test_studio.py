"""The studio in JupyterLab: keys that Lab has its own use for, page and Python in step, nothing left behind."""

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import reading
from tests.browser.lab import Lab, command, notebook, open_notebook, run_all
from tests.browser.reading import choose, wait_for

NAME = "studio.ipynb"


@pytest.fixture(scope="module")
def panel(lab_page: Page, lab: Lab) -> Locator:
    panel = open_notebook(
        lab_page, lab, NAME, notebook("import normviz as nv\nstudio = nv.Studio()", "studio", "1 + 1")
    )
    run_all(lab_page)
    return panel


@pytest.fixture
def root(panel: Locator, lab: Lab) -> Locator:
    """The explorer in the studio, as it was at first."""
    reading.ready(panel.page)
    lab.run(NAME, "studio.source, studio.shape = 'sample', (4, 16, 12, 12)")
    lab.run(
        NAME, "studio.explorer.method, studio.explorer.num_groups, studio.explorer.index = 'group', 4, (0, 0, 0, 0)"
    )
    root = panel.locator(".normviz")
    wait_for(root, method="group", num_groups=4, set="0:1,0:4,0:12,0:12")
    return root


def test_keys_move_the_slider_and_lab_stays_where_it_is(root, lab):
    page, active = root.page, "jupyterapp.shell.currentWidget.content.activeCellIndex"
    handle = page.get_by_role("slider", name="N", exact=True)
    handle.focus()
    here = page.evaluate(active)
    for key, length in (("ArrowLeft", 3), ("ArrowUp", 4), ("ArrowDown", 3), ("End", 32), ("Home", 1)):
        page.keyboard.press(key)
        expect(handle).to_have_attribute("aria-valuenow", f"{length}.0")
        expect(handle).to_be_focused()
    assert page.evaluate(active) == here
    expect(root.page.locator(".nvs-notes")).to_contain_text("N = 1: Batch Norm’s sets are Instance Norm’s now")
    assert lab.value(NAME, "studio.shape, studio.x.shape") == ((1, 16, 12, 12),) * 2


def test_python_and_the_page_are_in_step(root, lab):
    page = root.page
    lab.run(NAME, "studio.source, studio.shape = 'random', (3, 8, 6, 5)")
    for letter, length in zip("NCHW", (3, 8, 6, 5), strict=True):
        slider = page.get_by_role("slider", name=letter, exact=True)
        expect(slider).to_have_attribute("aria-valuenow", f"{length}.0")
    wait_for(root, set="0:1,0:2,0:6,0:5")
    choose(root, "Batch Norm")
    expect(page.locator(".nvs-chosen")).to_contain_text("N·H·W = 3·6·5")
    assert lab.value(NAME, "studio.statistics.mean.shape") == (8,)


def test_a_file_is_opened(root, lab, tmp_path):
    page = root.page
    np.save(tmp_path / "mine.npy", np.ones((2, 5, 4), np.float32))
    (tmp_path / "broken.npy").write_bytes(b"no")
    for name in ("mine.npy", "broken.npy"):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Open a .npy file").click()
        chooser.value.set_files(tmp_path / name)
        expect(page.locator(".nvs-notes")).to_contain_text("mine.npy: float32 of shape (2, 5, 4)")
    expect(page.get_by_role("alert").filter(has_text="broken.npy does not begin as a .npy file does")).to_be_visible()
    assert lab.value(NAME, "repr(studio)") == "Studio(shape=(2, 5, 4), source='file', method='group', num_groups=1)"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_can_be_read_in_labs_theme(root, theme):
    command(root.page, "apputils:change-theme", theme=f"JupyterLab {theme.title()}")
    wait_for(root, theme=theme)
    expect(root.page.locator("#jupyterlab-splash")).to_have_count(0)
    ink = root.page.locator(".nvs-notes p").first.evaluate(
        "(e) => getComputedStyle(e).color.match(/\\d+/g).map(Number)"
    )
    assert (sum(ink[:3]) > 3 * 128) == (theme == "dark")


def test_a_closed_panel_leaves_nothing_running(panel):
    """The last of this file: it clears the output."""
    page = panel.page
    assert page.evaluate("leaks()")["observers"] >= 3, "the count sees no observers: it would not see one that is left"
    command(page, "notebook:clear-all-cell-outputs")
    expect(page.locator(".normviz-studio")).to_have_count(0)
    assert page.evaluate("leaks()") == {"listeners": [], "observers": 0, "timers": 0, "frames": 0}
