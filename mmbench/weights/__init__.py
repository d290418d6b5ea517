"""Weight files: what exists, where it lies, how to get it, and how to load it safely.

`path(name)` is the one call most code needs; nothing here downloads unless `get` is called.
"""

from mmbench.weights.load import Loaded, load, load_file, load_strict, read_state, rename_keys
from mmbench.weights.locate import all_of, first_of, locate, path
from mmbench.weights.registry import WeightFile, expand, find, registry

__all__ = [
    "Loaded",
    "WeightFile",
    "all_of",
    "expand",
    "find",
    "first_of",
    "load",
    "load_file",
    "load_strict",
    "locate",
    "path",
    "read_state",
    "registry",
    "rename_keys",
]
