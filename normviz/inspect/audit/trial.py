"""Recognize a normalization by calling its module again, on inputs of our own.

The example may hide what a module does: squares overflow in half precision, one channel outshines all others, a weight
is 0. So a module without layers inside, which its output did not explain, is called on noise; weights that are 0 or not
finite are replaced for the trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from normviz.core.pooling import canonical
from normviz.inspect.audit.detect import has_matrices, norm_by_output
from normviz.inspect.audit.tensors import buffers, first_tensor, has_values, values
from normviz.inspect.audit.torch_norms import OTHER, BuffersBefore, Norm

SAMPLES, CELLS = 2, 64
"""A trial's input has this number of samples, or as many as the example, until a channel has so many cells."""
WATCHED = 8
"""Cells of a map that are left as they are, while the others move."""
WIDER = 8.0
"""How many times wider cells are spread, so that the output must change if it depends on them."""
CHANGED = 0.02
"""Change of an output, in standard deviations, that counts as one."""
INVARIANT = 0.005
"""Relative change of a normalization's output, through eps, when its input is scaled."""
SAME = 1e-4
"""A change is none if it is below this part of the other one, beside rounding."""


def norm_by_trial(
    module: Any, args: tuple, kwargs: dict, x: Any, before: BuffersBefore, guess: Norm | None = None
) -> Norm | None:
    """Return what a module normalizes if calls on noise show it; None otherwise, and if they raise.

    `args`, `kwargs` are those of its call in the run, with x as the first argument, and `guess` is what the output of
    that call may mean: if nothing contradicts it, it is returned. The caller sees to it that these
    calls are not observed. Parameters, buffers and random states are left as they were.
    """
    import torch

    if not args or not 2 <= x.ndim <= 5 or has_matrices(module, x):
        return guess
    samples = max(SAMPLES, CELLS * max(x.shape[1:]) // max(x[0].numel(), 1))
    shape = (min(samples, x.shape[0]), *x.shape[1:])

    def rounded(noise: np.ndarray) -> Any:
        return torch.from_numpy(noise).to(x.device, _wide(x.dtype))

    def call(noise: np.ndarray) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            y = module.forward(rounded(noise), *args[1:], **kwargs)
        if first_tensor(y) is not y or tuple(y.shape) != shape or not y.isfinite().all():
            raise ValueError("not an output of a normalization")
        return np.array(values(y), np.float64)

    try:
        with _replaced(module) as originals:
            noise, other = _noise(shape, 0), WIDER * _noise(shape, 1)
            rounding = torch.finfo(_wide(x.dtype)).eps
            y = call(noise)
            cell = np.unravel_index(np.abs(y).argmax(), shape)
            other[cell] = noise[cell]
            if not buffers(module) and abs(call(other)[cell] - y[cell]) <= CHANGED * y.std():
                return guess  # the output depends on this cell alone
            state = {i: before.get(id(t), np.array(values(t), np.float64)) for i, t in originals.items()}
            norm = norm_by_output(module, rounded(noise), torch.from_numpy(y), state)
            if norm is None or not norm.sure:
                norm = norm or guess
                if norm is None or _size(call(WIDER * noise) - y) > INVARIANT * _size(y):
                    maps = (_pools_maps(noise, y, axis, call, rounding) for axis in (1, -1)[: x.ndim - 2])
                    axis = next((a for a, pools in zip((1, -1), maps, strict=False) if pools), None)
                    if axis is None:
                        return guess
                    return Norm(OTHER, tuple(x.shape), None, axis, stored=tuple(state.values()))
                if norm is guess:
                    return guess
    except Exception:  # it may ask for other sizes, or for values that it knows
        return guess
    block = norm.block and (x.shape[0] if norm.block[0] > 1 else 1, *norm.block[1:])
    weight, bias = (originals.get(id(t)) for t in (norm.weight, norm.bias))
    return replace(norm, shape=tuple(x.shape), block=block, weight=weight, bias=bias, mean_after=None)


def _size(a: np.ndarray) -> float:
    return float(np.sqrt(np.square(a).mean()))


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return noise, skewed, whose maps differ in mean and spread along the first two axes and along the last one."""
    rng = np.random.default_rng(seed)
    maps, features = (*shape[:2], *[1] * (len(shape) - 2)), shape[-1:]
    x = rng.exponential(size=shape) * rng.uniform(0.5, 1.5, maps) * rng.uniform(0.5, 1.5, features)
    return x + rng.standard_normal(maps) + rng.standard_normal(features)


def _pools_maps(
    x: np.ndarray, y: np.ndarray, axis: int, call: Callable[[np.ndarray], np.ndarray], rounding: float
) -> bool:
    """Whether some cells of the output depend on the mean and variance of the others of their map, and on nothing else.

    The others are moved away from their mean, which changes the variance alone, and mirrored at it, which changes
    neither. `rounding` is the relative one of the dtype.
    """
    of_map = canonical(y, axis)[0, 0]
    order = np.abs(of_map).argsort(axis=None)
    others = np.ones(of_map.size, bool)
    others[order[2 :: max(3, of_map.size // WATCHED)]] = False
    others = others.reshape(of_map.shape)

    def change(factor: float) -> float:
        moved = x.copy()
        one = canonical(moved, axis)[0, 0]  # a view
        mean = one[others].mean()
        one[others] = mean + factor * (one[others] - mean)
        return np.abs(canonical(call(moved), axis)[0, 0] - of_map)[~others].max()

    size, spread = np.abs(of_map).max(), of_map.std()
    wider = change(WIDER) if others.sum() > 2 and not others.all() else 0.0
    return wider > CHANGED * spread + 32 * rounding * size and change(-1.0) <= 8 * rounding * size + SAME * wider


@contextmanager
def _replaced(module: Any) -> Iterator[dict[int, Any]]:
    """Give a module copies of its own parameters and buffers, in float32 at least; yield id of the copy -> original.

    Those that are not finite become noise about 1; so do those that are all 0, if there is no other of their size.
    """
    import torch

    stores = [object.__getattribute__(module, "__dict__")[store] for store in ("_parameters", "_buffers")]
    kept = [dict(store) for store in stores]
    try:
        originals = {}
        own = [t for store in stores for t in store.values() if t is not None and has_values(t)]
        sizes = {t.numel() for t in own if t.any()}
        for store in stores:
            for name, tensor in store.items():
                if tensor is not None and has_values(tensor):
                    new = tensor.detach().to(_wide(tensor.dtype), copy=True)
                    if not new.isfinite().all() or new.numel() not in sizes:
                        noise = np.random.default_rng(0).uniform(0.5, 1.5, tuple(new.shape))
                        new = torch.from_numpy(noise).to(new.device, new.dtype)
                    store[name] = new
                    originals[id(new)] = tensor
        yield originals
    finally:
        for store, before in zip(stores, kept, strict=True):
            store.clear()
            store.update(before)


def _wide(dtype: Any) -> Any:
    """Return float32 for a shorter dtype, whose rounding would cover what a trial shows."""
    import torch

    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
