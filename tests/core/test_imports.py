"""What `import normviz` costs and offers."""

import ast
import doctest
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import normviz as nv


def newly_imported(code):
    """Top-level packages, the standard library aside, that `code` brings into a fresh interpreter."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(subprocess.check_output([sys.executable, "-c", f"{code}\n{show}"], text=True).split())
    bare = set(subprocess.check_output([sys.executable, "-c", show], text=True).split())
    return {name for name in loaded - bare - sys.stdlib_module_names if not name.startswith("_")}


def test_import_pulls_in_numpy_alone():
    assert newly_imported("import normviz") == {"normviz", "numpy"}


def test_the_core_needs_numpy_alone():
    code = "import normviz as nv; x = [[1.0, 2.0]]; nv.normalize(x, 'batch'); nv.gradient(x, x, 'layer'); nv.sweep(x)"
    assert newly_imported(code) == {"normviz", "numpy"}


def test_this_test_can_fail():
    assert newly_imported("import normviz, click") == {"normviz", "numpy", "click"}


@pytest.mark.parametrize("name", nv.__all__)
def test_every_public_name_is_there_again_and_again(name):
    assert getattr(nv, name) is getattr(nv, name)


def test_public_names_are_exactly_all():
    assert dir(nv) == sorted(nv.__all__) == sorted([*nv._HOME, "__version__"])


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(inspect.getfile(nv)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module or alias.name for node in block.body for alias in node.names}
    assert seen == nv._HOME


def test_no_module_is_named_like_a_lazy_name():
    """`nv.moments` beside a file moments.py would turn into that module once something imports it."""
    modules = {p.stem for p in Path(inspect.getfile(nv)).parent.iterdir() if p.name[0] not in "_."}
    assert modules & set(nv._HOME) <= {"labs", "relatives", "samples"}


def test_an_unknown_name():
    with pytest.raises(AttributeError, match=r"^module 'normviz' has no attribute 'normalise'$"):
        nv.normalise  # noqa: B018


# How many examples each has: a decorator that hid one from doctest would show here.
EXAMPLES = {
    "errors": 2,
    "sources": 1,
    "streaming": 6,
    "methods": 1,
    "relatives.response": 3,
    "relatives.switchable": 7,
    "relatives.styles": 7,
    "relatives.weights": 6,
    "blocks": 10,
    "backends": 2,
    "backends.arrange": 5,
    "backends.memory": 1,
    "backends.staging": 1,
    "merging": 9,
    "results": 1,
    "running": 3,
    "normalization": 4,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings(name):
    module = import_module(f"normviz.{name}")
    assert doctest.testmod(module, extraglobs={"np": np}) == (0, EXAMPLES[name])


@pytest.mark.parametrize(
    "name",
    [
        *EXAMPLES,
        "arguments",
        "backends.recipe",
        "backends.numpy",
        "backends.cupy",
        "backends.dense",
        "backends.launches",
        "streaming.atoms",
        "streaming.files",
        "streaming.chunks",
        "streaming.lazy",
        "streaming.progress",
    ],
)
def test_what_is_public_is_explained(name):
    module = import_module(f"normviz.{name}")
    for key, value in vars(module).items():
        if getattr(value, "__module__", None) == module.__name__ and not key.startswith("_") and callable(value):
            assert inspect.getdoc(value), key
