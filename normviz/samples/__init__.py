"""Sample activations of a convolutional layer, the photographs that they were computed from, and filled tensors.

`activations` are the outputs of a convolutional layer on photographs: 16 oriented filters (4 orientations, 4 scales),
stride 4, ReLU. README.md in this folder lists the sources and licences of the photographs, and measured properties of
the activations; make.py wrote the files. `filled` makes tensors by a rule; `explorer/js/tensor/fills.js` has the same
rule in the page.
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from operator import index as as_int

import numpy as np

from normviz.core.errors import brief, check_keywords, unknown, whole
from normviz.core.pooling import check_shape

__all__ = ["FILLS", "PHOTOGRAPHS", "PHOTOGRAPH_OF", "activations", "filled", "photographs"]

PHOTOGRAPHS = ("chelsea", "coffee", "brick", "rocket", "astronaut", "camera", "grass", "gravel")
"""The photographs, in the order of `photographs` and of the first samples of `activations`; scikit-image's names."""

PHOTOGRAPH_OF = tuple(map(int, (
    "01234567445130542373177417202214404044050741350724655576170540216705760533173452636614"
    "45170056071223016235013517074701211033143423250551227443114520053677721276661000446372"
    "362674240163625653521672361461227747605614025333746116656350142420633623350756572537"
)))  # fmt: skip
"""For each of the 256 samples of `activations`, the number of the photograph that it shows a crop of: 32 crops each."""

FILLS = ("sample", "normal", "relu", "loud channel", "loud sample", "offset", "constant", "ramp", "example")
"""What `filled` fills with."""
EXAMPLE = ((2, 3, 5, 7, 11, 13, 17, 19), (0, 1, 1, 2, 3, 5, 8, 13), (1, 2, 3, 4, 5, 6, 7, 8))
"""Fill "example": three samples of shape (4, 1, 2)."""
REPEATED = 16
"""Fill "sample" repeats this many samples: as many as a page carries."""
MOST = 1 << 26
"""The most cells that are filled: 256 MiB. The page has the same limit."""
PIECE = 1 << 18
"""As many cells are filled at a time, so that the intermediate numbers stay in a cache."""


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


@check_keywords
def filled(shape: Sequence[int], fill: str, seed: int = 0) -> np.ndarray:
    """Return a tensor filled by a rule, float32 of the given shape: the numbers of the explorer's panel "Tensor".

    The page makes the same numbers, to the last bit, from the same shape, fill and seed. PyTorch has no equivalent; a
    tensor like that of fill "normal" is `torch.randn(shape)`.

    Parameters
    ----------
    shape
        (N, C, *spatial), with 0 to 3 spatial axes.
    fill
        - "sample": the first 16 samples of `activations`, repeated cyclically along every axis. Of them, rank 2 takes
          the cell h = w = 0, rank 3 the row h = 0, and every d of rank 5 is alike.
        - "normal": nearly normally distributed, with mean 0 and standard deviation 1, between -6 and 6.
        - "relu": the same without the negative ones, which are 0.
        - "loud channel", "loud sample": eight times as large in channel C // 2, in sample N // 2.
        - "offset": 100 plus a tenth of "normal", so that digits cancel.
        - "constant": 1.
        - "ramp": 0, 1, 2, ... in C order.
        - "example": small whole numbers for calculating by hand. Its shape is always (3, 4, 1, 2); `shape` is ignored.
    seed
        A whole number, for the fills that come from "normal"; only its remainder modulo 2**32 counts.

    Raises
    ------
    TypeError
        If a length or the seed is not a whole number.
    ValueError
        If the shape has not 2 to 5 axes, an empty axis, or more than 2**26 cells, or if there is no such fill.

    Examples
    --------
    >>> filled((2, 3, 4, 4), "normal", seed=7)[0, 0, 0, :2].tolist()
    [-2.8992462158203125, -0.6671142578125]
    """
    if fill in ("file", "edited"):
        raise ValueError(f"fill {fill!r} means values that somebody gave, and no rule makes them; pass them as x")
    if fill not in FILLS:
        raise ValueError(unknown("fill", fill, FILLS))
    seed = whole(seed, "seed") % 2**32
    if fill == "example":
        return np.array(EXAMPLE, np.float32).reshape(3, 4, 1, 2)
    shape = check_shape(shape, "the tensor to fill")
    if math.prod(shape) > MOST:
        raise ValueError(f"shape {brief(shape)} has more than {MOST:,} cells, the most that are filled; shorten it")
    if fill == "sample":
        return _repeated(shape)
    values = np.empty(shape, np.float32)
    flat = values.reshape(-1)
    for start in range(0, flat.size, PIECE):
        places = np.arange(start, min(start + PIECE, flat.size), dtype=np.int64)
        flat[start : start + PIECE] = _ruled(places, shape, fill, seed)
    return values


def _repeated(shape: tuple[int, ...]) -> np.ndarray:
    """Return the first samples, cut or repeated cyclically to a shape."""
    stored = activations(REPEATED)
    N, C, *spatial = shape
    # H and W are the last two axes; an axis that x lacks is 0, and D repeats what lies within it.
    H, W = ([1, 1, *spatial])[-2:]
    maps = stored[np.ix_(*(np.arange(n) % length for n, length in zip((N, C, H, W), stored.shape, strict=True)))]
    deep = maps[:, :, None] if len(shape) == 5 else maps.reshape(shape)
    return np.ascontiguousarray(np.broadcast_to(deep, shape))


def _ruled(places: np.ndarray, shape: tuple[int, ...], fill: str, seed: int) -> np.ndarray:
    """Return the values of the cells at these flat indices, in float64."""
    if fill == "constant":
        return np.ones(len(places))
    if fill == "ramp":
        return places.astype(np.float64)
    z = _nearly_normal(places, seed)
    if fill == "relu":
        return np.where(z > 0, z, 0.0)
    if fill == "offset":
        return 100 + z / 10
    if fill == "normal":
        return z
    per_channel = math.prod(shape[2:])
    sample, channel = places // (per_channel * shape[1]), places // per_channel % shape[1]
    loud = channel == shape[1] // 2 if fill == "loud channel" else sample == shape[0] // 2
    return np.where(loud, 8 * z, z)


def _nearly_normal(places: np.ndarray, seed: int) -> np.ndarray:
    """Return the sum of twelve random numbers of 16 bits for each place, less its mean, over its deviation.

    The bits of a place depend on the place and the seed alone, by the 32-bit finalizer of MurmurHash3.
    """
    key = _mixed(np.array([seed ^ 0x9E3779B9], np.uint32))
    total = np.zeros(len(places), np.int64)
    for k in range(6):
        word = _mixed(key + (6 * places + k).astype(np.uint32) * np.uint32(0x9E3779B9))
        total += (word & np.uint32(0xFFFF)) + (word >> np.uint32(16))
    return (total - 393210) / 65536


def _mixed(h: np.ndarray) -> np.ndarray:
    """Return the finalizer of MurmurHash3 (Appleby 2011) of 32-bit words."""
    h = h ^ (h >> np.uint32(16))
    h = h * np.uint32(0x85EBCA6B)
    h = h ^ (h >> np.uint32(13))
    h = h * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


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
