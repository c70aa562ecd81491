"""The kernels on a GPU in the place of those on the emulation, so that the same tests run on both."""

import ctypes

import numpy as np

from normviz.backends.cuda.kernels import instances
from tests.core.stand_in import DeviceArray

ALIGNED = 256  # bytes to which CUDA aligns what it allocates


class MirroredModule:
    """Arrays of the stand-in are copied to the GPU before each launch, as aligned as they are, and back after it.

    `blocks` has no effect: all of a grid runs.
    """

    def __init__(self, worker):
        self.worker, self.blocks, self.launched = worker, None, []
        self.keys = {name: key for key, names in instances().items() for name in names}

    def get_function(self, name):
        cupy, kernel = self.worker.xp, self.worker.module(self.keys[name]).get_function(name)

        def launch(grid, block, arguments):
            self.launched.append(name)
            here, there = {}, {}
            for a in arguments:
                if isinstance(a, DeviceArray):
                    address = a.ctypes.data
                    span = np.lib.array_utils.byte_bounds(a.view(np.ndarray))[1] - address
                    nbytes = max(span, len(here.get(address, b"")))
                    here[address] = np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), np.uint8)
            for address, memory in here.items():
                start = address % ALIGNED
                there[address] = cupy.empty(start + memory.size, np.uint8)[start:]
                there[address].set(memory)
            kernel(grid, block, tuple(there[a.ctypes.data] if isinstance(a, DeviceArray) else a for a in arguments))
            for address, memory in here.items():
                memory[...] = there[address].get()

        return launch
