"""What a function does with the statistics of its sets: which ones it takes, and what they are divided by.

Every answer comes from straight lines: y = weight * x_hat + bias in each cell, with x_hat computed here in float64 from
x as the function sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normviz.inspect._call import Forward, Refusal
from normviz.inspect.probe.sets import carry, other_sizes, statistics_of

# What is subtracted and what divides; only the first two are normalizers that have a name.
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
    """Return x normalized, with 0 where a set has nothing to divide by."""
    top, below = parts(x, labels, form)
    power = FORMS[form][2]
    bottom = (below + eps) ** power if inside else below**power + eps
    with np.errstate(all="ignore"):
        return np.where(bottom > 0, top / bottom, 0.0)


@dataclass
class Line:
    """y = weight * x_hat + bias in every cell, and how well that holds.

    Attributes
    ----------
    form
        The key of FORMS that fits best.
    weight, bias
        One for each cell, of the shape (N, C, *spatial).
    misfit
        The root mean square of what the line leaves, as a share of that of the output without bias.
    curved
        The share that no line with an odd x_hat can explain: an activation follows, or the function is no normalizer.
    tolerance
        How large these two may be: one percent, or two steps of a coarse output.
    error
        What the line leaves in each cell.
    pairs
        Inputs, and the odd part of the output for each: (y(x) - y(-x)) / 2.
    evens
        The even parts, which should all be the bias.
    zero
        The answer to zeros.
    """

    form: str
    weight: np.ndarray
    bias: np.ndarray
    misfit: float
    curved: float
    tolerance: float
    error: np.ndarray
    pairs: list[tuple[np.ndarray, np.ndarray]]
    evens: list[np.ndarray]
    zero: np.ndarray

    @property
    def straight(self) -> bool:
        """Whether the output is that of the form, but for what its precision allows."""
        return max(self.misfit, self.curved) < self.tolerance

    def refit(self, labels: np.ndarray, eps: float, inside: bool) -> None:
        """Take the weight again, now that eps is known."""
        hats = [x_hat(x, labels, self.form, eps, inside) for x, _ in self.pairs]
        self.weight, self.error, self.misfit = _slope(hats, [z for _, z in self.pairs])


def draw(forward: Forward, labels: np.ndarray, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Random cells whose sets differ in mean and spread, none of which is small beside `scale`."""
    count = labels.max() + 1
    size, shift = rng.uniform(0.5, 2, count)[labels], rng.uniform(-2, 2, count)[labels]
    cells = rng.uniform(-1, 1, labels.shape)
    found = statistics_of(cells, labels)
    spread = np.where(found["count"] > 1, found["var"] ** 0.5, 1.0)
    return forward.round(scale * (size * (cells - found["mean"]) / spread + shift))


def fit(forward: Forward, labels: np.ndarray, rng: np.random.Generator, forms: list[str], zero: np.ndarray) -> Line:
    """Find the form, and each cell's weight and bias, from two random inputs and their negatives."""
    scale = 1.0 if forms == ["x"] else SCALE[forward.dtype]
    pairs, evens = [], []
    for _ in range(2):
        x = draw(forward, labels, rng, scale)
        up, down = forward(x), forward(-x)
        pairs.append((x, (up - down) / 2))
        evens.append((up + down) / 2)
    odd = [z for _, z in pairs]
    size = max(_rms(*odd), 1e-300)
    best = None
    for form in forms:
        weight, error, misfit = _slope([x_hat(x, labels, form) for x, _ in pairs], odd)
        if best is None or misfit < best.misfit:
            curved = _rms(evens[0] - evens[1]) / size
            coarse = 2 * forward.resolution * max(1.0, min(_rms(*evens) / size, 20.0))
            tolerance = max(0.01, coarse)
            best = Line(form, weight, (evens[0] + evens[1]) / 2, misfit, curved, tolerance, error, pairs, evens, zero)
    assert best is not None
    return best


def _slope(hats: list[np.ndarray], odd: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """The weight of each cell by least squares, what is left in each cell, and its share."""
    below = sum(np.square(h) for h in hats)
    with np.errstate(all="ignore"):
        weight = sum(h * z for h, z in zip(hats, odd, strict=True)) / below
    weight = np.where(below > 0, weight, 0.0)
    left = [z - weight * h for h, z in zip(hats, odd, strict=True)]
    error = np.sqrt(sum(np.square(r) for r in left) / len(left))
    return weight, error, _rms(*left) / max(_rms(*odd), 1e-300)


def _rms(*arrays: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return math.sqrt(float(np.mean([np.mean(np.square(a)) for a in arrays])))


# ---- the size of a set: biased or unbiased, mean or sum ----


def divisor(forward: Forward, line: Line, labels: np.ndarray, rng: np.random.Generator) -> tuple[str | None, str]:
    """Return what the sum of squares is divided by, "m", "m - 1" or "1"; or None and why that cannot be told.

    Another size of set shows it: the line's weight stays, or changes by sqrt((m - 1) / m), or by sqrt(m).
    """
    tried = 0
    for shape in other_sizes(labels):
        there, axes = carry(labels, shape), [a for a in range(labels.ndim) if shape[a] != labels.shape[a]]
        weight = _constant(line, labels, tuple(axes), forward.resolution)
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
        rates = {"m": np.ones(shape), "m - 1": np.sqrt((1 - 1 / m) / (1 - 1 / n)), "1": np.sqrt(m / n)}
        rates["m - 1"] = 1 / rates["m - 1"]
        left = {name: _rms(odd - rate * hat) / max(_rms(odd), 1e-300) for name, rate in rates.items()}
        name, next_best = sorted(left, key=left.__getitem__)[:2]
        if left[name] < 0.02 and left[name] * 4 < left[next_best]:
            return name, ""
        return None, f"with {shape} for {labels.shape} the output changes as no divisor explains"
    size = int(np.bincount(labels.ravel()).max())
    return None, (
        f"every set has {size} cells, in no other shape that fn takes; dividing by {size - 1} would look the same with "
        "another eps and scale, so those are given as for the biased variance"
    )


def _constant(line: Line, labels: np.ndarray, axes: tuple[int, ...], resolution: float) -> np.ndarray | None:
    """Return the weight of each cell, taken as the same along `axes`, or None if it is not."""
    hats = [x_hat(x, labels, line.form) for x, _ in line.pairs]
    odd = [z for _, z in line.pairs]
    below = sum(np.square(h).sum(axes, keepdims=True) for h in hats)
    weight = sum((h * z).sum(axes, keepdims=True) for h, z in zip(hats, odd, strict=True)) / np.maximum(below, 1e-300)
    left = _rms(*(z - weight * h for h, z in zip(hats, odd, strict=True)))
    noise = 4 * _rms(line.error) + 2 * resolution * _rms(line.bias)
    moved = np.abs(line.bias - line.bias.mean(axes, keepdims=True)).max()
    same = left <= max(0.02 * _rms(*odd), noise) and moved <= max(0.02 * _rms(*odd), 2 * noise)
    return weight + np.zeros(labels.shape) if same else None
