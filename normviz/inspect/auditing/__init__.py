"""Read a torch model's normalizations for trouble; torch is imported when there is a model to read."""

from .entry import audit
from .report import Audit

__all__ = ["Audit", "audit"]
