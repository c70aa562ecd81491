"""Pooling sets as blocks: which cells of x share one mean and one variance.

The *block* is the extent of one set along each axis, the *grid* the number of sets along it. A floor division gives the
set of a cell, so the page can follow the mouse without Python.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from operator import index as as_int
from typing import Any

import numpy as np

from normviz.core.errors import brief, check_keywords, readable_bytes, whole
from normviz.core.methods import Method, find

MOST_LABELS = 1 << 36
"""Cells of the largest array of labels: 512 GiB."""


@dataclass(frozen=True)
class Pooling:
    """The pooling sets that a method makes of a shape; `pooling` returns it.

    Attributes
    ----------
    method
        The method's name, a key of METHODS.
    shape
        (N, C, *spatial), 2 to 5 axes; (Cout, Cin, *kernel) for the methods that normalize weights.
    num_groups
        G for the methods that have groups, None for every other.
    block
        Extent of one set along each axis.
    """

    method: str
    shape: tuple[int, ...]
    num_groups: int | None = None
    block: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the arguments and work out the block."""
        row = self.row
        shape = check_shape(self.shape)
        groups = check_groups(self.num_groups, row, shape) if row.has_groups else None
        if self.num_groups is not None and not row.has_groups:
            raise ValueError(f"num_groups={brief(self.num_groups)} means nothing to method {row.name!r}; leave it out")
        lengths = {"one": lambda n: 1, "all": lambda n: n, "group": lambda n: n // (groups or 1)}
        extents = (row.n, row.c, *[row.spatial] * (len(shape) - 2))
        block = tuple(lengths[extent](length) for extent, length in zip(extents, shape, strict=True))
        for name, value in (("shape", shape), ("num_groups", groups), ("block", block)):
            object.__setattr__(self, name, value)

    @cached_property
    def row(self) -> Method:
        """The method's row in METHODS."""
        return find(self.method)

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """How many sets there are along each axis."""
        return tuple(length // extent for length, extent in zip(self.shape, self.block, strict=True))

    @cached_property
    def size(self) -> int:
        """|S|, the number of cells in a set."""
        return math.prod(self.block)

    @cached_property
    def count(self) -> int:
        """The number of sets."""
        return math.prod(self.grid)

    @cached_property
    def statistics_shape(self) -> tuple[int, ...]:
        """Shape of the mean and of the variance: the grid without the axes that are pooled whole.

        Batch (C,), layer (N,), instance and frn (N, C), group (N, G), positional and rms (N, *spatial), per_head and
        per_head_rms (N, G, *spatial), ghost (G, C), weight_norm and weight_standardization (Cout,).
        """
        return tuple(n for axis, n in enumerate(self.grid) if axis not in self.pooled_axes)

    @cached_property
    def pooled_axes(self) -> tuple[int, ...]:
        """`Method.pooled_axes` for this shape."""
        return self.row.pooled_axes(len(self.shape))

    @cached_property
    def parameter_shape(self) -> tuple[int, ...]:
        """The shape in which a weight or bias with one entry a channel broadcasts against x."""
        return tuple(n if axis == self.row.affine_axis else 1 for axis, n in enumerate(self.shape))

    def set_of(self, index: Iterable[int]) -> tuple[slice, ...]:
        """Return the slices of x that hold the set of the cell at `index`.

        Raises
        ------
        IndexError
            If there is no such cell. A negative index is an error too.

        Examples
        --------
        >>> pooling("group", (2, 8, 4, 4), num_groups=4).set_of((0, 3, 1, 1))
        (slice(0, 1, None), slice(2, 4, None), slice(0, 4, None), slice(0, 4, None))
        """
        return tuple(
            slice(i // extent * extent, (i // extent + 1) * extent)
            for i, extent in zip(check_cell(index, self.shape), self.block, strict=True)
        )

    def set_number(self, index: Iterable[int]) -> int:
        """Return the number of the cell's set, counted along the grid with the last axis fastest.

        >>> pooling("group", (2, 8, 4, 4), num_groups=4).set_number((1, 3, 1, 1))
        5
        """
        number = 0
        for i, extent, length in zip(check_cell(index, self.shape), self.block, self.grid, strict=True):
            number = number * length + i // extent
        return number

    def labels(self) -> np.ndarray:
        """Return an int array of x's shape: the number of the set that each cell is in.

        >>> pooling("group", (1, 4, 1, 2), num_groups=2).labels()[0, :, 0, :].tolist()
        [[0, 0], [0, 0], [1, 1], [1, 1]]
        """
        cells = math.prod(self.shape)
        if cells > MOST_LABELS:
            raise ValueError(
                f"labels of shape {self.shape} would fill {readable_bytes(8 * cells)}; set_number(index) needs none"
            )
        numbers = np.arange(self.count).reshape(self.grid)
        return self.spread(numbers) + np.zeros(self.shape, int)

    def spread(self, values: Any) -> Any:
        """Return `values`, one for each set, in a shape that broadcasts against x: each axis is 1 or as long as x's."""
        values = values.reshape(self.grid)
        for axis, (count, extent) in enumerate(zip(self.grid, self.block, strict=True)):
            if count > 1 and extent > 1:
                values = values.repeat(extent, axis)
        return values


@check_keywords
def pooling(method: str, shape: Sequence[int], num_groups: int | None = None) -> Pooling:
    """Return how `method` cuts an array of `shape` into pooling sets.

    Parameters
    ----------
    method
        A key of METHODS: "batch", "layer", "instance", "group", "positional", "rms", "per_head", "per_head_rms", "frn",
        "ghost", "weight_norm" or "weight_standardization".
    shape
        (N, C, *spatial), with 0 to 3 spatial axes; for the last two methods that of weights, (Cout, Cin, *kernel).
    num_groups
        For "group" the number of groups of channels, and for "per_head" and "per_head_rms" the number of attention
        heads, which must divide C; for "ghost" the number of slices that the
        batch is cut into, each of N / num_groups neighbouring samples, which must divide N. None for any other method.

    Raises
    ------
    ValueError
        If the method is unknown, the shape has not 2 to 5 axes or an empty one, or num_groups does not fit.

    Examples
    --------
    >>> p = pooling("group", (2, 8, 4, 4), num_groups=4)
    >>> p.block, p.grid, p.size, p.count
    ((1, 2, 4, 4), (2, 4, 1, 1), 32, 8)
    >>> pooling("ghost", (6, 8, 4, 4), num_groups=3).block  # three slices of two samples
    (2, 1, 4, 4)
    """
    return pooling_of(method, check_shape(shape), num_groups)


def pooling_of(method: str, shape: tuple[int, ...], num_groups: int | None) -> Pooling:
    """Return `pooling(method, shape, num_groups)` for the shape of an array, which needs no check of its type."""
    try:
        return _cached(method, shape, num_groups)
    except TypeError:  # either an argument that is not hashable, or an error that Pooling raises again
        return Pooling(method, shape, num_groups)


# Typed, because True equals 1 but is not a number of groups.
_cached = lru_cache(maxsize=1024, typed=True)(Pooling)


def divisors(C: int) -> tuple[int, ...]:
    """Return the divisors of C, ascending: the numbers of groups that Group Norm can have.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    C = whole(C, "C")
    if C < 1:
        raise ValueError(f"C={brief(C)} has no divisors; a number of channels is at least 1")
    if C > 1 << 40:
        raise ValueError(f"C={brief(C)} is too large to be factored; give a number of channels up to 2**40")
    low = [g for g in range(1, math.isqrt(C) + 1) if C % g == 0]
    return tuple(sorted({*low, *(C // g for g in low)}))


def default_num_groups(C: int) -> int:
    """Return the largest divisor of C that is at most 4: few enough groups to tell apart by eye.

    >>> [default_num_groups(C) for C in (1, 6, 7, 16)]
    [1, 3, 1, 4]
    """
    return fitting_divisor(C, 4)


def fitting_divisor(length: int, most: int) -> int:
    """Return the largest divisor of a length that is at most `most`, and at least 1.

    >>> [fitting_divisor(12, most) for most in (0, 5, 100)]
    [1, 4, 12]
    """
    return max(g for g in divisors(length) if g <= max(most, 1))


def fitting_num_groups(row: Method, shape: Sequence[int], wanted: int = 4) -> int:
    """Return the initial G of a method: the largest divisor, at most `wanted`, of the axis that the method cuts.

    Slices of the batch keep at least two samples where N allows it, because a slice of one sample is Instance Norm.

    >>> [fitting_num_groups(find(name), (4, 16, 7, 7)) for name in ("group", "ghost")]
    [4, 2]
    """
    length = shape[row.grouped_axis]
    most = min(wanted, max(1, length // 2)) if row.n == "group" else wanted
    return fitting_divisor(length, most)


def check_groups(num_groups: int | None, row: Method, shape: Sequence[int]) -> int:
    """Return num_groups as an int that divides the axis that the method cuts; raise ValueError with those that do."""
    length, axis = shape[row.grouped_axis], "NC"[row.grouped_axis]
    if type(num_groups) is int and num_groups > 0 and length % num_groups == 0:
        return num_groups
    every, cut = divisors(length), f"{axis}={length}"
    these = ", ".join(map(str, every))
    if axis == "N":
        these += f" (slices of {', '.join(str(length // g) for g in every)} samples)"
    if num_groups is None:
        raise ValueError(f"method {row.name!r} needs num_groups; these divide {cut}: {these}")
    if not hasattr(num_groups, "__index__") or isinstance(num_groups, bool):
        raise TypeError(f"num_groups must be an int, not {brief(num_groups)}; these divide {cut}: {these}")
    groups = as_int(num_groups)
    if groups < 1 or length % groups:
        raise ValueError(f"num_groups={brief(groups)} does not divide {cut}; these do: {these}")
    return groups


def check_shape(shape: Sequence[int], name: str = "x") -> tuple[int, ...]:
    """Return the shape of `name` as a tuple of 2 to 5 positive ints; raise ValueError otherwise."""
    if getattr(shape, "ndim", 1) != 1:
        raise TypeError(f"shape is x itself; pass x.shape, {tuple(getattr(shape, 'shape', ()))}")
    try:
        shape = tuple(as_int(n) for n in islice(shape, 65))  # NumPy's arrays have at most 64 axes
    except TypeError:
        raise TypeError(f"shape must be 2 to 5 whole numbers, (N, C, *spatial), not {brief(shape)}") from None
    if not 2 <= len(shape) <= 5:
        raise ValueError(f"{name} has rank {len(shape)}, shape {brief(shape)}; it needs 2 to 5 axes, (N, C, *spatial)")
    if min(shape) < 1:
        raise ValueError(f"{name} has an empty axis, shape {brief(shape)}; every axis needs at least one cell")
    return shape


def check_cell(index: Iterable[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of a cell, (n, c, *spatial), as ints; raise IndexError if there is no such cell."""
    try:
        if getattr(index, "ndim", 1) != 1:  # torch would list every row before the first
            raise TypeError
        array: Any = index
        items = array[: len(shape) + 1] if hasattr(array, "ndim") else array
        cell = tuple(as_int(i) for i in islice(items, len(shape) + 1))  # an index may be endless
    except TypeError:
        raise TypeError(f"index must be {len(shape)} whole numbers (n, c, ...), not {brief(index)}") from None
    if len(cell) != len(shape) or not all(0 <= i < n for i, n in zip(cell, shape, strict=True)):
        ends = ", ".join(f"0..{n - 1}" for n in shape)
        raise IndexError(f"there is no cell {brief(cell)} in shape {shape}; indices are ({ends})")
    return cell


def canonical(x: Any, channel_axis: int = 1, name: str = "x") -> Any:
    """Return a view of x with its axes in the order (N, C, *spatial).

    Parameters
    ----------
    x
        A NumPy or CuPy array, or a nested list; `normviz.core.array_kinds.host` converts other kinds of array.
    channel_axis
        Where C is; negative numbers count from the end. The first of the other axes is N.
    name
        The name of x in the messages.

    Raises
    ------
    ValueError
        If x has not 2 to 5 axes, has an empty one, or has no such channel_axis.
    TypeError
        If its dtype is not one of real numbers (complex, object, strings), or if x is a masked array.

    Examples
    --------
    >>> canonical(np.zeros((2, 5, 7, 3)), channel_axis=-1).shape
    (2, 3, 5, 7)
    """
    # The common case at once: for small tensors, this check costs as much as the arithmetic.
    if type(x) is np.ndarray and type(channel_axis) is int and channel_axis == 1:
        if x.dtype.char in "efd" and 2 <= x.ndim <= 5 and x.size:
            return x
    elif not hasattr(x, "dtype"):
        x = np.asarray(x)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and no cell can be left out; fill it, for instance with .filled(0)")
    kind, itemsize = x.dtype.kind, x.dtype.itemsize
    # bfloat16 arrives here on a GPU and for the compiled backend; for NumPy it has become float32.
    if (kind not in "biuf" and x.dtype.name != "bfloat16") or (kind == "f" and itemsize > 8):
        use = "float16, float32, float64, integers or booleans"
        if kind == "V" and itemsize == 2 and not x.dtype.names:  # NumPy writes bfloat16 without its name
            use += "; if it is bfloat16, pass x.view(ml_dtypes.bfloat16)"
        raise TypeError(f"{name} has dtype {x.dtype}; use {use}")
    check_shape(x.shape, name)
    rank, channel_axis = len(x.shape), whole(channel_axis, "channel_axis", "; 1 and -1 are the usual ones")
    if not -rank <= channel_axis < rank:
        raise ValueError(
            f"channel_axis={channel_axis} is not an axis of {name}, rank {rank}; use {-rank} to {rank - 1}"
        )
    if channel_axis in (1, 1 - rank):
        return x
    first, *others = (axis for axis in range(rank) if axis != channel_axis % rank)
    return x.transpose(first, channel_axis % rank, *others)
