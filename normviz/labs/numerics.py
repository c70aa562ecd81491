"""One variance by four recipes, in float16, float32 and float64, as the offset grows: the true digits left."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.labs import checks, look

OFFSETS = (0.0, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
RECIPES = ("raw moments", "two passes", "Welford", "Chan")
DTYPES = ("float16", "float32", "float64")
COUNT = 512


@dataclass(frozen=True, eq=False)
class Digits:
    """True decimal digits of a variance.

    Attributes
    ----------
    recipes
        (R,) "raw moments" (E[x^2] - E[x]^2), "two passes", "Welford" and "Chan".
    dtypes
        (D,) the type that holds values and every sum on the way.
    offsets
        (K,) what was added to every value, in standard deviations.
    digits
        (R, D, K), -log10 of the relative error, from 0 (none is right) to what the type can hold; NaN where the
        values, once stored, are all the same or not finite, so that nothing is left to measure.
    held
        (D,) the digits of a type, -log10 of its epsilon.
    count
        How many values.
    """

    recipes: tuple[str, ...]
    dtypes: tuple[str, ...]
    offsets: tuple[float, ...]
    digits: np.ndarray
    held: np.ndarray
    count: int


def raw_moments(x: np.ndarray) -> Any:
    """Return E[x^2] - E[x]^2, summed one value after the other in x's type."""
    n = x.dtype.type(x.size)
    mean = _sum(x) / n
    return _sum(x * x) / n - mean * mean


def two_passes(x: np.ndarray) -> Any:
    """Return the mean of (x - mean)^2."""
    n = x.dtype.type(x.size)
    off = x - _sum(x) / n
    return _sum(off * off) / n


def welford(x: np.ndarray) -> Any:
    """Return the variance by Welford's update (1962): one pass, one value at a time."""
    mean = m2 = x.dtype.type(0)
    for k, value in enumerate(x, 1):
        delta = value - mean
        mean = mean + delta / x.dtype.type(k)
        m2 = m2 + delta * (value - mean)
    return m2 / x.dtype.type(x.size)


def chan(x: np.ndarray) -> Any:
    """Return the variance by merging pairs, pairs of pairs and so on (Chan, Golub & LeVeque 1983)."""
    parts = [(1, value, x.dtype.type(0)) for value in x]
    while len(parts) > 1:
        merged = [_merge(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = merged + parts[len(parts) - len(parts) % 2 :]
    return parts[0][2] / x.dtype.type(x.size)


def _merge(a: tuple[int, Any, Any], b: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    (n, mean, m2), (k, other, more) = a, b
    kind = type(mean)
    delta = other - mean
    # The shares are worked out before they meet the type: n * k is beyond float16 at 512 values.
    return n + k, mean + delta * kind(k / (n + k)), m2 + more + delta * delta * kind(n * k / (n + k))


def _sum(x: np.ndarray) -> Any:
    # NumPy's own sum goes by pairs, which is Chan's idea; a plain loop, as here, is what a course shows first.
    return np.add.accumulate(x, dtype=x.dtype)[-1]


def exact(x: np.ndarray) -> Fraction:
    """Return the variance of the stored values with no rounding at all."""
    values = [Fraction(float(v)) for v in x]
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((v - mean) ** 2 for v in values), Fraction(0)) / len(values)


@check_keywords
@np.errstate(all="ignore")
def measure(
    x: Any = None, *, offsets: Iterable[float] = OFFSETS, dtypes: Iterable[str] = DTYPES, count: int | None = None
) -> Digits:
    """Compute one variance by every recipe, in every type, at every offset.

    Parameters
    ----------
    x
        Shape (N, C, *spatial); the first `count` values of channel 0 are taken, in units of their standard deviation,
        so that an offset is mean / std. None takes real activations.
    offsets
        Added before the values are rounded to the type. The truth is the variance of the rounded values, so the digits
        are lost by the recipe alone.
    dtypes
        "float16", "float32" or "float64".
    count
        Values, at least 2 and at most N*H*W; None takes 512, or as many as there are.

    Raises
    ------
    ValueError, TypeError
        If x is empty, constant or holds a NaN, has fewer than `count` values a channel, or a name or offset is wrong.

    Examples
    --------
    >>> digits = measure(offsets=[1e4], dtypes=["float32"]).digits[:, 0, 0]
    >>> bool(digits[0] < 1 < 3 < digits[1])
    True
    """
    row = checks.tensor(x, 8, varied=False)[:, 0].ravel()
    count = checks.whole(
        min(COUNT, row.size) if count is None else count, "count", 2, row.size, "the cells of a channel of x"
    )
    row = row[:count] - row[:count].mean()
    if not np.ptp(row):
        raise ValueError(f"the first {count} values of channel 0 of x are constant; pass values that vary")
    row /= row.std()
    offsets = tuple(checks.number(o, "offset") for o in checks.several(offsets, "offsets", "(0, 1e3)"))
    dtypes = checks.several(dtypes, "dtypes", '("float32",)')
    if any(name not in DTYPES for name in dtypes):
        raise ValueError(f"dtypes={dtypes} must name at least one of {', '.join(DTYPES)} and nothing else")
    held = np.array([-np.log10(float(np.finfo(name).eps)) for name in dtypes])
    digits = np.full((len(RECIPES), len(dtypes), len(offsets)), np.nan)
    for d, name in enumerate(dtypes):
        for k, offset in enumerate(offsets):
            stored = (row + offset).astype(name)
            if not np.isfinite(stored).all() or not np.ptp(stored):
                continue
            truth = exact(stored)
            for r, recipe in enumerate((raw_moments, two_passes, welford, chan)):
                digits[r, d, k] = _digits(float(recipe(stored)), truth, held[d])
    return Digits(RECIPES, dtypes, offsets, digits, held, count)


def _digits(value: float, truth: Fraction, held: float) -> float:
    if not np.isfinite(value):
        return 0.0
    error = abs(Fraction(value) - truth) / truth
    return held if error == 0 else float(np.clip(-np.log10(float(error)), 0, held))


def _power(value: float) -> str:
    """Return a number for an axis: 10 to a power where it is one and long."""
    exponent = np.log10(abs(value)) if value else 0
    return f"10<sup>{exponent:.0f}</sup>" if value > 100 and exponent == round(exponent) else f"{value:g}"


@check_keywords
def figure(
    x: Any = None,
    *,
    offsets: Iterable[float] = OFFSETS,
    dtypes: Iterable[str] = DTYPES,
    count: int | None = None,
    width: int = 900,
) -> go.Figure:
    """Draw the true digits left against the offset, one line a recipe; a slider has the type.

    Parameters
    ----------
    x, offsets, dtypes, count
        As in `measure`.
    width
        Pixels, of the whole figure; at least 320.

    Examples
    --------
    >>> [step.label for step in figure(offsets=[0, 10]).layout.sliders[0].steps]
    ['float16', 'float32', 'float64']
    """
    width = checks.width(width)
    result = measure(x, offsets=offsets, dtypes=dtypes, count=count)
    at = list(range(len(result.offsets)))
    active = min(1, len(result.dtypes) - 1)
    names = ("raw moments, E[x²] − E[x]²", "two passes", "Welford, one by one", "Chan, by pairs")
    drawing = go.Figure()
    for r, colour in enumerate(("red", "blue", "green", "orange")):
        drawing.add_scatter(
            x=at,
            y=look.rounded(result.digits[r, active]),
            name=names[r],
            mode="lines+markers",
            line={"color": look.COLOURS[colour], "width": 2, "dash": look.DASHES[r]},
            marker={"symbol": look.SYMBOLS[r], "size": 9},
            hovertemplate="%{y:.1f} digits<extra>" + names[r] + "</extra>",
        )
    drawing.add_scatter(
        x=[at[0] - 0.3, at[-1] + 0.3],
        y=[float(result.held[active])] * 2,
        name="what the type holds",
        mode="lines",
        line={"color": look.COLOURS["grey"], "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    steps = [
        look.step(
            name,
            {"y": [*(look.rounded(row) for row in result.digits[:, d]), [float(result.held[d])] * 2]},
            range(len(RECIPES) + 1),
        )
        for d, name in enumerate(result.dtypes)
    ]
    drawing.update_layout(
        sliders=[look.slider(steps, "Every value and every sum in ", active)],
        xaxis={
            "title": {"text": "offset (mean in standard deviations)"},
            "tickvals": at,
            "ticktext": [_power(o) for o in result.offsets],
            "range": [at[0] - 0.3, at[-1] + 0.3],
        },
        yaxis={"title": {"text": "true decimal digits of the variance"}, "range": [-0.4, float(result.held.max()) + 1]},
    )
    caption = (
        f"The variance of the same {result.count} values, computed one operation after the other in one type; the "
        "truth is exact arithmetic on the values as stored. Raw moments lose two digits for every power of ten of the "
        "offset, Welford and Chan about one. Two passes lose few at first and later two as well, for their mean is a "
        "plain sum, which in float16 is soon too coarse and then overflows. A line ends where the stored values no "
        "longer differ. Measured here."
    )
    alt = (
        "A line chart of the true decimal digits of a variance against the offset of its values, for four recipes. The "
        "line of raw moments falls to zero long before those of two passes, Welford and Chan. A slider has the type."
    )
    return look.finish(drawing, "How many digits of a variance are true?", caption, alt, width=width)
