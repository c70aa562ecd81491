"""The errors of a backend that cannot do its work here though another one can; `normviz.arrays.paths` answers them."""


class BackendFailure(Exception):
    """A backend has too little memory, or cannot compile its code; nothing has been written."""


class OutOfGpuMemory(BackendFailure, MemoryError):
    """The GPU has no memory even for a small piece of an array; nothing has been written."""
