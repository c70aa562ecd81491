"""The sample activations: their properties, and how they are computed from the photographs."""

from importlib.resources import files

import numpy as np
import pytest

import normviz as nv

FOLDER = files("normviz.samples")


@pytest.fixture(scope="module")
def every():
    return nv.samples.activations(256)


def correlations(x):
    """Correlation of every two channels, over samples and positions."""
    return np.corrcoef(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1))


def within_and_between(x, size=4):
    """Mean correlation of two channels in one group, and of two in different groups."""
    group = np.arange(x.shape[1]) // size
    same = group[:, None] == group
    r = correlations(x)
    return r[same & ~np.eye(len(r), dtype=bool)].mean(), r[~same].mean()


def test_default_is_four_samples():
    x = nv.samples.activations()
    assert (x.shape, x.dtype) == ((4, 16, 12, 12), np.float32)
    assert x.flags.c_contiguous


def test_fewer_samples_are_the_first_of_more(every):
    assert every.shape == (256, 16, 12, 12)
    np.testing.assert_array_equal(nv.samples.activations(7), every[:7])
    np.testing.assert_array_equal(nv.samples.activations(np.int64(7)), every[:7])


@pytest.mark.parametrize("take", [nv.samples.activations, nv.samples.photographs])
def test_every_call_returns_an_array_of_its_own(take):
    spoiled = take(2)
    before = spoiled.copy()
    spoiled[:] = 1
    np.testing.assert_array_equal(take(2), before)


def test_values_are_as_documented(every):
    assert np.isfinite(every).all()
    assert every.min() == 0
    assert (every == every.astype(np.float16)).all()
    assert (every * 128 == np.round(every * 128)).all()
    assert np.std(every) == pytest.approx(0.86, abs=0.005)
    assert np.mean(every == 0) == pytest.approx(0.51, abs=0.005)


def test_no_map_is_constant(every):
    """A constant map would be normalized to 0 / sqrt(eps)."""
    assert every.std(axis=(2, 3)).min() > 0.01


def test_samples_differ(every):
    flat = every.reshape(len(every), -1)
    assert len(np.unique(flat, axis=0)) == len(every)
    loudness = nv.samples.activations().std(axis=(1, 2, 3))
    assert loudness.max() / loudness.min() > 1.5


def test_channels_of_one_group_are_correlated(every):
    within, between = within_and_between(every)
    assert within == pytest.approx(0.64, abs=0.01)
    assert between == pytest.approx(0.19, abs=0.01)
    neighbours = np.diag(correlations(every), 1).mean()
    assert neighbours == pytest.approx(0.70, abs=0.01)


def test_channels_in_the_other_order_are_less_correlated_in_groups(every):
    by_scale = every.reshape(256, 4, 4, 12, 12).swapaxes(1, 2).reshape(every.shape)
    within, between = within_and_between(by_scale)
    assert within == pytest.approx(0.24, abs=0.01)
    assert between == pytest.approx(0.29, abs=0.01)


def test_cells_of_one_map_are_not_independent(every):
    """The error of a batch mean over sigma / sqrt(N*H*W), exactly: batches are independent samples."""
    ratio = np.sqrt(144 * every.mean(axis=(2, 3)).var(axis=0) / every.var(axis=(0, 2, 3)))
    assert ratio.mean() == pytest.approx(3.9, abs=0.05)
    assert (ratio > 3).all()
    random = np.random.default_rng(0)
    shuffled = random.permuted(every.swapaxes(0, 1).reshape(16, -1), axis=1).reshape(16, 256, 144)
    independent = np.sqrt(144 * shuffled.mean(axis=2).var(axis=1) / every.var(axis=(0, 2, 3)))
    assert independent.mean() == pytest.approx(1, abs=0.1)


def test_photographs():
    pictures = nv.samples.photographs()
    assert (pictures.shape, pictures.dtype) == ((8, 3, 64, 64), np.uint8)
    assert len(nv.samples.PHOTOGRAPHS) == 8
    assert (pictures.std(axis=(1, 2, 3)) > 10).all()


@pytest.mark.parametrize(("take", "stored"), [(nv.samples.activations, 256), (nv.samples.photographs, 8)])
class TestBadNumbers:
    @pytest.mark.parametrize("number", [0, -1, 257])
    def test_out_of_range(self, take, stored, number):
        text = f"num_samples={number} is not between 1 and {stored}, the number of samples stored here"
        with pytest.raises(ValueError, match=f"^{text}$"):
            take(number)

    @pytest.mark.parametrize("number", [2.0, True, "4", None])
    def test_not_an_int(self, take, stored, number):
        with pytest.raises(TypeError, match=f"^num_samples must be an int from 1 to {stored}, not {number!r}$"):
            take(number)


def test_every_photograph_has_its_licence():
    lines = FOLDER.joinpath("README.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    for name in nv.samples.PHOTOGRAPHS:
        assert "| CC0 |" in rows[name] or "| public domain |" in rows[name], name


def test_files_are_small():
    sizes = {name: len(FOLDER.joinpath(name).read_bytes()) for name in ("activations.npz", "photographs.npz")}
    assert sizes["activations.npz"] < 500_000, sizes
    assert sizes["photographs.npz"] < 100_000, sizes


@pytest.fixture(scope="module")
def made():
    pytest.importorskip("skimage", reason="the photographs come with scikit-image: pip install 'normviz[samples]'")
    from normviz.samples import make

    return make, *make.make()


class TestMake:
    def test_activations_are_those_stored(self, made, every):
        """One step apart at most, in a few cells at most: Fourier transforms round differently on other machines."""
        make, activations, _ = made
        steps = np.abs(activations - np.round(every / make.STEP)).ravel()
        assert steps.max() <= 1
        assert np.mean(steps > 0) < 1e-3

    def test_photographs_are_those_stored(self, made):
        np.testing.assert_array_equal(made[2], nv.samples.photographs())

    def test_first_samples_are_measured_on_the_photographs(self, made):
        """Within the thumbnail alone: its border lacks what the filters saw beyond, so alike and not equal."""
        make = made[0]
        for picture, sample in zip(nv.samples.photographs(), nv.samples.activations(8), strict=True):
            again = make.layer(make.grey(picture.transpose(1, 2, 0) / 255), 8, 8) * make.GAIN
            assert np.corrcoef(again.ravel(), sample.ravel())[0, 1] > 0.9

    def test_encoding_loses_nothing(self, made):
        make, activations, _ = made
        low, high = make.encode(activations)
        np.testing.assert_array_equal(high * np.uint16(256) + low, activations)


def test_orientations_and_scales():
    """Channel c responds to orientation c // 4: vertical, rising, horizontal, falling; from dark to bright."""
    from normviz.samples.make import respond

    y, x = np.mgrid[:64, :64]
    edges = [x >= 32, x + y >= 64, y >= 32, y - x >= 0]
    for orientation, edge in enumerate(edges):
        answers = respond(edge.astype(float))[:, 28:36, 28:36].max(axis=(1, 2))
        assert set(np.argsort(answers)[-4:] // 4) == {orientation}
    for scale, wavelength in enumerate((4, 6, 9, 13.5)):
        answers = respond(np.sin(2 * np.pi * x / wavelength))[:4, 16:48, 16:48].max(axis=(1, 2))
        assert answers.argmax() == scale
