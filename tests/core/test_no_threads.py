"""Where Python can start no thread, as in Pyodide, or only a few, everything is computed all the same."""

import subprocess
import sys

import pytest

CALLS = """
import sys, threading
import numpy as np
import normviz as nv
from normviz.backends import threads

allowed, start, folder = int(sys.argv[1]), threading.Thread.start, sys.argv[2]
bar = not allowed  # tqdm starts a thread too, and where that fails after others have started it warns

def limited(thread):
    global allowed
    if allowed == 0:
        raise RuntimeError("can't start new thread")
    allowed -= 1
    start(thread)

threading.Thread.start = limited
threads.WORTH = 1
x = np.random.default_rng(0).normal(size=(4, 8, 64, 64)).astype(np.float32)
np.save(f"{folder}/x.npy", x)

def results():
    y = x.copy()
    nv.normalize(y, "group", num_groups=2, out=y)  # in place, so no part may be done twice
    nv.normalize(y, "batch", out=y)
    moments = nv.moments(f"{folder}/x.npy", progress=bar)
    gradient = nv.gradient(x, x[..., ::-1], "layer")
    return y, nv.statistics(x, "batch").var, moments.m2, gradient.input, nv.moments(iter([x])).mean

many = [results() for _ in range(3)]
print(threads.number(), *(part for said in nv.devices().values() for part in said.split("; ") if "threads" in part))
with threads.at_most(1):
    alone = results()
assert all(np.array_equal(a, b) for found in many for a, b in zip(found, alone))
"""


@pytest.mark.parametrize("allowed", [0, 1, 2, 3])
def test_few_threads_or_none_give_the_same_digits_without_a_warning(allowed, tmp_path, monkeypatch):
    """The first thread that is started finds out whether that is possible."""
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "4")
    command = [sys.executable, "-W", "error", "-c", CALLS, str(allowed), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    number, said = done.stdout.strip().split(" ", maxsplit=1)
    assert number == ("4" if allowed else "1")
    assert ("because Python cannot start another one here" in said) == (allowed == 0)
