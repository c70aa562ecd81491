"""The studio in Python: what it starts with, its sources and shapes, the panel, and what it leaves behind."""

import doctest

import ipywidgets
import numpy as np
import pytest
import traitlets

import normviz as nv
from normviz.explorer import front
from normviz.studio import panel, values
from normviz.studio.controls import LIVE
from tests.studio_panel import control, controls, letters, refused, shown


@pytest.fixture
def studio():
    return nv.Studio()


# ---- what it starts with ---------------------------------------------------------------------------------------------


def test_it_starts_with_the_sample(studio):
    assert (studio.shape, studio.source, studio.backend, studio.file) == ((4, 16, 12, 12), "sample", None, None)
    np.testing.assert_array_equal(studio.x, nv.samples.activations())
    assert (studio.explorer.method, studio.explorer.num_groups) == ("group", 4)
    assert letters(studio) == "NCHW"
    assert isinstance(studio, ipywidgets.VBox)
    assert studio.explorer in studio.children


def test_keywords_of_the_explorer_reach_it():
    studio = nv.Studio((2, 8, 4, 4), method="group", num_groups=8, index=(1, 7, 3, 3), view="paper", title="In class")
    explorer = studio.explorer
    assert (explorer.num_groups, explorer.index, explorer.view) == (8, (1, 7, 3, 3), "paper")
    assert explorer._scene["title"] == "In class"
    assert nv.Studio(layout={"width": "50%"}).layout.width == "50%"


def test_the_examples_of_the_docstring():
    assert doctest.testmod(panel) == (0, 6)


# ---- sources and shapes ----------------------------------------------------------------------------------------------


def test_the_sample_is_cut_so_that_groups_stay_orientations(studio):
    studio.shape = (2, 8, 6, 5)
    np.testing.assert_array_equal(studio.x, nv.samples.activations(2)[:, ::2, 3:9, 3:8])
    assert "samples 0 to 1, channels 0, 2, … 14 of 16, the middle 6 × 5 of 12 × 12 positions" in shown(studio)
    studio.shape = (1, 1, 12, 12)
    assert "sample 0, channel 0 of 16, all 12 × 12 positions" in shown(studio)
    studio.shape = (256, 16, 1, 1)
    assert "samples 0 to 255, all 16 channels, the middle 1 × 1" in shown(studio)
    studio.shape = (1, 6, 2, 2)
    assert "channels 0, 2, 5, 8, 10 and 13 of 16" in shown(studio)


def test_random_numbers_stay_where_they_are(studio):
    studio.source = "random"
    assert studio.shape == (4, 16, 12, 12)
    whole = studio.x
    assert (whole.dtype, abs(float(whole.mean())) < 0.05, abs(float(whole.std()) - 1) < 0.05) == (
        np.float32,
        True,
        True,
    )
    studio.shape = (2, 5, 7, 12)
    np.testing.assert_array_equal(studio.x, whole[:2, :5, :7])
    studio.x[...] = 0  # a student's own
    studio.shape = (4, 16, 12, 12)
    np.testing.assert_array_equal(studio.x, whole)
    studio.seed = 1
    assert (studio.x != whole).all()
    np.testing.assert_array_equal(nv.Studio(source="random", seed=np.int64(1)).x, studio.x)


def test_distributions():
    N, C = (0, 2, 3), (1, 2, 3)
    studio = nv.Studio((16, 8, 12, 12), source="random", distribution="loud channel")
    np.testing.assert_allclose(studio.x.std(N), [10, *[1] * 7], rtol=0.1)
    assert "Normal random numbers, seed 0: channel 0 ten times as large." in shown(studio)
    studio.distribution = "loud sample"
    np.testing.assert_allclose(studio.x.std(C), [10, *[1] * 15], rtol=0.1)
    studio.distribution = "far from zero"
    np.testing.assert_allclose([studio.x.mean(), studio.x.std()], [100, 0.1], rtol=0.1)
    assert studio.x.dtype == np.float32


def test_another_source_fits_the_shape(studio):
    studio.source = "random"
    studio.shape = (20, 40, 30, 20)
    studio.source = "sample"
    assert (studio.shape, studio.x.shape) == ((20, 16, 12, 12), (20, 16, 12, 12))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 8), "NC"), ((3, 6, 5), "NCL"), ((2, 6, 5, 4), "NCHW"), ((2, 4, 3, 5, 2), "NCDHW"), ((1, 1), "NC")],
)
def test_a_file_of_any_rank_gives_its_sliders(studio, tmp_path, shape, axes):
    x = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "x.npy", x)
    studio.file = tmp_path / "x.npy"
    assert (studio.source, studio.shape, letters(studio)) == ("file", shape, axes)
    np.testing.assert_array_equal(studio.x, x)
    part = tuple(max(1, n - 1) for n in shape)
    studio.shape = part
    np.testing.assert_array_equal(studio.x, x[tuple(slice(n) for n in part)])
    for letter, n in zip(axes, shape, strict=True):
        slider = control(studio, letter)
        assert (slider.max, slider.disabled) == (max(n, 2), n == 1)
    assert f"x.npy: float64 of shape {shape}" in shown(studio)
    studio.source = "sample"
    assert studio.shape == (*(max(1, n - 1) for n in shape[:2]), *(part[2:] if len(shape) == 4 else (12, 12)))
    assert letters(studio) == "NCHW"
    studio.source = "file"
    assert studio.shape == shape


def test_channels_last(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3))
    studio = nv.Studio(file=x, channel_axis=-1)
    assert studio.shape == (2, 3, 5, 7)
    np.testing.assert_array_equal(studio.x, np.moveaxis(x, -1, 1))
    assert "array: float64 of shape (2, 5, 7, 3), (N, H, W, C)." in shown(studio)
    control(studio, "Axis of C").value = 1
    assert (studio.channel_axis, studio.shape) == (1, (2, 5, 7, 3))
    np.testing.assert_array_equal(studio.x, x)


def test_no_file_is_the_sample_again(studio):
    studio.file = np.ones((2, 4))
    studio.file = None
    assert (studio.source, studio.shape, studio.x.shape) == ("sample", (2, 4, 12, 12), (2, 4, 12, 12))
    assert "file" not in dict(control(studio, "Source").options).values()


def test_an_array_given_to_either_is_taken_by_both(studio):
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 3))
    studio.x = x
    assert (studio.source, studio.shape, studio.file.name) == ("file", x.shape, "array")
    y = np.random.default_rng(1).normal(size=(3, 9, 5))
    studio.explorer.x = y
    assert studio.x is y
    assert (studio.source, studio.shape, letters(studio)) == ("file", y.shape, "NCL")
    control(studio, "N").value = 1
    np.testing.assert_array_equal(studio.x, y[:1])


def test_a_torch_tensor_is_shown_as_by_the_explorer(studio):
    torch = pytest.importorskip("torch")
    studio.explorer.x = torch.ones(2, 4, 3)
    assert studio.shape == (2, 4, 3)
    assert "2 × 4 × 3 = 24 values, float32" in shown(studio)


def test_one_change_is_one_tensor(studio):
    scenes = []
    studio.explorer.observe(lambda change: scenes.append(change["new"]["shape"]), "_scene")
    studio.shape = (1, 8, 6, 6)
    studio.source = "random"
    assert scenes == [[1, 8, 6, 6], [1, 8, 6, 6]]
    with studio.hold_trait_notifications():
        studio.shape, studio.seed, studio.distribution = (32, 64, 2, 2), 7, "loud sample"
    assert scenes[2:] == [[32, 64, 2, 2]]
    before = studio.x
    studio.backend = "numpy"
    control(studio, "N").value = 32
    assert studio.x is before
    studio.source = "sample"
    before = studio.x
    studio.seed = 8  # nothing to a sample
    assert studio.x is before
    assert scenes[3:] == [[32, 16, 2, 2]]


# ---- from the panel --------------------------------------------------------------------------------------------------


def test_sliders_and_lists_do_what_an_assignment_does(studio):
    control(studio, "C").value = 6
    assert (studio.shape, studio.explorer.num_groups, studio.x.shape) == ((4, 6, 12, 12), 3, (4, 6, 12, 12))
    control(studio, "Source").value = "random"
    control(studio, "Numbers").value = "loud sample"
    control(studio, "New numbers").click()
    assert (studio.source, studio.distribution, studio.seed) == ("random", "loud sample", 1)
    control(studio, "Backend").value = "numpy"
    assert studio.backend == "numpy"
    control(studio, "Backend").value = "auto"
    assert studio.backend is None
    assert refused(studio) == ""


def test_g_is_back_once_its_channels_are(studio):
    for C, groups in ((15, 3), (13, 1), (12, 4), (16, 4)):
        control(studio, "C").value = C
        assert studio.explorer.num_groups == groups
    studio.explorer.num_groups = 8
    studio.shape = (4, 12, 12, 12)
    studio.shape = (4, 16, 12, 12)
    assert studio.explorer.num_groups == 8


def test_python_moves_the_sliders(studio):
    studio.shape = [1, np.int64(8), 6, 5]
    assert studio.shape == (1, 8, 6, 5)
    assert [control(studio, letter).value for letter in "NCHW"] == [1, 8, 6, 5]
    studio.shape = (100, 8, 6, 5)
    assert (control(studio, "N").max, control(studio, "N").value) == (100, 100)
    studio.shape = (1, 8, 6, 5)
    assert control(studio, "N").max == 32


def test_only_what_belongs_to_the_source_is_there(studio):
    def there():
        names = ("Numbers", "New numbers", "Axis of C")
        return [name for name in names if control(studio, name).layout.display != "none"]

    assert there() == []
    studio.source = "random"
    assert there() == ["Numbers", "New numbers"]
    studio.file = np.ones((2, 4))
    assert there() == ["Axis of C"]


def test_a_large_tensor_waits_until_the_slider_is_let_go(studio):
    assert control(studio, "N").continuous_update
    studio.shape = (64, 16, 12, 12)
    assert np.prod(studio.shape) > LIVE
    assert not control(studio, "N").continuous_update


# ---- what it leaves behind -------------------------------------------------------------------------------------------


def test_the_repr_has_no_addresses(studio):
    assert repr(studio) == "Studio(shape=(4, 16, 12, 12), source='sample', method='group', num_groups=4)"
    studio.explorer.method = "batch"
    assert repr(studio) == "Studio(shape=(4, 16, 12, 12), source='sample', method='batch')"


def test_the_bundle_has_the_widget_and_an_explorer_that_survives_it(studio):
    data = studio._repr_mimebundle_()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json", "text/html", "image/svg+xml"}
    assert data["text/plain"] == repr(studio)
    assert "<iframe" in data["text/html"]
    studio.explorer.method = "batch"
    assert "Batch Norm" in studio._repr_mimebundle_()["image/svg+xml"]


def test_exported_state_keeps_the_modules(studio):
    import ipywidgets.embed

    saved = ipywidgets.embed.embed_data(views=[studio])["manager_state"]["state"]
    (voice,) = (w for w in controls(studio) if hasattr(w, "_esm"))
    for widget, module in ((studio.explorer, front.module()), (voice, voice._esm)):
        assert saved[widget.model_id]["state"]["_esm"] == module


def test_closing_leaves_nobody_listening(studio):
    def listeners():
        found = studio.explorer._trait_notifiers
        return sum(len(handlers) for name in panel.HEARD for handlers in found.get(name, {}).values())

    before = sum(len(h) for name in panel.HEARD for h in nv.Explorer()._trait_notifiers.get(name, {}).values())
    parts, explorer, text = controls(studio), studio.explorer, shown(studio)
    assert listeners() == before + len(panel.HEARD)
    studio.close()
    assert listeners() == before
    assert all(part.comm is None for part in parts)
    explorer.method = "batch"
    explorer.x = np.ones((2, 4))
    assert (shown(studio), studio.shape) == (text, (4, 16, 12, 12))
    studio.close()


def test_two_studios_keep_apart():
    one, two = nv.Studio(), nv.Studio(source="random")
    one.shape = (1, 16, 12, 12)
    assert two.shape == (4, 16, 12, 12)
    traitlets.link((one, "shape"), (two, "shape"))
    one.shape = (3, 8, 4, 4)
    assert two.x.shape == (3, 8, 4, 4)


def test_the_front_end_imports_nothing_and_asks_nobody():
    (voice,) = (w for w in controls(nv.Studio()) if hasattr(w, "_esm"))
    for word in ("import ", "fetch(", "XMLHttpRequest", "http", "innerHTML", "eval(", "url("):
        assert word not in voice._esm + voice._css


def test_limits_are_those_of_the_sample():
    assert nv.samples.activations(256).shape == values.LIMITS["sample"]
