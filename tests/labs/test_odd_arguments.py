"""What the labs say to arguments that make no sense: one sentence with the subject, the sizes and the remedy."""

from functools import partial

import numpy as np

import normviz as nv
from tests.core.cases import each_message, refuses

labs = nv.labs
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3, 3))
SMALL = X[:2]
WIDE = RNG.normal(size=(4, 3, 6, 6))


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
            "batch size must be a whole number from 1 to 4, not 2.5",
        ),
        (partial(labs.batch_size.measure, X, draws=1), ValueError, "draws=1 must be 2 or more"),
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
            "x of shape (4, 6) has one cell a channel; this lab needs at least 2 to halve them",
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
            "channel=6 is not from 0 to 5, a channel of x",
        ),
        (
            partial(labs.train_eval.measure, X[..., 0, 0], batch_sizes=[1, 2]),
            ValueError,
            "a batch of N=1 has one cell a channel, which has no variance; use a larger batch",
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
        (partial(labs.gradients.measure, SMALL, scales=[0, 1]), ValueError, "scales=(0.0, 1.0) must all be above 0"),
        (
            partial(labs.gradients.measure, np.tile(X, (1, 1, 2, 2))),
            ValueError,
            "x has shape (4, 6, 6, 6), 864 cells; use (N, C, H, W) of at most 144 cells",
        ),
        (partial(labs.relatives.measure, X, tau=np.nan), ValueError, "tau=nan must be finite"),
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
            "mean has shape (2,); a kernel of Cout=4 folds with (4,), one value a filter",
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
            "content must be a whole number from 0 to 7, not an array of shape (4, 6, 3, 3)",
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
            "width must be a number of pixels from 320 up, not 100",
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
