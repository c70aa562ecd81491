"""The known bugs, and the search for those that explain an output.

To add a bug, write one function here: `@known_bug` gives its code and its hint, and each `Change` that it yields is one
version of the bug, as a change to the right recipe. Then add a faulty function to the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, canonical, divisors
from normviz.inspect.check.simulate import (
    Affine,
    Cut,
    Output,
    Recipe,
    SetStatistics,
    all_cells,
    divisor,
    mean,
    mean_square,
    native_order,
    nothing,
    one,
    variance,
)
from normviz.inspect.probe.reading import Reading, misread, readings
from normviz.inspect.probe.sets import every_pooling, number


@dataclass(frozen=True)
class Change:
    """One version of a bug."""

    fields: dict[str, Any]  # the fields of the recipe that it changes
    text: str  # what fn does, in words that follow "fn "
    details: dict[str, Any] = field(default_factory=dict)  # numbers and axes, for a `Finding`
    code: str = ""  # the name of the bug; `changes` fills it in

    @cached_property
    def parts(self) -> frozenset[str]:
        """The parts of the recipe that it changes: one may give weight and bias a layout, and another exchange them."""
        affine = self.fields.get("affine")
        if affine is None:
            return frozenset(self.fields)
        both = affine.before is not None or affine.shift_first
        parts = {"layout"} if both or affine.layout is not None else set()
        parts |= {"pick"} if both or affine.pick is not Affine.pick else set()
        return frozenset(self.fields) - {"affine"} | parts


@dataclass(frozen=True)
class Explanation:
    """Changes that together reproduce the output for every input."""

    changes: tuple[Change, ...]
    recipe: Recipe

    @property
    def codes(self) -> frozenset[str]:
        """The names of the bugs."""
        return frozenset(change.code for change in self.changes)


@dataclass(frozen=True)
class Case:
    """The normalizer that fn should be: the right sets, eps, and weight and bias (None where fn has none)."""

    pool: Pooling
    eps: float
    channel_axis: int
    weight: np.ndarray | None
    bias: np.ndarray | None
    flattens: bool = False  # whether fn itself gives weight and bias their shape, and takes (1, C, 1, 1) no other way
    measured: np.ndarray | None = None  # the sets that fn has, as labels of the shape of x; None if they are not known


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


# ---- the bugs: sets ----


@known_bug(
    "channels-last",
    "Which axis of x counts the channels? Frameworks differ: it is axis 1 in PyTorch, and the last in Keras and Flax.",
)
def channels_last(case: Case) -> Iterator[Change]:
    """Another axis as the channels: the last one, or axis 1 where the channels are last."""
    pool, axis = case.pool, case.channel_axis
    rank = len(pool.shape)
    if rank == 2 or case.pool.row.axes == "weights":
        return
    # In the canonical order, axis 1 of a channels-last array is axis 2.
    at, where = (rank - 1, "the last axis") if axis % rank == 1 else (2, "axis 1")
    if pool.num_groups and pool.row.grouped_axis == 1 and pool.shape[at] % pool.num_groups:
        return
    cut, text = Cut("axis", axis=at), f"takes {where} for the channels, which are on axis {axis}"
    if _pattern(cut.labels(pool)) != _pattern(pool.labels()):
        yield from (Change({"cut": cut, "affine": affine}, text) for _, affine in _along_axis(case, at))
    if case.flattens or axis % rank > 1:
        yield from (Change({"affine": affine}, f"{text}, for {roles}") for roles, affine in _along_axis(case, at))
    yield Change({"cut": cut}, text)


@known_bug(
    "interleaved-groups",
    "A group is C / G channels that stand next to each other. After your reshape, which axis counts the groups: is it "
    "the one right after the samples?",
)
def interleaved_groups(case: Case) -> Iterator[Change]:
    """Groups of channels (or samples) that are not neighbours."""
    pool, G, axis = case.pool, case.pool.num_groups, case.pool.row.grouped_axis
    if not G:
        return
    what, length = ("samples", "channels")[axis], pool.shape[axis]
    first = ", ".join(map(str, [*range(0, length, G)][:4]))
    text = f"groups {what} that stand {G} apart: group 0 is {what} {first}{', ...' if length > 4 * G else ''}"
    yield Change({"cut": Cut("strided", pool.block)}, text)
    if axis == 1 and len(pool.shape) > 2:
        text = f"deals the cells of a sample out to the {G} groups one by one, so each has some of every channel"
        yield Change({"cut": Cut("scattered")}, text)


@known_bug(
    "wrong-axes",
    "Write down the shape your mean has with keepdims=True. How many means does this method take, and which axes must "
    "be gone?",
)
def wrong_axes(case: Case) -> Iterator[Change]:
    """Statistics over other axes."""
    shape, rank, axis, own = case.pool.shape, len(case.pool.shape), case.pool.row.grouped_axis, case.pool.block
    lengths = [sorted({1, n}) for n in shape]
    if case.pool.num_groups:
        lengths[axis] = sorted({1, shape[axis] // case.pool.num_groups, shape[axis]})
    order = [a for a in range(rank) if a != case.channel_axis % rank]
    order.insert(1, case.channel_axis % rank)  # the axes of fn's array in the canonical order
    for block in product(*lengths):
        whole = tuple(sorted(order[a] for a in range(rank) if block[a] == shape[a]))
        parted = tuple(order[a] for a in range(rank) if 1 < block[a] < shape[a])
        if not whole and not parted:
            continue
        over = [f"axes {whole}"] if whole else []
        over += [f"axis {parted[0]} within each group"] if parted else []
        text = f"takes mean and variance over {' and '.join(over)}"
        sizes = " × ".join(str(block[order.index(a)]) for a in range(rank))
        text += f", so its sets are boxes of {sizes}"
        details: dict[str, Any] = {"axes": whole, "within_groups": parted, "block": block}
        if case.pool.num_groups and (*block[:axis], *block[axis + 1 :]) == (*own[:axis], *own[axis + 1 :]):
            details["num_groups"] = groups = shape[axis] // block[axis]
            same = (r for r, p in every_pooling(shape) if p.block == block and r.centered == case.pool.row.centered)
            made = f"{groups} groups" if groups > 1 else "1 group"
            text += f", those of {next(same).label}: {made}, where {case.pool.num_groups} are asked for"
        yield Change({"cut": Cut("block", block)}, text, details)
        if whole == (rank - 1,) and not parted:  # a layer that treats the last axis, with its weight and bias
            for _, affine in [*_along_axis(case, -1)][:1]:
                yield Change({"cut": Cut("block", block), "affine": affine}, text, details)


@known_bug(
    "wrong-groups",
    "num_groups is the number of groups, and each has C / num_groups channels. Which of the two numbers do you pass?",
)
def wrong_groups(case: Case) -> Iterator[Change]:
    """Another number of groups."""
    pool, G, axis = case.pool, case.pool.num_groups, case.pool.row.grouped_axis
    what, length = ("samples", "channels")[axis], pool.shape[axis]
    for other in divisors(length) if G else ():
        block = tuple(length // other if a == axis else n for a, n in enumerate(pool.block))
        size = length // other
        text = f"makes {other} groups of {size} {what}, where {G} groups of {length // (G or 1)} are asked for"
        if size == G:
            text += f": it takes num_groups = {G} for the number of {what} in a group"
        yield Change({"cut": Cut("block", block)}, text, {"num_groups": other, "asked": G})


RESHAPES = "reshapes where a transpose is meant: "


@known_bug(
    "reshape-not-transpose",
    "reshape and view leave every number where it is in memory; only transpose, permute and moveaxis bring an axis to "
    "another place. Which axes does your reshape join or cut, and do they stand next to each other?",
)
def reshape_not_transpose(case: Case) -> Iterator[Change]:
    """The axes of another layout, without moving the numbers to it."""
    pool, axis, C = case.pool, case.channel_axis, case.pool.shape[1]
    if case.measured is None or pool.row.axes == "weights":
        return
    measured, seen = uncanonical(case.measured, axis), set()
    has_affine = any(p is not None and p.shape[1] == p.size == C for p in (case.weight, case.bias))

    def affine(reading: Reading) -> Iterator[Affine]:
        """Yield weight and bias along the channels as they are read, if those lie along no axis of x."""
        channels = np.ascontiguousarray(canonical(reading.channels, axis))
        if has_affine and _along_no_axis(channels) and channels.tobytes() not in seen:
            seen.add(channels.tobytes())
            yield Affine(layout=lambda p, role: p.reshape(-1)[channels] if p.size == C else p, name="as read")

    if np.array_equal(number(case.measured), number(pool.labels())):
        for reading in readings(measured.shape, axis, METHODS["batch"], None):
            if reading.moves and reading.moves_channels_only:
                for along in affine(reading):
                    yield Change({"affine": along}, f"{RESHAPES}for weight and bias, {reading}", {"read": reading.read})
        return
    for reading in misread(measured, axis, [(pool.row, pool.num_groups)])[:20]:
        fields = {"cut": Cut("read", reading=reading)}
        yield reshape_of(reading, fields)
        for along in affine(reading):
            yield reshape_of(reading, fields | {"affine": along})


def reshape_of(reading: Reading, fields: dict[str, Any]) -> Change:
    """Return a change of sets, and perhaps of weight and bias, that comes from a reshape."""
    text = f"{RESHAPES}{reading}" + (", for weight and bias too" if "affine" in fields else "")
    return Change(fields, text, {"read": reading.read, "lengths": reading.lengths}, "reshape-not-transpose")


def _along_no_axis(numbers: np.ndarray) -> bool:
    """Whether numbers, one for each cell, vary along several axes."""
    return sum(bool((numbers != numbers.take([0], a)).any()) for a in range(numbers.ndim)) > 1


# ---- the bugs: mean, variance, eps ----


@known_bug(
    "unbiased-variance",
    "Divide by the number of cells in the set. Some var functions do so only when told; look for ddof, correction or "
    "unbiased.",
)
def unbiased_variance(case: Case) -> Iterator[Change]:
    """The sum of squares divided by m - 1."""
    m = case.pool.size
    if case.pool.row.centered:
        text = f"divides the sum of squares by m - 1 = {m - 1}, not by m = {m}"
        yield Change({"divided_by": lambda m: m - 1}, text, {"m": m})


@known_bug(
    "not-averaged",
    "Suppose that every cell of x stands there twice: a sum grows, and a mean does not. Which of the two are yours?",
)
def not_averaged(case: Case) -> Iterator[Change]:
    """A sum, as in a norm, where a mean is asked for."""
    m, row = case.pool.size, case.pool.row
    # For two cells the sum of squares is also what m - 1 gives.
    if row.statistic != "squared norm" and m > 1 + row.centered:
        text = f"divides by the root of a sum of squares, which it does not divide by m = {m}"
        yield Change({"divided_by": one}, text, {"m": m})
        text = f"subtracts the sum of the cells, which it does not divide by m = {m}"
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
        text = f"divides the sum of squares by m = {m}, which {case.pool.row.label} does not"
        yield Change({"divided_by": all_cells}, text, {"m": m})


@known_bug("not-centered", "What should the mean of each set of x_hat be? Compute it from your output.")
def not_centered(case: Case) -> Iterator[Change]:
    """No mean subtracted."""
    if case.pool.row.centered:
        text = "subtracts no mean, and divides by the root mean square"
        yield Change({"subtract": nothing, "spread": mean_square}, text)
        yield Change({"subtract": nothing}, "divides by the standard deviation, but subtracts no mean")


@known_bug("mean", "Print the mean of this one set beside that of x[...] of the same cells.")
def centered(case: Case) -> Iterator[Change]:
    """A mean subtracted by a method that has none."""
    if not case.pool.row.centered:
        yield Change({"subtract": mean, "spread": variance}, f"subtracts a mean, which {case.pool.row.label} does not")


@known_bug("eps-missing", "What happens to a set whose cells are all equal?")
def eps_missing(case: Case) -> Iterator[Change]:
    """No eps."""
    text = f"adds nothing to the {_spread_name(case)} where eps = {case.eps:.4g} is asked for"
    yield Change({"eps_at": "missing", "eps": case.eps}, text)


@known_bug("eps-outside", "Which comes first, the root or the eps? The order shows only where the variance is small.")
def eps_outside(case: Case) -> Iterator[Change]:
    """The eps added after the root."""
    text = f"adds eps = {case.eps:.4g} to the root, not to the {_spread_name(case)} under it"
    yield Change({"eps_at": "outside"}, text)
    text = f"takes eps = {case.eps:.4g} for the least root, and adds nothing to the {_spread_name(case)} under it"
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
    yield Change({"power": 1.0}, f"divides by the {_spread_name(case)} itself, not by its root")


@known_bug(
    "root-inverted",
    "Multiply every cell of x by 10: x_hat should stay as it is. By what factor does yours grow? Look for rsqrt.",
)
def root_inverted(case: Case) -> Iterator[Change]:
    """A product with the root, or a quotient by its reciprocal."""
    yield Change({"inverted": True}, "multiplies by the root, or divides by its reciprocal (rsqrt)")


def _spread_name(case: Case) -> str:
    return "variance" if case.pool.row.centered else "mean square"


# ---- the bugs: weight and bias ----


def _affine(text: str, **fields: Any) -> Change:
    return Change({"affine": Affine(**fields)}, text, {"order": fields["name"]})


@known_bug("affine-swapped", "With an input of zeros only one of the two should be left. Which is it in your code?")
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
    "Arrays broadcast from the last axis on. Which axis of x does a weight of shape (C,) meet, and what shape makes it "
    "meet that of the channels?",
)
def affine_not_reshaped(case: Case) -> Iterator[Change]:
    """Weight and bias of shape (C,) along the last axis, where that is as long as the axis of the channels."""
    last = case.channel_axis % len(case.pool.shape) == len(case.pool.shape) - 1
    for roles, affine in _along_axis(case, -1) if not case.flattens and not last else ():
        yield Change({"affine": affine}, without_reshape(case.pool, case.channel_axis, roles), {"order": affine.name})


def without_reshape(pool: Pooling, channel_axis: int, roles: str, returns: Any = ()) -> str:
    """Say that fn applies weight and bias of shape (C,) as they are: it scales an axis, or returns a shape or None."""
    axis, shape = pool.row.affine_axis, native_order(pool.shape, channel_axis)
    along = native_order([n if a == axis else 1 for a, n in enumerate(pool.shape)], channel_axis)
    text = f"applies {roles} of shape ({pool.shape[axis]},) along the last axis of x, as nothing reshapes to {along}: "
    if returns == ():
        return f"{text}here that axis is as long as the channels', and the wrong one is scaled; elsewhere fn raises"
    does = "raises on" if returns is None else f"returns shape {returns} for"
    return f"{text}in use it {does} an input of shape {shape}, and scales the wrong axis where both are as long"


def _along_axis(case: Case, at: int) -> Iterator[tuple[str, Affine]]:
    """Yield ways to apply a weight and a bias of one number for each channel along another axis of canonical x."""
    shape, axis = case.pool.shape, case.pool.row.affine_axis
    arrays = {role: p for role, p in (("weight", case.weight), ("bias", case.bias)) if p is not None}
    if shape[axis] != shape[at] or any(p.shape[axis] != p.size for p in arrays.values()):
        return
    for roles in dict.fromkeys(((*arrays,), *((role,) for role in arrays))) if arrays else ():

        def moved(p: np.ndarray, role: str, roles: tuple[str, ...] = roles) -> np.ndarray:
            return np.moveaxis(p, axis, at) if role in roles else p

        where = "axis 1" if case.channel_axis % len(shape) == len(shape) - 1 else "the last axis"
        yield " and ".join(roles), Affine(layout=moved, name=f"{' and '.join(roles)} along {where}")


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
        text = "multiplies by weight - 1: it takes the weight for the w of 1 + w, and leaves the 1 out"
        yield _affine(text, pick=lambda w, b: (w - 1, b), name="weight - 1")


@known_bug(
    "affine",
    "Call it with a weight of ones and a bias of zeros, then with one of the two as it was. If fn has its own weight "
    "and bias, pass check the same ones.",
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


# ---- the search ----


def changes(case: Case) -> list[Change]:
    """Return every version of every known bug that can make the measured sets, one for each way to make them."""
    found, made = [], {_made(case, Change({"cut": Cut("block", case.pool.block)}, ""))}
    measured = None if case.measured is None else _pattern(case.measured)
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
    made = [_pattern(change.fields["cut"].labels(case.pool))]
    for role, p in (("weight", case.weight), ("bias", case.bias)):
        if p is not None and layout is not None:
            made.append(np.broadcast_to(layout(p, role), case.pool.shape).tobytes())
    return tuple(made)


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
                text = f"adds {eps:.4g} where eps = {base.eps:.4g} is asked for"
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


def _pattern(labels: np.ndarray) -> bytes:
    """Return the same bytes for the same sets, whatever their numbers."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32).tobytes()
