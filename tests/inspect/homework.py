"""Normalizers with the parameters and results of well-known courses, written for these tests."""

import numpy as np


def batchnorm(x, gamma, beta, bn_param):
    """Stanford's cs231n: a dict with the mode and the state, and (out, cache)."""
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running = [bn_param.get(name, np.zeros(x.shape[1])) for name in ("running_mean", "running_var")]
    cache = None
    if bn_param["mode"] == "train":
        mean, var, m = x.mean(0), x.var(0), len(x)
        root = np.sqrt(var + eps)
        cache = hat, gamma, root = (x - mean) / root, gamma, root
        new = (mean, var * m / (m - 1))
        running = [momentum * old + (1 - momentum) * n for old, n in zip(running, new, strict=True)]
    elif bn_param["mode"] == "test":
        hat = (x - running[0]) / np.sqrt(running[1] + eps)
    else:
        raise ValueError(f"Invalid forward batchnorm mode {bn_param['mode']}")
    bn_param["running_mean"], bn_param["running_var"] = running
    return gamma * hat + beta, cache


def batchnorm_backward(dout, cache):
    hat, gamma, root = cache
    d = dout * gamma
    return (d - d.mean(0) - hat * (d * hat).mean(0)) / root, (dout * hat).sum(0), dout.sum(0)


def rows(x):
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def maps(rows, like):
    N, C, H, W = like.shape
    return rows.reshape(N, H, W, C).transpose(0, 3, 1, 2)


def spatial_batchnorm(x, gamma, beta, bn_param):
    out, cache = batchnorm(rows(x), gamma, beta, bn_param)
    return maps(out, x), cache


def spatial_batchnorm_backward(dout, cache):
    dx, dgamma, dbeta = batchnorm_backward(rows(dout), cache)
    return {"dx": maps(dx, dout), "dgamma": dgamma, "dbeta": dbeta}


def biased_batchnorm(x, gamma, beta, bn_param):
    """As the course's own solution: the running variance is the biased one."""
    m, kept = len(x), np.array(bn_param.get("running_var", np.zeros(x.shape[1])))
    out, cache = batchnorm(x, gamma, beta, bn_param)
    if bn_param["mode"] == "train":
        bn_param["running_var"] = 0.9 * kept + 0.1 * x.var(0) * (m - 1) / (m - 1)
    return out, cache


def layernorm(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    root = np.sqrt(x.var(1, keepdims=True) + eps)
    hat = (x - x.mean(1, keepdims=True)) / root
    return gamma * hat + beta, {"hat": hat, "gamma": gamma, "root": root}


def layernorm_backward(dout, cache):
    hat, root = cache["hat"], cache["root"]
    d = dout * cache["gamma"]
    dx = (d - d.mean(1, keepdims=True) - hat * (d * hat).mean(1, keepdims=True)) / root
    return dx, (dout * hat).sum(0), dout.sum(0)


def spatial_groupnorm(x, gamma, beta, G, gn_param):
    """gamma and beta have shape (1, C, 1, 1)."""
    g = x.reshape(len(x), G, -1)
    root = np.sqrt(g.var(-1, keepdims=True) + gn_param.get("eps", 1e-5))
    hat = ((g - g.mean(-1, keepdims=True)) / root).reshape(x.shape)
    return hat * gamma + beta, (G, gamma, hat, root)


def spatial_groupnorm_backward(dout, cache):
    G, gamma, hat, root = cache
    d, h = ((dout * gamma).reshape(len(dout), G, -1), hat.reshape(len(dout), G, -1))
    dx = (d - d.mean(-1, keepdims=True) - h * (d * h).mean(-1, keepdims=True)) / root
    over = {"axis": (0, 2, 3), "keepdims": True}
    return dx.reshape(dout.shape), (dout * hat).sum(**over), dout.sum(**over)


def over(x, axis, eps=1e-5):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + eps)
