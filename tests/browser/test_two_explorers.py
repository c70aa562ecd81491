"""Two explorers on one page: neither disturbs the other, and neither leaves anything behind."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

import normviz as nv
from tests.browser import host, reading
from tests.browser.reading import choose, slider, state, status, wait_for

HERE = Path(__file__).parent


@pytest.fixture
def two(page: Page, tmp_path: Path) -> tuple[Locator, Locator]:
    """An exported page of two tensors of different rank."""
    path = tmp_path / "two.html"
    nv.to_html([nv.show(host.tensor(3, 8, 4, 5), num_groups=4), nv.show(host.tensor(4, 6, 7, seed=1), "layer")], path)
    reading.open_file(page, path, explorers=2)
    roots = page.locator(".normviz")
    return roots.nth(0), roots.nth(1)


def test_each_keeps_its_own_state(two):
    first, second = two
    before = state(second), status(second)
    choose(first, "Batch Norm")
    slider(first).press("End")
    first.get_by_role("application").press("ArrowDown")
    first.get_by_role("radio", name="Paper figure").click()
    first.get_by_role("button", name="Code", exact=True).click()
    assert state(first)["index"] == (0, 0, 1, 0)
    assert (state(second), status(second)) == before
    before = state(first), status(first)
    choose(second, "Instance Norm")
    second.get_by_role("application").press("Shift+ArrowRight")
    assert state(second)["index"] == (1, 0, 0)
    assert (state(first), status(first)) == before
    assert second.get_attribute("data-view") == "samples"


def test_the_tour_of_one_leaves_the_other_alone(two):
    first, second = two
    before = state(second)
    first.get_by_role("button", name="Tour").click()
    first.get_by_role("button", name="Next stop").click()
    assert second.get_by_role("region", name="Tour").count() == 0
    assert state(second) == before


def test_ids_are_unique(two):
    ids = two[0].page.evaluate("() => [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(set(ids)) == len(ids), sorted(ids)


def test_the_address_keeps_both(two):
    first, second = two
    page = first.page
    choose(second, "Group Norm")
    slider(second).press("End")
    page.wait_for_function("() => location.hash.includes('2.G=6')")
    # Only what was touched is written.
    assert page.evaluate("location.hash") == "#2.method=group&2.G=6&2.i=0,0,0&2.step=0&2.view=samples&2.color=set"
    choose(first, "Batch Norm")
    page.wait_for_function("() => location.hash.includes('#method=batch')")
    before = state(first), state(second)
    page.reload()
    reading.ready(page, 2)
    assert (state(first), state(second)) == before


def test_a_written_address_reaches_the_second(two):
    first, second = two
    page = first.page
    page.evaluate("() => { location.hash = '#method=batch&i=2,7,3,4&2.method=group&2.G=2&2.i=3,4,6&2.step=3'; }")
    wait_for(second, method="group")
    assert state(first)["index"] == (2, 7, 3, 4)
    assert state(second) == {"method": "group", "num_groups": 2, "index": (3, 4, 6), "set": "3:4,3:6,0:7", "step": 3}


# ---- one model, two views; and views that end ------------------------------------------------------------------------


@pytest.fixture
def bare(page: Page, tmp_path: Path) -> Page:
    """A bare host with two models; what is left running is counted."""
    page.add_init_script(path=HERE / "leaks.js")
    models = [host.model(host.tensor(2, 8, 4, 4)), host.model(host.tensor(2, 6, 3, 3, seed=1), "batch")]
    reading.open_file(page, host.write(tmp_path / "bare.html", models), explorers=2)
    return page


def test_a_change_is_pushed_once_and_heard_once(bare):
    first = bare.locator(".normviz").first
    choose(first, "Instance Norm")
    bare.wait_for_function("() => models[0].pushed.length === 1")
    assert bare.evaluate("models.map((m) => m.pushed)") == [[{"method": "instance"}], []]
    bare.evaluate("models[0].receive({ method: 'layer', index: [1, 7, 3, 3] })")
    # Heard at once, and not sent back.
    assert state(first)["set"] == "1:2,0:8,0:4,0:4"
    reading.drawn(bare)
    assert bare.evaluate("models[0].pushed.length") == 1


def test_a_drag_along_the_slider_is_pushed_when_it_ends(bare):
    """Python would be asked at every move otherwise."""
    first = bare.locator(".normviz").first
    track = slider(first).bounding_box()
    across, middle = (lambda share: track["x"] + 1 + share * (track["width"] - 2)), track["y"] + track["height"] / 2
    bare.mouse.move(across(0), middle)
    bare.mouse.down()
    for share, groups in ((0.34, 2), (0.66, 4), (1, 8)):
        bare.mouse.move(across(share), middle)
        wait_for(first, num_groups=groups)
    reading.drawn(bare)
    assert bare.evaluate("models[0].pushed") == []
    bare.mouse.up()
    bare.wait_for_function("() => models[0].pushed.length > 0")
    reading.drawn(bare)
    assert bare.evaluate("models[0].pushed") == [{"num_groups": 8}]


def test_a_closed_view_leaves_nothing_running(bare):
    """With everything going that can go: a sweep, a tour, a pointer over the cube, a drag not ended."""
    one, other = bare.locator(".normviz").first, bare.locator(".normviz").nth(1)
    alone = bare.evaluate("() => { closers[1](); return leaks(); }")
    assert alone["observers"] == 2, "the count sees no observers: it would not see one that is left"
    assert alone["listeners"], "the count sees no listeners: it would not see one that is left"
    assert other.count() == 0
    one.get_by_role("button", name="Play the sweep of G").click()
    one.get_by_role("button", name="Tour").click()
    box = one.get_by_role("application").bounding_box()
    bare.mouse.move(box["x"] + 200, box["y"] + 150)
    bare.mouse.down()
    bare.mouse.move(box["x"] + 250, box["y"] + 180)
    assert bare.evaluate("leaks().timers") > 0
    # A choice made in the last moment waits to be drawn and to be pushed.
    left = bare.evaluate(
        """() => {
            document.querySelector("[role=radio]").click();
            closers[0]();
            return { ...leaks(), heard: [...models[0].listeners.values()].flat().length };
        }"""
    )
    assert left == {"listeners": [], "observers": 0, "timers": 0, "frames": 0, "heard": 0}
    assert bare.locator(".normviz").count() == 0
    # And what the host says later reaches nobody.
    bare.evaluate("models[0].receive({ method: 'batch', index: [0, 0, 0, 0] })")


def test_a_new_tensor_mounts_again_and_leaks_nothing(bare):
    before = bare.evaluate("leaks()")
    bare.evaluate(
        "(values) => { models[0].receive(values); }",
        host.model(host.tensor(5, 4, 2, 2, seed=4), num_groups=2),
    )
    root = bare.locator(".normviz").first
    wait_for(root, ready="true", num_groups=2)
    assert state(root)["set"] == "0:1,0:2,0:2,0:2"
    reading.drawn(bare)
    assert bare.evaluate("leaks()") == before


@pytest.mark.parametrize(
    "breaks",
    ["save_changes() { throw new Error('static'); }", "on() { throw new Error('static'); }", "off() { throw 1; }"],
)
def test_a_static_host_may_throw(page: Page, tmp_path: Path, breaks):
    """A host with no kernel that says so with exceptions: the page goes on alone."""
    path = host.write(tmp_path / "static.html")
    page.goto(path.as_uri())
    page.wait_for_function("() => window.loaded")
    page.evaluate(
        f"""async (values) => {{
            const model = {{
                get: (name) => values[name], set() {{}}, save_changes() {{}}, send() {{ throw new Error("static"); }},
                on() {{}}, off() {{}}, {breaks}
            }};
            const el = document.querySelector("main").appendChild(document.createElement("div"));
            const shadow = el.attachShadow({{ mode: "open" }});
            shadow.append(document.querySelector("style").cloneNode(true));
            window.close_it = front.default.render({{ model, el: shadow.appendChild(document.createElement("div")) }});
        }}""",
        host.model(host.tensor(2, 8, 4, 4)),
    )
    root = page.locator(".normviz")
    choose(root, "Batch Norm")
    slider(root).press("End")
    reading.drawn(page)
    assert state(root)["num_groups"] == 8
    page.evaluate("async () => { const close = await close_it; close?.(); }")
    assert root.count() == 0
