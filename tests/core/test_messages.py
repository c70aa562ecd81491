"""The text of every error: one sentence with the subject, the sizes and the remedy."""

import numpy as np

import normviz as nv
from normviz.core.pooling import canonical, default_num_groups
from tests.core.cases import each_message, refuses

X = np.zeros((2, 6, 3, 3))
ROW = np.arange(12.0)
LIST = ", ".join(nv.METHODS)


def read_only():
    out = np.zeros(X.shape)
    out.flags.writeable = False
    return out


MESSAGES = [
    # method
    (lambda: nv.pooling("grup", X.shape), ValueError, f"unknown method 'grup'; did you mean 'group'? (known: {LIST})"),
    (lambda: nv.normalize(X, "Batch"), ValueError, f"unknown method 'Batch'; did you mean 'batch'? (known: {LIST})"),
    (lambda: nv.statistics(X, "?"), ValueError, f"unknown method '?' (known: {LIST})"),
    (lambda: nv.pooling(3, X.shape), TypeError, "method must be a name such as 'batch', not int"),
    (lambda: nv.pooling("group", X, 3), TypeError, "shape is x itself; pass x.shape, (2, 6, 3, 3)"),
    # num_groups
    (
        lambda: nv.pooling("group", X.shape, num_groups=4),
        ValueError,
        "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6",
    ),
    (
        lambda: nv.normalize(X, "group", num_groups=0),
        ValueError,
        "num_groups=0 does not divide C=6; these do: 1, 2, 3, 6",
    ),
    (
        lambda: nv.moments(X).pool("group"),
        ValueError,
        "method 'group' needs num_groups; these divide C=6: 1, 2, 3, 6",
    ),
    (
        lambda: nv.gradient(X, X, "group", num_groups=2.0),
        TypeError,
        "num_groups must be an int, not 2.0; these divide C=6: 1, 2, 3, 6",
    ),
    (
        lambda: nv.statistics(X, "layer", num_groups=2),
        ValueError,
        "num_groups=2 means nothing to method 'layer'; leave it out",
    ),
    (lambda: nv.divisors(0), ValueError, "C=0 has no divisors; a number of channels is at least 1"),
    (lambda: default_num_groups(-1), ValueError, "C=-1 has no divisors; a number of channels is at least 1"),
    # x
    (
        lambda: nv.moments(np.zeros(3)),
        ValueError,
        "x has rank 1, shape (3,); it needs 2 to 5 axes, (N, C, *spatial)",
    ),
    (
        lambda: nv.pooling("batch", (1,) * 6),
        ValueError,
        "x has rank 6, shape (1, 1, 1, 1, 1, 1); it needs 2 to 5 axes, (N, C, *spatial)",
    ),
    (
        lambda: nv.normalize(np.zeros((2, 0, 3)), "batch"),
        ValueError,
        "x has an empty axis, shape (2, 0, 3); every axis needs at least one cell",
    ),
    (
        lambda: nv.moments(X + 0j),
        TypeError,
        "x has dtype complex128; use float16, float32, float64, integers or booleans",
    ),
    (
        lambda: nv.statistics([[None]], "batch"),
        TypeError,
        "x has dtype object; use float16, float32, float64, integers or booleans",
    ),
    (
        lambda: nv.moments(X.astype(np.longdouble)),
        TypeError,
        f"x has dtype {np.dtype(np.longdouble)}; use float16, float32, float64, integers or booleans",
    ),
    (
        lambda: nv.moments(np.ma.masked_array(X)),
        TypeError,
        "x is a masked array, and no cell can be left out; fill it, for instance with .filled(0)",
    ),
    (
        lambda: canonical(X, channel_axis=4),
        ValueError,
        "channel_axis=4 is not an axis of x, rank 4; use -4 to 3",
    ),
    # cells
    (
        lambda: nv.pooling("batch", (2, 6, 3)).set_of((0, 6, 0)),
        IndexError,
        "there is no cell (0, 6, 0) in shape (2, 6, 3); indices are (0..1, 0..5, 0..2)",
    ),
    (
        lambda: nv.pooling("batch", (2, 6, 3)).set_number((0, -1, 0)),
        IndexError,
        "there is no cell (0, -1, 0) in shape (2, 6, 3); indices are (0..1, 0..5, 0..2)",
    ),
    (
        lambda: nv.pooling("batch", (2, 6, 3)).set_of((0, 1)),
        IndexError,
        "there is no cell (0, 1) in shape (2, 6, 3); indices are (0..1, 0..5, 0..2)",
    ),
    # weight, bias, eps
    (
        lambda: nv.normalize(X, "batch", weight=np.ones(3)),
        ValueError,
        "weight has shape (3,); method 'batch' on C=6 channels needs (6,)",
    ),
    (
        lambda: nv.normalize(X, "layer", bias=np.ones((3, 3))),
        ValueError,
        "bias has shape (3, 3); method 'layer' on C=6 channels needs (6,) or (6, 3, 3)",
    ),
    (
        lambda: nv.gradient(X, X, "layer", weight=np.ones(5), channel_axis=-1),
        ValueError,
        "weight has shape (5,); method 'layer' on C=3 channels needs (3,) or (6, 3, 3)",
    ),
    (lambda: nv.normalize(X, "batch", weight=np.ones(6) * 1j), TypeError, "weight has dtype complex128; use a float"),
    (
        lambda: nv.normalize(X, "batch", eps=np.inf),
        ValueError,
        "eps=inf leaves nothing of x; give a finite number (PyTorch's default is 1e-5)",
    ),
    (
        lambda: nv.normalize(X, "batch", eps=0),
        ValueError,
        "eps=0 is not > 0; without it a constant set divides by zero (PyTorch's default is 1e-5)",
    ),
    (
        lambda: nv.gradient(X, X, "batch", eps=float("nan")),
        ValueError,
        "eps=nan is not > 0; without it a constant set divides by zero (PyTorch's default is 1e-5)",
    ),
    (lambda: nv.normalize(X, "batch", eps="1e-5"), TypeError, "eps must be a number, not '1e-5'"),
    # out
    (
        lambda: nv.normalize(X, "batch", out=np.zeros((2, 6))),
        ValueError,
        "out has shape (2, 6); it must be x's, (2, 6, 3, 3)",
    ),
    (
        lambda: nv.normalize(X, "batch", out=X.astype("f4")),
        ValueError,
        "out has dtype float32; for x of dtype float64 it must be float64",
    ),
    (
        lambda: nv.normalize(X.astype(int), "batch", out=X.astype(int)),
        ValueError,
        "out has dtype int64; for x of dtype int64 it must be float64",
    ),
    (
        lambda: nv.normalize(X, "batch", out=[]),
        TypeError,
        "out is of type list, x of ndarray; pass the same kind of array",
    ),
    (
        lambda: nv.normalize(X, "batch", out=read_only()),
        ValueError,
        "out is read-only, or shows one cell in several places; pass an array that owns its cells",
    ),
    (
        lambda: nv.normalize(
            np.zeros((2, 3)), "batch", out=np.lib.stride_tricks.as_strided(np.zeros(3), (2, 3), (0, 8))
        ),
        ValueError,
        "out is read-only, or shows one cell in several places; pass an array that owns its cells",
    ),
    (
        lambda: nv.normalize(ROW[:6].reshape(2, 3), "batch", out=ROW[1:7].reshape(2, 3)),
        ValueError,
        "out overlaps x without being x itself; pass x, or an array with memory of its own",
    ),
    # gradient
    (
        lambda: nv.gradient(X, X[:1], "batch"),
        ValueError,
        "grad_output has shape (1, 6, 3, 3); it must be x's, (2, 6, 3, 3)",
    ),
    (
        lambda: nv.gradient(X, np.zeros(3), "batch"),
        ValueError,
        "grad_output has rank 1, shape (3,); it needs 2 to 5 axes, (N, C, *spatial)",
    ),
    # statistics
    (
        lambda: nv.normalize(X, "group", num_groups=2, statistics=nv.statistics(X, "batch")),
        ValueError,
        "statistics have shape (6,); method 'group' on x of shape (2, 6, 3, 3) needs (2, 2)",
    ),
    (
        lambda: nv.normalize(X, "layer", statistics=nv.RunningStatistics(2)),
        ValueError,
        "running statistics are Batch Norm's, (C,); method 'layer' takes none, so leave them out",
    ),
    (
        lambda: nv.normalize(X, "batch", statistics=(0, 1)),
        TypeError,
        "statistics must be Statistics or RunningStatistics, not tuple",
    ),
    (
        lambda: nv.Statistics(mean=[0, 1], var=[1], count=2),
        ValueError,
        "mean has shape (2,) and var (1,); they must be the same",
    ),
    (lambda: nv.Statistics(mean=[0], var=[-1], count=2), ValueError, "var holds -1; a variance is at least 0"),
    (
        lambda: nv.Statistics(mean=[0], var=[1], count=0),
        ValueError,
        "count=0 is less than 1; it is the number of cells that each entry stands for",
    ),
    # moments
    (
        lambda: nv.moments(X) + nv.moments(X[:1]),
        ValueError,
        "moments of shapes (2, 6) and (1, 6) cannot be added; "
        "+ merges parts of the same (N, C), Moments.concatenate joins samples or channels",
    ),
    (
        lambda: nv.Moments.concatenate([nv.moments(X), nv.moments(X[:, :2, :1])]),
        ValueError,
        "parts (2, 6) of 9 cells, (2, 2) of 3 cells do not fit along axis=0; cells and the other axis must agree",
    ),
    (
        lambda: nv.Moments.concatenate([]),
        ValueError,
        "0 parts, axis=0: concatenate needs at least one part, and axis 0 or 1",
    ),
    (
        lambda: nv.Moments(count=1, mean=[0], m2=[0]),
        ValueError,
        "mean and m2 have shape (1,); moments are per (sample, channel), shape (N, C)",
    ),
    (
        lambda: nv.moments(X).pool("rms"),
        ValueError,
        "method 'rms' keeps positions apart, and moments have merged them; "
        "use statistics(x, 'rms'), which reads the values",
    ),
    # running statistics
    (
        lambda: nv.RunningStatistics(4).update(X),
        ValueError,
        "x has C=6 channels; these running statistics are for 4",
    ),
    (
        lambda: nv.RunningStatistics(3).update(np.zeros((1, 3))),
        ValueError,
        "x has one cell per channel, which has no unbiased variance; use a larger batch or map",
    ),
    (
        lambda: nv.RunningStatistics(0),
        ValueError,
        "num_channels=0 is less than 1; it is C, the number of channels of x",
    ),
    (
        lambda: nv.RunningStatistics(3, momentum=1.5),
        ValueError,
        "momentum=1.5 is not between 0 and 1; None takes the plain average",
    ),
    # backends
    (
        lambda: nv.backend_for(X, "numpi"),
        ValueError,
        "unknown backend 'numpi'; did you mean 'numpy'? (known: numpy, cupy)",
    ),
    # misspelt keywords
    (
        lambda: nv.normalize(X, "group", num_group=2),
        TypeError,
        "normalize(): unknown keyword 'num_group'; did you mean 'num_groups'? (known: x, method, num_groups, weight, "
        "bias, eps, statistics, out, channel_axis, backend)",
    ),
    (
        lambda: nv.pooling("batch", X.shape, groups=2),
        TypeError,
        "pooling(): unknown keyword 'groups'; did you mean 'num_groups'? (known: method, shape, num_groups)",
    ),
]


@each_message(MESSAGES)
def test_message(wrong, error, message):
    refuses(wrong, error, message)
