"""Where a pooling set lies in memory: NCHW against NHWC, as a strip, with the plain loop over the flat array beside it.

A set is a box of indices, but memory is one line. Which cells of the line a set takes, and in how many pieces, decides
how fast it can be read; the loop that finds them is a floor division and a remainder per axis.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..blocks import Pooling, default_num_groups, pooling
from ..errors import check_keywords, unknown
from ..explorer.colours import HUES, WHITE, hexed, mix
from ..methods import METHODS as ROWS
from . import checks, look

LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
"""The order of the axes in memory, the last one running fastest."""
METHODS = ("batch", "layer", "instance", "group", "positional")
SHAPE = (2, 4, 3, 3)
MOST = 400
"""Cells: longer strips show nothing."""


@dataclass(frozen=True)
class Memory:
    """Where the cells of one set lie.

    Attributes
    ----------
    pooling
        The sets, on the shape (N, C, H, W).
    layout
        "NCHW" or "NHWC".
    labels
        int, (N*C*H*W,): the number of the set that each place of memory belongs to.
    """

    pooling: Pooling
    layout: str
    labels: np.ndarray

    def offsets(self, which: int = 0) -> np.ndarray:
        """Return the places of one set in memory, in ascending order."""
        return np.flatnonzero(self.labels == which)

    def runs(self, which: int = 0) -> list[tuple[int, int]]:
        """Return the unbroken pieces of one set, as (first place, length)."""
        places = self.offsets(which)
        firsts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        lengths = np.diff(np.append(firsts, places.size))
        return [(int(places[first]), int(length)) for first, length in zip(firsts, lengths, strict=True)]


@check_keywords
def measure(
    shape: Any = SHAPE, method: str = "group", num_groups: int | None = None, *, layout: str = "NCHW"
) -> Memory:
    """Return which set every place of memory belongs to.

    Parameters
    ----------
    shape
        (N, C, H, W), whatever the layout.
    method, num_groups
        As in `normviz.pooling`; None takes for Group Norm the largest divisor of C that is at most 4.
    layout
        "NCHW", as PyTorch keeps an image, or "NHWC", as Keras, Flax and torch.channels_last do.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> measure((2, 8, 4, 4), "group", 4).runs()
    [(0, 32)]
    >>> measure((2, 8, 4, 4), "group", 4, layout="NHWC").runs()[:3]
    [(0, 2), (8, 2), (16, 2)]
    """
    if layout not in LAYOUTS:
        raise ValueError(unknown("layout", layout, LAYOUTS))
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    shape = tuple(shape)
    if len(shape) != 4:
        raise ValueError(f"shape {shape} has {len(shape)} axes; the strip needs 4: (N, C, H, W)")
    if method == "group" and num_groups is None:
        num_groups = default_num_groups(checks.whole(shape[1], "C", 1))
    sets = pooling(method, shape, num_groups)
    return Memory(sets, layout, sets.labels().transpose(LAYOUTS[layout]).ravel())


def python_loop(sets: Pooling, layout: str) -> str:
    """Return a plain loop as Python text: `labels(x)` gives the set of every place of the flat array x."""
    indices, number = _arithmetic(sets, layout, "{} // {}")
    body = "\n        ".join(f"{name} = {value}" for name, value in indices)
    return (
        f"N, C, H, W = {', '.join(map(str, sets.shape))}\n\n"
        "def labels(x):  # x: N*C*H*W values in a row\n"
        "    found = []\n"
        "    for p in range(len(x)):\n"
        f"        {body}\n"
        f"        found.append({number})\n"
        "    return found"
    )


def javascript_loop(sets: Pooling, layout: str) -> str:
    """Return the same loop as JavaScript text."""
    indices, number = _arithmetic(sets, layout, "Math.floor({} / {})")
    body = "\n    ".join(f"const {name} = {value};" for name, value in indices)
    return (
        f"const [N, C, H, W] = [{', '.join(map(str, sets.shape))}];\n\n"
        "function labels(x) {  // x: N*C*H*W values in a row\n"
        "  const found = [];\n"
        "  for (let p = 0; p < x.length; p++) {\n"
        f"    {body}\n"
        f"    found.push({number});\n"
        "  }\n"
        "  return found;\n"
        "}"
    )


LOOPS = {"Python": python_loop, "JavaScript": javascript_loop}


def _arithmetic(sets: Pooling, layout: str, divide: str) -> tuple[list[tuple[str, str]], str]:
    """Return how n, c, h and w follow from the place p, and from them the number of the set, in a language's words."""
    order = ["NCHW"[axis] for axis in LAYOUTS[layout]]
    indices = []
    for k, axis in enumerate(order):
        faster = " * ".join(order[k + 1 :])
        value = divide.format("p", f"({faster})" if "*" in faster else faster) if faster else "p"
        indices.append((axis.lower(), value if k == 0 else f"{value} % {axis}"))
    number = ""
    for name, extent, count in zip("nchw", sets.block, sets.grid, strict=True):
        if count > 1:
            at = name if extent == 1 else divide.format(name, extent)
            before = f"({number})" if "+" in number else number
            number = f"{before} * {count} + {at}" if number else at
    return indices, number or "0"


@check_keywords
def figure(shape: Any = SHAPE, num_groups: int | None = None, *, width: int = 900) -> go.Figure:
    """Draw both strips of memory, every set in a colour of its own, over the loop that finds the sets.

    The slider chooses the method, the buttons the language and the layout of the loop.

    Parameters
    ----------
    shape
        (N, C, H, W) of at most 400 cells.
    num_groups
        G of Group Norm; None takes the largest divisor of C that is at most 4, or C / 2 where that is C.
    width
        Pixels, at least 320.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.
    """
    width = checks.width(width)
    shape = measure(shape, "batch").pooling.shape
    if num_groups is None:
        num_groups = default_num_groups(shape[1])
        # One channel a group would be Instance Norm's picture again.
        num_groups = num_groups // 2 if num_groups == shape[1] and num_groups % 2 == 0 else num_groups
    cells = int(np.prod(shape))
    if cells > MOST:
        raise ValueError(f"shape {shape} has {cells} cells; a strip can show {MOST}, so make the axes shorter")
    found = {
        m: {at: measure(shape, m, num_groups if m == "group" else None, layout=at) for at in LAYOUTS} for m in METHODS
    }
    loops = [(at, language) for language in LOOPS for at in LAYOUTS]
    size = 12 if width >= look.NARROW else 10
    chart = make_subplots(rows=2, cols=1, row_heights=[0.27, 0.73], vertical_spacing=0.2)
    palette = [hexed(mix(hue, WHITE, shade)) for shade in (0, 0.45, 0.7) for hue in HUES]
    where = np.stack([np.stack(np.unravel_index(_order(shape, at), shape), axis=-1) for at in LAYOUTS])
    chart.add_heatmap(
        y=list(LAYOUTS), customdata=where.tolist(), xgap=1, ygap=6, showscale=False, zmin=0, zmax=len(palette) - 1,
        colorscale=[[k / (len(palette) - 1), colour] for k, colour in enumerate(palette)],
        texttemplate="%{text}" if (width - 90) / cells > 9 else None, textfont={"size": 9, "color": "#14181f"},
        hovertemplate="%{y}, place %{x}: n, c, h, w = %{customdata}<br>set %{text}<extra></extra>",
    )  # fmt: skip
    for at, language in loops:
        chart.add_scatter(
            x=[0], y=[0], mode="text", textposition="bottom right", name=f"{language}, {at}", showlegend=False,
            textfont={"family": "ui-monospace, Menlo, Consolas, monospace", "size": size}, hoverinfo="skip",
            visible=(at, language) == loops[0], cliponaxis=False, row=2, col=1,
        )  # fmt: skip

    def state(method: str) -> dict[str, Any]:
        label = ROWS[method].label + (f", G = {num_groups}" if method == "group" else "")
        strips = [found[method][at].labels for at in LAYOUTS]
        texts = [LOOPS[language](found[method][at].pooling, at) for at, language in loops]
        traces = {
            "z": [[(strip % len(palette)).tolist() for strip in strips]] + [None] * len(loops),
            "text": [[strip.tolist() for strip in strips], *([_shown(text)] for text in texts)],
        }
        # The slider's ends have little room; the words under the strips say the whole name.
        return look.step(
            label.split()[0],
            traces,
            range(1 + len(loops)),
            xaxis__title__text=_pieces(found[method], label, width < look.NARROW),
        )

    steps = [state(m) for m in METHODS]
    first = METHODS.index("group")
    chart.data[0].z = steps[first]["args"][0]["z"][0]
    for trace, text in zip(chart.data, steps[first]["args"][0]["text"], strict=True):
        trace.text = text
    shown = [
        look.step(
            f"{language}, {at}" if width >= look.NARROW else f"{'JS' if language == 'JavaScript' else language} {at}",
            {"visible": [k == j for j in range(len(loops))]},
            range(1, 1 + len(loops)),
        )
        for k, (at, language) in enumerate(loops)
    ]
    chart.update_layout(
        xaxis={
            "title": {"text": steps[first]["args"][1]["xaxis.title.text"], "standoff": 4},
            "range": [-0.5, cells - 0.5],
        },
        yaxis={"autorange": "reversed", "showgrid": False, "ticks": ""},
        xaxis2={"visible": False, "range": [0, 1], "fixedrange": True},
        yaxis2={"visible": False, "range": [-1, 0], "fixedrange": True},
        updatemenus=[look.buttons(shown)],
        sliders=[look.slider(steps, "", first)],
    )
    return look.finish(
        chart,
        "Where a set lies in memory",
        f"x of shape (N, C, H, W) = {shape} as it lies in memory: NCHW is PyTorch’s order, NHWC that of Keras, Flax "
        "and torch.channels_last. Cells of one colour and number share one mean and one variance. Memory is read "
        "fastest in long unbroken pieces: what is one piece in one layout is many in the other. The loop finds the set "
        "of every place by division and remainder alone.",
        "Two strips of coloured cells, one a memory layout; colours show which pooling set each place of memory "
        "belongs to. Under them a short program that computes it.",
        width=width,
        height=350,
    )


def _order(shape: tuple[int, ...], layout: str) -> np.ndarray:
    """Return the cell, numbered as in NCHW, that lies at every place of memory."""
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(LAYOUTS[layout]).ravel()


def _pieces(found: dict[str, Memory], label: str, narrow: bool) -> str:
    """Say in how many pieces a set lies."""

    def say(runs: list[tuple[int, int]]) -> str:
        return f"{len(runs)} {'piece' if len(runs) == 1 else 'pieces'} of {runs[0][1]}"

    return (
        f"place in memory<br>a set of {label}: "
        + ("<br>" if narrow else "")
        + ", ".join(f"{at} {say(m.runs())}" for at, m in found.items())
    )


def _shown(text: str) -> str:
    """Return a program as plotly's text: nothing is markup, and no space is lost."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(" ", "\N{NO-BREAK SPACE}").replace("\n", "<br>")
