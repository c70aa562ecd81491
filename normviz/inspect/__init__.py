"""Point normviz at any layer: what it normalizes, found by experiment, and what is wrong with it."""

from .checking import check
from .probing import probe
from .report import Probe
from .verdict import Finding, Verdict

__all__ = ["Finding", "Probe", "Verdict", "check", "probe"]
