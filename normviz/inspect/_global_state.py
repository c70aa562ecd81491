"""The state that a process has once: random numbers of Python, NumPy and torch, and the settings of all three."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

Restore = Callable[[], Any]
Setting = tuple[str, Callable[[], Any], Callable[[Any], Any]]
"""Its name, a function that reads it, and one that sets it."""


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch, each where it is loaded."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  A layer may draw from it.
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)


def global_randomness() -> Iterator[tuple[str, Restore]]:
    yield "random", partial(random.setstate, random.getstate())
    yield "np.random", partial(np.random.set_state, np.random.get_state())  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        yield "torch's random numbers", partial(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():
            yield "CUDA's random numbers", partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def settings() -> Iterator[tuple[str, Restore]]:
    """What restores the settings that a layer may change; those that cannot be read are left out."""
    torch = sys.modules.get("torch")
    jax = sys.modules.get("jax")
    found = [*_SETTINGS, *(_torch_settings(torch) if torch else ()), *(_jax_settings(jax) if jax else ())]
    for name, get, put in found:
        with suppress(Exception):
            yield name, partial(_restore_setting, get, put, get())


def _restore_setting(get: Callable[[], Any], put: Callable[[Any], Any], kept: Any) -> None:
    try:
        same = get() == kept
    except OSError:  # the working directory has gone
        same = False
    if not same:
        put(kept)


def _set_environment(kept: dict[str, str]) -> None:
    for name in os.environ.keys() - kept:
        del os.environ[name]
    os.environ.update(kept)


_SIGNALS = sorted(signal.valid_signals())


def _signals() -> dict[int, Any]:
    """The handlers that Python has set and may set again, which the main thread alone may do."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler is not None}


def _set_signals(kept: dict) -> None:
    for number, handler in kept.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


_SETTINGS: list[Setting] = [
    ("the working directory", os.getcwd, os.chdir),
    ("os.environ", lambda: dict(os.environ), _set_environment),
    ("signal handlers", _signals, _set_signals),
    ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    ("sys.path", lambda: [*sys.path], lambda kept: sys.path.__setitem__(slice(None), kept)),
    ("sys.stdin", lambda: sys.stdin, lambda stream: setattr(sys, "stdin", stream)),
    ("sys.excepthook", lambda: sys.excepthook, lambda hook: setattr(sys, "excepthook", hook)),
    ("sys.stdout", lambda: sys.stdout, lambda stream: setattr(sys, "stdout", stream)),
    ("sys.stderr", lambda: sys.stderr, lambda stream: setattr(sys, "stderr", stream)),
]


def _torch_settings(torch: Any) -> Iterator[Setting]:
    for get, put in (
        ("get_default_dtype", "set_default_dtype"),
        ("is_grad_enabled", "set_grad_enabled"),
        ("get_deterministic_debug_mode", "set_deterministic_debug_mode"),
        ("get_num_threads", "set_num_threads"),
        ("get_float32_matmul_precision", "set_float32_matmul_precision"),
        ("is_warn_always_enabled", "set_warn_always"),
        ("is_autocast_cache_enabled", "set_autocast_cache_enabled"),
    ):
        yield f"torch.{put}", getattr(torch, get), getattr(torch, put)
    for device in ("cpu", "cuda"):
        for get, put in (("is_autocast_enabled", "set_autocast_enabled"), ("get_autocast_dtype", "set_autocast_dtype")):
            yield f"torch.{put}", partial(getattr(torch, get), device), partial(getattr(torch, put), device)
    yield (
        "torch.autograd.set_detect_anomaly",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda kept: torch.autograd.set_detect_anomaly(*kept),
    )
    cpu = torch.device("cpu")
    yield (
        "torch.set_default_device",
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device == cpu else device),
    )
    printing = attrgetter("_tensor_str.PRINT_OPTS")
    yield "torch.set_printoptions", lambda: {**vars(printing(torch))}, lambda kept: vars(printing(torch)).update(kept)
    module = torch.nn.modules.module
    for name, hooks in vars(module).items():
        if name.startswith("_global_") and isinstance(hooks, dict):
            yield f"torch.nn's {name}", partial(dict, hooks), partial(_set_entries, hooks)
    for name in (
        *(f"backends.cudnn.{name}" for name in ("enabled", "benchmark", "deterministic", "allow_tf32")),
        *(f"backends.cuda.matmul.allow_{name}" for name in ("tf32", "fp16_reduced_precision_reduction")),
        "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
        "backends.mkldnn.enabled",
        "utils.deterministic.fill_uninitialized_memory",
    ):
        path, _, attribute = name.rpartition(".")
        yield f"torch.{name}", partial(attrgetter(name), torch), partial(_set_at, torch, path, attribute)


def _jax_settings(jax: Any) -> Iterator[Setting]:
    def put(kept: dict[str, Any]) -> None:
        for name, value in kept.items():
            if jax.config.values[name] != value:
                jax.config.update(name, value)

    yield "jax.config", lambda: dict(jax.config.values), put


def _set_entries(entries: dict, kept: dict) -> None:
    entries.clear()
    entries.update(kept)


def _set_at(root: Any, path: str, attribute: str, value: Any) -> None:
    setattr(attrgetter(path)(root), attribute, value)
