"""Arguments of odd kinds: refused in the package's own words, the same way on every path."""

import copy
import functools
import io
import itertools
import pickle
import threading

import numpy as np
import pytest

import normviz as nv
from normviz.backends import threads
from tests.core.cases import values

X = np.arange(108.0).reshape(2, 6, 3, 3)


@pytest.mark.parametrize("axis", [1.0, True, None, "last", np.ones(2)])
@pytest.mark.parametrize("shape", [(2, 6, 3), (20, 60, 30)])
def test_the_axis_of_the_channels_is_a_whole_number_for_small_arrays_too(axis, shape):
    for call in (
        lambda x: nv.moments(x, channel_axis=axis),
        lambda x: nv.normalize(x, "batch", channel_axis=axis),
        lambda x: nv.statistics(x, "batch", channel_axis=axis),
    ):
        with pytest.raises(TypeError) as caught:
            call(np.zeros(shape))
        assert str(caught.value) == f"channel_axis must be a whole number, not {axis!r}; 1 and -1 are the usual ones"


def test_a_path_between_cells_of_out_is_no_overlap():
    x = values((2, 3, 4, 5))
    for out in (
        np.zeros((4, 6, 8, 10))[::2, 1::2, ::-2, ::2],
        np.zeros((5, 4, 3, 2)).T,
        np.zeros((2, 1, 3, 1, 4, 5)).reshape(2, 3, 4, 5).transpose(0, 1, 3, 2).transpose(0, 1, 3, 2),
    ):
        np.testing.assert_allclose(nv.normalize(x, "batch", out=out), nv.normalize(x, "batch"), atol=1e-12)


class Subclass(np.ndarray):
    """As a memory map is, or a quantity with a unit."""


def test_subclasses_come_back_as_plain_arrays():
    x = values((3, 4, 5))
    y = nv.normalize(x.view(Subclass), "batch")
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, nv.normalize(x, "batch"), atol=1e-12)
    assert type(nv.gradient(x.view(Subclass), x, "batch").input) is np.ndarray
    assert type(nv.statistics(x.view(Subclass), "batch").mean) is np.ndarray
    out = np.zeros_like(x).view(Subclass)
    assert nv.normalize(x, "batch", out=out) is out
    np.testing.assert_allclose(out, y, atol=1e-12)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_an_array():
    x = values((4, 6))
    np.testing.assert_array_equal(nv.statistics(np.matrix(x), "batch").var, nv.statistics(x, "batch").var)
    np.testing.assert_allclose(
        nv.normalize(np.matrix(x), "group", num_groups=2), nv.normalize(x, "group", num_groups=2)
    )


def test_tensors_that_numpy_cannot_read():
    torch = pytest.importorskip("torch")
    for x, kind in (
        (torch.ones(3, 4).to_sparse(), "dtype torch.float32, layout torch.sparse_coo"),
        (torch.ones(3, 4).to(torch.float8_e5m2), "dtype torch.float8_e5m2, layout torch.strided"),
    ):
        for call in (nv.moments, lambda x: nv.normalize(np.ones((2, 3)), "batch", weight=x)):
            with pytest.raises(TypeError) as caught:
                call(x)
            assert str(caught.value) == (
                f"a tensor of {kind}, cannot be read as an array; convert it, for instance with .to_dense() or .float()"
            )
    with pytest.raises(TypeError, match="a tensor on the device meta has a shape and no numbers; load its numbers"):
        nv.normalize(np.ones((2, 3)), "batch", weight=torch.ones(3, device="meta"))


def test_an_empty_threshold_is_none(monkeypatch):
    monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", "")
    assert nv.backend_for(X) == "numpy"


def test_a_thread_that_outlives_the_main_one_still_computes(monkeypatch):
    """Once Python winds down it starts no work on threads, while threads of the user's may still run."""
    x = values((8, 8, 20, 20))
    expected = nv.normalize(x, "batch")
    monkeypatch.setattr(threads, "WORTH", 1)
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "3")
    pool = threads.ThreadPoolExecutor(2)
    pool.shutdown()
    monkeypatch.setattr(threads, "_pool", functools.cache(lambda *_: pool))
    found = []
    other = threading.Thread(target=lambda: found.append(nv.normalize(x, "batch")))
    other.start()
    other.join()
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_the_table_of_methods_can_be_copied_and_pickled():
    assert copy.copy(nv.METHODS) is copy.deepcopy(nv.METHODS) is pickle.loads(pickle.dumps(nv.METHODS)) is nv.METHODS
    assert pickle.loads(pickle.dumps(nv.METHODS["group"])) == nv.METHODS["group"]
    assert pickle.loads(pickle.dumps(nv.pooling("group", (2, 4), 2))) == nv.pooling("group", (2, 4), 2)
    with pytest.raises(TypeError):
        nv.METHODS["group"] = None


LONG = "batch" * 200_000
LONG_ARGUMENTS = [
    lambda: nv.pooling(LONG, (2, 4)),
    lambda: nv.normalize(X, LONG),
    lambda: nv.normalize(X, "group", num_groups=LONG),
    lambda: nv.normalize(X, "group", num_groups=10**10_000),
    lambda: nv.normalize(X, "batch", num_groups=LONG),
    lambda: nv.normalize(X, "batch", eps=LONG),
    lambda: nv.normalize(X, "batch", backend=LONG),
    lambda: nv.normalize(X, "batch", channel_axis=LONG),
    lambda: nv.normalize(X, "batch", **{LONG: 1}),
    lambda: nv.pooling("batch", LONG),
    lambda: nv.pooling("batch", (1,) * 100_000),
    lambda: nv.pooling("batch", (2, 4)).set_of([LONG]),
    lambda: nv.pooling("batch", (2, 4)).set_of([3] * 100_000),
    lambda: nv.RunningStatistics(LONG),
    lambda: nv.RunningStatistics(4, momentum=LONG),
    lambda: nv.relatives.adain(X, X, alpha=LONG),
    lambda: nv.moments(iter([X]), progress=LONG),
]


@pytest.mark.parametrize("call", LONG_ARGUMENTS)
def test_a_long_argument_makes_no_long_message(call):
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        call()
    assert len(str(caught.value)) < 400


class Reader:
    """A file whose method returns something wrong, after the header."""

    def __init__(self, method, wrong):
        self.stream = io.BytesIO()
        np.save(self.stream, X)
        self.stream.seek(0)
        self.method, self.wrong, self.calls = method, wrong, 0
        setattr(self, method, self._method)

    def _method(self, wanted):
        self.calls += 1
        if self.calls > {"readinto": 1, "read": 3}[self.method]:  # the magic string; and two parts of the header
            return self.wrong(wanted) if callable(self.wrong) else self.wrong
        return getattr(self.stream, self.method)(wanted)

    def read(self, size):
        return self.stream.read(size)


@pytest.mark.parametrize("wrong", [-1, "text", 10**9, 2.5, True, b"x"], ids=str)
def test_a_reader_whose_readinto_returns_nonsense(wrong):
    with pytest.raises(TypeError, match=r"^readinto of the Reader object returned .* when asked for \d+ bytes; pass"):
        nv.moments(Reader("readinto", wrong))


@pytest.mark.parametrize(
    "wrong", [-1, 2.5, lambda wanted: bytes(wanted + 1), [1]], ids=["negative", "a float", "too much", "a list"]
)
def test_a_reader_whose_read_returns_nonsense(wrong):
    with pytest.raises(TypeError, match=r"^read of the Reader object returned .* when asked for \d+ bytes; pass a"):
        nv.moments(Reader("read", wrong))


def test_a_reader_of_text():
    with pytest.raises(TypeError, match=r"^the Reader object is opened as text; open it in binary"):
        nv.moments(Reader("read", "text"))


ENDLESS = np.broadcast_to(np.float32(1), (10**9, 10**9))
ENDLESS_ARGUMENTS = [
    lambda: nv.normalize(X, "batch", weight=ENDLESS),
    lambda: nv.normalize(X, "batch", bias=ENDLESS),
    lambda: nv.gradient(X, X, "batch", weight=ENDLESS),
    lambda: nv.relatives.frn(X, tau=ENDLESS),
    lambda: nv.Statistics(mean=ENDLESS, var=ENDLESS, count=1),
    lambda: nv.pooling("batch", (2, 4)).set_of(itertools.count()),
    lambda: nv.pooling("batch", (2, 4)).set_of(np.broadcast_to(1, 10**9)),
    lambda: nv.pooling("batch", itertools.count(1)),
    lambda: nv.pooling("batch", (10**9, 10**9)).labels(),
    lambda: nv.divisors(10**4400),
]


@pytest.mark.parametrize("call", ENDLESS_ARGUMENTS)
def test_an_argument_without_an_end_is_refused_before_it_is_copied(call):
    with pytest.raises((ValueError, IndexError)) as caught:
        call()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_of_results_are_read_only_too(duplicate):
    for value in (nv.moments(X), nv.statistics(X, "batch"), nv.Statistics(mean=[0], var=[1], count=1)):
        other = duplicate(value)
        assert not other.mean.flags.writeable
        np.testing.assert_array_equal(other.mean, value.mean)
        assert other.count == value.count


def test_an_index_of_torch_without_an_end_is_refused_before_it_is_listed():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pool = nv.pooling("batch", (2, 4))
    assert pool.set_of(torch.tensor([1, 2])) == pool.set_of((1, 2))
    with pytest.raises(TypeError, match=r"^index must be 2 whole numbers"):
        pool.set_of(torch.ones(1).expand(10**9, 10**9))
    with pytest.raises(IndexError, match=r"^there is no cell"):
        pool.set_of(torch.ones(1, dtype=int).expand(10**9))
