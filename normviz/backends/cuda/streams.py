"""The device and the stream that a call works on: those of x."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from normviz.core.array_kinds import kind

_LEGACY, _PER_THREAD = 1, 2  # CUDA's addresses of the default streams; 0 is one of them


class _Stream:
    """A stream of another library, as CUDA's protocol for streams wants it; the library keeps it alive."""

    def __init__(self, address: int) -> None:
        self.address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


@contextmanager
def where_x_is(xp: Any, x: Any, others: Iterable[Any]) -> Iterator[None]:
    """Make the device of x the current one, and for a torch tensor torch's stream CuPy's current one.

    On torch's own stream nothing has to wait: torch's memory and ours are reused in the same order. JAX, or a library
    other than x's, could reuse the memory of its arrays while they are still read, so then the call waits for the GPU.

    Raises
    ------
    RuntimeError
        If the stream records a CUDA graph.
    """
    device = x.device.id if kind(x) == "cupy" else x.__dlpack_device__()[1]
    with xp.cuda.Device(device), _stream_of(xp, x, device):
        current = xp.cuda.get_current_stream()
        if current.ptr > _PER_THREAD and current.is_capturing():
            raise RuntimeError(
                "x is on a stream that records a CUDA graph, which cannot hold this call; make it outside the capture"
            )
        try:
            yield
        finally:
            if any(kind(a) == "jax" or kind(a) not in ("numpy", kind(x)) for a in (x, *others)):
                current.synchronize()


def _stream_of(xp: Any, x: Any, device: int) -> Any:
    """Return a context with the stream of a torch tensor; CuPy's own current stream is right for all others."""
    if kind(x) != "torch":
        return nullcontext()
    address = sys.modules["torch"].cuda.current_stream(device).cuda_stream or _LEGACY
    current = xp.cuda.get_current_stream()
    return nullcontext() if (current.ptr or _LEGACY) == address else xp.cuda.Stream.from_external(_Stream(address))
