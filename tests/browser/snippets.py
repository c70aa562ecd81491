"""The choices that the explorer prints as code, and how to run the code."""

import itertools
import os
import pickle
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from normviz.core.methods import METHODS
from normviz.core.pooling import divisors
from normviz.explorer.scene import ROW

NEEDS = {
    "PyTorch": ("torch",),
    "NumPy": ("numpy",),
    "JAX/Flax": ("jax", "flax"),
    "Keras": ("keras", "jax"),
    "Keras on PyTorch": ("keras", "torch"),
    "JavaScript": (),
}


def language(framework):
    return framework.split(" on ")[0]


def library(framework):
    """The library whose arrays a framework works on, or None."""
    return next((name for name in ("torch", "jax", "numpy") if name in NEEDS[framework]), None)


@cache
def runner(name):
    """The process where snippets with arrays of a library run; it ends with this one, which closes its input."""
    # JAX compiles every operation for every shape; what it compiles runs once, so it need not run fast.
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = os.environ | flags | {"KERAS_BACKEND": name}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("snippet_runner.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


FLAT = """cases => cases.map(([source, arrays]) => {
    try { return [...new Function(...Object.keys(arrays), `${source}\nreturn y;`)(...Object.values(arrays))]; }
    catch (error) { return String(error); }
})"""


def run_in(page, cases):
    """Run (source, arrays) pairs in a browser, which is given flat lists, and return each y in the shape of x."""
    flat = [(source, {name: a.ravel().tolist() for name, a in arrays.items()}) for source, arrays in cases]
    of = [arrays["x"].shape for _, arrays in cases]
    return [
        y if isinstance(y, str) else np.reshape(y, shape)
        for y, shape in zip(page.evaluate(FLAT, flat), of, strict=True)
    ]


def run(framework, cases, page=None):
    """Run (source, arrays) pairs where that framework lives, JavaScript in a page; return what each makes of y."""
    results = run_in(page, cases) if framework == "JavaScript" else run_in_process(framework, cases)
    broken = [(case[0], result) for case, result in zip(cases, results, strict=True) if isinstance(result, str)]
    assert not broken, "\n".join([f"{len(broken)} of {len(cases)} snippets fail; the first:", *broken[0]])
    return results


def run_in_process(framework, cases):
    missing = [name for name in NEEDS[framework] if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install {' '.join(missing)}")
    process = runner(library(framework))
    try:
        pickle.dump(cases, process.stdin)
        process.stdin.flush()
        return pickle.load(process.stdout)
    except (EOFError, BrokenPipeError):
        raise AssertionError(f"the process for {framework} ended; stderr says why") from None


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


def case(row, shape, G=None, channel_axis=1, affine=(), eps=1e-5, mode="train"):
    """What the page makes code of: a row and a choice; affine names arrays per channel, or gives their shapes."""
    affine = affine if isinstance(affine, dict) else dict.fromkeys(affine, (shape[row.affine_axis],))
    choice = {"shape": shape, "G": G, "channelAxis": channel_axis, "affine": affine, "eps": eps}
    return [{key: getattr(row, key) for key in ROW}, choice | {"evaluating": mode == "eval"}]


def every_code(code_of):
    """(method, framework, source) for all choices, and for large shapes, whose lines are long."""
    every = list(choices())
    for name, shape in itertools.product(METHODS, [(32, 256, 14, 14), (32, 1024, 16, 28, 28)]):
        G = shape[METHODS[name].grouped_axis] if METHODS[name].has_groups else None
        every += [(name, shape, G, axis, given, 1e-5, "train") for axis in (1, -1, 0) for given in PARTS[:2]]
    for (name, *_), codes in zip(every, code_of([case(METHODS[name], *rest) for name, *rest in every]), strict=True):
        yield from ((name, framework, source) for framework, source in codes.items())
