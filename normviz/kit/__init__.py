"""The kit for a lecturer: a lecture, figures, a worksheet with its key, lesson plans, and pages for an LMS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from normviz.charts import chart
from normviz.classroom import worksheet
from normviz.classroom.quiz import quiz
from normviz.core.methods import METHODS
from normviz.core.pooling import pooling
from normviz.explorer import frame_height, js, texts
from normviz.explorer.frame_height import Steps
from normviz.explorer.html_page import as_json, document, scriptless
from normviz.explorer.scene import without_zeros
from normviz.explorer.show import Shown, show
from normviz.explorer.svg import picture
from normviz.explorer.svg.readout import name_of
from normviz.explorer.svg.writer import Pen
from normviz.functions.normalize import normalize
from normviz.functions.reduce import statistics
from normviz.functions.running import RunningStatistics
from normviz.labs import __all__ as LABS
from normviz.labs import published
from normviz.labs.stills import still
from normviz.samples import activations, filled

PACKAGE = files("normviz")
FOUR = ("batch", "layer", "instance", "group")
DRAWN, PNG = 640, 1920
"""The width of a figure in pixels: as its letters are drawn, and as a PNG file. So its letters are large on a slide."""
NO_PNG = 'The figures are SVG files only. For PNG files too: pip install "normviz[gif]"'


def contents() -> Iterator[tuple[str, str | bytes]]:
    """Yield the name and the content of each file of the kit; PNG figures only where resvg-py is installed."""
    draw = rasterizer()
    yield "index.html", index(["svg", "png"] if draw else ["svg"])
    yield "lecture.html", lecture()
    explorer = show(activations(), "group", 4, index=(0, 5, 6, 5))
    # As it stands in a notebook: what it needs at each width is known.
    yield (
        "explorer.html",
        scriptless(
            "Normalization explorer",
            ":root{color-scheme:light dark}body{margin:0}",
            f"<main>{explorer.fragment()}</main>",
        ),
    )
    yield "quiz.html", str(quiz(seed=4).to_html())
    heading, questions, key = worksheet.parts()
    yield "worksheet.html", worksheet.page(heading, questions)
    yield "worksheet-key.html", worksheet.page(heading, key)
    yield "lesson_plans.md", read("kit/lesson_plans.md")
    yield "photographs.md", read("samples/README.md")
    yield "CITATION.cff", citation_file()
    for name, svg in drawings().items():
        yield f"figures/{name}.svg", svg
        if draw:
            yield f"figures/{name}.png", draw(svg)


def index(kinds: Sequence[str]) -> str:
    """The page that lists the kit: what is in it, the recipe for an LMS, the licence, and how to cite.

    Parameters
    ----------
    kinds
        The kinds of files that there are of each figure, such as "svg".
    """
    rows = [(f"{width} px" if width else "any width", f"{height} px") for width, height in frames()]
    heights = table(["Frame at least as wide as", "Height"], rows)
    links = (
        f"{name}: " + ", ".join(f'<a href="figures/{name}.{kind}">{kind.upper()}</a>' for kind in kinds)
        for name in drawings()
    )
    body = Template(read("kit/index.html")).substitute(
        figures="; ".join(links), table_frames=heights, height=frames()[-1][1], citation=escape(citation())
    )
    return scriptless(re.findall("<h1>(.*)</h1>", body)[0], colors() + read("kit/index.css"), body)


def frames() -> Steps:
    """From which width on a frame of explorer.html must be how high, so that nothing scrolls inside; in pixels."""
    return frame_height.of_explorers(1, controls=True, more=False)


def lecture() -> str:
    """The slides with live explorers and speaker notes, as one page that makes no network requests."""
    content = read("kit/lecture.html")
    values, explorers, scenes = dict(numbers()), [], {}
    live = explorers_of_lecture()
    # The script finds the explorers in the order of the page.
    for name in re.findall(r"\$explorer_(\w+)", content):
        ((subject, state),) = live[name].page_parts()
        scene = without_zeros(subject.scene)
        first = scenes.setdefault(as_json(scene), len(explorers))
        explorers.append({"scene": scene if first == len(explorers) else first, "state": dict(state)})
        drawn = picture.still(subject, state, width=DRAWN, theme="light").svg()
        label = escape(name_of(state))
        explorer = f'<section class="nvp-explorer" aria-label="{label}"></section>'
        values[f"explorer_{name}"] = f'{explorer}<div class="still">{drawn}</div>'
    for name, shown in figures().items():
        values[f"picture_{name.replace('-', '_')}"] = str(shown.to_svg(alone=True, width=DRAWN))
    for letter, shown in asked().items():
        # The title, which a mouse and a screen reader find, would be the answer.
        svg = str(shown.to_svg(alone=True, width=DRAWN))
        values[f"picture_quiz_{letter}"] = re.sub("<title>.*?</desc>", f"<title>{letter.upper()}</title>", svg)
    body = Template(content).substitute(values)
    sections = [name for name in js.sections() if name and name != "the tensor panel"]
    style = colors() + js.rules("kit/lecture.css", *sections)
    title = re.findall("<h2>(.*)</h2>", body)[0]
    return document(title, body, as_json(explorers), js.joined("kit/lecture.js"), style=style, what="lecture")


def explorers_of_lecture() -> dict[str, Shown]:
    """The explorers of the slides. Those of the sample activations are of one tensor, which the page holds once."""
    x = activations()
    running = RunningStatistics(x.shape[1])
    running.update(x)
    cell = {"statistics": running, "presenter": True, "index": (0, 5, 6, 5)}
    return {
        "paper": show(x, "group", 4, view="paper", **cell),
        "walk": show(filled((3, 4, 1, 2), "example"), "batch", presenter=True),
        "predict": show(x, "group", 4, predict=True, **cell),
        "sweep": show(x, "group", 1, step=1, **cell),
        "inference": show(x, "batch", step=3, **cell),
    }


@cache
def figures() -> dict[str, Shown]:
    """The figures by their names: the cubes of a small tensor, with the set of a cell in sight."""
    x, cell = activations(3)[:, :8, :4, :4], (1, 0, 0, 2)  # on an edge, where each set shows a side
    made = {name: show(x, name, 4 if name == "group" else None, index=cell) for name in (*FOUR, "positional")}
    paper = show(x, "group", 4, index=(0, 2, 0, 0), view="paper")
    return {"paper": paper, **made, "all-sets": show(x, "group", 4, index=cell, color="partition")}


@cache
def drawings() -> dict[str, str]:
    """The figures as SVG by the names of their files: the cubes for a light slide, and the charts of the labs."""
    cubes = {name: str(shown.to_svg(alone=True, width=DRAWN, theme="light")) for name, shown in figures().items()}
    return cubes | {f"lab-{name}": still(name) for name in LABS}


def asked() -> dict[str, Shown]:
    """The pictures of the quiz on the last slide, by their letters."""
    made = figures()
    return {letter: made[name] for letter, name in zip("abcd", ("instance", "batch", "group", "layer"), strict=True)}


def numbers() -> Iterator[tuple[str, str]]:
    """Yield what the slides say in numbers and tables, by name, as HTML."""
    layers = 20
    yield "doubled", f"{2**layers:,}"
    drift = [(f"× {2**layers:,}", 1, "blue"), ("× 1, normalized", 0, "green"), ("almost 0", -1, "pink")]
    scales = [(label, [by * k for k in range(layers + 1)], colour) for label, by, colour in drift]
    ticks = [f"layer {k}" if k and k % 5 == 0 else "" for k in range(layers + 1)]
    yield "picture_drift", lines(ticks, scales, "The scale of the values", "after each of 20 layers; logarithmic")
    yield "table_methods", table(["Method", "Pooling set", "Means", "Couples samples"], map(rule, FOUR))
    x = filled((3, 4, 1, 2), "example").astype(float)
    yield "table_worked", table(["Method", "Cells of the set", "μ", "σ²", "x̂"], map(worked(x), FOUR), "numbers")
    of_batch = published.measure()["batch size"]
    head = [of_batch.axis, *of_batch.ticks]
    rows = [(series.name, *map(str, series.values)) for series in of_batch.series]
    source = escape(f"{of_batch.title}; {of_batch.unit}. Source: {of_batch.source}.")
    series = [
        (f"{each.name}: {each.values[-1]} %", each.values, published.COLOURS[each.name]) for each in of_batch.series
    ]
    drawn = lines(of_batch.ticks, series, of_batch.title, of_batch.unit)
    yield "table_published", drawn + table(head, rows, "numbers") + f'<p class="source">{source}</p>'
    batch, group = (np.array(series.values, float) for series in of_batch.series)
    yield "loss", f"{batch[-1] - batch[0]:.0f}"
    yield "ahead", " and ".join(sorted({f"{lead:.1f}" for lead in (group - batch)[:2]}))
    kinds = [("layer", "LayerNorm([C, H, W])", "(C, H, W)"), ("layer", "GroupNorm(1, C)", "(C,)")]
    kinds += [("positional", "LayerNorm(C), channels last", "(C,)")]
    layers = [(code, texts.words(METHODS[name])["statistics"], weight) for name, code, weight in kinds]
    yield "table_layer", table(["PyTorch", "Means", "Weight"], layers)
    for letter, shown in asked().items():
        yield f"quiz_{letter}", name_of(shown.state)
    yield "references", "; ".join(escape(METHODS[name].reference) for name in FOUR)


def rule(name: str) -> tuple[str, ...]:
    """The line of a method in the table of pooling sets."""
    row = METHODS[name]
    extents = zip("NCHW", (row.n, row.c, row.spatial, row.spatial), strict=True)
    block = ", ".join({"all": axis, "one": "1", "group": f"{axis}/G"}[extent] for axis, extent in extents)
    return row.label, f"({block})", texts.words(row)["statistics"], "yes" if row.couples_samples else "no"


def worked(x: Any) -> Any:
    """A function from a method to its line in the table of the worked example: the first cell of sample 0."""

    def line(name: str) -> tuple[str, ...]:
        groups, first = 2 if name == "group" else None, (0,) * x.ndim
        found, sets = statistics(x, name, num_groups=groups), pooling(name, x.shape, groups)
        cells = ", ".join(f"{v:g}" for v in x[sets.set_of(first)].ravel())
        out = normalize(x, name, num_groups=groups)[first]
        numbers = (f"{v:.3f}".replace("-", "−") for v in (found.mean.flat[0], found.var.flat[0], out))
        return name_of({"method": name, "num_groups": groups}), cells, *numbers

    return line


def lines(
    ticks: Sequence[str], series: Sequence[tuple[str, Sequence[float | None], str]], title: str, unit: str
) -> str:
    """A chart for the back row: a label, values and a colour's name for each line; the label stands at its end."""
    pen, high = Pen("auto"), 190
    values = np.array([each for _, each, _ in series], float)
    across = np.linspace(30, DRAWN - 210, len(ticks))
    down = 20 + 125 * (values.max() - values) / np.ptp(values)
    body = [pen.text(x, high - 18, tick, 16, "muted", "middle") for x, tick in zip(across, ticks, strict=True) if tick]
    for (label, _, colour), ys in zip(series, down, strict=True):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, ys, strict=True))
        body.append(f'<polyline points="{path}" fill="none" stroke="{chart.COLOURS[colour]}" stroke-width="5"/>')
        body.append(pen.text(across[-1] + 12, ys[-1] + 6, label, 17, bold=True))
    return pen.drawing(DRAWN, high, title, unit, "".join(body), card=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table as HTML; its cells are HTML already."""
    first = "".join(f"<th>{each}</th>" for each in head)
    rest = "".join(f"<tr>{''.join(f'<td>{each}</td>' for each in row)}</tr>" for row in rows)
    return f'<table class="{kind}"><tr>{first}</tr>{rest}</table>'


def colors() -> str:
    """The colours that the pages of the kit use, as variables for all elements, in the light and in the dark theme."""
    names = ("page", "ink", "muted", "line", "card", "soft", "accent")
    light, dark = (";".join(f"--{name}:{look[name]}" for name in names) for look in js.variables())
    return f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def read(name: str) -> str:
    """The text of a file below `normviz/`."""
    return PACKAGE.joinpath(name).read_text("utf-8")


def citation_file() -> str:
    """CITATION.cff: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    shipped = package / "CITATION.cff"
    return (shipped if shipped.is_file() else package.parent / "CITATION.cff").read_text("utf-8")


def citation() -> str:
    """How to cite normviz, in one line."""
    said = dict(re.findall(r'^(?:  - )?(\w[\w-]*): "?([^"\n]+)"?$', citation_file().partition("references:")[0], re.M))
    return f"{said['name']} ({said['date-released'][:4]}). {said['title']}. Version {said['version']}. Software."


def rasterizer() -> Any:
    """A function that makes a PNG picture of an SVG text, on a transparent ground; None without resvg-py."""
    try:
        import resvg_py
    except ImportError:
        return None
    return lambda svg: bytes(resvg_py.svg_to_bytes(svg_string=svg, width=PNG))
