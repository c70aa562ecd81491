"""JupyterLab, started here: the notebook run, both ways between the page and Python, and what is left when it ends."""

import pytest
from playwright.sync_api import Locator, Page, expect

import normviz as nv
from tests.browser import fits, reading
from tests.browser.lab import Lab, command, notebook, open_notebook, restart_kernel, run_all, save_and_close
from tests.browser.reading import choose, radio, slider, state, status, wait_for
from tests.server import until

NAME = "lab.ipynb"
SETUP = """\
import normviz as nv
heard = []
explorer = nv.Explorer(nv.samples.activations(), method="group", num_groups=4)
explorer.observe(lambda change: heard.append(change["name"]))
"""


@pytest.fixture(scope="module")
def panel(lab_page: Page, lab: Lab) -> Locator:
    """The notebook, open and run."""
    panel = open_notebook(lab_page, lab, NAME, notebook(SETUP, "explorer", "'the last cell'"))
    run_all(lab_page)
    return panel


@pytest.fixture
def root(panel: Locator, lab: Lab) -> Locator:
    """The explorer as it was at first."""
    root = panel.locator(".normviz")
    reading.ready(panel.page)
    lab.run(
        NAME,
        "explorer.index = (0, 0, 0, 0); explorer.method = 'group'; explorer.num_groups = 4; explorer.step = 0\n"
        "explorer.view = 'samples'; explorer.color = 'set'; heard.clear()",
    )
    wait_for(root, method="group", num_groups=4, index="0,0,0,0", step=0, view="samples", color="set")
    return root


BOXES = """\
import ipywidgets
explorers = [nv.Explorer(method=method) for method in ("batch", "layer", "group", "instance", "group")]
pair, labelled = ipywidgets.HBox(explorers[:2]), ipywidgets.HBox([ipywidgets.Label("A label"), explorers[2]])
tab, folded = ipywidgets.Tab([ipywidgets.Label("A label"), explorers[3]]), ipywidgets.Accordion(explorers[4:])
ipywidgets.VBox([tab, folded, pair, labelled])
"""


def test_it_is_drawn_in_the_boxes_of_ipywidgets(lab, lab_page):
    """Boxes take the width of their content; a closed tab has no width. The first test here: it closes Lab's tab."""
    panel = open_notebook(lab_page, lab, "boxes.ipynb", notebook(SETUP, BOXES))
    run_all(lab_page)
    by_method = {method: panel.locator(f".normviz[data-method={method}]") for method in ("batch", "layer", "instance")}
    for method in ("batch", "layer"):
        wait_for(by_method[method], ready="true")
    wait_for(panel.locator(".widget-hbox .normviz[data-method=group]"), ready="true")
    widths = panel.locator(".widget-hbox .normviz").evaluate_all("all => all.map((one) => one.clientWidth)")
    assert min(widths) > 350, widths
    output = panel.locator(".jp-OutputArea-output").last
    assert output.evaluate("e => e.scrollWidth - e.clientWidth") == 0

    tabs = panel.locator(".widget-tab .lm-TabBar-tab")
    expect(by_method["instance"]).not_to_be_visible()
    for width in (1300, 1000):
        lab_page.set_viewport_size({"width": width, "height": 1000})
        tabs.nth(1).click()
        wait_for(by_method["instance"], ready="true")
        lab_page.wait_for_function(fits.DRAWN, arg=by_method["instance"].element_handle())
        tabs.nth(0).click()
        expect(by_method["instance"]).not_to_be_visible()
    lab_page.set_viewport_size({"width": 1300, "height": 1000})
    panel.locator(".widget-accordion .jupyter-widget-Collapse-header").click()
    wait_for(panel.locator(".widget-accordion .normviz"), ready="true")
    save_and_close(lab_page)


def heard(lab: Lab, *names: str) -> None:
    """Wait until Python has heard of a change of each of these traits."""
    until(lambda: set(names) <= set(lab.value(NAME, "heard")), f"Python to hear of {names}")


def test_the_notebook_is_run(root):
    assert state(root) == {
        "method": "group", "num_groups": 4, "index": (0, 0, 0, 0), "set": "0:1,0:4,0:12,0:12", "step": 0,
    }  # fmt: skip
    assert "576 cells" in status(root)
    # One picture: the plain HTML of the bundle is for hosts without widgets.
    expect(root.page.locator(".jp-NotebookPanel iframe")).to_have_count(0)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Batch Norm", "batch"), ("Layer Norm", "layer"), ("Instance Norm", "instance"), ("RMS Norm", "rms"),
        ("Positional Layer Norm", "positional"),
    ],
)  # fmt: skip
def test_a_click_on_a_method_reaches_python(root, lab, label, name):
    choose(root, label)
    heard(lab, "method")
    assert lab.value(NAME, "explorer.method") == name
    pool = nv.pooling(name, (4, 16, 12, 12))
    assert state(root)["set"] == reading.as_text(pool.set_of((0, 0, 0, 0)))
    assert lab.value(NAME, "explorer.pooling.block") == pool.block
    # And the numbers on the page are those that Python gives.
    _, mean, var = reading.statistics_of(status(root))
    there = lab.value(NAME, "[float(a.flat[0]) for a in (explorer.statistics.mean, explorer.statistics.var)]")
    assert reading.shows(mean, there[0])
    assert reading.shows(var, there[1])


def test_every_method_is_clicked_in_turn(root, lab):
    for label, name in (("Batch Norm", "batch"), ("Layer Norm", "layer"), ("Instance Norm", "instance")):
        radio(root, label).click()
        assert state(root)["method"] == name
    radio(root, "Group Norm").click()
    heard(lab, "method")
    wait_for(root, method="group")
    assert lab.value(NAME, "explorer.method") == "group"


def test_g_moves_by_keyboard_and_lab_stays_where_it_is(root, lab):
    """Lab has its own use for arrows: they must reach the slider alone."""
    page = root.page
    active = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    slider(root).click()
    here = page.evaluate(active)
    slider(root).press("Home")
    for key, groups in (("ArrowRight", 2), ("ArrowUp", 4), ("ArrowRight", 8), ("ArrowDown", 4), ("End", 16)):
        page.keyboard.press(key)
        assert state(root)["num_groups"] == groups, key
        expect(slider(root)).to_be_focused()
    heard(lab, "num_groups")
    assert lab.value(NAME, "explorer.num_groups") == 16
    assert page.evaluate(active) == here


def test_a_cell_is_clicked_and_reached_by_arrows(root, lab):
    """A click lands on the cell that is drawn there, and the arrows go on from it, through Lab's own keys."""
    page, stage = root.page, root.get_by_role("application")
    lab.run(NAME, "explorer.index = (2, 0, 6, 7)")
    wait_for(root, index="2,0,6,7")
    reading.drawn(page)
    box = root.locator("path.nv-cell.front").bounding_box()
    lab.run(NAME, "explorer.index = (0, 0, 0, 0); heard.clear()")
    wait_for(root, index="0,0,0,0")
    stage.scroll_into_view_if_needed()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert state(root)["index"] == (2, 0, 6, 7)
    stage.focus()
    for key in ("ArrowRight", "ArrowDown", "PageDown", "PageDown", "Shift+ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    assert state(root)["index"] == (1, 2, 7, 7)
    page.keyboard.press("ArrowRight")
    heard(lab, "index")
    wait_for(root, index="1,2,7,8")
    assert lab.value(NAME, "tuple(explorer.index)") == (1, 2, 7, 8)
    assert lab.value(NAME, "str(explorer.set[1])") == "slice(0, 4, None)"


def test_digits_choose_methods_and_write_nothing_into_cells(root, lab):
    page = root.page
    root.get_by_role("application").focus()
    before = page.evaluate("jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source")
    page.keyboard.press("3")
    assert state(root)["method"] == "instance"
    heard(lab, "method")
    assert page.evaluate("jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source") == before
    assert page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length") == 3


def test_python_sets_and_the_page_follows(root, lab):
    lab.run(NAME, "explorer.method = 'batch'")
    wait_for(root, method="batch", set="0:4,0:1,0:12,0:12")
    expect(radio(root, "Batch Norm")).to_be_checked()
    lab.run(
        NAME, "explorer.method = 'group'; explorer.num_groups = 8; explorer.index = [3, 5, 2, 1]; explorer.step = 3"
    )
    wait_for(root, method="group", num_groups=8, index="3,5,2,1", step=3, set="3:4,4:6,0:12,0:12")
    expect(slider(root)).to_have_attribute("aria-valuetext", "G = 8")
    lab.run(NAME, "explorer.view = 'paper'; explorer.color = 'partition'")
    wait_for(root, view="paper", color="partition")
    # Python hears of its own changes once: the page does not echo them.
    heard(lab, "view", "color")
    assert lab.value(NAME, "heard.count('method'), heard.count('view'), heard.count('color')") == (2, 1, 1)


WRONG = {
    "num_groups = 5": "num_groups=5 does not divide C=16",
    "method = 'grup'": "did you mean 'group'",
    "index = (0, 16, 0, 0)": "there is no cell (0, 16, 0, 0)",
    "index = (0, 0)": "there is no cell (0, 0)",
    "step = 6": "step=6 is not one of the steps 0 to 5",
    "view = 'side'": "unknown view 'side'",
    "mode = 'eval'": "mode='eval' needs running statistics",
}
ASSIGN_ALL = """\
import traitlets
said = []
for assignment in {}:
    try:
        exec(f"explorer.{{assignment}}")
    except traitlets.TraitError as error:
        said.append(str(error))
    else:
        said.append("nothing")
explorer.color = "value"
"""


def test_a_wrong_assignment_raises_and_the_page_stays(root, lab):
    before = state(root), status(root)
    said = lab.run(NAME, ASSIGN_ALL.format(list(WRONG)), "said")
    for (assignment, words), text in zip(WRONG.items(), said, strict=True):
        assert words in text, assignment
    # The page has followed a later assignment, so it has had its chance to follow these.
    wait_for(root, color="value")
    assert (state(root), status(root)) == before


def test_it_follows_labs_theme(root):
    for theme in ("dark", "light"):
        command(root.page, "apputils:change-theme", theme=f"JupyterLab {theme.title()}")
        wait_for(root, theme=theme)
        # Lab trips over its own splash screen when the theme changes again before that is gone.
        expect(root.page.locator("#jupyterlab-splash")).to_have_count(0)


def test_two_views_of_one_explorer_go_together(root, lab):
    page = root.page
    page.evaluate("jupyterapp.shell.currentWidget.content.widgets[2].model.sharedModel.setSource('explorer')")
    run_all(page)
    reading.ready(page, 2)
    first, second = page.locator(".normviz").nth(0), page.locator(".normviz").nth(1)
    # Running all made a new explorer; both views are of it.
    choose(second, "Instance Norm")
    wait_for(first, method="instance")
    lab.run(NAME, "explorer.num_groups = 2; explorer.method = 'group'")
    for view in (first, second):
        wait_for(view, method="group", num_groups=2)
    page.evaluate("jupyterapp.shell.currentWidget.content.widgets[2].model.clearExecution()")
    expect(page.locator(".normviz")).to_have_count(1)
    # The other view is closed, this one goes on.
    lab.run(NAME, "explorer.method = 'layer'")
    wait_for(first, method="layer")


def test_another_tensor_takes_the_place_of_the_first(root, lab):
    """G snaps to a divisor of the new C, and the index is clipped."""
    lab.run(NAME, "import numpy as np; explorer.index = (3, 15, 11, 11); explorer.x = np.ones((2, 6, 3, 3))")
    wait_for(root, num_groups=3, index="1,5,2,2", set="1:2,4:6,0:3,0:3")
    expect(root).to_have_count(1)
    lab.run(NAME, "explorer.x = nv.samples.activations()")
    wait_for(root, num_groups=2, index="1,5,2,2", set="1:2,0:8,0:12,0:12")


def test_a_large_tensor_asks_python_for_single_values(root, lab):
    """The page carries means of the drawn cells; the value of one cell it asks for, and then has exactly."""
    lab.run(NAME, "explorer.x = np.random.default_rng(1).normal(size=(32, 256, 14, 14))")
    root.get_by_text("Drawn aggregated").wait_for()
    lab.run(NAME, "explorer.index = (3, 77, 5, 6)")
    wait_for(root, index="3,77,5,6")
    result = root.locator("[data-step='0'] .nv-result")
    expect(result).to_contain_text("=")
    value = lab.value(NAME, "float(explorer.x[3, 77, 5, 6])")
    assert reading.shows(result.locator("b").inner_text(), value)
    lab.run(NAME, "explorer.x = nv.samples.activations()")
    wait_for(root, index="3,15,5,6")


TOLD = """\
made, kinds = [], []
explorer.observe(lambda change: made.append(change["new"].get("fill")), "recipe")
explorer.on_msg(lambda _widget, message, _buffers: kinds.append(message.get("kind")))
explorer.editable = True
"""


def test_a_tensor_that_the_reader_makes_reaches_python(root, lab):
    """As bytes if it is of the reader's own, and else as a recipe; what Python makes takes its place."""
    lab.run(NAME, TOLD)
    wait_for(root, fill="file", ready="true")
    root.evaluate("root => { root.dataset.mark = 'the same view'; }")

    def number(name: str, value: int) -> None:
        field = root.get_by_role("spinbutton", name=name, exact=True)
        field.fill(str(value))
        field.press("Enter")

    number("N", 1)
    until(lambda: lab.value(NAME, "made") == ["file", "edited"], "Python to have the cut tensor")
    assert lab.value(NAME, "bool((explorer.x == nv.samples.activations(1)).all())")
    root.get_by_label("Fill", exact=True).select_option("normal")
    number("Seed", 7)
    until(lambda: lab.value(NAME, "made") == ["file", "edited", "normal", "normal"], "Python to fill")
    assert lab.value(NAME, "bool((explorer.x == nv.samples.filled((1, 16, 12, 12), 'normal', 7)).all())")
    expect(root).to_have_attribute("data-mark", "the same view")
    lab.run(NAME, "explorer.recipe = {'shape': (2, 6, 5), 'fill': 'ramp'}")
    wait_for(root, shape="2,6,5", fill="ramp", ready="true")
    # Nothing goes round.
    assert lab.value(NAME, "made[4:], kinds") == (["ramp"], ["made"] * 3)
    lab.run(NAME, "explorer.editable = False; explorer.x = nv.samples.activations()")
    wait_for(root, shape="4,16,12,12")


def test_after_a_restart_the_page_still_answers(root, lab):
    page = root.page
    restart_kernel(page)
    root = page.locator(".normviz")
    choose(root, "Batch Norm")
    assert state(root)["set"] == "0:4,0:1,0:12,0:12"
    slider(root).press("End")
    root.get_by_role("application").press("PageDown")
    assert (state(root)["num_groups"], state(root)["index"]) == (16, (0, 1, 0, 0))
    reading.drawn(page)
    expect(root.locator("[data-fact=size]")).to_contain_text("144")


def test_a_closed_view_leaves_nothing_running(panel):
    """The last of this file: it clears the output."""
    page = panel.page
    running = page.evaluate("leaks()")
    assert running["observers"] >= 2, "the count sees no observers: it would not see one that is left"
    command(page, "notebook:clear-all-cell-outputs")
    expect(page.locator(".normviz")).to_have_count(0)
    assert page.evaluate("leaks()") == {"listeners": [], "observers": 0, "timers": 0, "frames": 0}
