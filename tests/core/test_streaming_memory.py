"""How much memory reading takes: that of a buffer, and not more for a larger file."""

import tracemalloc

import numpy as np
import pytest

import normviz as nv
from normviz.streaming import npy_files as files

SHAPES = {1 << 20: (2, 4, 128, 256), 1 << 24: (2, 4, 1024, 512), 1 << 26: (2, 4, 2048, 1024)}  # by bytes
MEASURES = [lambda x: nv.moments(x), lambda x: nv.statistics(x, "batch"), lambda x: nv.statistics(x, "layer")]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Every thread has a block of its own, and how many work at the same time is chance."""
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")


def peak(function):
    function()  # what is made once and kept is no cost of the file
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Files of 1, 16 and 64 MiB; a sample of the last two is larger than the buffer."""
    folder = tmp_path_factory.mktemp("large")
    for size, shape in SHAPES.items():
        np.save(folder / f"{size}.npy", np.ones(shape, np.float32))
    return {size: folder / f"{size}.npy" for size in SHAPES}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("opened", [lambda path: path, lambda path: np.load(path, mmap_mode="r")], ids=["file", "map"])
def test_memory_does_not_grow_with_the_file(measure, opened, paths):
    _, middle, large = (peak(lambda path=path: measure(opened(path))) for path in paths.values())
    assert large < middle * 1.1
    assert large < 3 * files.BUFFER


def test_this_test_can_fail(paths):
    assert peak(lambda: nv.moments(np.load(paths[1 << 26]))) > 1 << 24


def test_channels_last_files(tmp_path):
    """A chunk of (n, H, W, C) is read as it lies."""
    path = tmp_path / "x.npy"
    np.save(path, np.ones((64, 64, 64, 16), np.float32))
    assert peak(lambda: nv.moments(path, channel_axis=-1)) < 3 * files.BUFFER


def test_chunks_are_let_go():
    def chunks():
        for _ in range(50):
            yield np.ones((1, 4, 256, 256), np.float32)

    assert peak(lambda: nv.statistics(chunks(), "batch")) < 4 * (1 << 20)


@pytest.mark.parametrize("measure", [MEASURES[1], lambda x: nv.RunningStatistics(16).update(x)])
def test_an_endless_batch_leaves_one_number_a_channel(measure):
    """Statistics that pool the samples keep nothing of each: of vectors the moments would be larger than the file."""
    assert peak(lambda: measure(np.ones((1000, 16), "f4") for _ in range(300))) < 1 << 20


def test_groups_of_channels_leave_one_number_a_group():
    chunks = lambda: (np.ones((1000, 16), "f4") for _ in range(100))  # noqa: E731
    assert peak(lambda: nv.statistics(chunks(), "group", num_groups=1)) < peak(lambda: nv.moments(chunks())) / 4
