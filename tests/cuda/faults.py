"""Say of each fault of a library whether the checks catch it, in a process that a wild read or write may end.

The arguments are the built library and the numbers of the faults. A line for each number: "3 caught" or "3 passed".
"""

import ctypes
import sys

import numpy as np

from tests.cuda import checks, emulate
from tests.cuda.conftest import launched


def caught(kernels):
    """Whether the checks find something wrong."""
    try:
        # Where a wrong kernel wrote nothing, memory may hold a NaN whose cast warns.
        with np.errstate(invalid="ignore"):
            checks.check_all(kernels)
    except AssertionError:
        return True
    return False


def main(library, *numbers):
    module = emulate.EmulatedModule(ctypes.CDLL(library))
    fault = ctypes.c_int.in_dll(module.library, "fault")
    for number in numbers:
        fault.value = int(number)
        print(number, "caught" if caught(launched(module)) else "passed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
