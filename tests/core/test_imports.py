"""What `import normviz` costs and offers."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

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


def test_every_public_name_is_still_there_when_every_module_is_loaded():
    """The import of a submodule sets an attribute of its package, which could hide a function of the same name."""
    code = (
        "import pkgutil, types, importlib, normviz as nv\n"
        "first = {name: getattr(nv, name) for name in nv.__all__}\n"
        "for found in pkgutil.walk_packages(nv.__path__, 'normviz.'):\n"
        "    if not found.name.endswith(('__main__', 'samples.make')): importlib.import_module(found.name)\n"
        "print([name for name in nv.__all__ if getattr(nv, name) is not first[name]])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_studio_names_what_takes_its_place():
    with pytest.raises(AttributeError) as caught:
        nv.Studio  # noqa: B018
    said = "nv.Studio is gone; nv.Explorer(editable=True) takes its place, or the command `normviz playground`"
    assert str(caught.value) == said


def test_public_names_are_exactly_all():
    assert dir(nv) == sorted(nv.__all__) == sorted([*nv._HOME, "__version__"])


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(inspect.getfile(nv)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("normviz.") if node.module != "normviz" else alias.name
        for node in block.body
        for alias in node.names
    }
    assert seen == nv._HOME


def test_no_module_is_named_like_a_lazy_name():
    """`nv.moments` beside a file moments.py would turn into that module once something imports it."""
    modules = {p.stem for p in Path(inspect.getfile(nv)).parent.iterdir() if p.name[0] not in "_."}
    assert modules & set(nv._HOME) <= {"labs", "relatives", "samples"}


def test_an_unknown_name():
    with pytest.raises(AttributeError, match=r"^module 'normviz' has no attribute 'normalise'$"):
        nv.normalise  # noqa: B018
