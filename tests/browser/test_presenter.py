"""The explorer in a lecture: it fills a projector's screen with large type, and a clicker walks the steps."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

import normviz as nv
from tests.browser import host
from tests.browser.fits import frame_of
from tests.browser.reading import choose, drawn, open_file, radio, slider, state

RELATIVES = [method.label for method in list(nv.METHODS.values())[4:]]


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the sample tensor for a lecture, with the statistics of training."""
    path, x = tmp_path_factory.mktemp("lecture") / "page.html", nv.samples.activations()
    running = nv.RunningStatistics(16)
    running.update(x)
    nv.to_html(nv.show(x, "batch", index=(0, 5, 6, 5), statistics=running, presenter=True), path)
    return path


def shown_results(root: Locator) -> list[bool]:
    """Of each step, whether its number is in sight."""
    return root.locator(".nv-step .nv-result").evaluate_all(
        "all => all.map((e) => e.textContent !== '' && e.checkVisibility({ visibilityProperty: true }))"
    )


# ---- the screen ------------------------------------------------------------------------------------------------------

SMALL = """(root) => {
  const found = [], texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const least = (e) => e.closest(".nv-method") ? 30 : e.closest(".nv-symbol, .nv-words, .nv-now") ? 28 : 20;
  while (texts.nextNode()) {
    const { data, parentElement: parent } = texts.currentNode;
    const drawn = data.trim() && parent.checkVisibility({ visibilityProperty: true });
    if (!drawn || parent.closest("sub, sup, .nv-status, .nv-numbers")) continue;
    const size = parseFloat(getComputedStyle(parent).fontSize) * (parent.ownerSVGElement?.getScreenCTM().a ?? 1);
    if (size < least(parent) - 0.1) found.push(`${size} px: ${data}`);
  }
  return found;
}"""

BEYOND = """(root) => {
  const page = document.scrollingElement, { innerWidth: wide, innerHeight: high } = window;
  const parts = ".nv-method, button, .nv-track, .nv-stage, .nv-symbol, .nv-words, .nv-now, .nv-step";
  const cut = [...root.querySelectorAll(parts)].filter((part) => part.checkVisibility()).filter((part) => {
    const { left, top, right, bottom } = part.getBoundingClientRect();
    return left < 0 || top < 0 || right > wide + 0.5 || bottom > high + 0.5;
  });
  const scrolls = [page, root].filter((e) => e.scrollHeight > e.clientHeight || e.scrollWidth > e.clientWidth);
  const { width, height } = root.getBoundingClientRect(), picture = root.querySelector(".nv-stage").clientHeight;
  const whole = width === wide && height === high;
  return { cut: cut.map((part) => part.textContent), scrolls: scrolls.length, whole, picture };
}"""


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1024, 768)])
def test_it_fills_a_projectors_screen_in_large_type(new_page, lecture, width, height, look):
    """In every method and step nothing scrolls and nothing is cut off, with all methods unfolded too."""
    page = new_page(width, height, color_scheme=look)
    root = open_file(page, lecture)
    expect(root).to_have_attribute("data-theme", look)
    for key in [str(k + 1) for k in range(4)] + [*RELATIVES, "Eval"]:
        if key.isdigit():
            page.keyboard.press(key)
        elif key == "Eval":
            choose(root, "Batch Norm")
            root.get_by_role("radio", name="Eval").click()
        else:
            choose(root, key)
        for step in range(6):
            page.evaluate("step => document.querySelectorAll('.nv-step-name')[step].click()", step)
            drawn(page)
            drawn(page)  # the picture follows where the texts need another height
            at = root.evaluate(BEYOND)
            picture = at.pop("picture")
            assert at == {"cut": [], "scrolls": 0, "whole": True}, (key, step)
            assert picture >= 200, (key, step)
            assert root.evaluate(SMALL) == [], (key, step)
            expect(root.locator(".nv-symbol")).to_be_visible()
    root.get_by_role("button", name="More", exact=True).click()
    for label in RELATIVES:
        box = radio(root, label).bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    assert root.evaluate(SMALL) == []
    assert root.evaluate(BEYOND)["scrolls"] == 0


def test_a_relative_leaves_the_picture_in_its_place(new_page, tmp_path):
    """On both screens, whether the slider stands beside the methods or below."""
    nv.to_html(nv.show(host.tensor(2, 8, 4, 4), presenter=True), tmp_path / "page.html")
    for width, height in ((1280, 720), (1024, 768)):
        page = new_page(width, height)
        root = open_file(page, tmp_path / "page.html")
        stage = root.locator(".nv-stage")
        before = stage.bounding_box()["y"]
        for label in RELATIVES:
            choose(root, label)
            drawn(page)
            assert stage.bounding_box()["y"] == before, (label, width)


def test_in_a_notebook_it_fits_its_frame(page, tmp_path):
    """And takes a clicker's keys once it was clicked."""
    html = nv.show(host.tensor(3, 16, 6, 7), presenter=True)._repr_mimebundle_()["text/html"]
    (tmp_path / "n.html").write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
    page.goto((tmp_path / "n.html").as_uri())
    _, inside = frame_of(page)
    root = inside.locator(".normviz")
    drawn(inside)
    assert root.evaluate(BEYOND)["scrolls"] == 0
    assert root.evaluate(SMALL) == []
    root.locator(".nv-method").click()
    page.keyboard.press("PageDown")
    expect(root).to_have_attribute("data-step", "1")
    page.keyboard.press("2")
    expect(root).to_have_attribute("data-method", "layer")


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_numbers_show_up_to_the_current_step(page, lecture):
    """The formula always; the status line has the mean and the variance from step 3 on."""
    root = open_file(page, lecture)
    now, status = root.locator(".nv-now"), root.locator(".nv-status")
    for step, name in enumerate(("Pick", "Gather", "Mean", "Variance", "Normalize", "Scale and shift")):
        drawn(page)
        assert shown_results(root) == [k <= step for k in range(6)]
        expect(root.locator(".nv-method")).to_have_text("Batch Norm")
        expect(root.locator(".nv-words")).to_contain_text("The cells of one channel, in all samples")
        expect(root.locator(".nv-symbol")).to_contain_text("=")
        expect(now).to_contain_text(f"{step} {name}")
        result = root.locator(".nv-step .nv-result").nth(step).inner_text()
        assert re.sub(r"\s", "", result) in re.sub(r"\s", "", now.inner_text())
        assert ("mean" in status.inner_text()) == (step >= 3)
        page.keyboard.press("PageDown")
    expect(root).to_have_attribute("data-step", "5")
    # All numbers at once, until the next step.
    page.keyboard.press("PageUp")
    page.keyboard.press(".")
    assert shown_results(root) == [True] * 6
    expect(root.get_by_role("button", name="Hide numbers")).to_be_visible()
    page.keyboard.press("PageUp")
    assert shown_results(root) == [True] * 4 + [False] * 2
    root.get_by_role("button", name="Show numbers").click()
    assert shown_results(root) == [True] * 6


def test_eval_says_what_it_is(page, lecture):
    """With no set, no size and no count of sets beside it."""
    root = open_file(page, lecture, "#mode=eval")
    said = (".nv-method", "Batch Norm in eval mode"), (".nv-symbol", "Fixed numbers per channel; no cells are pooled.")
    for leave in (False, True):
        if leave:
            page.keyboard.press("Escape")
        for part, text in said[leave:]:
            expect(root.locator(part)).to_have_text(text)
        expect(root.locator(".nv-words")).to_have_text(
            "Channel c = 5 uses the running mean and variance from training, whatever is in this batch."
        )
        for fact in ("size", "sets"):
            expect(root.locator(f"[data-fact={fact}]")).to_be_hidden()
        assert "cells share" not in root.inner_text().replace("\n", " ")
        assert root.get_attribute("data-set") == ""
    assert not root.locator(".nv-set, .nv-ghost").evaluate_all("all => all.map((e) => e.getAttribute('d')).join('')")


# ---- the keys --------------------------------------------------------------------------------------------------------


def test_the_keys_are_alive_as_the_page_opens(page, lecture):
    """Nothing has to be clicked first: steps, methods, groups, numbers and the way out."""
    root = open_file(page, lecture)
    for key, step in (("PageDown", 1), ("ArrowRight", 2), ("PageUp", 1), ("ArrowLeft", 0), ("PageUp", 0)):
        page.keyboard.press(key)
        assert state(root)["step"] == step, key
    for key, name in zip("1234", ("batch", "layer", "instance", "group"), strict=True):
        page.keyboard.press(key)
        assert state(root)["method"] == name
    for key, G in ((",", 2), (",", 1), (",", 1), ("/", 2), ("/", 4), ("/", 8), ("/", 16), ("/", 16), (",", 8)):
        page.keyboard.press(key)
        assert (state(root)["method"], state(root)["num_groups"]) == ("group", G), key
    page.keyboard.press("b")
    expect(root).to_have_attribute("data-numbers", "shown")
    page.keyboard.press("Escape")
    expect(root.get_by_role("button", name="Present")).to_be_focused()
    root.get_by_role("button", name="Present").click()
    expect(root.get_by_role("button", name="Forward")).to_be_focused()


def test_a_clicker_walks_the_steps_whatever_was_used_before(page, lecture):
    """Method buttons, the slider and the cube have page keys and arrows of their own, or none."""
    root = open_file(page, lecture)
    for use in (
        lambda: choose(root, "Group Norm"), lambda: choose(root, "RMS Norm"), lambda: slider(root).press("Home"),
        lambda: root.get_by_role("application").click(position={"x": 3, "y": 3}),
    ):  # fmt: skip
        use()
        before = state(root)
        page.keyboard.press("PageDown")
        page.keyboard.press("PageDown")
        page.keyboard.press("PageUp")
        assert state(root) == before | {"step": before["step"] + 1}
    # Escape folds the methods first.
    root.get_by_role("button", name="More", exact=True).click()
    page.keyboard.press("Escape")
    expect(radio(root, "Weight Norm")).to_be_hidden()
    expect(root.get_by_role("button", name="Leave")).to_be_visible()


def test_other_explorers_keep_their_keys(page, tmp_path):
    x = np.arange(48.0).reshape(1, 4, 3, 4)
    nv.to_html([nv.show(x), nv.show(x, presenter=True)], tmp_path / "two.html")
    open_file(page, tmp_path / "two.html", explorers=2)
    plain, presenting = (page.locator(".normviz").nth(k) for k in (0, 1))
    plain.locator(".nv-stage").press("PageDown")
    expect(plain).to_have_attribute("data-index", "0,1,0,0")
    expect(presenting).to_have_attribute("data-step", "0")
