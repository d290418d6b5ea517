"""Stand-In on Wan 2.1 and 2.2, 14B."""
