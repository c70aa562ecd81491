"""Which sets explain what a layer did: its output is regressed on the normalized input, block by block.

Nothing is called again; one input and one output must do. Four tests, the strictest first, on a few thousand cells:

- straight, with the layer's own weight and bias: y = w x_hat + b, nothing fitted. Tells Batch Norm as well, whose sets
  are whole channels, so that any weight and bias that were fitted would explain any scale and shift.
- straight, with a weight and a bias fitted to each channel, where a channel has cells of several sets.
- through an activation: sorted by w x_hat + b, and so by x_hat within a channel, the output must run smoothly, which
  von Neumann's ratio measures: the steps' mean square over twice the variance, 1 for noise and 0 for any function.

Each must beat the same test with x in place of x_hat by far: what is a function of x itself needs no sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.moments import Moments
from normviz.core.pooling import Pooling, canonical, divisors, pooling
from normviz.core.statistics import Statistics
from normviz.functions.reduce import moments, statistics
from normviz.inspect.audit.measures import EPS

STRAIGHT = 1e-4
"""Share of the output's variance that may stay unexplained: bfloat16 rounds 1e-5 of it away, another block leaves more
than 1e-3 where sets differ at all."""
SMOOTH = 0.01
"""Von Neumann's ratio of a smooth function of some hundred points is below this."""
BETTER, BETTER_SORTED = 25.0, 4.0
"""How much worse x itself, and so any fixed scale and shift, must explain the output; sorted cells keep some steps
however right the order is."""
CHANNELS, CELLS = 16, 1024
"""At most this many channels, and cells of each, are looked at; the statistics are those of all cells."""
FEWEST = 8
"""Cells of a channel that two fitted numbers may be trusted on."""
FEWEST_SORTED = 64
"""Cells that smoothness may be judged on."""
_LIKE_BIAS = ("bias", "beta", "shift", "offset")
_LIKE_STATE = ("mean", "var", "std", "track", "momentum")


@dataclass(frozen=True)
class Match:
    """The sets that explain an output.

    Attributes
    ----------
    kind, num_groups
        Of METHODS.
    channel_axis
        1 or -1.
    block
        In the input's order of axes.
    own
        Whether the input's statistics explain it; the running ones otherwise.
    error
        What stays unexplained.
    """

    kind: str
    num_groups: int | None
    channel_axis: int
    block: tuple[int, ...]
    own: bool
    error: float


@dataclass(frozen=True)
class _Cells:
    """Some cells of the input and output, (channels, cells), and where they are."""

    x: np.ndarray
    y: np.ndarray
    n: np.ndarray
    c: np.ndarray
    s: np.ndarray
    full: np.ndarray  # the shape (N, C, spatial cells)

    def of_sets(self, values: np.ndarray, pool: Pooling) -> np.ndarray:
        """Return the numbers of the sets that the cells are in."""
        grid, block = pool.grid, pool.block
        spatial = self.s if int(np.prod(grid[2:])) > 1 else 0 * self.s
        return values.reshape(grid[0], grid[1], -1)[self.n // block[0], self.c // block[1], spatial]

    def of_sample(self, values: np.ndarray, elements: bool) -> np.ndarray | None:
        """Return a parameter at the cells, one a channel or, if they may be, one an element of a sample."""
        C, spatial = self.full[1], self.full[2]
        if values.size == C:
            return values.reshape(C)[self.c]
        return values.reshape(C, spatial)[self.c, self.s] if elements and values.size == C * spatial else None


def recognise(
    x: np.ndarray, y: np.ndarray, *, parameters: Mapping[str, np.ndarray] | None = None, eps: float | None = None
) -> Match | None:
    """Return the sets of x whose statistics explain y, or None.

    Parameters
    ----------
    x, y
        Input and output, of one shape with 2 to 5 axes.
    parameters
        The layer's own, by name; those with a number for each channel or element are tried as weight and bias, and as
        running mean and variance.
    eps
        The layer's, where it is known.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or np.ptp(y) == 0:
        return None
    own = {k: np.asarray(v, np.float64) for k, v in (parameters or {}).items()}
    looks = []
    for axis in (1, -1) if x.ndim > 2 else (1,):
        cells = _some(canonical(x, axis), canonical(y, axis))
        hats = list(_candidates(canonical(x, axis), cells, own, EPS if eps is None else eps))
        looks.append((axis, _Tests(cells, list(_affines(own, cells, elements=axis == 1))), hats))
    for ranks in (range(2), range(2, 4)):  # sorting takes longest, and is needed least
        found = [
            (rank, _match(pool, axis, is_own, error))
            for axis, tests, candidates in looks
            for pool, hats, is_own in candidates
            for rank, error in tests.of(hats, ranks, several=pool.method != "batch", own=is_own)
        ]
        if found:
            return min(found, key=partial(_preference, x.ndim))[1]
    return None


def runs_on(z: np.ndarray, y: np.ndarray) -> bool:
    """Whether y is a function of z, cell by cell: sorted by z it must run nearly as smoothly as sorted by itself."""
    flat = (
        np.random.default_rng(0).integers(z.size, size=CHANNELS * CELLS) if z.size > CHANNELS * CELLS else slice(None)
    )
    z, y = (a.reshape(1, -1)[:, flat].astype(np.float64) for a in (z, y))
    if not (np.isfinite(z).all() and np.isfinite(y).all()) or np.ptp(y) == 0:
        return False
    return _roughness(z, y) <= 4 * _roughness(y, y)


def _match(pool: Pooling, axis: int, own: bool, error: float) -> Match:
    order = list(range(len(pool.shape)))
    order.insert(axis % len(order), order.pop(1))
    return Match(pool.method, pool.num_groups, axis, tuple(pool.block[a] for a in order), own, error)


def _preference(ndim: int, found: tuple[int, Match]) -> tuple:
    """The strictest test that anything passes decides, in it the best, and of equals the first row of METHODS.

    Over the last of three axes, Instance Norm of (N, C, L) and positional Layer Norm of (N, T, C) are one: tokens are
    the commoner reading.
    """
    rank, match = found
    return rank, round(2 * np.log10(match.error + 1e-12)), ndim == 3 and match.kind in ("instance", "frn")


def _some(x: np.ndarray, y: np.ndarray) -> _Cells:
    """Pick the cells to look at, the same at every call."""
    N, C = x.shape[:2]
    full = np.array([N, C, x[0, 0].size])
    rng = np.random.default_rng(0)
    channels = np.sort(rng.permutation(C)[:CHANNELS])
    cells = np.sort(rng.permutation(N * full[2])[: min(CELLS, N * full[2])])
    c, flat = np.broadcast_arrays(channels[:, None], cells[None])
    n, s = flat // full[2], flat % full[2]
    spatial = np.unravel_index(s, x.shape[2:]) if x.ndim > 2 else ()
    where = (n, c, *spatial)
    return _Cells(x[where].astype(np.float64), y[where].astype(np.float64), n, c, s, full)


def _candidates(
    x: np.ndarray, cells: _Cells, own: Mapping[str, np.ndarray], eps: float
) -> Iterator[tuple[Pooling, np.ndarray, bool]]:
    """Every block with its x_hat at the cells; each block once, and blocks of one cell not at all."""
    atoms = moments(x)
    seen: set[tuple] = set()
    for row in METHODS.values():
        if row.axes == "weights" or row.n == "group":
            continue
        for groups in divisors(x.shape[1])[1:-1] if row.has_groups else (None,):
            pool = pooling(row.name, x.shape, groups)
            if pool.size > 1 and (pool.block, row.centered) not in seen:
                seen.add((pool.block, row.centered))
                taken = _statistics(x, atoms, pool)
                mean, var = (cells.of_sets(v, pool) for v in (taken.mean, taken.var))
                yield pool, (cells.x - mean) / np.sqrt(var + eps), True
    state = {name: own[k].reshape(-1) for name in ("mean", "var") for k in own if name in k.lower()}
    if len(state) == 2 and all(v.size == x.shape[1] for v in state.values()) and (state["var"] >= 0).all():
        hats = (cells.x - state["mean"][cells.c]) / np.sqrt(state["var"][cells.c] + eps)
        yield pooling("batch", x.shape), hats, False


def _statistics(x: np.ndarray, atoms: Moments, pool: Pooling) -> Statistics:
    if METHODS[pool.method].spatial == "all":
        return atoms.pool(pool.method, pool.num_groups)
    return statistics(x, pool.method)


def _affines(
    own: Mapping[str, np.ndarray], cells: _Cells, *, elements: bool
) -> Iterator[tuple[np.ndarray | float, np.ndarray | float]]:
    """The weights and biases that the layer may have used, at the cells."""
    yield 1.0, 0.0
    there = {k: cells.of_sample(v, elements) for k, v in own.items() if not any(s in k.lower() for s in _LIKE_STATE)}
    biases = [v for k, v in there.items() if v is not None and any(b in k.lower() for b in _LIKE_BIAS)]
    weights = [v for k, v in there.items() if v is not None and not any(b in k.lower() for b in _LIKE_BIAS)]
    for weight in weights[:2]:
        for bias in biases[:1] or [0.0]:
            yield weight, bias
            yield 1 + weight, bias  # a weight kept as its distance from 1
    if biases and not weights:
        yield 1.0, biases[0]


class _Tests:
    """The four tests on one choice of cells, and how well x itself passes them."""

    def __init__(self, cells: _Cells, affines: list) -> None:
        self.y, self.affines = cells.y, affines
        self.spread = _square(cells.y - cells.y.mean())
        self.of_x = cache(lambda test: test(cells.x))

    def of(self, hats: np.ndarray, ranks: range, *, several: bool, own: bool) -> Iterator[tuple[int, float]]:
        """Which tests of these ranks x_hat passes: (rank, the strictest 0; what is left unexplained).

        Only with `several` sets to a channel may weights be fitted. Running statistics are not x's own, and so they
        need not do better than x itself.
        """
        if not self.spread:
            return
        fitted, cells = several and self.y.shape[1] >= FEWEST, self.y.shape[1]
        rows = (
            (self._given, self._fitted if fitted else self._given, STRAIGHT, BETTER, True),
            (self._fitted, self._fitted, STRAIGHT, BETTER, fitted),
            (self._joint, self._joint, SMOOTH, BETTER_SORTED, self.y.size >= FEWEST_SORTED),
            (self._by_channel, self._by_channel, SMOOTH, BETTER_SORTED, several and cells >= FEWEST_SORTED),
        )
        for rank in ranks:
            test, null, most, better, may = rows[rank]
            if may:
                error = test(hats)
                if error <= most and (not own or error * better <= self.of_x(null)):
                    yield rank, error

    def _given(self, hats: np.ndarray) -> float:
        return min(_square(self.y - (w * hats + b)) for w, b in self.affines) / self.spread

    def _fitted(self, hats: np.ndarray) -> float:
        hats, y = (a - a.mean(1, keepdims=True) for a in (hats, self.y))
        below = np.square(hats).sum(1, keepdims=True)
        slope = np.divide((hats * y).sum(1, keepdims=True), below, out=np.zeros_like(below), where=below > 0)
        return _square(y - slope * hats) / (_square(y) or 1.0)

    def _joint(self, hats: np.ndarray) -> float:
        return min(_roughness((w * hats + b).reshape(1, -1), self.y.reshape(1, -1)) for w, b in self.affines)

    def _by_channel(self, hats: np.ndarray) -> float:
        return _roughness(hats, self.y)


def _square(values: np.ndarray) -> float:
    return float(np.vdot(values, values))


def _roughness(by: np.ndarray, y: np.ndarray) -> float:
    """Von Neumann's ratio of y sorted by `by`, along the last axis."""
    steps = np.diff(np.take_along_axis(y, np.argsort(by, axis=1), 1), axis=1)
    return _square(steps) / (2 * _square(y - y.mean(1, keepdims=True)) or 1.0)
