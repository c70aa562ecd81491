"""For everybody: nothing that axe-core objects to, names and roles, and a line that speaks."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

import normviz as nv
from tests.browser import host, reading
from tests.browser.reading import choose, drawn, open_file, radio, slider, state, status

LABELS = ("Batch Norm", "Layer Norm", "Instance Norm", "Group Norm")


# ---- axe-core --------------------------------------------------------------------------------------------------------


def parts(root: Locator) -> Iterator[str]:
    """Bring one part of the explorer after another into sight."""
    yield "start"
    root.get_by_role("button", name="Code", exact=True).click()
    yield "code"
    choose(root, "RMS Norm")
    yield "more"
    root.get_by_role("radio", name="Paper figure").click()
    root.get_by_role("combobox", name="Color").select_option("partition")
    yield "paper, every set"
    root.get_by_role("radio", name="Samples").click()
    root.get_by_role("button", name="Values", exact=True).click()
    root.get_by_role("combobox", name="Color").select_option("value")
    choose(root, "Batch Norm")
    for _ in range(5):
        root.get_by_role("button", name="Next", exact=True).click()
    yield "values, last step"
    root.get_by_role("button", name="Tour").click()
    yield "tour"


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_axe_finds_no_violation(new_page, exported, look):
    # Colors on their way from one to another are no colors to judge.
    options = {"color_scheme": "dark" if look == "dark" else "light", "reduced_motion": "reduce"}
    page, axe = new_page(320 if look == "narrow" else 1100, **options), Axe()
    for part in parts(open_file(page, exported)):
        drawn(page)
        result = axe.run(page)
        assert not result.violations_count, f"{part}: {result.generate_report()}"


def test_axe_finds_a_violation_where_there_is_one(root):
    """The check can fail."""
    root.evaluate("root => root.querySelector('[role=slider]').removeAttribute('aria-label')")
    assert "aria-input-field-name" in Axe().run(root.page).generate_snapshot()


# ---- names and roles -------------------------------------------------------------------------------------------------


def test_the_methods_are_radios_with_these_names(root):
    for label in LABELS:
        expect(radio(root, label)).to_be_visible()
        radio(root, label).click()
        checked = root.get_by_role("radiogroup", name="Method").get_by_role("radio", checked=True)
        expect(checked).to_have_count(1)
        expect(checked).to_have_accessible_name(label)
    # The relatives wait behind "More".
    expect(radio(root, "RMS Norm")).to_be_hidden()
    more = root.get_by_role("button", name="More", exact=True)
    expect(more).to_have_attribute("aria-expanded", "false")
    more.click()
    expect(radio(root, "RMS Norm")).to_be_visible()
    expect(radio(root, "Positional Layer Norm")).to_be_visible()


def test_the_slider_says_which_g(root):
    thumb = slider(root)
    for key, value in (("value" + end, v) for end, v in (("text", "G = 4"), ("now", "4"), ("min", "1"), ("max", "16"))):
        expect(thumb).to_have_attribute(f"aria-{key}", value)
    # Another method's statistics stand at an end, as a ghost.
    for label, text in (("Layer Norm", "G = 1"), ("Instance Norm", "G = 16"), ("Group Norm", "G = 4")):
        choose(root, label)
        expect(thumb).to_have_attribute("aria-valuetext", text)
    thumb.press("Home")
    expect(root.get_by_text("Layer Norm's statistics")).to_be_visible()
    thumb.press("End")
    expect(root.get_by_text("Instance Norm's statistics")).to_be_visible()


def test_divisors_and_the_others_are_told_apart(page, tmp_path):
    """A number that does not divide C is on the scale, in grey, and says why it cannot be chosen."""
    nv.to_html(nv.show(host.tensor(2, 6, 3, 3)), tmp_path / "six.html")
    root = open_file(page, tmp_path / "six.html")
    titles = slider(root).evaluate("e => [...e.querySelectorAll('[title]')].map((t) => t.title)")
    for G in (4, 5):
        assert f"G = {G} does not divide C = 6" in titles
    for G in nv.divisors(6):
        assert any(re.match(rf"G = {G}:", title) for title in titles), titles
    box = slider(root).bounding_box()
    # The place of 5 on a logarithmic scale from 1 to 6.
    page.mouse.move(box["x"] + box["width"] * 0.898, box["y"] + 12)
    expect(root.get_by_text("G = 5 does not divide C = 6", exact=True)).to_be_visible()
    page.mouse.down()
    page.mouse.up()
    assert state(root)["num_groups"] == 6


def test_the_status_line_is_plain(root):
    for label in (*LABELS, "Positional Layer Norm", "RMS Norm"):
        choose(root, label)
        line = status(root)
        assert label in line
        size, *_ = reading.statistics_of(line)
        name = state(root)["method"]
        pool = nv.pooling(name, (3, 16, 6, 7), state(root)["num_groups"] if name == "group" else None)
        assert size == pool.size
        # The set in words: its first and last cell along each axis.
        where = zip("nchw", pool.set_of((0, 0, 0, 0)), strict=True)
        words = [
            f"{axis} {s.start} to {s.stop - 1}" if s.stop - s.start > 1 else f"{axis} {s.start}" for axis, s in where
        ]
        assert ", ".join(words) in line


def test_everything_is_right_when_the_handler_returns(root):
    """No frame, no timer: what a screen reader or a test asks in the same turn is already true."""
    got = root.evaluate(
        """root => {
            const all = (query) => [...root.querySelectorAll(query)];
            const radio = (name) => all("[role=radio]").find((e) => e.firstChild.textContent === name);
            const slider = root.querySelector("[role=slider]"), stage = root.querySelector("[role=application]");
            const event = (key) => new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
            const press = (e, key) => e.dispatchEvent(event(key));
            const read = () => [
              ...["method", "numGroups", "index", "set", "step"].map((key) => root.dataset[key]),
              root.querySelector("[aria-checked=true]").firstChild.textContent, slider.getAttribute("aria-valuetext"),
              root.querySelector("[role=status]").textContent.replace(/:.*/, "")];
            const out = [];
            radio("Batch Norm").click(); out.push(read());
            press(slider, "End"); out.push(read());
            press(stage, "ArrowRight"); out.push(read());
            all("button").find((e) => e.textContent === "Next").click(); out.push(read());
            press(root, "2"); out.push(read());
            return out;
        }"""
    )
    assert got == [
        ["batch", "4", "0,0,0,0", "0:3,0:1,0:6,0:7", "0", "Batch Norm", "G = 4", "Batch Norm"],
        ["group", "16", "0,0,0,0", "0:1,0:1,0:6,0:7", "0", "Group Norm", "G = 16", "Group Norm, G = 16"],
        ["group", "16", "0,0,0,1", "0:1,0:1,0:6,0:7", "0", "Group Norm", "G = 16", "Group Norm, G = 16"],
        ["group", "16", "0,0,0,1", "0:1,0:1,0:6,0:7", "1", "Group Norm", "G = 16", "Group Norm, G = 16"],
        ["layer", "16", "0,0,0,1", "0:1,0:16,0:6,0:7", "1", "Layer Norm", "G = 1", "Layer Norm"],
    ]


def test_every_control_asks_jupyterlab_for_its_keys(root):
    """JupyterLab takes keys before the page sees them, in some versions, unless the focused element itself says no."""
    root.get_by_role("button", name="Tour").click()
    root.get_by_role("button", name="Code", exact=True).click()
    focusable = root.locator("button, input, select, [tabindex]")
    assert focusable.count() > 20
    asks = focusable.evaluate_all(
        "all => all.filter((e) => e.dataset.lmSuppressShortcuts !== 'true').map((e) => e.outerHTML)"
    )
    assert not asks
