"""The known bugs, each as a change to the right recipe, and the search for those that explain an output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, divisors
from normviz.inspect.check.simulate import AFFINE, AFFINE_OTHER, Cut, Recipe, Scene, divisor, right


@dataclass(frozen=True)
class Change:
    """One fault.

    Attributes
    ----------
    code
        Its name in a Verdict.
    fields
        What it makes of the recipe.
    said
        What is done, in words that follow "fn ...".
    details
        Numbers and axes, for a Finding.
    """

    code: str
    fields: dict[str, Any]
    said: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Faults that together reproduce the output on every input."""

    changes: tuple[Change, ...]
    recipe: Recipe

    @property
    def codes(self) -> frozenset[str]:
        """Their names."""
        return frozenset(change.code for change in self.changes)


def near(seen: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Which cells agree: to within the tolerance, in NaN and in infinities."""
    with np.errstate(all="ignore"):
        size = np.abs(expected[np.isfinite(expected)])
        allowed = tolerance * (np.abs(expected) + (np.sqrt(np.mean(np.square(size))) if size.size else 0.0))
        close = np.abs(seen - expected) <= allowed
    return close | (np.isnan(seen) & np.isnan(expected)) | (seen == expected)


def changes(scene: Scene, eps: float, channel_axis: int) -> list[Change]:
    """Every known fault that a normalizer of these sets can have, one version each."""
    return [*_cuts(scene.pool, channel_axis, scene.has_affine), *_statistics(scene.pool, eps), *_affine(scene)]


def explain(
    tests: Sequence[tuple[Scene, np.ndarray]], known: Sequence[Change], base: Recipe, tolerance: float
) -> list[Explanation]:
    """Return the smallest sets of faults, of up to three, that reproduce every output; different ones at that.

    `tests` are scenes with the output of their compared cells.
    """
    for size in (1, 2, 3):
        found: dict[frozenset, Explanation] = {}
        for chosen in _together(known, size, base, tests, tolerance):
            recipe = _apply(base, chosen)
            if all(near(y, scene.output(recipe), tolerance).all() for scene, y in tests):
                explanation = Explanation(chosen, recipe)
                found.setdefault(explanation.codes, explanation)
        if found:
            return [*found.values()]
    return []


def _together(
    known: Sequence[Change], size: int, base: Recipe, tests: Sequence[tuple[Scene, np.ndarray]], tolerance: float
) -> Iterator[tuple[Change, ...]]:
    for chosen in combinations(known, size):
        names = [name for change in chosen for name in change.fields]
        if len({*names}) == len(names) and len({c.code for c in chosen}) == size:
            yield chosen
    if size > 2:
        return
    for chosen in combinations(known, size - 1):
        recipe = _apply(base, chosen)
        if recipe.eps_at != "missing":
            for eps in estimates(tests, recipe, base.eps, tolerance):
                said = f"adds {eps:.4g} where eps = {base.eps:.4g} is asked for"
                yield (*chosen, Change("eps-value", {"eps": eps}, said, {"eps": eps}))


def _apply(base: Recipe, chosen: Sequence[Change]) -> Recipe:
    return replace(base, **{k: v for change in chosen for k, v in change.fields.items()})


@np.errstate(all="ignore")
def estimates(tests: Sequence[tuple[Scene, np.ndarray]], recipe: Recipe, asked: float, tolerance: float) -> list[float]:
    """What eps could be, from the sets of one input each, if all else is as in the recipe."""
    found = []
    for scene, y in tests:
        above, spread = scene.parts(recipe)
        divided = np.abs(above / scene.unaffine(y, recipe.affine))
        under = divided ** (2 if recipe.power == 0.5 else 1) if recipe.eps_at == "inside" else divided
        without = spread if recipe.eps_at == "inside" else divisor(spread, replace(recipe, eps=0.0))
        clear = np.abs(above) > 0.3 * np.sqrt(spread)
        clear &= np.isfinite(under) & (under > 0)
        if not clear.any():
            continue
        eps = float(np.median((under - without)[clear]))
        # What is far below the variance is told from none at all no longer.
        if eps > 100 * tolerance * float(np.median(without[clear])) and not math.isclose(eps, asked, rel_tol=1e-3):
            rounded = float(f"{eps:.0e}")
            found.append(rounded if math.isclose(rounded, eps, rel_tol=0.02) else float(f"{eps:.6g}"))
    return found


# ---- the faults ----


def _statistics(pool: Pooling, eps: float) -> Iterator[Change]:
    row, m = METHODS[pool.method], pool.size
    if row.statistic == "mean and variance":
        said = f"divides the sum of squares by m - 1 = {m - 1}, not by m = {m}"
        yield Change("unbiased-variance", {"ddof": 1}, said, {"m": m})
        yield Change("not-centered", {"centre": "square"}, "subtracts no mean, and divides by the root mean square")
        yield Change("not-centered", {"centre": "kept"}, "divides by the standard deviation, but subtracts no mean")
    else:
        yield Change("mean", {"centre": "mean"}, f"subtracts a mean, which {row.label} does not")
    what = "variance" if row.centered else "mean square"
    yield Change("eps-outside", {"eps_at": "outside"}, f"adds eps = {eps:.4g} to the root, not to the {what} under it")
    said = f"adds nothing to the {what} where eps = {eps:.4g} is asked for"
    yield Change("eps-missing", {"eps_at": "missing", "eps": eps}, said)
    yield Change("variance-not-std", {"power": 1.0}, f"divides by the {what} itself, not by its root")


def _affine(scene: Scene) -> Iterator[Change]:
    said = {
        "swapped": "multiplies by the bias and adds the weight",
        "before": "puts weight and bias on the input, before it is normalized",
        "scale first": "multiplies the input by the weight, before it is normalized",
        "shift first": "adds the bias before it multiplies by the weight",
        "group first": "takes one weight and bias for each group: those of its first channel",
        "group index": "takes one weight and bias for each group: number g of the C for group g",
        "group mean": "takes one weight and bias for each group: the mean of its channels'",
        "none": "leaves weight and bias out",
        "weight only": "leaves the bias out",
        "bias only": "leaves the weight out",
    }
    if not scene.has_affine:
        return
    both = scene.weight is not None and scene.bias is not None
    shared = scene.pool.method == "group" and 1 < (scene.pool.num_groups or 1) < scene.pool.shape[1]
    by_channel = all(p is None or p.size == scene.pool.shape[1] for p in (scene.weight, scene.bias))
    skipped = {"last axis"}
    if scene.weight is None:
        skipped |= {"scale first", "weight only", "none"}
    if not both:
        skipped |= {"swapped", "shift first", "weight only"}
    if scene.bias is None:
        skipped |= {"before", "bias only"}
    for kind in (*AFFINE, *AFFINE_OTHER):
        if kind in skipped or (kind.startswith("group") and not (shared and by_channel)):
            continue
        code = "affine-per-group" if kind.startswith("group") else "affine-before"
        code = "affine-swapped" if kind == "swapped" else "affine" if kind in AFFINE_OTHER else code
        yield Change(code, {"affine": kind}, said[kind], {"order": kind})


def _cuts(pool: Pooling, channel_axis: int, has_affine: bool) -> Iterator[Change]:
    """Other sets, one version for each way to cut these cells; the more telling names come first."""
    seen = {_pattern(pool.labels())}
    for change in _candidates(pool, channel_axis, has_affine):
        cut = change.fields.get("cut")
        if cut is None or "affine" in change.fields:
            yield change
            continue
        pattern = _pattern(cut.labels(pool))
        if pattern not in seen:
            seen.add(pattern)
            yield change


def _candidates(pool: Pooling, channel_axis: int, has_affine: bool) -> Iterator[Change]:
    shape, rank, row, G = pool.shape, len(pool.shape), METHODS[pool.method], pool.num_groups
    axis, length = row.grouped_axis, shape[row.grouped_axis]
    if rank > 2 and row.axes == "activations":
        yield from _other_layout(pool, channel_axis, has_affine)
    if G:
        what = "samples" if axis == 0 else "channels"
        first = ", ".join(map(str, [*range(0, length, G)][:4]))
        said = f"groups {what} that stand {G} apart: group 0 is {what} {first}{', ...' if length > 4 * G else ''}"
        yield Change("interleaved-groups", {"cut": Cut("strided", pool.block)}, said)
        if axis == 1 and rank > 2:
            said = f"deals the cells of a sample out to the {G} groups one by one, so each has some of every channel"
            yield Change("interleaved-groups", {"cut": Cut("scattered")}, said)
    lengths = [sorted({1, n}) for n in shape]
    if G:
        lengths[axis] = sorted({1, length // G, length})
    for block in product(*lengths):
        whole = [a for a in range(rank) if block[a] == shape[a]]
        parted = [a for a in range(rank) if 1 < block[a] < shape[a]]
        if whole or parted:
            yield _axes(block, whole, parted, channel_axis, rank)
    if not G:
        return
    for other in divisors(length):
        block = tuple(length // other if a == axis else n for a, n in enumerate(pool.block))
        said = f"makes {other} groups of {length // other}, not {G} of {length // G}"
        yield Change("sets", {"cut": Cut("block", block)}, said, {"num_groups": other})


def _axes(block: tuple[int, ...], whole: list, parted: list, channel_axis: int, rank: int) -> Change:
    place = [a for a in range(rank) if a != channel_axis % rank]
    place.insert(1, channel_axis % rank)
    axes = tuple(sorted(place[a] for a in whole))
    parts = f" and, within each group, {place[parted[0]]}" if parted else ""
    said = f"takes mean and variance over axes {axes}{parts}" if whole else f"takes them over axis{parts[4:]}"
    sizes = "boxes of " + " × ".join(str(block[place.index(a)]) for a in range(rank))
    details = {"axes": axes, "within_groups": tuple(place[a] for a in parted), "block": block}
    return Change("wrong-axes", {"cut": Cut("block", block)}, f"{said}, so its sets are {sizes}", details)


def _other_layout(pool: Pooling, channel_axis: int, has_affine: bool) -> Iterator[Change]:
    """The last axis of x taken for the channels; or, where the channels are last, axis 1."""
    rank = len(pool.shape)
    # In the canonical order channels come first, so those that are last in fn's have axis 1 as their next one.
    at, where = (rank - 1, "the last axis") if channel_axis % rank == 1 else (2, "axis 1")
    if pool.num_groups and pool.method == "group" and pool.shape[at] % pool.num_groups:
        return
    cut = Cut("axis", axis=at)
    said = f"takes {where} for the channels, which are on axis {channel_axis}"
    if has_affine and at == rank - 1 and pool.shape[1] == pool.shape[at]:
        yield Change("channels-last", {"cut": cut, "affine": "last axis"}, said)
        yield Change("channels-last", {"affine": "last axis"}, f"{said}, for weight and bias")
    yield Change("channels-last", {"cut": cut}, said)


def _pattern(labels: np.ndarray) -> bytes:
    """The same for the same sets, however they are numbered."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32).tobytes()


__all__ = ["Change", "Explanation", "changes", "explain", "near", "right"]
