"""Layers of Keras, probed and checked; in one process for each backend, which Keras takes once and for all."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
import numpy as np, keras, normviz as nv
shape, layers = (4, 6, 6, 8), keras.layers
batch, drop, group = layers.BatchNormalization(), layers.Dropout(0.5), layers.GroupNormalization(4)
told = lambda fn: nv.probe(fn, shape, channel_axis=-1)
found = [
    told(batch), told(lambda x: batch(x, training=True)), told(group), told(layers.LayerNormalization()),
    told(lambda x: drop(group(x), training=True)), told(layers.RMSNormalization()), told(keras.Sequential([group])),
]
for p in found:
    print(p.method, p.num_groups, p.eps, p.affine, p.elementwise, p.stochastic, p.framework, p.calls <= 40)
print(batch.built, group.built)
batch.build(shape)
before = [np.array(v) for v in batch.variables]
told(lambda x: batch(x, training=True))
print(all(np.array_equal(a, b) for a, b in zip(before, batch.variables, strict=True)))
for layer, method, groups, eps in [
    (layers.BatchNormalization(), "batch", None, 1e-3),
    (layers.GroupNormalization(2), "group", 2, 1e-3),
    (layers.LayerNormalization(), "positional", None, 1e-3),
    (layers.LayerNormalization(center=False, scale=False), "positional", None, 1e-3),
    (layers.RMSNormalization(), "rms", None, 1e-6),
]:
    layer.build((2, 5, 4, 6))
    before = [np.array(w) for w in layer.get_weights()]
    verdict = nv.check(layer, method, groups, eps=eps, channel_axis=-1)
    same = all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    print("passed" if verdict.passed else verdict, "and unchanged" if same else "and changed")
"""


@pytest.fixture(scope="module", params=["torch", "jax"])
def printed(request):
    """The backend's name, and the lines that the program prints with it."""
    for module in ("keras", request.param):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    environment = os.environ | {"KERAS_BACKEND": request.param, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return request.param, run.stdout.splitlines()


def test_probes(printed):
    backend, lines = printed
    assert lines[:9] == [
        f"None None None channel True False {backend} True",
        f"batch None 0.001 none False False {backend} True",
        f"group 4 0.001 none False False {backend} True",
        f"positional None 0.001 none False False {backend} True",
        f"group 4 0.001 None False True {backend} True",
        f"rms None 1e-06 none False False {backend} True",
        f"group 4 0.001 none False False {backend} True",
        "False False",
        "True",
    ]


def test_checks(printed):
    _, lines = printed
    assert lines[9:] == ["passed and unchanged"] * 5
