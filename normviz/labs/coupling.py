"""Coupling of samples and of positions: which outputs change with one sample, and which with zeros as padding."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.core.methods import METHODS
from normviz.core.pooling import default_num_groups
from normviz.explorer.constants import LIGHT
from normviz.functions.normalize import normalize
from normviz.labs import input_checks

SHOWN = ("batch", "layer", "instance", "group", "positional")
PADDING = (0, 8, 16, 32, 64, 128)
PADDED = [method != "positional" for method in SHOWN]
"""Whether zeros in the same sequence change the outputs, unless a mean is 0 anyway."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """Root mean square changes of normalized outputs, whose standard deviation is about 1.

    Attributes
    ----------
    methods
        (M,) keys of METHODS.
    moved
        (M, N, N): [m, i, n] is the change of the output of sample n when sample i is replaced; exactly 0 where the
        output stays.
    padding
        (P,) numbers of zeros appended to every sequence.
    padded
        (M, P) the change of the outputs of the original cells.
    num_groups
        G of Group Norm.
    """

    methods: tuple[str, ...]
    moved: np.ndarray
    padding: tuple[int, ...]
    padded: np.ndarray
    num_groups: int


@check_keywords
def measure(x: Any = None, *, num_groups: int | None = None, padding: Iterable[int] = PADDING) -> Coupling:
    """Replace each sample x in turn by 3 - 2x; then append zeros to every sample, read as a sequence.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 samples; None takes 6 real activations. As a sequence, a sample has its
        spatial axes flattened.
    num_groups
        G of Group Norm, a divisor of C; None takes the largest that is at most 4.
    padding
        Numbers of zeros, each at least 0.

    Raises
    ------
    ValueError, TypeError
        If x is empty, has a NaN, a constant channel or one sample only, or G does not divide C.

    Notes
    -----
    Under Batch Norm the samples of a batch share their sets; under the other methods a set lies within one sample.

    Examples
    --------
    >>> result = measure(padding=[16])
    >>> (result.moved[0] > 0).all(), (result.padded[:, 0] > 0).tolist()
    (np.True_, [True, True, True, True, False])
    """
    x = input_checks.tensor(x, 6, least=2)
    N, C = x.shape[:2]
    groups = default_num_groups(C) if num_groups is None else input_checks.whole(num_groups, "num_groups", 1, C, "C")
    lengths = input_checks.several(padding, "padding", "(0, 16)")
    padding = tuple(sorted({input_checks.whole(p, "padding", 0) for p in lengths}))
    sequence = x.reshape(N, C, -1)
    moved, padded = np.zeros((len(SHOWN), N, N)), np.zeros((len(SHOWN), len(padding)))
    for m, method in enumerate(SHOWN):
        given: dict[str, Any] = {"num_groups": groups} if method == "group" else {}
        before = normalize(x, method, **given)
        for i in range(N):
            changed = x.copy()
            changed[i] = 3 - 2 * x[i]
            moved[m, i] = _rms(normalize(changed, method, **given) - before, keep=1)
        unpadded = normalize(sequence, method, **given)
        for p, length in enumerate(padding):
            longer = np.pad(sequence, [(0, 0), (0, 0), (0, length)])
            real = normalize(longer, method, **given)[..., : sequence.shape[2]]
            padded[m, p] = _rms(real - unpadded)
    return Coupling(SHOWN, moved, padding, padded, groups)


def _rms(values: np.ndarray, keep: int = 0) -> Any:
    return np.sqrt((values**2).mean(axis=tuple(range(keep, values.ndim))))


@check_keywords
def figure(
    x: Any = None, *, num_groups: int | None = None, padding: Iterable[int] = PADDING,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw which outputs move when the slider's sample changes, and what padding does to a sequence.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.
    The slider has the first 16 samples.

    >>> len(figure().layout.sliders[0].steps)
    6
    """
    room = chart.room(width, presenter)
    result = measure(x, num_groups=num_groups, padding=padding)
    N = min(result.moved.shape[1], 16)
    labels = [METHODS[m].label.replace("Normalization", "Norm") for m in result.methods if m != "positional"]
    labels.append("Positional Layer Norm")
    padded = "Zeros appended to a sequence"
    drawing, places = chart.panels(["Outputs", padded], room, gap=0.1)
    drawing.add_heatmap(
        x=[f"{n}" for n in range(N)], y=[name.replace("Positional ", "Positional<br>") for name in labels],
        texttemplate="%{text}" if N <= 8 else None,
        colorscale=[[0, LIGHT["front"]], [1e-9, LIGHT["missed"]], [1, LIGHT["set-side"]]], showscale=False,
        zmin=0, zmax=float(result.moved.max()), xgap=2, ygap=2,
        hovertemplate="%{y}: the output of sample %{x} changes by %{text}<extra></extra>", **places[0],
    )  # fmt: skip
    for m, (method, name) in enumerate(zip(result.methods, labels, strict=True)):
        drawing.add_scatter(
            x=result.padding, y=chart.rounded(result.padded[m]), name=name,
            hovertemplate="%{x} zeros: %{y:.3g}<extra>" + name + "</extra>",
            # Several lines nearly coincide: each is drawn over a thicker one.
            **chart.line(m, chart.METHOD_COLOURS[method], size=14 - 2.5 * m, line_width=6 - m), **places[1],
        )  # fmt: skip

    def step(i: int) -> dict[str, Any]:
        rows = result.moved[:, i, :N]
        texts = [["0" if v == 0 else f"{v:.2g}" for v in row] for row in rows]
        title = {"annotations[0].text": f"Sample {i} replaced: change of each output"}
        return chart.step(str(i), {"z": [[chart.rounded(row) for row in rows]], "text": [texts]}, [0], **title)

    chart.add_slider(drawing, [step(i) for i in range(N)], "Changed: sample n = ")
    top = float(result.padded.max()) or 1.0
    drawing.update_xaxes(title_text="output of sample n", type="category", showgrid=False, **places[0])
    drawing.update_yaxes(autorange="reversed", showgrid=False, ticks="", **places[0])
    drawing.update_xaxes(title_text="zeros appended", nticks=4, **places[1])
    drawing.update_yaxes(title_text="change of the outputs", range=[-top / 30, top * 1.06], **places[1])
    return chart.finish(
        drawing, _finding(result),
        "Root mean square changes of normalized outputs. The table: one sample is replaced; under Batch Norm every "
        f"output changes, under the others (Group Norm with G = {result.num_groups}) only that of this sample. The "
        "lines: zeros are appended to every sequence; only Positional Layer Norm, a transformer's layer norm, which "
        "normalizes each position alone, leaves the outputs of the original cells unchanged. Measured here.",
        "Left, a table of five methods against samples: in Batch Norm's row every output changes, in the other rows "
        "only that of the replaced sample, which a slider chooses. Right, lines of the change of the original outputs "
        "by padding: all rise except Positional Layer Norm, which stays at zero.",
        room=room, height=(300, 600), left=118,
        ends=[chart.Ends(range(1, 1 + len(labels)), [name.split()[0] for name in labels])],
    )  # fmt: skip


def _finding(result: Coupling) -> str:
    """Say whether only Batch Norm couples samples, and only Positional Layer Norm ignores padding, as measured."""
    N = result.moved.shape[1]
    coupled = (result.moved > 0)[:, ~np.eye(N, dtype=bool)]
    padded = (result.padded[:, np.array(result.padding) > 0] > 0).T
    if not (coupled[0].all() and not coupled[1:].any() and padded.size and (padded == PADDED).all()):
        return "Which outputs change with another sample, and with padding?"
    return "Only Batch Norm lets one sample change another’s output; only Positional Layer Norm ignores padding"
