"""Install PyTorch, which the tests compare with: the build for the CPU if there is one; and the torchvision for it.

On Linux plain ``pip install torch`` brings several GB for NVIDIA GPUs, which the tests do not use. So would any other
torchvision, as each asks for one version of PyTorch; timm, whose models the tests audit, asks for a torchvision.
"""

import importlib.metadata
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
    """Install PyTorch and torchvision unless they are installed; return an error message if that fails."""
    error = _torch() if importlib.util.find_spec("torch") is None else ""
    if error:
        return f"PyTorch, which the tests compare with, cannot be installed; pip's last message was:\n{error}"
    if importlib.util.find_spec("torchvision") is None:
        partner = f"torchvision=={partner_of(importlib.metadata.version('torch'))}"
        error = _run([*PIP, "--no-deps", partner])
        if error:
            return f"{partner}, whose models the tests audit, cannot be installed; pip's message was:\n{error}"
    return None


def partner_of(torch: str) -> str:
    """Return the version of torchvision that belongs to a version of torch.

    >>> partner_of("2.13.0+cpu"), partner_of("2.4.1")
    ('0.28.0', '0.19.1')
    """
    _, minor, patch = torch.partition("+")[0].split(".")[:3]
    return f"0.{int(minor) + 15}.{patch}"


def _torch() -> str:
    """Install PyTorch; return pip's last message if that fails."""
    error = ""
    for name, commands in ATTEMPTS:
        print(f"PyTorch: trying {name} ...", flush=True)
        error = next((said for command in commands if (said := _run(command))), "")
        if not error:
            return ""
    return error


def _run(command: list[str]) -> str:
    """Run a command; return what it said if it fails."""
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return done.stderr.strip() or "no message" if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
