"""A package, so that another `tests` among the installed ones cannot hide it from spawned processes."""
