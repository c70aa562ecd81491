"""Fit the output of a function: the statistics of its sets, eps, the divisor of the variance, weight and bias.

Every result comes from straight lines, y = weight * x_hat + bias in each cell, with x_hat computed here in float64 from
x as the function sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.inspect._call import Forward, Refusal
from normviz.inspect.probe.sets import carry, number, other_sizes, statistics_of

# Subtracted statistic, dividing statistic, its power; only the first two are normalizers with a name.
FORMS = {
    "(x - mean) / std": ("mean", "var", 0.5),
    "x / root mean square": (None, "square", 0.5),
    "x / std": (None, "var", 0.5),
    "(x - mean) / root mean square": ("mean", "square", 0.5),
    "(x - mean) / variance": ("mean", "var", 1.0),
    "x / mean square": (None, "square", 1.0),
    "x - mean": ("mean", None, 0.0),
    "x": (None, None, 0.0),
}
# Large, so that eps does not show; float16 has no room for large squares.
SCALE = {"float64": 1e6, "float32": 1e3, "float16": 8.0, "bfloat16": 1e3}


def parts(x: np.ndarray, labels: np.ndarray, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the numerator of x_hat and the mean square that divides it (1 where none does), cell by cell."""
    subtracted, divides, _ = FORMS[form]
    found = statistics_of(x, labels)
    top = x - found[subtracted] if subtracted else x
    return top, found[divides] if divides else np.ones(x.shape)


def x_hat(x: np.ndarray, labels: np.ndarray, form: str, eps: float = 0.0, inside: bool = True) -> np.ndarray:
    """Return x normalized, with 0 where the divisor is 0."""
    top, below = parts(x, labels, form)
    power = FORMS[form][2]
    bottom = (below + eps) ** power if inside else below**power + eps
    return np.where(bottom > 0, top / bottom, 0.0)


@dataclass
class Line:
    """y = weight * x_hat + bias in every cell, and how well it fits. Arrays are of the shape (N, C, *spatial)."""

    form: str  # the key of FORMS that fits best
    weight: np.ndarray
    bias: np.ndarray
    misfit: float  # root mean square of the residuals, as a share of that of the output without bias
    curved: float  # the share that is even in x, which no line explains: an activation follows, or fn is no normalizer
    tolerance: float  # the largest value of both that counts as a fit: one percent, or two steps of a coarse output
    error: np.ndarray  # root mean square of the residuals in each cell
    pairs: list[tuple[np.ndarray, np.ndarray]]  # inputs, and the odd part of the output for each: (y(x) - y(-x)) / 2
    zero: np.ndarray  # the output for zeros
    eps: float = 0.0
    inside: bool = True  # whether eps is under the root

    @property
    def straight(self) -> bool:
        """Whether the output follows the form to within its precision."""
        return max(self.misfit, self.curved) < self.tolerance

    @property
    def odd(self) -> list[np.ndarray]:
        """The odd parts of the outputs."""
        return [z for _, z in self.pairs]

    def hats(self, labels: np.ndarray) -> list[np.ndarray]:
        """Return the normalized inputs."""
        return [x_hat(x, labels, self.form, self.eps, self.inside) for x, _ in self.pairs]

    def refit(self, labels: np.ndarray, eps: float, inside: bool) -> None:
        """Fit the weight again, now that eps is known."""
        self.eps, self.inside = eps, inside
        self.weight, self.error, self.misfit = _slope(self.hats(labels), self.odd)


def draw(forward: Forward, labels: np.ndarray, rng: np.random.Generator, scale: float, turn: int = 0) -> np.ndarray:
    """Return random cells whose sets differ in mean and spread, neither of them small compared with `scale`.

    Every other set has long tails, in the next turn the others: the ratio of two measures of spread, such as the mean
    absolute value and the root mean square, then differs from set to set and from turn to turn. Within a set rows,
    columns and channels differ, so that statistics of parts of a set differ from those of the whole.
    """
    count, cells = labels.max() + 1, rng.uniform(-1, 1, labels.shape)
    size, shift = rng.uniform(0.5, 2, count)[labels], rng.uniform(-2, 2, count)[labels]
    cells = np.sign(cells) * np.abs(cells) ** np.where((labels + turn) % 2, 0.5, 2.0)
    for axis, n in enumerate(labels.shape):
        along = [n if a == axis else 1 for a in range(labels.ndim)]
        cells = cells * rng.uniform(0.7, 1.3, along) + rng.uniform(-0.3, 0.3, along)
    found = statistics_of(cells, labels)
    spread = np.where(found["count"] > 1, found["var"] ** 0.5, 1.0)
    return forward.round(scale * (size * (cells - found["mean"]) / spread + shift))


def fit(forward: Forward, labels: np.ndarray, rng: np.random.Generator, forms: list[str], zero: np.ndarray) -> Line:
    """Find the form, and each cell's weight and bias, from two random inputs and their negatives."""
    scale = 1.0 if forms == ["x"] else SCALE[forward.dtype]
    pairs, evens = [], []
    for turn in range(2):
        x = draw(forward, labels, rng, scale, turn)
        up, down = forward(x), forward(-x)
        pairs.append((x, (up - down) / 2))
        evens.append((up + down) / 2)
    odd = [z for _, z in pairs]
    size = max(rms(*odd), 1e-300)
    best = None
    for form in forms:
        weight, error, misfit = _slope([x_hat(x, labels, form) for x, _ in pairs], odd)
        if best is None or misfit < best.misfit:
            curved = rms(evens[0] - evens[1]) / size
            coarse = 2 * forward.resolution * max(1.0, min(rms(*evens) / size, 20.0))
            tolerance = max(0.01, coarse)
            best = Line(form, weight, (evens[0] + evens[1]) / 2, misfit, curved, tolerance, error, pairs, zero)
    assert best is not None
    return best


def _slope(hats: list[np.ndarray], odd: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the weight of each cell by least squares, the residual in each cell, and its share of the output."""
    below = sum(np.square(h) for h in hats)
    weight = sum(h * z for h, z in zip(hats, odd, strict=True)) / below
    weight = np.where(below > 0, weight, 0.0)
    left = [z - weight * h for h, z in zip(hats, odd, strict=True)]
    error = np.sqrt(sum(np.square(r) for r in left) / len(left))
    return weight, error, rms(*left) / max(rms(*odd), 1e-300)


def rms(*arrays: np.ndarray) -> float:
    """Return the root mean square of arrays of one size."""
    return math.sqrt(float(np.mean([np.mean(np.square(a)) for a in arrays])))


# ---- the divisor: biased or unbiased, mean or sum ----


def divisor(forward: Forward, line: Line, labels: np.ndarray, rng: np.random.Generator) -> tuple[str | None, str]:
    """Return the divisor of the sum of squares, "|S|", "|S| - 1" or "1"; or None and why it cannot be measured.

    Sets of another size show it: the line's weight stays, or changes by sqrt((m - 1) / m), or by sqrt(m).
    """
    tried, skipped = 0, False
    for shape in other_sizes(labels):
        there, axes = carry(labels, shape), [a for a in range(labels.ndim) if shape[a] != labels.shape[a]]
        weight = _constant_weight(line, labels, tuple(axes), forward.resolution)
        skipped |= weight is None
        if weight is None or tried == 4:
            continue
        tried += 1
        x = draw(forward, there, rng, SCALE[forward.dtype])
        try:
            odd = (forward(x) - forward(-x)) / 2
        except (Refusal, ValueError, TypeError):
            continue
        m, n = statistics_of(line.pairs[0][0], labels)["count"], statistics_of(x, there)["count"]
        hat = carry(weight, shape) * x_hat(x, there, line.form)
        m = carry(m, shape)
        rates = {"|S|": np.ones(shape), "|S| - 1": np.sqrt((1 - 1 / n) / (1 - 1 / m)), "1": np.sqrt(m / n)}
        left = {name: rms(odd - rate * hat) / max(rms(odd), 1e-300) for name, rate in rates.items()}
        name, next_best = sorted(left, key=left.__getitem__)[:2]
        if left[name] < 0.02 and left[name] * 4 < left[next_best]:
            return name, ""
        return None, f"with {shape} for {labels.shape} the output changes in a way that no divisor explains"
    sizes = np.bincount(labels.ravel())
    known, less = f"every set has {sizes.max()} cells, in every shape that fn takes", str(sizes.max() - 1)
    if skipped or sizes.max() > sizes.min():
        known, less = "sets with another number of cells could not be compared", "|S| - 1"
    return None, (
        f"{known}; dividing by {less} would look the same with another eps and scale, so those are given as for the "
        "biased variance"
    )


def _constant_weight(line: Line, labels: np.ndarray, axes: tuple[int, ...], resolution: float) -> np.ndarray | None:
    """Return the weight of each cell if it is constant along `axes`, or None."""
    hats, odd = [x_hat(x, labels, line.form) for x, _ in line.pairs], line.odd
    below = sum(np.square(h).sum(axes, keepdims=True) for h in hats)
    weight = sum((h * z).sum(axes, keepdims=True) for h, z in zip(hats, odd, strict=True)) / np.maximum(below, 1e-300)
    left = rms(*(z - weight * h for h, z in zip(hats, odd, strict=True)))
    noise = 4 * rms(line.error) + 2 * resolution * rms(line.bias)
    moved = np.abs(line.bias - line.bias.mean(axes, keepdims=True)).max()
    same = left <= max(0.02 * rms(*odd), noise) and moved <= max(0.02 * rms(*odd), 2 * noise)
    return weight + np.zeros(labels.shape) if same else None


# ---- eps ----

# log10 of the variances between which eps is looked for.
REACH = {"float64": (-28.0, 2.0), "float32": (-24.0, 2.0), "float16": (-10.0, 2.0), "bfloat16": (-24.0, 2.0)}


@dataclass
class Eps:
    """The eps of a normalizer; its value is None if it cannot be measured."""

    value: float | None = None
    inside: bool | None = None  # whether it is under the root
    why: str = ""  # why it cannot be measured


def find_eps(forward: Forward, line: Line, labels: np.ndarray, rng: np.random.Generator) -> Eps:
    """Make x so small that eps matters: y - bias shrinks by sqrt(v) / sqrt(v + eps), or by sqrt(v) / (sqrt(v) + eps).

    Every set has a scale of its own, so one call measures a whole curve.
    """
    low, high = REACH[forward.dtype]
    bottom, seen = low, []
    for _ in range(8):
        now = _ratios(forward, line, labels, rng, low, high)
        seen.append(now)
        v, ratio, error = now
        measurable = (ratio > 5 * error) & (1 - ratio > 20 * error)
        full, none = v[1 - ratio <= 20 * error], v[ratio <= 5 * error]
        if measurable.any():
            k = np.argmin(np.where(measurable, np.abs(ratio - 0.7), np.inf))
            guess = math.log10(v[k] * (1 / ratio[k] ** 2 - 1))
            if 0.1 < ratio[k] < 0.98:
                break
            low, high = guess - 1.5, guess + 1.5
        else:
            low = math.log10(none.max()) if none.size else low
            high = math.log10(full.min()) if full.size else high
            if high < bottom + 1.5 or low > high - 0.3:
                break
    else:
        return Eps(why="no scale of x was found at which eps matters")
    if not measurable.any():
        if full.size and forward.dtype == "float16" and np.isfinite(line.zero).all():
            return Eps(why="float16 has no squares small enough for eps to matter: it is below 1e-10, or 0")
        if full.size:
            return Eps(0.0)
        return Eps(why="the dtype of the output is too coarse at the scales where eps matters")
    for _ in range(2 if v.size > 7 else 3 if v.size > 2 else 5):
        seen.append(_ratios(forward, line, labels, rng, guess - 1.2, guess + 1.2))
    v, ratio, _ = (np.concatenate(part) for part in zip(*seen, strict=True))
    return _curve(v, ratio)


def _ratios(
    forward: Forward, line: Line, labels: np.ndarray, rng: np.random.Generator, low: float, high: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Call fn once; return v of each usable set, the share of x_hat that is left, and the error of that share."""
    count = labels.max() + 1
    level = rng.permutation(np.linspace(low, high, count)) if count > 2 else rng.uniform(low, high, count)
    x = forward.round(
        10.0 ** (level / 2)[labels] * rng.choice([-1, 1], labels.shape) * rng.uniform(0.5, 1.5, labels.shape)
    )
    top, v = parts(x, labels, line.form)
    full = line.weight * top / np.sqrt(v)
    full = np.where(v > 0, full, 0.0)
    z = forward(x) - line.bias
    flat = labels.ravel()
    below, m = np.bincount(flat, np.square(full).ravel()), np.bincount(flat)
    across = np.bincount(flat, (z * full).ravel())
    offset = np.sqrt(np.bincount(flat, np.square(line.bias).ravel()) / m)
    u = forward.resolution
    blurred = u * offset / np.sqrt(below / m)
    good = (
        (below > 0) & np.isfinite(across) & (blurred < 0.05)
    )  # x is lost if the weight is small compared with the bias
    ratio = across[good] / below[good]
    error = max(line.misfit, u) * np.abs(ratio) + blurred[good]
    return np.bincount(flat, v.ravel())[good] / m[good], ratio, error


def _curve(v: np.ndarray, ratio: np.ndarray) -> Eps:
    """Fit each shape that the curve may have, and return the eps of the only one that fits."""
    use = (ratio > 0.02) & (ratio < 0.999)
    v, ratio = v[use], ratio[use]
    root = np.sqrt(v)
    shapes = {
        "inside": (lambda e: np.sqrt(v / (v + e)), v * (1 / ratio**2 - 1)),
        "outside": (lambda e: root / (root + e), root * (1 / ratio - 1)),
        "clamped": (lambda e: np.minimum(1, root / e), root / ratio),
    }
    left: dict[str, float] = {}
    best: dict[str, float] = {}
    for name, (curve, guesses) in shapes.items():
        center, width = math.log10(float(np.median(guesses))), 2.0
        for _ in range(6):
            grid = [center + width * step / 100 for step in range(-100, 101)]
            losses = [float(np.mean(np.square(curve(10.0**g) - ratio))) for g in grid]
            center, width = grid[losses.index(min(losses))], width / 25
        left[name], best[name] = math.sqrt(min(losses)), 10.0**center
    name, next_best = sorted(left, key=left.__getitem__)[:2]
    if left[name] > 0.02 or left[name] * 3 > left[next_best]:
        return Eps(why="the output of small inputs follows neither sqrt(var + eps) nor sqrt(var) + eps")
    if name == "clamped":
        return Eps(why="nothing is added, but the square root has a lower bound")
    # A step of 1 % in eps moves the ratio by about 0.25 %.
    digits = -math.log10(4 * left[name] / math.sqrt(v.size) + 1e-7)
    value = float(f"{best[name]:.{max(2, math.floor(digits))}g}")
    return Eps(value, name == "inside")


# ---- weight and bias ----


def layout(
    line: Line, labels: np.ndarray, *, resolution: float, factor: Any, axis: int
) -> tuple[str | None, np.ndarray | None, np.ndarray | None]:
    """Return the simplest layout whose weights and biases explain the output as well as those of single cells do.

    It is "none", "channel", "group", "element", or None if none of these fits; weight and bias come with it, of shape
    (C,), (G,) or (C, *spatial), or None.

    `factor` multiplies the weights of the line, cell by cell: it is 1 unless the divisor of the sum of squares is not
    the number of cells. Channels lie along `axis`, which is 0 for the weights of a layer.
    """
    shape = labels.shape
    others = [a for a in range(len(shape)) if a != axis]
    channel = np.broadcast_to(np.expand_dims(np.arange(shape[axis]), others), shape)
    element = np.broadcast_to(np.arange(labels[0].size).reshape(shape[1:]), shape)
    fits = _Fits(line, [hat / factor for hat in line.hats(labels)], channel, resolution)
    one = np.zeros(shape, int)
    weight, bias = fits.solve(one)
    if np.any(weight) and fits.holds(one, np.ones(1), np.zeros(1)):
        return "none", None, None
    if fits.holds(one, weight, bias):
        return "channel", weight.repeat(shape[axis]), bias.repeat(shape[axis])
    layouts = [("channel", channel), ("element", element)]
    groups = _groups(labels)
    if groups is not None:
        layouts.insert(0, ("group", np.broadcast_to(groups.reshape(-1, *[1] * (len(shape) - 2)), shape)))
    for kind, where in layouts:
        weight, bias = fits.solve(where)
        if fits.holds(where, weight, bias):
            final = shape[1:] if kind == "element" else (-1,)
            return kind, weight.reshape(final), bias.reshape(final)
    return None, None, None


class _Fits:
    """Least squares with one weight and one bias for each part of the cells."""

    def __init__(self, line: Line, hats: list, channel: np.ndarray, u: float) -> None:
        self.hats, self.odd, self.bias, self.channel = hats, line.odd, line.bias, channel
        size = np.sqrt(self._mean(np.square(self.odd).mean(0))) + np.sqrt(self._mean(np.square(self.bias)))
        # Rounding of the mean shifts all cells of a set equally, so it does not count as noise between cells.
        self.noise = 4 * np.sqrt(self._mean(np.square(line.error))) + (4 * u if u > 1e-4 else max(32 * u, 1e-12)) * size

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over each channel."""
        return np.bincount(self.channel.ravel(), values.ravel()) / np.bincount(self.channel.ravel())

    def solve(self, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = where.ravel()
        count = np.bincount(flat)
        below = np.bincount(flat, np.square(self.hats).sum(0).ravel())
        across = np.bincount(flat, np.multiply(self.hats, self.odd).sum(0).ravel())
        weight = np.divide(across, below, out=np.zeros(below.shape), where=below > 0)
        return weight, np.bincount(flat, self.bias.ravel()) / count

    def holds(self, where: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> bool:
        """Whether the fit explains every channel to within its noise."""
        left = [np.square(z - weight[where] * h) for h, z in zip(self.hats, self.odd, strict=True)]
        left = [*left, np.square(self.bias - bias[where])]
        return all(bool((np.sqrt(self._mean(part)) <= self.noise).all()) for part in left)


def _groups(labels: np.ndarray) -> np.ndarray | None:
    """Return the group of each channel if the sets group the channels of a sample, or None."""
    by_channel = labels[0].reshape(labels.shape[1], -1)
    if not (by_channel == by_channel[:, :1]).all():
        return None
    groups = number(by_channel[:, 0])
    return groups if 1 < groups.max() + 1 < len(groups) else None
