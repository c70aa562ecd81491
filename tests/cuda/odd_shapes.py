"""Every kernel on odd shapes of the GPU, each array in memory of its own: for compute-sanitizer, which watches it.

Of CuPy's pool one array would only run on into the next.
"""

from importlib import import_module

import ml_dtypes
import numpy as np

import normviz as nv

TYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
SHAPES = [
    (1, 1),
    (3, 7),
    (2, 3, 1),
    (1, 5, 37),
    (2, 4, 17),
    (3, 2, 1003),
    (2, 6, 7, 7),
    (1, 3, 33, 31),
    (2, 8, 3, 5, 2),
]


def main() -> None:
    """Run moments, outputs and gradients of dense, unaligned and channels-last arrays."""
    cupy = import_module("cupy")
    cupy.cuda.set_allocator(None)
    for shape in SHAPES:
        for dtype in TYPES:
            values = np.random.default_rng(0).normal(1, 2, shape).astype(dtype)
            flat = cupy.asarray(np.concatenate([values.reshape(-1)[:1], values.reshape(-1)]))
            last = cupy.asarray(np.moveaxis(values, 1, -1).copy())
            weight = cupy.asarray(np.ones(shape[1], dtype))
            for x, axis in ((flat[:-1].reshape(shape), 1), (flat[1:].reshape(shape), 1), (last, -1)):
                nv.moments(x, channel_axis=axis)
                for method in ("batch", "layer", "instance", "positional", "rms"):
                    nv.normalize(x, method, weight=weight, bias=weight, channel_axis=axis)
                    nv.gradient(x, x, method, weight=weight, channel_axis=axis)
    cupy.cuda.get_current_stream().synchronize()
    print(f"{len(SHAPES) * len(TYPES) * 3} arrays")


if __name__ == "__main__":
    main()
