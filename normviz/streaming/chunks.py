"""Iterables of chunks along N: generators, a torch DataLoader, memory maps one after the other."""

from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any

import numpy as np

from normviz.backends.dispatch import adopt
from normviz.core.pooling import canonical
from normviz.streaming.partial_moments import join, measure
from normviz.streaming.progress import Progress

Axes = Callable[[tuple[int, ...]], tuple[int, ...]]


def read(
    chunks: Iterable[Any], axes_of: Axes, channel_axis: int, backend: str | None, progress: bool | None
) -> tuple[np.ndarray, tuple[int, ...], str]:
    """Return the atoms over `axes_of(shape)`, the shape (N, C, *spatial) of all chunks, and who computed them."""
    parts: list[np.ndarray] = []
    first, axes, worker, length = None, (), "", 0
    with Progress(progress, length_hint(chunks) or None, unit=" chunks") as bar:
        for number, chunk in enumerate(chunks):
            dtype = _dtype(chunk, number)
            array, backend_here, _ = adopt(chunk, backend)
            view = canonical(array, channel_axis, f"chunk {number}")
            here = dtype, view.shape[1:]
            if first is None:
                first, axes, worker = here, axes_of(view.shape), backend_here.name
            elif here != first:
                _refuse(number, here, first)
            part = measure(view, axes, backend)
            if 0 in axes and parts:
                parts[0] = join(parts[0], part)
            else:
                parts.append(part)
            length += view.shape[0]
            bar.add(1)
    if first is None:
        raise ValueError("x has no chunks: the iterable is empty, or has been read before; an iterator gives them once")
    return np.concatenate(parts), (length, *first[1]), worker


def _dtype(chunk: Any, number: int) -> str:
    """Return the name of the dtype of a chunk, which must be an array."""
    if not hasattr(chunk, "dtype") or not hasattr(chunk, "shape"):
        raise TypeError(
            f"chunk {number} is of type {type(chunk).__name__}, not an array of shape (n, C, *spatial); "
            "of a loader of (inputs, labels) pass (batch[0] for batch in loader)"
        )
    return getattr(chunk.dtype, "name", str(chunk.dtype)).removeprefix("torch.")


def _refuse(number: int, here: tuple[str, tuple[int, ...]], first: tuple[str, tuple[int, ...]]) -> None:
    """Say which chunk does not fit those before it, and how."""
    (dtype, (C, *spatial)), (first_dtype, (first_C, *first_spatial)) = here, first
    raise ValueError(
        f"chunk {number} is {dtype} with C={C} and spatial axes {tuple(spatial)}, and the chunks before it "
        f"{first_dtype} with C={first_C} and {tuple(first_spatial)}; only N may differ"
    )
