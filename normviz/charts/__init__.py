"""Charts that plotly draws: their common parts, and their pages with an alt text and controls for the keyboard."""
