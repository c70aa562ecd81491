"""Time on the GPU itself, by events."""

from collections.abc import Callable, Sequence
from typing import Any


def milliseconds(
    cupy: Any, call: Callable[[Any], Any], buffers: Sequence[Any], window: float = 40, windows: int = 7
) -> float:
    """Return the median over windows of the time of one call; the buffers take turns."""
    for buffer in buffers:  # compile, tune, fill the pools
        call(buffer)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()

    def run(calls: int) -> float:
        begin.record()
        for i in range(calls):
            call(buffers[i % len(buffers)])
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(begin, end)

    calls = max(2, int(window / max(run(2) / 2, 1e-3)))
    times = sorted(run(calls) / calls for _ in range(windows))
    return times[len(times) // 2]
