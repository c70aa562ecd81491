"""What a change costs in JupyterLab: the explorer, and a plotly FigureWidget that does the same through the kernel.

    python -m benchmarks.explorer [--changes 42] [--out FILE]

Both draw the sample tensor in the same browser, one after the other. The FigureWidget's figures are all computed
before, so that a change is only an update of the traces that differ.

Script is what the browser's own record says of the page's main thread after a key or a click, in processor time:
functions, microtasks and what they call, Lab's share included. All work is that with style, layout and paint. Input to
paint goes from the event's time stamp to the frame in which the change is seen. The page has no Lab and no kernel: it
is what the explorer alone costs. A machine that does nothing else gives numbers to quote.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Error, Locator, Page, sync_playwright

import normviz as nv
from benchmarks import results, tables
from tests.browser.lab import Lab, notebook, open_notebook, until
from tools.find_browser import find

PROBE = Path(__file__).with_name("probe.js")
SETTLE = 0.6
"""Seconds from one key to the next: long enough for the kernel's answer to be drawn."""

START = "import normviz as nv\nx = nv.samples.activations()\nat = dict(index=(1, 5, 5, 5))"
EXPLORER = "explorer = nv.Explorer(x, **at)\nexplorer"
SHOW = "nv.show(x, **at)"
FIGURES = """
import ipywidgets, plotly.graph_objects as go
figures = {g: nv.cube(x, "group", g, **at) for g in nv.divisors(x.shape[1])}
"""
FIGURE_WIDGET = """
figure = go.FigureWidget(figures[4].data, {"scene": figures[4].layout.scene, "width": 900, "height": 500})
slider = ipywidgets.SelectionSlider(options=list(figures), value=4, description="G")
parts = ("x", "y", "z", "i", "j", "k", "facecolor")

def change(event):
    with figure.batch_update():
        for trace, before, after in zip(figure.data, figures[event.old].data, figures[event.new].data):
            if before != after:
                trace.update({k: after[k] for k in parts if k in after and after[k] is not None})

slider.observe(change, "value")
ipywidgets.VBox([slider, figure])
"""


ASKED = {"keydown", "mousedown"}
SCRIPT = {"FunctionCall", "RunMicrotasks", "EvaluateScript"}
"""What the browser calls the running of script in its own record."""


@dataclass
class Costs:
    """Milliseconds of each change."""

    script: list[float]
    own: list[float]
    work: list[float]
    paint: list[float]


def busy(events: list[dict], first: float, stop: float) -> float:
    """Milliseconds of processor time of the events that begin in a window; of nested ones, the outermost."""
    total, end = 0.0, first
    for event in events:
        if end <= event["ts"] < stop:
            total, end = total + event.get("tdur", 0), event["ts"] + event["dur"]
    return total / 1e3


def recorded(record: bytes, count: int, starts: list[float] | None = None) -> tuple[list[float], ...]:
    """Milliseconds of script, of a widget's own script, and of all work, of each of the last `count` changes.

    A change begins with a key or a click, or at a time in seconds of the clock that the browser shares with Python.
    """
    events = [e for e in json.loads(record)["traceEvents"] if e["ph"] == "X" and "dur" in e]
    asked = [e for e in events if e["name"] == "EventDispatch" and e["args"]["data"]["type"] in ASKED]
    busiest = Counter((e["pid"], e["tid"]) for e in asked or events if asked or e["name"] == "FunctionCall")
    thread = busiest.most_common(1)[0][0]
    events = sorted((e for e in events if (e["pid"], e["tid"]) == thread), key=lambda e: e["ts"])
    scripts = [e for e in events if e["name"] in SCRIPT]
    begun = [1e6 * start for start in starts] if starts else [e["ts"] for e in asked[-count:]]
    windows = [(ts, ts + SETTLE * 1e6) for ts in begun]
    own = [e for e in scripts if e.get("args", {}).get("data", {}).get("url", "").startswith("blob:")]
    script, ours, work = ([busy(each, *w) for w in windows] for each in (scripts, own, events))
    if not all(script):
        raise RuntimeError("the browser's record shows no script for a change")
    return script, ours, work


def first_paint(page: Page, cell: int) -> tuple[float, float]:
    """Run a cell; milliseconds from the command, and from the output's arrival, to the first picture."""
    page.evaluate("(k) => { jupyterapp.shell.currentWidget.content.activeCellIndex = k; bench.restart(); }", cell)
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")
    page.wait_for_function("bench.output !== null")
    ran, output = page.evaluate("[bench.ran, bench.output]")
    painted = until(lambda: newest(page, ran), "a picture")
    return painted - ran, painted - output


def newest(page: Page, since: float) -> float | None:
    """When a picture was painted, in the page or in one of its frames (that of an output replaced may be gone)."""
    for frame in page.frames:
        try:
            painted = frame.evaluate("window.bench?.painted ?? 0")
        except Error:
            continue
        if painted > since:
            return painted
    return None


def run_quietly(page: Page, cell: int) -> None:
    """Run a cell whose output is not measured."""
    page.evaluate(
        """async (k) => {
            jupyterapp.shell.currentWidget.content.activeCellIndex = k;
            await jupyterapp.commands.execute("notebook:run-cell");
        }""",
        cell,
    )


def changes(page: Page, act: Callable[[int], None], count: int) -> Costs:
    """What the changes cost that `act` makes: it is called with the number of the change."""

    def make(count: int) -> None:
        for k in range(count):
            act(k)
            time.sleep(SETTLE)  # not by Playwright's clock, whose questions would run in the page

    make(6)  # the first ones compile what they run
    page.evaluate("bench.restart()")
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    make(count)
    costs = recorded(browser.stop_tracing(), count)
    shown = page.evaluate("bench.shown")
    if len(shown) < count / 2:  # a slow widget leaves some out
        raise RuntimeError(f"{count} changes were made, but {len(shown)} were seen")
    return Costs(*costs, shown)


def by_key(page: Page, focused: Locator, *keys: str) -> Callable[[int], None]:
    """Press these keys in turn."""
    focused.focus()
    return lambda k: page.keyboard.press(keys[k % len(keys)])


def by_click(page: Page, *places: Locator) -> Callable[[int], None]:
    """Click on these places in turn, by their coordinates, which costs the page no script."""
    boxes = [place.bounding_box() or {} for place in places]
    centers = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    return lambda k: page.mouse.click(*centers[k % len(centers)])


def by_python(page: Page, lab: Lab, name: str, count: int) -> Costs:
    """What `explorer.num_groups = 8` costs the page."""
    code = (
        "import time\nstarts = []\n"
        "for k in range({}, {}):\n    starts.append(time.monotonic())\n"
        f"    explorer.num_groups = (8, 16, 2)[k % 3]\n    time.sleep({SETTLE})"
    )
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    # A few at a time, because the kernel's answer is not waited for without end.
    cuts = [*range(0, count, 6), count]
    starts = [at for a, b in pairwise(cuts) for at in lab.run(name, code.format(a, b), "starts")]
    return Costs(*recorded(browser.stop_tracing(), count, starts), [])


def in_lab(page: Page, lab: Lab, name: str, count: int) -> dict[str, Costs]:
    """What changes of the explorer cost in JupyterLab, by keys, by clicks and from Python."""
    slider = page.get_by_role("slider", name="Groups G")
    arrows = ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight")
    stage = page.locator(".nv-stage")
    moves = ("ArrowRight", "ArrowDown", "PageDown", "PageUp")
    methods = [page.get_by_role("radio", name=f"{each} Norm", exact=True) for each in ("Batch", "Layer", "Group")]
    steps = [page.get_by_role("button", name=each, exact=True) for each in ("Next", "Previous")]
    found = {
        "JupyterLab, G by key": changes(page, by_key(page, slider, *arrows), count),
        "JupyterLab, cell by key": changes(page, by_key(page, stage, *moves), count),
        "JupyterLab, method by click": changes(page, by_click(page, *methods), count),
        "JupyterLab, step by click": changes(page, by_click(page, *steps), count),
    }
    for color in ("value", "normalized"):
        page.get_by_label("Color", exact=True).select_option(color)
        act = by_key(page, slider, *arrows)
        found[f"JupyterLab, G by key, colour {color}"] = changes(page, act, count)
    page.get_by_label("Color", exact=True).select_option("set")
    return found | {"JupyterLab, num_groups from Python": by_python(page, lab, name, count)}


def measure(count: int, out: Path | None) -> None:
    """Measure both in one JupyterLab, and print the tables."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Lab(Path(folder)) as lab,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"]) as browser,
    ):
        paints: dict[str, list[tuple[float, float]]] = {}
        path = Path(folder) / "page.html"
        nv.to_html(nv.samples.activations(), path)
        page = browser.new_page(bypass_csp=True)
        page.add_init_script(path=PROBE)
        page.goto(path.as_uri())
        page.wait_for_function("window.bench.painted")
        slider = page.get_by_role("slider", name="Groups G")
        keys = ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight")
        costs = {"page, G by key": changes(page, by_key(page, slider, *keys), count)}
        page.close()
        # Tall, because a browser draws nothing in a frame that is out of sight.
        context = browser.new_context(viewport={"width": 1300, "height": 3000}, bypass_csp=True)
        context.set_default_timeout(60_000)
        context.add_init_script(path=PROBE)
        page = context.new_page()
        page.goto(lab.address())
        page.wait_for_function("window.jupyterapp?.commands.hasCommand('docmanager:open')")
        page.evaluate("() => jupyterapp.restored")
        name = "bench.ipynb"
        open_notebook(page, lab, name, notebook(START, EXPLORER, SHOW, FIGURES, FIGURE_WIDGET))
        run_quietly(page, 0)
        page.evaluate("bench.listen()")
        paints["nv.Explorer"] = [first_paint(page, 1) for _ in range(5)]
        costs |= in_lab(page, lab, name, count)
        paints["nv.show"] = [first_paint(page, 2) for _ in range(5)]
        run_quietly(page, 3)
        paints["FigureWidget"] = [first_paint(page, 4) for _ in range(5)]
        costs["FigureWidget, G by key"] = changes(page, by_key(page, page.locator(".noUi-handle").last, *keys), count)
        context.close()
        found = {
            "Chromium": browser.version,
            "count": count,
            "changes": {
                name: {kind: [at(v, 50), at(v, 95)] if any(v) else None for kind, v in vars(cost).items()}
                for name, cost in costs.items()
            },
            "first": {
                name: [statistics.median(each) for each in zip(*pairs, strict=True)] for name, pairs in paints.items()
            },
        }
        report = results.save(out, "lab", found)
        print("\n\n".join(table(report) for table in tables.TABLES["lab"].values()))


def at(values: list[float], percent: int) -> float:
    """A percentile, of few values the next one above."""
    return sorted(values)[min(len(values) - 1, round(len(values) * percent / 100))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=42, help="changes of each kind to measure [default: 42]")
    parser.add_argument("--out", type=Path, help="a JSON file, of which the other parts stay as they are")
    options = parser.parse_args()
    measure(options.changes, options.out)
