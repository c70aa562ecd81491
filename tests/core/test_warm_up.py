"""The warm-up compiles all that any call needs: in a process of its own nothing is compiled or loaded after it."""

import subprocess
import sys

import pytest

from normviz.backends.dispatch import compiled_problem

CODE = """
import sys

import numpy as np
import normviz as nv
from tests.core.cases import configurations, one_each, values

nv.devices(warm_up=True)
from normviz.backends import threads
from normviz.backends.compiled import machine_code, warm_up

modules = [module for name, module in sys.modules.items() if name.startswith("normviz.backends.compiled.")]
functions = [f for module in modules for f in vars(module).values()]
LOOPS = [f for f in functions if isinstance(getattr(f, "_cache", None), machine_code._Files)]


def compiled():
    return {(loop.__name__, types) for loop in LOOPS for types in loop.overloads}


known = compiled()
assert {name for name, _ in known} == {loop.__name__ for loop in LOOPS}
for dtype in warm_up._dtypes():
    x = values((4, 4, 3, 2), dtype=dtype)
    fixed = x.copy()
    fixed.flags.writeable = False
    for a in (x, x.swapaxes(0, 1).copy().swapaxes(0, 1), x[::-1, :, ::2], fixed):
        for method, num_groups in configurations(a.shape):
            options = {"num_groups": num_groups, "backend": "compiled"}
            weight = np.ones(one_each(method, a.shape))
            for statistics in (None, nv.statistics(a, method, **options)):
                y = nv.normalize(a, method, bias=weight, statistics=statistics, **options)
                nv.gradient(a, y, method, weight=weight, statistics=statistics, **options)
    nv.normalize(x, "layer", weight=np.ones(x.shape[1:]), backend="compiled")
large = np.ones((1, 2, threads.WORTH // 8), np.float32)
nv.gradient(large, large, "layer", backend="compiled")
print(sorted(compiled() - known, key=str))
"""


@pytest.mark.skipif(bool(compiled_problem()), reason="the compiled backend cannot be used here")
def test_nothing_is_left_to_compile(compiled_loops):
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True) == "[]\n"
