"""Print the path of a Chromium or Chrome for the browser tests, installing one if there is none.

``NORMVIZ_BROWSER`` names a browser that is not on the PATH.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

# Without the parts that only a window needs, the shell takes a fifth less of the processor's time.
SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge")
PLAYWRIGHT = [sys.executable, "-m", "playwright", "install", "chromium"]
ASK_PLAYWRIGHT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""
# sudo -n fails instead of asking for a password.
APT = f"""
[ "$(id -u)" = 0 ] || root="sudo -n"
install="$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y"
$root apt-get update -qq && {{ $install {SHELL} || $install chromium; }}
"""


@cache
def find() -> str:
    """Return the path of a browser that starts, installing Chromium if there is none.

    Raises
    ------
    RuntimeError
        If there is none and none can be installed, or if ``NORMVIZ_BROWSER`` names one that does not start.
    """
    if named := os.environ.get("NORMVIZ_BROWSER"):
        if path := first_that_starts([named]):
            return path
        raise RuntimeError(f"NORMVIZ_BROWSER={named} does not start; give a Chromium or Chrome, or unset it")
    if path := first_that_starts(candidates()):
        return path
    tried = []
    for name, command in installers():
        print(f"No Chromium or Chrome found; installing one with {name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if not done.returncode and (path := first_that_starts(candidates())):
            return path
        print(done.stdout.strip(), file=sys.stderr)
        tried.append(name)
    raise RuntimeError(
        "the browser tests need Chromium or Chrome: none was found, and installing one "
        f"with {' and '.join(tried)} failed; install one, or set NORMVIZ_BROWSER to its path"
    )


def candidates() -> Iterator[str]:
    """Yield the names that a browser may have on the PATH, then the path of Playwright's own."""
    yield from NAMES
    # In another process, because Playwright's loop may be running in this one.
    asked = subprocess.run([sys.executable, "-c", ASK_PLAYWRIGHT], capture_output=True, text=True)
    yield asked.stdout.strip()


def first_that_starts(names: Iterator[str] | list[str]) -> str | None:
    """Return the path of the first browser that starts (Ubuntu's ``chromium-browser`` may only ask for a snap)."""
    for path in filter(None, map(shutil.which, names)):
        try:
            # On Windows a browser that is asked for its version opens a window.
            if os.name == "nt" or not subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode:
                return path
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None


def installers() -> Iterator[tuple[str, list[str]]]:
    """Yield the ways to install Chromium: apt where there is one, then Playwright's own download."""
    if shutil.which("apt-get"):
        yield "apt-get", ["sh", "-c", APT]
    # As root Playwright may install the libraries that its browser needs; otherwise it would ask for a password.
    is_root = sys.platform == "linux" and os.geteuid() == 0
    yield "Playwright", [*PLAYWRIGHT, *(["--with-deps"] if is_root else [])]


if __name__ == "__main__":
    try:
        print(find())
    except RuntimeError as error:
        sys.exit(str(error))
