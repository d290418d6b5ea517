"""Validity: every metric against the truth of rendered faces, one experiment a file (`mmbench validity`)."""
