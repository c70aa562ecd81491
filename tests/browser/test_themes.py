"""Light and dark, narrow, without motion, with forced colors, for slides and on paper."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Frame, Locator, Page, expect

import normviz as nv
from normviz import book
from normviz.charts import chart_html
from tests.browser import host, reading
from tests.browser.reading import choose, drawn, open_file, slider, state

DARK_NOTEBOOK = "background: #111; color: #eee;"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    nv.to_html(nv.show(nv.samples.activations()), path)
    return path


def luminance(page: Page | Frame, query: str, name: str = "backgroundColor") -> float:
    """Relative luminance of a color that is really shown."""
    color = page.evaluate("([query, name]) => getComputedStyle(document.querySelector(query))[name]", [query, name])
    red, green, blue = (float(number) for number in re.findall(r"[\d.]+", color)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_exported_page_follows_the_system(new_page, exported, scheme):
    page = new_page(color_scheme=scheme)
    root = open_file(page, exported)
    assert root.get_attribute("data-theme") == scheme
    assert (luminance(page, ".normviz") < 0.2) == (scheme == "dark")
    assert (luminance(page, ".normviz", "color") > 0.6) == (scheme == "dark")
    # And goes on following it.
    other = {"light": "dark", "dark": "light"}[scheme]
    page.emulate_media(color_scheme=other)
    reading.wait_for(root, theme=other)


def test_a_dark_host_counts_more_than_the_system(new_page, tmp_path):
    """Hosts have themes of their own: JupyterLab may be dark on a light system, and light on a dark one."""
    page = new_page(color_scheme="light")
    path = host.write(tmp_path / "dark.html", [host.model(host.tensor(2, 8, 4, 4))], style=DARK_NOTEBOOK)
    root = open_file(page, path)
    assert root.get_attribute("data-theme") == "dark"
    page.evaluate("() => { document.body.style.background = 'white'; }")
    reading.wait_for(root, theme="light")
    page.emulate_media(color_scheme="dark")
    drawn(page)
    assert root.get_attribute("data-theme") == "light"


GROUNDS = {
    "light": ["color(srgb 1 1 1)", "oklch(0.97 0.01 250)", "lab(92 0 0)", "color-mix(in oklch, white 90%, black)",
              "rgb(0 0 0 / 0.3)", "hsl(0 0% 90%)", "color(display-p3 0.9 0.9 0.9)"],
    "dark": ["color(srgb 0.1 0.1 0.1)", "oklch(0.2 0.02 250)", "lab(12 0 0)",
             "color-mix(in lab, white 9%, black)", "rgb(0 0 0 / 0.8)", "hsl(0 0% 9%)", "color(display-p3 0.1 0.1 0.1)"],
}  # fmt: skip


@pytest.mark.parametrize("theme", GROUNDS)
def test_a_background_counts_in_every_notation(new_page, tmp_path, theme):
    page = new_page(color_scheme="light")
    root = open_file(page, host.write(tmp_path / "host.html", [host.model(host.tensor(2, 8, 4, 4))]))
    other = {"light": "#111", "dark": "#fff"}[theme]
    set_style = "([element, style]) => { document[element].style.cssText = style; }"
    for color in GROUNDS[theme]:
        # Half-transparent ones lie on white.
        page.evaluate(set_style, ["body", f"background: {other}"])
        reading.wait_for(root, theme="dark" if theme == "light" else "light")
        page.evaluate(set_style, ["body", f"background: {color}"])
        reading.wait_for(root, theme=theme)


def test_layers_of_a_background_count_together(new_page, tmp_path):
    page = new_page(color_scheme="light")
    root = open_file(page, host.write(tmp_path / "host.html", [host.model(host.tensor(2, 8, 4, 4))]))
    style = "([element, style]) => { document[element].style.cssText = style; }"
    # Neither of the two is dark by itself.
    page.evaluate("() => { document.querySelector('main').style.background = 'rgb(0 0 0 / 0.45)'; }")
    page.evaluate(style, ["body", "background: rgb(0 0 0 / 0.45)"])
    reading.wait_for(root, theme="dark")
    page.evaluate("() => { document.querySelector('main').style.background = ''; }")
    page.evaluate(style, ["body", "background: rgb(0 0 0 / 0.4)"])
    reading.wait_for(root, theme="light")
    # In a transparent page, the letters tell: of the host's own color, or of its color scheme.
    for letters in ("color: #ddd", "color-scheme: dark"):
        page.evaluate(style, ["documentElement", letters])
        page.evaluate(style, ["body", ""])
        reading.wait_for(root, theme="dark")
        page.evaluate(style, ["documentElement", ""])
        reading.wait_for(root, theme="light")


def test_a_slot_stands_on_the_ground_that_is_around_it(new_page, tmp_path):
    """The element of an explorer may lie in a tree that is not shown where it stands."""
    page = new_page(color_scheme="light")
    root = open_file(page, host.write(tmp_path / "host.html", [host.model(host.tensor(2, 8, 4, 4))]))
    page.evaluate(
        """() => {
            document.querySelector("main").attachShadow({ mode: "open" }).innerHTML =
                "<div style='background: #111'><slot></slot></div>";
            document.body.className = "changed";
        }"""
    )
    reading.wait_for(root, theme="dark")


@pytest.mark.parametrize("ground", ["color(srgb 1 1 1)", "oklch(0.2 0.02 250)"])
def test_a_book_tells_its_explorers_what_is_behind_them(new_page, tmp_path, ground):
    book._write_static(SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path))
    script = '<script defer src="_static/normviz-book.js"></script>'
    text = f'<!doctype html>{script}<body style="background: {ground}">{nv.show().fragment()}'
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    dark = ground.startswith("oklch")
    page = new_page(color_scheme="light" if dark else "dark")
    page.goto((tmp_path / "page.html").as_uri())
    frame = page.locator("iframe").element_handle().content_frame()
    reading.wait_for(reading.ready(frame), theme="dark" if dark else "light")


@pytest.mark.parametrize("element", ["documentElement", "body"])
def test_a_host_says_its_theme_by_any_attribute(new_page, tmp_path, element):
    names = ("class", "style", "data-theme", "data-jp-theme-light", "data-vscode-theme-kind", "data-bs-theme")
    page = new_page(color_scheme="light")
    root = open_file(page, host.write(tmp_path / "host.html", [host.model(host.tensor(2, 8, 4, 4))]))
    page.add_style_tag(
        content=f":is(html, body):is({', '.join(f'[{name}=dark]' for name in names)}) {{ background: #111 }}"
    )
    for name in names:
        value = "background: #111" if name == "style" else "dark"
        page.evaluate(f"([name, value]) => document.{element}.setAttribute(name, value)", [name, value])
        reading.wait_for(root, theme="dark")
        page.evaluate(f"(name) => document.{element}.removeAttribute(name)", name)
        reading.wait_for(root, theme="light")


SHEET = "const sheet = document.head.appendChild(document.createElement('link')); sheet.rel = 'stylesheet';"
CHANGES = {
    "a style sheet that is loaded": f"{SHEET} sheet.href = 'data:text/css,body{{background:black}}'",
    "a style element": "document.querySelector('style').textContent += 'body { background: #111 }'",
    "an element around": "document.querySelector('main').style.background = '#111'",
    "a transition": "document.body.style.cssText = 'transition: background 0.2s; background: #111'",
    "another parent": "const to = document.createElement('section'); document.body.append(to);"
    "to.style.cssText = 'width: 700px; background: #111'; to.append(document.querySelector('main'))",
    "an image": "document.body.style.cssText = 'color: #eee; background: linear-gradient(#111, #222) #fff'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_behind_may_change_in_any_way(new_page, tmp_path, change):
    page = new_page(color_scheme="light")
    root = open_file(page, host.write(tmp_path / "host.html", [host.model(host.tensor(2, 8, 4, 4))]))
    assert root.get_attribute("data-theme") == "light"
    page.evaluate(f"() => {{ {CHANGES[change]} }}")
    reading.wait_for(root, theme="dark")


FRAGMENTS = {"one": lambda: nv.show(), "linked": nv.compare_methods, "quiz": nv.quiz, "decision guide": nv.chooser}


@pytest.mark.parametrize("kind", FRAGMENTS)
def test_a_fragment_is_alive_where_scripts_put_it_in_and_has_the_theme_that_it_was_given(new_page, kind):
    shown, dark = FRAGMENTS[kind](), new_page(color_scheme="dark")
    for page, theme, expected in ((new_page(color_scheme="light"), "dark", "dark"), (dark, "auto", "dark"),
                                  (dark, "light", "light")):  # fmt: skip
        page.set_content('<!doctype html><div id="place"></div>')
        page.evaluate("html => { document.getElementById('place').innerHTML = html; }", shown.fragment(theme=theme))
        frame = page.locator("iframe").element_handle().content_frame()
        reading.wait_for(reading.ready(frame), theme=expected)
        assert (luminance(frame, "body") < 0.2) == (expected == "dark")
        assert (luminance(frame, ".normviz") < 0.2) == (expected == "dark")
        controls = frame.evaluate("() => getComputedStyle(document.documentElement).colorScheme")
        assert controls == ("light dark" if theme == "auto" else theme)


@pytest.mark.parametrize(
    ("system", "page_is", "theme"),
    [("dark", "normal", "auto"), ("light", "dark", "auto"), ("light", "normal", "dark"), ("dark", "dark", "light")],
)
def test_where_no_script_runs_the_frame_covers_nothing(new_page, system, page_is, theme):
    """A frame whose color scheme is not that of its element would be opaque."""
    page = new_page(color_scheme=system, java_script_enabled=False)
    look = f"<style>:root {{ color-scheme: {page_is} }}</style>"
    page.set_content(f"<!doctype html>{look}{nv.show().fragment(theme=theme)}")
    page.locator("img").wait_for()
    part = {"x": 40, "y": 40, "width": 300, "height": 200}
    covered = page.screenshot(clip=part)
    page.set_content(f"<!doctype html>{look}{nv.show().fragment(theme=theme).partition('<iframe')[0]}")
    same = page.screenshot(clip=part) == covered
    assert same


@pytest.mark.parametrize("width", [320, 480])
@pytest.mark.parametrize("part", ["start", "code", "more", "tour", "paper"])
def test_a_narrow_page_has_everything_within_reach(new_page, exported, width, part):
    page = new_page(width, 640)
    root = open_file(page, exported)
    if part == "code":
        root.get_by_role("button", name="Code", exact=True).click()
    elif part == "more":
        choose(root, "RMS Norm")
    elif part == "tour":
        root.get_by_role("button", name="Tour").click()
    elif part == "paper":
        root.get_by_role("radio", name="Paper figure").click()
    drawn(page)
    # clientWidth: what is seen; scrollWidth: what there is.
    assert page.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth") == 0
    outside = root.evaluate(
        """root => [...root.querySelectorAll("button, input, select, [tabindex], p, dd, li, svg")]
            .filter((e) => e.checkVisibility() && !e.closest("pre"))
            .map((e) => ({ e: e.outerHTML.slice(0, 90), box: e.getBoundingClientRect() }))
            .filter(({ box }) => box.width && (box.left < -0.5 || box.right > innerWidth + 0.5))
            .map(({ e, box }) => `${e} ${box.left} to ${box.right}`)"""
    )
    assert not outside
    # Nothing lies over a control: what is pressed in its middle is the control.
    covered = root.evaluate(
        """root => [...root.querySelectorAll("button, input, select, [role=slider]")]
            .filter((e) => e.checkVisibility())
            .filter((e) => {
              e.scrollIntoView({ block: "center" });
              const box = e.getBoundingClientRect();
              const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
              return !(hit && (e.contains(hit) || hit.contains(e) && hit.tagName === "LABEL"));
            })
            .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert not covered


def test_a_narrow_page_works(new_page, exported):
    page = new_page(320, 640, has_touch=True)
    root = open_file(page, exported)
    radio = reading.radio(root, "Batch Norm")
    radio.tap()
    assert state(root)["method"] == "batch"
    box = slider(root).bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 2, box["y"] + box["height"] / 3)
    assert (state(root)["method"], state(root)["num_groups"]) == ("group", 16)
    stage = root.get_by_role("application")
    stage.scroll_into_view_if_needed()
    # With as many groups as channels the set is the front of the first sample.
    drawn(page)
    box = root.locator("path.nv-set.front").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    n, c, h, w = state(root)["index"]
    assert (n, c) == (0, 0)
    assert 4 <= h <= 7
    assert 4 <= w <= 7


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_reduced_motion_is_respected(new_page, exported, motion):
    page = new_page(reduced_motion=motion)
    root = open_file(page, exported)
    # Counts transitions from the moment on at which the choice is made.
    page.evaluate("() => { window.ran = 0; document.addEventListener('transitionrun', () => { ran++; }); }")
    choose(root, "Layer Norm")
    drawn(page)
    choose(root, "Instance Norm")
    drawn(page)
    running = page.evaluate("() => ran + document.getAnimations().length")
    assert (running == 0) == (motion == "reduce"), f"{running} transitions"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colors_keep_the_meaning(new_page, exported, scheme):
    page = new_page(forced_colors="active", color_scheme=scheme)
    root = open_file(page, exported)
    choose(root, "Batch Norm")
    drawn(page)
    fills = {
        name: page.evaluate("query => getComputedStyle(document.querySelector(query)).fill", f"path.{name}.front")
        for name in ("nv-rest", "nv-set", "nv-cell")
    }
    assert len(set(fills.values())) == 3, f"the set, the cell and the rest must differ: {fills}"

    def pixels(control: Locator) -> bytes:
        page.evaluate("() => document.activeElement.blur()")
        page.mouse.move(0, 0)
        return control.screenshot()

    # Which method is chosen, and where the slider stands, must be seen without the page's own colors.
    batch = reading.radio(root, "Batch Norm")
    chosen = pixels(batch)
    choose(root, "Layer Norm")
    assert pixels(batch) != chosen
    slider(root).press("Home")
    first = pixels(slider(root))
    slider(root).press("End")
    assert pixels(slider(root)) != first


def test_without_controls_only_the_picture_and_the_words_stay(page: Page, tmp_path: Path):
    nv.to_html(nv.show(host.tensor(2, 8, 4, 4), controls=False), tmp_path / "slide.html")
    root = open_file(page, tmp_path / "slide.html")
    expect(root.get_by_role("radiogroup")).to_have_count(0)
    expect(root.get_by_role("slider")).to_have_count(0)
    expect(root.get_by_role("status")).to_be_visible()
    expect(root.locator("svg.nv-svg")).to_be_visible()
    # It still answers.
    root.get_by_role("application").press("ArrowRight")
    assert state(root)["index"] == (0, 0, 0, 1)


CONTROLS = "button:not(.nv-step-name, .nv-tab[aria-pressed='true']), select, input, [role=slider], [role=radio]"


@pytest.mark.parametrize("editable", [False, True])
def test_it_prints_without_the_controls(page: Page, tmp_path: Path, editable):
    """On paper nothing answers to a hand; the picture, its legend, the numbers and the status line stay."""
    nv.to_html(nv.Explorer(host.tensor(2, 8, 4, 4), editable=editable), tmp_path / "paper.html")
    root = open_file(page, tmp_path / "paper.html")
    controls = root.locator(CONTROLS).filter(visible=True)
    assert controls.count() > 15
    page.emulate_media(media="print")
    expect(controls).to_have_count(0)
    for name in ("svg.nv-svg", ".nv-status", ".nv-legend", ".nv-facts", ".nv-chart >> nth=0"):
        expect(root.locator(name)).to_be_visible()
    expect(root.locator(".nv-step .nv-result").filter(visible=True)).to_have_count(6)
    expect(root.locator(".nv-tab").filter(visible=True)).to_have_text(["Values"])
    page.emulate_media(media="screen")
    assert controls.count() > 15


def test_a_quiz_and_a_chooser_print_their_questions_without_buttons(page: Page, tmp_path: Path):
    """The answers stay: they can be ticked on paper."""
    for shown, answer in ((nv.quiz(), ".nv-quiz-option"), (nv.chooser(), ".nv-option")):
        shown.to_html(tmp_path / "paper.html")
        page.goto((tmp_path / "paper.html").as_uri())
        page.locator(answer).first.click()
        expect(page.get_by_role("button").first).to_be_visible()
        page.emulate_media(media="print")
        expect(page.locator("button, select, input:not([type=radio])").filter(visible=True)).to_have_count(0)
        expect(page.locator(answer).first).to_be_visible()
        page.emulate_media(media="screen")


def test_a_chart_prints_without_its_slider_and_buttons(page: Page, tmp_path: Path):
    """What the slider is set to stays."""
    figure = nv.labs.batch_size.figure()
    (tmp_path / "chart.html").write_text(chart_html.to_html(figure, full_html=True), "utf-8")
    page.goto((tmp_path / "chart.html").as_uri())
    handle = page.locator(".slider-grip-rect, .slider-labels, .updatemenu-button, .normviz-numbers, .normviz-key")
    expect(handle.filter(visible=True).first).to_be_visible()
    page.emulate_media(media="print")
    expect(handle.filter(visible=True)).to_have_count(0)
    expect(page.locator(".slider-group > .slider-label")).to_have_text("Channel c = 0")
    expect(page.locator(".slider-group > .slider-label")).to_be_visible()
