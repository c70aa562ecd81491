"""The first wrong stage of an output that no known bug explains: sets, mean, variance, eps or affine, with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.inspect.check.bug import Case, Change
from normviz.inspect.check.simulate import Recipe, Trial, all_cells, divisor
from normviz.inspect.check.verdict import Mismatch
from normviz.inspect.probe.report import sets_in_words
from normviz.inspect.probe.sets import block_of, number

HINTS = {
    "sets": "Which cells should share a mean? normviz.probe(fn).explore() shows which ones do.",
    "variance": "Print the variance that you use for this set beside the variance of the same cells. What is each "
    "divided by?",
    "eps": "The output is right while the variance is large; look at what is added to it.",
    "non-finite": "Look for the square root of a negative number, and for a division by 0.",
}


@np.errstate(all="ignore")
def first_wrong_stage(
    trials: Sequence[Trial], base: Recipe, tolerance: float, case: Case, known: Sequence[Change]
) -> Mismatch:
    """Return the first wrong stage in the first of the outputs that differ from those of the right recipe `base`.

    `known` are the bugs that can make the sets that were measured, `case.measured`.
    """
    trial = next(t for t in trials if not t.scene.agrees(t.y, base, tolerance).all())
    scene, y = trial.scene, trial.y
    expected = scene.output(base)
    wrong = ~scene.agrees(y, base, tolerance)
    worst = int(np.argmax(np.where(wrong, np.nan_to_num(np.abs(y - expected), nan=np.inf, posinf=np.inf), -1)))

    def stage(code: str, text: str, cell: int = worst, **details: Any) -> Mismatch:
        return Mismatch(code, text, scene.x, y, expected, wrong, cell, details=details)

    if not np.isfinite(y[wrong]).all():
        bad = ~np.isfinite(y) & np.isfinite(expected)
        text = f"gives NaN or infinite numbers for {bad.sum()} of {bad.size} ordinary cells"
        return stage("non-finite", text, int(np.argmax(bad)))
    if of_groups := _one_weight_a_group(trials, base, tolerance):
        return stage("affine-per-group", of_groups)
    labels = base.cut.labels(scene.pool).reshape(-1)
    others = _other_sets(case)
    if others and (cut := next((c for c in known if [*c.fields] == ["cut"]), None)):
        return stage(cut.code, f"{cut.text}, and more is wrong", **cut.details)
    if others and case.measured is not None and block_of(case.measured):
        return stage("sets", others)
    _, _, straight = _lines_of_sets(trial, base, labels, tolerance)
    if straight[labels].all():
        code, text, details = _wrong_line(trial, trials[1], base, labels, worst, tolerance)
        return stage(code, text, **details)
    right = ~wrong
    rising = np.diff(y[np.argsort(expected)]).min() > -tolerance * np.abs(y).max()
    if right.mean() > 0.2 and rising:
        text = f"gives the right output for {right.sum()} of {right.size} cells, and changes the others one by one"
        return stage("affine", f"{text}: does an activation or a limit follow?", right=int(right.sum()))
    axis = 0 if scene.pool.method.startswith("weight") else 1
    channel = np.broadcast_to(np.indices(scene.x.shape, sparse=True)[axis], scene.x.shape).reshape(-1)
    numerator, spread = scene.parts(base)
    weight, bias, straight = lines(channel, numerator / divisor(spread, base), y, tolerance)
    if straight.all():
        expected_weight, expected_bias = scene.parameters(base.affine)
        c = int(channel[worst])
        text = (
            f"applies another weight and bias to x_hat: in channel {c} it multiplies by {weight[c]:.4g} and adds "
            f"{bias[c]:.4g}, not {expected_weight[worst]:.4g} and {expected_bias[worst]:.4g}"
        )
        return stage("affine", text, weight=float(weight[c]), bias=float(bias[c]))
    sets = labels.max() + 1
    bad = np.unique(labels[wrong])
    if 0 < bad.size <= (sets - 1) // 2 + 1 < sets:
        few = ", ".join(map(str, bad[:6].tolist())) + (", ..." if bad.size > 6 else "")
        return stage("sets", f"gives wrong numbers in {bad.size} of {sets} sets ({few}) and right ones in the others")
    if others:
        return stage("sets", others)
    shared = "fn's sets are not the method's, or another step follows"
    if case.measured is not None:
        shared = "the cells that influence one another are the right ones, but another step follows"
    return stage("sets", f"gives no linear function of x in each set: {shared}")


def _other_sets(case: Case) -> str:
    """Describe the measured sets, if they are known to be wrong, and larger than single cells."""
    if case.measured is None or case.measured.max() + 1 == case.measured.size:
        return ""
    measured, right = (number(uncanonical(sets, case.channel_axis)) for sets in (case.measured, case.pool.labels()))
    if np.array_equal(measured, right):
        return ""
    seen, asked = (sets_in_words(sets, case.channel_axis) for sets in (measured, right))
    return f"pools other cells: probe measures {seen}, but the method pools {asked}"


def _one_weight_a_group(trials: Sequence[Trial], base: Recipe, tolerance: float) -> str:
    """Say that weight or bias is not what is asked for, but one number for each group in every input; else ""."""
    pool, found = trials[0].scene.pool, []
    C, G = pool.shape[1], pool.num_groups or 1
    if pool.method != "group" or not 1 < G < C:
        return ""
    channel = np.broadcast_to(np.indices(pool.shape, sparse=True)[1], pool.shape).reshape(-1)
    for trial in trials[:2]:
        numerator, spread = trial.scene.parts(base)
        *weight_and_bias, straight = lines(channel, numerator / divisor(spread, base), trial.y, tolerance)
        found.append(np.reshape(weight_and_bias, (2, G, -1)))
        if not straight.all():
            return ""
    asked = np.array(trials[0].scene.parameters(base.affine))[:, np.unique(channel, return_index=True)[1]]
    near = partial(np.allclose, rtol=10 * tolerance, atol=10 * tolerance)
    wrong = [
        (role, seen)
        for role, seen, p in zip(("weight", "bias"), found[0], asked, strict=True)
        if not near(seen.ravel(), p)
    ]
    of_groups = all(near(seen, seen[:, :1]) and not near(seen, seen[0, 0]) for _, seen in wrong)
    if not wrong or not of_groups or not near(*found):
        return ""
    role, seen = wrong[0]
    numbers = ", ".join(f"{number:.4g}" for number in seen[:4, 0]) + (", ..." if G > 4 else "")
    return (
        f"has one {' and one '.join(role for role, _ in wrong)} for each group, not for each channel: {role} {numbers}"
    )


def _wrong_line(
    trial: Trial, other: Trial, base: Recipe, labels: np.ndarray, worst: int, tolerance: float
) -> tuple[str, str, dict[str, Any]]:
    """Distinguish a wrong mean from a wrong divisor, where x_hat is a linear function of x in each right set."""
    where, scene = f"in set {labels[worst]}", trial.scene
    slope, shift, _ = _lines_of_sets(trial, base, labels, tolerance)
    if slope[labels[worst]] == 0:
        return "affine", f"gives the same number throughout set {labels[worst]}, whatever x is", {}
    numerator, spread = scene.parts(base)
    right_root = np.sqrt(spread + base.eps)
    mean, right_mean = -(shift / slope)[labels] + 0.0, scene.x.reshape(-1) - numerator
    if (np.abs(mean - right_mean) / right_root)[worst] > 100 * tolerance:
        expected, seen = float(right_mean[worst]), float(mean[worst])
        details = {"expected": expected, "seen": seen}
        return "mean", f"subtracts {seen:.6g} {where}, but the mean is {expected:.6g}", details
    other_slope, *_ = _lines_of_sets(other, base, labels, tolerance)
    other_spread = other.scene.parts(base)[1]
    root, other_root = 1 / slope[labels], 1 / other_slope[labels]
    ratio, other_ratio = root / right_root, other_root / np.sqrt(other_spread + base.eps)
    if np.allclose(ratio, other_ratio, rtol=1e-3) and not np.allclose(ratio, ratio[0], rtol=1e-3):
        times = float(1 / ratio[worst])
        text = f"applies a weight that is {times:.5g} times the right one {where}, for every input"
        return "affine", text, {"times": times}
    name = (
        "variance" if scene.pool.row.centered else "mean square" if base.divided_by is all_cells else "sum of squares"
    )
    text = f"divides by {root[worst]:.6g} {where}, but the square root of {name} + eps is {right_root[worst]:.6g}"
    if root[worst] < 0:
        details = {"expected": float(right_root[worst]), "seen": float(root[worst])}
        return "variance", f"{text}. No root is negative: the sign of the output is wrong", details
    added, other_added = root**2 - spread, other_root**2 - other_spread
    if trial.name in ("small", "tiny") or np.allclose(added, other_added, rtol=0.05, atol=0):
        eps = float(added[worst])
        return "eps", f"{text}; that would be right with an eps of {eps:.4g}", {"expected": base.eps, "seen": eps}
    expected, seen = float(spread[worst]), float(root[worst] ** 2 - base.eps)
    text += f": a {name} of {seen:.6g} instead of {expected:.6g}"
    return "variance", text, {"expected": expected, "seen": seen}


def _lines_of_sets(trial: Trial, base: Recipe, labels: np.ndarray, tolerance: float) -> tuple[np.ndarray, ...]:
    return lines(labels, trial.scene.x.reshape(-1), trial.scene.undo_affine(trial.y, base.affine), tolerance)


def lines(labels: np.ndarray, x: np.ndarray, y: np.ndarray, tolerance: float) -> tuple[np.ndarray, ...]:
    """Fit y = slope * x + shift for each label; return slope, shift, and whether all its cells lie on the line."""
    count = np.maximum(np.bincount(labels), 1)
    mx, my = np.bincount(labels, x) / count, np.bincount(labels, y) / count
    dx, dy = x - mx[labels], y - my[labels]
    slope = np.bincount(labels, dx * dy) / np.bincount(labels, dx * dx)
    off = np.abs(dy - slope[labels] * dx) > 10 * tolerance * (np.abs(y) + np.sqrt(np.mean(np.square(y))))
    return slope, my - slope * mx, np.bincount(labels, off) == 0
