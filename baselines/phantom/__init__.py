"""Phantom on Wan 2.1, 1.3B."""
