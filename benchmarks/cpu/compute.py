"""Sweep, forward, small arrays, float16, channels last: ours beside torch, naive NumPy and a copy of the array."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

import normviz as nv

from .timing import Job, medians

SWEPT = ((32, 256, 14, 14), (32, 64, 56, 56), (8, 256, 56, 56), (1, 128, 512, 512), (2, 256, 200, 304))
FORWARD = ((32, 256, 14, 14), (32, 64, 56, 56), (32, 256, 56, 56), (2, 256, 200, 304))
TINY = (2, 8, 4, 4)

Row = tuple[str, float, dict[str, float]]
"""What, our seconds, and the seconds of the others."""


def normal(shape: tuple[int, ...], dtype: str = "f4") -> np.ndarray:
    """Standard normal values."""
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32).astype(dtype)


def name_of(x: np.ndarray) -> str:
    """Return such as "(32, 64, 56, 56) 26 MB"."""
    return f"{x.shape} {x.nbytes / 1e6:.3g} MB"


def sweeps(rounds: int) -> Iterator[Row]:
    """Batch Norm's statistics and those of every G, beside one call for each of these configurations."""
    for shape in SWEPT:
        x = normal(shape)
        t, copy = torch.from_numpy(x), np.empty_like(x)
        every_g = nv.divisors(shape[1])

        def var_mean(t: torch.Tensor = t, every_g: tuple[int, ...] = every_g) -> None:
            torch.var_mean(t, (0, 2, 3), correction=0)
            for g in every_g:
                torch.var_mean(t.view(len(t), g, -1), 2, correction=0)

        def norms(t: torch.Tensor = t, every_g: tuple[int, ...] = every_g) -> None:
            F.batch_norm(t, None, None, training=True)
            for g in every_g:
                F.group_norm(t, g)

        def naive(x: np.ndarray = x, every_g: tuple[int, ...] = every_g) -> None:
            x.mean((0, 2, 3)), x.var((0, 2, 3))
            for g in every_g:
                v = x.reshape(len(x), g, -1)
                v.mean(2), v.var(2)

        found = medians(
            {
                "ours": lambda x=x: nv.sweep(x),
                "torch.var_mean each": var_mean,
                "torch's norm each": norms,
                "NumPy each": naive,
                "np.copyto": lambda x=x, copy=copy: np.copyto(copy, x),
            },
            rounds,
        )
        yield f"sweep {name_of(x)}, {len(every_g) + 1} configurations", found.pop("ours"), found


def forwards(rounds: int) -> Iterator[Row]:
    """The output into memory that is there, beside torch, which allocates its own, and a copy."""
    for shape in FORWARD:
        x = normal(shape)
        t, out = torch.from_numpy(x), np.empty_like(x)
        weight, bias = normal(shape[1:2]), normal((2, shape[1]))[1].copy()
        w, b = torch.from_numpy(weight), torch.from_numpy(bias)
        affine = {"weight": weight, "bias": bias}
        pairs: dict[str, tuple[Job, Job]] = {
            "group, G = 32": (
                lambda x=x, out=out, affine=affine: nv.normalize(x, "group", num_groups=32, out=out, **affine),
                lambda t=t, w=w, b=b: F.group_norm(t, 32, w, b),
            ),
            "batch": (
                lambda x=x, out=out, affine=affine: nv.normalize(x, "batch", out=out, **affine),
                lambda t=t, w=w, b=b: F.batch_norm(t, None, None, w, b, training=True),
            ),
        }
        for name, (ours, theirs) in pairs.items():
            jobs = {"ours": ours, "torch": theirs, "np.copyto": lambda x=x, out=out: np.copyto(out, x)}
            found = medians(jobs, rounds)
            yield f"forward {name_of(x)}, {name}", found.pop("ours"), found


def tiny(rounds: int) -> Iterator[Row]:
    """What a call costs when there is next to nothing to compute."""
    x = normal(TINY)
    t = torch.from_numpy(x)
    found = medians(
        {"ours": lambda: nv.normalize(x, "group", num_groups=4), "torch": lambda: F.group_norm(t, 4)}, rounds, 0.02
    )
    yield f"forward {TINY}, group, G = 4", found.pop("ours"), found

    def each() -> None:
        torch.var_mean(t, (0, 2, 3), correction=0)
        for g in (1, 2, 4, 8):
            torch.var_mean(t.view(2, g, -1), 2, correction=0)

    found = medians({"ours": lambda: nv.sweep(x), "torch.var_mean each": each}, rounds, 0.02)
    yield f"sweep {TINY}, 5 configurations", found.pop("ours"), found


def others(rounds: int) -> Iterator[Row]:
    """float16, a large offset, channels last, both as images and as tokens."""
    x = normal((32, 64, 56, 56))
    half, out16 = x.astype("f2"), np.empty(x.shape, "f2")
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    out, images = np.empty_like(last), torch.from_numpy(last).permute(0, 3, 1, 2)
    tokens = normal((32, 1024, 768))
    out3, offset = np.empty_like(tokens), x + 100
    cases: dict[str, tuple[Job, Job, Job]] = {
        f"sweep {name_of(half)} float16": (
            lambda: nv.sweep(half),
            _var_means(torch.from_numpy(half)),
            lambda: np.copyto(out16, half),
        ),
        f"sweep {name_of(offset)} + 100": (
            lambda: nv.sweep(offset),
            _var_means(torch.from_numpy(offset)),
            lambda: np.copyto(x, offset),
        ),
        f"sweep {name_of(last)} channels last": (
            lambda: nv.sweep(last, channel_axis=-1),
            _var_means(images.contiguous()),
            lambda: np.copyto(out, last),
        ),
        f"forward {name_of(half)} float16, group, G = 32": (
            lambda: nv.normalize(half, "group", num_groups=32, out=out16),
            lambda: F.group_norm(torch.from_numpy(half), 32),
            lambda: np.copyto(out16, half),
        ),
        f"forward {name_of(last)} channels last, group, G = 32": (
            lambda: nv.normalize(last, "group", num_groups=32, out=out, channel_axis=-1),
            lambda: F.group_norm(images, 32),
            lambda: np.copyto(out, last),
        ),
        f"forward {name_of(tokens)} tokens, positional": (
            lambda: nv.normalize(tokens, "positional", out=out3, channel_axis=-1),
            lambda: F.layer_norm(torch.from_numpy(tokens), (768,)),
            lambda: np.copyto(out3, tokens),
        ),
    }
    for name, (ours, theirs, copy) in cases.items():
        found = medians({"ours": ours, "torch": theirs, "np.copyto": copy}, rounds)
        yield name, found.pop("ours"), found


def _var_means(t: torch.Tensor) -> Callable[[], None]:
    def each() -> None:
        torch.var_mean(t, (0, 2, 3), correction=0)
        for g in nv.divisors(t.shape[1]):
            torch.var_mean(t.view(len(t), g, -1), 2, correction=0)

    return each
