"""Find by experiment what a callable normalizes."""
