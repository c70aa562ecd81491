"""The error of a GPU without free memory, and how a number of bytes is written."""


class OutOfGpuMemory(MemoryError):
    """The GPU has no memory even for a small piece of an array; nothing has been written."""


def size(nbytes: float) -> str:
    """Return a number of bytes with a unit.

    >>> size(1536), size(3 << 30)
    ('1.5 KiB', '3 GiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024 or unit == "GiB":
            break
        nbytes /= 1024
    return f"{nbytes:.4g} {unit}"
