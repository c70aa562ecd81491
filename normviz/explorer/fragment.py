"""What everything that is shown has in common: it gives HTML that can be put into any page."""

from __future__ import annotations

from typing import Any


class Fragment:
    """What is shown in a notebook, or on a page of somebody else."""

    def fragment(self) -> str:
        """HTML to put into any page, such as one of Streamlit, Gradio or Dash, or a page of your own.

        It contains all that it needs, makes no network request, and takes the colours of the page around it.

        Returns
        -------
        str
            One or several elements, not a whole page.
        """
        return self._repr_html_()

    def _repr_html_(self) -> str:
        raise NotImplementedError


class Framed(Fragment):
    """What is shown as a page in a frame, which lies over a still picture."""

    def fragment(self, *, theme: str = "auto") -> str:
        """HTML to put into any page, such as one of Streamlit, Gradio or Dash, or a page of your own.

        It is alive with no kernel, and makes no network request: a page in a sandboxed frame, over a still picture that
        shows where frames or scripts are refused. It also works where the page puts it in as `innerHTML`, which runs no
        scripts. It is as wide as its place, up to a largest width, and as high as it needs to be at that width.

        Parameters
        ----------
        theme
            "light", "dark", or "auto", which follows the reader's system, because a frame cannot see the page around
            it.

        Returns
        -------
        str
            One element, not a whole page; `to_html` gives a page.

        Raises
        ------
        ValueError
            For another theme.
        """
        return self._bundle(theme)["text/html"]

    def _repr_html_(self) -> str:
        return self.fragment()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self._bundle("auto")

    def _bundle(self, theme: str) -> dict[str, str]:
        """The frame over the picture as "text/html", and the picture as "image/svg+xml"."""
        raise NotImplementedError
