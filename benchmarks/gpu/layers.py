"""Layers as networks have them, forward and backward, beside torch's: too small for a GPU, or odd in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import normviz as nv

from .cases import BYTES

Row = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """One layer of torch.nn.functional and the same by normviz.

    Attributes
    ----------
    name, shape, channel_axis
        What it is called, and the shape that torch takes.
    options
        Method and number of groups.
    torch
        torch(functional, x, weight, bias).
    last
        Whether the memory of (N, C, H, W) is channels last.
    gradient
        Whether the backward pass is timed as well.
    """

    name: str
    shape: tuple[int, ...]
    options: Row
    torch: Callable[..., Any]
    channel_axis: int = 1
    last: bool = False
    gradient: bool = False


def _group(f: Any, x: Any, weight: Any, bias: Any) -> Any:
    return f.group_norm(x, 32, weight, bias)


def _batch(f: Any, x: Any, weight: Any, bias: Any) -> Any:
    return f.batch_norm(x, None, None, weight, bias, True)


def _layer(f: Any, x: Any, weight: Any, bias: Any) -> Any:
    return f.layer_norm(x, x.shape[-1:], weight, bias)


def _rms(f: Any, x: Any, weight: Any, bias: Any) -> Any:
    return f.rms_norm(x, x.shape[-1:], weight, 1e-5)


GROUP, BATCH = {"method": "group", "num_groups": 32}, {"method": "batch"}
LAYERS = [
    Layer("group, 1 MB of float32", (4, 64, 32, 32), GROUP, _group),
    Layer("group, 8 MB of float32", (32, 64, 32, 32), GROUP, _group, gradient=True),
    Layer("batch, channels last", (64, 128, 56, 56), BATCH, _batch, last=True, gradient=True),
    Layer("batch, channels last, C = 3", (64, 3, 512, 512), BATCH, _batch, last=True),
    Layer("layer on tokens", (32, 1024, 2048), {"method": "positional"}, _layer, -1, gradient=True),
    Layer("rms on tokens", (32, 1024, 2048), {"method": "rms"}, _rms, -1),
]


def measure(
    layer: Layer, dtype: str, torch: Any, device: str, timed: Any, apart: Any, copy_GBs: float
) -> Iterator[Row]:
    """Yield the row of the forward pass and that of the backward pass; times in ms, and the host's apart.

    The floor is one read and one write; a gradient reads two tensors.
    """
    of_type, functional = getattr(torch, dtype), torch.nn.functional
    memory = {"memory_format": torch.channels_last} if layer.last else {}
    C = layer.shape[layer.channel_axis]
    x, grad = ((torch.randn(layer.shape, device=device) * 2 + 1).to(of_type, **memory) for _ in range(2))
    weight, bias = (torch.rand(C, device=device).to(of_type) for _ in range(2))
    centered = layer.options["method"] != "rms"
    given = {"weight": weight, "channel_axis": layer.channel_axis, **layer.options}
    shift = {"bias": bias} if centered else {}
    nbytes = x.numel() * BYTES[dtype]
    about = {"dtype": dtype, "shape": list(layer.shape), "MB": nbytes / 1e6}

    def ours(a: Any) -> Any:
        return nv.normalize(a, **given, **shift)

    def theirs(a: Any) -> Any:
        return layer.torch(functional, a, weight, bias)

    copy = 2 * nbytes / copy_GBs / 1e6
    yield {"kind": "layer", "what": layer.name} | _row(ours, theirs, x, timed, apart, copy) | about
    if not layer.gradient:
        return
    leaves = [a.detach().clone().requires_grad_() for a in (x, weight, bias)]
    y = layer.torch(functional, *leaves)

    def slope(a: Any) -> Any:
        return nv.gradient(a, grad, **given).input

    def autograd(a: Any) -> Any:
        return torch.autograd.grad(y, leaves, grad, retain_graph=True)[0]

    yield {"kind": "gradient", "what": layer.name} | _row(slope, autograd, x, timed, apart, 1.5 * copy) | about


def _row(ours: Any, theirs: Any, x: Any, timed: Any, apart: Any, floor: float) -> Row:
    """Time two calls; `difference` is the largest between their results."""
    ms, torch_ms = timed(ours, [x]), timed(theirs, [x])
    (host_ms, gpu_ms), (torch_host_ms, torch_gpu_ms) = apart(ours, x), apart(theirs, x)
    return {
        "ms": ms,
        "host_ms": host_ms,
        "gpu_ms": gpu_ms,
        "torch_ms": torch_ms,
        "torch_host_ms": torch_host_ms,
        "torch_gpu_ms": torch_gpu_ms,
        "vs_torch": torch_ms / ms,
        "of_floor": floor / ms,
        "difference": float((ours(x).double() - theirs(x).double()).abs().max()),
    }
