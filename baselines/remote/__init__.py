"""A model in another Python environment: the two ends of the pipe between them."""
