"""The first wrong stage of an output that no known bug explains: sets, mean, variance, eps or affine, with numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normviz.inspect.check.known_bugs import near
from normviz.inspect.check.simulate import Recipe, Scene, divisor


@dataclass(frozen=True)
class Stage:
    """The first stage that is wrong, what is said of it, and a flat index of a cell that shows it."""

    code: str
    said: str
    cell: int
    details: dict


@np.errstate(all="ignore")
def first_wrong(
    name: str, scene: Scene, y: np.ndarray, base: Recipe, tolerance: float, other: tuple[Scene, np.ndarray]
) -> Stage:
    """Return the first wrong stage of the output y for one input called `name`; `other` is another input with its y.

    Scenes and outputs have all their cells.
    """
    expected = scene.output(base)
    wrong = ~near(y, expected, tolerance)
    worst = int(np.argmax(np.where(wrong, np.nan_to_num(np.abs(y - expected), nan=np.inf, posinf=np.inf), -1)))
    if not np.isfinite(y[wrong]).all():
        bad = ~np.isfinite(y) & np.isfinite(expected)
        said = f"gives NaN or infinite numbers for {bad.sum()} of {bad.size} ordinary cells"
        return Stage("non-finite", said, int(np.argmax(bad)), {})
    labels = base.cut.labels(scene.pool).reshape(-1)
    x, u = scene.x.reshape(-1), scene.unaffine(y, base.affine)
    slope, shift, straight = _lines(labels, x, u, tolerance)
    if straight[labels].all():
        return _in_sets(name, scene, base, labels, worst, slope, shift, tolerance, other)
    right = ~wrong
    rising = np.diff(y[np.argsort(expected)]).min() > -tolerance * np.abs(y).max()
    if right.mean() > 0.2 and rising:
        said = f"gives {right.sum()} of {right.size} cells as they should be, and changes others one by one: does an "
        return Stage("affine", said + "activation or a limit follow?", worst, {"right": int(right.sum())})
    axis = 0 if scene.pool.method.startswith("weight") else 1
    channel = np.broadcast_to(np.indices(scene.x.shape, sparse=True)[axis], scene.x.shape).reshape(-1)
    above, spread = scene.parts(base)
    weight, bias, straight = _lines(channel, above / divisor(spread, base), y, tolerance)
    if straight.all():
        expected_w, expected_b = scene.parameters("right")
        c = int(channel[worst])
        said = (
            f"puts another weight and bias on x_hat: in channel {c} it is multiplied by {weight[c]:.4g} and "
            f"{bias[c]:.4g} is added, where {expected_w[worst]:.4g} and {expected_b[worst]:.4g} are asked for"
        )
        return Stage("affine", said, worst, {"weight": float(weight[c]), "bias": float(bias[c])})
    if 0 < (np.bincount(labels, wrong) > 0).sum() <= labels.max() // 2 + 1 < labels.max() + 1:
        bad = np.unique(labels[wrong])
        said = f"gives wrong numbers in {bad.size} of {labels.max() + 1} sets ({_few(bad)}), and right ones in the rest"
    else:
        said = "gives no straight line of x in each set: other cells share a mean, or something follows"
    return Stage("sets", said, worst, {})


def _in_sets(
    name: str,
    scene: Scene,
    base: Recipe,
    labels: np.ndarray,
    worst: int,
    slope: np.ndarray,
    shift: np.ndarray,
    t: float,
    other: tuple[Scene, np.ndarray],
) -> Stage:
    """Tell a wrong mean from a wrong divisor, where the sets are right and x_hat is a line of x in each of them."""
    above, spread = scene.parts(base)
    x = scene.x.reshape(-1)
    mean, divided = -(shift / slope)[labels], 1 / slope[labels]
    off = np.abs(mean - (x - above)) / np.sqrt(spread + base.eps)
    where = f"in set {labels[worst]}"
    if slope[labels[worst]] == 0:
        return Stage("affine", f"gives the same number throughout set {labels[worst]}, whatever x is", worst, {})
    if off[worst] > 100 * t:
        should = float((x - above)[worst])
        said = f"subtracts {mean[worst] + 0.0:.6g} {where}, where the mean is {should:.6g}"
        return Stage("mean", said, worst, {"expected": should, "seen": float(mean[worst])})
    root = float(np.sqrt(spread[worst] + base.eps))
    ratio = divided / np.sqrt(spread + base.eps)
    fit = _lines(labels, other[0].x.reshape(-1), other[0].unaffine(other[1], base.affine), t)
    again = (1 / fit[0])[labels]
    added, added_again = divided**2 - spread, again**2 - other[0].parts(base)[1]
    again = again / np.sqrt(other[0].parts(base)[1] + base.eps)
    if np.allclose(ratio, again, rtol=1e-3) and not np.allclose(ratio, ratio[0], rtol=1e-3):
        said = (
            f"multiplies by another weight than it should: {where} by {1 / ratio[worst]:.5g} times it, on every input"
        )
        return Stage("affine", said, worst, {"times": float(1 / ratio[worst])})
    said = f"divides by {divided[worst]:.6g} {where}, where the root of variance + eps is {root:.6g}"
    if name in ("small", "tiny") or np.allclose(added, added_again, rtol=0.05, atol=0):
        said += f"; that would be right with an eps of {divided[worst] ** 2 - spread[worst]:.4g}"
        return Stage("eps", said, worst, {"expected": base.eps, "seen": float(divided[worst] ** 2 - spread[worst])})
    variance = float(divided[worst] ** 2 - base.eps)
    said += f": a variance of {variance:.6g} instead of {spread[worst]:.6g}"
    return Stage("variance", said, worst, {"expected": float(spread[worst]), "seen": variance})


def _lines(labels: np.ndarray, x: np.ndarray, y: np.ndarray, tolerance: float) -> tuple[np.ndarray, ...]:
    """Slope and shift of y over x for each label, and whether the cells lie on that line."""
    count = np.maximum(np.bincount(labels), 1)
    mx, my = np.bincount(labels, x) / count, np.bincount(labels, y) / count
    dx, dy = x - mx[labels], y - my[labels]
    slope = np.bincount(labels, dx * dy) / np.bincount(labels, dx * dx)
    left = np.abs(dy - slope[labels] * dx) > 10 * tolerance * (np.abs(y) + np.sqrt(np.mean(np.square(y))))
    return slope, my - slope * mx, np.bincount(labels, left) == 0


def _few(numbers: np.ndarray) -> str:
    return ", ".join(map(str, numbers[:6].tolist())) + (", ..." if numbers.size > 6 else "")
