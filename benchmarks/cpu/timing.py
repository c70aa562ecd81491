"""Times that can be compared: medians of interleaved rounds."""

import random
import statistics
import time
from collections.abc import Callable

Job = Callable[[], object]
SLOW = 1.0
"""Seconds: of a job that takes longer there is one run that counts."""


def medians(jobs: dict[str, Job], rounds: int = 7, budget: float = 0.0, least: float = 2e-3) -> dict[str, float]:
    """Return the median seconds of every job, all of them run once a round in an order drawn anew.

    There are at least `rounds` rounds, and more until `budget` seconds are spent, at most 31. A job that takes less
    than `least` seconds is run that often in a round that it takes as long. A first run of each is not counted, and of
    a slow one there is only a second run.
    """
    often, taken = {}, {}
    for name, job in jobs.items():
        job()  # what is loaded, compiled and kept for the next time is not counted
        once = _seconds(job, 1)
        if once > SLOW:
            taken[name] = [once]
        else:
            often[name], taken[name] = max(1, round(least / max(once, 1e-7))), []
    start, done = time.perf_counter(), 0
    while done < rounds or (done < 31 and time.perf_counter() - start < budget):
        for name in random.sample(list(often), len(often)):
            taken[name].append(_seconds(jobs[name], often[name]))
        done += 1
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _seconds(job: Job, often: int) -> float:
    start = time.perf_counter()
    for _ in range(often):
        job()
    return (time.perf_counter() - start) / often
