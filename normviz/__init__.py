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
    from normviz import labs, relatives, samples
    from normviz.backends.dispatch import backend_for, devices
    from normviz.classroom.quiz import quiz
    from normviz.classroom.worksheet import worksheet
    from normviz.core.methods import METHODS
    from normviz.core.moments import Moments
    from normviz.core.pooling import Pooling, divisors, pooling
    from normviz.core.statistics import Statistics
    from normviz.explorer.plotly_cube import cube
    from normviz.explorer.show import compare_methods, show, to_html
    from normviz.explorer.widget import Explorer
    from normviz.functions.gradient import Gradients, gradient
    from normviz.functions.normalize import normalize
    from normviz.functions.reduce import moments, statistics, sweep
    from normviz.functions.running import RunningStatistics
    from normviz.inspect.audit.audit import audit
    from normviz.inspect.audit.report import Audit
    from normviz.inspect.check.check import check
    from normviz.inspect.check.verdict import Finding, Verdict
    from normviz.inspect.compare.compare import Comparison, compare
    from normviz.inspect.probe.probe import probe
    from normviz.inspect.probe.report import Probe
    from normviz.inspect.record.record import record
    from normviz.inspect.record.recording import Recording
    from normviz.method_chooser.chooser import chooser

__version__ = "0.2.0"

_HOME = {
    "METHODS": "core.methods",
    "Pooling": "core.pooling",
    "pooling": "core.pooling",
    "divisors": "core.pooling",
    "Moments": "core.moments",
    "moments": "functions.reduce",
    "sweep": "functions.reduce",
    "Statistics": "core.statistics",
    "statistics": "functions.reduce",
    "normalize": "functions.normalize",
    "gradient": "functions.gradient",
    "Gradients": "functions.gradient",
    "RunningStatistics": "functions.running",
    "backend_for": "backends.dispatch",
    "devices": "backends.dispatch",
    "Explorer": "explorer.widget",
    "show": "explorer.show",
    "compare_methods": "explorer.show",
    "worksheet": "classroom.worksheet",
    "to_html": "explorer.show",
    "quiz": "classroom.quiz",
    "chooser": "method_chooser.chooser",
    "cube": "explorer.plotly_cube",
    "Audit": "inspect.audit.report",
    "audit": "inspect.audit.audit",
    "Comparison": "inspect.compare.compare",
    "compare": "inspect.compare.compare",
    "check": "inspect.check.check",
    "Finding": "inspect.check.verdict",
    "Verdict": "inspect.check.verdict",
    "Probe": "inspect.probe.report",
    "probe": "inspect.probe.probe",
    "Recording": "inspect.record.recording",
    "record": "inspect.record.record",
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
    "Recording",
    "RunningStatistics",
    "Statistics",
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
    "record",
    "relatives",
    "samples",
    "show",
    "statistics",
    "sweep",
    "to_html",
    "worksheet",
]


def __getattr__(name: str):
    if name == "Studio":
        raise AttributeError(
            "nv.Studio is gone; nv.Explorer(editable=True) takes its place, or the command `normviz playground`"
        )
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f".{_HOME[name]}", __name__)
    value = home if name == _HOME[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
