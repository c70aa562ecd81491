"""Any callable on arrays, asked with NumPy arrays and answering with them: torch, JAX, Keras, CuPy or NumPy inside.

Which framework a callable wants is found out by trying; what it is made of only says which to try first.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.backends.dispatch import cupy_problem, host, is_bfloat16, kind
from normviz.core.errors import unknown
from normviz.core.pooling import canonical
from normviz.inspect._restoring import is_array
from normviz.inspect._snapshot import Found, seed_everything

FRAMEWORKS = ("numpy", "torch", "jax", "cupy")
RESOLUTION = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The distance from 1 to the next number, by dtype."""


class Refusal(Exception):
    """The callable raised on an input; what it raised is the cause."""


class Forward:
    """A callable, as a function from (N, C, *spatial) float64 arrays to such arrays.

    Parameters
    ----------
    fn
        Any callable that takes one array and gives one of its shape.
    found
        What it can reach, as `untouched` remembers it; put back before every call, so that one experiment cannot
        change the next.
    channel_axis
        Where fn has its channels.
    framework
        One of FRAMEWORKS, or None to find out.
    seed
        For the random numbers that fn may draw.

    Attributes
    ----------
    framework, dtype
        What fn is given; known after `start`.
    resolution
        That of the coarser of what goes in and what comes out.
    calls
        Forward calls so far, failed ones included.
    """

    def __init__(
        self, fn: Callable, found: Found, *, channel_axis: int = 1, framework: str | None = None, seed: int = 0
    ) -> None:
        check_callable(fn)
        if framework is not None and framework not in FRAMEWORKS:
            raise ValueError(unknown("framework", framework, FRAMEWORKS))
        self.fn, self.found, self.channel_axis, self.given, self.seed = fn, found, channel_axis, framework, seed
        self.framework, self.dtype, self.device = framework or "numpy", "float64", None
        self.resolution, self.calls = RESOLUTION["float64"], 0

    def start(self, x: np.ndarray) -> np.ndarray:
        """Find out what fn takes, and return its answer to x.

        Raises
        ------
        ValueError, TypeError
            If fn takes x in no framework and dtype, or gives back no array of x's shape: in one sentence.
        """
        refusals: list[Refusal] = []
        for kinds in self._kinds():
            self.framework, self.dtype, self.device = kinds
            try:
                y = self(x)
            except Refusal as refusal:
                refusals.append(refusal)
                continue
            coarser = self._came_out
            if RESOLUTION[coarser] > RESOLUTION[self.dtype]:
                self._prefer(coarser, x)
                y = self(x)
            self.resolution = max(RESOLUTION[self._came_out], RESOLUTION[self.dtype])
            return y
        if not refusals:
            raise ValueError(f"framework={self.given!r} cannot be used: {_why_not(self.given)}")
        raise ValueError(f"{refusals[0]}; give the shape and the framework it takes") from refusals[0].__cause__

    def round(self, x: np.ndarray) -> np.ndarray:
        """Return x as fn sees it, rounded to its dtype, in float64."""
        if self.dtype == "bfloat16":
            bits = np.asarray(x, np.float32).view(np.uint32)
            return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32).astype(np.float64)
        with np.errstate(all="ignore"):
            return np.asarray(x).astype(self.dtype).astype(np.float64)

    def __call__(self, x: np.ndarray, *, fresh: bool = False) -> np.ndarray:
        """Return fn's answer to a copy of x; `fresh` lets the generators of random numbers go on from where they are.

        Raises
        ------
        Refusal
            If fn raises.
        TypeError, ValueError
            If what it returns is no array of x's shape.
        """
        self.found.restore(randomness=not fresh)
        if not fresh:
            seed_everything(self.seed)
        laid_out = np.ascontiguousarray(uncanonical(x, self.channel_axis))
        given = hand_over(laid_out, self.framework, self.dtype, self.device)
        self.calls += 1
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), _no_gradients():
                warnings.simplefilter("ignore")
                answer = self.fn(given)
        except Exception as error:
            what = f"{self.dtype} {self.framework} input of shape {laid_out.shape}"
            raise Refusal(f"fn raised {type(error).__name__} on a {what}: {_line(error)}") from error
        self._came_out = check_answer(answer, laid_out.shape)
        return np.array(canonical(take_back(answer), self.channel_axis), np.float64)

    def _prefer(self, dtype: str, x: np.ndarray) -> None:
        """Hand over `dtype` from now on if fn takes it and gives it back: nothing finer comes out anyway."""
        before, self.dtype = self.dtype, dtype
        try:
            self(x)
        except Refusal:
            self.dtype = before
            return
        if self._came_out != dtype:
            self.dtype = before

    def _kinds(self) -> Iterator[tuple[str, str, Any]]:
        """What to try, likeliest first: (framework, dtype, device)."""
        for framework in [self.given] if self.given else self._frameworks():
            if _why_not(framework):
                continue
            held = [a for a in self.found.objects if is_array(a) and kind(a) == framework]
            held = [a for a in held if _dtype(a) in RESOLUTION]
            first = [max({_dtype(a) for a in held}, key=[_dtype(a) for a in held].count)] if held else []
            dtypes = first if framework == "torch" else []
            dtypes += [d for d in RESOLUTION if d not in dtypes]
            if framework in ("numpy", "cupy"):
                dtypes.remove("bfloat16")
            if framework == "jax" and not sys.modules["jax"].config.jax_enable_x64:
                dtypes.remove("float64")
            for dtype in dtypes:
                yield framework, dtype, held[0].device if held and framework == "torch" else None
            if framework == "torch" and not held and sys.modules["torch"].cuda.is_available():
                yield "torch", "float32", "cuda"

    def _frameworks(self) -> list[str]:
        """Every framework that is loaded: a function that needs another one would have loaded it."""
        packages = [p for p in self.found.packages if p != "numpy"]
        if "keras" in packages:
            name = import_module("keras").backend.backend()
            return [name if name in FRAMEWORKS else "numpy"]
        hinted = ["jax" if p in ("jaxlib", "flax") else p for p in packages]
        order = [*(f for f in hinted if f in FRAMEWORKS), *FRAMEWORKS]
        return [f for f in dict.fromkeys(order) if f in sys.modules]


def check_callable(fn: Any) -> None:
    """Raise TypeError unless fn can be called."""
    if not callable(fn):
        raise TypeError(f"fn is of type {type(fn).__name__}, which cannot be called; pass a function or a layer")
    if isinstance(fn, type):
        raise TypeError(f"fn is the class {fn.__name__} itself; make a layer of it first, and pass that")


def check_answer(answer: Any, shape: tuple[int, ...]) -> str:
    """Return the dtype of what fn returned, or raise in one sentence if it is no real array of `shape`."""
    if isinstance(answer, tuple | list | dict) or answer is None:
        raise TypeError(f"fn returned {_article(answer)}, not an array; wrap it so that it returns its output alone")
    if not hasattr(answer, "shape") or not hasattr(answer, "dtype"):
        raise TypeError(f"fn returned {_article(answer)}, not an array; a normalizer gives one of its input's shape")
    if tuple(answer.shape) != shape:
        raise ValueError(
            f"fn returned shape {tuple(answer.shape)} for an input of shape {shape}; a normalizer keeps the shape"
        )
    dtype = _dtype(answer)
    if dtype not in RESOLUTION:
        raise TypeError(f"fn returned dtype {dtype}; it must give float64, float32, float16 or bfloat16")
    return dtype


def hand_over(x: np.ndarray, framework: str, dtype: str, device: Any = None) -> Any:
    """Return a copy of the NumPy array x as an array of `framework`, in `dtype`."""
    with np.errstate(over="ignore"):
        if framework == "numpy":
            return np.array(x, dtype)
        if framework == "cupy":
            return import_module("cupy").asarray(np.array(x, dtype))
        if framework == "torch":
            torch = import_module("torch")
            return torch.tensor(x).to(device, getattr(torch, dtype), copy=True)
        jax = import_module("jax")
        return jax.numpy.array(x.astype(np.float64 if jax.config.jax_enable_x64 else np.float32), dtype)


def take_back(answer: Any) -> np.ndarray:
    """Return an array of any framework as a NumPy array of its own memory."""
    return np.array(host(answer))


def _no_gradients() -> Any:
    torch = sys.modules.get("torch")
    return torch.no_grad() if torch is not None else warnings.catch_warnings()


def _why_not(framework: str | None) -> str | None:
    if framework == "cupy":
        return cupy_problem()
    if framework in ("torch", "jax"):
        try:
            import_module(framework)
        except ImportError as error:
            return str(error)
    return None


def _dtype(array: Any) -> str:
    return "bfloat16" if is_bfloat16(array) else str(getattr(array, "dtype", "")).removeprefix("torch.")


def _article(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _line(error: Exception) -> str:
    """The first line of an error's text, of a length that can be read."""
    text = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
    return text if len(text) <= 200 else f"{text[:200]}..."
