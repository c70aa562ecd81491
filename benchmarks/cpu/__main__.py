"""What the NumPy backend costs, as ratios within one run: `make bench`.

    python -m benchmarks.cpu [--rounds 7] [--threads N] [--small]

Every time is the median of rounds in which all candidates ran once, in an order drawn anew. `x` is the time of the
other divided by ours, so more is better for us; against np.copyto it is ours divided by the copy's, so less is better.
Numbers are printed, not judged: quote them from a machine that does nothing else.
"""

import argparse
import os
from collections.abc import Iterable

import torch

from normviz.backends import threads

from . import accuracy, compute, memory, streams
from .timing import machine


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=threads.number(), help="for ours and for torch")
    parser.add_argument("--small", action="store_true", help="leave out what takes gigabytes: memory, file, dask")
    options = parser.parse_args()
    os.environ["NORMVIZ_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    print(f"{machine()}, torch {torch.__version__}; {options.threads} threads, medians of {options.rounds} rounds")

    rounds = options.rounds
    for title, rows in (
        ("One pass for every configuration", compute.sweeps(rounds)),
        ("Output", compute.forwards(rounds)),
        ("Small arrays", compute.tiny(rounds)),
        ("Other types and layouts", compute.others(rounds)),
    ):
        show(title, rows)
    print("\nErrors against float64: worst variance (relative), worst output (absolute)")
    for name, var, output in accuracy.table():
        print(f"  {name:36} {var:9.1e} {output:9.1e}")
    ours, numpy = memory.imports(max(rounds, 9))
    print(f"\nImport: normviz {1e3 * ours:.1f} ms, NumPy alone {1e3 * numpy:.1f} ms, so {1e3 * (ours - numpy):+.1f} ms")
    if options.small:
        return
    print(f"\nExtra memory at the peak, beside {memory.SHAPE} float32")
    for name, mebibytes in memory.peaks():
        print(f"  {name:36} {mebibytes:9.2f} MiB")
    print("\nTensors that are not in memory: ours, the other, ours / the other")
    for name, seconds, other in (*streams.from_a_file(rounds=rounds), *streams.from_dask(rounds=rounds)):
        print(f"  {name:75} {seconds:8.3f} s {other:8.3f} s {seconds / other:8.2f}")


def show(title: str, rows: Iterable[compute.Row]) -> None:
    """Print our time and the ratios."""
    print(f"\n{title}")
    for name, seconds, others in rows:
        ratios = [
            f"{seconds / other:.2f} x {label}" if label == "np.copyto" else f"{label} {other / seconds:.3g}x"
            for label, other in others.items()
        ]
        print(f"  {name:58} {_time(seconds):>9}  {'; '.join(ratios)}", flush=True)


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms" if seconds > 1e-3 else f"{1e6 * seconds:.1f} us"


if __name__ == "__main__":
    main()
