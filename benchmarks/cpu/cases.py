"""What is measured: operations, methods, types, layouts and sizes from 256 cells to 1 GiB."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
SHAPES = (
    (2, 8, 4, 4),
    (2, 16, 8, 9),
    (4, 16, 12, 12),
    (8, 32, 14, 14),
    (8, 32, 28, 28),
    (16, 64, 28, 28),
    (32, 256, 14, 14),
    (32, 64, 56, 56),
    (32, 256, 56, 56),
    (2, 256, 200, 304),
    (4, 256, 512, 512),
)
"""Maps of networks, from 256 cells to 1 GiB of float32; 14 x 14 maps have short rows."""
TOKENS = ((2, 16, 8), (4, 32, 72), (8, 64, 96), (8, 197, 768), (32, 256, 768), (32, 1024, 768))
"""(batch, tokens, features)."""
QUICK = (SHAPES[0], SHAPES[2], SHAPES[3], SHAPES[6], SHAPES[7], TOKENS[2], TOKENS[4])


@dataclass(frozen=True)
class Case:
    """One operation on one tensor.

    Attributes
    ----------
    what
        "forward", "gradient" or "sweep".
    line
        What the tables and the plot call it: a method, with what is unusual about the tensor.
    method
        The method; "positional" has channels last.
    shape
        As the tensor lies in memory.
    """

    what: str
    line: str
    method: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    last: bool = False

    @property
    def channels(self) -> int:
        """How many channels x has."""
        return self.shape[-1 if self.last else 1]

    @property
    def num_groups(self) -> int | None:
        """G of Group Norm: 32, or a quarter of the channels where those are few."""
        return min(32, self.channels // 4) if self.method == "group" else None

    @property
    def cells(self) -> int:
        """Cells of x."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of x."""
        return self.cells * BYTES[self.dtype]


def last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with channels last."""
    return (shape[0], *shape[2:], shape[1])


def cases(quick: bool = False) -> Iterator[Case]:
    """Yield all cases, from 256 cells to 1 GiB, or a few sizes of each."""
    for case in _all():
        shape = case.shape
        if not quick or shape in QUICK or (case.last and (shape[0], shape[-1], *shape[1:-1]) in QUICK):
            yield case


def _all() -> Iterator[Case]:
    for what in ("forward", "gradient"):
        for method in ("group", "batch", "layer"):
            # The gradients of 1 GiB take minutes, so those of one method are measured.
            most = SHAPES if what == "forward" or method == "group" else SHAPES[:-1]
            yield from (Case(what, method, method, shape) for shape in most)
        yield from (Case(what, "tokens", "positional", shape, last=True) for shape in TOKENS)
        for shape in SHAPES[3:4] + SHAPES[6:9]:
            for dtype in ("float16", "bfloat16"):
                yield Case(what, f"group, {dtype}", "group", shape, dtype)
            for method in ("group", "batch"):
                yield Case(what, f"{method}, channels last", method, last(shape), last=True)
    yield from (Case("sweep", "sweep", "sweep", shape) for shape in SHAPES)
