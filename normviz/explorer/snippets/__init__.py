"""The same normalization as text: words, formulas, and code in four frameworks."""
