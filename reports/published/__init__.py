"""The published tables of the paper, as data."""
