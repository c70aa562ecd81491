"""Record the statistics of every normalization layer of a torch model while it trains."""
