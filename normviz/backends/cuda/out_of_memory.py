"""The error of a GPU without free memory; `normviz.arrays.paths` answers it with NumPy."""


class OutOfGpuMemory(MemoryError):
    """The GPU has no memory even for a small piece of an array; nothing has been written."""
