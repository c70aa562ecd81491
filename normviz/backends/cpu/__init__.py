"""The NumPy backend: moments and the affine map, in blocks that stay in the cache, on several threads."""
