"""Errors against float64 on the tensors that break naive formulas: `table()`, which the tests hold to its limits."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import normviz as nv

METHODS = (("batch", None), ("layer", None), ("instance", None), ("group", 4), ("positional", None))
_AXES = {"batch": (0, 2), "layer": (1, 2), "instance": (2,), "positional": (1,)}


def _normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def _signs(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).choice([-1.0, 1.0], shape)


CASES: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
    "N(0, 1)": lambda s: _normal(s).astype("f4"),
    "N(0, 1), float64": _normal,
    "after a ReLU": lambda s: np.maximum(_normal(s), 0).astype("f4"),
    "1e4 ± 1e-2": lambda s: (1e4 + 1e-2 * _normal(s)).astype("f4"),
    "1e8 ± 1e-2, float64": lambda s: 1e8 + 1e-2 * _normal(s),
    "constant 3.7": lambda s: np.full(s, 3.7, "f4"),
    "N(0, 1), float16": lambda s: _normal(s).astype("f2"),
    "±30000, float16": lambda s: (30000 * _signs(s)).astype("f2"),
    "subnormal float16": lambda s: (1e-7 * _normal(s)).astype("f2"),
    "7x7 maps": lambda s: _normal((*s[:2], 7, 7)).astype("f4"),
    "one-element sets": lambda s: _normal((*s[:2], 1, 1)).astype("f4"),
    "1e20": lambda s: (1e20 * _normal(s)).astype("f4"),
    "1e-30": lambda s: (1e-30 * _normal(s)).astype("f4"),
    "1e-21, whose squares are subnormal": lambda s: (1e-21 * _normal(s)).astype("f4"),
    "1e38, near float32's end": lambda s: (3e37 * _normal(s)).astype("f4"),
}


def oracle(x: np.ndarray, method: str, num_groups: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Variance of every set, in the order of the statistics, and x normalized; both from two passes in float64."""
    v = x.astype(np.float64).reshape(*x.shape[:2], -1)
    if num_groups:
        v = v.reshape(len(v), num_groups, -1)
    axes = _AXES.get(method, (2,))
    v = v - v[tuple(slice(0, 1) if a in axes else slice(None) for a in range(3))]
    off = v - v.mean(axis=axes, keepdims=True)
    var = (off * off).mean(axis=axes, keepdims=True)
    return var.squeeze(axes), (off / np.sqrt(var + 1e-5)).reshape(x.shape)


def errors(x: np.ndarray, method: str, num_groups: int | None, **options) -> tuple[float, float]:
    """Largest relative error of a variance (absolute where it is 0) and largest error of the output."""
    var, y = oracle(x, method, num_groups)
    found = nv.statistics(x, method, num_groups=num_groups, **options).var.reshape(var.shape)
    output = nv.normalize(x, method, num_groups=num_groups, **options)
    return float((abs(found - var) / np.where(var > 0, var, 1)).max()), float(abs(output.astype(np.float64) - y).max())


def table(backends: Iterable[str], shape: tuple[int, ...] = (8, 16, 56, 56)) -> Iterator[dict[str, Any]]:
    """Yield each case with the worst of its errors over all methods, for each backend: of a variance, of an output."""
    for name, make in CASES.items():
        row: dict[str, Any] = {"name": name}
        for backend in backends:
            found = [errors(make(shape), *method, backend=backend) for method in METHODS]
            row[backend] = [max(var for var, _ in found), max(output for _, output in found)]
        yield row
