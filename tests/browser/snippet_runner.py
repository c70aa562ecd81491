"""Run source texts with given arrays, and hand back what they call y: a process for each library of arrays.

    python -W error snippet_runner.py < pickled [(source, {name: array}), ...] > pickled [array or traceback, ...]

A process of its own keeps one library's threads, warnings and settings away from another's. It answers one list after
the other until its input ends, because a framework takes seconds to import.
"""

import contextlib
import pickle
import sys
import traceback

import numpy as np


def run(source, arrays):
    names = {name: array.copy() for name, array in arrays.items()}
    try:
        exec(compile(source, "<snippet>", "exec"), names)
        y = names["y"]
        return np.asarray(y.detach() if hasattr(y, "detach") else y, dtype=np.float64)
    except Exception:
        return traceback.format_exc()


if __name__ == "__main__":
    with contextlib.suppress(EOFError):
        while True:
            results = [run(*case) for case in pickle.load(sys.stdin.buffer)]
            pickle.dump(results, sys.stdout.buffer)
            sys.stdout.buffer.flush()
