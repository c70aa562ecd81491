"""The values of a set before and after normalization, as two small histograms on one fixed scale, as in charts.js."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from normviz.explorer.svg.geometry import clamp
from normviz.explorer.svg.readout import Data, Readout, decimal
from normviz.explorer.svg.writer import Pen, number

BINS = 48


def chart(pen: Pen, data: Data, shown: Readout, x: float, y: float, width: float, height: float) -> Iterator[str]:
    """Two histograms side by side: the values of the set before and after normalization."""
    values = data.values_of(shown)
    # One axis for all states, so that only the set moves, not the scale.
    low, high = min(data.scene["extent"][0], -3), max(data.scene["extent"][1], 3)
    after = None
    if shown.deviation is not None and shown.mean is not None and math.isfinite(shown.mean + shown.deviation):
        after = (values - shown.mean) / shown.deviation * shown.gamma + shown.beta
    shares = [share(each, low, high) for each in (values, after) if each is not None]
    most = max(1e-9, *(float(s.max()) for s in shares))
    about = "" if data.values is not None else " (means of the drawn cells)"
    result = "y" if shown.gamma != 1 or shown.beta != 0 else "x\u0302"
    rows = [
        (f"before: <i>x</i>{about}", shares[0], shown.mean, shown.x, "muted"),
        (f"after: <i>{result}</i>", shares[1] if len(shares) > 1 else None, shown.beta, shown.y, "set-front"),
    ]
    each = (width - 24) / 2
    for k, (title, bars, mean, at, fill) in enumerate(rows):
        left = x + k * (each + 24)
        yield pen.text(left, y + 10, title, 12)
        if bars is not None:
            yield from _histogram(pen, bars / most, mean, at, (low, high), (left, y, each, height), fill)


def _histogram(
    pen: Pen,
    bars: np.ndarray,
    mean: float | None,
    at: float | None,
    scale: tuple[float, float],
    box: tuple[float, float, float, float],
    fill: str,
) -> Iterator[str]:
    (low, high), (left, top, width, height) = scale, box
    base, step = top + height - 18, width / BINS
    # Square roots: next to a set of equal values, a set of spread values would look flat.
    tall = np.sqrt(bars) * (height - 36)
    starts = (f"M{number(left + i * step + 0.5)} {number(base)}" for i in range(BINS))
    bar = (f"{start}v{number(-t)}h{number(step - 1)}v{number(t)}" for start, t in zip(starts, tall, strict=True) if t)
    yield pen.path("".join(bar), fill=fill)
    yield pen.path(f"M{number(left)} {number(base)}h{number(width)}", stroke="muted", width=0.8)

    def place(value: float) -> float:
        return left + width * (clamp(value, low, high) - low) / (high - low)

    for value in ticks(low, high):
        if left + 12 < place(value) < left + width - 12:
            yield pen.text(place(value), base + 15, decimal(value, 3).replace("-", "−"), 10.5, "muted", "middle")
    if mean is not None and math.isfinite(mean):
        line = f"M{number(place(mean))} {number(base)}V{number(top + 14)}"
        yield pen.path(line, stroke="ink", width=1.4, more=' stroke-dasharray="3 2"')
    if at is not None and math.isfinite(at):
        yield pen.path(f"M{number(place(at))} {number(base + 1)}l-4 6h8z", fill="cell-side")


def share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Shares of the values in equal bins; values outside count in the end bins, and NaN is left out."""
    values = values[~np.isnan(values)]
    counts = np.histogram(np.clip(values, low, high), BINS, (low, high))[0]
    return counts / max(values.size, 1)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values inside a range."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw or 1))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * (1 - 1e-12))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
