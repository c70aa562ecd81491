"""Change one sample and see which outputs move; pad a sequence and see whose real outputs move."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.core.methods import METHODS
from normviz.core.pooling import default_num_groups
from normviz.functions.normalize import normalize
from normviz.labs import checks, look

SHOWN = ("batch", "layer", "instance", "group", "positional")
PADDING = (0, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class Coupling:
    """Root mean square changes of normalized outputs, which have a standard deviation of about 1.

    Attributes
    ----------
    methods
        (M,) keys of METHODS.
    moved
        (M, N, N): [m, i, n] is how far the output of sample n moves when sample i is replaced; exactly 0 where
        nothing does.
    padding
        (P,) cells of zeros put after every sequence.
    padded
        (M, P) how far the outputs of the real cells move by it.
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
    """Replace each sample in turn by its mirror image about 3, and pad the cells of each as a sequence.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 samples; None takes 6 real activations. As a sequence, the spatial axes are
        read one after the other.
    num_groups
        G of Group Norm, a divisor of C; None takes the largest that is at most 4.
    padding
        Lengths of zeros, each at least 0.

    Raises
    ------
    ValueError, TypeError
        If x is empty, has a NaN, a constant channel or one sample only, or G does not divide C.

    Notes
    -----
    A batch's samples share Batch Norm's sets; under every other method here a set lies within one sample.

    Examples
    --------
    >>> result = measure(padding=[16])
    >>> (result.moved[0] > 0).all(), (result.padded[:, 0] > 0).tolist()
    (np.True_, [True, True, True, True, False])
    """
    x = checks.tensor(x, 6, least=2)
    N, C = x.shape[:2]
    groups = default_num_groups(C) if num_groups is None else checks.whole(num_groups, "num_groups", 1, C, "C")
    lengths = checks.several(padding, "padding", "(0, 16)")
    padding = tuple(sorted({checks.whole(p, "padding", 0) for p in lengths}))
    sequence = x.reshape(N, C, -1)
    moved, padded = np.zeros((len(SHOWN), N, N)), np.zeros((len(SHOWN), len(padding)))
    for m, method in enumerate(SHOWN):
        given: dict[str, Any] = {"num_groups": groups} if method == "group" else {}
        before = normalize(x, method, **given)
        for i in range(N):
            other = x.copy()
            other[i] = 3 - 2 * x[i]
            moved[m, i] = _rms(normalize(other, method, **given) - before, keep=1)
        plain = normalize(sequence, method, **given)
        for p, length in enumerate(padding):
            longer = np.pad(sequence, [(0, 0), (0, 0), (0, length)])
            real = normalize(longer, method, **given)[..., : sequence.shape[2]]
            padded[m, p] = _rms(real - plain)
    return Coupling(SHOWN, moved, padding, padded, groups)


def _rms(values: np.ndarray, keep: int = 0) -> Any:
    return np.sqrt((values**2).mean(axis=tuple(range(keep, values.ndim))))


@check_keywords
def figure(
    x: Any = None, *, num_groups: int | None = None, padding: Iterable[int] = PADDING, width: int = 900
) -> go.Figure:
    """Draw which outputs move when the slider's sample changes, and what padding does to a sequence.

    Parameters
    ----------
    x, num_groups, padding
        As in `measure`; the slider has the first 16 samples.
    width
        Pixels, of the whole figure; at least 320.

    Examples
    --------
    >>> len(figure().layout.sliders[0].steps)
    6
    """
    width = checks.width(width)
    result = measure(x, num_groups=num_groups, padding=padding)
    N, narrow = min(result.moved.shape[1], 16), width < look.NARROW
    labels = [
        "Positional Norm" if m == "positional" else METHODS[m].label.replace("Normalization", "Norm")
        for m in result.methods
    ]
    drawing = look.panels(
        2, narrow, ["Sample 0 was changed: who moves?", "Zeros after a sequence: who moves?"], gap=0.1
    )

    def texts(i: int) -> list[list[str]]:
        return [["0" if v == 0 else f"{v:.2g}" for v in row[:N]] for row in result.moved[:, i]]

    def cells(i: int) -> list[list[float | None]]:
        return [look.rounded(row[:N]) for row in result.moved[:, i]]

    drawing.add_trace(
        go.Heatmap(
            z=cells(0),
            text=texts(0),
            x=[f"{n}" for n in range(N)],
            y=labels,
            texttemplate="%{text}" if N <= 8 else None,
            colorscale=[[0, "#eff0f2"], [1e-9, "#c5dcf8"], [1, "#1d5cbb"]],
            zmin=0,
            zmax=float(result.moved.max()),
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="%{y}: the output of sample %{x} moves by %{text}<extra></extra>",
        ),
        **look.place(0, narrow),
    )
    for m, method in enumerate(result.methods):
        drawing.add_trace(
            go.Scatter(
                x=result.padding,
                y=look.rounded(result.padded[m]),
                name=labels[m],
                mode="lines+markers",
                line={"color": look.COLOURS[look.METHODS[method]], "width": 2, "dash": look.DASHES[m]},
                marker={"symbol": look.SYMBOLS[m], "size": 8},
                hovertemplate="%{x} zeros: %{y:.3g}<extra>" + labels[m] + "</extra>",
            ),
            **look.place(1, narrow),
        )
    steps = [
        look.step(
            str(i),
            {"z": [cells(i)], "text": [texts(i)]},
            [0],
            **{"annotations[0].text": f"Sample {i} was changed: who moves?"},
        )
        for i in range(N)
    ]
    drawing.update_layout(sliders=[look.slider(steps, "Changed: sample n = ")])
    top = float(result.padded.max()) or 1.0
    first, second = look.place(0, narrow), look.place(1, narrow)
    drawing.update_xaxes(title_text="output of sample n", type="category", showgrid=False, **first)
    drawing.update_yaxes(autorange="reversed", showgrid=False, ticks="", **first)
    drawing.update_xaxes(title_text="padding (zeros a sequence)", **second)
    drawing.update_yaxes(title_text="change of the real outputs", range=[-top / 30, top * 1.06], **second)
    caption = (
        "Root mean square changes of normalized outputs. The table: one sample is replaced; under Batch Norm every "
        f"output moves, under the others (Group Norm with G = {result.num_groups}) only its own. The lines: every "
        "sequence gets zeros at its end; only what keeps positions apart, a transformer's layer norm, leaves the real "
        "outputs as they were. Measured here."
    )
    alt = (
        "Left, a table of five methods against samples: in Batch Norm's row every output moves, in the other rows only "
        "that of the sample changed, which a slider chooses. Right, lines of how far padding moves the real outputs: "
        "all rise but Positional Norm, which stays at zero."
    )
    title = "Whose output moves?"
    return look.finish(
        drawing, title, caption, alt, width=width, height=600 if narrow else 300, left=118, subplot_titles=True
    )
