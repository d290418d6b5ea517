"""Questions that need several steps: make, measure, compare, show."""
