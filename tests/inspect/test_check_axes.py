"""Axes taken for others: a reshape for a transpose, other groups, another layout; alone, in pairs, and right."""

import numpy as np
import pytest

import normviz as nv
from tests.inspect.zoo import NUMPY, hat

RESHAPE, LAST = "reshape-not-transpose", {"channel_axis": -1}
ALSO = {"unbiased-variance": {"ddof": 1}, "eps-outside": {"outside": True}}


def scaled(y, weight, bias, axes):
    """Apply weight and bias along some axes of y."""
    along = [n if a in axes else 1 for a, n in enumerate(y.shape)]
    return y * weight.reshape(along) + bias.reshape(along)


def read(shape, axes, affine=None, own=None):
    """Read x as an array of another shape, and normalize that over some axes.

    Weight and bias, if any, lie along the axes `affine` of that array, or along the axis `own` of x.
    """

    def with_also(**also):
        def plain(x):
            return hat(x.reshape(shape(*x.shape)), axes, **also)

        if affine is None and own is None:
            return lambda x: plain(x).reshape(x.shape)
        if own is not None:
            return lambda x, weight, bias: scaled(plain(x).reshape(x.shape), weight, bias, [own])
        return lambda x, weight, bias: scaled(plain(x), weight, bias, affine).reshape(x.shape)

    return with_also


def after_a_transpose(**also):
    def fn(x):
        last = x.transpose(0, 2, 3, 1)
        return hat(last.reshape(len(x), 2, -1), 2, **also).reshape(last.shape).transpose(0, 3, 1, 2)

    return fn


def in_fortran_order(**also):
    def fn(x):
        return hat(x.reshape(-1, x.shape[1], order="F"), 0, **also).reshape(x.shape, order="F")

    return fn


def keras(n, h, w, c, groups=2):
    return n, groups, h, w, c // groups


MISREAD = [
    (read(keras, (2, 3, 4)), "group", 2, LAST),
    (read(keras, (2, 3, 4), own=3), "group", 2, LAST),
    (read(keras, (2, 3, 4), affine=(1, 4)), "group", 2, LAST),
    (read(lambda n, h, w, c: keras(n, h, w, c, 4), (2, 3, 4), own=3), "group", 4, LAST | {"shape": (2, 8, 8, 16)}),
    (read(lambda n, h, w, c: (n, c, h, w), (0, 2, 3)), "batch", None, LAST | {"shape": (2, 4, 4, 4)}),
    (read(lambda n, h, w, c: (n, c, h, w), (0, 2, 3), affine=[1]), "batch", None, LAST),
    (read(lambda n, h, w, c: (n, c, h * w), 2), "instance", None, LAST),
    (read(lambda n, c, t: (n * t, c), 0), "batch", None, {"shape": (4, 6, 5)}),
    (read(lambda n, c, t: (n * t, c), 0, affine=[1]), "batch", None, {"shape": (4, 6, 5)}),
    (read(lambda n, c, h, w: (n * h * w, c), 0, affine=[1]), "batch", None, {}),
    (read(lambda n, c, h, w: (n * h * w, c), 0, affine=[1]), "batch", None, {"shape": (2, 16, 4, 4)}),
    (read(lambda n, c, h, w: (c, -1), 1), "batch", None, {}),
    (read(lambda n, c, h, w: (c, -1), 1, affine=[0]), "batch", None, {}),
    (read(lambda n, c: (c, n), 1), "batch", None, {"shape": (6, 8)}),
    (read(lambda n, c: (c, n), 1), "batch", None, {"shape": (6, 6)}),
    (read(lambda n, c, h, w: (n, h, w, c), 3, affine=[3]), "positional", None, {}),
    (read(lambda n, c, h, w: (n, h, w, c), 3, own=1), "positional", None, {}),
    (read(lambda n, c, h, w: (n, h, w, c), 3), "positional", None, {"shape": (2, 16, 4, 4)}),
    (read(lambda n, c, h, w: (n, h * w, c), 1), "instance", None, {}),
    (read(lambda n, c, t: (n, t, 2, c // 2), 3), "per_head", 2, {"shape": (3, 8, 5)}),
    (read(lambda n, c, h, w: (2, -1, c), 1, affine=[2]), "ghost", 2, {"shape": (4, 6, 5, 3)}),
    (read(lambda n, c, d, h, w: (-1, c), 0, affine=[1]), "batch", None, {"shape": (4, 6, 2, 3, 5)}),
    (after_a_transpose, "group", 2, {}),
    (in_fortran_order, "batch", None, {}),
]
"""(function of what else is wrong, method, num_groups, options)."""


@pytest.mark.parametrize("number", range(len(MISREAD)))
def test_a_reshape_where_a_transpose_is_meant(number):
    bug, method, groups, options = MISREAD[number]
    verdict = nv.check(bug(), method, groups, **options)
    assert verdict.codes == (RESHAPE,), str(verdict)
    assert " is read as (" in verdict.findings[0].message


@pytest.mark.parametrize("code", ALSO)
@pytest.mark.parametrize("number", range(0, len(MISREAD), 3))
def test_a_reshape_and_another_bug(number, code):
    bug, method, groups, options = MISREAD[number]
    verdict = nv.check(bug(**ALSO[code]), method, groups, **options)
    assert {*verdict.codes} == {RESHAPE, code}, str(verdict)


def test_the_reshape_is_described():
    finding = nv.check(MISREAD[0][0](), "group", 2, channel_axis=-1, shape=(2, 5, 6, 8)).findings[0]
    assert finding.message.startswith(
        "fn reshapes where a transpose is needed: x of shape (N, H, W, C) is read as (N, G, H, W, C/G) = "
        "(2, 2, 5, 6, 4) without moving the channels. At cell "
    )
    assert finding.details == {"read": ("N", "G", "H", "W", "C/G"), "lengths": (2, 2, 5, 6, 4)}
    message = nv.check(in_fortran_order(), "batch").findings[0].message
    assert "x of shape (N, C, H, W), in Fortran's order, is read as (" in message
    message = nv.check(after_a_transpose(), "group", 2).findings[0].message
    assert "x of shape (N, C, H, W), transposed to (N, H, W, C), is read as (N, G, " in message


def test_weight_and_bias_alone_are_misread():
    """The sets are right: Layer Norm's, and Batch Norm's behind a transpose."""

    def layer(x, weight, bias):
        return scaled(hat(x, (1, 2, 3)).reshape(-1, x.shape[1]), weight, bias, [1]).reshape(x.shape)

    def batch(x, weight, bias):
        return scaled(hat(x, (0, 2, 3)).reshape(x.shape[1], -1), weight, bias, [0]).reshape(x.shape)

    for fn, method in ((layer, "layer"), (batch, "batch")):
        finding = nv.check(fn, method).findings[0]
        assert finding.code == RESHAPE
        assert "for weight and bias, x of shape (N, C, H, W) is read as (" in finding.message
    assert nv.check(lambda x, w, b: layer(x, b, w), "layer").codes != ()


def tokens(x, weight, bias):
    y = scaled(hat(x.swapaxes(1, 2).reshape(-1, x.shape[1]), 0), weight, bias, [1])
    return y.reshape(x.swapaxes(1, 2).shape).swapaxes(1, 2)


HEALTHY = [
    (lambda x: hat(x.reshape(*x.shape[:3], 2, -1), (1, 2, 4)).reshape(x.shape), "group", 2, LAST),
    (read(lambda n, h, w, c: (-1, c), 0, affine=[1])(), "batch", None, LAST),
    (read(lambda n, t, c: (n, t, 2, c // 2), 3)(), "per_head", 2, LAST | {"shape": (3, 5, 8)}),
    (read(lambda n, c, h, w: (n, 4, -1), 2, own=1)(), "group", 4, {"shape": (2, 8, 8, 8)}),
    (read(lambda n, c, h, w: (n, -1), 1, own=1)(), "layer", None, {"shape": (2, 4, 4, 4)}),
    (tokens, "batch", None, {"shape": (4, 6, 5)}),
    (lambda x: hat(x.swapaxes(0, 1).reshape(4, -1), 1).reshape(4, 3, 5).swapaxes(0, 1), "batch", None,
     {"shape": (3, 4, 5)}),
    (lambda x: hat(x.reshape(len(x), -1, order="F"), 1).reshape(x.shape, order="F"), "layer", None, {}),
]  # fmt: skip


def test_reshapes_that_are_right_pass():
    for number, (fn, method, groups, options) in enumerate(HEALTHY):
        verdict = nv.check(fn, method, groups, **options)
        assert verdict.passed, f"{number}: {verdict}"


def grouped(groups, axes=(2, 3, 4), own=1):
    return read(lambda n, c, h, w: (n, groups, c // groups, h, w), axes, own=own)


def heads(count):
    return read(lambda n, t, c: (n, t, count, c // count), 3, own=2)


def own_axes(axes, own=None):
    return read(lambda *shape: shape, axes, own=own)


CUBE = LAST | {"shape": (3, 6, 6, 6)}
TOKENS = LAST | {"shape": (2, 3, 48)}
OTHERS = [
    ("channels-last", own_axes((0, 2, 3), own=1), "batch", None, CUBE),
    ("channels-last", own_axes((0, 2, 3)), "batch", None, CUBE),
    ("channels-last", own_axes((2, 3), own=1), "instance", None, CUBE),
    ("channels-last", own_axes(2, own=1), "instance", None, LAST | {"shape": (3, 6, 6)}),
    ("channels-last", own_axes(1, own=1), "positional", None, CUBE),
    ("channels-last", own_axes((0, 1, 2), own=3), "batch", None, {"shape": (3, 6, 6, 6)}),
    ("channels-last", grouped(2), "group", 2, CUBE),
    ("channels-last", grouped(4), "group", 4, LAST | {"shape": (2, 8, 5, 8)}),
    ("wrong-groups", grouped(2), "group", 4, {}),
    ("wrong-groups", grouped(3), "group", 4, {"shape": (2, 12, 3, 5)}),
    ("wrong-groups", grouped(6), "group", 2, {"shape": (2, 12, 3, 5)}),
    ("wrong-groups", heads(2), "per_head", 4, TOKENS),
    ("wrong-groups", read(lambda n, c, t: (4, -1, c, t), (1, 3), own=1), "ghost", 2, {"shape": (12, 3, 4)}),
    ("wrong-axes", grouped(1), "group", 4, {}),
    ("wrong-axes", grouped(8), "group", 4, {}),
    ("wrong-axes", heads(1), "per_head", 4, TOKENS),
    ("wrong-axes", own_axes(None, own=1), "batch", None, {}),
    ("wrong-axes", own_axes((1, 2)), "positional", None, LAST | {"shape": (3, 6, 8)}),
    ("sets", heads(4), "positional", None, TOKENS),
    ("sets", grouped(4), "layer", None, {}),
    ("sets", grouped(4), "instance", None, {}),
]
"""(code, function of what else is wrong, method, num_groups, options)."""


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_other_sets(number):
    code, bug, method, groups, options = OTHERS[number]
    verdict = nv.check(bug(), method, groups, **options)
    assert verdict.codes == (code,), str(verdict)


@pytest.mark.parametrize("number", [0, 2, 6, 8, 11, 13, 16])
def test_other_sets_and_another_bug(number):
    code, bug, method, groups, options = OTHERS[number]
    for also, how in ALSO.items():
        verdict = nv.check(bug(**how), method, groups, **options)
        assert {*verdict.codes} == {code, also}, str(verdict)


def test_both_numbers_of_groups_are_given():
    finding = nv.check(grouped(3)(), "group", 4, shape=(2, 12, 3, 5)).findings[0]
    assert finding.details == {"num_groups": 3, "asked": 4}
    text = "fn makes 3 groups of 4 channels, not 4 groups of 3, as if num_groups = 4 were the number "
    assert finding.message.startswith(f"{text}of channels in a group. At cell ")
    for made, name in ((1, "Layer Norm: 1 group,"), (8, "Instance Norm: 8 groups,")):
        finding = nv.check(grouped(made)(), "group", 4, shape=(3, 8, 5, 4)).findings[0]
        assert finding.details["num_groups"] == made
        assert f", those of {name} not 4. At cell " in finding.message


def test_sets_are_named_or_measured_where_the_rest_is_not_explained():
    """A scale that no method has, and sets that no known bug makes."""

    def per_head_rms(x, weight):
        return hat(x.reshape(2, 3, 3, 16), 3, centered=False).reshape(x.shape) * weight

    for method, options in (("batch", {}), ("layer", {}), ("positional", LAST | {"shape": (3, 6, 8)}), ("group", {})):
        groups = 2 if method == "group" else None
        finding = nv.check(lambda x: 2 * hat(x, None) + 0.5, method, groups, **options).findings[0]
        assert finding.code == "wrong-axes"
        assert ", and more is wrong. At cell " in finding.message
    finding = nv.check(per_head_rms, "rms", **TOKENS).findings[0]
    assert finding.code == "sets"
    assert finding.message.startswith(
        "fn pools other cells: probe measures 18 sets of 16 cells each, in boxes of 1 × 1 × 16, but the method pools "
        "6 sets of 48 cells each, in boxes of 1 × 1 × 48. At cell "
    )
    finding = nv.check(lambda x: abs(hat(x, (0, 2, 3))), "batch").findings[0]
    assert "the cells that influence one another are the right ones, but another step follows" in finding.message


APART = [
    (
        (2, 3),
        3,
        "instance",
        1,
        "the variance over axis 3 and the mean over axes (2, 3), but the method takes both over",
    ),
    (2, 3, "instance", 1, "the variance over axis 3 and the mean over axis 2"),
    ((0, 2, 3), (2, 3), "batch", 1, "the variance over axes (2, 3) and the mean over axes (0, 2, 3)"),
    ((2, 3), (0, 2, 3), "batch", 1, "the variance over axes (0, 2, 3) and the mean over axes (2, 3)"),
    ((0, 2, 3), (2, 3), "instance", 1, "the variance over axes (2, 3) and the mean over axes (0, 2, 3)"),
    (1, (1, 2, 3), "layer", 1, "the variance over axes (1, 2, 3) and the mean over axis 1"),
    ((1, 2), 1, "instance", -1, "the variance over axis 1 and the mean over axes (1, 2)"),
    ((2, 3), (2, 3), "group", 1, "over axes (2, 3) and the mean over boxes of 1 × 4 × 5 × 4"),
]
"""(axes of the mean, of the variance, method, channel_axis, words); Group Norm has the mean of its groups."""


@pytest.mark.parametrize("number", range(len(APART)))
def test_mean_and_variance_over_other_cells(number):
    of_mean, of_variance, method, axis, words = APART[number]
    groups = 2 if method == "group" else None

    def mean(x):
        return (
            (x.reshape(len(x), 2, -1).mean(-1).repeat(4, 1)[..., None, None])
            if groups
            else x.mean(of_mean, keepdims=True)
        )

    def plain(x):
        return (x - mean(x)) / np.sqrt(x.var(of_variance, keepdims=True) + 1e-5)

    def around_that_mean(x):
        return (x - mean(x)) / np.sqrt(np.square(x - mean(x)).mean(of_variance, keepdims=True) + 1e-5)

    def eps_outside(x):
        return (x - mean(x)) / (x.std(of_variance, keepdims=True) + 1e-5)

    def unbiased(x):
        return (x - mean(x)) / np.sqrt(x.var(of_variance, keepdims=True, ddof=1) + 1e-5)

    for fn, codes in (
        (plain, ()),
        (around_that_mean, ()),
        (eps_outside, ("eps-outside",)),
        (unbiased, ("unbiased-variance",)),
    ):
        verdict = nv.check(fn, method, groups, channel_axis=axis)
        if of_mean == 2 and codes:  # sets that are no boxes: no second bug is looked for
            assert verdict.codes == ("sets",)
            continue
        assert verdict.codes == ("wrong-axes", *codes), str(verdict)
        assert words in verdict.findings[0].message
        assert fn is not unbiased or "by |S| - 1, not by |S|. At cell" in verdict.findings[1].message


def test_probe_names_the_reshape():
    for bug, shape, axis, said in (
        (
            read(keras, (2, 3, 4)),
            (3, 5, 4, 8),
            -1,
            "Group Norm with G = 2 where x of shape (N, H, W, C) is read as (N, G",
        ),
        (read(lambda n, c, t: (-1, c), 0), (4, 6, 5), 1, "Batch Norm where x of shape (N, C, L) is read as (N, L, C)"),
        (read(lambda n, c, h, w: (n, h, w, c), 3), (4, 8, 6, 6), 1, "Positional Layer Norm where x of shape (N, C, H"),
        (read(keras, (2, 3, 4)), (2, 8, 8, 16), -1, "Group Norm with G = 2 where x of shape (N, H, W, C) is read as"),
    ):
        text = str(nv.probe(bug(), shape, channel_axis=axis))
        assert f" They are those of {said}" in text, text
        assert ". Was a reshape used in place of a transpose? " in text
    for name, case in NUMPY.items():
        if case.sets is not None or (case.truth["block"] and not case.truth["method"]):
            assert "reshape" not in str(nv.probe(case.fn, case.shape, channel_axis=case.axis)), name


def other_layers():
    """(code, layer of PyTorch, method, num_groups, options)."""
    T = pytest.importorskip("torch", reason="PyTorch is not installed").nn
    return [
        ("wrong-axes", T.LayerNorm([6, 8]), "positional", None, LAST | {"shape": (3, 6, 8)}),
        ("wrong-axes", T.LayerNorm([6, 8]), "positional", None, LAST),
        ("wrong-axes", T.RMSNorm([6, 8], eps=1e-5), "rms", None, LAST | {"shape": (3, 6, 8)}),
        ("wrong-axes", T.LayerNorm([8, 5, 4]), "group", 2, {}),
        ("wrong-axes", T.LayerNorm([8, 7, 9]), "batch", None, {}),
        ("wrong-axes", T.LayerNorm([5, 4]), "layer", None, {"shape": (3, 8, 5, 4)}),
        ("wrong-axes", T.LayerNorm(8), "batch", None, {}),
        ("wrong-axes", T.LayerNorm(4), "group", 2, {"shape": (3, 8, 5, 4)}),
        ("wrong-axes", T.BatchNorm2d(8), "layer", None, {}),
        ("channels-last", T.LayerNorm(8), "positional", None, {}),
        ("channels-last", T.BatchNorm2d(8), "batch", None, LAST),
        ("channels-last", T.GroupNorm(2, 6), "group", 2, CUBE),
        ("affine", T.LayerNorm([5, 4]), "instance", None, {"shape": (3, 8, 5, 4)}),
        ("sets", T.GroupNorm(4, 8), "batch", None, {}),
        ("raises", T.BatchNorm1d(8), "batch", None, {"shape": (3, 8, 5, 4)}),
        ("raises", T.BatchNorm2d(8), "batch", None, LAST | {"shape": (3, 5, 4, 8)}),
    ]


def test_another_layer_ends_in_a_finding():
    for code, layer, method, groups, options in other_layers():
        for parameter in layer.parameters():
            parameter.data.uniform_(0.5, 1.5)
        before = [p.tolist() for p in layer.parameters()]
        verdict = nv.check(layer, method, groups, **options)
        assert verdict.codes == (code,), f"{layer}, {method}: {verdict}"
        assert [p.tolist() for p in layer.parameters()] == before
    assert verdict.findings[0].message.endswith(" It takes an input of shape (3, 8, 5, 4): are its channels on axis 1?")


def test_boxes_of_another_method_have_its_name():
    T = pytest.importorskip("torch", reason="PyTorch is not installed").nn
    features = ", those of Positional Layer Norm, which a transformer's LayerNorm is. At"
    for layer, method, options, said in (
        (T.LayerNorm(16), "layer", LAST, features),
        (T.LayerNorm(16), "layer", {}, features.replace("Norm, which", "Norm with channel_axis=-1, which")),
        (T.LayerNorm([5, 4]), "layer", {"shape": (3, 8, 5, 4)}, "boxes of 1 × 1 × 5 × 4, those of Instance Norm. At"),
        (
            T.RMSNorm(4, eps=1e-5),
            "frn",
            {"shape": (3, 8, 5, 4)},
            "takes squares over axes (3,), so its sets are boxes of 1 × 1 × 1 × 4, those of RMS Norm with "
            "channel_axis=-1. At",
        ),
    ):
        assert said in nv.check(layer, method, **options).findings[0].message
    for name in ("LayerNorm", "layer_norm"):
        with pytest.raises(ValueError, match=r"'layer' pools \(C, H, W\), and 'positional' the C features of each"):
            nv.check(T.LayerNorm(16), name)
    curved = lambda x: x / np.sqrt(np.cbrt((x * x).mean(1, keepdims=True)) + 1e-5)  # noqa: E731
    message = nv.check(curved, "rms").findings[0].message
    assert "but the square root of mean square + eps is " in message
    assert ": a mean square of " in message


def moved(axes, *, order, affine=None, own=None):
    """Transpose x, normalize it, and give the result the shape of x by a reshape."""

    def with_also(**also):
        def plain(x):
            return hat(x.transpose(order), axes, **also)

        if own is not None:
            return lambda x, weight, bias: scaled(plain(x).reshape(x.shape), weight, bias, [own])
        if affine is not None:
            return lambda x, weight, bias: scaled(plain(x), weight, bias, [affine]).reshape(x.shape)
        return lambda x: plain(x).reshape(x.shape)

    return with_also


MOVED = [
    (moved((0, 1, 2), order=(0, 2, 3, 1)), "batch", {}, "(N, H, W, C) is taken for (N, C, H, W)"),
    (moved((0, 1, 2), order=(0, 2, 3, 1), affine=3), "batch", {}, "(N, H, W, C) is taken for (N, C, H, W)"),
    (moved((0, 1, 2), order=(0, 2, 3, 1), own=1), "batch", {}, "(N, H, W, C) is taken for (N, C, H, W)"),
    (moved((2, 3), order=(0, 3, 1, 2), own=3), "instance", LAST, "(N, C, H, W) is taken for (N, H, W, C)"),
    (moved(2, order=(0, 2, 1), affine=2), "positional", {"shape": (3, 8, 5)}, "(N, L, C) is taken for (N, C, L)"),
    (moved(2, order=(0, 2, 1)), "positional", {"shape": (3, 6, 6)}, "(N, L, C) is taken for (N, C, L)"),
    (moved(1, order=(1, 0), affine=0), "batch", {"shape": (6, 8)}, "(C, N) is taken for (N, C)"),
]


def test_a_result_that_is_not_transposed_back():
    for bug, method, options, said in MOVED:
        for code, how in ({"": {}} | ALSO).items():
            verdict = nv.check(bug(**how), method, **options)
            assert {*verdict.codes} == {RESHAPE, code} - {""}, str(verdict)
            message = verdict.findings[0].message
            assert f"its result of shape {said}, so its numbers land in other cells. At cell " in message


@pytest.mark.parametrize("number", [2, 5, 8, 15])
def test_weight_and_bias_misread_and_exchanged(number):
    bug, method, groups, options = MISREAD[number]
    verdict = nv.check(lambda x, weight, bias: bug()(x, bias, weight), method, groups, **options)
    assert {*verdict.codes} == {RESHAPE, "affine-swapped"}, str(verdict)


@pytest.mark.parametrize("number", [0, 5, 6, 8, 16])
def test_other_sets_and_a_weight_left_out(number):
    code, bug, method, groups, options = OTHERS[number]
    verdict = nv.check(lambda x, weight, bias: bug()(x, 0 * weight + 1, bias), method, groups, **options)
    assert {*verdict.codes} == {code, "affine"}, str(verdict)
