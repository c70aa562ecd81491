"""Where sums are made: on the CPU by NumPy or by compiled loops, on a CUDA device by CuPy."""
