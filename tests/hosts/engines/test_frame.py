"""The frame of nv.show, as a notebook's output has it: sandboxed, with messages to and from the page around it."""

from pathlib import Path

import normviz as nv
from tests.browser import reading
from tests.browser.alive import CHOSEN, assert_alive, frame_of
from tests.browser.reading import expect, state

COLUMN = "frame"


def output() -> str:
    x = nv.samples.activations()
    return eval(f"nv.show({CHOSEN})", {"nv": nv, "x": x})._repr_mimebundle_()["text/html"]


def write(path: Path, body: str) -> str:
    script = "window.heard = []; addEventListener('message', ({ data }) => heard.push(data.normviz));"
    path.write_text(f'<!doctype html><meta charset="utf-8"><script>{script}</script><body>{body}', "utf-8")
    return path.as_uri()


def test_the_frame_is_alive_and_tells_it(page, tmp_path):
    page.goto(write(tmp_path / "output.html", output()))
    frame = frame_of(page)
    assert "ready" in page.evaluate("heard")
    assert_alive(frame)
    # A sandboxed frame cannot write its address, and does not stumble over it.
    root = frame.locator(".normviz")
    root.get_by_role("application").press("ArrowDown")
    assert state(root)["index"] == (1, 5, 3, 3)
    expect(root.get_by_role("button", name="Copy link")).to_have_count(0)


def test_the_frame_takes_the_theme_and_the_height_of_the_page_around(page, tmp_path):
    page.goto(write(tmp_path / "output.html", output()))
    frame = frame_of(page)
    send = "(message) => document.querySelector('iframe').contentWindow.postMessage({ normviz: message }, '*')"
    page.evaluate(send, {"theme": "dark", "fit": True})
    root = frame.locator(".normviz")
    reading.wait_for(root, theme="dark")
    page.wait_for_function("heard.some((one) => one.height > 300)")


def test_without_scripts_the_still_picture_shows(page, tmp_path):
    """In a page whose sandbox lets nothing run, as where a notebook is not trusted."""
    (tmp_path / "inner.html").write_text(f'<!doctype html><meta charset="utf-8">{output()}', "utf-8")
    page.goto(write(tmp_path / "outer.html", '<iframe sandbox src="inner.html" width="1000" height="800"></iframe>'))
    picture = page.frame_locator("iframe").locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("(e) => e.naturalWidth") > 400
