"""The panel "Tensor": the reader makes x, and every number follows; a wrong entry changes nothing."""

import io
import math
import re
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

import normviz as nv
from tests.browser import host
from tests.browser.reading import choose, drawn, expect, open_file, shows, state, statistics_of, status, wait_for

FILLS = ("sample", "normal", "relu", "loud channel", "loud sample", "offset", "constant", "ramp", "example")
AXES = {2: "NC", 3: "NCL", 4: "NCHW", 5: "NCDHW"}
LABELS = {"batch": "Batch Norm", "layer": "Layer Norm", "instance": "Instance Norm", "group": "Group Norm"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the sample activations, one of a tensor of its own, and one of two linked explorers."""
    folder = tmp_path_factory.mktemp("tensor")
    nv.to_html(nv.show(method="batch", editable=True), folder / "sample.html")
    nv.to_html(nv.show(host.tensor(3, 4, 5, 6), method="group", num_groups=2, editable=True), folder / "own.html")
    nv.to_html(nv.compare_methods(methods=["batch", "layer"], editable=True), folder / "linked.html")
    given = nv.compare_methods(host.tensor(2, 4, 3, 3), methods=["batch", "layer"], editable=True)
    nv.to_html(given, folder / "linked_own.html")
    return folder


@pytest.fixture
def root(page: Page, pages: Path) -> Locator:
    return open_file(page, pages / "sample.html")


@pytest.fixture
def own(page: Page, pages: Path) -> Locator:
    return open_file(page, pages / "own.html")


def field(root: Locator, name: str) -> Locator:
    """A control of the panel by its exact name."""
    return root.get_by_label(name, exact=True)


def is_ready(root: Locator) -> None:
    expect(root).to_have_attribute("data-ready", "true")


def type_in(root: Locator, name: str, text: object) -> None:
    """Replace what stands in a field, and press Enter."""
    field(root, name).fill(str(text))
    field(root, name).press("Enter")
    is_ready(root)


def select(root: Locator, name: str, value: str) -> None:
    field(root, name).select_option(value)
    is_ready(root)


def set_shape(root: Locator, shape: tuple[int, ...]) -> None:
    select(root, "Rank", str(len(shape)))
    for axis, length in zip(AXES[len(shape)], shape, strict=True):
        type_in(root, axis, length)


def hooks(root: Locator) -> dict[str, str]:
    data = root.evaluate("root => ({...root.dataset})")
    return {name: value for name, value in data.items() if name not in ("ready", "theme")}


def shape_of(root: Locator) -> tuple[int, ...]:
    return tuple(map(int, hooks(root)["shape"].split(",")))


def alert(root: Locator) -> str:
    return root.get_by_role("alert").inner_text() if root.get_by_role("alert").is_visible() else ""


def address(page: Page) -> dict[str, str]:
    """The keys of the address: it is written by a timer, so wait until it tells what the root shows."""
    page.wait_for_function("() => !document.querySelector('.normviz:not([data-ready])')")
    drawn(page)
    return dict(urllib.parse.parse_qsl(page.evaluate("location.hash.slice(1)"), keep_blank_values=True))


def expected(x: np.ndarray, shown: dict[str, Any]) -> tuple[float, float]:
    """Mean and variance of the set of the picked cell."""
    method, groups = shown["method"], shown["num_groups"]
    taken = groups if method == "group" else None
    found = nv.statistics(x.astype(np.float64), method, num_groups=taken)
    number = nv.pooling(method, x.shape, taken).labels()[shown["index"]]
    return float(found.mean.flat[number]), float(found.var.flat[number])


def check(root: Locator, x: np.ndarray) -> None:
    """The status line is that of x."""
    is_ready(root)
    assert shape_of(root) == x.shape
    shown = state(root)
    mean, var = expected(x, shown)
    _, said_mean, said_var = statistics_of(status(root))
    assert shows(said_mean, mean), (said_mean, mean, hooks(root))
    assert shows(said_var, var), (said_var, var, hooks(root))


# ---- names and hooks -------------------------------------------------------------------------------------------------


def test_each_control_has_its_name_once(root):
    options = field(root, "Fill").locator("option").evaluate_all("all => all.map((one) => one.value)")
    assert options == [*FILLS, "file", "edited"]
    assert field(root, "Rank").locator("option").evaluate_all("all => all.map((one) => one.value)") == [*"2345"]
    fixed = ("Rank", "Channels", "Fill", "Seed", "Value", "Open a file", "eps", "weight", "bias", "Color")
    for rank, axes in AXES.items():
        select(root, "Rank", str(rank))
        for name in (*fixed, *axes, *(f"{axis} slider" for axis in axes)):
            expect(field(root, name)).to_have_count(1)
        for axis in set("NCLDHW") - set(axes):
            expect(field(root, axis)).to_have_count(0)
            expect(field(root, f"{axis} slider")).to_have_count(0)
        expect(root.get_by_role("spinbutton", name=re.compile("^index "))).to_have_count(rank)
        assert len(shape_of(root)) == rank
    for name in ("Table", "Paste numbers", "As code"):
        root.get_by_role("button", name=name, exact=True).click()
    # JupyterLab would take keys from a control that does not ask for them.
    silent = root.locator("button, input, select, textarea, summary, [tabindex]").evaluate_all(
        "all => all.filter((e) => e.dataset.lmSuppressShortcuts !== 'true').map((e) => e.outerHTML)"
    )
    assert silent == []
    assert field(root, "Open a file").get_attribute("type") == "file"
    assert root.locator("[role=status]").first.inner_text() == status(root)
    expect(root.get_by_text(f"({', '.join(axes[1:])})", exact=True)).to_be_visible()


def test_the_other_parts_follow_another_rank(root):
    choose(root, "Group Norm")
    set_shape(root, (2, 6, 5))
    groups = root.get_by_role("slider", name="Groups G", exact=True)
    assert groups.get_attribute("aria-valuemax") == "6"
    titles = groups.evaluate("e => [...e.querySelectorAll('[title]')].map((one) => one.title)")
    assert "G = 4 does not divide C = 6" in titles
    groups.press("End")
    assert state(root)["set"] == "0:1,0:1,0:5"
    cube = root.get_by_role("application")
    for key in ("ArrowRight", "ArrowDown", "PageDown", "Shift+ArrowRight"):
        cube.press(key)
    assert state(root)["index"] == (1, 1, 1)
    box = cube.bounding_box()
    root.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert len(state(root)["index"]) == 3
    root.get_by_role("button", name="Tour", exact=True).click()
    for _ in range(3):
        root.get_by_role("button", name="Next stop", exact=True).click()
    expect(root.get_by_text("here 3 groups of 2 neighboring channels")).to_be_visible()
    root.get_by_role("button", name="End tour", exact=True).click()
    root.get_by_role("button", name="Predict", exact=True).click()
    expect(root.get_by_role("spinbutton", name=re.compile("from, 0 to"))).to_have_count(3)
    expect(root.get_by_label("l to, 0 to 4", exact=True)).to_be_visible()
    root.page.evaluate("() => { location.hash = 'shape=2,4&predict=true'; }")
    wait_for(root, shape="2,4")
    expect(root.get_by_role("spinbutton", name=re.compile("from, 0 to"))).to_have_count(2)


def test_ready_goes_in_the_handler_and_the_hooks_come_with_the_picture(root):
    """Before anything is computed or read, `data-ready` is gone; the attributes change before it is back."""
    got = root.evaluate(
        """async (root) => {
            const field = (name) => root.querySelector(`[aria-label="${name}"]`);
            const changes = [
              ["N", "2"], ["N slider", "3", "input"], ["Fill", "normal"], ["Seed", "9"], ["Value", "2.5"],
              ["eps", "0.1"], ["weight", "2"], ["Color", "value"], ["Rank", "3"], ["N", "0"], ["bias", "x"]];
            const hooks = ["ready", "shape", "fill", "seed", "color"].map((name) => `data-${name}`);
            const out = [];
            for (const [name, value, type = "change"] of changes) {
              const order = [];
              const watch = new MutationObserver((all) => order.push(...all.map((one) => one.attributeName)));
              watch.observe(root, { attributes: true, attributeFilter: hooks });
              field(name).value = value;
              field(name).dispatchEvent(new Event(type, { bubbles: true }));
              const gone = !("ready" in root.dataset);
              while (!("ready" in root.dataset)) await new Promise(requestAnimationFrame);
              await null;
              watch.disconnect();
              out.push([name, gone, order[0], order.at(-1)]);
            }
            return out;
        }"""
    )
    assert [one for one in got if one[1:] != [True, "data-ready", "data-ready"]] == []
    assert hooks(root) | {"shape": "3,16,12", "fill": "edited", "seed": "9", "color": "value"} == hooks(root)


def test_a_file_makes_it_unready_before_it_is_read(root):
    got = root.evaluate(
        """async (root) => {
            const input = root.querySelector('[type=file]');
            const list = new DataTransfer();
            list.items.add(new File(["1,2\\n3,4"], "two.csv"));
            let asked = null;
            const { slice, arrayBuffer } = Blob.prototype;
            Blob.prototype.slice = function (...a) { asked ??= "ready" in root.dataset; return slice.apply(this, a); };
            input.files = list.files;
            input.dispatchEvent(new Event("change", { bubbles: true }));
            const gone = !("ready" in root.dataset);
            while (!("ready" in root.dataset)) await new Promise(requestAnimationFrame);
            Blob.prototype.slice = slice;
            return [gone, asked, root.dataset.shape, root.dataset.fill];
        }"""
    )
    assert got == [True, False, "2,2", "file"]


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_random_recipes_typed_by_a_person(root):
    rng = np.random.default_rng(12)
    for _ in range(12):
        rank = int(rng.integers(2, 6))
        shape = tuple(int(n) for n in (rng.integers(1, 6), rng.integers(1, 9), *rng.integers(1, 6, rank - 2)))
        fill, seed = str(rng.choice(FILLS)), int(rng.integers(0, 2**32))
        select(root, "Fill", fill)
        type_in(root, "Seed", seed)
        if fill == "example":
            shape = (3, 4, 1, 2)
        else:
            set_shape(root, shape)
        method = str(rng.choice(list(LABELS)))
        choose(root, LABELS[method])
        for axis, length in zip(AXES[len(shape)], shape, strict=True):
            last = length - 1
            root.get_by_label(f"index {axis.lower()}, 0 to {last}").fill(str(rng.integers(0, length)))
        assert hooks(root) | {"fill": fill, "seed": str(seed), "method": method} == hooks(root)
        check(root, nv.samples.filled(shape, fill, seed=seed))
    assert alert(root) == ""


def test_typed_cells_change_x_alone_and_can_be_undone(root):
    select(root, "Fill", "normal")
    set_shape(root, (2, 3, 3, 4))
    x = nv.samples.filled((2, 3, 3, 4), "normal").astype(np.float64)
    check(root, x)
    before = [x.copy()]
    for index, value in (((0, 1, 1, 2), 2.5), ((1, 1, 0, 0), -0.125), ((0, 1, 1, 2), 1e-3)):
        for axis, i in zip("nchw", index, strict=True):
            root.get_by_label(re.compile(f"^index {axis}")).fill(str(i))
        type_in(root, "Value", value)
        x[index] = value
        before.append(x.copy())
        check(root, x)
        assert hooks(root)["fill"] == "edited"
    for key in ("Control+z", "Control+z", "Control+Shift+z", "Control+z", "Control+y"):
        field(root, "N slider").press(key)
        is_ready(root)
    check(root, before[2])
    undo = root.get_by_role("button", name="Undo", exact=True)
    undo.click()
    undo.click()
    check(root, before[0])
    assert hooks(root)["fill"] == "normal"
    root.get_by_role("button", name="Redo", exact=True).click()
    check(root, before[1])
    root.get_by_role("button", name="Reset", exact=True).click()
    check(root, nv.samples.activations())
    undo.click()
    check(root, before[1])


def test_undo_brings_back_g_and_the_cell(root):
    """A shape that does not have them changes both; G moves alone are no step of their own."""
    choose(root, "Group Norm")
    root.get_by_role("slider", name="Groups G").press("ArrowRight")
    for axis, i in zip("nc", (3, 9), strict=True):
        root.get_by_label(re.compile(f"^index {axis}")).fill(str(i))
    before = state(root)
    type_in(root, "C", 6)
    type_in(root, "N", 2)
    assert (state(root)["num_groups"], state(root)["index"]) == (6, (1, 5, 0, 0))
    for _ in range(2):
        root.get_by_role("button", name="Undo", exact=True).click()
        is_ready(root)
    assert state(root) == before
    root.get_by_role("button", name="Redo", exact=True).click()
    is_ready(root)
    assert (state(root)["num_groups"], state(root)["index"]) == (6, (3, 5, 0, 0))


def test_values_of_ones_own_are_cut_and_repeated_and_come_back(own):
    x = host.tensor(3, 4, 5, 6)
    check(own, x)
    assert hooks(own)["fill"] == "file"
    for shape in ((1, 4, 5, 6), (1, 6, 7, 6), (4, 6, 2, 13), (3, 4, 5, 6)):
        set_shape(own, shape)
        check(own, x[np.ix_(*(np.arange(n) % m for n, m in zip(shape, x.shape, strict=True)))])
        assert hooks(own)["fill"] == ("file" if shape == x.shape else "edited")
    # The same for a filled tensor with a typed cell.
    select(own, "Fill", "normal")
    type_in(own, "Value", 50)
    y = nv.samples.filled(x.shape, "normal").astype(np.float64)
    y[0, 0, 0, 0] = 50
    check(own, y)
    type_in(own, "N", 5)
    check(own, y[np.arange(5) % 3])
    type_in(own, "N", 3)
    check(own, y)
    # And a file can be had back from the list of fills.
    select(own, "Fill", "file")
    check(own, x)


def test_the_example_with_another_shape_is_edited(root):
    select(root, "Fill", "example")
    x = nv.samples.filled((3, 4, 1, 2), "example")
    check(root, x)
    type_in(root, "N", 1)
    check(root, x[:1])
    assert hooks(root)["fill"] == "edited"
    type_in(root, "N", 3)
    check(root, x)


def test_eps_weight_and_bias_follow_at_once(root):
    select(root, "Fill", "normal")
    set_shape(root, (2, 4, 3, 3))
    x = nv.samples.filled((2, 4, 3, 3), "normal").astype(np.float64)
    root.get_by_label(re.compile("^index c")).fill("2")

    def y() -> float:
        drawn(root.page)
        text = root.locator("[data-step='5'] .nv-result").inner_text()
        return float(text.split("=")[1].replace("−", "-"))

    def wanted(weight: Any, bias: Any, eps: float) -> float:
        full = [None if p is None else np.resize(p, 4) for p in (weight, bias)]
        return nv.normalize(x, "batch", weight=full[0], bias=full[1], eps=eps)[0, 2, 0, 0]

    type_in(root, "eps", "0.5")
    assert y() == pytest.approx(wanted(None, None, 0.5), abs=1e-4)
    type_in(root, "weight", "3")
    assert y() == pytest.approx(wanted([3.0], None, 0.5), abs=1e-4)
    type_in(root, "bias", "[1, 2, -3, 4]")
    assert y() == pytest.approx(wanted([3.0], [1, 2, -3, 4], 0.5), abs=1e-4)
    type_in(root, "weight", "")
    assert y() == pytest.approx(wanted(None, [1, 2, -3, 4], 0.5), abs=1e-4)
    # The list follows the channels, and comes back whole.
    type_in(root, "C", "3")
    type_in(root, "C", "4")
    assert field(root, "bias").input_value() == "1, 2, -3, 4"
    assert y() == pytest.approx(wanted(None, [1, 2, -3, 4], 0.5), abs=1e-4)


def test_nan_and_infinity_are_seen(root):
    """In every colour a hatch marks the cell, and the legend says what it is; other sets keep their numbers."""
    set_shape(root, (2, 3, 4, 4))
    hatch = root.locator("path.nv-holes")
    assert not hatch.get_attribute("d")
    expect(root.get_by_text("NaN or infinite")).to_be_hidden()
    for text in ("nan", "inf", "-inf"):
        type_in(root, "Value", text)
        for color in ("set", "value", "normalized"):
            select(root, "Color", color)
            assert hatch.get_attribute("d")
            expect(root.get_by_text("NaN or infinite")).to_be_visible()
    assert statistics_of(status(root))[1] == "-inf"
    root.get_by_label(re.compile("^index c")).fill("1")
    assert math.isfinite(float(statistics_of(status(root))[1]))
    root.get_by_label(re.compile("^index c")).fill("0")
    type_in(root, "Value", "1")
    assert not hatch.get_attribute("d")


# ---- what does not fit -----------------------------------------------------------------------------------------------

REFUSED = [
    ("N", "0", "N takes a whole number, 1 or more."),
    ("C", "2.5", "C takes a whole number, 1 or more."),
    ("W", "", "W takes a whole number, 1 or more."),
    ("N", "100000", "has 230400000 cells, and this page makes at most 67108864; choose a smaller shape."),
    ("Seed", "-1", "Seed takes a whole number from 0 to 4294967295."),
    ("Seed", "4294967296", "Seed takes a whole number from 0 to 4294967295."),
    ("Value", "abc", "Value takes one number, such as 0.5 or -2, not “abc”."),
    ("Value", "1,5", "Value takes one number, such as 0.5 or -2, not “1,5”."),
    ("Value", "", "Value takes one number, such as 0.5 or -2, not “”."),
    ("eps", "0", "eps takes a number above 0, such as 1e-5, not “0”."),
    ("eps", "inf", "eps takes a number above 0, such as 1e-5, not “inf”."),
    ("weight", "1, 2", "weight takes one number or a number for each of the C = 16 channels, not 2 numbers."),
    ("weight", "NaN", "weight takes numbers with commas between them, such as 1, 0.5, 2, not “NaN”."),
    ("bias", "1 two", "bias takes numbers with commas between them, such as 1, 0.5, 2, not “1 two”."),
]


def test_a_wrong_entry_is_told_and_changes_nothing(root):
    before, line = hooks(root), status(root)
    for name, text, says in REFUSED:
        type_in(root, name, text)
        assert alert(root).endswith(says)
        assert (hooks(root), status(root)) == (before, line)
        assert root.page.evaluate("location.hash") == ""
    expect(root.get_by_role("button", name="Undo", exact=True)).to_be_disabled()
    type_in(root, "N", 3)
    assert alert(root) == ""
    check(root, nv.samples.activations()[:3])


# ---- the address -----------------------------------------------------------------------------------------------------


def reopened(page: Page, path: Path, hash: str) -> Locator:
    page.goto("about:blank")
    return open_file(page, path, hash)


def test_the_address_keeps_the_recipe(root, pages):
    page = root.page

    def steps():
        select(root, "Fill", "loud channel")
        yield
        set_shape(root, (2, 4, 3, 5))
        type_in(root, "Seed", 77)
        yield
        type_in(root, "eps", "1e-3")
        type_in(root, "weight", "2")
        type_in(root, "bias", "1, -2, 3, 1e20")
        yield
        root.get_by_label(re.compile("^index h")).fill("2")
        type_in(root, "Value", "nan")
        root.get_by_label(re.compile("^index c")).fill("3")
        type_in(root, "Value", "-1e+20")
        yield
        # Cells typed in one shape, then another shape, then another cell.
        type_in(root, "N", 3)
        type_in(root, "Value", "0.5")
        yield
        select(root, "Fill", "example")
        yield
        type_in(root, "C", 2)
        select(root, "Channels", "-1")
        yield
        set_shape(root, (3, 5))
        yield

    seen = []
    for _ in steps():
        keys = address(page)
        seen.append((page.evaluate("location.hash"), keys, hooks(root), status(root), field(root, "eps").input_value()))
    assert seen[2][1] | {"shape": "2,4,3,5", "fill": "loud channel", "seed": "77", "eps": "1e-3"} == seen[2][1]
    assert seen[3][1]["edits"] == "0,0,2,0:nan;0,3,2,0:-1e20"
    for hash, _, data, line, eps in seen:
        assert len(hash) <= 2000
        again = reopened(page, pages / "sample.html", hash)
        assert (hooks(again), status(again), field(again, "eps").input_value()) == (data, line, eps)
        assert alert(again) == ""
        assert page.evaluate("location.hash") == hash
    # N and back after a link, too.
    again = reopened(page, pages / "sample.html", seen[4][0])
    type_in(again, "N", 2)
    type_in(again, "N", 3)
    assert status(again) == seen[4][3]


def test_an_address_as_a_teacher_writes_it(root, pages):
    x = nv.samples.filled((3, 4, 1, 2), "loud channel", seed=7)
    for blank in ("%20", "+"):
        fragment = f"#shape=3,4,1,2&fill=loud{blank}channel&seed=7&eps=1e-5&method=layer&i=2,3,0,1"
        check(reopened(root.page, pages / "sample.html", fragment), x)
    assert state(root)["index"] == (2, 3, 0, 1)
    # A link that is followed on the open page.
    root.page.evaluate("() => { location.hash = 'fill=example&shape=9,9&method=batch&i=2,3,0,1'; }")
    wait_for(root, fill="example", index="2,3,0,1")
    check(root, nv.samples.filled((3, 4, 1, 2), "example"))
    root.page.evaluate("() => { location.hash = 'method=layer'; }")
    wait_for(root, fill="sample")
    check(root, nv.samples.activations())


BAD = {
    "shape=3,4,x": ["shape=3,4,x"],
    "shape=3": ["shape=3"],
    "shape=1,2,3,4,5,6": ["shape=1,2,3,4,5,6"],
    "shape=0,4": ["shape=0,4"],
    "shape=99999,99999": ["shape=99999,99999"],
    "fill=norml&seed=3": ["fill=norml"],
    "fill=edited": ["fill=edited"],
    "fill=toString": ["fill=toString"],
    "seed=-1": ["seed=-1"],
    "eps=0&channel_axis=2": ["channel_axis=2", "eps=0"],
    "edits=0,0,0,0": ["edits=0,0,0,0"],
    "edits=9,0,0,0:1": ["edits=9,0,0,0:1"],
    "weight=a": ["weight=a"],
    "method=bach": ["method=bach"],
    "method=group&G=5": ["G=5"],
    "i=0,99,0,0": ["i=0,99,0,0"],
    "i=1": ["i=1"],
    "step=9&view=papr": ["step=9", "view=papr"],
    "color=blue": ["color=blue"],
    "mode=eval": ["mode=eval"],
    "metod=layer": ["metod=layer"],
    "shape=2,6,3,3&i=1,9,0,0&G=3": ["i=1,9,0,0"],
}


def test_a_bad_link_is_told(root, pages):
    """In one sentence, with its wrong parts alone; what fits is shown."""
    for fragment, parts in BAD.items():
        root.page.evaluate("hash => { location.hash = hash; }", fragment)
        expect(root.get_by_role("alert")).to_be_visible()
        is_ready(root)
        said = alert(root)
        assert said.count(".") - fragment.count(".") == 1
        told = re.split(", (?=[a-zG_]+=)| and ", said.split(": ")[1].rstrip("."))
        assert sorted(told) == sorted(parts)
        root.page.evaluate("() => { location.hash = 'method=batch'; }")
        expect(root.get_by_role("alert")).to_be_hidden()
    assert shape_of(reopened(root.page, pages / "sample.html", "#shape=2,6,3,3&G=4")) == (2, 6, 3, 3)
    assert "G=4" in alert(root)
    reopened(root.page, pages / "sample.html", "#fill=file")
    assert alert(root) == (
        "The link shows values from a file or pasted values, which a link cannot contain; open or paste them here."
    )


def test_a_bad_link_is_told_on_a_page_without_the_panel(page, exported):
    root = open_file(page, exported, "#method=bach&G=4&i=0,0,0,0")
    assert alert(root).endswith("left out: method=bach.")
    choose(root, "Layer Norm")
    assert alert(root) == ""
    for fragment in ("#method=layer&step=2", "#summary"):
        root = reopened(page, exported, fragment)
        assert alert(root) == ""
    for fragment in ("#2.method=layer", "#shape=2,3"):
        root = reopened(page, exported, fragment)
        assert alert(root).endswith(f"left out: {fragment[1:]}.")


def test_a_bad_link_is_told_by_the_explorer_that_it_is_for(page, tmp_path):
    nv.to_html([nv.show(host.tensor(2, 4, 3, 3)), nv.show(editable=True)], tmp_path / "two.html")
    open_file(page, tmp_path / "two.html", "#shape=2,3&2.shape=2,6,3,3&2.G=5&3.G=2&2.method=group", explorers=2)
    fixed, free = (page.locator(".normviz").nth(k) for k in (0, 1))
    assert alert(fixed).endswith("left out: shape=2,3 and 3.G=2.")
    assert alert(free).endswith("left out: 2.G=5.")
    check(free, nv.samples.filled((2, 6, 3, 3), "sample"))


def test_what_does_not_fit_into_the_address_is_left_out_and_told(root, pages):
    type_in(root, "weight", ", ".join(str(c / 7) for c in range(16)))
    root.get_by_role("button", name="Table", exact=True).click()
    root.get_by_role("gridcell").nth(0).focus()
    root.evaluate(
        """async (root) => {
            const press = (key) => {
              const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
              document.activeElement.dispatchEvent(event);
            };
            for (let k = 0; k < 100; k++) {
              press("Enter");
              document.activeElement.value = `${k}.123456789`;
              press(k % 12 === 11 ? "Enter" : "Tab");
              if (k % 12 === 11) press("Home");
            }
        }"""
    )
    is_ready(root)
    x = nv.samples.activations().astype(np.float64)
    x[0, 0].flat[:100] = np.arange(100) + 0.123456789
    check(root, x)
    keys, hash = address(root.page), root.page.evaluate("location.hash")
    assert len(hash) <= 2000
    assert keys["without"] == "edits"
    assert "weight" in keys
    reopened(root.page, pages / "sample.html", hash)
    assert alert(root) == "The link leaves out typed cells, because an address has room for 2000 characters."
    check(root, nv.samples.activations())


# ---- work that takes long --------------------------------------------------------------------------------------------


HOLD = """
window.held = [];
const { postMessage } = Worker.prototype;
Worker.prototype.postMessage = function (...a) { held ? held.push([this, a]) : postMessage.apply(this, a); };
window.release = () => { for (const [worker, a] of held.splice(0)) postMessage.apply(worker, a); held = null; };
"""
"""The worker gets nothing to do until it is released."""


def test_a_large_tensor_shows_its_progress_and_can_be_cancelled(page, pages):
    """Cancel brings back the old state; without it every mean and variance is exact, and so is a single value."""
    page.add_init_script(HOLD)
    root = open_file(page, pages / "sample.html")
    before, line = hooks(root), status(root)
    bar = root.get_by_role("progressbar")
    expect(bar).to_be_hidden()
    field(root, "N").fill("2048")
    field(root, "N").press("Enter")
    expect(bar).to_be_visible()
    assert 0 <= int(bar.get_attribute("aria-valuenow")) <= 100
    assert root.get_attribute("data-ready") is None
    root.get_by_role("button", name="Cancel", exact=True).click()
    is_ready(root)
    expect(bar).to_be_hidden()
    assert (hooks(root), status(root), alert(root)) == (before, line, "")
    assert field(root, "N").input_value() == "4"
    # A change that comes meanwhile takes the place of the one before.
    select(root, "Fill", "normal")
    page.evaluate("release()")
    for n in ("512", "100"):
        field(root, "N").fill(n)
        field(root, "N").press("Enter")
    wait_for(root, shape="100,16,12,12")
    x = nv.samples.filled((100, 16, 12, 12), "normal")
    check(root, x)
    expect(bar).to_be_hidden()
    type_in(root, "index n, 0 to 99", 70)
    expect(field(root, "Value")).to_have_value(re.compile("."))
    assert float(field(root, "Value").input_value()) == pytest.approx(x[70, 0, 0, 0], abs=1e-6)
    type_in(root, "Value", 5)
    wait_for(root, fill="edited")
    y = x.astype(np.float64)
    y[70, 0, 0, 0] = 5
    check(root, y)


def test_a_tensor_of_which_only_python_has_the_values_is_not_cut(page, tmp_path):
    x = host.tensor(58, 16, 12, 12)
    nv.to_html(nv.show(x, editable=True), tmp_path / "large.html")
    root = open_file(page, tmp_path / "large.html")
    before, line = hooks(root), status(root)
    for name, text in (("N", 3), ("Value", 1)):
        type_in(root, name, text)
        assert alert(root).startswith("The page does not have the values of this tensor")
        assert (hooks(root), status(root), field(root, "N").input_value()) == (before, line, "58")
    select(root, "Fill", "ramp")
    wait_for(root, fill="ramp")
    type_in(root, "N", 2)
    check(root, nv.samples.filled((2, 16, 12, 12), "ramp"))
    select(root, "Fill", "file")
    check(root, x)


# ---- files and pasted numbers ----------------------------------------------------------------------------------------


def npy(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, x)
    return out.getvalue()


def open_(root: Locator, name: str, data: bytes) -> None:
    field(root, "Open a file").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})


def hand_over(root: Locator, kind: str, name: str, data: bytes | str, target: str = "[role=application]") -> None:
    """Drop or paste a file, or a text, on a part of the explorer."""
    root.evaluate(
        """(root, [kind, name, data, target]) => {
            const clipboardData = new DataTransfer();
            if (name) clipboardData.items.add(new File([Uint8Array.from(data)], name));
            else clipboardData.setData("text/plain", data);
            const on = target ? root.querySelector(target) : document.body;
            const rest = { bubbles: true, cancelable: true };
            // Firefox does not take the clipboard of an event that a script makes.
            const paste = new ClipboardEvent("paste", rest);
            Object.defineProperty(paste, "clipboardData", { value: clipboardData });
            if (kind === "paste") on.dispatchEvent(paste);
            else for (const type of ["dragenter", "dragover", "drop"])
              on.dispatchEvent(new DragEvent(type, { dataTransfer: clipboardData, ...rest }));
        }""",
        [kind, name, list(data) if isinstance(data, bytes) else data, target],
    )


def test_files_by_button_drop_and_paste(root):
    x = host.tensor(2, 5, 6, 7, dtype="float64")
    type_in(root, "Value", 9)
    open_(root, "x.npy", npy(np.asfortranarray(x)))
    wait_for(root, shape="2,5,6,7", fill="file")
    check(root, x)
    expect(root.get_by_text("float64 · x.npy")).to_be_visible()
    select(root, "Channels", "-1")
    check(root, np.moveaxis(x, -1, 1))
    hand_over(root, "drop", "y.npy", npy(x[..., :3].astype(">f4")))
    wait_for(root, shape="2,3,5,6")
    check(root, np.moveaxis(x[..., :3].astype("float32"), -1, 1))
    select(root, "Channels", "1")
    hand_over(root, "paste", "z.npy", npy(x[:1]), "")
    wait_for(root, shape="1,5,6,7")
    check(root, x[:1])
    # Pasted numbers; but in a text field a paste is one's own.
    hand_over(root, "paste", "", "[[1, 2.5], [-3, 4], [5, 6]]", "button")
    wait_for(root, shape="3,2")
    check(root, np.array([[1, 2.5], [-3, 4], [5, 6]]))
    hand_over(root, "paste", "", "1 2\n3 4", "[aria-label=weight]")
    assert shape_of(root) == (3, 2)
    root.get_by_role("button", name="Paste numbers", exact=True).click()
    field(root, "Numbers").fill("1, 2, 3\n4, 5, 6")
    root.get_by_role("button", name="Use these numbers", exact=True).click()
    wait_for(root, shape="2,3")
    check(root, np.array([[1.0, 2, 3], [4, 5, 6]]))
    expect(field(root, "Numbers")).to_be_hidden()
    undo = root.get_by_role("button", name="Undo", exact=True)
    undo.click()
    undo.click()
    wait_for(root, shape="1,5,6,7")
    check(root, x[:1])


def test_a_change_takes_the_place_of_a_file_that_is_still_read(root):
    root.evaluate(
        """() => {
            const { arrayBuffer } = Blob.prototype;
            const held = new Promise((go) => { window.go = go; });
            Blob.prototype.arrayBuffer = async function () {
              await held;
              window.read = true;
              return arrayBuffer.call(this);
            };
        }"""
    )
    open_(root, "x.npy", npy(host.tensor(2, 3)))
    type_in(root, "N", 2)
    root.page.evaluate("go()")
    root.page.wait_for_function("window.read")
    drawn(root.page)
    check(root, nv.samples.activations(2))
    assert alert(root) == ""


def test_the_array_of_an_npz_is_chosen(root):
    arrays = {"first": host.tensor(2, 3, 4), "second": host.tensor(4, 2), "third": host.tensor(1, 2, 3, 2, 2)}
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    expect(root.get_by_label("Array", exact=True)).to_be_hidden()
    open_(root, "three.npz", out.getvalue())
    wait_for(root, shape="2,3,4")
    for k, (name, x) in [*enumerate(arrays.items())][::-1]:
        expect(field(root, "Array").locator("option").nth(k)).to_have_text(f"{name} {tuple(x.shape)} float32")
        field(root, "Array").select_option(str(k))
        wait_for(root, shape=",".join(map(str, x.shape)))
        check(root, x)


@pytest.mark.parametrize("how", ["open", "drop", "paste"])
def test_a_file_that_cannot_be_read_changes_nothing(root, how):
    type_in(root, "Value", "3")
    before, line, hash = hooks(root), status(root), address(root.page)
    for name, data in (
        ("line.npy", npy(np.arange(3.0))),
        ("complex.npy", npy(np.zeros((2, 2), complex))),
        ("broken.npz", b"PK\x03\x04 nothing"),
        ("words.csv", b"a,b\nc,d"),
    ):
        open_(root, name, data) if how == "open" else hand_over(root, how, name, data)
        expect(root.get_by_role("alert")).to_contain_text(name)
        is_ready(root)
        assert (hooks(root), status(root), address(root.page)) == (before, line, hash)
        assert field(root, "Fill").input_value() == "edited"
        root.get_by_label(re.compile("^index n")).fill("1")
        assert alert(root) == ""
        root.get_by_label(re.compile("^index n")).fill("0")


# ---- the table of values ---------------------------------------------------------------------------------------------


def test_the_table_is_typed_over_by_keys(root):
    select(root, "Fill", "ramp")
    set_shape(root, (2, 3, 4, 5))
    x = nv.samples.filled((2, 3, 4, 5), "ramp").astype(np.float64)
    root.get_by_role("button", name="Table", exact=True).click()
    grid = root.get_by_role("grid", name=re.compile("Map of values n = 0, c = 0"))
    expect(grid.get_by_role("gridcell")).to_have_count(20)
    grid.locator("[aria-selected=true]").focus()
    keyboard = root.page.keyboard
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "End", "ArrowLeft"):
        keyboard.press(key)
    assert state(root)["index"] == (0, 0, 1, 3)
    keyboard.press("Enter")
    keyboard.type("99.5")
    keyboard.press("Enter")
    x[0, 0, 1, 3] = 99.5
    check(root, x)
    assert state(root)["index"] == (0, 0, 2, 3)
    keyboard.type("-7")
    keyboard.press("Tab")
    x[0, 0, 2, 3] = -7
    check(root, x)
    assert state(root)["index"] == (0, 0, 2, 4)
    keyboard.press("F2")
    keyboard.type("12")
    keyboard.press("Escape")
    check(root, x)
    keyboard.press("Enter")
    keyboard.type("word")
    keyboard.press("Enter")
    assert "“word”" in alert(root)
    keyboard.press("Escape")
    keyboard.press("Control+z")
    x[0, 0, 2, 3] = 13
    check(root, x)
    # A second click on the picked cell types over it, as a tap does.
    cell = grid.get_by_role("gridcell").nth(7)
    cell.click()
    cell.click()
    keyboard.type("5")
    keyboard.press("Enter")
    x[0, 0, 1, 2] = 5
    check(root, x)
    for shape, cells in (((2, 3), 6), ((2, 3, 4), 4), ((2, 3, 2, 2, 5), 20), ((1, 1, 40, 2), 64)):
        set_shape(root, shape)
        expect(root.get_by_role("gridcell")).to_have_count(cells)
    root.get_by_label(re.compile("^index h")).fill("39")
    expect(root.get_by_role("gridcell")).to_have_count(16)
    expect(root.get_by_role("rowheader").last).to_have_text("39")


# ---- everybody -------------------------------------------------------------------------------------------------------


def test_everything_by_keyboard(root):
    """Every control of the panel is reached by Tab, in order, and changes by keys alone."""
    root.get_by_role("button", name="Tensor", exact=True).focus()
    reached = []
    for _ in range(30):  # with some more, the focus would leave the page
        reached.append(
            root.evaluate("root => { const e = document.activeElement; return e.ariaLabel ?? e.textContent; }")
        )
        root.page.keyboard.press("Tab")
    order = ["Tensor", "N slider", "N", "C slider", "C", "H slider", "H", "W slider", "W", "Rank", "Channels", "Fill"]
    order += ["Seed", "Open a file", "Paste numbers", "Value", "Table", "eps", "weight", "bias", "Save .npy", "As code"]
    assert reached[: len(order)] == order
    field(root, "N slider").press("ArrowLeft")
    is_ready(root)
    check(root, nv.samples.activations()[:3])
    field(root, "N slider").press("Home")
    is_ready(root)
    check(root, nv.samples.activations()[:1])
    for _ in range(2):
        root.page.keyboard.press("Control+z")
    is_ready(root)
    check(root, nv.samples.activations())
    # Digits in a field choose no method.
    field(root, "Seed").press("2")
    assert state(root)["method"] == "batch"
    root.get_by_role("button", name="Tensor", exact=True).press("Enter")
    expect(field(root, "N")).to_be_hidden()


def test_a_slider_leads_back_to_a_long_axis(root):
    """The slider of a length beyond its usual end does not lose that end while it is moved."""
    type_in(root, "N", 20)
    slider = root.get_by_role("slider", name="N slider", exact=True)
    slider.focus()
    for key, length in (("ArrowLeft", 19), ("ArrowRight", 20), ("Home", 1), ("End", 20)):
        slider.press(key)
        is_ready(root)
        assert shape_of(root)[0] == length


def test_a_drag_of_a_slider_is_one_step_back(root):
    slider = field(root, "C slider")
    box = slider.bounding_box()
    mouse = root.page.mouse
    mouse.move(box["x"] + box["width"] * 0.24, box["y"] + box["height"] / 2)
    mouse.down()
    for share in (0.3, 0.5, 0.7, 0.9):
        mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
    assert shape_of(root)[1] > 40
    assert root.page.evaluate("location.hash") == ""
    mouse.up()
    is_ready(root)
    assert address(root.page)["shape"] == hooks(root)["shape"]
    root.get_by_role("button", name="Undo", exact=True).click()
    check(root, nv.samples.activations())
    expect(root.get_by_role("button", name="Undo", exact=True)).to_be_disabled()


@pytest.mark.parametrize("look", ["light", "dark", "touch"])
def test_axe_finds_no_violation_and_nothing_overflows(new_page, pages, look):
    options: dict[str, Any] = {"color_scheme": "dark" if look == "dark" else "light", "reduced_motion": "reduce"}
    if look == "touch":
        options |= {"has_touch": True, "is_mobile": True}
    page = new_page(320 if look == "touch" else 1100, **options)
    root, axe = open_file(page, pages / "sample.html", "#shape=2,6,5,5&fill=normal"), Axe()

    def parts():
        yield "start"
        type_in(root, "Value", "nan")
        type_in(root, "weight", "x")
        yield "alert, hatch"
        for name in ("Table", "Paste numbers", "As code"):
            root.get_by_role("button", name=name, exact=True).click()
        yield "table, box, code"

    for part in parts():
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), part
        least = 40 if look == "touch" else 24
        small = root.locator(".nv-tensor, .nv-map").evaluate_all(
            """(all, least) => all.flatMap((one) => [...one.querySelectorAll("button, input, select, [role=gridcell]")])
                .map((e) => [e, (e.closest(".nv-file") ?? e).getBoundingClientRect()])
                .filter(([, box]) => box.height && (box.height < least || box.width < 24))
                .map(([e, box]) => `${e.outerHTML} ${box.width} ${box.height}`)""",
            least,
        )
        assert not small, part
        result = axe.run(page)
        assert not result.violations_count, f"{part}: {result.generate_report()}"


# ---- hosts -----------------------------------------------------------------------------------------------------------


def test_linked_explorers_show_one_tensor(page, pages):
    open_file(page, pages / "linked.html", explorers=2)
    left, right = (page.locator(".normviz").nth(k) for k in (0, 1))
    type_in(left, "N", 2)
    wait_for(right, shape="2,16,12,12")
    x = nv.samples.activations(2)
    check(left, x)
    check(right, x)
    select(right, "Fill", "ramp")
    wait_for(left, fill="ramp")
    check(left, nv.samples.filled((2, 16, 12, 12), "ramp"))
    left.get_by_role("button", name="Undo", exact=True).click()
    wait_for(right, fill="sample")
    check(right, x)
    right.get_by_role("button", name="Reset", exact=True).click()
    wait_for(left, shape="4,16,12,12")
    check(left, nv.samples.activations())
    left.get_by_role("button", name="Undo", exact=True).click()
    wait_for(right, shape="2,16,12,12")
    keys = address(page)
    assert keys["shape"] == "2,16,12,12"
    assert "2.shape" not in keys
    hash = page.evaluate("location.hash")
    page.goto("about:blank")
    open_file(page, pages / "linked.html", hash, explorers=2)
    for one in (left, right):
        check(one, x)
        assert alert(one) == ""


def test_what_a_slider_shows_stays_when_the_next_change_is_given_up(page, pages):
    """The slider is not let go yet: linked explorers, the address and Undo follow all the same."""
    open_file(page, pages / "linked.html", explorers=2)
    left, right = (page.locator(".normviz").nth(k) for k in (0, 1))
    drag = "e => { e.value = '5'; e.dispatchEvent(new Event('input')); }"
    field(left, "W slider").evaluate(drag)
    field(left, "C").fill("0")
    field(left, "C").blur()
    assert alert(left) == "C takes a whole number, 1 or more."
    wait_for(right, shape="4,16,12,5")
    assert address(page)["shape"] == "4,16,12,5"
    left.get_by_role("button", name="Undo", exact=True).click()
    wait_for(right, shape="4,16,12,12")


def test_each_linked_explorer_keeps_a_given_tensor_in_the_address(page, pages):
    """Also where one changes what the other has begun."""
    open_file(page, pages / "linked_own.html", explorers=2)
    left, right = (page.locator(".normviz").nth(k) for k in (0, 1))
    type_in(left, "Value", 5)
    wait_for(right, fill="edited")
    type_in(right, "eps", 0.1)
    expect(field(left, "eps")).to_have_value("0.1")
    keys = address(page)
    assert keys | {"shape": "2,4,3,3", "edits": "0,0,0,0:5", "eps": "0.1"} == keys
    assert "fill" not in keys


def test_a_link_has_only_the_typed_cells_of_its_shape(page, own, pages):
    """A cell that was typed in the last sample is not in a link to the ones before."""
    x = host.tensor(3, 4, 5, 6)
    root = own
    type_in(root, "Value", 5)
    root.get_by_label(re.compile("^index n")).fill("2")
    type_in(root, "Value", 7)
    type_in(root, "N", 2)
    x[0, 0, 0, 0] = 5
    check(root, x[:2])
    assert address(page)["edits"] == "0,0,0,0:5"
    hash = page.evaluate("location.hash")
    page.goto("about:blank")
    root = open_file(page, pages / "own.html", hash)
    check(root, x[:2])
    assert alert(root) == ""


def test_a_large_tensor_of_linked_explorers_is_asked_where_it_was_made(page, pages):
    """Above 2**17 cells a page has no copy of the values; either explorer may be the one that made them."""
    shape = (3, 64, 32, 32)
    open_file(page, pages / "linked.html", f"#shape={','.join(map(str, shape))}&fill=normal&seed=3", explorers=2)
    both = [page.locator(".normviz").nth(k) for k in (0, 1)]
    for seed, maker in ((3, None), (5, both[1]), (6, both[0])):
        if maker:
            type_in(maker, "Seed", seed)
        for one in both:
            wait_for(one, seed=seed)
            is_ready(one)
            value = nv.samples.filled(shape, "normal", seed=seed)[0, 0, 0, 0]
            expect(field(one, "Value")).to_have_value(str(value))


def test_a_file_that_cannot_be_read_leaves_the_values_of_a_large_tensor(page, pages):
    """Also if it is opened while the next tensor is made."""
    shape = (3, 64, 32, 32)
    root = open_file(page, pages / "sample.html", f"#shape={','.join(map(str, shape))}&fill=normal&seed=3")
    root.evaluate(
        """async (root) => {
            const change = (name, value) => {
              const input = root.querySelector(`[aria-label="${name}"]`);
              Object.assign(input, value);
              input.dispatchEvent(new Event("change", { bubbles: true }));
            };
            const list = new DataTransfer();
            list.items.add(new File(["no numbers"], "broken.npy"));
            change("Seed", { value: "9" });
            change("Open a file", { files: list.files });
        }"""
    )
    is_ready(root)
    assert "broken.npy" in alert(root)
    assert hooks(root)["seed"] == "3"
    root.get_by_label("index w, 0 to 31", exact=True).fill("3")
    expect(field(root, "Value")).to_have_value(str(nv.samples.filled(shape, "normal", seed=3)[0, 0, 0, 3]))


WORKERS = """
window.workers = 0;
window.Worker = class extends Worker {
  constructor(...args) { super(...args); workers++; }
  terminate() { workers--; return super.terminate(); }
};
"""


@pytest.fixture
def bare(page: Page, tmp_path: Path) -> Page:
    """A widget's host: two views of editable explorers, and a count of what they leave behind."""
    page.add_init_script(path=Path(__file__).with_name("leaks.js"))
    page.add_init_script(WORKERS)
    models = [host.model(host.tensor(2, 4, 3, 3), editable=True), host.model(None, editable=True)]
    page.goto(host.write(tmp_path / "host.html", models).as_uri())
    page.wait_for_function("window.loaded")
    expect(page.locator(".normviz[data-ready]")).to_have_count(2)
    return page


def test_python_is_told_what_was_made(bare):
    root = bare.locator(".normviz").first

    def sent() -> list[Any]:
        return bare.evaluate("models[0].sent.splice(0)")

    sent()
    select(root, "Fill", "normal")
    type_in(root, "Seed", 5)
    first, second = sent()
    recipe = {"shape": [2, 4, 3, 3], "fill": "normal", "seed": 0, "channel_axis": 1, "edits": []}
    assert {k: first[k] for k in ("kind", "recipe")} == {"kind": "made", "recipe": recipe}
    assert second["recipe"] == recipe | {"seed": 5}
    assert second["revision"] > first["revision"] > 0
    type_in(root, "weight", "3")
    (third,) = sent()
    assert third | {"kind": "parameters", "eps": 1e-5, "weight": [3, 3, 3, 3], "bias": None} == third
    type_in(root, "Value", "inf")
    made, again = sent()
    assert made["recipe"] == recipe | {
        "seed": 5, "fill": "edited", "base": "normal", "edits": [[[0, 0, 0, 0], "Infinity"]]
    }  # fmt: skip
    assert made | {"dtype": "float64", "shape": [2, 4, 3, 3]} == made
    x = nv.samples.filled((2, 4, 3, 3), "normal", seed=5).astype("<f8")
    x[0, 0, 0, 0] = np.inf
    assert bytes(made["buffers"][0]) == x.tobytes()
    assert again["kind"] == "parameters"
    # Python takes all of them as they are.
    explorer = nv.Explorer(host.tensor(2, 4, 3, 3), editable=True)
    for message in (first, second, third, made, again):
        buffers = [memoryview(bytes(one)) for one in message.get("buffers", [])]
        explorer._handle_custom_msg({name: one for name, one in message.items() if name != "buffers"}, buffers)
    assert explorer.recipe == made["recipe"]
    np.testing.assert_array_equal(explorer.x, x)
    assert explorer.x.dtype == np.float64
    np.testing.assert_array_equal(explorer.weight, [3, 3, 3, 3])
    # What comes back is no reason to begin again; a tensor of Python is.
    scene = bare.evaluate("models[0].get('_scene')")
    field(root, "Seed").evaluate("e => { e.mark = true; }")
    bare.evaluate("scene => models[0].receive({ _scene: scene })", scene | {"revision": again["revision"]})
    assert field(root, "Seed").evaluate("e => e.mark")
    bare.evaluate("scene => models[0].receive({ _scene: scene })", scene)
    expect(bare.locator(".normviz[data-ready]")).to_have_count(2)
    assert not field(bare.locator(".normviz").last, "Seed").evaluate("e => e.mark")


def test_nothing_is_left_behind(bare):
    before = bare.evaluate("leaks()")
    root = bare.locator(".normviz").last
    # A thousand changes, the last of them still on its way in a worker.
    root.evaluate(
        """async (root) => {
            const field = (name) => root.querySelector(`[aria-label="${name}"]`);
            const change = (name, value) => {
              field(name).value = value;
              field(name).dispatchEvent(new Event("change", { bubbles: true }));
            };
            for (let k = 0; k < 250; k++) {
              change("N", 1 + (k % 3));
              change("Fill", k % 2 ? "normal" : "ramp");
              change("Value", k);
              change("Rank", 2 + (k % 4));
            }
            change("Rank", 4);
            for (const axis of "CHW") change(axis, 64);
        }"""
    )
    bare.evaluate("() => { for (const close of closers) close(); }")
    assert bare.evaluate("leaks()") == {"listeners": [], "observers": 0, "timers": 0, "frames": 0}
    assert bare.evaluate("models.map((one) => [...one.listeners.values()].flat().length)") == [0, 0]
    assert before["observers"] > 0
    assert bare.evaluate("workers") == 0
