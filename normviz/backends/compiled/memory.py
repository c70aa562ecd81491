"""The memory of an array as one line, which is what compiled loops go through."""

from typing import Any

import numpy as np

BITS: dict[str, Any] = {"float32": None, "float64": None, "float16": np.int16, "bfloat16": np.uint16}
"""The dtypes that loops take, and as what they take the bits of halves."""


class Memory:
    """The memory of an array from its lowest address to its highest, as one line that kernels may take.

    A kernel is compiled again for an array that is read-only or has gaps, but not for this one.
    """

    def __init__(self, x: np.ndarray) -> None:
        low, high = np.lib.array_utils.byte_bounds(x)
        self.x = x  # which keeps the memory
        self.__array_interface__ = {
            "version": 3,
            "shape": ((high - low) // x.itemsize,),
            "typestr": x.dtype.str,
            "data": (low, False),
        }
