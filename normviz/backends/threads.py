"""Threads of the NumPy backend: how many to use, and how to run tasks on them.

NumPy's inner loops release Python's lock, so threads that work on different parts of an array run at the same time.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

WORTH = 1 << 22
"""Smallest array, in bytes, that is divided among threads: below 4 MB, waking a thread costs as much as it saves."""
MOST = 8
"""Largest default: a few cores use all of the memory's bandwidth, which limits the speed."""

_limit: ContextVar[int | None] = ContextVar("normviz_threads", default=None)


def available() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number() -> int:
    """Return how many threads work on a large array: NORMVIZ_NUM_THREADS, or the cores of this process, at most 8.

    Raises
    ------
    ValueError
        If NORMVIZ_NUM_THREADS is not a whole number from 1.
    """
    if (limit := _limit.get()) is not None:
        return limit
    text = os.environ.get("NORMVIZ_NUM_THREADS", "")
    if not text:
        return min(available(), MOST)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"NORMVIZ_NUM_THREADS={text!r} is no number of threads; set it to 1 or more, or not at all")
    return int(text)


def worthwhile(nbytes: int) -> int:
    """Return how many threads to use on an array of `nbytes` bytes."""
    return number() if nbytes >= WORTH else 1


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Use at most `count` threads inside this context, for callers that have threads of their own."""
    token = _limit.set(min(count, number()))
    try:
        yield
    finally:
        _limit.reset(token)


def shares(length: int, count: int) -> list[tuple[int, int]]:
    """Cut range(length) into at most `count` ranges of about equal length; return where each starts and ends.

    >>> shares(5, 2), shares(1, 2)
    ([(0, 2), (2, 5)], [(0, 1)])
    """
    count = min(count, length)
    return list(pairwise(length * i // count for i in range(count + 1)))


def run(task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
    """Return [task(part) for part in parts], each on its own thread; the calling thread takes the last one."""
    if len(parts) == 1:
        return [task(parts[0])]
    waiting = []
    try:
        for part in parts[:-1]:
            waiting.append(_pool(os.getpid(), len(parts) - 1).submit(_quietly, task, part))
    except RuntimeError as error:
        if "shutdown" not in str(error):  # at exit, Python starts no task on another thread
            raise
    try:
        rest = [task(part) for part in parts[len(waiting) :]]
    finally:
        results = [future.result() for future in waiting]
    return [*results, *rest]


def in_turn(task: Callable[[Any], Any], parts: Sequence[Any], count: int) -> list[Any]:
    """Return [task(part) for part in parts], divided among `count` threads at most."""
    if count == 1 or len(parts) == 1:
        return [task(part) for part in parts]
    groups = [parts[start:end] for start, end in shares(len(parts), count)]
    return [found for group in run(lambda group: [task(part) for part in group], groups) for found in group]


def _quietly(task: Callable[[Any], Any], part: Any) -> Any:
    with np.errstate(all="ignore"):  # a setting that each thread has for itself
        return task(part)


@cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """Return the threads of one process: those of a parent do not survive a fork."""
    return ThreadPoolExecutor(count, thread_name_prefix="normviz")
