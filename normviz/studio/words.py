"""What the studio says about a shape: every method's sets in numbers, and which methods are the same here.

Whether two methods have the same sets is asked of their blocks, so no case is listed twice and none is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from normviz.blocks import Pooling, default_num_groups, pooling
from normviz.explorer.measure import Data, whole
from normviz.explorer.names import length_names, spread_name
from normviz.methods import METHODS, Method
from normviz.results import Statistics
from normviz.studio.values import DISTRIBUTIONS, LIMITS, spread

FOUR = ("batch", "layer", "instance", "group")
BASES = ("instance", "layer", "batch")
"""Of methods with the same sets, the one that the others are said to have become."""
CLOSE = 1e-6
"""Means that differ by less than this share of a deviation or of themselves are the same, and variances likewise."""
ROUNDING = 1e-8
"""A deviation of less than this share of the mean may be rounding alone."""
HEAD = '<tr><th scope="col">method</th><th scope="col" colspan="2">cells in a set</th><th scope="col">sets</th></tr>'
PREDICT = "The sets in numbers are here again once Predict is off."
HINT = "No two of these methods have the same sets here. Move N to 1: Batch Norm’s become Instance Norm’s."


def poolings(shape: Sequence[int], method: str, num_groups: int) -> dict[str, Pooling]:
    """The sets of the four methods, and of the chosen one where it is another."""
    # With Ghost Batch Norm chosen G counts slices of the batch, so Group Norm has the G that it starts with.
    groups = {"group": default_num_groups(shape[1]) if method == "ghost" else num_groups, "ghost": num_groups}
    names = (*FOUR, method) if method in METHODS else FOUR
    return {name: pooling(name, shape, groups.get(name)) for name in dict.fromkeys(names)}


# ---- a set in numbers ------------------------------------------------------------------------------------------------


def extents(pool: Pooling) -> list[str]:
    """What a set takes of each axis of x: one cell, all, or a group."""
    row = METHODS[pool.method]
    return [row.n, row.c, *[row.spatial] * (len(pool.shape) - 2)]


def size(pool: Pooling) -> tuple[str, str]:
    """|S| as a product of lengths, in letters and in numbers; both empty for sets of one value."""
    letters, numbers = [], []
    names = length_names(pool.shape, {"axes": METHODS[pool.method].axes})
    for name, extent, length in zip(names, extents(pool), pool.block, strict=True):
        if extent != "one":
            letters.append(f"({name}/G)" if extent == "group" else name)
            numbers.append(str(length))
    return "·".join(letters), "·".join(numbers)


def sets_of(pool: Pooling) -> str:
    """How many sets of how many values there are."""
    sets, values = ("1 set" if pool.count == 1 else f"{whole(pool.count)} sets"), _values(pool.size)
    return f"{sets} of {values}" + (", the whole of x" if pool.count == 1 else "")


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{whole(count)} values"


def table(found: dict[str, Pooling], chosen: str) -> str:
    """The methods as a table, the chosen one marked."""
    rows = []
    for name, pool in found.items():
        letters, numbers = size(pool)
        label = METHODS[name].label + (f", G = {pool.num_groups}" if pool.num_groups else "")
        mark = ' class="nvs-chosen" aria-current="true"' if name == chosen else ""
        # A single factor needs no second look at its number.
        product = letters if numbers in ("", str(pool.size)) else f"{letters} = {numbers}"
        cells = f"<td>{product}</td><td>{whole(pool.size)}</td><td>{whole(pool.count)}</td>"
        rows.append(f'<tr{mark}><th scope="row">{label}</th>{cells}</tr>')
    return f'<table class="nvs-sets">{HEAD}{"".join(rows)}</table>'


# ---- which methods are the same here ---------------------------------------------------------------------------------


def same(found: dict[str, Pooling]) -> Iterator[str]:
    """A sentence for every two or more methods that have the same sets here, and why; by mean and variance alone."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, pool in found.items():
        if METHODS[name].centered and METHODS[name].axes == "activations":
            alike.setdefault(pool.block, []).append(name)
    for names in alike.values():
        if len(names) > 1:
            base = next(name for name in (*BASES, *names) if name in names)
            others = _and([f"{METHODS[name].label}’s" for name in names if name != base])
            pool = found[base]
            reason = _and(list(dict.fromkeys(reasons([found[name] for name in names]))))
            yield f"{reason}: {others} sets are {METHODS[base].label}’s now, {sets_of(pool)}."


def reasons(alike: Sequence[Pooling]) -> Iterator[str]:
    """What makes the same blocks of different rules: "N = 1", "G = C"."""
    lengths = alike[0].shape
    names, rules = length_names(lengths), [extents(pool) for pool in alike]
    if len(lengths) > 2 and len({rule[2] for rule in rules}) > 1:
        spatial = names[2:]
        yield " = ".join([*spatial, "1"])
    for axis in (0, 1):
        kinds = {rule[axis] for rule in rules}
        if len(kinds) > 1 and lengths[axis] == 1:
            yield f"{names[axis]} = 1"
        elif len(kinds) > 1:
            yield "G = 1" if "all" in kinds else f"G = {names[axis]}"


def single(found: dict[str, Pooling]) -> Iterator[str]:
    """A warning of sets that hold one value: nothing is left of x."""
    names = [METHODS[name].label for name, pool in found.items() if pool.size == 1 and METHODS[name].centered]
    if names:
        yield (
            f"Sets of one value: {_and(names)}. The mean is the value and the variance 0, so every x̂ is 0, "
            "whatever x holds."
        )


def notes(shape: Sequence[int], method: str, num_groups: int) -> list[str]:
    """All that is special about a shape, or what to try next."""
    found = poolings(shape, method, num_groups)
    return [*same(found), *single(found)] or [HINT]


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# ---- where the values come from --------------------------------------------------------------------------------------


def origin(state: Mapping[str, Any]) -> str:
    """A sentence about the values of x, as HTML."""
    if state["source"] == "sample":
        return _of_sample(state["shape"])
    if state["source"] == "random":
        return f"Normal random numbers, seed {state['seed']}: {DISTRIBUTIONS[state['distribution']][0]}."
    file, shape = state["file"], state["shape"]
    names = length_names(shape)
    order = names if state["channel_axis"] == 1 else [names[0], *names[2:], names[1]]
    cut = "" if shape == file.canonical(state["channel_axis"]).shape else " The first cells of each axis are shown."
    return f"{escape(file.name)}: {file.values.dtype} of shape {file.values.shape}, ({', '.join(order)}).{cut}"


def _of_sample(shape: Sequence[int]) -> str:
    N, C, H, W = shape
    most = LIMITS["sample"]
    samples = "sample 0" if N == 1 else f"samples 0 to {N - 1}"
    channels = f"all {C} channels" if most[1] == C else f"channels {_list(spread(C))} of {most[1]}"
    channels = f"channel 0 of {most[1]}" if C == 1 else channels
    middle = "all" if most[2:] == (H, W) else "the middle"
    where = f"{middle} {H} × {W}" + ("" if middle == "all" else f" of {most[2]} × {most[3]}") + " positions"
    return f"Filter responses of real photographs: {samples}, {channels}, {where}."


def _list(channels: np.ndarray) -> str:
    steps = set(np.diff(channels).tolist())
    if len(channels) > 3 and len(steps) == 1:
        return f"{channels[0]}, {channels[1]}, … {channels[-1]}"
    return _and([str(c) for c in channels])


def lengths(shape: Sequence[int], dtype: object) -> str:
    """The shape in letters and numbers."""
    product = " × ".join(map(str, shape))
    return f"x: {' × '.join(length_names(shape))} = {product} = {whole(math.prod(shape))} values, {dtype}."


# ---- who computed what is shown --------------------------------------------------------------------------------------


def computed(found: Statistics, row: Method, agrees: bool | None) -> str:
    """Who computed the statistics, and whether they are what the explorer shows."""
    many, what = found.var.size, spread_name({"centered": row.centered, "statistic": row.statistic})
    names = ["mean", what] if row.centered else [what]
    numbers = _and([f"{whole(many)} {name}{'s' if many > 1 else ''}" for name in names])
    check = {
        True: "the explorer shows the same numbers",
        False: "the explorer shows other numbers",
        None: "the explorer asks for them one by one",
    }[agrees]
    return f"Computed by {found.backend}: {numbers}; {check}."


def agree(found: Statistics, data: Data, row: Method, num_groups: int) -> bool | None:
    """Whether the scene tells the same mean and variance of every set; None where it does not carry them."""
    shown = data.statistics(data.method(row.name), num_groups)
    if shown is None:
        return None
    mean, var = (part.ravel() for part in shown)
    with np.errstate(invalid="ignore", over="ignore"):
        means = np.isclose(found.mean.ravel(), mean, rtol=CLOSE, atol=CLOSE * np.sqrt(var), equal_nan=True)
        # Equal values have a variance of nothing but rounding, and everybody rounds in an order of their own.
        rounding = np.square(ROUNDING * mean)
        variances = np.isclose(found.var.ravel(), var, rtol=CLOSE, atol=rounding, equal_nan=True)
    return bool((means & variances).all())


# ---- all of it -------------------------------------------------------------------------------------------------------


def panel(
    state: Mapping[str, Any], dtype: str, method: str, num_groups: int, by: str, *, predict: bool
) -> tuple[str, list[str]]:
    """The text of the panel as HTML, and of it what is to be read aloud; a prediction is not to be given away."""
    shape = state["shape"]
    said = [PREDICT] if predict else notes(shape, method, num_groups)
    parts = [lengths(shape, dtype), origin(state), *(f"<b>{note}</b>" for note in said), *([] if predict else [by])]
    sets = "" if predict else table(poolings(shape, method, num_groups), method)
    return f"{sets}<div>{''.join(f'<p>{part}</p>' for part in parts)}</div>", said


__all__ = ["agree", "computed", "notes", "panel"]
