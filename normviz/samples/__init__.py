"""Sample activations of a convolutional layer, and the photographs that they were computed from.

`activations` are the outputs of a convolutional layer on photographs: 16 oriented filters (4 orientations, 4 scales),
stride 4, ReLU. README.md in this folder lists the sources and licences of the photographs, and measured properties of
the activations; make.py wrote the files.
"""

from functools import cache
from importlib.resources import files
from operator import index as as_int

import numpy as np

from normviz.core.errors import brief

__all__ = ["PHOTOGRAPHS", "activations", "photographs"]

PHOTOGRAPHS = ("chelsea", "coffee", "brick", "rocket", "astronaut", "camera", "grass", "gravel")
"""The photographs, in the order of `photographs` and of the first samples of `activations`; scikit-image's names."""


def activations(num_samples: int = 4) -> np.ndarray:
    """Return sample activations, float32 of shape (num_samples, 16, 12, 12), none negative.

    Channel c responds to edges of orientation c // 4 (vertical, rising, horizontal, falling) and of scale c % 4 (fine
    to coarse), so that 4 groups are the 4 orientations and neighbouring channels are correlated. Each of the first
    eight samples shows the photograph of the same number; the others are crops of the same photographs at other sizes,
    in a fixed random order.

    Parameters
    ----------
    num_samples
        1 to 256. The samples are always the same; each call returns a new array.

    Raises
    ------
    TypeError
        If num_samples is not an int.
    ValueError
        If it is less than 1 or more than are stored.

    Examples
    --------
    >>> activations().shape
    (4, 16, 12, 12)
    """
    stored, step = _stored_activations()
    return stored[: _checked(num_samples, len(stored))] * step


def photographs(num_samples: int = 8) -> np.ndarray:
    """Return small colour photographs, uint8 of shape (num_samples, 3, 64, 64): red, green, blue.

    Sample n of `activations` was computed from the middle 48 x 48 pixels of photograph n. Four of the eight are grey.

    Parameters
    ----------
    num_samples
        1 to 8; PHOTOGRAPHS lists their names.

    Raises
    ------
    TypeError
        If num_samples is not an int.
    ValueError
        If it is less than 1 or more than are stored.

    Examples
    --------
    >>> photographs(2).shape
    (2, 3, 64, 64)
    """
    stored = _stored_photographs()
    return stored[: _checked(num_samples, len(stored))].copy()


def _checked(num_samples: int, stored: int) -> int:
    if isinstance(num_samples, (bool, np.bool_)) or not hasattr(num_samples, "__index__"):
        raise TypeError(f"num_samples must be an int from 1 to {stored}, not {brief(num_samples)}")
    number = as_int(num_samples)
    if not 1 <= number <= stored:
        ends = f"1 and {stored}, the number of samples stored here"
        raise ValueError(f"num_samples={brief(number)} is not between {ends}")
    return number


@cache
def _stored_activations() -> tuple[np.ndarray, np.float32]:
    """Return the activations in units of a step, and that step."""
    with (files(__name__) / "activations.npz").open("rb") as file, np.load(file) as stored:
        # The high and the low bytes are stored separately because they compress better.
        return stored["high"] * np.uint16(256) + stored["low"], stored["step"][()]


@cache
def _stored_photographs() -> np.ndarray:
    with (files(__name__) / "photographs.npz").open("rb") as file, np.load(file) as stored:
        return stored["photographs"]
