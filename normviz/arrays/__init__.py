"""What is computed of an array in memory: arguments are checked once, and small arrays take a short path."""
