"""What the relatives say to bad input: one sentence with the subject, the sizes and the remedy."""

import numpy as np

import normviz as nv
from normviz import relatives as r
from tests.core.cases import each_message, refuses

X = np.ones((2, 6, 3, 3))
MESSAGES = [
    # the rows of the table
    (
        lambda: nv.pooling("ghost", X.shape, num_groups=3),
        ValueError,
        "num_groups=3 does not divide N=2; these do: 1, 2 (slices of 2, 1 samples)",
    ),
    (
        lambda: nv.statistics(X, "ghost"),
        ValueError,
        "method 'ghost' needs num_groups; these divide N=2: 1, 2 (slices of 2, 1 samples)",
    ),
    (
        lambda: nv.normalize(X, "ghost", num_groups=True),
        TypeError,
        "num_groups must be an int, not True; these divide N=2: 1, 2 (slices of 2, 1 samples)",
    ),
    (
        lambda: nv.normalize(X, "weight_norm", num_groups=1),
        ValueError,
        "num_groups=1 means nothing to method 'weight_norm'; leave it out",
    ),
    (
        lambda: nv.normalize(X, "weight_norm", weight=np.ones(6)),
        ValueError,
        "weight has shape (6,); method 'weight_norm' on Cout=2 output channels needs (2,)",
    ),
    # the functions
    (lambda: r.frn(X, tau=np.ones(3)), ValueError, "tau has shape (3,); it needs (6,), one threshold per channel"),
    (lambda: r.frn(X, tau=["a"] * 6), TypeError, "tau has dtype <U1; use a float"),
    (
        lambda: r.frn(X, weight=np.ones(3)),
        ValueError,
        "weight has shape (3,); method 'frn' on C=6 channels needs (6,)",
    ),
    (
        lambda: r.frn_gradient(X, X[:1]),
        ValueError,
        "grad_output has shape (1, 6, 3, 3); it must be x's, (2, 6, 3, 3)",
    ),
    (
        lambda: r.frn_gradient(X, X[..., :2], channel_axis=-1),
        ValueError,
        "grad_output has shape (2, 6, 3, 2); it must be x's, (2, 6, 3, 3)",
    ),
    (
        lambda: r.switchable(X, mean_weights=[1, 2]),
        ValueError,
        "mean_weights has shape (2,); it needs (3,), a logit each for instance, layer and batch",
    ),
    (
        lambda: r.switchable(X, var_weights=[0, 0, np.inf]),
        ValueError,
        "var_weights holds inf; logits are finite, and 1e3 is far enough",
    ),
    (
        lambda: r.switchable_gradient(X, X, eps=0),
        ValueError,
        "eps=0 is not > 0; without it a constant set divides by zero (PyTorch's default is 1e-5)",
    ),
    (
        lambda: r.conditional_instance(X, [0, 1]),
        ValueError,
        "neither weight nor bias is given; conditional_instance needs a table of shape (S, 6)",
    ),
    (
        lambda: r.conditional_instance(X, [0, 1], weight=np.ones(6)),
        ValueError,
        "weight has shape (6,); it needs (S, 6), a row per style and an entry per channel",
    ),
    (
        lambda: r.conditional_instance(X, [0, 1], weight=np.ones((3, 6)), bias=np.ones((2, 6))),
        ValueError,
        "bias has shape (2, 6); it needs (3, 6), as the other table",
    ),
    (
        lambda: r.conditional_instance(X, [0, 3], weight=np.ones((3, 6))),
        ValueError,
        "style holds 3; weight has S=3 styles, 0 to 2",
    ),
    (
        lambda: r.conditional_instance(X, [0.0, 1.0], bias=np.ones((3, 6))),
        TypeError,
        "style has dtype float64; use whole numbers, one per sample",
    ),
    (
        lambda: r.conditional_instance(X, [0], bias=np.ones((3, 6))),
        ValueError,
        "style has shape (1,); it needs (2,), one number per sample",
    ),
    (lambda: r.adain(X, X, alpha=2), ValueError, "alpha=2 is not between 0 (x as it is) and 1 (the style whole)"),
    (
        lambda: r.adain(X, X[:, :5]),
        ValueError,
        "style has N=2, C=5; x has N=2, C=6, and style needs the same C and as many samples or 1",
    ),
    (
        lambda: r.adain(X, np.ones(3)),
        ValueError,
        "style has rank 1, shape (3,); it needs 2 to 5 axes, (N, C, *spatial)",
    ),
    *[
        (
            lambda call=call, size=size: call(X * size),
            ValueError,
            "filter 0 of v is too small to be squared; scale v first, or give eps > 0",
        )
        for call in (r.weight_norm, lambda v: r.weight_norm_gradient(v, v))
        for size in (5e-324, 1e-200, 1e-155)
    ],
    (lambda: r.weight_norm(X, np.ones(6)), ValueError, "g has shape (6,); it needs (2,), one gain per filter"),
    (
        lambda: r.weight_norm(X * [[[[1]]], [[[0]]]]),
        ValueError,
        "filter 1 of v is all zeros, which has no direction; give eps > 0 to keep it zero",
    ),
    (
        lambda: r.weight_norm(X, dim=4),
        ValueError,
        "dim=4 is not an axis of v, rank 4; 0 is PyTorch's, -1 that of Keras",
    ),
    (
        lambda: r.weight_standardization(np.ones((3, 1)), unbiased=True),
        ValueError,
        "a filter of w has one weight, which has no unbiased deviation; leave unbiased out",
    ),
    (
        lambda: r.weight_standardization(X, unbiassed=True),
        TypeError,
        "weight_standardization(): unknown keyword 'unbiassed'; did you mean 'unbiased'? "
        "(known: w, eps, unbiased, dim, backend)",
    ),
]


@each_message(MESSAGES)
def test_message(wrong, error, message):
    refuses(wrong, error, message)


def test_a_filter_of_zeros_stays_zero_where_eps_allows_it():
    v = np.zeros((2, 3))
    v[1] = [3, 4, 0]
    np.testing.assert_array_equal(r.weight_norm(v, eps=1e-12)[0], 0)
    np.testing.assert_allclose(r.weight_norm(v, eps=1e-12)[1], [0.6, 0.8, 0])
