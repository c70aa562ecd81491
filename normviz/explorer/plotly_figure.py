"""The plotly figure of `cube` and of the labs."""

from importlib.util import find_spec

import plotly.graph_objects as go


class Figure(go.Figure):
    """A plotly figure that a notebook also shows where nbformat is not installed, as in Pyodide.

    Plotly asks for nbformat's version before it shows a figure, and for nothing else of it.
    """

    def _ipython_display_(self) -> None:
        if find_spec("nbformat") is None:
            raise NotImplementedError  # IPython then shows what `_repr_mimebundle_` gives
        super()._ipython_display_()
