"""Every example in a docstring runs and has the output that it shows."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import normviz

PACKAGE = Path(normviz.__file__).parent
MODULES = sorted(
    ".".join(("normviz", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py" and ">>> " in path.read_text("utf-8")
)
# Examples that a module has at least: a lab is measured and drawn, and a layer's import, definition and call count.
LEAST = {
    **{f"normviz.labs.{name}": 2 for name in normviz.labs.__all__},
    "normviz.inspect.check.check": 3,
    "normviz.inspect.probe.probe": 3,
}


@pytest.mark.parametrize("name", sorted({*MODULES, *LEAST}))
def test_examples(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted >= LEAST.get(name, 1)
    assert not found.failed


def test_every_public_function_has_an_example():
    functions = [name for name in normviz.__all__ if name[0].islower()]
    without = [name for name in functions if ">>> " not in (getattr(normviz, name).__doc__ or "")]
    assert without == ["labs", "relatives", "samples"], "all but the modules"
