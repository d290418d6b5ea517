"""ID-Animator."""
