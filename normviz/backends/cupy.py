"""The recipe on CuPy, as plain array operations.

`xp` is a parameter, so that tests can run this path on NumPy where there is no GPU.
"""

from typing import Any

import numpy as np

from .recipe import Backend


class CuPy(Backend):
    """CuPy on the current CUDA device."""

    name = "cupy"
    cells = 1 << 24  # 128 MB of float64: enough to fill a GPU, small beside its memory

    def host(self, values: Any) -> np.ndarray:
        """Copy the values to the host."""
        return self.xp.asnumpy(values)

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether b shares memory with a, other than by being the very same cells in the same order."""
        same = a.data.ptr == b.data.ptr and a.strides == b.strides and a.itemsize == b.itemsize
        return not same and bool(self.xp.may_share_memory(a, b))
