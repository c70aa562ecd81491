"""The recipe on NumPy."""

from typing import Any

import numpy as np

from .recipe import Backend


class NumPy(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    cells = 1 << 16  # 512 kB of float64: a box stays in the second-level cache through its passes

    def __init__(self) -> None:
        super().__init__(np)

    def host(self, values: Any) -> np.ndarray:
        """Return the values as they are."""
        return np.asarray(values)

    def overlap(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Whether b shares memory with a, other than by being the very same cells in the same order."""
        if a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.itemsize == b.itemsize:
            return False
        try:
            return np.shares_memory(a, b, max_work=100_000)  # pyright: ignore[reportArgumentType]
        except np.exceptions.TooHardError:
            return True
