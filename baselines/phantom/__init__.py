"""Phantom on Wan 2.1, 1.3B and 14B."""
