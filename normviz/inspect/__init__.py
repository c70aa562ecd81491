"""Point normviz at any layer: what it normalizes, found by experiment."""

from .probing import probe
from .report import Probe

__all__ = ["Probe", "probe"]
