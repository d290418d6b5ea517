"""RAFT: the network, its weights, and flow without the work whose result nobody reads."""
