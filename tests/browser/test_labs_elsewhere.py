"""Another page, such as a book's, draws a chart itself and adds the keyboard controls."""

import json

import pytest
from playwright.sync_api import expect
from plotly.offline import get_plotlyjs

import normviz as nv
from normviz.charts.chart_html import keys_script


@pytest.fixture
def bare(new_page, tmp_path):
    """A page that draws a chart by itself, with the script beside it."""
    (tmp_path / "keys.js").write_text(keys_script(), encoding="utf-8")
    figure = nv.labs.numerics.figure(offsets=[0, 1e3])

    def open_page(script="<script src=keys.js></script>"):
        (tmp_path / "page.html").write_text(
            f"<!doctype html><html lang=en><meta charset=utf-8><title>A book</title><script>{get_plotlyjs()}</script>"
            f"{script}<main><div id=around><div id=chart></div></div></main>",
            encoding="utf-8",
        )
        page = new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("window.normvizKeys")
        page.evaluate(
            """async (figure) => {
                await Plotly.newPlot("chart", figure.data, figure.layout);
                window.around = document.getElementById("around");
                window.chart = document.getElementById("chart");
                window.away = normvizKeys.equip(around, chart, Plotly);
            }""",
            json.loads(figure.to_json()),
        )
        return page

    return open_page


# A module is asked for by its address only where there is a server, so here its text stands in the page.
@pytest.mark.parametrize("script", ["<script src=keys.js></script>", f"<script type=module>{keys_script()}</script>"])
def test_a_book_loads_the_script_and_calls_it_and_can_take_it_back(bare, script):
    page = bare(script)
    around = page.get_by_role("figure")
    assert around.get_attribute("aria-label").startswith("A line chart of the correct decimal digits")
    slider = page.get_by_role("slider", name="Every value and every sum in")
    page.evaluate("chart.on('plotly_sliderchange', (e) => { window.heard = e.step.label; })")
    slider.press("End")
    page.wait_for_function("window.heard === 'float64'")
    # Once more on the same chart: no second slider, and what was chosen stays.
    page.evaluate("() => { away = normvizKeys.equip(around, chart, Plotly); }")
    expect(slider).to_have_count(1)
    expect(slider).to_have_attribute("aria-valuetext", "float64")
    # What the page itself changes is followed.
    page.evaluate("Plotly.relayout(chart, { 'sliders[0].active': 0 })")
    expect(slider).to_have_attribute("aria-valuetext", "float16")
    page.evaluate("away()")
    expect(page.locator(".normviz-keys, .normviz-hidden, .normviz-numbers")).to_have_count(0)
    page.evaluate("Plotly.relayout(chart, { 'sliders[0].active': 1 })")


def test_every_method_of_plotly_is_done_as_plotly_does_it(bare):
    page = bare()
    done = page.evaluate(
        """async () => {
            const buttons = [
                { label: "restyle", method: "restyle", args: [{ "line.width": 7 }, [0]] },
                { label: "relayout", method: "relayout", args: ["title.text", "Told"] },
                { label: "update", method: "update", args: [{ "line.width": 3 }, { "title.text": "Both" }, [0]] },
                { label: "skip", method: "skip" },
                { label: "hold", method: "relayout", args: [{ "title.text": "Never" }], execute: false },
            ];
            const layout = { updatemenus: [{ buttons, type: "buttons", active: -1 }], title: { text: "" } };
            await Plotly.newPlot(chart, [{ x: [0, 1], y: [0, 1] }], layout);
            normvizKeys.equip(around, chart, Plotly);
            const out = [];
            for (const button of around.querySelectorAll("button[aria-pressed]")) {
                const clicked = new Promise((done) => chart.once("plotly_buttonclicked", done));
                button.click();
                const { active } = await clicked;
                out.push([active, chart.data[0].line?.width ?? null, chart.layout.title.text, button.ariaPressed]);
            }
            return out;
        }"""
    )
    assert done == [
        [0, 7, "", "true"],
        [1, 7, "Told", "true"],
        [2, 3, "Both", "true"],
        [3, 3, "Both", "true"],
        [4, 3, "Both", "true"],
    ]
