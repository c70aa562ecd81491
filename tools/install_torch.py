"""Installs PyTorch, against which the tests compare, preferring the build for the CPU.

On Linux plain ``pip install torch`` brings several GB for NVIDIA GPUs of which the tests use nothing. So this asks,
in this order, for: what is there already; a CPU build that pip's own settings offer (a folder of wheels, an index of
one's own); the CPU build that uv knows how to find; and then whatever pip finds.
"""

import importlib.util
import subprocess
import sys

# A build for the CPU carries "+cpu" in its version, so that one release has to be named to ask for it.
CPU_BUILD = "torch==2.13.0+cpu"

PIP = [sys.executable, "-m", "pip", "install", "--quiet"]
UV = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]

ATTEMPTS = (
    ("a CPU build that pip's settings offer", [[*PIP, CPU_BUILD]]),
    ("the CPU build by uv", [[*PIP, "uv"], [*UV, "--torch-backend=cpu", "torch"]]),
    ("the default build", [[*PIP, "torch"]]),
)


def main() -> str | None:
    """Install PyTorch unless it is there; return what to say when that can't be done."""
    if importlib.util.find_spec("torch"):
        return None
    said = ""
    for name, commands in ATTEMPTS:
        print(f"PyTorch: trying {name} ...", flush=True)
        for command in commands:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                said = done.stderr.strip()
                break
        else:
            return None
    return f"PyTorch, against which the tests compare, can't be installed; pip's last words were:\n{said}"


if __name__ == "__main__":
    sys.exit(main())
