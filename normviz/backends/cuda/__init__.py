"""The CuPy backend: kernels for CUDA devices, and the transfer of host arrays through them."""
