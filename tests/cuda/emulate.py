"""kernels.cu built for the CPU, behind the interface of cupy.RawModule."""

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
from tests.core.stand_in import Device

HERE = Path(__file__).parent / "emulation"
BUILT = Path(__file__).parents[2] / ".cache" / "emulation"
# No fused multiply-add: what is exact must be so without.
COMMAND = ("g++", "-O1", "-std=c++17", "-shared", "-fPIC", "-w", "-ffp-contract=off")
SCALARS = {np.int64: ctypes.c_int64, np.uint64: ctypes.c_uint64, np.int32: ctypes.c_int32, np.float64: ctypes.c_double}


def problem() -> str | None:
    """Why the kernels cannot be built for the CPU here, or None."""
    return None if shutil.which("g++") else "the CUDA source did not run on the CPU: there is no g++"


class Diverged(AssertionError):
    """Lanes of one warp came to different shuffles."""


class EmulatedModule:
    """The functions of a built library; `blocks` limits a launch to some blocks of its grid."""

    def __init__(self, library: ctypes.CDLL):
        self.library, self.blocks = library, None

    def compile(self):
        pass

    def get_function(self, name):
        kernel, ctype, work, width = re.fullmatch(r"(\w+)(?:<(\w+)(?:,([a-z]+))?,(\d+)(?:,\d+)?>)?", name).groups()
        if name not in instances():
            raise AssertionError(f"{name} is not among the kernels that are compiled")
        function = getattr(self.library, f"{kernel}_{ctype or ''}_{work or ''}")

        def launch(grid, block, arguments):
            Device.check(arguments, name)
            if kernel in ("affine", "affine_grid", "column_moments"):  # which load vectors; a CPU would not mind
                x = arguments[0]
                values = [a for a in arguments if isinstance(a, np.ndarray) and a.dtype == x.dtype and a.ndim == x.ndim]
                assert all(a.ctypes.data % (int(width) * a.itemsize) == 0 for a in values), f"{name}: unaligned"
            converted = [
                ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else SCALARS[type(a)](a.item())
                for a in arguments
            ]
            first, last = self.blocks(grid[0]) if self.blocks else (0, grid[0])
            if function(ctypes.c_int(int(width or 0)), *converted, *map(ctypes.c_uint, (*grid, *block, first, last))):
                raise Diverged(name)

        return launch


def build(source: str) -> EmulatedModule:
    """Build a kernels.cu, given as text, once for all workers and runs; RuntimeError if it does not compile."""
    compiler = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=False).stdout
    parts = [source, *(path.read_text() for path in sorted(HERE.iterdir())), compiler, *platform.uname(), *COMMAND]
    library = BUILT / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}.so"
    if not library.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            (kernels := Path(folder, "kernels.cu")).write_text(source)
            built = Path(folder, "kernels.so")
            command = [*COMMAND, f"-I{HERE}", f'-DKERNELS="{kernels}"', "-o", built, HERE / "library.cpp"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            built.replace(library)  # another worker finds a whole library or none
    return EmulatedModule(ctypes.CDLL(str(library)))


@cache
def module() -> EmulatedModule:
    """The kernels as they are."""
    return build(SOURCE.read_text())


def raw_module(code, options, name_expressions):
    """The same in the place of cupy.RawModule, where nothing needs compiling twice."""
    return module()
