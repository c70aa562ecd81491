"""Recordings of made-up numbers, without torch."""

import numpy as np

from normviz.inspect.record.layer import LayerRecording
from normviz.inspect.record.recording import Recording


def layer(name, steps=20, C=8, *, kind="batch", seed=0, trail=0.02, grad=True, **changes):
    """A layer whose statistics drift, and whose running ones follow with `trail` of the gap at each step."""
    rng = np.random.default_rng(seed)
    shape = (steps, C)
    walk = np.cumsum(rng.normal(size=shape) * 0.05, 0)
    var = np.exp(rng.normal(size=C) * 0.8 + walk + rng.normal(size=shape) * 0.1)
    mean = rng.normal(size=C) + np.cumsum(rng.normal(size=shape) * 0.03, 0)
    running = {"running_mean": np.zeros(shape), "running_var": np.ones(shape)}
    for values, kept in ((mean, running["running_mean"]), (var, running["running_var"])):
        for t in range(steps):
            before = kept[t - 1] if t else kept[0].copy()
            kept[t] = before + trail * (values[t] - before)
    if kind not in ("batch", "instance"):
        running = dict.fromkeys(running)
    quartiles = {f"set_{of}": np.quantile(a, np.linspace(0, 1, 5), 1).T for of, a in (("mean", mean), ("var", var))}
    values = {
        "mean": mean,
        "var": var,
        **quartiles,
        "first_mean": None,
        "first_var": None,
        **running,
        "weight": np.ones(shape),
        "bias": np.zeros(shape),
        "grad_norm": np.exp(rng.normal(size=steps) * 0.3 - 0.1 * (seed % 50)) if grad else np.full(steps, np.nan),
        "samples": np.full(steps, 8),
        "count": np.full(steps, 8 * 16),
        "own": np.ones(steps, bool),
    }
    return LayerRecording(
        name=name, type="Norm", kind=kind, num_groups=4 if kind == "group" else None, shape=(8, C, 4, 4),
        eps=1e-5, momentum=0.1 if running["running_mean"] is not None else None, **values | changes,
    )  # fmt: skip


def recording(layers, every=1):
    """A recording of these layers."""
    made = Recording()
    made.every = every
    made._layers = {one.name: one for one in layers}
    made._steps = tuple(every * t for t in range(len(layers[0].mean))) if layers else ()
    return made


def many(L=5, steps=20, C=8, *, every=1, names="layer{}.bn", seed_from=0, **keywords):
    """A recording of L layers."""
    layers = [layer(names.format(k), steps, C, seed=seed_from + k, **keywords) for k in range(L)]
    return recording(layers, every)
