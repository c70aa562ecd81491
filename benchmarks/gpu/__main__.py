"""What the CuPy backend reaches on a GPU, beside what the GPU itself reaches: python -m benchmarks.gpu OUT.json.

About five minutes on an H200; --limit ends it sooner, with what was measured until then. Everything is written as soon
as it is known, with the date, the device and the versions, and printed as a table at the end.
"""

import argparse
import json
import time
from pathlib import Path

from .cases import CASES, Limit
from .measures import Bench
from .table import table


def main(arguments: list[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("out", type=Path, help="the JSON file to write")
    parser.add_argument("--limit", type=float, default=480, help="seconds after which nothing new is begun")
    options = parser.parse_args(arguments)

    limit = Limit(options.limit)
    bench = Bench.on_cuda()
    report = bench.machine() | {"date": time.strftime("%Y-%m-%d"), "rows": []}
    for row in bench.run(CASES, limit):
        report["rows"].append(row)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(json.dumps(row), flush=True)
    print(
        f"\n{table(report)}\n\n{limit.spent():.0f} s of {limit.seconds:.0f}{', not finished' if limit.over() else ''}"
    )


if __name__ == "__main__":
    main()
