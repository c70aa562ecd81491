"""The course as a static JupyterLite site: Python runs in the reader's browser, and no server is needed."""

from normviz.lite.site import build

__all__ = ["build"]
