"""Every control by keyboard, and the tour."""

import re

import pytest

import normviz as nv
from tests.browser import host
from tests.browser.reading import choose, drawn, expect, open_file, radio, slider, state


def test_the_slider_by_keyboard(root):
    thumb = slider(root)
    thumb.focus()
    for key, groups in (
        ("Home", 1), ("ArrowRight", 2), ("ArrowUp", 4), ("ArrowRight", 8), ("ArrowRight", 16), ("ArrowRight", 16),
        ("ArrowLeft", 8), ("ArrowDown", 4), ("End", 16), ("Home", 1), ("ArrowLeft", 1),
    ):  # fmt: skip
        root.page.keyboard.press(key)
        assert (state(root)["method"], state(root)["num_groups"]) == ("group", groups), key
    # From another method it selects Group Norm, starting where that method stands.
    choose(root, "Instance Norm")
    thumb.press("ArrowLeft")
    assert (state(root)["method"], state(root)["num_groups"]) == ("group", 8)


def test_the_cube_by_keyboard(root):
    stage = root.get_by_role("application")
    stage.focus()
    for key, index in (
        ("ArrowRight", (0, 0, 0, 1)), ("ArrowDown", (0, 0, 1, 1)), ("ArrowLeft", (0, 0, 1, 0)),
        ("ArrowLeft", (0, 0, 1, 0)), ("ArrowUp", (0, 0, 0, 0)), ("PageDown", (0, 1, 0, 0)),
        ("PageDown", (0, 2, 0, 0)), ("PageUp", (0, 1, 0, 0)), ("Shift+ArrowRight", (1, 1, 0, 0)),
        ("Shift+ArrowDown", (2, 1, 0, 0)), ("Shift+ArrowRight", (2, 1, 0, 0)), ("Shift+ArrowLeft", (1, 1, 0, 0)),
        ("Shift+ArrowUp", (0, 1, 0, 0)), ("ArrowUp", (0, 1, 0, 0)),
    ):  # fmt: skip
        root.page.keyboard.press(key)
        assert state(root)["index"] == index, key


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3), (2, 2, 2, 2, 2)], ids=["rank 2", "rank 3", "rank 5"])
def test_every_cell_of_every_rank_by_keyboard(page, tmp_path, shape):
    nv.to_html(nv.show(host.tensor(*shape), num_groups=1), tmp_path / "rank.html")
    root = open_file(page, tmp_path / "rank.html")
    root.get_by_role("application").focus()
    seen = set()
    across = shape[-1] if len(shape) > 2 else 1
    down, deep = shape[2] * shape[3] if len(shape) == 5 else 1, shape[1]

    def walk(steps: int, there: str, inner=lambda: seen.add(state(root)["index"])) -> None:
        inner()
        for _ in range(steps - 1):
            page.keyboard.press(there)
            inner()
        back = there.replace("Right", "Left") if "Right" in there else there.replace("Down", "Up")
        for _ in range(steps - 1):
            page.keyboard.press(back)

    def row() -> None:
        walk(across, "ArrowRight")

    def slab() -> None:
        walk(down, "ArrowDown", row)

    def sample() -> None:
        walk(deep, "PageDown", slab)

    walk(shape[0], "Shift+ArrowRight", sample)
    assert len(seen) == host.tensor(*shape).size


def test_digits_choose_methods(root):
    root.get_by_role("application").focus()
    for key, name in zip("1234", ("batch", "layer", "instance", "group"), strict=True):
        root.page.keyboard.press(key)
        assert state(root)["method"] == name
    # But not where a digit is typed.
    box = root.get_by_role("spinbutton").nth(1)
    box.fill("2")
    assert state(root)["method"] == "group"
    assert state(root)["index"] == (0, 2, 0, 0)


def test_arrows_move_within_the_methods(root):
    choose(root, "Batch Norm")
    for key, label in (("ArrowRight", "Layer Norm"), ("ArrowDown", "Instance Norm"), ("ArrowLeft", "Layer Norm")):
        root.page.keyboard.press(key)
        expect(radio(root, label)).to_be_focused()
        expect(radio(root, label)).to_be_checked()
    # Round the end, past what is folded away.
    choose(root, "Batch Norm")
    root.page.keyboard.press("ArrowLeft")
    expect(radio(root, "Group Norm")).to_be_focused()


def test_tab_reaches_every_control_and_leaves_again(root):
    """No trap, no stop that cannot be seen, and one stop for a group of radios."""
    page, seen = root.page, []
    root.evaluate("root => { const e = document.createElement('button'); e.id = 'before'; root.before(e); e.focus(); }")
    while len(seen) < 60:
        page.keyboard.press("Tab")
        now = page.evaluate(
            """() => { const e = document.activeElement; if (!e.closest(".normviz")) return null;
                const box = e.getBoundingClientRect(), outline = getComputedStyle(e).outlineStyle;
                const visible = box.width > 0 && box.height > 0 && outline !== "none";
                return [e.getAttribute("aria-label") ?? e.textContent, visible]; }"""
        )
        if now is None:
            break
        seen.append(now)
    names = [name for name, _ in seen]
    assert all(visible for _, visible in seen), seen
    assert len(names) < 60, "focus never leaves the explorer"
    for name in ("Group Norm", "More", "Tour", "Groups G", "Samples", "Color", "Slice", "Next", "Values", "Code"):
        assert names.count(name) == 1, (name, names)
    assert sum(name.startswith("Activation tensor of shape (3, 16, 6, 7)") for name in names) == 1
    assert sum(name.startswith("index ") for name in names) == 4
    assert not {"Batch Norm", "Layer Norm", "Instance Norm"} & set(names)


def test_enter_and_space_press(root):
    root.get_by_role("button", name="Slice").focus()
    root.page.keyboard.press("Space")
    expect(root.get_by_role("button", name="Slice")).to_have_attribute("aria-pressed", "true")
    root.get_by_role("button", name="Code", exact=True).focus()
    root.page.keyboard.press("Enter")
    expect(root.get_by_role("region", name="Code", exact=True)).to_be_visible()


def test_keys_that_are_not_ours_stay_the_hosts(root):
    """Ctrl, Alt and Meta with a key belong to the browser and to the notebook."""
    stage, before = root.get_by_role("application"), state(root)
    for key in ("Control+ArrowRight", "Alt+2", "Control+1", "Escape", "a", "Enter"):
        stage.press(key)
    assert state(root) == before


def test_the_cube_turns_by_keyboard(root):
    stage, outline = root.get_by_role("application"), root.locator("path.nv-outline")
    first, before = outline.get_attribute("d"), state(root)
    seen = {first}
    for key in ("[", "-", "]", "+"):
        stage.press(key)
        drawn(root.page)
        seen.add(outline.get_attribute("d"))
    assert len(seen) >= 4
    stage.press("]")
    stage.press("0")
    drawn(root.page)
    assert outline.get_attribute("d") == first
    assert state(root) == before


# ---- the tour --------------------------------------------------------------------------------------------------------


def test_the_tour_plays_steps_and_gives_back(page, exported):
    page.clock.install()
    root = open_file(page, exported)
    choose(root, "Instance Norm")
    before = state(root)
    root.get_by_role("button", name="Tour").click()
    tour = root.get_by_role("region", name="Tour")
    expect(tour).to_be_visible()
    seconds, captions = 0, [tour.locator("[aria-live]").inner_text()]
    while seconds < 120 and tour.get_by_role("button", name="Pause").count():
        page.clock.run_for(1000)
        seconds += 1
        if (now := tour.locator("[aria-live]").inner_text()) != captions[-1]:
            captions.append(now)
    assert 40 <= seconds <= 90, "about a minute"
    assert len(captions) >= 6
    tour.get_by_role("button", name="Previous stop").click()
    assert tour.locator("[aria-live]").inner_text() == captions[-2]
    page.keyboard.press("Escape")
    expect(tour).to_have_count(0)
    expect(root.get_by_role("button", name="Tour")).to_be_focused()
    assert state(root) == before


def test_the_tour_tells_the_groups_that_it_shows(root):
    root.get_by_role("button", name="Tour").click()
    tour, told = root.get_by_role("region", name="Tour"), []
    following = tour.get_by_role("button", name="Next stop")
    while following.count():
        following.click()
        if counts := re.search(r"(\d+) groups of (\d+) neighboring channels", tour.locator("[aria-live]").inner_text()):
            first, stop = map(int, state(root)["set"].split(",")[1].split(":"))
            told.append((*map(int, counts.groups()), state(root)["num_groups"], stop - first))
    assert len(told) == 1
    assert told[0][:2] == told[0][2:]


def test_what_is_chosen_during_the_tour_is_kept(root):
    root.get_by_role("button", name="Tour").click()
    tour = root.get_by_role("region", name="Tour")
    tour.get_by_role("button", name="Next stop").click()
    choose(root, "Layer Norm")
    slider(root).press("Home")
    tour.get_by_role("button", name="End tour").click()
    expect(tour).to_have_count(0)
    assert (state(root)["method"], state(root)["num_groups"]) == ("group", 1)
