"""Noise of a batch's mean and variance against N, and how many independent values a map is worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.functions.reduce import moments
from normviz.labs import input_checks
from normviz.samples import PHOTOGRAPH_OF

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Noise:
    """How far a batch's mean and variance of a channel lie from those of all the data.

    Attributes
    ----------
    batch_sizes, cells
        (B,) values of N; and H*W, the cells of one map.
    sigma
        (C,) standard deviation of a channel over all the data, in units of x.
    mean_error, var_error
        (B, C) root mean square error over the draws, in units of x and of x squared.
    mean_independent, var_independent
        (B, C) the error if all N*H*W cells were independent: sigma / sqrt(N*H*W), and for the variance
        sqrt((mu4 - sigma^4) / (N*H*W)) with mu4 the fourth central moment.
    effective_mean, effective_var
        (C,) effective number of independent values in one map: at most about `cells` where neighbours are correlated.
        Infinite where all samples have the same mean (or variance), NaN or 0 where all values are equally far from the
        mean.
    effective_source
        (C,) effective number of independent values, for the mean, in all samples of one source together, however many
        there are; None where the sources are not known.
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
    effective_source: np.ndarray | None


@check_keywords
def measure(
    x: Any = None, *, batch_sizes: Iterable[int] | None = None, draws: int = 400, seed: int = 0,
    source: Iterable[int] | None = None,
) -> Noise:  # fmt: skip
    """Draw batches of N samples and compare their statistics with those of all the data.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 samples; None takes 256 real activations.
    batch_sizes
        Values of N, none larger than the data; None takes 1, 2, 4, ... 64 as far as they are not.
    draws, seed
        Number of batches of each size, and seed. Samples are drawn with replacement, so that they are independent.
    source
        N whole numbers: samples with the same number come from one source, such as one photograph, patient or video.
        None takes the photographs of the sample activations, and with another x nothing.

    Raises
    ------
    ValueError, TypeError
        If x is empty, holds a NaN or a constant channel, a batch is larger than x, or source is not N whole numbers.

    Notes
    -----
    With independent samples the error of the mean is exactly sqrt(v / N), with v the variance of the samples' means;
    one map is then worth sigma^2 / v values. With N samples of one source, drawn independently, the error is
    sqrt(b + (v - b) / N), with b the variance of the sources' means. So a source is worth at most sigma^2 / b values.

    Examples
    --------
    >>> noise = measure(draws=50)
    >>> noise.cells, round(float(noise.effective_mean.mean()))
    (144, 10)
    """
    if x is None and source is None:
        source = PHOTOGRAPH_OF
    x = input_checks.tensor(x, 256, least=2)
    number = _numbered(source, len(x))
    sizes = input_checks.batch_sizes(batch_sizes, BATCH_SIZES, len(x))
    draws, seed = input_checks.whole(draws, "draws", 2), input_checks.seed(seed)
    maps = moments(x)
    total = maps.pool("batch")
    mean, var = total.mean, total.var
    centered = x - mean.reshape(1, -1, *[1] * (x.ndim - 2))
    mu4 = (np.moveaxis(centered, 1, 0).reshape(len(mean), -1) ** 4).mean(axis=1)
    map_var = maps.m2 / maps.count
    rng = np.random.default_rng(seed)
    errors = np.empty((2, len(sizes), len(mean)))
    for b, N in enumerate(sizes):
        drawn = rng.integers(len(x), size=(draws, N))
        means = maps.mean[drawn]
        batch_var = map_var[drawn].mean(axis=1) + means.var(axis=1)
        errors[0, b] = np.sqrt(((means.mean(axis=1) - mean) ** 2).mean(axis=0))
        errors[1, b] = np.sqrt(((batch_var - var) ** 2).mean(axis=0))
    values = np.array(sizes)[:, None] * maps.count
    # A sample's contribution to the variance about the mean of all data.
    contribution = map_var + (maps.mean - mean) ** 2
    # Samples with equal means, or values equally far from the mean, give infinity or NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = var / maps.mean.var(axis=0), (mu4 - var**2) / contribution.var(axis=0)
        of_source = None if number is None else var / _of_sources(maps.mean, number).var(axis=0)
    independent = np.sqrt(var / values), np.sqrt(np.maximum(mu4 - var**2, 0) / values)
    return Noise(sizes, maps.count, np.sqrt(var), errors[0], errors[1], *independent, *effective, of_source)


def _numbered(source: Iterable[int] | None, N: int) -> np.ndarray | None:
    """Return the source of each sample as a number from 0; None without sources."""
    if source is None:
        return None
    given = [input_checks.whole(n, "source", 0, None) for n in input_checks.several(source, "source", "(0, 0, 1)")]
    if len(given) != N:
        raise ValueError(f"source has {len(given)} numbers for N={N} samples; give one for each sample")
    return np.unique(given, return_inverse=True)[1]


def _of_sources(means: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Replace the mean of every sample, (N, C), by that of its source."""
    total = np.zeros((number.max() + 1, means.shape[1]))
    np.add.at(total, number, means)
    return (total / np.bincount(number)[:, None])[number]


@check_keywords
def figure(
    x: Any = None, *, batch_sizes: Iterable[int] | None = None, draws: int = 400, seed: int = 0,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw the noise of a batch's mean and variance against N, beside that of independent values; a slider chooses C.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> len(figure(draws=10).layout.sliders[0].steps)
    16
    """
    room = chart.room(width, presenter)
    noise = measure(x, batch_sizes=batch_sizes, draws=draws, seed=seed)
    drawing, places = chart.panels(["Error of the batch mean", "Error of the batch variance"], room)
    # A map with an infinite effective number, or with none, has no line.
    with np.errstate(divide="ignore", invalid="ignore"):
        per_mean, per_var = noise.cells / noise.effective_mean, noise.cells / noise.effective_var
    series = {
        "measured": (noise.mean_error, noise.var_error),
        "cells independent": (noise.mean_independent, noise.var_independent),
        "k values a map": (
            noise.mean_independent * np.sqrt(np.where(per_mean > 0, per_mean, np.nan)),
            noise.var_independent * np.sqrt(np.where(np.isfinite(per_var) & (per_var > 0), per_var, np.nan)),
        ),
    }
    styles = (
        {"mode": "markers", "marker": {"size": 10, "color": chart.COLOURS["blue"]}},
        {"mode": "lines", "line": {"dash": "dash", "width": 2, "color": chart.COLOURS["grey"]}},
        {"mode": "lines", "line": {"width": 2.5, "color": chart.COLOURS["orange"]}},
    )
    drawing.update_xaxes(type="log", title_text="batch size N (samples)", **chart.ticks(noise.batch_sizes))
    lines = []
    for panel, unit in enumerate(("x", "x²")):
        for (name, pair), style in zip(series.items(), styles, strict=True):
            lines.append(pair[panel])
            drawing.add_scatter(
                x=noise.batch_sizes, name=name, showlegend=panel == 0,
                hovertemplate="N = %{x}<br>%{y:.4g}<extra></extra>", **style, **places[panel],
            )  # fmt: skip
        # All channels share one scale, so that a noisier channel looks noisier.
        errors = np.ravel(lines[-3:-1])
        good = np.log10(errors[np.isfinite(errors) & (errors > 0)])
        axis = {"type": "log", "range": [float(good.min()) - 0.1, float(good.max()) + 0.1], **chart.log_ticks(errors)}
        drawing.update_yaxes(title_text=f"error (units of {unit})", **axis, **places[panel])

    def step(c: int) -> dict[str, Any]:
        titles = {
            f"annotations[{i}].text": f"Error of the {name}: k\u00a0=\u00a0{_number(k[c])}"
            for i, (name, k) in enumerate({"mean": noise.effective_mean, "variance": noise.effective_var}.items())
        }
        return chart.step(str(c), {"y": [chart.rounded(y[:, c]) for y in lines]}, range(len(lines)), **titles)

    chart.add_slider(drawing, [step(c) for c in range(min(len(noise.sigma), 32))], "Channel c = ")
    k, v = np.median(noise.effective_mean), np.median(noise.effective_var)
    crops = ""
    if x is None and noise.effective_source is not None:
        worth = _number(np.median(noise.effective_source))
        crops = f"The samples are crops of 8 photographs; all crops of one photograph count as {worth} together. "
    return chart.finish(
        drawing, _finding(noise, 256 if x is None else len(x)),
        f"Each dot: root mean square error of {draws} batches of N samples, against all {256 if x is None else len(x)} "
        "samples. Cells of one map are not independent, so N·H·W overstates the information in a batch: a map of "
        f"{noise.cells} cells counts as about k = {_number(k)} independent values for the mean and {_number(v)} for "
        "the variance (medians over the channels), a batch as N·k. The lines of the mean are σ/√(N·H·W) and σ/√(N·k). "
        f"{crops}Measured here.",
        "Two charts on logarithmic axes. The error of the batch mean and of the batch variance falls as one over the "
        f"square root of N, but lies above the line for independent cells: a map of {noise.cells} cells counts as "
        f"about {_number(k)} for the mean. A slider chooses the channel.",
        room=room, height=(330, 620), left=72, ends=[chart.Ends(range(3, 6))],
    )  # fmt: skip


def _finding(noise: Noise, samples: int) -> str:
    """Say how many independent values a map is worth for the mean, if so many samples tell it from all of its cells."""
    k, cells, C = np.median(noise.effective_mean), noise.cells, len(noise.sigma)
    if cells == 1:
        return "In these data a map has one cell, so it is worth one value"
    # About two standard errors of the variance of so many means, over the channels.
    spread = max(0.25, 2 * (2 / ((samples - 1) * C)) ** 0.5)
    if not k < (1 - spread) * cells:
        return f"In these data a map of {cells} cells is worth about as much as {cells} independent values, or more"
    return f"A map of {cells} cells tells the mean no better than about {k:.0f} independent values"


def _number(k: float) -> str:
    """Return an effective number as text; means that differ by rounding alone count as equal."""
    return "no number" if np.isnan(k) else "∞" if k > 1e9 else f"{k:.1f}"
