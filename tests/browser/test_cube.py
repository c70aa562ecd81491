"""The plotly cube in a browser, without a kernel: plotly's own controls drive it."""

import sys

import pytest

import normviz as nv
from normviz.explorer.plotly_figure import WIDTH
from normviz.explorer.svg import geometry

STATE = """() => {
    const {layout, data} = document.querySelector(".plotly-graph-div");
    const [menu] = layout.updatemenus, [slider] = layout.sliders;
    return {
        title: layout.title.text, pressed: menu.active, step: slider.active, prefix: slider.currentvalue.prefix,
        dots: menu.buttons.map((button) => button.label[0]).join(""), name: data[1].name,
        high: Math.max(...data[1].y) - Math.min(...data[1].y),
    };
}"""
BLUE = """() => {
    const canvas = document.querySelector(".gl-container canvas");
    const flat = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    flat.drawImage(canvas, 0, 0);
    const {data} = flat.getImageData(0, 0, canvas.width, canvas.height);
    let blue = 0;
    for (let k = 0; k < data.length; k += 4) blue += data[k + 2] > data[k] + 60 && data[k + 3] > 200;
    return blue;
}"""

PLACE = """() => {
    const figure = document.querySelector(".plotly-graph-div"), canvas = figure.querySelector(".gl-container canvas");
    const flat = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    flat.drawImage(canvas, 0, 0);
    const {data} = flat.getImageData(0, 0, canvas.width, canvas.height);
    const scale = canvas.getBoundingClientRect().width / canvas.width;
    const left = canvas.getBoundingClientRect().left - figure.getBoundingClientRect().left;
    const top = canvas.getBoundingClientRect().top - figure.getBoundingClientRect().top - figure.layout.margin.t;
    let [x0, x1, y0, y1] = [1e9, -1, 1e9, -1];
    for (let k = 0; k < data.length; k += 4) if (data[k + 2] > data[k] + 60 && data[k + 3] > 200) {
        const x = k / 4 % canvas.width, y = Math.floor(k / 4 / canvas.width);
        [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x + 1), Math.min(y0, y), Math.max(y1, y + 1)];
    }
    return [left + scale * x0, left + scale * x1, top + scale * y0, top + scale * y1];
}"""


@pytest.fixture(scope="module")
def page(browser, chromium_path, tmp_path_factory):
    """The cube written as a page, with plotly.js inside; WebGL by software, as a machine without a GPU has it."""
    path = tmp_path_factory.mktemp("cube") / "cube.html"
    figure = nv.cube(nv.samples.activations(), index=(1, 6, 6, 6))
    figure.write_html(path, include_plotlyjs=True)
    args = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    if sys.platform == "linux":
        args.append("--no-sandbox")
    with browser.browser_type.launch(executable_path=chromium_path, args=args) as own:
        page = own.new_page(viewport={"width": 960, "height": 600}, offline=True)
        # What is drawn can be read back only while the buffer is kept.
        page.add_init_script(
            "const get = HTMLCanvasElement.prototype.getContext;"
            "HTMLCanvasElement.prototype.getContext = function (kind, options) {"
            " return get.call(this, kind, {...options, preserveDrawingBuffer: true}); };"
        )
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function(f"({BLUE})() > 100")
        yield page
        assert not errors


def test_plotly_draws_the_set_where_the_explorer_has_it(page):
    """The pixels of the set have the bounds of its faces in the explorer's geometry; lines hide parts of their ends."""
    height = page.evaluate(
        "() => { const {layout: l} = document.querySelector('.plotly-graph-div');"
        " return l.height - l.margin.t - l.margin.b; }"
    )
    view = geometry.view_of(nv.samples.activations().shape, {"view": "samples", "index": (1, 6, 6, 6)})
    frame = geometry.make_frame(view, {"width": WIDTH, "height": height})
    faces = geometry.visible_faces(frame, 1, [(0, 12), (4, 8), (0, 12)])
    assert sorted(faces) == ["side", "top"]
    x, y = zip(*(point for quad in faces.values() for point in quad), strict=True)
    assert page.evaluate(PLACE) == pytest.approx([min(x), max(x), min(y), max(y)], abs=3)


def press(page, label):
    page.locator(".updatemenu-button", has_text=f"○ {label}").click()
    page.wait_for_function("label => document.querySelector('.gtitle').textContent.includes(label)", arg=label)


def slide(page, step, G):
    """Click at a step of the slider."""
    box = page.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(box["x"] + box["width"] * (0.02 + 0.96 * step / 4), box["y"] + box["height"] / 2)
    page.wait_for_function("G => document.querySelector('.gtitle').textContent.endsWith(`G = ${G}`)", arg=G)


def test_buttons_and_slider_drive_each_other(page):
    press(page, "Batch Norm")
    state = page.evaluate(STATE)
    assert (state["pressed"], state["step"], state["dots"]) == (0, 2, "●○○○")
    assert state["prefix"] == "Batch Norm has no groups. Group Norm: G = "

    slide(page, 3, 8)
    state = page.evaluate(STATE)
    assert (state["title"], state["pressed"], state["dots"]) == ("<b>Group Norm</b>, G = 8", 3, "○○○●")
    assert (state["prefix"], state["name"]) == ("Groups G = ", "one set of Group Norm: 288 cells")

    press(page, "Instance Norm")
    assert page.evaluate(STATE)["step"] == 4
    press(page, "Layer Norm")
    assert page.evaluate(STATE)["step"] == 0


def test_what_is_lit_grows_with_the_set(page):
    """Batch Norm lights one channel in four samples, Instance Norm in one, Layer Norm a whole sample."""
    blue = {}
    for label in ("Batch Norm", "Instance Norm", "Layer Norm"):
        if page.evaluate(STATE)["title"] != f"<b>{label}</b>":
            before = page.evaluate(BLUE)
            press(page, label)
            page.wait_for_function(f"before => ({BLUE})() !== before", arg=before)
        blue[label] = page.evaluate(BLUE)
    assert blue["Batch Norm"] == pytest.approx(4 * blue["Instance Norm"], rel=0.1)
    assert blue["Layer Norm"] > 5 * blue["Instance Norm"] > 0
