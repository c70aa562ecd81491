"""Mean and variance that do not come from x: each channel has one scale and one offset for all inputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from numbers import Real
from types import FunctionType

import numpy as np

from normviz.core.array_kinds import real_numbers
from normviz.inspect._signature import ROLES
from normviz.inspect._snapshot import is_array
from normviz.inspect.check.layer_state import attribute, find_parameters, find_running
from normviz.inspect.check.localize import lines
from normviz.inspect.check.setup import Subject
from normviz.inspect.check.simulate import FLOAT16, Recipe, Trial
from normviz.inspect.check.verdict import Mismatch


def fixed_line(trials: Sequence[Trial], tolerance: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and offset of every channel, (C,) each, if they map x to the output of every trial; else None."""
    pool = trials[0].scene.pool
    channel = np.broadcast_to(np.indices(pool.shape, sparse=True)[1], pool.shape).reshape(-1)
    x, y = np.concatenate([t.scene.x.reshape(-1) for t in trials]), np.concatenate([t.y for t in trials])
    if pool.row.axes == "weights" or not np.isfinite(y).all():
        return None
    # The output of half precision is as coarse as its tolerance is, and lines leave ten times as much.
    resolution = trials[0].scene.resolution
    fine = tolerance if resolution < FLOAT16 else 0.4 * resolution
    scale, offset, straight = lines(np.tile(channel, len(trials)), x, y, fine)
    offset = np.where(np.abs(offset) < 1e-3 * tolerance, 0.0, offset)
    return (scale, offset) if straight.all() and np.abs(scale).max() > 1e-6 else None


def fixed_statistics(
    subject: Subject, trials: Sequence[Trial], base: Recipe, line: tuple[np.ndarray, np.ndarray], tolerance: float
) -> Mismatch:
    """Return what is wrong with a fn that maps each channel by the same scale and offset whatever x is."""
    scale, offset = line
    scene, y = next((t.scene, t.y) for t in trials if not t.scene.agrees(t.y, base, tolerance).all())
    expected, wrong = scene.output(base), ~scene.agrees(y, base, tolerance)
    cell = int(np.argmax(np.abs(y - expected) * wrong))
    c = int(np.unravel_index(cell, scene.x.shape)[1])
    line_of_c = f"{scale[c]:.5g} * x {'-' if offset[c] < 0 else '+'} {abs(offset[c]):.5g}"
    text = f"takes no statistics from x: in channel {c} it gives {line_of_c} for any x"
    text += _where_from(subject, scale, offset, base.eps, c)
    details = {"scale": tuple(scale.tolist()), "offset": tuple(offset.tolist())}
    return Mismatch("uses-running-statistics", text, scene.x, y, expected, wrong, cell, details=details)


def _where_from(subject: Subject, scale: np.ndarray, offset: np.ndarray, eps: float, c: int) -> str:
    """Say which fixed mean and variance make scale and offset in channel c, and what in reach of fn keeps them."""
    alike = partial(np.allclose, rtol=max(1e-3, 4 * subject.call.resolution), atol=1e-4)
    arrays = []
    for held in subject.call.snapshot.objects:
        with suppress(Exception):  # attributes that raise, no real numbers, another number of channels
            if is_array(held):
                arrays.append(real_numbers(held, "an array").reshape(-1))
            elif not isinstance(held, FunctionType | dict) and (found := find_running([held], {})):
                slots = found[0]
                layer, own = slots[0].owner, find_parameters(slots[0].owner)
                added = next((e for name in ROLES["eps"] if isinstance(e := attribute(layer, name), Real)), eps)
                read = [slot and slot.read() for slot in (*slots, own.get("weight"), own.get("bias"))]
                mean, var, w, b = (np.ravel(d if p is None else p) for p, d in zip(read, (0, 1, 1, 0), strict=True))
                times = w / np.sqrt(var + added)
                if alike(times, scale) and alike(b - mean * times, offset):
                    names = (f"{slot.name} = {number[c]:.5g}" for slot, number in zip(slots, (mean, var), strict=True))
                    return f", as with {' and '.join(names)} of {type(layer).__name__}"
    w, b = (np.ones_like(scale) * (d if p is None else p.ravel()) for p, d in ((subject.weight, 1), (subject.bias, 0)))
    mean, var = (b - offset) / scale, np.square(w / scale) - eps
    mean = np.where(np.abs(mean) < 1e-12, 0.0, mean)  # what rounding leaves of a bias that is the offset
    if w[c] / scale[c] < 0 or var[c] < 0:
        return ""
    arrays = [a for a in arrays if a.size == len(scale)]
    held = any(alike(a, mean) for a in arrays) and any(alike(a, p) for a in arrays for p in (var, np.sqrt(var)))
    kept = ", and fn holds an array of each" if held else ""
    return f", as with a fixed mean of {mean[c]:.5g} and a fixed variance of {var[c]:.5g}{kept}"
