"""Pooling sets, their moments and their statistics: pure values, which read no file and choose no backend."""
