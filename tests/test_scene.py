"""The scene: what crosses to the browser, exactly, coarsely, and in the smallest type."""

import base64
import json

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import scene, validation


def scene_of(x=None, **keywords):
    """What a page gets of an explorer."""
    return validation.start(x, keywords)[0].scene


def unpack(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 8, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, bool])
@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 5), (2, 4, 3, 5), (2, 4, 2, 3, 5)])
def test_the_scene_carries_every_value_exactly(rng, shape, dtype):
    x = (rng.normal(size=shape) * 3).astype(dtype)
    built = scene_of(x)
    np.testing.assert_array_equal(unpack(built["values"]).astype(np.float64), x.astype(np.float64).ravel())
    assert built["shape"] == list(shape)
    assert built["dtype"] == np.dtype(dtype).name


def test_values_travel_in_the_smallest_type_that_keeps_them():
    assert scene.smallest(np.array([0.5, np.nan, np.inf])).dtype == np.float16
    assert scene.smallest(np.array([1e5])).dtype == np.float32
    assert scene.smallest(np.array([1e8 + 0.01])).dtype == np.float64


@pytest.mark.parametrize("most", [0, 255, 256, 299, 70_000])
def test_given_sets_keep_their_numbers(most):
    labels = np.zeros((2, 8, 4, 4), int)
    labels[1, 7, 3, 3] = most
    built = scene_of(np.zeros(labels.shape), labels=labels)
    np.testing.assert_array_equal(unpack(built["labels"]), labels.ravel())


def test_given_sets_of_a_large_tensor_lose_no_digits():
    labels, noise = np.zeros((4, 64, 32, 32), int), np.random.default_rng(0).normal(size=(4, 64, 32, 32))
    labels[:, :, ::2], labels[0, 0, 0, 0] = 1, 2
    x = np.where(labels == 1, 0.1, noise + 1e8)
    sets = {key: unpack(packed) for key, packed in scene_of(x, labels=labels)["sets"].items()}
    assert (sets["mean"][1], sets["var"][1], sets["var"][2]) == (0.1, 0, 0)
    np.testing.assert_allclose(sets["var"][0], (x[labels == 0] - 1e8).var(), rtol=1e-12)
    x[0, 0, 1, 0] = np.inf
    mean = unpack(scene_of(x, labels=labels)["sets"]["mean"])
    assert mean.tolist() == [np.inf, 0.1, x[0, 0, 0, 0]]


def test_the_sample_activations_travel_as_halves():
    assert scene_of()["values"]["dtype"] == "float16"


def test_channels_last_and_strides_are_only_another_view(rng):
    x = rng.normal(size=(2, 4, 6, 8))
    same = scene_of(np.moveaxis(x, -1, 1))
    last = scene_of(x, channel_axis=-1)
    assert same | {"channel_axis": -1} == last


def test_a_large_tensor_carries_exact_moments_and_coarse_values(rng):
    x = rng.normal(size=(32, 256, 14, 14)).astype(np.float32)
    built = scene_of(x)
    assert built["values"] is None
    bins = built["bins"]
    assert all(-(-length // size) <= 32 for length, size in zip(x.shape[1:], bins[1:], strict=True))
    means = x.mean(axis=(2, 3), dtype=np.float64).ravel()
    np.testing.assert_allclose(unpack(built["mean"]), means, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(unpack(built["m2"]), 14 * 14 * x.var(axis=(2, 3), dtype=np.float64).ravel(), rtol=1e-5)
    drawn = [-(-length // size) for length, size in zip(x.shape, bins, strict=True)]
    level = unpack(built["coarse"]).reshape(drawn)
    low, high = built["extent"]
    box = x[3, bins[1] : 2 * bins[1], : bins[2], : bins[3]].mean(dtype=np.float64)
    assert abs(low + level[3, 1, 0, 0] / 254 * (high - low) - box) <= (high - low) / 254
    position = unpack(built["positions"]["mean"])[14 * 14 + 3]
    np.testing.assert_allclose(position, x[1, :, 0, 3].mean(dtype=np.float64), rtol=1e-5)
    assert len(json.dumps(built)) < 700_000


def test_a_long_batch_of_vectors_keeps_its_numbers_with_python(rng, monkeypatch):
    x = rng.normal(size=(4096, 512)).astype(np.float32)
    explorer, said = nv.Explorer(x, index=(7, 130)), []
    assert explorer._scene["mean"] is None
    assert len(json.dumps(explorer._scene)) < 1_000_000
    assert "mean and variance need a running kernel" in explorer.to_svg()
    monkeypatch.setattr(explorer, "send", said.append)
    explorer._answer(explorer, {"method": "group", "num_groups": 4, "index": [7, 130]}, [])
    np.testing.assert_allclose(said[0]["mean"], x[7, 128:256].mean(dtype=np.float64), rtol=1e-5)


def test_uneven_bins_average_what_is_there(rng):
    x = rng.normal(size=(1, 3, 5, 7))
    small = scene.means(x, (1, 2, 2, 3))
    assert small.shape == (1, 2, 3, 3)
    np.testing.assert_allclose(small[0, 1, 2, 2], x[0, 2:, 4:, 6:].mean(), rtol=1e-6)


@pytest.mark.parametrize("hostile", [np.nan, np.inf, -np.inf, 1e20, 1e-30])
def test_hostile_values_make_a_scene_and_pictures(x, hostile):
    x[0, 0, 0, 0] = hostile
    explorer = nv.Explorer(x)
    text = json.dumps(explorer._scene, allow_nan=False)
    assert "NaN" not in text
    assert explorer.to_svg().startswith("<svg")


def test_a_constant_tensor_has_variance_zero():
    built = scene_of(np.full((2, 4, 3, 3), 7.25))
    assert not unpack(built["m2"]).any()
    assert set(unpack(built["mean"])) == {7.25}


def test_torch_tensors_are_taken(x):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.tensor(x, requires_grad=True)
    explorer = nv.Explorer(tensor)
    np.testing.assert_array_equal(unpack(explorer._scene["values"]).reshape(x.shape), x)
    assert explorer.x is tensor


def test_the_colours_of_a_large_tensor_survive_a_large_offset(rng):
    built = scene_of(1e8 + rng.normal(size=(2, 64, 40, 40)))
    assert np.unique(unpack(built["coarse"])).size > 100


@pytest.mark.parametrize("size", [1, 100])
def test_values_at_the_edge_of_float64_make_a_scene_and_pictures_without_a_warning(size):
    x = np.zeros((2, 16, 8 * size, 8))
    x[0, 0, :, 0], x[1, 0, 0, 0], x[1, 0, 0, 1] = 1.7e308, np.inf, -np.inf
    x[0, 1] = -1.7e308
    assert nv.show(x, color="value").to_svg().startswith("<svg")


def test_moments_of_single_values_weigh_no_more_than_the_values(rng):
    built = scene_of(rng.normal(size=(4, 8)).astype(np.float32))
    assert (built["mean"]["dtype"], built["m2"]["dtype"]) == ("float32", "float16")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("zeros", [0, 0.05, 0.5, 1])
def test_a_page_leaves_out_zeros_where_there_are_many(rng, dtype, zeros):
    x = rng.normal(size=(2, 3, 5, 7)).astype(dtype)
    x[rng.uniform(size=x.shape) < zeros] = 0
    x.flat[0] = -0.0
    full = scene_of(x)
    sent = scene.without_zeros(full)
    assert {**sent, "values": 0} == {**full, "values": 0}
    packed = sent["values"]
    if zeros < 0.1:
        assert packed == full["values"]
        return
    assert len(json.dumps(packed)) < len(json.dumps(full["values"])) + 60
    filled = np.unpackbits(np.frombuffer(base64.b64decode(packed["filled"]), np.uint8), bitorder="little")
    found = np.zeros(packed["size"], packed["dtype"])
    found[np.flatnonzero(filled)] = unpack(packed)
    assert found.tobytes() == unpack(full["values"]).tobytes()
