"""The files of `export --anywidget`, and an editable explorer, in a shadow root, as MyST and marimo show widgets."""

import pytest
from playwright.sync_api import expect

import normviz as nv
from normviz.explorer import anywidget_files, js
from tests.browser.alive import assert_alive
from tests.browser.reading import wait_for

SHOW = """async ({ module, style, model }) => {
  const outside = document.body.appendChild(document.createElement("div"));
  const el = document.createElement("div");
  outside.attachShadow({ mode: "open" }).append(el);
  el.append(Object.assign(document.createElement("style"), { textContent: style }));
  const refuse = () => { throw new Error("not implemented"); };
  // As MyST's model: it holds values, and refuses what needs a kernel.
  const held = {
    get: (key) => model[key], set: (key, value) => { model[key] = value; },
    on() {}, off: refuse, save_changes: refuse, send: refuse
  };
  const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  (await import(address)).default.render({ model: held, el });
}"""


@pytest.fixture
def show(page):
    def show(module, style, model):
        page.set_content("<!doctype html><title>A page</title><body>")
        page.evaluate(SHOW, {"module": module, "style": style, "model": model})
        root = page.locator(".normviz")
        wait_for(root, ready="true")
        return root

    return show


def files():
    x = nv.samples.activations()
    return anywidget_files.contents(nv.Explorer(x, method="group", num_groups=8, index=(1, 5, 2, 2), step=3)).values()


def test_the_exported_module_is_alive(page, show):
    module, style, _ = files()
    root = show(module, style, {})
    assert root.evaluate("e => e.getRootNode() instanceof ShadowRoot")
    assert_alive(page)
    assert root.evaluate("e => getComputedStyle(e).containerType") == "inline-size"
    page.evaluate("document.body.style.background = '#111'")
    wait_for(root, theme="dark")


def test_a_part_of_the_model_is_enough_and_the_rest_is_as_exported(show):
    module, style, _ = files()
    root = show(module, style, {"method": "layer", "step": 9, "num_groups": 8})
    expect(root.locator(".nv-alert")).to_have_text("These parts of the link do not fit here and are left out: step: 9.")
    wait_for(root, method="layer", num_groups=8, index="1,5,2,2", step=5)


def test_a_model_may_hold_an_error_that_is_no_text_and_nulls(show):
    module, style, _ = files()
    root = show(module, style, {"error": 5, "num_groups": None, "index": None})
    expect(root.locator(".nv-alert")).to_have_text("These parts of the link do not fit here and are left out: 5.")
    wait_for(root, method="group", num_groups=8, index="1,5,2,2")


def test_a_clicker_reaches_the_presenter(page, show):
    """Its keys go to the page, because nothing has the focus."""
    module, style, _ = files()
    root = show(module, style, {"step": 0, "presenter": True})
    page.keyboard.press("PageDown")
    wait_for(root, step=1)


def test_a_second_click_on_a_cell_of_the_table_types_over_it(show):
    explorer = nv.Explorer(nv.samples.activations(), editable=True)
    model = {name: getattr(explorer, name) for name in ("_scene", "method", "num_groups", "index", "step")}
    root = show(js.module(editable=True), js.stylesheet(), model)
    root.get_by_role("button", name="Table").click()
    cell = root.get_by_role("gridcell").nth(3)
    cell.click()
    cell.click()
    expect(cell.locator("input")).to_be_focused()
