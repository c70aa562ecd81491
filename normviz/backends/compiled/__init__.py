"""Fused loops over arrays on the host, which numba compiles for this machine's processor."""
