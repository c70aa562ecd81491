"""The panel under the cube, and what an explorer may carry besides x: code, values, running statistics, given sets."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page

import normviz as nv
from tests.browser import host, reading
from tests.browser.reading import choose, drawn, expect, open_file, slider, state, status, wait_for
from tests.browser.snippets import case

FRAMEWORKS = ("PyTorch", "NumPy", "JAX/Flax", "Keras", "JavaScript")


def shown(page: Page, tmp_path: Path, x: np.ndarray, *args, **keywords) -> Locator:
    """The explorer of x on an exported page."""
    nv.to_html(nv.show(x, *args, **keywords), tmp_path / "panel.html")
    return open_file(page, tmp_path / "panel.html")


def code(root: Locator) -> str:
    """The code that is shown."""
    drawn(root.page)
    return root.get_by_role("region", name="Code", exact=True).inner_text()


def test_the_code_follows_the_choice(root):
    root.get_by_role("button", name="Code", exact=True).click()
    seen = set()
    # Group Norm comes last, and stays.
    for row in sorted(nv.METHODS.values(), key=lambda row: row.name == "group"):
        choose(root, row.label)
        for framework in FRAMEWORKS:
            root.get_by_role("button", name=framework, exact=True).click()
            text = code(root)
            assert "{G}" not in text
            assert text not in seen, f"{row.label} in {framework} is the code of another choice"
            seen.add(text)
    root.get_by_role("button", name="PyTorch", exact=True).click()
    for key, groups in (("Home", 1), ("ArrowRight", 2), ("End", 16)):
        slider(root).press(key)
        assert f"GroupNorm({groups}, 16" in code(root)


TENSORS = {
    "channels first": ({}, 1, ()),
    "channels last": ({"channel_axis": -1, "weight": np.ones(6)}, -1, ("weight",)),
    "an entry each": (
        {"method": "layer", "weight": np.ones((6, 3, 2)), "bias": np.ones(6)},
        1,
        {"weight": (6, 3, 2), "bias": (6,)},
    ),
    "one position": ({"x": (4, 6, 1, 1), "method": "layer", "bias": np.ones((6, 1, 1))}, 1, {"bias": (6, 1, 1)}),
    "for each filter": ({"method": "weight_norm", "weight": np.ones(4)}, 1, {}),
}


@pytest.mark.parametrize("of", TENSORS)
def test_the_code_is_that_of_the_tensor(page, tmp_path, code_of, of):
    """It takes x, weight and bias as they were given, and has the eps of the explorer."""
    given, channel_axis, affine = TENSORS[of]
    shape = given.get("x", (4, 6, 3, 2))
    x = np.moveaxis(host.tensor(*shape), 1, channel_axis)
    root = shown(page, tmp_path, **given | {"x": x, "eps": 1e-3})
    root.get_by_role("button", name="Code", exact=True).click()
    for row in map(nv.METHODS.get, ("group", "layer", "weight_norm")):
        choose(root, row.label)
        own = {"weight": (4,)} if (of, row.name) == ("for each filter", "weight_norm") else affine
        own = {} if row.axes == "weights" and own is affine else own
        (wanted,) = code_of([case(row, shape, state(root)["num_groups"], channel_axis, own, 1e-3)])
        for framework in FRAMEWORKS:
            root.get_by_role("button", name=framework, exact=True).click()
            assert code(root).rstrip() == wanted[framework], (row.name, framework)


def test_the_code_can_be_copied(root):
    root.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    root.get_by_role("button", name="Code", exact=True).click()
    root.get_by_role("button", name="Copy", exact=True).click()
    expect(root.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert root.page.evaluate("navigator.clipboard.readText()").split() == code(root).split()
    # And the button's own name comes back.
    expect(root.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_the_values_stand_on_one_scale(root):
    """What moves from choice to choice is the set, never the scale."""
    axis = root.locator(".nv-axis")
    before, bars = axis.inner_html(), set()
    for label in ("Batch Norm", "Layer Norm", "Instance Norm"):
        choose(root, label)
        drawn(root.page)
        assert axis.inner_html() == before
        bars.add(root.locator(".nv-bars.before").get_attribute("d"))
    assert len(bars) == 3


def test_rms_takes_no_mean_and_says_so(root):
    choose(root, "RMS Norm")
    for _ in range(2):
        root.get_by_role("button", name="Next", exact=True).click()
    expect(root.locator("[aria-current=step]")).to_contain_text("Mean")
    expect(root.locator("[data-step='2']")).to_contain_text("no mean is taken")
    assert "mean square" in status(root)


def test_a_norm_is_a_sum_of_squares_and_says_so(page, tmp_path):
    v, g = host.tensor(3, 2, 2, 2), np.array([0.5, 2, 3])
    root = shown(page, tmp_path, v, "weight_norm", weight=g, index=(1, 0, 1, 1), step=3)
    drawn(page)
    expect(root.locator("[aria-current=step]")).to_contain_text("Squared norm")
    assert reading.shows(root.locator("[data-step='3'] .nv-result b").inner_text(), float((v[1] ** 2).sum()))
    # A sum, divided by nothing, of as many terms as there are weights in the filter.
    work = root.locator("[data-step='3'] .nv-formula").inner_text()
    assert "/" not in work
    assert "²" in work
    y = nv.normalize(v, "weight_norm", weight=g)[1, 0, 1, 1]
    assert reading.shows(root.locator("[data-step='5'] .nv-result b").inner_text(), float(y))
    root.get_by_role("button", name="Next", exact=True).click()
    root.get_by_role("button", name="Next", exact=True).click()
    expect(root.locator("[data-step='5'] .nv-formula")).to_contain_text("weight and bias of filter 1")
    # A gain a filter means nothing to activations.
    choose(root, "Layer Norm")
    drawn(page)
    expect(root.locator("[data-step='5'] .nv-formula")).to_contain_text("a weight per filter belongs to weights")


def test_weights_have_axes_of_their_own(root):
    choose(root, "Weight Standardization")
    drawn(root.page)
    assert "Cout 0, Cin 0 to 15, kH 0 to 5, kW 0 to 6" in status(root)
    assert root.locator(".nv-under .nv-field i").all_inner_texts() == ["Cout", "Cin", "kH", "kW"]
    for axis, length in zip(("Cout", "Cin", "kH", "kW"), (3, 16, 6, 7), strict=True):
        expect(root.get_by_label(f"index {axis}, 0 to {length - 1}", exact=True)).to_be_visible()
    stage = root.get_by_role("application")
    expect(stage).to_have_attribute(
        "aria-label", re.compile(r"^Weights of .* Page Down move along Cin, .* along Cout\.")
    )
    letters = root.locator(".nv-labels").text_content()
    assert "Cout = 2" in letters
    assert not re.search(r"\bn =", letters)
    choose(root, "Batch Norm")
    drawn(root.page)
    assert root.locator(".nv-under .nv-field i").all_inner_texts() == ["n", "c", "h", "w"]
    assert "n = 2" in root.locator(".nv-labels").text_content()


def test_ghost_batches_move_the_slider_over_the_divisors_of_n(page, tmp_path):
    root = shown(page, tmp_path, host.tensor(6, 16, 2, 2), "group", num_groups=8)
    choose(root, "Ghost Batch Norm")
    # The nearest divisor of N below 8 would be 6, slices of a single sample: choosing leaves them two.
    assert (state(root)["num_groups"], state(root)["set"]) == (3, "0:2,0:1,0:2,0:2")
    ghost = root.get_by_role("slider", name="Ghost batches G", exact=True)
    for key, G, said in (
        ("Home", 1, "Batch Norm's statistics"),
        ("ArrowRight", 2, "3 samples in a slice"),
        ("End", 6, "Instance Norm's statistics"),
    ):
        ghost.press(key)
        assert (state(root)["method"], state(root)["num_groups"]) == ("ghost", G)
        expect(ghost).to_have_attribute("aria-valuetext", f"G = {G}")
        expect(root.locator(".nv-hint")).to_have_text(f"G = {G}: {said}")
    expect(ghost).to_have_attribute("aria-valuemax", "6")
    root.get_by_role("button", name="Play the sweep of G", exact=True).click()
    assert (state(root)["method"], state(root)["num_groups"]) == ("ghost", 1)
    root.get_by_role("button", name="Pause the sweep of G", exact=True).click()
    ghost.press("End")
    choose(root, "Group Norm")
    assert (state(root)["num_groups"], state(root)["set"]) == (4, "0:1,0:4,0:2,0:2")
    expect(slider(root)).to_have_attribute("aria-valuemax", "16")


def test_the_address_keeps_ghost_batches(page, tmp_path):
    nv.to_html(nv.show(host.tensor(6, 16, 2, 2)), tmp_path / "ghost.html")
    root = open_file(page, tmp_path / "ghost.html", "#method=ghost&G=5")
    assert (state(root)["method"], state(root)["num_groups"]) == ("ghost", 3)
    root.get_by_role("slider", name="Ghost batches G", exact=True).press("End")
    page.wait_for_function("location.hash.includes('method=ghost&G=6')")


def test_batch_norm_couples_samples_and_the_others_do_not(root):
    couples = root.locator("[data-fact=couples]")
    for label, answer in (("Batch Norm", "yes"), ("Layer Norm", "no"), ("Instance Norm", "no"), ("Group Norm", "no")):
        choose(root, label)
        expect(couples).to_have_text(answer)


def test_the_panel_says_how_many_channels_a_set_pools(root):
    channels = root.locator("[data-fact=channels]")
    slider(root).press("Home")
    slider(root).press("ArrowRight")
    for label, answer in (
        ("Batch Norm", "one of 16"),
        ("Positional Layer Norm", "all 16"),
        ("Group Norm", "C/G = 8 of 16"),
    ):
        choose(root, label)
        expect(channels).to_have_text(answer)


def test_in_eval_mode_the_set_vanishes(page, tmp_path):
    """Batch Norm with running statistics pools nothing; the other methods have no such mode."""
    x = host.tensor(3, 4, 5, 5)
    running = nv.RunningStatistics(4)
    running.update(host.tensor(8, 4, 5, 5, seed=9))
    root = shown(page, tmp_path, x, "batch", statistics=running, mode="eval", index=(1, 2, 3, 4))
    assert state(root)["set"] == ""
    assert "eval mode" in status(root)
    expect(root.locator("[data-fact=channels]")).to_be_hidden()
    numbers = [text.strip(".,") for text in status(root).split() if text[0] in "-0123456789"]
    assert reading.shows(numbers[-2], float(running.mean[2]))
    assert reading.shows(numbers[-1], float(running.var[2]))
    drawn(page)
    assert not root.locator("path.nv-set-edge").get_attribute("d")
    y = nv.normalize(x, "batch", statistics=running)[1, 2, 3, 4]
    assert reading.shows(root.locator("[data-step='5'] .nv-result b").inner_text(), float(y), digits=4)
    mode = root.get_by_role("radiogroup", name="Mode", exact=True)
    mode.get_by_role("radio", name="Train", exact=True).click()
    assert state(root)["set"] == "0:3,2:3,0:5,0:5"
    mode.get_by_role("radio", name="Eval", exact=True).click()
    assert state(root)["set"] == ""
    choose(root, "Layer Norm")
    assert state(root)["set"] == "1:2,0:4,0:5,0:5"


def test_without_running_statistics_there_is_no_eval(root):
    expect(root.get_by_role("radiogroup", name="Mode", exact=True)).to_have_count(0)


def test_sets_that_are_no_blocks(page, tmp_path):
    """Labels from elsewhere: the set of a cell is all cells with its label."""
    x = host.tensor(2, 4, 3, 3)
    labels = np.arange(x.size).reshape(x.shape) % 3
    root = shown(page, tmp_path, x, labels=labels, index=(0, 0, 0, 1))
    assert state(root)["method"] == "given"
    members = np.asarray(x[labels == 1], float)
    size, mean, var = reading.statistics_of(status(root))
    assert size == members.size
    assert reading.shows(mean, members.mean())
    assert reading.shows(var, members.var())
    # The methods are still there to compare with, and the given sets to come back to.
    choose(root, "Layer Norm")
    assert state(root)["set"] == "0:1,0:4,0:3,0:3"
    choose(root, "Given sets")
    assert state(root)["method"] == "given"


def test_marks_are_drawn(page, tmp_path):
    marks = np.zeros((2, 4, 3, 3), bool)
    marks[1, 0, 2, 2] = True
    root = shown(page, tmp_path, host.tensor(2, 4, 3, 3), marks=marks)
    assert root.locator("path.nv-marks").get_attribute("d")
    root = shown(page, tmp_path, host.tensor(2, 4, 3, 3), marks=~marks & False)
    assert not root.locator("path.nv-marks").get_attribute("d")


def test_the_slice_opens_all_samples_at_the_channel(page, tmp_path):
    """A cell inside the box can be seen, and clicked, once what lies in front is an outline."""
    root = shown(page, tmp_path, host.tensor(2, 6, 5, 5), "instance", index=(0, 3, 2, 2))
    toggle, cell = root.get_by_role("button", name="Slice"), root.locator("path.nv-cell.front")
    assert not cell.get_attribute("d"), "a cell inside the box is not in sight"
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    drawn(page)
    # The three faces of what is taken away, in each sample, so that their colors can be compared.
    assert root.locator("path.nv-away").get_attribute("d").count("M") == 3 * 2
    box = cell.bounding_box()
    root.get_by_role("application").press("ArrowRight")
    drawn(page)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert state(root)["index"] == (0, 3, 2, 2)


def test_the_slice_says_where_it_opens_nothing(page, tmp_path):
    root = shown(page, tmp_path, host.tensor(2, 6, 5, 5), "instance", index=(0, 3, 2, 2))
    toggle, nothing = root.get_by_role("button", name="Slice"), "c = 0 is the front; Slice opens nothing"
    expect(root.locator(".nv-under")).to_contain_text("cell i is inside; Slice opens the box")
    toggle.click()
    expect(root.locator(".nv-under")).to_contain_text("click a cell, drag to turn")
    root.get_by_role("spinbutton", name="index c").fill("0")
    expect(root.locator(".nv-under")).to_contain_text(nothing)
    expect(toggle).to_have_attribute("title", nothing)
    # The classical figure has no slice.
    root.get_by_role("radio", name="Paper figure").click()
    expect(toggle).to_be_hidden()
    root.get_by_role("spinbutton", name="index c").fill("3")
    root.get_by_role("spinbutton", name="index n").fill("1")
    expect(root.locator(".nv-under")).to_contain_text("cell i is inside the box")


def test_a_cell_inside_is_seen_to_be_inside(page, tmp_path):
    """It is dashed, and a line leads up from it to its place on the top, which a cell on the front does not have."""
    root = shown(page, tmp_path, host.tensor(1, 6, 5, 5), index=(0, 3, 4, 2))
    ghost, top = root.locator("path.nv-cell-ghost"), root.locator("path.nv-rest.top").bounding_box()
    assert ghost.evaluate("ghost => getComputedStyle(ghost).strokeDasharray") != "none"
    places = []
    for channel in (1, 3, 4):
        root.get_by_role("spinbutton", name="index c").fill(str(channel))
        drawn(page)
        box = ghost.bounding_box()
        assert box["height"] > 0.6 * root.locator("path.nv-rest.front").bounding_box()["height"]
        places.append(box["y"])
    # The deeper the cell, the further back on the top its place is.
    assert top["y"] < places[2] < places[1] < places[0] < top["y"] + top["height"]
    root.get_by_role("spinbutton", name="index c").fill("0")
    drawn(page)
    assert not ghost.get_attribute("d")


@pytest.mark.parametrize("color", ["set", "partition", "value", "normalized", "gradient"])
@pytest.mark.parametrize("view", ["samples", "paper"])
def test_every_color_in_every_view(page, tmp_path, view, color):
    root = shown(page, tmp_path, host.tensor(3, 8, 4, 4), view=view, color=color)
    for label in ("Batch Norm", "RMS Norm", "Group Norm"):
        choose(root, label)
        drawn(page)
        fills = root.locator("svg.nv-svg > g > path[fill]").evaluate_all(
            "all => new Set(all.map((e) => e.getAttribute('fill'))).size"
        )
        assert (fills > 1) == (color != "set"), (label, fills)
    assert root.get_attribute("data-view") == view


def test_the_paper_view_shows_four_methods_at_once(root):
    root.get_by_role("radio", name="Paper figure").click()
    wait_for(root, view="paper")
    drawn(root.page)
    titles = root.locator("svg.nv-svg text[data-method]")
    assert titles.evaluate_all("all => all.map((e) => e.dataset.method)") == ["batch", "layer", "instance", "group"]
    # A click on one of them chooses it.
    box = root.locator("path.nv-rest.front").bounding_box()
    root.page.mouse.click(box["x"] + 20, box["y"] + box["height"] / 3)
    assert state(root)["method"] == "batch"


def test_heads_move_the_slider_and_have_the_ends_of_their_own_kind(page, tmp_path):
    root = shown(page, tmp_path, host.tensor(2, 12, 3), "per_head", num_groups=3, index=(1, 5, 2))
    assert state(root)["set"] == "1:2,4:8,2:3"
    heads = root.get_by_role("slider", name="Heads G", exact=True)
    for key, G, said in (
        ("Home", 1, "Positional Layer Norm's statistics"),
        ("ArrowRight", 2, "6 channels in a head"),
        ("End", 12, "1 channel in a head"),
    ):
        heads.press(key)
        assert (state(root)["method"], state(root)["num_groups"]) == ("per_head", G)
        expect(root.locator(".nv-hint")).to_have_text(f"G = {G}: {said}")
    choose(root, "Per-Head RMS Norm")
    heads.press("Home")
    expect(root.locator(".nv-hint")).to_have_text("G = 1: RMS Norm's statistics")
    assert "mean square" in root.get_by_role("status").first.text_content()


def test_the_slider_stands_where_group_norm_is_the_same_on_this_shape(page, tmp_path):
    """With one sample, that is so for Batch Norm too."""
    for shape, method, said in (
        ((1, 6, 3), "batch", "Batch Norm is like G = 6"),
        ((2, 6, 3), "batch", "no groups; the slider selects Group Norm"),
        ((2, 6, 1), "positional", "Positional Layer Norm is like G = 1"),
        ((2, 6, 1), "rms", "no groups; the slider selects Group Norm"),
    ):
        expect(shown(page, tmp_path, host.tensor(*shape), method).locator(".nv-hint")).to_have_text(said)
