"""What a reader sees at every width: columns, whole numbers, letters that can be read, and a picture that stays put."""

import pytest
from playwright.sync_api import Locator, expect

import normviz as nv
from tests.browser import host
from tests.browser.reading import choose, drawn, open_file, radio, state

WIDTHS = (320, 360, 390, 480, 544, 560, 640, 700, 770, 850, 866, 960, 1100, 1400)
RELATIVES = [method.label for method in list(nv.METHODS.values())[4:]]

FAULTS = r"""(root) => {
  const found = [], top = (rects) => new Set([...rects].filter((r) => r.width > 0.5).map((r) => Math.round(r.bottom)));
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const node = texts.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility({ visibilityProperty: true })) continue;
    const scale = parent.ownerSVGElement ? parent.getScreenCTM().a : 1;
    const size = parseFloat(getComputedStyle(parent).fontSize) * scale;
    if (size < 9.9) found.push(`${size.toFixed(1)} px: ${node.data}`);
    if (parent.closest("pre")) continue;
    // A number with its sign, which in a difference is bound to it; digits in groups of three.
    for (const match of node.data.matchAll(/(?:−\u00a0\(?)?-?\d[\d.\u202f]*(?:·10)?/g)) {
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const lines = [...range.getClientRects()], long = lines.reduce((sum, r) => sum + r.width, 0);
      // Plain decimals, which a screen reader reads, may be longer than a line.
      if (top(lines).size > 1 && long < parent.clientWidth - 20) found.push(`torn: ${match[0]} in ${node.data}`);
    }
    if (parent.localName === "sup" && parent.previousSibling) {
      range.selectNodeContents(parent.previousSibling);
      const [before] = [...range.getClientRects()].slice(-1), after = parent.getBoundingClientRect();
      if (Math.abs(before.right - after.left) > 3) found.push(`torn: ${parent.previousSibling.data}^${node.data}`);
    }
  }
  for (const label of root.querySelectorAll("dt, button, label, .nv-swatch, .nv-method, .nv-cellname")) {
    if (!label.checkVisibility()) continue;
    range.selectNodeContents(label);
    const lines = [...range.getClientRects()].filter((r) => r.width > 0.5)
      .map((r) => (r.top + r.bottom) / 2).sort((a, b) => a - b);
    const apart = lines.filter((y, k) => k && y - lines[k - 1] > 9).length;
    if (apart > 1) found.push(`${apart + 1} lines: ${label.textContent}`);
  }
  return [...new Set(found)];
}"""

WALK = """async ([widths, faults]) => {
  const root = document.querySelector(".normviz"), find = eval(faults), found = [];
  const frame = () => new Promise(requestAnimationFrame);
  const drawing = root.querySelector(".nv-svg");
  const fits = () => Math.abs(drawing.viewBox.baseVal.width - drawing.getBoundingClientRect().width) < 1.5;
  const painted = async () => {
    for (let k = 0; k < 3; k++) await frame();
    while (!fits()) await frame();
  };
  for (const method of ["batch", "group", "rms", "weight_standardization"]) {
    root.querySelector(`[role=radio][data-value=${method}]`).click();
    for (const step of [2, 3, 4, 5]) {
      root.querySelectorAll(".nv-step-name")[step].click();
      for (const width of widths) {
        root.style.width = `${width}px`;
        await painted();
        for (const fault of find(root)) found.push(`${method}, step ${step}, ${width} px: ${fault}`);
      }
    }
  }
  return found;
}"""


@pytest.mark.parametrize("kind", ["samples", "large numbers", "small numbers"])
def test_no_number_is_torn_and_no_label_is_small(page, tmp_path, kind):
    """Nor does any label have three lines."""
    scale = {"samples": 1, "large numbers": 1.7e12, "small numbers": 3.1e-17}[kind]
    x = nv.samples.activations() if kind == "samples" else scale * (host.tensor(3, 12, 9, 7) - 40)
    nv.to_html(nv.show(x, index=(0, 5, 4, 3)), tmp_path / "page.html")
    open_file(page, tmp_path / "page.html")
    found = page.evaluate(WALK, [[width - 24 for width in WIDTHS], FAULTS])
    assert not found, "\n".join(found[:20])


def test_the_check_of_letters_can_fail(page, exported):
    root = open_file(page, exported)
    root.evaluate(
        """root => {
            root.querySelector(".nv-words").innerHTML =
                "<span style='display: block; width: 14ch; word-break: break-all'>aaaaaaaaaa-0.12345</span>";
            root.querySelector("dt").textContent = "one two three";
            root.querySelector("dt").style.cssText = "width: 1px; white-space: normal";
            root.querySelector(".nv-where").style.fontSize = "9px";
        }"""
    )
    found = " ".join(root.evaluate(FAULTS))
    assert "torn: -0.12345" in found
    assert "3 lines: one two three" in found
    assert "9.0 px: " in found


PLACES = """root => [...root.querySelectorAll(".nv-card")].map((card) => {
    const { x, y } = card.getBoundingClientRect();
    return [Math.round(x), Math.round(y)];
})"""


def test_the_cards_stand_in_three_columns_in_two_and_in_one(page, exported):
    root = open_file(page, exported)
    for width, columns in ((1100, 3), (900, 3), (850, 2), (700, 2), (580, 2), (500, 1), (320, 1)):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("width => innerWidth === width", arg=width)
        (x, y), second, third = root.evaluate(PLACES)
        assert (second[1] == y) == (columns > 1), width
        assert (third[1] == y) == (columns > 2), width
        assert (third[0] == x) == (columns < 3), width


# ---- the relatives ---------------------------------------------------------------------------------------------------


def place(root: Locator) -> tuple[float, ...]:
    """Where the picture, the slider and the cards stand."""
    found = root.evaluate(
        """root => [".nv-stage", ".nv-track", ".nv-status", ".nv-panel"].map((part) =>
            root.querySelector(part).getBoundingClientRect().y)"""
    )
    return tuple(found)


@pytest.mark.parametrize("width", [320, 390, 545, 575, 620, 700, 860, 880, 960, 1000, 1040, 1100])
def test_more_methods_leave_the_picture_in_its_place(page, exported, width):
    """Neither unfolding them nor choosing any moves it."""
    page.set_viewport_size({"width": width, "height": 900})
    root = open_file(page, exported)
    page.wait_for_function("width => innerWidth === width", arg=width)
    choose(root, "Batch Norm")
    drawn(page)
    before = place(root)[:2]
    for label in RELATIVES:
        root.get_by_role("button", name="More", exact=True).click()
        assert place(root)[:2] == before, label
        box = radio(root, label).bounding_box()
        assert box["x"] >= 0, label
        assert box["x"] + box["width"] <= width, label
        radio(root, label).click()
        drawn(page)
        assert place(root)[:2] == before, label
        # It folds, and the chosen one stays in sight.
        expect(root.get_by_role("button", name="More", exact=True)).to_have_attribute("aria-expanded", "false")
        expect(radio(root, label)).to_be_visible()
        expect(radio(root, label)).to_be_checked()
        assert root.get_by_role("radiogroup", name="Method").get_by_role("radio").count() == 5


def test_more_methods_by_keyboard(page, exported):
    root, keys = open_file(page, exported), page.keyboard
    more = root.get_by_role("button", name="More", exact=True)
    more.focus()
    keys.press("Enter")
    expect(radio(root, "RMS Norm")).to_be_visible()
    # The arrows go through all methods, and the list stays open.
    keys.press("Shift+Tab")
    expect(radio(root, "Group Norm")).to_be_focused()
    seen = set()
    for _ in nv.METHODS:
        keys.press("ArrowRight")
        seen.add(state(root)["method"])
        expect(radio(root, nv.METHODS[state(root)["method"]].label)).to_be_focused()
    assert seen == set(nv.METHODS)
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    # Escape folds it, and the explorer keeps the method; so does leaving it.
    keys.press("Escape")
    expect(more).to_be_focused()
    expect(more).to_have_attribute("aria-expanded", "false")
    keys.press("Enter")
    keys.press("Tab")
    expect(more).to_have_attribute("aria-expanded", "false")
    expect(radio(root, "Weight Norm")).to_be_hidden()
