"""mmbench: Magic Mirror in the open, and the benchmark for identity-preserved video generation."""

__version__ = "0.1.0"
