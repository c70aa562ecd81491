"""Find the first layer at which two torch models differ."""
