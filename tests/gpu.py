"""Whether there is a GPU, and whether CuPy and JAX work on it."""

import ctypes
import os
import shutil
import subprocess
import warnings
from functools import cache

from normviz.backends import dispatch


@cache
def present() -> bool:
    """Whether nvidia-smi or CUDA's driver finds a GPU, and the environment does not hide it; neither needs CuPy."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if shutil.which("nvidia-smi"):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
        return "GPU 0" in listed.stdout
    try:
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    except OSError:
        return False
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def cupy_problem() -> str | None:
    """Why CuPy cannot be used here, or None; a warning while it is imported, for pytest an error, is no reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return dispatch.cupy_problem()


def of_jax(jax):
    """JAX's first device of CUDA, or None."""
    try:
        return jax.devices("cuda")[0]
    except RuntimeError:
        return None
