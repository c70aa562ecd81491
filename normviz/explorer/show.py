"""Pages that live on their own: an exported page, and `show`, which puts one into a notebook's output.

Both run the widget's own front-end on a small stand-in for the model. Nothing is fetched: style, script and numbers are
in the page, which tells the browser to refuse every request.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from normviz.atomic_write import check_path, write
from normviz.explorer import js as front
from normviz.explorer import validation as state
from normviz.explorer.html_page import POLICY, as_json, document, over
from normviz.explorer.svg import gif, picture
from normviz.explorer.svg.axis_names import has_groups
from normviz.explorer.svg.readout import Data, name_of

Parts = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A scene and a state."""


def page(parts: Iterable[Parts | list[Parts]], *, framed: bool = False) -> str:
    """A self-contained page of any number of explorers.

    Parameters
    ----------
    parts
        A scene and a state for each explorer; a list of them stands side by side and moves together.
    framed
        Leave out the still pictures, for the frame in which `fragment` shows the page lies over one.
    """
    rows = [part if isinstance(part, list) else [part] for part in parts]
    names = [_name(scene, now) for row in rows for scene, now in row]
    title = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    body, data = [], []
    for number, row in enumerate(rows):
        first, sections = len(data), []
        for scene, now in row:
            still = "" if framed else f'<div class="nvp-still">{picture.svg(scene, now)}</div>'
            label = escape(names[len(data)])
            sections.append(f'<section class="nvp-explorer" aria-label="{label}">{still}</section>')
            # Linked explorers show one tensor, which travels once.
            shared = len(data) > first and scene is row[0][0]
            link = {"link": number} if len(row) > 1 else {}
            data.append({"scene": first if shared else scene, "state": dict(now), **link})
        text = "\n".join(sections)
        body.append(f'<div class="nvp-row">{text}</div>' if len(row) > 1 else text)
    data_text, script = as_json(data), f"{front.module()}\n{front.boot()}"
    return document(title, "".join(body), data_text, script, style=front.stylesheet(), framed=framed)


def fragment(*parts: Parts) -> str:
    """The explorer as HTML for a notebook's output: alive where frames may run scripts, a picture elsewhere.

    The page lies in a sandboxed frame over the still picture, which shows where frames or scripts are refused. Several
    parts stand side by side and move together.
    """
    name = " and ".join(name_of(Data(scene), now) for scene, now in parts)
    words = " ".join(picture.words(scene, now) for scene, now in parts)
    size = picture.WIDTH, picture.HEIGHT * len(parts)
    still, live = picture.stacked(parts), page([list(parts)], framed=True)
    return over(still, live, size, f"{name}: interactive explorer", words, least=600 * len(parts))


@dataclass(frozen=True, eq=False, repr=False)
class Shown:
    """An explorer as plain output: it needs no kernel and no widget manager, now or later.

    Attributes
    ----------
    scene, state
        What is shown, as JSON.
    """

    scene: Mapping[str, Any]
    state: Mapping[str, Any]

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The page, or None once it is written to `path`."""
        return to_html([self], path)

    def to_gif(self, path: str | os.PathLike[str], *, width: int = 960, duration: int = 1200) -> None:
        """The sweep of G as a moving picture, for slides; see `Explorer.to_gif`."""
        gif.write(self.scene, self.state, check_path(path), width=width, duration=duration)

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The still picture, or None once it is written to `path`."""
        text = picture.svg(self.scene, self.state)
        return text if path is None else write(path, text)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # Two types and no widget: a widget in the bundle is what goes blank in a notebook that is opened again.
        return {"text/html": fragment((self.scene, self.state)), "image/svg+xml": picture.svg(self.scene, self.state)}

    def __repr__(self) -> str:
        groups = (
            f", num_groups={self.state['num_groups']}"
            if has_groups(Data(self.scene).method(self.state["method"]))
            else ""
        )
        index = tuple(self.state["index"])
        return f"Shown(shape={tuple(self.scene['shape'])}, method={self.state['method']!r}{groups}, index={index})"


def show(x: Any = None, method: str | None = None, num_groups: int | None = None, **keywords: Any) -> Shown:
    """Show an explorer that needs no kernel: alive in the notebook, in the saved notebook and in pages made from it.

    Parameters
    ----------
    x, method, num_groups, **keywords
        As `Explorer` takes them, without x the sample activations: index, step, view, color, mode, controls, weight,
        bias, eps, statistics, channel_axis, labels, marks, title, predict, presenter.

    Returns
    -------
    Shown
        Displays itself as HTML and as a still picture; `to_html` and `to_svg` write files.

    Raises
    ------
    ValueError, TypeError, IndexError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> import numpy as np, normviz as nv
    >>> nv.show(np.zeros((2, 8, 4, 4)), method="group", num_groups=4)
    Shown(shape=(2, 8, 4, 4), method='group', num_groups=4, index=(0, 0, 0, 0))
    """
    given = {"num_groups": num_groups} | ({} if method is None else {"method": method})
    return Shown(*state.check(x, **given, **keywords))


def to_html(items: Any, path: str | os.PathLike[str] | None = None) -> str | None:
    """One self-contained page of explorers, shown objects and arrays, or of a single one.

    The page makes no request, and keeps what is chosen in its address: `#method=batch&i=0,3,1,1`; the keys of its
    second explorer begin with `2.`.

    Parameters
    ----------
    items
        A list (or tuple) of explorers, of what `show` returned, and of arrays.
    path
        Where to write the page. A file that is there is replaced only once the new one is whole.

    Returns
    -------
    str or None
        The page, or None once it is written.

    Examples
    --------
    >>> import numpy as np, normviz as nv
    >>> text = nv.to_html([nv.show(method="batch"), np.zeros((2, 8, 4, 4))])
    >>> text.count('<section class="nvp-explorer"')
    2
    """
    items = items if isinstance(items, (list, tuple)) else [items]
    if not items:
        raise ValueError("to_html() has nothing to show: the list is empty; give it at least one explorer or array")
    if path is not None:
        check_path(path)
    text = page([_parts(item) for item in items])
    return text if path is None else write(path, text)


def _parts(item: Any) -> Parts | list[Parts]:
    if hasattr(item, "parts") and isinstance(item.parts, list):
        return item.parts
    if isinstance(item, Shown):
        return item.scene, item.state
    if hasattr(item, "_scene") and hasattr(item, "_state"):
        return item._scene, item._state()
    if item is None:
        raise TypeError("to_html() takes explorers, what show() returned, and arrays, not None")
    return state.check(item)


def _name(scene: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    name = name_of(Data(scene), now)
    return f"{scene['title']}: {name}" if scene.get("title") else name


__all__ = [
    "POLICY",
    "Parts",
    "Shown",
    "as_json",
    "check_path",
    "document",
    "fragment",
    "over",
    "page",
    "show",
    "to_html",
    "write",
]
