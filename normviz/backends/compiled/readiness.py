"""What this process has found out about the compiled backend. This module imports nothing, so asking costs nothing."""

ready = False
"""Whether a loop has been compiled or loaded, so that further calls do not pay for the start."""
failure: str | None = None
"""Why a loop could not be compiled; None as long as all could."""
