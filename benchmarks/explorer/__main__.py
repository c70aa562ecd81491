"""What a change costs in JupyterLab: the explorer, and a plotly FigureWidget that does the same through the kernel.

    python -m benchmarks.explorer [--changes 42]

Both draw the sample tensor in the same browser, one after the other, and answer to the same keys on their slider of G.
The FigureWidget's figures are all computed before, so that a change is only an update of the traces that differ.

Script is what the browser's own record says of the page's main thread from one key to the next, in processor time:
functions, microtasks and what they call, Lab's share included. All work is that with style, layout and paint. Input to
paint goes from the key's time stamp to the frame in which the new set is seen. The page has no Lab and no kernel: it is
what the explorer alone costs. Numbers are reported, not judged; a machine that does nothing else gives those to quote.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

import normviz as nv
from tests.browser.lab import Lab, notebook, open_notebook, until
from tools.find_browser import find

PROBE = Path(__file__).with_name("probe.js")
SETTLE = 0.7
"""Seconds from one key to the next: long enough for the kernel's answer to be drawn."""

START = "import normviz as nv\nx = nv.samples.activations()\nat = dict(index=(1, 5, 5, 5))"
EXPLORER = "nv.Explorer(x, **at)"
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


SCRIPT = {"FunctionCall", "RunMicrotasks", "EvaluateScript"}
"""What the browser calls the running of script in its own record."""


@dataclass
class Costs:
    """Milliseconds of each change."""

    script: list[float]
    work: list[float]
    paint: list[float]


def busy(events: list[dict], first: float, stop: float) -> float:
    """Milliseconds of processor time of the events that begin in a window; of nested ones, the outermost."""
    total, end = 0.0, first
    for event in events:
        if end <= event["ts"] < stop:
            total, end = total + event.get("tdur", 0), event["ts"] + event["dur"]
    return total / 1e3


def recorded(record: bytes, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of script, and of all work of the page's thread, from each of the last `count` keys to the next."""
    events = [e for e in json.loads(record)["traceEvents"] if e["ph"] == "X" and "dur" in e]
    keys = [e for e in events if e["name"] == "EventDispatch" and e["args"]["data"]["type"] == "keydown"][-count:]
    thread = (keys[0]["pid"], keys[0]["tid"])
    events = sorted((e for e in events if (e["pid"], e["tid"]) == thread), key=lambda e: e["ts"])
    scripts = [e for e in events if e["name"] in SCRIPT]
    starts = [key["ts"] for key in keys]
    windows = [(ts, ts + SETTLE * 1e6) for ts in starts]
    return [busy(scripts, *w) for w in windows], [busy(events, *w) for w in windows]


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


def changes(page: Page, focus: Callable[[], None], count: int) -> Costs:
    """Move G to and fro by keys."""
    keys = ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight")

    def press(count: int) -> None:
        for k in range(count):
            page.keyboard.press(keys[k % len(keys)])
            time.sleep(SETTLE)  # not by Playwright's clock, whose questions would run in the page

    focus()
    press(len(keys))  # the first ones compile what they run
    page.evaluate("bench.restart()")
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    press(count)
    script, work = recorded(browser.stop_tracing(), count)
    shown = page.evaluate("bench.shown")
    if len(shown) != count:
        raise RuntimeError(f"{count} keys were pressed, but {len(shown)} changes were seen")
    return Costs(script, work, shown)


def measure(count: int) -> None:
    """Measure both in one JupyterLab, and print the tables."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Lab(Path(folder)) as lab,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"]) as browser,
    ):
        print(f"Chromium {browser.version}; sample tensor (4, 16, 12, 12); {count} changes of G each\n")
        paints: dict[str, list[tuple[float, float]]] = {"nv.Explorer": [], "nv.show": [], "FigureWidget": []}
        costs: dict[str, Costs] = {}
        path = Path(folder) / "page.html"
        nv.to_html(nv.samples.activations(), path)
        page = browser.new_page(reduced_motion="reduce", bypass_csp=True)
        page.add_init_script(path=PROBE)
        page.goto(path.as_uri())
        page.wait_for_function("window.bench.painted")
        costs["page, reduced motion"] = changes(page, page.get_by_role("slider", name="Groups G").focus, count)
        page.close()
        for moving in (False, True):
            # Tall, because a browser draws nothing in a frame that is out of sight.
            motion = "no-preference" if moving else "reduce"
            size = {"width": 1300, "height": 3000}
            context = browser.new_context(viewport=size, reduced_motion=motion, bypass_csp=True)
            context.set_default_timeout(60_000)
            context.add_init_script(path=PROBE)
            page = context.new_page()
            page.goto(lab.address())
            page.wait_for_function("window.jupyterapp?.commands.hasCommand('docmanager:open')")
            page.evaluate("() => jupyterapp.restored")
            cells = [START, EXPLORER, SHOW, FIGURES, FIGURE_WIDGET]
            open_notebook(page, lab, f"bench-{motion}.ipynb", notebook(*cells))
            run_quietly(page, 0)
            page.evaluate("bench.listen()")
            slider = page.get_by_role("slider", name="Groups G")
            paints["nv.Explorer"] += [first_paint(page, 1) for _ in range(5)]
            name = "nv.Explorer" if moving else "nv.Explorer, reduced motion"
            costs[name] = changes(page, slider.focus, count)
            if moving:
                paints["nv.show"] += [first_paint(page, 2) for _ in range(5)]
                run_quietly(page, 3)
                paints["FigureWidget"] += [first_paint(page, 4) for _ in range(5)]
                costs["FigureWidget"] = changes(page, page.locator(".noUi-handle").last.focus, count)
            context.close()
    report(costs, paints)


def report(costs: dict[str, Costs], paints: dict[str, list[tuple[float, float]]]) -> None:
    """Print what was measured, and how many times less it is than the FigureWidget's."""
    theirs = costs["FigureWidget"]
    kinds = ("script", "input to paint", "all work")
    print(f"{'ms a change: p50 / p95':32}" + "".join(f"{kind:>19}" for kind in kinds))
    for name, cost in costs.items():
        columns = (f"{at(v, 50):.2f} / {at(v, 95):.2f}" for v in (cost.script, cost.paint, cost.work))
        print(f"{name:32}" + "".join(f"{column:>19}" for column in columns))
    print("\nFigureWidget / explorer: p50, p95")
    for name, cost in costs.items():
        if cost is not theirs:
            pairs = ((theirs.script, cost.script), (theirs.paint, cost.paint), (theirs.work, cost.work))
            columns = (" / ".join(f"{at(a, p) / max(at(b, p), 0.01):.1f}x" for p in (50, 95)) for a, b in pairs)
            print(f"{name:32}" + "".join(f"{column:>19}" for column in columns))
    print(f"\n{'ms to the first picture: median':32}{'from the command':>19}{'from the output':>19}")
    for name, pairs in paints.items():
        whole, arrived = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"{name:32}{whole:>19.0f}{arrived:>19.0f}")


def at(values: list[float], percent: int) -> float:
    """A percentile, of few values the next one above."""
    return sorted(values)[min(len(values) - 1, round(len(values) * percent / 100))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=42, help="changes of G to measure, each way [default: 42]")
    measure(parser.parse_args().changes)
