"""The relatives twice over, and independent of the package: as plain loops over floats, and in PyTorch."""

import itertools
import math

import numpy as np


def measured(values):
    """Mean and biased variance of a list."""
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((v - mean) ** 2 for v in values) / len(values)


def each(x):
    """Every (n, c) of x, with the values there in a list."""
    for n, c in itertools.product(*map(range, x.shape[:2])):
        yield n, c, x[n, c].ravel().tolist()


def softmax(logits):
    e = [math.exp(v) for v in logits]
    return [v / sum(e) for v in e]


class Loops:
    """One value after another."""

    @staticmethod
    def frn(x, weight, bias, tau, eps):
        y = np.empty(x.shape)
        for n, c, values in each(x):
            root = math.sqrt(math.fsum(v * v for v in values) / len(values) + eps)
            y[n, c, ...].flat[:] = [max(v / root * weight[c] + bias[c], tau[c]) for v in values]
        return y

    @staticmethod
    def switchable(x, mean_weights, var_weights, weight, bias, eps):
        p, q, y = softmax(mean_weights), softmax(var_weights), np.empty(x.shape)
        for n, c, values in each(x):
            three = [measured(v) for v in (values, x[n].ravel().tolist(), x[:, c].ravel().tolist())]
            mean = sum(a * m for a, (m, _) in zip(p, three, strict=True))
            var = sum(b * v for b, (_, v) in zip(q, three, strict=True))
            y[n, c, ...].flat[:] = [(v - mean) / math.sqrt(var + eps) * weight[c] + bias[c] for v in values]
        return y

    @staticmethod
    def conditional_instance(x, style, weight, bias, eps):
        y = np.empty(x.shape)
        for n, c, values in each(x):
            mean, var = measured(values)
            gamma, beta = weight[style[n]][c], bias[style[n]][c]
            y[n, c, ...].flat[:] = [(v - mean) / math.sqrt(var + eps) * gamma + beta for v in values]
        return y

    @staticmethod
    def adain(x, style, alpha, eps):
        y = np.empty(x.shape)
        for n, c, values in each(x):
            mean, var = measured(values)
            to, spread = measured(style[n if len(style) > 1 else 0, c].ravel().tolist())
            scale = math.sqrt(spread + eps) / math.sqrt(var + eps)
            y[n, c, ...].flat[:] = [alpha * ((v - mean) * scale + to) + (1 - alpha) * v for v in values]
        return y

    @staticmethod
    def weight_norm(v, g):
        rows = [row.ravel().tolist() for row in v]
        norms = [math.sqrt(math.fsum(a * a for a in row)) for row in rows]
        return np.array([[a * k / n for a in row] for row, n, k in zip(rows, norms, g, strict=True)]).reshape(v.shape)

    @staticmethod
    def weight_standardization(w, eps, unbiased):
        y = np.empty(w.shape)
        for o, row in enumerate(w):
            mean, var = measured(row.ravel().tolist())
            by = math.sqrt(var * row.size / (row.size - 1)) + eps if unbiased else math.sqrt(var + eps)
            y[o] = (row - mean) / by
        return y


class Torch:
    """As the papers' own code would be written in PyTorch, for autograd to go back through."""

    @staticmethod
    def along(p, x):
        """(C,), (N, C) or (1, C) against x."""
        return p.reshape(*(p.shape if p.ndim > 1 else (1, *p.shape)), *[1] * (x.ndim - 2))

    @classmethod
    def frn(cls, x, weight, bias, tau, eps):
        square = x.flatten(2).square().mean(2) if x.ndim > 2 else x.square()
        y = x / (cls.along(square, x) + eps).sqrt() * cls.along(weight, x) + cls.along(bias, x)
        return y.maximum(cls.along(tau, x))

    @classmethod
    def switchable(cls, x, mean_weights, var_weights, weight, bias, eps):
        flat = x.reshape(*x.shape[:2], -1)
        sets = [(2,), (1, 2), (0, 2)]
        means = [flat.mean(axes, keepdim=True) for axes in sets]
        variances = [flat.var(axes, correction=0, keepdim=True) for axes in sets]
        mean = sum(p * m for p, m in zip(mean_weights.softmax(0), means, strict=True))
        var = sum(q * v for q, v in zip(var_weights.softmax(0), variances, strict=True))
        y = ((flat - mean) / (var + eps).sqrt()).reshape(x.shape)
        return y * cls.along(weight, x) + cls.along(bias, x)

    @classmethod
    def conditional_instance(cls, x, style, weight, bias, eps):
        import torch

        y = torch.nn.functional.instance_norm(x, eps=eps)
        return y * cls.along(weight[style], x) + cls.along(bias[style], x)

    @classmethod
    def adain(cls, x, style, alpha, eps):
        import torch

        flat = style.flatten(2)
        scale = (flat.var(2, correction=0) + eps).sqrt()
        y = torch.nn.functional.instance_norm(x, eps=eps) * cls.along(scale, x) + cls.along(flat.mean(2), x)
        return alpha * y + (1 - alpha) * x

    @classmethod
    def weight_norm(cls, v, g):
        import torch

        layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(v[0].numel(), len(v), bias=False).double())
        given = {"parametrizations.weight.original0": g[:, None], "parametrizations.weight.original1": v.flatten(1)}
        eye = torch.eye(v[0].numel(), dtype=v.dtype)
        return torch.func.functional_call(layer, given, eye).T.reshape(v.shape)

    @classmethod
    def weight_standardization(cls, w, eps, unbiased):
        flat = w.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        if unbiased:
            return (centred / (flat.std(1, keepdim=True) + eps)).reshape(w.shape)
        return (centred / (flat.var(1, correction=0, keepdim=True) + eps).sqrt()).reshape(w.shape)
