"""What is known of a function so far, and what was found to be beyond knowing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Findings:
    """The fields of a Probe as they come up, with axes (N, C, *spatial)."""

    method: str | None = None
    num_groups: int | None = None
    block: tuple[int, ...] | None = None
    labels: np.ndarray | None = None
    centered: bool | None = None
    eps: float | None = None
    eps_inside: bool | None = None
    unbiased: bool | None = None
    affine: str | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    couples_samples: bool | None = None
    elementwise: bool | None = None
    stochastic: bool | None = None
    is_normalizer: bool | None = None
    form: str | None = None
    undetermined: dict[str, str] = field(default_factory=dict)

    def cannot_tell(self, why: str, *names: str) -> None:
        """Leave fields open, and say why."""
        for name in names:
            setattr(self, name, None)
            self.undetermined.setdefault(name, why)


SETS = ("method", "num_groups", "block", "labels", "couples_samples")
NUMBERS = ("centered", "eps", "eps_inside", "unbiased", "affine", "weight", "bias")
STRAIGHT = ("eps", "eps_inside", "unbiased", "affine", "weight", "bias")
