"""The colour "gradient" in the page: its numbers, what it paints, and what it says."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

import normviz as nv
from normviz.explorer import validation
from tests.browser import host
from tests.browser.reading import choose, drawn, open_file, shows, state, status
from tests.browser.test_same_sets import EPS, pytorch
from tests.test_gradient_color import cases

torch = pytest.importorskip("torch")

NUMBERS = """(given) => given.map((model) => {
  const data = front.readScene(model._scene), state = front.fit({ ...model, G: model.num_groups }, data);
  const shown = front.measure(data, state), found = front.gradientOf(data, shown, state.method);
  const [N, C, H, W] = data.cube, to = [];
  for (let n = 0; n < N; n++) for (let c = 0; c < C; c++) for (let h = 0; h < H; h++) for (let w = 0; w < W; w++)
    to.push(found.to([n, c, h, w], data.values[to.length]));
  return { to, own: found.own, sum: found.sum(), all: [...found.all()], end: found.end };
})"""


def test_the_pages_numbers_are_those_of_finite_differences_and_of_pytorch(call):
    """Every method and rank, eval, given sets: at each cell, over the set, and in the histogram."""
    every, compared = list(cases()), 0
    started = [validation.start(case.x, case.given) for case in every]
    models = [now | {"_scene": on.scene, "index": list(now["index"])} for on, now in started]
    for case, found in zip(every, call(f"return ({NUMBERS})(given)", models), strict=True):
        about = f"{case.name} {case.x.shape}"
        row, index, members = case.row(), tuple(case.given["index"]), case.members()
        np.testing.assert_allclose(np.reshape(found["to"], case.x.shape), row, atol=1e-8, err_msg=about)
        np.testing.assert_allclose([found["own"], found["sum"]], [row[index], row.sum()], atol=1e-8, err_msg=about)
        np.testing.assert_allclose(np.sort(found["all"]), np.sort(row[members]), atol=1e-8, err_msg=about)
        if case.name in nv.METHODS and case.given["eps"] == EPS and members.sum() > 1:
            x = torch.tensor(case.x, requires_grad=True)
            one, zero = torch.ones(x.shape[1], dtype=x.dtype), torch.zeros(x.shape[1], dtype=x.dtype)
            pytorch(x, case.name, case.given["num_groups"], one, zero)[index].backward()
            np.testing.assert_allclose(np.reshape(found["to"], case.x.shape), x.grad.numpy(), atol=1e-12, err_msg=about)
            compared += 1
    assert compared > 12


PAPER = """({ model, methods, size }) => {
  const data = front.readScene(model._scene), state = front.fit({ ...model, G: model.num_groups }, data);
  const shown = front.measure(data, state), [N, C, H, W] = data.cube, found = {};
  for (const name of methods) {
    const { drawn } = front.gradientOf(data, shown, name);
    for (let n = 0; n < N; n++) for (let c = 0; c < C; c++) for (let z = 0; z < H * W; z += size) {
      const [cell, last] = [z, z + size - 1].map((at) => [n, c, Math.floor(at / W), at % W]);
      (found[name] ??= []).push(drawn({ cell, last, value: front.drawnValue(data, cell, last, true) }, true));
    }
  }
  return found;
}"""


def test_in_the_classical_figure_a_drawn_cell_has_the_mean_gradient_of_its_positions(call):
    """18 positions, which begin and end within a row of 12; each cube by its own method."""
    x, index = host.tensor(3, 4, 12, 12, dtype="float64"), (1, 2, 5, 2)
    model = host.model(x, "group", 2, index=index, view="paper")
    found = call(f"return ({PAPER})(given)", {"model": model, "methods": list(nv.METHODS), "size": 18})
    one = np.zeros(x.shape)
    one[index] = 1
    for name, row in nv.METHODS.items():
        groups = (1 if row.grouped_axis == 0 else 2) if row.has_groups else None
        inside = np.zeros(x.shape, bool)
        inside[nv.pooling(name, x.shape, groups).set_of(index)] = True
        bins = nv.gradient(x, one, name, num_groups=groups).input.reshape(-1, 18).mean(axis=1)
        expected = np.where(inside.reshape(-1, 18).any(axis=1), bins, np.nan)
        values = [np.nan if value is None else value for value in found[name]]
        np.testing.assert_allclose(values, expected, atol=1e-12, err_msg=name)


X = host.tensor(3, 8, 6, 5)
INDEX = (1, 3, 0, 4)


@pytest.fixture
def root(page, tmp_path):
    running = nv.Statistics(mean=np.zeros(8), var=np.full(8, 3.0), count=9)
    nv.to_html(nv.show(X, statistics=running, index=INDEX), tmp_path / "page.html")
    root = open_file(page, tmp_path / "page.html")
    root.get_by_label("Color", exact=True).select_option("gradient")
    drawn(page)
    return root


def painted(root) -> str:
    """The paths of the coloured faces."""
    return root.locator(".nv-svg > g").first.inner_html()


def test_a_person_sees_what_the_gradient_is(root):
    """For three kinds of method: the status line, and how many faces of cells are painted."""
    expect(root).to_have_attribute("data-color", "gradient")
    one = np.zeros(X.shape)
    one[INDEX] = 1
    for name, groups in (("batch", None), ("layer", None), ("group", 4), ("rms", None), ("frn", None)):
        choose(root, nv.METHODS[name].label)
        drawn(root.page)
        groups = groups and state(root)["num_groups"]
        row = nv.gradient(X.astype(np.float64), one, name, num_groups=groups).input
        own, total = re.search(r"is (-?[\d.]+) at cell i and sums to (-?[\d.]+) over the set: ", status(root)).groups()
        assert shows(own, row[INDEX])
        assert shows(total, row.sum() if name in ("rms", "frn") else 0)
        assert ("no mean is taken" in status(root)) == (name in ("rms", "frn"))
        members = nv.pooling(name, X.shape, groups).set_of(INDEX)
        inside = np.zeros(X.shape, bool)
        inside[members] = True
        faces = inside[:, :, 0].sum() + inside[:, 0].sum() + inside[..., -1].sum()
        assert painted(root).count("M") == faces
    root.get_by_role("radiogroup", name="Mode").get_by_role("radio", name="Eval").click()
    choose(root, "Batch Norm")
    drawn(root.page)
    assert f"is {1 / np.sqrt(3 + 1e-5):.5g} at cell i and 0 elsewhere: no other cell changes" in status(root)
    assert painted(root).count("M") == 2, "cell i has two faces here"


def test_the_histogram_the_legend_and_the_tip_follow_the_cell(root):
    choose(root, "Layer Norm")
    drawn(root.page)
    chart, legend = root.locator(".nv-chart"), root.locator(".nv-legend")
    assert chart.get_attribute("aria-label") == "gradient of x\u0302ᵢ over the set"
    expect(legend).to_contain_text("square-root scale; uncolored: 0")
    ends = re.search(r"≤ -([\d.]+)≥ ([\d.]+)", legend.inner_text().replace("\n", ""))
    assert ends[1] == ends[2]
    before = legend.inner_text(), chart.inner_html(), painted(root)
    root.get_by_role("application").press("ArrowLeft")
    drawn(root.page)
    after = legend.inner_text(), chart.inner_html(), painted(root)
    assert all(a != b for a, b in zip(before, after, strict=True))
    one = np.zeros(X.shape)
    one[state(root)["index"]] = 1
    row = nv.gradient(X.astype(np.float64), one, "layer").input
    # A cell on the front of the set's sample, and one of the sample beside it.
    tip, box = root.locator(".nv-tip"), root.locator("path.nv-set-edge").bounding_box()
    for x, inside in ((box["x"] + box["width"] / 4, True), (box["x"] + box["width"] * 1.5, False)):
        root.page.mouse.move(x, box["y"] + 0.6 * box["height"])
        at, value = re.match(r"\((.*)\)  x = .*  gradient (-?[\d.]+)$", tip.inner_text()).groups()
        assert at.startswith("1") == inside
        assert shows(value, row[tuple(map(int, at.split(", ")))], 3)
    root.page.mouse.move(0, 0)
    root.get_by_label("Color", exact=True).select_option("set")
    drawn(root.page)
    assert "gradient" not in status(root)
    assert chart.get_attribute("aria-label").startswith("Values before and after")


def test_hidden_numbers_hide_the_gradient_too(root):
    root.get_by_role("button", name="Present", exact=True).click()
    assert "gradient" not in status(root).lower()
    root.get_by_role("button", name="Show numbers", exact=True).click()
    assert "The gradient of" in status(root)
