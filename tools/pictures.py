"""Make the pictures of the README anew (`make pictures`): each is a page of the explorer as a browser shows it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

import normviz as nv  # noqa: E402
from tools.find_browser import find  # noqa: E402

IMAGES = ROOT / "docs" / "images"
CELL = (1, 5, 0, 3)
ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0
FLAGS = ["--disable-background-networking", *(["--no-sandbox"] if ROOT_USER else [])]
"""Chromium's sandbox does not start as root."""


def press(name: str):
    """Click a button before the picture is taken."""
    return lambda page: page.get_by_role("button", name=name, exact=True).click()


def pictures() -> dict[str, tuple]:
    """Name, explorer keywords and what is special: width, colour scheme, an action."""
    x = nv.samples.activations()
    large = np.random.default_rng(0).normal(size=(32, 256, 14, 14)).astype(np.float32)
    return {
        "explorer": (x, {"index": CELL, "step": 3}, {}),
        "explorer-dark": (x, {"index": CELL, "step": 3}, {"scheme": "dark"}),
        "paper-figure": (x, {"index": (0, 5, 0, 3), "view": "paper"}, {}),
        "every-set": (x, {"index": CELL, "color": "partition"}, {}),
        "slice": (x, {"index": (1, 6, 4, 5), "color": "value"}, {"act": press("Slice")}),
        "code": (x, {"index": CELL}, {"act": press("Code")}),
        "large": (large, {"index": (9, 70, 0, 3), "num_groups": 4}, {}),
    }


def shrink(path: Path) -> None:
    """Keep 256 colours that lie far apart: the picture looks the same at a quarter of the size."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def take(page: Page, path: Path, html: Path, act=None) -> None:
    """One picture of the whole explorer."""
    page.goto(html.as_uri())
    page.wait_for_selector(".normviz[data-ready]")
    if act:
        act(page)
    # Two frames: the drawing, and the glide of the set to its place.
    page.evaluate("() => new Promise(done => setTimeout(done, 250))")
    page.locator(".normviz").screenshot(path=path)
    shrink(path)


def main() -> None:
    """Make all pictures, or those named."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:]
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        browser = play.chromium.launch(executable_path=find(), args=FLAGS)
        for name, (x, keywords, more) in pictures().items():
            if wanted and name not in wanted:
                continue
            html = Path(folder) / f"{name}.html"
            nv.to_html([nv.show(x, **keywords)], html)
            page = browser.new_page(
                viewport={"width": more.get("width", 984), "height": 800},
                color_scheme=more.get("scheme", "light"),
                device_scale_factor=1.5,
                bypass_csp=True,  # the pages forbid scripts as text, which `evaluate` runs
            )
            take(page, IMAGES / f"{name}.png", html, more.get("act"))
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
