"""The known bugs of the sets: axes taken for others, other groups, other axes under the mean.

See `known_bugs` for how a bug is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order, uncanonical
from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, canonical, divisors
from normviz.inspect.check.bug import Case, Change, along_axis, pattern
from normviz.inspect.check.simulate import MOST_CELLS, Affine, Cut
from normviz.inspect.probe.reading import Reading, misread, readings
from normviz.inspect.probe.sets import block_of, every_pooling, number

RESHAPES = "reshapes where a transpose is needed: "


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
    if pattern(cut.labels(pool)) != pattern(pool.labels()):
        yield from (Change({"cut": cut, "affine": affine}, text) for _, affine in along_axis(case, at))
    if case.flattens or axis % rank > 1:
        yield from (Change({"affine": affine}, f"{text}, for {roles}") for roles, affine in along_axis(case, at))
    yield Change({"cut": cut}, text)


def interleaved_groups(case: Case) -> Iterator[Change]:
    """Groups of channels (or samples) that are not neighbours."""
    pool, G, axis = case.pool, case.pool.num_groups, case.pool.row.grouped_axis
    if not G:
        return
    what, length = ("samples", "channels")[axis], pool.shape[axis]
    first = ", ".join(map(str, [*range(0, length, G)][:4]))
    text = f"groups {what} that are {G} apart: group 0 is {what} {first}{', ...' if length > 4 * G else ''}"
    yield Change({"cut": Cut("strided", pool.block)}, text)
    if axis == 1 and len(pool.shape) > 2:
        text = (
            f"puts neighboring cells of a sample into different groups of the {G}, so each has cells of every channel"
        )
        yield Change({"cut": Cut("scattered")}, text)


def wrong_axes(case: Case) -> Iterator[Change]:
    """Statistics over other axes."""
    shape, rank, axis, own = case.pool.shape, len(case.pool.shape), case.pool.row.grouped_axis, case.pool.block
    lengths = [sorted({1, n}) for n in shape]
    if case.pool.num_groups:
        lengths[axis] = sorted({1, shape[axis] // case.pool.num_groups, shape[axis]})
    order = [a for a in range(rank) if a != case.channel_axis % rank]
    order.insert(1, case.channel_axis % rank)  # the axes of fn's array in the canonical order
    row = case.pool.row
    rows = [r for r in METHODS.values() if r.centered == row.centered and r.axes == row.axes and not r.has_groups]
    known = {Pooling(r.name, shape).block: r for r in rows[::-1]}
    of_features = next((r for r in rows if r.name in ("positional", "rms")), None)
    for block in product(*lengths):
        whole = tuple(sorted(order[a] for a in range(rank) if block[a] == shape[a]))
        parted = tuple(order[a] for a in range(rank) if 1 < block[a] < shape[a])
        if not whole and not parted:
            continue
        over = [f"axes {whole}"] if whole else []
        over += [f"axis {parted[0]} within each group"] if parted else []
        text = f"takes {'mean and variance' if row.centered else 'squares'} over {' and '.join(over)}"
        sizes = " × ".join(str(block[order.index(a)]) for a in range(rank))
        text += f", so its sets are boxes of {sizes}"
        details: dict[str, Any] = {"axes": whole, "within_groups": parted, "block": block}
        if case.pool.num_groups and (*block[:axis], *block[axis + 1 :]) == (*own[:axis], *own[axis + 1 :]):
            details["num_groups"] = groups = shape[axis] // block[axis]
            same = (r for r, p in every_pooling(shape) if p.block == block and r.centered == case.pool.row.centered)
            made = f"{groups} groups" if groups > 1 else "1 group"
            text += f", those of {next(same).label}: {made}, not {case.pool.num_groups}"
        elif same_sets := known.get(block, of_features if whole == (rank - 1,) and not parted else None):
            text += f", those of {same_sets.label}" + " with channel_axis=-1" * (block not in known)
            text += ", which a transformer's LayerNorm is" * (same_sets.name == "positional")
        yield Change({"cut": Cut("block", block)}, text, details)
        if whole == (rank - 1,) and not parted:  # a layer that treats the last axis, with its weight and bias
            for _, affine in [*along_axis(case, -1)][:1]:
                yield Change({"cut": Cut("block", block), "affine": affine}, text, details)


def mean_and_variance_apart(case: Case) -> list[Change]:
    """Return the mean over some axes with the variance over others, if cells that answer to either are those measured.

    There are many such pairs, so they are tried only where nothing else explains an output, and if the measured sets
    leave all of them possible, only for a small input.
    """
    shape, rank = case.pool.shape, len(case.pool.shape)
    if not case.pool.row.centered or (case.measured is None and math.prod(shape) > 2 * MOST_CELLS):
        return []
    lengths = [sorted({1, own, n}) for own, n in zip(case.pool.block, shape, strict=True)]
    blocks = [block for block in product(*lengths) if max(block) > 1]
    measured = None if case.measured is None else block_of(case.measured)

    def over(block: tuple[int, ...]) -> str:
        extents, longest = (native_order(of, case.channel_axis) for of in (block, shape))
        whole = tuple(a for a in range(rank) if extents[a] == longest[a])
        if any(extents[a] > 1 for a in range(rank) if a not in whole):
            return f"boxes of {' × '.join(map(str, extents))}"
        return f"axes {whole}" if len(whole) != 1 else f"axis {whole[0]}"

    found = []
    for of_mean, of_variance in permutations(blocks, 2):
        both = tuple(map(max, of_mean, of_variance))
        # Sets that are no boxes come from two boxes of which neither holds the other.
        if both != measured if measured else case.measured is not None or both in (of_mean, of_variance):
            continue
        text = f"takes the variance over {over(of_variance)} and the mean over {over(of_mean)}"
        text += f", but the method takes both over {over(case.pool.block)}"
        boxes = {"mean": of_mean, "variance": of_variance}
        details = {name: native_order(block, case.channel_axis) for name, block in boxes.items()}
        fields = {"cut": Cut("block", of_mean), "spread_cut": Cut("block", of_variance)}
        found += [Change(fields | {"around_mean": around}, text, details, "wrong-axes") for around in (False, True)]
    return found


def wrong_groups(case: Case) -> Iterator[Change]:
    """Another number of groups."""
    pool, G, axis = case.pool, case.pool.num_groups, case.pool.row.grouped_axis
    what, length = ("samples", "channels")[axis], pool.shape[axis]
    for other in divisors(length) if G else ():
        block = tuple(length // other if a == axis else n for a, n in enumerate(pool.block))
        size = length // other
        text = f"makes {other} groups of {size} {what}, not {G} groups of {length // (G or 1)}"
        if size == G:
            text += f", as if num_groups = {G} were the number of {what} in a group"
        yield Change({"cut": Cut("block", block)}, text, {"num_groups": other, "asked": G})


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


SET_BUGS = (
    (
        channels_last,
        "channels-last",
        "Which axis of x holds the channels? Frameworks differ: it is axis 1 in PyTorch, and the last in Keras and "
        "Flax.",
    ),
    (
        interleaved_groups,
        "interleaved-groups",
        "A group is C / G channels with neighboring indices. After your reshape, which axis holds the groups? Is "
        "it the "
        "one right after the samples?",
    ),
    (
        wrong_axes,
        "wrong-axes",
        "Write down the shape your mean has with keepdims=True. How many means does this method take, and which axes "
        "must have length 1?",
    ),
    (
        wrong_groups,
        "wrong-groups",
        "num_groups is the number of groups. Each group has C / num_groups channels. Which of the two do you pass?",
    ),
    (
        reshape_not_transpose,
        "reshape-not-transpose",
        "reshape and view keep the order of the numbers; only transpose, permute and moveaxis move an axis. Which axes "
        "does your reshape merge or split, and are they next to each other?",
    ),
)
"""(function that yields the versions of the bug for a case, code, hint), in the order in which they are tried."""
