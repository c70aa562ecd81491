"""Pages that live on their own: an exported page, and `show`, which puts one into a notebook's output.

Both run the widget's own front-end on a small stand-in for the model. Nothing is fetched: style, script and numbers are
in the page, which tells the browser to refuse every request.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from normviz.explorer import front, gif, picture, state
from normviz.explorer.measure import Data, name_of
from normviz.explorer.names import has_groups

Parts = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A scene and a state."""

# Nothing may be fetched. The page never evaluates text as script, but tools that drive a browser do so in it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; background: #fff; color: #1b1f27; font: 15px/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 12px; display: flex; flex-direction: column; gap: 20px; }
.nvp-title { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
main:has(> .nvp-row) { max-width: 1600px; }
.nvp-row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 12px; }
.nvp-row > .nvp-explorer { min-width: 0; }
.nvp-still > svg { display: block; width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body { background: #14171c; color: #e8ebf1; } }
"""
# In a frame the page fills the place of the picture below it, and is transparent until it has drawn. A frame is
# transparent only while its colour scheme is that of the element that holds it, so the scheme waits as well.
FRAME_STYLE = """
:root { color-scheme: light; }
body { margin: 0; visibility: hidden; }
[data-drawn] body { visibility: visible; background: #fff; }
main, .nvp-explorer, .nvp-live { display: flex; flex-direction: column; flex: 1 1 auto; }
main { min-height: 100vh; }
.nvp-row { display: grid; flex: 1; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.nvp-row > .nvp-explorer { min-width: 0; }
.nvp-live > .normviz { flex: 1 1 auto; border-radius: 0; }
.nvp-live .nv-stage, .nvp-live .nv-stage.nv-tall { flex: 1 1 220px; height: auto; min-height: 220px; }
@media (prefers-color-scheme: dark) { [data-drawn] body { background: #14171c; } }
"""
UNPACK = (
    "(async()=>{const z=Uint8Array.from(atob('%s'),c=>c.charCodeAt(0));"
    "const t=await new Response(new Blob([z]).stream().pipeThrough(new DecompressionStream('gzip'))).text();"
    "document.open();document.write(t);document.close()})()"
)


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
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
{"" if framed else '<meta name="color-scheme" content="light dark">'}
<title>{escape(title, quote=False)} · normviz</title>
<style>{FRAME_STYLE if framed else STYLE}{front.stylesheet()}</style>
</head>
<body>
<main>
{"" if framed else f'<h1 class="nvp-title">{escape(title, quote=False)}</h1>'}
{"".join(body)}
<noscript><p>This picture answers to mouse and keyboard where JavaScript may run.</p></noscript>
</main>
<script type="application/json" id="normviz-data">{_json(data)}</script>
<script type="module">{front.module()}
{front.boot()}</script>
</body>
</html>
"""


def fragment(*parts: Parts) -> str:
    """The explorer as HTML for a notebook's output: alive where frames may run scripts, a picture elsewhere.

    The page lies in a sandboxed frame over the still picture, which shows where frames or scripts are refused. Several
    parts stand side by side and move together.
    """
    name = " and ".join(name_of(Data(scene), now) for scene, now in parts)
    words = " ".join(picture.words(scene, now) for scene, now in parts)
    still = base64.b64encode(picture.stacked(parts).encode()).decode("ascii")
    # No time in the archive: the same choice gives the same bytes, so a notebook run again shows no change.
    packed = base64.b64encode(gzip.compress(page([list(parts)], framed=True).encode(), 9, mtime=0)).decode("ascii")
    inside = f"<!doctype html><script>{UNPACK % packed}</script>"
    tall = 600 * len(parts)
    return (
        f'<div style="position:relative;max-width:{picture.WIDTH}px;min-height:{tall}px;padding-bottom:44px">'
        f'<img alt="{escape(words)}" width="{picture.WIDTH}" height="{picture.HEIGHT * len(parts)}" '
        f'src="data:image/svg+xml;base64,{still}" style="width:100%;height:auto;display:block">'
        f'<iframe title="{escape(name)}: interactive explorer" sandbox="allow-scripts" srcdoc="{escape(inside)}" '
        'style="position:absolute;inset:0;width:100%;height:100%;border:0;color-scheme:light"></iframe></div>'
    )


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
    """
    items = items if isinstance(items, (list, tuple)) else [items]
    if not items:
        raise ValueError("to_html() has nothing to show: the list is empty; give it at least one explorer or array")
    if path is not None:
        check_path(path)
    text = page([_parts(item) for item in items])
    return text if path is None else write(path, text)


def check_path(path: Any) -> Path:
    """A path that can be written to; TypeError or OSError in one sentence."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or a Path, not {type(path).__name__}")
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to write {target.name} into; make it first")
    return target


def write(path: str | os.PathLike[str], text: str) -> None:
    """Write a file whole or not at all."""
    target = check_path(path)
    # A device or a pipe (/dev/stdout) can't be replaced, only written to; and a link stays a link, to the new page.
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8", newline="\n")
        return
    target = target.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # A temporary file is its owner's alone; the page gets the rights that any new file gets.
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


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


def _json(value: Any) -> str:
    """JSON that can stand inside a script element, whatever words it holds. JSON knows no NaN: none may be in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
