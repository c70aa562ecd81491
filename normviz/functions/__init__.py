"""The public numerical functions: moments, statistics, normalize, gradient, and running statistics."""
