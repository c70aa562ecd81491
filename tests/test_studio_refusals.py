"""Files in the studio, and what it refuses: each in one sentence, raised or said in the panel, and nothing changes."""

import gc

import ipywidgets
import numpy as np
import pytest
import traitlets

import normviz as nv
from normviz.studio import files, words
from tests.studio_panel import control, controls, everything, npy, refused, shown, unchanged, upload


@pytest.fixture
def studio():
    return nv.Studio()


# ---- keywords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"sorce": "random"}, TypeError, r"Studio\(\): unknown keyword 'sorce'; did you mean 'source'\?"),
        ({"metod": "batch"}, TypeError, r"Studio\(\): unknown keyword 'metod'; did you mean 'method'\?"),
        ({"weight": np.ones(16)}, TypeError, r"Studio\(\): unknown keyword 'weight'"),
        ({"source": "sampel"}, ValueError, "unknown source 'sampel'; did you mean 'sample'"),
        ({"source": "file"}, ValueError, "source='file' needs a file; upload one, or assign the path"),
        ({"shape": (4, 17, 12, 12)}, ValueError, r"C=17 is more than source 'sample' has, 16; its longest shape is \("),
        ({"shape": (4, 16)}, ValueError, r"shape \(4, 16\) has 2 axes; source 'sample' has 4, up to \(256, 16"),
        ({"shape": (0, 16, 12, 12)}, ValueError, "the studio's x has an empty axis"),
        ({"shape": np.zeros((2, 3))}, TypeError, r"shape is an array; Studio\(file=array\) shows one"),
        ({"shape": "4x16"}, TypeError, "shape must be 2 to 5 whole numbers"),
        ({"seed": -1}, ValueError, "seed=-1 is less than 0"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number, not 0.5"),
        ({"distribution": "loud chanel"}, ValueError, "unknown distribution 'loud chanel'; did you mean 'loud "),
        ({"channel_axis": 2}, ValueError, r"channel_axis=2 is not offered here; 1 reads a file as \(N, C, ...\)"),
        ({"backend": "torch"}, ValueError, r"unknown backend 'torch' \(known: numpy, cupy\)"),
        ({"method": "bach"}, ValueError, "unknown method 'bach'; did you mean 'batch'"),
        ({"num_groups": 3}, ValueError, "num_groups=3 does not divide C=16"),
        ({"file": 3.5}, ValueError, "array has rank 0"),
        ({"file": "no such file.npy"}, FileNotFoundError, "no such file.npy"),
    ],
)  # fmt: skip
def test_bad_keywords_get_one_clear_sentence(keywords, error, message):
    with pytest.raises(error, match=message) as caught:
        nv.Studio(**keywords)
    assert "\n" not in str(caught.value)
    gc.collect()  # what was begun is thrown away without a word


def test_a_backend_that_is_not_there_fails_loudly(monkeypatch):
    monkeypatch.setattr("normviz.backends.cupy_problem", lambda: "CuPy is not installed")
    with pytest.raises(RuntimeError, match="backend 'cupy' cannot be used: CuPy is not installed"):
        nv.Studio(backend="cupy")


# ---- files -----------------------------------------------------------------------------------------------------------


def test_fortran_order_is_read_as_any_other(tmp_path):
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(2, 4, 3, 5)))
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(nv.Studio(file=tmp_path / "x.npy").x, x)


def test_a_large_file_starts_in_part():
    x = np.zeros((600, 64, 20, 20), np.int8)
    studio = nv.Studio(file=x)
    assert studio.shape == (150, 64, 20, 20)
    assert "The first cells of each axis are shown." in shown(studio)
    assert control(studio, "N").max == 600


def test_an_uploaded_file(studio, tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 10, 5, 6)).astype(np.float32)
    upload(studio, "mine <b>.npy", npy(x, tmp_path / "x.npy"))
    assert (studio.source, studio.shape, refused(studio)) == ("file", x.shape, "")
    np.testing.assert_array_equal(studio.x, x)
    assert ("mine <b>.npy", "file") in control(studio, "Source").options
    assert "mine &lt;b&gt;.npy: float32" in shown(studio)


def test_files_say_what_they_are(tmp_path):
    assert repr(files.given(np.zeros((2, 3)))) == "Given('array', float64 of shape (2, 3))"
    with pytest.raises(TypeError, match=r"there is no file to show: give the path of a \.npy file, or an array"):
        files.given(None)


BAD = {
    "text": (b"1 2 3\n", "x.npy does not begin as a .npy file does; np.save writes such files"),
    "empty": (b"", "x.npy does not begin as a .npy file does"),
    "archive": (b"PK\x03\x04" + b"0" * 30, "x.npy is an archive (.npz), not one array"),
    "pickled": (np.array([[{}, {}]], dtype=object), "x.npy holds Python objects, a pickle, which can run code"),
    "NaN": (
        np.array([[[1.0, 2.0]], [[3.0, np.nan]]]),
        "x.npy holds NaN or infinity in 1 of its 4 cells, the first of them at (1, 0, 1); replace them before",
    ),
    "infinite": (np.full((2, 3), np.inf, np.float16), "x.npy holds NaN or infinity in 6 of its 6 cells"),
    "rank 0": (np.float32(3), "x.npy has rank 0, shape (); it needs 2 to 5 axes"),
    "rank 1": (np.zeros(3), "x.npy has rank 1, shape (3,); it needs 2 to 5 axes"),
    "rank 6": (np.zeros((1, 2, 1, 1, 1, 1)), "x.npy has rank 6"),
    "an empty axis": (np.zeros((2, 0, 3)), "x.npy has an empty axis, shape (2, 0, 3); every axis needs"),
    "complex": (np.zeros((2, 3), complex), "x.npy has dtype complex128; use float16"),
    "records": (np.zeros((2, 4), [("a", float)]), "x.npy has dtype"),
    "cut off": (np.zeros((2, 4)), "x.npy holds 55 of the 64 bytes of float64 (2, 4) that its header announces"),
}  # fmt: skip


def content(name, path):
    wrong, message = BAD[name]
    found = wrong if isinstance(wrong, bytes) else npy(wrong, path)
    return found[:-9] if name == "cut off" else found, message


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_upload_gets_one_sentence_and_changes_nothing(studio, tmp_path, name):
    studio.source = "random"
    before = everything(studio)
    wrong, message = content(name, tmp_path / "x.npy")
    upload(studio, "x.npy", wrong)
    assert words.escape(message) in refused(studio)
    assert refused(studio).startswith('<p class="nvs-said" role="alert">')
    assert unchanged(before, everything(studio))
    control(studio, "N").value = 3
    assert refused(studio) == ""


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_path_gets_the_same_sentence(studio, tmp_path, name):
    before, path = everything(studio), tmp_path / "x.npy"
    wrong, message = content(name, path)
    path.write_bytes(wrong)
    with pytest.raises(traitlets.TraitError) as caught:
        studio.file = path
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert unchanged(before, everything(studio))


def test_a_file_s_name_is_no_markup(studio):
    upload(studio, "<img src=x onerror=alert(1)>.npy", b"no")
    assert "<img" not in refused(studio)
    assert "&lt;img" in refused(studio)


def test_a_visitor_cannot_name_a_path():
    """What a served panel takes from a browser is contents, never the name of a file on the server."""
    studio = nv.Studio()
    assert not [
        w for w in controls(studio) if isinstance(w, ipywidgets.Text | ipywidgets.Textarea | ipywidgets.Combobox)
    ]
    assert not {"file", "source", "shape", "backend"} & set(studio.keys)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shape", (4, 17, 12, 12), "C=17 is more than source 'sample' has, 16"),
        ("shape", (4, 16, 12), "has 3 axes; source 'sample' has 4"),
        ("shape", 4, "shape must be 2 to 5 whole numbers"),
        ("shape", (4, 16, 12, 0), "the studio's x has an empty axis"),
        ("source", "randon", "unknown source 'randon'; did you mean 'random'"),
        ("source", "file", "source='file' needs a file"),
        ("source", 3, "source"),
        ("seed", -2, "seed=-2 is less than 0"),
        ("seed", True, "seed must be a whole number"),
        ("distribution", "uniform", "unknown distribution 'uniform'"),
        ("channel_axis", 3, "channel_axis=3 is not offered here"),
        ("backend", "cuda", "unknown backend 'cuda'"),
        ("file", "none.npy", "none.npy: No such file or directory"),
        ("file", ".", "Is a directory|Permission denied"),
        ("file", np.zeros(3), r"array has rank 1, shape \(3,\)"),
        ("x", np.zeros((2, 3), complex), "array has dtype complex128"),
    ],
)
def test_a_wrong_assignment_is_refused_and_changes_nothing(studio, name, value, message):
    before = everything(studio)
    with pytest.raises(traitlets.TraitError, match=message) as caught:
        setattr(studio, name, value)
    assert "\n" not in str(caught.value)
    assert unchanged(before, everything(studio))


@pytest.mark.parametrize("name", ["sorce", "method", "N"])
def test_an_attribute_that_is_not_there_is_refused(studio, name):
    with pytest.raises(AttributeError, match=f"Studio: unknown attribute '{name}'"):
        setattr(studio, name, 1)


def test_cupy_is_refused_in_the_panel_with_the_reason(studio, monkeypatch):
    monkeypatch.setattr("normviz.backends.cupy_problem", lambda: "CuPy finds no CUDA device")
    monkeypatch.setattr("normviz.backends.load", nv.backend_for.__globals__["load"].__wrapped__)
    before = everything(studio)
    control(studio, "Backend").value = "cupy"
    assert "backend &#x27;cupy&#x27; cannot be used: CuPy finds no CUDA device" in refused(studio)
    assert control(studio, "Backend").value == "auto"
    assert unchanged(before, everything(studio))
    assert nv.devices()["cupy"] in refused(studio)


def test_a_weight_for_each_channel_holds_the_channels(studio):
    """The explorer's own parameters fit one C: the panel says so, and every slider goes back."""
    studio.explorer.weight = np.ones(16)
    before = everything(studio)
    control(studio, "C").value = 8
    assert "weight has shape (16,); it needs (8,)" in refused(studio)
    assert unchanged(before, everything(studio))
    with pytest.raises(traitlets.TraitError, match=r"weight has shape \(16,\); it needs \(8,\)"):
        studio.shape = (4, 8, 12, 12)
    assert unchanged(before, everything(studio))
    studio.shape = (1, 16, 12, 12)
    assert studio.x.shape == (1, 16, 12, 12)
