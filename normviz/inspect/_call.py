"""Call any function on arrays with NumPy arrays, and return NumPy arrays: torch, JAX, Keras, CuPy or NumPy inside.

Trying finds out which framework a callable takes; the objects that it is made of only tell which one to try first.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import MethodType
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.backends.dispatch import cupy_problem
from normviz.core.array_kinds import host, is_bfloat16, kind
from normviz.core.errors import brief, unknown, whole
from normviz.core.pooling import canonical
from normviz.inspect._global_state import seed_everything
from normviz.inspect._signature import STATE, Takes, general_values, output_of, shape_of, signature, texts_of
from normviz.inspect._snapshot import Snapshot, first_line, is_array

FRAMEWORKS = ("numpy", "torch", "jax", "cupy")
RESOLUTION = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The distance from 1 to the next number, by dtype."""
MOST_CELLS = 2**28


class Refusal(Exception):
    """The callable raised on an input, or returned no array; the error that it raised is the cause."""


class Unfilled(Refusal):
    """The callable requires an argument for which no value is known."""


class Forward:
    """A callable, as a function from (N, C, *spatial) float64 arrays to arrays of the same shape.

    The snapshot, of everything that fn can reach, is restored before every call, so that one experiment cannot change
    the next. `framework` is one of FRAMEWORKS, or None to find out; the seed is for random numbers that fn may draw.

    Attributes
    ----------
    takes, values
        What fn takes besides x, and the value of each role: a float64 array, another value, or a function of x.
    arguments
        What fn gets or got besides x, by parameter: running statistics and dicts are the objects that it changes.
    before
        Called without arguments before every call, after the snapshot is restored: to set fn's mode, for instance.
    gradients
        Whether torch records gradients while fn runs, which is a mode for some functions.
    framework, dtype
        Of the arrays that fn gets; known after `start`.
    resolution
        The coarser of the resolutions of input and output.
    calls
        Forward calls so far, failed ones included.
    """

    def __init__(
        self, fn: Callable, snapshot: Snapshot, *, channel_axis: int = 1, framework: str | None = None, seed: int = 0
    ) -> None:
        check_callable(fn)
        if framework is not None and not (isinstance(framework, str) and framework in FRAMEWORKS):
            raise ValueError(unknown("framework", framework, FRAMEWORKS))
        self.fn, self.snapshot, self.channel_axis, self.given, self.seed = fn, snapshot, channel_axis, framework, seed
        self.takes = signature(fn, texts=texts_of(snapshot.objects), state=False)
        self.values: dict[str, Any] = {}
        self.arguments: dict[str, Any] = {}
        self.passed = ""
        self.gradients = False
        self.before: Callable[[], Any] = lambda: None
        self.framework, self.dtype, self.device = framework or "numpy", "float64", None
        self.resolution, self.calls = RESOLUTION["float64"], 0

    def start(self, x: np.ndarray) -> np.ndarray:
        """Find out which framework and dtype fn takes, and return its output for x.

        Raise ValueError or TypeError if it takes none, or returns no array of x's shape; Refusal if it takes x once.
        """
        refusals: list[Refusal] = []
        for kinds in self._kinds():
            self.framework, self.dtype, self.device = kinds
            try:
                y = self(x)
            except Refusal as refusal:
                refusals.append(refusal)
                continue
            coarser = self._out_dtype
            if RESOLUTION[coarser] > RESOLUTION[self.dtype]:
                self._prefer(coarser, x)
                y = self(x)
            self.resolution = max(RESOLUTION[self._out_dtype], RESOLUTION[self.dtype])
            self.passed = self.takes.handed(self.arguments)
            return y
        if not refusals:
            raise ValueError(f"framework={self.given!r} cannot be used: {_why_not(self.given)}")
        if isinstance(refusals[0], Unfilled):
            raise ValueError(str(refusals[0]))
        raise ValueError(f"{refusals[0]}; pass a shape and a framework that fn accepts") from refusals[0].__cause__

    def round(self, x: np.ndarray) -> np.ndarray:
        """Return x as fn sees it, rounded to its dtype, in float64."""
        if self.dtype == "bfloat16":
            bits = np.asarray(x, np.float32).view(np.uint32)
            return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32).astype(np.float64)
        return np.asarray(x).astype(self.dtype).astype(np.float64)

    def __call__(self, x: np.ndarray, *, fresh: bool = False) -> np.ndarray:
        """Return fn's output for a copy of x; with `fresh` generators of random numbers go on from where they are.

        Raise Refusal if fn raises, and TypeError or ValueError if it does not return an array of x's shape.
        """
        laid_out = np.ascontiguousarray(uncanonical(x, self.channel_axis))
        if self.takes.roles:
            self.values = general_values(x.shape, self.channel_axis, self.seed)
            is_last = self.channel_axis % x.ndim == x.ndim - 1
            self.values["normalized_shape"] = laid_out.shape[-1:] if is_last else laid_out.shape[1:]
        _, output = self._output(laid_out, fresh=fresh)
        self._out_dtype = check_answer(output, laid_out.shape)
        return np.array(canonical(take_back(output), self.channel_axis), np.float64)

    def native(self, values: np.ndarray) -> Any:
        """A copy of an array in fn's framework and dtype."""
        return hand_over(values, self.framework, self.dtype, self.device)

    def restore(self, x: np.ndarray) -> None:
        """Bring fn and its arguments into the state that a call with x, (N, C, *spatial), begins with."""
        self.snapshot.restore()
        self.before()
        self.renew(np.ascontiguousarray(uncanonical(x, self.channel_axis)))

    def renew(self, x: np.ndarray, restore: bool = True) -> None:
        """Make the arguments for an input; without `restore`, running statistics stay what fn has made of them."""
        made = self.takes.arguments({role: v(x) if callable(v) else v for role, v in self.values.items()})
        if missing := self.takes.missing(made):
            raise Unfilled(missing)
        kept = {} if restore else self.arguments
        state = {self.takes.names.get(role) for role in STATE}
        for name, value in made.items():
            if isinstance(value, dict):
                fixed = {self.takes.dicts[name].get(role) for role in STATE} if name in kept else ()
                entries = {key: self._native(v) for key, v in value.items() if key not in fixed}
                self.arguments[name] = kept[name] | entries if name in kept else entries
            elif name not in kept or name not in state:
                self.arguments[name] = self._native(value)

    def _native(self, value: Any) -> Any:
        return self.native(value) if isinstance(value, np.ndarray) else value

    def _output(self, x: np.ndarray, *, restore: bool = True, fresh: bool = False) -> tuple[Any, Any]:
        """Call fn with a copy of x; return that copy and the output."""
        if restore:
            self.snapshot.restore(randomness=not fresh)
            self.before()
        if not fresh:
            seed_everything(self.seed)
        given = self.native(x)
        self.calls += 1
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), _gradients(self.gradients):
                warnings.simplefilter("ignore")
                while True:
                    self.renew(x, restore)
                    try:
                        return given, self.takes.call(self.fn, [given], self.arguments)
                    except (TypeError, KeyError) as error:
                        if not self.takes.learn(error, self.values):
                            raise
        except Refusal:
            raise
        except Exception as error:
            what = f"{self.dtype} {self.framework} input of shape {x.shape}"
            raise Refusal(f"fn raised {type(error).__name__} on a {what}: {first_line(error)}") from error
        finally:
            self.snapshot.restore_settings()  # torch's default device applies to arrays made here as well

    def _prefer(self, dtype: str, x: np.ndarray) -> None:
        """Use `dtype` from now on if fn takes and returns it: its output has no finer resolution anyway."""
        before, self.dtype = self.dtype, dtype
        try:
            self(x)
        except Refusal:
            self.dtype = before
            return
        if self._out_dtype != dtype:
            self.dtype = before

    def _kinds(self) -> Iterator[tuple[str, str, Any]]:
        """Return what to try, likeliest first: (framework, dtype, device)."""
        for framework in [self.given] if self.given else self.frameworks():
            if _why_not(framework):
                continue
            held = [a for a in self.snapshot.objects if is_array(a) and kind(a) == framework]
            held = [a for a in held if _dtype(a) in RESOLUTION]
            if framework == "torch" and any(a.is_meta for a in held):
                raise Refusal(
                    "fn has tensors on the meta device, which holds no numbers; move it to another device first, for "
                    'instance by fn.to_empty(device="cpu"), and load its weights'
                )
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

    def frameworks(self) -> list[str]:
        """Return every framework that is loaded: a function that needs another one would have loaded it."""
        packages = [p for p in self.snapshot.packages if p != "numpy"]
        if "keras" in packages:
            name = import_module("keras").backend.backend()
            return [name if name in FRAMEWORKS else "numpy"]
        hinted = ["jax" if p in ("jaxlib", "flax") else p for p in packages]
        order = [*(f for f in hinted if f in FRAMEWORKS), *FRAMEWORKS]
        return [f for f in dict.fromkeys(order) if f in sys.modules]


@dataclass(frozen=True)
class Answer:
    """The output of one call."""

    y: np.ndarray  # in fn's layout, float64; without cells if fn returned far more than it got
    shape: tuple[int, ...]  # of the array that fn returned
    dtype: str
    changed: bool  # whether fn changed its input in place


class FunctionUnderTest(Forward):
    """A function under test, called with canonical float64 arrays.

    Unlike a `Forward` it accepts an output of any shape, it finds the output among other things that fn returns, and it
    never passes fn's output back into fn. `returned` is all that the last call gave, and `took` says where in it the
    output is.
    """

    def __init__(self, fn: Callable, snapshot: Snapshot, takes: Takes, values: dict[str, Any], **more: Any) -> None:
        super().__init__(fn, snapshot, **more)
        self.takes, self.values = takes, values
        self.returned: Any = None
        self.took = ""

    def begin(self, x: np.ndarray, dtype: str | None = None) -> Answer:
        """Find out which framework and dtype fn takes, and return its output for x; Refusal if it takes none."""
        refusal = None
        for kinds in [k for k in self._kinds() if dtype in (None, k[1])]:
            self.framework, self.dtype, self.device = kinds
            try:
                return self.ask(self.round(x))
            except Refusal as error:
                refusal = refusal or (error, kinds)
        if refusal is None:
            raise ValueError(f"framework={self.given!r} with dtype={dtype!r} cannot be used here; leave both to check")
        self.framework, self.dtype, self.device = refusal[1]
        raise refusal[0]

    def ask(self, x: np.ndarray, *, restore: bool = True, fresh: bool = False, laid_out: bool = False) -> Answer:
        """Return fn's output for a copy of x; without `restore` fn goes on from the state that it is in.

        Raise Refusal if fn raises, or returns no array of real numbers.
        """
        x = x if laid_out else np.ascontiguousarray(uncanonical(x, self.channel_axis))
        given, self.returned = self._output(x, restore=restore, fresh=fresh)
        output, self.took = output_of(self.returned, x.shape)
        shape, dtype = shape_of(output), _dtype(output)
        if shape is None:
            raise Refusal(f"fn returned {described(output)}, not an array; it should return its output alone")
        if math.prod(shape) > max(64 * x.size, 2**20):  # as an array that is broadcast may
            return Answer(np.empty(0), shape, dtype, False)
        y = take_back(output)
        try:
            y = y.astype(np.float64, casting="unsafe" if y.dtype.kind in "OSU" else "same_kind")
        except (TypeError, ValueError) as error:
            raise Refusal(f"fn returned an array of dtype {dtype}, which holds no real numbers") from error
        self.resolution = max(RESOLUTION[self.dtype], RESOLUTION.get(dtype, 0.0))
        try:
            changed = not np.array_equal(take_back(given), take_back(self.native(x)), equal_nan=True)
        except Refusal:
            changed = True
        return Answer(y, shape, dtype, changed)


def owner(fn: Callable) -> Any:
    """The object whose state a call works with: that of a bound method, or fn itself."""
    return fn.__self__ if issubclass(type(fn), MethodType) else fn


def check_callable(fn: Any, name: str = "fn") -> None:
    """Raise TypeError unless fn can be called."""
    if not callable(fn):
        raise TypeError(f"{name} is of type {type(fn).__name__}, which cannot be called; pass a function or a layer")
    if issubclass(type(fn), type):
        raise TypeError(f"{name} is the class {fn.__name__} itself; make a layer of it first, and pass that")


def check_size(shape: tuple[int, ...]) -> None:
    """Raise ValueError if arrays of this shape are too large for many calls."""
    if math.prod(shape) > MOST_CELLS:
        raise ValueError(f"shape {shape} has {math.prod(shape):,} cells; use a shape of at most {MOST_CELLS:,}")


def check_codes(given: Any, name: str, known: Collection[str]) -> set[str]:
    """Return a code, or several codes, as a set; raise an error if one is unknown."""
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} is of type {type(given).__name__}; give a code, or several in a list")
    codes = set()
    for code in [given] if isinstance(given, str) else given:
        if not isinstance(code, str) or code not in known:
            raise ValueError(f"{name}: {unknown('code', code, known)}")
        codes.add(code)
    return codes


def check_seed(seed: Any) -> None:
    """Raise an error unless every random generator takes the seed."""
    if not 0 <= whole(seed, "seed") < 2**63:
        raise ValueError(f"seed={brief(seed)} is not from 0 to 2**63 - 1, which every random generator takes")


def check_answer(answer: Any, shape: tuple[int, ...]) -> str:
    """Return the dtype of what fn returned, or raise in one sentence if it is no real array of `shape`."""
    if isinstance(answer, tuple | list | dict) or answer is None:
        raise TypeError(f"fn returned {described(answer)}, not an array; wrap it so that it returns its output alone")
    returned = shape_of(answer)
    if returned is None:
        raise TypeError(f"fn returned {described(answer)}, not an array; a normalizer gives one of its input's shape")
    if returned != shape:
        raise ValueError(f"fn returned shape {returned} for an input of shape {shape}; a normalizer keeps the shape")
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
    """Return an array of any framework as a NumPy array of its own memory; Refusal if its numbers cannot be read."""
    try:
        return np.array(host(answer.detach() if hasattr(answer, "requires_grad") else answer))
    except Exception as error:
        what = f"an array ({described(answer)}) whose numbers cannot be read"
        raise Refusal(f"fn returned {what}: {type(error).__name__}: {first_line(error)}") from error


def _gradients(enabled: bool) -> Any:
    torch = sys.modules.get("torch")
    return torch.set_grad_enabled(enabled) if torch is not None else warnings.catch_warnings()


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


def described(value: Any) -> str:
    """Name the type of a value, and how many a tuple holds."""
    if value is None:
        return "None"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"
