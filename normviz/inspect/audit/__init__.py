"""List the normalization layers of a torch model, and warn of what is wrong with them."""
