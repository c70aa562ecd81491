"""Memory layout of the pooling sets: NCHW and NHWC as strips, with the loop that finds the set of each place.

A set is a box of indices, but memory is linear. The number of contiguous pieces of a set decides how fast it can be
read. The loop needs one floor division and one remainder per axis.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords, unknown
from normviz.core.methods import METHODS as LABELS
from normviz.core.pooling import Pooling, check_shape, default_num_groups, pooling
from normviz.explorer.plotly_figure import Figure
from normviz.explorer.svg.palette import HUES, WHITE, hexed, mix

METHODS = ("batch", "layer", "instance", "group", "positional")
SHAPE = (2, 4, 2, 2)
LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
"""The order of the axes in memory; the last one varies fastest."""
MAX_CELLS = 400
"""The cells of a longer strip are too narrow to be seen."""
BESIDE, STRIPS = 700, 72
"""Pixels: the least width for two loops side by side, and the height of both strips."""
LONGEST, LINES = 43, 15
"""Letters in a loop's longest line, and lines of the longer loop with its name and an empty line."""


@dataclass(frozen=True)
class Memory:
    """The `layout`, "NCHW" or "NHWC", of the sets `pooling` in memory; the shape of these is (N, C, H, W).

    `labels` are int, (N*C*H*W,): the number of the set at each place of memory.
    """

    pooling: Pooling
    layout: str
    labels: np.ndarray

    def offsets(self, which: int = 0) -> np.ndarray:
        """Return the places of one set in memory, in ascending order."""
        return np.flatnonzero(self.labels == which)

    def runs(self, which: int = 0) -> list[tuple[int, int]]:
        """Return the contiguous pieces of one set as pairs (first place, length)."""
        places = self.offsets(which)
        firsts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        lengths = np.diff(np.append(firsts, places.size))
        return [(int(places[first]), int(length)) for first, length in zip(firsts, lengths, strict=True)]


@check_keywords
def measure(
    shape: Any = SHAPE, method: str = "group", num_groups: int | None = None, *, layout: str = "NCHW"
) -> Memory:
    """Return the set at every place of memory.

    Parameters
    ----------
    shape
        (N, C, H, W), in this order for both layouts.
    method, num_groups
        As in `normviz.pooling`; None takes for Group Norm the largest divisor of C that is at most 4.
    layout
        "NCHW", PyTorch's order, or "NHWC", that of Keras, Flax and torch.channels_last.

    Raises
    ------
    ValueError, TypeError
        If shape is not (N, C, H, W), num_groups does not divide C, or the method or the layout is unknown.

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
    shape = _four_axes(shape)
    if method == "group" and num_groups is None:
        num_groups = default_num_groups(shape[1])
    sets = pooling(method, shape, num_groups)
    return Memory(sets, layout, sets.labels().transpose(LAYOUTS[layout]).ravel())


def _four_axes(shape: Any) -> tuple[int, ...]:
    shape = check_shape(shape)
    if len(shape) != 4:
        raise ValueError(f"shape {shape} has {len(shape)} axes; the strip needs 4: (N, C, H, W)")
    return shape


PYTHON = """N, C, H, W = {shape}

# x: N*C*H*W values in a row
def labels(x):
    found = []
    for p in range(len(x)):
        {indices}
        found.append({number})
    return found"""
JAVASCRIPT = """const [N, C, H, W] = [{shape}];

// x: N*C*H*W values in a row
function labels(x) {{
  const found = [];
  for (let p = 0; p < x.length; p++) {{
    {indices}
    found.push({number});
  }}
  return found;
}}"""
LOOPS = {
    "Python": (PYTHON, "{} // {}", "{} = {}", "\n        "),
    "JavaScript": (JAVASCRIPT, "Math.floor({} / {})", "const {} = {};", "\n    "),
}
"""Of a language: the program, a floor division, an assignment and the space between two assignments."""


def loop(sets: Pooling, layout: str, language: str) -> str:
    """Return a program in "Python" or "JavaScript": `labels(x)` gives the set of every place of the flat array x."""
    program, divide, assign, space = LOOPS[language]
    order = ["NCHW"[axis] for axis in LAYOUTS[layout]]
    indices = []
    for k, axis in enumerate(order):
        faster = " * ".join(order[k + 1 :])
        value = divide.format("p", f"({faster})" if "*" in faster else faster) if faster else "p"
        indices.append(assign.format(axis.lower(), value if k == 0 else f"{value} % {axis}"))
    number = ""
    for name, extent, count in zip("nchw", sets.block, sets.grid, strict=True):
        if count > 1:
            position = name if extent == 1 else divide.format(name, extent)
            before = f"({number})" if "+" in number else number
            number = f"{before} * {count} + {position}" if number else position
    shape = ", ".join(map(str, sets.shape))
    return program.format(shape=shape, indices=space.join(indices), number=number or "0")


@check_keywords
def figure(
    shape: Any = SHAPE, num_groups: int | None = None, *, width: int | None = None, presenter: bool = False
) -> go.Figure:
    """Draw both strips of memory, every set in a colour of its own, over the loops that find the sets.

    The loop is shown in Python and in JavaScript, side by side or, on a narrow page, stacked; a projector shows the
    strips alone. The slider chooses the method, the buttons the loops' layout.

    Parameters
    ----------
    shape
        (N, C, H, W) of at most 400 cells.
    num_groups
        G of Group Norm; None takes the largest divisor of C that is at most 4, or C / 2 where that is C.
    width, presenter
        Pixels, at least 320; and whether the figure is for a projector.

    Raises
    ------
    ValueError, TypeError
        As in `measure`, and for more than 400 cells.

    Examples
    --------
    >>> [button.label for button in figure().layout.updatemenus[0].buttons]
    ['Loops for NCHW', 'Loops for NHWC']
    """
    room = chart.room(width, presenter)
    shape = _four_axes(shape)
    cells = math.prod(shape)
    if cells > MAX_CELLS:
        raise ValueError(f"shape {shape} has {cells} cells; a strip can show {MAX_CELLS}, so make the axes shorter")
    C = shape[1]
    if num_groups is None:
        num_groups = default_num_groups(C)
        # With one channel in each group, the picture would be Instance Norm's.
        num_groups = num_groups // 2 if num_groups == C and C % 2 == 0 else num_groups
    beside = room.width >= BESIDE
    left, right = (64, 40) if beside else (48, 32)
    span = room.width - left - right
    # A letter is 0.6 of its size wide, a line 1.3 high.
    size = min(12.0, (span / 2 - 10 if beside else span) / (0.6 * LONGEST))
    tall = 1.3 * size * LINES
    under = 60
    height = STRIPS + under + tall * (1 if beside else 2)
    # A projector shows the strips alone: nobody could read a program from the last row.
    loops = [] if presenter else [(at, language) for at in LAYOUTS for language in LOOPS]
    # A number of a set fits into its cell, or is left out.
    digits = len(str(max(cells // C, C) - 1))
    number = min(14.0, (span / cells - 3) / (0.6 * digits))
    palette = [hexed(mix(hue, WHITE, shade)) for shade in (0, 0.45, 0.7) for hue in HUES]
    # The indices (n, c, h, w) of the cell at every place of memory.
    cell = np.stack(np.indices(shape), axis=-1)
    places = [cell.transpose(*order, 4).reshape(-1, 4).tolist() for order in LAYOUTS.values()]
    drawing: Any = Figure()
    drawing.add_heatmap(
        y=list(LAYOUTS), customdata=places, xgap=1, ygap=6, showscale=False, zmin=0, zmax=len(palette) - 1,
        colorscale=[[k / (len(palette) - 1), colour] for k, colour in enumerate(palette)],
        texttemplate="%{text}" if number >= 8 else None, textfont={"size": number, "color": "#14181f"},
        hovertemplate="%{y}, place %{x}: n, c, h, w = %{customdata}<br>set %{text}<extra></extra>",
    )  # fmt: skip
    for at, language in loops:
        second = list(LOOPS).index(language)
        drawing.add_scatter(
            x=[second * span / 2 if beside else 0], y=[0 if beside else -second * tall], xaxis="x2", yaxis="y2",
            mode="text", textposition="bottom right", name=f"{language}, {at}", showlegend=False, cliponaxis=False,
            textfont={"family": "ui-monospace, Menlo, Consolas, monospace", "size": size}, hoverinfo="skip",
        )  # fmt: skip

    def step(method: str) -> dict[str, Any]:
        label = LABELS[method].label + (f", G = {num_groups}" if method == "group" else "")
        layouts = {at: measure(shape, method, num_groups if method == "group" else None, layout=at) for at in LAYOUTS}
        strips = [layouts[at].labels for at in LAYOUTS]
        texts = [f"<b>{name}, {at}</b><br>{_markup(loop(layouts[at].pooling, at, name))}" for at, name in loops]
        traces = {
            "z": [[(strip % len(palette)).tolist() for strip in strips]] + [None] * len(loops),
            "text": [[strip.tolist() for strip in strips], *([text] for text in texts)],
        }
        runs = [layouts[at].runs() for at in LAYOUTS]
        pieces = [
            f"{_count(len(r), 'piece')} of {_count(r[0][1], 'cell')} in {at}"
            for at, r in zip(LAYOUTS, runs, strict=True)
        ]
        finding = f"{label}: in memory a set is {' and '.join(pieces)}"
        # The slider has little room for its labels; the title has the whole name.
        return chart.step(label.split()[0], traces, range(1 + len(loops)), title__text=finding)

    visible = {at: [at == of for of, _ in loops] for at in LAYOUTS}
    choices = [chart.step(f"Loops for {at}", {"visible": v}, range(1, 1 + len(loops))) for at, v in visible.items()]
    drawing.update_layout(
        xaxis={"title": {"text": "place in memory", "standoff": 4}, "range": [-0.5, cells - 0.5], "anchor": "y"},
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            "ticks": "",
            "domain": [1 - STRIPS / height if loops else 0, 1],
        },
        # The axes of the programs are in pixels.
        xaxis2={"visible": False, "range": [0, span], "fixedrange": True, "anchor": "y2"},
        yaxis2={"visible": False, "range": [STRIPS + under - height, 0], "fixedrange": True, "anchor": "x2"},
        yaxis2_domain=[0, 1 - (STRIPS + under) / height],
    )
    if loops:
        chart.add_buttons(drawing, choices, "Layout of the loops")
    steps = {method: step(method) for method in METHODS}
    chart.add_slider(drawing, [*steps.values()], "Method: ", METHODS.index("group"))
    return chart.finish(
        drawing, steps["group"]["args"][1]["title.text"],
        f"x of shape (N, C, H, W) = {shape} as it lies in memory: NCHW is PyTorch’s order, NHWC that of Keras, Flax "
        "and torch.channels_last. Cells of one colour and number share one mean and one variance. Memory is read "
        "fastest in long unbroken pieces: what is one piece in one layout is often many in the other; a whole sample "
        "is one piece in both. The loop finds the set of every place by division and remainder alone.",
        "Two strips of coloured cells, one a memory layout; colours show which pooling set each place of memory "
        "belongs to. Under them a short program that computes it, in Python and in JavaScript.",
        room=room, height=round(height), left=left, right=right,
    )  # fmt: skip


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _markup(program: str) -> str:
    """Return a program as plotly's text: markup is escaped and spaces are kept."""
    return program.replace("&", "&amp;").replace("<", "&lt;").replace(" ", "\N{NO-BREAK SPACE}").replace("\n", "<br>")
