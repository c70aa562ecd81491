"""What all tests share: how they are named and spread over the workers, and the notebooks that were run."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No example has a deadline, and none may fail because a slow machine takes long to draw it.
ANY_SPEED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=60, **ANY_SPEED)
settings.register_profile("ci", max_examples=400, print_blob=True, **ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

HERE = Path(__file__).parent
# Files whose tests share something that is dear to make; all tests that use JupyterLab share one.
TOGETHER = {"test_texts.py": "frameworks", "test_snippet_notes.py": "frameworks"}
# What takes longest starts first, so that all workers end at about the same time. The rest follows file by file.
FIRST = (
    "lab",
    "test_notebooks.py",
    "frameworks",
    "test_book.py",
    "test_recipes.py",
    "browser",
    "test_probe_laws.py",
    "test_older_processors.py",
    "test_compile.py",
)
SLOW = ("lab", "frameworks", "test_book.py", "test_recipes.py", "test_older_processors.py", "test_compile.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors, because browser tests often wait for a frame; five are enough."""
    return min((os.cpu_count() or 1) + 1, 5)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests by their place, and give each the group of those that run in one worker.

    A group is a file, or what its tests share. The cases of a test that is marked `apart` are spread over all workers.
    """
    in_browser = {path for path in {item.path for item in items} if HERE / "browser" in path.parents}
    with_lab = {item.path for item in items if "lab" in item.fixturenames} & in_browser
    ranks = {}
    for item in items:
        group = "lab" if item.path in with_lab else TOGETHER.get(item.path.name, item.path.name)
        place = "browser" if item.path in in_browser else group
        apart = item.get_closest_marker("apart") is not None
        names = (place,) if apart else (group, place)
        ranks[item] = next((FIRST.index(name) for name in names if name in FIRST), len(FIRST)), apart
        if not apart and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(group))
        if place == "browser":
            item.add_marker("browser")
        if "course" in item.fixturenames:
            item.add_marker("notebooks")
        if group in SLOW:
            item.add_marker("slow")
    items.sort(key=ranks.__getitem__)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder for what one worker makes and all use."""
    folder = tmp_path_factory.getbasetemp()
    # A worker has a folder of its own in the one of the session.
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def course(shared):
    """The runs of the course's notebooks."""
    # Imported here, because the tests of one extra run without the packages that run a notebook.
    from tests.course import Course

    return Course(shared / "course")
