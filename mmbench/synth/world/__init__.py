"""The nano world: thousands of small head-and-shoulder clips with captions, for models small enough for a processor."""
