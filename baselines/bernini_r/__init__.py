"""Bernini's renderer, 1.3B on Wan 2.1 and 14B on Wan 2.2."""
