"""The diffusion transformer and what feeds it: perceivers, fusion, adapters."""
