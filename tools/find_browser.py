"""Print the paths of the browsers that the tests drive, installing those that are missing.

Without arguments that is a Chromium or Chrome, and ``NORMVIZ_BROWSER`` names one that is not on the PATH. The tests of
other engines ask for ``firefox`` and ``webkit``, which come from Debian's or Ubuntu's packages.
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
# sudo -n fails instead of asking for a password. Each argument is a choice of packages; the first one that can be
# installed is.
APT = """
[ "$(id -u)" = 0 ] || root="sudo -n"
$root apt-get update -qq || exit
for choice; do
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $choice && exit
done
exit 1
"""
OTHERS = {
    "firefox": (["firefox-esr", "firefox"], ["firefox-esr", "firefox"]),
    "webkit": (["WebKitWebDriver"], ["webkit2gtk-driver xvfb"]),
}
"""Other engines: their names on the PATH, and the packages that bring them."""


@cache
def find(engine: str = "chromium") -> str:
    """Return the path of a browser that starts, installing one if there is none; for WebKit, that of its driver.

    Raises
    ------
    RuntimeError
        If there is none and none can be installed, or if ``NORMVIZ_BROWSER`` names one that does not start.
    """
    if engine in OTHERS:
        return find_other(engine)
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


def find_other(engine: str) -> str:
    """Return the path of Firefox or of WebKit's driver, from Debian's or Ubuntu's packages."""
    names, choices = OTHERS[engine]
    if path := started(engine, names):
        return path
    said = "there is no apt-get"
    if shutil.which("apt-get"):
        print(f"No {names[0]} found; installing {choices[0]} with apt-get ...", file=sys.stderr, flush=True)
        done = subprocess.run([*apt(*choices)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if not done.returncode and (path := started(engine, names)):
            return path
        said = done.stderr.strip()
    raise RuntimeError(f"the tests of this engine need {names[0]}: install {choices[0]} ({said})")


def started(engine: str, names: list[str]) -> str | None:
    """Return the path of another engine that starts; WebKit has no headless window and needs a display."""
    if engine == "webkit":
        return first_that_starts(names, "--help") if shutil.which("Xvfb") else None
    return first_that_starts(names)


def apt(*choices: str) -> list[str]:
    """Return the command that installs the first of some choices of packages that can be installed."""
    return ["sh", "-c", APT, "apt", *choices]


def candidates() -> Iterator[str]:
    """Yield the names that a browser may have on the PATH, then the path of Playwright's own."""
    yield from NAMES
    # In another process, because Playwright's loop may be running in this one.
    asked = subprocess.run([sys.executable, "-c", ASK_PLAYWRIGHT], capture_output=True, text=True)
    yield asked.stdout.strip()


def first_that_starts(names: Iterator[str] | list[str], ask: str = "--version") -> str | None:
    """Return the path of the first browser that starts (Ubuntu's ``chromium-browser`` may only ask for a snap)."""
    for path in filter(None, map(shutil.which, names)):
        try:
            # On Windows a browser that is asked for its version opens a window.
            if os.name == "nt" or not subprocess.run([path, ask], capture_output=True, timeout=60).returncode:
                return path
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None


def installers() -> Iterator[tuple[str, list[str]]]:
    """Yield the ways to install Chromium: apt where there is one, then Playwright's own download."""
    if shutil.which("apt-get"):
        yield "apt-get", apt(SHELL, "chromium")
    # As root Playwright may install the libraries that its browser needs; otherwise it would ask for a password.
    is_root = sys.platform == "linux" and os.geteuid() == 0
    yield "Playwright", [*PLAYWRIGHT, *(["--with-deps"] if is_root else [])]


if __name__ == "__main__":
    try:
        for engine in sys.argv[1:] or ["chromium"]:
            print(find(engine))
    except RuntimeError as error:
        sys.exit(str(error))
