"""The relatives on one tensor: RMS, FRN with its threshold, Switchable's weights, weight norm and standardization."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz import relatives as family
from normviz.core.errors import check_keywords
from normviz.explorer.svg.palette import HIGH, LOW, MIDDLE, hexed
from normviz.functions.normalize import normalize
from normviz.labs import checks, look

NAMES = {
    "rms": "RMS",
    "frn": "FRN + TLU",
    "switchable": "Switchable",
    "weight_norm": "Weight Norm",
    "weight_standardization": "WS",
}
MOST = 1024
"""Cells that a picture can show."""


@dataclass(frozen=True)
class Relatives:
    """One tensor under each relative.

    Attributes
    ----------
    x
        What went in; the two weight methods read it as (Cout, Cin, kH, kW).
    outputs
        By the names of NAMES, in x's shape.
    cut
        Share of FRN's outputs that the thresholded linear unit raised to tau.
    shares
        (3,): how much instance, layer and batch give to Switchable's mean and variance, from the logits.
    v_gradient
        d loss / dv of Weight Norm, in x's shape.
    cosine
        (Cout,): cosine of the angle between each filter v and its gradient; 0 says orthogonal.
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
    g
        Weight Norm's new norm, for every filter.
    seed
        Of the loss behind Weight Norm's gradient, a random weighted sum of its outputs.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> measure().shares.round(3).tolist()  # instance, layer, batch
    [0.212, 0.212, 0.576]
    """
    if x is None:
        x = checks.tensor(None, 4)[:, ::4, 2:10:2, 2:10:2]
        x = x - x.mean()
    else:
        x = checks.tensor(x, 0)
    if x.ndim != 4 or x.size > MOST:
        raise ValueError(f"x has shape {x.shape}, {x.size} cells; use (N, C, H, W) of at most {MOST} cells")
    N, C = x.shape[:2]
    tau, g = checks.number(tau, "tau"), checks.number(g, "g")
    logits = np.array([checks.number(v, "logit") for v in checks.several(logits, "logits", "(0, 0, 1)")])
    if len(logits) != 3:
        raise ValueError(f"logits has {len(logits)} values; it needs 3, for instance, layer and batch")
    free = family.frn(x)
    outputs = {
        "rms": normalize(x, "rms"),
        "frn": family.frn(x, tau=np.full(C, tau)),
        "switchable": family.switchable(x, mean_weights=logits, var_weights=logits),
        "weight_norm": family.weight_norm(x, np.full(N, g)),
        "weight_standardization": family.weight_standardization(x),
    }
    exps = np.exp(logits - logits.max())
    loss = np.random.default_rng(checks.seed(seed)).normal(size=x.shape)
    found = family.weight_norm_gradient(x, loss, np.full(N, g)).v
    v, d = x.reshape(N, -1), found.reshape(N, -1)
    # A filter of one weight has no direction but its own: its gradient is 0, and so is the cosine.
    lengths = np.linalg.norm(v, axis=1) * np.maximum(np.linalg.norm(d, axis=1), np.finfo(float).tiny)
    cosine = (v * d).sum(axis=1) / lengths
    return Relatives(x, outputs, float((free < tau).mean()), exps / exps.sum(), found, cosine)


@check_keywords
def figure(
    x: Any = None,
    *,
    tau: float = 0.0,
    logits: Any = (0.0, 0.0, 1.0),
    g: float = 1.0,
    seed: int = 0,
    width: int = 900,
) -> go.Figure:
    """Draw x, x under one relative, and each value after against before; the slider chooses the relative.

    Arguments are those of `measure`, and `width` in pixels, at least 320.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> [step.label for step in figure().layout.sliders[0].steps]
    ['RMS', 'FRN + TLU', 'Switchable', 'Weight Norm', 'WS']
    """
    width = checks.width(width)
    found = measure(x, tau=tau, logits=logits, g=g, seed=seed)
    wide = width >= look.NARROW
    N, C, H, W = found.x.shape
    chart = make_subplots(
        **({"cols": 3, "horizontal_spacing": 0.09} if wide else {"rows": 3, "vertical_spacing": 0.12}),
        subplot_titles=["x, a row a channel", "After", "Values"],
    )
    scale = [[0, hexed(LOW)], [0.5, hexed(MIDDLE)], [1, hexed(HIGH)]]

    def picture(y: np.ndarray) -> list:
        return (y / (np.abs(y).max() or 1)).reshape(N * C, H * W).round(3).tolist()

    def place(k: int) -> dict[str, int]:
        return {"row": 1, "col": k + 1} if wide else {"row": k + 1, "col": 1}

    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(("IN", "LN", "BN"), found.shares, strict=True))
    words = {
        "rms": "x / √(mean x² + ε) over C:<br>no mean is taken, signs stay",
        "frn": f"x / √(mean x² + ε) over H, W;<br>{found.cut:.0%} raised to τ = {tau:g}",
        "switchable": f"statistics mixed by softmax:<br>{shares}",
        "weight_norm": f"g v / ‖v‖ for each filter n, g = {g:g};<br>cos(v, ∂L/∂v) ≤ {np.abs(found.cosine).max():.0e}",
        "weight_standardization": "each filter n less its mean,<br>divided by its deviation",
    }

    def step(name: str) -> dict[str, Any]:
        y = found.outputs[name]
        changed = {"z": [picture(y), None], "y": [None, y.ravel().round(4).tolist()]}
        low, high = float(y.min()), float(y.max())
        room = 0.06 * ((high - low) or 1)
        return look.step(
            NAMES[name], changed, [1, 2], xaxis2__title__text=words[name], yaxis3__range=[low - room, high + room]
        )

    first = found.outputs["rms"]
    for k, y in enumerate((found.x, first)):
        chart.add_heatmap(
            z=picture(y), colorscale=scale, zmin=-1, zmax=1, showscale=False, xgap=1, ygap=1,
            hovertemplate="%{z:.3f} of the largest<extra></extra>", **place(k),
        )  # fmt: skip
    chart.add_scatter(
        x=found.x.ravel().round(4).tolist(), y=first.ravel().round(4).tolist(), mode="markers",
        name="each value", showlegend=False,
        marker={"size": 5, "opacity": 0.6, "color": look.COLOURS["blue"]},
        hovertemplate="%{x:.3f} becomes %{y:.3f}<extra></extra>", **place(2),
    )  # fmt: skip
    steps = [step(name) for name in NAMES]
    rows = {"tickvals": [n * C for n in range(N)], "ticktext": [f"n{n}" for n in range(N)]}
    still = {"range": [N * C - 0.5, -0.5], "ticks": "", "showgrid": False, **rows}
    chart.update_layout(
        xaxis={"title": {"text": "position (h, w)"}, "showticklabels": False, "ticks": "", "showgrid": False},
        xaxis2={"title": {"text": words["rms"]}, "showticklabels": False, "ticks": "", "showgrid": False},
        xaxis3={"title": {"text": "before"}},
        yaxis=still,
        yaxis2=still,
        yaxis3={"title": {"text": "after"}, "range": steps[0]["args"][1]["yaxis3.range"]},
        sliders=[look.slider(steps, "Method: ")],
    )
    return look.finish(
        chart,
        "The wider family on one tensor",
        "RMS and FRN take no mean, so they are invariant to scale only; FRN’s threshold is max(y, τ). Switchable mixes "
        "the statistics of instance, layer and batch. Weight Norm and Weight Standardization read the same tensor as "
        "weights (Cout, Cin, kH, kW) and look at no data; Weight Norm’s gradient with respect to v is orthogonal to v. "
        "Plum is positive, teal negative, each picture relative to its largest value.",
        "Two heat maps, a tensor before and after one of five normalizers, and a scatter plot of each value after "
        "against before: lines through zero where no mean is taken, shifted ones where it is.",
        width=width,
        height=300 if wide else 860,
        subplot_titles=True,
    )
