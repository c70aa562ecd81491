"""Time on the GPU itself, by events."""

import time
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


def apart(cupy: Any, torch: Any, call: Callable[[Any], Any], x: Any, calls: int = 30) -> tuple[float, float]:
    """Return the milliseconds of one call on the host until it returns, and those on the GPU.

    The GPU sleeps until all calls are queued, so it never waits for the host. Where a call waits for the GPU, the first
    number contains the second, and the second is the time from call to call.
    """
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    call(x)
    torch.cuda.synchronize()
    torch.cuda._sleep(40_000_000)  # cycles: about 20 ms
    begin.record()
    start = time.perf_counter()
    for _ in range(calls):
        call(x)
    host = time.perf_counter() - start
    end.record()
    end.synchronize()
    return host / calls * 1e3, cupy.cuda.get_elapsed_time(begin, end) / calls
