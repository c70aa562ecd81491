"""What the CPU backends cost, as ratios within one run: `make bench`, about ten minutes.

    python -m benchmarks.cpu [--out FILE] [--quick] [--threads 1 2] [--parts PART ...]

Every time is the median of rounds in which all candidates ran once, in an order drawn anew. The tables are printed, and
with --out what was measured is kept as JSON. `--quick` measures a few sizes in about a minute, and nothing that takes
gigabytes. Quote figures from a machine that does nothing else.
"""

import argparse
import os
from pathlib import Path

from benchmarks import results, tables
from normviz.backends import threads

from . import accuracy, cases, compute, first_call, memory, streams

PARTS = ("cpu", "accuracy", "import", "first-call", "memory", "streams")


def main() -> None:
    """Run the parts, print them, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="a JSON file, of which the other parts stay as they are")
    parser.add_argument("--quick", action="store_true", help="a few sizes, and nothing that takes gigabytes")
    parser.add_argument("--threads", type=int, nargs="+", help="for ours and for torch [default: 1 and 2]")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    counts = options.threads or ([1] if options.quick or threads.available() < 2 else [1, 2])
    for part in options.parts:
        if options.quick and part in ("first-call", "memory", "streams"):
            continue
        os.environ["NORMVIZ_NUM_THREADS"] = str(threads.available())
        found = results.save(options.out, part, measured(part, counts, options.quick))
        print("\n\n".join(table(found) for table in tables.TABLES[part].values()), flush=True)


def measured(part: str, counts: list[int], quick: bool) -> dict[str, object]:
    """Return what one part found."""
    if part == "cpu":
        rounds, budget = (3, 0.0) if quick else (5, 0.4)
        return {"rows": list(compute.rows(cases.cases(quick), counts, rounds, budget))}
    if part == "accuracy":
        return {"rows": list(accuracy.table(compute.backends()))}
    if part == "import":
        ours, numpy = memory.imports(9)
        return {"normviz": ours, "numpy": numpy}
    if part == "first-call":
        return {"rows": list(first_call.first_calls()) if "compiled" in compute.backends() else []}
    if part == "memory":
        return {"rows": list(memory.peaks(compute.backends()))}
    return {"rows": [*streams.from_a_file(rounds=5), *streams.from_dask(rounds=5)]}


if __name__ == "__main__":
    main()
