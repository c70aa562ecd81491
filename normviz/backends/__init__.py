"""Where sums are made: on the CPU by NumPy, on a CUDA device by CuPy."""
