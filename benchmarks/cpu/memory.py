"""Extra memory at the peak, and the time an import takes."""

import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import normviz as nv

from .timing import Job

SHAPE = (4, 256, 512, 512)
"""1 GiB of float32."""


def peak(job: Job) -> int:
    """Return the bytes that NumPy and Python held at once beside what was there before."""
    job()  # what is loaded and kept for the next time is not counted
    tracemalloc.start()
    job()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def peaks(backends: Iterable[str], shape: tuple[int, ...] = SHAPE) -> Iterator[dict[str, Any]]:
    """Yield MiB over what is there already, for each backend and for NumPy's own mean and var."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    x += 0.1
    jobs: dict[str, Callable[[str], object]] = {
        "sweep": lambda backend: nv.sweep(x, backend=backend),
        "forward, beside its output": lambda backend: nv.normalize(x, "group", num_groups=32, backend=backend),
        "forward in place, group": lambda backend: nv.normalize(x, "group", num_groups=32, out=x, backend=backend),
        "forward in place, batch": lambda backend: nv.normalize(x, "batch", out=x, backend=backend),
        "gradient, beside its output": lambda backend: nv.gradient(x, x, "group", num_groups=32, backend=backend),
    }
    for name, job in jobs.items():
        own = x.nbytes if "output" in name else 0
        yield {"name": name} | {each: (peak(lambda each=each: job(each)) - own) / 2**20 for each in backends}  # noqa: B023
    naive = peak(lambda: (x.reshape(len(x), 32, -1).mean(2), x.reshape(len(x), 32, -1).var(2)))
    yield {"name": "x.mean() and x.var() of NumPy, one G", "numpy": naive / 2**20}


def imports(rounds: int) -> tuple[float, float]:
    """Return the median seconds of importing normviz and of importing NumPy alone, each in a fresh interpreter."""
    taken: dict[str, list[float]] = {"normviz": [], "numpy": []}
    for _ in range(rounds):
        for name, seconds in taken.items():
            code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
            seconds.append(
                float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
            )
    return statistics.median(taken["normviz"]), statistics.median(taken["numpy"])
