"""Finds a Chromium or Chrome for the browser tests, or installs one, or says in one sentence what to do.

The tests need a real browser and are never skipped for want of one. ``NORMVIZ_BROWSER`` names one that none of the
usual places has.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")

MAC_APPS = (
    "Chromium.app/Contents/MacOS/Chromium",
    "Google Chrome.app/Contents/MacOS/Google Chrome",
)

ASK_PLAYWRIGHT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


@cache
def find() -> str:
    """Give the path of a Chromium or Chrome that starts, installing one if there is none.

    Raises
    ------
    RuntimeError
        There is none and none can be installed, or ``NORMVIZ_BROWSER`` names one that doesn't start.
    """
    named = os.environ.get("NORMVIZ_BROWSER")
    if named:
        path = shutil.which(named)
        if path and starts(path):
            return path
        raise RuntimeError(f"NORMVIZ_BROWSER={named} does not start; give a Chromium or Chrome, or unset it")
    if path := first_that_starts():
        return path
    tried = []
    for name, install in installers():
        print(f"No Chromium or Chrome found; installing one with {name} ...", file=sys.stderr, flush=True)
        tried.append(name)
        if install() and (path := first_that_starts()):
            return path
    raise RuntimeError(
        "the browser tests need Chromium or Chrome: none was found, and installing one "
        f"with {' and '.join(tried)} failed; install one, or set NORMVIZ_BROWSER to its path"
    )


def first_that_starts() -> str | None:
    """Give the first browser of the usual places that starts."""
    return next((path for path in candidates() if starts(path)), None)


def candidates() -> Iterator[str]:
    """Go through the places where a browser may be: PATH, macOS's applications, Playwright's own."""
    yield from filter(None, map(shutil.which, NAMES))
    for folder in (Path("/Applications"), Path.home() / "Applications"):
        yield from (str(folder / app) for app in MAC_APPS if (folder / app).exists())
    # In a process of its own: Playwright's loop can't be entered twice in one, and a test may be in it already.
    asked = subprocess.run([sys.executable, "-c", ASK_PLAYWRIGHT], capture_output=True, text=True)
    if asked.returncode == 0:
        yield asked.stdout.strip()


def starts(path: str) -> bool:
    """Tell whether the browser there runs at all (Ubuntu's ``chromium-browser`` may be a stub that asks for a snap)."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def installers() -> Iterator[tuple[str, Callable[[], bool]]]:
    """Go through the ways to install a browser that this machine has."""
    root = as_root()
    if root is not None:
        if shutil.which("apt-get"):
            # "chromium" is Debian's name.
            yield (
                "apt-get",
                lambda: (
                    run(*root, "apt-get", "update", "-qq")
                    and run(
                        *root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "-y", "chromium"
                    )
                ),
            )
        if shutil.which("dnf"):
            yield "dnf", lambda: run(*root, "dnf", "install", "-q", "-y", "chromium")
        if shutil.which("pacman"):
            yield "pacman", lambda: run(*root, "pacman", "-Sy", "--noconfirm", "chromium")
        if shutil.which("apk"):
            yield "apk", lambda: run(*root, "apk", "add", "chromium")
    if shutil.which("brew") and sys.platform == "darwin":
        yield "brew", lambda: run("brew", "install", "--cask", "chromium")
    # --with-deps asks for a password where there is no other way, so it is left to those who need none.
    deps = ["--with-deps"] if root is not None and sys.platform == "linux" else []
    yield "Playwright", lambda: run(sys.executable, "-m", "playwright", "install", *deps, "chromium")


def as_root() -> list[str] | None:
    """Give what to put before a command so that it runs as root without asking; None if nothing does that."""
    if not hasattr(os, "geteuid"):
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run("sudo", "-n", "true"):
        return ["sudo", "-n"]
    return None


def run(*command: str) -> bool:
    """Run a command with nobody to answer its questions; tell whether it went well."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
    except OSError:
        return False
    if done.returncode and command[:2] != ("sudo", "-n"):
        print(done.stderr.strip(), file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    try:
        print(find())
    except RuntimeError as error:
        sys.exit(f"{error}")
