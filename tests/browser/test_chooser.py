"""The chooser in the browser: the path to an advice by mouse and by keyboard, its sets, its address, its frame."""

import base64
import json

import pytest
from axe_playwright_python.sync_playwright import Axe

import normviz as nv
from normviz.method_chooser.content import ADVICE, FIRST, QUESTIONS, paths
from tests import pages
from tests.browser.reading import as_text, drawn, expect, open_file

PATHS = list(paths(FIRST, QUESTIONS))
GROUP = {"data": "maps", "erase": "no", "pretrained": "no", "samples": "few", "freedom": "nothing"}


@pytest.fixture
def guide(page, tmp_path):
    """Open a chooser."""

    def opened(fragment="", on=page, **answers):
        nv.chooser(**answers).to_html(tmp_path / "guide.html")
        return open_file(on, tmp_path / "guide.html", fragment)

    return opened


def option(root, question, answer):
    """The radio of an answer."""
    row = QUESTIONS[question]
    return root.get_by_role("group", name=row.text).get_by_role("radio", name=row.option(answer).label, exact=True)


def give(root, answers):
    for question, answer in answers.items():
        option(root, question, answer).check()


def status(root):
    return root.get_by_role("status").inner_text()


def on_path(root):
    """The visible questions, from top to bottom."""
    return root.locator(".nv-path > li").evaluate_all("all => all.map((li) => li.dataset.question)")


def address(page):
    return page.evaluate("location.hash")


# ---- the path --------------------------------------------------------------------------------------------------------


def test_one_question_comes_after_the_other(guide):
    root = guide()
    assert on_path(root) == ["data"]
    assert status(root).startswith("15 of 15 normalizers to choose from.")
    expect(root.get_by_role("radio", checked=True)).to_have_count(0)
    expect(root.get_by_role("button", name="Start again")).to_be_hidden()
    for question, answer in GROUP.items():
        expect(root).to_have_attribute("data-question", question)
        expect(root).to_have_attribute("data-advice", "")
        assert on_path(root) == list(GROUP)[: list(GROUP).index(question) + 1]
        option(root, question, answer).check()
    expect(root).to_have_attribute("data-advice", "group")
    assert status(root) == "Your 5 answers lead to Group Norm."
    expect(root.get_by_role("heading", name="Group Norm", exact=True)).to_be_visible()
    row = ADVICE["group"]
    for words in (row.why, row.watch, row.consider, row.code, *(each.source for each in row.evidence)):
        expect(root.get_by_text(words, exact=True)).to_be_visible()
    expect(root.get_by_role("table")).to_have_count(2)
    expect(root.get_by_role("row", name="Batch Norm 23.6 23.7 24.8 27.3 34.7")).to_be_visible()


def test_what_no_longer_fits_says_so(guide):
    root = guide()
    fits = (
        root.locator(".nv-field-list").get_by_role("listitem").filter(has_text="Norm").filter(has_not_text="ruled out")
    )
    expect(fits).to_have_count(14)  # and AdaIN
    # The page previews what an answer would rule out.
    option(root, "data", "tokens").hover()
    expect(root.locator(".nv-doubt")).to_have_count(13)
    option(root, "data", "tokens").check()
    assert status(root).startswith("2 of 15 normalizers still fit.")
    assert status(root).endswith(f"Question 2: {QUESTIONS['centring'].text}")
    expect(root.get_by_text("(ruled out)")).to_have_count(13)
    expect(root.locator(".nv-out .nv-mini-name").first).to_have_css("text-decoration-line", "line-through")


def test_an_earlier_answer_can_be_changed_and_later_ones_are_forgotten_only_where_they_no_longer_apply(guide):
    root = guide()
    give(root, GROUP)
    # The new answer leads to the same last question.
    option(root, "samples", "changes").check()
    expect(root).to_have_attribute("data-advice", "group")
    expect(option(root, "freedom", "nothing")).to_be_checked()
    assert "between 24.0 and 24.2 %" in root.get_by_role("region", name="Why not the others").inner_text()
    # The new answer leads to another last question.
    option(root, "samples", "many").check()
    expect(root).to_have_attribute("data-question", "inference")
    assert on_path(root) == ["data", "erase", "pretrained", "samples", "inference"]
    option(root, "inference", "fold").check()
    expect(root).to_have_attribute("data-advice", "batch")
    option(root, "erase", "yes").check()
    assert on_path(root) == ["data", "erase", "style"]
    expect(root).to_have_attribute("data-answers", "data=maps&erase=yes")
    # Dropped answers do not come back.
    option(root, "erase", "no").check()
    expect(root).to_have_attribute("data-answers", "data=maps&erase=no")


def test_start_again(guide):
    root = guide(**GROUP)
    root.get_by_role("button", name="Start again").click()
    expect(root).to_have_attribute("data-answers", "")
    assert on_path(root) == ["data"]
    expect(root.get_by_role("radio").first).to_be_focused()
    expect(root.get_by_role("radio", checked=True)).to_have_count(0)


def test_why_not_names_every_other_one_once(guide):
    root = guide(**GROUP)
    others = root.get_by_role("region", name="Why not the others")
    names = others.locator("b").all_inner_texts()
    assert sorted(names) == sorted(row.label for key, row in ADVICE.items() if key != "group")
    reasons = others.get_by_role("listitem").all_inner_texts()
    assert len(reasons) == 5
    assert "Answer 1: “Images or maps”" in reasons[0]


# ---- the keyboard ----------------------------------------------------------------------------------------------------


def test_the_guide_works_by_keyboard(guide):
    root = guide()
    keyboard = root.page.keyboard
    keyboard.press("Tab")
    expect(option(root, "data", "maps")).to_be_focused()
    keyboard.press("Space")
    expect(root).to_have_attribute("data-question", "erase")
    # Arrow keys move through the answers, and the explanation of the question stays visible.
    keyboard.press("ArrowUp")
    expect(root).to_have_attribute("data-advice", "weight_norm")
    keyboard.press("ArrowUp")
    expect(root).to_have_attribute("data-advice", "layer")
    keyboard.press("ArrowUp")
    keyboard.press("ArrowUp")
    expect(option(root, "data", "tokens")).to_be_focused()
    expect(root.get_by_text(QUESTIONS["data"].note)).to_be_visible()
    # Tab moves to the next question, with no other stop in between.
    keyboard.press("Tab")
    expect(option(root, "centring", "yes")).to_be_focused()
    expect(root.get_by_text(QUESTIONS["data"].note)).to_be_hidden()
    # Enter chooses an answer and moves to the next question, and at the end to the advice.
    keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    expect(option(root, "centring", "yes")).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    expect(root).to_have_attribute("data-advice", "rms")
    expect(root.get_by_role("heading", name="RMS Norm")).to_be_focused()
    keyboard.press("Tab")
    expect(root.get_by_role("application")).to_be_focused()
    for key in ("Shift+ArrowLeft", "PageDown", "ArrowRight", "]", "0"):
        keyboard.press(key)
    expect(root.locator("figure")).to_have_attribute("data-index", "1,1,4")
    assert "the set of cell (1, 1, 4) is n 1, c 0 to 7, l 4; 8 of 192 cells." in root.locator("figcaption").inner_text()
    # Back to an earlier answer: the focus stays.
    option(root, "data", "steps").press("ArrowDown")
    expect(root).to_have_attribute("data-advice", "weight_norm")
    expect(option(root, "data", "weights")).to_be_focused()


def test_every_control_keeps_its_keys_from_jupyterlab(guide):
    root = guide(**GROUP)
    focusable = root.locator("button, input, select, pre, [tabindex='0']")
    assert focusable.count() > 17
    assert not focusable.evaluate_all("all => all.filter((e) => e.dataset.lmSuppressShortcuts !== 'true').length")


# ---- the set ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ADVICE)
def test_the_lit_set_is_the_one_that_python_gives(guide, key):
    answers = next(each for each in PATHS if nv.chooser(**each).advice.key == key)
    root = guide(**answers)
    expect(root).to_have_attribute("data-advice", key)
    figures = root.locator("figure")
    assert figures.count() == len(ADVICE[key].drawn)
    for k, one in enumerate(ADVICE[key].drawn):
        figure, pool = figures.nth(k), nv.pooling(one.method, one.shape, one.num_groups)
        index = tuple(int(i) for i in figure.get_attribute("data-index").split(","))
        assert figure.get_attribute("data-set") == (as_text(pool.set_of(index)) if one.pooled else "")
        lit = sum(len(figure.locator(f".nv-set.{face}").get_attribute("d")) for face in ("top", "front", "side"))
        assert (lit > 0) == one.pooled
        # A cell in another sample, another channel, another place.
        stage = figure.get_by_role("application")
        for press in ("Shift+ArrowLeft", "PageDown", "PageDown", "PageDown"):
            stage.press(press)
        index = tuple(int(i) for i in figure.get_attribute("data-index").split(","))
        assert index[1] == 3
        assert figure.get_attribute("data-set") == (as_text(pool.set_of(index)) if one.pooled else "")
        if one.pooled:
            assert f"; {pool.size} of " in figure.locator("figcaption").inner_text()


def test_a_click_chooses_the_cell_under_it_and_a_drag_turns(guide):
    root = guide(**GROUP)
    figure = root.locator("figure")
    stage = figure.get_by_role("application").bounding_box()
    outline = figure.locator(".nv-outline").get_attribute("d")
    # The front of the first sample.
    root.page.mouse.click(stage["x"] + 55, stage["y"] + stage["height"] * 0.6)
    expect(figure).to_have_attribute("data-set", "0:1,0:2,0:6,0:6")
    root.page.mouse.move(stage["x"] + 200, stage["y"] + 60)
    root.page.mouse.down()
    root.page.mouse.move(stage["x"] + 240, stage["y"] + 80, steps=4)
    root.page.mouse.up()
    drawn(root.page)
    assert figure.locator(".nv-outline").get_attribute("d") != outline
    expect(figure).to_have_attribute("data-set", "0:1,0:2,0:6,0:6")


# ---- the address -----------------------------------------------------------------------------------------------------


def test_the_address_keeps_the_answers_and_brings_them_back(guide, page, tmp_path):
    root = guide()
    assert address(page) == ""
    give(root, GROUP)
    link = "#data=maps&erase=no&pretrained=no&samples=few&freedom=nothing"
    assert address(page) == link
    page.reload()
    expect(page.locator(".normviz[data-ready]")).to_have_attribute("data-advice", "group")
    # Another address of the same page, as after "back".
    page.evaluate("location.hash = '#data=maps&erase=yes&style=list'")
    expect(page.locator(".normviz")).to_have_attribute("data-advice", "conditional_instance")
    # The address takes precedence over the answers from Python; invalid answers in it are ignored.
    root = guide("#data=maps&erase=nonsense&style=list", data="steps")
    expect(root).to_have_attribute("data-answers", "data=maps")
    root = guide("#colour=blue", data="steps")
    page.reload()
    expect(page.locator(".normviz[data-ready]")).to_have_attribute("data-advice", "layer")


# ---- for everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "dark", "narrow", "forced"])
def test_axe_finds_no_violation_and_nothing_is_cut_off(new_page, guide, look):
    options = {"color_scheme": "dark" if look == "dark" else "light", "reduced_motion": "reduce"}
    if look == "forced":
        options["forced_colors"] = "active"
    page, axe = new_page(320 if look == "narrow" else 1100, **options), Axe()
    root = guide(on=page)
    assert root.get_attribute("data-theme") == ("dark" if look == "dark" else "light")
    for part in ({}, {"data": "maps"}, GROUP, GROUP | {"freedom": "learn"}, {"data": "steps"}):
        link = "&".join(f"{question}={answer}" for question, answer in part.items())
        page.evaluate("hash => { location.hash = hash; }", link)
        expect(root).to_have_attribute("data-answers", link)
        drawn(page)
        result = axe.run(page)
        assert not result.violations_count, f"{part}: {result.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The whole tree can be opened, and has no violation either.
    page.get_by_text("The whole decision tree").click()
    expect(page.locator(".nvp-still svg")).to_be_visible()
    assert not axe.run(page).violations_count
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_picture_is_there_where_no_script_runs(new_page, tmp_path):
    nv.chooser().to_html(tmp_path / "guide.html")
    page = new_page(java_script_enabled=False)
    page.goto((tmp_path / "guide.html").as_uri())
    expect(page.locator(".nvp-still svg")).to_be_visible()
    # And in a notebook's output.
    html = nv.chooser()._repr_mimebundle_()["text/html"]
    (tmp_path / "output.html").write_text(f"<!doctype html><meta charset=utf-8>{html}", encoding="utf-8")
    page.goto((tmp_path / "output.html").as_uri())
    picture = page.locator("img")
    expect(picture).to_be_visible()
    assert picture.get_attribute("alt").startswith("A decision tree of 10 questions that lead to 15 normalizers")


def test_every_text_of_the_picture_fits_into_its_box(page):
    """Chosen texts are bold, and so wider."""
    for answers in PATHS:
        page.set_content(nv.chooser(**answers).to_svg())
        outside = page.evaluate("""() => {
            const boxes = [...document.querySelectorAll('rect')].map((rect) => rect.getBBox());
            return [...document.querySelectorAll('text')].filter((text) => {
                const { x, y, width, height } = text.getBBox();
                const around = boxes.filter((box) => box.x <= x && x < box.x + box.width
                    && box.y <= y + height / 2 && y + height / 2 < box.y + box.height);
                return Math.min(...around.map((box) => box.x + box.width)) < x + width;
            }).map((text) => text.textContent);
        }""")
        assert outside == []


def test_a_notebooks_output_answers_in_its_frame(page):
    html = nv.chooser(data="vector")._repr_mimebundle_()["text/html"]
    assert json.loads(pages.Reader(pages.inside(html)).scripts[0])["answers"] == {"data": "vector"}
    page.goto("data:text/html;base64," + base64.b64encode(f"<!doctype html>{html}".encode()).decode())
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-drawn", "")
    root = frame.locator(".normviz[data-ready]")
    expect(root).to_have_attribute("data-question", "vectors")
    # A frame without an address works as well.
    option(root, "data", "weights").check()
    expect(root).to_have_attribute("data-advice", "weight_norm")
    expect(root.locator("figure")).to_have_attribute("data-set", "2:3,0:6,0:3,0:3")
    expect(root.get_by_text(ADVICE["weight_norm"].why)).to_be_visible()
