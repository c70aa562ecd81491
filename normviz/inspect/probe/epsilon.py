"""How much is added before x is divided, and whether under the root: found by making x so small that it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normviz.inspect._call import Forward
from normviz.inspect.probe.forms import Line, parts

# log10 of the variances between which eps is looked for.
REACH = {"float64": (-28.0, 2.0), "float32": (-24.0, 2.0), "float16": (-10.0, 2.0), "bfloat16": (-24.0, 2.0)}


@dataclass
class Eps:
    """What is added where x_hat is divided.

    Attributes
    ----------
    value, inside
        None where it cannot be told.
    why
        The reason, then.
    """

    value: float | None = None
    inside: bool | None = None
    why: str = ""


def find_eps(forward: Forward, line: Line, labels: np.ndarray, rng: np.random.Generator) -> Eps:
    """Shrink x until eps counts: then y - bias is sqrt(v) / sqrt(v + eps) of what it was, or sqrt(v) / (sqrt(v) + eps).

    Every set has a scale of its own, so one call shows a whole curve.
    """
    low, high = REACH[forward.dtype]
    bottom, seen = low, []
    for _ in range(8):
        now = _ratios(forward, line, labels, rng, low, high)
        seen.append(now)
        v, ratio, error = now
        told = (ratio > 5 * error) & (1 - ratio > 20 * error)
        full, none = v[1 - ratio <= 20 * error], v[ratio <= 5 * error]
        if told.any():
            k = np.argmin(np.where(told, np.abs(ratio - 0.7), np.inf))
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
        return Eps(why="no scale of x at which eps counts was found")
    if not told.any():
        if full.size and forward.dtype == "float16" and np.isfinite(line.zero).all():
            return Eps(why="float16 has no squares small enough for it to count: it is less than 1e-10, if anything")
        if full.size:
            return Eps(0.0)
        return Eps(why="the output is too coarse at the scales where eps would count")
    for _ in range(2 if v.size > 7 else 3 if v.size > 2 else 5):
        seen.append(_ratios(forward, line, labels, rng, guess - 1.2, guess + 1.2))
    v, ratio, _ = (np.concatenate(part) for part in zip(*seen, strict=True))
    return _curve(v, ratio)


def _ratios(
    forward: Forward, line: Line, labels: np.ndarray, rng: np.random.Generator, low: float, high: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One call: for each set that can be used its v, how much of x_hat is left, and how wrong that may be."""
    count = labels.max() + 1
    level = rng.permutation(np.linspace(low, high, count)) if count > 2 else rng.uniform(low, high, count)
    x = forward.round(
        10.0 ** (level / 2)[labels] * rng.choice([-1, 1], labels.shape) * rng.uniform(0.5, 1.5, labels.shape)
    )
    top, v = parts(x, labels, line.form)
    with np.errstate(all="ignore"):
        full = line.weight * top / np.sqrt(v)
    full = np.where(v > 0, full, 0.0)
    z = forward(x) - line.bias
    flat = labels.ravel()
    below, m = np.bincount(flat, np.square(full).ravel()), np.bincount(flat)
    across = np.bincount(flat, (z * full).ravel())
    offset = np.sqrt(np.bincount(flat, np.square(line.bias).ravel()) / m)
    u = forward.resolution
    with np.errstate(all="ignore"):
        blurred = u * offset / np.sqrt(below / m)
    good = (below > 0) & np.isfinite(across) & (blurred < 0.05)  # a weight that is small beside the bias hides x
    ratio = across[good] / below[good]
    error = max(line.misfit, u) * np.abs(ratio) + blurred[good]
    return np.bincount(flat, v.ravel())[good] / m[good], ratio, error


def _curve(v: np.ndarray, ratio: np.ndarray) -> Eps:
    """Fit each shape that the curve may have, and take the one that fits alone."""
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
        return Eps(why="nothing is added: the root is held at a least value instead")
    # A step of 1 % in eps moves the ratio by about 0.25 %.
    digits = -math.log10(4 * left[name] / math.sqrt(v.size) + 1e-7)
    value = float(f"{best[name]:.{max(2, math.floor(digits))}g}")
    return Eps(value, name == "inside")
