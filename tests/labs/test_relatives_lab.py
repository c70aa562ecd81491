import numpy as np
import pytest

from normviz.labs import relatives

X = np.random.default_rng(5).normal(0.5, 2, size=(3, 4, 2, 3))


def test_weight_norms_gradient_is_orthogonal_to_v_and_what_pytorch_finds():
    found = relatives.measure(X, g=2.0)
    assert np.abs((found.v_gradient * X).sum(axis=(1, 2, 3))).max() < 1e-13
    assert np.abs(found.cosine).max() < 1e-14
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    v = torch.tensor(X, requires_grad=True)
    y = 2 * v / v.flatten(1).norm(dim=1)[:, None, None, None]
    (y * torch.tensor(np.random.default_rng(0).normal(size=X.shape))).sum().backward()
    np.testing.assert_allclose(found.v_gradient, v.grad, rtol=0, atol=1e-13)


def test_outputs_follow_their_definitions():
    found, out = relatives.measure(X, tau=0.3), relatives.measure(X, tau=0.3).outputs
    np.testing.assert_allclose(out["rms"], X / np.sqrt((X**2).mean(1, keepdims=True) + 1e-5), atol=1e-12)
    y = X / np.sqrt((X**2).mean((2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(out["frn"], np.maximum(y, 0.3), atol=1e-12)
    assert found.cut == (y < 0.3).mean()
    w = X - X.mean((1, 2, 3), keepdims=True)
    want = w / np.sqrt(X.var((1, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(out["weight_standardization"], want, atol=1e-12)
    mean = var = 0
    for share, axes in zip(found.shares, ((2, 3), (1, 2, 3), (0, 2, 3)), strict=True):
        mean, var = mean + share * X.mean(axes, keepdims=True), var + share * X.var(axes, keepdims=True)
    np.testing.assert_allclose(out["switchable"], (X - mean) / np.sqrt(var + 1e-5), atol=1e-12)
    np.testing.assert_allclose(found.shares, np.exp([0, 0, 1]) / np.exp([0, 0, 1]).sum(), atol=1e-15)


def test_every_step_shows_its_own_numbers():
    figure, found = relatives.figure(X), relatives.measure(X)
    for step, name in zip(figure.layout.sliders[0].steps, relatives.NAMES, strict=True):
        x, y = (step.args[0][key][1] for key in "xy")
        shown = sorted((a, b) for a, b in zip(x, y, strict=True) if a is not None)
        assert shown == sorted(zip(*(v.ravel().round(4).tolist() for v in (X, found.outputs[name])), strict=True))
        # A line goes through the values of one set; without a mean, what it says of 0 is 0.
        assert (step.args[1]["annotations[2].text"] == "Zero stays zero") == bool(
            (np.sign(found.outputs[name]) * np.sign(X) >= 0).all()
        )
    assert figure.layout.meta["alt"]
    assert figure.layout.meta["caption"]
