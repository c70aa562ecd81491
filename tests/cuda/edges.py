"""Run the kernels on arrays that end where memory ends: reading or writing on is the end of this process.

The arguments are a built library, and the number of the fault in it to switch on, which a test uses to see it die.
"""

import ctypes
import mmap
import sys

import numpy as np

from tests.cuda import checks, emulate
from tests.cuda.conftest import launched

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


def at_the_end(values):
    """The same values, as the last ones before memory that nobody may touch; and as the first ones after such."""
    pages = -(-values.nbytes // PAGE)
    whole = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.uint8)
    for guard in (0, pages + 1):
        if libc.mprotect(ctypes.c_void_p(whole.ctypes.data + guard * PAGE), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    room = whole[PAGE : (pages + 1) * PAGE]
    for start in (room[room.size - values.nbytes :], room[: values.nbytes]):
        start[:] = values.reshape(-1).view(np.uint8)
        yield checks.on_device(start.view(values.dtype))


def main(library, fault):
    module = emulate.EmulatedModule(ctypes.CDLL(library))
    ctypes.c_int.in_dll(module.library, "fault").value = int(fault)
    kernels = launched(module)
    for dtype in checks.TYPES:
        for shape in ((3, 7), (1, 1), (5, 37), (2, 1003), (7, 8)):
            rows, L = shape
            _, made = checks.table(dtype, rows, 1)
            columns = [checks.table(dtype, L, 1, form)[1] for form in ("centred", "scaled")]
            for x in at_the_end(checks.normal(shape, dtype)):
                checks.agree(kernels.rows(x, rows, L), plain(x).reshape(shape), 1)
                checks.agree(kernels.columns(x, 1, rows, L), plain(x).reshape(1, *shape), 1)
                kernels.affine(x, x, made)
                kernels.affine_grid(x, x, None, columns[0], 0, (1, rows, L))
                kernels.affine_grid(x, x, made, columns[1], 1, (1, rows, L))


def plain(x):
    return x.view(np.ndarray).copy()


if __name__ == "__main__":
    main(*sys.argv[1:])
