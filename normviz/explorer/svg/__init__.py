"""The still picture of an explorer, as SVG text."""
