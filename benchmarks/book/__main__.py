"""What a page of ten explorers weighs, and when it is painted (`make bench-book`).

    python -m benchmarks.book [--rounds 7] [--folder build/book/html] [--out FILE]

The page is the book's `look/methods.html`, served from this machine to a browser that has never seen it. An explorer
says when it has drawn; the page is painted when the tenth has. A browser leaves frames undrawn that are far from its
window, so the window is as high as the page: all ten are in sight at once. The weight is all that is loaded, not
compressed on its way.
"""

import argparse
import statistics
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks import results, tables
from tools.find_browser import find

ROOT = Path(__file__).parent.parent.parent
EXPLORERS = 10
HEIGHT = 10_000
"""Pixels: more than the page has."""
LISTEN = """
window.drawn = [];
addEventListener("message", ({ data }) => data?.normviz === "ready" && drawn.push(performance.now()));
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


class Quiet(SimpleHTTPRequestHandler):
    """A server that says nothing of what it is asked."""

    def log_message(self, *_: object) -> None:
        pass


def once(browser: Browser, address: str) -> tuple[float, float, float, int]:
    """Milliseconds to the first paint, the first explorer and the last one; and bytes."""
    context = browser.new_context(viewport={"width": 1280, "height": HEIGHT})
    page, sizes = context.new_page(), []
    page.on("response", lambda response: sizes.append(len(response.body())))
    page.add_init_script(LISTEN)
    page.goto(address, wait_until="commit")
    page.wait_for_function(f"window.drawn?.length === {EXPLORERS}", timeout=60_000)
    found = page.evaluate(f"[{PAINT}, drawn[0], drawn[{EXPLORERS} - 1]]")
    page.wait_for_load_state("networkidle")
    context.close()
    return *found, sum(sizes)


def main() -> None:
    """Build the book where it is not there, and open the page again and again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "book" / "html")
    parser.add_argument("--out", type=Path, help="a JSON file, of which the other parts stay as they are")
    given = parser.parse_args()
    if not (given.folder / "look" / "methods.html").is_file():
        subprocess.run([sys.executable, ROOT / "tools" / "make_book.py"], check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(given.folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as play:
            flags = ["--disable-background-networking", "--no-sandbox"]
            browser = play.chromium.launch(executable_path=find(), args=flags)
            address = f"http://127.0.0.1:{server.server_port}/look/methods.html"
            rounds = [once(browser, address) for _ in range(given.rounds)]
            browser.close()
    finally:
        server.shutdown()
    names = ("first contentful paint", "first explorer drawn", f"all {EXPLORERS} explorers drawn")
    times = zip(*(each[:3] for each in rounds), strict=True)
    seconds = {name: statistics.median(each) / 1e3 for name, each in zip(names, times, strict=True)}
    report = results.save(given.out, "page", {"seconds": seconds, "MB": max(each[3] for each in rounds) / 1e6})
    print(tables.TABLES["page"]["page"](report))


if __name__ == "__main__":
    main()
