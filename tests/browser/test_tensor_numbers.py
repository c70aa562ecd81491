"""The numbers that a page computes of a tensor that was made in it, compared with Python's."""

import base64
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

import normviz as nv
from normviz import samples
from normviz.explorer import scene
from normviz.explorer.constants import LIMITS
from tests.browser import host

ENTRIES = ("fills", "part", "maker")

BITS = """
const bits = (values) => {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
};
const array = (packed) => front.unpack(packed);
"""


@pytest.fixture
def call(page: Page, tmp_path: Path) -> Callable[..., Any]:
    """Evaluate JavaScript with the functions of the front-end in `front` and the argument in `given`."""
    page.goto(host.write(tmp_path / "module.html").as_uri())
    page.wait_for_function("window.loaded")
    for entry in ENTRIES:
        module = host.exporting(f"explorer/js/tensor/{entry}.js")
        load = "async (text) => { const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' })); "
        page.evaluate(load + "front = { ...front, ...(await import(url)) }; }", module)
    return lambda code, given=None: page.evaluate(f"async (given) => {{ {BITS} {code} }}", given)


def from_bits(text: str, dtype: str) -> np.ndarray:
    """The array whose bytes the page sent."""
    return np.frombuffer(base64.b64decode(text), dtype)


def random_shape(rng: np.random.Generator, rank: int, most: int) -> list[int]:
    """Lengths from 1 on whose product is at most `most`."""
    shape = [1] * rank
    for axis in rng.permutation(rank):
        shape[axis] = int(min(2 ** rng.uniform(0, 6), most // math.prod(shape)))
    return shape


# ---- fills ----


def test_fills_have_the_same_bits_as_in_python(call):
    rng = np.random.default_rng(1)
    seeds = [0, 1, 7, -1, 2**31, 2**32 - 1, 2**32 + 7, 2**40 + 5, -(2**35) - 3]
    cases = [
        {"shape": random_shape(rng, 2 + k % 4, 3000), "fill": fill, "seed": seeds[(k * 5 + j) % len(seeds)]}
        for k in range(24)
        for j, fill in enumerate(samples.FILLS)
    ]
    # Longer than a piece, in Python and in the page.
    cases += [
        {"shape": [3, 5, 140, 141], "fill": fill, "seed": 3}
        for fill in ("normal", "loud channel", "loud sample", "ramp")
    ]
    cases += [{"shape": [33, 20, 17, 25], "fill": "sample", "seed": 0}]
    answers = call(
        "const sample = await front.unpackSample(given.sample);"
        "return given.cases.map(({ shape, fill, seed }) => bits(front.filled(shape, fill, seed, sample)));",
        {"cases": cases, "sample": scene.packed_sample()},
    )
    for case, answer in zip(cases, answers, strict=True):
        expected = nv.samples.filled(**case)
        assert from_bits(answer, "<u4").tolist() == expected.view("<u4").ravel().tolist(), case


def test_the_page_knows_the_same_fills_and_the_same_limit(call):
    names, shape, values = call("return [front.FILLS, front.EXAMPLE.shape, front.EXAMPLE.values]")
    assert tuple(names) == samples.FILLS
    assert np.array_equal(np.reshape(values, shape), nv.samples.filled((1, 1), "example"))
    assert LIMITS["filled"] == samples.MOST


def test_the_packed_sample_is_small_and_complete(call):
    packed = scene.packed_sample()
    assert len(packed) < 36_000
    code = "const { shape, values } = await front.unpackSample(given); return [shape, bits(values)];"
    shape, text = call(code, packed)
    assert np.array_equal(from_bits(text, "<f4").reshape(shape), nv.samples.activations(16))
