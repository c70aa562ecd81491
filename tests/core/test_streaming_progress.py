"""The bar: there when it is asked for, or when a reading takes long and somebody looks."""

import io
import sys
import types

import numpy as np
import pytest

import normviz as nv
from normviz.streaming import npy_files as files
from tests.core.cases import values

X = values((8, 2, 4))


class Bar:
    """What tqdm would draw."""

    made: list

    def __init__(self, *, total, **options):
        self.total, self.n, self.options, self.closed = total, 0, options, False
        self.made.append(self)

    def update(self, amount):
        self.n += amount

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    """The bars that were drawn, with a stand-in for tqdm and a buffer of one sample."""
    made = []
    drawer = types.SimpleNamespace(tqdm=type("Drawn", (Bar,), {"made": made}))
    monkeypatch.setitem(sys.modules, "tqdm", drawer)
    monkeypatch.setitem(sys.modules, "tqdm.auto", drawer)
    monkeypatch.setattr(files, "BUFFER", 64)
    return made


def look(monkeypatch, at="terminal"):
    """Let stderr be a terminal, or belong to a notebook."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: at == "terminal", raising=False)
    shell = types.SimpleNamespace(kernel=None) if at == "notebook" else None
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def file():
    stream = io.BytesIO()
    np.save(stream, X)
    stream.seek(0)
    return stream


MEASURES = [nv.moments, nv.sweep, lambda x, **options: nv.statistics(x, "batch", **options)]


@pytest.mark.parametrize("measure", MEASURES)
def test_asked_for(measure, bars):
    measure(file(), progress=True)
    measure(iter([X, X, X]), progress=True)
    of_file, of_chunks = bars
    assert (of_file.n, of_file.total, of_file.options["unit"]) == (X.nbytes, X.nbytes, "B")
    assert (of_chunks.n, of_chunks.total, of_chunks.options["unit"]) == (3, 3, " chunks")
    assert of_file.closed
    assert of_chunks.closed


def test_of_unknown_length(bars):
    nv.moments((part for part in [X, X]), progress=True)
    assert (bars[0].n, bars[0].total) == (2, None)


@pytest.mark.parametrize("at", ["terminal", "notebook"])
def test_once_it_takes_long_and_somebody_looks(at, bars, monkeypatch):
    look(monkeypatch, at)
    nv.moments(file())
    assert [(bar.n, bar.closed) for bar in bars] == [(X.nbytes, True)]
    assert (bars[0].options["delay"], bars[0].options["leave"]) == (2.0, False)


def test_asked_for_it_comes_at_once_and_stays(bars):
    nv.moments(file(), progress=True)
    assert (bars[0].options["delay"], bars[0].options["leave"]) == (0, True)


def test_tqdm_itself_draws_nothing_for_a_quick_reading(monkeypatch):
    pytest.importorskip("tqdm", reason="tqdm is not installed: no bar to draw")
    monkeypatch.setattr("tqdm.std.time", lambda: 0.0)  # a reading takes no time, however slow the machine is
    stderr = io.StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stderr)
    nv.moments(file())
    assert stderr.getvalue() == ""


def test_not_where_nobody_looks(bars, monkeypatch):
    look(monkeypatch, at="nowhere")
    nv.moments(file())
    monkeypatch.setattr(sys, "stderr", None)
    nv.moments(file())
    assert not bars


def test_not_where_it_is_declined(bars, monkeypatch):
    look(monkeypatch)
    nv.moments(file(), progress=False)
    assert not bars


def test_closed_when_a_reading_fails(bars):
    with pytest.raises(ValueError, match="chunk 1 is"):
        nv.moments(iter([X, X[:, :1]]), progress=True)
    assert bars[0].closed


def test_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    look(monkeypatch)
    nv.moments(file())
    with pytest.raises(ImportError) as caught:
        nv.moments(file(), progress=True)
    assert str(caught.value) == 'progress=True needs tqdm; pip install "normviz[progress]", or leave it out'


def test_tqdm_itself_draws_it(capsys):
    pytest.importorskip("tqdm", reason="tqdm is not installed: no bar to draw")
    nv.moments(iter([X, X]), progress=True)
    assert "2/2" in capsys.readouterr().err
