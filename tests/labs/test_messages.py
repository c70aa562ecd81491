"""Input that a lab cannot take: one sentence with the subject, the sizes and the remedy, or a figure all the same."""

from functools import partial

import numpy as np
import pytest

import normviz as nv
from normviz import labs
from normviz.core.errors import brief
from normviz.labs import (
    batch_size,
    coupling,
    folding,
    gradients,
    memory,
    numerics,
    published,
    relatives,
    spectrum,
    style,
    train_eval,
    training,
)
from tests.core.cases import each_message, refuses
from tests.labs.cases import KINDS, LABS, SMALL, WIDE, X

VERBS = {"training": ("measure",), "style": ("measure", "figure")}
"""figure of `training` takes what was measured."""
CASES = [(lab, kind) for lab, row in LABS.items() for kind, case in row.bad_input.items() if not isinstance(case, str)]


def test_every_lab_has_a_row_with_every_kind():
    assert set(LABS) == set(labs.__all__)
    assert all(set(row.bad_input) == set(KINDS) for row in LABS.values())


def call(lab, verb, given):
    given = given if isinstance(given, dict) else {"shape" if lab == "memory" else "x": given}
    return getattr(getattr(labs, lab), verb)(**LABS[lab].quick | given)


@pytest.mark.parametrize(("lab", "kind"), CASES)
def test_input_that_does_not_fit(lab, kind):
    given, message = LABS[lab].bad_input[kind]
    for verb in VERBS.get(lab, ("measure", "figure")):
        if message is None:
            continue
        # Only the picture of a strip has a maximal length.
        if lab == "memory" and kind == "N larger than the data" and verb == "measure":
            assert call(lab, verb, given).labels.size == 2304
            continue
        error = TypeError if message.startswith("shape must") else ValueError
        refuses(partial(call, lab, verb, given), error, message)


@pytest.mark.parametrize("lab", [lab for lab, row in LABS.items() if row.bad_input["one channel"][1] is None])
def test_one_channel_is_enough_where_channels_are_separate(lab):
    given = LABS[lab].bad_input["one channel"][0]
    figure, found = call(lab, "figure", given), call(lab, "measure", given)
    if lab == "batch_size":
        assert found.mean_error.shape == (3, 1)  # of 1, 2, 4 samples
        assert [step.label for step in figure.layout.sliders[0].steps] == ["0"]
    elif lab == "coupling":
        # Layer, Instance and Group Norm have one and the same set; one value by itself is its own mean.
        assert np.ptp(found.moved[1:4], axis=0).max() < 1e-12
        assert not found.moved[4].any()
    elif lab == "folding":
        np.testing.assert_allclose(found.outputs["batch folded"], found.outputs["batch"], rtol=0, atol=1e-12)
    elif lab == "memory":
        assert [len(found.runs(k)) for k in range(2)] == [1, 1]
        assert figure.layout.updatemenus[0].buttons[0].label == "Loops for NCHW"
    elif lab == "numerics":
        assert found.count == 36
        return  # where a type can't hold an offset, its line ends
    elif lab == "relatives":
        np.testing.assert_allclose(found.outputs["rms"], np.sign(given), atol=1e-2)
    elif lab == "train_eval":
        assert found.gap.shape == (2, 3, 2)  # of 2 and 4 samples
    assert np.isfinite(
        [v for trace in figure.data if trace.type == "scatter" for v in np.ravel(trace.y) if v is not None]
    ).all()


def test_default_batch_sizes_fit_the_data():
    assert batch_size.measure(X, draws=5).batch_sizes == (1, 2, 4)
    assert train_eval.measure(X, steps=2, depth=1).batch_sizes == (2, 4)
    assert batch_size.measure(draws=5).batch_sizes == batch_size.BATCH_SIZES
    assert numerics.measure(X, offsets=[0]).count == 36


def test_equal_means_give_no_effective_number():
    """Samples with equal means count for infinitely many values, and there is no line to draw."""
    same = nv.normalize(X, "instance")
    figure = batch_size.figure(same, draws=5)
    assert figure.layout.annotations[0].text == "Error of the mean: k\u00a0=\u00a0∞"
    coins = np.tile([0.0, 1.0], 18).reshape(4, 1, 9)
    figure = batch_size.figure(coins, draws=5)
    assert set(figure.data[5].y) == {None}


def test_sets_of_one_cell_have_no_gradient():
    norms = gradients.measure(SMALL[..., :1, :1]).norms
    assert np.isnan(norms["instance"]).all()
    assert np.isfinite(norms["layer"]).all()


KERNEL = np.ones((4, 3, 3, 3))
MESSAGES = [
    (partial(batch_size.measure, X, batch_sizes=[]), ValueError, "batch_sizes ... least one, such as (2, 8, 32)"),
    (partial(batch_size.measure, X, batch_sizes=4), TypeError, "batch_sizes ... such as (2, 8, 32), not 4"),
    (partial(batch_size.measure, X, batch_sizes=[2.5]), TypeError, "batch size ... number, not 2.5; give from 1 to 4"),
    (partial(batch_size.measure, X, draws=1), ValueError, "draws=1 must be from 2 to 10000"),
    *[
        (partial(call, **{name: 10**400}), ValueError, f"{name}={brief(10**400)} must be from {low} to 10000")
        for call, name, low in (
            (batch_size.figure, "draws", 2),
            (folding.figure, "num_channels", 1),
            (folding.measure_cost, "rounds", 1),
            (spectrum.figure, "shuffles", 1),
            (train_eval.figure, "depth", 1),
            (train_eval.figure, "steps", 1),
            (training.measure, "epochs", 1),
            (training.measure, "seeds", 1),
        )
    ],
    (partial(coupling.figure, padding=[10**12]), ValueError, f"padding={10**12} must be from 0 to 10000"),
    (partial(batch_size.measure, X, seed=-1), ValueError, "seed=-1 must be 0 or more"),
    (partial(batch_size.measure, X, source=[1]), ValueError, "source has 1 numbers for N=4 samples; give one for ..."),
    (partial(batch_size.measure, X, source=[0.5]), TypeError, "source ... number, not 0.5; give 0 or more"),
    (partial(batch_size.measure, X, source=4), TypeError, "source ... such as (0, 0, 1), not 4"),
    (partial(batch_size.measure, X[:1]), ValueError, "x has N=1 samples; this lab needs at least 2"),
    (partial(batch_size.measure, X * 1e200), ValueError, "the largest value of x is ...e+200, ...; scale x first"),
    (partial(coupling.measure, X[:1]), ValueError, "x has N=1 samples; this lab needs at least 2"),
    (partial(coupling.measure, X, num_groups=4), ValueError, "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6"),
    (partial(coupling.measure, X, padding=[]), ValueError, "padding is empty; pass at least one, such as (0, 16)"),
    (partial(spectrum.measure, X[..., 0, 0]), ValueError, "x of shape (4, 6) ... lab needs at least 2 to halve them"),
    (partial(train_eval.measure, X, batch_sizes=[2], momenta=[2]), ValueError, "momentum=2.0 ... plain average"),
    (partial(train_eval.measure, X, momenta=[None]), TypeError, "momentum must be a number, not None"),
    (partial(train_eval.measure, X, batch_sizes=[2], channel=6), ValueError, "channel=6 ... 0 to 5, a channel of x"),
    (partial(train_eval.measure, X[..., 0, 0], batch_sizes=[1, 2]), ValueError, "a batch of N=1 ... larger batch"),
    (partial(numerics.measure, X, count=9, dtypes=["float8"]), ValueError, "dtypes=('float8',) must name ... else"),
    (
        partial(numerics.measure, X, dtypes="float32"),
        TypeError,
        'dtypes must be several values, ... ("float32",), not ...',
    ),
    (partial(numerics.measure, X, offsets=[np.inf]), ValueError, "offset=inf must be finite"),
    (partial(gradients.measure, SMALL, scales=[0, 1]), ValueError, "scale=0 must be above 0"),
    (partial(gradients.measure, SMALL, scales=[1e150]), ValueError, "scale=1e+150 must be from 0 to 1e+60"),
    (partial(training.measure, learning_rates=[1e308]), ValueError, "learning rate=1e+308 must be from 0 to 1e+30"),
    (partial(gradients.measure, np.tile(X, (1, 1, 2, 2))), ValueError, "x has shape (4, 6, 6, 6), ... most 144 cells"),
    (partial(relatives.measure, X, tau=np.nan), ValueError, "tau=nan must be finite"),
    (partial(relatives.measure, X, tau=1e308), ValueError, "tau=1e+308 must be from -1e+60 to 1e+60"),
    (partial(relatives.measure, X, g=-1e308), ValueError, "g=-1e+308 must be from -1e+60 to 1e+60"),
    (partial(relatives.measure, X, logits=(1e308, -1e308, 0)), ValueError, "logit=1e+308 must be from -1e+60 to 1e+60"),
    (partial(relatives.figure, X, tau=10**400), ValueError, f"tau={brief(10**400)} must be finite"),
    (partial(numerics.measure, offsets=[10**400]), ValueError, f"offset={brief(10**400)} must be finite"),
    (partial(gradients.measure, scales=[-(10**400)]), ValueError, f"scale={brief(-(10**400))} must be finite"),
    (partial(numerics.measure, offsets=[1j]), TypeError, "offset must be a number, not 1j"),
    (partial(numerics.measure, offsets=[np.complex64(1)]), TypeError, "offset ... number, not np.complex64(1+0j)"),
    (partial(coupling.figure, width=np.array([900])), ValueError, "width ... 320 to 9999, not an array of shape (1,)"),
    (partial(memory.figure, (10**9,) * 4), ValueError, f"shape ... {10**36} cells; ... so make the axes shorter"),
    (partial(relatives.measure, X, g="1"), TypeError, "g must be a number, not '1'"),
    (partial(relatives.measure, X, logits=(0, 1)), ValueError, "logits has 2 values; it needs 3, ... layer and batch"),
    (partial(folding.measure, X), ValueError, "x has shape (4, 6, 3, 3); ... W) with N >= 2 and maps of 4 x 4 or more"),
    (partial(folding.measure, WIDE, num_channels=6), ValueError, "num_groups=4 ... do: 1, 2, 3, 6"),
    (partial(folding.fold, KERNEL, np.ones(2), 1.0), ValueError, "mean ... (2,); ... (4,), one value per filter"),
    (
        partial(folding.fold, KERNEL, 0.0, 1.0, conv_bias=[1, 2]),
        ValueError,
        "conv_bias ... (2,); ... one value per filter",
    ),
    (partial(folding.measure_cost, channels=[0]), ValueError, "channels=0 must be from 1 to 4096"),
    (partial(folding.figure, cost=3), TypeError, "cost must be what measure_cost() returns, or None, not int"),
    (partial(folding.fold, KERNEL, 0.0, -1.0), ValueError, "var holds a value that is below 0 or not finite"),
    (partial(memory.measure, layout="NCWH"), ValueError, "unknown layout 'NCWH' (known: NCHW, NHWC)"),
    (partial(memory.measure, (2, 3)), ValueError, "shape (2, 3) has 2 axes; the strip needs 4: (N, C, H, W)"),
    (partial(memory.figure, X), TypeError, "shape is x itself; pass x.shape, (4, 6, 3, 3)"),
    (partial(style.measure, X), TypeError, "content must be a whole ... array of shape (4, 6, 3, 3); give from 0 to 7"),
    (partial(style.measure, alphas=[2]), ValueError, "alpha=2 is not between 0 (x as it is) and 1 (the style whole)"),
    (partial(training.measure, methods=["grup"]), ValueError, "unknown method 'grup'; did you ... batch, group, none)"),
    (partial(training.measure, methods="batch"), TypeError, 'methods must be several ... ("batch", "group"), ...'),
    (partial(training.measure, learning_rates=[-1]), ValueError, "learning rate=-1 must be above 0"),
    (partial(training.figure, [1]), TypeError, "measured must be what measure() returns, or None, not list"),
    (partial(training.figure, training.Training((), 1, 1.0, "")), ValueError, "measured ... rate; measure both"),
    (partial(published.figure, width=100), ValueError, "width must be a number of pixels from 320 to 9999, not 100"),
    (
        partial(published.figure, width=640, presenter=True),
        ValueError,
        "the width of a figure for a projector must be a number of pixels from 800 to 9999, not 640",
    ),
    (partial(published.figure, presenter=1), TypeError, "presenter must be True or False, not 1"),
    (
        partial(coupling.figure, widht=900),
        TypeError,
        "figure(): ... 'width'? (known: x, ... presenter)",
    ),
]


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "call",
    [
        partial(batch_size.measure, X, batch_sizes=LONG),
        partial(batch_size.measure, X, batch_sizes=[[LONG]]),
        partial(batch_size.measure, X, draws=LONG),
        partial(batch_size.measure, X, seed=-(10**4000)),
        partial(coupling.measure, X, padding=[-(10**4000)]),
        partial(numerics.measure, X, dtypes=[LONG]),
        partial(memory.measure, layout=LONG),
        partial(relatives.measure, X, g=LONG),
        partial(relatives.measure, X, g=[0.0] * 1_000_000),
        partial(train_eval.measure, X, momenta=[LONG]),
        partial(training.measure, methods=[LONG]),
        partial(published.figure, width=LONG),
    ],
)
def test_a_message_is_short_for_a_long_value(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert len(str(caught.value)) < 300


def alternating(value, dtype=np.float64):
    """Return x of one magnitude whose samples change their sign, at half of it in one row."""
    x = np.full((4, 6, 4, 4), value, dtype)
    x[::2] *= -1
    x[3, :, 0] *= dtype(0.5)
    return x


def with_signalling_nan(dtype, bits, unsigned):
    x = alternating(1, dtype)
    x.view(unsigned)[1, 2, 3, 3] = bits
    return x


EXTREME = {
    "float64 max": alternating(np.finfo(float).max),
    "float32 max": alternating(np.finfo(np.float32).max, np.float32),
    "float16 max": alternating(np.finfo(np.float16).max, np.float16),
    "1e308": alternating(1e308),
    "largest": alternating(9e59),
    "smallest": alternating(2e-60),
    "float64 subnormal": alternating(1e-323),
    "float32 subnormal": alternating(3e-45, np.float32),
    "float16 subnormal": alternating(1.2e-7, np.float16),
    "infinite": np.where(np.arange(16).reshape(4, 4) == 3, np.inf, alternating(1.0)),
    "signalling float64": with_signalling_nan(np.float64, 0x7FF4 << 48, np.uint64),
    "signalling float32": with_signalling_nan(np.float32, 0x7FA0 << 16, np.uint32),
    "signalling float16": with_signalling_nan(np.float16, 0x7D00, np.uint16),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", EXTREME.values(), ids=EXTREME)
@pytest.mark.parametrize("lab", [lab for lab, row in LABS.items() if "NaN" in str(row.bad_input["NaN"][1])])
def test_extreme_values_give_a_figure_or_one_sentence_without_a_warning(lab, x):
    x = x[:2, :, :3, :3] if lab == "gradients" else x
    try:
        figure = getattr(labs, lab).figure(x, **LABS[lab].quick)
    except ValueError as error:
        assert str(error).startswith(("x holds ", "the largest value of x is "))  # noqa: PT017
    else:
        assert np.isfinite(x).all()
        assert figure.data


@pytest.mark.parametrize("tau", [-1e60, 1e60])
def test_the_largest_parameters_of_the_relatives_give_finite_numbers_without_a_warning(tau):
    figure = relatives.figure(X, tau=tau, g=tau, logits=(tau, 0, -tau))
    assert all(np.isfinite(step.args[1]["yaxis3.range"]).all() for step in figure.layout.sliders[0].steps)
