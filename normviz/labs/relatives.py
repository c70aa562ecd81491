"""Relatives of the four normalizers on one tensor: RMS, FRN, Switchable Norm, Weight Norm, Weight Standardization."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz import relatives as family
from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.core.pooling import pooling
from normviz.functions.normalize import normalize
from normviz.labs import input_checks

NAMES = {"rms": "RMS", "frn": "FRN + TLU", "switchable": "Switchable", "weight_norm": "Weight Norm"}
NAMES |= {"weight_standardization": "WS"}
MAX_CELLS = 1024
"""Cells that a heat map can show."""


@dataclass(frozen=True)
class Relatives:
    """One tensor under each relative.

    Attributes
    ----------
    x
        The input; the two weight methods read it as (Cout, Cin, kH, kW).
    outputs
        By the keys of NAMES, in x's shape.
    cut
        Share of FRN's outputs that its thresholded linear unit (TLU) raised to tau.
    shares
        (3,): weights of instance, layer and batch in Switchable's mean and variance, the softmax of the logits.
    v_gradient
        d loss / dv of Weight Norm, in x's shape.
    cosine
        (Cout,): cosine of the angle between each filter v and its gradient; 0 is orthogonal.
    """

    x: np.ndarray
    outputs: dict[str, np.ndarray]
    cut: float
    shares: np.ndarray
    v_gradient: np.ndarray
    cosine: np.ndarray


@check_keywords
def measure(
    x: Any = None, *, tau: float = 0.0, logits: Any = (0.0, 0.0, 1.0), g: float = 1.0, seed: int = 0
) -> Relatives:
    """Return x under each relative.

    Parameters
    ----------
    x
        (N, C, H, W) of at most 1024 cells; None takes a piece of real activations, (4, 4, 4, 4), less their mean.
    tau
        FRN's threshold, for every channel.
    logits
        Switchable's three, for instance, layer and batch; their softmax mixes means and variances.
    g, seed
        Weight Norm's new norm of every filter; seed of the loss for its gradient, a random weighted sum of outputs.

    Raises
    ------
    ValueError, TypeError
        If x has more cells or values that do not fit, or tau, g or a logit is not a finite number up to 1e60.

    Examples
    --------
    >>> measure().shares.round(3).tolist()  # instance, layer, batch
    [0.212, 0.212, 0.576]
    """
    if x is None:
        x = input_checks.tensor(None, 4)[:, ::4, 2:10:2, 2:10:2]
        x = x - x.mean()
    else:
        x = input_checks.tensor(x, cells=MAX_CELLS)
    N, C = x.shape[:2]
    tau, g = (input_checks.number(v, name, largest=input_checks.LARGEST) for v, name in ((tau, "tau"), (g, "g")))
    logits = input_checks.several(logits, "logits", "(0, 0, 1)")
    logits = np.array([input_checks.number(v, "logit", largest=input_checks.LARGEST) for v in logits])
    if len(logits) != 3:
        raise ValueError(f"logits has {len(logits)} values; it needs 3, for instance, layer and batch")
    without_tlu = family.frn(x)
    outputs = {
        "rms": normalize(x, "rms"),
        "frn": family.frn(x, tau=np.full(C, tau)),
        "switchable": family.switchable(x, mean_weights=logits, var_weights=logits),
        "weight_norm": family.weight_norm(x, np.full(N, g)),
        "weight_standardization": family.weight_standardization(x),
    }
    exps = np.exp(logits - logits.max())
    loss = np.random.default_rng(input_checks.seed(seed)).normal(size=x.shape)
    v_gradient = family.weight_norm_gradient(x, loss, np.full(N, g)).v
    v, d = x.reshape(N, -1), v_gradient.reshape(N, -1)
    # A filter of one weight cannot change its direction: its gradient is 0, and so is the cosine.
    lengths = np.linalg.norm(v, axis=1) * np.maximum(np.linalg.norm(d, axis=1), np.finfo(float).tiny)
    cosine = (v * d).sum(axis=1) / lengths
    return Relatives(x, outputs, float((without_tlu < tau).mean()), exps / exps.sum(), v_gradient, cosine)


@check_keywords
def figure(
    x: Any = None,
    *,
    tau: float = 0.0,
    logits: Any = (0.0, 0.0, 1.0),
    g: float = 1.0,
    seed: int = 0,
    width: int | None = None,
    presenter: bool = False,
) -> go.Figure:
    """Draw x, x under one relative, and each value after against before; the slider chooses the relative.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [step.label for step in figure().layout.sliders[0].steps]
    ['RMS', 'FRN + TLU', 'Switchable', 'Weight Norm', 'WS']
    """
    room = chart.room(width, presenter)
    result = measure(x, tau=tau, logits=logits, g=g, seed=seed)
    N, C, H, W = result.x.shape
    drawing, places = chart.panels(
        ["x, a row per channel", "After", "Zero stays zero"], room, gap=0.09, stacked_gap=0.12
    )
    # A normalizer draws the values of one set as one straight line: sorted by set and by value, they can be joined.
    filters = np.repeat(np.arange(N), C * H * W)
    sets = {name: pooling(name, result.x.shape).labels().ravel() for name in ("rms", "frn")}
    sets = {name: sets.get(name, sets["frn"] if name == "switchable" else filters) for name in NAMES}
    before = result.x.ravel()
    orders = {name: np.lexsort((before, of)) for name, of in sets.items()}

    def picture(y: np.ndarray) -> list:
        return (y / (np.abs(y).max() or 1)).reshape(N * C, H * W).round(3).tolist()

    hover = "%{z:.3f} of the largest<extra></extra>"
    for z, place in zip((picture(result.x), None), places, strict=False):
        drawing.add_heatmap(z=z, **chart.DIVERGING, zmin=-1, zmax=1, xgap=1, ygap=1, hovertemplate=hover, **place)
    drawing.add_scatter(
        mode="lines+markers", name="each value", showlegend=False, opacity=0.7,
        line={"width": 1, "color": chart.COLOURS["blue"]}, marker={"size": 4, "color": chart.COLOURS["blue"]},
        hovertemplate="%{x:.3f} becomes %{y:.3f}<extra></extra>", **places[2],
    )  # fmt: skip
    ring = {"symbol": "circle-open", "size": 14, "color": chart.COLOURS["orange"], "line": {"width": 3}}
    drawing.add_scatter(x=[0], y=[0], mode="markers", marker=ring, hoverinfo="skip", showlegend=False, **places[2])
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(("IN", "LN", "BN"), result.shares, strict=True))
    formulas = {
        "rms": "x / √(mean x² + ε) over C:<br>no mean is taken, signs stay",
        "frn": f"x / √(mean x² + ε) over H, W;<br>{result.cut:.0%} raised to τ = {tau:g}",
        "switchable": f"statistics mixed by softmax:<br>{shares}",
        "weight_norm": f"g v / ‖v‖ for each filter n, g = {g:g};<br>cos(v, ∂L/∂v) ≤ {np.abs(result.cosine).max():.0e}",
        "weight_standardization": "each filter n less its mean,<br>divided by its deviation",
    }

    kept = ("rms", "frn", "weight_norm") if tau <= 0 else ("rms", "weight_norm")

    def step(name: str) -> dict[str, Any]:
        y = result.outputs[name]
        joined = [
            _gaps(values[orders[name]].round(4).tolist(), sets[name][orders[name]]) for values in (before, y.ravel())
        ]
        changed = {"z": [picture(y), None], "x": [None, joined[0]], "y": [None, joined[1]]}
        low, high = float(y.min()), float(y.max())
        room = 0.06 * ((high - low) or 1)
        zero = "Zero stays zero" if name in kept else "Zero moves"
        layout = {
            "annotations[2].text": zero,
            "xaxis2__title__text": formulas[name],
            "yaxis3__range": [low - room, high + room],
        }
        return chart.step(NAMES[name], changed, [1, 2], **layout)

    rows = {"tickvals": [n * C for n in range(N)], "ticktext": [f"n{n}" for n in range(N)]}
    for place, title in zip(places, ("position (h, w)", None), strict=False):
        drawing.update_xaxes(title_text=title, **chart.NO_TICKS, **place)
        drawing.update_yaxes(range=[N * C - 0.5, -0.5], ticks="", showgrid=False, **rows, **place)
    drawing.update_xaxes(title_text="before", **places[2])
    drawing.update_yaxes(title_text="after", **places[2])
    chart.add_slider(drawing, [step(name) for name in NAMES], "Method: ")
    return chart.finish(
        drawing, f"{_and([NAMES[name] for name in kept])} only scale, so zero stays zero; "
        f"{_and([NAMES[name] for name in NAMES if name not in kept])} move it",
        "Right: each value after against before; a line joins the values of one set. Without a mean all lines go "
        "through the ring at zero, so these methods are invariant to a change of scale, but not to a shift. FRN "
        "replaces the ReLU by max(y, τ). Switchable Norm mixes the statistics of Instance, Layer and Batch Norm. "
        "Weight Norm and Weight Standardization (WS) read the same tensor as weights (Cout, Cin, kH, kW) and use no "
        "activations. Weight Norm’s gradient with respect to v is orthogonal to v. Plum is positive, teal is "
        "negative. The color is strongest at the largest value of each picture.",
        "Two heat maps, a tensor before and after one of five normalizers, and a plot of each value after against "
        "before, the values of one set joined by a line: all lines go through zero where no mean is subtracted, and "
        "miss it where one is.",
        room=room, height=(300, 860),
    )  # fmt: skip


def _gaps(values: list[float], sets: np.ndarray) -> list[float | None]:
    """Return the values with a None between two sets, where the line is broken."""
    found: list[float | None] = list(values)
    for k in np.flatnonzero(np.diff(sets))[::-1]:
        found.insert(k + 1, None)
    return found


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
