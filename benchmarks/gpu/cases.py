"""What is measured: shapes and types, how many copies of each, and when to stop. No GPU is needed to know that."""

import time
from dataclasses import dataclass

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclass(frozen=True)
class Case:
    """One tensor.

    Attributes
    ----------
    shape, dtype
        (N, C, H, W) and the name of its type.
    num_groups
        G of the forward pass.
    compiled
        Whether torch.compile's group norm is timed too, which takes half a minute.
    """

    shape: tuple[int, int, int, int]
    dtype: str
    num_groups: int
    compiled: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        N, C, H, W = self.shape
        return N * C * H * W * BYTES[self.dtype]

    def copies(self, cache: int) -> int:
        """How many tensors take turns, so that none of the next one is still in a cache of that many bytes."""
        return 2 if self.nbytes > 8 * cache else -(-16 * cache // self.nbytes)


# Large maps, odd sizes, many short rows, few long ones; the last is as small as a layer in the middle of a network.
SHAPES = [
    ((640, 64, 112, 112), 32),
    ((64, 320, 128, 128), 32),
    ((1, 3, 16384, 16384), 1),
    ((5000, 512, 14, 14), 32),
    ((20000, 512, 7, 7), 32),
    ((64, 128, 255, 257), 32),
    ((2, 32, 2048, 4096), 4),
    ((32, 64, 56, 56), 32),
]
# The first shapes in every type, all of them in the two that matter most.
CASES = [
    Case(shape, dtype, G, compiled=place == 0 and dtype == "bfloat16")
    for dtype in ("float32", "bfloat16", "float16", "float64")
    for place, (shape, G) in enumerate(SHAPES)
    if place < 3 or dtype in ("float32", "bfloat16")
]


# A large one in float32 and in bfloat16, and the smallest, tell most.
TELLING = [("float32", SHAPES[0][0]), ("bfloat16", SHAPES[0][0]), ("float32", SHAPES[-1][0])]
CASES.sort(key=lambda case: (case.dtype, case.shape) not in TELLING)
FIRST = len(TELLING)


class Limit:
    """A limit of time."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.start = seconds, time.monotonic()

    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.start

    def over(self, spare: float = 0) -> bool:
        """Whether less than `spare` seconds are left."""
        return self.spent() + spare > self.seconds
