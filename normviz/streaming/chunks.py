"""Iterables of chunks along N: generators, a torch DataLoader, memory maps one after the other."""

from collections.abc import Iterable
from operator import length_hint
from typing import Any

import numpy as np

from normviz.arrays.request import take
from normviz.backends.placement import place
from normviz.streaming.partial_moments import WHOLE, Extents, Merged, PartialMoments, measure
from normviz.streaming.progress import progress_bar


def read(
    chunks: Iterable[Any], extents_of: Extents, channel_axis: int, backend: str | None, progress: bool | None
) -> PartialMoments:
    """Return the moments of all chunks in blocks of `extents_of(shape)`. Each chunk is asked for once."""
    parts, whole = [], Merged()
    first, extents, length, insists = None, (0,), 0, backend is not None
    with progress_bar(progress, length_hint(chunks) or None, unit=" chunks") as bar:
        for number, chunk in enumerate(chunks):
            dtype = _dtype(chunk, number)
            with place(chunk, backend):
                view, worker, _ = take(chunk, channel_axis, backend, f"chunk {number}")
                here = dtype, view.shape[1:]
                if first is None:
                    first, extents = here, extents_of(view.shape)
                elif here != first:
                    _refuse(number, here, first)
                part, worker = measure(view, worker, extents, insists)
            # The last chunk may be smaller, and a GPU may run out of memory; but one backend reads the whole stream.
            backend = worker.name
            (whole.add if extents[0] == WHOLE else parts.append)(part)
            length += view.shape[0]
            bar.update(1)
    if first is None:
        raise ValueError("x has no chunks: the iterable is empty, or has been read before; an iterator gives them once")
    moments = np.concatenate(parts) if parts else whole.get()
    return PartialMoments(moments, (length, *first[1]), worker.name)


def _dtype(chunk: Any, number: int) -> str:
    """Return the name of the dtype of a chunk, which must be an array."""
    if not hasattr(chunk, "dtype") or not hasattr(chunk, "shape"):
        raise TypeError(
            f"chunk {number} is of type {type(chunk).__name__}, not an array of shape (n, C, *spatial); "
            "of a loader of (inputs, labels) pass (batch[0] for batch in loader)"
        )
    return getattr(chunk.dtype, "name", str(chunk.dtype)).removeprefix("torch.")


def _refuse(number: int, here: tuple[str, tuple[int, ...]], first: tuple[str, tuple[int, ...]]) -> None:
    """Raise the error that a chunk differs from those before it in more than N."""
    (dtype, (C, *spatial)), (first_dtype, (first_C, *first_spatial)) = here, first
    raise ValueError(
        f"chunk {number} is {dtype} with C={C} and spatial axes {tuple(spatial)}, and the chunks before it "
        f"{first_dtype} with C={first_C} and {tuple(first_spatial)}; only N may differ"
    )
