"""Iterables of chunks along N: generators, a torch DataLoader, memory maps one after the other."""

from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any

import numpy as np

from ..backends import backend_for
from ..sources import in_memory
from .atoms import in_order, join, measure
from .progress import Progress

Axes = Callable[[tuple[int, ...]], tuple[int, ...]]


def read(
    chunks: Iterable[Any], axes_of: Axes, channel_axis: int, backend: str | None, progress: bool | None
) -> tuple[np.ndarray, tuple[int, ...], str]:
    """Return the atoms over `axes_of(shape)`, the shape (N, C, *spatial) of all chunks, and who computed them."""
    parts: list[np.ndarray] = []
    first, axes, worker, length = None, (), "", 0
    with Progress(progress, length_hint(chunks) or None, unit=" chunks") as bar:
        for number, chunk in enumerate(chunks):
            here = _described(chunk, number, channel_axis)
            if first is None:
                first, axes, worker = here, axes_of(here[1]), backend_for(chunk, backend)
            elif (here[0], here[1][1:]) != (first[0], first[1][1:]):
                _refuse(number, here, first)
            part = measure(chunk, axes, channel_axis=channel_axis, backend=backend, name=f"chunk {number}")
            if 0 in axes and parts:
                parts = [join(parts[0], part)]
            else:
                parts.append(part)
            length += here[1][0]
            bar.add(1)
    if first is None:
        raise ValueError("x has no chunks: the iterable is empty, or has been read before; an iterator gives them once")
    return np.concatenate(parts), (length, *first[1][1:]), worker


def _described(chunk: Any, number: int, channel_axis: int) -> tuple[str, tuple[int, ...]]:
    """Return the dtype and the canonical shape of a chunk."""
    shape, dtype = getattr(chunk, "shape", None), getattr(chunk, "dtype", None)
    if shape is None or dtype is None:
        raise TypeError(
            f"chunk {number} is of type {type(chunk).__name__}, not an array of shape (n, C, *spatial); "
            "of a loader of (inputs, labels) pass (batch[0] for batch in loader)"
        )
    shape = tuple(in_memory(chunk).shape)
    if len(shape) > 1 and -len(shape) <= channel_axis < len(shape):  # if not, `measure` says so
        shape = in_order(shape, channel_axis)
    return getattr(dtype, "name", str(dtype)).removeprefix("torch."), shape


def _refuse(number: int, here: tuple[str, tuple[int, ...]], first: tuple[str, tuple[int, ...]]) -> None:
    """Say which chunk does not fit those before it, and how."""
    (dtype, (_, C, *spatial)), (first_dtype, (_, first_C, *first_spatial)) = here, first
    raise ValueError(
        f"chunk {number} is {dtype} with C={C} and spatial axes {tuple(spatial)}, and the chunks before it "
        f"{first_dtype} with C={first_C} and {tuple(first_spatial)}; only N may differ"
    )
