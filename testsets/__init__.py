"""Bundled and importable test sets: manifests, prompts and rules as data."""
