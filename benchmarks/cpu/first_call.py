"""What the first use of the compiled backend costs: on a machine that has no machine code yet, and in a new process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START = "import time, numpy as np; begun = time.process_time(); import normviz as nv"
FORWARD = "x = np.ones((8, 32, 14, 14), 'f4'); nv.normalize(x, 'group', num_groups=8, backend='compiled')"
GRADIENT = "x = np.ones((8, 32, 14, 14), 'f4'); nv.gradient(x, x, 'group', num_groups=8, backend='compiled')"
END = "print(time.process_time() - begun)"
USES = {"import of numba": "import numba", "a first forward": FORWARD, "a first gradient": GRADIENT}
USES["normviz devices --warm-up"] = "nv.devices(warm_up=True)"


def first_calls() -> Iterator[dict[str, Any]]:
    """Yield the processor time of each use, without and with machine code on disk, with the import of normviz."""
    for name, use in USES.items():
        with tempfile.TemporaryDirectory() as folder:
            places = {"PYTHONPYCACHEPREFIX": folder, "XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": folder}
            seconds("nv.devices()", places)  # writes bytecode, compiles nothing
            yield {"name": name, "first": seconds(use, places), "again": seconds(use, places)}


def seconds(use: str, places: dict[str, str]) -> float:
    """Return the processor time that a new process takes for it, which the load of the machine hardly changes."""
    code = "\n".join((START, use, END))
    root = str(Path(__file__).parent.parent.parent)
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **places}, cwd=root, capture_output=True, check=True, text=True
    )
    return float(ran.stdout)
