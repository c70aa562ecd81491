"""Tensors that are not in memory: what reading them in parts costs beside the same numbers from memory.

Medians of interleaved rounds, ours and the other.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import normviz as nv

from .timing import medians

Row = dict[str, Any]
SHAPE = (16, 64, 512, 512)
"""1 GiB of float32."""


def from_a_file(shape: tuple[int, ...] = SHAPE, rounds: int = 7) -> list[Row]:
    """A warm .npy file: nv.moments(path) beside reading alone, np.load, a memory map, and NumPy on the map."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        write(path, shape)
        buffer = np.empty(1 << 22, np.uint8)

        def read() -> None:
            with path.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass

        def naive() -> object:
            x = np.load(path, mmap_mode="r")
            return x.mean((2, 3)), x.var((2, 3))

        ours = "nv.moments(path)"
        others: dict[str, Callable[[], object]] = {
            "reading into a buffer, no arithmetic": read,
            "np.load, then nv.moments": lambda: nv.moments(np.load(path)),
            "nv.moments of np.memmap": lambda: nv.moments(np.load(path, mmap_mode="r")),
            "np.memmap, .mean() and .var()": naive,
        }
        found = medians({ours: lambda: nv.moments(path)} | others, rounds)
        return [{"name": f"{ours} / {name}", "ours": found[ours], "other": found[name]} for name in others]


def from_dask(shape: tuple[int, ...] = SHAPE, rounds: int = 7) -> list[Row]:
    """A dask array over memory, a sample a chunk: every G beside the same in memory, and beside dask's own for one."""
    import dask
    import dask.array as da

    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    lazy = da.from_array(x, chunks=(1, *shape[1:]))
    pooled = (0, *range(2, len(shape)))
    ours = "nv.moments(dask).sweep()"
    others: dict[str, Callable[[], object]] = {
        "nv.moments(x).sweep() in memory": lambda: nv.moments(x).sweep(),
        "da.mean and da.var, Batch Norm's alone": lambda: dask.compute(lazy.mean(pooled), lazy.var(pooled)),
    }
    found = medians({ours: lambda: nv.moments(lazy).sweep()} | others, rounds)
    return [{"name": f"{ours} / {name}", "ours": found[ours], "other": found[name]} for name in others]


def write(path: Path, shape: tuple[int, ...]) -> None:
    """Write random float32 to a .npy file, sample by sample."""
    x = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    generator = np.random.default_rng(0)
    for sample in x:
        sample[:] = generator.standard_normal(shape[1:], dtype=np.float32)
    x.flush()
