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


def test_each_photograph_has_as_many_crops():
    of = nv.samples.PHOTOGRAPH_OF
    assert of[:8] == tuple(range(8))
    assert [of.count(number) for number in range(8)] == [32] * 8


def test_crops_of_one_photograph_are_alike(every):
    """Their channels' means lie closer together than those of crops of different photographs."""
    of, means = np.array(nv.samples.PHOTOGRAPH_OF), every.mean(axis=(2, 3))
    # What the samples' README says: the most that a photograph is worth, in independent cells and in crops.
    own = means[np.argsort(of, kind="stable")].reshape(8, 32, 16).mean(axis=1)
    cells, crops = (np.median(v / own.var(axis=0)) for v in (every.var(axis=(0, 2, 3)), means.var(axis=0)))
    assert round(float(cells)) == 16
    assert 1.6 < crops < 1.7
    apart = np.linalg.norm(means[:, None] - means, axis=2)
    same = of[:, None] == of
    assert apart[same & ~np.eye(256, dtype=bool)].mean() < 0.7 * apart[~same].mean()


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
    pytest.importorskip("skimage", reason='the photographs come with scikit-image: pip install "normviz[samples]"')
    from normviz.samples import make

    return make, *make.make()


class TestMake:
    def test_activations_are_those_stored(self, made, every):
        """One step apart at most, in a few cells at most: Fourier transforms round differently on other machines."""
        make, activations, *_ = made
        steps = np.abs(activations - np.round(every / make.STEP)).ravel()
        assert steps.max() <= 1
        assert np.mean(steps > 0) < 1e-3

    def test_photographs_are_those_stored(self, made):
        np.testing.assert_array_equal(made[2], nv.samples.photographs())

    def test_photograph_of_each_sample_is_the_one_stored(self, made):
        assert made[3] == nv.samples.PHOTOGRAPH_OF

    def test_first_samples_are_measured_on_the_photographs(self, made):
        """Within the thumbnail alone: its border lacks what the filters saw beyond, so alike and not equal."""
        make = made[0]
        for picture, sample in zip(nv.samples.photographs(), nv.samples.activations(8), strict=True):
            again = make.layer(make.grey(picture.transpose(1, 2, 0) / 255), 8, 8) * make.GAIN
            assert np.corrcoef(again.ravel(), sample.ravel())[0, 1] > 0.9

    def test_encoding_loses_nothing(self, made):
        make, activations, *_ = made
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


class TestFilled:
    """`filled`, by its definition: integers modulo 2**32, one rounding to float32 at the end."""

    @staticmethod
    def z(place, seed):
        """The number of one cell, in plain Python."""

        def mix(h):
            h ^= h >> 16
            h = h * 0x85EBCA6B % 2**32
            h ^= h >> 13
            h = h * 0xC2B2AE35 % 2**32
            return h ^ h >> 16

        key = mix(seed % 2**32 ^ 0x9E3779B9)
        words = [mix((key + (6 * place + k) * 0x9E3779B9) % 2**32) for k in range(6)]
        return (sum((word & 0xFFFF) + (word >> 16) for word in words) - 393210) / 65536

    def test_known_values(self):
        x = nv.samples.filled((2, 3, 4, 4), "normal", 7)
        assert (x.dtype, x.shape) == (np.float32, (2, 3, 4, 4))
        first = [-2.8992462158203125, -0.6671142578125, 0.10516357421875, 0.7196197509765625, -1.2906341552734375]
        assert x.ravel()[:5].tolist() == first

    @pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (3, 4, 2, 5), (2, 3, 2, 3, 2)])
    @pytest.mark.parametrize("seed", [0, 7, -1, 2**32 + 7])
    def test_every_fill_is_its_definition(self, shape, seed):
        cells = list(np.ndindex(shape))
        z = [self.z(place, seed) for place in range(len(cells))]
        rules = {
            "normal": lambda p, cell: z[p],
            "relu": lambda p, cell: max(z[p], 0.0),
            "loud channel": lambda p, cell: 8 * z[p] if cell[1] == shape[1] // 2 else z[p],
            "loud sample": lambda p, cell: 8 * z[p] if cell[0] == shape[0] // 2 else z[p],
            "offset": lambda p, cell: 100 + z[p] / 10,
            "constant": lambda p, cell: 1.0,
            "ramp": lambda p, cell: float(p),
        }
        for fill, rule in rules.items():
            expected = np.array([rule(p, cell) for p, cell in enumerate(cells)], np.float32).reshape(shape)
            np.testing.assert_array_equal(nv.samples.filled(shape, fill, seed), expected, err_msg=fill)

    def test_normal_is_nearly_normal(self):
        x = nv.samples.filled((8, 16, 32, 32), "normal", 3).astype(float)
        assert abs(x.mean()) < 0.01
        assert abs(x.std() - 1) < 0.01
        assert abs(x).max() < 6

    def test_samples_repeat_along_every_axis(self):
        stored = nv.samples.activations(16)
        np.testing.assert_array_equal(nv.samples.filled((2, 16, 12, 12), "sample"), stored[:2])
        for shape in ((18, 20), (17, 3, 15), (2, 18, 13, 14), (3, 2, 4, 5, 13)):
            x = nv.samples.filled(shape, "sample")
            assert x.shape == shape
            for n, c, *spatial in np.ndindex(shape):
                h, w = [0, 0, *spatial][-2:]
                assert x[n, c, *spatial] == stored[n % 16, c % 16, h % 12, w % 12]

    def test_example_has_a_shape_of_its_own(self):
        x = nv.samples.filled((7, 7, 7), "example")
        assert (x.dtype, x.shape) == (np.float32, (3, 4, 1, 2))
        assert x[1].ravel().tolist() == [0, 1, 1, 2, 3, 5, 8, 13]
        x[:] = 0
        assert nv.samples.filled((1, 1), "example")[0, 0, 0, 0] == 2

    @pytest.mark.parametrize(
        ("arguments", "error", "text"),
        [
            (((2, 3), "file"), ValueError, "fill 'file' means values that somebody gave, and no rule makes them"),
            (((2, 3), "edited"), ValueError, "fill 'edited' means values that somebody gave, and no rule makes them"),
            (((2, 3), "norml"), ValueError, "unknown fill 'norml'; did you mean 'normal'? (known: sample, normal, "),
            (((2,), "normal"), ValueError, "the tensor to fill has rank 1, shape (2,); it needs 2 to 5 axes"),
            (((2,) * 6, "ramp"), ValueError, "the tensor to fill has rank 6"),
            (((2, 0), "ramp"), ValueError, "the tensor to fill has an empty axis, shape (2, 0)"),
            ((("a", 3), "ramp"), TypeError, "shape must be 2 to 5 whole numbers, (N, C, *spatial), not ('a', 3)"),
            ((12, "ramp"), TypeError, "shape must be 2 to 5 whole numbers, (N, C, *spatial), not 12"),
            (((2**13, 2**13 + 1), "ramp"), ValueError, "shape (8192, 8193) has more than 67,108,864 cells, the most"),
            (((2, 3), "normal", 1.5), TypeError, "seed must be a whole number, not 1.5"),
            (((2, 3), "constant", True), TypeError, "seed must be a whole number, not True"),
            (((2, 3), "normal", "7"), TypeError, "seed must be a whole number, not '7'"),
        ],
    )
    def test_messages(self, arguments, error, text):
        with pytest.raises(error) as raised:
            nv.samples.filled(*arguments)
        assert str(raised.value).startswith(text)
        assert "\n" not in str(raised.value)

    def test_a_misspelt_keyword(self):
        with pytest.raises(TypeError, match="did you mean 'seed'"):
            nv.samples.filled((2, 3), "normal", sed=1)  # pyright: ignore
