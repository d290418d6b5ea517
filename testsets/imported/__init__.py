"""Test sets of other benchmarks, read as their authors hand them out; nothing of them is shipped with mmbench."""
