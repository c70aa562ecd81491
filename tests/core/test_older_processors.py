"""The promised errors on processors that are older than this one.

OpenBLAS and NumPy choose their inner loops by the processor. Environment variables make them choose those of older
ones, so the tests of accuracy run again in processes that are started with these. NumPy's own sums take part as well:
the loops that were compiled for newer processors are switched off. numba would have to compile its loops for each of
them, and its sums in float64 lose no digit that matters on any.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from normviz.backends.cpu import moments

ROOT = Path(__file__).parents[2]
SETTINGS = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "NPY_DISABLE_CPU_FEATURES", "NORMVIZ_NUM_THREADS")
# Instructions, the processor of OpenBLAS that has these and no newer ones, and what NumPy calls them.
PROCESSORS = {"SSE4.2": ("Nehalem", "SSE42"), "AVX": ("Sandybridge", "AVX"), "AVX2": ("Haswell", "AVX2")}
REPORT = """
import json
from numpy._core import _multiarray_umath as umath
usable = umath.__cpu_features__
print(json.dumps({"has": [f for f in usable if usable[f]], "loops": [f for f in umath.__cpu_dispatch__ if usable[f]]}))
"""
TESTS = (
    "tests/core/test_accuracy.py",
    "tests/core/test_hostile.py",
    "tests/core/test_cpu_engine.py::test_what_a_sweep_allocates_does_not_grow_with_the_tensor",
)


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these settings and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    # With OPENBLAS_VERBOSE OpenBLAS prints which processor it works for. The plugins of pytest take seconds to load.
    environment |= {"OPENBLAS_VERBOSE": "2", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **settings}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


@cache
def here() -> dict[str, list[str]]:
    """Return the instructions that this processor has, and the newer loops that NumPy would use."""
    return json.loads(run("-c", REPORT).stdout)


def settings_for(instructions: str) -> dict[str, str]:
    """Return the environment variables for a processor, and skip the test where they cannot take effect."""
    core, feature = PROCESSORS[instructions]
    if feature not in here()["has"]:
        pytest.skip(f"this processor has no {instructions}")
    newer = [name for name in here()["loops"] if instructions != "AVX2" or "512" in name or name == "X86_V4"]
    settings = {"OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": " ".join(newer)}
    found = run("-c", REPORT, **settings)
    if f"Core: {core}" not in found.stderr:
        pytest.skip(f"NumPy's BLAS library is not an OpenBLAS that has loops for {core}")
    assert not set(newer) & set(json.loads(found.stdout)["loops"])
    return settings


@pytest.mark.parametrize("instructions", PROCESSORS)
def test_errors_and_memory_hold_on_a_processor_with(instructions):
    settings = settings_for(instructions)
    options = ["-q", "-p", "pytest_timeout", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    found = run("-m", "pytest", *options, *TESTS, "-k", "not cupy and not compiled", **settings)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-1000:]
    assert " passed" in found.stdout


@pytest.mark.parametrize(("instructions", "cells"), [("SSE4.2", 64), ("AVX", 128), ("AVX2", 128)])
def test_the_pieces_are_as_long_as_the_registers_allow(instructions, cells):
    settings = settings_for(instructions)
    found = run("-c", "from normviz.backends.cpu.moments import piece; print(piece())", **settings)
    assert int(found.stdout) == cells


@pytest.fixture
def one_after_the_other(monkeypatch):
    """Let dot products add one cell after the other, as NumPy does without a BLAS library."""
    monkeypatch.setattr(np, "vecdot", sequential)
    moments.piece.cache_clear()
    yield
    moments.piece.cache_clear()


def sequential(a, b, out=None):
    total = np.add.accumulate(a * b, axis=-1)[..., -1]
    if out is None:
        return total
    out[...] = total
    return out


def test_sums_are_float64_where_no_piece_is_short_enough(one_after_the_other):
    assert moments.piece() == 0
    x = np.random.default_rng(0).choice([-0.7, 0.7], (4, 8, 40, 41)).astype(np.float32)
    workspace = moments.Workspace(moments.dtype_of_sums(x.dtype, 1640, 1))
    mean, m2 = (found[:, 0] for found in moments.of_matrices(x.reshape(32, -1, 1), workspace))
    rows = x.reshape(32, -1).astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(1), rtol=1e-10)
    np.testing.assert_allclose(m2 / 1640, rows.var(1), rtol=1e-12)
