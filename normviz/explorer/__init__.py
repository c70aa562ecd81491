"""The explorer: Python computes one scene, and one front-end draws it in a notebook, a saved notebook or a page."""
