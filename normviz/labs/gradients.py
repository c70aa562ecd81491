"""What a normalizer does to gradients: the Jacobian's blocks, a gradient over its set, scale against scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz.core.errors import check_keywords
from normviz.core.methods import METHODS as ROWS
from normviz.core.pooling import Pooling, default_num_groups, pooling
from normviz.explorer.svg.palette import HIGH, LOW, MIDDLE, hexed
from normviz.functions.gradient import gradient
from normviz.labs import checks, look

METHODS = ("batch", "layer", "instance", "group", "positional", "rms")
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
MOST = 144
"""Cells: the Jacobian has their square."""


@dataclass(frozen=True)
class Jacobian:
    """How every output depends on every input.

    Attributes
    ----------
    pooling
        The sets.
    matrix
        (cells, cells), row j column i: d x_hat_j / d x_i, cells in the order of memory.
    order
        (cells,): the cells sorted by their set, so that matrix[order][:, order] has one block a set.
    """

    pooling: Pooling
    matrix: np.ndarray
    order: np.ndarray


@dataclass(frozen=True)
class Gradients:
    """Jacobians, and gradients against the scale of the weights.

    Attributes
    ----------
    jacobians
        By method.
    scales
        The factors k that the weights before the normalizer are multiplied by.
    norms
        By method, and "none": the norm of the loss's gradient with respect to these weights, relative to k = 1; NaN
        where no gradient comes through, as with sets of one cell.
    """

    jacobians: dict[str, Jacobian]
    scales: tuple[float, ...]
    norms: dict[str, np.ndarray]


@check_keywords
def measure(
    x: Any = None, *, num_groups: int | None = None, eps: float = 1e-5, scales: Sequence[float] = SCALES, seed: int = 0
) -> Gradients:
    """Return the Jacobian of every method at x, and how the weights before it feel their own scale.

    Parameters
    ----------
    x
        (N, C, H, W) of at most 144 cells, at least 2 channels; None takes a piece of real activations, (2, 4, 3, 3).
    num_groups
        G of Group Norm; None takes 2 where it divides C, or else its largest divisor of at most 4.
    eps
        Added to the variance, > 0.
    scales
        Positive factors of the weights.
    seed
        Of the weights and of the loss, which is a random weighted sum of the outputs.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Notes
    -----
    Within a set S, d x_hat_j / d x_i = (1/s) (delta_ij - 1/|S| - x_hat_i x_hat_j / |S|) with s = sqrt(var + eps), and
    0 across sets; without centring (rms) the term 1/|S| is absent. As torch.func.jacrev of the layer.

    Examples
    --------
    >>> found = measure()
    >>> found.jacobians["instance"].matrix.shape, found.norms["instance"].round(2).tolist()
    ((72, 72), [4.0, 2.0, 1.0, 0.5, 0.25])
    """
    # Nine places in the middle, where filters answer.
    x = checks.tensor(None, 2)[:, ::4, 3:9:2, 3:9:2] if x is None else checks.tensor(x, 0, channels=2)
    if x.ndim != 4 or x.size > MOST:
        raise ValueError(f"x has shape {x.shape}, {x.size} cells; use (N, C, H, W) of at most {MOST} cells")
    scales = tuple(checks.number(k, "scale") for k in checks.several(scales, "scales", "(0.5, 1, 2)"))
    if min(scales) <= 0:
        raise ValueError(f"scales={scales} must all be above 0")
    C = x.shape[1]
    if num_groups is None:
        num_groups = 2 if C % 2 == 0 else default_num_groups(C)
    random = np.random.default_rng(checks.seed(seed))
    weights, loss = random.normal(size=(C, C)), random.normal(size=x.shape)
    jacobians, norms = {}, {}
    for method in METHODS:
        options: dict[str, Any] = {"num_groups": num_groups} if method == "group" else {}
        sets = pooling(method, x.shape, **options)
        # One gradient at each output: the row of the Jacobian that belongs to it.
        units = np.eye(x.size).reshape(x.size, *x.shape)
        rows = [gradient(x, unit, method, eps=eps, **options).input.ravel() for unit in units]
        jacobians[method] = Jacobian(sets, np.stack(rows), np.argsort(sets.labels().ravel(), kind="stable"))
        norms[method] = _of_weights(x, weights, loss, scales, method, eps, options)
    norms["none"] = _of_weights(x, weights, loss, scales, None, eps, {})
    return Gradients(jacobians, scales, norms)


def _of_weights(
    x: np.ndarray,
    weights: np.ndarray,
    loss: np.ndarray,
    scales: Sequence[float],
    method: str | None,
    eps: float,
    options: dict[str, Any],
) -> np.ndarray:
    """Return the gradient's norm with respect to k * weights of a 1 x 1 convolution, over that at k = 1."""

    def norm(k: float) -> float:
        y = np.einsum("dc,nchw->ndhw", k * weights, x)
        g = loss if method is None else gradient(y, loss, method, eps=eps, **options).input
        return float(np.linalg.norm(np.einsum("ndhw,nchw->dc", g, x)))

    # Through sets of one cell, which a centring method makes 0 whatever is in them, no gradient comes.
    return np.array([norm(k) for k in scales]) / (norm(1.0) or np.nan)


@check_keywords
def figure(
    x: Any = None,
    *,
    num_groups: int | None = None,
    eps: float = 1e-5,
    scales: Sequence[float] = SCALES,
    seed: int = 0,
    width: int = 900,
) -> go.Figure:
    """Draw the Jacobian with its blocks, one of its rows over x, and gradient scale against weight scale.

    The slider chooses the method. Arguments are those of `measure`, and `width` in pixels, at least 320.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> [step.label for step in figure().layout.sliders[0].steps]
    ['Batch', 'Layer', 'Instance', 'Group', 'Positional', 'RMS']
    """
    width = checks.width(width)
    found = measure(x, num_groups=num_groups, eps=eps, scales=scales, seed=seed)
    wide = width >= look.NARROW
    chart = make_subplots(
        **({"cols": 3, "horizontal_spacing": 0.09} if wide else {"rows": 3, "vertical_spacing": 0.11}),
        subplot_titles=["Jacobian, sorted by set", "Gradient of the output ringed", "Weights times k"],
    )
    scale = [[0, hexed(LOW)], [0.5, hexed(MIDDLE)], [1, hexed(HIGH)]]
    N, C, H, W = next(iter(found.jacobians.values())).pooling.shape

    def pictures(method: str) -> list[list]:
        j = found.jacobians[method]
        sorted_ = j.matrix[j.order][:, j.order]
        # A row a channel of a sample, so that the sets are seen; the output is the first cell.
        one = j.matrix[0].reshape(N * C, H * W)
        # The root brings out what one of many cells gets.
        return [(np.sign(p) * np.sqrt(np.abs(p) / (np.abs(p).max() or 1))).round(3).tolist() for p in (sorted_, one)]

    def place(k: int) -> dict[str, int]:
        return {"row": 1, "col": k + 1} if wide else {"row": k + 1, "col": 1}

    first = METHODS.index("group")
    for k, picture in enumerate(pictures(METHODS[first])):
        chart.add_heatmap(
            z=picture, colorscale=scale, zmin=-1, zmax=1, showscale=False, xgap=k, ygap=k,
            hovertemplate="root of the share of the largest: %{z:.2f}<extra></extra>", **place(k),
        )  # fmt: skip
    chart.add_scatter(
        x=[0], y=[0], mode="markers", marker={"symbol": "circle-open", "size": 13,
        "color": look.COLOURS["orange"],
        "line": {"width": 3}}, hoverinfo="skip", showlegend=False, **place(1),
    )  # fmt: skip
    norms = {"none": "without", METHODS[first]: "with the method"}
    for k, (key, label) in enumerate(norms.items()):
        chart.add_scatter(
            x=list(found.scales), y=found.norms[key].tolist(), name=label, mode="lines+markers",
            line={"color": look.COLOURS["grey" if k == 0 else "blue"], "dash": look.DASHES[1 - k]},
            marker={"symbol": look.SYMBOLS[k], "size": 8}, hovertemplate="k = %{x}: %{y:.3g}", **place(2),
        )  # fmt: skip

    def step(method: str) -> dict[str, Any]:
        sets = found.jacobians[method].pooling
        name = ROWS[method].label.removesuffix(" Norm") if method != "positional" else "Positional"
        title = f"{sets.count} blocks of {sets.size} × {sets.size}"
        changed = {"z": [*pictures(method), None], "y": [None, None, found.norms[method].tolist()]}
        return look.step(name, changed, [0, 1, 4], xaxis__title__text=title)

    steps = [step(m) for m in METHODS]
    rows = {"tickvals": list(range(N * C)), "ticktext": [f"n{n} c{c}" for n in range(N) for c in range(C)]}
    ticks = {"tickvals": list(found.scales), "ticktext": [f"{k:g}" for k in found.scales]}
    chart.update_layout(
        xaxis={"title": {"text": steps[first]["args"][1]["xaxis.title.text"]}, "showticklabels": False, "ticks": ""},
        yaxis={"range": [N * C * H * W - 0.5, -0.5], "showticklabels": False, "ticks": ""},
        xaxis2={"title": {"text": "position (h, w)"}, "showticklabels": False, "ticks": "", "showgrid": False},
        yaxis2={"range": [N * C - 0.5, -0.5], "ticks": "", "showgrid": False, **rows},
        xaxis3={"type": "log", "title": {"text": "k"}, **ticks},
        yaxis3={
            "type": "log",
            "title": {"text": "gradient, k = 1 is 1"},
            "tickvals": [1 / k for k in found.scales],
            "ticktext": [f"{1 / k:g}" for k in found.scales],
        },
        sliders=[look.slider(steps, "Method: ", first)],
    )
    return look.finish(
        chart,
        "How a normalizer spreads and scales gradients",
        "Left: d x̂ⱼ/dxᵢ = (1/s)(δᵢⱼ − 1/|S| − x̂ᵢx̂ⱼ/|S|) within a set and 0 across sets; the RMS method centres nothing "
        "and has no term 1/|S|. Middle: one row of it, laid out as x is: whatever a single output asks for, its whole "
        "set is told. Plum is positive, teal negative, deep by the root of the share of the largest. Right: where all "
        "that is normalized has passed through weights times k, the output stays and the gradient is divided by k.",
        "A heat map of the Jacobian with one square block a pooling set, a heat map of one output’s gradient over "
        "samples and channels, and a chart of the gradient’s norm falling as one over the scale of the weights.",
        width=width,
        height=300 if wide else 900,
        subplot_titles=True,
    )  # fmt: skip
