"""Gradients through a normalizer: the blocks of the Jacobian, one of its rows, and their scale against the weights'."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.core.methods import METHODS as LABELS
from normviz.core.pooling import Pooling, default_num_groups, pooling
from normviz.functions.gradient import gradient
from normviz.labs import input_checks

METHODS = ("batch", "layer", "instance", "group", "positional", "rms")
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
MAX_CELLS = 144
"""The Jacobian has the square of so many entries."""


@dataclass(frozen=True)
class Jacobian:
    """The derivative of every output with respect to every input, for the sets `pooling`.

    `matrix` is (cells, cells), row j column i: d x_hat_j / d x_i, with the cells in the order of memory. `order`,
    (cells,), has the cells sorted by set, so that matrix[order][:, order] has one block for each set.
    """

    pooling: Pooling
    matrix: np.ndarray
    order: np.ndarray


@dataclass(frozen=True)
class Gradients:
    """Jacobians, and gradients against the scale of the weights.

    Attributes
    ----------
    jacobians, scales
        The Jacobians by method, and the factors k of the weights before the normalizer.
    norms
        By method, and "none" without a normalizer: the norm of the loss's gradient with respect to these weights,
        relative to k = 1; NaN where the gradient is 0, as with sets of one cell.
    """

    jacobians: dict[str, Jacobian]
    scales: tuple[float, ...]
    norms: dict[str, np.ndarray]


@check_keywords
def measure(
    x: Any = None, *, num_groups: int | None = None, eps: float = 1e-5, scales: Sequence[float] = SCALES, seed: int = 0
) -> Gradients:
    """Return the Jacobian of every method at x, and the gradient of the weights before it against their scale.

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
        Seed of the weights and of the loss, a random weighted sum of the outputs.

    Raises
    ------
    ValueError, TypeError
        If x has more cells, one channel only, or values that do not fit; if G does not divide C; if eps or a scale is
        not above 0.

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
    if x is None:  # nine positions in the middle, where the filters respond
        x = input_checks.tensor(None, 2)[:, ::4, 3:9:2, 3:9:2]
    else:
        x = input_checks.tensor(x, channels=2, cells=MAX_CELLS)
    scales = input_checks.several(scales, "scales", "(0.5, 1, 2)")
    scales = tuple(input_checks.number(k, "scale", positive=True, largest=input_checks.LARGEST) for k in scales)
    C = x.shape[1]
    if num_groups is None:
        num_groups = 2 if C % 2 == 0 else default_num_groups(C)
    random = np.random.default_rng(input_checks.seed(seed))
    weights, loss = random.normal(size=(C, C)), random.normal(size=x.shape)
    units = np.eye(x.size).reshape(x.size, *x.shape)

    def norm(k: float, method: str | None, options: dict[str, Any]) -> float:
        """Return the norm of the gradient with respect to k * weights of a 1 x 1 convolution before the method."""
        y = np.einsum("dc,nchw->ndhw", k * weights, x)
        g = loss if method is None else gradient(y, loss, method, eps=eps, **options).input
        return float(np.linalg.norm(np.einsum("ndhw,nchw->dc", g, x)))

    jacobians, norms = {}, {}
    for method in (*METHODS, None):
        options: dict[str, Any] = {"num_groups": num_groups} if method == "group" else {}
        # Without a gradient, as through sets of one cell, there is nothing to be relative to.
        relative = np.array([norm(k, method, options) for k in scales]) / (norm(1.0, method, options) or np.nan)
        norms[method or "none"] = relative
        if method:
            sets = pooling(method, x.shape, **options)
            # The gradient of one output is the Jacobian's row of that output.
            rows = [gradient(x, unit, method, eps=eps, **options).input.ravel() for unit in units]
            jacobians[method] = Jacobian(sets, np.stack(rows), np.argsort(sets.labels().ravel(), kind="stable"))
    return Gradients(jacobians, scales, norms)


@check_keywords
def figure(
    x: Any = None, *, num_groups: int | None = None, eps: float = 1e-5, scales: Sequence[float] = SCALES, seed: int = 0,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw the Jacobian with its blocks, one of its rows over x, and gradient scale against weight scale.

    The slider chooses the method. Arguments and errors are those of `measure`. `width` is in pixels;
    `presenter` makes a figure for a projector.

    >>> [step.label for step in figure().layout.sliders[0].steps]
    ['Batch', 'Layer', 'Instance', 'Group', 'Positional', 'RMS']
    """
    room = chart.room(width, presenter)
    result = measure(x, num_groups=num_groups, eps=eps, scales=scales, seed=seed)
    titles = ["Jacobian, sorted by set", "Gradient of the output ringed", "Weights × k"]
    drawing, places = chart.panels(titles, room, gap=0.09, stacked_gap=0.11)
    N, C, H, W = result.jacobians["batch"].pooling.shape
    hover = "%{z:.2f}: root of the value / the largest value<extra></extra>"
    for k, place in enumerate(places[:2]):
        drawing.add_heatmap(**chart.DIVERGING, zmin=-1, zmax=1, xgap=k, ygap=k, hovertemplate=hover, **place)
    ring = {"symbol": "circle-open", "size": 13, "color": chart.COLOURS["orange"], "line": {"width": 3}}
    drawing.add_scatter(x=[0], y=[0], mode="markers", marker=ring, hoverinfo="skip", showlegend=False, **places[1])
    for k, (name, colour) in enumerate({"without": "grey", "with it": "blue"}.items()):
        line = {"color": chart.COLOURS[colour], "dash": chart.DASHES[1 - k]}
        drawing.add_scatter(
            x=list(result.scales), y=None if k else result.norms["none"].tolist(), name=name,
            hovertemplate="k = %{x}: %{y:.3g}", **chart.line(k, colour) | {"line": line}, **places[2],
        )  # fmt: skip

    def step(method: str) -> dict[str, Any]:
        jacobian = result.jacobians[method]
        sets = jacobian.pooling
        # A row of the picture is a channel of a sample, so that the sets can be seen; the output is the first cell.
        matrices = jacobian.matrix[jacobian.order][:, jacobian.order], jacobian.matrix[0].reshape(N * C, H * W)
        changed = {"z": [*map(chart.signed_root, matrices), None], "y": [None, None, result.norms[method].tolist()]}
        name = "Positional" if method == "positional" else LABELS[method].label.removesuffix(" Norm")
        title = f"{sets.count} blocks of {sets.size} × {sets.size}"
        last = result.norms[method][-1]
        factor = (
            f"Weights × {result.scales[-1]:g}: gradient × {last:.2g}" if np.isfinite(last) else "No gradient at all"
        )
        layout = {"xaxis__title__text": title, "annotations[2].text": factor}
        return chart.step(name, changed, [0, 1, 4], **layout)

    rows = {"tickvals": list(range(N * C)), "ticktext": [f"n{n} c{c}" for n in range(N) for c in range(C)]}
    norms = np.concatenate([*result.norms.values()])
    norms = norms[np.isfinite(norms) & (norms > 0)]
    span = [float(np.log10(norms.min() / 1.3)), float(np.log10(norms.max() * 1.3))]
    inverse = chart.ticks(1 / k for k in result.scales)
    drawing.update_layout(
        xaxis={"showticklabels": False, "ticks": ""},
        yaxis={"range": [N * C * H * W - 0.5, -0.5], "showticklabels": False, "ticks": ""},
        xaxis2={"title": {"text": "position (h, w)"}, **chart.NO_TICKS},
        yaxis2={"range": [N * C - 0.5, -0.5], "ticks": "", "showgrid": False, **rows},
        xaxis3={"type": "log", "title": {"text": "k"}, **chart.ticks(result.scales[::2])},
        yaxis3={"type": "log", "title": {"text": "gradient, k = 1 is 1"}, "range": span, **inverse},
    )
    chart.add_slider(drawing, [step(m) for m in METHODS], "Method: ", METHODS.index("group"))
    return chart.finish(
        drawing, "The gradient of one output reaches every cell of its pooling set, and no other cell",
        "Left: d x̂ⱼ/dxᵢ = (1/s)(δᵢⱼ − 1/|S| − x̂ᵢx̂ⱼ/|S|) within a set and 0 across sets, with s = √(σ² + ε). RMS "
        "subtracts no mean, so it has no term 1/|S|. Middle: one row of this matrix, in the layout of x. Plum is "
        "positive, teal is negative; color strength is the square root of the value divided by the largest value. "
        "Right: weights before the normalizer are multiplied by k. The output stays the same, and the gradient of "
        "these weights is divided by k.",
        "A heat map of the Jacobian with one square block for each pooling set, a heat map of one output’s gradient "
        "over samples and channels, and a chart of the gradient’s norm falling as one over the scale of the weights.",
        room=room, height=(300, 900), ends=[chart.Ends([3, 4])],
    )  # fmt: skip
