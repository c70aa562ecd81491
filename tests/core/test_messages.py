"""What every function says to arguments that do not fit: one sentence with the subject, the sizes and the remedy."""

import numpy as np

import normviz as nv
from normviz import (
    Moments,
    RunningStatistics,
    Statistics,
    backend_for,
    divisors,
    gradient,
    moments,
    normalize,
    pooling,
    statistics,
)
from normviz import relatives as r
from normviz.core.pooling import canonical, default_num_groups
from tests.core.cases import each_message, refuses, stepped

X = np.ones((2, 6, 3, 3))
INTS, PART, MASKED = X.astype(np.int64), moments(X[:, :2, :1]), np.ma.masked_less(X, 2)
HALF_ZERO, READ_ONLY = X * [[[[1]]], [[[0]]]], np.broadcast_to(X, X.shape)
ROW = np.arange(12.0)
SIX, NEXT_SIX = ROW[:6].reshape(2, 3), ROW[1:7].reshape(2, 3)
ONES, STYLES, RAGGED = np.ones(9), np.ones((3, 6)), [[1.0], [1.0, 2.0]]
CELLS, BATCH, RUNNING = pooling("batch", (2, 6, 3)), statistics(X, "batch"), RunningStatistics(4)
LIST = ", ".join(nv.METHODS)
OWN_CELLS = "out is read-only, or shows one cell in several places; pass an array that owns its cells"

FUNCTIONS = [
    # method
    (lambda: pooling("grup", X.shape), ValueError, f"unknown method 'grup'; did you mean 'group'? (known: {LIST})"),
    (lambda: normalize(X, "Batch"), ValueError, f"unknown method 'Batch'; did you mean 'batch'? (known: {LIST})"),
    (lambda: statistics(X, "?"), ValueError, f"unknown method '?' (known: {LIST})"),
    (lambda: pooling(3, X.shape), TypeError, "method must be a name such as 'batch', not int"),
    (lambda: pooling("group", X, 3), TypeError, "shape is x itself; pass x.shape, (2, 6, 3, 3)"),
    # num_groups
    (lambda: pooling("group", X.shape, num_groups=4), ValueError, "num_groups=4 ... C=6; these do: 1, 2, 3, 6"),
    (lambda: normalize(X, "group", num_groups=0), ValueError, "num_groups=0 does not divide C=6; these do: 1, 2, 3, 6"),
    (lambda: moments(X).pool("group"), ValueError, "method 'group' needs num_groups; these divide C=6: 1, 2, 3, 6"),
    (lambda: gradient(X, X, "group", num_groups=2.0), TypeError, "num_groups must be an int, not 2.0; ... C=6: 1, ..."),
    (lambda: statistics(X, "layer", num_groups=2), ValueError, "num_groups=2 means ... method 'layer'; leave it out"),
    (lambda: divisors(0), ValueError, "C=0 has no divisors; a number of channels is at least 1"),
    (lambda: default_num_groups(-1), ValueError, "C=-1 has no divisors; a number of channels is at least 1"),
    # x
    (lambda: moments(np.zeros(3)), ValueError, "x has rank 1, shape (3,); it needs 2 to 5 axes, (N, C, *spatial)"),
    (lambda: pooling("batch", (1,) * 6), ValueError, "x has rank 6, shape (1, 1, 1, 1, 1, 1); ... (N, C, *spatial)"),
    (lambda: normalize(np.zeros((2, 0, 3)), "batch"), ValueError, "x has an empty axis, shape (2, 0, 3); ... one cell"),
    (lambda: moments(X + 0j), TypeError, "x has dtype complex128; use float16, float32, float64, integers or booleans"),
    (lambda: statistics([[None]], "batch"), TypeError, "x has dtype object; use float16, ... integers or booleans"),
    (lambda: moments(X.astype("g")), TypeError, f"x has dtype {np.dtype('g')}; use float16, ... or booleans"),
    (lambda: moments(MASKED), TypeError, "x is a masked array, ... fill it, ... with .filled(0)"),
    (lambda: canonical(X, channel_axis=4), ValueError, "channel_axis=4 is not an axis of x, rank 4; use -4 to 3"),
    # cells
    (lambda: CELLS.set_of((0, 6, 0)), IndexError, "there is no cell (0, 6, 0) in shape (2, 6, 3); ... 0..5, 0..2)"),
    (lambda: CELLS.set_number((0, -1, 0)), IndexError, "there is no cell (0, -1, 0) in ... are (0..1, 0..5, 0..2)"),
    (lambda: CELLS.set_of((0, 1)), IndexError, "there is no cell (0, 1) in shape (2, 6, 3); ... (0..1, 0..5, 0..2)"),
    # weight, bias, eps
    (lambda: normalize(X, "batch", weight=ONES[:3]), ValueError, "weight has shape (3,); ... C=6 ... needs (6,)"),
    (lambda: normalize(X, "layer", bias=np.ones((3, 3))), ValueError, "bias has shape (3, 3); ... (6,) or (6, 3, 3)"),
    (
        lambda: normalize(X, "per_head", num_groups=2, weight=ONES[:2]),
        ValueError,
        "weight ... (6,) or (3,), shared ...",
    ),
    (lambda: gradient(X, X, "layer", weight=ONES[:5], channel_axis=-1), ValueError, "weight ... (5,); ... (6, 3, 3)"),
    (lambda: normalize(X, "batch", weight=np.ones(6) * 1j), TypeError, "weight has dtype complex128; use a float"),
    (lambda: normalize(X, "batch", eps=np.inf), ValueError, "eps=inf leaves ... number (PyTorch's default is 1e-5)"),
    (lambda: normalize(X, "batch", eps=0), ValueError, "eps=0 is not > 0; ... by zero (PyTorch's default is 1e-5)"),
    (lambda: gradient(X, X, "batch", eps=float("nan")), ValueError, "eps=nan is not > 0; without ... default is 1e-5)"),
    (lambda: normalize(X, "batch", eps="1e-5"), TypeError, "eps must be a number, not '1e-5'"),
    # out
    (lambda: normalize(X, "batch", out=np.zeros((2, 6))), ValueError, "out has shape (2, 6); ... x's, (2, 6, 3, 3)"),
    (lambda: normalize(X, "batch", out=X.astype("f4")), ValueError, "out has dtype float32; ... it must be float64"),
    (lambda: normalize(INTS, "batch", out=INTS), ValueError, "out has dtype int64; for x ... int64 it must be float64"),
    (lambda: normalize(X, "batch", out=[]), TypeError, "out is of type list, x of ndarray; ... same kind of array"),
    (lambda: normalize(X, "batch", out=READ_ONLY), ValueError, OWN_CELLS),
    (lambda: normalize(X[0, :2, 0], "batch", out=stepped(3, (2, 3), (0, 8))), ValueError, OWN_CELLS),
    (lambda: normalize(SIX, "batch", out=NEXT_SIX), ValueError, "out overlaps x ... pass x, or ... memory of its own"),
    # gradient
    (lambda: gradient(X, X[:1], "batch"), ValueError, "grad_output has shape (1, 6, 3, 3); ... x's, (2, 6, 3, 3)"),
    (lambda: gradient(X, np.zeros(3), "batch"), ValueError, "grad_output has rank 1, ... 5 axes, (N, C, *spatial)"),
    # statistics
    (lambda: normalize(X, "group", num_groups=2, statistics=BATCH), ValueError, "statistics ... (6,); ... (2, 2)"),
    (lambda: normalize(X, "per_head", num_groups=2, statistics=RUNNING), ValueError, "running ... leave them out"),
    (lambda: normalize(X, "layer", statistics=RUNNING), ValueError, "running ... 'layer' ... so leave them out"),
    (lambda: normalize(X, "batch", statistics=(0, 1)), TypeError, "statistics must be Statistics ... not tuple"),
    (lambda: Statistics(mean=[0, 1], var=[1], count=2), ValueError, "mean has shape (2,) and var (1,); ... same"),
    (lambda: Statistics(mean=[0], var=[-1], count=2), ValueError, "var holds -1; a variance is at least 0"),
    (lambda: Statistics(mean=[0], var=[1], count=0), ValueError, "count=0 is less than 1; ... each entry stands for"),
    # moments
    (lambda: moments(X) + moments(X[:1]), ValueError, "moments of shapes (2, 6) and (1, 6) ... samples or channels"),
    (lambda: Moments.concatenate([moments(X), PART]), ValueError, "parts (2, 6) of 9 ..., (2, 2) of 3 ... must agree"),
    (lambda: Moments.concatenate([]), ValueError, "0 parts, axis=0: ... needs at least one part, and axis 0 or 1"),
    (lambda: Moments(count=1, mean=[0], m2=[0]), ValueError, "mean and m2 have shape (1,); ... channel), shape (N, C)"),
    (lambda: moments(X).pool("rms"), ValueError, "method 'rms' ... use statistics(x, 'rms'), which reads the values"),
    # running statistics
    (lambda: RUNNING.update(X), ValueError, "x has C=6 channels; these running statistics are for 4"),
    (lambda: RUNNING.update(X[:1, :4, 0, 0]), ValueError, "x has one cell per channel, ... a larger batch or map"),
    (lambda: RunningStatistics(0), ValueError, "num_channels=0 is less than 1; it is C, the number of channels of x"),
    (lambda: RunningStatistics(3, momentum=1.5), ValueError, "momentum=1.5 ... 0 and 1; None takes the plain average"),
    # backends
    (
        lambda: backend_for(X, "numpi"),
        ValueError,
        "unknown backend ... you ... 'numpy'? (known: numpy, compiled, cupy)",
    ),
    # misspelt keywords
    (lambda: normalize(X, "group", num_group=2), TypeError, "normalize(): ... 'num_group'; ... 'num_groups'? ..."),
    (lambda: pooling("batch", X.shape, groups=2), TypeError, "pooling(): unknown keyword 'groups'; ... num_groups)"),
    # odd kinds of arguments
    (lambda: moments(RAGGED), ValueError, "the list has parts of unequal length; those of an array are all alike"),
    (lambda: normalize(X, "batch", weight=RAGGED), ValueError, "the list has parts ... those of an array ... alike"),
    (lambda: r.weight_norm(RAGGED), ValueError, "the list has parts of ... length; those of an array are all alike"),
    (lambda: normalize(X, "batch", weight=MASKED[0, :, 0, 0]), TypeError, "weight is a masked ... with .filled(1)"),
    (lambda: Statistics(mean=["a"], var=[1], count=1), TypeError, "mean has dtype <U1; use a float"),
    (lambda: Statistics(mean=[0], var=[1j], count=1), TypeError, "var has dtype complex128; use a float"),
    (lambda: Statistics(mean=[0, 0], var=[np.nan, -1], count=1), ValueError, "var holds -1; a variance is at least 0"),
    (lambda: Moments(mean=[[0]], m2=[[-1]], count=1), ValueError, "m2 holds -1; a sum of squares is at least 0"),
    (lambda: Statistics(mean=[0], var=[1], count=1.5), TypeError, "count must be a whole number, ... entry stands for"),
    (lambda: Statistics(mean=[0], variance=[1], count=1), TypeError, "Statistics(): unknown ... var, count, backend)"),
    (lambda: Moments(mean=[[0]], M2=[[1]], count=1), TypeError, "Moments(): unknown keyword 'M2'; ... m2, backend)"),
    (lambda: Moments.concatenate([X]), TypeError, "parts must be Moments, not ndarray; ... makes them of an array"),
    (lambda: RunningStatistics(2.5), TypeError, "num_channels must be a whole number, not 2.5; it is C, ... of x"),
    (lambda: divisors(1.5), TypeError, "C must be a whole number, not 1.5"),
    (lambda: pooling("batch", 3), TypeError, "shape must be 2 to 5 whole numbers, (N, C, *spatial), not 3"),
    (lambda: pooling("batch", (2, 3.0)), TypeError, "shape must be 2 to 5 whole numbers, ... not (2, 3.0)"),
    (lambda: CELLS.set_of((0, 1.0, 2)), TypeError, "index must be 3 whole numbers (n, c, ...), not (0, 1.0, 2)"),
    (lambda: pooling("batch", (2, 3)).set_of(1), TypeError, "index must be 2 whole numbers (n, c, ...), not 1"),
    (lambda: normalize(X, "batch", eps=10**400), ValueError, "eps=inf leaves ... number (PyTorch's default is 1e-5)"),
    (lambda: normalize(X[..., :2], "batch", out=stepped(90, (2, 6, 3, 2), (144, 24, 8, 8))), ValueError, OWN_CELLS),
    (lambda: normalize(X, "batch", out=MASKED), TypeError, "out is a masked array, ... fill it, ... with .filled(0)"),
]
RELATIVES = [
    # the rows of the table
    (lambda: pooling("ghost", X.shape, num_groups=3), ValueError, "num_groups=3 ... do: 1, 2 (slices of 2, 1 samples)"),
    (lambda: statistics(X, "ghost"), ValueError, "method 'ghost' needs ... N=2: 1, 2 (slices of 2, 1 samples)"),
    (lambda: normalize(X, "ghost", num_groups=True), TypeError, "num_groups must be ... int, ... True; ... samples)"),
    (lambda: normalize(X, "weight_norm", num_groups=1), ValueError, "num_groups=1 means nothing ... leave it out"),
    (lambda: normalize(X, "weight_norm", weight=np.ones(6)), ValueError, "weight has shape (6,); ... needs (2,)"),
    # the functions
    (lambda: r.frn(X, tau=np.ones(3)), ValueError, "tau has shape (3,); it needs (6,), one threshold per channel"),
    (lambda: r.frn(X, tau=["a"] * 6), TypeError, "tau has dtype <U1; use a float"),
    (lambda: r.frn(X, weight=np.ones(3)), ValueError, "weight has shape (3,); method 'frn' on C=6 channels needs (6,)"),
    (lambda: r.frn_gradient(X, X[:1]), ValueError, "grad_output has shape (1, 6, 3, 3); it must be x's, (2, 6, 3, 3)"),
    (lambda: r.frn_gradient(X, X[..., :2], channel_axis=-1), ValueError, "grad_output ... (2, 6, 3, 2); ... 6, 3, 3)"),
    (lambda: r.switchable(X, mean_weights=[1, 2]), ValueError, "mean_weights has shape (2,); it needs (3,), ... batch"),
    (lambda: r.switchable(X, var_weights=[0, 0, np.inf]), ValueError, "var_weights holds inf; ... 1e3 is far enough"),
    (lambda: r.switchable_gradient(X, X, eps=0), ValueError, "eps=0 is not > 0; ... zero (PyTorch's default is 1e-5)"),
    (lambda: r.conditional_instance(X, [0, 1]), ValueError, "neither weight nor bias ... table of shape (S, 6)"),
    (lambda: r.conditional_instance(X, [0, 1], weight=ONES[:6]), ValueError, "weight ... (6,); it needs (S, 6), ..."),
    (
        lambda: r.conditional_instance(X, [0, 1], weight=STYLES, bias=STYLES[:2]),
        ValueError,
        "bias has shape (2, 6); it needs (3, 6), as the other table",
    ),
    (lambda: r.conditional_instance(X, [0, 3], weight=STYLES), ValueError, "style holds 3; weight has S=3 ... 0 to 2"),
    (lambda: r.conditional_instance(X, [0.0, 1.0], bias=STYLES), TypeError, "style has dtype float64; use whole ..."),
    (lambda: r.conditional_instance(X, [0], bias=STYLES), ValueError, "style ... (1,); it needs (2,), ... per sample"),
    (lambda: r.adain(X, X, alpha=2), ValueError, "alpha=2 is not between 0 (x as it is) and 1 (the style whole)"),
    (lambda: r.adain(X, X[:, :5]), ValueError, "style has N=2, C=5; x has N=2, C=6, ... C and as many samples or 1"),
    (lambda: r.adain(X, np.ones(3)), ValueError, "style has rank 1, ... (3,); it needs 2 to 5 axes, (N, C, *spatial)"),
    *[
        (lambda call=call, v=X * size: call(v), ValueError, "filter 0 of v ... too small ... scale v first, ... > 0")
        for call in (r.weight_norm, lambda v: r.weight_norm_gradient(v, v))
        for size in (5e-324, 1e-200, 1e-155)
    ],
    (lambda: r.weight_norm(X, np.ones(6)), ValueError, "g has shape (6,); it needs (2,), one gain per filter"),
    (lambda: r.weight_norm(HALF_ZERO), ValueError, "filter 1 of v is all zeros, ... give eps > 0 to keep it zero"),
    (lambda: r.weight_norm(X, dim=4), ValueError, "dim=4 is not an axis of v, ... 4; 0 is PyTorch's, -1 that of Keras"),
    (lambda: r.weight_standardization(X[:, :1, 0, 0], unbiased=True), ValueError, "a filter ... one ... leave ..."),
    (lambda: r.weight_standardization(X, unbiassed=1), TypeError, "... 'unbiassed'; did you mean 'unbiased'? ..."),
]


@each_message([*FUNCTIONS, *RELATIVES])
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)
