"""The page of a recording in a browser: its buttons and its layers, by mouse and by keyboard; nothing leaves it."""

import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.reading import expect
from tests.inspect.recordings import many

LAYERS, STEPS = 5, 20
DRAWN = "document.querySelector('#nvr-chart .cartesianlayer').innerHTML"
ACTIVE = "document.querySelector('#nvr-chart').layout.sliders[0].active"
LINE = """([name, axis]) => {
    const chart = document.querySelector("#nvr-chart");
    const trace = chart._fullData.find((t) => t.name === name && t.yaxis === axis && t.visible);
    return [[...trace.x], [...trace.y]];
}"""
HEAT = "() => document.querySelector('#nvr-chart')._fullData[0].z.map((row) => [...row])"


@pytest.fixture(scope="module")
def recorded():
    return many(LAYERS, STEPS, 8)


@pytest.fixture
def address(recorded, tmp_path):
    recorded.to_html(tmp_path / "run.html")
    return (tmp_path / "run.html").as_uri()


def opened(page, address):
    page.goto(address)
    page.locator("[data-drawn]").wait_for()
    return page.locator("figure")


def changed(page, before):
    page.wait_for_function(f"before => {DRAWN} !== before", arg=before)


def check_layer(page, recorded, row):
    """The lines that are drawn are those of this layer."""
    page.wait_for_function(f"row => {ACTIVE} === row", arg=row)
    layer = recorded[recorded.layers[row]]
    wanted = {
        ("median of the sets", "y5"): layer.set_var[:, 2],
        ("running, median", "y5"): np.median(layer.running_var, 1),
        ("median of the sets", "y6"): layer.set_mean[:, 2],
        ("gradient norm", "y7"): layer.grad_norm,
    }
    for line, values in wanted.items():
        # Plotly moves its slider before it draws the lines.
        first = float(f"{values[0]:.4g}")
        drawn = f"([line, first]) => Math.abs(({LINE})(line)[1][0] / first - 1) < 1e-3"
        page.wait_for_function(drawn, arg=[line, first])
        x, y = page.evaluate(LINE, [*line])
        assert x == recorded.steps
        np.testing.assert_allclose(y, values, rtol=6e-4)


def check_heat(page, recorded, of):
    layers = [recorded[name] for name in recorded.layers]
    np.testing.assert_allclose(page.evaluate(HEAT), np.log10([of(layer) for layer in layers]), atol=6e-4, rtol=6e-4)


def variance(layer):
    return np.median(layer.var, 1)


def gradient(layer):
    return layer.grad_norm


def test_rows_are_equally_high_also_where_names_are_numbers(page, tmp_path):
    many(4, STEPS, 8, names="{}3").to_html(tmp_path / "run.html")
    opened(page, (tmp_path / "run.html").as_uri())
    rows = "document.querySelector('#nvr-chart').calcdata[0][0].y"
    assert page.evaluate(rows) == [-0.5, 0.5, 1.5, 2.5, 3.5]
    for role, name, key in (
        ("button", "Gradient norm", "Enter"),
        ("slider", "Layer", "Home"),
        ("slider", "Layer", "End"),
    ):
        drawn = page.evaluate(DRAWN)
        page.get_by_role(role, name=name).press(key)
        changed(page, drawn)
    assert page.evaluate(rows) == [-0.5, 0.5, 1.5, 2.5, 3.5]


def test_buttons_and_layers_by_mouse(page, recorded, address):
    figure = opened(page, address)
    check_heat(page, recorded, variance)
    before = page.evaluate(DRAWN)
    figure.locator(".updatemenu-button", has_text="Gradient norm").click()
    changed(page, before)
    check_heat(page, recorded, gradient)
    expect(figure.get_by_role("button", name="Gradient norm")).to_have_attribute("aria-pressed", "true")
    # The slider, and a click in a row of the heat map.
    slider = figure.get_by_role("slider", name="Layer", exact=True)
    rail = figure.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(rail["x"] + rail["width"] - 6, rail["y"] + rail["height"] / 2)
    check_layer(page, recorded, LAYERS - 1)
    expect(slider).to_have_attribute("aria-valuetext", recorded.layers[-1])
    heat = figure.locator(".hm").bounding_box()
    row = heat["height"] / LAYERS
    page.mouse.move(heat["x"] + 100, heat["y"] + 1.4 * row)
    page.mouse.move(heat["x"] + 102, heat["y"] + 1.5 * row)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.down()
    page.mouse.up()
    check_layer(page, recorded, 1)
    expect(slider).to_have_value("1")


def test_buttons_and_layers_by_keyboard(page, recorded, address):
    figure = opened(page, address)
    button = figure.get_by_role("button", name="Batch against running")
    page.get_by_role("button", name="Dark / light").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(button).to_be_focused()
    before = page.evaluate(DRAWN)
    page.keyboard.press("Enter")
    changed(page, before)
    expect(button).to_have_attribute("aria-pressed", "true")
    for _ in range(2):
        page.keyboard.press("Tab")
    slider = figure.get_by_role("slider", name="Layer", exact=True)
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    check_layer(page, recorded, 0)
    page.keyboard.press("ArrowRight")
    check_layer(page, recorded, 1)
    figure.get_by_text("The numbers").click()
    table = figure.locator("table", has_text=re.compile("Outputs by batch and by running statistics"))
    rows = table.locator("tr:has(td)")
    expect(rows).to_have_count(LAYERS)
    expect(rows.first.locator("th")).to_have_text(recorded.layers[0])
    shown = [float(text) for text in rows.first.locator("td").all_inner_texts()]
    gaps = 10 ** np.array(page.evaluate(HEAT)[0])
    np.testing.assert_allclose(shown, gaps, rtol=2e-3)


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(new_page, address, width):
    page = new_page(width, 800)
    opened(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("h1").count() == 1
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_it_is_drawn_anew_where_the_room_changes_and_keeps_what_is_chosen(page, recorded, address):
    figure = opened(page, address)
    slider = figure.get_by_role("slider", name="Layer", exact=True)
    slider.focus()
    page.keyboard.press("End")
    check_layer(page, recorded, LAYERS - 1)
    figure.get_by_role("button", name="Gradient norm").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#nvr-chart').layout.updatemenus[0].active === 2")
    page.set_viewport_size({"width": 390, "height": 800})
    menu = figure.get_by_role("combobox", name="Show")
    menu.wait_for(state="attached")
    expect(menu).to_have_value("Gradient norm")
    expect(slider).to_have_value(str(LAYERS - 1))
    check_layer(page, recorded, LAYERS - 1)
    check_heat(page, recorded, gradient)
    title = "document.querySelector('#nvr-chart').layout.title.text.replace(/<br>/g, ' ')"
    assert page.evaluate(title).startswith("<b>The last gradient norm is between")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_look_is_the_readers_until_the_switch(new_page, address, scheme):
    page = new_page(color_scheme=scheme)
    opened(page, address)
    look = """() => [getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector("#nvr-chart .main-svg")).backgroundColor]"""
    body, chart = page.evaluate(look)
    assert body == chart
    page.get_by_role("button", name="Dark / light").click()
    page.wait_for_function(f"before => (({look})()).every((colour) => colour !== before)", arg=body)
    assert len(set(page.evaluate(look))) == 1


def test_its_policy_forbids_nothing_that_it_needs(new_page, address):
    """Here the policy holds: a violation would be an error on the console. The picture is saved as well."""
    page = new_page(bypass_csp=False)
    figure = opened(page, address)
    figure.hover()
    with page.expect_download() as download:
        figure.locator(".modebar-btn").first.click()
    assert download.value.suggested_filename.endswith(".png")
