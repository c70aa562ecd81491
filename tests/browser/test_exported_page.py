"""The exported page, opened from the disk with every request refused: alive, light, and its state in its address."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

import normviz as nv
from tests.browser import host, reading
from tests.browser.reading import choose, drawn, expect, open_file, slider, state, status, wait_for

ADDRESS = "#method=group&G=4&i=0,3,1,1&step=2&view=paper&color=set"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """The page of the sample tensor."""
    path = tmp_path_factory.mktemp("page") / "normviz.html"
    nv.to_html(nv.samples.activations(), path)
    return path


def test_it_is_small(exported):
    assert exported.stat().st_size <= 200_000


def test_it_is_alive_with_no_network(page: Page, exported):
    """The page fixture refuses every request and fails if there was one, or an error."""
    root = open_file(page, exported)
    assert state(root) == {
        "method": "group", "num_groups": 4, "index": (0, 0, 0, 0), "set": "0:1,0:4,0:12,0:12", "step": 0,
    }  # fmt: skip
    for label, name in (
        ("Batch Norm", "batch"), ("Layer Norm", "layer"), ("Instance Norm", "instance"), ("Group Norm", "group"),
        ("Positional Layer Norm", "positional"), ("RMS Norm", "rms"),
    ):  # fmt: skip
        choose(root, label)
        pool = nv.pooling(name, (4, 16, 12, 12), 4 if name == "group" else None)
        assert state(root)["method"] == name
        assert state(root)["set"] == reading.as_text(pool.set_of((0, 0, 0, 0)))
        assert f"{pool.size} cells" in status(root)
    slider(root).press("Home")
    assert slider(root).get_attribute("aria-valuetext") == "G = 1"
    # Only one explorer, and no still picture left beside it.
    expect(page.locator(".normviz")).to_have_count(1)
    expect(page.locator(".nvp-still")).to_have_count(0)


def test_it_works_under_its_own_policy(new_page, exported):
    """Without `bypass_csp`, as a user's browser opens it; locators alone, for they evaluate no text."""
    page = new_page(bypass_csp=False)
    page.goto(exported.as_uri())
    root = page.locator(".normviz")
    expect(root).to_have_attribute("data-ready", "true")
    root.get_by_role("radio", name="Batch Norm").click()
    expect(root).to_have_attribute("data-method", "batch")
    root.get_by_role("slider", name="Groups G").press("Home")
    expect(root).to_have_attribute("data-num-groups", "1")
    for name in ("Code", "Tour", "End tour", "Predict"):
        root.get_by_role("button", name=name, exact=True).click()
    expect(root.get_by_role("region", name="Predict, then reveal")).to_be_visible()


def test_no_text_becomes_a_script_in_a_page(new_page, exported):
    page = new_page(bypass_csp=False, tolerated=("unsafe-eval",))
    page.goto(exported.as_uri())
    # From a timer, because Chromium lets the evaluated function itself pass.
    code = "() => new Promise((done) => setTimeout(() => { try { done(eval('1')); } catch (e) { done(e.name); } }))"
    assert page.evaluate(code) == "EvalError"


def test_a_click_picks_the_cell_under_it(page: Page, exported):
    """A cell on the front of each sample is lit where it is clicked: the picture and the arithmetic agree."""
    root = open_file(page, exported)
    for index in ((0, 0, 5, 5), (1, 0, 2, 9), (2, 0, 11, 0), (3, 0, 0, 11)):
        page.evaluate("hash => { location.hash = hash; }", f"i={','.join(map(str, index))}")
        wait_for(root, index=",".join(map(str, index)))
        drawn(page)
        box = root.locator("path.nv-cell.front").bounding_box()
        choose(root, "Layer Norm")
        page.wait_for_function("() => location.hash.includes('method=layer')")
        page.evaluate("() => { location.hash = 'i=0,7,7,7'; }")
        wait_for(root, index="0,7,7,7")
        drawn(page)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(root.get_by_text(f"({', '.join(map(str, index))})")).to_be_visible()
        page.mouse.down()
        page.mouse.up()
        assert state(root)["index"] == index


def test_a_drag_turns_and_does_not_pick(page: Page, exported):
    root = open_file(page, exported)
    stage = root.get_by_role("application")
    before = state(root)
    outline = root.locator("path.nv-outline")
    first = outline.get_attribute("d")
    box = stage.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=4)
    page.mouse.up()
    drawn(page)
    assert outline.get_attribute("d") != first
    assert state(root) == before
    # However far it is dragged, the same three faces stay in sight.
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3000, y - 3000, steps=3)
    page.mouse.up()
    drawn(page)
    faces = [root.locator(f"path.nv-rest.{face}").bounding_box() for face in ("top", "front", "side")]
    assert all(face and face["width"] > 4 and face["height"] > 4 for face in faces)
    root.get_by_role("button", name="Reset view").click()
    drawn(page)
    assert outline.get_attribute("d") == first


def test_the_steps_walk_and_play(page: Page, exported):
    page.clock.install()
    root = open_file(page, exported)
    steps = root.get_by_role("region", name="Step by step")
    for step in range(1, 6):
        steps.get_by_role("button", name="Next").click()
        assert state(root)["step"] == step
        assert (
            steps.locator("[aria-current=step]")
            .inner_text()
            .endswith(("Gather", "Mean", "Variance", "Normalize", "Scale and shift")[step - 1])
        )
    expect(steps.get_by_role("button", name="Next")).to_have_attribute("aria-disabled", "true")
    steps.get_by_role("button", name="Previous").click()
    assert state(root)["step"] == 4
    for _ in range(4):
        steps.get_by_role("button", name="Previous").click()
    steps.get_by_role("button", name="Play").click()
    for step in range(1, 6):
        wait_for(root, step=step)
        page.clock.run_for(2500)
    expect(steps.get_by_role("button", name="Play")).to_be_visible()


def test_play_sweeps_the_divisors(page: Page, exported):
    page.clock.install()
    root = open_file(page, exported)
    choose(root, "Batch Norm")
    # The clock also runs by itself, so on a slow machine more steps are made than are asked for.
    root.evaluate("""root => {
      const swept = (window.swept = []), look = () => swept.push(Number(root.dataset.numGroups));
      new MutationObserver(look).observe(root, { attributes: true, attributeFilter: ["data-num-groups"] });
    }""")
    root.get_by_role("button", name="Play the sweep of G").click()
    page.clock.run_for(4 * 1100)
    assert set(page.evaluate("window.swept")) == {1, 2, 4, 8, 16}
    assert state(root)["method"] == "group"
    root.get_by_role("button", name="Pause the sweep of G").click()
    paused = state(root)["num_groups"]
    page.clock.run_for(5000)
    assert state(root)["num_groups"] == paused


def test_the_address_opens_a_state(page: Page, exported):
    root = open_file(page, exported, ADDRESS)
    assert state(root) == {
        "method": "group", "num_groups": 4, "index": (0, 3, 1, 1), "set": "0:1,0:4,0:12,0:12", "step": 2,
    }  # fmt: skip
    assert root.get_attribute("data-view") == "paper"
    assert root.get_attribute("data-color") == "set"


def test_the_address_keeps_the_state(page: Page, exported):
    root = open_file(page, exported)
    assert "#" not in page.url
    choose(root, "Group Norm")
    slider(root).press("End")
    slider(root).press("ArrowLeft")
    root.get_by_role("application").press("ArrowRight")
    root.get_by_role("application").press("PageDown")
    root.get_by_role("radio", name="Paper figure").click()
    root.get_by_role("combobox", name="Color").select_option("partition")
    root.get_by_role("region", name="Step by step").get_by_role("button", name="Next").click()
    page.wait_for_function("() => location.hash.includes('step=1')")
    assert page.evaluate("location.hash") == "#method=group&G=8&i=0,1,0,1&step=1&view=paper&color=partition"
    before = state(root)
    page.reload()
    root = reading.ready(page)
    assert state(root) == before
    assert root.get_attribute("data-color") == "partition"


def test_a_new_address_changes_the_open_page(page: Page, exported):
    root = open_file(page, exported)
    page.evaluate("hash => { location.hash = hash; }", ADDRESS)
    wait_for(root, view="paper")
    assert state(root)["index"] == (0, 3, 1, 1)


@pytest.mark.parametrize(
    "bad",
    [
        "#method=grup&G=5&i=9,9&step=99&view=up&color=red",
        "#G=0&i=-1,0,0,0&step=-1",
        "#i=1e3,0,0,0&G=4.5",
        "#method=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "#method=__proto__&view=constructor&color=toString&mode=valueOf",
        "#&&==&%E0%A4%A",
        "#method=given&mode=eval",
    ],
)
def test_a_bad_address_is_ignored(page: Page, exported, bad):
    root = open_file(page, exported, bad)
    got = state(root)
    assert got["method"] == "group"
    assert got["num_groups"] in nv.divisors(16)
    assert got["set"] == reading.as_text(nv.pooling("group", (4, 16, 12, 12), got["num_groups"]).set_of(got["index"]))
    assert root.get_attribute("data-view") == "samples"
    assert root.get_attribute("data-color") == "set"
    choose(root, "Batch Norm")
    assert state(root)["method"] == "batch"


def test_words_of_the_user_stay_words(page: Page, tmp_path: Path):
    """Nothing in a title is taken for markup, and none of it ends the page's script."""
    title = "</script><img src=x onerror=alert(1)> <!-- <script> & \u2028 'quoted' \"twice\""
    nv.to_html(nv.show(host.tensor(2, 4, 3, 3), title=title), tmp_path / "title.html")
    root = open_file(page, tmp_path / "title.html")
    assert root.locator(".nv-heading").text_content() == " ".join(title.split())
    expect(page.locator("img")).to_have_count(0)


def test_without_scripts_the_picture_stays(new_page, exported):
    page = new_page(java_script_enabled=False)
    page.goto(exported.as_uri())
    expect(page.locator(".nvp-still > svg")).to_be_visible()
    expect(page.locator("noscript p")).to_be_visible()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_told(page: Page, tmp_path: Path, value):
    x = host.tensor(2, 4, 3, 3)
    x[0, 1, 1, 1] = value
    nv.to_html(nv.show(x, "instance", index=(0, 1, 0, 0)), tmp_path / "odd.html")
    root = open_file(page, tmp_path / "odd.html")
    assert ("NaN" in status(root)) or ("inf" in status(root))
    # They reach only their own set.
    root.get_by_role("application").press("PageUp")
    size, mean, var = reading.statistics_of(status(root))
    assert size == 9
    assert reading.shows(mean, float(x[0, 0].mean(dtype=float)))
    assert reading.shows(var, float(x[0, 0].var(dtype=float)))


@pytest.mark.parametrize(
    "x",
    [
        np.full((2, 4, 3, 3), 3.25),
        host.tensor(2, 4, 3, 3, dtype="float16"),
        host.tensor(4, 8, 6, 6)[::2, 1::2, :, ::-1],
        np.arange(72).reshape(2, 4, 3, 3),
        host.tensor(2, 4, 3, 3) > 0,
    ],
    ids=["constant", "float16", "strided", "integers", "booleans"],
)
def test_any_array_shows_its_own_numbers(page: Page, tmp_path: Path, x):
    nv.to_html(nv.show(x, "layer"), tmp_path / "x.html")
    root = open_file(page, tmp_path / "x.html")
    size, mean, var = reading.statistics_of(status(root))
    one = np.asarray(x[0], float)
    assert size == one.size
    assert reading.shows(mean, one.mean())
    assert reading.shows(var, one.var())


def test_a_large_tensor_is_drawn_aggregated_and_says_so(page: Page, tmp_path: Path):
    x = host.tensor(32, 256, 14, 14)
    nv.to_html(nv.show(x, num_groups=32, index=(3, 100, 7, 7)), tmp_path / "large.html")
    root = open_file(page, tmp_path / "large.html")
    expect(root.get_by_text("Drawn aggregated")).to_be_visible()
    size, mean, var = reading.statistics_of(status(root))
    members = np.asarray(x[nv.pooling("group", x.shape, 32).set_of((3, 100, 7, 7))], float)
    assert size == members.size
    # The numbers stay exact, whatever the drawing leaves out.
    assert reading.shows(mean, members.mean())
    assert reading.shows(var, members.var())
    one = np.asarray(x[3, :, 7, 7], float)
    for label, center, square in (("Positional Layer Norm", one.mean(), one.var()), ("RMS Norm", 0, (one**2).mean())):
        choose(root, label)
        _, mean, var = reading.statistics_of(status(root))
        assert reading.shows(mean, center), label
        assert reading.shows(var, square), label
