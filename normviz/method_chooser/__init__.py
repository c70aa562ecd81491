"""The chooser: a page of questions that ends in advice on which normalizer to use."""
