"""Install PyTorch, which the tests compare with: the build for the CPU if there is one.

On Linux plain ``pip install torch`` brings several GB for NVIDIA GPUs, which the tests do not use.
"""

import importlib.util
import subprocess
import sys

# The suffix "+cpu" selects the build for the CPU, and pip needs the whole version with it.
CPU_BUILD = "torch==2.13.0+cpu"

PIP = [sys.executable, "-m", "pip", "install", "--quiet"]
UV = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]

ATTEMPTS = (
    ("a CPU build from pip's configured sources", [[*PIP, CPU_BUILD]]),
    ("the CPU build by uv", [[*PIP, "uv"], [*UV, "--torch-backend=cpu", "torch"]]),
    ("the default build", [[*PIP, "torch"]]),
)


def main() -> str | None:
    """Install PyTorch unless it is installed; return an error message if that fails."""
    if importlib.util.find_spec("torch"):
        return None
    error = ""
    for name, commands in ATTEMPTS:
        print(f"PyTorch: trying {name} ...", flush=True)
        for command in commands:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                error = done.stderr.strip()
                break
        else:
            return None
    return f"PyTorch, which the tests compare with, cannot be installed; pip's last message was:\n{error}"


if __name__ == "__main__":
    sys.exit(main())
