"""The measurements, each a row: the most telling tensors first, then layers, arrays on the host, and the rest."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import normviz as nv
from normviz.backends.dispatch import adopt, load

from .cases import FIRST, Case, Limit
from .ceilings import ceilings
from .layers import LAYERS, measure
from .timing import apart, milliseconds

Row = dict[str, Any]


@dataclass
class Bench:
    """Where and by what it is measured; a test puts other things in their place.

    Attributes
    ----------
    cupy, torch
        The modules.
    device
        torch's name of the device.
    timed
        timed(call, buffers, window, windows) in milliseconds.
    apart
        apart(call, x) in milliseconds, of the host and of the GPU.
    cells
        How many cells the ceilings and the arrays on the host have.
    """

    cupy: Any
    torch: Any
    device: str
    timed: Callable[..., float]
    apart: Callable[..., tuple[float, float]]
    cells: int = 1 << 29

    @classmethod
    def on_cuda(cls) -> "Bench":
        """Return the real one; RuntimeError where there is no GPU."""
        load("cupy")
        cupy, torch = import_module("cupy"), import_module("torch")
        if not torch.cuda.is_available():
            raise RuntimeError("this torch was built without CUDA; pip install torch from the index for your CUDA")
        return cls(cupy, torch, "cuda", partial(milliseconds, cupy), partial(apart, cupy, torch))

    def machine(self) -> Row:
        """What it ran on."""
        found = self.cupy.cuda.runtime.getDeviceProperties(0)
        versions = {"normviz": nv.__version__, "cupy": self.cupy.__version__, "torch": self.torch.__version__}
        return {"device": found["name"].decode(), "devices": nv.devices(), "versions": versions}

    def run(self, cases: Sequence[Case], limit: Limit) -> Iterator[Row]:
        """Yield all rows, until the limit."""
        top = ceilings(self.cupy, self.torch, self.device, self.timed, self.cells)
        yield top
        self.give_back()
        for part in (*(partial(self.case, case, top, limit) for case in cases[:FIRST]), *self.layers(top), self.host):
            if limit.over():
                return
            yield from part()
            self.give_back()
        for case in cases[FIRST:]:
            if limit.over():
                return
            yield from self.case(case, top, limit)
            self.give_back()

    def layers(self, top: Row) -> list[Callable[[], Iterator[Row]]]:
        """Return one measurement for each layer and type."""
        given = (self.torch, self.device, self.timed, self.apart, top["copy_GBs"])
        return [partial(measure, layer, dtype, *given) for layer in LAYERS for dtype in ("float32", "bfloat16")]

    def case(self, case: Case, top: Row, limit: Limit) -> Iterator[Row]:
        """Yield the rows of one tensor."""
        torch, C, G = self.torch, case.shape[1], case.num_groups
        cache = self.cupy.cuda.runtime.getDeviceProperties(0)["l2CacheSize"]
        dtype = getattr(torch, case.dtype)
        xs = [(torch.randn(case.shape, device=self.device) * 2 + 1).to(dtype) for _ in range(case.copies(cache))]
        weight, bias = (torch.rand(C, device=self.device).to(dtype) for _ in range(2))
        options = {"num_groups": G, "weight": weight, "bias": bias}
        about = {"shape": list(case.shape), "dtype": case.dtype, "GB": case.nbytes / 1e9}
        norm = torch.nn.functional.group_norm
        yield {"kind": "error", **self.errors(xs[0], norm, weight, bias, options), **about}
        if limit.over():
            return

        worker = load("cupy")
        views = [adopt(x)[0] for x in xs]
        block = nv.pooling("instance", case.shape).block
        ms = self.timed(lambda x: worker.moments(x, block), views)
        yield {"kind": "moments", "ms": ms, "of_read": case.nbytes / ms / 1e6 / top["read_GBs"], **about}

        copy = 2 * case.nbytes / top["copy_GBs"] / 1e6  # one read and one write, the least that there can be
        floor = case.nbytes / top["read_GBs"] / 1e6 + copy  # two reads, if the tensor is larger than the cache
        ours = self.timed(lambda x: nv.normalize(x, "group", **options), xs)
        theirs = self.timed(lambda x: norm(x, G, weight, bias), xs)
        row = {
            "kind": "forward",
            "G": G,
            "ms": ours,
            "torch_ms": theirs,
            "vs_torch": theirs / ours,
            "of_floor": floor / ours,
            "of_copy": copy / ours,
        }
        if case.compiled and not limit.over(spare=60):
            try:  # it needs a compiler for C, and Triton
                torch._dynamo.reset()
                compiled = torch.compile(norm, dynamic=False)
                row["torch_compile_ms"] = self.timed(lambda x: compiled(x, G, weight, bias), xs)
            except Exception as error:
                row["torch_compile_error"] = f"{type(error).__name__}: {error}".partition("\n")[0]
        yield row | about
        if not limit.over():
            yield {"kind": "sweep", **self.sweep(xs, views, weight, bias), **about}

    def errors(self, x: Any, norm: Any, weight: Any, bias: Any, options: Row) -> Row:
        """Worst errors over the first sample, against float64 on the same device."""
        first = x[:1].double()
        exact = first.flatten(2)
        mean = exact.mean(2)
        m2 = ((exact - mean[..., None]) ** 2).sum(2)
        found = nv.moments(x[:1])
        expected = norm(first, options["num_groups"], weight.double(), bias.double())
        ours = nv.normalize(x[:1], "group", **options).double()
        theirs = norm(x[:1], options["num_groups"], weight, bias).double()
        return {
            "m2_relative": float(np.max(np.abs(found.m2 / m2.cpu().numpy() - 1))),
            "mean": float(np.max(np.abs(found.mean - mean.cpu().numpy()))),
            "output": float((ours - expected).abs().max()),
            "torch_output": float((theirs - expected).abs().max()),
        }

    def sweep(self, xs: list[Any], views: list[Any], weight: Any, bias: Any) -> Row:
        """Time batch and every G: one pass and merges on the device, and nv.sweep, which merges on the host.

        Torch makes a pass for each, or one as we do, and merges its variances and means.
        """
        torch = self.torch
        N, C, H, W = xs[0].shape
        every_g = nv.divisors(C)
        worker = load("cupy")

        def ours(x: Any) -> None:
            kernels = worker.kernels()
            atoms = kernels.rows(x, N * C, H * W)
            for G in every_g:
                kernels.merge(atoms, N * G, C // G, 1, H * W)
            kernels.merge(atoms, 1, N, C, H * W)

        def var_mean(x: Any) -> None:
            for G in every_g:
                torch.var_mean(x.view(N, G, -1), -1, correction=0)
            torch.var_mean(x, (0, 2, 3), correction=0)

        def one_pass(x: Any) -> None:
            var, mean = torch.var_mean(x, (2, 3), correction=0)
            for parts, axis in (*(((N, G, C // G), 2) for G in every_g), ((N, C), 0)):
                means = mean.view(parts)
                means.mean(axis), var.view(parts).mean(axis) + means.var(axis, correction=0)

        def norms(x: Any) -> None:
            for G in every_g:
                torch.nn.functional.group_norm(x, G, weight, bias)
            torch.nn.functional.batch_norm(x, None, None, weight, bias, True)

        ms, whole = self.timed(ours, views), self.timed(nv.sweep, xs, 100, 3)
        theirs, same, native = (self.timed(call, xs, 200, 3) for call in (var_mean, one_pass, norms))
        return {
            "configurations": len(every_g) + 1,
            "ms": ms,
            "with_host_ms": whole,
            "torch_var_mean_ms": theirs,
            "torch_one_pass_ms": same,
            "torch_norms_ms": native,
            "vs_var_mean": theirs / ms,
            "vs_one_pass": same / ms,
            "vs_norms": native / ms,
        }

    def host(self) -> Iterator[Row]:
        """Yield what arrays on the host cost, beside the bus and a copy in memory."""
        x = np.ones((self.cells // 2048 // 32, 32, 32, 64), np.float32)
        x += np.arange(64, dtype=np.float32)
        gigabytes = x.nbytes / 1e9
        pinned = np.frombuffer(self.cupy.cuda.alloc_pinned_memory(x.nbytes), np.float32, x.size).reshape(x.shape)
        there = self.cupy.empty(x.shape, np.float32)
        stream = self.cupy.cuda.Stream(non_blocking=True)

        def send() -> None:
            there.set(pinned, stream=stream)
            stream.synchronize()

        out = np.empty_like(x)
        calls = {
            "copy in memory, 1 thread": lambda: np.copyto(pinned, x),
            "pinned memory to the device": send,
            "moments": lambda: nv.moments(x, backend="cupy"),
            "normalize, there and back": lambda: nv.normalize(x, "batch", backend="cupy", out=out),
            "moments, NumPy": lambda: nv.moments(x, backend="numpy"),
            "normalize, NumPy": lambda: nv.normalize(x, "batch", backend="numpy", out=out),
        }
        for name, call in calls.items():
            seconds = _best(call)
            yield {"kind": "host", "what": name, "GB": gigabytes, "s": seconds, "GBs": gigabytes / seconds}

    def give_back(self) -> None:
        """Free what both modules keep."""
        self.torch.cuda.empty_cache()
        self.cupy.get_default_memory_pool().free_all_blocks()


def _best(call: Callable[[], Any], times: int = 3) -> float:
    """Seconds of the best of some calls; the first ones make pages."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)
