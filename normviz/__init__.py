"""See and check what a normalization layer pools over.

Every normalizer cuts x, of shape (N, C, *spatial), into equal axis-aligned boxes; the cells of one box share one mean
and one variance. Here that box is a value you can ask (`pooling`), the numbers that follow from it are functions
(`moments`, `statistics`, `normalize`, `gradient`), and `Explorer` and `show` draw it.

Names are loaded when they are first used (PEP 562), so importing normviz costs no more than importing NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

import numpy as _numpy  # noqa: F401  The one dependency every name needs; anything else waits until it is asked for.

if TYPE_CHECKING:
    from . import labs, relatives, samples
    from .backends import backend_for, devices
    from .blocks import Pooling, divisors, pooling
    from .explorer import Explorer, compare_methods, show, to_html, worksheet
    from .explorer.choosing import chooser
    from .explorer.quizzes import quiz
    from .figures import cube
    from .inspect import Finding, Probe, Verdict, check, probe
    from .inspect.auditing import Audit, Comparison, audit, compare
    from .merging import Moments, moments, sweep
    from .methods import METHODS
    from .normalization import Gradients, gradient, normalize, statistics
    from .results import Statistics
    from .running import RunningStatistics
    from .studio import Studio

__version__ = "0.1.0"

_HOME = {
    "METHODS": "methods",
    "Pooling": "blocks",
    "pooling": "blocks",
    "divisors": "blocks",
    "Moments": "merging",
    "moments": "merging",
    "sweep": "merging",
    "Statistics": "results",
    "statistics": "normalization",
    "normalize": "normalization",
    "gradient": "normalization",
    "Gradients": "normalization",
    "RunningStatistics": "running",
    "backend_for": "backends",
    "devices": "backends",
    "Explorer": "explorer",
    "show": "explorer",
    "compare_methods": "explorer",
    "worksheet": "explorer",
    "to_html": "explorer",
    "quiz": "explorer.quizzes",
    "chooser": "explorer.choosing",
    "Studio": "studio",
    "cube": "figures",
    "Audit": "inspect.auditing",
    "audit": "inspect.auditing",
    "Comparison": "inspect.auditing",
    "compare": "inspect.auditing",
    "check": "inspect",
    "Finding": "inspect",
    "Verdict": "inspect",
    "Probe": "inspect",
    "probe": "inspect",
    "labs": "labs",
    "relatives": "relatives",
    "samples": "samples",
}

__all__ = [
    "METHODS",
    "Audit",
    "Comparison",
    "Explorer",
    "Finding",
    "Gradients",
    "Moments",
    "Pooling",
    "Probe",
    "RunningStatistics",
    "Statistics",
    "Studio",
    "Verdict",
    "__version__",
    "audit",
    "backend_for",
    "check",
    "chooser",
    "compare",
    "compare_methods",
    "cube",
    "devices",
    "divisors",
    "gradient",
    "labs",
    "moments",
    "normalize",
    "pooling",
    "probe",
    "quiz",
    "relatives",
    "samples",
    "show",
    "statistics",
    "sweep",
    "to_html",
    "worksheet",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f".{_HOME[name]}", __name__)
    value = home if name == _HOME[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
