"""How tests/conftest.py marks the tests and spreads them over the workers, seen from the tests of this run."""

import os
import subprocess
import sys

from hypothesis import HealthCheck, settings

from tests import conftest

PROFILES = {"dev": 60, "ci": 400}


def test_marks_follow_from_the_place(request):
    for item in request.session.items:
        marks = {mark.name for mark in item.iter_markers()}
        assert ("browser" in marks) == ("browser" in item.path.parts), item.nodeid
        assert ("notebooks" in marks) == ("course" in item.fixturenames), item.nodeid


def test_the_groups():
    assert conftest.group("tests/core/test_laws.py::test_a[1-::2]") == "tests/core/test_laws.py"
    assert conftest.group("tests/browser/test_lab.py::test_a") == conftest.group("tests/browser/test_hosts.py::test_b")
    pages = [f"tests/browser/test_book.py::test_a_page_works_and_is_accessible[{name}]" for name in ("a", "course/b")]
    assert [conftest.group(nodeid) for nodeid in pages] == pages
    assert conftest.rank("tests/browser/test_book.py::test_a") < conftest.rank("tests/browser/test_quiz.py::test_a")
    assert conftest.rank(pages[0]) == conftest.rank("tests/browser/test_quiz.py::test_a")
    assert conftest.rank("tests/browser/test_lab.py::test_a") < conftest.rank("tests/test_book.py::test_a")


def test_tests_that_use_jupyterlab_share_one(request):
    files = {item.path.name for item in request.session.items if {"lab", "new_page"} <= set(item.fixturenames)}
    files |= {item.path.name for item in request.session.items if "lab_page" in item.fixturenames}
    assert {name for name in files if conftest.TOGETHER.get(name) != "JupyterLab"} == set()


def test_workers_run_whole_groups(tmp_path):
    """With the installed xdist and pytest, no file is cut."""
    said = tmp_path / "said"
    names = ("test_lab.py", "test_notebooks.py", "test_words.py", "test_code.py")
    text = (
        "import os, pytest\n@pytest.mark.parametrize('k', range(12))\ndef test_one(k):\n"
        f"    with open({str(said)!r}, 'a') as file:\n"
        "        file.write(f\"{__name__} {os.environ['PYTEST_XDIST_WORKER']}\\n\")\n"
    )
    for name in names:
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").write_text((conftest.HERE / "conftest.py").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "48 passed" in done.stdout, done.stdout
    workers = {}
    for line in said.read_text().splitlines():
        workers.setdefault(line.split()[0], set()).add(line.split()[1])
    assert {module: len(found) for module, found in workers.items()} == {name[:-3]: 1 for name in names}


def test_every_name_in_the_tables_is_a_group():
    """A file that was renamed would lose its place in the order without a word."""
    files = {path.name for path in conftest.HERE.rglob("test_*.py")}
    assert set(conftest.TOGETHER) <= files
    assert {*conftest.FIRST, *conftest.SLOW} <= files | {"browser", *conftest.TOGETHER.values()}
    texts = "".join(path.read_text("utf-8") for path in conftest.HERE.rglob("test_*.py"))
    assert all(f"def {name}(" in texts for name in conftest.APART)


def test_hypothesis_waits_for_a_slow_machine():
    name = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
    now = settings.default
    assert now.max_examples == PROFILES[name]
    assert now.deadline is None
    assert HealthCheck.too_slow in now.suppress_health_check
