"""What the device reads, and reads and writes, at most: everything else is a fraction of this."""

from collections.abc import Callable
from typing import Any

import numpy as np

READ = r"""
extern "C" __global__ void read(const uint4 *__restrict__ x, unsigned *sink, long long n) {
    unsigned sum = 0;
    const long long threads = gridDim.x * (long long)blockDim.x;
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    for (; i + 7 * threads < n; i += 8 * threads) {
        uint4 v[8];
        #pragma unroll
        for (int u = 0; u < 8; u++) v[u] = x[i + u * threads];
        #pragma unroll
        for (int u = 0; u < 8; u++) sum ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    for (; i < n; i += threads) sum ^= x[i].x ^ x[i].y ^ x[i].z ^ x[i].w;
    if (sum == 0x12345678u) *sink = sum;  // never, but the compiler can't know
}"""


def ceilings(cupy: Any, torch: Any, device: str, timed: Callable[..., float], cells: int = 1 << 29) -> dict[str, Any]:
    """Return GB/s: of the best read among several grids, of torch.sum, and of a copy (bytes read and written)."""
    large = [torch.randn(cells, device=device) for _ in range(2)]
    shared, sink = [cupy.from_dlpack(a) for a in large], cupy.zeros(1).astype(np.uint32)
    read = cupy.RawKernel(READ, "read")
    processors = cupy.cuda.runtime.getDeviceProperties(0)["multiProcessorCount"]
    nbytes = shared[0].nbytes

    def grid(per_processor: int, block: int) -> float:
        size = np.int64(nbytes // 16)
        return timed(lambda a: read((processors * per_processor,), (block,), (a, sink, size)), shared)

    best = min(grid(n, block) for n in (2, 4, 8, 16, 32) for block in (256, 512))
    target = torch.empty_like(large[0])
    copied = timed(target.copy_, large)
    return {
        "kind": "ceilings",
        "read_GBs": nbytes / best / 1e6,
        "torch_sum_GBs": nbytes / timed(torch.sum, large) / 1e6,
        "copy_GBs": 2 * nbytes / copied / 1e6,
    }
