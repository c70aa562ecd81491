"""Labs: what a course shows of normalization in numbers and charts, one file a lab.

`measure(...)` returns numbers, a frozen dataclass; `figure(...)`, with its arguments and a `width`, draws them as a
plotly Figure whose sliders and buttons are plotly's own and carry all they show, so it lives without a kernel.

Labs are loaded when they are first used, as `nv.labs.batch_size.figure()`.
"""

from importlib import import_module
from importlib.resources import files

__all__ = sorted(
    name.removesuffix(".py")
    for name in (
        "batch_size.py",
        "coupling.py",
        "folding.py",
        "gradients.py",
        "memory.py",
        "numerics.py",
        "published.py",
        "relatives.py",
        "spectrum.py",
        "style.py",
        "train_eval.py",
        "training.py",
    )
    if (files(__name__) / name).is_file()
)


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; the labs: {', '.join(__all__)}")
    return import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return __all__
