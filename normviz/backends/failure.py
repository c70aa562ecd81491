"""The error of a backend that cannot do its work here though another one can; `normviz.arrays.paths` answers it."""


class BackendFailure(Exception):
    """A backend has too little memory, or cannot compile its code; nothing has been written."""
