"""The charts of the labs on one page without a kernel: plotly's own controls, keyboard and screen reader."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import normviz as nv
from normviz.explorer.plotly_figure import WIDTH
from normviz.labs.chart_html import to_html
from tests.labs.cases import LABS

SLIDERS = [name for name in LABS if name != "published"]
DRAWN = "id => document.querySelector(`#${id} .cartesianlayer`).innerHTML"
ACTIVE = "id => document.querySelector(`#${id}`).layout.sliders[0].active"


def write(path, width, names=tuple(LABS)):
    """Write a page of labs of this width."""
    parts = [
        to_html(getattr(nv.labs, name).figure(width=width, **LABS[name].quick), include_plotlyjs=k == 0, div_id=name)
        for k, name in enumerate(names)
    ]
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Labs</title><body style='margin: 0'>"
        f"<main><h1>Labs</h1>{''.join(parts)}</main>",
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.fixture(scope="module")
def pages(browser, tmp_path_factory):
    """Open all labs at a width, once for each."""
    opened, errors = {}, []

    def at(width):
        if width in opened:
            return opened[width]
        page = opened[width] = browser.new_page(viewport={"width": width + 60, "height": 900}, offline=True)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.goto(write(tmp_path_factory.mktemp("labs") / "labs.html", width))
        for name in LABS:
            page.wait_for_selector(f"figure:has(#{name}) > .normviz-keys", state="attached")
        return page

    yield at
    for page in opened.values():
        page.close()
    assert not errors


def test_a_chart_scrolls_in_its_place_on_a_narrow_page(new_page, tmp_path):
    """And shows all of its height."""
    page = new_page(400, 700)
    page.goto(write(tmp_path / "labs.html", WIDTH, ["coupling"]))
    page.wait_for_selector("figure:has(#coupling) > .normviz-keys", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    size = "e => [e.scrollWidth, e.clientHeight - e.querySelector('.plot-container').clientHeight]"
    assert page.locator("figure").evaluate(size) == [WIDTH, 0]


@pytest.fixture
def page(pages):
    """All labs at their usual width in a text."""
    return pages(700)


def chart(page, name):
    return page.locator(f"figure:has(#{name})")


def changed(page, name, before):
    page.wait_for_function(f"([id, before]) => ({DRAWN})(id) !== before", arg=[name, before])


def active(page, name, wanted):
    page.wait_for_function(f"([id, wanted]) => ({ACTIVE})(id) === wanted", arg=[name, wanted])


def tab_to(page, control):
    """Press Tab until the control has the focus, from the link before its chart."""
    control.locator("xpath=ancestor::figure").evaluate("e => { e.tabIndex = -1; e.focus(); }")
    for _ in range(12):
        page.keyboard.press("Tab")
        if control.evaluate("e => e === document.activeElement"):
            return
    raise AssertionError("Tab never reached the control")


# ---- plotly's own controls -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABS)
def test_its_slider_or_menu_moves_the_marks_and_the_native_control_follows(page, name):
    before, figure = page.evaluate(DRAWN, name), chart(page, name)
    figure.scroll_into_view_if_needed()
    if name == "published":
        figure.locator(".updatemenu-header").click()
        figure.locator(".updatemenu-dropdown-button").nth(6).click()
        page.wait_for_function("document.querySelector('#published .ytitle').textContent.includes('box AP')")
        expect(figure.get_by_role("combobox")).to_have_value("COCO, Mask R-CNN: box AP")
    else:
        native = figure.get_by_role("slider")
        at = int(native.get_attribute("max")) if page.evaluate(ACTIVE, name) == 0 else 0
        rail = figure.locator(".slider-rail-touch-rect")
        rail.scroll_into_view_if_needed()
        box = rail.bounding_box()
        page.mouse.click(box["x"] + (box["width"] - 6 if at else 6), box["y"] + box["height"] / 2)
        active(page, name, at)
        expect(native).to_have_value(str(at))
        label = page.evaluate(f"document.querySelector('#{name}').layout.sliders[0].steps[{at}].label")
        expect(native).to_have_attribute("aria-valuetext", label)
    changed(page, name, before)


@pytest.mark.parametrize("width", [700, 360])
@pytest.mark.parametrize("name", LABS)
def test_nothing_is_clipped_and_the_words_are_there(pages, name, width):
    page = pages(width)
    assert len(chart(page, name).get_attribute("aria-label")) > 80
    outside = page.evaluate(
        """id => {
            const frame = document.querySelector(`#${id} .main-svg`).getBoundingClientRect();
            const words = document.querySelectorAll(`#${id} :is(.annotation-text, .gtitle, .xtitle, .ytitle,
                .xtick text, .ytick text, .legendtext, .slider-label, .updatemenu-item-text, .textpoint text)`);
            return [...words].filter((word) => {
                const box = word.getBoundingClientRect();
                return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
                    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
            }).map((word) => word.textContent);
        }""",
        name,
    )
    assert outside == []
    # And between the axes and the words of the slider there is room.
    room = page.evaluate(
        """id => {
            const boxes = (names) => [...document.querySelectorAll(`#${id} :is(${names})`)]
                .map((word) => word.getBoundingClientRect());
            const top = Math.min(...boxes(".slider-label").map((box) => box.top));
            const lines = boxes(".xtitle, .xtick text").filter((box) => box.height && box.top < top);
            return Number.isFinite(top) ? top - Math.max(...lines.map((box) => box.bottom)) : 100;
        }""",
        name,
    )
    assert room >= 5


def test_dark_and_light_again(page):
    paper = "document.querySelector('#spectrum .main-svg').style.background"
    switch, native = page.locator("#spectrum .updatemenu-button"), chart(page, "spectrum").get_by_role("button").first
    light = page.evaluate(paper)
    switch.click()
    page.wait_for_function(f"{paper} !== {light!r}")
    assert page.evaluate(paper) == "rgb(20, 23, 28)"
    expect(native).to_have_attribute("aria-pressed", "true")
    native.press("Enter")
    page.wait_for_function(f"{paper} === {light!r}")
    expect(native).to_have_attribute("aria-pressed", "false")
    native.press("Space")
    page.wait_for_function(f"{paper} !== {light!r}")
    switch.click()
    page.wait_for_function(f"{paper} === {light!r}")
    expect(native).to_have_attribute("aria-pressed", "false")


# ---- the keyboard ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SLIDERS)
def test_the_slider_by_the_keyboard_alone(page, name):
    native = chart(page, name).get_by_role("slider")
    tab_to(page, native)
    last = int(native.get_attribute("max"))
    native.press("Home")
    active(page, name, 0)
    previous = 0
    for key, at in (("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1), ("Home", 0)):
        before = page.evaluate(DRAWN, name)
        page.keyboard.press(key)
        active(page, name, at)
        if at != previous:
            changed(page, name, before)
        previous = at
        expect(native).to_have_value(str(at))
        step = page.evaluate(f"document.querySelector('#{name}').layout.sliders[0].steps[{at}].label")
        expect(native).to_have_attribute("aria-valuetext", step)
        # Plotly's own knob and words are where the native one is.
        expect(chart(page, name).locator(".slider-group > .slider-label")).to_have_text(re.compile(re.escape(step)))


def test_held_keys_leave_the_last_state(page):
    """Keys that come faster than plotly draws are not lost, and do not come back."""
    native = chart(page, "batch_size").get_by_role("slider")
    native.press("Home")
    active(page, "batch_size", 0)
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    active(page, "batch_size", 9)
    expect(native).to_have_value("9")
    expect(chart(page, "batch_size").locator(".slider-group > .slider-label")).to_have_text("Channel c = 9")
    shown, held = page.evaluate(
        """() => {
            const chart = document.querySelector("#batch_size");
            return [chart.data[0].y, chart.layout.sliders[0].steps[9].args[0].y[0]];
        }"""
    )
    assert shown == held


def test_the_menu_by_the_keyboard_alone(page):
    figure = chart(page, "published")
    menu = figure.get_by_role("combobox", name="Table")
    tab_to(page, menu)
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('#published').layout.updatemenus[0].active === 0")
    before = page.evaluate(DRAWN, "published")
    page.keyboard.press("End")
    changed(page, "published", before)
    expect(figure.locator(".ytitle")).to_contain_text("top-1 error")
    expect(figure.locator(".updatemenu-header")).to_contain_text("Filter Response Norm")
    assert (
        page.evaluate("document.querySelector('#published').layout.updatemenus[0].active")
        == LABS["published"].steps - 1
    )
    expect(figure.get_by_role("status")).to_contain_text("Source: Singh & Krishnan 2020")
    page.keyboard.press("ArrowUp")
    expect(figure.locator(".updatemenu-header")).to_contain_text("Weight Standardization")


def test_buttons_by_the_keyboard_alone(page):
    figure = chart(page, "memory")
    row = figure.get_by_role("group", name="Layout of the loops")
    second = row.get_by_role("button", name="Loops for NHWC")
    tab_to(page, second)
    page.keyboard.press("Space")
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(row.get_by_role("button", name="Loops for NCHW")).to_have_attribute("aria-pressed", "false")
    expect(figure.locator(".textpoint").first).to_contain_text("Python, NHWC")
    figure.locator(".updatemenu-button").first.click()
    expect(second).to_have_attribute("aria-pressed", "false")
    expect(figure.locator(".textpoint").first).to_contain_text("Python, NCHW")


@pytest.mark.parametrize("name", LABS)
def test_the_focus_is_seen_and_lies_over_plotlys_own_control(page, name):
    figure = chart(page, name)
    drawn = ".slider-group, .updatemenu-header, .updatemenu-button"
    theirs = figure.locator(drawn).evaluate_all("all => all.map((e) => e.getBoundingClientRect().toJSON())")
    natives = figure.locator(".normviz-key > *")
    assert natives.count() == len(theirs)
    for k in range(natives.count()):
        natives.nth(k).focus()
        ring = natives.nth(k).evaluate(
            """e => {
                const ring = e.parentElement, { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(ring);
                return { outlineStyle, outlineWidth, outlineColor, ...ring.getBoundingClientRect().toJSON() };
            }"""
        )
        assert (ring["outlineStyle"], ring["outlineWidth"], ring["outlineColor"]) == (
            "solid",
            "3px",
            "rgb(47, 125, 225)",
        )
        assert any(abs(ring["x"] - box["x"]) < 2 and abs(ring["width"] - box["width"]) < 14 for box in theirs)
        # The arrows of a control that has the focus are its own, in JupyterLab too.
        assert natives.nth(k).get_attribute("data-lm-suppress-shortcuts") == "true"
    page.evaluate("document.activeElement.blur()")
    assert figure.locator(".normviz-key").first.evaluate("e => getComputedStyle(e).outlineStyle") == "none"


# ---- screen readers --------------------------------------------------------------------------------------------------


def test_axe_finds_no_violation_on_any_chart(page):
    result = Axe().run(page)
    assert not result.violations_count, result.generate_report()


def test_axe_finds_a_violation_where_there_is_one(page):
    """The check can fail."""
    native = chart(page, "coupling").locator("input")
    label = native.get_attribute("aria-label")
    native.evaluate("e => e.removeAttribute('aria-label')")
    found = Axe().run(page).generate_snapshot()
    native.evaluate(f"e => e.setAttribute('aria-label', {label!r})")
    assert "label (critical)" in found


def test_the_numbers_and_the_caption_are_there_as_text(page):
    figure = chart(page, "published")
    figure.get_by_role("combobox").select_option("ResNet-50: error against batch size")
    lines = figure.get_by_role("listitem")
    expect(lines).to_have_text(
        [
            "Batch Norm, ImageNet validation error (%), lower is better against batch size (images per GPU): "
            "32: 23.6; 16: 23.7; 8: 24.8; 4: 27.3; 2: 34.7",
            "Group Norm, ImageNet validation error (%), lower is better against batch size (images per GPU): "
            "32: 24.1; 16: 24.2; 8: 24; 4: 24.2; 2: 24.1",
        ]
    )
    assert figure.locator("figcaption").text_content() == nv.labs.published.figure().layout.meta["caption"]
    # The drawing is not read out as well, and the caption is visible once.
    assert figure.locator(".main-svg").evaluate_all("all => all.every((e) => e.ariaHidden === 'true')")
    box = figure.locator("figcaption").bounding_box()
    assert box["width"] <= 1
    assert box["height"] <= 1
    expect(chart(page, "coupling").get_by_role("slider")).to_have_accessible_name("Changed: sample n")
    expect(chart(page, "memory").get_by_role("listitem").first).to_contain_text("def labels(x):\n    found = []")
