"""Labs: experiments on normalization with their numbers and charts, one module for each.

`measure(...)` returns the numbers as a frozen dataclass. `figure(...)` takes the same arguments, `width` and
`presenter`, and returns a plotly Figure, whose sliders and buttons work without a kernel.

A lab is imported when it is first used, as in `nv.labs.batch_size.figure()`.
"""

from importlib import import_module
from typing import Any

# Pyright does not count submodules as names of a package.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "batch_size",
    "coupling",
    "folding",
    "gradients",
    "memory",
    "numerics",
    "published",
    "relatives",
    "spectrum",
    "style",
    "train_eval",
    "training",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; the labs: {', '.join(__all__)}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return __all__
