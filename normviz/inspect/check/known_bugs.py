"""The known bugs: those of the numbers, and of weight and bias; those of the sets are in `set_bugs`.

To add a bug, write one function here: `@known_bug` gives its code and its hint, and each `Change` that it yields is one
version of the bug, as a change to the right recipe. Then add a faulty function to the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order
from normviz.core.pooling import Pooling
from normviz.inspect.check.bug import Case, Change, along_axis, pattern
from normviz.inspect.check.set_bugs import SET_BUGS
from normviz.inspect.check.simulate import (
    Affine,
    Cut,
    SetStatistics,
    all_cells,
    mean,
    mean_square,
    nothing,
    one,
    variance,
)

KNOWN_BUGS: list[tuple[str, Callable[[Case], Iterator[Change]]]] = []
"""(code, function that yields the versions of the bug for a case), in the order in which they are tried."""

HINTS = {"eps-value": "Compare your eps with the one that was requested; frameworks have different defaults."}
"""A hint for each code: where to look, without the solution."""


def known_bug(code: str, hint: str) -> Callable:
    """Register the decorated function as the versions of a bug."""

    def register(versions: Callable[[Case], Iterator[Change]]) -> Callable[[Case], Iterator[Change]]:
        HINTS[code] = hint
        KNOWN_BUGS.append((code, versions))
        return versions

    return register


for _versions, _code, _hint in SET_BUGS:
    known_bug(_code, _hint)(_versions)


# ---- the bugs: mean, variance, eps ----


@known_bug(
    "unbiased-variance",
    "Divide by the number of cells in the set. Some var functions do so only with an argument; look for ddof, "
    "correction or unbiased.",
)
def unbiased_variance(case: Case) -> Iterator[Change]:
    """The sum of squares divided by one less than the number of cells."""
    m = case.pool.size
    if case.pool.row.centered:
        text = f"divides the sum of squares by |S| - 1 = {m - 1}, not by |S| = {m}"
        yield Change({"divided_by": lambda m: m - 1}, text, {"m": m})


@known_bug(
    "not-averaged",
    "Suppose that every cell of x occurs twice. A sum then grows, and a mean does not. Which of the two does your code "
    "compute?",
)
def not_averaged(case: Case) -> Iterator[Change]:
    """A sum, as in a norm, where a mean is asked for."""
    m, row = case.pool.size, case.pool.row
    # For two cells the sum of squares is also what m - 1 gives.
    if row.statistic != "squared norm" and m > 1 + row.centered:
        text = f"adds up the squares, and does not divide their sum by |S| = {m}"
        yield Change({"divided_by": one}, text, {"m": m})
        text = f"subtracts the sum of the cells, not divided by |S| = {m}"
        around = {"subtract": _sum, "spread": lambda s: s.var + np.square(s.mean - _sum(s))}
        for fields in ({"subtract": _sum}, around, around | {"divided_by": one}) if row.centered else ():
            yield Change(fields, text, {"m": m})


def _sum(s: SetStatistics) -> np.ndarray:
    return s.mean * s.count


@known_bug(
    "averaged-variances",
    "Two groups of people have average heights of 1.2 m and 1.8 m. Do their two variances alone tell how much all the "
    "heights vary?",
)
def averaged_variances(case: Case) -> Iterator[Change]:
    """Mean and variance of each part of a set, averaged over the parts: the variance between the parts is lost."""
    pool, rank = case.pool, len(case.pool.shape)
    if not pool.row.centered:
        return
    where = np.indices(pool.shape, sparse=True)
    axes = [a for a in range(rank) if pool.block[a] > 1]
    order = native_order(range(rank), case.channel_axis)
    parts: dict[str, list[np.ndarray]] = {}
    for kept in (kept for r in range(1, len(axes)) for kept in combinations(axes, r)):
        at = ", ".join(str(order.index(a)) for a in kept)
        parts[f"index along {'axis' if len(kept) == 1 else 'axes'} {at}"] = [where[a] for a in kept]
    if (n := pool.block[0]) > 3:
        parts |= {f"part of the samples (0 to {k - 1}, and the others)": [where[0] >= k] for k in {n // 2, -(-n // 2)}}
    for name, at in parts.items():
        text = f"averages the variances of each {name}: the variance between the means of these parts is missing"
        subtract, spread = _averaged_over(pool.labels(), at)
        yield Change({"subtract": subtract, "spread": spread}, text)


def _averaged_over(sets: np.ndarray, at: Sequence[np.ndarray]) -> tuple[Callable, Callable]:
    """Return `subtract` and `spread` of a recipe: mean and variance of each part of a set, averaged over its parts."""
    labels = sets
    for where in at:
        labels = labels * (int(where.max()) + 1) + where
    sets = sets.reshape(-1)
    _, first, part = np.unique(labels, return_index=True, return_inverse=True)
    part = part.reshape(-1)
    count = np.bincount(part)
    # With these weights the average over the cells of a set is the average over its parts, whatever their sizes.
    share = np.bincount(sets)[sets] / count[part] / np.bincount(sets[first])[sets]

    def subtract(s: SetStatistics) -> np.ndarray:
        return s.mean + s.average(share * s.deviation)

    def spread(s: SetStatistics) -> np.ndarray:
        within = s.deviation - (np.bincount(part, s.deviation) / count)[part]
        return s.average(share * np.square(within))

    return subtract, spread


@known_bug("averaged", "Is the squared norm of a vector the mean of its squares, or their sum?")
def averaged(case: Case) -> Iterator[Change]:
    """The mean of squares, where their sum is asked for."""
    m = case.pool.size
    if case.pool.row.statistic == "squared norm" and m > 1:
        text = f"divides the sum of squares by |S| = {m}, which {case.pool.row.label} does not"
        yield Change({"divided_by": all_cells}, text, {"m": m})


@known_bug("not-centered", "What should the mean of x_hat be in each set? Compute it from your output.")
def not_centered(case: Case) -> Iterator[Change]:
    """No mean subtracted."""
    if case.pool.row.centered:
        text = "subtracts no mean and divides by the root mean square"
        yield Change({"subtract": nothing, "spread": mean_square}, text)
        yield Change({"subtract": nothing}, "divides by the standard deviation, but subtracts no mean")


@known_bug("mean", "Print the mean that you use for this set beside x[...].mean() of the same cells.")
def centered(case: Case) -> Iterator[Change]:
    """A mean subtracted by a method that has none."""
    if not case.pool.row.centered:
        yield Change({"subtract": mean, "spread": variance}, f"subtracts a mean, which {case.pool.row.label} does not")


@known_bug("eps-missing", "What happens to a set whose cells are all equal?")
def eps_missing(case: Case) -> Iterator[Change]:
    """No eps."""
    text = f"does not add eps = {case.eps:.4g} to the {_spread_name(case)}"
    yield Change({"eps_at": "missing", "eps": case.eps}, text)


@known_bug(
    "eps-outside", "What comes first, the square root or eps? The order matters only where the variance is small."
)
def eps_outside(case: Case) -> Iterator[Change]:
    """The eps added after the root."""
    text = f"adds eps = {case.eps:.4g} to the square root, not to the {_spread_name(case)} under it"
    yield Change({"eps_at": "outside"}, text)
    text = (
        f"uses eps = {case.eps:.4g} as a lower bound of the square root, and does not add it to the "
        f"{_spread_name(case)}"
    )
    yield Change({"eps_at": "least"}, text)


@known_bug("eps-on-output", "Which number must not be 0: the quotient, or what you divide by?")
def eps_on_output(case: Case) -> Iterator[Change]:
    """The eps added to x_hat, or to the output."""
    text = f"adds eps = {case.eps:.4g} to the quotient, not to the {_spread_name(case)} that it divides by"
    yield Change({"eps_at": "output"}, text)
    if case.weight is not None or case.bias is not None:
        text = text.replace("the quotient", "the output")
        yield Change({"eps_at": "missing", "affine": Affine(pick=lambda w, b: (w, b + case.eps), name="eps")}, text)


@known_bug(
    "eps-scaled", "Divide x by 1000. Does eps still count as much as before, or do you divide x before you add it?"
)
def eps_scaled(case: Case) -> Iterator[Change]:
    """The eps added to numbers that were divided by the largest |x| first."""
    text = f"divides each set by its largest |x| before it adds eps = {case.eps:.4g}, so eps counts max|x|^2 times"
    spread = variance if case.pool.row.centered else mean_square
    yield Change({"spread": lambda s: spread(s) + case.eps * (np.square(s.largest()) - 1)}, text)


@known_bug("variance-not-std", "If x is in metres, what is the unit of your divisor? x_hat should have no unit.")
def variance_not_std(case: Case) -> Iterator[Change]:
    """No root."""
    yield Change({"power": 1.0}, f"divides by the {_spread_name(case)} itself, not by its square root")


@known_bug(
    "root-inverted",
    "Multiply every cell of x by 10: x_hat should stay as it is. By what factor does yours grow? Look for rsqrt.",
)
def root_inverted(case: Case) -> Iterator[Change]:
    """A product with the root, or a quotient by its reciprocal."""
    yield Change({"inverted": True}, "multiplies by the square root, or divides by its reciprocal (rsqrt)")


def _spread_name(case: Case) -> str:
    return "variance" if case.pool.row.centered else "mean square"


# ---- the bugs: weight and bias ----


def _affine(text: str, **fields: Any) -> Change:
    return Change({"affine": Affine(**fields)}, text, {"order": fields["name"]})


@known_bug(
    "affine-swapped", "With an input of zeros, the output should be one of the two. Which one is it in your code?"
)
def affine_swapped(case: Case) -> Iterator[Change]:
    """Weight and bias exchanged."""
    if case.weight is not None and case.bias is not None:
        yield _affine("multiplies by the bias and adds the weight", pick=lambda w, b: (b, w), name="swapped")


@known_bug(
    "affine-before",
    "In which order do the paper's steps come? The last line of the algorithm is y = gamma * x_hat + beta.",
)
def affine_before(case: Case) -> Iterator[Change]:
    """Weight and bias in another order than gamma * x_hat + beta."""
    if case.bias is not None:
        text = "applies weight and bias to the input, before it is normalized"
        yield _affine(text, before=lambda x, w, b: x * w + b, pick=lambda w, b: (1.0, 0.0), name="before")
    if case.weight is not None:
        text = "multiplies the input by the weight, before it is normalized"
        yield _affine(text, before=lambda x, w, b: x * w, pick=lambda w, b: (1.0, b), name="scale first")
    if case.weight is not None and case.bias is not None:
        yield _affine("adds the bias before it multiplies by the weight", shift_first=True, name="shift first")


@known_bug(
    "affine-not-reshaped",
    "Broadcasting aligns the last axes. With which axis of x is a weight of shape (C,) aligned? Which shape aligns it "
    "with the channels?",
)
def affine_not_reshaped(case: Case) -> Iterator[Change]:
    """Weight and bias of shape (C,) along the last axis, where that is as long as the axis of the channels."""
    last = case.channel_axis % len(case.pool.shape) == len(case.pool.shape) - 1
    for roles, affine in along_axis(case, -1) if not case.flattens and not last else ():
        yield Change({"affine": affine}, without_reshape(case.pool, case.channel_axis, roles), {"order": affine.name})


def without_reshape(pool: Pooling, channel_axis: int, roles: str, returns: Any = ()) -> str:
    """Say that fn applies weight and bias of shape (C,) as they are: it scales an axis, or returns a shape or None."""
    axis, shape = pool.row.affine_axis, native_order(pool.shape, channel_axis)
    along = native_order([n if a == axis else 1 for a, n in enumerate(pool.shape)], channel_axis)
    text = f"applies {roles} of shape ({pool.shape[axis]},) along the last axis of x, without a reshape to {along}: "
    if returns == ():
        return f"{text}here that axis has length C too, so the wrong axis is scaled; for other lengths fn raises"
    does = "raises on" if returns is None else f"returns shape {returns} for"
    return f"{text}a call {does} an input of shape {shape}; if both axes have the same length, it scales the wrong one"


@known_bug(
    "affine-per-group",
    "How many weights are there: C or G? Look at the shape of x when they are applied: groups are for the statistics "
    "only.",
)
def affine_per_group(case: Case) -> Iterator[Change]:
    """One weight and bias for each group."""
    C, G = case.pool.shape[1], case.pool.num_groups or 1
    sizes = {p.size for p in (case.weight, case.bias) if p is not None}
    if case.pool.method != "group" or not 1 < G < C or sizes != {C}:
        return
    text = "takes one weight and bias for each group: "
    for name, which, of_groups in (
        ("group first", "those of its first channel", lambda p: p[:: C // G]),
        ("group index", "number g of the C for group g", lambda p: p[:G]),
        ("group mean", "the mean of its channels'", lambda p: p.reshape(G, -1).mean(1)),
    ):
        yield _affine(
            text + which,
            layout=lambda p, role, of_groups=of_groups: of_groups(p.reshape(-1)).repeat(C // G).reshape(p.shape),
            name=name,
        )


@known_bug(
    "weight-plus-one",
    "A weight that starts at 0 is kept as w, and 1 + w is applied. Which of the two is the weight in your file, and "
    "which one does fn multiply by?",
)
def weight_plus_one(case: Case) -> Iterator[Change]:
    """The weight as 1 + w, where w is asked for, or the other way round."""
    if case.weight is not None:
        yield _affine("multiplies by 1 + weight, not by the weight", pick=lambda w, b: (1 + w, b), name="1 + weight")
        text = "multiplies by weight - 1: it treats the weight as 1 + w, and multiplies by w"
        yield _affine(text, pick=lambda w, b: (w - 1, b), name="weight - 1")


@known_bug(
    "affine",
    "Call fn with a weight of ones and a bias of zeros. Then change one of the two at a time. If fn has its own weight "
    "and bias, pass the same ones to check. If an activation follows, leave it out.",
)
def affine_missing(case: Case) -> Iterator[Change]:
    """Weight or bias left out; where the weight is 0, that would be 1 + weight too, which is likelier."""
    roles = [role for role, p in (("weight", case.weight), ("bias", case.bias)) if p is not None and p.any()]
    if roles:
        what = "the " + roles[0] if len(roles) == 1 else "weight and bias"
        yield _affine(f"leaves {what} out", pick=lambda w, b: (1.0, 0.0), name="none")
    if len(roles) == 2:
        yield _affine("leaves the bias out", pick=lambda w, b: (w, 0.0), name="weight only")
        yield _affine("leaves the weight out", pick=lambda w, b: (1.0, b), name="bias only")


# ---- all of them ----


def changes(case: Case) -> list[Change]:
    """Return every version of every known bug that can make the measured sets, one for each way to make them."""
    found, made = [], {_made(case, Change({"cut": Cut("block", case.pool.block)}, ""))}
    measured = None if case.measured is None else pattern(case.measured)
    for code, versions in KNOWN_BUGS:
        for change in versions(case):
            if "cut" in change.fields:
                same = _made(case, change)
                if measured not in (None, same[0]) or same in made:
                    continue
                made.add(same)
            found.append(replace(change, code=code))
    return found


def _made(case: Case, change: Change) -> tuple[bytes, ...]:
    """Return the same for changes of sets that make the same sets, and apply the same weight and bias to each cell."""
    layout = change.fields["affine"].layout if "affine" in change.fields else None
    made = [pattern(change.fields["cut"].labels(case.pool))]
    for role, p in (("weight", case.weight), ("bias", case.bias)):
        if p is not None and layout is not None:
            made.append(np.broadcast_to(layout(p, role), case.pool.shape).tobytes())
    return tuple(made)
