"""The search for the known bugs that together explain an output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from normviz.inspect.check.bug import Change, Explanation
from normviz.inspect.check.simulate import Output, Recipe, divisor


def explain(
    tests: Sequence[Output], known: Sequence[Change], base: Recipe, tolerances: Sequence[float], most: int = 3
) -> tuple[list[Explanation], float]:
    """Return the smallest combinations of at most so many changes that reproduce all outputs, one a set of codes.

    Also return the first of the tolerances, the finest one first, for which there are any. Of the combinations within
    it, those are left out that fit far worse than the best.
    """

    def agrees(recipe: Recipe, tolerance: float) -> bool:
        return all(scene.agrees(y, recipe, tolerance).all() for scene, y in tests)

    coarse: list[Explanation] = []
    for size in range(1, most + 1):
        found: list[dict[frozenset, Explanation]] = [{} for _ in tolerances]
        for chosen in _combinations(known, size, base, tests, tolerances[0]):
            recipe = apply(base, chosen)
            explanation = Explanation(chosen, recipe)
            for tolerance, explanations in zip(tolerances[::-1], found[::-1], strict=True):
                if not agrees(recipe, tolerance):
                    break
                # Another eps that makes no difference is none.
                other = recipe.eps != base.eps or recipe.eps_at == "least"
                if not (other and agrees(replace(recipe, eps_at="missing"), tolerance)):
                    explanations.setdefault(explanation.codes, explanation)
        if found[0]:
            return _best(tests, found[0]), tolerances[0]
        coarse = coarse or _best(tests, found[-1])
    return coarse, tolerances[-1]


def _best(tests: Sequence[Output], found: dict[frozenset, Explanation]) -> list[Explanation]:
    """Leave out those whose sum of squared errors is more than twice the least."""
    if len(found) < 2:
        return [*found.values()]
    errors = [_squared_error(tests, explanation.recipe) for explanation in found.values()]
    return [e for e, error in zip(found.values(), errors, strict=True) if error <= 2 * min(errors)]


def _squared_error(tests: Sequence[Output], recipe: Recipe) -> float:
    return sum(float(np.nansum(np.square(y - scene.output(recipe)))) for scene, y in tests)


def apply(base: Recipe, chosen: Sequence[Change]) -> Recipe:
    """Return the recipe with the changes made."""
    fields = {k: v for change in chosen for k, v in change.fields.items()}
    both = sorted(
        (c.fields["affine"] for c in chosen if "affine" in c.fields), key=lambda affine: affine.layout is None
    )
    if len(both) == 2:
        fields["affine"] = replace(both[1], layout=both[0].layout)
    return replace(base, **fields)


def _combinations(
    known: Sequence[Change], size: int, base: Recipe, tests: Sequence[Output], tolerance: float
) -> Iterator[tuple[Change, ...]]:
    """Yield every combination of changes to different fields, and those of one change less with an eps that fits."""
    for chosen in combinations(known, size):
        parts = [part for change in chosen for part in change.parts]
        if len({*parts}) == len(parts) and len({c.code for c in chosen}) == size:
            yield chosen
    if size > 2:
        return
    for chosen in combinations(known, size - 1):
        recipe = apply(base, chosen)
        if recipe.eps_at != "missing":
            for eps in _estimates(tests, recipe, base.eps, tolerance):
                text = f"adds {eps:.4g} instead of eps = {base.eps:.4g}"
                yield (*chosen, Change({"eps": eps}, text, {"eps": eps}, "eps-value"))


def _estimates(tests: Sequence[Output], recipe: Recipe, requested: float, tolerance: float) -> list[float]:
    """Estimate eps from each input, assuming that everything else is as in the recipe."""
    found = []
    for scene, y in tests:
        numerator, spread = scene.parts(recipe)
        quotient = scene.undo_affine(y, recipe.affine)
        root = np.abs(quotient / numerator if recipe.inverted else numerator / quotient)
        if recipe.eps_at == "output":
            with_eps, without = quotient, numerator / divisor(spread, recipe)
        elif recipe.eps_at == "inside":
            with_eps, without = root**2 if recipe.power == 0.5 else root, spread
        else:
            with_eps, without = root, divisor(spread, replace(recipe, eps=0.0, inverted=False))
        usual = np.sqrt(recipe.spread(scene.statistics(recipe)))
        clear = (np.abs(numerator) > 0.3 * usual) & np.isfinite(with_eps) & (with_eps > 0)
        if not clear.any():
            continue
        eps = float(np.median((with_eps - without)[clear]))
        # An eps far below the variance cannot be distinguished from 0.
        if eps > 100 * tolerance * float(np.median(without[clear])) and not math.isclose(eps, requested, rel_tol=1e-3):
            rounded = float(f"{eps:.0e}")
            found.append(rounded if math.isclose(rounded, eps, rel_tol=0.02) else float(f"{eps:.6g}"))
    return found
