"""What a user waits for, from `pip install` to the first picture, and what comes to the disk (`make bench-install`).

    python -m benchmarks.install

The wheel of this checkout is installed in a new environment, with an empty home, and all that it needs is downloaded.
Then its commands are run in an empty folder. A command that fails ends the run.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    """Install, run each command, and print what each took."""
    with tempfile.TemporaryDirectory() as folder:
        environment, home, work = (Path(folder) / name for name in ("environment", "home", "work"))
        builder = venv.EnvBuilder(with_pip=True)
        builder.create(environment)
        python = Path(builder.ensure_directories(environment).env_exe)
        home.mkdir(), work.mkdir()
        keep = ("PATH", "PIP_", "SYSTEM", "TEMP")
        kept = {name: value for name, value in os.environ.items() if name.startswith(keep)}
        variables = {**kept, "HOME": str(home), "USERPROFILE": str(home), "PYTHONUNBUFFERED": "1"}

        def step(words: str, *, until: str = "") -> None:
            """Run a command of the environment, to its end or until it prints a text; print seconds and megabytes."""
            before, start = size(Path(folder)), perf_counter()
            command = [python.with_name(words.split()[0]), *words.split()[1:]]
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            with subprocess.Popen(command, cwd=work, env=variables, **options) as running:
                said = ""
                for line in running.stdout:
                    said += line
                    if until and until in line:
                        running.terminate()
                        break
                seconds = perf_counter() - start
                running.stdout.read()
            if until not in said or (running.returncode and not until):
                sys.exit(f"{words} failed:\n{said}")
            shown = words.replace(f"{folder}{os.sep}", "")
            print(f"{shown:70} {seconds:6.1f} s {(size(Path(folder)) - before) / 1e6:8.1f} MB", flush=True)

        wheels = Path(folder) / "wheel"
        step(f"python -m pip wheel --quiet --no-deps --wheel-dir {wheels} {ROOT}")
        (wheel,) = wheels.glob("*.whl")
        step(f"python -m pip install --quiet {wheel}")
        step("normviz demo --no-open")
        step("normviz playground --no-open --output playground.html")
        step("normviz export --shape 4 16 12 12 --output page.html")
        step("normviz instructor")
        step(f"python -m pip install --quiet {wheel}[lite]")
        step("normviz lite site")
        step(f"python -m pip install --quiet {wheel}[lab,fast]")
        step("normviz lab --no-browser", until="/lab/tree/normviz-notebooks/00_tour.ipynb")


if __name__ == "__main__":
    main()
