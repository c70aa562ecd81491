"""What a change of x costs in a page: a slider of the tensor panel, and a large file.

    python -m benchmarks.explorer.tensor [--changes 40] [--out FILE]

Script is what the browser's own record says of the page's main thread from one key to the next, in processor time.
Input to paint goes from the key's time stamp to the first frame after `data-ready` is back. The file is a .npy file of
float32 numbers, and its time stands beside that of np.load and nv.show, with which Python makes the same page. A
machine that does nothing else gives numbers to quote.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

import normviz as nv
from benchmarks import results, tables
from benchmarks.explorer.__main__ import SETTLE, at, recorded
from tools.find_browser import find

SHAPES = ((4, 16, 12, 12), (32, 256, 14, 14))
FILE = (64, 128, 56, 56)
"""Of float32 numbers: 103 MB."""
PROBE = """
{
  const bench = (window.bench = { asked: null, shown: [] });
  addEventListener("keydown", (event) => { bench.asked ??= event.timeStamp; }, true);
  new MutationObserver((records) => {
    if (bench.asked === null || !records.some(({ target }) => target.matches(".normviz[data-ready]"))) return;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      if (bench.asked !== null) bench.shown.push(performance.now() - bench.asked);
      bench.asked = null;
    };
    channel.port2.postMessage(0);
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
}
"""
PYTHON = """
import sys, time, numpy as np, normviz as nv
start = time.perf_counter()
nv.show(np.load(sys.argv[1]))._repr_mimebundle_()
print(time.perf_counter() - start)
"""


def changes(page: Page, name: str, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of script and from input to paint, of keys that move a slider to and fro."""

    def press(count: int) -> None:
        for k in range(count):
            before = page.evaluate("bench.shown.length")
            page.keyboard.press(("ArrowLeft", "ArrowRight")[k % 2])
            page.wait_for_function("(before) => bench.shown.length > before", arg=before)
            time.sleep(SETTLE)

    page.get_by_role("slider", name=name, exact=True).focus()
    press(4)  # the first ones compile what they run
    page.evaluate("() => { bench.shown.length = 0; }")
    page.context.browser.start_tracing(page=page, categories=["devtools.timeline"])
    press(count)
    script, *_ = recorded(page.context.browser.stop_tracing(), count)
    return script, page.evaluate("bench.shown")


SOAK = """async (count) => {
  const root = document.querySelector(".normviz"), named = (name) => root.querySelector(`[aria-label="${name}"]`);
  const put = (name, value) => {
    named(name).value = value;
    for (const type of ["input", "change"]) named(name).dispatchEvent(new Event(type, { bubbles: true }));
  };
  const methods = root.querySelectorAll("[role=radiogroup][aria-label=Method] [role=radio]");
  for (let k = 0; k < count; k++) {
    if (k % 4 === 0) put("N slider", 1 + (k / 4) % 6);
    else if (k % 4 === 1) put("Seed", k);
    else if (k % 4 === 2) put("Value", k % 7);
    else methods[(k >> 2) % 4].click();
    if (k % 50 === 49) await new Promise(requestAnimationFrame);
  }
}"""


def kept(page: Page) -> dict[str, float]:
    """What the page keeps in memory, after all that is unused has been freed."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return {
        "MB of heap": found["JSHeapUsedSize"] / 1e6,
        "nodes": found["Nodes"],
        "listeners": found["JSEventListeners"],
    }


def measure(count: int, out: Path | None) -> None:
    """Measure all, and print the table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"]) as browser,
    ):
        path, file = Path(folder) / "page.html", Path(folder) / "x.npy"
        nv.to_html(nv.show(editable=True), path)
        np.save(file, nv.samples.filled(FILE, "normal"))
        costs = {}
        for shape in SHAPES:
            page = browser.new_page(reduced_motion="reduce", bypass_csp=True)
            page.add_init_script(PROBE)
            page.goto(f"{path.as_uri()}#shape={','.join(map(str, shape))}&fill=normal")
            page.wait_for_selector(".normviz[data-ready]")
            costs[str(shape)] = [[at(v, 50), at(v, 95)] for v in changes(page, "N slider", count)]
            page.close()
        page = browser.new_page(bypass_csp=True)
        page.goto(path.as_uri())
        page.wait_for_selector(".normviz[data-ready]")
        page.evaluate(SOAK, 1000)
        before = kept(page)
        page.evaluate(SOAK, 10_000)
        after = kept(page)
        start = time.perf_counter()
        page.get_by_label("Open a file", exact=True).set_input_files(file)
        page.wait_for_selector(f".normviz[data-ready][data-shape='{','.join(map(str, FILE))}']")
        ours = time.perf_counter() - start
        theirs = float(subprocess.check_output([sys.executable, "-c", PYTHON, str(file)], text=True))
        found = {
            "changes": costs,
            "file": {"MB": file.stat().st_size / 1e6, "page": ours, "python": theirs},
            "kept": {name: [before[name], after[name]] for name in before},
        }
        print(tables.TABLES["tensor"]["tensor"](results.save(out, "tensor", found)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer.tensor", description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=40, help="changes to measure for each shape [default: 40]")
    parser.add_argument("--out", type=Path, help="a JSON file, of which the other parts stay as they are")
    options = parser.parse_args()
    measure(options.changes, options.out)
