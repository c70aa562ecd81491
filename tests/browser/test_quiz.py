"""The quiz in the browser: the lit cells, the verdict on an answer, and use by keyboard and without a network."""

import base64

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import normviz as nv
from tests import pages
from tests.browser.reading import drawn, expect, open_file

X = np.zeros((2, 6, 3, 4))


@pytest.fixture
def ask(page, tmp_path):
    """Open a quiz."""

    def opened(x=X, on=page, **keywords):
        nv.quiz(x, **keywords).to_html(tmp_path / "quiz.html")
        return open_file(on, tmp_path / "quiz.html")

    return opened


def lines(root):
    """The status lines: the last poke, and the verdict on the answer."""
    return root.get_by_role("status").all_inner_texts()


def place(root, index):
    for axis, i in zip("nchw", index, strict=True):
        root.get_by_label(f"{axis}, 0 to").fill(str(i))
        root.get_by_label(f"{axis}, 0 to").press("Tab")


def poke(root, index):
    place(root, index)
    root.get_by_role("button", name="Poke").click()


def answer(root, label, G=None):
    root.get_by_role("radio", name=label, exact=True).check()
    if G:
        root.get_by_role("combobox", name="Number of groups G").select_option(str(G))
    root.get_by_role("button", name="Answer").click()


def lit(root):
    """How many faces of drawn cells are lit on each side."""
    drawn(root.page)
    return {
        face: root.locator(f".nv-set.{face}").evaluate("path => (path.getAttribute('d') ?? '').split('Z').length - 1")
        for face in ("top", "front", "side")
    }


@pytest.mark.parametrize(
    ("method", "G", "size", "where", "faces"),
    [
        ("batch", None, 24, "n 0 to 1; c 2; h 0 to 2; w 0 to 3", {"top": 8, "front": 0, "side": 6}),
        ("layer", None, 72, "n 1; c 0 to 5; h 0 to 2; w 0 to 3", {"top": 24, "front": 12, "side": 18}),
        ("instance", None, 12, "n 1; c 2; h 0 to 2; w 0 to 3", {"top": 4, "front": 0, "side": 3}),
        ("group", 3, 24, "n 1; c 2 to 3; h 0 to 2; w 0 to 3", {"top": 8, "front": 0, "side": 6}),
        ("positional", None, 6, "n 1; c 0 to 5; h 0; w 3", {"top": 6, "front": 1, "side": 6}),
    ],
)
def test_a_poke_lights_exactly_the_set(ask, method, G, size, where, faces):
    root = ask(method=method, num_groups=G)
    assert lit(root) == {"top": 0, "front": 0, "side": 0}
    poke(root, (1, 2, 0, 3))
    assert lines(root)[0] == f"Poked (1, 2, 0, 3): {size} of 144 cells change ({where})."
    expect(root).to_have_attribute("data-answered", str(size))
    assert lit(root) == faces
    # The part of the set inside the cube shows as the dashed edges of a box.
    inside = root.locator(".nv-ghost").get_attribute("d")
    assert inside


def test_a_click_pokes_the_cell_under_it(ask):
    root = ask(method="instance")
    drawn(root.page)
    # The current cell, on the front of the second sample.
    box = root.locator(".nv-cell.front").bounding_box()
    root.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert lines(root)[0].startswith("Poked (1, 0, 1, 2): 12 of 144 cells change")
    expect(root).to_have_attribute("data-left", "2")


def test_right_and_wrong_answers_and_the_score(ask):
    root = ask(method=["group", "batch"], num_groups=3)
    # Nothing reveals the answer: all five methods are offered, and none is chosen.
    expect(root.get_by_role("radio")).to_have_count(5)
    expect(root.get_by_role("radio", checked=True)).to_have_count(0)
    answer(root, "Group Norm", 3)
    assert lines(root)[1] == "Poke a cell first."
    poke(root, (0, 0, 0, 0))
    root.get_by_role("button", name="Answer").click()
    assert lines(root)[1] == (
        "✓ Right. Here a set is one sample, 2 channels and all 12 positions, as in Group Norm with G = 3."
    )
    expect(root).to_have_attribute("data-score", "1")
    root.get_by_role("button", name="Next question").click()
    expect(root).to_have_attribute("data-question", "2")
    expect(root.get_by_role("radio", checked=True)).to_have_count(0)
    poke(root, (0, 0, 0, 0))
    answer(root, "Instance Norm")
    assert lines(root)[1] == (
        "✗ Wrong. Here a set is all 2 samples, one channel and all 12 positions: that is Batch Norm. Instance Norm "
        "would take one sample, one channel and all 12 positions: 12 cells, not 24. You named 1 of 2."
    )
    root.get_by_role("button", name="Start again").click()
    expect(root).to_have_attribute("data-score", "0")


def test_methods_with_the_same_sets_are_both_right(ask):
    """One sample: Batch Norm's sets are Instance Norm's."""
    for label, G in (("Batch Norm", None), ("Instance Norm", None), ("Group Norm", 6)):
        root = ask(np.zeros((1, 6, 3, 4)), method="batch")
        poke(root, (0, 0, 0, 0))
        answer(root, label, G)
        expect(root).to_have_attribute("data-verdict", "right")
        assert "On this shape" in lines(root)[1]
        assert "have the same sets and would be right as well." in lines(root)[1]
    root = ask(np.zeros((1, 6, 3, 4)), method="batch")
    poke(root, (0, 0, 0, 0))
    answer(root, "Layer Norm")
    assert "that is Batch Norm, Instance Norm or Group Norm with G = 6." in lines(root)[1]


def test_a_layer_with_sets_that_no_method_has(ask):
    root = ask(layer=_interleaved)
    poke(root, (0, 1, 0, 0))
    assert lines(root)[0].endswith("36 of 144 cells change (n 0; c 1, 3, 5; h 0 to 2; w 0 to 3).")
    # These sets have the size of Group Norm's, but other channels.
    answer(root, "Group Norm", 2)
    expect(root).to_have_attribute("data-verdict", "wrong")
    assert "no method of this list has such sets" in lines(root)[1]
    assert "also 36 cells, but other ones." in lines(root)[1]
    root.get_by_role("button", name="Start again").click()
    poke(root, (0, 1, 0, 0))
    answer(root, "None of these")
    expect(root).to_have_attribute("data-verdict", "right")


def _interleaved(x):
    groups = x.reshape(x.shape[0], -1, 2, *x.shape[2:])
    mean, var = groups.mean((1, 3, 4), keepdims=True), groups.var((1, 3, 4), keepdims=True)
    return ((groups - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)


def test_a_drawing_that_leaves_something_out_says_so(ask):
    root = ask(np.zeros((20, 40, 2, 3)), method="batch")
    expect(root.get_by_text("Samples 8 to 15 of 20 are drawn.")).to_be_visible()
    expect(root.get_by_text("A drawn cell stands for 2 cells")).to_be_visible()
    poke(root, (17, 39, 0, 0))
    expect(root.get_by_text("Samples 16 to 19 of 20 are drawn.")).to_be_visible()
    assert lines(root)[0] == "Poked (17, 39, 0, 0): 120 of 4800 cells change (n 0 to 19; c 39; h 0 to 1; w 0 to 2)."


def test_pokes_are_counted_until_the_answer(ask):
    root = ask(method="layer", pokes=1)
    poke(root, (0, 0, 0, 0))
    poke(root, (0, 0, 0, 0))  # the same again costs nothing, and shows it again
    place(root, (1, 0, 0, 0))
    expect(root.get_by_role("button", name="Poke (0 left)")).to_be_disabled()
    root.get_by_role("application").press("Enter")
    assert lines(root)[0] == "No pokes are left for (1, 0, 0, 0). Name the layer."
    expect(root).to_have_attribute("data-answered", "72")
    answer(root, "Layer Norm")
    poke(root, (1, 0, 0, 0))
    assert lines(root)[0].startswith("Poked (1, 0, 0, 0): 72 of 144")


def test_the_quiz_works_by_keyboard(ask):
    root = ask(method="group", num_groups=3)
    keyboard = root.page.keyboard
    root.get_by_role("application").focus()
    for key in ("Shift+ArrowLeft", "PageDown", "PageDown", "PageDown", "ArrowUp", "ArrowRight", "]", "Enter"):
        keyboard.press(key)
    assert lines(root)[0] == "Poked (0, 3, 0, 3): 24 of 144 cells change (n 0; c 2 to 3; h 0 to 2; w 0 to 3)."
    for _ in range(7):  # four fields, two buttons, the radios
        keyboard.press("Tab")
    keyboard.press("Space")
    for _ in range(3):
        keyboard.press("ArrowDown")
    expect(root.get_by_role("radio", name="Group Norm")).to_be_checked()
    # The radio buttons are one stop; G follows them.
    keyboard.press("Tab")
    keyboard.type("3")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(root).to_have_attribute("data-verdict", "right")
    expect(root.get_by_role("button", name="Start again")).to_be_focused()
    keyboard.press("Enter")
    expect(root.get_by_role("application")).to_be_focused()
    expect(root).to_have_attribute("data-verdict", "")


@pytest.mark.parametrize("look", ["dark", "narrow"])
def test_axe_finds_no_violation_and_nothing_is_cut_off(new_page, ask, look):
    options = {"color_scheme": "dark" if look == "dark" else "light", "reduced_motion": "reduce"}
    page, axe = new_page(320 if look == "narrow" else 1100, **options), Axe()
    root = ask(on=page, method=["positional", "batch"])
    for part in ("start", "poked", "answered"):
        if part == "poked":
            poke(root, (0, 3, 1, 1))
        elif part == "answered":
            answer(root, "Group Norm", 2)
        drawn(page)
        result = axe.run(page)
        assert not result.violations_count, f"{part}: {result.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert root.get_attribute("data-theme") == ("dark" if look == "dark" else "light")


def test_a_notebooks_output_answers_in_its_frame(page):
    html = nv.quiz(X, method="batch")._repr_mimebundle_()["text/html"]
    assert "startQuiz" in pages.inside(html)
    page.goto("data:text/html;base64," + base64.b64encode(f"<!doctype html>{html}".encode()).decode())
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-drawn", "")
    root = frame.locator(".normviz")
    root.get_by_role("button", name="Poke").click()
    expect(root).to_have_attribute("data-answered", "24")


def test_every_control_keeps_its_keys_from_jupyterlab(ask):
    root = ask(method="group", num_groups=2)
    root.get_by_role("radio", name="Group Norm").check()
    focusable = root.locator("button, input, select, [tabindex]")
    assert focusable.count() > 12
    assert not focusable.evaluate_all("all => all.filter((e) => e.dataset.lmSuppressShortcuts !== 'true').length")
