"""PyTorch as a second opinion: float64 to 1e-10, float32 to 1e-5, forward, backward and running statistics."""

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import one_each, two_groups, values

torch = pytest.importorskip("torch")
nn = torch.nn

SHAPES = [(4, 6), (4, 6, 5), (2, 6, 4, 3), (2, 4, 3, 2, 2)]


def batch(x, w, b, eps):
    return nn.functional.batch_norm(x, None, None, w, b, training=True, eps=eps)


def layer(x, w, b, eps):
    return nn.functional.layer_norm(x, x.shape[1:], w, b, eps=eps)


def instance(x, w, b, eps):
    return nn.functional.instance_norm(x, weight=w, bias=b, eps=eps)


def group(x, w, b, eps):
    return nn.functional.group_norm(x, 2, w, b, eps=eps)


def positional(x, w, b, eps):
    return nn.functional.layer_norm(x.movedim(1, -1), x.shape[1:2], w, b, eps=eps).movedim(-1, 1)


def rms(x, w, b, eps):
    y = nn.functional.rms_norm(x.movedim(1, -1), x.shape[1:2], w, eps=eps)  # torch's has no bias
    return (y + b).movedim(-1, 1)


def heads(layer):
    """A layer over the channels of each of two heads, with channels last."""

    def function(x, w, b, eps):
        x = x.movedim(1, -1).unflatten(-1, (2, -1))
        return layer(x, x.shape[-1:], w, b, eps).flatten(-2).movedim(-1, 1)

    return function


per_head = heads(lambda x, shape, w, b, eps: nn.functional.layer_norm(x, shape, w, b, eps))
per_head_rms = heads(lambda x, shape, w, b, eps: nn.functional.rms_norm(x, shape, w, eps) + b)


def along(parameter, axis, x):
    return parameter.reshape([-1 if a == axis else 1 for a in range(x.ndim)])


def frn(x, w, b, eps):
    square = x.square().mean(tuple(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else x.square()
    return x * torch.rsqrt(square + eps) * along(w, 1, x) + along(b, 1, x)


def ghost(x, w, b, eps):
    return torch.cat([batch(part, w, b, eps) for part in x.chunk(2)])


def weight_norm(x, w, b, eps):
    """PyTorch's has no eps: it is put in as one more cell of the filter, the root of eps."""
    v = torch.cat([x.flatten(1), torch.full((len(x), 1), eps**0.5, dtype=x.dtype)], 1)
    holder = nn.utils.parametrizations.weight_norm(nn.Linear(v.shape[1], len(v), bias=False, dtype=x.dtype))
    given = {"parametrizations.weight.original0": w[:, None], "parametrizations.weight.original1": v}
    weights = torch.func.functional_call(holder, given, torch.eye(v.shape[1], dtype=x.dtype)).T
    return weights[:, :-1].reshape(x.shape) + along(b, 0, x)


def weight_standardization(x, w, b, eps):
    return nn.functional.layer_norm(x, x.shape[1:], eps=eps) * along(w, 0, x) + along(b, 0, x)


TORCH = {name: globals()[name] for name in nv.METHODS}
# torch's instance_norm refuses (N, C), where every set is one cell.
CASES = [(method, shape) for method in TORCH for shape in SHAPES[method == "instance" :]]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize(("method", "shape"), CASES)
def test_forward_and_backward(method, shape, dtype, tolerance, backend):
    sample = shape[1:] if method == "layer" else one_each(method, shape)
    sample = shape[1] // 2 if nv.METHODS[method].shared else sample
    x, g = values(shape, dtype=dtype), values(shape, seed=1, dtype=dtype)
    weight, bias = values(sample, 2, dtype), values(sample, 3, dtype)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    y = TORCH[method](*tensors, eps=1e-3)
    y.backward(torch.from_numpy(g))
    options = {"num_groups": two_groups(method), "weight": weight, "eps": 1e-3, "backend": backend}

    def agree(found, expected):
        np.testing.assert_allclose(found, expected.detach(), rtol=tolerance, atol=10 * tolerance)

    agree(nv.normalize(x, method, bias=bias, **options), y)
    gradients = nv.gradient(x, g, method, **options)
    for found, tensor in zip((gradients.input, gradients.weight, gradients.bias), tensors, strict=True):
        agree(found, tensor.grad)


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_and_eval(momentum, backend):
    theirs = nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64)
    ours = nv.RunningStatistics(3, momentum=momentum)
    for step in range(4):
        x = values((4, 3, 5, 2), seed=step)
        theirs(torch.from_numpy(x))
        ours.update(x, backend=backend)
    np.testing.assert_allclose(ours.mean, theirs.running_mean, rtol=1e-12)
    np.testing.assert_allclose(ours.var, theirs.running_var, rtol=1e-12)
    assert ours.num_batches_tracked == theirs.num_batches_tracked
    expected = theirs.eval()(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(nv.normalize(x, "batch", statistics=ours, backend=backend), expected, rtol=1e-12)


def test_layouts_of_transformers_and_channels_last_images():
    for shape in ((2, 7, 6), (2, 4, 3, 6)):
        x = torch.from_numpy(values(shape))
        expected = nn.LayerNorm(shape[-1], dtype=torch.float64)(x).detach()
        np.testing.assert_allclose(nv.normalize(x, "positional", channel_axis=-1), expected, rtol=1e-10)


def test_query_norm_of_attention(backend):
    """Queries (batch, tokens, heads * width), each head normalized by itself, and back through attention."""
    N, T, G, C = 2, 5, 4, 12
    q, k, v, g = (torch.from_numpy(values((N, T, C), seed)) for seed in range(4))
    normed = {"per_head": nn.LayerNorm(C // G, dtype=q.dtype), "per_head_rms": nn.RMSNorm(C // G, 1e-5, dtype=q.dtype)}
    for method, layer in normed.items():
        options = {"num_groups": G, "channel_axis": -1, "backend": backend}
        nn.init.normal_(layer.weight)
        q.requires_grad_()
        normal = layer(q.unflatten(-1, (G, -1)))  # (N, T, G, C // G)
        normal.retain_grad()
        split = [a.unflatten(-1, (G, -1)).transpose(1, 2) for a in (k, v)]
        out = nn.functional.scaled_dot_product_attention(normal.transpose(1, 2), *split)
        (out.transpose(1, 2).flatten(-2) * g).sum().backward()
        weight = layer.weight.detach().numpy()
        found = nv.normalize(q.detach().numpy(), method, weight=weight, **options)
        np.testing.assert_allclose(found, normal.detach().flatten(-2), rtol=1e-10, atol=1e-10)
        slopes = nv.gradient(q.detach().numpy(), normal.grad.flatten(-2).numpy(), method, weight=weight, **options)
        np.testing.assert_allclose(slopes.input, q.grad, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(slopes.weight, layer.weight.grad, rtol=1e-10, atol=1e-10)
        q.grad = None


def test_group_norm_with_one_group_is_not_torch_s_layer_norm():
    """Same statistics, another affine shape: the best-documented confusion of the field."""
    x = values((2, 4, 3, 3))
    weight = values(x.shape[1:], seed=1)
    nv.normalize(x, "layer", weight=weight)
    with pytest.raises(ValueError, match="needs"):
        nv.normalize(x, "group", num_groups=1, weight=weight)
