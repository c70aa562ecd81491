"""float16 and bfloat16 in compiled loops: every half, and every kind of rounding, against NumPy and ml_dtypes."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")
ml_dtypes = pytest.importorskip("ml_dtypes")
KINDS = {"float16": (np.float16, np.int16), "bfloat16": (ml_dtypes.bfloat16, np.uint16)}


@pytest.mark.parametrize("name", [*KINDS, "float16 without instructions for it"])
def test_every_half_is_read_and_rounded_right(name, monkeypatch):
    from normviz.backends.compiled import numbers
    from normviz.backends.compiled.numbers import load, store

    if name not in KINDS:
        monkeypatch.setattr(numbers, "_converts_halves", lambda context: False)
        name = "float16"

    @numba.njit
    def copy(source, target):
        for j in range(source.size):
            store(target, j, load(source, j))

    kind, bits = KINDS[name]
    halves = np.arange(1 << 16).astype(np.uint16)
    with np.errstate(all="ignore"):
        expected = halves.view(kind).astype(np.float32)
    found = np.empty_like(expected)
    copy(halves.view(bits), found)
    np.testing.assert_array_equal(found, expected)

    # Around every half and every middle between two halves, and anything.
    finite = expected[np.isfinite(expected)]
    near = np.array([0, 1, -1, 4095, 4096, 4097, 8191, 32767, 32768, 32769])
    patterns = [*(finite.view(np.int32) + step for step in near), expected.view(np.int32)]
    anything = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, 1 << 18)
    values = np.concatenate([*patterns, anything]).astype(np.int32).view(np.float32)
    found = np.empty(values.size, bits)
    copy(values, found)
    with np.errstate(all="ignore"):
        expected = values.astype(kind)
    nan = np.isnan(values)
    np.testing.assert_array_equal(found[~nan], expected.view(bits)[~nan])
    assert np.isnan(found.view(kind)[nan].astype(np.float32)).all()
