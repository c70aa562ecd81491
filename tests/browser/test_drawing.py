"""What the picture tells besides the lit set: whose figure is chosen, how it is turned, what it does not know."""

import numpy as np
import pytest

import normviz as nv
from tests.browser import host
from tests.browser.reading import choose, drawn, expect, open_file, shows, slider, state, statistics_of, status


def test_the_figure_underlines_the_chosen_method(page, exported):
    root = open_file(page, exported, "#view=paper")
    for label, name in (("Layer Norm", "layer"), ("Batch Norm", "batch"), ("RMS Norm", "rms"), ("Group Norm", "group")):
        choose(root, label)
        drawn(page)
        chosen = root.locator(".nv-labels .nv-chosen")
        expect(chosen).to_have_count(1)
        assert chosen.get_attribute("data-method") == name


@pytest.mark.parametrize("width", [1100, 390])
def test_the_line_under_a_title_is_as_wide_as_the_title(new_page, exported, width):
    """Nearly: the fonts of readers differ, and the still picture cannot measure any."""
    page = new_page(width)
    root = open_file(page, exported, "#view=paper")
    for label in ("Group Norm", "Batch Norm", "Instance Norm"):
        choose(root, label)
        drawn(page)
        line, text = (root.locator(name).bounding_box() for name in (".nv-underline", ".nv-labels .nv-chosen"))
        assert line["width"] == pytest.approx(text["width"], rel=0.15)
        assert line["x"] + line["width"] / 2 == pytest.approx(text["x"] + text["width"] / 2, abs=2)


def test_keys_turn_the_cube_and_turn_it_back(root):
    stage, outline = root.get_by_role("application"), root.locator("path.nv-outline")
    first, reset = outline.get_attribute("d"), root.get_by_role("button", name="Reset view")
    expect(reset).to_be_hidden()
    stage.focus()
    for key in ("[", "]", "+", "-"):
        stage.press(key)
        drawn(root.page)
        assert outline.get_attribute("d") != first, key
        expect(reset).to_be_visible()
        stage.press("0")
        drawn(root.page)
        assert outline.get_attribute("d") == first
    assert state(root)["index"] == (0, 0, 0, 0)


@pytest.mark.parametrize("view", ["samples", "paper"])
@pytest.mark.parametrize("method", ["batch", "layer", "instance", "group", "positional"])
def test_every_number_in_the_picture_is_that_of_a_set(page, exported, view, method):
    """Where each set has its colour, each written number is a set's; where there is room for all, each set has one."""
    root = open_file(page, exported, f"#view={view}&color=partition&method={method}&G=4")
    drawn(page)
    written = [int(text) for text in root.locator(".nv-numbers text").all_text_contents()]
    methods = [method] if view == "samples" else ["batch", "layer", "instance", "group", "positional"]
    counts = [nv.pooling(name, (3, 16, 6, 7), 4 if name == "group" else None).count for name in methods]
    assert all(0 <= number < max(counts) for number in written)
    if view == "samples" and method in ("layer", "group"):
        assert sorted(written) == list(range(counts[0]))


def test_a_large_tensors_page_claims_no_value_it_does_not_have(page, tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 256, 14, 14)).astype(np.float32)
    nv.to_html(nv.show(x, index=(9, 70, 3, 3), step=4), tmp_path / "large.html")
    root = open_file(page, tmp_path / "large.html")
    lit = x[nv.pooling("group", x.shape, 4).set_of((9, 70, 3, 3))].astype(np.float64)
    assert f"mean {lit.mean():.5g}"[:12] in status(root)
    steps = root.get_by_role("region", name="Step by step")
    expect(steps).to_contain_text("needs a kernel")
    results = [text.strip() for text in steps.locator(".nv-result").all_text_contents()]
    assert results[4:] == ["?", "?"]
    expect(root.get_by_text("Single values need a running kernel.")).to_be_visible()


def test_the_kernels_answers_are_shown_also_where_they_are_no_numbers(page, tmp_path):
    x = host.tensor(2, 4, 200, 200)
    x[0, 0, 0, 0] = np.nan
    explorer, said = nv.Explorer(x, "positional"), []
    explorer.send = said.append
    root = open_file(page, host.write(tmp_path / "host.html", [host.model(x, "positional")]))
    for index in ((0, 0, 0, 0), (1, 2, 5, 7)):
        page.evaluate("(index) => models[0].receive({ index })", list(index))
        assert status(root).endswith("need a running kernel.")
        explorer._answer(explorer, page.evaluate("models[0].sent.at(-1)"), [])
        page.evaluate("(answer) => models[0].emit('msg:custom', answer)", said[-1])
        values = x[index[0], :, index[2], index[3]].astype(np.float64)
        for shown, value in zip(statistics_of(status(root))[1:], (values.mean(), values.var()), strict=True):
            assert shows(shown, value)
        drawn(page)
        assert shows(root.locator("[data-step='0'] .nv-result b").inner_text(), float(x[index]))


def test_a_long_batch_of_vectors_is_drawn_without_its_numbers(page, tmp_path):
    x = np.random.default_rng(0).normal(size=(4096, 512)).astype(np.float32)
    nv.to_html(nv.show(x, color="value"), tmp_path / "long.html")
    root = open_file(page, tmp_path / "long.html")
    assert status(root).endswith("128 cells, mean and variance need a running kernel.")
    expect(root.get_by_text("The numbers need a running kernel.")).to_be_visible()


def test_the_slider_says_why_not(root):
    track = slider(root)
    box = track.bounding_box()
    at_three = box["x"] + box["width"] * np.log(3) / np.log(16)
    root.page.mouse.click(at_three, box["y"] + box["height"] / 2)
    expect(root.get_by_text("G = 3 does not divide C = 16")).to_be_visible()
    assert state(root)["num_groups"] in (2, 4)


def test_what_was_chosen_during_the_tour_is_kept(root):
    root.get_by_role("button", name="Tour", exact=True).click()
    root.get_by_role("button", name="Next stop").click()
    choose(root, "Batch Norm")
    root.get_by_role("button", name="End tour").click()
    assert state(root)["method"] == "batch"


# Transitions of `d` that run in the frame after a drawing.
GLIDING = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(
  [...document.querySelectorAll("path.nv-set, path.nv-set-edge")].flatMap(path => path.getAnimations()).length))))"""


def test_a_set_glides_only_while_the_cubes_stay_in_their_places(root):
    page, stage = root.page, root.get_by_role("application")
    # A transition that ended before the test looked would count as none.
    page.add_style_tag(content=".nv-set, .nv-set-edge { transition-duration: 60s !important; }")
    page.set_viewport_size({"width": 700, "height": 900})
    assert page.evaluate(GLIDING) == 0
    stage.focus()
    stage.press("]")
    assert page.evaluate(GLIDING) == 0
    choose(root, "Instance Norm")  # as many faces as before: only such paths can glide
    assert page.evaluate(GLIDING) > 0


# Every element, with sorted attributes and classes; of one that is not shown only that.
TOLD = """(root) => {
  const told = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.hidden || node.style.display === "none") return `no ${node.localName}`;
    const classes = [...node.classList].filter((name) => name !== "nv-moved").sort();
    const rest = [...node.attributes].filter(({ name }) => name !== "class");
    const attributes = rest.map(({ name, value }) => `${name}=${value}`);
    const children = [...node.childNodes].map(told).filter((child) => child !== "");
    return [node.localName, classes.join(" "), attributes.sort(), node.value, children];
  };
  return JSON.stringify(told(root));
}"""


def test_a_view_that_was_changed_shows_what_a_new_one_shows(page, tmp_path):
    """Only what changes is set again, so after any changes every element must be as in a view that begins there."""
    running = nv.RunningStatistics(6)
    x = host.tensor(3, 6, 4, 5)
    running.update(x)
    first = host.model(x, weight=np.arange(6.0), statistics=running)
    states = [
        {"color": "normalized", "num_groups": 3},
        {"color": "gradient", "index": [1, 2, 3, 4], "step": 4},
        {"method": "batch", "color": "value"},
        {"mode": "eval", "step": 2},
        {"method": "rms", "mode": "train", "color": "partition"},
        {"view": "paper", "method": "weight_norm", "step": 5},
        {"method": "ghost_batch", "num_groups": 1, "color": "normalized"},
        {"presenter": True, "view": "samples"},
        {"presenter": False, "predict": True, "method": "instance"},
        {"predict": False, "controls": False, "color": "set"},
        {"method": "group", "num_groups": 6, "controls": True},
    ]
    reached, models = dict(first), [first]
    for change in states:
        reached |= change
        models.append(dict(reached))
    page.goto(host.write(tmp_path / "host.html", models).as_uri())
    page.wait_for_function(
        "window.loaded && document.querySelectorAll('.normviz[data-ready]').length === models.length"
    )
    roots = page.locator(".normviz")
    for k, change in enumerate(states, 1):
        page.evaluate("(change) => models[0].receive(change)", change)
        drawn(page)
        changed, new = (roots.nth(each).evaluate(TOLD) for each in (0, k))
        assert changed == new or models[k]["predict"], change  # a prediction hides the panel, and leaves it as it was
