"""The HTML of all pages: a document that makes no network requests, and the frame that lays it over a still picture."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html import escape
from typing import Any

from normviz.explorer.constants import DARK, LIGHT
from normviz.explorer.frame_height import COLUMN, Steps, css
from normviz.explorer.sentences import say

# The page may fetch nothing and evaluate no text as script. (Tools that drive a browser do; they bypass the policy.)
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
# A page on which the reader makes a tensor calculates in workers of its own text.
WORKERS = "; worker-src blob:"
# plotly saves a chart as a picture by way of a blob.
CHARTS_POLICY = POLICY.replace("img-src data:", "img-src data: blob:")
COMMON = (
    f":root {{ --light: {LIGHT['page']}; --on-light: {LIGHT['ink']}; "
    f"--dark: {DARK['page']}; --on-dark: {DARK['ink']}; }}\n"
    f".nvp-row {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, {COLUMN}px), 1fr)); }}\n"
    ".nvp-row > .nvp-explorer { min-width: 0; }\n"
)
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; background: var(--light); color: var(--on-light); }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 12px; display: flex; flex-direction: column; gap: 20px; }
.nvp-title { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
main:has(> .nvp-row) { max-width: 1600px; }
main > .nvp-explorer .nv-presenter { position: fixed; inset: 0; z-index: 9; overflow: auto; border-radius: 0; }
.nvp-row { gap: 12px; }
.nvp-still { margin: 0; }
.nvp-still > svg { display: block; width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body { background: var(--dark); color: var(--on-dark); } }
"""
# In a frame the page fills the frame's height, and is transparent until it has drawn. A frame is transparent only while
# its colour scheme is that of the element that holds it, which `over` sets, so that the page around cannot change it.
FRAME_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; visibility: hidden; }
[data-drawn] body { visibility: visible; background: var(--light); }
main, .nvp-explorer, .nvp-live { display: flex; flex-direction: column; flex: 1 1 auto; }
:root:not([data-fitted]) main { min-height: 100vh; }
.nvp-row { flex: 1; }
:root:not([data-fitted]) :is(.nv-map, .nv-card > .nv-code) { max-height: 140px; }
.nvp-live > *, .nv-place > .normviz { flex: 1 1 auto; border-radius: 0; }
:root:not([data-fitted]) :is(.nv-main, .nv-picture) { flex-grow: 1; }
:root:not([data-fitted]) .nvp-live .nv-stage { flex: 1 0 200px; height: auto; }
@media (prefers-color-scheme: dark) { [data-drawn]:not([data-theme]) body { background: var(--dark); } }
[data-drawn][data-theme=dark] body { background: var(--dark); }
"""
UNPACK_SCRIPT = (
    "await new Response(new Blob([Uint8Array.from(atob('%s'),c=>c.charCodeAt(0))]).stream()"
    ".pipeThrough(new DecompressionStream('gzip'))).text()"
)
OPEN_SCRIPT = f"(async()=>{{const t={UNPACK_SCRIPT};document.open();document.write(t);document.close()}})()"
RUN_SCRIPT = (
    f"const t={UNPACK_SCRIPT};"
    "document.head.append(Object.assign(document.createElement('script'),{type:'module',textContent:t}))"
)


def document(
    title: str,
    body: str,
    data: str,
    script: str,
    *,
    style: str,
    framed: bool = False,
    theme: str = "auto",
    what: str = "picture",
    editable: bool = False,
    charts: bool = False,
) -> str:
    """A self-contained page that makes no network requests: a heading, a body, and the script that draws it.

    Parameters
    ----------
    title, body
        Plain text, and HTML for readers where no script runs.
    data, script, style
        JSON for the script, from `as_json`; an ES module; CSS rules.
    framed
        For the frame that `over` lays over a picture.
    theme
        "light", "dark", or "auto", which follows the reader's.
    what
        What to call the page where no script runs: a noun, as HTML.
    editable
        On this page the reader makes a tensor.
    charts
        On this page plotly draws.
    """
    name = escape(title, quote=False)
    if editable and not framed:  # this script is long, and a frame is packed as a whole
        script = RUN_SCRIPT % packed(script)
    return f"""<!doctype html>
<html lang="en"{"" if theme == "auto" else f' data-theme="{theme}" style="color-scheme:{theme}"'}>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CHARTS_POLICY if charts else POLICY}{WORKERS if editable else ""}">
<meta name="viewport" content="width=device-width, initial-scale=1">
{"" if framed else '<meta name="color-scheme" content="light dark">'}
<title>{name} · normviz</title>
<style>{COMMON}{FRAME_STYLE if framed else STYLE}{style}</style>
</head>
<body>
<main>
{"" if framed else f'<h1 class="nvp-title">{name}</h1>'}
{body}
<noscript><p>{say("picture.no-script", what=what)}</p></noscript>
</main>
<script type="application/json" id="normviz-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def scriptless(title: str, style: str, body: str) -> str:
    """A self-contained page without a script of its own; `title` and `body` are HTML, `style` CSS rules."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def over(
    still: str,
    live: str,
    size: tuple[int, int],
    title: str,
    alt: str,
    words: str,
    heights: Steps,
    *,
    widest: int,
    theme: str = "auto",
    editable: bool = False,
) -> str:
    """A page in a sandboxed frame over a still picture and its words, which show until the page has drawn, as HTML.

    Parameters
    ----------
    still, size, alt, words
        The picture, an `<svg>`; its width and height in pixels; what it shows in short; and the text below it, or "".
    live, title
        The page, made with `framed=True`, and the name of its frame.
    heights
        How high the frame is at which width, in pixels.
    widest
        The most that the frame is wide, in pixels.
    theme
        That of the page.
    editable
        In this frame the reader makes a tensor, and may save it.
    """
    shown = base64.b64encode(still.encode()).decode("ascii")
    # Firefox tells the page the colour scheme of this element as that of the reader.
    scheme = f"color-scheme:{'light dark' if theme == 'auto' else theme}"
    inside = f'<!doctype html><html style="{scheme}"><script>{OPEN_SCRIPT % packed(live)}</script>'
    allowed = "allow-scripts allow-downloads" if editable else "allow-scripts"
    caption = f'<figcaption style="padding:8px 12px">{escape(words)}</figcaption>' if words else ""
    width, height = size
    # The picture must not look out below the frame, so it is no higher.
    within = f"min({width}px, {css(heights)} * {width / height:.4f})"
    # In padding 100% is the width of the element around, so one stands around that is as wide. The figure has a width
    # but takes no height; where a program removes the styles that it does not understand, both calc() go together, and
    # the figure stands in the text as usual.
    return (
        f'<div style="max-width:{widest}px"><div style="position:relative;padding-bottom:{css(heights)}">'
        f'<figure style="margin:0;padding:0;height:calc(0px);white-space:normal">'
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" src="data:image/svg+xml;base64,{shown}" '
        f'style="width:100%;max-width:{width}px;max-width:{within};height:auto;display:block">'
        f'{caption}</figure><iframe title="{escape(title)}" sandbox="{allowed}" srcdoc="{escape(inside)}" '
        # The style of a page may give all frames another size, or room around them.
        'style="position:absolute;inset:0;width:100%;height:100%;min-width:0;min-height:0;max-width:none;'
        "max-height:none;margin:0;padding:0;border:0;"
        f'{scheme}"></iframe></div></div>'
    )


def packed(text: str) -> str:
    """A text as base64 of gzip, for a script that unpacks it."""
    # Without a time in the archive, the same choice gives the same bytes, so a notebook run again shows no change.
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element, whatever text it holds; ValueError for NaN, which JSON lacks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
