"""What the kernels cost before the first call: python -m benchmarks.gpu.compiling.

Prints for each module how long it took to compile (or to read from CuPy's cache), and for each kernel how many
registers a thread needs and how many bytes of them did not fit.
"""

import time
from typing import Any

from normviz.backends.cuda.kernels import instances
from normviz.backends.dispatch import load


def main() -> None:
    """Compile every module and print."""
    worker: Any = load("cupy")
    for key, names in instances().items():
        start = time.perf_counter()
        module = worker.module(key)
        module.compile()
        print(f"{key or 'every call'}: compiled in {time.perf_counter() - start:.2f} s")
        for name in names:
            kernel = module.get_function(name)
            print(f"    {name}: {kernel.num_regs} registers, {kernel.local_size_bytes} bytes spilled")


if __name__ == "__main__":
    main()
