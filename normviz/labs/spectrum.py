"""Mean and variance for every G from one pass: certainty against fit, and why neighbouring channels are grouped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.core.moments import Moments
from normviz.core.pooling import divisors
from normviz.functions.reduce import moments
from normviz.labs import input_checks

SHUFFLES = 20


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The statistics of Group Norm for every divisor G of C.

    Attributes
    ----------
    groups
        (D,) the divisors of C, rising: G = 1 has Layer Norm's statistics, G = C Instance Norm's.
    set_size
        (D,) cells in a set.
    mean, var
        D arrays of shape (N, G), in units of x and of x squared, all from one pass.
    channel_mean, channel_var
        (N, C) of each channel alone.
    error, error_shuffled
        (D,) uncertainty of a set's mean: half the root mean square difference between the means of the first and of the
        second half of each map, in units of the standard deviation of x; with the channels in their order, and on
        average over shuffled orders.
    mismatch, mismatch_shuffled
        (D,) root mean square distance between a channel's mean and the mean of its set, in units of the standard
        deviation of x. 0 at G = C.
    error_spread, mismatch_spread
        (D,) standard deviations of both over the shuffled orders.
    """

    groups: tuple[int, ...]
    set_size: tuple[int, ...]
    mean: tuple[np.ndarray, ...]
    var: tuple[np.ndarray, ...]
    channel_mean: np.ndarray
    channel_var: np.ndarray
    error: np.ndarray
    error_shuffled: np.ndarray
    mismatch: np.ndarray
    mismatch_shuffled: np.ndarray
    error_spread: np.ndarray
    mismatch_spread: np.ndarray


@check_keywords
def measure(x: Any = None, *, shuffles: int = SHUFFLES, seed: int = 0) -> Spectrum:
    """Merge the moments of one pass into the statistics of every G, with the channels in their order and shuffled.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 channels and 2 cells per channel; None takes 64 sample activations, which are
        crops of eight photographs.
    shuffles, seed
        Number of random orders of the channels, and seed of these orders.

    Raises
    ------
    ValueError, TypeError
        If x is empty, has a NaN, a constant channel, one channel or one cell per channel.

    Examples
    --------
    >>> result = measure()
    >>> result.groups, result.set_size
    ((1, 2, 4, 8, 16), (2304, 1152, 576, 288, 144))
    """
    x = input_checks.tensor(x, 64, channels=2)
    shuffles, seed = input_checks.whole(shuffles, "shuffles", 1), input_checks.seed(seed)
    flat = x.reshape(*x.shape[:2], -1)
    C, cells = flat.shape[1:]
    if cells < 2:
        raise ValueError(f"x of shape {x.shape} has one cell per channel; this lab needs at least 2 to halve them")
    halves = moments(flat[..., : cells // 2]), moments(flat[..., cells // 2 :])
    every = halves[0] + halves[1]
    swept = every.sweep()
    groups = divisors(C)
    sets = [swept["group", G] for G in groups]
    unit = float(x.std())
    error, mismatch = _quality(every, halves, np.arange(C), unit)
    rng = np.random.default_rng(seed)
    drawn = np.array([_quality(every, halves, rng.permutation(C), unit) for _ in range(shuffles)])
    shuffled, spread = drawn.mean(axis=0), drawn.std(axis=0)
    return Spectrum(
        groups, tuple(C // G * cells for G in groups), tuple(s.mean for s in sets), tuple(s.var for s in sets),
        every.mean, every.m2 / every.count, error, shuffled[0], mismatch, shuffled[1], *spread,
    )  # fmt: skip


def _quality(every: Moments, halves: tuple[Moments, Moments], order: np.ndarray, unit: float) -> np.ndarray:
    """Return (2, D): the error of a set's mean and the mismatch, with the channels in this order."""
    N, C = every.shape
    own, first, second = (part.mean[:, order] for part in (every, *halves))
    error, mismatch = [], []
    for G in divisors(C):
        half = [part.reshape(N, G, -1).mean(axis=2) for part in (first, second)]
        error.append(np.sqrt(((half[0] - half[1]) ** 2).mean()) / 2)
        sets = own.reshape(N, G, -1)
        mismatch.append(np.sqrt(((sets - sets.mean(axis=2, keepdims=True)) ** 2).mean()))
    return np.array([error, mismatch]) / unit


@check_keywords
def figure(
    x: Any = None, *, shuffles: int = SHUFFLES, seed: int = 0,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw one sample's sets for the slider's G, and for every G the error of a set's mean and its mismatch.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [step.label for step in figure().layout.sliders[0].steps]
    ['1', '2', '4', '8', '16']
    """
    room = chart.room(width, presenter)
    result = measure(x, shuffles=shuffles, seed=seed)
    C = result.channel_mean.shape[1]
    first = "Means of sample 0" if not room.narrow else "Means of the sets of sample 0"
    titles = [first, "Error of a set's mean", "Distance to its channels"]
    drawing, places = chart.panels(titles, room)
    blue, grey = chart.COLOURS["blue"], chart.COLOURS["grey"]
    drawing.add_scatter(
        mode="lines", fill="toself", fillcolor="rgba(47,125,225,0.2)", line={"width": 0},
        name="± standard deviation of a set", hoverinfo="skip", **places[0],
    )  # fmt: skip
    drawing.add_scatter(mode="lines", line={"color": blue, "width": 3}, name="mean of a set", **places[0])
    drawing.add_scatter(
        x=list(range(C)), y=chart.rounded(result.channel_mean[0]), mode="markers",
        marker={"color": grey, "size": 7, "symbol": "diamond"}, name="a channel's own mean", **places[0],
    )  # fmt: skip
    drawing.update_xaxes(title_text="channel c", **places[0])
    drawing.update_yaxes(title_text="value (units of x)", **places[0])
    pairs = ((result.error, result.error_shuffled), (result.mismatch, result.mismatch_shuffled))
    spreads = result.error_spread, result.mismatch_spread
    units = "error (std of x)", "distance (std of x)"
    # Both lines end in the same two points, so their names stand in the middle.
    middle = len(result.groups) // 2
    for place, pair, spread, unit in zip(places[1:], pairs, spreads, units, strict=True):
        names = {"in order": "blue", "shuffled": "orange"}
        for k, (values, (name, colour)) in enumerate(zip(pair, names.items(), strict=True)):
            bars = {"type": "data", "array": chart.rounded(spread, 3), "thickness": 1, "width": 3} if k else None
            above, rises = values[middle] >= pair[1 - k][middle], values[0] > values[-1]
            side = f"{'top' if above else 'bottom'} {'left' if above == rises else 'right'}"
            drawing.add_scatter(
                x=result.set_size, y=chart.rounded(values), name=f"channels {name}", showlegend=False, error_y=bars,
                customdata=result.groups, hovertemplate="G = %{customdata}<br>%{y:.3g}",
                text=[f"<b>{name}</b>" if d == middle else "" for d in range(len(values))],
                textfont_color=chart.COLOURS[colour], textposition=side,
                **chart.line(k, colour, size=7) | {"mode": "lines+markers+text"}, **place,
            )  # fmt: skip
        drawing.add_scatter(
            mode="markers", marker={"size": 17, "symbol": "circle-open", "line": {"width": 2}, "color": grey},
            showlegend=False, hoverinfo="skip", **place,
        )  # fmt: skip
        drawing.update_xaxes(type="log", title_text="cells in a set", **chart.ticks(result.set_size[::2]), **place)
        drawing.update_yaxes(title_text=unit, rangemode="tozero", **place)

    def step(d: int) -> dict[str, Any]:
        """Show the sets for one G: their means as steps, with a band of one standard deviation, and rings at G."""
        G = result.groups[d]
        edges = [edge for g in range(G) for edge in (g * C / G - 0.5, (g + 1) * C / G - 0.5)]
        mean, std = np.repeat(result.mean[d][0], 2), np.repeat(np.sqrt(result.var[d][0]), 2)
        band = np.concatenate([mean + std, (mean - std)[::-1]])
        rings = [chart.rounded([values[d] for values in pair]) for pair in pairs]
        changed = {
            "x": [edges + edges[::-1], edges, *[[result.set_size[d]] * 2] * 2],
            "y": [chart.rounded(band), chart.rounded(mean), *rings],
        }
        return chart.step(str(G), changed, [0, 1, 5, 8])

    steps = [step(d) for d in range(len(result.groups))]
    chart.add_slider(drawing, steps, "Groups G = ", len(steps) // 2)
    return chart.finish(
        drawing, _finding(result),
        "A small set follows its channels closely, but its mean is uncertain: the error is half the difference "
        "between the means of the two halves of each map. The mean of a large set is more certain, but it is further "
        f"from the means of its channels. Shuffled: the mean of {shuffles} random orders of the channels, bars: the "
        "standard deviation between them. Where neighbouring channels are alike, a group of neighbours fits its "
        "channels better than a group drawn at random. G = 1 and G = C are the same in any order. "
        "One pass over x gives the statistics of every G, because moments merge.",
        "Three charts. The means and standard deviations of one sample's sets over the channels, for the G of a "
        "slider; the error of a set's mean, which falls with the set's size; and the distance between a set's mean and "
        "its channels' own means, which rises with it, more slowly with the channels in order than shuffled.",
        room=room, height=(300, 800),
    )  # fmt: skip


def _finding(result: Spectrum) -> str:
    """Say what more groups change, and whether the order of the channels matters here."""
    few, many = result.error[0], result.error[-1]
    certain = f"{many / few:.1f} times less certain" if many > 1.05 * few > 0 else "as certain"
    return f"From G = 1 to {result.groups[-1]}, a set fits its channels better, but its mean is {certain}"
