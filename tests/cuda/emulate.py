"""The CUDA source built for the CPU, behind the interface of cupy.RawModule."""

import ctypes
import hashlib
import platform
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from normviz.backends.cuda.kernels import SOURCE, instances
from tests.core.stand_in import Device, DeviceArray

HERE = Path(__file__).parent / "emulation"
BUILT = Path(__file__).parents[2] / ".cache" / "emulation"
# No fused multiply-add: what is exact must be so without.
COMMAND = ("g++", "-O1", "-std=c++17", "-shared", "-fPIC", "-w", "-ffp-contract=off")
SHUFFLING = ("moments", "merge", "row_slopes")
NAMES = [name for names in instances().values() for name in names]


def problem() -> str | None:
    """Why the kernels cannot be built for the CPU here, or None."""
    return None if shutil.which("g++") else "the CUDA source did not run on the CPU: there is no g++"


class Diverged(AssertionError):
    """Lanes of one warp came to different shuffles."""


class EmulatedModule:
    """The functions of a built library; `blocks` limits a launch to some blocks of its grid.

    `launched` are the names of the kernels that ran.
    """

    def __init__(self, library: ctypes.CDLL):
        self.library, self.blocks, self.launched = library, None, []

    def compile(self):
        pass

    def get_function(self, name):
        if name not in NAMES:
            raise AssertionError(f"{name} is not among the kernels that are compiled")
        function = getattr(self.library, symbol(name))

        def launch(grid, block, arguments):
            Device.check(arguments, name)
            self.launched.append(name)
            kernel, _, numbers = name.partition("<")
            if kernel not in ("moments", "merge", "table"):  # which load vectors; a CPU would not mind
                width = int(re.findall(r"\d+", numbers)[-{"affine": 2, "column_moments": 2}.get(kernel, 3)])
                x = arguments[0]
                values = [a for a in arguments if isinstance(a, np.ndarray) and a.dtype == x.dtype and a.ndim == x.ndim]
                assert all(a.ctypes.data % (width * a.itemsize) == 0 for a in values), f"{name}: unaligned"
            held = [as_argument(a) for a in arguments]
            pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(a) for a in held))
            first, last = self.blocks(grid[0]) if self.blocks else (0, grid[0])
            if function(pointers, (ctypes.c_uint * 4)(*grid, *block, first, last)):
                raise Diverged(name)

        return launch


def as_argument(a):
    """What CuPy lays into memory for a kernel: a pointer, the bytes of a scalar, or of a host array of one value."""
    if isinstance(a, DeviceArray):
        return ctypes.c_void_p(a.ctypes.data)
    assert a.size == 1, f"a host array of shape {a.shape} is no argument"
    return ctypes.create_string_buffer(a.tobytes(), a.nbytes)


def symbol(name):
    """The name of a kernel as one of C."""
    return re.sub(r"\W+", "_", name).strip("_")


def build(source: str) -> EmulatedModule:
    """Build CUDA source, given as text, once for all workers and runs; RuntimeError if it does not compile."""
    compiler = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=False).stdout
    parts = [
        source,
        NAMES,
        *(path.read_text() for path in sorted(HERE.iterdir())),
        compiler,
        *platform.uname(),
        *COMMAND,
    ]
    library = BUILT / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}.so"
    if not library.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            (kernels := Path(folder, "kernels.cu")).write_text(source)
            built = Path(folder, "kernels.so")
            Path(folder, "instances.h").write_text(
                "".join(
                    f"KERNEL({str(name.startswith(SHUFFLING)).lower()}, {symbol(name)}, {name})\n" for name in NAMES
                )
            )
            command = [
                *COMMAND,
                f"-I{HERE}",
                f"-I{folder}",
                f'-DKERNELS="{kernels}"',
                "-o",
                built,
                HERE / "library.cpp",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            built.replace(library)  # another worker finds a whole library or none
    return EmulatedModule(ctypes.CDLL(str(library)))


@cache
def module() -> EmulatedModule:
    """The kernels as they are."""
    return build(SOURCE)


def raw_module(code, options, name_expressions):
    """The same in the place of cupy.RawModule, where nothing needs compiling twice."""
    return module()
