"""The charts of the labs on one page, without a kernel: plotly's own sliders and menus drive them."""

import pytest

import normviz as nv
from normviz.labs import look

LABS = {
    "batch_size": {"draws": 20},
    "coupling": {},
    "numerics": {"offsets": [0, 1e3]},
    "published": {},
    "spectrum": {"shuffles": 2},
    "train_eval": {"steps": 6, "depth": 2},
}
DRAWN = "id => document.querySelector(`#${id} .cartesianlayer`).innerHTML"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("labs") / "labs.html"
    parts = [
        look.to_html(getattr(nv.labs, name).figure(width=700, **given), include_plotlyjs=k == 0, div_id=name)
        for k, (name, given) in enumerate(LABS.items())
    ]
    path.write_text(f"<!doctype html><meta charset=utf-8><title>Labs</title>{''.join(parts)}", encoding="utf-8")
    page = browser.new_page(viewport={"width": 760, "height": 900}, offline=True)
    page.set_default_timeout(15_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(path.as_uri())
    for name in LABS:
        page.wait_for_selector(f"#{name} .annotation")
    yield page
    page.close()
    assert not errors


@pytest.mark.parametrize("name", LABS)
def test_its_slider_or_menu_moves_the_marks(page, name):
    before = page.evaluate(DRAWN, name)
    chart = page.locator(f"#{name}")
    chart.scroll_into_view_if_needed()
    if name == "published":
        chart.locator(".updatemenu-header").click()
        chart.locator(".updatemenu-dropdown-button").nth(4).click()
        page.wait_for_function("document.querySelector('#published .ytitle').textContent.includes('box AP')")
    else:
        box = chart.locator(".slider-rail-touch-rect").bounding_box()
        page.mouse.click(box["x"] + box["width"] - 6, box["y"] + box["height"] / 2)
        slider = "document.querySelector(`#${id}`).layout.sliders[0]"
        page.wait_for_function(f"id => {slider}.active === {slider}.steps.length - 1", arg=name)
    page.wait_for_function(f"([id, before]) => ({DRAWN})(id) !== before", arg=[name, before])


@pytest.mark.parametrize("name", LABS)
def test_nothing_is_clipped_and_the_words_are_there(page, name):
    chart = page.locator(f"figure:has(#{name})")
    assert len(chart.get_attribute("aria-label")) > 80
    outside = page.evaluate(
        """id => {
            const frame = document.querySelector(`#${id} .main-svg`).getBoundingClientRect();
            const words = document.querySelectorAll(`#${id} :is(.annotation-text, .gtitle, .xtitle, .ytitle,
                .xtick text, .ytick text, .legendtext, .slider-label)`);
            return [...words].filter((word) => {
                const box = word.getBoundingClientRect();
                return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
                    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
            }).map((word) => word.textContent);
        }""",
        name,
    )
    assert outside == []


def test_dark_and_light_again(page):
    paper = "document.querySelector('#spectrum .main-svg').style.background"
    switch = page.locator("#spectrum .updatemenu-button")
    light = page.evaluate(paper)
    switch.click()
    page.wait_for_function(f"{paper} !== {light!r}")
    assert page.evaluate(paper) == "rgb(20, 23, 28)"
    switch.click()
    page.wait_for_function(f"{paper} === {light!r}")
