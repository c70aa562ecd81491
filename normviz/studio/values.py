"""Where the studio takes its values from: sample activations, random numbers, or a file; each cut to a shape.

What is cut away does not change what stays: the same samples and the same numbers are seen again when the shape grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from normviz import backends
from normviz.blocks import check_shape
from normviz.errors import unknown, whole
from normviz.explorer.names import length_names
from normviz.samples import activations
from normviz.studio.files import Given, given

FIRST = (4, 16, 12, 12)
"""The shape that a studio starts with."""
LIMITS: Mapping[str, tuple[int, ...]] = MappingProxyType({"sample": (256, 16, 12, 12), "random": (32, 64, 32, 32)})
"""The longest axes that each source has; those of a file are the file's own."""
SOURCES = (*LIMITS, "file")
MOST_FIRST = 2**22
"""A larger file is first shown in part, so that nobody waits for cells they did not ask for."""
FAR, LOUD = 100.0, 10.0

DISTRIBUTIONS: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = MappingProxyType(
    {
        "normal": ("mean 0 and variance 1", lambda x: x),
        "loud channel": ("channel 0 ten times as large", lambda x: _scaled(x, (slice(None), 0))),
        "loud sample": ("sample 0 ten times as large", lambda x: _scaled(x, (0,))),
        "far from zero": ("mean 100 and standard deviation 0.1", lambda x: FAR + x / np.float32(10)),
    }
)
"""What random numbers are made of standard normal ones: in words, and how."""


def _scaled(x: np.ndarray, at: tuple[Any, ...]) -> np.ndarray:
    x[at] *= LOUD
    return x


def limits(source: str, file: Given | None, channel_axis: int) -> tuple[int, ...]:
    """The longest axes, (N, C, *spatial), that x can have."""
    return file.canonical(channel_axis).shape if file is not None and source == "file" else LIMITS[source]


def first_shape(source: str, most: Sequence[int]) -> tuple[int, ...]:
    """The shape that a source is first shown in: a file whole, or its longest axes halved until it is not large."""
    if source != "file":
        return FIRST
    shape = list(most)
    while math.prod(shape) > MOST_FIRST:
        axis = int(np.argmax(shape))
        shape[axis] = -(-shape[axis] // 2)
    return tuple(shape)


def fitted(shape: Sequence[int], most: Sequence[int]) -> tuple[int, ...]:
    """A shape made to fit other limits: lengths are cut, axes that are missing start as they do in a new studio."""
    if len(shape) != len(most):
        shape = (*shape[:2], *FIRST[2:])
    return tuple(min(n, limit) for n, limit in zip(shape, most, strict=True))


def check_lengths(value: Any, source: str, file: Given | None, channel_axis: int) -> tuple[int, ...]:
    """A shape that the source can give, as ints; ValueError or TypeError in one sentence."""
    if getattr(value, "ndim", 1) != 1:
        raise TypeError("shape is an array; Studio(file=array) shows one, and shape is what to cut it to")
    shape, most = check_shape(value, "the studio's x"), limits(source, file, channel_axis)
    name = file.name if source == "file" and file is not None else f"source {source!r}"
    if len(shape) != len(most):
        raise ValueError(f"shape {shape} has {len(shape)} axes; {name} has {len(most)}, up to {most}")
    for letter, n, limit in zip(length_names(most), shape, most, strict=True):
        if n > limit:
            raise ValueError(f"{letter}={n} is more than {name} has, {limit}; its longest shape is {most}")
    return shape


def check_source(value: Any, file: Given | None) -> str:
    """A known source; "file" only once there is one."""
    if value not in SOURCES:
        raise ValueError(unknown("source", value, SOURCES))
    if value == "file" and file is None:
        raise ValueError("source='file' needs a file; upload one, or assign the path of a .npy file to studio.file")
    return value


def check_distribution(value: Any) -> str:
    """A key of DISTRIBUTIONS."""
    if value not in DISTRIBUTIONS:
        raise ValueError(unknown("distribution", value, DISTRIBUTIONS))
    return value


def check_seed(value: Any) -> int:
    """A whole number from 0."""
    seed = whole(value, "seed", "; random numbers of the same seed are the same")
    if seed < 0:
        raise ValueError(f"seed={seed} is less than 0; take 0 or any number above it")
    return seed


def check_channel_axis(value: Any) -> int:
    """1 or -1."""
    axis = whole(value, "channel_axis", "; 1 reads a file as (N, C, ...), -1 as (N, ..., C)")
    if axis not in (1, -1):
        raise ValueError(f"channel_axis={axis} is not offered here; 1 reads a file as (N, C, ...), -1 as (N, ..., C)")
    return axis


def check_backend(value: Any) -> str | None:
    """None for "auto", or a backend that can be used here; RuntimeError says why it cannot."""
    return None if value is None or value == "auto" else backends.backend_for(np.zeros(1), value)


def start(
    shape: Any, source: Any, file: Any, seed: Any, distribution: Any, channel_axis: Any, backend: Any
) -> dict[str, Any]:
    """Check everything that a studio was called with, and fill in what was left out."""
    axis = check_channel_axis(channel_axis)
    found = None if file is None else given(file, axis)
    source = check_source(("file" if found else "sample") if source is None else source, found)
    first = first_shape(source, limits(source, found, axis)) if shape is None else shape
    return {
        "shape": check_lengths(first, source, found, axis),
        "source": source,
        "file": found,
        "seed": check_seed(seed),
        "distribution": check_distribution(distribution),
        "channel_axis": axis,
        "backend": check_backend(backend),
    }


# ---- what is made of them --------------------------------------------------------------------------------------------


def recipe(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """All that x depends on: as long as this is the same, so is x."""
    more = {"sample": (), "random": ("distribution", "seed"), "file": ("file", "channel_axis")}[state["source"]]
    return tuple(state[name] for name in ("source", "shape", *more))


def make(state: Mapping[str, Any]) -> np.ndarray:
    """The tensor of a state, (N, C, *spatial)."""
    if state["source"] == "sample":
        return sample(state["shape"])
    if state["source"] == "random":
        return random(state["shape"], state["distribution"], state["seed"])
    return leading(state["file"].canonical(state["channel_axis"]), state["shape"])


def sample(shape: Sequence[int]) -> np.ndarray:
    """The first samples, channels spread evenly so that groups stay orientations, and the middle of the maps."""
    N, C, H, W = shape
    x = activations(N)[:, spread(C)]
    top, left = ((limit - n) // 2 for n, limit in zip((H, W), LIMITS["sample"][2:], strict=True))
    return np.ascontiguousarray(x[:, :, top : top + H, left : left + W])


def spread(C: int) -> np.ndarray:
    """Which of the sample's channels are taken where x has C of them."""
    return np.arange(C) * LIMITS["sample"][1] // C


@lru_cache(maxsize=2)
def _normal(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(LIMITS["random"], dtype=np.float32)


def random(shape: Sequence[int], distribution: str, seed: int) -> np.ndarray:
    """Random numbers, float32, cut out of one large array: a cell keeps its number when the shape changes."""
    part = _normal(seed)[tuple(slice(n) for n in shape)].copy()
    return DISTRIBUTIONS[distribution][1](part)


def leading(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The first cells along each axis, so that an index means the same cell as in the whole."""
    return values[tuple(slice(n) for n in shape)]


__all__ = [
    "DISTRIBUTIONS", "FIRST", "LIMITS", "SOURCES", "check_backend", "check_channel_axis", "check_distribution",
    "check_lengths", "check_seed", "check_source", "first_shape", "fitted", "limits", "make", "recipe", "spread",
    "start",
]  # fmt: skip
