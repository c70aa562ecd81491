"""Pages of their own, such as the quiz and the decision guide: a still picture, and an interactive page over it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from typing import Any, ClassVar

from normviz.atomic_write import write
from normviz.explorer import js
from normviz.explorer.fragment import Framed
from normviz.explorer.frame_height import Steps
from normviz.explorer.html_page import as_json, document, over
from normviz.explorer.sentences import say
from normviz.explorer.svg.writer import Pen


class StandalonePage(Framed):
    """Output that is a page of its own and needs no kernel.

    Attributes
    ----------
    TITLE, KIND
        The heading, and what the page is: "quiz".
    SCRIPT, STYLE
        The page's own script and style: paths below `normviz/`.
    SIZE
        Width and height of the still picture in pixels.
    HEIGHTS
        Pixels in a notebook's output: from which width on the page has which height.
    """

    TITLE: ClassVar[str]
    KIND: ClassVar[str]
    SCRIPT: ClassVar[str]
    STYLE: ClassVar[str]
    SIZE: ClassVar[tuple[int, int]]
    HEIGHTS: ClassVar[Steps]

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Return the page, or write it to `path` and return None."""
        text = self._page(framed=False)
        return text if path is None else write(path, text)

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Return the still picture, or write it to `path` and return None."""
        text = self._picture()
        return text if path is None else write(path, text)

    def _bundle(self, theme: str) -> dict[str, str]:
        picture, live = self._picture(theme), self._page(framed=True, theme=theme)
        title = say("picture.standalone", title=self.TITLE, kind=self.KIND)
        alt, heights, widest = self._description(), self.HEIGHTS, self.SIZE[0]
        html = over(picture, live, self.SIZE, title, alt, "", heights, widest=widest, theme=theme)
        return {"text/html": html, "image/svg+xml": picture}

    def _page(self, *, framed: bool, theme: str = "auto") -> str:
        picture = "" if framed else f'<div class="nvp-still">{self._picture()}</div>'
        section = f'<section class="nvp-explorer" aria-label="{escape(self.TITLE)}">{picture}</section>'
        script = js.joined(self.SCRIPT)
        style = js.rules(self.STYLE, "controls", "the cube")
        data = as_json(self._data())
        return document(self.TITLE, section, data, script, style=style, framed=framed, theme=theme, what=self.KIND)

    def _svg(self, pen: Pen, body: Iterable[str]) -> str:
        """The elements of `body`, drawn with `pen`, on a card, with a title and a description for screen readers."""
        return pen.drawing(*self.SIZE, self.TITLE, self._description(), "".join(body), border="line")

    def _picture(self, theme: str = "auto") -> str:
        raise NotImplementedError

    def _description(self) -> str:
        raise NotImplementedError

    def _data(self) -> dict[str, Any]:
        raise NotImplementedError
