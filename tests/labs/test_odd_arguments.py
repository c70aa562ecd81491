"""Error messages of the labs for wrong arguments: one sentence with the subject, the sizes and the remedy."""

from functools import partial

import numpy as np
import pytest

import normviz as nv
from normviz.core.errors import brief
from tests.core.cases import each_message, refuses
from tests.labs.cases import LABS, SMALL, WIDE, X

labs = nv.labs


@each_message(
    [
        (
            partial(labs.batch_size.measure, X, batch_sizes=[]),
            ValueError,
            "batch_sizes is empty; pass at least one, such as (2, 8, 32)",
        ),
        (
            partial(labs.batch_size.measure, X, batch_sizes=4),
            TypeError,
            "batch_sizes must be several values, such as (2, 8, 32), not 4",
        ),
        (
            partial(labs.batch_size.measure, X, batch_sizes=[2.5]),
            TypeError,
            "batch size must be a whole number, not 2.5; give from 1 to 4",
        ),
        (partial(labs.batch_size.measure, X, draws=1), ValueError, "draws=1 must be from 2 to 10000"),
        *[
            (partial(call, **{name: 10**400}), ValueError, f"{name}={brief(10**400)} must be from {low} to 10000")
            for call, name, low in (
                (labs.batch_size.figure, "draws", 2),
                (labs.folding.figure, "num_channels", 1),
                (labs.folding.figure, "repeats", 1),
                (labs.spectrum.figure, "shuffles", 1),
                (labs.train_eval.figure, "depth", 1),
                (labs.train_eval.figure, "steps", 1),
                (labs.training.measure, "epochs", 1),
                (labs.training.measure, "seeds", 1),
            )
        ],
        (partial(labs.coupling.figure, padding=[10**12]), ValueError, f"padding={10**12} must be from 0 to 10000"),
        (partial(labs.batch_size.measure, X, seed=-1), ValueError, "seed=-1 must be 0 or more"),
        (partial(labs.batch_size.measure, X[:1]), ValueError, "x has N=1 samples; this lab needs at least 2"),
        (
            partial(labs.batch_size.measure, X * 1e200),
            ValueError,
            f"the largest value of x is {np.abs(X).max() * 1e200:.0e}, too far from 1 to be squared; scale x first",
        ),
        (partial(labs.coupling.measure, X[:1]), ValueError, "x has N=1 samples; this lab needs at least 2"),
        (
            partial(labs.coupling.measure, X, num_groups=4),
            ValueError,
            "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6",
        ),
        (
            partial(labs.coupling.measure, X, padding=[]),
            ValueError,
            "padding is empty; pass at least one, such as (0, 16)",
        ),
        (
            partial(labs.spectrum.measure, X[..., 0, 0]),
            ValueError,
            "x of shape (4, 6) has one cell per channel; this lab needs at least 2 to halve them",
        ),
        (
            partial(labs.train_eval.measure, X, batch_sizes=[2], momenta=[2]),
            ValueError,
            "momentum=2.0 is not between 0 and 1; None takes the plain average",
        ),
        (partial(labs.train_eval.measure, X, momenta=[None]), TypeError, "momentum must be a number, not None"),
        (
            partial(labs.train_eval.measure, X, batch_sizes=[2], channel=6),
            ValueError,
            "channel=6 must be from 0 to 5, a channel of x",
        ),
        (
            partial(labs.train_eval.measure, X[..., 0, 0], batch_sizes=[1, 2]),
            ValueError,
            "a batch of N=1 has one cell per channel, which has no variance; use a larger batch",
        ),
        (
            partial(labs.numerics.measure, X, count=9, dtypes=["float8"]),
            ValueError,
            "dtypes=('float8',) must name at least one of float16, float32, float64 and nothing else",
        ),
        (
            partial(labs.numerics.measure, X, dtypes="float32"),
            TypeError,
            "dtypes must be several values, such as (\"float32\",), not 'float32'",
        ),
        (partial(labs.numerics.measure, X, offsets=[np.inf]), ValueError, "offset=inf must be finite"),
        (partial(labs.gradients.measure, SMALL, scales=[0, 1]), ValueError, "scale=0 must be above 0"),
        (partial(labs.gradients.measure, SMALL, scales=[1e150]), ValueError, "scale=1e+150 must be from 0 to 1e+60"),
        (
            partial(labs.training.measure, learning_rates=[1e308]),
            ValueError,
            "learning rate=1e+308 must be from 0 to 1e+30",
        ),
        (
            partial(labs.gradients.measure, np.tile(X, (1, 1, 2, 2))),
            ValueError,
            "x has shape (4, 6, 6, 6), 864 cells; use (N, C, H, W) of at most 144 cells",
        ),
        (partial(labs.relatives.measure, X, tau=np.nan), ValueError, "tau=nan must be finite"),
        (partial(labs.relatives.measure, X, tau=1e308), ValueError, "tau=1e+308 must be from -1e+60 to 1e+60"),
        (partial(labs.relatives.measure, X, g=-1e308), ValueError, "g=-1e+308 must be from -1e+60 to 1e+60"),
        (
            partial(labs.relatives.measure, X, logits=(1e308, -1e308, 0)),
            ValueError,
            "logit=1e+308 must be from -1e+60 to 1e+60",
        ),
        (partial(labs.relatives.figure, X, tau=10**400), ValueError, f"tau={brief(10**400)} must be finite"),
        (partial(labs.numerics.measure, offsets=[10**400]), ValueError, f"offset={brief(10**400)} must be finite"),
        (partial(labs.gradients.measure, scales=[-(10**400)]), ValueError, f"scale={brief(-(10**400))} must be finite"),
        (partial(labs.numerics.measure, offsets=[1j]), TypeError, "offset must be a number, not 1j"),
        (
            partial(labs.numerics.measure, offsets=[np.complex64(1)]),
            TypeError,
            "offset must be a number, not np.complex64(1+0j)",
        ),
        (
            partial(labs.coupling.figure, width=np.array([900])),
            ValueError,
            "width must be a number of pixels from 320 to 9999, not an array of shape (1,)",
        ),
        (
            partial(labs.memory.figure, (10**9,) * 4),
            ValueError,
            f"shape {(10**9,) * 4} has {10**36} cells; a strip can show 400, so make the axes shorter",
        ),
        (partial(labs.relatives.measure, X, g="1"), TypeError, "g must be a number, not '1'"),
        (
            partial(labs.relatives.measure, X, logits=(0, 1)),
            ValueError,
            "logits has 2 values; it needs 3, for instance, layer and batch",
        ),
        (
            partial(labs.folding.measure, X),
            ValueError,
            "x has shape (4, 6, 3, 3); folding needs (N, Cin, H, W) with N >= 2 and maps of 4 x 4 or more",
        ),
        (
            partial(labs.folding.measure, WIDE, num_channels=6, repeats=1),
            ValueError,
            "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6",
        ),
        (
            partial(labs.folding.fold, np.ones((4, 3, 3, 3)), np.ones(2), 1.0),
            ValueError,
            "mean has shape (2,); a kernel of Cout=4 folds with (4,), one value per filter",
        ),
        (
            partial(labs.folding.fold, np.ones((4, 3, 3, 3)), 0.0, -1.0),
            ValueError,
            "var holds a value that is below 0 or not finite",
        ),
        (
            partial(labs.memory.measure, layout="NCWH"),
            ValueError,
            "unknown layout 'NCWH' (known: NCHW, NHWC)",
        ),
        (
            partial(labs.memory.measure, (2, 3)),
            ValueError,
            "shape (2, 3) has 2 axes; the strip needs 4: (N, C, H, W)",
        ),
        (partial(labs.memory.figure, X), TypeError, "shape is x itself; pass x.shape, (4, 6, 3, 3)"),
        (
            partial(labs.style.measure, X),
            TypeError,
            "content must be a whole number, not an array of shape (4, 6, 3, 3); give from 0 to 7",
        ),
        (
            partial(labs.style.measure, alphas=[2]),
            ValueError,
            "alpha=2 is not between 0 (x as it is) and 1 (the style whole)",
        ),
        (
            partial(labs.training.measure, methods=["grup"]),
            ValueError,
            "unknown method 'grup'; did you mean 'group'? (known: batch, group, none)",
        ),
        (
            partial(labs.training.measure, methods="batch"),
            TypeError,
            'methods must be several values, such as ("batch", "group"), not \'batch\'',
        ),
        (partial(labs.training.measure, learning_rates=[-1]), ValueError, "learning rate=-1 must be above 0"),
        (
            partial(labs.training.figure, [1]),
            TypeError,
            "measured must be what measure() returns, or None, not list",
        ),
        (
            partial(labs.training.figure, labs.training.Training((), 1, 1.0, "")),
            ValueError,
            "measured has no run against batch size or none against learning rate; measure both",
        ),
        (
            partial(labs.published.figure, width=100),
            ValueError,
            "width must be a number of pixels from 320 to 9999, not 100",
        ),
        (
            partial(labs.coupling.figure, widht=900),
            TypeError,
            "figure(): unknown keyword 'widht'; did you mean 'width'? (known: x, num_groups, padding, width)",
        ),
    ]
)
def test_message(wrong, error, message):
    refuses(wrong, error, message)


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "call",
    [
        partial(labs.batch_size.measure, X, batch_sizes=LONG),
        partial(labs.batch_size.measure, X, batch_sizes=[[LONG]]),
        partial(labs.batch_size.measure, X, draws=LONG),
        partial(labs.batch_size.measure, X, seed=-(10**4000)),
        partial(labs.coupling.measure, X, padding=[-(10**4000)]),
        partial(labs.numerics.measure, X, dtypes=[LONG]),
        partial(labs.memory.measure, layout=LONG),
        partial(labs.relatives.measure, X, g=LONG),
        partial(labs.relatives.measure, X, g=[0.0] * 1_000_000),
        partial(labs.train_eval.measure, X, momenta=[LONG]),
        partial(labs.training.measure, methods=[LONG]),
        partial(labs.published.figure, width=LONG),
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
    figure = labs.relatives.figure(X, tau=tau, g=tau, logits=(tau, 0, -tau))
    assert all(np.isfinite(step.args[1]["yaxis3.range"]).all() for step in figure.layout.sliders[0].steps)
