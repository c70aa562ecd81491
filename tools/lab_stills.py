"""Draw the still pictures of the labs anew (`make pictures`): normviz/labs/stills/NAME.svg, for all or the named labs.

A browser draws the figure of a lab as it is first shown, svgo makes it small, and photographs in it become JPEGs.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import normviz as nv  # noqa: E402
from normviz.charts import chart  # noqa: E402
from tools.find_browser import find  # noqa: E402
from tools.pictures import FLAGS  # noqa: E402

STILLS = ROOT / "normviz" / "labs" / "stills"
DRAW = """async (figure) => {
  const { width, height } = figure.layout;
  const image = await Plotly.toImage(figure, { format: "svg", width, height });
  return decodeURIComponent(image.slice(image.indexOf(",") + 1));
}"""
SVGO = """export default {
  multipass: true,
  floatPrecision: 1,
  plugins: [
    "preset-default",
    "prefixIds",
    "convertStyleToAttrs",
    { name: "removeAttrs", params: { attrs: ["class", "data-.*"] } }
  ]
};"""
PHOTOGRAPH = 6000
"""A PNG of more bytes is a photograph, and no heat map."""


def on_paper(figure):
    """Take away the controls and the caption, and let words say what the slider chooses."""
    layout = figure.layout
    menus, sliders = layout.updatemenus[:-1], layout.sliders  # the last menu changes light and dark
    under = layout.margin.b - chart.LINE * len(caption(figure).text.split("<br>")) - 14
    layout.annotations = [note for note in layout.annotations if note.name != "caption"]
    if sliders:
        under -= chart.SLIDER
        figure.add_annotation(
            text=chosen(figure), font_size=14, xref="paper", yref="paper", x=0, y=0, xanchor="left",
            yanchor="top", yshift=-under,
        )  # fmt: skip
        under += 30
    above = layout.margin.t - (chart.BUTTONS if menus else 0)
    layout.height += above - layout.margin.t + under - layout.margin.b
    layout.margin.update(t=above, b=under)
    layout.updatemenus = layout.sliders = []
    return figure


def chosen(figure) -> str:
    """Return what the slider of a figure says, such as "G = 4", or "" if it has none."""
    return "; ".join(s.currentvalue.prefix + s.steps[s.active].label for s in figure.layout.sliders)


def caption(figure):
    """Return the annotation under the chart."""
    return next(note for note in figure.layout.annotations if note.name == "caption")


def smaller(svgs: dict[str, str]) -> dict[str, str]:
    """Return the SVGs with fewer bytes: svgo rounds coordinates to a tenth of a pixel and drops what is not seen."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "svgo.config.mjs").write_text(SVGO)
        for name, svg in svgs.items():
            (place / f"{name}.svg").write_text(
                re.sub(r"data:image/png;base64,([^\"]+)", as_jpeg, svg), encoding="utf-8"
            )
        command = ["npx", "--yes", "svgo@4.1.0", "--config", "svgo.config.mjs", *(f"{name}.svg" for name in svgs)]
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        return {name: (place / f"{name}.svg").read_text(encoding="utf-8") for name in svgs}


def as_jpeg(found: re.Match[str]) -> str:
    """Return a photograph as a JPEG, and any other picture as it is."""
    raw = base64.b64decode(found[1])
    if len(raw) < PHOTOGRAPH:
        return found[0]
    file = io.BytesIO()
    with Image.open(io.BytesIO(raw)) as image:
        image.convert("RGB").save(file, "JPEG", quality=75, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def main() -> None:
    """Draw all still pictures, or those named."""
    STILLS.mkdir(exist_ok=True)
    drawn, described = {}, {}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find(), args=FLAGS)
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        for name in sys.argv[1:] or nv.labs.__all__:
            figure = getattr(nv.labs, name).figure()
            described[name] = escape(f"{figure.layout.meta['alt']} {figure.layout.meta['caption']}")
            drawn[name] = page.evaluate(DRAW, json.loads(on_paper(figure).to_json()))
        browser.close()
    for name, svg in smaller(drawn).items():
        start = svg.index(">") + 1
        (STILLS / f"{name}.svg").write_text(
            f"{svg[:start]}<desc>{described[name]}</desc>{svg[start:]}\n", encoding="utf-8"
        )
        print(f"{name}: {len(svg) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
