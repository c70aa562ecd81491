"""The tools that `make` uses: on a bare machine each does its part, or says in one sentence why it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import find_browser, install_torch

ROOT = Path(__file__).parent.parent
SHELL, CHMOD = map(shutil.which, ("sh", "chmod"))

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the tools are started by make, with a POSIX shell")


def program(path: Path, script: str) -> Path:
    """Write a program."""
    path.write_text(f"#!{SHELL}\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine whose PATH has a shell, `id`, and what the test puts into this folder."""
    for name in ("sh", "id", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NORMVIZ_BROWSER", raising=False)
    monkeypatch.setattr(find_browser, "ASK_PLAYWRIGHT", f"print({str(tmp_path / 'playwrights')!r})")
    monkeypatch.setattr(find_browser, "PLAYWRIGHT", ["sh", "-c", f'echo "$@" > {tmp_path}/ran; exit 1', "playwright"])
    find_browser.find.cache_clear()
    yield tmp_path
    find_browser.find.cache_clear()


def installs(path: Path) -> str:
    """Return the line of a shell script that installs a browser."""
    return f"printf '#!{SHELL}\\necho Chromium 4\\n' > {path}; {CHMOD} +x {path}"


def test_a_browser_that_starts_is_found_on_the_path(bare):
    program(bare / "chromium", "exit 1")
    chrome = program(bare / "google-chrome", "echo Chrome 1")
    assert find_browser.find() == str(chrome)


def test_a_named_browser_comes_first(bare, monkeypatch):
    program(bare / "chromium", "echo Chromium 1")
    mine = program(bare / "mine", "echo Chromium 2")
    monkeypatch.setenv("NORMVIZ_BROWSER", str(mine))
    assert find_browser.find() == str(mine)


def test_a_named_browser_that_does_not_start_is_an_error_even_where_there_is_another(bare, monkeypatch):
    program(bare / "chromium", "echo Chromium 1")
    program(bare / "broken", "exit 1")
    for named in ("none", "broken"):
        monkeypatch.setenv("NORMVIZ_BROWSER", named)
        with pytest.raises(RuntimeError, match=f"NORMVIZ_BROWSER={named} does not start"):
            find_browser.find()


def test_playwright_downloads_a_browser_where_there_is_no_apt(bare, monkeypatch, capfd):
    own = bare / "playwrights"
    monkeypatch.setattr(find_browser, "PLAYWRIGHT", ["sh", "-c", installs(own)])
    assert find_browser.find() == str(own)
    assert capfd.readouterr().err == "No Chromium or Chrome found; installing one with Playwright ...\n"
    find_browser.find.cache_clear()
    assert find_browser.find() == str(own)
    assert capfd.readouterr().err == ""


def test_another_engine_is_found_on_the_path_and_webkit_needs_a_display(bare):
    driver = program(bare / "WebKitWebDriver", '[ "$1" = --help ]')
    firefox = program(bare / "firefox-esr", "echo Firefox 1")
    assert find_browser.find("firefox") == str(firefox)
    with pytest.raises(RuntimeError, match=r"WebKitWebDriver: install webkit2gtk-driver xvfb \(there is no apt-get\)"):
        find_browser.find("webkit")
    program(bare / "Xvfb", "")
    assert find_browser.find("webkit") == str(driver)


def test_apt_installs_another_engine(bare):
    got = bare / "firefox"
    program(bare / "apt-get", f'[ "$1" = update ] && exit; [ "$4" = firefox ] || exit 1; {installs(got)}')
    program(bare / "sudo", 'shift; exec "$@"')
    assert find_browser.find("firefox") == str(got)


@pytest.mark.parametrize("offered", ["chromium-headless-shell", "chromium"])
def test_apt_comes_before_playwright(bare, offered):
    """It installs the browser without a window where the distribution has one."""
    program(bare / "sudo", '[ "$1" = -n ] && shift && exec "$@"')
    script = f'[ "$1" = install ] || exit 0\nfor last; do :; done\n[ "$last" = {offered} ] || exit 1\n'
    program(bare / "apt-get", script + installs(bare / offered))
    assert find_browser.find() == str(bare / offered)
    assert not (bare / "ran").exists()


@pytest.mark.parametrize(("euid", "flags"), [(0, "--with-deps"), (1000, "")])
def test_what_can_not_be_installed_is_said_in_one_sentence(bare, monkeypatch, euid, flags):
    monkeypatch.setattr(find_browser.os, "geteuid", lambda: euid)
    monkeypatch.setattr(find_browser.sys, "platform", "linux")
    program(bare / "apt-get", "exit 1")
    with pytest.raises(RuntimeError) as raised:
        find_browser.find()
    assert str(raised.value) == (
        "the browser tests need Chromium or Chrome: none was found, and installing one "
        "with apt-get and Playwright failed; install one, or set NORMVIZ_BROWSER to its path"
    )
    assert (bare / "ran").read_text().strip() == flags


def test_the_tool_itself_prints_the_path_or_fails():
    command = [sys.executable, ROOT / "tools" / "find_browser.py"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_file()
    environment = {**os.environ, "NORMVIZ_BROWSER": "none"}
    failed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "NORMVIZ_BROWSER=none does not start; give a Chromium or Chrome, or unset it\n"


@pytest.fixture
def pip(monkeypatch):
    """A machine without PyTorch; the commands that were run, of which those in `.good` succeed."""
    ran = SimpleNamespace(commands=[], good=set())

    def run(command, **_):
        ran.commands.append(" ".join(command).split(" install ")[1].removeprefix("--quiet "))
        good = ran.commands[-1].split()[-1] in {*ran.good, "torchvision==0.28.0"}
        return SimpleNamespace(returncode=0 if good else 1, stderr="no such distribution\n")

    monkeypatch.setattr(install_torch.subprocess, "run", run)
    monkeypatch.setattr(install_torch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(install_torch.importlib.metadata, "version", lambda name: "2.13.0+cpu")
    return ran


UV_COMMAND = f"--python {sys.executable} --torch-backend=cpu torch"


@pytest.mark.parametrize(
    ("good", "commands"),
    [
        ({install_torch.CPU_BUILD}, [install_torch.CPU_BUILD]),
        ({"uv", "torch"}, [install_torch.CPU_BUILD, "uv", UV_COMMAND]),
        ({"torch"}, [install_torch.CPU_BUILD, "uv", "torch"]),
    ],
    ids=["offered", "by uv", "whatever there is"],
)
def test_torch_for_the_cpu_is_tried_first(pip, good, commands):
    pip.good = good
    assert install_torch.main() is None
    assert pip.commands == [*commands, "--no-deps torchvision==0.28.0"]


@pytest.mark.parametrize(("torch", "partner"), [("2.13.0+cpu", "0.28.0"), ("2.4.1", "0.19.1"), ("2.14.1", "0.29.1")])
def test_torchvision_is_the_one_for_the_torch_that_is_there(pip, monkeypatch, torch, partner):
    """Any other would have pip bring another torch."""
    there = lambda name: object() if name == "torch" else None  # noqa: E731
    monkeypatch.setattr(install_torch.importlib.util, "find_spec", there)
    monkeypatch.setattr(install_torch.importlib.metadata, "version", lambda name: torch)
    failed = install_torch.main()
    assert pip.commands == [f"--no-deps torchvision=={partner}"]
    assert failed is None or failed.startswith(f"torchvision=={partner}, whose models the tests audit, cannot be inst")


def test_torch_that_can_not_be_had_is_an_error_with_pips_last_words(pip):
    assert install_torch.main() == (
        "PyTorch, which the tests compare with, cannot be installed; pip's last message was:\nno such distribution"
    )


def test_torch_that_is_there_is_left_alone(pip, monkeypatch):
    monkeypatch.setattr(install_torch.importlib.util, "find_spec", lambda name: object())
    assert install_torch.main() is None
    assert pip.commands == []


@pytest.fixture
def make_venv(tmp_path, monkeypatch):
    """`tools/make_venv.sh` in an empty project, on a machine with nothing but a shell and a few of its helpers."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "make_venv.sh", tmp_path / "tools")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def run(**environment):
        return subprocess.run(
            ["sh", tmp_path / "tools" / "make_venv.sh"],
            env={"PATH": str(tmp_path / "bin"), **environment},
            capture_output=True,
            text=True,
        )

    return run


def test_no_recent_python_is_said(make_venv, tmp_path):
    program(tmp_path / "bin" / "python3", "exit 1")
    done = make_venv()
    assert done.returncode == 1
    assert done.stderr.startswith("normviz needs Python 3.11 or newer and found none as python3, ")
    assert done.stderr.count("\n") == 1
    assert "found none as /none; " in make_venv(PYTHON="/none").stderr


def test_no_ensurepip_is_said(make_venv, tmp_path):
    program(tmp_path / "bin" / "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    done = make_venv()
    assert done.returncode == 1
    assert done.stderr.startswith("python3 has no venv or no ensurepip, ")
    assert "apt-get install python3-venv" in done.stderr


def test_an_environment_is_made_kept_and_mended(make_venv, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    done = make_venv(PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    assert make_venv(PYTHON=sys.executable).stdout == ""
    assert (tmp_path / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made
    python.unlink()
    assert "Setting up .venv" in make_venv(PYTHON=sys.executable).stdout
    subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)


def test_another_environment_stands_beside_the_first(make_venv, tmp_path):
    assert "Setting up .venv-other with" in make_venv(PYTHON=sys.executable, VENV=".venv-other").stdout
    assert (tmp_path / ".venv-other" / "bin" / "python").exists()
    assert not (tmp_path / ".venv").exists()
