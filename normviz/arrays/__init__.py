"""What is computed of an array in memory: arguments are checked once, and a backend does the rest."""
