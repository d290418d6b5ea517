"""The tabulated path: the same numbers as the transformer, without repeated work."""
