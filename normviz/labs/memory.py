"""Where a pooling set lies in memory: NCHW against NHWC, as a strip, with the plain loop over the flat array beside it.

A set is a box of indices, but memory is one line. Which cells of the line a set takes, and in how many pieces, decides
how fast it can be read; the loop that finds them is a floor division and a remainder per axis.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords, unknown
from normviz.core.methods import METHODS as ROWS
from normviz.core.pooling import Pooling, default_num_groups, pooling
from normviz.explorer.svg.palette import HUES, WHITE, hexed, mix
from normviz.labs import checks, look
from normviz.labs.loops import LAYOUTS, LOOPS, shown

METHODS = ("batch", "layer", "instance", "group", "positional")
SHAPE = (2, 4, 3, 3)
MOST = 400
"""Cells: longer strips show nothing."""
BESIDE, STRIPS = 700, 72
"""Pixels: the least width for two loops side by side, and the height of both strips."""
LONGEST, LINES = 43, 15
"""Letters of a loop's longest line, and lines of the longer loop with its name and a free one."""


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
    if getattr(shape, "ndim", 1) > 1:
        raise TypeError(f"shape is x itself; pass x.shape, {shape.shape}")
    shape = checks.several(shape, "shape", "(2, 4, 3, 3)")
    if len(shape) != 4:
        raise ValueError(f"shape {shape} has {len(shape)} axes; the strip needs 4: (N, C, H, W)")
    if method == "group" and num_groups is None:
        num_groups = default_num_groups(checks.whole(shape[1], "C", 1))
    sets = pooling(method, shape, num_groups)
    return Memory(sets, layout, sets.labels().transpose(LAYOUTS[layout]).ravel())


@check_keywords
def figure(shape: Any = SHAPE, num_groups: int | None = None, *, width: int = 900) -> go.Figure:
    """Draw both strips of memory, every set in a colour of its own, over the loops that find the sets.

    The loop stands in Python and in JavaScript, side by side or, on a narrow page, one under the other. The slider
    chooses the method, the buttons the loops' layout.

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

    Examples
    --------
    >>> [button.label for button in figure().layout.updatemenus[0].buttons]
    ['Loops for NCHW', 'Loops for NHWC']
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
    beside = width >= BESIDE
    left, right = (64, 40) if beside else (48, 32)
    span = width - left - right
    # A letter is 0.6 of its size wide, a line 1.3 high.
    size = min(12.0, (span / 2 - 10 if beside else span) / (0.6 * LONGEST))
    tall = 1.3 * size * LINES
    under = 76 if beside else 92
    height = STRIPS + under + tall * (1 if beside else 2)
    palette = [hexed(mix(hue, WHITE, shade)) for shade in (0, 0.45, 0.7) for hue in HUES]
    where = np.stack([np.stack(np.unravel_index(_order(shape, at), shape), axis=-1) for at in LAYOUTS])
    chart: Any = go.Figure()
    chart.add_heatmap(
        y=list(LAYOUTS), customdata=where.tolist(), xgap=1, ygap=6, showscale=False, zmin=0, zmax=len(palette) - 1,
        colorscale=[[k / (len(palette) - 1), colour] for k, colour in enumerate(palette)],
        texttemplate="%{text}" if (width - 90) / cells > 9 else None, textfont={"size": 9, "color": "#14181f"},
        hovertemplate="%{y}, place %{x}: n, c, h, w = %{customdata}<br>set %{text}<extra></extra>",
    )  # fmt: skip
    loops = [(at, language) for at in LAYOUTS for language in LOOPS]
    for at, language in loops:
        second = list(LOOPS).index(language)
        chart.add_scatter(
            x=[second * span / 2 if beside else 0], y=[0 if beside else -second * tall], xaxis="x2", yaxis="y2",
            mode="text", textposition="bottom right", name=f"{language}, {at}", showlegend=False, cliponaxis=False,
            textfont={"family": "ui-monospace, Menlo, Consolas, monospace", "size": size}, hoverinfo="skip",
            visible=at == loops[0][0],
        )  # fmt: skip

    def state(method: str) -> dict[str, Any]:
        label = ROWS[method].label + (f", G = {num_groups}" if method == "group" else "")
        strips = [found[method][at].labels for at in LAYOUTS]
        texts = [f"<b>{way}, {at}</b><br>{shown(LOOPS[way](found[method][at].pooling, at))}" for at, way in loops]
        traces = {
            "z": [[(strip % len(palette)).tolist() for strip in strips]] + [None] * len(loops),
            "text": [[strip.tolist() for strip in strips], *([text] for text in texts)],
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
    choices = [
        look.step(f"Loops for {at}", {"visible": [at == of for of, _ in loops]}, range(1, 1 + len(loops)))
        for at in LAYOUTS
    ]
    chart.update_layout(
        xaxis={
            "title": {"text": steps[first]["args"][1]["xaxis.title.text"], "standoff": 4},
            "range": [-0.5, cells - 0.5],
            "anchor": "y",
        },
        yaxis={"autorange": "reversed", "showgrid": False, "ticks": "", "domain": [1 - STRIPS / height, 1]},
        # In pixels, so that the programs stand where they have room.
        xaxis2={"visible": False, "range": [0, span], "fixedrange": True, "anchor": "y2"},
        yaxis2={
            "visible": False,
            "range": [STRIPS + under - height, 0],
            "fixedrange": True,
            "anchor": "x2",
            "domain": [0, 1 - (STRIPS + under) / height],
        },
        updatemenus=[look.buttons(choices, "Layout of the loops")],
        sliders=[look.slider(steps, "Method: ", first)],
    )
    return look.finish(
        chart,
        "Where a set lies in memory",
        f"x of shape (N, C, H, W) = {shape} as it lies in memory: NCHW is PyTorch’s order, NHWC that of Keras, Flax "
        "and torch.channels_last. Cells of one colour and number share one mean and one variance. Memory is read "
        "fastest in long unbroken pieces: what is one piece in one layout is often many in the other; a whole sample "
        "is one piece in both. The loop finds the set of every place by division and remainder alone.",
        "Two strips of coloured cells, one a memory layout; colours show which pooling set each place of memory "
        "belongs to. Under them a short program that computes it, in Python and in JavaScript.",
        width=width,
        height=round(height),
        left=left,
        right=right,
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
