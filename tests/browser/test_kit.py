"""The pages of `normviz kit` in a browser: the slides on a projector, their keys and notes, on paper, in an LMS."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from normviz import kit
from tests.browser.reading import drawn, state
from tests.browser.test_presenter import BEYOND

SCREENS = [(1280, 720), (1024, 768)]
SLIDES = 16
LIVE = {5: "group", 7: "batch", 9: "group", 10: "group", 12: "batch"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the kit."""
    path = tmp_path_factory.mktemp("kit")
    for name, content in kit.contents():
        if name.startswith("figures/"):  # they come last
            break
        (path / name).write_text(content, encoding="utf-8")
    return path


def opened(page: Page, folder: Path, slide: int = 1) -> Page:
    page.goto((folder / "lecture.html").as_uri() + f"#{slide}")
    at(page, slide)
    return page


def at(page: Page, slide: int) -> None:
    """Wait until a slide is shown and drawn."""
    expect(page.locator(".count")).to_have_text(f"{slide} / {SLIDES}")
    expect(page.locator(".now .normviz[data-ready]")).to_have_count(int(slide in LIVE))
    drawn(page)


SMALL = """() => {
  const found = [], slide = document.querySelector(".now");
  for (const e of slide.querySelectorAll(":scope > p, :scope > ul, :scope > h2, td, th, figcaption")) {
    if (e.matches(".small, .source")) continue;
    const size = parseFloat(getComputedStyle(e).fontSize), least = e.closest(".numbers") ? 24 : 28;
    if (size < least) found.push(`${size} px: ${e.textContent}`);
  }
  return found;
}"""
CUT = """() => {
  const slide = document.querySelector(".now"), title = slide.querySelector("h2"), nav = document.querySelector("nav");
  const words = document.createRange();
  words.selectNodeContents(title);
  const found = [slide, document.scrollingElement].filter(
    (e) => e.scrollHeight > e.clientHeight || e.scrollWidth > e.clientWidth
  ).map((e) => e.className || "page");
  if (words.getBoundingClientRect().right > nav.getBoundingClientRect().left) found.push(title.textContent);
  for (const e of slide.querySelectorAll(":scope > p, :scope > ul, :scope > table, figure"))
    if (e.getBoundingClientRect().top < title.getBoundingClientRect().bottom) found.push(e.textContent);
  return found;
}"""


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_every_slide_fits_a_projector_in_large_type(new_page, folder, width, height):
    page = new_page(width, height)
    for slide in range(1, SLIDES + 1):
        opened(page, folder, slide)
        assert page.evaluate(CUT) == [], slide
        assert page.evaluate(SMALL) == [], slide
        for key in "1234" if slide in LIVE else "":
            page.keyboard.press(key)
            drawn(page)
            found = page.locator(".now .normviz").evaluate(BEYOND)
            assert (found["cut"], found["scrolls"]) == ([], 0), (slide, key)
            assert found["picture"] >= 200, (slide, key)


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_a_prediction_has_room_for_its_answer(new_page, folder, width, height):
    """With the longest of them: an answer of one cell differs along three axes."""
    page = opened(new_page(width, height), folder, 9)
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator(".now .nv-verdict")).to_contain_text("along w it takes 0 to 11")
    drawn(page)
    found = page.locator(".now .normviz").evaluate(BEYOND)
    assert (found["cut"], found["scrolls"]) == ([], 0)
    assert found["picture"] >= 200
    tops = (
        """parts => parts.map((e) => e.getBoundingClientRect()).filter((e) => e.height).map((e) => [e.top, e.bottom])"""
    )
    edges = page.locator(".now .nv-predict, .now .nv-predict > *").evaluate_all(tops)
    (_, end), *parts = edges
    assert len(parts) == 4
    bottoms = [bottom for _, bottom in parts]
    assert all(bottom <= top for bottom, top in zip(bottoms, [top for top, _ in parts[1:]] + [end], strict=True))


@pytest.mark.parametrize("look", ["light", "dark"])
def test_axe_finds_nothing_on_any_slide(new_page, folder, look):
    page = new_page(1024, 768, color_scheme=look, reduced_motion="reduce")
    for slide in range(1, SLIDES + 1):
        opened(page, folder, slide)
        if slide == 1:
            page.keyboard.press("n")
        result = Axe().run(page, context=".now")
        assert not result.violations_count, f"{slide}: {result.generate_report()}"
    result = Axe().run(page, context="nav")
    assert not result.violations_count, result.generate_report()


def test_a_clicker_walks_from_the_first_slide_to_the_last_and_back(page, folder):
    """The steps of the worked example are on the way."""
    opened(page, folder)
    for slide in range(1, SLIDES + 1):
        at(page, slide)
        for step in range(5 if slide == 7 else 0):
            assert state(page.locator(".now .normviz"))["step"] == step
            page.keyboard.press("PageDown")
        page.keyboard.press("PageDown")
    at(page, SLIDES)
    for slide in range(SLIDES, 0, -1):
        at(page, slide)
        if slide == 7:
            assert state(page.locator(".now .normviz"))["step"] == 5
        for _ in range(6 if slide == 7 else 1):
            page.keyboard.press("ArrowLeft")
    at(page, 1)
    for key, slide in (("End", SLIDES), ("Home", 1), (" ", 2)):
        page.keyboard.press(key)
        at(page, slide)
    page.get_by_role("button", name="Next").press(" ")
    at(page, 3)
    page.keyboard.press("Home")
    at(page, 1)
    page.get_by_role("button", name="Next").click()
    at(page, 2)
    page.get_by_role("button", name="Back").click()
    at(page, 1)


@pytest.mark.parametrize("slide", LIVE)
def test_an_explorer_of_a_slide_has_its_keys_at_once(page, folder, slide):
    root = opened(page, folder, slide).locator(".now .normviz")
    assert state(root)["method"] == LIVE[slide]
    for key, name in zip("1234", ("batch", "layer", "instance", "group"), strict=True):
        page.keyboard.press(key)
        expect(root).to_have_attribute("data-method", name)
    before = state(root)["num_groups"]
    page.keyboard.press("," if before > 1 else "/")
    expect(root).not_to_have_attribute("data-num-groups", str(before))
    page.keyboard.press("Escape")
    assert "nv-presenter" in root.get_attribute("class")
    others = page.locator(".slide:not(.now) .normviz").evaluate_all("all => all.map((e) => e.dataset.method)")
    assert others == [name for number, name in LIVE.items() if number != slide]


def test_a_link_leads_to_a_slide_and_a_reload_stays_there(page, folder):
    opened(page, folder, 10)
    page.keyboard.press("PageDown")
    at(page, 11)
    page.reload()
    at(page, 11)
    page.evaluate("location.hash = '#3'")
    at(page, 3)
    for beyond, slide in (("#99", SLIDES), ("#0", 1), ("#word", 1)):
        page.evaluate("hash => { location.hash = hash }", beyond)
        at(page, slide)


def test_notes_come_and_go_and_stay_from_slide_to_slide(page, folder):
    opened(page, folder)
    notes, button = page.locator(".now .notes"), page.get_by_role("button", name="Notes")
    expect(notes).to_be_hidden()
    page.keyboard.press("n")
    expect(notes).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("PageDown")
    expect(notes).to_contain_text("Ask what happens to the gradients")
    button.click()
    expect(notes).to_be_hidden()
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === document.documentElement")
    page.keyboard.press("F")
    page.wait_for_function("!document.fullscreenElement")


def test_train_and_eval_are_on_the_slide_on_inference_alone(page, folder):
    opened(page, folder, 10)
    expect(page.get_by_role("radio", name="Eval")).to_be_hidden()
    root = opened(page, folder, 12).locator(".now .normviz")
    root.get_by_role("radio", name="Eval").click()
    expect(root.locator(".nv-symbol")).to_have_text("Fixed numbers per channel; no cells are pooled.")


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_on_paper_every_slide_has_its_picture_and_open_notes(page, folder, paper):
    opened(page, folder)
    page.emulate_media(media="print")
    # So a class can have the slides without the answers.
    expect(page.locator(".slide h2:visible")).to_have_count(SLIDES)
    expect(page.locator(".notes:visible")).to_have_count(0)
    page.emulate_media(media="null")
    page.keyboard.press("n")
    pdf = page.pdf(format=paper)
    assert 7 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 10
    page.emulate_media(media="print")
    for slide in page.locator(".slide").all():
        expect(slide.locator("h2")).to_be_visible()
        expect(slide.locator(".notes")).to_be_visible()
        assert slide.locator(".nvp-explorer:visible").count() == 0
        assert slide.locator(".still:visible").count() == slide.locator(".nvp-explorer").count()


def test_without_scripts_the_lecture_is_a_text_with_pictures(new_page, folder):
    page = new_page(java_script_enabled=False)
    page.goto((folder / "lecture.html").as_uri())
    assert page.locator(".slide:visible").count() == page.locator(".notes:visible").count() == SLIDES
    assert page.locator(".still svg:visible").count() == len(LIVE)
    expect(page.get_by_role("navigation")).to_be_hidden()


def test_in_an_lms_nothing_scrolls_inside_the_frame(page, folder):
    """At the least width of each line of the table. In every state that is so if it is so in the frame of nv.show."""
    address = (folder / "explorer.html").as_uri()
    (folder / "lms.html").write_text(f'<!doctype html><iframe style="border:0" src="{address}"></iframe>', "utf-8")
    page.goto((folder / "lms.html").as_uri())
    page.frames[2].wait_for_selector(".normviz[data-ready]")
    for width, height in kit.frames():
        page.evaluate(
            "size => Object.assign(document.querySelector('iframe'), size)",
            {"width": max(width, 320), "height": height},
        )
        drawn(page.frames[2])
        # No room is left over, either.
        assert page.frames[1].evaluate("document.body.getBoundingClientRect().height") == height
        for frame in page.frames[1:]:
            high, wide = frame.evaluate("[innerHeight, innerWidth]")
            assert frame.evaluate(
                "[document.scrollingElement.scrollHeight, document.scrollingElement.scrollWidth]"
            ) == [high, wide]
    root = page.frames[2].locator(".normviz")
    root.get_by_role("radio", name="Batch Norm").click()
    expect(root).to_have_attribute("data-method", "batch")


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_axe_finds_nothing_in_the_index(new_page, folder, look):
    page = new_page(360 if look == "narrow" else 1100, color_scheme="dark" if look == "dark" else "light")
    page.goto((folder / "index.html").as_uri())
    result = Axe().run(page)
    assert not result.violations_count, result.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
