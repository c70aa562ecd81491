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
}


def sets(method, shape, num_groups=None):
    """{key: [index, ...]}: the cells of every pooling set, keys in the order of the statistics."""
    found = defaultdict(list)
    for index in itertools.product(*map(range, shape)):
        n, c, *s = index
        found[KEYS[method](n, c, s, shape[1] // (num_groups or 1))].append(index)
    return found


def statistics(x, method, num_groups=None):
    """(mean, var) as two dictionaries from the key of a set; rms has mean 0 and the mean square."""
    mean, var = {}, {}
    for key, cells in sets(method, x.shape, num_groups).items():
        values = [float(x[i]) for i in cells]
        mean[key] = 0.0 if method == "rms" else math.fsum(values) / len(values)
        var[key] = math.fsum((v - mean[key]) ** 2 for v in values) / len(values)
    return mean, var


def statistics_arrays(x, method, num_groups=None):
    """The same as two arrays, in the shape that the package documents."""
    mean, var = statistics(x, method, num_groups)
    shape = tuple(n + 1 for n in max(mean))
    return tuple(np.array([d[key] for key in np.ndindex(shape)]).reshape(shape) for d in (mean, var))


def normalize(x, method, num_groups=None, weight=None, bias=None, eps=1e-5):
    y = np.empty(x.shape)
    mean, var = statistics(x, method, num_groups)
    for key, cells in sets(method, x.shape, num_groups).items():
        for i in cells:
            w = 1.0 if weight is None else float(weight[i[1]] if weight.ndim == 1 else weight[i[1:]])
            b = 0.0 if bias is None else float(bias[i[1]] if bias.ndim == 1 else bias[i[1:]])
            y[i] = (float(x[i]) - mean[key]) / math.sqrt(var[key] + eps) * w + b
    return y


def gradient(x, grad, method, num_groups=None, weight=None, eps=1e-5):
    """dL/dx_i = sum over j in S_i of g_j (1/s) (delta_ij - 1/m - x_hat_i x_hat_j / m), the Jacobian row by row."""
    result = np.empty(x.shape)
    x_hat = normalize(x, method, num_groups, eps=eps)
    _, var = statistics(x, method, num_groups)
    centred = 0.0 if method == "rms" else 1.0
    for key, cells in sets(method, x.shape, num_groups).items():
        m, s = len(cells), math.sqrt(var[key] + eps)
        for i in cells:
            terms = []
            for j in cells:
                w = 1.0 if weight is None else float(weight[j[1]] if weight.ndim == 1 else weight[j[1:]])
                jacobian = ((i == j) - centred / m - x_hat[i] * x_hat[j] / m) / s
                terms.append(float(grad[j]) * w * jacobian)
            result[i] = math.fsum(terms)
    return result
