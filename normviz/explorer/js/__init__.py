"""The front-end: one ES module and one stylesheet, shipped as they are written, with no build step."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

CUBE = ("core/geometry.js", "core/numbers.js", "core/dom.js", "core/readout.js", "views/cube.js")
"""The files that draw a cube."""
PARTS = ("charts", "panel", "controls", "tour", "predict", "presenter")
ORDER = (*CUBE, *(f"views/{part}.js" for part in PARTS), "explorer.js")
"""The files share one scope, so a file comes after those whose constants it uses at load time."""

NOT_NEEDED = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/[ \t]*\n|//[^\n]*\n)?[ \t]*", re.MULTILINE | re.DOTALL)

SECTION = re.compile(r"^/\* ---- (.*?) ---- \*/\n", re.MULTILINE)


@cache
def module() -> str:
    """The text of the ES module, whose default export is `{ render }`, as anywidget wants it."""
    return "\n".join(read(name) for name in ORDER)


@cache
def boot() -> str:
    """The script of an exported page, after the module: a stand-in for the model, and the state in the address."""
    return read("hosts/frame.js") + read("hosts/page.js")


@cache
def stylesheet() -> str:
    """The text of the stylesheet; every rule stands under `.normviz`."""
    return read("explorer.css")


@cache
def rules(*sections: str) -> str:
    """The common rules of the stylesheet and those of the named sections, for a page that shows less."""
    text = files(__name__).joinpath("explorer.css").read_text(encoding="utf-8")
    common, *pairs = SECTION.split(text)
    found = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return NOT_NEEDED.sub("", common + "".join(found[name] for name in sections))


def read(name: str, package: str = __name__) -> str:
    """The text of a file without indentation and comment lines, which are a tenth of a page."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    return NOT_NEEDED.sub("", text)
