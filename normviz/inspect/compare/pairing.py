"""Which normalization of one model is which of the other: by name, by order, and by the values that reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np

from normviz.inspect.compare.layer_diff import LayerPair, compare_layers
from normviz.inspect.compare.matching import relative
from normviz.inspect.compare.recording import LayerUse, together

MATCH, SIMILAR, UNMATCHED = range(3)
"""How sure a pair is: inputs and outputs agree; inputs agree; neither."""
NEARER = 0.7
"""A use gets more similar values than another one if the difference is this many times as large, or less."""


class Pairing:
    """The uses of two models, and which pairs they form."""

    def __init__(self, a: Sequence[LayerUse], b: Sequence[LayerUse], names: Mapping[str, str], tolerance: float | None):
        self.a, self.b, self.names, self.tolerance = a, b, names, tolerance
        self.pairs: dict[tuple[int, int], LayerPair] = {}
        self.merged: tuple[set[int], set[int]] = set(), set()  # uses that belong to a pair beside its first
        self._align()
        if any([self._by_values(MATCH), not names and self._by_values(SIMILAR)]):
            self._align()
        for at in [*self.pairs]:
            self._merge(at)
        for at in [*self.pairs]:
            self._exchange(at)
        for (i, j), pair in [*self.pairs.items()]:
            by_name = {a[i].known_by, b[j].known_by}
            if "name" in by_name and not (pair.matched and (len(by_name) > 1 or pair.output_parts)):
                del self.pairs[i, j]  # nothing shows that it is a normalization, or that it matters

    def in_order(self) -> list[LayerPair]:
        """Return the pairs in the order of a's run."""
        return [self.pairs[at] for at in sorted(self.pairs)]

    def uses_of(self, pair: LayerPair) -> tuple[LayerPair, LayerUse, LayerUse]:
        """Return a pair, and its two uses with their activations."""
        i, j = next(at for at, p in self.pairs.items() if p is pair)
        return pair, self.a[i], self.b[j]

    def alone(self, side: int) -> list[LayerUse]:
        """Return the uses of model a (0) or b (1) that have no counterpart."""
        uses = (self.a, self.b)[side]
        return [uses[k].without_activations() for k in self._free(side) if uses[k].known_by != "name"]

    def _free(self, side: int) -> list[int]:
        taken = {at[side] for at in self.pairs} | self.merged[side]
        return [k for k in range(len((self.a, self.b)[side])) if k not in taken]

    def _align(self) -> None:
        free_a, free_b = self._free(0), self._free(1)
        for i, j in align([self.a[i] for i in free_a], [self.b[j] for j in free_b], self.names):
            at = free_a[i], free_b[j]
            self.pairs[at] = compare_layers(self.a[at[0]], self.b[at[1]], self.tolerance)

    def _by_values(self, wanted: int) -> bool:
        """Pair anew what is not sure, as layers in another order get the same values; return whether a pair changed."""
        sure: tuple[dict[int, int], dict[int, int]] = {}, {}
        for (i, j), pair in self.pairs.items():
            by_name = self.a[i].name in self.names or (pair.matched and self.a[i].name == self.b[j].name)
            sure[0][i] = sure[1][j] = MATCH if by_name else _sureness(pair)
        loose = [
            [k for k in range(len(u)) if s.get(k, UNMATCHED) > wanted]
            for u, s in zip((self.a, self.b), sure, strict=True)
        ]
        sums = [{k: _sums(uses[k].x) for k in ks} for uses, ks in zip((self.a, self.b), loose, strict=True)]
        changed = False
        for i in loose[0]:
            for j in sorted(loose[1], key=lambda j: (self.a[i].kind != self.b[j].kind, abs(i - j))):
                if (i, j) in self.pairs or not np.allclose(sums[0][i], sums[1][j], rtol=0.2):
                    continue
                pair = compare_layers(self.a[i], self.b[j], self.tolerance)
                if _sureness(pair) <= wanted:
                    self.pairs = {at: p for at, p in self.pairs.items() if at[0] != i and at[1] != j} | {(i, j): pair}
                    loose[1].remove(j)
                    changed = True
                    break
        return changed

    def _merge(self, at: tuple[int, int]) -> None:
        """Take more uses into a pair, where one model calls a layer on parts of what the other one calls it on."""
        uses = self.a, self.b
        if any(uses[side][at[side]].x is None for side in (0, 1)):
            return
        sizes = [uses[side][at[side]].x.size for side in (0, 1)]  # type: ignore[union-attr]
        if sizes[0] == sizes[1]:
            return
        side = 0 if sizes[0] < sizes[1] else 1
        own, free = at[side], self._free(side)
        same_name = [k for k in free if uses[side][k].name == uses[side][own].name]
        for others in (same_name, [k for k in free if k > own], [k for k in reversed(free) if k < own]):
            taken, total = [own], sizes[side]
            for k in others:
                x = uses[side][k].x
                if total < sizes[1 - side] and x is not None:
                    taken.append(k)
                    total += x.size
            if total == sizes[1 - side]:
                both = [uses[s][at[s]] for s in (0, 1)]
                both[side] = together([uses[side][k] for k in sorted(taken)])
                found = compare_layers(both[0], both[1], self.tolerance)
                if found.matched or others is same_name:
                    self.pairs[at] = found
                    self.merged[side].update(taken)
                    return

    def _exchange(self, at: tuple[int, int]) -> None:
        """Pair one of two anew with a use that has no counterpart, if that gets more similar values."""
        pair, uses = self.pairs[at], (self.a, self.b)
        if pair.matched or self.a[at[0]].name in self.names or pair.a.name == pair.b.name:
            return
        for side in (0, 1):
            of, x = uses[side][at[side]], uses[1 - side][at[1 - side]].x
            for k in self._free(side):
                other = uses[side][k]
                if x is None or other.x is None or other.kind != of.kind:
                    continue
                if relative(other.x, x) < NEARER * (pair.input_difference or 0.0):
                    del self.pairs[at]
                    found = (k, at[1]) if side == 0 else (at[0], k)
                    self.pairs[found] = compare_layers(self.a[found[0]], self.b[found[1]], self.tolerance)
                    return


def _sureness(pair: LayerPair) -> int:
    return UNMATCHED if not pair.matched else SIMILAR if pair.output_parts else MATCH


def _sums(x: np.ndarray | None) -> tuple[float, float]:
    """Return numbers that do not depend on the order of the values."""
    return (0.0, 0.0) if x is None else (float(x.size), float(np.square(x, dtype=np.float64).sum()))


def align(a: Sequence[LayerUse], b: Sequence[LayerUse], names: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return which layer of a is which of b: by name, between those by kind and channels, and then by order."""
    of_a = [(names.get(use.name, use.name), (use.kind, use.input_shape[1:]), use.input_shape[1:]) for use in a]
    of_b = [(use.name, (use.kind, use.input_shape[1:]), use.input_shape[1:]) for use in b]
    return _align_by(0, of_a, of_b, 0, 0)


def _align_by(key: int, a: list[tuple], b: list[tuple], i: int, j: int) -> list[tuple[int, int]]:
    """Align by one of three keys, and by the next between the matches; a and b start at i and j of the whole."""
    if key == 3:
        return [(i + k, j + k) for k in range(min(len(a), len(b)))]
    of_a, of_b = ([keys[key] for keys in side] for side in (a, b))
    found, p, q = [], 0, 0
    # the last block is empty and stands at the end of both
    for block in SequenceMatcher(None, of_a, of_b, autojunk=False).get_matching_blocks():
        found += _align_by(key + 1, a[p : block.a], b[q : block.b], i + p, j + q)
        found += [(i + block.a + k, j + block.b + k) for k in range(block.size)]
        p, q = block.a + block.size, block.b + block.size
    return found
