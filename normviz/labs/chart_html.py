"""The names of `normviz.charts.chart_html`, for pages that import them from here."""

from normviz.charts.chart_html import alt, keys_script, to_html

__all__ = ["alt", "keys_script", "to_html"]
