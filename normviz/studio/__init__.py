"""The studio: a panel for class with sliders for the axes of x, the source of its values, and the explorer."""

from normviz.studio.panel import Studio

__all__ = ["Studio"]
