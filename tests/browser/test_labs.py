"""The charts of the labs on one page without a kernel: plotly's own controls, keyboard and screen reader."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import normviz as nv
from normviz.charts.chart_html import to_html
from normviz.explorer.plotly_figure import WIDTH
from tests.labs.cases import LABS

SLIDERS = [name for name in LABS if name != "published"]
DRAWN = "id => document.querySelector(`#${id} .cartesianlayer`).innerHTML"
ACTIVE = "id => document.querySelector(`#${id}`).layout.sliders[0].active"


WORDS = ".annotation-text, .gtitle, .xtitle, .ytitle, .xtick text, .ytick text, .legendtext, .slider-label, \
.updatemenu-item-text, .textpoint text"
OUTSIDE = """([id, WORDS]) => {
    const frame = document.querySelector(`#${id} .main-svg`).getBoundingClientRect();
    return [...document.querySelectorAll(`#${id} :is(${WORDS})`)].filter((word) => {
        const box = word.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
            || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    }).map((word) => word.textContent);
}"""
OVERLAPS = """([id, WORDS]) => {
    const words = [...document.querySelectorAll(`#${id} :is(${WORDS})`)].map((word) => [word.textContent, word])
        .map(([text, word]) => [text, word.getBoundingClientRect()]).filter(([text, box]) => text && box.width);
    const both = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
    return words.flatMap(([text, box], k) =>
        words.slice(k + 1).filter(([, other]) => both(box, other)).map(([other]) => [text, other]));
}"""
SMALLEST = """([id, WORDS]) => Math.min(...[...document.querySelectorAll(`#${id} :is(${WORDS})`)]
    .filter((word) => word.getBoundingClientRect().width).map((word) => parseFloat(getComputedStyle(word).fontSize)))"""


def write(path, width, names=tuple(LABS), **options):
    """Write a page of labs of this width."""
    parts = []
    for k, name in enumerate(names):
        figure = getattr(nv.labs, name).figure(width=width, **LABS[name].quick, **options)
        parts.append(to_html(figure, include_plotlyjs=k == 0, div_id=name))
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

    def at(width, **options):
        if width in opened:
            return opened[width]
        page = opened[width] = browser.new_page(viewport={"width": width + 60, "height": 900}, offline=True)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.goto(write(tmp_path_factory.mktemp("labs") / "labs.html", width, **options))
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
    size = """e => [e.scrollWidth, e.clientHeight - e.querySelector('.plot-container').clientHeight
        - e.querySelector('details').clientHeight]"""
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
    assert page.evaluate(OUTSIDE, [name, WORDS]) == []
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


@pytest.mark.parametrize("width", [1240, 980])
@pytest.mark.parametrize("name", LABS)
def test_a_chart_for_a_projector_has_large_words_with_room(pages, name, width):
    page = pages(width, presenter=True)
    words = [name, WORDS]
    assert page.evaluate(OUTSIDE, words) == []
    assert page.evaluate(OVERLAPS, words) == []
    assert page.evaluate(SMALLEST, words) >= 20


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
    everywhere = "open => { for (const all of document.querySelectorAll('details')) all.open = open; }"
    page.evaluate(everywhere, True)
    result = Axe().run(page)
    page.evaluate(everywhere, False)
    assert not result.violations_count, result.generate_report()


def test_axe_finds_a_violation_where_there_is_one(page):
    """The check can fail."""
    native = chart(page, "coupling").locator("input")
    label = native.get_attribute("aria-label")
    native.evaluate("e => e.removeAttribute('aria-label')")
    found = Axe().run(page).generate_snapshot()
    native.evaluate(f"e => e.setAttribute('aria-label', {label!r})")
    assert "label (critical)" in found


def rows(table):
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in table.locator("tr").all()]


def test_the_numbers_are_tables_that_follow_the_controls(page):
    figure = chart(page, "published")
    figure.get_by_role("combobox").select_option("ResNet-50: error against batch size")
    figure.get_by_text("The numbers").click()
    table = figure.get_by_role("table", name="ImageNet validation error (%), lower is better")
    assert rows(table) == [
        ["batch size (images per GPU)", "32", "16", "8", "4", "2"],
        ["Batch Norm", "23.6", "23.7", "24.8", "27.3", "34.7"],
        ["Group Norm", "24.1", "24.2", "24", "24.2", "24.1"],
    ]
    figure.get_by_role("combobox").select_option("COCO, Mask R-CNN: box AP")
    expect(figure.get_by_role("rowheader").first).to_have_text("BN*, frozen")
    figure.get_by_text("The numbers").click()


@pytest.mark.parametrize("name", LABS)
def test_every_lab_has_its_numbers(page, name):
    """By the keyboard, and on a narrow page they scroll in their own place."""
    figure = chart(page, name)
    figure.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(figure.locator("table, pre").first).to_be_visible()
    cells = figure.locator("td").all_inner_texts()
    assert name == "memory" or len(cells) >= 8
    assert not [cell for cell in cells if cell in ("", "NaN", "undefined", "[object Object]")]
    page.keyboard.press("Enter")


def test_the_caption_is_there_as_text(page):
    figure = chart(page, "published")
    assert figure.locator("figcaption").text_content() == nv.labs.published.figure().layout.meta["caption"]
    # The drawing is not read out as well, and the caption is visible once.
    assert figure.locator(".main-svg").evaluate_all("all => all.every((e) => e.ariaHidden === 'true')")
    box = figure.locator("figcaption").bounding_box()
    assert box["width"] <= 1
    assert box["height"] <= 1
    expect(chart(page, "coupling").get_by_role("slider")).to_have_accessible_name("Changed: sample n")
    memory = chart(page, "memory")
    memory.get_by_text("The numbers").click()
    expect(memory.locator("pre").first).to_contain_text("def labels(x):\n    found = []")
    memory.get_by_text("The numbers").click()
