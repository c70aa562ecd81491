"""What is read in parts has the statistics of the whole, however it was cut, stored or laid out.

Tolerances: 1e-12 of the largest value where sums run in float64; 1e-6 for float32 and float16, of which long rows are
summed in float32, in memory as in parts.
"""

import gzip
import io
import os
import socket
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from normviz.backends import dispatch
from normviz.core.array_kinds import source
from normviz.streaming import npy_files as files
from normviz.streaming.partial_moments import join
from tests.core.cases import configurations, on_axis, two_groups, values

shapes = st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 4, 6]), *[st.integers(1, 5)] * 3).flatmap(
    lambda five: st.integers(2, 5).map(lambda rank: five[:rank])
)
DTYPES = ("f8", ">f8", "f4", ">f4", "f2", "i8", ">i2", "u1", "?")


class Trickle:
    """A stream that cannot seek, has no readinto, and gives a few bytes at a time, as a socket may."""

    def __init__(self, content, most=7):
        self.stream, self.most = io.BytesIO(content), most

    def read(self, size):
        return self.stream.read(min(size, self.most))


def saved(x):
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


def close(found, expected, x):
    single = x.dtype.kind == "f" and x.dtype.itemsize < 8
    scale = max(1.0, float(abs(x.astype(float)).max()))
    tolerance = 1e-6 if single else 1e-12
    for name, power in (("mean", 1), ("m2", 2)) if hasattr(found, "m2") else (("mean", 1), ("var", 2)):
        a, b = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale**power)
    assert found.count == expected.count
    assert found.backend == expected.backend


@st.composite
def cases(draw):
    """Draw (x, channel_axis, method, num_groups): x in any dtype, order and layout."""
    shape = draw(shapes)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    x = on_axis((abs(values(shape, seed=draw(st.integers(0, 999)))) * 3).astype(dtype), axis)
    x = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray]))(x)
    return x, axis, *draw(st.sampled_from(list(configurations(shape))))


@given(cases(), st.integers(1, 400), st.sampled_from([io.BytesIO, Trickle]))
def test_a_file_is_the_array_in_it(case, buffer, stream):
    x, axis, method, num_groups = case
    options = {"channel_axis": axis}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BUFFER", buffer)
        close(nv.moments(stream(saved(x)), **options), nv.moments(x, **options), x)
        options["num_groups"] = num_groups
        close(nv.statistics(stream(saved(x)), method, **options), nv.statistics(x, method, **options), x)


@given(cases(), st.data())
def test_chunks_are_the_array_they_make(case, data):
    x, axis, method, num_groups = case
    samples = next(a for a in range(x.ndim) if a != axis % x.ndim)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, x.shape[samples] - 1)))) - {x.shape[samples]})
    parts = [p for p in np.split(x, cuts, samples) if p.size]
    close(nv.moments(iter(parts), channel_axis=axis), nv.moments(x, channel_axis=axis), x)
    options = {"channel_axis": axis, "num_groups": num_groups}
    close(nv.statistics((p for p in parts), method, **options), nv.statistics(x, method, **options), x)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("method", nv.METHODS)
def test_statistics_of_a_file_take_no_more_memory_than_they_have(method, axis, monkeypatch):
    """All sets merge while the file is read, in pieces that cut them."""
    x, kept = on_axis(values((4, 12, 7)), axis), []
    monkeypatch.setattr(files, "BUFFER", 40)
    monkeypatch.setattr(files, "join", lambda a, b: kept.append(a.base.size) or join(a, b))
    options = {"num_groups": two_groups(method), "channel_axis": axis}
    found = nv.statistics(io.BytesIO(saved(x)), method, **options)
    close(found, nv.statistics(x, method, **options), x)
    assert set(kept) == {found.mean.size}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("cells", [1, 2, 5, 12, 60, 1000])
def test_pieces_are_runs_of_the_file(order, cells):
    shape = (3, 4, 5) if order == "C" else (5, 4, 3)
    x, place = np.arange(60).reshape(shape), 0
    for box in files.pieces(shape, cells):
        part = x[box].ravel()
        assert 0 < part.size <= cells
        np.testing.assert_array_equal(part, np.arange(place, place + part.size))
        place += part.size
    assert place == 60


def over_a_socket(content):
    here, there = socket.socketpair()

    def send():
        with there:
            there.sendall(content)

    threading.Thread(target=send).start()
    with here:
        return here.makefile("rb")


@pytest.fixture
def path(tmp_path):
    x = values((4, 6, 5, 3))
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy", x


def test_every_kind_of_file(path):
    path, x = path
    content = path.read_bytes()
    zipped = path.with_suffix(".gz")
    zipped.write_bytes(gzip.compress(content))
    expected = nv.moments(x)
    for file in (path, str(path)):
        close(nv.moments(file), expected, x)
    openers = [
        lambda: path.open("rb"),
        lambda: path.open("rb", buffering=0),
        lambda: path.open("r+b"),
        lambda: gzip.GzipFile(zipped),
        lambda: io.BytesIO(content),
        lambda: over_a_socket(content),
    ]
    for opener in openers:
        with opener() as stream:
            close(nv.moments(stream), expected, x)
            assert not stream.closed  # whoever opened it closes it


def test_versions_of_the_format():
    x = values((2, 3, 4))
    for version in ((1, 0), (2, 0), (3, 0)):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, x, version=version)
        stream.seek(0)
        close(nv.moments(stream), nv.moments(x), x)


def test_arrays_one_after_the_other_in_one_file():
    first, second = values((2, 3, 4)), values((5, 3, 2))
    stream = io.BytesIO(saved(first) + saved(second))
    for x in (first, second):
        close(nv.moments(stream), nv.moments(x), x)


def test_a_pipe(tmp_path):
    x, pipe = values((2, 3, 400, 40)), tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(saved(x)))
    writer.start()
    close(nv.moments(pipe), nv.moments(x), x)
    writer.join()


def test_everything_that_takes_an_array_takes_its_parts(path):
    path, x = path
    for key, found in nv.sweep(path).items():
        close(found, nv.sweep(x)[key], x)
    running, expected = nv.RunningStatistics(6), nv.RunningStatistics(6)
    for part in (path, iter([x[:1], x[1:]])):
        running.update(part)
        expected.update(x)
    np.testing.assert_allclose(running.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(running.var, expected.var, rtol=1e-12)


def test_the_backend_is_honoured(path, backend):
    path, x = path
    for parts in (path, iter([x])):
        close(nv.moments(parts, backend=backend), nv.moments(x, backend=backend), x)


@pytest.mark.parametrize("source", [lambda x: io.BytesIO(saved(x)), lambda x: iter([x[:3], x[3:6], x[6:]])])
def test_one_backend_reads_a_whole_stream(source, monkeypatch, stand_in_for_cupy):
    """The size of its first piece decides, also for the last one, which is smaller: the digits come from one place."""
    x = values((7, 4, 5))
    monkeypatch.setattr(files, "BUFFER", x[:3].nbytes)
    for least, name in ((x[:3].nbytes, "cupy"), (x[:3].nbytes + 1, "numpy")):
        monkeypatch.setenv("NORMVIZ_GPU_MIN_BYTES", str(least))
        close(nv.moments(source(x)), nv.moments(x, backend=name), x)


def test_the_size_of_a_whole_file_decides_whether_loops_are_compiled(monkeypatch):
    if problem := dispatch.BACKENDS["compiled"].problem():
        pytest.skip(problem)
    x = values((7, 4, 5))
    monkeypatch.setattr(files, "BUFFER", x[:3].nbytes)
    for least, name in ((x.nbytes, "compiled"), (x.nbytes + 1, "numpy")):
        monkeypatch.setenv("NORMVIZ_COMPILED_MIN_BYTES", str(least))
        close(nv.moments(io.BytesIO(saved(x))), nv.moments(x, backend=name), x)


def test_a_constant_has_no_variance_wherever_it_is_cut(monkeypatch):
    for value in (0.1, -1e30, 1e200):
        x = np.full((3, 2, 5, 7), value)
        monkeypatch.setattr(files, "BUFFER", 8 * 11)
        found = nv.moments(io.BytesIO(saved(x)))
        assert (found.mean == value).all()
        assert (found.m2 == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_set(bad, monkeypatch):
    x = values((2, 4, 3, 3))
    clean = nv.moments(x)
    x[1, 2, 0, 1] = bad
    monkeypatch.setattr(files, "BUFFER", 8 * 4)
    found = nv.moments(io.BytesIO(saved(x)))
    finite = np.isfinite(found.m2)
    assert np.argwhere(~finite).tolist() == [[1, 2]]
    np.testing.assert_allclose(found.m2[finite], clean.m2[finite], rtol=1e-12)


def test_a_mean_far_from_zero_costs_no_digits(monkeypatch):
    noise = values((2, 3, 40, 50), loc=0, scale=1e-2)
    x = noise + 1e8
    monkeypatch.setattr(files, "BUFFER", 8 * 333)
    found, exact = nv.moments(io.BytesIO(saved(x))), nv.moments(x - 1e8)
    np.testing.assert_allclose(found.m2, exact.m2, rtol=1e-7)


@pytest.mark.parametrize(("loc", "scale"), [(1e4, 1e-2), (1e8, 1.0)])
def test_a_thousand_chunks_cost_no_digits(loc, scale):
    """Against exact fractions: the mean is not rounded at every chunk."""
    x = values((1000, 2), loc=loc, scale=scale)
    found = nv.statistics((row for row in x[:, None]), "batch")
    for c in range(2):
        exact = [*map(Fraction, x[:, c].tolist())]
        mean = sum(exact) / len(exact)
        var = sum((value - mean) ** 2 for value in exact) / len(exact)
        assert abs(Fraction(found.var[c]) / var - 1) < 1e-13
        assert abs(Fraction(found.mean[c]) - mean) <= np.spacing(loc)


INF = np.inf


@pytest.mark.parametrize(("a", "b", "mean"), [(1e308, -1e308, 0), (INF, 1, INF), (1, -INF, -INF), (INF, -INF, np.nan)])
def test_chunks_of_extreme_numbers(a, b, mean):
    chunks = (np.full((1, 1), cell, float) for cell in (a, b))
    np.testing.assert_array_equal(nv.statistics(chunks, "batch").mean, [mean])


def test_chunks_of_other_kinds():
    torch = pytest.importorskip("torch", reason="torch is not installed: no DataLoader to read from")
    x = values((10, 3, 4, 4), dtype=np.float32)
    tensors = torch.from_numpy(x)
    expected = nv.moments(x)
    close(nv.moments(torch.utils.data.DataLoader(tensors, batch_size=4)), expected, x)
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(tensors, torch.arange(10)), batch_size=3)
    close(nv.moments(batch for batch, _ in pairs), expected, x)
    close(nv.moments({"a": tensors[:3], "b": tensors[3:]}.values()), expected, x)
    close(nv.moments(map(np.asarray, [x[:2], x[2:]])), expected, x)
    close(nv.moments(iter([x[:2], tensors[2:]])), expected, x)


def test_memory_maps_of_several_files(tmp_path):
    x = values((6, 3, 4, 4))
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", x[2 * i : 2 * i + 2])
    paths = sorted(tmp_path.iterdir())
    close(nv.moments(np.load(path, mmap_mode="r") for path in paths), nv.moments(x), x)


def test_what_is_taken_for_what():
    assert source("x.npy") == source(io.BytesIO()) == "file"
    assert source(iter([])) == source(zip()) == source({}.values()) == "chunks"
    peekable = type("Peekable", (), {"__iter__": iter, "__next__": next, "__getitem__": None})
    assert source(peekable()) == "chunks"
    others = [
        [1.0],
        ((1.0,),),
        np.zeros(2),
        np.float64(1),
        3.0,
        None,
        {"a": 1},
        memoryview(b"12"),
        range(3),
        bytearray(2),
    ]
    assert [source(other) for other in others] == [None] * len(others)


def test_merging_is_synchronized_batch_norm():
    """Devices with uneven batches, each with its own moments, normalize as one device with the whole batch does."""
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare Batch Norm with")
    x, weight, bias = values((11, 6, 5, 4), loc=3), values(6, seed=1), values(6, seed=2)
    expected = torch.nn.functional.batch_norm(
        *(torch.from_numpy(x), None, None, torch.from_numpy(weight), torch.from_numpy(bias)), training=True
    ).numpy()
    for cuts in ([], [4], [1, 2, 7], range(1, 11)):
        devices = np.split(x, cuts)
        shared = nv.Moments.concatenate(nv.moments(part) for part in devices).pool("batch")
        whole = nv.statistics(x, "batch")
        close(shared, whole, x)
        parts = [nv.normalize(part, "batch", statistics=shared, weight=weight, bias=bias) for part in devices]
        np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-9, atol=1e-12)
