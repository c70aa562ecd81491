"""Features for teaching in the browser: prediction, linked explorers, the link, the worksheet."""

import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator

import normviz as nv
from tests.browser import host
from tests.browser.reading import choose, drawn, expect, open_file

SHAPE = (3, 16, 6, 7)


def opened(page, path, **keywords) -> Locator:
    nv.to_html(nv.show(host.tensor(*SHAPE), "group", 4, index=(1, 5, 0, 2), **keywords), path)
    return open_file(page, path)


def mark(root: Locator, **ranges: tuple[int, int]) -> None:
    for axis, (first, last) in ranges.items():
        root.get_by_label(re.compile(f"^{axis} to, ")).fill(str(last))
        root.get_by_label(re.compile(f"^{axis} from, ")).fill(str(first))


def reveal(root: Locator) -> None:
    root.get_by_role("button", name="Reveal").press("Enter")


def counts(root: Locator) -> list[int]:
    text = root.locator(".nv-counts").inner_text()
    return [int(n) for n in re.findall(r"\d+", text)]


# ---- predict, then reveal --------------------------------------------------------------------------------------------


def test_nothing_tells_the_set_until_it_is_revealed(page, tmp_path):
    root = opened(page, tmp_path / "p.html", predict=True)
    expect(root.locator(".nv-panel")).to_be_hidden()
    assert root.get_attribute("data-set") == ""
    status = root.locator(".nv-status")
    expect(status).to_have_text("Group Norm, G = 4. Mark the pooling set of cell (1, 5, 0, 2).")
    lit = root.locator(".nv-set, .nv-ghost").evaluate_all("all => all.map((e) => e.getAttribute('d')).join('')")
    assert lit == ""
    for role, name in (("radiogroup", "View"), ("combobox", "Color"), ("button", "Tour")):
        expect(root.get_by_role(role, name=name, exact=True)).to_be_hidden()
    mark(root, c=(4, 7), h=(0, 5), w=(0, 6))
    reveal(root)
    assert counts(root) == [168, 0, 0]
    expect(root.locator(".nv-verdict")).to_have_text("Right: every cell of the set, and no other.")
    expect(root.locator(".nv-panel")).to_be_visible()
    assert root.get_attribute("data-set") == "1:2,4:8,0:6,0:7"


def test_the_two_sets_are_counted_as_numpy_counts_them(page, tmp_path):
    root = opened(page, tmp_path / "p.html", predict=True)
    mark(root, n=(0, 1), c=(5, 9), h=(0, 3), w=(2, 6))
    reveal(root)
    marked, truth = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    marked[0:2, 5:10, 0:4, 2:7] = True
    truth[nv.pooling("group", SHAPE, 4).set_of((1, 5, 0, 2))] = True
    expected = [int((marked & truth).sum()), int((~marked & truth).sum()), int((marked & ~truth).sum())]
    assert counts(root) == expected
    expect(root.locator(".nv-verdict")).to_have_text(
        "Not quite. Group Norm is different: along n it takes 1, not 0 to 1; along c it takes 4 to 7, not 5 to 9; "
        "along h it takes 0 to 5, not 0 to 3; along w it takes 0 to 6, not 2 to 6."
    )
    drawn(page)
    for kind in ("right", "missed", "extra"):
        assert root.locator(f".nv-answer.{kind}").get_attribute("d"), kind


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"c": (0, 15), "h": (0, 5), "w": (0, 6)}, "That is the set of Layer Norm."),
        ({"n": (0, 2), "h": (0, 5), "w": (0, 6)}, "That is the set of Batch Norm."),
        ({"h": (0, 5), "w": (0, 6)}, "That is the set of Instance Norm."),
        ({"c": (4, 5), "h": (0, 5), "w": (0, 6)}, "That is the set of Group Norm with G = 8."),
        ({"n": (0, 0)}, "Cell i itself is missing: every cell belongs to its own set."),
    ],
)
def test_a_mistake_gets_a_word(page, tmp_path, ranges, words):
    root = opened(page, tmp_path / "p.html", predict=True)
    mark(root, **ranges)
    reveal(root)
    verdict = root.locator(".nv-verdict").inner_text()
    assert verdict.startswith(f"{words} Group Norm is different: along ")


def test_the_question_names_what_the_cells_of_a_set_share(page, tmp_path):
    root = opened(page, tmp_path / "p.html", predict=True)
    question = root.locator(".nv-predict > .nv-caption")
    for label, statistic in (("Batch Norm", "mean and variance"), ("RMS Norm", "mean square")):
        choose(root, label)
        expect(question).to_contain_text(f"Which cells share the {statistic} of cell i = (1, 5, 0, 2) under {label}?")


def test_another_choice_is_another_question(page, tmp_path):
    root = opened(page, tmp_path / "p.html", predict=True)
    reveal(root)
    assert counts(root) == [1, 167, 0]
    choose(root, "Batch Norm")
    expect(root.locator(".nv-panel")).to_be_hidden()
    assert counts(root) == [1]
    question = root.locator(".nv-predict > .nv-caption").inner_text()
    root.get_by_role("button", name="Another question").click()
    expect(root.locator(".nv-predict > .nv-caption")).not_to_have_text(question)
    root.get_by_role("button", name="End", exact=True).click()
    expect(root.get_by_role("button", name="Predict")).to_be_focused()
    expect(root.locator(".nv-panel")).to_be_visible()


def test_a_drag_marks_a_box_and_a_click_grows_it(page, tmp_path):
    root = opened(page, tmp_path / "p.html", predict=True, title="t")
    drawn(page)
    box = root.locator(".nv-stage").bounding_box()
    # The positions of two cells on the front faces.
    front = root.locator(".nv-rest.front").get_attribute("d").split("M")[1:]
    corners = [[float(v) for v in part.rstrip("Z").split("L")[k].split()] for part in front for k in (0, 2)]
    first, last = corners[0], corners[-1]
    centre = [(first[0] + corners[1][0]) / 2, (first[1] + corners[1][1]) / 2]
    page.mouse.move(box["x"] + centre[0], box["y"] + centre[1])
    page.mouse.down()
    page.mouse.move(box["x"] + last[0] - 3, box["y"] + last[1] - 3, steps=4)
    page.mouse.up()
    values = root.locator(".nv-ranges input").evaluate_all("all => all.map((e) => e.valueAsNumber)")
    assert values[:4] == [0, 2, 0, 0]
    assert values[4] in (2, 3)
    assert values[5:] == [5, 3, 6]
    assert root.get_attribute("data-index") == "1,5,0,2"
    page.mouse.click(box["x"] + first[0] + 3, box["y"] + first[1] + 3)
    values = root.locator(".nv-ranges input").evaluate_all("all => all.map((e) => e.valueAsNumber)")
    assert values == [0, 2, 0, 0, 0, 5, 0, 6]


def test_python_gets_the_answer(page, tmp_path):
    page.goto(host.write(tmp_path / "h.html", [host.model(host.tensor(*SHAPE), "layer", predict=True)]).as_uri())
    root = page.locator(".normviz[data-ready]")
    mark(root, c=(0, 15))
    reveal(root)
    page.wait_for_function("models[0].values.answer")
    answer = page.evaluate("models[0].values.answer")
    assert answer["ranges"] == [[0, 1], [0, 16], [0, 1], [0, 1]]
    assert answer["truth"] == [[0, 1], [0, 16], [0, 6], [0, 7]]
    assert (answer["method"], answer["index"]) == ("layer", [0, 0, 0, 0])
    assert [answer[key] for key in ("right", "missed", "extra")] == [16, 656, 0]
    assert "Positional Layer Norm" in answer["says"]


@pytest.mark.parametrize("shape", [(3, 8), (2, 6, 5), (2, 4, 3, 2, 3)])
def test_every_rank_can_be_predicted(page, tmp_path, shape):
    nv.to_html(nv.show(host.tensor(*shape), "layer", predict=True), tmp_path / "p.html")
    root = open_file(page, tmp_path / "p.html")
    for axis in range(1, len(shape)):
        root.get_by_role("button", name=re.compile("^all ")).nth(axis).click()
    reveal(root)
    assert counts(root) == [nv.pooling("layer", shape).size, 0, 0]


# ---- linked explorers ------------------------------------------------------------------------------------------------


def test_what_moves_in_one_moves_in_all_but_the_method(page, tmp_path):
    nv.compare_methods(host.tensor(*SHAPE), ["batch", "group"], num_groups=4).to_html(tmp_path / "c.html")
    page.goto((tmp_path / "c.html").as_uri())
    left, right = (page.locator(".normviz[data-ready]").nth(k) for k in (0, 1))
    left.locator(".nv-stage").press("PageDown")
    left.get_by_role("button", name="Next", exact=True).click()
    expect(right).to_have_attribute("data-index", "0,1,0,0")
    expect(right).to_have_attribute("data-step", "1")
    right.get_by_role("radio", name="Paper figure").click()
    expect(left).to_have_attribute("data-view", "paper")
    choose(right, "Layer Norm")
    assert [left.get_attribute("data-method"), right.get_attribute("data-method")] == ["batch", "layer"]
    # The address keeps both, so a link opens both.
    page.wait_for_function("location.hash.includes('2.method=layer') && location.hash.includes('i=0,1,0,0')")
    side = [page.locator(".normviz").nth(k).bounding_box() for k in (0, 1)]
    assert side[0]["y"] == side[1]["y"]
    page.set_viewport_size({"width": 400, "height": 900})
    stacked = [page.locator(".normviz").nth(k).bounding_box() for k in (0, 1)]
    assert stacked[1]["y"] >= stacked[0]["y"] + stacked[0]["height"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# ---- the link --------------------------------------------------------------------------------------------------------


def test_the_link_opens_the_same_state(new_page, tmp_path):
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    root = opened(page, tmp_path / "p.html", presenter=False)
    choose(root, "Batch Norm")
    root.get_by_role("button", name="Predict").click()
    root.get_by_role("button", name="Copy link").click()
    expect(root.get_by_text("Link copied.")).to_be_visible()
    address = page.evaluate("navigator.clipboard.readText()")
    assert "method=batch" in address
    assert "predict=true" in address
    page.goto("about:blank")
    page.goto(address)
    again = page.locator(".normviz[data-ready]")
    expect(again).to_have_attribute("data-method", "batch")
    expect(again).to_have_attribute("data-index", "1,5,0,2")
    expect(again.get_by_role("button", name="Predict")).to_have_attribute("aria-pressed", "true")


def test_without_a_clipboard_the_address_is_there_to_be_copied(page, tmp_path):
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    root = opened(page, tmp_path / "p.html")
    root.get_by_role("button", name="Copy link").click()
    expect(root.get_by_text("Copying is not possible here. Copy the address by hand.")).to_be_visible()
    field = root.get_by_label("Address of this state")
    expect(field).to_be_focused()
    assert "method=group&G=4&i=1,5,0,2" in field.input_value()


def test_a_notebooks_frame_has_no_link(page, tmp_path):
    html = nv.show(host.tensor(*SHAPE))._repr_mimebundle_()["text/html"]
    (tmp_path / "n.html").write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
    page.goto((tmp_path / "n.html").as_uri())
    root = page.frame_locator("iframe").locator(".normviz[data-ready]")
    expect(root.get_by_role("button", name="Predict")).to_be_visible()
    expect(root.get_by_role("button", name="Copy link")).to_have_count(0)


# ---- for everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_axe_finds_no_violation(new_page, tmp_path, look):
    options = {"color_scheme": "dark" if look == "dark" else "light", "reduced_motion": "reduce"}
    page, axe = new_page(320 if look == "narrow" else 1100, **options), Axe()

    def check(part: str) -> None:
        drawn(page)
        result = axe.run(page)
        assert not result.violations_count, f"{part}: {result.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], part

    root = opened(page, tmp_path / "p.html", predict=True)
    mark(root, c=(0, 3))
    check("asking")
    reveal(root)
    check("revealed")
    root.get_by_role("button", name="End", exact=True).click()
    root.get_by_role("button", name="Present").click()
    check("presenter")
    nv.compare_methods(host.tensor(2, 4, 3, 3)).to_html(tmp_path / "c.html")
    page.goto((tmp_path / "c.html").as_uri())
    check("compared")
    nv.worksheet((2, 4, 3, 3), path=tmp_path / "w.html", key=tmp_path / "w.html")
    page.goto((tmp_path / "w.html").as_uri())
    result = axe.run(page)
    assert not result.violations_count, result.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_a_worksheet_prints_two_questions_a_sheet_and_the_key_apart(page, tmp_path, paper):
    for x in (None, (2, 4, 3, 3)):
        nv.worksheet(x, path=tmp_path / "w.html")
        for name in ("w.html", "w-key.html"):
            page.goto((tmp_path / name).as_uri())
            pdf = page.pdf(format=paper, prefer_css_page_size=False)
            assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 2, (x, name)


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (4, 8, 4, 4), (8, 4, 3, 3), (3, 8)])
def test_the_letters_of_a_worksheet_can_be_read_on_paper(page, tmp_path, shape):
    """At the width that is left of A4 and of letter, 8 points are the least."""
    nv.worksheet(shape, path=tmp_path / "w.html", key=tmp_path / "w.html")
    page.emulate_media(media="print")
    for millimetres in (210, 216):
        page.set_viewport_size({"width": round((millimetres - 28) / 25.4 * 96), "height": 1000})
        page.goto((tmp_path / "w.html").as_uri())
        points = page.locator("svg text").evaluate_all(
            "all => all.map((e) => e.getScreenCTM().a * parseFloat(getComputedStyle(e).fontSize) * 72 / 96)"
        )
        assert len(points) > 20
        assert min(points) >= 8
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
