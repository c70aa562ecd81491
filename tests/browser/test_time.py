"""The explorer of a recorded layer: the slider "Time", Play, two charts, and the numbers of the step."""

import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

import normviz as nv
from normviz.explorer.svg import picture
from tests.browser import host
from tests.browser.fits import frame_of
from tests.browser.reading import NUMBER, drawn, open_file, shows, status, wait_for

torch = pytest.importorskip("torch", reason="a recording is made of a torch model")
nn = torch.nn

STEPS, SAMPLES, FEW, DEAD = 24, 6, 4, 9
"""Recorded steps; samples of a batch, and of the last batch; the step from which on one weight is 0."""
BATCH, GROUP, TOKENS = "maps.1", "maps.2", "norm"


class Net(nn.Module):
    """Batch and Group Norm of maps, and positional Layer Norm of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GroupNorm(4, 8), nn.Conv2d(8, 6, 1))
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Any) -> Any:
        return self.norm(self.maps(x).flatten(2).transpose(1, 2)).square().mean()


@pytest.fixture(scope="module")
def recording() -> Any:
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with nv.record(model, every=5) as r:
        for step in range(5 * STEPS):
            samples = FEW if step == 5 * (STEPS - 1) else SAMPLES
            # Louder by and by, so that the variance needs a logarithmic scale.
            loss = model(torch.randn(samples, 3, 6, 6) * math.exp(step / 40) + 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step >= 5 * DEAD - 1:
                with torch.no_grad():
                    model.maps[1].weight[2] = 0
    assert r.steps == [*range(0, 5 * STEPS, 5)]
    return r


@pytest.fixture(scope="module")
def pages(recording, tmp_path_factory) -> dict[str, Any]:
    """A page of each layer."""
    folder = tmp_path_factory.mktemp("time")
    found = {name: folder / f"{name}.html" for name in (BATCH, GROUP, TOKENS)}
    for name, path in found.items():
        recording.explore(name).to_html(path)
    return found


def slider(root: Locator) -> Locator:
    return root.get_by_role("slider", name="Time", exact=True)


def at(root: Locator) -> int:
    """The step at which the explorer is, as all of its places tell it."""
    step = root.get_attribute("data-time")
    assert slider(root).get_attribute("aria-valuetext") == f"step {step}"
    assert root.locator(".nv-time-step").inner_text() == f"step {step}"
    assert status(root).startswith(f"Step {step}. ")
    return int(step)


def pick(root: Locator, *index: int) -> None:
    """Pick a cell by the fields under the cube."""
    for axis, i in enumerate(index):
        root.locator(".nv-steppers input").nth(axis).fill(str(i))
    wait_for(root, index=",".join(map(str, index)))


# ---- moving ----------------------------------------------------------------------------------------------------------


def test_it_opens_at_the_last_step_or_at_the_one_asked_for(page, recording, pages, tmp_path):
    root = open_file(page, pages[BATCH])
    assert at(root) == 5 * (STEPS - 1)
    recording.explore(BATCH, time=40).to_html(tmp_path / "page.html")
    assert at(open_file(page, tmp_path / "page.html")) == 40


def test_keys_of_the_slider_move_time(page, pages):
    root = open_file(page, pages[BATCH], "#t=50")
    thumb = slider(root)
    expect(thumb).to_have_attribute("data-lm-suppress-shortcuts", "true")
    moves = {"ArrowRight": 55, "ArrowUp": 60, "ArrowLeft": 55, "ArrowDown": 50, "PageUp": 60, "PageDown": 50}
    for key, step in (moves | {"Home": 0, "End": 5 * (STEPS - 1)}).items():
        thumb.press(key)
        assert at(root) == step, key
    thumb.press("ArrowRight")
    assert at(root) == 5 * (STEPS - 1)
    # The keys of the cube do what they always do.
    root.get_by_role("application").press("PageDown")
    wait_for(root, index="0,1,0,0", time=5 * (STEPS - 1))


def test_the_slider_moves_by_the_pointer(page, pages):
    root = open_file(page, pages[GROUP])
    box = slider(root).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert at(root) in (55, 60)


PAUSE_AT = """(root, time) => new Promise((done) => {
  const watch = new MutationObserver(() => {
    if (Number(root.dataset.time) < time) return;
    watch.disconnect();
    root.querySelector('.nv-time-bar [aria-label="Pause"]').click();
    done(root.dataset.time);
  });
  watch.observe(root, { attributes: true, attributeFilter: ["data-time"] });
})"""


def test_play_stops_at_the_end_and_begins_again(page, pages):
    root = open_file(page, pages[BATCH], f"#t={5 * (STEPS - 4)}")
    line = root.get_by_role("status")
    play, pause = (root.get_by_role("button", name=name, exact=True) for name in ("Play", "Pause"))
    assert line.get_attribute("aria-live") is None
    play.click()
    expect(pause).to_have_count(1)
    expect(play).to_have_count(0)
    # It is not read out with every step, but once it stands.
    assert line.get_attribute("aria-live") == "off"
    expect(play).to_have_count(1)
    assert at(root) == 5 * (STEPS - 1)
    assert line.get_attribute("aria-live") is None
    play.click()
    assert at(root) == 0
    # A click from here could come after the end on a slow machine, so the page clicks.
    stopped = int(root.evaluate(PAUSE_AT, 10))
    assert stopped == at(root) == 10
    drawn(page)
    page.wait_for_timeout(900)  # longer than a step takes
    assert at(root) == stopped


def test_another_way_to_move_ends_the_play(page, pages):
    root = open_file(page, pages[BATCH], "#t=0")
    root.get_by_role("button", name="Play", exact=True).click()
    slider(root).press("Home")
    expect(root.get_by_role("button", name="Play", exact=True)).to_have_count(1)
    assert at(root) == 0


@pytest.mark.parametrize("name", ["mean", "variance"])
def test_a_click_or_a_drag_in_a_chart_moves_time(page, pages, name):
    root = open_file(page, pages[BATCH])
    chart = root.get_by_role("img", name=re.compile(f"^{name.title()} of the set over steps 0 to 115"))
    ends = chart.evaluate(
        """e => {
            const points = e.querySelector(".nv-time-line").getAttribute("d").slice(1).trim().split(" ").map(Number);
            const { left, top } = e.getBoundingClientRect();
            return { from: left + points[0], to: left + points[points.length - 2], y: top + 40 };
        }"""
    )
    place = lambda k: ends["from"] + (ends["to"] - ends["from"]) * k / (STEPS - 1)  # noqa: E731
    page.mouse.click(place(7.3), ends["y"])
    assert at(root) == 35
    page.mouse.move(place(3), ends["y"])
    page.mouse.down()
    for k in (4, 8.6, 12):
        page.mouse.move(place(k), ends["y"])
        assert at(root) == 5 * round(k)
    page.mouse.move(place(40), ends["y"])
    assert at(root) == 5 * (STEPS - 1)
    page.mouse.up()
    page.mouse.move(place(2), ends["y"])
    assert at(root) == 5 * (STEPS - 1)


def test_everything_is_right_when_the_handler_returns(page, pages):
    root = open_file(page, pages[BATCH])
    found = root.evaluate(
        """root => [0, 3, 11].map((value) => {
            const slider = root.querySelector("input[type=range]");
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            return [root.dataset.time, slider.getAttribute("aria-valuetext"), "ready" in root.dataset,
                root.querySelector("[role=status]").textContent.split(".")[0]];
        })"""
    )
    assert found == [[str(5 * k), f"step {5 * k}", False, f"Step {5 * k}"] for k in (0, 3, 11)]
    wait_for(root, ready="true")


# ---- the address -----------------------------------------------------------------------------------------------------


def test_the_address_keeps_time_and_moves_it(page, pages):
    root = open_file(page, pages[BATCH], "#t=45&i=2,3,1,1&color=value")
    assert at(root) == 45
    wait_for(root, index="2,3,1,1", color="value")
    slider(root).press("ArrowRight")
    page.wait_for_function("location.hash.includes('t=50')")
    address = page.evaluate("location.hash")
    assert address == "#i=2,3,1,1&color=value&t=50" or set(address[1:].split("&")) >= {"t=50", "i=2,3,1,1"}
    assert at(open_file(page, pages[BATCH], address)) == 50
    page.evaluate("location.hash = 't=10'")
    wait_for(root, time=10)
    expect(root.locator(".nv-alert")).to_be_hidden()


@pytest.mark.parametrize("asked", ["t=47", "t=-5", "t=", "t=ten", "t=1000", "view=paper", "color=gradient", "G=2"])
def test_what_does_not_fit_is_told_and_left_out(page, pages, asked):
    """The nearest step is not taken silently."""
    root = open_file(page, pages[GROUP], f"#{asked}&i=1,1,1,1")
    alert = root.locator(".nv-alert")
    if asked != "t=":
        expect(alert).to_have_text(f"These parts of the link do not fit here and are left out: {asked}.")
    assert at(root) == 5 * (STEPS - 1)
    wait_for(root, view="samples", color="set", num_groups=4, index="1,1,1,1")
    slider(root).press("Home")
    expect(alert).to_be_hidden()


def test_two_layers_on_a_page_have_times_of_their_own(page, recording, tmp_path):
    both = [recording.explore(BATCH), recording.explore(GROUP), nv.show(host.tensor(2, 4, 3, 3), editable=True)]
    nv.to_html(both, tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html", "#t=20&2.t=35&3.seed=4&3.fill=normal", explorers=3)
    roots = page.locator(".normviz")
    assert [at(root), at(roots.nth(1))] == [20, 35]
    wait_for(roots.nth(2), fill="normal")
    slider(roots.nth(1)).press("ArrowRight")
    page.wait_for_function("location.hash.includes('2.t=40')")
    assert [at(root), at(roots.nth(1))] == [20, 40]


# ---- the numbers -----------------------------------------------------------------------------------------------------

CELLS: dict[str, list[tuple[int, ...]]] = {
    BATCH: [(0, 0, 0, 0), (3, 5, 1, 2)],
    GROUP: [(0, 0, 0, 0), (3, 5, 1, 2), (FEW, 0, 0, 0)],
    TOKENS: [(0, 0, 0), (2, 3, 11)],
}


def expected(layer: Any, t: int, index: tuple[int, ...]) -> SimpleNamespace:
    """Mean and variance of the set of a cell, from the recording by arithmetic of this test's own."""
    n, c, *place = index
    if layer.kind == "batch":
        return SimpleNamespace(mean=layer.mean[t, c], var=layer.var[t, c])
    s = n * 4 + c // 2 if layer.kind == "group" else n * layer.shape[2] + place[0]
    return SimpleNamespace(mean=layer.first_mean[t, s], var=layer.first_var[t, s])


def number_after(words: str, line: str) -> str:
    found = re.search(rf"\b{words} {NUMBER}\b", line)
    assert found, f"no {words} in {line!r}"
    return found[1]


@pytest.mark.parametrize("name", [BATCH, GROUP, TOKENS])
def test_the_numbers_are_the_recordings(page, recording, pages, name):
    layer = recording[name]
    root = open_file(page, pages[name])
    fact = lambda key: root.locator(f"[data-fact=time-{key}]").inner_text()  # noqa: E731
    for index in CELLS[name]:
        pick(root, *index)
        c = index[1]
        for t in (0, 7, STEPS - 1):
            slider(root).evaluate("(e, t) => { e.value = t; e.dispatchEvent(new Event('input')); }", t)
            line, truth = status(root), expected(layer, t, index)
            assert at(root) == 5 * t
            samples = FEW if t == STEPS - 1 else SAMPLES
            assert fact("samples") == str(samples)
            if index[0] >= samples and name != BATCH:
                cell = ", ".join(map(str, index))
                assert line == f"Step {5 * t}. Group Norm, G = 4: the batch of this step has no cell ({cell})."
                continue
            for key in ("mean", "var"):
                value = getattr(truth, key)
                assert shows(number_after("mean" if key == "mean" else "variance", line.split(";")[1]), value), line
                assert shows(fact(key), value)
                own = root.locator(".nv-time-of-set").nth(int(key == "var"))
                assert shows(own.inner_text().removeprefix("set "), value)
            size = {BATCH: samples * 16, GROUP: 2 * 16, TOKENS: 6}[name]
            assert f"; {size} cells" in line
            assert shows(fact("weight"), layer.weight[t, c])
            assert shows(fact("bias"), layer.bias[t, c])
            if name == BATCH:
                assert f"n 0 to {samples - 1}," in line
                for key, table in {"mean": layer.running_mean, "var": layer.running_var}.items():
                    words = "running mean" if key == "mean" else "running variance"
                    assert shows(number_after(words, line.lower()), table[t, c])
                    assert shows(fact(f"running-{key}"), table[t, c])
                    trailing = root.locator(".nv-time-of-running").nth(int(key == "var"))
                    assert shows(trailing.inner_text().removeprefix("running "), table[t, c])
                # The outputs by both statistics differ by a + (b - 1) z, and z has variance var / (var + eps).
                spread = np.sqrt(layer.running_var[t, c] + layer.eps)
                a, b = (truth.mean - layer.running_mean[t, c]) / spread, np.sqrt(truth.var + layer.eps) / spread
                gap = np.sqrt(a**2 + (b - 1) ** 2 * truth.var / (truth.var + layer.eps))
                assert shows(number_after("gap", line), gap)
                assert shows(fact("gap"), gap)
            else:
                assert "running" not in line.lower()
                expect(root.locator("[data-fact=time-running-mean]")).to_have_count(0)


@pytest.mark.parametrize("name", [BATCH, GROUP, TOKENS])
def test_the_still_picture_says_the_same(page, recording, pages, name):
    root = open_file(page, pages[name])
    for step in (0, 45, 5 * (STEPS - 1)):
        for index in CELLS[name]:
            pick(root, *index)
            slider(root).evaluate("(e, t) => { e.value = t; e.dispatchEvent(new Event('input')); }", step // 5)
            shown = recording.explore(name, time=step, index=index)
            assert status(root) == picture.still(*shown.page_parts()[0]).status


def test_in_eval_mode_the_running_statistics_of_the_step_are_told(page, recording, pages):
    root = open_file(page, pages[BATCH], "#mode=eval&t=30&i=0,4,0,0")
    layer = recording[BATCH]
    assert shows(number_after("running mean", status(root)), layer.running_mean[6, 4])
    slider(root).press("ArrowRight")
    assert shows(number_after("running variance", status(root)), layer.running_var[7, 4])


# ---- the charts ------------------------------------------------------------------------------------------------------

POINTS = """root => Object.fromEntries(["line", "running", "cursor"].map((name) => [name,
    [...root.querySelectorAll(`.nv-time-${name}`)].map((path) => path.getAttribute("d"))]))"""


def points(path: str) -> np.ndarray:
    return np.array(re.findall(r"-?[\d.]+", path), float).reshape(-1, 2)


def heights_follow(path: str, values: np.ndarray) -> bool:
    """Whether the points of a line lie as high as the values: all on one line, to half a pixel."""
    y = points(path)[:, 1]
    slope, start = np.polyfit(values, y, 1)
    return slope < 0 and bool(np.abs(slope * values + start - y).max() < 0.5)


def test_the_lines_are_those_of_the_picked_cell(page, recording, pages):
    root = open_file(page, pages[BATCH])
    layer = recording[BATCH]
    seen = []
    for c in (0, 3):
        pick(root, 0, c, 0, 0)
        drawn(page)
        found = root.evaluate(POINTS)
        seen.append(found["line"])
        assert len(points(found["line"][0])) == STEPS
        assert heights_follow(found["line"][0], layer.mean[:, c])
        assert heights_follow(found["running"][0], layer.running_mean[:, c])
        # The variance spans much, so its scale is logarithmic.
        assert layer.var[:, c].max() > 30 * layer.var[:, c].min()
        assert heights_follow(found["line"][1], np.log10(layer.var[:, c]))
        assert not heights_follow(found["line"][1], layer.var[:, c])
    assert seen[0] != seen[1]
    # The cursor stands at the step.
    slider(root).press("Home")
    drawn(page)
    found = root.evaluate(POINTS)
    for path, cursor in zip(found["line"], found["cursor"], strict=True):
        assert cursor.startswith(f"M{points(path)[0, 0]:.1f} ")


def test_both_charts_have_one_scale_of_steps(page, pages):
    root = open_file(page, pages[BATCH])
    first, second = (points(path)[:, 0] for path in root.evaluate(POINTS)["line"])
    assert (first == second).all()


def test_a_warning_has_a_mark_and_a_text(page, recording, pages):
    root = open_file(page, pages[BATCH])
    (found,) = (w for w in recording.warnings if w.layer == BATCH and w.code == "weight-near-zero")
    assert found.step == 5 * DEAD
    mark = root.get_by_role("button", name=re.compile(f"^From step {found.step} on: .*{re.escape(found.message)}"))
    mark.focus()
    expect(root.locator(".nv-time .nv-tip:not([hidden])")).to_contain_text(found.message)
    mark.click()
    assert at(root) == found.step
    slider(root).press("Home")
    listed = root.get_by_role("region", name="Warnings")
    expect(listed).to_contain_text(found.message)
    listed.get_by_role("button", name=f"step {found.step}", exact=True).click()
    assert at(root) == found.step


def test_a_number_that_is_missing_is_a_gap(page, tmp_path):
    page.goto(host.write(tmp_path / "module.html", entry="explorer/js/core/time.js").as_uri())
    page.wait_for_function("window.loaded")
    run: Callable[[str], Any] = lambda code: page.evaluate(f"() => {{ const {{ {NAMES} }} = front; return {code}; }}")  # noqa: E731
    x, y = "(t) => 10 * t", "(v) => v"
    assert run(f"linePath([1, 2, NaN, 4, Infinity, 6, 7], {x}, {y})").count("M") == 3
    assert run(f"linePath([NaN, NaN], {x}, {y})") == ""
    assert run(f"linePath([NaN, 3, NaN], {x}, {y})") == "M8.0 3.0h4"
    assert run(f"areaPath([1, 2, NaN, 4], [0, 0, 0, 0], {x}, {y})").count("z") == 2
    assert run("stretches([1, NaN, 1, 1], [1, 1, 1, NaN])") == [[0, 0], [2, 2]]
    assert run("nearest([0, 5, 10, 40], 26)") == 3
    assert 0 < run("scaleOf([[NaN]], false).share(0.5)") < 1
    scale = run("(({ log, low, high }) => [log, low, high])(scaleOf([[1e-6, 1, 0]], true))")
    assert scale[0] is True
    assert -6.8 < scale[1] < -6.2
    assert run("scaleOf([[1e-6, 1, 0]], true).share(0)") == 0
    assert run("scaleOf([[2, 3]], true).log") is False
    assert run("scaleOf([[-5, 900]], false).log") is False
    assert run("tickTexts([-0.5, 0, 0.25, 1200])") == ["-0.5", "0", "0.25", "1200"]
    assert run("tickTexts([0.99995, 1, 1.00005])") == ["0.99995", "1", "1.00005"]
    assert run("tickTexts([1e-12, 1e-4, 1, 2.5e8])") == ["10⁻¹²", "10⁻⁴", "1", "2.5·10⁸"]


NAMES = "linePath, areaPath, stretches, nearest, scaleOf, tickTexts"


# ---- for everybody, everywhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "dark", "narrow", "presenter"])
def test_axe_finds_no_violation(new_page, pages, look):
    options = {"color_scheme": "dark" if look == "dark" else "light", "reduced_motion": "reduce"}
    page = new_page(320 if look == "narrow" else 1100, **options)
    root = open_file(page, pages[BATCH], "#t=30" + ("&presenter=true" if look == "presenter" else "&color=value"))
    wait_for(root, theme="dark" if look == "dark" else "light")
    result = Axe().run(page)
    assert not result.violations_count, result.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_nothing_stands_there_that_makes_no_sense_without_values(page, pages):
    root = open_file(page, pages[BATCH])
    for role, name in (("radiogroup", "Method"), ("radiogroup", "View"), ("slider", "Groups G")):
        expect(root.get_by_role(role, name=name, exact=True)).to_have_count(0)
    for name in ("Predict", "Tour", "Next", "Code", "More"):
        expect(root.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(root.get_by_role("button", name="Play", exact=True)).to_have_count(1)
    expect(root.get_by_role("radiogroup", name="Mode")).to_have_count(1)
    options = root.get_by_role("combobox", name="Color").locator("option")
    assert options.all_inner_texts() == ["one set", "every set", "channel means"]
    expect(root.locator(".nv-method")).to_have_text("Batch Norm")
    expect(root.locator(".nv-heading")).to_have_text(BATCH)
    root.press("3")
    root.press("/")
    wait_for(root, method="batch")


def test_a_clicker_moves_time(page, pages):
    root = open_file(page, pages[BATCH], "#t=50")
    root.get_by_role("button", name="Present", exact=True).click()
    moves = {"PageDown": 55, "ArrowRight": 60, "PageUp": 55, "ArrowLeft": 50}
    for key, step in moves.items():
        page.keyboard.press(key)
        assert at(root) == step, key
    # Also where the slider has the focus, whose own keys go the other way.
    slider(root).focus()
    for key, step in moves.items():
        page.keyboard.press(key)
        assert at(root) == step, key
    assert "mean " in status(root)
    page.keyboard.press("Escape")
    wait_for(root, time=50)
    expect(root.get_by_role("button", name="Present", exact=True)).to_be_focused()


def test_a_fragment_is_alive(page: Page, recording):
    page.set_content(f"<!doctype html><title>A page</title><div>{recording.explore(BATCH).fragment()}</div>")
    _, inside = frame_of(page)
    root = inside.locator(".normviz")
    slider(root).press("Home")
    assert at(root) == 0
    root.get_by_role("button", name="Play", exact=True).click()
    wait_for(root, time=10)


def test_a_page_without_a_recording_has_nothing_of_it():
    text = nv.to_html(host.tensor(2, 4, 3, 3))
    for part in ("nv-time", "createTimePart", "status-running", "linePath"):
        assert part not in text
