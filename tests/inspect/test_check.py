"""Every bug is named: alone, in at least two versions, and in pairs."""

import numpy as np
import pytest

import normviz as nv
from normviz.inspect.check import check, known_bugs
from tests.inspect import faulty, faulty_pairs
from tests.inspect.faulty import NUMPY
from tests.inspect.faulty_pairs import PAIRS, student

GROUPS = {"group": 2}


@pytest.mark.parametrize(("code", "fn", "method", "groups"), NUMPY, ids=[f"{c[0]}: {c[1].__name__}" for c in NUMPY])
def test_each_bug_in_numpy(code, fn, method, groups):
    dtype = "float16" if fn is faulty.float16_sums else None
    verdict = nv.check(fn, method, groups, dtype=dtype, channel_axis=-1 if fn is faulty.by_the_norm else 1)
    assert verdict.codes == (code,), str(verdict)
    assert not verdict.passed


TORCH = faulty_pairs.torch_cases() if faulty_pairs.torch else []


@pytest.mark.skipif(not TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize(("code", "fn", "method", "groups"), TORCH, ids=[f"{i} {c[0]}" for i, c in enumerate(TORCH)])
def test_each_bug_in_torch(code, fn, method, groups):
    channels_first = nv.check(fn, method, groups, framework="torch")
    assert channels_first.codes == (code,), str(channels_first)


@pytest.mark.skipif(not TORCH, reason="PyTorch is not installed")
def test_a_vector_of_length_one_where_the_root_mean_square_is_asked():
    normalize = faulty_pairs.torch.nn.functional.normalize
    codes = nv.check(lambda x: normalize(x, dim=1, eps=1e-5), "rms", framework="torch").codes
    assert {*codes} == {"not-averaged", "eps-outside"}
    codes = nv.check(lambda x: normalize(x, dim=1), "rms", framework="torch").codes
    assert {*codes} == {"not-averaged", "eps-missing"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.skipif(not TORCH, reason="PyTorch is not installed")
def test_half_precision_is_not_taken_for_fixed_statistics(dtype):
    """The tolerance is coarse there, yet the same line does not fit two inputs."""

    def fn(x, on_output):
        wide = x.float()
        y = (wide - wide.mean((0, 2, 3), True)) / wide.std((0, 2, 3), correction=0, keepdim=True)
        return (y + 0.1 if on_output else y).to(x.dtype)

    for on_output, code in ((True, "eps-on-output"), (False, "eps-missing")):
        options = {"eps": 0.1, "dtype": dtype, "framework": "torch"}
        assert nv.check(lambda x, add=on_output: fn(x, add), "batch", **options).codes == (code,)


@pytest.mark.parametrize(("method", "pair"), PAIRS, ids=[f"{m}: {' + '.join(p)}" for m, p in PAIRS])
def test_pairs(method, pair):
    verdict = nv.check(student(pair, method), method, GROUPS.get(method))
    assert {*verdict.codes} == {*pair}, str(verdict)


@pytest.mark.parametrize("method", ["batch", "layer", "group"])
def test_the_healthy_twin_of_the_pairs_passes(method):
    verdict = nv.check(student([], method), method, GROUPS.get(method))
    assert verdict.passed, str(verdict)


def test_three_at_once():
    verdict = nv.check(student(["interleaved-groups", "unbiased-variance", "affine-swapped"], "group"), "group", 2)
    assert {*verdict.codes} == {"interleaved-groups", "unbiased-variance", "affine-swapped"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(2, 6, 4), (5, 4, 3, 3), (2, 4, 2, 3, 2), (4, 8, 8, 8)])
def test_bugs_are_named_on_any_shape_and_seed(shape, seed):
    def unbiased(x):
        axes = (0, *range(2, x.ndim))
        return (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True, ddof=1) + 1e-5)

    verdict = nv.check(unbiased, "batch", shape=shape, seed=seed)
    assert verdict.codes == ("unbiased-variance", "eps-outside"), str(verdict)
    assert verdict.shape == shape


def test_channels_at_the_end():
    def swapped(x, weight, bias):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * bias + weight

    verdict = nv.check(swapped, "positional", channel_axis=-1)
    assert verdict.codes == ("affine-swapped",)
    cell, x = verdict.findings[0].cell, verdict.x
    assert x.shape == verdict.shape
    assert len(cell) == x.ndim
    assert all(i < n for i, n in zip(cell, x.shape, strict=True))

    def first(x):
        return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)

    assert nv.check(first, "batch", channel_axis=-1).codes == ("channels-last",)


@pytest.mark.parametrize(
    ("fn", "code"),
    [
        (lambda x: np.maximum(nv.normalize(x, "batch"), 0), "affine"),
        (lambda x: nv.normalize(x, "batch") * along_channels(x), "affine"),
        (lambda x: x - 0.9 * x.mean((0, 2, 3), keepdims=True), "mean"),
        (lambda x: nv.normalize(x, "batch") * 0.9, "variance"),
        (lambda x: x * np.nan, "non-finite"),
        (lambda x: x * 0 + 1, "affine"),
        (lambda x: np.sort(nv.normalize(x, "batch"), axis=0), "sets"),
        (lambda x: np.concatenate([nv.normalize(x[:, :2], "batch"), x[:, 2:]], 1), "mean"),
        (lambda x: (x - x.mean((0, 2, 3), keepdims=True)) / np.abs(x).mean((0, 2, 3), keepdims=True), "variance"),
        (lambda x: eps_that_grows(x), "eps"),
    ],
)
def test_an_output_that_no_bug_explains_is_reported_by_its_first_wrong_stage(fn, code):
    verdict = nv.check(fn, "batch")
    assert verdict.codes == (code,), str(verdict)
    finding = verdict.findings[0]
    assert finding.cell is not None
    assert finding.expected != finding.seen
    assert "rounding, state and gradient" in verdict.skipped


def along_channels(x):
    return np.arange(1, x.shape[1] + 1).reshape(1, -1, 1, 1)


def eps_that_grows(x):
    """Adds a number that depends on the channel, so that no single eps explains it."""
    var = x.var((0, 2, 3), keepdims=True)
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(var + 1e-5 * along_channels(x))


@pytest.mark.parametrize("method", ["positional", "layer", "group", "instance"])
def test_another_weight_is_distinguished_from_other_sets(method):
    def two_more(x, weight, bias):
        return nv.normalize(x, method, num_groups=GROUPS.get(method), weight=2 + weight, bias=bias)

    verdict = nv.check(two_more, method, GROUPS.get(method))
    assert verdict.codes == ("affine",), str(verdict)


def test_the_numbers_of_a_finding_are_those_of_the_output():
    verdict = nv.check(faulty.not_centered, "batch")
    finding = verdict.findings[0]
    expected, seen = nv.normalize(verdict.x, "batch"), faulty.not_centered(verdict.x)
    assert finding.expected == pytest.approx(expected[finding.cell])
    assert finding.seen == pytest.approx(seen[finding.cell])
    assert verdict.wrong[finding.cell]
    np.testing.assert_array_equal(verdict.wrong, np.abs(seen - expected) > 1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_eps_on_the_output_is_distinguished_from_none(dtype):
    """In float32 it is far below the tolerance, so the one that fits better is named."""

    def fn(x, eps):
        return (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True) + x.dtype.type(eps)

    assert nv.check(lambda x: fn(x, 1e-5), "batch", dtype=dtype).codes == ("eps-on-output",)
    assert nv.check(lambda x: fn(x, 0), "batch", dtype=dtype).codes == ("eps-missing",)
    assert nv.check(lambda x: fn(x, 0.03), "batch", dtype=dtype).codes == ("eps-on-output", "eps-value")
    for eps, code in ((1e-3, "eps-on-output"), (0, "eps-missing")):
        verdict = nv.check(
            lambda x, eps=eps: fn(x.astype("f4"), eps).astype(x.dtype), "batch", eps=1e-3, dtype="float16"
        )
        assert verdict.codes == (code,), str(verdict)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_tiny_eps_is_distinguished_from_none(dtype):
    def norm(x, eps):
        root = np.sqrt(x.var((0, 2, 3), keepdims=True) + eps)
        return (x - x.mean((0, 2, 3), keepdims=True)) / np.where(root == 0, 1, root)

    tiny = nv.check(lambda x: norm(x, x.dtype.type(1e-12)), "batch", dtype=dtype)
    assert tiny.codes == ("eps-value",)
    assert tiny.findings[0].details["eps"] == pytest.approx(1e-12, rel=1e-2)
    assert nv.check(lambda x: norm(x, 0), "batch", dtype=dtype).codes == ("eps-missing",)


def test_an_output_that_two_bugs_explain_names_neither():
    """In float16, a weight before a Batch Norm, which cancels, cannot be distinguished from a missing one."""
    weight, bias = np.linspace(0.5, 1.5, 8), np.linspace(-1, 1, 8)

    def fn(x, weight, bias):
        return nv.normalize(x, "batch", bias=bias, eps=1e-7)

    verdict = nv.check(fn, "batch", weight=weight, bias=bias, eps=1e-7, dtype="float16")
    assert len(verdict.findings) == 1
    assert verdict.findings[0].details["either"] == ["affine", "affine-before"]
    assert "Either affine or affine-before would explain it" in verdict.findings[0].message
    assert nv.check(fn, "batch", weight=weight, bias=bias, eps=1e-7).codes == ("affine",)


def test_float16_must_be_requested():
    """Sums that overflow in float16 are not a bug in float64."""
    assert nv.check(faulty.float16_sums, "batch").passed
    assert nv.check(faulty.float16_sums, "batch", dtype="float16").codes == ("float16-accumulation",)
    assert nv.check(lambda x: nv.normalize(x, "batch"), "batch", dtype="float16").passed


def test_details():
    axes = nv.check(faulty.wrong_axes, "batch").findings[0]
    assert axes.details["axes"] == (2, 3)
    assert nv.check(faulty.eps_value, "batch").findings[0].details["eps"] == 1e-3
    assert nv.check(lambda x: nv.normalize(x, "group", num_groups=4), "group", 2).findings[0].details["num_groups"] == 4


def test_one_function_adds_a_bug(monkeypatch):
    """Its code, its hint and its change stand in one place, also for arithmetic that no other bug has."""
    monkeypatch.setattr(known_bugs, "KNOWN_BUGS", [*known_bugs.KNOWN_BUGS])
    monkeypatch.setattr(known_bugs, "HINTS", check.HINTS.copy())

    @known_bugs.known_bug("mean-deviation", "Which average of the deviations is it?")
    def mean_deviation(case):
        text = "divides by the mean absolute deviation"
        yield known_bugs.Change({"spread": lambda s: np.square(s.average(np.abs(s.deviation)))}, text)

    monkeypatch.setattr(check, "HINTS", known_bugs.HINTS)

    def fn(x, outside=False):
        x = x - x.mean((0, 2, 3), keepdims=True)
        deviation = np.abs(x).mean((0, 2, 3), keepdims=True)
        return x / (deviation + 1e-5 if outside else np.sqrt(deviation**2 + 1e-5))

    finding = nv.check(fn, "batch").findings[0]
    assert (finding.code, finding.hint) == ("mean-deviation", "Which average of the deviations is it?")
    assert finding.message.startswith("fn divides by the mean absolute deviation. At cell ")
    assert nv.check(lambda x: fn(x, outside=True), "batch").codes == ("eps-outside", "mean-deviation")
    assert nv.check(fn, "batch", ignore="mean-deviation").passed


@pytest.mark.parametrize("samples", [4, 5, 7])
def test_statistics_averaged_over_devices(samples):
    verdict = nv.check(faulty.averaged_over_devices, "batch", shape=(samples, 4, 3, 3))
    assert verdict.codes == ("averaged-variances",)
    assert "the variance between the means of these parts is missing" in verdict.findings[0].message
