"""Correct digits of a variance, computed by four algorithms in float16, float32 and float64, against the offset."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import brief, check_keywords
from normviz.explorer.plotly_figure import Figure
from normviz.labs import input_checks

OFFSETS = (0.0, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
RECIPES = ("raw moments", "two passes", "Welford", "Chan")
NAMES = ("raw moments", "two passes", "Welford, one by one", "Chan, by pairs")
DTYPES = ("float16", "float32", "float64")
COUNT = 512
NEAR = 0.05
"""How far the offset of a draw may be from the offset, as a share of it."""


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
        (R, D, K), -log10 of the root mean square relative error over the draws, from 0 (no digit is correct) to the
        precision of the dtype; NaN where neighbouring numbers of the dtype are one standard deviation apart or more, or
        a value is too large for it.
    held, count, draws
        (D,) the digits of a dtype, -log10 of its epsilon; the number of values; and the number of draws.
    """

    recipes: tuple[str, ...]
    dtypes: tuple[str, ...]
    offsets: tuple[float, ...]
    digits: np.ndarray
    held: np.ndarray
    count: int
    draws: int


def raw_moments(x: np.ndarray) -> Any:
    """Return E[x^2] - E[x]^2 over the last axis, summed one value after the other in x's dtype."""
    n = x.dtype.type(x.shape[-1])
    mean = _sum(x) / n
    return _sum(x * x) / n - mean * mean


def two_passes(x: np.ndarray) -> Any:
    """Return the mean of (x - mean)^2 over the last axis."""
    n = x.dtype.type(x.shape[-1])
    centered = x - (_sum(x) / n)[..., None]
    return _sum(centered * centered) / n


def welford(x: np.ndarray) -> Any:
    """Return the variance over the last axis by Welford's update (1962): one pass, one value at a time."""
    mean = m2 = np.zeros(x.shape[:-1], x.dtype)
    for k in range(x.shape[-1]):
        delta = x[..., k] - mean
        mean = mean + delta / x.dtype.type(k + 1)
        m2 = m2 + delta * (x[..., k] - mean)
    return m2 / x.dtype.type(x.shape[-1])


def chan(x: np.ndarray) -> Any:
    """Return the variance over the last axis by merging pairs, then pairs of pairs (Chan, Golub & LeVeque 1983)."""
    parts = [(1, x[..., k], np.zeros(x.shape[:-1], x.dtype)) for k in range(x.shape[-1])]
    while len(parts) > 1:
        merged = [_merge(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = merged + parts[len(parts) - len(parts) % 2 :]
    return parts[0][2] / x.dtype.type(x.shape[-1])


def _merge(a: tuple[int, Any, Any], b: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    dtype = mean_a.dtype.type
    n, delta = n_a + n_b, mean_b - mean_a
    # The weights are computed with Python's numbers: n_a * n_b overflows float16 at 512 values.
    return n, mean_a + delta * dtype(n_b / n), m2_a + m2_b + delta * delta * dtype(n_a * n_b / n)


def _sum(x: np.ndarray) -> Any:
    # np.sum adds pairwise, as Chan's algorithm does; this adds one value after the other, as a plain loop does.
    return np.add.accumulate(x, axis=-1, dtype=x.dtype)[..., -1]


def exact(x: np.ndarray) -> Fraction:
    """Return the variance of the stored values, (n,), without rounding."""
    pairs = [float(v).as_integer_ratio() for v in x]
    scale = max(q for _, q in pairs)  # a power of two, as all denominators are
    values = [p * (scale // q) for p, q in pairs]
    return Fraction(len(x) * sum(v * v for v in values) - sum(values) ** 2, (len(x) * scale) ** 2)


@check_keywords
@np.errstate(all="ignore")
def measure(
    x: Any = None, *, offsets: Iterable[float] = OFFSETS, dtypes: Iterable[str] = DTYPES, count: int | None = None,
    draws: int = 10, seed: int = 0,
) -> Digits:  # fmt: skip
    """Compute a variance by every algorithm, in every dtype, at every offset, for several draws of values.

    Parameters
    ----------
    x
        Shape (N, C, *spatial); the values of channel 0 are taken, in units of their standard deviation and with mean 0,
        so that an offset is mean / std. None takes real activations.
    offsets
        Added before the values are rounded to the dtype, for each draw another number within 5 % of the offset. The
        reference is the variance of the rounded values, so that every lost digit is lost by the algorithm.
    dtypes
        "float16", "float32" or "float64".
    count
        Number of values of a draw, from 2 to N*H*W; None takes 512, or all if there are fewer.
    draws, seed
        Number of draws, each in an order of its own, and the seed of the draws. One draw alone may be right by luck.

    Raises
    ------
    ValueError, TypeError
        If channel 0 of x is empty, constant or holds a NaN, or has fewer than `count` values; or a name or
        offset is wrong.

    Examples
    --------
    >>> digits = measure(offsets=[1e4], dtypes=["float32"]).digits[:, 0, 0]
    >>> bool(digits[0] < 1 < 3 < digits[1])
    True
    """
    row = input_checks.tensor(x, 8, varied=False)[:, 0].ravel()
    count = min(COUNT, row.size) if count is None else count
    count = input_checks.whole(count, "count", 2, row.size, "the cells of a channel of x")
    draws, seed = input_checks.whole(draws, "draws", 1), input_checks.seed(seed)
    row = row - row.mean()
    if not np.ptp(row):
        raise ValueError("channel 0 of x is constant; pass values that vary")
    row /= row.std()
    offsets = tuple(input_checks.number(o, "offset") for o in input_checks.several(offsets, "offsets", "(0, 1e3)"))
    dtypes = input_checks.several(dtypes, "dtypes", '("float32",)')
    if any(name not in DTYPES for name in dtypes):
        raise ValueError(f"dtypes={brief(dtypes)} must name at least one of {', '.join(DTYPES)} and nothing else")
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.permutation(row)[:count] for _ in range(draws)])
    # Round numbers such as 10^6 have few bits, so that their sums lose less than those of other numbers.
    near = rng.uniform(1 - NEAR, 1 + NEAR, size=(draws, 1))
    held = np.array([-np.log10(float(np.finfo(name).eps)) for name in dtypes])
    digits = np.full((len(RECIPES), len(dtypes), len(offsets)), np.nan)
    for d, name in enumerate(dtypes):
        for k, offset in enumerate(offsets):
            stored = (drawn + offset * near).astype(name)
            if not np.isfinite(stored).all() or np.spacing(np.abs(stored).max()) >= 1:
                continue
            references = [exact(values) for values in stored]
            if not all(references):
                continue
            for r, recipe in enumerate((raw_moments, two_passes, welford, chan)):
                digits[r, d, k] = _digits(recipe(stored), references, held[d])
    return Digits(RECIPES, dtypes, offsets, digits, held, count, draws)


def _digits(values: np.ndarray, references: list[Fraction], held: float) -> float:
    """Return -log10 of the root mean square relative error."""
    if not np.isfinite(values).all():
        return 0.0
    errors = [float(abs(Fraction(float(v)) - r) / r) for v, r in zip(values, references, strict=True)]
    error = float(np.sqrt(np.mean(np.square(errors))))
    return held if error == 0 else float(np.clip(-np.log10(error), 0, held))


def _power(value: float) -> str:
    """Return a number as a tick label, a large power of ten as such."""
    exponent = np.log10(abs(value)) if value else 0
    return f"10<sup>{exponent:.0f}</sup>" if value > 100 and exponent == round(exponent) else f"{value:g}"


@check_keywords
def figure(
    x: Any = None, *, offsets: Iterable[float] = OFFSETS, dtypes: Iterable[str] = DTYPES, count: int | None = None,
    draws: int = 10, seed: int = 0, width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw the correct digits against the offset, one line for each algorithm; a slider chooses the dtype.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [step.label for step in figure(offsets=[0, 10]).layout.sliders[0].steps]
    ['float16', 'float32', 'float64']
    """
    room = chart.room(width, presenter)
    result = measure(x, offsets=offsets, dtypes=dtypes, count=count, draws=draws, seed=seed)
    ticks = list(range(len(result.offsets)))
    drawing = Figure()
    for r, (name, colour) in enumerate(zip(NAMES, ("red", "blue", "green", "orange"), strict=True)):
        hover = "%{y:.1f} digits<extra>" + name + "</extra>"
        drawing.add_scatter(x=ticks, name=name, hovertemplate=hover, **chart.line(r, colour, size=9))
    dots = {"color": chart.COLOURS["grey"], "width": 1.5, "dash": "dot"}
    drawing.add_scatter(x=[ticks[0], ticks[-1]], name="all the type holds", mode="lines", line=dots, hoverinfo="skip")

    def step(d: int, name: str) -> dict[str, Any]:
        lines = [*(chart.rounded(row) for row in result.digits[:, d]), [float(result.held[d])] * 2]
        changed = {"yaxis__range": [-0.4, float(result.held[d]) + 0.8], "title__text": _finding(result, d)}
        return chart.step(name, {"y": lines}, range(len(lines)), **changed)

    steps = [step(d, name) for d, name in enumerate(result.dtypes)]
    first = min(1, len(steps) - 1)
    chart.add_slider(drawing, steps, "Every value and every sum in ", first)
    powers = {"tickvals": ticks, "ticktext": [_power(o) for o in result.offsets]}
    drawing.update_xaxes(
        title_text="offset (mean in standard deviations)", range=[ticks[0] - 0.3, ticks[-1] + 0.3], **powers
    )
    drawing.update_yaxes(title_text="correct digits of the variance")
    return chart.finish(
        drawing, _finding(result, first),
        f"The variance of {result.count} values, computed one operation after the other in one type; the reference is "
        f"exact arithmetic on the stored values. Each point: {result.draws} draws of the values, each with another "
        "offset within 5 % of this one; digits of the root mean square error. Raw moments, E[x²] − E[x]², lose two "
        "digits for every power of ten of the offset, Welford and Chan about one. Two passes lose few at first and "
        "later two as well, because their mean is a plain sum, which in float16 soon overflows. A line ends where "
        "neighbouring numbers of the type are a standard deviation apart. Measured here.",
        "A line chart of the correct decimal digits of a variance against the offset of its values, for four "
        "recipes. The line of raw moments falls to zero long before those of two passes, Welford and Chan. A slider "
        "has the type.",
        room=room, ends=[chart.Ends(range(len(NAMES) + 1))],
    )  # fmt: skip


def _finding(result: Digits, d: int) -> str:
    """Say from which offset on raw moments have no correct digit in a dtype, and what Chan's algorithm has there."""
    raw, pairs = result.digits[0, d], result.digits[3, d]
    lost = np.flatnonzero(raw < 0.5)
    if not lost.size:
        return f"In {result.dtypes[d]} every recipe has a correct digit at these offsets"
    k = int(lost[0])
    return (
        f"In {result.dtypes[d]}, raw moments have no correct digit at a mean of {result.offsets[k]:,.0f} standard "
        f"deviations; Chan has {pairs[k]:.0f}"
    )
