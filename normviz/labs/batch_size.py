"""Noise of a batch's mean and variance against N: how many independent values a feature map is worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.functions.reduce import moments
from normviz.labs import checks, look

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Noise:
    """How far a batch's mean and variance of a channel lie from those of all the data.

    Attributes
    ----------
    batch_sizes
        (B,) values of N.
    cells
        H*W, the cells of one map.
    sigma
        (C,) standard deviation of a channel over all the data, in units of x.
    mean_error, var_error
        (B, C) root mean square error over the draws, in units of x and of x squared.
    mean_independent, var_independent
        (B, C) the same if all N*H*W cells were independent: sigma / sqrt(N*H*W), and for the variance
        sqrt((mu4 - sigma^4) / (N*H*W)) with mu4 the fourth central moment.
    effective_mean, effective_var
        (C,) as how many independent values one map counts: at most about `cells` where neighbours are alike. Infinite
        where all samples have the same mean (or spread), NaN or 0 where all values lie equally far from the mean.
    """

    batch_sizes: tuple[int, ...]
    cells: int
    sigma: np.ndarray
    mean_error: np.ndarray
    var_error: np.ndarray
    mean_independent: np.ndarray
    var_independent: np.ndarray
    effective_mean: np.ndarray
    effective_var: np.ndarray


@check_keywords
def measure(x: Any = None, *, batch_sizes: Iterable[int] | None = None, draws: int = 400, seed: int = 0) -> Noise:
    """Draw batches of N samples and compare their statistics with those of all the data.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 samples; None takes 256 real activations.
    batch_sizes
        Values of N, none larger than the data; None takes those of 1, 2, 4 to 64 that are not.
    draws
        Batches of each size; their samples are drawn with replacement, so that they are independent of each other.
    seed
        Of the draws.

    Raises
    ------
    ValueError, TypeError
        If x is empty, holds a NaN or a constant channel, or a batch is larger than x.

    Notes
    -----
    With independent samples the error of the mean is exactly sqrt(v / N), v the variance of the samples' own means; one
    map is then worth sigma^2 / v values.

    Examples
    --------
    >>> noise = measure(draws=50)
    >>> noise.cells, round(float(noise.effective_mean.mean()))
    (144, 10)
    """
    x = checks.tensor(x, 256, least=2)
    sizes = checks.batch_sizes(batch_sizes, BATCH_SIZES, len(x))
    draws, seed = checks.whole(draws, "draws", 2), checks.seed(seed)
    atoms = moments(x)
    every = atoms.pool("batch")
    mean, var = every.mean, every.var
    spread = x - mean.reshape(1, -1, *[1] * (x.ndim - 2))
    mu4 = np.moveaxis(spread, 1, 0).reshape(len(mean), -1).__pow__(4).mean(axis=1)
    own_var = atoms.m2 / atoms.count
    rng = np.random.default_rng(seed)
    of_mean, of_var = [], []
    for N in sizes:
        at = rng.integers(len(x), size=(draws, N))
        means = atoms.mean[at]
        batch_mean = means.mean(axis=1)
        batch_var = own_var[at].mean(axis=1) + means.var(axis=1)
        of_mean.append(np.sqrt(((batch_mean - mean) ** 2).mean(axis=0)))
        of_var.append(np.sqrt(((batch_var - var) ** 2).mean(axis=0)))
    values = np.array(sizes)[:, None] * atoms.count
    # What one sample adds to the variance about the mean of all; its own spread says how noisy that is.
    adds = own_var + (atoms.mean - mean) ** 2
    # Samples that all have the same mean, or values that all lie as far from it, give no number here.
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = var / atoms.mean.var(axis=0), (mu4 - var**2) / adds.var(axis=0)
    return Noise(
        sizes,
        atoms.count,
        np.sqrt(var),
        np.array(of_mean),
        np.array(of_var),
        np.sqrt(var / values),
        np.sqrt(np.maximum(mu4 - var**2, 0) / values),
        *effective,
    )


@check_keywords
def figure(
    x: Any = None,
    *,
    batch_sizes: Iterable[int] | None = None,
    draws: int = 400,
    seed: int = 0,
    width: int = 900,
) -> go.Figure:
    """Draw the noise of a batch's mean and variance against N, beside that of independent values; a slider has C.

    Parameters
    ----------
    x, batch_sizes, draws, seed
        As in `measure`.
    width
        Pixels, of the whole figure; at least 320.

    Examples
    --------
    >>> len(figure(draws=10).layout.sliders[0].steps)
    16
    """
    width = checks.width(width)
    noise = measure(x, batch_sizes=batch_sizes, draws=draws, seed=seed)
    shown = list(range(min(len(noise.sigma), 32)))
    narrow = width < look.NARROW
    drawing: Any = look.panels(2, narrow, ["Error of the batch mean", "Error of the batch variance"])
    # A map that counts for infinitely many values, or for none, has no line.
    with np.errstate(divide="ignore", invalid="ignore"):
        per_mean, per_var = noise.cells / noise.effective_mean, noise.cells / noise.effective_var
    series = {
        "measured": (noise.mean_error, noise.var_error),
        "all N·H·W cells independent": (noise.mean_independent, noise.var_independent),
        "k independent values a map": (
            noise.mean_independent * np.sqrt(np.where(per_mean > 0, per_mean, np.nan)),
            noise.var_independent * np.sqrt(np.where(np.isfinite(per_var) & (per_var > 0), per_var, np.nan)),
        ),
    }
    styles = (
        {"mode": "markers", "marker": {"size": 9, "color": look.COLOURS["blue"]}},
        {"mode": "lines", "line": {"dash": "dash", "width": 2, "color": look.COLOURS["grey"]}},
        {"mode": "lines", "line": {"width": 2, "color": look.COLOURS["orange"]}},
    )
    order = []
    for panel in range(2):
        for (name, pair), style in zip(series.items(), styles, strict=True):
            order.append(pair[panel])
            trace = go.Scatter(
                x=noise.batch_sizes,
                y=look.rounded(pair[panel][:, 0]),
                name=name,
                showlegend=panel == 0,
                hovertemplate="N = %{x}<br>%{y:.4g}<extra></extra>",
                **style,
            )
            drawing.add_trace(trace, **look.place(panel, narrow))

    def subtitles(c: int) -> dict[str, str]:
        k = noise.effective_mean[c], noise.effective_var[c]
        words = ("Mean", "Variance")
        return {
            f"annotations[{i}].text": f"{words[i]}: a map of {noise.cells} cells counts as {_told(k[i])}"
            for i in range(2)
        }

    steps = [
        look.step(str(c), {"y": [look.rounded(values[:, c]) for values in order]}, range(len(order)), **subtitles(c))
        for c in shown
    ]
    for i, text in enumerate(subtitles(0).values()):
        drawing.layout.annotations[i].text = text
    drawing.update_layout(sliders=[look.slider(steps, "Channel c = ")])
    ticks = {"tickvals": noise.batch_sizes, "ticktext": [str(n) for n in noise.batch_sizes]}
    drawing.update_xaxes(type="log", title_text="batch size N (samples)", **ticks)
    for panel, unit in enumerate(("x", "x²")):
        every = np.ravel(order[3 * panel : 3 * panel + 2])
        good = np.log10(every[np.isfinite(every) & (every > 0)])
        # One scale for all channels: where it followed each, a noisier channel would look like any other.
        axis = {"type": "log", "title_text": f"error (units of {unit})", **look.log_ticks(every)}
        axis["range"] = [float(good.min()) - 0.1, float(good.max()) + 0.1]
        drawing.update_yaxes(**axis, **look.place(panel, narrow))
    k, v = np.median(noise.effective_mean), np.median(noise.effective_var)
    caption = (
        f"Each dot: root mean square error of {draws} batches of N samples, against all {_count(x)} samples. Cells of "
        "one map are not independent, so N·H·W overstates what a batch knows: a map of "
        f"{noise.cells} cells counts as about k = {_told(k)} independent values for the mean and {_told(v)} for the "
        "variance (medians over the channels), a batch as N·k. The lines of the mean are σ/√(N·H·W) and σ/√(N·k). "
        "Measured here."
    )
    alt = (
        "Two charts on logarithmic axes. The error of the batch mean and of the batch variance falls as one over the "
        f"square root of N, but lies above the line for independent cells: a map of {noise.cells} cells counts as "
        f"about {_told(k)} for the mean. A slider chooses the channel."
    )
    title = "How noisy are a batch's statistics?"
    return look.finish(
        drawing, title, caption, alt, width=width, height=620 if narrow else 330, left=72, subplot_titles=True
    )


def _told(k: float) -> str:
    """Return an effective number, where there is one; equal means are equal but for rounding."""
    return "no number" if np.isnan(k) else "∞" if k > 1e9 else f"{k:.1f}"


def _count(x: Any) -> int:
    return 256 if x is None else len(x)
