"""The error of a GPU without free memory."""

from normviz.backends.failure import BackendFailure


class OutOfGpuMemory(BackendFailure, MemoryError):
    """The GPU has no memory even for a small piece of an array; nothing has been written."""
