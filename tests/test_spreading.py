"""How tests/conftest.py marks the tests and spreads them over the workers, seen from the tests of this run."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests import conftest

PROFILES = {"dev": 60, "ci": 400}


def groups(item):
    return [mark.args[0] for mark in item.iter_markers("xdist_group")]


def test_marks_follow_from_the_place(request):
    for item in request.session.items:
        marks = {mark.name for mark in item.iter_markers()}
        assert ("browser" in marks) == ("browser" in item.path.parts), item.nodeid
        assert ("notebooks" in marks) == ("course" in item.fixturenames), item.nodeid


def test_a_file_has_one_group_and_jupyterlab_has_one_in_all(request):
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    of_files = {}
    for item in request.session.items:
        if "apart" in item.keywords:
            assert groups(item) == [], item.nodeid
        else:
            of_files.setdefault(item.path, set()).add(tuple(groups(item)))
            if "browser" in item.path.parts and "lab" in item.fixturenames:
                assert groups(item) == ["lab"], item.nodeid
    assert all(len(found) == 1 for found in of_files.values())


def test_every_name_in_the_tables_is_a_group():
    """A file that was renamed would lose its place in the order without a word."""
    files = {path.name for path in conftest.HERE.rglob("test_*.py")}
    assert set(conftest.TOGETHER) <= files
    own = {"lab", "browser", *conftest.TOGETHER.values()}
    assert {*conftest.FIRST, *conftest.SLOW} <= files | own


def test_hypothesis_waits_for_a_slow_machine():
    name = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
    now = settings.default
    assert now.max_examples == PROFILES[name]
    assert now.deadline is None
    assert HealthCheck.too_slow in now.suppress_health_check
