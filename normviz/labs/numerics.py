"""Correct digits of a variance, computed by four algorithms in float16, float32 and float64, against the offset."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import brief, check_keywords
from normviz.explorer.plotly_figure import Figure
from normviz.labs import chart, input_checks

OFFSETS = (0.0, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
RECIPES = ("raw moments", "two passes", "Welford", "Chan")
DTYPES = ("float16", "float32", "float64")
COUNT = 512


@dataclass(frozen=True, eq=False)
class Digits:
    """Correct decimal digits of a variance.

    Attributes
    ----------
    recipes
        (R,) the algorithms: "raw moments" (E[x^2] - E[x]^2), "two passes", "Welford" and "Chan".
    dtypes
        (D,) the dtype of the values and of every intermediate result.
    offsets
        (K,) what was added to every value, in standard deviations.
    digits
        (R, D, K), -log10 of the relative error, from 0 (no digit is correct) to the precision of the dtype; NaN where
        the stored values are all equal or not finite.
    held, count
        (D,) the digits of a dtype, -log10 of its epsilon; and the number of values.
    """

    recipes: tuple[str, ...]
    dtypes: tuple[str, ...]
    offsets: tuple[float, ...]
    digits: np.ndarray
    held: np.ndarray
    count: int


def raw_moments(x: np.ndarray) -> Any:
    """Return E[x^2] - E[x]^2, summed one value after the other in x's dtype."""
    n = x.dtype.type(x.size)
    mean = _sum(x) / n
    return _sum(x * x) / n - mean * mean


def two_passes(x: np.ndarray) -> Any:
    """Return the mean of (x - mean)^2."""
    n = x.dtype.type(x.size)
    centered = x - _sum(x) / n
    return _sum(centered * centered) / n


def welford(x: np.ndarray) -> Any:
    """Return the variance by Welford's update (1962): one pass, one value at a time."""
    mean = m2 = x.dtype.type(0)
    for k, value in enumerate(x, 1):
        delta = value - mean
        mean = mean + delta / x.dtype.type(k)
        m2 = m2 + delta * (value - mean)
    return m2 / x.dtype.type(x.size)


def chan(x: np.ndarray) -> Any:
    """Return the variance by merging pairs of values, then pairs of pairs (Chan, Golub & LeVeque 1983)."""
    parts = [(1, value, x.dtype.type(0)) for value in x]
    while len(parts) > 1:
        merged = [_merge(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = merged + parts[len(parts) - len(parts) % 2 :]
    return parts[0][2] / x.dtype.type(x.size)


def _merge(a: tuple[int, Any, Any], b: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    dtype = type(mean_a)
    n, delta = n_a + n_b, mean_b - mean_a
    # The weights are computed with Python's numbers: n_a * n_b overflows float16 at 512 values.
    return n, mean_a + delta * dtype(n_b / n), m2_a + m2_b + delta * delta * dtype(n_a * n_b / n)


def _sum(x: np.ndarray) -> Any:
    # np.sum adds pairwise, as Chan's algorithm does; this adds one value after the other, as a plain loop does.
    return np.add.accumulate(x, dtype=x.dtype)[-1]


def exact(x: np.ndarray) -> Fraction:
    """Return the variance of the stored values without rounding."""
    values = [Fraction(float(v)) for v in x]
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((v - mean) ** 2 for v in values), Fraction(0)) / len(values)


@check_keywords
@np.errstate(all="ignore")
def measure(
    x: Any = None, *, offsets: Iterable[float] = OFFSETS, dtypes: Iterable[str] = DTYPES, count: int | None = None
) -> Digits:
    """Compute one variance by every algorithm, in every dtype, at every offset.

    Parameters
    ----------
    x
        Shape (N, C, *spatial); the first `count` values of channel 0 are taken, in units of their standard deviation,
        so that an offset is mean / std. None takes real activations.
    offsets
        Added before the values are rounded to the dtype. The reference is the variance of the rounded values, so that
        every lost digit is lost by the algorithm.
    dtypes
        "float16", "float32" or "float64".
    count
        Number of values, from 2 to N*H*W; None takes 512, or all if there are fewer.

    Raises
    ------
    ValueError, TypeError
        If x is empty, constant or holds a NaN, has fewer than `count` values per channel, or a name or offset is wrong.

    Examples
    --------
    >>> digits = measure(offsets=[1e4], dtypes=["float32"]).digits[:, 0, 0]
    >>> bool(digits[0] < 1 < 3 < digits[1])
    True
    """
    row = input_checks.tensor(x, 8, varied=False)[:, 0].ravel()
    count = min(COUNT, row.size) if count is None else count
    count = input_checks.whole(count, "count", 2, row.size, "the cells of a channel of x")
    row = row[:count] - row[:count].mean()
    if not np.ptp(row):
        raise ValueError(f"the first {count} values of channel 0 of x are constant; pass values that vary")
    row /= row.std()
    offsets = tuple(input_checks.number(o, "offset") for o in input_checks.several(offsets, "offsets", "(0, 1e3)"))
    dtypes = input_checks.several(dtypes, "dtypes", '("float32",)')
    if any(name not in DTYPES for name in dtypes):
        raise ValueError(f"dtypes={brief(dtypes)} must name at least one of {', '.join(DTYPES)} and nothing else")
    held = np.array([-np.log10(float(np.finfo(name).eps)) for name in dtypes])
    digits = np.full((len(RECIPES), len(dtypes), len(offsets)), np.nan)
    for d, name in enumerate(dtypes):
        for k, offset in enumerate(offsets):
            stored = (row + offset).astype(name)
            if not np.isfinite(stored).all() or not np.ptp(stored):
                continue
            reference = exact(stored)
            for r, recipe in enumerate((raw_moments, two_passes, welford, chan)):
                digits[r, d, k] = _digits(float(recipe(stored)), reference, held[d])
    return Digits(RECIPES, dtypes, offsets, digits, held, count)


def _digits(value: float, reference: Fraction, held: float) -> float:
    if not np.isfinite(value):
        return 0.0
    error = abs(Fraction(value) - reference) / reference
    return held if error == 0 else float(np.clip(-np.log10(float(error)), 0, held))


def _power(value: float) -> str:
    """Return a number as a tick label, a large power of ten as such."""
    exponent = np.log10(abs(value)) if value else 0
    return f"10<sup>{exponent:.0f}</sup>" if value > 100 and exponent == round(exponent) else f"{value:g}"


@check_keywords
def figure(
    x: Any = None, *, offsets: Iterable[float] = OFFSETS, dtypes: Iterable[str] = DTYPES, count: int | None = None,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw the correct digits against the offset, one line for each algorithm; a slider chooses the dtype.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [step.label for step in figure(offsets=[0, 10]).layout.sliders[0].steps]
    ['float16', 'float32', 'float64']
    """
    room = chart.room(width, presenter)
    result = measure(x, offsets=offsets, dtypes=dtypes, count=count)
    ticks = list(range(len(result.offsets)))
    span = [ticks[0] - 0.3, ticks[-1] + 0.3]
    names = ("raw moments, E[x²] − E[x]²", "two passes", "Welford, one by one", "Chan, by pairs")
    drawing = Figure()
    for r, (name, colour) in enumerate(zip(names, ("red", "blue", "green", "orange"), strict=True)):
        hover = "%{y:.1f} digits<extra>" + name + "</extra>"
        drawing.add_scatter(x=ticks, name=name, hovertemplate=hover, **chart.line(r, colour, size=9))
    dots = {"color": chart.COLOURS["grey"], "width": 1.5, "dash": "dot"}
    drawing.add_scatter(x=span, name="what the type holds", mode="lines", line=dots, hoverinfo="skip")

    def step(d: int, name: str) -> dict[str, Any]:
        lines = [*(chart.rounded(row) for row in result.digits[:, d]), [float(result.held[d])] * 2]
        return chart.step(name, {"y": lines}, range(len(lines)))

    steps = [step(d, name) for d, name in enumerate(result.dtypes)]
    chart.add_slider(drawing, steps, "Every value and every sum in ", min(1, len(steps) - 1))
    powers = {"tickvals": ticks, "ticktext": [_power(o) for o in result.offsets]}
    drawing.update_xaxes(title_text="offset (mean in standard deviations)", range=span, **powers)
    highest = float(result.held.max()) + 1
    drawing.update_yaxes(title_text="correct decimal digits of the variance", range=[-0.4, highest])
    return chart.finish(
        drawing, "How many digits of a variance are correct?",
        f"The variance of the same {result.count} values, computed one operation after the other in one type; the "
        "reference is exact arithmetic on the stored values. Raw moments lose two digits for every power of ten of "
        "the offset, Welford and Chan about one. Two passes lose few at first and later two as well, because their "
        "mean is a plain sum, which in float16 soon loses its digits and then overflows. A line ends where all "
        "stored values are equal. Measured here.",
        "A line chart of the correct decimal digits of a variance against the offset of its values, for four "
        "recipes. The line of raw moments falls to zero long before those of two passes, Welford and Chan. A slider "
        "has the type.",
        room=room,
    )  # fmt: skip
