"""The memory of an array as one line, which is what compiled loops go through."""

import numpy as np


def takes(x: np.ndarray) -> bool:
    """Return whether loops take an array: float32, float64, float16 and bfloat16 in this machine's byte order."""
    return ((x.dtype.char in "fde" and x.dtype.isnative) or x.dtype.name == "bfloat16") and x.flags.aligned


def line(x: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Return the memory of an array from its lowest address on as one line; of halves the bits.

    `order` are its axes from the outermost in memory to the innermost.
    """
    laid_out = x if x.flags.c_contiguous else x.transpose(order)
    cells = laid_out.reshape(-1) if laid_out.flags.c_contiguous and x.flags.writeable else np.asarray(_Memory(x))
    return cells if x.itemsize > 2 else cells.view(np.int16 if x.dtype.char == "e" else np.uint16)


class _Memory:
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
