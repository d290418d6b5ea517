"""ConsisID."""
