"""Threads of the NumPy backend: how many to use, and how to run tasks on them.

NumPy's inner loops release Python's lock, so threads that work on different parts of an array run at the same time.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from threading import Thread
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


@cache
def startable() -> bool:
    """Return whether Python can start a thread. It cannot in Pyodide."""
    thread = Thread(target=int)
    try:
        thread.start()
    except RuntimeError:
        return False
    thread.join()
    return True


def number() -> int:
    """Return how many threads work on a large array: NORMVIZ_NUM_THREADS, or the cores of this process, at most 8.

    Where no thread can be started, it is 1.

    Raises
    ------
    ValueError
        If NORMVIZ_NUM_THREADS is not a whole number from 1.
    """
    if (limit := _limit.get()) is not None:
        return limit
    text = os.environ.get("NORMVIZ_NUM_THREADS", "")
    if text and (not text.isdecimal() or int(text) < 1):
        raise ValueError(f"NORMVIZ_NUM_THREADS={text!r} is no number of threads; set it to 1 or more, or not at all")
    if not startable():
        return 1
    return int(text) if text else min(available(), MOST)


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
    """Return [task(part) for part in parts], on as many threads as parts, of which the calling thread is one.

    If Python can start only some of them, these do all parts.
    """
    if len(parts) == 1:
        return [task(parts[0])]
    results: list[Any] = [None] * len(parts)
    left = deque(range(len(parts)))

    def work() -> None:
        while left:
            try:
                at = left.pop()
            except IndexError:  # another thread took the last one
                return
            results[at] = task(parts[at])

    waiting = []
    try:
        for _ in parts[1:]:
            waiting.append(_pool(os.getpid(), len(parts) - 1).submit(_quietly, work))
    except RuntimeError:  # at exit, or if the system gives no more threads; what was submitted finds nothing left
        _pool.cache_clear()
    try:
        work()
    finally:
        errors = [future.exception() for future in waiting]
    for error in filter(None, errors):
        raise error
    return results


def in_turn(task: Callable[[Any], Any], parts: Sequence[Any], count: int) -> list[Any]:
    """Return [task(part) for part in parts], divided among `count` threads at most."""
    if count == 1 or len(parts) == 1:
        return [task(part) for part in parts]
    groups = [parts[start:end] for start, end in shares(len(parts), count)]
    return [found for group in run(lambda group: [task(part) for part in group], groups) for found in group]


def _quietly(work: Callable[[], None]) -> None:
    with np.errstate(all="ignore"):  # a setting that each thread has for itself
        work()


@cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """Return the threads of one process: those of a parent do not survive a fork."""
    return ThreadPoolExecutor(count, thread_name_prefix="normviz")
