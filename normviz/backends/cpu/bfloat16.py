"""bfloat16 on NumPy, which has no arithmetic for it: in float32, rounded at the end."""

from typing import Any

import numpy as np

from normviz.backends.base import Given
from normviz.backends.cpu.backend import NumPy
from normviz.core.array_kinds import is_bfloat16, widened
from normviz.core.pooling import Pooling


class NumPyWithBfloat16(NumPy):
    """NumPy's tasks, for arrays of bfloat16 too."""

    def moments(self, x: np.ndarray, block: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sum of squared deviations of every block of x, float64, in the shape of the grid."""
        return super().moments(widened(x), block)

    def normalize(
        self, x: np.ndarray, pool: Pooling, weight: Any, bias: Any, eps: float, given: Given, out: np.ndarray
    ) -> None:
        """Write (x - mean) / sqrt(var + eps) * weight + bias to out."""
        y = np.empty_like(out, np.float32) if is_bfloat16(out) else out
        super().normalize(widened(x), pool, weight, bias, eps, given, y)
        if y is not out:
            out[...] = y

    def gradient(
        self, x: Any, grad: Any, pool: Pooling, weight: Any, eps: float, given: Given, fixed: bool, out: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the gradient with respect to x to `out`; return those of weight and bias, float64."""
        y = np.empty_like(out, np.float32) if is_bfloat16(out) else out
        parameters = super().gradient(widened(x), widened(grad), pool, weight, eps, given, fixed, y)
        if y is not out:
            out[...] = y
        return parameters
