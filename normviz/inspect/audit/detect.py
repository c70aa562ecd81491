"""Recognize a normalization by its output: which sets of the input explain what a module returned.

The output is regressed on the normalized input, for one block of cells after another. The module is not called again:
one input and one output have to do. There are four tests, the strictest first, on a few thousand cells:

- linear, with the module's own weight and bias: y = w x_hat + b, nothing fitted. This alone recognizes Batch Norm,
  whose sets are whole channels, so that a fitted weight and bias would explain any scale and shift.
- linear, with a weight and a bias fitted to each channel, where a channel has cells of several sets.
- through an activation, all cells together: sorted by w x_hat + b, the output must be smooth.
- through an activation, channel by channel: sorted by x_hat, the output must be smooth.

Smoothness is von Neumann's ratio: the mean square of the steps over twice the variance, 1 for noise and 0 for a
function. Each test must be passed far better than with x in place of x_hat: a function of x itself needs no sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, canonical, divisors, pooling
from normviz.functions.reduce import moments, statistics
from normviz.inspect.audit.tensors import attribute, buffers, has_values, parameters, values
from normviz.inspect.audit.torch_norms import BuffersBefore, Norm

MAX_CELLS = 2**24
"""Modules with larger inputs are not examined: that would take longer than the run."""
DEFAULT_EPS = 1e-5
"""Used where a layer's eps is not known."""
UNEXPLAINED = 1e-4
"""Share of the output's variance that may stay unexplained: rounding to bfloat16 leaves 1e-5, another block more than
1e-3 where sets differ at all."""
SMOOTH = 0.01
"""Von Neumann's ratio of a smooth function of some hundred points is below this."""
EXACT = 1e-13
"""Share that is left unexplained by rounding to float32 alone."""
BETTER, BETTER_SORTED = 25.0, 4.0
"""How many times worse x itself must explain the output. The sorted tests ask for less, as some steps remain whatever
the order."""
ROUGH = 0.3
"""With a ratio above this for some of the cells, the order of all need not be looked at."""
SORTED = 2
"""The first rank of the sorted tests."""
CHANNELS, CELLS = 16, 1024
"""Number of channels, and of cells of each, that are compared; the statistics are those of all cells."""
OUTSHONE = 100.0
"""How many times the median the largest cell may be."""
MIN_FITTED = 8
"""Cells of a channel that are needed to fit a weight and a bias."""
MIN_SORTED = 64
"""Cells that are needed to judge smoothness."""
EPS_NAMES = ("eps", "epsilon", "variance_epsilon")
_GROUP_NAMES = ("num_groups", "n_groups", "groups", "num_group", "G")
_BIAS_NAMES = ("bias", "beta", "shift", "offset")
_STATE_NAMES = ("mean", "var", "std", "track", "momentum")


def norm_by_output(
    module: Any, x: Any, y: Any, before: BuffersBefore, *, eps: float | None = None, size: int | None = None
) -> Norm | None:
    """Return what a module normalizes if sets of its input explain its output; None otherwise.

    Running statistics are those of `before`, by id of the buffer: as they were before the run. `size` is that of the
    sets, where it is known.
    """
    learned = parameters(module)
    if not 2 <= x.ndim <= 5 or has_matrices(module, x):
        return None
    own = _numbers_per_channel(module, x)
    arrays = {n: values(t) if t.shape == x.shape[1:] else values(t).reshape(-1) for n, t in own.items()}
    x_values, y_values = values(x), values(y)
    if eps is None:
        eps = next((e for e in (attribute(module, n) for n in EPS_NAMES) if isinstance(e, float)), None)
    groups = (attribute(module, n) for n in _GROUP_NAMES)
    G = next((g for g in groups if type(g) is int and g > 1), None)
    weight, bias = (next((own[n] for n in names), None) for names in _affine_names(own))
    match = match_sets(x_values, y_values, parameters=arrays, eps=eps, size=size)
    if match is None:
        uneven = G is not None and _has_uneven_groups(x_values, y_values, G, arrays, eps)
        return Norm("group", tuple(x.shape), None, 1, G, eps, weight, bias, grouped=True) if uneven else None
    grouped = G is not None and (match.num_groups == G or (match.kind == "instance" and x.shape[1] == G))
    mean, var = (next((n for n in own if word in n), None) for word in ("mean", "var"))
    stored = running = mean_after = None
    if mean and var:
        stored = before.get(id(own[mean]), arrays[mean]), before.get(id(own[var]), arrays[var])
        if match.kind == "batch" and (match.own or learned):  # without parameters it is frozen for good
            running, mean_after = stored, arrays[mean]
    kind, num_groups = ("group", G) if grouped else (match.kind, match.num_groups)
    sets = kind, tuple(x.shape), match.block, match.channel_axis, num_groups
    found = {"stored": stored, "mean_after": mean_after, "sure": match.rank == 0}
    return Norm(*sets, eps, weight, bias, running, match.own, grouped, **found)


def norm_around_call(module: Any, norm: Norm, call_output: Any, x: Any, y: Any, before: BuffersBefore) -> Norm | None:
    """Return what a module normalizes if the one function that it calls makes it a normalization; None otherwise.

    Its input is x and its output y; `norm` and `call_output` are those of the function.
    """
    if call_output is not None and norm.shape == tuple(x.shape):
        return norm if is_elementwise(values(call_output), values(y)) else None
    found = norm_by_output(module, x, y, before, eps=norm.eps, size=norm.size)
    if found is None or found.size != norm.size:
        return None
    names = ["weight", "bias", "eps", "grouped", *(("kind", "num_groups") if norm.kind == "group" else ())]
    return replace(found, **{name: getattr(norm, name) for name in names})


def is_activation(module: Any, x: Any, y: Any) -> bool:
    """Whether a module has no numbers of its own for channels, and its output is a function of its input's cells."""
    return not _numbers_per_channel(module, x) and is_elementwise(values(x), values(y))


def is_outshone(x: Any) -> bool:
    """Whether some cells are so large that the sets around them hardly differ, whichever way they are cut."""
    sizes = np.abs(values(x)).reshape(-1)
    typical = np.median(sizes[:: max(1, sizes.size // 4096)])
    return float(sizes.max()) > OUTSHONE * float(typical)


def _numbers_per_channel(module: Any, x: Any) -> dict[str, Any]:
    """Return the parameters and buffers that have one number per channel, on either axis, or per element."""
    own = {n: t for n, t in (parameters(module) | buffers(module)).items() if t.ndim and has_values(t)}
    return {n: t for n, t in own.items() if t.numel() in (x.shape[1], x.shape[-1]) or t.shape == x.shape[1:]}


def has_matrices(module: Any, x: Any) -> bool:
    """Whether a module has parameters that are neither numbers nor one per channel or element, as no norm has."""
    shapes = (x.shape[1:], *(p.shape for p in parameters(module).values()))
    features, *others = (tuple(n for n in shape if n > 1) for shape in shapes)
    return any(len(shape) > 1 and shape != features for shape in others)


def is_elementwise(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether y is a function of x, cell by cell: sorted by x it must be nearly as smooth as sorted by itself."""
    most = CHANNELS * CELLS
    sample = np.random.default_rng(0).integers(x.size, size=most) if x.size > most else slice(None)
    x, y = (a.reshape(1, -1)[:, sample].astype(np.float64) for a in (x, y))
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or np.ptp(y) == 0:
        return False
    if np.array_equal(x, y):
        return True
    return _roughness(x, y) <= 4 * _roughness(y, y)


def _has_uneven_groups(x: np.ndarray, y: np.ndarray, G: int, own: Mapping[str, np.ndarray], eps: float | None) -> bool:
    """Whether y is x normalized in G groups of channels that differ in size, as chunk or array_split cut them."""
    C = x.shape[1]
    if G >= C or C % G == 0:
        return False
    even, rest = divmod(C, G)
    chunk = [*range(0, C, -(-C // G)), C]
    array_split = np.cumsum([0] + [even + 1] * rest + [even] * (G - rest)).tolist()
    for edges in (chunk, array_split):
        matched = 0
        for a, b in pairwise(edges):
            of_group = {k: v.reshape(C)[a:b] for k, v in own.items() if v.size == C}
            if np.ptp(y[:, a:b]) == 0:
                continue  # an activation has set all of these channels to one value
            match = match_sets(x[:, a:b], y[:, a:b], parameters=of_group, eps=eps)
            if match is None or match.block != (1, b - a, *x.shape[2:]):
                break
            matched += 1
        else:
            return matched > 1
    return False


@dataclass(frozen=True)
class SetMatch:
    """The sets that explain an output."""

    # kind, num_groups: of METHODS
    kind: str
    num_groups: int | None
    channel_axis: int  # 1 or -1
    block: tuple[int, ...]  # in the input's order of axes
    own: bool  # whether the input's own statistics explain it; otherwise the running ones do
    rank: int  # of the test that was passed; 0 is the strictest
    error: float  # what stays unexplained


@dataclass(frozen=True)
class _SampledCells:
    """Some cells of the input and output, (channels, cells), and where they are."""

    x: np.ndarray
    y: np.ndarray
    n: np.ndarray
    c: np.ndarray
    s: np.ndarray
    full: np.ndarray  # the shape (N, C, spatial cells)

    def of_sets(self, per_set: np.ndarray, pool: Pooling) -> np.ndarray:
        """Return a number of each set at the cells."""
        grid, block = pool.grid, pool.block
        spatial = self.s if int(np.prod(grid[2:])) > 1 else 0 * self.s
        return per_set.reshape(grid[0], grid[1], -1)[self.n // block[0], self.c // block[1], spatial]

    def of_parameter(self, parameter: np.ndarray, per_element: bool) -> np.ndarray | None:
        """Return a parameter at the cells: it has one number per channel or, if allowed, one per element."""
        C, spatial = self.full[1], self.full[2]
        if parameter.size == C:
            return parameter.reshape(C)[self.c]
        if per_element and parameter.size == C * spatial:
            return parameter.reshape(C, spatial)[self.c, self.s]
        return None


def match_sets(
    x: np.ndarray,
    y: np.ndarray,
    *,
    parameters: Mapping[str, np.ndarray] | None = None,
    eps: float | None = None,
    size: int | None = None,
) -> SetMatch | None:
    """Return the sets of x whose statistics explain y, or None.

    `x`, `y`: Input and output, of one shape with 2 to 5 axes.
    `parameters`: The layer's own, by name. Those with one number per channel or element are tried as weight and bias,
        and as running mean and variance.
    `eps`, `size`: The layer's, and that of its sets, where they are known.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or np.ptp(y) == 0:
        return None
    own = {k: np.asarray(v, np.float64) for k, v in (parameters or {}).items()}
    by_axis = []
    for axis in (1, -1) if x.ndim > 2 else (1,):
        cells = _sample_cells(canonical(x, axis), canonical(y, axis))
        tests = _FitTests(cells, list(_affines(own, cells, per_element=axis == 1)))
        if tests.is_affine and not any(word in name.lower() for name in own for word in _STATE_NAMES):
            return None
        candidates = [*_candidates(canonical(x, axis), cells, own, DEFAULT_EPS if eps is None else eps, size)]
        by_axis.append((axis, tests, candidates))
    for ranks in (range(SORTED), range(SORTED, 4)):  # the sorted tests take longest, and are needed least
        found = [
            _match(pool, axis, is_own, rank, error)
            for axis, tests, candidates in by_axis
            for pool, x_hat, is_own in candidates
            for rank, error in tests.passed(x_hat, ranks, several_sets=pool.method != "batch", own=is_own)
        ]
        if found:
            return min(found, key=partial(_preference, x.ndim))
    return None


def _match(pool: Pooling, axis: int, own: bool, rank: int, error: float) -> SetMatch:
    order = list(range(len(pool.shape)))
    order.insert(axis % len(order), order.pop(1))
    return SetMatch(pool.method, pool.num_groups, axis, tuple(pool.block[a] for a in order), own, rank, error)


def _preference(ndim: int, match: SetMatch) -> tuple:
    """Sort by the strictest test that was passed, then by error; of equal errors the first row of METHODS wins.

    Over the last of three axes, Instance Norm of (N, C, L) and positional Layer Norm of (N, T, C) are the same: tokens
    are the commoner reading.
    """
    return match.rank, round(2 * np.log10(match.error + 1e-12)), ndim == 3 and match.kind in ("instance", "frn")


def _sample_cells(x: np.ndarray, y: np.ndarray) -> _SampledCells:
    """Choose the cells to compare, the same at every call."""
    N, C = x.shape[:2]
    full = np.array([N, C, x[0, 0].size])
    rng = np.random.default_rng(0)
    channels = np.sort(rng.permutation(C)[:CHANNELS])
    cells = np.sort(rng.permutation(N * full[2])[: min(CELLS, N * full[2])])
    c, flat = np.broadcast_arrays(channels[:, None], cells[None])
    n, s = flat // full[2], flat % full[2]
    spatial = np.unravel_index(s, x.shape[2:]) if x.ndim > 2 else ()
    index = (n, c, *spatial)
    return _SampledCells(x[index].astype(np.float64), y[index].astype(np.float64), n, c, s, full)


def _candidates(
    x: np.ndarray, cells: _SampledCells, own: Mapping[str, np.ndarray], eps: float, size: int | None
) -> Iterator[tuple[Pooling, np.ndarray, bool]]:
    """Yield every block once with its x_hat at the cells, except blocks of one cell; then the running statistics.

    If the `size` of the sets is known, only blocks of this size.
    """
    atoms = moments(x)
    # Sets within a position need the compared positions alone: each becomes a sample without spatial axes.
    positions = x.reshape(*x.shape[:2], -1)[cells.n[0], :, cells.s[0]]
    at_positions = replace(cells, n=np.broadcast_to(np.arange(len(positions)), cells.n.shape), s=0 * cells.s)
    tried: set[tuple] = set()
    for row in METHODS.values():
        if row.axes == "weights" or row.n == "group":
            continue
        for groups in divisors(x.shape[1])[1:-1] if row.has_groups else (None,):
            pool = pooling(row.name, x.shape, groups)
            if pool.size > 1 and size in (None, pool.size) and (pool.block, row.centered) not in tried:
                tried.add((pool.block, row.centered))
                if row.spatial == "all":
                    found, where, sets = atoms.pool(row.name, groups), cells, pool
                else:
                    found, where = statistics(positions, row.name, num_groups=groups), at_positions
                    sets = pooling(row.name, positions.shape, groups)
                mean, var = (where.of_sets(v, sets) for v in (found.mean, found.var))
                yield pool, (cells.x - mean) / np.sqrt(var + eps), True
    state = {name: own[k].reshape(-1) for name in ("mean", "var") for k in own if name in k.lower()}
    if len(state) == 2 and all(v.size == x.shape[1] for v in state.values()) and (state["var"] >= 0).all():
        x_hat = (cells.x - state["mean"][cells.c]) / np.sqrt(state["var"][cells.c] + eps)
        yield pooling("batch", x.shape), x_hat, False


def _affine_names(own: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    names = [n for n in own if not any(word in n.lower() for word in _STATE_NAMES)]
    biases = [n for n in names if any(word in n.lower() for word in _BIAS_NAMES)]
    return [n for n in names if n not in biases], biases


def _affines(
    own: Mapping[str, np.ndarray], cells: _SampledCells, *, per_element: bool
) -> Iterator[tuple[np.ndarray | float, np.ndarray | float]]:
    """Yield the weights and biases that the layer may have used, at the cells."""
    yield 1.0, 0.0
    at_cells = ([cells.of_parameter(own[k], per_element) for k in names] for names in _affine_names(own))
    weights, biases = ([v for v in of_kind if v is not None] for of_kind in at_cells)
    for weight in weights[:2]:
        for bias in biases[:1] or [0.0]:
            yield weight, bias
            yield 1 + weight, bias  # a weight that is stored as its distance from 1
    if biases and not weights:
        yield 1.0, biases[0]


class _FitTests:
    """The four tests on one choice of cells, and how well x itself passes them."""

    def __init__(self, cells: _SampledCells, affines: list) -> None:
        self.x, self.y, self.affines = cells.x, cells.y, affines
        self.spread = _sum_of_squares(cells.y - cells.y.mean())
        self.error_of_x = cache(lambda test: test(cells.x))

    @property
    def is_affine(self) -> bool:
        """Whether y is x with the layer's own weight and bias, to rounding: then no sets can explain it better."""
        return bool(self.spread) and self._own_affine(self.x) <= EXACT

    def passed(self, x_hat: np.ndarray, ranks: range, *, several_sets: bool, own: bool) -> Iterator[tuple[int, float]]:
        """Yield the tests of these ranks that x_hat passes: (rank, 0 for the strictest; what is left unexplained).

        A weight may be fitted only if a channel has `several_sets`. Running statistics are not computed from x, so they
        need not do better than x itself.
        """
        if not self.spread:
            return
        cells = self.y.shape[1]
        fitted = several_sets and cells >= MIN_FITTED
        rows = (
            (self._own_affine, self._fitted if fitted else self._own_affine, UNEXPLAINED, BETTER, True),
            (self._fitted, self._fitted, UNEXPLAINED, BETTER, fitted),
            (self._all_sorted, self._all_sorted, SMOOTH, BETTER_SORTED, self.y.size >= MIN_SORTED),
            (self._sorted, self._sorted, SMOOTH, BETTER_SORTED, several_sets and cells >= MIN_SORTED),
        )
        for rank in ranks:
            test, test_of_x, most, better, applies = rows[rank]
            if applies:
                error = test(x_hat)
                if error <= most and (not own or error * better <= self.error_of_x(test_of_x)):
                    yield rank, error

    def _own_affine(self, x_hat: np.ndarray) -> float:
        return min(_sum_of_squares(self.y - (w * x_hat + b)) for w, b in self.affines) / self.spread

    def _fitted(self, x_hat: np.ndarray) -> float:
        x_hat, y = (a - a.mean(1, keepdims=True) for a in (x_hat, self.y))
        squares = np.square(x_hat).sum(1, keepdims=True)
        slope = np.divide((x_hat * y).sum(1, keepdims=True), squares, out=np.zeros_like(squares), where=squares > 0)
        return _sum_of_squares(y - slope * x_hat) / (_sum_of_squares(y) or 1.0)

    def _all_sorted(self, x_hat: np.ndarray) -> float:
        def roughness(cells: slice) -> float:
            y = self.y[:, cells].reshape(1, -1)
            outputs = (np.broadcast_to(w * x_hat + b, x_hat.shape)[:, cells] for w, b in self.affines)
            return min(_roughness(output.reshape(1, -1), y) for output in outputs)

        few = roughness(slice(None, None, max(1, x_hat.shape[1] // MIN_SORTED)))
        return few if few > ROUGH else roughness(slice(None))

    def _sorted(self, x_hat: np.ndarray) -> float:
        return _roughness(x_hat, self.y)


def _sum_of_squares(a: np.ndarray) -> float:
    return float(np.square(a).sum())  # np.vdot would wake the threads of the BLAS, which takes longer


def _roughness(by: np.ndarray, y: np.ndarray) -> float:
    """Return von Neumann's ratio of y sorted by `by`, along the last axis."""
    steps = np.diff(np.take_along_axis(y, np.argsort(by, axis=1), 1), axis=1)
    return _sum_of_squares(steps) / (2 * _sum_of_squares(y - y.mean(1, keepdims=True)) or 1.0)
