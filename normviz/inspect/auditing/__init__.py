"""Read a torch model's normalizations for trouble, or hold two models' side by side; torch waits for a model."""

from .comparing import compare
from .comparison import Comparison
from .entry import audit
from .report import Audit

__all__ = ["Audit", "Comparison", "audit", "compare"]
