"""Everything that needs a CUDA GPU, in one run of at most 510 seconds: python -m benchmarks.gpu.check FOLDER.

Each step has a limit of its own. Without a GPU that works, and kernels that are right on it, nothing else is worth its
time, so a failure of one of the first two steps is the end. The output of each step is written to FOLDER/STEP.txt, the
benchmark's figures to FOLDER/gpu.json, and what passed to FOLDER/summary.json; all of it is printed as well.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gpu import present

ROOT = Path(__file__).parents[2]
SECONDS = 510
NO_GPU = "gpu-check needs a CUDA GPU, and there is none here: nvidia-smi lists no device"
# The first call compiles the kernels; JAX takes 75 % of the memory when it starts, unless it is told not to.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONUNBUFFERED": "1"}
PYTEST = ("{python}", "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "-n", "{workers}")


@dataclass(frozen=True)
class Step:
    """Commands that follow one another until one fails.

    Attributes
    ----------
    name, seconds
        What it is called, and its limit of time.
    commands
        Programs with their arguments; {python}, {workers} and {folder} are filled in.
    vital
        Whether a failure ends the run.
    needs
        A program without which the step is left out.
    environment
        Variables for these commands alone.
    """

    name: str
    seconds: float
    commands: Sequence[Sequence[str]]
    vital: bool = False
    needs: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


STEPS = [
    Step("machine", 20, [("nvidia-smi",), ("{python}", "-c", "import cupy; cupy.show_config()")], vital=True),
    Step(
        "smoke",
        60,
        [("{python}", "-m", "benchmarks.gpu.compiling"), (*PYTEST, "tests/cuda/test_kernels.py", "-k", "GPU")],
        vital=True,
    ),
    Step("core", 110, [(*PYTEST, "tests/core", "-k", "GPU")], environment={"JAX_PLATFORMS": "cpu"}),
    Step(
        "device",
        75,
        # The tests of memory need the GPU for themselves.
        [(*PYTEST, "tests/cuda/test_device.py"), (*PYTEST, "-n", "0", "tests/cuda/test_streams.py")],
        environment={"JAX_PLATFORMS": "cuda,cpu"},
    ),
    Step(
        "memcheck",
        65,
        [("compute-sanitizer", "--error-exitcode", "9", "{python}", "-m", "tests.cuda.odd_shapes")],
        needs="compute-sanitizer",
    ),
    Step("benchmark", 178, [("{python}", "-m", "benchmarks.gpu", "{folder}/gpu.json", "--limit", "170")]),
]


def run(steps: Sequence[Step], folder: Path, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Run the steps, write and print what they say, and return for each its name, its outcome and its seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    end, found = time.monotonic() + seconds, []
    with tempfile.TemporaryDirectory() as cache:
        for step in steps:
            start = time.monotonic()
            if step.needs and not shutil.which(step.needs):
                outcome = f"left out: {step.needs} is not installed"
            else:
                outcome = _run(step, folder, min(start + step.seconds, end), {"CUPY_CACHE_DIR": cache})
            found.append({"step": step.name, "outcome": outcome, "seconds": round(time.monotonic() - start, 1)})
            (folder / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
            print(f"== {step.name}: {outcome}, {found[-1]['seconds']} s\n", flush=True)
            if step.vital and outcome != "passed":
                break
    return found


def _run(step: Step, folder: Path, end: float, environment: dict[str, str]) -> str:
    """Return "passed", or how the first command failed that did not pass."""
    names = {"python": sys.executable, "workers": str(min(6, os.cpu_count() or 1)), "folder": str(folder)}
    environment = os.environ | ENVIRONMENT | environment | step.environment
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    log = folder / f"{step.name}.txt"
    with log.open("w") as output:
        for command in step.commands:
            command = [part.format(**names) for part in command]
            try:
                process = subprocess.Popen(
                    command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
                )
            except OSError as error:
                outcome = f"failed: {error}"
                break
            try:
                status = process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
                process.wait()
                outcome = "failed: out of time"
                break
            outcome = f"failed: exit status {status}"
            if status:
                break
        else:
            outcome = "passed"
    print(log.read_text(errors="replace")[-6000:], flush=True)
    return outcome


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for; exit with 1 without a GPU, or if a step did not pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.check")
    parser.add_argument("folder", type=Path, help="where the figures and the output of each step are written")
    known = [step.name for step in STEPS]
    parser.add_argument("--steps", nargs="+", choices=known, default=known, help="only these, in their usual order")
    options = parser.parse_args(arguments)
    if not present():
        sys.exit(NO_GPU)
    found = run([step for step in STEPS if step.name in options.steps], options.folder.absolute())
    print("\n".join(f"{row['step']:10} {row['seconds']:6} s  {row['outcome']}" for row in found))
    if len(found) < len(options.steps):
        print("the steps after it were not begun")
    if any(row["outcome"].startswith("failed") for row in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
