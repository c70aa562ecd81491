"""What the explorer prints as code, for every kind of choice, and how to run it."""

import itertools
import os
import pickle
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from normviz.core.methods import METHODS
from normviz.core.pooling import divisors
from normviz.explorer import texts

NEEDS = {
    "PyTorch": ("torch",),
    "NumPy": ("numpy",),
    "JAX/Flax": ("jax", "flax"),
    "Keras": ("keras", "jax"),
    "Keras on PyTorch": ("keras", "torch"),
}


def language(framework):
    return framework.split(" on ")[0]


@cache
def runner(library):
    """The process where snippets with arrays of a library run; it ends with this one, which closes its input."""
    environment = os.environ | {"KERAS_BACKEND": library, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("snippet_runner.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def run(framework, cases):
    """Run (source, arrays) pairs where that framework lives, and return what each makes of y."""
    missing = [name for name in NEEDS[framework] if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install {' '.join(missing)}")
    library = next(name for name in ("torch", "jax", "numpy") if name in NEEDS[framework])
    process = runner(library)
    try:
        pickle.dump(cases, process.stdin)
        process.stdin.flush()
        results = pickle.load(process.stdout)
    except (EOFError, BrokenPipeError):
        raise AssertionError(f"the process for {library} ended; stderr says why") from None
    broken = [(case[0], result) for case, result in zip(cases, results, strict=True) if isinstance(result, str)]
    assert not broken, "\n".join([f"{len(broken)} of {len(cases)} snippets fail; the first:", *broken[0]])
    return results


SHAPES = [(3, 8), (1, 1), (2, 6, 5), (1, 4, 1), (2, 8, 4, 3), (2, 8, 1, 1), (1, 4, 1, 1), (2, 4, 2, 3, 2)]
PARTS = [(), ("weight", "bias"), ("weight",), ("bias",)]


def choices():
    """(method, shape, G, channel_axis, given, eps, mode); every axis of choice, but not every product of all."""
    for name, shape in itertools.product(METHODS, SHAPES):
        row = METHODS[name]
        length = shape[row.grouped_axis]
        groups = sorted({1, 2, length} & set(divisors(length))) if row.has_groups else [None]
        modes = ["train", "eval"] if name == "batch" else ["train"]
        for G, mode in itertools.product(groups, modes):
            yield name, shape, G, 1, (), 1e-5, mode
            yield name, shape, G, 1, ("weight", "bias"), 1e-5, mode
            yield name, shape, G, -1, ("weight", "bias"), 1e-3, mode
        if shape == (2, 8, 4, 3):
            for given, axis, mode in itertools.product(PARTS, (-1, 0, 2), modes):
                yield name, shape, groups[-1], axis, given, 1e-3, mode
            for given in PARTS[2:]:
                yield name, shape, groups[-1], 1, given, 1e-3, modes[-1]


def every_code():
    for name, shape, _, channel_axis, given, eps, mode in choices():
        affine = dict.fromkeys(given, (shape[METHODS[name].affine_axis],))
        codes = texts.code(METHODS[name], shape, eps=eps, channel_axis=channel_axis, affine=affine, mode=mode)
        yield from ((name, framework, source) for framework, source in codes.items())
    for name, shape in itertools.product(METHODS, [(32, 256, 14, 14), (32, 1024, 16, 28, 28)]):
        for channel_axis in (1, -1):
            codes = texts.code(METHODS[name], shape, eps=1e-5, channel_axis=channel_axis, affine=True)
            yield from ((name, framework, source) for framework, source in codes.items())
