"""Times that can be compared: medians of interleaved rounds, and the machine they were taken on."""

import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Job = Callable[[], object]


def medians(jobs: dict[str, Job], rounds: int = 7, least: float = 0.0) -> dict[str, float]:
    """Return the median seconds of every job, all of them run once a round in an order drawn anew.

    A job that takes less than `least` seconds is run that often in a round that it takes as long.
    """
    often = {}
    for name, job in jobs.items():
        job()
        often[name] = max(1, round(least / max(_seconds(job, 1), 1e-9)))
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name in random.sample(list(jobs), len(jobs)):
            taken[name].append(_seconds(jobs[name], often[name]))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _seconds(job: Job, often: int) -> float:
    start = time.perf_counter()
    for _ in range(often):
        job()
    return (time.perf_counter() - start) / often


def machine() -> str:
    """Return what the figures were taken on: processor, cores, memory, versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{model}, {cores} cores{load}; Python {platform.python_version()}, NumPy {np.__version__}"
