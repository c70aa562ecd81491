"""What all tests share: how they are named and spread over the workers, and the notebooks that were run."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from normviz.backends.dispatch import COMPILED_MIN_BYTES

# No example has a deadline, and none may fail because a slow machine takes long to draw it.
ANY_SPEED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=60, **ANY_SPEED)
settings.register_profile("ci", max_examples=400, print_blob=True, **ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# JAX works on the CPU here, or where the environment says; on a GPU it would take most of the memory at once.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# The size alone decides which arrays go to the compiled backend, and not what ran before in the same process.
os.environ["NORMVIZ_COMPILED_MIN_BYTES"] = str(COMPILED_MIN_BYTES)

HERE = Path(__file__).parent
# The tests of a file run in one worker. Those of these files share one, because they share what is dear to start.
TOGETHER = {
    "test_lab.py": "JupyterLab",
    "test_hosts.py": "JupyterLab",
    "test_code.py": "frameworks",
    "test_code_notes.py": "frameworks",
}
# Any worker may run any case of these: what they share, all workers share.
APART = ("test_runs_from_top_to_bottom_and_again", "test_a_page_works_and_is_accessible")
# What takes longest starts first, so that all workers end at about the same time. The rest follows file by file.
FIRST = (
    "JupyterLab",
    "test_notebooks.py",
    "frameworks",
    "test_book.py",
    "test_recipes.py",
    "browser",
    "test_probe_laws.py",
    "test_older_processors.py",
    "test_compile.py",
)
SLOW = ("JupyterLab", "frameworks", "test_book.py", "test_recipes.py", "test_older_processors.py", "test_compile.py")


def group(nodeid: str) -> str:
    """The name that all tests have in common which run in one worker."""
    path, _, name = nodeid.partition("::")
    return nodeid if name.partition("[")[0] in APART else TOGETHER.get(path.rpartition("/")[2], path)


def rank(nodeid: str) -> int:
    """The place in FIRST; the cases that stand apart come after the other browser tests, which make what they need."""
    path = nodeid.partition("::")[0]
    names = (group(nodeid), path.rpartition("/")[2], "browser" if "/browser/" in path else "")
    if group(nodeid) == nodeid:
        names = names[:0:-1]
    return next((FIRST.index(name) for name in names if name in FIRST), len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors, because browser tests often wait for a frame; five are enough."""
    return min((os.cpu_count() or 1) + 1, 5)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Send group after group, in the order in which the tests were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by their place, and put what takes long first."""
    for item in items:
        if "/browser/" in item.nodeid.partition("::")[0]:
            item.add_marker("browser")
        if "course" in item.fixturenames:
            item.add_marker("notebooks")
        if {TOGETHER.get(item.path.name), item.path.name} & set(SLOW):
            item.add_marker("slow")
    items.sort(key=lambda item: rank(item.nodeid))


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
