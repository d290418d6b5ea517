"""Clips measured, one row a clip, to be continued after any interruption."""
