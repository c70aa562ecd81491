"""Compare a callable with the normalizer that it should be, and name the bug that it has."""
