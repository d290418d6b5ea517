"""Lynx on Wan 2.1, 14B."""
