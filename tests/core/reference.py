"""Every method as plain loops over Python floats: slow, and independent of the package.

The pooling set of a cell is written down as its definition, {j : key(j) == key(i)}, not as a block.
"""

import itertools
import math
from collections import defaultdict

import numpy as np

KEYS = {
    "batch": lambda n, c, s, per: (c,),
    "layer": lambda n, c, s, per: (n,),
    "instance": lambda n, c, s, per: (n, c),
    "group": lambda n, c, s, per: (n, c // per),
    "positional": lambda n, c, s, per: (n, *s),
    "rms": lambda n, c, s, per: (n, *s),
    "per_head": lambda n, c, s, per: (n, c // per, *s),
    "per_head_rms": lambda n, c, s, per: (n, c // per, *s),
    "frn": lambda n, c, s, per: (n, c),
    "ghost": lambda n, c, s, per: (n // per, c),
    "weight_norm": lambda n, c, s, per: (n,),
    "weight_standardization": lambda n, c, s, per: (n,),
}
NO_MEAN = ("rms", "per_head_rms", "frn", "weight_norm")
WEIGHTS = ("weight_norm", "weight_standardization")
OF_SAMPLES = ("ghost",)
"""Methods whose groups are of samples."""


def sets(method, shape, num_groups=None):
    """{key: [index, ...]}: the cells of every pooling set, keys in the order of the statistics."""
    found = defaultdict(list)
    for index in itertools.product(*map(range, shape)):
        n, c, *s = index
        found[KEYS[method](n, c, s, shape[method not in OF_SAMPLES] // (num_groups or 1))].append(index)
    return found


def statistics(x, method, num_groups=None):
    """(mean, var) as two dictionaries from the key of a set; or 0, and the mean square or the squared norm."""
    mean, var = {}, {}
    for key, cells in sets(method, x.shape, num_groups).items():
        values = [float(x[i]) for i in cells]
        mean[key] = 0.0 if method in NO_MEAN else math.fsum(values) / len(values)
        var[key] = math.fsum((v - mean[key]) ** 2 for v in values) / divisor(method, cells)
    return mean, var


def statistics_arrays(x, method, num_groups=None):
    """The same as two arrays, in the shape that the package documents."""
    mean, var = statistics(x, method, num_groups)
    shape = tuple(n + 1 for n in max(mean))
    return tuple(np.array([d[key] for key in np.ndindex(shape)]).reshape(shape) for d in (mean, var))


def divisor(method, cells):
    """What the sum of squares is divided by."""
    return 1 if method == "weight_norm" else len(cells)


def at(parameter, method, i, default):
    """The entry of a weight or bias that meets cell i: one a channel (of a head), a filter, or an element."""
    if parameter is None:
        return default
    if parameter.ndim > 1:
        return float(parameter[i[1:]])
    return float(parameter[i[0 if method in WEIGHTS else 1] % len(parameter)])


def normalize(x, method, num_groups=None, weight=None, bias=None, eps=1e-5):
    y = np.empty(x.shape)
    mean, var = statistics(x, method, num_groups)
    for key, cells in sets(method, x.shape, num_groups).items():
        for i in cells:
            w, b = at(weight, method, i, 1.0), at(bias, method, i, 0.0)
            y[i] = (float(x[i]) - mean[key]) / math.sqrt(var[key] + eps) * w + b
    return y


def gradient(x, grad, method, num_groups=None, weight=None, eps=1e-5):
    """dL/dx_i = sum over j in S_i of g_j (1/s) (delta_ij - 1/m - x_hat_i x_hat_j / m), the Jacobian row by row.

    Without a mean there is no 1/m; for a norm, which is no mean over m cells, x_hat_i x_hat_j stands undivided.
    """
    result = np.empty(x.shape)
    x_hat = normalize(x, method, num_groups, eps=eps)
    _, var = statistics(x, method, num_groups)
    centred = 0.0 if method in NO_MEAN else 1.0
    for key, cells in sets(method, x.shape, num_groups).items():
        m, s = len(cells), math.sqrt(var[key] + eps)
        for i in cells:
            terms = []
            for j in cells:
                jacobian = ((i == j) - centred / m - x_hat[i] * x_hat[j] / divisor(method, cells)) / s
                terms.append(float(grad[j]) * at(weight, method, j, 1.0) * jacobian)
            result[i] = math.fsum(terms)
    return result
