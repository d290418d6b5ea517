"""The recognisers of the nano world: one conditions the trained nano model, the other judges it."""
