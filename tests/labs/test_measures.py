"""The numbers of the labs against theory, plain loops and PyTorch."""

from fractions import Fraction

import numpy as np
import pytest

import normviz as nv
from normviz.explorer.plotly_figure import plain

RNG = np.random.default_rng(5)


def test_independent_values_have_the_errors_of_theory():
    # 2000 draws tell a standard deviation to 1.6 %, the data (200 x 32 cells) themselves to a few percent.
    x = RNG.normal(2, 3, (200, 2, 32))
    noise = nv.labs.batch_size.measure(x, batch_sizes=[4, 16, 64], draws=2000)
    np.testing.assert_allclose(noise.mean_independent[:, 0], x[:, 0].std() / np.sqrt(32 * np.array([4, 16, 64])))
    np.testing.assert_allclose(noise.mean_error, noise.mean_independent, rtol=0.16)
    np.testing.assert_allclose(noise.var_error, noise.var_independent, rtol=0.16)
    np.testing.assert_allclose(noise.effective_mean, 32, rtol=0.3)


def test_cells_that_are_all_alike_count_as_one():
    x = np.repeat(RNG.normal(size=(100, 1, 1)), 50, axis=2)
    noise = nv.labs.batch_size.measure(x, batch_sizes=[8], draws=20)
    np.testing.assert_allclose([noise.effective_mean[0], noise.effective_var[0]], 1, rtol=1e-12)


def test_the_line_of_the_effective_number_is_what_is_measured():
    noise = nv.labs.batch_size.measure(draws=3000, batch_sizes=[1, 8, 64])
    line = noise.mean_independent * np.sqrt(noise.cells / noise.effective_mean)
    np.testing.assert_allclose(noise.mean_error, line, rtol=0.06)
    assert 8 < noise.effective_mean.mean() < 10.5  # the samples' README says about 9


def test_crops_of_one_photograph_count_as_the_analysis_of_variance_says():
    """By plain loops: squares of the means of photographs, of crops and of cells about the mean of all."""
    x, of = nv.samples.activations(256).astype(float), nv.samples.PHOTOGRAPH_OF
    noise = nv.labs.batch_size.measure(draws=2)
    for c in (0, 7):
        crops = [[sum(row) / 12 for row in crop[c].tolist()] for crop in x]
        crops = [sum(rows) / 12 for rows in crops]
        grand = sum(crops) / 256
        by_photograph = [[mean for mean, number in zip(crops, of, strict=True) if number == k] for k in range(8)]
        means = [sum(own) / len(own) for own in by_photograph]
        between = sum((mean - grand) ** 2 for mean in means) / 8
        within = sum((m - mean) ** 2 for own, mean in zip(by_photograph, means, strict=True) for m in own) / 256
        cells = sum((value - grand) ** 2 for value in x[:, c].ravel().tolist()) / x[:, c].size
        assert noise.effective_source[c] == pytest.approx(cells / between, rel=1e-9)
        assert noise.effective_mean[c] == pytest.approx(cells / (between + within), rel=1e-9)
    # A few thousand batches of 64 crops of one photograph agree.
    rng, photographs = np.random.default_rng(0), np.argsort(of, kind="stable").reshape(8, 32)
    drawn = photographs[rng.integers(8, size=(4000, 1)), rng.integers(32, size=(4000, 64))]
    error = ((x.mean(axis=(2, 3))[drawn].mean(axis=1) - x.mean(axis=(0, 2, 3))) ** 2).mean(axis=0)
    variance = x.var(axis=(0, 2, 3))
    theory = variance / noise.effective_source
    theory += (variance / noise.effective_mean - theory) / 64
    np.testing.assert_allclose(error, theory, rtol=0.1)


def test_sources_of_unequal_size():
    """Three samples of patient 9 and one of patient 4: all variance of the means is between the patients."""
    x = np.array([1.0, 1, 1, 6]).reshape(4, 1, 1) + np.array([-1.0, 1])
    noise = nv.labs.batch_size.measure(x, draws=2, source=[9, 9, 9, 4])
    assert noise.effective_source == pytest.approx(91 / 75, rel=1e-12)  # variances: of all values 91/16, of means 75/16
    assert nv.labs.batch_size.measure(x, draws=2).effective_source is None


def test_running_statistics_are_those_of_torch():
    torch = pytest.importorskip("torch")
    x = RNG.normal(size=(12, 3, 5))
    result = nv.labs.train_eval.measure(x, batch_sizes=[4], momenta=[0.3], steps=7, depth=1, channel=1, seed=3)
    layer, rng = torch.nn.BatchNorm1d(3, momentum=0.3, affine=False, dtype=torch.float64), np.random.default_rng(3)
    for t in range(7):
        batch = x[rng.choice(12, 4, replace=False)]
        layer(torch.tensor(batch))
        np.testing.assert_allclose(result.batch_mean[0, t], batch[:, 1].mean(), rtol=1e-12)
        np.testing.assert_allclose(result.running_mean[0, 0, t], layer.running_mean[1], rtol=1e-12)
        np.testing.assert_allclose(result.running_var[0, 0, t], layer.running_var[1], rtol=1e-12)
    trials = [torch.tensor(x[rng.choice(12, 4, replace=False)]) for _ in range(8)]
    frozen = torch.nn.functional.batch_norm
    gaps = [
        (frozen(b, layer.running_mean, layer.running_var) - frozen(b, None, None, training=True)).square().mean()
        for b in trials
    ]
    np.testing.assert_allclose(result.gap[0, 0, 0], np.sqrt(np.mean(gaps)), rtol=1e-12)


def test_the_gap_falls_with_the_batch_and_grows_with_depth():
    gap = nv.labs.train_eval.measure(batch_sizes=[2, 32], momenta=[0.1], steps=40).gap[:, 0]
    assert (gap[0] > 2 * gap[1]).all()
    assert (gap[:, -1] > 1.2 * gap[:, 0]).all()


def test_batch_norm_alone_couples_samples():
    result = nv.labs.coupling.measure()
    off = ~np.eye(6, dtype=bool)
    assert (result.moved[0] > 0.01).all()
    assert not result.moved[1:, off].any()
    # The mirror image of a sample normalizes to the opposite, so its output moves by two standard deviations;
    # eps keeps it a little below.
    np.testing.assert_allclose(result.moved[1:4, ~off], 2, rtol=0.01)


def test_padding_moves_all_but_what_keeps_positions_apart():
    x = RNG.normal(1, 1, (3, 4, 10))
    result = nv.labs.coupling.measure(x, num_groups=2, padding=[0, 5])
    assert not result.padded[:, 0].any()
    assert not result.padded[-1].any()
    # Instance Norm by a plain loop.
    squares = []
    for row in x.reshape(-1, 10):
        longer = np.append(row, np.zeros(5))
        before = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
        squares.append((((row - longer.mean()) / np.sqrt(longer.var() + 1e-5) - before) ** 2).mean())
    np.testing.assert_allclose(result.padded[2, 1], np.sqrt(np.mean(squares)), rtol=1e-10)


def test_every_g_is_the_statistics_of_its_own():
    x = RNG.normal(size=(3, 6, 4, 5))
    result = nv.labs.spectrum.measure(x, shuffles=3)
    for G, size, mean, var in zip(result.groups, result.set_size, result.mean, result.var, strict=True):
        cut = x.reshape(3, G, -1)
        assert cut.shape[2] == size
        np.testing.assert_allclose(mean, cut.mean(axis=2), atol=1e-13)
        np.testing.assert_allclose(var, cut.var(axis=2), rtol=1e-12)


def test_error_of_independent_cells_and_order_of_channels():
    # Half the difference of two halves of k / 2 values each has standard deviation sigma / sqrt(k).
    x = RNG.normal(size=(100, 8, 64))
    result = nv.labs.spectrum.measure(x)
    np.testing.assert_allclose(result.error, 1 / np.sqrt(result.set_size), rtol=0.2)
    # Channels drawn alike in pairs: neighbours fit, others do not; the ends are the same in any order.
    pairs = np.repeat(RNG.normal(size=(50, 4, 1)), 2, axis=1) + 0.01 * RNG.normal(size=(50, 8, 64))
    result = nv.labs.spectrum.measure(pairs)
    assert result.mismatch[2] < 0.01 < 0.3 < result.mismatch_shuffled[2]
    assert result.mismatch[-1] == result.mismatch_shuffled[-1] == 0
    np.testing.assert_allclose(result.mismatch[0], result.mismatch_shuffled[0], rtol=1e-12)


def test_the_samples_neighbours_are_alike():
    result = nv.labs.spectrum.measure()
    assert (result.mismatch[1:-1] < result.mismatch_shuffled[1:-1]).all()
    assert (np.diff(result.error) > 0).all()


def test_true_digits():
    result = nv.labs.numerics.measure(offsets=[0, 1e2, 1e4, 1e5])
    raw, two, welford, chan = result.digits[:, 1]
    assert raw[0] > 5
    assert raw[2] < 1
    assert min(two[2], welford[2], chan[2]) > 3
    # Two digits lost for every power of ten in float64, give or take one.
    lost = -np.diff(result.digits[0, 2, :3])
    assert (abs(lost - 4) < 1.5).all()
    assert np.isnan(result.digits[:, 0, 3]).all()  # float16 cannot hold 10^5
    assert (result.digits[:, 0, 1] <= 3.02).all()


def test_the_digits_go_as_the_caption_says():
    result = nv.labs.numerics.measure()
    at = {offset: k for k, offset in enumerate(result.offsets)}
    for recipe in (2, 3):  # Welford and Chan, float64: about one for every power of ten
        slope = np.polyfit(range(2, 10), result.digits[recipe, 2, 2:], 1)[0]
        assert -1.2 < slope < -0.7
    half, single, double = result.digits[1]
    assert double[:-1].min() > 13
    # Two passes lose few at first, then two for every power of ten.
    assert single[at[1e2]] > 5
    assert 1.2 < (single[at[1e3]] - single[at[1e5]]) / 2 < 2.5
    # A plain sum in float16 is too coarse at 100, and at 1000 neighbouring numbers are a standard deviation apart.
    assert half[at[10]] > 1.5
    assert half[at[1e2]] == 0
    assert np.isnan(half[at[1e3]])


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_are_lost_and_not_found_again(seed):
    """One draw alone can be right by luck, as a sum of round numbers is, so that its line jumps."""
    fallen = np.diff(nv.labs.numerics.measure(seed=seed).digits)
    assert np.nanmax(fallen) < 0.3
    lucky = [np.nanmax(np.diff(nv.labs.numerics.measure(draws=1, seed=k).digits)) for k in range(8)]
    assert max(lucky) > 0.5


def test_another_seed_gives_the_same_digits():
    one, other = (nv.labs.numerics.measure(seed=seed).digits for seed in (0, 1))
    assert np.nanmax(abs(one - other)) < 0.8


@pytest.mark.parametrize("recipe", ["raw_moments", "two_passes", "welford", "chan"])
@pytest.mark.parametrize("count", [2, 3, 7, 64, 65])
def test_every_recipe_is_the_variance(recipe, count):
    x = RNG.normal(1, 1, count)
    assert getattr(nv.labs.numerics, recipe)(x) == pytest.approx(x.var(), rel=1e-12)
    assert nv.labs.numerics.exact(np.array([0.0, 1.0, 5.0])) == Fraction(14, 3)


def test_the_spread_of_shuffles_is_zero_where_the_order_cannot_matter():
    found = nv.labs.spectrum.measure(shuffles=8)
    for spread in (found.error_spread, found.mismatch_spread):
        assert spread[0] < 1e-12
        assert spread[-1] < 1e-12
        assert spread[1:-1].min() > 1e-3


def test_the_title_of_the_spectrum_says_what_more_groups_cost_here():
    said = nv.labs.spectrum.figure().layout.title.text.replace("<br>", " ")
    found = nv.labs.spectrum.measure()
    assert f"{found.error[-1] / found.error[0]:.1f} times less certain" in said
    # Both halves of each map are the same, so every mean is as certain as another.
    x = np.random.default_rng(0).normal(size=(4, 6, 2, 8)) + np.arange(6)[:, None, None]
    x[:, :, 1] = x[:, :, 0]
    assert nv.labs.spectrum.figure(x).layout.title.text.replace("<br>", " ").endswith("but its mean is as certain</b>")


def title(figure):
    return plain(figure.layout.title.text)


def test_titles_say_what_was_measured_and_nothing_else():
    """The same lab on other data has another finding."""
    noise = np.random.default_rng(0).normal(size=(64, 3, 4, 4))
    activations, noise = (title(nv.labs.batch_size.figure(x, draws=5)) for x in (None, noise))
    assert activations == "A map of 144 cells tells the mean no better than about 9 independent values"
    assert noise.startswith("In these data a map of 16 cells is worth about as much")
    # Eight samples of noise cannot tell 25 values from 36.
    few = np.random.default_rng(45).normal(size=(8, 8, 6, 6))
    assert title(nv.labs.batch_size.figure(few, draws=5)).startswith("In these data a map of 36 cells is worth about")
    assert title(nv.labs.batch_size.figure(few[:, :, :1, :1], draws=5)).endswith("one cell, so it is worth one value")
    assert title(nv.labs.coupling.figure()).startswith("Only Batch Norm lets one sample change")
    assert title(nv.labs.coupling.figure(padding=[0])) == "Which outputs change with another sample, and with padding?"
    found = nv.labs.train_eval.measure(steps=6)
    assert f"inference is {found.gap[0, 1, -1]:.2g} standard" in title(nv.labs.train_eval.figure(steps=6))
    figure = nv.labs.numerics.figure()
    assert title(figure).startswith("In float32, raw moments have no correct digit at a mean of 1,000 standard")
    assert "In float64" in figure.layout.sliders[0].steps[2].args[1]["title.text"]
    near = nv.labs.numerics.figure(offsets=[0, 1], dtypes=["float64"])
    assert title(near) == "In float64 every recipe has a correct digit at these offsets"
