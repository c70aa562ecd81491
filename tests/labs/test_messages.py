"""What the labs say to input that does not fit: one sentence with the subject, the sizes and the remedy."""

import re

import numpy as np
import pytest

import normviz as nv

X = np.random.default_rng(0).normal(size=(4, 6, 3, 3))
HOLED = np.where(np.arange(X.size).reshape(X.shape) == 5, np.nan, X)
FLAT = X * (np.arange(6) != 2).reshape(1, 6, 1, 1)
TENSOR_LABS = ("batch_size", "train_eval", "coupling", "spectrum")


@pytest.mark.parametrize("lab", [*TENSOR_LABS, "numerics"])
@pytest.mark.parametrize("verb", ["measure", "figure"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[:0], "x has an empty axis, shape (0, 6, 3, 3); every axis needs at least one cell"),
        (HOLED, "x holds 1 of 216 values that are NaN or infinite; replace them first"),
    ],
)
def test_no_lab_takes_nothing_or_nan(lab, verb, x, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        getattr(getattr(nv.labs, lab), verb)(x)


@pytest.mark.parametrize("lab", TENSOR_LABS)
def test_constant(lab):
    with pytest.raises(ValueError, match=r"^channel 2 of x is constant, 0; pass values that vary$"):
        getattr(nv.labs, lab).measure(FLAT)


labs = nv.labs


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: labs.batch_size.measure(X, batch_sizes=[2, 8]),
            ValueError,
            "batch size=8 is not from 1 to 4, the number of samples in x",
        ),
        (
            lambda: labs.train_eval.measure(X, batch_sizes=[5]),
            ValueError,
            "batch size=5 is not from 1 to 4, the number of samples in x",
        ),
        (
            lambda: labs.batch_size.measure(X, batch_sizes=[]),
            ValueError,
            "batch_sizes is empty; pass at least one, such as (2, 8, 32)",
        ),
        (
            lambda: labs.batch_size.measure(X, batch_sizes=[2.5]),
            TypeError,
            "batch size must be a whole number from 1 to 4, not 2.5",
        ),
        (lambda: labs.batch_size.measure(X[:1]), ValueError, "x has N=1 samples; this lab needs at least 2"),
        (lambda: labs.coupling.measure(X[:1]), ValueError, "x has N=1 samples; this lab needs at least 2"),
        (lambda: labs.spectrum.measure(X[:, :1]), ValueError, "x has C=1 channels; this lab needs at least 2"),
        (
            lambda: labs.spectrum.measure(X[..., 0, 0]),
            ValueError,
            "x of shape (4, 6) has one cell a channel; this lab needs at least 2 to halve them",
        ),
        (
            lambda: labs.coupling.measure(X, num_groups=4),
            ValueError,
            "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6",
        ),
        (
            lambda: labs.coupling.measure(X, padding=[]),
            ValueError,
            "padding is empty; pass at least one length, such as (0, 16)",
        ),
        (
            lambda: labs.train_eval.measure(X, batch_sizes=[2], momenta=[2]),
            ValueError,
            "momentum=2 is not between 0 and 1; None takes the plain average",
        ),
        (
            lambda: labs.train_eval.measure(X, batch_sizes=[2], channel=6),
            ValueError,
            "channel=6 is not from 0 to 5, a channel of x",
        ),
        (
            lambda: labs.train_eval.measure(X[..., 0, 0], batch_sizes=[1, 2]),
            ValueError,
            "a batch of N=1 has one cell a channel, which has no variance; use a larger batch",
        ),
        (
            lambda: labs.numerics.measure(X * 0, count=9),
            ValueError,
            "the first 9 values of channel 0 of x are constant; pass values that vary",
        ),
        (
            lambda: labs.numerics.measure(X, count=99),
            ValueError,
            "count=99 is not from 2 to 36, the cells of a channel of x",
        ),
        (
            lambda: labs.numerics.measure(X, count=9, dtypes=["float8"]),
            ValueError,
            "dtypes=('float8',) must name at least one of float16, float32, float64 and nothing else",
        ),
        (
            lambda: labs.numerics.measure(X, count=9, offsets=[np.inf]),
            ValueError,
            "offsets=(inf,) must be finite numbers, at least one",
        ),
        (
            lambda: labs.published.figure(width=100),
            ValueError,
            "width must be a number of pixels from 320 up, not 100",
        ),
        (
            lambda: labs.coupling.figure(widht=900),
            TypeError,
            "figure(): unknown keyword 'widht'; did you mean 'width'? (known: x, num_groups, padding, width)",
        ),
    ],
)
def test_message(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize("lab", ["train_eval", "coupling", "batch_size"])
def test_one_channel_is_enough_where_channels_are_apart(lab):
    given = {"coupling": {}}.get(lab, {"batch_sizes": [2, 4]})
    assert getattr(nv.labs, lab).figure(X[:, :1], **given).data
