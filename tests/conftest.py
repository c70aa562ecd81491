"""What several parts of the tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """The runs of the course's notebooks, shared by all workers."""
    # Imported here, because the tests of one extra run without the packages that run a notebook.
    from tests.course import Course

    folder = tmp_path_factory.getbasetemp()
    # A worker has a folder of its own in the one of the session.
    return Course((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "course")
